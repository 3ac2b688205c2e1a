"""How images of many channels are shown: composites with their channels, and the slice in the middle of a stack."""

from __future__ import annotations

import numpy as np
import pytest

from transfigure.data.display import COLOURS, are_slices, described, limits, look, parts, rows, shown, strip

STAINS = ("DAPI", "MAP2", "NFH")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (tuple(map(str, range(13))), True),
        (("z-1", "z", "z+1"), True),
        (("z 3", "Z4"), True),
        (("488", "561", "640"), False),
        (STAINS, False),
        (("7",), False),
        (("", "1"), False),
    ],
)
def test_slices_count_and_wavelengths_do_not(names: tuple[str, ...], expected: bool) -> None:
    assert are_slices(names) is expected


@pytest.mark.parametrize(
    ("channels", "names", "dtype", "kind", "words"),
    [
        (1, (), "uint16", "grey", ""),
        (1, ("DAPI",), "uint16", "grey", ""),
        (3, (), "uint8", "colour", ""),
        (3, ("red", "green", "blue"), "uint16", "colour", ""),
        (4, (), "uint8", "colour", ""),
        (3, STAINS, "uint8", "composite", "DAPI red, MAP2 green, NFH blue"),
        (2, (), "uint8", "composite", "channel 1 green, channel 2 magenta"),
        (13, tuple(map(str, range(13))), "uint16", "one", "slice 7 of 13"),
        (5, tuple(map(str, range(5))), "uint16", "one", "slice 3 of 5"),
        (9, (), "float32", "one", "channel 5 of 9"),
        (9, tuple("abcdefghi"), "float32", "one", "channel 5 of 9 (e)"),
    ],
)
def test_what_is_shown_of_so_many_channels(channels: int, names: tuple[str, ...], dtype: str, kind: str, words: str) -> None:
    assert look(channels, names, dtype) == kind
    assert described(channels, names, dtype) == words


def test_a_composite_adds_its_channels_in_their_colours_each_between_its_own_limits() -> None:
    image = np.zeros((8, 8, 3), np.uint16)
    image[0, 0, 0], image[0, 1, 1], image[0, 2, 2], image[0, 3, :2] = 1000, 30, 60000, (1000, 30)
    between = ((0.0, 1000.0), (0.0, 30.0), (0.0, 60000.0))
    seen = shown(image, between, STAINS)
    assert seen[0, :4].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]] and not seen[1:].any()
    single = parts(image, between, STAINS)
    assert [name for name, _ in single] == list(STAINS)
    assert [picture[0, :4, 0].tolist() for _, picture in single] == [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]]
    found = limits(image, STAINS)
    assert found is not None and len(found) == 3 and all(isinstance(one, tuple) for one in found)


def test_three_channels_without_names_keep_one_range_as_a_photo_does() -> None:
    image = np.random.default_rng(0).integers(0, 4000, (20, 20, 3), np.uint16)
    between = limits(image)
    assert between is not None and not isinstance(between[0], tuple)
    np.testing.assert_array_equal(shown(image), np.concatenate([picture for _, picture in parts(image)], axis=2))


def test_of_a_stack_the_middle_is_shown_and_of_photos_no_parts() -> None:
    stack = np.random.default_rng(0).integers(0, 4000, (9, 9, 13), np.uint16)
    np.testing.assert_array_equal(shown(stack, names=tuple(map(str, range(13)))), shown(stack[..., 6:7]))
    assert parts(stack) == [] and parts(stack[..., :1]) == [] and parts(np.zeros((4, 4, 3), np.uint8)) == []


@pytest.mark.parametrize("channels", range(2, 8))
def test_no_value_wraps_where_many_colours_meet(channels: int) -> None:
    seen = shown(np.full((2, 2, channels), 255, np.uint8), names=[f"stain {one}x" for one in range(channels)])
    assert seen.dtype == np.uint8 and seen.min() == 255
    assert len(COLOURS) == 7


def test_strips_below_one_another() -> None:
    grey, colour = np.zeros((3, 5, 1), np.uint8), np.zeros((2, 8, 3), np.uint8)
    sheet = rows([strip([grey, grey]), colour])
    assert sheet.shape == (3 + 2 + 2, 12, 3) and (sheet[3:5] == 255).all() and (sheet[5:, 8:] == 255).all()
