"""What turns out about the data while a training runs: it stops with its state saved, or goes on with the next pair in that place."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import noise_image
from tests.training.runs import assert_same_bits, log_entries, stop_after
from transfigure.data import images, prepared
from transfigure.data.check import inspection
from transfigure.data.check.inspection import BackgroundCheck
from transfigure.data.check.left_out import load_left_out
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.training import data_check
from transfigure.training.trainer import train

COUNT = 12


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every set is a large one, of which the pixels of three pairs are read before."""
    monkeypatch.setattr(inspection, "WHOLE", 1.0)
    monkeypatch.setattr(inspection, "SAMPLE", 3 * 2 * (inspection.PER_PICTURE + 400.0))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)
    monkeypatch.setattr(data_check, "_EVERY", 0.0)
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))


def make(folder: Path) -> Path:
    for split, many, start in (("train", COUNT, 0), ("val", 2, 100)):
        for number in range(many):
            for side, seed in (("A", 0), ("B", 500)):
                images.write(folder / f"{split}{side}" / f"{number:02d}.png", noise_image(20, 20, seed=start + seed + number))
    return folder


def recipe(data: Path, **keys: Any) -> Recipe:
    return Recipe.load(
        "pix2pix",
        {
            **{"data.path": str(data), "data.load_size": 18, "data.crop_size": 16},
            **{"generator.depth": 4, "generator.width": 4, "discriminator.width": 4, "discriminator.receptive_field": 16},
            **{"training.epochs": 3, "training.accelerator": "cpu", "training.preview_count": 0, "training.log_every": 4},
            **{key.replace("__", "."): value for key, value in keys.items()},
        },
    )


def unread(data: Path) -> list[int]:
    """The training pairs that are not read before the training begins."""
    rest = open_data(resolve_data(recipe(data).data), quiet=True, processes=1).background_check
    assert rest is not None
    return rest.checked["train"].open()


def spoil(file: Path) -> bytes:
    """Damage the pixels of a file, and not its header."""
    whole = file.read_bytes()
    file.write_bytes(whole[:300] + b"\0" * 300)
    return whole


def see_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question is answered when all has been looked at."""
    poll = BackgroundCheck.poll

    def patient(self: BackgroundCheck) -> Any:
        late = poll(self)
        end = time.monotonic() + 60
        while self._processes is not None and self._processes.busy:
            assert time.monotonic() < end
            late += poll(self)
        return late

    monkeypatch.setattr(BackgroundCheck, "poll", patient)


def see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks behind, so that the training meets what is broken by itself."""
    monkeypatch.setattr(BackgroundCheck, "start", lambda self, processes: None)


@pytest.mark.parametrize("who", ["the look behind", "the training"])
def test_a_broken_pair_stops_the_training_with_its_state_saved_and_a_resume_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    data = make(tmp_path / "data")
    train(recipe(data), tmp_path / "whole", quiet=True)
    number = unread(make(tmp_path / "broken"))[-1]
    file = tmp_path / "broken" / "trainB" / f"{number:02d}.png"
    good = spoil(file)
    (see_everything_at_once if who == "the look behind" else see_nothing)(monkeypatch)
    with pytest.raises(UserError) as caught:
        train(recipe(tmp_path / "broken"), tmp_path / "run", quiet=True)
    message = str(caught.value)
    assert f"{file} is a damaged" in message and "the state is saved" in message and f"--out {tmp_path / 'run'} --resume" in message
    assert (tmp_path / "run" / "checkpoints" / "last.pt").is_file()
    file.write_bytes(good)
    train(recipe(tmp_path / "broken"), tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "run")


def test_a_pair_is_replaced_by_the_next_whoever_finds_it_and_a_resume_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make(tmp_path / "data")
    number = unread(data)[0]
    spoil(data / "trainA" / f"{number:02d}.png")
    skipping = recipe(data, data__on_error="skip")
    with monkeypatch.context() as patch:
        see_everything_at_once(patch)
        train(skipping, tmp_path / "behind")
    said = capsys.readouterr().err
    assert said.count("1 pair turns out to be of no use, and its place is taken by the next ones") == 1
    with monkeypatch.context() as patch:
        see_nothing(patch)
        patch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "another cache"))
        train(skipping, tmp_path / "met", quiet=True)
    assert_same_bits(tmp_path / "behind", tmp_path / "met")
    for run in ("behind", "met"):
        left = load_left_out(tmp_path / run / "left_out.json")
        assert left is not None
        assert [(pair.split, pair.name, pair.found) for pair in left] == [("train", f"{number:02d}", "training")]
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        stop_after(2 * COUNT + 3, patch, RuntimeError)
        train(skipping, tmp_path / "cut", quiet=True)
    images.write(data / "trainA" / f"{number:02d}.png", noise_image(20, 20, seed=number))  # it stays replaced though it is repaired
    train(skipping, tmp_path / "cut", resume=True, quiet=True)
    assert_same_bits(tmp_path / "behind", tmp_path / "cut")


def test_workers_replace_it_too_and_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path / "data")
    number = unread(data)[0]
    spoil(data / "trainA" / f"{number:02d}.png")
    see_nothing(monkeypatch)
    skipping = recipe(data, data__on_error="skip")
    train(skipping, tmp_path / "alone", quiet=True)
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "another cache"))
    train(recipe(data, data__on_error="skip", data__workers=2), tmp_path / "workers", quiet=True)
    assert_same_bits(tmp_path / "alone", tmp_path / "workers")
    left = load_left_out(tmp_path / "workers" / "left_out.json")
    assert left is not None and [pair.name for pair in left] == [f"{number:02d}"]


def test_a_training_that_stopped_goes_on_with_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path / "data")
    number = unread(data)[2]
    spoil(data / "trainA" / f"{number:02d}.png")
    see_everything_at_once(monkeypatch)
    with pytest.raises(UserError, match=r"or have it replaced with --data\.on_error skip"):
        train(recipe(data), tmp_path / "run", quiet=True)
    train(recipe(data, data__on_error="skip"), tmp_path / "run", resume=True, quiet=True)
    train(recipe(data, data__on_error="skip"), tmp_path / "never stopped", quiet=True)
    left = json.loads((tmp_path / "run" / "left_out.json").read_text("utf-8"))
    assert [(pair["name"], pair["found"]) for pair in left["pairs"]] == [(f"{number:02d}", "training")]
    assert log_entries(tmp_path / "run")[-1]["images"] == 3 * COUNT


def test_notes_on_all_pairs_are_said_once_at_the_end_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make(tmp_path / "data")
    one, other = unread(data)[:2]
    for side in "AB":
        (data / f"train{side}" / f"{one:02d}.png").write_bytes((data / f"train{side}" / f"{other:02d}.png").read_bytes())
    see_everything_at_once(monkeypatch)
    train(recipe(data), tmp_path / "run")
    note = "1 training pair has the same pixels as another"
    assert capsys.readouterr().err.count(note) == 1
    (entry,) = [entry for entry in log_entries(tmp_path / "run", "health") if entry["code"] == "data"]
    assert note in entry["message"] and entry["level"] == "info"
    train(recipe(data), tmp_path / "second")
    assert capsys.readouterr().err.count(note) == 1  # it is remembered, and said at the start
    assert not [entry for entry in log_entries(tmp_path / "second", "health") if entry["code"] == "data"]


def test_a_pair_of_another_depth_among_drawn_headers_is_refused_while_training_too(tmp_path: Path) -> None:
    """What the look and the training refuse is one rule: a pair that a cache still holds as it was is none of them."""
    data = make(tmp_path / "data")
    opened = open_data(resolve_data(recipe(data, data__on_error="skip").data), quiet=True, processes=1)
    number = unread(data)[0]
    images.write(data / "trainA" / f"{number:02d}.png", noise_image(20, 20, 1, seed=1).astype("uint16") * 200)
    pair = opened.train[0, number]
    assert pair.name == f"{number + 1:02d}"
    assert "is 16-bit but most source pictures are 8-bit" in opened.train.unusable[number]
