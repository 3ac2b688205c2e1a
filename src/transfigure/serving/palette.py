"""The colours that a model's sources are painted in, to draw with: those that were named, else its drawn world's, else its images'."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import registry
from ..data.images import Array
from ..data.open import find_records, resolve_data
from ..data.pairs import Record, directed
from ..errors import TransfigureError, UserError
from ..evaluation.evaluate import PALETTE_IMAGES, stride
from ..metrics.palettes import Palette, learn_palette, load_palette, palette_of
from ..networks.model_file import ModelConfig
from ..progress import say
from ..recipe import Data, drawn_worlds

LEARN = "learn"
SECONDS = 1.0
"""Reading training images stops after so long: a page is waiting."""


def palette_for(config: ModelConfig, given: str | None = None) -> Palette | None:
    """The palette that a model's sources are drawn with.

    Args:
        config: of the model.
        given: a shipped palette's name or a palette file, as for ``evaluate --palette``; ``learn`` learns it from the training images.
            None is the palette of the drawn world that the model was trained on, or else what its training images show, if they are there.

    Returns:
        One with colours; None where nothing says that the sources are label maps.

    Raises:
        UserError: what was given is no palette, or has no colours; or there is nothing to learn from. Never where nothing was given.
    """
    if given is not None and given != LEARN:
        palette = load_palette(given)
        if palette.colours is None:
            raise UserError(
                f"the palette {palette.name} knows its classes by number only, and cannot be drawn with: give its classes colours"
            )
        return palette
    if given is None and config.source.classes:
        own = palette_of(config.source.classes)
        return None if own.colours is None else own
    data = (config.recipe or {}).get("data") or {}
    if given is None and data.get("kind") in drawn_worlds():
        name = _of_world(data)
        return None if name is None else load_palette(name)
    try:
        palette = _learnt(config, data)
    except (TransfigureError, OSError, ValueError) as error:  # gone, changed, of a plug-in that is not here; or photographs
        if given is None:
            return None
        raise UserError(f"no palette can be learnt for this model: {error}") from error
    say(f"note: its palette has {len(palette.classes)} colours, those of the images that it was trained on ({palette.name})")
    return palette


def _of_world(data: Mapping[str, Any]) -> str | None:
    """The palette of what is translated from, by what the world says of itself; None for a rendering that is no label map."""
    world = registry.entry("dataset", data["kind"])
    side = "target" if data.get("direction") == "BtoA" else "source"
    rendering = data.get(side, world.options[side].default if side in world.options else None)
    name = world.extra.get("palettes", {}).get(rendering)
    return None if name is None else str(name)


def _learnt(config: ModelConfig, data: Mapping[str, Any]) -> Palette:
    """From the sources of some training pairs, as many as can be read in a second.

    Raises:
        UserError: they are not there, or hold more than a few colours.
    """
    if config.source.channels not in (1, 3) or config.source.dtype != "uint8":
        raise UserError(f"its sources have {config.source.channels} channels of {config.source.dtype}, and a page draws 8-bit colours")
    places = [data[key] for key in ("path", "a", "b") if isinstance(data.get(key), str)]
    if not any(Path(place).is_absolute() for place in places):  # a shared model keeps last names only: another folder may have the same
        raise UserError("it does not say where the images are that it was trained on")
    section = resolve_data(Data.model_validate(dict(data)))
    records = directed(find_records(section).splits["train"], section.direction)
    return learn_palette(_first_second(records), str(section.path or section.kind))


def _first_second(records: list[Record]) -> Iterator[Array]:
    end = time.monotonic() + SECONDS
    for record in records[:: stride(len(records), PALETTE_IMAGES)]:
        yield record.a.read("drop")
        if time.monotonic() > end:
            return
