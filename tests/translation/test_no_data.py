"""Where a source holds no data, neither does its translation, and the file says so where it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from tests.tiny import copying, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.masks import no_data_for, with_no_data
from transfigure.networks.model_file import Domain, ModelConfig
from transfigure.translation.translator import Translator


def tile(path: Path, no_data: float, dtype: str, tag: bool = True, high: float = 1.0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = (np.random.default_rng(0).random((12, 16)) * high).astype(dtype)
    array[:3, :5] = no_data
    tifffile.imwrite(path, array, extratags=[(42113, "s", 0, f"{no_data:g}", True)] if tag else [])
    return array


def model(source: Domain, target: Domain | None = None, nodata: Any = None, **keys: Any) -> Translator:
    translator = copying(source)
    recipe = None if nodata is None else {"data": {"nodata": nodata, "pages": "channels", **keys}}
    config = {**vars(translator.config), "target": target or source, "recipe": recipe}
    translator.config = ModelConfig(**config)
    return translator


def tag_of(path: Path) -> str | None:
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags.get(42113)
        return None if tag is None else str(tag.value).strip("\0")


@pytest.mark.parametrize("value", [-9999.0, np.nan])
def test_c13_the_sources_value_is_restored_with_its_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float) -> None:
    array = tile(tmp_path / "tiles" / "in.tif", value, "float32")
    model(Domain(1, "float32")).translate_file(tmp_path / "tiles" / "in.tif", tmp_path / "out.tif")
    found = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_allclose(found, array, atol=1e-6)
    assert float(tag_of(tmp_path / "out.tif") or "0") == pytest.approx(value, nan_ok=True)
    assert "means no data in 1 of 1 images" in capsys.readouterr().err
    model(Domain(1, "float32")).translate_folder(tmp_path / "tiles", tmp_path / "many", format="tif", quiet=True)
    assert np.array_equal(tifffile.imread(tmp_path / "many" / "in.tif"), found, equal_nan=True)


def test_the_network_is_given_black_there(tmp_path: Path) -> None:
    tile(tmp_path / "in.tif", 200, "uint16", high=4000)
    translator = model(Domain(1, "uint16", (100.0, 4095.0)))
    tensor = translator.read_tensor(tmp_path / "in.tif")
    assert (tensor[0, :3, :5] == -1).all() and (tensor[0] > -1).any()


def test_a_value_that_the_output_cannot_hold_becomes_another_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = tile(tmp_path / "in.tif", -9999, "float32")
    array[5:7] = 0
    tifffile.imwrite(tmp_path / "in.tif", array, extratags=[(42113, "s", 0, "-9999", True)])
    translator = model(Domain(1, "float32"), Domain(1, "uint8"))
    translator.translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
    found, said = tifffile.imread(tmp_path / "out.tif"), capsys.readouterr().err
    assert (found[:3, :5] == 0).all() and (found[5:7] == 1).all() and (found == 0).sum() == 15 and tag_of(tmp_path / "out.tif") == "0"
    assert "uint8 cannot hold -9999: where the source holds no data, the output holds 0, and says so" in said
    assert "values of the output that would be 0, which means no data in it, are one step beside it" in said
    assert "is not kept" not in said
    assert translator.encoded(
        tmp_path / "in.tif", translator.translate_tensor(translator.read_tensor(tmp_path / "in.tif")[None])[0], "x.tif"
    )
    (tmp_path / "again.tif").write_bytes(
        translator.encoded(tmp_path / "in.tif", translator.translate_tensor(translator.read_tensor(tmp_path / "in.tif")[None])[0], "x.tif")
    )
    assert np.array_equal(tifffile.imread(tmp_path / "again.tif"), found)
    translator.translate_file(tmp_path / "in.tif", tmp_path / "out.png")
    assert (images.read(tmp_path / "out.png")[5:7] == 0).all() and (images.read(tmp_path / "out.png")[:3, :5] == 0).all()
    assert "where the source holds no data, the output holds 0; only a tif file can say" in capsys.readouterr().err
    told = model(Domain(1, "float32"), Domain(1, "uint8", no_data=255))
    told.translate_file(tmp_path / "in.tif", tmp_path / "told.tif")
    assert tag_of(tmp_path / "told.tif") == "255" and (tifffile.imread(tmp_path / "told.tif")[:3, :5] == 255).all()


@pytest.mark.parametrize("of_source", [False, True])
@pytest.mark.parametrize(("told", "value"), [(-1, -1.0), ("nan", np.nan)])
def test_what_the_training_was_told_holds_without_a_tag(tmp_path: Path, told: Any, value: float, of_source: bool) -> None:
    array = tile(tmp_path / "in.tif", value, "float32", tag=False)
    keys = {"nodata": 5, "source_nodata": told, "target_nodata": 9} if of_source else {"nodata": told, "source_nodata": None}
    model(Domain(1, "float32"), **keys).translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out.tif"), array, atol=1e-6)
    assert float(tag_of(tmp_path / "out.tif") or "0") == pytest.approx(value, nan_ok=True)


def test_none_takes_every_value_for_data(tmp_path: Path) -> None:
    tile(tmp_path / "in.tif", 0, "uint8", high=250)
    model(Domain(1, "uint8"), nodata="none").translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), tifffile.imread(tmp_path / "in.tif"))


def test_a_model_remembers_what_means_no_data() -> None:
    for value in (None, -9999.0, "nan"):
        domain = Domain(1, "float32", no_data=value)  # type: ignore[arg-type]
        assert Domain.from_dict(vars(domain)) == domain
    assert Domain.from_dict({"channels": 3}).no_data is None
    for wrong in ("none", float("nan"), True):
        with pytest.raises(ValueError, match="no-data"):
            Domain.from_dict({"channels": 3, "no_data": wrong})


def test_the_value_of_an_output() -> None:
    assert [no_data_for("uint8", -9999.0, 7.0), no_data_for("int16", -9999.0), no_data_for("uint16", "nan", None)] == [7, -9999, 0]
    assert np.isnan(no_data_for("float16", -1e30)) and no_data_for("float32", -1e30) == -1e30
    array = np.array([[[255], [3]]], np.uint8)
    moved, count = with_no_data(array, np.array([[True, False]]), 255)
    assert moved.ravel().tolist() == [254, 255] and count == 1
    assert torch.equal(torch.from_numpy(with_no_data(array, None, 9)[0]), torch.from_numpy(array))


def test_classes_are_not_called_no_data_by_the_source_s_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tile(tmp_path / "in.tif", 0, "uint8", high=255)
    classes = tuple(LabelClass(index=at) for at in range(3))
    translator = tiny_translator(tiny_config(source=Domain(1), target=Domain(3, encoding="labels", classes=classes)))
    translator.translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert tag_of(tmp_path / "in.tif") == "0" and tag_of(tmp_path / "out.tif") is None
    said = capsys.readouterr().err
    assert "the no-data value of the source is not kept: in the output it would be a class" in said and "no data either" not in said
