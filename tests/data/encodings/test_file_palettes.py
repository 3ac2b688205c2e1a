"""The whole palettes of label maps: read with every entry, found in a training set, given, kept by models, and written again."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.data.encodings.by_name import encoding_of
from transfigure.data.encodings.file_palettes import PaletteWatch, read_palette
from transfigure.data.encodings.label_classes import ClassWatch, LabelClass
from transfigure.data.encodings.label_colours import Entry, as_hex, entries_of
from transfigure.data.encodings.label_maps import LabelMaps
from transfigure.data.file_facts import FileFacts
from transfigure.data.formats.metadata import Metadata
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain
from transfigure.recipe import Data


def entries(count: int, seed: int = 0) -> list[Entry]:
    """So many colours, some of them twice."""
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 3)).tolist()
    return [tuple(map(int, colour)) for colour in [*drawn[: count - 1], drawn[0]]]


def save(path: Path, indices: NDArray[np.uint8], palette: list[Entry], kind: str = "PNG", **options: Any) -> Path:
    """A file as another program writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices)
    image.putpalette(bytes(part for colour in palette for part in colour[:3]))
    image.save(path, kind, **options)
    return path


MAP = np.array([[0, 1, 1, 4], [2, 2, 4, 0]], np.uint8)


@pytest.mark.parametrize("count", [5, 12, 16, 17, 256])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_a_palette_is_read_whole_and_written_again(tmp_path: Path, kind: str, count: int) -> None:
    palette = entries(count)
    file = save(tmp_path / "map", MAP, palette, kind, **({"optimize": False} if kind == "GIF" else {}))
    pixels, facts = images.examine(file, palette="index")
    with Image.open(file) as image:
        held = image.getpalette()
    assert held is not None and pixels[..., 0].tolist() == MAP.tolist()
    assert [part for entry in entries_of(facts.entries) for part in entry] == held
    assert facts.palette == tuple((index, bytes(palette[index])) for index in (0, 1, 2, 4))
    copy = tmp_path / f"copy.{'png' if kind == 'GIF' else kind.lower()}"
    images.write(copy, pixels, Metadata(palette=tuple(enumerate(entries_of(facts.entries)))))
    with Image.open(copy) as image:
        assert image.mode == "P" and image.getpalette() == held and np.array_equal(np.array(image), MAP)


@pytest.mark.parametrize("transparency", [3, bytes([255, 255, 255, 90, 255, 0])])
def test_the_transparency_of_a_palette_is_read_and_written(tmp_path: Path, transparency: int | bytes) -> None:
    file = save(tmp_path / "map.png", MAP, entries(12), transparency=transparency)
    pixels, facts = images.examine(file, palette="index")
    assert pixels.shape[2] == 1, "no pixel is transparent"
    expected = [255, 255, 255, 0] + [255] * 8 if transparency == 3 else [255, 255, 255, 90, 255, 0] + [255] * 6
    found = entries_of(facts.entries)
    assert [entry[3] if len(entry) == 4 else 255 for entry in found] == expected
    images.write(tmp_path / "copy.png", pixels, Metadata(palette=tuple(enumerate(found))))
    with Image.open(tmp_path / "copy.png") as copy, Image.open(file) as original:
        assert copy.info["transparency"] == original.info["transparency"] and copy.getpalette() == original.getpalette()


def test_pixels_beyond_their_palette_are_black(tmp_path: Path) -> None:
    file = save(tmp_path / "map.png", MAP, entries(12))
    content = bytearray(file.read_bytes())
    at = content.index(b"PLTE")
    length = int.from_bytes(content[at - 4 : at], "big")
    short = bytes(content[: at - 4]) + _chunk(b"PLTE", bytes(content[at + 4 : at + 4 + 6])) + bytes(content[at + 8 + length :])
    file.write_bytes(short)
    facts = images.examine(file, palette="index")[1]
    assert len(facts.entries) == 8 and [colour for _, colour in facts.palette][2:] == [bytes(3), bytes(3)]
    shown = images.read(file)
    assert not shown[MAP == 2].any() and not shown[MAP == 4].any()


def _chunk(name: bytes, data: bytes) -> bytes:
    import zlib

    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def test_pages_of_indices_keep_their_palette(tmp_path: Path) -> None:
    palette = entries(256)
    pages = [MAP[..., None], MAP[::-1, :, None].copy(), MAP[:, ::-1, None].copy()]
    images.write_pages(tmp_path / "pages.tif", pages, Metadata(palette=tuple(enumerate(palette))))
    with Image.open(tmp_path / "pages.tif") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
        for at, page in enumerate(pages):
            image.seek(at)
            assert image.mode == "P" and np.array_equal(np.array(image), page[..., 0])
            assert image.getpalette() == [part for entry in palette for part in entry]
    for at, page in enumerate(pages):
        found, facts = images.examine(tmp_path / "pages.tif", palette="index", pages=(at,))
        assert np.array_equal(found, page) and entries_of(facts.entries) == tuple(palette)
        shown = images.read(tmp_path / "pages.tif", pages=(at,))
        assert np.array_equal(shown, np.array(palette, np.uint8)[page[..., 0]])
        assert images.size_of(tmp_path / "pages.tif", pages=(at,)).channels == 3
    assert np.array_equal(images.examine(tmp_path / "pages.tif", palette="index", pages="channels")[0], np.concatenate(pages, axis=2))
    assert images.open_windows(tmp_path / "pages.tif", palette="index", pages=(1,)) is None, "it is decoded whole"
    with pytest.raises(UserError, match="3 pages of indices into a palette, which are not the channels of one image"):
        images.read(tmp_path / "pages.tif", pages="channels")


def test_pages_of_several_palettes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tiff:
        for seed in (0, 1):
            table = np.array(entries(256, seed), np.uint16).T * 257
            tiff.write(MAP, photometric="palette", colormap=table, metadata=None, contiguous=False)
    with pytest.raises(UserError, match="its pages have several palettes"):
        images.examine(tmp_path / "pages.tif", palette="index", pages="channels")


def test_palettes_are_given_as_colours_or_as_a_file(tmp_path: Path) -> None:
    expected = ((0, 0, 0), (70, 130, 180), (1, 2, 3, 0))
    assert read_palette(["#000000", "4682b4", "#01020300"], "data.target_palette") == expected
    assert read_palette([[0, 0, 0, 255], [70, 130, 180], [1, 2, 3, 0]], "data.target_palette") == expected
    file = save(tmp_path / "map.png", np.minimum(MAP, 2), [*expected], transparency=bytes([255, 255, 0]))
    assert read_palette(str(file), "data.target_palette") == expected
    images.write(tmp_path / "grey.png", MAP[..., None])
    for given, reason in (
        ([], "there are 0 colours"),
        (["#000000"] * 257, "there are 257 colours"),
        (["red"], "is no colour"),
        ([[0, 0, 256]], "is no colour"),
        ([3], "is no colour"),
        (str(tmp_path / "none.png"), "there is no such file"),
        (str(tmp_path / "grey.png"), r"grey\.png has no palette"),
    ):
        with pytest.raises(UserError, match=reason) as refused:
            read_palette(given, "data.target_palette")  # type: ignore[arg-type]
        assert "data.target_palette" in str(refused.value)


def facts(palette: list[Entry], used: tuple[int, ...] = (0, 1)) -> FileFacts:
    """What a file with a palette says of itself."""
    table = b"".join(bytes((*entry, 255)[:4]) for entry in palette)
    return FileFacts("PNG", palette=tuple((index, bytes(palette[index][:3])) for index in used), entries=table)


BLACK, RED, BLUE, GREEN = (0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 255, 0)
TWO = (LabelClass("", 0, BLACK), LabelClass("", 1, RED))
THREE = (*TWO, LabelClass("roof", 2, BLUE))


def watched(*palettes: list[Entry], given: tuple[Entry, ...] = ()) -> PaletteWatch:
    watch = PaletteWatch("target", given)
    for at, palette in enumerate(palettes):
        watch.look(f"{at}.png", facts(palette))
    return watch


def test_the_palette_of_most_files_is_written() -> None:
    rare, usual = [BLACK, RED, GREEN, BLUE], [BLACK, RED, GREEN]
    assert watched(usual, usual).chosen(TWO) == (tuple(usual), [])
    palette, notes = watched(rare, usual, usual).chosen(TWO)
    assert palette == tuple(usual)
    assert len(notes) == 1 and "3 target label maps have 2 palettes" in notes[0] and "2 of them, such as 1.png" in notes[0]
    assert watched().chosen(TWO) == ((), [])


def test_a_palette_that_lacks_a_class_is_not_chosen() -> None:
    """Programs that write only the colours in use end a palette at the last of them."""
    short, whole = [BLACK, RED], [BLACK, RED, BLUE, GREEN]
    palette, notes = watched(short, short, whole).chosen(THREE)
    assert palette == tuple(whole) and "1 of them, such as 2.png" in notes[0]
    palette, notes = watched(short).chosen([*TWO, LabelClass("roof", 4, BLUE)])
    assert palette == (BLACK, RED, BLACK, BLACK, BLUE)
    assert len(notes) == 1 and "0.png, but for the colours of classes that it does not have: roof (4 #0000ff)" in notes[0]
    seen_through: list[Entry] = [BLACK, RED, (*GREEN, 7)]
    assert watched(seen_through).chosen(THREE)[0] == (BLACK, RED, (*BLUE, 7)), "the colour is given, the opacity is not"


def test_a_palette_that_is_given_goes_with_the_classes() -> None:
    given: tuple[Entry, ...] = (BLACK, RED, BLUE, GREEN)
    assert watched([BLACK, RED], given=given).chosen(THREE) == (given, [])
    with pytest.raises(UserError, match=r"data\.target_palette says that 2 is #0000ff, and the class roof .* is #00ff00"):
        watched(given=given).chosen([*TWO, LabelClass("roof", 2, GREEN)])
    with pytest.raises(UserError, match=r"data\.target_palette ends before 4, and the class roof"):
        watched(given=given).chosen([*TWO, LabelClass("roof", 4, GREEN)])


def test_classes_that_no_pixel_is_of_have_the_colours_of_the_palette() -> None:
    palette: list[Entry] = [BLACK, RED, BLUE, BLACK]
    watch = ClassWatch("target")
    watch.look("0.png", np.array([[[0], [1]]], np.uint8), facts(palette))
    by_index = [LabelClass("a", 0), LabelClass("b", 1), LabelClass("c", 2), LabelClass("d", 3)]
    found = watch.matched(by_index, palette)
    assert [one.colour for one in found] == palette, "two of one colour are told apart by their number"
    assert [one.index for one in watch.matched([LabelClass(colour=BLUE), TWO[1], TWO[0]], palette)] == [2, 1, 0]
    encoding = LabelMaps(found, entries=tuple(palette))
    assert Domain.from_dict(asdict(Domain.of(encoding, "uint8", None))).to_encoding() == encoding
    for twice in ([BLACK, BLACK], [RED, RED]):
        watch = ClassWatch("target")
        watch.look("0.png", np.zeros((2, 2, 3), np.uint8), FileFacts("PNG"))
        with pytest.raises(UserError, match=r"cannot be told apart in 0\.png, which holds colours"):
            watch.matched([LabelClass("a", 0, twice[0]), LabelClass("b", 1, twice[1])])


def test_models_keep_the_palette_and_old_ones_have_none() -> None:
    palette: tuple[Entry, ...] = (BLACK, RED, BLUE, (*GREEN, 0))
    stored = Domain(3, encoding="labels", classes=THREE, entries=palette)
    assert stored.palette == tuple(enumerate(palette))
    plain = json.loads(json.dumps(asdict(stored)))
    assert Domain.from_dict(plain) == stored
    before = Domain.from_dict({key: value for key, value in plain.items() if key != "entries"})
    assert before.entries == () and before.palette == ((0, BLACK), (1, RED), (2, BLUE))
    for wrong in (7, [[0, 0]], [[0, 0, 0]] * 257, [[0, 0, 0], [255, 0, 0]], [[0, 0, 0], [255, 0, 0], [9, 9, 9]]):
        with pytest.raises(ValueError, match=r"palette|no colour"):
            Domain.from_dict({**plain, "entries": wrong})


def pairs(root: Path, palettes: list[list[Entry]]) -> dict[str, Any]:
    for at, palette in enumerate(palettes):
        save(root / "B" / f"{at}.png", np.kron(MAP[:, :2], np.ones((4, 8), np.uint8)), palette)
        images.write(root / "A" / f"{at}.png", np.full((8, 16, 1), 9 * at, np.uint8))
    keys: dict[str, Any] = {"path": str(root), "load_size": None, "crop_size": 8, "val_fraction": 0.0, "test_fraction": 0.0}
    return {**keys, "target_encoding": "labels", "cache_gb": 0.0}


def test_a_training_set_is_asked_for_its_palette(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual, other = entries(256), [*entries(256)[:200], *entries(56, seed=3)]
    keys = pairs(tmp_path / "data", [usual, other, usual])
    found = open_data(resolve_data(Data(**keys)))
    assert "3 target label maps have 2 palettes" in capsys.readouterr().err
    assert found.section.target_palette == [*map(as_hex, usual)]
    encoding = found.target
    assert isinstance(encoding, LabelMaps) and encoding.entries == tuple(usual) and len(encoding.classes) == 3
    assert encoding_of(found.section, "target", 1, "uint8") == encoding, "what a run has stored says the same"
    chosen = open_data(resolve_data(Data(**keys, target_palette=str(tmp_path / "data" / "B" / "1.png"))), quiet=True)
    assert chosen.section.target_palette == [*map(as_hex, other)]
    with pytest.raises(UserError, match=r"data\.target_palette says that 0 is #010203"):
        open_data(resolve_data(Data(**keys, target_palette=["#010203", "#040506"])), quiet=True)
    with pytest.raises(UserError, match=r"data\.target_palette.* is of label maps, and data\.target_encoding is values"):
        Data(**{**keys, "target_encoding": "values"}, target_palette=["#010203"])
    for file in (tmp_path / "data" / "B").iterdir():
        images.write(file, images.examine(file, palette="index")[0])
    with pytest.raises(UserError, match=r"data\.target_palette is given, and the target label maps have no palette"):
        open_data(resolve_data(Data(**keys, target_palette=["#010203"])), quiet=True)
    assert open_data(resolve_data(Data(**keys)), quiet=True).section.target_palette is None


def test_a_picture_in_memory_keeps_its_transparency() -> None:
    image = images.with_palette(MAP[..., None], [(0, BLACK), (1, (*RED, 0)), (2, BLUE), (4, GREEN)])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    again = Image.open(stream)
    assert again.info["transparency"] == 1 and again.getpalette() == [0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0]
