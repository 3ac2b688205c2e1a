"""What of the source is still in the output: outlines, layout, which source it was, and whether another training would agree.

None of these needs labels or pairs. Each function gives one value per image, so that a mean has an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...losses.ssim import ssim
from .representations import (
    ROWS,
    Space,
    check,
    check_pairs,
    coarse,
    described,
    luminance,
    outlines,
    squared_distances,
    standardised,
    to_channels,
)

_WINDOW = 7  # of the SSIM: at 16 pixels a side, 11 would hardly move
_COLLAPSED = 1e-8  # mean square between outputs below this: a hundredth of a step of 8 bits


def edge_agreement(source: Tensor, output: Tensor) -> Tensor:
    """Whether outlines lie in the same places: the correlation of two maps of outlines.

    Pearson's correlation over the pixels of :func:`.representations.outlines`: the root of the luminance's gradient at a sixty-fourth of
    the shorter side. 1 for equal images and for inverted ones, little less for another contrast; 0.1 to 0.4 for unrelated ones of like
    composition, such as things in the middle of an empty frame; 0 if one of them is flat.

    Blind to what fills the outlines, to colours of one lightness, and to shapes moved by more than two or three pixels of 64 (which
    cost all). Texture that the target domain adds inside the same outlines lowers it: only a comparison between translators of one
    task, or with the bounds, says how much was kept.

    Args:
        source: ``[N, C, H, W]`` in [-1, 1].
        output: ``[N, C', H, W]``.

    Returns:
        ``[N]`` float64 in [-1, 1].

    Raises:
        ValueError: the shapes do not fit.

    Source: ours.
    """
    check_pairs(source, output, "sources", "outputs")
    return (standardised(outlines(source)) * standardised(outlines(output))).sum(1)


def low_pass_ssim(source: Tensor, output: Tensor) -> Tensor:
    """Whether the layout is the same, light for light: SSIM of the luminance averaged to 16 x 16 pixels, window 7.

    Blind to all that is smaller than a sixteenth of the image. Where the domains differ in palette it says little: an inverted copy
    has about -1, and a grey average may beat the right output. :func:`low_pass_correlation` does not mind an inversion.

    Args:
        source: ``[N, C, H, W]`` in [-1, 1].
        output: ``[N, C', H, W]``.

    Returns:
        ``[N]`` float64 in [-1, 1], 1 for equal images.

    Raises:
        ValueError: the shapes do not fit.

    Source: Wang et al. 2004, equation 13, on averages that are ours.
    """
    check_pairs(source, output, "sources", "outputs")
    return ssim(coarse(luminance(source)), coarse(luminance(output)), _WINDOW)


def low_pass_correlation(source: Tensor, output: Tensor) -> Tensor:
    """Whether the layout is the same, up to contrast and inversion: |correlation| of the luminance averaged to 16 x 16 pixels.

    Blind to brightness, contrast, inversion, and all that is smaller than a sixteenth of the image. Unrelated images have about 0.2,
    since there is no sign. Where some things become lighter and others darker it falls too, though the layout is kept:
    :func:`edge_agreement` is for that.

    Args:
        source: ``[N, C, H, W]`` in [-1, 1].
        output: ``[N, C', H, W]``.

    Returns:
        ``[N]`` float64 in [0, 1]; 0 if one of the two is flat.

    Raises:
        ValueError: the shapes do not fit.

    Source: ours.
    """
    check_pairs(source, output, "sources", "outputs")
    return (standardised(coarse(luminance(source))) * standardised(coarse(luminance(output)))).sum(1).abs()


def retrieval_at_1(outputs: Tensor, candidates: Tensor, own: Sequence[int] | Tensor | None = None, space: Space = "pixels") -> Tensor:
    """Whether the candidate nearest to an output is the very source it was made from; the mean is retrieval@1.

    A generator that permutes the data fools every discriminator and keeps nothing: it has 0 here, or 1 in M by chance, as has one
    whose output ignores its input. The identity has 1. Among k candidates that are equally near, the own one counts 1 / k.

    Blind to how near the nearest is, and to everything once the source is still recognised: 1 does not say that much is kept. It
    falls with the number of candidates, so compare at the same number only.

    Args:
        outputs: ``[N, C, H, W]`` in [-1, 1].
        candidates: sources ``[M, C', H, W]``; other channels are brought to the outputs'.
        own: for each output the index of its source among the candidates; None is the first N in order.
        space: ``pixels``, the mean squared difference, right where both are of one domain; or ``structure``, the outlines.

    Returns:
        ``[N]`` float64 in [0, 1].

    Raises:
        ValueError: the shapes do not fit, or an index is out of range.

    Source: ours, against the argument of arXiv 2411.10368: matching two distributions does not single out the identity.
    """
    check(outputs, "outputs")
    check(candidates, "candidates")
    if outputs.shape[2:] != candidates.shape[2:]:
        raise ValueError(f"outputs and candidates must be of one size: got {list(outputs.shape)} and {list(candidates.shape)}")
    n, m = len(outputs), len(candidates)
    index = torch.arange(n) if own is None else torch.as_tensor(own)
    if index.shape != (n,) or index.is_floating_point() or int(index.min()) < 0 or int(index.max()) >= m:
        raise ValueError(f"each of {n} outputs needs the index of its source among {m} candidates: got {index.tolist()}")
    candidates = to_channels(candidates, outputs.shape[1])
    x, y = described(outputs, space), described(candidates, space)
    found = []
    for rows in torch.split(torch.arange(n), ROWS):
        nearer, as_near = _rank(x[rows], y, index[rows], torch.float32)
        open_still = ~nearer & (as_near > 1)
        if open_still.any():  # near copies, or rounding
            again = rows[open_still]
            nearer[open_still], as_near[open_still] = _rank(x[again], y, index[again], torch.float64)
        share = (1 / as_near.double()).masked_fill(as_near == 0, torch.nan)  # not even its own: the output is not finite
        found.append(torch.where(nearer, 0, share))
    return torch.cat(found)


def _rank(x: Tensor, y: Tensor, own: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """For each row of x, whether some row of y is nearer than its own for sure; and how many, with its own, may be as near."""
    apart, rounding = squared_distances(x, y, kind)
    mine = own[:, None].to(apart.device)
    distance, doubt = apart.gather(1, mine), rounding + rounding.gather(1, mine)
    return (apart < distance - doubt).any(1).cpu(), ((apart - distance).abs() <= doubt).sum(1).cpu()


def seed_agreement(outputs_1: Tensor, outputs_2: Tensor, space: Space = "pixels") -> Tensor:
    """How near the outputs of two trainings to one source are, where 0 is as far as outputs to different sources.

    1 - d(G1(x_i), G2(x_i)) / E_(j != k) d(G1(x_j), G2(x_k)), with d the mean squared difference and the mean over all pairs of
    different sources, whose closed form needs no matrix. 1 is equal; 0 says that the data leave the output to chance. It can be
    negative, for a pair that is further apart than strangers.

    Blind to whether what they agree on is right: two identities agree, and so do two equal mistakes. Noise that each training adds in
    its own way counts as disagreement (``structure`` minds it less). Two that always draw one and the same picture agree trivially,
    and have NaN; each its own picture, 0.

    Args:
        outputs_1: ``[N, C, H, W]`` in [-1, 1], N at least 2.
        outputs_2: of the other training, to the same sources in the same order.
        space: ``pixels``, or ``structure`` for the outlines alone.

    Returns:
        ``[N]`` float64, at most 1; all NaN where outputs to different sources do not differ.

    Raises:
        ValueError: the shapes differ, or there is but one image.

    Source: ours.
    """
    own, other = seed_distances(outputs_1, outputs_2, space)
    return 1 - own / other.mean()


def seed_distances(outputs_1: Tensor, outputs_2: Tensor, space: Space = "pixels") -> tuple[Tensor, Tensor]:
    """The two distances of :func:`seed_agreement` for each image, ``[N]`` float64: to its own counterpart, and to all others.

    The second is the mean over j != i of d(G1(x_i), G2(x_j)) and d(G1(x_j), G2(x_i)); all NaN for a collapse.

    Raises:
        ValueError: the shapes differ, or there is but one image.
    """
    check_pairs(outputs_1, outputs_2, "outputs", "other outputs", channels=True)
    n = len(outputs_1)
    if n < 2:
        raise ValueError("agreement is measured against outputs to other sources: give at least two images")
    x, y = described(outputs_1, space), described(outputs_2, space)
    middle = (x.mean(0, dtype=torch.float64) + y.mean(0, dtype=torch.float64)) / 2  # from here, rounding is least
    total_x, total_y = (rows.sum(0, dtype=torch.float64) - n * middle for rows in (x, y))
    parts = []
    for first, second in zip(torch.split(x, 256), torch.split(y, 256), strict=True):
        a, b = first.double() - middle, second.double() - middle
        parts.append(torch.stack([(a - b).square().sum(1), a.square().sum(1), b.square().sum(1), a @ total_y, b @ total_x]))
    own, length_x, length_y, cross_x, cross_y = torch.cat(parts, 1)
    to_second = n * length_x + length_y.sum() - 2 * cross_x - own
    to_first = n * length_y + length_x.sum() - 2 * cross_y - own
    other = (to_second + to_first) / (2 * (n - 1))
    if other.mean() <= _COLLAPSED * x.shape[1]:
        return own, torch.full_like(own, torch.nan)
    return own, other
