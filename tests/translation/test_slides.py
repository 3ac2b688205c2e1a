"""Whole slides become pyramids: the level that is asked for, in one pass or in tiles, with the size of its pixels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.whole_slides import Pixels, aperio, generic, ome, tissue
from tests.tiny import copying, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.formats import pyramids
from transfigure.data.formats.ome import PixelSize
from transfigure.data.formats.row_file import ImageShape
from transfigure.errors import Missing, UserError
from transfigure.networks.model_file import Domain
from transfigure.translation import pyramid
from transfigure.translation.pyramid import reduction_for
from transfigure.translation.translator import Translator


def levels_in(file: Path) -> list[Pixels]:
    found = []
    for level in range(len(images.levels_of(file))):
        windows = images.open_windows(file, pages="channels", level=level)
        assert windows is not None
        found.append(windows.read(0, 0, windows.height, windows.width))
        windows.close()
    return found


@pytest.mark.parametrize("tile", ["auto", 256])
def test_a_level_becomes_a_pyramid(tile: int | str, tmp_path: Path) -> None:
    translator = copying()
    translator.set_tiles(tile=tile, overlap=0 if tile == 256 else None)
    levels = aperio(tmp_path / "a.svs", tissue(1200, 1600), (2, 16))
    translator.translate_file(tmp_path / "a.svs", tmp_path / "a.ome.tif", level=1)
    found = levels_in(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(found[0], levels[1])
    assert [one.shape for one in found] == [(600, 800, 3), (300, 400, 3)]
    assert images.metadata_of(tmp_path / "a.ome.tif").pixel_size == PixelSize(0.998, 0.998)


def test_three_readers_see_what_was_translated(tmp_path: Path) -> None:
    openslide, tiffslide = pytest.importorskip("openslide"), pytest.importorskip("tiffslide")
    aperio(tmp_path / "a.svs", tissue(1000, 1500))
    tiny_translator().translate_file(tmp_path / "a.svs", tmp_path / "a.ome.tif", level=0)
    levels = levels_in(tmp_path / "a.ome.tif")
    assert levels[0].std() > 5 and len(levels) == 3
    for reader, key in ((openslide.OpenSlide, "openslide.mpp-x"), (tiffslide.TiffSlide, "tiffslide.mpp-x")):
        with reader(tmp_path / "a.ome.tif") as slide:
            assert float(slide.properties[key]) == pytest.approx(0.499)
            for number, level in enumerate(levels):
                seen = np.asarray(slide.read_region((0, 0), number, slide.level_dimensions[number]))[..., :3]
                np.testing.assert_array_equal(seen, level)


def test_what_openslide_reads_is_translated(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    levels = generic(tmp_path / "a.scn", tissue(600, 800))
    for tile in ("auto", 128):
        translator = copying()
        translator.set_tiles(tile=tile, overlap=0 if tile == 128 else None)
        translator.translate_file(tmp_path / "a.scn", tmp_path / f"{tile}.tif", level=1)
        np.testing.assert_array_equal(images.read(tmp_path / f"{tile}.tif"), levels[1])


def test_without_openslide_the_extra_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generic(tmp_path / "a.mrxs", tissue(300, 400))
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(Missing, match=r"\[slides\]"):
        copying().translate_file(tmp_path / "a.mrxs", tmp_path / "a.png")
    tiny_translator().save(tmp_path / "model")
    assert main(["translate", str(tmp_path / "model"), str(tmp_path / "a.mrxs"), str(tmp_path / "a.png")]) == 3
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "openslide-python" in line and "transfigure[slides]" in line


def test_a_level_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aperio(tmp_path / "a.svs", tissue(1001, 1503))
    images.write(tmp_path / "a.png", tissue(64, 64))
    tiny_translator().save(tmp_path / "model")
    for name, level, words in (
        ("a.svs", "7", "a.svs has no level 7: choose one of 0 (1503 x 1001), 1 (375 x 250), 2 (93 x 62)"),
        ("a.png", "1", "a.png is a PNG file, which has no levels: leave out --level 1"),
    ):
        line = ["translate", str(tmp_path / "model"), str(tmp_path / name), str(tmp_path / "out.tif"), "--level", level]
        assert main(line) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out.tif").exists()


def test_flags_choose_the_level_and_the_pyramid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramids, "SMALLEST", 200)
    levels = ome(tmp_path / "a.ome.tif", tissue(520, 640))
    tiny_translator().save(tmp_path / "model")

    def run(output: str, *flags: str) -> Path:
        assert main(["translate", str(tmp_path / "model"), str(tmp_path / "a.ome.tif"), str(tmp_path / output), "--quiet", *flags]) == 0
        return tmp_path / output

    assert images.levels_of(run("auto.tif")) == ((520, 640), (260, 320), (130, 160))
    assert images.levels_of(run("off.tif", "--pyramid", "off")) == ((520, 640),)
    assert images.levels_of(run("on.tif", "--pyramid", "on", "--level", "1")) == ((260, 320), (130, 160))
    assert images.read(run("same.png", "--level", "2")).shape == levels[2].shape
    assert images.read(tmp_path / "auto.tif").tolist() == images.read(tmp_path / "off.tif").tolist()


def test_a_pyramid_that_cannot_be_is_refused_before_the_work(tmp_path: Path) -> None:
    images.write(tmp_path / "in" / "a.tif", tissue(64, 64))
    for run in (
        lambda: copying().translate_file(tmp_path / "in" / "a.tif", tmp_path / "a.png", pyramid="on"),
        lambda: copying().translate_folder(tmp_path / "in", tmp_path / "out", pyramid="on"),
    ):
        with pytest.raises(UserError, match=r"a pyramid is a TIFF file: write a\.ome\.tif, or say --pyramid off"):
            run()
    assert [item.name for item in tmp_path.iterdir()] == ["in"]
    images.write_pages(tmp_path / "pages.tif", [tissue(64, 64)] * 2)
    with pytest.raises(UserError, match="2 pages, and a pyramid holds one image"):
        copying().translate_file(tmp_path / "pages.tif", tmp_path / "out.tif", pyramid="on", pages="images")


def test_when_outputs_are_pyramids_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "LARGE", 700)
    images.write(tmp_path / "flat.tif", tissue(600, 900))
    generic(tmp_path / "levels.tif", tissue(600, 900))

    def auto(output: str, source: str, shape: tuple[int, int, int] = (600, 900, 3), dtype: str = "uint8", pages: int = 1) -> str | None:
        return reduction_for(Path(output), ImageShape(*shape, dtype), "auto", tmp_path / source, classes=False, pages=pages)

    assert auto("a.ome.tif", "flat.tif") == auto("a.OME.TIFF", "flat.tif") == auto("a.tif", "levels.tif") == "mean"
    assert auto("a.ome.tif", "flat.tif", (600, 700, 3)) is None  # not large
    assert auto("a.tif", "flat.tif") is None
    assert auto("a.png", "levels.tif") is None
    assert auto("a.tif", "levels.tif", (500, 500, 3)) is None  # it would have a single level
    assert auto("a.ome.tif", "levels.tif", dtype="float16") is None
    assert auto("a.ome.tif", "levels.tif", pages=2) is None


def test_classes_stay_classes_at_every_level(tmp_path: Path) -> None:
    colours = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    indices = tissue(700, 900, 1)[..., 0] % 3
    images.write(tmp_path / "a.png", np.array(colours, np.uint8)[indices])
    labels = Domain(
        3, "uint8", encoding="labels", classes=tuple(LabelClass(f"class {at}", None, colour) for at, colour in enumerate(colours))
    )
    copying(labels).translate_file(tmp_path / "a.png", tmp_path / "a.tif", pyramid="on")
    first, second = levels_in(tmp_path / "a.tif")
    np.testing.assert_array_equal(first, images.read(tmp_path / "a.png"))
    assert {tuple(colour) for colour in second.reshape(-1, 3).tolist()} <= set(colours)


def test_the_server_gives_the_same_bytes(tmp_path: Path) -> None:
    generic(tmp_path / "a.tif", tissue(600, 800))
    translator = copying()
    translator.translate_file(tmp_path / "a.tif", tmp_path / "out.tif")
    output = translator.translate_tensor(translator.read_tensor(tmp_path / "a.tif")[None])[0]
    assert translator.encoded(tmp_path / "a.tif", output, "out.tif") == (tmp_path / "out.tif").read_bytes()
    assert len(images.levels_of(tmp_path / "out.tif")) == 2


def test_a_folder_goes_on_where_levels_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        generic(tmp_path / "in" / f"{name}.tif", tissue(600, 800))
    how = {"format": "tif", "quiet": True}
    assert len(copying().translate_folder(tmp_path / "in", tmp_path / "out", level=1, **how)) == 2
    again = copying().translate_folder(tmp_path / "in", tmp_path / "out", level=1, skip_existing=True, **how)
    assert (len(again), len(again.skipped)) == (0, 2)
    other = copying().translate_folder(tmp_path / "in", tmp_path / "out", level=0, skip_existing=True, **how)
    assert (len(other), len(other.skipped)) == (2, 0)


def test_the_whole_of_a_slide_is_never_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tissue(1600, 2000)
    aperio(tmp_path / "a.svs", image)
    translator: Translator = copying()
    translator.set_tiles(tile=256, overlap=0)
    read: list[int] = []
    plain = images.open_windows

    def watched(*given: object, **how: object) -> object:
        windows = plain(*given, **how)  # type: ignore[arg-type]
        if windows is not None:
            inner = windows.read

            def counted(top: int, left: int, bottom: int, right: int) -> Pixels:
                read.append((bottom - top) * (right - left))
                return inner(top, left, bottom, right)

            monkeypatch.setattr(windows, "read", counted, raising=False)
        return windows

    monkeypatch.setattr(images, "open_windows", watched)
    translator.translate_file(tmp_path / "a.svs", tmp_path / "a.ome.tif")
    assert read and max(read) <= 600 * 2000
    monkeypatch.undo()
    np.testing.assert_array_equal(levels_in(tmp_path / "a.ome.tif")[0], image)
