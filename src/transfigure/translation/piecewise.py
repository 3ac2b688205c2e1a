"""An image that goes through a network in tiles, read and written piece by piece: rows are read and written while the network computes.

Rows that are final outlast the process, every few seconds, so that a run that was cut off goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.pixels import Array
from ..data.row_writer import RowWriter, blocks
from ..networks.image_statistics import ImageStatistics, Moments
from .tile_source import Rows, TileSource
from .tiling import BegunTiles, TilePlan, Tiler

SAVE_EVERY = 10.0
"""Seconds of work that a cut run may lose, beside a row of tiles."""
_AT_ONCE = 1 << 20
"""Values that are converted together: their copies in wider types take a few times as much memory."""


@dataclass
class PiecewiseTranslation:
    """One image on its way from its source to its file.

    Attributes:
        tiler: runs the tiles.
        plan: which these are.
        source: what they are cut from.
        writer: takes the rows; has those that an earlier process has saved, in the same tiles.
        convert: makes of rows ``[C, n, W]`` in [-1, 1], of which the first is this one, those of the file, ``[n, W, C']``.
        look: is shown all rows that are read from a file, each once.
        quiet: no progress.
    """

    tiler: Tiler
    plan: TilePlan
    source: TileSource
    writer: RowWriter
    convert: Callable[[Tensor, int], Array]
    look: Callable[[Rows], None] | None = None
    quiet: bool = False

    def run(self) -> None:
        """Translate what is not there yet, and write it; the writer has all rows then, and is still open.

        Raises:
            UserError: the source cannot be used, or the place cannot be written.
            RunFailure: the disk is full or failing, or the network makes no numbers.
        """
        begun, top = self._begun(), self.writer.rows
        self._saved = time.monotonic()
        begun.progress = lambda: self._save(begun)
        with ThreadPoolExecutor(1, "write rows") as pool:
            writing: deque[Future[None]] = deque()
            try:
                for rows in self.tiler.rows(self.source, self.plan, self.quiet, begun=begun, look=self.look):
                    if writing:
                        writing.popleft().result()
                    writing.append(pool.submit(self._write, rows, top, begun))
                    top += rows.shape[1]
                    del rows  # while the next are made
            finally:
                while writing:
                    writing.popleft().result()

    def _begun(self) -> BegunTiles:
        known = self.writer.beside or {}
        if not known.get("passes"):
            return BegunTiles(self.writer.rows)
        device = next((parameter.device for parameter in self.tiler.generator.parameters()), torch.device("cpu"))
        statistics = ImageStatistics(self.tiler.how.norm)
        statistics.known = [Moments.read(words, device) for words in known["statistics"]]
        return BegunTiles(self.writer.rows, statistics, known["passes"])

    def _write(self, rows: Tensor, top: int, begun: BegunTiles) -> None:
        """A few rows at a time: what they are on the way takes more memory than what they become."""
        channels, height, width = rows.shape
        for part in blocks(height, width, channels, _AT_ONCE):
            self.writer.write_rows(self.convert(rows[:, part], top + part.start))
        self._save(begun)

    def _save(self, begun: BegunTiles) -> None:
        if time.monotonic() - self._saved >= SAVE_EVERY:
            statistics = None if begun.statistics is None else [moments.words() for moments in begun.statistics.known]
            self.writer.save({"side": self.plan.side, "passes": begun.passes, "statistics": statistics})
            self._saved = time.monotonic()
