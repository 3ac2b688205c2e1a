from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from transfigure.translation.tiles import Span, TileGrid, evenly, reflected, spans


def image(height: int, width: int) -> Tensor:
    return torch.randn(2, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_what_is_split_and_blended_is_what_it_was(multiple: int) -> None:
    checked = 0
    for size, tile in itertools.product(range(multiple, 20, multiple), range(multiple, 12, multiple)):
        for overlap in range(tile - multiple + 1):
            for feather in {0, overlap // 2, overlap}:
                grid = TileGrid.of(size, 5 * multiple, tile, overlap, multiple, feather)
                x = image(size, 5 * multiple)
                assert torch.equal(grid.blend(list(grid.split(x))), x), (size, tile, overlap, feather)
                checked += 1
    assert checked > 20


@pytest.mark.parametrize("multiple", [1, 4])
def test_spans_cover_all_and_share_enough(multiple: int) -> None:
    for size, tile in itertools.product(range(multiple, 60, multiple), range(multiple, 30, multiple)):
        for overlap in range(tile - multiple + 1):
            found = spans(size, tile, overlap, multiple)
            assert (found[0].start, found[-1].stop) == (0, size)
            assert all(span.start % multiple == 0 and len(span) == min(size, tile) for span in found)
            for first, second in itertools.pairwise(found):
                assert first.start < second.start <= first.stop - overlap


@pytest.mark.parametrize("multiple", [1, 4])
def test_tiles_of_even_sides_are_as_few_and_none_is_larger(multiple: int) -> None:
    for size, tile in itertools.product(range(multiple, 60, multiple), range(multiple, 30, multiple)):
        for overlap in range(tile - multiple + 1):
            side, usual = evenly(size, tile, overlap, multiple), spans(size, tile, overlap, multiple)
            even = spans(size, side, overlap, multiple)
            assert side <= tile and side % multiple == 0 and len(even) == len(usual)
            if len(even) > 1:  # one step of the grid less would need another tile
                less = side - multiple
                assert less < overlap + multiple or len(spans(size, less, overlap, multiple)) > len(usual)


def test_two_tiles_of_an_image_share_what_they_must() -> None:
    grid = TileGrid.of(4096, 992, 2048, 128, 32, at_most=True)
    assert grid.rows == (Span(0, 1472), Span(1344, 2816), Span(2624, 4096)) and grid.columns == (Span(0, 992),)


def test_cores_cover_the_image_once() -> None:
    grid = TileGrid.of(40, 56, 24, 9, 4)
    seen = torch.zeros(40, 56)
    for row, column in grid.tiles():
        inner, across = grid.core(row, column)
        assert row.start <= inner.start and inner.stop <= row.stop
        seen[inner.start : inner.stop, across.start : across.stop] += 1
    assert (seen == 1).all()


def test_one_tile_fades_into_the_next_and_its_rim_is_left_out() -> None:
    grid = TileGrid.of(1, 12, 8, 4, feather=2)
    tiles = [torch.zeros(1, 1, 8), torch.ones(1, 1, 8)]
    assert grid.blend(tiles).flatten().tolist() == [0, 0, 0, 0, 0, 0.25, 0.75, 1, 1, 1, 1, 1]


def test_rows_come_as_soon_as_they_are_final() -> None:
    grid, x, translated = TileGrid.of(40, 12, 8, 4), image(40, 12), []
    tiles = dict(zip(grid.tiles(), grid.split(x)))

    def translate(row: Span, column: Span) -> Tensor:
        translated.append(row)
        return tiles[row, column]

    done = 0
    for rows in grid.joined(translate):
        assert torch.equal(rows, x[:, done : done + rows.shape[1]])
        done += rows.shape[1]
        assert translated[-1].stop - done <= 8  # no more is held than a row of tiles
    assert done == 40


@pytest.mark.parametrize(("size", "tile", "overlap", "multiple"), [(8, 4, 4, 1), (8, 4, 1, 4), (8, 6, 0, 4), (7, 4, 0, 4), (0, 4, 0, 1)])
def test_numbers_that_do_not_go_together(size: int, tile: int, overlap: int, multiple: int) -> None:
    with pytest.raises(ValueError, match="tiles of"):
        spans(size, tile, overlap, multiple)


def test_reflection_beyond_the_end() -> None:
    assert reflected(Span(2, 9), 4).tolist() == [2, 3, 2, 1, 0, 1, 2]
    assert reflected(Span(0, 3), 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("tile", "overlap", "feather"), [(32, 8, 8), (32, 8, 4), (32, 24, 12), (32, 28, 28), (32, 0, 0), (200, 8, 8)])
def test_rows_that_are_done_are_left_out_and_the_others_are_the_same(tile: int, overlap: int, feather: int) -> None:
    grid = TileGrid.of(96, 64, tile, overlap, 4, feather)
    torch.manual_seed(0)
    tiles = {(row, column): torch.rand(2, len(row), len(column)) for row, column in grid.tiles()}
    whole = grid.blend([tiles[place] for place in grid.tiles()])
    for done in range(0, 97, 5):
        rest = list(grid.joined(lambda row, column: tiles[row, column], done))
        assert torch.equal(torch.cat(rest, 1) if rest else whole[:, 96:], whole[:, done:])
        assert grid.rows[grid.row_at(done)].start <= done
    assert grid.row_at(grid.rows[-1].stop) == len(grid.rows) - 1
