"""Several processes are one training: what ends one ends all, one of them says it, and the state goes on to the bit."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.ranks import Ranks, free_port
from tests.training.runs import TINY, assert_same_bits, checkpoint_tensors, log_entries, numbers, tiny_recipe
from transfigure.cli import main
from transfigure.errors import UserError
from transfigure.recipe import Training
from transfigure.training import launch, peers
from transfigure.training.checkpoint import load_checkpoint, save_checkpoint
from transfigure.training.engine import Engine
from transfigure.training.launch import launcher_of
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


def words(out: Path, count: int, **more: object) -> list[str]:
    """A training of 18 images by so many processes."""
    keys = {**TINY, "training.epochs": 3, "training.checkpoint_every": 4, "training.devices": count}
    keys |= {key.replace("__", "."): value for key, value in more.items()}
    return ["train", "pix2pix_tiny", *(f"--{key}={value}" for key, value in keys.items()), "--out", str(out)]


def resumed(out: Path, *more: str) -> list[str]:
    return ["train", "--out", str(out), "--resume", *more]


def own_rank() -> int:
    return int(os.environ["RANK"])


@dataclass(frozen=True)
class After:
    """Something happens in one process before its update of this number."""

    updates: int
    rank: int
    what: Callable[[], None]

    def __call__(self) -> None:
        update, seen = Pix2PixStep.training_step, [0]

        def counted(step: Pix2PixStep, *given: Any, **named: Any) -> Any:
            if seen[0] == self.updates and own_rank() == self.rank:
                self.what()
            seen[0] += 1
            return update(step, *given, **named)

        Pix2PixStep.training_step = counted  # type: ignore[method-assign]


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def preempted() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def frozen() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def cannot_read() -> None:
    raise UserError("photos/7.png cannot be read: the disk of this machine has gone")


def full() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory")


def at_fault() -> None:
    raise KeyError("a plugin's own")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes, not disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ranks = Ranks(words(folder / "run", 2), folder)
    assert ranks.wait() == [0, 0], ranks.printed()
    return folder / "run"


@pytest.mark.slow
def test_what_was_trained_together_is_written_and_said_once(whole: Path) -> None:
    said = "".join(file.read_text() for file in sorted(whole.parent.glob("*.txt")))
    assert said.count("trained:") == said.count("plan:") == 1 and "2 processes" in said
    assert [entry["images"] for entry in log_entries(whole, "end")] == [18]
    assert len(load_checkpoint(whole / "checkpoints" / "last.pt")["random"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_is_killed_all_end_and_resuming_is_exact(whole: Path, tmp_path: Path, rank: int) -> None:
    """In the middle of the second epoch, two updates after the last checkpoint."""
    out = tmp_path / "run"
    ranks = Ranks(words(out, 2), tmp_path / "printed", prepare=After(5, rank, killed))
    codes = ranks.wait(30)
    assert codes[rank] == -signal.SIGKILL and codes[1 - rank] == 1, ranks.printed()
    (sentence,) = ranks.sentences()
    assert f"process {rank} of 2" in sentence and "is gone" in sentence and f"--out {out} --resume" in sentence
    assert "Traceback" not in ranks.printed() and "frame #" not in ranks.printed()
    assert load_checkpoint(out / "checkpoints" / "last.pt")["position"]["images"] == 8
    again = Ranks(resumed(out), tmp_path / "again")
    assert again.wait() == [0, 0], again.printed()
    assert_same_bits(out, whole)
    if rank == 1:
        assert numbers(out)[-1] == numbers(whole)[-1]


@pytest.mark.slow
def test_one_is_told_to_stop_all_save_and_other_machines_go_on_exactly(whole: Path, tmp_path: Path) -> None:
    """SLURM's SIGUSR1 before the time is over; the numbers of devices and machines are others then, and as many processes."""
    out = tmp_path / "run"
    ranks = Ranks(words(out, 2), tmp_path / "printed", prepare=After(5, 1, preempted))
    assert ranks.wait() == [128 + signal.SIGUSR1] * 2, ranks.printed()
    assert len(ranks.sentences()) == 1 and "stopped at 12 images; the state is saved" in ranks.sentences()[0]

    def on_two_machines(rank: int) -> dict[str, str]:
        return {**together, "RANK": str(rank), "GROUP_RANK": str(rank), "LOCAL_RANK": "0"}

    together = {"TORCHELASTIC_RUN_ID": "tests", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}
    together |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    again = Ranks(resumed(out, "--training.devices", "1", "--training.nodes", "2"), tmp_path / "again", on_two_machines)
    assert again.wait() == [0, 0], again.printed()
    assert_same_bits(out, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        (cannot_read, 2, "photos/7.png cannot be read"),
        (full, 1, "not enough memory for this"),
        (at_fault, 1, 'KeyError: "a plugin\'s own"'),
    ],
)
def test_what_one_cannot_do_is_said_once_and_ends_all(tmp_path: Path, what: Callable[[], None], code: int, said: str) -> None:
    ranks = Ranks(words(tmp_path / "run", 2), tmp_path / "printed", prepare=After(3, 1, what))
    assert ranks.wait(30) in ([code, code], [code, 1])
    (sentence,) = ranks.sentences()
    assert said in sentence
    assert ("Traceback" in ranks.printed()) == (what is at_fault), "a fault of the program says where it is"


def impatient() -> None:
    peers.LOST_SECONDS, peers.GRACE_SECONDS = 3.0, 0.5


def stands_still() -> None:
    impatient()
    After(3, 1, frozen)()


@pytest.mark.slow
def test_who_waits_for_one_that_gives_no_sign_is_ended(tmp_path: Path) -> None:
    """As where a machine has gone, or a GPU hangs: nothing wakes an operation of all."""
    ranks = Ranks(words(tmp_path / "run", 2), tmp_path / "printed", prepare=stands_still)
    ranks.until(lambda: bool(ranks.sentences()), 30)
    ranks.processes[0].join(5)
    assert ranks.processes[0].exitcode == 1
    assert "process 1 of 2" in ranks.sentences()[0] and "is gone" in ranks.sentences()[0]
    ranks.wait(0)


@pytest.mark.slow
def test_four_see_what_one_with_their_batch_sees(tmp_path: Path) -> None:
    """Nine pairs: two updates of four in an epoch, and one pair is left out of each. Validation counts three pairs once each."""
    alike = {"data__train": 9, "data__val": 3, "generator__norm": "none", "generator__dropout": 0.0, "discriminator__norm": "none"}
    alike |= {"training__fused": "false", "data__flip": "true", "training__epochs": 2}
    ranks = Ranks(words(tmp_path / "four", 4, **alike), tmp_path / "printed", count=4)
    assert main(words(tmp_path / "one", 1, **{**alike, "training__batch_size": 4})) == 0
    assert ranks.wait() == [0] * 4, ranks.printed()
    one, four = (checkpoint_tensors(tmp_path / name, "step", "ema") for name in ("one", "four"))
    compared = [name for name in one if name.startswith((".step.generator", ".step.discriminator", ".ema"))]
    assert len(compared) > 20
    for name in compared:
        torch.testing.assert_close(one[name], four[name], atol=2e-5, rtol=1e-3, msg=name)
    assert [entry["images"] for entry in log_entries(tmp_path / "four", "end")] == [16]
    for entry, other in zip(log_entries(tmp_path / "one", "validation"), log_entries(tmp_path / "four", "validation"), strict=True):
        assert entry["metrics"] == pytest.approx(other["metrics"], rel=1e-3)


@pytest.mark.slow
def test_each_keeps_its_own_pool(tmp_path: Path) -> None:
    """Of earlier images, half of which each discriminator update is shown."""
    kind = {"objective.adversarial.pool": 3, "training.epochs": 4}
    given = [f"--{key}={value}" for key, value in kind.items()]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out, prepare in ((whole, None), (cut, After(6, 0, preempted))):
        ranks = Ranks([*words(out, 2), *given], tmp_path / f"{out.name}.printed", prepare=prepare)
        assert ranks.wait() == ([0, 0] if prepare is None else [138, 138]), ranks.printed()
    ranks = Ranks(resumed(cut), tmp_path / "again")
    assert ranks.wait() == [0, 0], ranks.printed()
    assert_same_bits(cut, whole)
    first, second = (checkpoint_tensors(cut, "step"), checkpoint_tensors(cut, "pools"))
    images = [tensor for name, tensor in second.items() if ".pool." in name]
    assert len(images) == 3
    assert not any(torch.equal(image, own) for image in images for name, own in first.items() if ".pool." in name)


# ---- coming together ----------------------------------------------------------------------------------------------------


def in_a_hurry() -> None:
    peers.JOIN_SECONDS = 1.0


def second_only(rank: int) -> dict[str, str]:
    return {"WORLD_SIZE": "2", "NODE_RANK": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}


def first_only(rank: int) -> dict[str, str]:
    return {**second_only(rank), "NODE_RANK": "0", "MASTER_PORT": str(free_port())}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "said"),
    [
        (first_only, r"1 of 2 processes came to 127\.0\.0\.1:\d+ \(MASTER_ADDR and MASTER_PORT\) in 1 seconds"),
        (second_only, r"process 1 of 2 did not reach 127\.0\.0\.1:9 \(MASTER_ADDR and MASTER_PORT\) in 1 seconds"),
    ],
)
def test_who_waits_in_vain_says_where(tmp_path: Path, which: Callable[[int], dict[str, str]], said: str) -> None:
    more = {"training__devices": 1, "training__nodes": 2}
    ranks = Ranks(words(tmp_path / "run", 2, **more), tmp_path / "printed", which, started=1, prepare=in_a_hurry)
    assert ranks.wait(30) == [1]
    (sentence,) = ranks.sentences()
    assert re.search(said, sentence) and "frame #" not in ranks.printed()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_wrong_word_is_said_by_the_first_of_a_machine(tmp_path: Path) -> None:
    ranks = Ranks(["train", "pix2pux", "--out", str(tmp_path / "run")], tmp_path / "printed")
    assert ranks.wait() == [2, 2]
    assert len(ranks.sentences()) == 1 and "pix2pux" in ranks.sentences()[0]


@pytest.mark.parametrize(("then", "now"), [(1, 2), (2, 1), (4, 2)])
def test_another_number_of_processes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, then: int, now: int
) -> None:
    out = train(tiny_recipe(training__epochs=1), tmp_path / "run", quiet=True)
    file = out / "checkpoints" / "last.pt"
    state = load_checkpoint(file)
    state["recipe"]["training"]["devices"], state["random"] = then, state["random"] * then
    save_checkpoint(file, {key: value for key, value in state.items() if key != "format"})
    before = file.read_bytes()
    monkeypatch.setattr(launch, "start_others", lambda devices: pytest.fail("nothing is started"))
    assert main(resumed(out, "--devices", str(now))) == 2
    said = capsys.readouterr().err
    assert f"training.devices is {now} but was {then}" in said and len(said.splitlines()) == 1
    assert file.read_bytes() == before


TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "0"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "facades"}
BY_HAND = {"NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "launcher"),
    [
        ({}, 1, 1, None),
        ({}, 2, 1, "here"),
        (TORCHRUN, 2, 2, "torchrun"),
        ({**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}, 1, 1, None),
        (SLURM, 2, 2, "slurm"),
        ({**SLURM, **TORCHRUN}, 2, 2, "torchrun"),
        ({**SLURM, "SLURM_JOB_NAME": "bash"}, 2, 1, "here"),
        ({"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}, 4, 1, "here"),
        ({"SLURM_NTASKS": "4", "SLURM_NNODES": "2"}, 1, 1, None),
        (BY_HAND, 2, 2, "here"),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, 2, 1, "others"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, 2, 1, "others"),
    ],
)
def test_who_starts_the_processes(environment: dict[str, str], devices: int, nodes: int, launcher: str | None) -> None:
    assert launcher_of(Training(devices=devices, nodes=nodes), environment) == launcher


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "said"),
    [
        (TORCHRUN, 4, 1, "torchrun started 4 processes (2 on this machine), and the recipe trains with 4 (training.devices 4 x"),
        (TORCHRUN, 1, 1, "give --training.devices 2 --training.nodes 2, or start 1"),
        ({**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}, 2, 1, "torchrun started 1 process (1 on this machine), and the recipe"),
        (SLURM, 4, 1, "SLURM started 4 processes (2 on this machine), and the recipe trains with 4"),
        (SLURM, 1, 1, "SLURM started 4 processes"),
        ({"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}, 2, 2, "SLURM started 1 process"),
        ({"WORLD_SIZE": "3"}, 2, 1, "WORLD_SIZE says that somebody started 3 processes"),
        ({"NODE_RANK": "0"}, 2, 2, "training.nodes is 2, and nothing says which of them this is (MASTER_ADDR, MASTER_PORT not set)"),
    ],
)
def test_other_numbers_than_were_started_are_refused(environment: dict[str, str], devices: int, nodes: int, said: str) -> None:
    with pytest.raises(UserError) as error:
        launcher_of(Training(devices=devices, nodes=nodes), environment)
    assert said in str(error.value)


def test_fewer_pairs_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Engine, "leads", property(lambda engine: True))
    begin = Engine.__init__

    def of_many(engine: Engine, training: Training) -> None:
        begin(engine, training)
        engine.world_size = 7

    monkeypatch.setattr(Engine, "__init__", of_many)
    monkeypatch.setattr(Engine, "any", lambda engine, *flags: flags)
    with pytest.raises(UserError, match="there are 6 training pairs for 7 processes"):
        train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
