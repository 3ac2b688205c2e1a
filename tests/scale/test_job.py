"""Jobs of the page on more than one machine: the script that a queue is given, and the line that submits one to a cluster."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.journeys.commands import ROOT, blocks
from tests.tiny import tiny_translator, write_images
from transfigure.translation.translator import Translator

from .conftest import processes_with

SRUN = """\
#!/usr/bin/env bash
until [ "$1" = ray ]; do shift; done
exec "$@" --min-worker-port 0 --max-worker-port 0
"""
"""Starts the step here: the other machine is a second engine on this one."""


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def assert_translated(folder: Path, names: Sequence[str]) -> None:
    translator = Translator.load(folder / "model")
    for name in names:
        translator.translate_file(folder / "in" / name, folder / "alone" / name)
        assert (folder / "out" / name).read_bytes() == (folder / "alone" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a bash script, and /proc to look at")
@pytest.mark.parametrize("machines", [1, 2])
def test_the_script_for_a_queue_runs(machines: int, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    page = ROOT / "docs" / "how-to" / "cluster.md"
    (script,) = [block.text for block in blocks(page) if block.language == "bash" and "ray health-check" in block.text]
    port = free_port()
    tiny_translator().save(tmp_path / "model")
    write_images(tmp_path / "in", "a.png", "b.png", "c.png")
    here = {"26379": port, "runs/street": "model", "/shared/labels": "in", "/shared/photos": "out"}
    for there, mine in here.items():
        assert there in script
        script = script.replace(there, mine)
    smaller = f"--num-cpus 2 --object-store-memory {80 << 20} --disable-usage-stats"  # than all of a machine
    script = script.replace("--disable-usage-stats", smaller).replace("transfigure translate", f"{sys.executable} -m transfigure translate")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "SLURM_CPUS_ON_NODE": "2"}
    if machines > 1:
        environment |= {"SLURM_NNODES": f"{machines}", "SLURMD_NODENAME": "here", "PATH": f"{tmp_path}{os.pathsep}{path}"}
        (tmp_path / "srun").write_text(SRUN)
        (tmp_path / "srun").chmod(0o755)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + (tmp_path / "ray.log").read_text()
    assert done.stdout.endswith("3 of 3 images written to out\n")
    assert_translated(tmp_path, ["a.png", "b.png", "c.png"])
    assert (tmp_path / "others.log").exists() == (machines > 1)
    if machines > 1:
        assert "Ray runtime started" in (tmp_path / "others.log").read_text()
    assert processes_with(f":{port}") == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is looked at")
def test_the_job_that_is_submitted(tmp_path: Path) -> None:
    for part in ("ray", "aiohttp_cors", "opencensus"):
        pytest.importorskip(part, reason="jobs are submitted where the cluster has ray[default]")
    page = ROOT / "docs" / "how-to" / "cluster.md"
    (line,) = [block.text for block in blocks(page) if block.language == "bash" and "ray job submit" in block.text]
    tiny_translator().save(tmp_path / "model")
    write_images(tmp_path / "in", "a.png", "b.png")
    ports = [free_port(), free_port()]
    words = shlex.split(line.replace("\\\n", " "))
    here = {
        "http://10.77.0.1:8265": f"http://127.0.0.1:{ports[1]}",
        "runs/street": "model",
        "/shared/labels": "in",
        "/shared/photos": "out",
    }
    assert words[:3] == ["ray", "job", "submit"] and set(here) < set(words) and "--no-wait" in words
    words.remove("--no-wait")
    words = [here[word] if word.startswith("http") else str(tmp_path / here[word]) if word in here else word for word in words[1:]]
    at = words.index("transfigure")
    words[at : at + 1] = [sys.executable, "-m", "transfigure"]
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    environment = {**os.environ, **token, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
    start = [*("start", "--head", "--block", "--port", ports[0], "--dashboard-port", ports[1], "--disable-usage-stats", "--num-cpus", "2")]
    start += ["--min-worker-port", "0", "--max-worker-port", "0", "--object-store-memory", str(80 << 20)]
    with (tmp_path / "ray.log").open("w") as log:
        head = subprocess.Popen([*ray, *start], env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{ports[1]}/", 60)
        done = subprocess.run([*ray, *words], env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0 and "2 of 2 images written" in done.stdout, done.stdout + done.stderr
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(timeout=60)
    assert_translated(tmp_path, ["a.png", "b.png"])


def _wait_for(address: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
