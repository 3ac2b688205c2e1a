"""The parts of the loop by themselves: schedule, EMA, health, log, trackers, previews."""

from __future__ import annotations

import copy
import json
import random
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from transfigure.errors import Missing, RunFailure
from transfigure.recipe import Recipe, Training
from transfigure.training.allocator import keep_freed_memory
from transfigure.training.checkpoint import random_state, restore_random_state
from transfigure.training.ema import EMA
from transfigure.training.health import PATIENCE_IMAGES, Health, broken, variation
from transfigure.training.log import RunLog
from transfigure.training.optimizer import adam, schedule


def test_linear_decay_is_constant_for_the_first_half_then_falls_to_zero() -> None:
    assert [schedule("linear_decay", t) for t in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]
    assert [schedule("constant", t) for t in (0, 0.5, 1)] == [1, 1, 1]
    assert schedule("cosine", 0) == 1 and schedule("cosine", 0.5) == pytest.approx(0.5) and schedule("cosine", 1) == pytest.approx(0)
    falling = [schedule("cosine", t / 50) for t in range(51)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("fused", [True, False])
def test_loaded_moments_take_the_memory_layout_of_the_weights(fused: bool) -> None:
    """A run begun in NCHW may go on in NHWC: the next update is the same, element by element."""
    torch.manual_seed(0)
    before = nn.Conv2d(3, 4, 4)
    after = nn.Conv2d(3, 4, 4).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, second = (adam([network], 1e-3, Training(fused=fused)) for network in (before, after))
    gradients = [torch.randn(weight.shape) for weight in before.parameters()]
    for number in range(3):
        if number == 2:
            after.load_state_dict(before.state_dict())
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        for network, optimiser in ((before, first), (after, second)):
            for weight, gradient in zip(network.parameters(), gradients, strict=True):
                weight.grad = torch.empty_like(weight).copy_(gradient * (number + 1))
            optimiser.step()
    torch.testing.assert_close(after.state_dict(), before.state_dict(), rtol=1e-6, atol=1e-8)


def test_ema_is_the_weighted_mean_of_what_it_saw() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = EMA(network, 0.5)
    expected = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for update in range(1, 6):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        network[1].running_mean += 3  # type: ignore[operator]
        ema.update(network)
        decay = min(0.5, (1 + update) / (10 + update))
        for name, parameter in network.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach()
    for name, parameter in ema.generator.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    torch.testing.assert_close(ema.generator[1].running_mean, network[1].running_mean)  # type: ignore[index]
    assert not any(parameter.requires_grad for parameter in ema.generator.parameters())
    other = EMA(network, 0.5)
    other.load_state_dict(ema.state_dict())
    assert other.updates == 5
    torch.testing.assert_close(other.generator.state_dict(), ema.generator.state_dict())


def test_health_speaks_once_when_a_condition_has_held_and_again_after_it_was_better() -> None:
    health = Health()
    said = [health.losses(images, True) for images in range(0, 3 * PATIENCE_IMAGES, 100)]
    spoken = [finding for findings in said for finding in findings]
    assert len(spoken) == 1 and spoken[0]["code"] == "d_wins" and "1,000 images" in spoken[0]["message"]
    assert health.losses(9000, False) == []
    assert health.losses(9100, True) == []
    assert health.losses(9100 + PATIENCE_IMAGES, True)[0]["code"] == "d_wins"
    assert health.losses(20000, None) == []


def test_health_sees_collapse_and_not_variety() -> None:
    random = torch.Generator().manual_seed(0)
    targets = torch.rand(4, 3, 8, 8, generator=random) * 2 - 1
    same = targets[:1].repeat(4, 1, 1, 1)
    health = Health()
    assert health.previews(0, same, targets) == []
    found = health.previews(PATIENCE_IMAGES, same, targets)
    assert found[0]["code"] == "collapse" and "0.0%" in found[0]["message"] and "conditional" in found[0]["message"]
    unpaired = Health(pairs=False)
    unpaired.previews(0, same, targets)
    advice = unpaired.previews(PATIENCE_IMAGES, same, targets)[0]["message"]
    assert "--generator.depth" in advice and "conditional" not in advice
    healthy = Health()
    assert [healthy.previews(images, targets.flip(0), targets) for images in (0, 5000, 9000)] == [[], [], []]
    assert variation(same) == 0 and variation(targets) > 0.3
    assert health.previews(9, targets[:1], targets[:1]) == []


def test_health_state_is_resumed() -> None:
    health = Health()
    health.losses(100, True)
    other = Health()
    other.load_state_dict(json.loads(json.dumps(health.state_dict())))
    assert other.losses(100 + PATIENCE_IMAGES, True)


def test_broken_names_what_is_not_finite() -> None:
    assert broken({"a": 1.0, "b": float("nan"), "c": float("inf")}) == ["b", "c"]


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
    """Stands for a tracker's library and keeps what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[object, ...]] = []

    def start_run(self, run_name: str) -> None:
        self.told.append(("start", run_name))

    def log_params(self, values: dict[str, str]) -> None:
        self.told.append(("params", values["training.seed"]))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.told.append(("metrics", values, step))

    def end_run(self) -> None:
        self.told.append(("end",))

    def init(self, **about: object) -> Recorder:
        self.told.append(("start", about["name"]))
        return self

    def log(self, values: dict[str, float]) -> None:
        self.told.append(("metrics", values))

    def finish(self) -> None:
        self.told.append(("end",))


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_other_trackers_through_their_own_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    library = Recorder(tracker)
    monkeypatch.setitem(sys.modules, tracker, library)
    log = RunLog(tmp_path / "log.jsonl", trackers=(tracker,), recipe=Recipe.load("demo"))
    log.write("step", 10, g=1.0)
    log.close()
    assert library.told[0] == ("start", tmp_path.name) and library.told[-1] == ("end",)
    assert any(entry[0] == "metrics" and entry[1]["step/g"] == 1.0 for entry in library.told)  # type: ignore[index]


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_an_absent_tracker_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    for module in (tracker, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing, match=r"transfigure\[tracking\]") as caught:
        RunLog(tmp_path / "log.jsonl", trackers=(tracker,))
    assert caught.value.exit_code == 3


def test_random_numbers_go_on_where_they_were() -> None:
    cpu = torch.device("cpu")
    state = random_state(cpu)
    first = torch.rand(3), np.random.rand(3), random.random()
    restore_random_state(state, cpu)
    again = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_random_numbers_of_the_device_in_use_are_kept(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    told: list[object] = []
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "get_rng_state", lambda: torch.tensor([7], dtype=torch.uint8))
    monkeypatch.setattr(module, "set_rng_state", told.append)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    device = torch.device(kind, 0)
    state = random_state(device)
    restore_random_state(state, torch.device("cpu"))  # it may go on elsewhere
    assert told == []
    restore_random_state(state, device)
    assert told == [state["device"]]


def test_the_allocator_setting_is_harmless() -> None:
    assert keep_freed_memory() in (True, False)
    assert torch.ones(1 << 20).sum() == 1 << 20
