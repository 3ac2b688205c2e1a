"""What files say of themselves beside their pixels, and what a person is told of it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.file_facts import FileFacts
from transfigure.data.open import open_data, resolve_data
from transfigure.data.pixels import upright
from transfigure.errors import UserError
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.networks.model_file import Domain
from transfigure.recipe import Data

from ..tiny import copying, noise_image, tiny_config, tiny_translator


def data(place: Path, **keys: Any) -> Data:
    return resolve_data(Data(path=str(place), **{"load_size": 16, "crop_size": 16, "val_fraction": 0, "test_fraction": 0, **keys}))


def notes(capsys: pytest.CaptureFixture[str], words: str) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if words in line]


def tagged(path: Path, array: Any, orientation: int) -> None:
    """A file whose pixels are stored turned, so that it is ``array`` once its orientation tag is applied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = upright(array, {6: 8, 8: 6}.get(orientation, orientation))
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(path, exif=exif)


# ---- orientation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_c08_the_tag_is_applied_or_ignored(tmp_path: Path, suffix: str, orientation: int) -> None:
    array = noise_image(8, 16)
    path = tmp_path / f"x.{suffix}"
    stored = upright(array, {6: 8, 8: 6}.get(orientation, orientation))
    if suffix == "tif":
        tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)])
    else:
        tagged(path, array, orientation)
    applied, facts = images.examine(path)
    ignored, same = images.examine(path, orientation="ignore")
    assert (facts.orientation, same.orientation) == (orientation, 1), "what was applied"
    assert applied.shape == array.shape and ignored.shape == stored.shape
    if suffix != "jpg":
        np.testing.assert_array_equal(applied, array)
        np.testing.assert_array_equal(ignored, stored)


def one_turned(folder: Path, height: int, width: int, orientation: int = 6) -> Path:
    """Pairs that lie on each other as they are stored; the source alone says that it should be turned."""
    for number in range(3):
        array = noise_image(height, width, seed=number)
        tagged(folder / "A" / f"{number}.png", upright(array, orientation), orientation)
        images.write(folder / "B" / f"{number}.png", array)
    return folder


def test_c08_oblong_pairs_are_refused_with_the_orientation_of_each(tmp_path: Path) -> None:
    place = one_turned(tmp_path, 16, 24)
    with pytest.raises(UserError) as caught:
        open_data(data(place), quiet=True)
    assert "3 of 3 pairs cannot be used" in str(caught.value)
    assert (
        f"their orientation tags differ: 6 (turned by 90 degrees clockwise) in {place / 'A' / '0.png'}, none in {place / 'B' / '0.png'}"
        in str(caught.value)
    )
    assert "--data.orientation ignore" in str(caught.value)
    opened = open_data(data(place, orientation="ignore", load_size=None), quiet=True)
    for index in range(3):
        pair = opened.train_plain[index]
        assert pair.source.equal(pair.target), "as they are stored they lie on each other"


def test_c08_square_pairs_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = one_turned(tmp_path, 16, 16)
    open_data(data(place))
    (note,) = notes(capsys, "orientation")
    assert "3 of 3 pairs have different orientation tags in their two pictures, such as 6 (turned by 90 degrees clockwise) in" in note
    assert "set --data.orientation ignore if not" in note
    open_data(data(place, orientation="ignore"))
    assert not notes(capsys, "orientation")


def test_c08_evaluate_translate_and_statistics_can_ignore_the_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = one_turned(tmp_path / "data", 16, 24)
    with pytest.raises(UserError, match=r"orientation tags are 6 \(turned by 90 degrees clockwise\) and none; --ignore-orientation"):
        evaluate_folders(place / "A", place / "B", metrics=["l1"], quiet=True)
    result = evaluate_folders(place / "A", place / "B", metrics=["l1"], orientation="ignore", quiet=True)
    assert result.rows[0].value == 0
    copying().translate_folder(place / "A", tmp_path / "out", orientation="ignore", quiet=True)
    np.testing.assert_array_equal(images.read(tmp_path / "out" / "1.png"), noise_image(16, 24, seed=1))
    again = copying().translate_folder(place / "A", tmp_path / "out", orientation="ignore", quiet=True, skip_existing=True)
    assert again == [] and len(again.skipped) == 3
    other = copying().translate_folder(place / "A", tmp_path / "out", quiet=True, skip_existing=True)
    assert len(other) == 3, "turned, they are other pictures"
    copying().translate_folder(place / "A", tmp_path / "turned", quiet=True)
    np.testing.assert_array_equal(images.read(tmp_path / "turned" / "1.png"), upright(noise_image(16, 24, seed=1), 6))
    apart, same = (statistics_of(place / "A", "random", orientation=way, quiet=True) for way in ("apply", "ignore"))
    assert not apart.mean.equal(same.mean)
    assert same.mean.equal(statistics_of(place / "B", "random", quiet=True).mean)
    flags = ["--generated", str(place / "A"), "--target", str(place / "B"), "--metrics", "l1", "--ignore-orientation", "--quiet"]
    assert main(["evaluate", *flags]) == 0 and "L1" in capsys.readouterr().out


def test_c08_a_model_trained_without_the_tag_translates_without_it(tmp_path: Path) -> None:
    tagged(tmp_path / "x.png", noise_image(16, 24), 6)
    translator = copying()
    recipe = {"data": {"orientation": "ignore"}}
    ignoring = type(translator)(translator.generator, tiny_config("copy", {}, 3, 3, size_multiple=1, recipe=recipe), translator.inference)
    ignoring.translate_file(tmp_path / "x.png", tmp_path / "y.png")
    assert images.read(tmp_path / "y.png").shape == (24, 16, 3)


def test_c08_whether_an_image_looks_like_two_halves_is_seen_as_it_is_read(tmp_path: Path) -> None:
    tagged(tmp_path / "x.png", noise_image(32, 16), 6)  # stored 32 wide and 16 high
    translator = copying()
    translator.config = replace(translator.config, recipe={"data": {"kind": "side_by_side"}})
    translator.translate_file(tmp_path / "x.png", tmp_path / "y.png")
    assert images.read(tmp_path / "y.png").shape == (32, 16, 3)
    with pytest.raises(UserError, match="twice as wide as high"):
        translator.translate_file(tmp_path / "x.png", tmp_path / "z.png", orientation="ignore")


# ---- pages -----------------------------------------------------------------------------------------------------------------


def stack(path: Path, pages: int, axes: str | None = None, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = noise_image(pages, 16, 16, "uint8", seed)
    labels: dict[str, Any] = {"metadata": None} if axes is None else {"imagej": True, "metadata": {"axes": axes}}
    tifffile.imwrite(path, array, photometric="minisblack", **labels)


@pytest.mark.parametrize(
    ("pages", "axes", "words"),
    [
        (3, None, "files of 3 pages, which become red, green and blue of one picture"),
        (3, "ZYX", "files of 3 pages (z-slices), which become red, green and blue of one picture"),
        (5, "TYX", "files of 5 pages (time points), which become the 5 channels of one picture"),
        (2, None, "files of 2 pages, which become the 2 channels of one picture"),
    ],
)
def test_c11_pages_that_become_channels_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pages: int, axes: str | None, words: str
) -> None:
    for number in range(3):
        stack(tmp_path / "A" / f"{number}.tif", pages, axes, number)
        images.write(tmp_path / "B" / f"{number}.png", noise_image(16, 16, seed=number))
    with pytest.raises(UserError, match=f"holds {pages} pages.*choose --data.pages channels"):
        open_data(data(tmp_path), quiet=True)
    open_data(data(tmp_path, pages="channels"))
    (note,) = notes(capsys, "pages")
    assert f"3 of 3 source pictures are {words}, such as {tmp_path / 'A' / '0.tif'}" in note


def test_c11_named_channels_and_samples_are_no_surprise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        images.write(tmp_path / "A" / f"{number}.tif", noise_image(16, 16, 5, seed=number))  # written by this tool: one page a channel
        images.write(tmp_path / "B" / f"{number}.png", noise_image(16, 16, seed=number))
    open_data(data(tmp_path))
    assert notes(capsys, "pages") == []


def test_c11_another_number_of_pages_is_refused_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack(tmp_path / "x.tif", 5, "ZYX")
    with pytest.raises(UserError, match=r"x\.tif holds 5 pages \(z-slices\), read as 5 channels, and this model takes 3"):
        copying().translate_file(tmp_path / "x.tif", tmp_path / "y.png", pages="channels")
    stack(tmp_path / "three.tif", 3, "ZYX")
    copying().translate_file(tmp_path / "three.tif", tmp_path / "y.png", pages="channels")
    assert "3 pages (z-slices), which become red, green and blue" in capsys.readouterr().err
    for number in range(3):
        stack(tmp_path / "data" / "A" / f"{number}.tif", 5 if number == 1 else 3, "ZYX", number)
        images.write(tmp_path / "data" / "B" / f"{number}.png", noise_image(16, 16, seed=number))
    with pytest.raises(UserError, match=r"1\.tif has 5 channels \(5 pages \(z-slices\) of one file\) but most source pictures have 3"):
        open_data(data(tmp_path / "data", pages="channels"), quiet=True)


# ---- no-data values --------------------------------------------------------------------------------------------------------


def satellite(path: Path, nothing: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).random((16, 16), np.float32)
    array[:4] = nothing
    tifffile.imwrite(path, array, extratags=[(42113, "s", 0, f"{nothing:g}", True)])


def test_c13_a_tagged_no_data_value_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        satellite(tmp_path / "A" / f"{number}.tif", -9999, number)
        images.write(tmp_path / "B" / f"{number}.png", noise_image(16, 16, seed=number))
    open_data(data(tmp_path, source_range=(0, 1)))
    said = capsys.readouterr().err
    assert f"-9999 means no data in 3 of 3 source pictures, such as {tmp_path / 'A' / '0.tif'} (25 % of their values are that)" in said
    assert "lie outside of the range" not in said, "that is what the first note says"
    translator = tiny_translator(tiny_config(source=Domain(1, "float32", (0.0, 1.0))))
    translator.translate_folder(tmp_path / "A", tmp_path / "out")
    assert "-9999 means no data in 3 of 3 images" in capsys.readouterr().err
    statistics_of(tmp_path / "A", "random", value_range=(0, 1))
    assert "-9999 means no data in 3 of 3 images" in capsys.readouterr().err


def test_c13_nan_is_no_data_where_the_file_or_its_reader_says_so(tmp_path: Path) -> None:
    satellite(tmp_path / "x.tif", np.nan, 0)
    refused = r"x\.tif holds 64 values that are not finite \(NaN or infinity\), of 256"
    with pytest.raises(UserError, match=refused):
        images.read(tmp_path / "x.tif")
    array, facts = images.examine(tmp_path / "x.tif")
    assert np.isnan(array[:4]).all() and np.isfinite(array[4:]).all() and facts.no_data_share == 0.25
    satellite(tmp_path / "plain.tif", np.nan, 0)
    images.write(tmp_path / "plain.tif", array)
    with pytest.raises(UserError, match=r"of 256: replace them, or say that NaN means no data \(--data\.nodata nan\), or leave"):
        images.examine(tmp_path / "plain.tif", flag="--data.alpha")
    assert np.isnan(images.examine(tmp_path / "plain.tif", no_data="nan")[1].no_data)
    array[0] = np.inf
    images.write(tmp_path / "plain.tif", array)
    with pytest.raises(UserError, match="holds 16 values that are not finite"):
        images.examine(tmp_path / "plain.tif", no_data="nan")


def test_c13_files_that_lack_a_value_that_was_told_are_not_said_to_have_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        satellite(tmp_path / "A" / f"{number}.tif", np.nan, number)
        images.write(tmp_path / "B" / f"{number}.tif", np.random.default_rng(number).random((16, 16, 1)).astype(np.float32))
    open_data(data(tmp_path, nodata="nan"))
    assert len(said := notes(capsys, "means no data")) == 1 and "3 of 3 source pictures" in said[0]


# ---- types of numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int16", "int32", "float16", "float64"])
def test_c10_the_output_has_the_type_of_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    for number in range(3):
        values = np.random.default_rng(number).integers(-1000, 1000, (16, 16)).astype(dtype)
        for side in "AB":
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"{number}.tif", values)
    opened = open_data(data(tmp_path, source_range=(-1000, 1000), target_range=(-1000, 1000)))
    assert opened.source_dtype == opened.target_dtype == dtype
    domain = Domain(1, dtype, (-1000.0, 1000.0))
    tiny_translator(tiny_config(source=domain, target=domain)).translate_folder(tmp_path / "A", tmp_path / "out", format="tif")
    assert images.size_of(tmp_path / "out" / "0.tif").dtype == dtype


@pytest.mark.parametrize("dtype", ["int16", "float64"])
def test_a_model_that_was_trained_when_such_files_were_read_as_floats_applies_its_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str
) -> None:
    values = np.random.default_rng(0).integers(-1000, 1000, (16, 16))
    for name, kind in (("then", "float32"), ("now", dtype)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values.astype(kind))
    domain = Domain(1, "float32", (-1000.0, 1000.0))
    translator = tiny_translator(tiny_config(source=domain, target=domain))
    then, now = (translator.read_tensor(tmp_path / f"{name}.tif") for name in ("then", "now"))
    assert then.min() < -0.9 and then.max() > 0.9
    np.testing.assert_allclose(then, now, rtol=0, atol=1e-7)
    assert "full range" not in capsys.readouterr().err
    assert translator.to_tensor(values.astype(np.uint16)[..., None].clip(0, 1000)).max() < -0.9  # which is another depth


# ---- palettes --------------------------------------------------------------------------------------------------------------


def label_map(path: Path, colours: list[tuple[int, int, int]], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, len(colours), (16, 16), np.uint8), "L")
    image.putpalette([value for colour in colours for value in colour])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    path.write_bytes(stream.getvalue())


BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)


def test_c29_palette_images_resized_bicubically_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        images.write(tmp_path / "A" / f"{number}.png", noise_image(16, 16, seed=number))
        label_map(tmp_path / "B" / f"{number}.png", [BLACK, RED], number)
    open_data(data(tmp_path, load_size=24))
    (note,) = notes(capsys, "palette")
    assert "3 of 3 target pictures are palette images of few colours" in note and "set --data.target_resize nearest" in note
    for quiet in ({"target_resize": "nearest"}, {"load_size": None}):
        open_data(data(tmp_path, **quiet))
        assert notes(capsys, "palette") == []


def test_c29_palettes_that_differ_are_refused_with_names(tmp_path: Path) -> None:
    for number in range(4):
        images.write(tmp_path / "A" / f"{number}.png", noise_image(16, 16, seed=number))
        label_map(tmp_path / "B" / f"{number}.png", [BLACK, BLUE if number == 2 else RED], number)
    expected = (
        r"1 of 4 pairs cannot be used:\n.*B/2\.png has another palette than .*B/0\.png: its index 1 is the colour \(0, 0, 255\), there"
    )
    with pytest.raises(UserError, match=expected):
        open_data(data(tmp_path, target_resize="nearest"), quiet=True)


def test_c29_palettes_of_photographs_may_differ(tmp_path: Path) -> None:
    for number in range(3):
        images.write(tmp_path / "A" / f"{number}.png", noise_image(16, 16, seed=number))
        (tmp_path / "B").mkdir(exist_ok=True)
        Image.fromarray(noise_image(16, 16, seed=10 + number)).quantize(200).save(tmp_path / "B" / f"{number}.png")
    assert len(open_data(data(tmp_path), quiet=True).train) == 3


def test_a_plain_file_has_nothing_to_say(tmp_path: Path) -> None:
    images.write(tmp_path / "x.png", noise_image(4, 4))
    assert images.examine(tmp_path / "x.png")[1] == FileFacts("PNG", "uint8")


@pytest.mark.parametrize("low", [0.0, -3.0])
def test_c13_no_range_that_is_named_holds_the_no_data_value(tmp_path: Path, low: float, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        satellite(tmp_path / "A" / f"{number}.tif", -9999, number)
        with tifffile.TiffFile(tmp_path / "A" / f"{number}.tif") as file:
            values = file.asarray()
        values = np.where(values == -9999, -9999, values + low).astype(np.float32)
        tifffile.imwrite(tmp_path / "A" / f"{number}.tif", values, extratags=[(42113, "s", 0, "-9999", True)])
        images.write(tmp_path / "B" / f"{number}.png", noise_image(16, 16, seed=number))
    translator = tiny_translator(tiny_config(source=Domain(1, "float32")))
    if low == 0:  # the data lie between 0 and 1, and no-data needs no range
        open_data(data(tmp_path), quiet=True)
        statistics_of(tmp_path / "A", "random", quiet=True)
        translator.translate_file(tmp_path / "A" / "0.tif", tmp_path / "out.tif")
    else:
        beside = r"0\.tif holds values from -2.* to -2.* beside its no-data value -9999 where 0 to 1 is expected: "
        with pytest.raises(UserError, match=beside + r"give the range, such as --data\.source_range '\[-2.*, -2.*\]'"):
            open_data(data(tmp_path), quiet=True)
        with pytest.raises(UserError, match=beside + "give the value range, such as --value_range -2.* -2.*"):
            statistics_of(tmp_path / "A", "random", quiet=True)
        with pytest.raises(UserError, match=beside + "scale its values as those of the training images were") as caught:
            translator.translate_file(tmp_path / "A" / "0.tif", tmp_path / "out.tif")
        assert "give" not in str(caught.value), "translate has no flag for a range"
    capsys.readouterr()
    open_data(data(tmp_path, source_range=(-100, 100)))
    assert "-9999]" not in (said := capsys.readouterr().err) and "use only the values" in said and "[-9999" not in said
