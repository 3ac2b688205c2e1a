"""The log of a run, and the trackers that it can be sent to."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from transfigure.errors import Missing, RunFailure
from transfigure.recipe import Recipe
from transfigure.training.log import RunLog


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.write("step", 1, g=1.5)
    size = log.size()
    log.write("step", 2, g=float("nan"), terms={"l1": float("inf")})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"kind": "step", "images": 1, "g": 1.5}, {"kind": "step", "images": 2, "g": None, "terms": {"l1": None}}]
    again = RunLog(tmp_path / "log.jsonl", keep=size)
    again.write("resume", 1)
    again.close()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert kinds == ["step", "resume"]


def test_a_log_on_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    log = RunLog(tmp_path / "log.jsonl")
    with pytest.raises(RunFailure, match="No space left"):
        log.write("step", 1)
    log.close()  # what could not be written is tried once more; that must not hide the sentence


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path / "log.jsonl", trackers=("tensorboard",), recipe=Recipe.load("demo"))
    for images in (10, 20):
        log.write("step", images, g=float(images), terms={"l1": 0.5}, better=True)
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"step/g", "step/terms.l1"}
    assert [(event.step, event.value) for event in events.Scalars("step/g")] == [(10, 10.0), (20, 20.0)]


class Recorder(types.ModuleType):
    """Stands for the library of a tracker and keeps the calls to it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[object, ...]] = []

    def start_run(self, run_name: str) -> None:
        self.calls.append(("start", run_name))

    def log_params(self, values: dict[str, str]) -> None:
        self.calls.append(("params", values["training.seed"]))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.calls.append(("metrics", values, step))

    def end_run(self) -> None:
        self.calls.append(("end",))

    def init(self, **about: object) -> Recorder:
        self.calls.append(("start", about["name"]))
        return self

    def log(self, values: dict[str, float]) -> None:
        self.calls.append(("metrics", values))

    def finish(self) -> None:
        self.calls.append(("end",))


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_other_trackers_through_their_own_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    library = Recorder(tracker)
    monkeypatch.setitem(sys.modules, tracker, library)
    log = RunLog(tmp_path / "log.jsonl", trackers=(tracker,), recipe=Recipe.load("demo"))
    log.write("step", 10, g=1.0)
    log.close()
    assert library.calls[0] == ("start", tmp_path.name) and library.calls[-1] == ("end",)
    assert any(entry[0] == "metrics" and entry[1]["step/g"] == 1.0 for entry in library.calls)  # type: ignore[index]


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_an_absent_tracker_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    for module in (tracker, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing, match=r"transfigure\[tracking\]") as caught:
        RunLog(tmp_path / "log.jsonl", trackers=(tracker,))
    assert caught.value.exit_code == 3
