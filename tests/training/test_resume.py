"""Nothing is lost: N steps, killed, resumed, are the same bits as 2N steps."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.damage import Trap
from tests.training.runs import TINY, assert_same_bits, checkpoint_tensors, log_entries, numbers, stop_after, tiny_recipe
from transfigure.cli import main
from transfigure.errors import Interrupted, RunFailure, UserError
from transfigure.recipe import Recipe
from transfigure.training import trainer
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.run_directory import RunDirectory
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train

pytestmark = pytest.mark.usefixtures("drawn_once")


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The tiny run with batches of so many pairs, trained without a break: what every broken one is compared with."""
    folder = tmp_path_factory.mktemp("whole")
    return cache(lambda batch_size: train(tiny_recipe(training__batch_size=batch_size), folder / str(batch_size), quiet=True))


@pytest.fixture
def whole(whole_runs: Callable[[int], Path]) -> Path:
    return whole_runs(1)


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_recipe(training__epochs=1), tmp_path_factory.mktemp("one_epoch") / "run", quiet=True)


@pytest.fixture
def run(one_epoch: Path, tmp_path: Path) -> Path:
    """A copy of a run of one epoch, to go on with or to damage."""
    return shutil.copytree(one_epoch, tmp_path / "run")


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(("killed_at", "checkpoint_every"), [(8, None), (10, 4), (22, 2)])
def test_killed_and_resumed_is_the_same_bits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_runs: Callable[[int], Path],
    batch_size: int,
    killed_at: int,
    checkpoint_every: int | None,
) -> None:
    whole = whole_runs(batch_size)
    chosen = tiny_recipe(training__batch_size=batch_size, training__checkpoint_every=checkpoint_every)
    with monkeypatch.context() as patch:
        stop_after(killed_at, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(chosen, tmp_path / "killed", quiet=True)
    torch.rand(7)  # other random numbers are drawn before it goes on
    resumed = train(chosen, tmp_path / "killed", resume=True, quiet=True)
    assert_same_bits(whole, resumed)
    assert numbers(whole) == numbers(resumed)


@pytest.mark.parametrize(
    "mode", [{"update": "simultaneous"}, {"precision": "bf16-mixed"}, {"precision": "16-mixed"}, {"precision": "auto"}], ids="".join
)
def test_every_way_to_compute_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: dict[str, str]) -> None:
    chosen = tiny_recipe(training__epochs=2, **{f"training__{key}": value for key, value in mode.items()})
    if "auto" in mode.values():
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    whole = train(chosen, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(5, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(chosen.replaced(training=chosen.training.replaced(checkpoint_every=2)), tmp_path / "killed", quiet=True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})  # gone on with on another machine
    assert_same_bits(whole, train(chosen, tmp_path / "killed", resume=True, quiet=True))
    kept = Recipe.load(tmp_path / "killed" / "recipe.yaml").training.precision
    assert kept == {"bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed", "auto": "bf16-mixed"}.get(mode.get("precision", ""), "32-true")


def test_augmented_pairs_are_resumed_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"rotation": 10.0, "scaling": 0.2, "elastic": 1.0, "vertical_flip": True, "colour_jitter": 0.2, "colour_jitter_on": "both"}
    chosen = tiny_recipe(training__epochs=2, **{f"data__{key}": value for key, value in keys.items()})
    augmented = train(chosen, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(5, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(chosen.replaced(training=chosen.training.replaced(checkpoint_every=2)), tmp_path / "killed", quiet=True)
    assert_same_bits(augmented, train(chosen, tmp_path / "killed", resume=True, quiet=True))


def test_loader_workers_change_nothing(tmp_path: Path, whole: Path) -> None:
    assert_same_bits(whole, train(tiny_recipe(data__workers=2), tmp_path / "two", quiet=True))


def test_same_seed_same_bits_other_seed_other_bits(tmp_path: Path, one_epoch: Path) -> None:
    again, other = (train(tiny_recipe(training__seed=seed, training__epochs=1), tmp_path / str(seed), quiet=True) for seed in (0, 1))
    assert_same_bits(one_epoch, again)
    first, third = checkpoint_tensors(one_epoch), checkpoint_tensors(other)
    assert any(not torch.equal(first[name], third[name]) for name in first if name.startswith(".step.generator"))


def test_validation_and_previews_leave_the_training_as_it_is(tmp_path: Path, whole: Path) -> None:
    little = tiny_recipe(training__validate_every=0, training__preview_count=1, training__preview_every=1000)
    assert_same_bits(whole, train(little, tmp_path / "little", quiet=True))


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    update = Pix2PixStep.training_step
    calls = [0]
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background of a shell

    def interrupted(self, pair, measure=False):  # type: ignore[no-untyped-def]
        calls[0] += 1
        if calls[0] == 9:
            signal.raise_signal(signal.SIGINT)
        return update(self, pair, measure)

    with monkeypatch.context() as patch:
        patch.setattr(Pix2PixStep, "training_step", interrupted)
        with pytest.raises(Interrupted, match="--resume") as caught:
            train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 130
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["position"]["images"] == 9
    assert signal.getsignal(signal.SIGINT) is before
    assert_same_bits(whole, train(tiny_recipe(), tmp_path / "run", resume=True, quiet=True))


def test_another_recipe_is_refused_with_the_keys_that_differ(run: Path) -> None:
    with pytest.raises(UserError, match=r"training\.learning_rate is 0\.001 but was 0\.0004"):
        train(tiny_recipe(training__epochs=1, training__learning_rate=1e-3), run, resume=True, quiet=True)
    with pytest.raises(UserError, match=r"generator\.width"):
        train(tiny_recipe(training__epochs=1, generator__width=8), run, resume=True, quiet=True)
    # what only says where from and what is kept may change
    train(tiny_recipe(training__epochs=1, training__log_every=7), run, resume=True, quiet=True)


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        ({}, "to train on, give more than 1 as --training.epochs, over which linear_decay is then spread"),
        ({"training__schedule": "constant"}, "to train on, give more than 1 as --training.epochs"),
    ],
)
def test_a_finished_run_says_so(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], way_out: str
) -> None:
    recipe = tiny_recipe(training__epochs=1, **changes)
    made = train(recipe, tmp_path / "other", quiet=True) if changes else run
    train(recipe, made, resume=True)
    said = capsys.readouterr().err
    assert "this training is finished: 6 images, 1 of 1 epoch, after" in said and way_out in said
    assert "resumed at" not in said


def test_a_resume_that_has_nothing_left_to_do_saves_the_rates_that_it_found(tmp_path: Path, whole: Path) -> None:
    """As after a kill between the last update and the end."""
    run = shutil.copytree(whole, tmp_path / "run")
    states = [load_checkpoint(whole / "checkpoints" / "last.pt")["step"]]
    train(Recipe.load(run / "recipe.yaml"), run, resume=True, quiet=True)
    states.append(load_checkpoint(run / "checkpoints" / "last.pt")["step"])
    rates = [[state[name]["param_groups"][0]["lr"] for name in ("g_optimizer", "d_optimizer")] for state in states]
    assert rates[0] == rates[1] and 0 < rates[0][0] < Recipe.load(run / "recipe.yaml").training.learning_rate


def test_another_machine_is_said_on_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One and two threads give other bits (a crop of 64 pixels is enough): the promise is for the same number."""
    run = train(tiny_recipe(training__epochs=1, training__schedule="constant"), tmp_path / "run", quiet=True)
    longer = tiny_recipe(training__epochs=2, training__schedule="constant")
    train(longer, run, resume=True)
    said = capsys.readouterr().err
    assert "resumed at 6 images (epoch 2" in said and "note: this run was made" not in said
    stored = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**stored, "threads": 2, "torch": "2.6.0"}))
    train(longer, run, resume=True)
    note = f"note: this run was made with 2 threads, torch 2.6.0, now 1 thread, torch {torch.__version__}: the numbers go on"
    assert f"{note}, other bits are possible\n" in capsys.readouterr().err
    train(longer, run, resume=True)  # from here on it is made with what is there now
    assert "note: this run was made" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["", "[]", '{"threads": {}}', "no JSON"])
def test_an_environment_that_says_nothing_is_no_hindrance(run: Path, damage: str) -> None:
    (run / "environment.json").write_text(damage)
    train(tiny_recipe(training__epochs=1), run, resume=True)


def test_a_run_is_not_overwritten(tmp_path: Path, run: Path) -> None:
    before = (run / "checkpoints" / "last.pt").read_bytes()
    with pytest.raises(UserError, match="--resume"):
        train(tiny_recipe(training__epochs=1), run, quiet=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        train(tiny_recipe(training__epochs=1), tmp_path / "mine", quiet=True)
    assert (run / "checkpoints" / "last.pt").read_bytes() == before


def test_a_model_without_its_checkpoint_is_not_overwritten(run: Path) -> None:
    (run / "checkpoints" / "last.pt").unlink()  # they are large, and the model translates without them
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="holds the model"):
        train(tiny_recipe(training__epochs=1), run, quiet=True)
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ["samples/mine.png", "recipe.yaml"])
def test_a_person_s_own_files_are_left_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        train(tiny_recipe(training__epochs=1), tmp_path / "run", quiet=True)
    assert file.read_text() == "mine"


def test_a_run_that_died_before_its_first_checkpoint_can_begin_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(4, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(tiny_recipe(training__preview_every=2), tmp_path / "run", quiet=True)
    for name in (".0123456789abcdef.part", "tensorboard/events", "model_best/config.json"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("of the dead")
    source = tmp_path / "run" / "samples" / "fixed" / "0_source.png"
    (other,) = {source.read_bytes()}
    run = train(tiny_recipe(training__epochs=1, training__validate_every=0, data__world_seed=5), tmp_path / "run", quiet=True)
    assert not (run / ".0123456789abcdef.part").exists() and not (run / "model_best").exists()
    assert source.read_bytes() != other, "the fixed examples are those of the new data"


def test_what_a_training_left_that_was_killed_at_once_is_its_own(tmp_path: Path) -> None:
    """It looks empty, for what is in it is hidden; or only its log is there, which is empty."""
    for number, names in enumerate([[".lock", ".write-0123456789abcdef.part"], [".lock", "log.jsonl"], ["log.jsonl", "splits.json"]]):
        run = RunDirectory(tmp_path / f"run{number}")
        run.path.mkdir()
        for name in names:
            (run.path / name).write_bytes(b"")
        run.reserve()


def test_whatever_else_is_there_is_named_and_kept(tmp_path: Path) -> None:
    for number, (names, said) in enumerate(
        [
            ([".notes"], ".notes is in it"),
            (["recipe.yaml"], "recipe.yaml is in it"),
            (["a", ".b", "c", "d", "e"], ".b, a, c and 2 more are in it"),
            (["log.jsonl", "recipe.yaml", "samples/fixed/mine.psd"], "samples/fixed/mine.psd is in it"),
            (["log.jsonl", "recipe.yaml", "kept/thesis.tex"], "kept/thesis.tex is in it"),
            (["log.jsonl", "thesis.tex"], "thesis.tex is in it"),
        ]
    ):
        run = RunDirectory(tmp_path / f"run{number}")
        for name in names:
            (run.path / name).parent.mkdir(parents=True, exist_ok=True)
            (run.path / name).write_bytes(b"")
        with pytest.raises(UserError, match=rf"run{number} is not empty \({re.escape(said)}\): choose a new folder for --out"):
            run.reserve()
        assert all((run.path / name).exists() for name in names)


@pytest.mark.parametrize(
    "name",
    [
        "log.jsonl",
        ".lock",
        "environment.json",
        "checkpoints",
        "samples",
        "model",
        "checkpoints/last.pt",
        "model/config.json",
        "report.html",
    ],
)
def test_a_link_in_a_run_is_not_followed_on_resume(run: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    if (run / name).exists():
        (run / name).rename(elsewhere)
    else:
        elsewhere.write_bytes(b"precious")
    (run / name).symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="is a link, and nothing is written through a link"):
        train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_that_is_itself_a_link_lies_on_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk", target_is_directory=True)
    train(tiny_recipe(training__epochs=1), tmp_path / "run", quiet=True)
    assert (tmp_path / "disk" / "checkpoints" / "last.pt").is_file() and (tmp_path / "run").is_symlink()


def test_what_was_half_written_is_swept_away_on_resume(run: Path) -> None:
    (run / "checkpoints" / ".0123456789abcdef.part").write_bytes(b"half of a checkpoint")
    train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["last.pt"]


def test_the_rate_after_a_resume_counts_only_what_was_done_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tiny_recipe(training__log_every=6, training__checkpoint_every=5, training__epochs=1)
    with monkeypatch.context() as patch:
        stop_after(5, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(chosen, tmp_path / "run", quiet=True)
    update = Pix2PixStep.training_step

    def slow(self, pair, measure=False):  # type: ignore[no-untyped-def]
        time.sleep(0.2)
        return update(self, pair, measure)

    monkeypatch.setattr(Pix2PixStep, "training_step", slow)
    run = train(chosen, tmp_path / "run", resume=True, quiet=True)
    (step,) = log_entries(run, "step")
    assert step["images_per_second"] <= 5


def test_two_processes_do_not_train_into_one_directory(run: Path) -> None:
    before = (run / "log.jsonl").read_bytes()
    with RunDirectory(run).held(), pytest.raises(UserError, match="another process"):
        train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)
    assert (run / "log.jsonl").read_bytes() == before
    with pytest.raises(UserError, match="width"):
        train(tiny_recipe(training__epochs=1, generator__width=8), run, resume=True, quiet=True)
    train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)  # let go: it goes on
    assert not (run / ".lock").exists()


def test_resume_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        train(tiny_recipe(), tmp_path / "nothing", resume=True, quiet=True)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_checkpoint_cut_in_half(run: Path, kept: int) -> None:
    file = run / "checkpoints" / "last.pt"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"last\.pt"):
        train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)


def test_a_checkpoint_that_holds_code_is_never_run(tmp_path: Path, run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    torch.save({"format": 1, "position": Trap(tmp_path / "exploded")}, file)
    with pytest.raises(UserError, match="never run"):
        train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)
    assert not (tmp_path / "exploded").exists()


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    real = trainer.save_checkpoint
    saves = [0]

    def full(file, state):  # type: ignore[no-untyped-def]
        saves[0] += 1
        if saves[0] == 2:
            from transfigure.data.files import write_atomically

            def half(stream):  # type: ignore[no-untyped-def]
                stream.write(b"half of it")
                raise OSError(28, "No space left on device")

            write_atomically(file, half)
        real(file, state)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", full)
        with pytest.raises(RunFailure, match="disk is full"):
            train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.pt"]
    assert_same_bits(whole, train(tiny_recipe(), tmp_path / "run", resume=True, quiet=True))


def test_nan_stops_and_keeps_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Pix2PixStep.training_step
    calls = [0]

    def poisoned(self, pair, measure=False):  # type: ignore[no-untyped-def]
        calls[0] += 1
        if calls[0] == 9:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))
        return update(self, pair, measure)

    monkeypatch.setattr(Pix2PixStep, "training_step", poisoned)
    with pytest.raises(RunFailure, match="NaN") as caught:
        train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert "last.pt" in str(caught.value)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state["position"]["images"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in state["step"]["generator"].values())
    assert '"code":"nan"' in (tmp_path / "run" / "log.jsonl").read_text()


LONG = {**TINY, "training.epochs": 30, "training.checkpoint_every": 4, "training.validate_every": 0}
LONG_RUN = ["train", "pix2pix_tiny", *(word for key, value in LONG.items() for word in (f"--{key}", str(value)))]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that takes long enough to be killed, without a break."""
    run = tmp_path_factory.mktemp("long") / "run"
    assert main([*LONG_RUN, "--out", str(run), "--quiet"]) == 0
    return run


@pytest.mark.slow
@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_real_process_killed_and_resumed(tmp_path: Path, long: Path, forking_python: str, signal_sent: signal.Signals) -> None:
    process = subprocess.Popen([forking_python, "-m", "transfigure", *LONG_RUN, "--out", str(tmp_path / "killed")], stderr=subprocess.PIPE)
    checkpoint = tmp_path / "killed" / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal_sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[signal_sent], said
    assert b"Traceback" not in said
    assert load_checkpoint(checkpoint)["position"]["images"] < 180
    assert main(["train", "--out", str(tmp_path / "killed"), "--resume", "--quiet"]) == 0
    assert_same_bits(long, tmp_path / "killed")
