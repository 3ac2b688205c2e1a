"""Colour: do the generated images, as a set, hold the colours of the targets?

Where a colour is uncertain, a pixel loss is lowest at the mean of the possible ones, which is greyer than any of them. Histograms in
Lab show it: lightness in one channel, and in two what a grey output lacks.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..bounds import PositiveInt
from ..data.batch import row_bands
from ..data.encodings.lab import CHROMA_REACH, PRIMARIES, WHITE
from ..errors import UserError
from ..features.extractors import in_colour
from ..registry import register
from .direction import Better
from .interval import jackknife_interval
from .metric import TARGET_ITSELF, AccumulatedMetric, Interval, MetricContext, State

_PRIMARIES, _WHITE = torch.tensor(PRIMARIES, dtype=torch.float64), torch.tensor(WHITE, dtype=torch.float64)


def _linear_to_xyz() -> Tensor:
    """``[3, 3]`` to X, Y, Z, each as a share of white's: the primaries, in the amounts that add up to white."""
    x, y = _PRIMARIES.unbind(1)
    primaries = torch.stack([x / y, torch.ones_like(x), (1 - x - y) / y])
    amounts: Tensor = torch.linalg.solve(primaries, _WHITE)
    return primaries * amounts / _WHITE[:, None]


_TO_XYZ = _linear_to_xyz()


def rgb_to_lab(images: Tensor) -> Tensor:
    """CIE Lab of sRGB images, for daylight (D65) and the 2 degree observer.

    White is CIE's tabulated D65, and the matrix follows from the primaries and that white, so that a grey is exactly grey: a = b = 0.
    The four-digit matrix that the standard prints gives values up to 0.02 away.

    Args:
        images: ``[N, 3, H, W]`` in [-1, 1]; what lies outside is clipped.

    Returns:
        ``[N, 3, H, W]``: L in [0, 100], a (green to red) in [-87, 99], b (blue to yellow) in [-108, 95].

    Raises:
        ValueError: not three channels.

    Source: IEC 61966-2-1:1999, section 5.2 (sRGB); CIE 15:2004, section 8.2.1 (Lab).
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"Lab is of red, green and blue, [N, 3, H, W]: got {tuple(images.shape)}")
    coded = (images.clamp(-1, 1) + 1) / 2
    linear = torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("oc,nchw->nohw", _TO_XYZ.to(linear), linear)
    edge = 6 / 29
    x, y, z = torch.where(xyz > edge**3, xyz ** (1 / 3), xyz / (3 * edge**2) + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _overlap(p: Tensor, q: Tensor) -> float:
    """Of two histograms, each as shares of its own sum; where both have one sum, without a rounding."""
    if p.sum() == q.sum():
        return float(torch.minimum(p, q).sum() / p.sum())
    return float(torch.minimum(p / p.sum(), q / q.sum()).sum())


@register("metric", "lab_histogram")
class LabHistogram(AccumulatedMetric):
    """How far the colours of all generated and all target pixels overlap, channel by channel in Lab; 1 is the same histogram.

    Per channel sum_k min(p_k, q_k), with p and q the normalised histograms of all pixels of the set, generated and target. L has
    ``bins`` bins over [0, 100]; those of a and b are twice as wide and reach past all of sRGB, with grey in the middle of one.
    Grey images have L only. The paper does not print its bins: values with others are not comparable with its own. In [0, 1].

    Blind to where a colour is, and to which image has it. More images fill the histograms and raise the value for the same
    translator: compare on the same images. That is also why the interval is a jackknife's, as resampled images would lower it.

    Source: Isola et al. 2017, section 4.2 and figure 7(d).

    Args:
        bins: how many for L, at least 1; half as many per unit of a and b.
    """

    name = "lab_histogram"
    takes_mask = True
    label = "Lab histogram"
    better: ClassVar[Better] = "higher"
    pairs: ClassVar[bool] = False
    of_colour: ClassVar[bool] = True
    values: ClassVar = {
        "lab_histogram_l": "Lab histogram, L",
        "lab_histogram_a": "Lab histogram, a",
        "lab_histogram_b": "Lab histogram, b",
    }

    def __init__(self, bins: PositiveInt = 100) -> None:
        super().__init__()
        if bins < 1:
            raise UserError(f"bins is {bins}: a histogram needs at least 1")
        self._width = 100 / bins
        chroma = 2 * math.ceil(CHROMA_REACH / (2 * self._width) - 0.5) + 1
        self._bins = [bins, chroma, chroma]
        self._coloured = False

    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """``[N, 2, bins of L, a and b]``: counts of the prediction's and the target's pixels.

        Raises:
            Skipped: neither colour nor grey pictures.
        """
        both = [self.counts(in_colour(images, self.label), context.mask) for images in (prediction, target)]
        self._coloured |= prediction.shape[1] == 3
        return torch.stack(both, 1)

    def compute_from(self, total: Tensor) -> dict[str, float]:
        """The overlap of each channel; a and b only if there was a colour image."""
        overlaps = [_overlap(p, q) for p, q in self.by_channel(total)]
        return dict(zip(self.values, overlaps if self._coloured else overlaps[:1], strict=False))

    def by_channel(self, state: Tensor) -> tuple[Tensor, ...]:
        """A state's counts of L, of a and of b, ``[..., bins]`` each."""
        return torch.split(state, self._bins, -1)

    def interval(self) -> dict[str, Interval]:
        """Delete-a-group jackknife over images, within [0, 1]."""
        value = self.compute()
        states = torch.stack(self.states)
        found = jackknife_interval(len(states), value, lambda chosen: self.compute_from(states[chosen].sum(0)))
        return {name: (max(low, 0.0), min(high, 1.0)) for name, (low, high) in found.items()}

    def bounds(self) -> dict[str, dict[str, float]]:
        """The targets overlap with themselves entirely."""
        return {TARGET_ITSELF: dict.fromkeys(self.compute(), 1.0)}

    def edges(self) -> list[Tensor]:
        """Where the bins of L, of a and of b begin and end, ``[bins + 1]`` each; what lies beyond is counted in the outermost."""
        lightness, *chroma = (torch.arange(bins + 1, dtype=torch.float64) for bins in self._bins)
        return [
            lightness * self._width,
            *((steps - bins / 2) * 2 * self._width for steps, bins in zip(chroma, self._bins[1:], strict=True)),
        ]

    def reset(self) -> None:
        """Forget all states, and whether there was colour."""
        super().reset()
        self._coloured = False

    def state(self) -> State:
        """The histograms of every image, and ``coloured``, whether one of them was in colour."""
        return super().state() | {"coloured": self._coloured}

    def merge(self, state: State) -> None:
        """Put another's histograms behind these; they are whole numbers, and are summed over all images at once."""
        super().merge(state)
        self._coloured |= state["coloured"]

    def counts(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Each image's pixels by bin: ``[N, 3, H, W]`` in [-1, 1] to ``[N, bins of L, a and b]``; with a mask those that count.

        Raises:
            ValueError: not three channels.
        """
        bands = row_bands(images.shape[-2], images[..., :1, :].numel())
        parts = [self._counts(images[..., start:stop, :], None if mask is None else mask[..., start:stop, :]) for start, stop in bands]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def _counts(self, images: Tensor, mask: Tensor | None) -> Tensor:
        lab = rgb_to_lab(images)
        lightness, a, b = lab.unbind(1)
        grey = self._bins[1] // 2
        chosen = (lightness / self._width).floor(), (a / self._width / 2).round() + grey, (b / self._width / 2).round() + grey
        channels = []
        for numbers, bins in zip(chosen, self._bins, strict=True):
            inside = numbers.long().clamp(0, bins - 1).flatten(1)
            if mask is not None:
                channels.append(torch.stack([one[where].bincount(minlength=bins) for one, where in zip(inside, mask.flatten(1))]))
                continue
            channels.append(torch.stack([image.bincount(minlength=bins) for image in inside]))
        counts = torch.cat(channels, 1).double()
        counts[lab.isnan().flatten(1).any(1)] = math.nan  # a broken translator must not pass for a black one
        return counts
