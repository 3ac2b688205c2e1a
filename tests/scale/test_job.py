"""The script that the page on more than one machine gives to a queue: it starts an engine, works, and leaves nothing running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.commands import ROOT, blocks
from tests.tiny import tiny_translator, write_images
from transfigure.translation.translator import Translator

from .conftest import processes_with


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a bash script, and /proc to look at")
def test_the_script_for_a_queue_runs(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    page = ROOT / "docs" / "how-to" / "cluster.md"
    (script,) = [block.text for block in blocks(page) if block.language == "bash" and "ray health-check" in block.text]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    tiny_translator().save(tmp_path / "model")
    translator = Translator.load(tmp_path / "model")
    write_images(tmp_path / "in", "a.png", "b.png", "c.png")
    here = {"26379": port, "runs/street": "model", "/shared/labels": "in", "/shared/photos": "out"}
    for there, mine in here.items():
        assert there in script
        script = script.replace(there, mine)
    smaller = f"--num-cpus 2 --object-store-memory {80 << 20} --disable-usage-stats"  # than all of a machine
    script = script.replace("--disable-usage-stats", smaller).replace("transfigure translate", f"{sys.executable} -m transfigure translate")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + (tmp_path / "ray.log").read_text()
    assert done.stdout.endswith("3 of 3 images written to out\n")
    for name in ("a.png", "b.png", "c.png"):
        translator.translate_file(tmp_path / "in" / name, tmp_path / "alone" / name)
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert processes_with(f":{port}") == []
