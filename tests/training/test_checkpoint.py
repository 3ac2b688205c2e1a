"""The random numbers of a checkpoint go on where they were."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.damage import cuts, flips
from tests.training.runs import tiny_recipe
from transfigure.errors import UserError
from transfigure.training.checkpoint import FORMAT, check_scaler, load_checkpoint, random_state, restore_random_state, save_checkpoint
from transfigure.training.trainer import train


def test_random_numbers_go_on_where_they_were() -> None:
    cpu = torch.device("cpu")
    state = random_state(cpu)
    first = torch.rand(3), np.random.rand(3), random.random()
    restore_random_state(state, cpu)
    again = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_random_numbers_of_the_device_in_use_are_kept(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    calls: list[object] = []
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "get_rng_state", lambda: torch.tensor([7], dtype=torch.uint8))
    monkeypatch.setattr(module, "set_rng_state", calls.append)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    device = torch.device(kind, 0)
    state = random_state(device)
    restore_random_state(state, torch.device("cpu"))  # it may go on elsewhere
    assert calls == []
    restore_random_state(state, device)
    assert calls == [state["device"]]


# ---- damage -------------------------------------------------------------------------------------------------------------

RECIPE = tiny_recipe(training__epochs=1, training__validate_every=0, objective__adversarial__pool=3, training__log_every=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the smallest kind."""
    return train(RECIPE, tmp_path_factory.mktemp("runs") / "run", quiet=True)


def resume(run: Path) -> str:
    """Go on with the run, which must refuse; the sentence."""
    model = (run / "model" / "generator.safetensors").read_bytes()
    log = (run / "log.jsonl").read_bytes()
    with pytest.raises(UserError) as refusal:
        train(RECIPE, run, resume=True, quiet=True)
    assert (run / "model" / "generator.safetensors").read_bytes() == model and (run / "log.jsonl").read_bytes() == log
    return str(refusal.value)


def test_no_flipped_bit_and_no_cut_of_a_checkpoint_is_gone_on_from(run: Path, tmp_path: Path) -> None:
    whole = (run / "checkpoints" / "last.pt").read_bytes()
    file = tmp_path / "last.pt"
    for what, data in [*flips(whole, 150), *cuts(whole, 30)]:
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"damaged|is not a"):
            load_checkpoint(file)
            pytest.fail(what)


def test_a_damaged_checkpoint_leaves_the_model_as_it_is(run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    try:
        assert "SHA-256" in resume(run)
    finally:
        file.write_bytes(whole)


def without_digest(file: Path, state: dict[str, Any]) -> None:
    torch.save(state, file)


def test_checkpoints_from_before_there_were_digests_are_held_to_their_checksums(run: Path, tmp_path: Path) -> None:
    state = load_checkpoint(run / "checkpoints" / "last.pt")
    file = tmp_path / "last.pt"
    without_digest(file, {**state, "format": 2})
    assert load_checkpoint(file)["position"] == state["position"]
    without_digest(file, state)
    with pytest.raises(UserError, match="is gone"):
        load_checkpoint(file)
    without_digest(file, {**state, "format": FORMAT + 1})
    with pytest.raises(UserError, match="newer version"):
        load_checkpoint(file)


def put(*path: str | int, value: Any = None, remove: bool = False) -> Callable[[dict[str, Any]], None]:
    """Set or remove what lies at a path of a state."""

    def change(state: dict[str, Any]) -> None:
        here: Any = state
        for part in path[:-1]:
            here = here[part]
        if remove:
            del here[path[-1]]
        else:
            here[path[-1]] = value

    return change


TENSOR = torch.zeros(3)
WRONG = {
    **{f"no {key}": put(key, remove=True) for key in ("recipe", "data", "step", "averages", "health", "random", "log_bytes")},
    **{f"{key} is a word": put(key, value="x") for key in ("recipe", "data", "step", "ema", "averages", "health", "random", "log_bytes")},
    **{f"{key} is null": put(key, value=None) for key in ("recipe", "data", "step", "ema", "averages", "health", "random")},
    "position.epoch is a word": put("position", "epoch", value="1"),
    "position.batch is half": put("position", "batch", value=1.5),
    "position.images is negative": put("position", "images", value=-1),
    "position.images is endless": put("position", "images", value=10**30),
    "position.seconds is not finite": put("position", "seconds", value=float("nan")),
    "position has no best": put("position", "best", remove=True),
    "position is a list": put("position", value=[1, 2]),
    "data.channels is one": put("data", "channels", value=[3]),
    "data.channels are words": put("data", "channels", value=["a", "b"]),
    "data.pairs is a word": put("data", "pairs", value="6"),
    "averages.sums holds numbers": put("averages", "sums", value={"g": 1.0}),
    "averages.sums holds pictures": put("averages", "sums", value={"g": TENSOR}),
    "averages.count without sums": put("averages", value={"sums": {}, "count": 3}),
    "health.since holds words": put("health", "since", value={"d_wins": "x"}),
    "health.reported is a number": put("health", "reported", value=3),
    "random is of one part": put("random", value=[{"python": 1}]),
    "random.python is short": put("random", 0, "python", value=(3, (1, 2), None)),
    "random.numpy is of words": put("random", 0, "numpy", value=["MT19937", "x", "y", "z", "w"]),
    "random.numpy reads beyond": put("random", 0, "numpy", 2, value=10**6),
    "random.torch is short": put("random", 0, "torch", value=torch.zeros(3, dtype=torch.uint8)),
    "no generator": put("step", "generator", remove=True),
    "no pool": put("step", "pool", remove=True),
    "generator is a list": put("step", "generator", value=[1]),
    "generator lacks a layer": put("step", "generator", "down.0.conv.weight", remove=True),
    "generator has a layer more": put("step", "generator", "extra", value=TENSOR),
    "generator has a word": put("step", "generator", "down.0.conv.weight", value="x"),
    "generator of another shape": put("step", "generator", "down.0.conv.weight", value=TENSOR),
    "generator of whole numbers": lambda state: state["step"]["generator"].update(
        {"down.0.conv.weight": state["step"]["generator"]["down.0.conv.weight"].long()}
    ),
    "optimizer without groups": put("step", "g_optimizer", "param_groups", value=[]),
    "optimizer of fewer parameters": put("step", "g_optimizer", "param_groups", 0, "params", value=[0, 1]),
    "optimizer with words": put("step", "g_optimizer", "param_groups", 0, "betas", value=("a", "b")),
    "optimizer without betas": put("step", "d_optimizer", "param_groups", 0, "betas", remove=True),
    "optimizer's state is a list": put("step", "g_optimizer", "state", value=[1]),
    "optimizer's moments of another shape": put("step", "g_optimizer", "state", 0, "exp_avg", value=TENSOR),
    "optimizer's moments are gone": put("step", "g_optimizer", "state", 0, "exp_avg_sq", remove=True),
    "optimizer's step is a number": put("step", "d_optimizer", "state", 0, "step", value=3),
    "optimizer's state of no parameter": put("step", "d_optimizer", "state", 999, value={}),
    "pool of words": put("step", "pool", "images", value=["x"]),
    "pool of other pictures": put("step", "pool", "images", value=[torch.zeros(3, 8, 8)]),
    "pool of too many": put("step", "pool", "images", value=[torch.zeros(3, 32, 32)] * 4),
    "ema without updates": put("ema", "updates", remove=True),
    "ema of another shape": put("ema", "generator", "down.0.conv.weight", value=TENSOR),
    "recipe holds itself": lambda state: state["recipe"].update(again=state["recipe"]),
    "recipe of another shape": put("recipe", "generator", "width", value=4096),
    "recipe without end": put("recipe", "generator", "depth", value=10**9),
    "recipe of no generator": put("recipe", "generator", "name", value="nobody"),
    "log_bytes is negative": put("log_bytes", value=-1),
    "format is a word": put("format", value="3"),
    "format is zero": put("format", value=0),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_part_that_is_missing_or_of_another_kind_is_damage(run: Path, what: str) -> None:
    """With a right digest: whoever wrote this did so on purpose, or with another program."""
    file = run / "checkpoints" / "last.pt"
    whole = file.read_bytes()
    state = copy.deepcopy(load_checkpoint(file))
    WRONG[what](state)
    try:
        save_checkpoint(file, state)
        sentence = resume(run)
        assert str(file) in sentence and "\n" not in sentence and len(sentence) < 800
        assert "damaged (" in sentence, sentence
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("key", ["scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"])
@pytest.mark.parametrize("value", [None, "x", True, -2.0, float("nan"), float("inf"), [1.0]], ids=str)
def test_a_scale_of_losses_is_a_number(key: str, value: object) -> None:
    good = torch.amp.GradScaler("cpu").state_dict()
    check_scaler("g_optimizer_scaler", good)
    with pytest.raises(ValueError, match=f"its g_optimizer_scaler has {key}"):
        check_scaler("g_optimizer_scaler", {**good, key: value})
