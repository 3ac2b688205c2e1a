"""Files of several pages, translated: as the channels of one image, or page by page into a file of as many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

tifffile = pytest.importorskip("tifffile")

from tests.tiny import tiny_config, tiny_translator, write_images  # noqa: E402
from transfigure.cli.main import main  # noqa: E402
from transfigure.data import images  # noqa: E402
from transfigure.errors import UserError  # noqa: E402
from transfigure.networks.model_file import Domain  # noqa: E402
from transfigure.translation.translator import Translator  # noqa: E402


def volume(file: Path, slices: int = 4, axes: str = "ZYX") -> np.ndarray:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(slices).integers(0, 65536, (slices, 16, 24), np.uint16)
    tifffile.imwrite(file, values, photometric="minisblack", metadata={"axes": axes})
    return values


def model(channels: int = 1, trained: Mapping[str, object] | None = None) -> Translator:
    translator = tiny_translator(tiny_config(source=Domain(channels, "uint16"), target=Domain(1, "uint16")))
    object.__setattr__(translator.config, "recipe", None if trained is None else {"data": {"kind": "two_folders", **trained}})
    return translator


def test_who_does_not_know_asks(tmp_path: Path) -> None:
    volume(tmp_path / "in/a.tif")
    with pytest.raises(UserError, match=r"a.tif holds 4 pages \(z-slices\): choose --pages channels .* images .* or depth"):
        model().translate_file(tmp_path / "in/a.tif", tmp_path / "out.tif")
    with pytest.raises(UserError, match=r"choose --pages channels"):
        model(trained={"pages": "ask"}).translate_folder(tmp_path / "in", tmp_path / "out", quiet=True)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_each_page_is_translated_and_the_output_has_as_many(tmp_path: Path, axes: str) -> None:
    values, translator = volume(tmp_path / "in/a.tif", axes=axes), model(trained={"pages": "images"})
    translator.translate_file(tmp_path / "in/a.tif", tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        assert written.series[0].axes == axes and written.series[0].shape == (4, 16, 24)
        assert (written.asarray() == [translator.translate_array(page[..., None])[..., 0] for page in values]).all()
    assert images.pages_of(tmp_path / "a.tif") == 4


def test_slices_come_with_their_neighbours(tmp_path: Path) -> None:
    values, translator = volume(tmp_path / "in/a.tif"), model(3, {"pages": "depth", "depth_neighbours": 1})
    (written,) = translator.translate_folder(tmp_path / "in", tmp_path / "out", quiet=True)
    expected = [np.stack([values[max(z - 1, 0)], values[z], values[min(z + 1, 3)]], axis=2) for z in range(4)]
    assert (tifffile.imread(written) == [translator.translate_array(stack)[..., 0] for stack in expected]).all()
    flat = tmp_path / "flat.tif"
    images.write(flat, values[0][..., None])
    translator.translate_file(flat, tmp_path / "flat_out.png")  # a volume of one slice
    assert (images.read(tmp_path / "flat_out.png") == translator.translate_array(np.stack([values[0]] * 3, axis=2))).all()


def test_one_image_is_not_the_first_page_of_a_volume(tmp_path: Path) -> None:
    """What a server reads."""
    volume(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a.tif has 4 pages, each an image of its own, and one is taken here"):
        model(trained={"pages": "images"}).read_tensor(tmp_path / "a.tif")


def test_channels_as_before(tmp_path: Path) -> None:
    """Runs of versions that knew of no pages have taken them for channels, and still do."""
    values = volume(tmp_path / "a.tif")
    translator = model(4, {})
    translator.translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert (images.read(tmp_path / "b.tif") == translator.translate_array(values.transpose(1, 2, 0))).all()
    with pytest.raises(UserError, match=r"holds 4 pages \(z-slices\), read as 4 channels, and this model takes 1"):
        model(1, {}).translate_file(tmp_path / "a.tif", tmp_path / "c.png")


def test_formats_of_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume(tmp_path / "in/a.tif")
    write_images(tmp_path / "in", "b.png", size=(16, 24))
    translator = model()
    with pytest.raises(UserError, match=r"a.tif has 4 pages, and a.png would have as many: write a .tif or .npy file"):
        translator.translate_folder(tmp_path / "in", tmp_path / "out", format="png", pages="images", quiet=True)
    with pytest.raises(UserError, match=r"out.png would have as many"):
        translator.translate_file(tmp_path / "in/a.tif", tmp_path / "out.png", pages="images")
    translator.translate_file(tmp_path / "in/a.tif", tmp_path / "out.npy", pages="images")
    assert images.pages_of(tmp_path / "out.npy") == 4
    written = translator.translate_folder(tmp_path / "in", tmp_path / "out", pages="images")
    assert [file.name for file in written] == ["a.tif", "b.tif"] and "some have several pages" in capsys.readouterr().err
    assert translator.translate_folder(tmp_path / "in", tmp_path / "out", pages="images", quiet=True, skip_existing=True) == []


def test_stacked_files_of_volumes(tmp_path: Path) -> None:
    """Two files of four slices each: slice by slice an image of two channels."""
    a, b = volume(tmp_path / "x_a.tif"), volume(tmp_path / "x_b.tif", 4)
    translator = model(2, {"pages": "images"})
    translator.translate_file(f"{tmp_path}/x_{{a,b}}.tif", tmp_path / "out.tif")
    assert (tifffile.imread(tmp_path / "out.tif")[2] == translator.translate_array(np.stack([a[2], b[2]], axis=2))[..., 0]).all()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume(tmp_path / "in/a.tif")
    model().save(tmp_path / "model")
    words = ["translate", str(tmp_path / "model"), str(tmp_path / "in/a.tif"), str(tmp_path / "a.tif")]
    assert main(words) == 2 and "--pages" in capsys.readouterr().err
    assert main([*words, "--pages", "images"]) == 0 and images.pages_of(tmp_path / "a.tif") == 4
