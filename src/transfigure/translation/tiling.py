"""Whether an image goes through the network whole or in tiles, in which, and how: as large as the memory lets them be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from .. import memory
from ..errors import UserError
from ..networks.base import Generator
from ..networks.blocks import NoiseInjection
from ..networks.image_statistics import ImageStatistics, statistics_layers
from ..networks.model_file import Inference
from ..networks.noise import TiledNoise
from ..progress import Progress
from .engines.base import InferenceEngine
from .engines.torch import TorchEngine
from .exported_network import ExportedGenerator
from .footprint import Footprint, HeldBytes
from .network import fits
from .tile_source import RowReader, Rows, TensorSource, TileSource
from .tiles import Span, TileGrid, reach

TileStatistics = Literal["tile", "global", "exact"]
LARGEST = 2304
"""Pixels a side of the tiles that are chosen: larger ones spare little of what is computed twice, and progress would come too seldom."""
SAMPLES = 16
"""Tiles, at most, whose statistics stand for those of all, with ``global``; half as many as there are, if that is less."""
SLACK = 1.25
"""How many times the memory that is free a translation may be foretold to take that was begun when more was free."""
USUAL: TileStatistics = "global"
"""Where a norm takes the statistics of the image at hand: tiles then agree, at the cost of a few more (benchmarks/tiles.py)."""


@dataclass(frozen=True)
class Tiling:
    """When an image is translated in tiles, and in which.

    Attributes:
        tile: pixels a side; ``auto``: where the whole does not fit the memory, as large as fits; ``none``: never.
        overlap: pixels that neighbours share at least; None: as many as the network sees, if that is no more than half of a tile, else a
            quarter of it.
        max_memory: bytes that the process (on a GPU: the translation) may take; None: what is free.
        statistics: of a network that normalises with those of the image at hand: ``tile``: of each tile, one pass, and tiles differ in
            contrast; ``global``: those of some tiles that lie all over the image, which go through the network before (approximate);
            ``exact``: those of the whole image, gathered layer by layer, a pass for each. None: ``global`` where the engine can, else
            ``tile``.

    Raises:
        UserError: a value outside these.
    """

    tile: int | Literal["auto", "none"] = "auto"
    overlap: int | None = None
    max_memory: int | None = None
    statistics: TileStatistics | None = None

    def __post_init__(self) -> None:
        if self.tile not in ("auto", "none") and (type(self.tile) is not int or self.tile < 1):
            raise UserError(f"tile is {self.tile!r}: give auto, none, or pixels a side, such as 512")
        if self.overlap is not None and (type(self.overlap) is not int or self.overlap < 0):
            raise UserError(f"overlap is {self.overlap!r}: give pixels, such as 64")
        if self.max_memory is not None and (type(self.max_memory) is not int or self.max_memory < 1):
            raise UserError(f"max_memory is {self.max_memory!r}: give bytes, such as 2_000_000_000")
        if self.statistics is not None and self.statistics not in get_args(TileStatistics):
            raise UserError(f"statistics of tiles are {self.statistics!r}: choose {', '.join(get_args(TileStatistics))}")


class TilingKeywords(TypedDict, total=False):
    """The fields of :class:`Tiling` as keywords."""

    tile: int | Literal["auto", "none"]
    overlap: int | None
    max_memory: int | None
    statistics: TileStatistics | None


@dataclass(frozen=True)
class TilePlan:
    """How one image is translated.

    Attributes:
        grid: its tiles, of the image as it is padded.
        height: of the image itself.
        width: likewise.
        side: pixels a side of its tiles, at most.
        statistics: see :class:`Tiling`.
        extra: tiles (or as many pixels) that go through the network, or the beginning of it, for statistics.
        note: what a person should know of it.
    """

    grid: TileGrid
    height: int
    width: int
    side: int
    statistics: TileStatistics
    extra: int
    note: str


@dataclass
class BegunTiles:
    """What of an image is translated already.

    Attributes:
        rows: from the top, that are final.
        statistics: those of all tiles, as far as they are gathered; None if nothing is.
        passes: over the image that have gathered them.
        progress: called after each such pass.
    """

    rows: int = 0
    statistics: ImageStatistics | None = None
    passes: int = 0
    progress: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Tiler:
    """Plans and runs translations in tiles.

    Attributes:
        engine: what runs the generator.
        generator: says what sizes it takes, and how far it sees.
        multiple: of the height and width inside.
        how: statistics, noise, seed.
        footprint: of the generator.
        tiling: what was asked for.
    """

    engine: InferenceEngine
    generator: Generator
    multiple: int
    how: Inference
    footprint: Footprint
    tiling: Tiling

    def plan(self, height: int, width: int, held: HeldBytes | None = None, never_whole: bool = False) -> TilePlan | None:
        """Tiles for an image of this size, or None if it goes through whole.

        Args:
            height, width: pixels.
            held: what is in memory of it beside its tiles, see :meth:`.footprint.Footprint.in_tiles`.
            never_whole: it goes in tiles even if it fits in one pass.

        Raises:
            UserError: it takes more memory than there is, either way; or the model cannot be run in the tiles that were asked for.
        """
        sides = self._padded(height), self._padded(width)
        asked = self.tiling.tile
        if self.generator.only_size is not None:
            if asked not in ("auto", "none") and not fits(self.generator, height, width):
                only = self.generator.only_size
                raise UserError(
                    f"this model takes {only} x {only} pixels only, and an image is resized to that: it cannot be translated in tiles"
                )
            sides = self.generator.only_size, self.generator.only_size
        fixed = self.tiling.max_memory is not None
        wanted = (self.footprint.least if fixed else self.footprint.of)(*sides, shown=(height, width))
        free = self._free() if wanted or fixed else None
        if isinstance(asked, int) and self.generator.only_size is None:
            tile = max(-(-asked // self.multiple) * self.multiple, self._smallest() if self.tiling.overlap != 0 else self.multiple)
            if max(sides) > tile:
                if free is not None and (taken := self._of_tiles(tile, sides, held)) > free:
                    raise UserError(
                        f"{width} x {height} pixels in tiles of {tile} take about {memory.words(taken)} of memory in "
                        f"this model, and {self._words(free)}: choose smaller tiles, another device, or close other programs"
                    )
                return self._planned(height, width, sides, tile, "")
        never_whole &= asked == "auto" and self.generator.only_size is None
        if (free is None or wanted <= free) and not never_whole:
            return None
        padded = "" if sides == (height, width) or self.generator.only_size else f" (inside {sides[1]} x {sides[0]})"
        what = f"{width} x {height} pixels{padded} take about {memory.words(wanted)} of memory in this model"
        if asked != "auto" or self.generator.only_size is not None:
            assert free is not None  # never_whole is not, here
            way_out = "let it be translated in tiles (--tile auto)" if self.generator.only_size is None else "make it smaller"
            raise UserError(f"{what}, and {self._words(free)}: {way_out}, choose another device, or close other programs")
        for tile in range(min(LARGEST, max(sides)) // self.multiple * self.multiple, self._smallest() - 1, -self.multiple):
            if free is None or self._of_tiles(tile, sides, held) <= free:
                return self._planned(height, width, sides, tile, f", where one pass takes about {memory.words(wanted)}" if wanted else "")
        assert free is not None
        least = self._of_tiles(self._smallest(), sides, held)
        more = "" if self.tiling.max_memory is None else "raise --max-memory, "
        raise UserError(
            f"{what}, and about {memory.words(least)} in its smallest tiles, and {self._words(free)}: {more}make it smaller, choose "
            "another device, or close other programs"
        )

    def _padded(self, side: int) -> int:
        return -(-max(side, self.generator.smallest_input) // self.multiple) * self.multiple

    def _free(self) -> int | None:
        device = next((parameter.device for parameter in self.generator.parameters()), torch.device("cpu"))
        free = memory.available_on(device)
        if (most := self.tiling.max_memory) is not None:
            most -= memory.used() if device.type == "cpu" else 0
            free = most if free is None else min(free, most)
        return free

    def _words(self, free: int) -> str:
        if free < 0:
            return f"the program itself takes all of the {memory.words(self.tiling.max_memory or 0)} that it may"
        return f"{memory.words(free)} are free" + ("" if self.tiling.max_memory is None else " by --max-memory")

    def _smallest(self) -> int:
        """The least side of a tile that can share something with the next."""
        return max(2 * self.multiple, -(-self.generator.smallest_input // self.multiple) * self.multiple)

    def fits_in_tiles(self, height: int, width: int, side: int, held: HeldBytes) -> bool:
        """Whether tiles of this side, which fitted the memory before, still do: a little more may be in use by now."""
        free = self._free()
        return free is None or self._of_tiles(side, (self._padded(height), self._padded(width)), held) <= SLACK * free

    def again(self, height: int, width: int, side: int) -> TilePlan:
        """The plan of an image of this size that was begun in tiles of this side."""
        return self._planned(height, width, (self._padded(height), self._padded(width)), side, "")

    def _of_tiles(self, tile: int, sides: tuple[int, int], held: HeldBytes | None = None) -> int:
        return self.footprint.in_tiles(min(tile, sides[0]), min(tile, sides[1]), *sides, held)

    def _planned(self, height: int, width: int, sides: tuple[int, int], tile: int, reason: str) -> TilePlan:
        """The plan with tiles of this side."""
        field, multiple = self.generator.receptive_field, self.multiple
        seen = None if field is None else reach(field, multiple)
        whole = None if seen is None else -(-2 * seen // multiple) * multiple
        if (overlap := self.tiling.overlap) is None:
            part = max(multiple, tile // 4 // multiple * multiple)
            overlap = whole if whole is not None and whole <= tile // 2 else part
        if overlap > tile - multiple:
            raise UserError(
                f"tiles of {tile} pixels cannot overlap by {overlap}: this model's tiles lie at multiples of {multiple} pixels, so the "
                f"overlap is at most {tile - multiple}"
            )
        statistics, layers = self._statistics()
        enough = seen is not None and overlap >= 2 * seen
        of_whole = enough and (not layers or statistics == "exact")
        # Where tiles agree, what they share needs no fading, and all of it may be surroundings; elsewhere half of it fades.
        agree = enough and (not layers or statistics != "tile")
        feather = overlap - 2 * seen if agree and seen is not None else overlap // 2
        grid = TileGrid.of(*sides, tile, overlap, multiple, feather, at_most=self.tiling.tile == "auto")
        extra = {"tile": 0, "global": min(SAMPLES, -(-len(grid) // 2)), "exact": layers * len(grid)}[statistics] if layers else 0
        return TilePlan(grid, height, width, tile, statistics, extra, self._note(grid, (height, width), reason, of_whole))

    def _statistics(self) -> tuple[TileStatistics, int]:
        """What they are going to be, and how many layers take them."""
        if isinstance(self.generator, ExportedGenerator) or not isinstance(self.engine, TorchEngine):
            if self.tiling.statistics in ("global", "exact"):
                raise UserError(
                    f"the engine {self.engine.name} gives every tile its own statistics: leave out --tile-statistics "
                    f"{self.tiling.statistics}, or translate a model by --engine torch"
                )
            if self._makes_noise():
                raise UserError(
                    f"the engine {self.engine.name} would give every tile the same noise: add --noise none, or translate a model by "
                    "--engine torch"
                )
            own = isinstance(self.generator, ExportedGenerator) and self.how.norm == "batch"
            return "tile", max(int(own), statistics_layers(self.generator, self.how.norm))
        layers = statistics_layers(self.generator, self.how.norm)
        return self.tiling.statistics or (USUAL if layers else "tile"), layers

    def _makes_noise(self) -> bool:
        if self.how.noise != "dropout":
            return False
        if isinstance(self.generator, ExportedGenerator):
            return bool(self.generator.about.noise)
        return any(
            isinstance(layer, NoiseInjection) or (isinstance(layer, _DropoutNd) and layer.p > 0) for layer in self.generator.modules()
        )

    def _note(self, grid: TileGrid, size: tuple[int, int], reason: str, of_whole: bool) -> str:
        row, column = grid.rows[0], grid.columns[0]
        if len(grid) == 1:
            return ""
        shared = min(first.stop - second.start for line in (grid.rows, grid.columns) for first, second in pairwise(line))
        tiles = f"{len(grid)} tiles of {len(column)} x {len(row)} that overlap by {shared}"
        words = f"{size[1]} x {size[0]} pixels are translated in {tiles}{reason}"
        statistics, layers = self._statistics()
        if layers and statistics == "tile":
            return f"{words}; each is normalised with its own statistics, so neighbours may differ in contrast" + (
                " (--tile-statistics global or exact takes those of all)" if isinstance(self.engine, TorchEngine) else ""
            )
        parts = []
        if layers:
            how = "approximately, from tiles all over it" if statistics == "global" else f"layer by layer, in {layers} passes"
            parts.append(f"the statistics of the whole are gathered first, {how}")
        if not of_whole and (not layers or statistics == "exact"):
            field = self.generator.receptive_field
            seen = "all of the image" if field is None else f"{2 * reach(field, self.multiple)} pixels"
            parts.append(f"approximate: one pixel depends on {seen}, and tiles see no farther than their overlap")
        elif of_whole and not self._makes_noise():
            parts.append("the same picture as in one pass, but for rounding")
        return "; ".join([words, *parts])

    def run(self, image: Tensor | TileSource, plan: TilePlan, quiet: bool = False) -> Tensor:
        """``[C, H, W]`` in [-1, 1], or what is made into it tile by tile, -> ``[C', H, W]``."""
        output = torch.empty(self.generator.target_channels, plan.height, plan.width)
        done = 0
        for rows in self.rows(image, plan, quiet):
            output[:, done : done + rows.shape[1]] = rows
            done += rows.shape[1]
        return output

    def rows(
        self,
        image: Tensor | TileSource,
        plan: TilePlan,
        quiet: bool = False,
        *,
        begun: BegunTiles | None = None,
        look: Callable[[Rows], None] | None = None,
    ) -> Iterator[Tensor]:
        """The same from the top, some rows at a time, each as soon as it is final.

        Args:
            image: all of it, or what reads its rows.
            plan: its tiles.
            quiet: no progress.
            begun: what is done already, in the same tiles; the statistics that are gathered go into it.
            look: is shown all rows that are read from a file, each once, as the source has them.
        """
        source = TensorSource(image) if isinstance(image, Tensor) else image
        grid, begun = plan.grid, begun or BegunTiles()
        first, done = grid.row_at(begun.rows), begun.rows
        known = plan.extra if begun.passes and plan.statistics == "global" else begun.passes * len(grid)
        before, total = first * len(grid.columns) + known, len(grid) + plan.extra
        with Progress(total, "translate", "tiles", before, quiet) as progress, RowReader(source, grid.rows[first:], look) as reader:
            self._gather(source, plan, begun, progress)
            statistics = begun.statistics

            def translate(row: Span, column: Span) -> Tensor:
                if column == grid.columns[0]:
                    reader.go_to(grid.rows.index(row) - first)
                tile = source.encode(reader.cut(row, column))[None]
                if statistics is None and not (self._makes_noise() and isinstance(self.engine, TorchEngine)):
                    output = self.engine(tile, self.how)[0]
                else:
                    output = self._by_torch(tile, row, column, statistics)
                progress.advance()
                return output

            for rows in grid.joined(translate, begun.rows):
                kept = rows[:, : max(0, plan.height - done), : plan.width]
                done += rows.shape[1]
                if kept.shape[1]:
                    yield kept

    def _gather(self, source: TileSource, plan: TilePlan, begun: BegunTiles, progress: Progress) -> None:
        """See that the statistics of all tiles are known, where they are wanted."""
        grid, passes = plan.grid, 1 if plan.statistics == "global" else plan.extra // len(plan.grid)
        if not plan.extra:
            return
        found = begun.statistics = begun.statistics or ImageStatistics(self.how.norm)
        while begun.passes < passes:
            if plan.statistics == "global":
                self._sample(source, plan, found, progress)
            else:
                with RowReader(source, grid.rows) as reader:
                    for index, row in enumerate(grid.rows):
                        reader.go_to(index)
                        for column in grid.columns:
                            tile = source.encode(reader.cut(row, column))[None]
                            self._by_torch(tile, row, column, found, grid.core(row, column))
                            progress.advance()
                found.merge()
            begun.passes += 1
            begun.progress()

    def _sample(self, source: TileSource, plan: TilePlan, found: ImageStatistics, progress: Progress) -> None:
        """Gather the statistics of tiles that lie all over the image, each normalised by itself.

        More and smaller squares without their rims, which miss their surroundings, came out farther from the image's own in every network
        that was tried: a wrong rim does less harm than fewer pixels.
        """
        grid, count = plan.grid, plan.extra
        height, width = len(grid.rows[0]), len(grid.columns[0])
        # As many rows of tiles to columns as the image is high to wide; a tile more or less does not matter.
        down = max(1, min(round(math.sqrt(count * grid.height / grid.width)), count))
        tops = _spread(grid.height, height, down, self.multiple)
        lefts = _spread(grid.width, width, max(1, count // down), self.multiple)
        rows, columns = [Span(top, top + height) for top in tops], [Span(left, left + width) for left in lefts]
        with RowReader(source, rows) as reader:
            for index, row in enumerate(rows):
                reader.go_to(index)
                for column in columns:
                    noise = TiledNoise(self.how.seed, row.start, column.start, height, width)
                    tile = source.encode(reader.cut(row, column))[None]
                    self.torch.within(tile, self.how, noise, lambda network: found.gathering(network, lambda x: x, one=False))
                    progress.advance()
        for _ in range(count - len(rows) * len(columns)):
            progress.advance()
        found.merge()

    @property
    def torch(self) -> TorchEngine:
        """The engine, where nothing but torch will do."""
        assert isinstance(self.engine, TorchEngine)
        return self.engine

    def _by_torch(
        self,
        tile: Tensor,
        row: Span,
        column: Span,
        statistics: ImageStatistics | None,
        core: tuple[Span, Span] | None = None,
    ) -> Tensor:
        """What becomes of a tile, with noise that goes on from tile to tile; with ``core`` the next layer's statistics are gathered."""
        noise = TiledNoise(self.how.seed, row.start, column.start, len(row), len(column))
        if statistics is None:
            return self.torch.within(tile, self.how, noise)
        if core is None:
            return self.torch.within(tile, self.how, noise, statistics.using)
        rows, columns = core

        def part(x: Tensor) -> Tensor:
            return x[..., _scaled(rows, row, x.shape[-2]), _scaled(columns, column, x.shape[-1])]

        return self.torch.within(tile, self.how, noise, lambda network: statistics.gathering(network, part, one=True))


def _spread(size: int, length: int, count: int, multiple: int) -> list[int]:
    """Where so many stretches begin that lie evenly over ``size``, all at multiples of ``multiple``, and none twice."""
    free = size - length
    return sorted({(free * index // max(1, count - 1) if count > 1 else free // 2) // multiple * multiple for index in range(count)})


def _scaled(part: Span, tile: Span, size: int) -> slice:
    """A part of a tile in a map of ``size`` places over it: neighbours' parts share no place and leave none out."""
    first, last = (side * size // len(tile) - tile.start * size // len(tile) for side in (part.start, part.stop))
    return slice(first, last)


def parse_tile(text: str) -> int | Literal["auto", "none"]:
    """``auto``, ``none`` or pixels a side.

    Raises:
        UserError: it is none of them.
    """
    if text in ("auto", "none"):
        return "auto" if text == "auto" else "none"
    if not text.isdecimal():
        raise UserError(f"--tile is {text!r}: give auto, none, or pixels a side, such as 512")
    return int(text)


def parse_size(text: str) -> int:
    """``2GB``, ``1.5 GB``, ``800MB`` in bytes.

    Raises:
        UserError: it is none.
    """
    words = text.strip().lower().removesuffix("b").removesuffix("i").strip()
    units = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    unit = units.get(words[-1:], 0)
    try:
        size = float(words[:-1]) * unit
    except ValueError:
        size = 0
    if not 1 <= size < 1e18:
        raise UserError(f"{text!r} is no amount of memory: write such as 2GB or 800MB")
    return int(size)


def parse_count(text: str) -> int:
    """``400M``, ``1.5G``, ``400000000`` pixels.

    Raises:
        UserError: it is none.
    """
    words = text.strip().lower()
    unit = {"k": 10**3, "m": 10**6, "g": 10**9}.get(words[-1:], 1)
    try:
        count = float(words[:-1] if unit > 1 else words) * unit
    except ValueError:
        count = 0
    if not 1 <= count < 1e18:
        raise UserError(f"{text!r} is no number of pixels: write such as 400M or 400000000")
    return int(count)
