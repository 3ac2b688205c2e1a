"""Two CPU processes train with their ranks in step."""

from __future__ import annotations

import logging.handlers
import os
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from tests.training.runs import TINY, checkpoint_tensors, log_entries, tiny_recipe
from transfigure.cli import main
from transfigure.errors import UserError
from transfigure.recipe import Training
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.engine import Engine, _fabric

# one process with batches of 2 and two processes with batches of 1 see the same pairs; without dropout and norm
# (a bias before a norm has no gradient but rounding, which Adam would blow up) their mean gradients are the same but for rounding
ALIKE = {
    **TINY,
    "generator.norm": "none",
    "generator.dropout": "0.0",
    "discriminator.norm": "none",
    "training.epochs": "2",
    "training.fused": "false",
    "data.flip": "true",
}


def words(out: Path, *more: str) -> list[str]:
    flags = [word for key, value in ALIKE.items() for word in (f"--{key}", str(value))]
    return ["train", "pix2pix_tiny", *flags, "--out", str(out), *more]


def start(python: str, out: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [python, *launcher, "-m", "transfigure", *words(out, *more)]
    environment = {key: value for key, value in os.environ.items() if key not in ("MASTER_ADDR", "MASTER_PORT")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**environment, "OMP_NUM_THREADS": "1"}, check=False)


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path, forking_python: str, capsys: pytest.CaptureFixture[str]) -> None:
    together = start(forking_python, tmp_path / "two", "--devices", "2", "--training.batch_size", "1")
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("trained:") == 1
    assert main(words(tmp_path / "one", "--training.batch_size", "2")) == 0
    state = load_checkpoint(tmp_path / "two" / "checkpoints" / "last.pt")
    assert len(state["random"]) == 2, "each process's random numbers are kept"
    one, two = checkpoint_tensors(tmp_path / "one", "step", "ema"), checkpoint_tensors(tmp_path / "two", "step", "ema")
    compared = [name for name in one if name.startswith((".step.generator", ".step.discriminator"))]
    assert len(compared) > 20
    for name in compared:
        torch.testing.assert_close(one[name], two[name], atol=2e-5, rtol=1e-3, msg=name)
    assert [entry["images"] for entry in log_entries(tmp_path / "two", "end")] == [12]
    # and it goes on with two, not with one
    capsys.readouterr()
    assert main(words(tmp_path / "two", "--resume", "--training.batch_size", "1")) == 2
    assert "training.devices" in capsys.readouterr().err


KILLED = """\
import os, signal
from transfigure import register
from transfigure.training.steps.pix2pix import Pix2PixStep

update, seen = Pix2PixStep.training_step, [0]

def counted(step, *given, **named):
    seen[0] += 1
    if seen[0] == 5 and os.environ["LOCAL_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return update(step, *given, **named)

Pix2PixStep.training_step = counted

@register("loss", "nothing")
def nothing(batch):
    return batch.fake.mean() * 0
"""


@pytest.mark.slow
def test_a_process_that_is_started_and_killed_ends_the_one_that_started_it(tmp_path: Path, forking_python: str) -> None:
    """Torchrun's and SLURM's are in test_peers.py and in tests/journeys/test_cluster.py."""
    (tmp_path / "killed.py").write_text(KILLED)
    run = start(forking_python, tmp_path / "run", "--devices", "2", "--plugins", str(tmp_path / "killed.py"))
    assert run.returncode == 1, run.stderr
    (sentence,) = (line for line in run.stderr.splitlines() if line.startswith("transfigure: "))
    assert "process 1 of 2" in sentence and "was ended by SIGKILL" in sentence and "--resume" in sentence
    assert "Traceback" not in run.stderr and "frame #" not in run.stderr
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["position"]["images"] == 6


def test_one_process_needs_no_averaging() -> None:
    engine = Engine(Training(accelerator="cpu"))
    assert engine.world_size == 1 and engine.leads and engine.gather(3) == [3]
    assert engine.mean(torch.tensor([2.0])).item() == 2.0
    assert engine.any(True, False) == (True, False)


def test_what_the_machine_does_not_have_is_refused() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            Engine(Training(accelerator="cuda"))
    with pytest.raises(UserError, match="sync_batchnorm"):
        Engine(Training(accelerator="cpu", sync_batchnorm=True))


def test_precision_is_that_of_the_recipe() -> None:
    engine = Engine(Training(accelerator="cpu", precision="bf16-mixed"))
    layer = torch.nn.Conv2d(1, 1, 3)
    with engine.autocast():
        assert layer(torch.zeros(1, 1, 8, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("cpu", "target", "chosen"),
    [
        ({"avx512_bf16": True}, "uint8", "bf16-mixed"),
        ({"amx_bf16": True, "avx512_bf16": False}, "uint8", "bf16-mixed"),
        ({"avx512_bf16": True}, "uint16", "32-true"),
        ({"avx512_bf16": True}, "float32", "32-true"),
        ({"avx512_f": True, "amx_bf16": False}, "uint8", "32-true"),
        ({}, "uint8", "32-true"),
    ],
)
def test_auto_asks_the_machine_and_the_data(monkeypatch: pytest.MonkeyPatch, cpu: dict[str, bool], target: str, chosen: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    engine = Engine(Training(accelerator="cpu", precision="auto"))
    engine.choose_precision(target)
    assert engine.precision == chosen
    with engine.autocast():
        assert torch.nn.Linear(1, 1)(torch.zeros(1, 1)).dtype == (torch.bfloat16 if chosen == "bf16-mixed" else torch.float32)


@pytest.mark.parametrize(
    ("capability", "target", "chosen", "float16"),
    [
        ((9, 0), "uint8", "bf16-mixed", False),
        ((8, 0), "uint16", "32-true", False),
        ((7, 5), "uint8", "32-true", True),
        ((6, 1), "uint8", "32-true", False),
    ],
)
def test_auto_asks_the_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], target: str, chosen: str, float16: bool) -> None:
    engine = Engine(Training(accelerator="cpu", precision="auto"))
    engine.device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    engine.choose_precision(target)
    assert (engine.precision, engine.float16_fits()) == (chosen, float16)


def test_float16_leaves_out_an_update_whose_gradient_overflows_and_goes_on() -> None:
    """Each optimizer has its own scale: the one that overflowed is halved, its weights and moments stay, the other's step is taken."""
    engine = Engine(Training(accelerator="cpu", precision="16-mixed"))
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizers = [torch.optim.Adam([weight], lr=0.1, fused=True) for weight in weights]
    for factor in (1e36, 1.0):
        for weight, optimizer in zip(weights, optimizers):
            engine.backward((weight * (factor if weight is weights[0] else 1.0)).sum(), optimizer=optimizer)
            engine.step(optimizer)
            assert weight.grad is None
    scalers = [engine.scaler(optimizer) for optimizer in optimizers]
    assert scalers[0] is not None and scalers[1] is not None
    assert (scalers[0].get_scale(), scalers[1].get_scale()) == (2.0**15, 2.0**16)
    assert [float(optimizer.state[weight]["step"]) for weight, optimizer in zip(weights, optimizers)] == [1, 2]
    torch.testing.assert_close(weights[0].detach(), torch.full((2,), 0.9))
    torch.testing.assert_close(weights[1].detach(), torch.full((2,), 0.8))


def test_other_precisions_have_no_scale() -> None:
    engine = Engine(Training(accelerator="cpu", precision="bf16-mixed"))
    assert engine.scaler(torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])) is None


def test_float16_is_refused_where_it_has_not_been_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UserError, match="16-mixed is for CUDA devices, and this one is mps"):
        Engine(Training(accelerator="mps", precision="16-mixed"))


def test_what_the_recipe_says_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    engine = Engine(Training(accelerator="cpu", precision="bf16-mixed"))
    engine.choose_precision("float32")
    assert engine.precision == "bf16-mixed"


def test_this_machine_says_what_it_can() -> None:
    """The names are torch's; were they renamed, auto would be float32 everywhere without a word."""
    if platform.machine() in ("x86_64", "AMD64"):
        assert {"avx512_bf16", "amx_bf16"} <= torch.cpu.get_capabilities().keys()


def test_fabric_says_nothing_beside_our_own_lines() -> None:
    """It is only built here: what is said before it launches counts."""
    said = logging.handlers.BufferingHandler(100)
    logger = logging.getLogger("lightning_fabric")
    logger.addHandler(said)
    try:
        fabric = _fabric(Training(accelerator="cpu", devices=2, precision="bf16-mixed"), "here")
    finally:
        logger.removeHandler(said)
    assert fabric.world_size == 2
    assert [record.getMessage() for record in said.buffer] == []


def test_one_process_computes_on_the_best_device_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, device in ((True, False, "cuda:0"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert Engine(Training()).device == torch.device(device)


@pytest.mark.gpu
def test_training_on_a_gpu_in_bf16(tmp_path: Path) -> None:
    from transfigure.training.trainer import train

    run = train(tiny_recipe(training__accelerator="cuda", training__precision="bf16-mixed"), tmp_path / "run", quiet=True)
    assert (run / "model" / "generator.safetensors").is_file()
