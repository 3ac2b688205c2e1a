"""Label maps: their classes as recipes and files give them, one channel for each, and back to exactly the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.data.encodings.label_classes import ClassWatch, LabelClass, read_classes
from transfigure.data.encodings.label_maps import ColourWatch, LabelMaps
from transfigure.data.file_facts import NO_FACTS, FileFacts
from transfigure.data.formats.metadata import Metadata
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import RunFailure, UserError
from transfigure.networks.model_file import Domain
from transfigure.recipe import Data

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (10, 20, 250))
MAP: NDArray[np.uint8] = np.kron(np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 0, 2], [2, 3, 3, 0]], np.uint8), np.ones((6, 5), np.uint8))
COLOURED = np.array(PALETTE, np.uint8)[MAP]
BY_INDEX = tuple(LabelClass(index=index, colour=colour) for index, colour in enumerate(PALETTE))
BY_COLOUR = tuple(LabelClass(colour=colour) for colour in PALETTE)


def palette_file(path: Path, bits: int = 8, colours: tuple[tuple[int, ...], ...] = PALETTE) -> Path:
    image = Image.fromarray(MAP).copy()
    image.putpalette([part for colour in colours for part in colour])
    image.save(path, bits=bits)
    return path


# ---- reading and writing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_palette_files_of_any_depth_give_their_indices(tmp_path: Path, bits: int) -> None:
    array, facts = images.examine(palette_file(tmp_path / "map.png", bits), palette="index")
    assert np.array_equal(array[..., 0], MAP) and array.dtype == np.uint8
    assert facts.palette == tuple((index, bytes(colour)) for index, colour in enumerate(PALETTE))
    assert np.array_equal(images.read(tmp_path / "map.png"), COLOURED), "as ever where nobody asks for indices"


@pytest.mark.parametrize(("bits", "stretched"), [(2, 1), (4, 1), (1, 255)])
def test_grey_files_of_few_bits_are_not_stretched(tmp_path: Path, bits: int, stretched: int) -> None:
    path, values = tmp_path / "map.png", MAP % 2**bits
    path.write_bytes(grey_png(values, bits))
    assert np.array_equal(images.examine(path, palette="index")[0][..., 0], values)
    assert np.array_equal(images.read(path)[..., 0], values * stretched), "of one bit what a viewer shows"


def grey_png(values: NDArray[np.uint8], bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    single = np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(single, axis=1))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_transparency_of_a_palette_is_refused_or_dropped(tmp_path: Path) -> None:
    image = Image.fromarray(MAP).copy()
    image.putpalette([part for colour in PALETTE for part in colour])
    image.save(tmp_path / "map.png", transparency=1)
    with pytest.raises(UserError, match="partly transparent"):
        images.examine(tmp_path / "map.png", palette="index")
    for alpha in ("white", "drop", "keep"):
        assert np.array_equal(images.examine(tmp_path / "map.png", alpha, palette="index")[0][..., 0], MAP)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_indices_are_written_with_their_palette(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map.{suffix}"
    images.write(path, MAP[..., None], Metadata(palette=LabelMaps(BY_INDEX).palette))
    with Image.open(path) as image:
        assert image.mode == "P" and image.getpalette()[:12] == [part for colour in PALETTE for part in colour]  # type: ignore[index]
        assert np.array_equal(np.array(image), MAP)
    with pytest.raises(UserError, match="cannot hold indices of a palette"):
        images.write(tmp_path / "map.webp", MAP[..., None], Metadata(palette=LabelMaps(BY_INDEX).palette))


# ---- the encoding -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "array", "dtype"),
    [
        (BY_INDEX, MAP[..., None], "uint8"),
        (BY_COLOUR, COLOURED, "uint8"),
        (tuple(LabelClass(index=300 * index) for index in range(4)), MAP[..., None].astype(np.uint16) * 300, "uint16"),
        (tuple(LabelClass(index=index) for index in (0, 1, 2, 3)), MAP[..., None].astype(np.int32), "int32"),
    ],
)
def test_one_channel_for_each_class_and_back_exactly(classes: tuple[LabelClass, ...], array: NDArray[np.generic], dtype: str) -> None:
    encoding = LabelMaps(classes, dtype)
    seen = encoding.encode(array)
    assert (encoding.channels, encoding.file_channels, encoding.rule) == (4, array.shape[2], "nearest")
    assert seen.shape == (4, *MAP.shape) and seen.dtype == torch.float32
    assert torch.equal(seen.argmax(0), torch.from_numpy(MAP.astype(np.int64))) and {*seen.unique().tolist()} == {-1.0, 1.0}
    assert torch.equal((seen > 0).sum(0), torch.ones(MAP.shape, dtype=torch.int64))
    blurred = seen * 0.3 + 0.2 * torch.randn(seen.shape, generator=torch.Generator().manual_seed(0)).clamp(-0.9, 0.9)
    for made in (encoding.decode(seen), encoding.decode(blurred)):
        assert np.array_equal(made, array) and made.dtype == np.dtype(dtype)
    stored = Domain.of(encoding, dtype, None)
    assert Domain.from_dict({**vars(stored), "classes": [vars(one) for one in classes]}).to_encoding() == encoding
    assert encoding.shown(array).shape == (*MAP.shape, 3) and len(np.unique(encoding.shown(array).reshape(-1, 3), axis=0)) == 4


def test_a_broken_output_is_no_label_map() -> None:
    with pytest.raises(RunFailure, match="not finite"):
        LabelMaps(BY_INDEX).decode(torch.full((4, 2, 2), torch.nan))


def test_numbers_that_are_no_class_are_refused_and_counted() -> None:
    with pytest.raises(UserError, match=r"street holds the class 7 in 20 pixels \(and 9\), which is none of the 4 known ones"):
        LabelMaps(BY_INDEX).encode(np.kron(np.array([[0, 7], [7, 9]], np.uint8), np.ones((2, 5), np.uint8))[..., None], "street")


def test_noisy_colours_count_as_the_nearest_and_that_is_said() -> None:
    noisy = np.clip(COLOURED.astype(int) + np.random.default_rng(0).integers(-9, 10, COLOURED.shape), 0, 255).astype(np.uint8)
    encoding = LabelMaps(BY_COLOUR)
    assert torch.equal(encoding.encode(noisy), encoding.encode(COLOURED))
    watch = ColourWatch(encoding, "target label maps")
    watch.look("exact.png", COLOURED)
    assert watch.notes() == []
    watch.look("noisy.jpg", noisy)
    away = np.sqrt(((noisy.astype(float) - COLOURED) ** 2).sum(2))
    (note,) = watch.notes()
    assert f"{(away > 0).sum():,} pixels of the target label maps" in note and f"at most by {away.max():.0f} (noisy.jpg)" in note
    assert f"by {away[away > 0].mean():.0f} levels on average" in note


def test_another_palette_is_refused_by_name() -> None:
    encoding = LabelMaps(BY_INDEX)
    encoding.check("same.png", FileFacts(palette=((1, bytes(PALETTE[1])),)))
    with pytest.raises(UserError, match=r"odd\.png has another palette than the training files: its index 1 is the colour \(9, 9, 9\)"):
        encoding.check("odd.png", FileFacts(palette=((1, bytes((9, 9, 9))),)))


@pytest.mark.parametrize(
    "classes", [[], [{"index": 0}], [{"index": 0}, {"index": 0}], [{"index": -1}, {"index": 0}], [{"colour": [1, 2]}, {"index": 2}], 7]
)
def test_a_model_whose_classes_are_none_is_refused(classes: object) -> None:
    with pytest.raises(ValueError, match=r"class|of them"):
        Domain.from_dict({"channels": 2, "encoding": "labels", "classes": classes})


# ---- classes ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 3], (LabelClass(index=0), LabelClass(index=3))),
        (["#0080ff", [1, 2, 3]], (LabelClass(colour=(0, 128, 255)), LabelClass(colour=(1, 2, 3)))),
        (["sky", "road"], (LabelClass("sky", 0), LabelClass("road", 1))),
        ([{"name": "sky", "index": 4, "color": "0080ff"}, {"index": 5, "colour": [1, 2, 3]}],
         (LabelClass("sky", 4, (0, 128, 255)), LabelClass("", 5, (1, 2, 3)))),
    ],
)  # fmt: skip
def test_classes_in_a_recipe(given: list[object], expected: tuple[LabelClass, ...]) -> None:
    assert read_classes(given, "data.target_classes") == expected
    assert read_classes([one.to_dict() for one in expected], "key") == expected, "as a run stores them"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "# colours of the data set\n64 128 64\tAnimal\n192 0 128\tArchway or door\n",
         (LabelClass("Animal", None, (64, 128, 64)), LabelClass("Archway or door", None, (192, 0, 128)))),
        ("a.csv", "name,r,g,b\nsky,70,130,180\nroad,128,64,128\n",
         (LabelClass("sky", None, (70, 130, 180)), LabelClass("road", None, (128, 64, 128)))),
        ("a.csv", "index;name;colour\n0;sky;#4682b4\n7;road;#804080\n",
         (LabelClass("sky", 0, (70, 130, 180)), LabelClass("road", 7, (128, 64, 128)))),
        ("a.txt", "sky\nroad\n", (LabelClass("sky", 0), LabelClass("road", 1))),
        ("a.txt", "3 sky\n5 road\n", (LabelClass("sky", 3), LabelClass("road", 5))),
        ("a.json", '{"classes": {"sky": [70, 130, 180], "road": [128, 64, 128]}, "numbers": {"4": "sky", "5": "road"}}',
         (LabelClass("sky", 4, (70, 130, 180)), LabelClass("road", 5, (128, 64, 128)))),
        ("a.json", '{"sky": 0, "road": 1}', (LabelClass("sky", 0), LabelClass("road", 1))),
        ("a.json", '["sky", "road"]', (LabelClass("sky", 0), LabelClass("road", 1))),
    ],
)  # fmt: skip
def test_classes_in_a_file(tmp_path: Path, name: str, text: str, expected: tuple[LabelClass, ...]) -> None:
    (tmp_path / name).write_text(text)
    assert read_classes(str(tmp_path / name), "data.target_classes") == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([0], "there are 1"),
        ([0, 0], "two of them have the number 0"),
        ([0, "#ffffff"], "no number"),
        ([0, -1], "-1 is no number of a class"),
        ([[1, 2], [3, 4, 5]], "no colour"),
        ([{"nmae": "sky"}, 2], "nmae"),
        (list(range(300)), "there are 300"),
        ("facade", "did you mean"),
    ],
)
def test_what_lists_no_classes_is_refused_with_the_key(given: object, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refused:
        read_classes(given, "data.target_classes")  # type: ignore[arg-type]
    assert "data.target_classes" in str(refused.value)


def looked(*maps: NDArray[np.generic], facts: FileFacts = NO_FACTS) -> ClassWatch:
    watch = ClassWatch("target")
    for at, array in enumerate(maps):
        watch.look(f"{at}.png", array, facts)
    return watch


def test_classes_are_found_in_an_order_that_no_file_decides() -> None:
    palette = FileFacts(palette=tuple((index, bytes(colour)) for index, colour in enumerate(PALETTE)))
    assert looked(MAP[..., None], facts=palette).found() == BY_INDEX
    numbers = tuple(LabelClass(index=index) for index in (0, 2, 4, 6))
    assert looked(MAP[:2, :, None] * 2, MAP[::-1, :, None] * 2).found() == numbers == looked(MAP[..., None] * 2).found()
    assert looked(COLOURED[::-1], COLOURED[:3]).found() == tuple(sorted(BY_COLOUR, key=lambda one: one.colour or ()))


def test_classes_are_found_among_noisy_colours() -> None:
    random = np.random.default_rng(0)
    big = np.kron(COLOURED, np.ones((4, 4, 1), np.uint8)).astype(int)
    noisy = [np.clip(big + random.integers(-2, 3, big.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    found = looked(*noisy).found()
    assert looked(*noisy, facts=FileFacts(lossy="JPEG")).found() == found and len(found) == 4
    for one, known in zip(found, sorted(PALETTE)):
        assert one.colour is not None and max(abs(a - b) for a, b in zip(one.colour, known)) <= 3
    smooth = big.copy()
    smooth[:, 1:-1] = (big[:, :-2] + 2 * big[:, 1:-1] + big[:, 2:]) // 4 + random.integers(0, 9, big[:, 1:-1].shape) * (
        big[:, :-2] != big[:, 2:]
    )
    assert looked(np.clip(smooth, 0, 255).astype(np.uint8)).found() == tuple(sorted(BY_COLOUR, key=lambda one: one.colour or ()))
    with pytest.raises(UserError, match="no classes are to be found"):
        looked(random.integers(0, 256, (64, 64, 3), np.uint8)).found()
    with pytest.raises(UserError, match="as those of photographs"):
        looked(random.integers(0, 256, (16, 16, 3), np.uint8)).found()


def test_label_maps_of_two_kinds_are_refused_with_both_names() -> None:
    with pytest.raises(UserError, match=r"1\.png holds colours and 0\.png plain numbers"):
        looked(MAP[..., None], COLOURED)
    with pytest.raises(UserError, match=r"1\.png has another palette than 0\.png: its index 1"):
        watch = looked(MAP[..., None], facts=FileFacts(palette=((1, b"abc"),)))
        watch.look("1.png", MAP[..., None], FileFacts(palette=((1, b"abd"),)))
    with pytest.raises(UserError, match="float32 are neither whole numbers"):
        looked(MAP[..., None].astype(np.float32))
    with pytest.raises(UserError, match="more than 256 numbers"):
        looked(np.arange(400, dtype=np.uint16).reshape(20, 20, 1))


def test_classes_that_were_given_take_the_form_of_the_files() -> None:
    both = tuple(LabelClass(f"class {at}", at, colour) for at, colour in enumerate(PALETTE))
    assert looked(MAP[..., None]).matched(both) == tuple(LabelClass(f"class {at}", at) for at in range(4))
    assert looked(COLOURED).matched(both) == tuple(LabelClass(f"class {at}", None, colour) for at, colour in enumerate(PALETTE))
    palette = FileFacts(palette=tuple((index, bytes(colour)) for index, colour in enumerate(PALETTE)))
    assert looked(MAP[..., None], facts=palette).matched([LabelClass(index=at) for at in range(4)]) == BY_INDEX
    assert looked(MAP[..., None], facts=palette).matched(BY_COLOUR) == BY_INDEX
    with pytest.raises(UserError, match=r"0\.png holds the class 3, which data.target_classes does not list"):
        looked(MAP[..., None]).matched(both[:3])
    with pytest.raises(UserError, match="give the colour of each class"):
        looked(COLOURED).matched([LabelClass(index=0), LabelClass(index=1)])
    with pytest.raises(UserError, match="says that 1 is #010203"):
        looked(MAP[..., None], facts=palette).matched(
            [LabelClass(index=at, colour=(1, 2, 3 + at - 1)) if at else BY_INDEX[0] for at in range(4)]
        )


def test_a_value_that_means_no_data_is_no_class(tmp_path: Path) -> None:
    for at in range(4):
        labels = np.repeat(np.repeat(np.random.default_rng(at).integers(0, 3, (4, 4, 1), np.uint8), 4, 0), 4, 1)
        labels[:3] = 255
        images.write(tmp_path / "B" / f"{at}.png", labels if at else np.full_like(labels, 255))
        images.write(tmp_path / "A" / f"{at}.png", np.full((16, 16, 1), 9 * at, np.uint8))
    keys: dict[str, Any] = {"path": str(tmp_path), "load_size": None, "crop_size": 16, "val_fraction": 0.0, "test_fraction": 0.0}
    keys |= {"target_encoding": "labels", "cache_gb": 0.0}
    for listed in ({}, {"target_classes": [0, 1, 2]}):
        found = open_data(resolve_data(Data(**keys, target_nodata=255, **listed)), quiet=True)
        assert found.target.names == ("0", "1", "2")
        masks = [found.train_plain[at].mask for at in range(4)]
        assert all(mask is not None and not mask[:, :3].any() for mask in masks) and not masks[0].any() and masks[1].any()
    with pytest.raises(UserError, match=r"the class 255, which .* does not list .* does not count \(--data\.target_nodata 255\)"):
        open_data(resolve_data(Data(**keys, target_classes=[0, 1, 2])), quiet=True)


def test_an_index_of_a_palette_that_means_no_data_is_no_class() -> None:
    palette = FileFacts(palette=tuple((index, bytes(colour)) for index, colour in enumerate(PALETTE)), no_data=3.0)
    assert looked(np.minimum(MAP, 2)[..., None], facts=palette).found() == BY_INDEX[:3]
