"""Where the tiles of a large image lie, and how what becomes of them is joined again: geometry alone, which knows nothing of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A stretch of rows or of columns, in pixels.

    Attributes:
        start: the first.
        stop: after the last.
    """

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def spans(size: int, tile: int, overlap: int, multiple: int = 1) -> tuple[Span, ...]:
    """Stretches of one length that cover ``size`` pixels, each sharing at least ``overlap`` with the next.

    The last one ends with the image, so it may share more. All start at multiples of ``multiple``, as a network that halves wants it: then
    every tile is halved at the same places as the whole.

    Args:
        size: a multiple of ``multiple``.
        tile: their length, likewise; an image that is no longer is one stretch.
        overlap: below ``tile`` by at least ``multiple``.
        multiple: what a network's sides are divisible by.

    Raises:
        ValueError: the numbers do not go together.
    """
    if size < 1 or size % multiple or tile < 1 or tile % multiple or not 0 <= overlap <= tile - multiple:
        raise ValueError(f"{size} pixels in tiles of {tile} that overlap by {overlap}, all at multiples of {multiple}")
    if size <= tile:
        return (Span(0, size),)
    step = (tile - overlap) // multiple * multiple
    starts = [*range(0, size - tile, step), size - tile]
    return tuple(Span(start, start + tile) for start in starts)


def evenly(size: int, tile: int, overlap: int, multiple: int = 1) -> int:
    """The least side of tiles that are as few as those of :func:`spans`: the last then shares no more than the others, or hardly."""
    count = len(spans(size, tile, overlap, multiple))
    if count == 1:
        return tile
    shared = -(-overlap // multiple) * multiple
    return min(tile, -(-(size + (count - 1) * shared) // (count * multiple)) * multiple)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image, and where one fades into the next.

    Attributes:
        rows: of each row of tiles.
        columns: of each column of tiles.
        feather: pixels, around the middle of what two tiles share, in which the one fades into the other; what a tile has beyond is not
            used, since there it misses its surroundings.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    feather: int = 0

    @classmethod
    def of(
        cls, height: int, width: int, tile: int, overlap: int, multiple: int = 1, feather: int | None = None, at_most: bool = False
    ) -> TileGrid:
        """Tiles of ``tile`` x ``tile`` pixels, or as high or wide as the image where that is less, see :func:`spans`.

        Without ``feather`` all of the overlap fades. With ``at_most`` the tiles may be smaller, where they are no more for it.
        """
        fading = overlap if feather is None else min(feather, overlap)
        rows, columns = (
            spans(size, evenly(size, tile, overlap, multiple) if at_most else tile, overlap, multiple) for size in (height, width)
        )
        return cls(rows, columns, fading)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def height(self) -> int:
        """Of the image."""
        return self.rows[-1].stop

    @property
    def width(self) -> int:
        """Of the image."""
        return self.columns[-1].stop

    def tiles(self) -> Iterator[tuple[Span, Span]]:
        """Rows and columns of each tile, in the order of reading."""
        return ((row, column) for row in self.rows for column in self.columns)

    def core(self, row: Span, column: Span) -> tuple[Span, Span]:
        """The part of a tile that is nearer to its middle than to its neighbours': together these cover the image once."""
        return _own(self.rows, row), _own(self.columns, column)

    def split(self, image: Tensor) -> Iterator[Tensor]:
        """The tiles of ``[..., H, W]``."""
        return (image[..., row.start : row.stop, column.start : column.stop] for row, column in self.tiles())

    def row_at(self, done: int) -> int:
        """The row of tiles to begin with, where so many rows of pixels are done: none before it has a part in the others."""
        starts = [0, *(at for at in range(1, len(self.rows)) if self._zone(self.rows[at - 1], self.rows[at]).stop <= done)]
        return starts[-1]

    def joined(self, translate: Callable[[Span, Span], Tensor], done: int = 0) -> Iterator[Tensor]:
        """The image's rows from the top, as soon as no later tile can change them.

        Never more than two rows of tiles are held. Tiles that agree come out as they are, to the bit.

        Args:
            translate: gives what becomes of a tile, ``[..., h, w]``; called once for each, in the order of reading.
            done: rows of pixels that are left out, as they are known; the others come out as they would with them, to the bit.

        Yields:
            ``[..., n, W]``: the next n rows.
        """
        held, origin = None, 0
        for index in range(self.row_at(done), len(self.rows)):
            row = self.rows[index]
            strip = self._strip(row, translate)
            if held is None:
                held, origin = strip, row.start
            else:
                held = _faded(held, strip, row.start - origin, self._zone(self.rows[index - 1], row, origin), dim=-2)
            final = self.height if index + 1 == len(self.rows) else self._zone(row, self.rows[index + 1]).start
            if final > done:
                yield held[..., max(0, done - origin) : final - origin, :]
            held, origin, done = held[..., final - origin :, :].clone(), final, max(done, final)

    def blend(self, tiles: Sequence[Tensor]) -> Tensor:
        """The image that :meth:`split` took apart, or what became of it."""
        remaining = iter(tiles)
        return torch.cat(list(self.joined(lambda row, column: next(remaining))), dim=-2)

    def _strip(self, row: Span, translate: Callable[[Span, Span], Tensor]) -> Tensor:
        """A row of tiles, joined; zones are those of the columns."""
        first = translate(row, self.columns[0])
        if len(self.columns) == 1:
            return first
        strip = first.new_empty((*first.shape[:-1], self.width))
        strip[..., : self.columns[0].stop] = first
        for before, column in pairwise(self.columns):
            tile, zone = translate(row, column), self._zone(before, column)
            start, stop = zone.start - column.start, zone.stop - column.start
            fading = strip[..., zone.start : zone.stop]
            strip[..., zone.start : zone.stop] = torch.lerp(fading, tile[..., start:stop], _weights(len(zone), tile))
            strip[..., zone.stop : column.stop] = tile[..., stop:]
        return strip

    def _zone(self, first: Span, second: Span, origin: int = 0) -> Span:
        """Where a tile fades into the next, counted from ``origin``."""
        shared = first.stop - second.start
        length = min(self.feather, shared)
        start = second.start + (shared - length) // 2 - origin
        return Span(start, start + length)


def _faded(held: Tensor, strip: Tensor, offset: int, zone: Span, dim: int) -> Tensor:
    """Rows that were held, and then those of the next strip, which begins at ``offset``; the one fades into the other in ``zone``."""
    weights = _weights(len(zone), strip)[:, None]
    fading = torch.lerp(held[..., zone.start : zone.stop, :], strip[..., zone.start - offset : zone.stop - offset, :], weights)
    return torch.cat([held[..., : zone.start, :], fading, strip[..., zone.stop - offset :, :]], dim=dim)


def _weights(length: int, like: Tensor) -> Tensor:
    """How much of the next tile there is at each place. Between equal values ``lerp`` gives that value for any of them."""
    return (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5) / max(1, length)


def _own(all_of_them: tuple[Span, ...], one: Span) -> Span:
    index = all_of_them.index(one)
    start = one.start if index == 0 else (all_of_them[index - 1].stop + one.start) // 2
    stop = one.stop if index + 1 == len(all_of_them) else (one.stop + all_of_them[index + 1].start) // 2
    return Span(start, stop)


def reflected(span: Span, size: int) -> Tensor:
    """Which of ``size`` rows (or columns) stand in a stretch that may reach beyond the last: those before it, mirrored again and again."""
    period = max(1, 2 * size - 2)
    steps = torch.arange(span.start, span.stop) % period
    return torch.where(steps < size, steps, period - steps)


def reach(receptive_field: int, multiple: int) -> int:
    """How far, to either side, a pixel of the output may look.

    The square of ``receptive_field`` pixels that holds all it depends on need not lie around it: where a network halves and doubles,
    it lies up to half of ``multiple`` off, depending on where in a block of ``multiple`` pixels the pixel is.
    """
    return -(-receptive_field // 2) + multiple // 2
