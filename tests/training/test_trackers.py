"""Trackers, as their own libraries read what was sent to them, and what happens when they fail."""

from __future__ import annotations

import itertools
import json
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.runs import TINY, log_entries, tiny_recipe
from transfigure.data import images
from transfigure.errors import Missing, UserError
from transfigure.recipe import Recipe
from transfigure.training import trackers
from transfigure.training.log import RunLog
from transfigure.training.trackers import TRACKERS, check_trackers
from transfigure.training.trainer import train

Points = list[tuple[int, float]]
ROOT = Path(__file__).resolve().parents[2]
NEEDS = {"tensorboard": {"tensorboard"}, "mlflow": {"mlflow-skinny", "sqlalchemy", "alembic"}, "wandb": {"wandb"}}
"""What must be installed for a tracker to log on a machine without a server or an account; seen by running each against just that."""


def from_tensorboard(run: Path, name: str) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert "recipe/text_summary" in events.Tags()["tensors"]
    return [(event.step, event.value) for event in events.Scalars(name)]


def from_mlflow(run: Path, name: str) -> Points:
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = [found for experiment in client.search_experiments() for found in client.search_runs([experiment.experiment_id])]
    assert len(runs) == 1 and runs[0].info.status == "FINISHED" and runs[0].info.run_name == run.name, "a resumed run is the same run"
    assert runs[0].data.params["generator.width"] == "4"
    return [(metric.step, metric.value) for metric in client.get_metric_history(runs[0].info.run_id, name)]


def from_wandb(run: Path, name: str) -> Points:
    """W&B's offline file is a log of records in blocks of 32 KiB, each piece behind a checksum, its length and a kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    points, ids = [], set()
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.parent.name):
        raw, at, whole = file.read_bytes(), 7, b""
        while at < len(raw):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
            length, kind = int.from_bytes(raw[at + 4 : at + 6], "little"), raw[at + 6]
            whole += raw[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # a whole record, or the last piece of one
                record = Record()
                record.ParseFromString(whole)
                whole = b""
                ids |= {record.run.run_id} - {""}
                items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                points += [(items["images"], items[name])] if name in items else []
    assert len(ids) == 1, "a resumed run is the same run"
    return points


READERS: dict[str, Callable[[Path, str], Points]] = {"tensorboard": from_tensorboard, "mlflow": from_mlflow, "wandb": from_wandb}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_real_tracker_gets_every_number_of_a_run_and_of_its_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package.removesuffix("-skinny"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    keys = {"training__trackers": [name], "training__schedule": "constant", "training__validate_every": 0}
    train(tiny_recipe(**keys, training__epochs=2), tmp_path / "run", quiet=True)
    run = train(tiny_recipe(**keys, training__epochs=4), tmp_path / "run", resume=True, quiet=True)
    steps = log_entries(run, "step")
    assert [step["images"] for step in steps] == [4, 8, 12, 16, 20, 24]
    found = READERS[name](run, "step/terms.l1")
    assert [images for images, _ in found] == [step["images"] for step in steps]
    assert [value for _, value in found] == pytest.approx([step["terms"]["l1"] for step in steps], rel=1e-6)


def test_tensorboard_shows_source_generated_and_target_as_bytes(tmp_path: Path) -> None:
    import io

    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(tiny_recipe(training__trackers=["tensorboard"], training__epochs=2), tmp_path / "run", quiet=True)
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()["images"]
    assert len(tags) == 2 and all("source | generated | target (" in tag for tag in tags)
    previews = [entry["images"] for entry in log_entries(run, "preview")]
    for at, tag in enumerate(sorted(tags)):
        assert tag.startswith(f"preview/{at}: ")
        found = events.Images(tag)
        assert [event.step for event in found] == previews
        strip = np.asarray(Image.open(io.BytesIO(found[-1].encoded_image_string)))
        files = [f"fixed/{at}_source.png", f"{previews[-1]:08d}/{at}.png", f"fixed/{at}_target.png"]
        for place, file in enumerate(files):
            np.testing.assert_array_equal(strip[:, 34 * place : 34 * place + 32], images.read(run / "samples" / file))


def test_pictures_of_16_bits_and_many_channels_are_sent_as_they_are_seen(tmp_path: Path) -> None:
    """And never as numbers with a point, which a library may take for another range."""
    drawn = np.random.default_rng(0)
    data = tmp_path / "data"
    for at in range(4):
        images.write(data / "A" / f"{at}.tif", drawn.integers(0, 60000, (32, 32, 5), np.uint16))
        images.write(data / "B" / f"{at}.png", drawn.integers(900, 1100, (32, 32, 1), np.uint16))
    over = {"data.kind": "two_folders", "data.path": str(data), "data.val_fraction": 0.5, "data.test_fraction": 0, "data.load_size": 32}
    over |= {"data.target_range": [0, 65535], "data.source_range": [0, 65535]}
    sent: list[tuple[str, np.ndarray]] = []

    class Seen(trackers.TensorBoard):
        def pictures(self, strips: trackers.Strips, images: int) -> None:
            sent.extend(strips)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRACKERS, "tensorboard", Seen)
        base = {**{key: value for key, value in TINY.items() if key not in ("data.train", "data.val", "data.test")}, **over}
        train(Recipe.load("pix2pix", {**base, "training.trackers": ["tensorboard"], "training.epochs": 1}), tmp_path / "run", quiet=True)
    assert len(sent) == 2
    for _, strip in sent:
        assert strip.dtype == np.uint8 and strip.shape == (32, 3 * 32 + 2 * 2, 3)
        target = strip[:, 68:]
        assert target.min() == 0 and target.max() == 255, "between the percentiles of a narrow range"


@pytest.mark.parametrize(("name", "call"), [("wandb", "Image"), ("mlflow", "log_image")])
def test_other_trackers_get_bytes_with_a_caption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: str) -> None:
    library = Library(name)
    monkeypatch.setitem(sys.modules, name, library)
    run = train(tiny_recipe(training__trackers=[name], training__epochs=1), tmp_path / "run", quiet=True)
    sent = [(given, named) for called, given, named in library.given if called == call]
    assert len(sent) == 2 * len(log_entries(run, "preview"))
    for (picture,), named in sent:
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape == (32, 100, 3)
        words = str(next(iter(named.values())))
        assert words.endswith("source | generated | target") or words.endswith("_source_generated_target.png")


def test_the_extra_brings_what_the_trackers_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert NEEDS.keys() == TRACKERS.keys()
    assert {package.partition(">=")[0] for package in extras["tracking"]} == set().union(*NEEDS.values())


# ---- failures --------------------------------------------------------------------------------------------------------------


class Library(types.ModuleType):
    """Stands for the library of MLflow or W&B; ``fails`` names the calls that raise."""

    def __init__(self, name: str, fails: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.calls: list[str] = []
        self.given: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        self.fails = fails
        self.info = self.exceptions = self
        self.id = self.run_id = "one"
        self.MlflowException = KeyError

    def __getattr__(self, name: str) -> Callable[..., Library]:
        if name.startswith("__"):
            raise AttributeError(name)

        def called(*given: object, **named: object) -> Library:
            self.calls.append(name)
            self.given.append((name, given, named))
            if name in self.fails:
                raise ConnectionError("the server has gone. What now? A long explanation of nothing at all.")
            return self

        return called


@pytest.mark.parametrize(("name", "begin"), [("mlflow", "start_run"), ("wandb", "init")])
def test_a_tracker_that_cannot_begin_is_one_sentence_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, begin: str
) -> None:
    monkeypatch.setitem(sys.modules, name, Library(name, (begin,)))
    with pytest.raises(UserError) as caught:
        train(tiny_recipe(training__trackers=[name]), tmp_path / "run", quiet=True)
    said = str(caught.value)
    assert said.startswith(f"training.trackers: {name} cannot be used here (the server has gone): set ") and "explanation" not in said
    assert not (tmp_path / "run" / "checkpoints").exists() and log_entries(tmp_path / "run") == []
    monkeypatch.setitem(sys.modules, name, Library(name))
    train(tiny_recipe(training__trackers=[name], training__epochs=1), tmp_path / "run", quiet=True)


@pytest.mark.parametrize(("name", "log", "end"), [("mlflow", "log_metrics", "end_run"), ("wandb", "log", "finish")])
def test_a_tracker_that_fails_later_is_noted_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, log: str, end: str
) -> None:
    library = Library(name, (log, end))
    monkeypatch.setitem(sys.modules, name, library)
    run = train(tiny_recipe(training__trackers=[name], training__epochs=2), tmp_path / "run")
    assert log_entries(run)[-1]["kind"] == "end"
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    notes = [line for line in notes if name in line]
    assert len(notes) == 1 and f"{name} failed at 0 images (the server has gone)" in notes[0]
    assert library.calls.count(log) == 1


def test_a_tracker_that_cannot_end_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", Library("mlflow", ("end_run",)))
    train(tiny_recipe(training__trackers=["mlflow"], training__epochs=1), tmp_path / "run")
    assert "note: mlflow could not be closed (the server has gone)" in capsys.readouterr().err


def test_the_recipe_of_a_resumed_run_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that MLflow knows may not change, and the number of epochs may."""
    library = Library("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", library)
    for seen in (None, 12):
        RunLog(tmp_path / "log.jsonl", trackers=("mlflow",), recipe=tiny_recipe(), images=seen).close()
    calls = [call for call, _ in itertools.groupby(library.calls)]  # so many parameters at a time
    assert calls == ["start_run", "log_params", "end_run", "start_run", "end_run"]
    assert json.loads((tmp_path / trackers.FILE).read_text()) == {"mlflow": "one"}


@pytest.mark.parametrize("name", TRACKERS)
def test_an_absent_tracker_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing, match=r"transfigure\[tracking\]") as caught:
        RunLog(tmp_path / "log.jsonl", trackers=(name,))
    assert caught.value.exit_code == 3


def test_a_folder_of_a_trackers_name_is_not_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B leaves a folder ``wandb``, which Python would import where nothing else has this name."""
    (tmp_path / "a_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Missing):
        check_trackers(["a_tracker"])
