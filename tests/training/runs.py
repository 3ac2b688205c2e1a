"""Runs that train in a second, and what can be read from the directory they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from transfigure.recipe import Recipe
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.steps.pix2pix import Pix2PixStep

TINY = {
    "data.train": 6,
    "data.val": 2,
    "data.test": 1,
    "data.crop_size": 32,
    "data.load_size": 36,
    "generator.depth": 4,
    "generator.width": 4,
    "discriminator.width": 4,
    "discriminator.receptive_field": 16,
    "training.accelerator": "cpu",
    "training.epochs": 4,
    "training.log_every": 4,
    "training.preview_count": 2,
    "training.validate_every": 1,
    "training.ema": 0.99,
    "training.batch_size": 1,
    "training.learning_rate": 4e-4,
    "training.preview_every": "null",
}


def tiny_recipe(**more: object) -> Recipe:
    """The recipe ``pix2pix_tiny``, made tinier; ``training__epochs=1`` stands for the key ``training.epochs``."""
    return Recipe.load("pix2pix_tiny", {**TINY, **{key.replace("__", "."): value for key, value in more.items()}})


def unpaired_recipe(name: str, data: Path, **more: Any) -> Recipe:
    """A shipped recipe for unpaired data, made tiny, with every stabiliser on."""
    generator: dict[str, Any] = {"width": 4} if name.startswith("streamlined") else {"width": 4, "blocks": 1}
    given = {
        "data.path": str(data),
        "data.load_size": 18,
        "data.crop_size": 16,
        **{f"generator.{key}": value for key, value in generator.items()},
        "discriminator.width": 4,
        "discriminator.receptive_field": 16,
        "training.epochs": 4,
        "training.log_every": 4,
        "training.accelerator": "cpu",
        "training.preview_count": 2,
        "objective.adversarial.pool": 3,
        "objective.adversarial.r1": 1.0,
        "objective.adversarial.augment": ["color", "translation", "cutout"],
        **more,
    }
    return Recipe.load(name, given)


def checkpoint_tensors(run: Path, *parts: str) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, by its path; of the named parts only, if any are named."""
    state = load_checkpoint(run / "checkpoints" / "last.pt")
    found: dict[str, torch.Tensor] = {}

    def walk(name: str, value: object) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ():
            walk(f"{name}.{key}", item)

    walk("", {key: state[key] for key in parts or state})
    return found


def assert_same_bits(one: Path, other: Path) -> None:
    """Two runs ended in the same state and saved the same model."""
    first, second = checkpoint_tensors(one, "step", "ema", "random"), checkpoint_tensors(other, "step", "ema", "random")
    assert first.keys() == second.keys() and len(first) > 50
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    model = "model/generator.safetensors"
    assert (one / model).read_bytes() == (other / model).read_bytes()


def log_entries(run: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The lines of a run's log, of one kind if one is named."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [entry for entry in entries if kind in (None, entry["kind"])]


def numbers(run: Path) -> list[dict[str, Any]]:
    """The log without what a clock says."""
    clock = ("seconds", "images_per_second")
    return [{key: value for key, value in entry.items() if key not in clock} for entry in log_entries(run) if entry["kind"] != "resume"]


def stop_after(images: int, monkeypatch: pytest.MonkeyPatch, how: type[BaseException]) -> None:
    """Break into the run once so many images have been seen, as a crash would: nothing is saved on the way out."""
    update = Pix2PixStep.training_step
    seen = [0]

    def counted(self, pair, measure=False):  # type: ignore[no-untyped-def]
        if seen[0] == images:
            raise how("killed")
        seen[0] += len(pair)
        return update(self, pair, measure)

    monkeypatch.setattr(Pix2PixStep, "training_step", counted)
