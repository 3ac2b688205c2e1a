"""All that exact resume needs of a training, as plain values and tensors; and back."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..data.open import OpenedData
from ..errors import UserError
from ..networks.model_file import Domain, ModelConfig
from ..progress import duration, say
from .checkpoint import restore_random_state
from .position import Averages, Position

if TYPE_CHECKING:
    from .loop import Trainer


def capture(trainer: Trainer, random_states: list[Any], log_bytes: int) -> dict[str, Any]:
    """The state of a training between two updates.

    Args:
        trainer: the training.
        random_states: the random numbers of every process, in rank order.
        log_bytes: how much of the log belongs to this state.
    """
    step, data = trainer.step, trainer.data
    return {
        "recipe": trainer.recipe.to_dict(),
        "channels": [data.source_channels, data.target_channels],
        "pairs": len(data.train),
        "identity": identity(data),
        **{name: part.state_dict() for name, part in step.parts().items()},
        "ema": trainer.ema.state_dict() if trainer.ema is not None else None,
        "position": asdict(trainer.position),
        "averages": {"sums": trainer.averages.sums, "count": trainer.averages.count},
        "health": trainer.health.state_dict(),
        "random": random_states,
        "log_bytes": log_bytes,
    }


def restore(trainer: Trainer, saved: dict[str, Any]) -> int:
    """Take up a saved state.

    Returns:
        The number of log bytes that belong to it.

    Raises:
        UserError: the data or the number of processes is not what it was.
    """
    data, step, engine = trainer.data, trainer.step, trainer.engine
    then, now = (saved["pairs"], saved["channels"]), (len(data.train), [data.source_channels, data.target_channels])
    if then != now:
        raise UserError(
            f"the data is not what this run was trained on: {then[0]} pairs with {then[1]} channels then, {now[0]} pairs with {now[1]} now"
        )
    if saved["identity"] != identity(data):
        raise UserError(f"the data is not what this run was trained on: {now[0]} pairs as then, but of other names; put the old ones back")
    processes = len(saved["random"])
    if processes != engine.world_size:
        raise UserError(f"this run was trained by {processes} processes: resume it with --devices {processes}")
    for name, part in step.parts().items():
        part.load_state_dict(saved[name])
    if trainer.ema is not None:
        trainer.ema.load_state_dict(saved["ema"])
    trainer.position = Position(**saved["position"])
    sums, count = saved["averages"]["sums"], saved["averages"]["count"]
    trainer.averages = Averages({name: value.to(engine.device) for name, value in sums.items()}, count, untimed=count)
    trainer.health.load_state_dict(saved["health"])
    restore_random_state(saved["random"][engine.rank], engine.device)
    if not trainer.quiet:
        position = trainer.position
        say(f"resumed at {position.images:,} images (epoch {position.epoch + 1}, after {duration(position.seconds)} of training)")
    return int(saved["log_bytes"])


def identity(data: OpenedData) -> str:
    """A digest of the pairs' names in their order: with other names the same positions would mean other pairs."""
    names = "\n".join(record.name for record in data.train.records)
    if not data.truth:  # a record's name is its source's: its target has another
        names += "\n".join(path.name for record in data.train.records for path in (*record.a.paths, *record.b.paths))
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def model_config(trainer: Trainer, checkpoint: dict[str, Any], turned: bool = False) -> ModelConfig:
    """What a model directory says of the generator being trained, or (``turned``) of that of the other direction."""
    recipe, data = trainer.recipe, trainer.data
    domains = [
        Domain(data.source_channels, data.source_dtype, recipe.data.source_range),
        Domain(data.target_channels, data.target_dtype, recipe.data.target_range),
    ]
    if turned:
        domains.reverse()
        recipe = recipe.updated({"data.direction": "BtoA" if recipe.data.direction == "AtoB" else "AtoB"})
    return ModelConfig(
        generator=recipe.generator.name,
        options=dict(recipe.generator.options),
        source=domains[0],
        target=domains[1],
        size_multiple=trainer.generator.size_multiple,  # type: ignore[arg-type]
        trained_size=recipe.data.crop_size,
        checkpoint=checkpoint,
        recipe=recipe.to_dict(),
    )
