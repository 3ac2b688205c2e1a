"""What tiles are cut from is the same image, in memory or in a file; of a file each row is read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from transfigure.data import images
from transfigure.data.pixels import to_tensor
from transfigure.translation.tile_source import ArraySource, RowReader, Rows, TensorSource, TileSource, WindowSource
from transfigure.translation.tiles import Span, TileGrid

SHAPE = (45, 37, 3)


@pytest.fixture
def sources(tmp_path: Path) -> list[TileSource]:
    array = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    np.save(tmp_path / "a.npy", array)
    windows = images.open_windows(tmp_path / "a.npy")
    assert windows is not None
    return [TensorSource(to_tensor(array)), ArraySource(array, to_tensor), WindowSource(windows, to_tensor)]


@pytest.mark.parametrize(("height", "width", "tile", "overlap"), [(48, 40, 16, 8), (48, 40, 32, 4), (48, 40, 64, 0), (160, 200, 32, 8)])
def test_tiles_are_those_of_the_image_as_it_goes_on_beyond_its_end(
    height: int, width: int, tile: int, overlap: int, sources: list[TileSource]
) -> None:
    whole = sources[0].encode(sources[0].rows(0, 45))
    padded = whole
    for dimension, size in ((1, height), (2, width)):
        while padded.shape[dimension] < size:
            mirrored = padded.flip(dimension).narrow(dimension, 1, min(padded.shape[dimension] - 1, size - padded.shape[dimension]))
            padded = torch.cat([padded, mirrored], dimension)
    grid = TileGrid.of(height, width, tile, overlap, 4)
    for source in sources:
        with RowReader(source, grid.rows) as reader:
            for index, row in enumerate(grid.rows):
                reader.go_to(index)
                for column in grid.columns:
                    tensor = source.encode(reader.cut(row, column))
                    assert torch.equal(tensor, padded[:, row.start : row.stop, column.start : column.stop]) and tensor.is_contiguous()


def test_each_row_of_a_file_is_read_once_and_ahead(sources: list[TileSource], monkeypatch: pytest.MonkeyPatch) -> None:
    source, before = sources[2], sources[2].rows
    read: list[tuple[int, int]] = []
    looked: list[Rows] = []

    def rows(top: int, bottom: int) -> Rows:
        read.append((top, bottom))
        return before(top, bottom)

    monkeypatch.setattr(source, "rows", rows)
    spans = [Span(0, 16), Span(8, 24), Span(16, 32), Span(40, 48)]
    with RowReader(source, spans, looked.append) as reader:
        for index in range(4):
            reader.go_to(index)
            assert reader.cut(spans[index], Span(0, 37)).shape == (len(spans[index]), 37, 3)
            assert len(looked) == index + 1
    assert read == [(0, 16), (16, 24), (24, 32), (40, 45)]


def test_what_goes_wrong_with_a_file_goes_wrong_where_its_rows_are_needed(
    sources: list[TileSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources[2]

    def broken(top: int, bottom: int) -> np.ndarray:
        if bottom > 20:
            raise OSError("gone")
        return np.zeros((bottom - top, 37, 3), np.uint8)

    monkeypatch.setattr(source, "rows", broken)
    with RowReader(source, [Span(0, 16), Span(16, 32)]) as reader:
        reader.go_to(0)
        with pytest.raises(OSError, match="gone"):
            reader.go_to(1)
