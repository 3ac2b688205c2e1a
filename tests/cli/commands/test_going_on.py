"""What a person is told on the way through a first run: before training, at its end, and after each command that follows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tiny import noise_image
from tests.training.runs import TINY
from transfigure import registry
from transfigure.cli import main
from transfigure.data import images, prepared
from transfigure.training import engine
from transfigure.training.trainer import Expectation

FLAGS = [word for key, value in {**TINY, "training.epochs": 1}.items() for word in (f"--{key}", str(value))]
PLUGIN = """from transfigure.registry import register

@register("loss", "nothing_at_all")
def nothing_at_all(batch):
    "It is 0."
    return batch.fake.sum() * 0
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs a command in a folder of its own; what it says on stdout and on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_plugin_files", {})

    def run(*words: str) -> tuple[str, str]:
        assert main(words) == 0, capsys.readouterr().err
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_cpu_that_could_be_faster_is_told_of(told, monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: bfloat16)
    _, said = told("train", "pix2pix_tiny", *FLAGS, "--training.schedule", "constant", "--out", "run")
    assert ("--training.precision auto" in said) == bfloat16
    for more in (["run", "--resume", "--training.epochs", "2"], ["chosen", "--training.precision", "bf16-mixed"]):
        words = [] if "--resume" in more else ["pix2pix_tiny", *FLAGS]
        _, said = told("train", *words, "--out", *more)
        assert "--training.precision auto" not in said


def test_a_first_run_says_what_comes_at_every_step(told, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: False)
    answered, said = told("train", "pix2pix_tiny", *FLAGS, "--out", "a run")
    opening = [line for line in said.splitlines() if not line.startswith("note: ")][:5]
    assert opening[0] == "data:    6 pairs to train on, 2 to validate, 1 to test; from synthetic, AtoB"
    assert opening[1] == "sizes:   32 x 32 pixels, cut from 36 x 36; 3 -> 3 channels, uint8 -> uint8"
    assert re.fullmatch(r"model:   generator [\d,]+, discriminator [\d,]+ parameters; on cpu, 1 thread", opening[2])
    assert opening[3] == "plan:    1 epoch of 6 images, 1 at a time"
    assert opening[4] == "report:  a run/report.html at the end, and at any time by  transfigure report 'a run'"
    assert answered.splitlines() == [
        "trained: a run",
        "diagnosis: too early to say: Only 6 images have been seen.",
        "report:  a run/report.html",
        "next:    transfigure translate 'a run' INPUT OUTPUT   |   transfigure evaluate 'a run'",
    ]
    page = Path("a run/report.html")
    assert "No evaluation yet" in page.read_text()

    _, said = told("translate", "a run", "a run/samples/fixed/0_source.png", "translated.png")
    assert said == "next:    transfigure evaluate 'a run'\n"

    answered, said = told("evaluate", "a run", "--metrics", "l1")
    assert answered.splitlines()[-1] == "next:    transfigure translate 'a run' INPUT OUTPUT", "nothing is stored that could be compared"
    assert (
        "note: with --metrics nothing is stored in a run/evaluation, which is kept for an evaluation by all metrics: "
        "store these with --out DIR\n" in said
    )
    assert not Path("a run/evaluation").exists()
    told("evaluate", "a run", "--metrics", "l1", "--out", "part", "--quiet")
    assert Path("part/evaluation.json").is_file()

    answered, _ = told("evaluate", "a run", "--quiet")
    assert answered.splitlines()[-2:] == [
        "report:  a run/report.html",
        "next:    transfigure translate 'a run' INPUT OUTPUT   |   transfigure compare 'a run' ANOTHER_RUN",
    ]
    assert "No evaluation yet" not in page.read_text() and "1 test pair" in page.read_text()

    page.unlink()
    answered, _ = told("evaluate", "a run", "--quiet")
    assert "report:" not in answered and not page.exists(), "a page that nobody asked for is not written"


def test_quiet_is_quiet(told) -> None:  # type: ignore[no-untyped-def]
    assert told("train", "pix2pix_tiny", *FLAGS, "--out", "run", "--quiet")[1] == ""
    assert told("translate", "run", "run/samples/fixed/0_source.png", "translated.png", "--quiet") == ("translated.png\n", "")


def test_what_is_said_next_names_the_plugins(told) -> None:  # type: ignore[no-untyped-def]
    Path("mine.py").write_text(PLUGIN)
    answered, _ = told(
        "train", "pix2pix_tiny", *FLAGS, "--objective.terms", "[l1, nothing_at_all]", "--plugins", "mine.py", "--out", "run", "--quiet"
    )
    flags = f"--plugins {Path('mine.py').resolve()}"
    assert f"next:    transfigure translate run INPUT OUTPUT {flags}   |   transfigure evaluate run {flags}" in answered
    assert f"transfigure train --out run --resume {flags}" in Path("run/report.html").read_text()
    assert "transfigure translate THIS_FOLDER INPUT OUTPUT --plugins mine.py" in Path("run/model/README.md").read_text()


def test_the_time_to_expect_is_said_once_and_without_the_first_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("transfigure.training.trainer.time.monotonic", lambda: now[0])
    expected = Expectation(quiet=False)
    for step in range(40):
        now[0] += 9.0 if step < 2 else 0.5
        expected.after(2, left=1000 - 2 * step)
    assert capsys.readouterr().err == "time:    4 images a second: about 4 min 06 s to go, and what validating takes\n"


def test_a_training_says_what_is_kept_of_its_data_and_where(told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)
    for number in range(10):
        images.write(tmp_path / "pairs" / f"{number}.png", noise_image(40, 80, seed=number))
    flags = [word for key, value in TINY.items() if not key.startswith("data.") for word in (f"--{key}", str(value))]
    words = ["train", "l1", "pairs", *flags, "--data.load_size", "36", "--data.crop_size", "32", "--data.val_fraction", "0.2"]
    cache = rf"cache:   8 prepared pairs \(0\.\d+ MiB of at most 2 GiB\) in {tmp_path}/cache/data/[0-9a-f]{{16}}"
    assert re.search(cache, told(*words, "--out", "first")[1])
    monkeypatch.setattr(prepared.PreparedStore, "put", lambda *_: pytest.fail("prepared again"))
    assert re.search(cache, told(*words, "--out", "second")[1])
    assert "cache:" not in told(*words, "--out", "third", "--data.cache_gb", "0")[1]
    first, second, third = (Path(run, "model", "generator.safetensors").read_bytes() for run in ("first", "second", "third"))
    assert first == second == third
