"""The fixed examples of a run as one moving picture: how the translator came to paint what it paints.

An animated WebP: whole colours, and a tenth of a GIF's bytes. Every frame says after how many images it was generated.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, features

from ...data import images
from ...data.formats.metadata import Metadata, save_options, sealed, to_be_sealed
from ..charts import COLOURS
from ..figure_files import composed
from ..panels import PAPER, data_uri, limits_of, picture_of
from ..run_files import Sample

EXAMPLES, FRAMES = 4, 20
"""Fixed examples side by side, and moments, at most."""
BUDGET = 700_000
"""Bytes. If the first of LEVELS (longest side of an example in pixels, quality) weighs more, the next is tried."""
LEVELS = ((160, 85), (128, 75), (96, 60))
SECONDS, LAST = 0.5, 2.5
"""How long a frame stands, and the last one."""
_BAR = 5
M = TypeVar("M")


@dataclass(frozen=True)
class Animation:
    """A moving picture.

    Attributes:
        encoded: a WebP file.
        still: its last frame.
        moments: images seen, of each frame.
        left_out: in words, what there was too much of; empty if all is shown.
    """

    encoded: bytes
    still: NDArray[np.uint8]
    moments: tuple[int, ...]
    left_out: str

    @property
    def alt(self) -> str:
        """What is to be seen, in words."""
        return f"The fixed examples, generated after {self.moments[0]:,} to {self.moments[-1]:,} images of training"

    @property
    def still_uri(self) -> str:
        """The last frame as a data URI."""
        return data_uri(self.still, 88)


def animation(samples: Sequence[Sample], target: str = "target", names: Mapping[str, Sequence[str]] | None = None) -> Animation | None:
    """The examples over time; None where there are fewer than two moments to be seen, or Pillow has no WebP.

    Args:
        samples: of the run.
        target: what a target is called.
        names: of the channels of ``source`` and ``target``, where they are known.
    """
    moving = [sample for sample in samples if len(sample.moments) > 1][:EXAMPLES]
    every = sorted({seen for sample in moving for seen, _ in sample.moments})
    if len(every) < 2 or not features.check("webp"):
        return None
    chosen = spread(every, FRAMES)
    for side, quality in LEVELS:
        frames = _frames(moving, chosen, every[-1], side, (target, names or {}))
        encoded = _encoded(frames, quality)
        if len(encoded) <= BUDGET:
            break
    left = [f"{len(chosen)} of {len(every):,} moments are shown"] if len(chosen) < len(every) else []
    left += [f"{len(moving)} of {len(samples):,} fixed examples are shown"] if len(moving) < len(samples) else []
    return Animation(encoded, np.asarray(frames[-1]), tuple(chosen), " and ".join(left))


def spread(moments: Sequence[M], most: int) -> list[M]:
    """So many moments from first to last, denser at the beginning, where most happens."""
    if len(moments) <= most:
        return list(moments)
    last = len(moments) - 1
    return [moments[at] for at in sorted({round(last * (step / (most - 1)) ** 1.6) for step in range(most)})]


def _frames(
    samples: Sequence[Sample], moments: Sequence[int], last: int, side: int, called: tuple[str, Mapping[str, Sequence[str]]]
) -> list[Image.Image]:
    target, (of_source, of_target) = called[0], (called[1].get(which, ()) for which in ("source", "target"))
    between = [limits_of(sample.target, of_target) for sample in samples]
    sources = [picture_of(sample.source, None, side, of_source) for sample in samples]
    targets = [picture_of(sample.target, limit, side, of_target) for sample, limit in zip(samples, between)]
    pictures = []
    for seen in moments:
        files = [dict(sample.moments).get(seen) for sample in samples]
        generated = [picture_of(file, limit, side, of_target) for file, limit in zip(files, between)]
        rows = [("source", sources), (f"after {seen:,} images", generated), (target, targets)]
        pictures.append(composed(rows, side=side))
    size = max(one.shape[1] for one in pictures), max(one.shape[0] for one in pictures)  # words may need a line more
    return [_with_bar(picture, size, seen / last) for picture, seen in zip(pictures, moments)]


def _with_bar(picture: NDArray[np.uint8], size: tuple[int, int], share: float) -> Image.Image:
    """The frame with a line below it that is as long as the training is far."""
    wide, high = size
    paper = Image.new("RGB", (wide, high + _BAR), PAPER)
    paper.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(paper)
    draw.rectangle((0, high, wide, high + _BAR), fill=COLOURS["rule"])
    draw.rectangle((0, high, max(1, round(wide * share)) - 1, high + _BAR), fill=COLOURS["blue"])
    return paper


def _encoded(frames: Sequence[Image.Image], quality: int) -> bytes:
    software, stream = to_be_sealed(images.SOFTWARE), io.BytesIO()
    lasting = [round(1000 * SECONDS)] * (len(frames) - 1) + [round(1000 * LAST)]
    options = save_options("WEBP", Metadata(), software)
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:], duration=lasting, loop=0, quality=quality, method=0, **options)
    return sealed(stream.getvalue(), software)
