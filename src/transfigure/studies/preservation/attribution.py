"""Which pixels of the input a region of the output depends on: by gradients at one input, and by covering parts of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...networks.model_file import Inference
from ...networks.modes import inference
from ...translation.network import pad_by_reflection

ImageFunction = nn.Module | Callable[[Tensor], Tensor]
"""A network, which is run as a translator would run it; or any function of ``[1, C, H, W]``, which is called as it is."""


class Locality(NamedTuple):
    """A share, and what it would be if the dependence were the same everywhere.

    Attributes:
        share: of the dependence that lies in the region or near it, ``[R]``; NaN where there is no dependence at all.
        uniform: the share of pixels that do, ``[R]``.
    """

    share: Tensor
    uniform: Tensor


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What covering each patch of the input changed.

    Attributes:
        change: the mean absolute change over channels of each output pixel, ``[h, w, H, W]``.
        corners: the upper left pixel of each patch, ``[h, w, 2]`` (row, column).
        locality: the share of the change that fell onto the patch or near it, beside that of a uniform change, each ``[h, w]``. NaN
            where nothing changed, as when the patch had the image's mean colour already.
    """

    change: Tensor
    corners: Tensor
    locality: Locality


def input_gradients(generator: ImageFunction, source: Tensor, regions: Tensor, how: Inference | None = None) -> Tensor:
    """How much each input pixel moves what is in a region of the output: the mean over channels of |d sum(region G(x)) / dx|.

    Blind to everything but small changes at this one input; and to what moves two pixels of a region in opposite directions, which
    cancels in the sum, so take regions of one thing. :func:`occlusion` has neither fault.

    Args:
        generator: a network, in float32, or a differentiable function.
        source: one image, ``[C, H, W]`` or ``[1, C, H, W]`` in [-1, 1].
        regions: R masks or weights of output pixels, ``[R, H, W]``.
        how: statistics and noise of a network; None is a translator's default.

    Returns:
        ``[R, H, W]`` float32 on the CPU, each map of sum 1; all 0 where the region does not depend on the input.

    Raises:
        ValueError: the shapes do not fit, or the function passes no gradient.

    Source: Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional networks", section 3, of a region in place of a class.
    """
    image = _one_image(source)
    if regions.ndim != 3 or len(regions) == 0 or regions.shape[1:] != image.shape[2:]:
        raise ValueError(f"regions are masks [R, H, W] of the image's size: got {list(regions.shape)} for {list(image.shape)}")
    maps = []
    with torch.inference_mode(False), torch.enable_grad():
        x = image.detach().clone().requires_grad_()
        output = _output(generator, x, how)
        if not output.requires_grad:
            raise ValueError("no gradient comes through: give the generator itself, not a function that runs it without gradients")
        for region in regions.to(output):
            (gradient,) = torch.autograd.grad((output * region).sum(), x, retain_graph=True, allow_unused=True)
            maps.append(torch.zeros_like(x) if gradient is None else gradient.abs())
    found = torch.cat(maps).mean(1).double().cpu()
    total = found.sum((1, 2), keepdim=True)
    return torch.where(total > 0, found / total.clamp_min(1e-300), 0).float()


def occlusion(
    generator: ImageFunction,
    source: Tensor,
    patch: int,
    stride: int | None = None,
    margin: int | None = None,
    how: Inference | None = None,
) -> Occlusion:
    """What changes in the output where a patch of the input is replaced by the image's mean colour.

    One output per patch, each computed alone and with the same noise. The last row and column of patches lie flush with the border.

    Blind to what a patch of the mean colour does not disturb; and the patch itself is something that no training image showed.

    Args:
        generator: a network or a function.
        source: one image, ``[C, H, W]`` or ``[1, C, H, W]`` in [-1, 1].
        patch: side in pixels.
        stride: from patch to patch; None is the side, so that they tile.
        margin: how far from the patch a change counts as near; None is the side.
        how: statistics and noise of a network; None is a translator's default.

    Raises:
        ValueError: the shapes do not fit, or a patch larger than the image.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2.
    """
    image = _one_image(source)
    height, width = image.shape[2:]
    step, near = patch if stride is None else stride, patch if margin is None else margin
    if not 1 <= patch <= min(height, width) or step < 1 or near < 0:
        raise ValueError(f"patch {patch}, stride {step} and margin {near} do not fit an image of {width} x {height} pixels")
    rows, columns = _starts(height, patch, step), _starts(width, patch, step)
    mean = image.mean((2, 3), keepdim=True)
    changes, covers = [], []
    with torch.inference_mode(False), torch.no_grad():
        before = _output(generator, image, how)
        for row in rows:
            for column in columns:
                cover = torch.zeros(height, width, dtype=torch.bool, device=image.device)
                cover[row : row + patch, column : column + patch] = True
                changes.append((_output(generator, torch.where(cover, mean, image), how) - before)[0].abs().mean(0).float().cpu())
                covers.append(cover.cpu())
    change = torch.stack(changes)
    found = locality(change, torch.stack(covers), near)
    grid = len(rows), len(columns)
    corners = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))
    return Occlusion(change.view(*grid, height, width), corners.view(*grid, 2), Locality(found.share.view(grid), found.uniform.view(grid)))


def locality(maps: Tensor, regions: Tensor, margin: int = 0) -> Locality:
    """The share of a dependence that lies within a region, or within ``margin`` pixels of it in both directions.

    Args:
        maps: how much, at least 0, ``[R, H, W]``.
        regions: masks of the same shape.
        margin: in pixels.

    Raises:
        ValueError: the shapes do not fit, or the margin is negative.
    """
    if maps.ndim != 3 or maps.shape != regions.shape or maps.numel() == 0 or margin < 0:
        raise ValueError(f"maps and regions are [R, H, W] and a margin at least 0: got {list(maps.shape)}, {list(regions.shape)}, {margin}")
    side = 2 * margin + 1
    inside = F.max_pool2d((regions != 0).float(), side, stride=1, padding=margin).double()
    total = maps.double().sum((1, 2))
    return Locality((maps * inside).sum((1, 2)) / total.where(total > 0, torch.nan), inside.mean((1, 2)))


def _output(generator: ImageFunction, image: Tensor, how: Inference | None) -> Tensor:
    """``[1, C, H, W]`` to ``[1, C', H, W]``, with a gradient if the caller has one; a network runs as in a translator, padding included."""
    output: Tensor
    if isinstance(generator, nn.Module):
        how, gradient = how or Inference(), torch.is_grad_enabled()
        weight = next(generator.parameters(), image)
        padded = pad_by_reflection(image[0], getattr(generator, "size_multiple", 1), getattr(generator, "smallest_input", 1))
        # the seed is set anew for every output: what differs is the input, and never the noise
        with inference(generator, norm=how.norm, noise=how.noise, seed=how.seed), torch.set_grad_enabled(gradient):
            output = generator(padded[None].to(weight.device))[..., : image.shape[2], : image.shape[3]]
    else:
        output = generator(image)
    if output.ndim != 4 or len(output) != 1 or output.shape[2:] != image.shape[2:]:
        raise ValueError(f"a generator makes one image of the size of its input: got {list(output.shape)} for {list(image.shape)}")
    return output


def _one_image(source: Tensor) -> Tensor:
    image = source[None] if source.ndim == 3 else source
    if image.ndim != 4 or len(image) != 1 or image.numel() == 0 or not image.is_floating_point():
        raise ValueError(f"dependence is looked at in one float image [C, H, W]: got {source.dtype} {list(source.shape)}")
    return image


def _starts(size: int, patch: int, stride: int) -> list[int]:
    starts = list(range(0, size - patch + 1, stride))
    return starts if starts[-1] == size - patch else [*starts, size - patch]
