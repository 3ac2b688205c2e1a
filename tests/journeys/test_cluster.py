"""What the page on more than one machine tells people to start is started here, as far as one machine allows: torchrun on two machines
that are network namespaces, and the SLURM script by an ``srun`` of this test's own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.commands import ROOT, blocks, shell_lines
from tests.training.ranks import Ranks, free_port
from tests.training.runs import assert_same_bits, log_entries
from transfigure.data import images
from transfigure.training.checkpoint import load_checkpoint
from transfigure.worlds.facades.dataset import draw_scene, render

PAGE = ROOT / "docs" / "how-to" / "cluster.md"
SCRIPTS = [block.text for block in blocks(PAGE) if block.language == "bash"]
SMALL = shlex.split(
    "--data.load_size 36 --data.crop_size 32 --generator.depth 4 --generator.width 4 --discriminator.width 4 "
    "--discriminator.receptive_field 16 --training.accelerator cpu --training.preview_count 1 --training.checkpoint_every 4"
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash scripts")


def script(begins: str) -> str:
    """The block of the page that begins so."""
    (found,) = (text for text in SCRIPTS if text.startswith(begins))
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with six pairs to train on and one to validate."""
    for split, count in {"train": 6, "val": 1}.items():
        for index in range(count):
            scene = draw_scene(0, index)
            pair = np.concatenate([render(scene, "day", 32), render(scene, "labels", 32)], axis=1)
            images.write(tmp_path / "datasets" / "facades" / split / f"{index}.png", pair)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MASTER_", "SLURM_", "WORLD_SIZE"))}
    return {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src"), **more}


# ---- two machines -------------------------------------------------------------------------------------------------------


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def machines(address: str) -> Iterator[list[list[str]]]:
    """Two machines that share nothing but a cable (and this one's files): what begins a command on each; the first has the address.

    Where nobody may make them, two empty beginnings: two launchers of this machine.
    """
    names = [f"transfigure{os.getpid()}{end}" for end in "ab"]
    cable = [f"tf{os.getpid() % 10**6}{end}" for end in "ab"]
    other = address.rpartition(".")[0] + ".77"
    try:
        try:
            for name in names:
                _ip("netns", "add", name)
            _ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
            for name, end, own in zip(names, cable, (address, other)):
                _ip("link", "set", end, "netns", name)
                _ip("-n", name, "addr", "add", f"{own}/24", "dev", end)
                for device in (end, "lo"):
                    _ip("-n", name, "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError):
            yield [[], []]
            return
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
def test_torchrun_on_two_machines_is_two_processes_on_one(desk: Path) -> None:
    """To the bit. Each machine has one device here, and the page's have four."""
    (line,) = shell_lines(script("torchrun"))
    words = shlex.split(line)
    assert words[:2] == ["torchrun", "--nnodes"] and "--training.nodes" in words
    for flag, value in (("--nproc-per-node", "1"), ("--devices", "1"), ("--master-port", str(free_port()))):
        words[words.index(flag) + 1] = value
    address = words.index("--master-addr") + 1
    for prefixes in machines(words[address]):
        apart = prefixes != [[], []]
        if not apart:
            words[address] = "127.0.0.1"
        launched = []
        for node, prefix in enumerate(prefixes):
            words[words.index("--node-rank") + 1] = str(node)
            command = [*prefix, sys.executable, "-m", "torch.distributed.run", *words[1:], *SMALL, "--training.epochs", "2"]
            launched.append(
                subprocess.Popen(command, cwd=desk, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
        said = [process.communicate(timeout=200)[0] for process in launched]
        assert [process.returncode for process in launched] == [0, 0], said
    assert "trained:" in said[0] and "trained:" not in said[1]
    flags = words[words.index("train") :]
    flags[flags.index("--devices") + 1], flags[flags.index("--training.nodes") + 1] = "2", "1"
    flags[flags.index("--out") + 1], flags[2] = str(desk / "one"), str(desk / flags[2])
    ranks = Ranks([*flags, *SMALL, "--training.epochs", "2"], desk / "printed")
    assert ranks.wait() == [0, 0], ranks.printed()
    assert_same_bits(desk / "runs" / "facades", desk / "one")


# ---- SLURM --------------------------------------------------------------------------------------------------------------

SRUN = """\
#!{python}
# Starts the job's tasks, forwards SIGUSR1 to them when the time is over, and ends with the highest of their exit codes.
import os, signal, sys, time
import transfigure.training.trainer, lightning_fabric
from transfigure.cli.main import main

tasks = int(os.environ["SLURM_NTASKS"])
assert sys.argv[1] == "transfigure"
running = []
for task in range(tasks):
    pid = os.fork()
    if pid == 0:
        os.environ.update(SLURM_PROCID=str(task), SLURM_LOCALID=str(task), SLURM_NODEID="0", SLURM_STEP_NUM_TASKS=str(tasks))
        sys.argv = sys.argv[1:]
        code = main(sys.argv[1:])
        sys.stdout.flush()
        os._exit(code)
    running.append(pid)
if "OUT_OF_TIME" in os.environ:
    while not os.path.exists(os.environ["OUT_OF_TIME"]):
        time.sleep(0.02)
    for pid in running:
        os.kill(pid, signal.SIGUSR1)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256 for pid in running))
"""
SCONTROL = '#!/bin/sh\necho "$@" >> requeued.txt\n'


@pytest.mark.slow
def test_the_slurm_script_trains_is_requeued_and_goes_on(desk: Path) -> None:
    text = script("#!/bin/bash")
    tools = {"srun": SRUN.format(python=sys.executable), "scontrol": SCONTROL}
    for name, source in tools.items():
        file = desk / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
        file.chmod(0o755)
    script_file = desk / "train.sbatch"
    begins = "transfigure train pix2pix datasets/facades"
    assert text.count(begins) == 1
    script_file.write_text(text.replace(begins, f"{begins} --training.epochs 300 {' '.join(SMALL)}"))
    job = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "facades", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1"}
    job |= {"SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(free_port()), "PATH": f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    out = desk / "runs" / "facades"

    def submitted(**more: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(script_file)]
        return subprocess.run(command, cwd=desk, env=environment(**job, **more), capture_output=True, text=True, timeout=200, check=False)

    first = submitted(OUT_OF_TIME=str(out / "checkpoints" / "last.pt"))
    assert first.returncode == 138, first
    assert (desk / "requeued.txt").read_text() == "requeue 4711\n"
    assert first.stderr.count("transfigure: ") == 1 and "the state is saved" in first.stderr
    seen = load_checkpoint(out / "checkpoints" / "last.pt")["position"]
    assert seen["images"] > 0 and seen["epoch"] < 299
    script_file.write_text(
        script_file.read_text().replace('--out "$out" --resume', f'--out "$out" --resume --training.epochs {seen["epoch"] + 1}')
    )
    second = submitted()
    assert second.returncode == 0, second
    assert [entry["images"] for entry in log_entries(out, "resume")] == [seen["images"]]
    assert len(log_entries(out, "end")) == 1
    assert len((desk / "requeued.txt").read_text().splitlines()) == 1
