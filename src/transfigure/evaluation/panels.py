"""Pictures kept for the report: the best, the median, the worst, and a few examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from ..data import images
from ..data.pixels import Array
from ..errors import Missing
from ..progress import say
from .result import Evaluation
from .schema import PANELS, SIDES, Panel


def keep_panels(
    result: Evaluation, out: Path, examples: Iterable[str], pictures_of: Callable[[str], Mapping[str, Array]], quiet: bool = False
) -> None:
    """Write the pictures of the best, the median, the worst and some example images, and name them in the result.

    Args:
        result: its ``panels`` are filled.
        out: the evaluation's folder; the pictures go into ``panels`` there, and those of an earlier evaluation are removed.
        examples: names of images to show beside the ranked ones.
        pictures_of: for an image's name its ``source`` (where there is one), ``generated`` and ``target``, ``[H, W, C]`` as in files.
        quiet: no note of pictures that no installed package can write.
    """
    by = result.about.ranked_by
    roles: dict[str, str] = {}
    if by is not None:
        order = result.order(by)
        for role, index in (("best", order[-1]), ("median", order[(len(order) - 1) // 2]), ("worst", order[0])):
            roles.setdefault(result.names[index], role)
    for name in examples:
        roles.setdefault(name, "example")
    position = {name: index for index, name in enumerate(result.names)}
    written: set[Path] = set()
    left_out: dict[str, str] = {}
    for number, (name, role) in enumerate(roles.items()):
        files: dict[str, str] = {}
        pictures = pictures_of(name)
        for side in SIDES:
            if side in pictures:
                array = pictures[side]
                plain = (array.dtype == np.uint8 and array.shape[2] in (1, 3)) or (array.dtype == np.uint16 and array.shape[2] == 1)
                file = Path(PANELS) / f"{number:02d}_{side}.{'png' if plain else 'tif'}"
                try:
                    images.write(out / file, array)
                except Missing as missing:  # a picture less is no cause to lose the numbers
                    left_out.setdefault(side, str(missing))
                    continue
                files[side] = file.as_posix()
                written.add(out / file)
        value = result.scores[by][position[name]] if by is not None else None
        result.panels.append(Panel(name, role, value, **files))
    for side, reason in ({} if quiet else left_out).items():
        say(f"note: the report will show no {side} pictures: {reason}")
    for stale in (out / PANELS).glob("[0-9][0-9]_*"):  # an earlier evaluation's, and only now that the new ones are there
        if stale not in written:
            stale.unlink()


def spread(names: list[str], count: int = 6) -> list[str]:
    """A few names, evenly spread over all of them, without repetition."""
    return list(dict.fromkeys(names[round(i * (len(names) - 1) / (count - 1))] for i in range(count))) if names else []
