"""Two domains without labels, drawn as formulas: plain boxes, and the same boxes with stripes in other colours."""

from __future__ import annotations

import torch
from torch import Tensor

SIZE = 32


def boxes(n: int, seed: int, striped: bool = False) -> Tensor:
    """``[n, 3, 32, 32]``: two boxes each. One seed has the same boxes in both domains; colours are each domain's own."""
    places, colours = (torch.Generator().manual_seed(each) for each in (seed, 1000 + seed))
    pixel = torch.arange(SIZE) / SIZE
    y, x = pixel[None, :, None], pixel[None, None, :]
    paint = torch.rand(n, 3, 3, 1, 1, generator=colours) * 1.2 - 0.6
    if striped:
        paint = paint.roll(1, 1) * torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    picture = paint[:, 0].expand(n, 3, SIZE, SIZE).clone()
    stripes = 0.35 * torch.sin(60 * (x + y))
    for box in (1, 2):
        top, left, height, width = (torch.rand(n, 1, 1, generator=places) for _ in range(4))
        top, left = 0.1 + 0.5 * top, 0.1 + 0.5 * left
        inside = (y > top) & (y < top + 0.15 + 0.3 * height) & (x > left) & (x < left + 0.15 + 0.3 * width)
        picture = torch.where(inside[:, None], paint[:, box] + (stripes[:, None] if striped else 0), picture)
    return picture.clamp(-1, 1)
