"""Label maps from training to files: their classes are found, stored, generated, scored, and written as the training files were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.data.formats.metadata import Metadata
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.recipe import Recipe
from transfigure.training.trainer import train
from transfigure.translation.translator import Translator

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (10, 20, 250))
TABLE = tuple(enumerate(PALETTE))
SIDE = 16


def label_map(seed: int) -> NDArray[np.uint8]:
    return np.kron(np.random.default_rng(seed).integers(0, 4, (2, 2)), np.ones((SIDE // 2, SIDE // 2), int)).astype(np.uint8)


def pairs(root: Path, form: str, count: int = 10) -> Path:
    """Photos in A, label maps in B."""
    for at in range(count):
        classes = label_map(at)
        colours = np.array(PALETTE, np.uint8)[classes]
        images.write(root / "A" / f"{at}.png", colours // 2 + np.random.default_rng(at).integers(0, 60, colours.shape, np.uint8))
        if form == "palette":
            images.write(root / "B" / f"{at}.png", classes[..., None], Metadata(palette=TABLE))
        elif form == "numbers":
            images.write(root / "B" / f"{at}.png", classes[..., None] * 3)
        else:
            images.write(root / "B" / f"{at}.png", colours)
    return root


def recipe(data: Path, side: str, **keys: object) -> Recipe:
    known = {
        "data": {"path": str(data), "load_size": SIDE, "crop_size": SIDE, "cache_gb": 0, f"{side}_encoding": "labels"},
        "generator": {"name": "unet", "depth": 4, "width": 2},
        "discriminator": {"name": "patch", "width": 2, "receptive_field": 16},
        "objective": {"adversarial": {"loss": "vanilla"}, "terms": [{"loss": "l1", "weight": 100}]},
        "training": {"epochs": 1, "preview_count": 1},
    }
    return Recipe.from_dict(known).updated({"data.direction": "AtoB" if side == "target" else "BtoA", **keys})


@pytest.mark.parametrize(("form", "channels"), [("palette", 1), ("numbers", 1), ("colours", 3)])
def test_photos_become_label_files_of_the_same_form(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, channels: int) -> None:
    data = pairs(tmp_path / "data", form)
    run = train(recipe(data, "target"), tmp_path / "run")
    said = capsys.readouterr().err
    assert "7 target label maps with" in said and "4 classes" in said and "target label maps are resized by nearest neighbour" in said
    assert "look dark" not in said
    stored = Recipe.load(run / "recipe.yaml").data.target_classes
    assert isinstance(stored, list) and len(stored) == 4
    translator = Translator.load(run)
    assert translator.config.target.channels == 4 and translator.config.target.file_channels == channels
    translator.translate_folder(data / "A", tmp_path / "out")
    for at in range(10):
        written = Image.open(tmp_path / "out" / f"{at}.png")
        with Image.open(data / "B" / f"{at}.png") as original:
            assert written.mode == original.mode and written.getpalette() == original.getpalette()
            values = np.array(written).reshape(SIDE * SIDE, -1)
            allowed = np.array(PALETTE) if form == "colours" else np.arange(4)[:, None] * (3 if form == "numbers" else 1)
            assert {*map(tuple, values.tolist())} <= {*map(tuple, allowed.tolist())}
    as_array = translator(np.asarray(Image.open(data / "A" / "0.png")))
    as_image = translator(Image.open(data / "A" / "0.png"))
    assert as_image.mode == written.mode and np.array_equal(np.array(as_image), as_array[..., 0] if channels == 1 else as_array)
    with pytest.raises(UserError, match=r"write a \.png or \.tif file instead"):
        translator.translate_file(data / "A" / "0.png", tmp_path / "out.jpg")
    if form != "colours":
        with pytest.raises(UserError, match="a WEBP file holds no numbers of classes"):
            translator.translate_file(data / "A" / "0.png", tmp_path / "out.webp")
    for suffix in ("tif", "npy"):
        translator.translate_file(data / "A" / "0.png", tmp_path / f"out.{suffix}")
        assert np.array_equal(images.examine(tmp_path / f"out.{suffix}", palette="index")[0], as_array)
    result = evaluate(run, split="train", quiet=True)
    scores = {row.metric: row for row in result.rows}
    skipped = {row.metric: row.skipped for row in result.rows if row.value is None}
    assert skipped.keys() >= {"l1", "lpips"} and all("names of classes" in reason for reason in skipped.values()), "weights would not help"
    outputs = [np.array(Image.open(tmp_path / "out" / f"{record}.png")) for record in result.names]
    truths = [np.array(Image.open(data / "B" / f"{record}.png")) for record in result.names]
    right = [(a == b).all(2) if form == "colours" else a == b for a, b in zip(outputs, truths)]
    assert scores["pixel_accuracy"].value == pytest.approx(np.mean(right), abs=1e-6)
    assert len(result.channels) == 4 and all(0 <= (entry.rows[0].value or 0) <= 1 for entry in result.channels)


@pytest.mark.parametrize("form", ["palette", "colours"])
def test_label_files_become_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    data = pairs(tmp_path / "data", form)
    train(recipe(data, "source"), tmp_path / "run", quiet=True)
    translator = Translator.load(tmp_path / "run")
    source = translator.config.source
    assert (source.channels, source.file_channels, source.encoding) == (4, 1 if form == "palette" else 3, "labels")
    translator.translate_file(data / "B" / "1.png", tmp_path / "out.png")
    assert images.read(tmp_path / "out.png").shape == (SIDE, SIDE, 3)
    assert np.array_equal(np.array(translator(Image.open(data / "B" / "1.png"))), images.read(tmp_path / "out.png"))
    other = [(index, colour if index != 1 else (9, 9, 9)) for index, colour in TABLE]
    images.write(tmp_path / "odd.png", np.ones((SIDE, SIDE, 1), np.uint8), Metadata(palette=tuple(other)))
    capsys.readouterr()
    if form == "palette":
        with pytest.raises(UserError, match=r"odd\.png has another palette than the training files: its index 1"):
            translator.translate_file(tmp_path / "odd.png", tmp_path / "odd_out.png")
        images.write(tmp_path / "new.png", np.full((SIDE, SIDE, 1), 9, np.uint8), Metadata(palette=((9, (1, 1, 1)),)))
        with pytest.raises(UserError, match=r"new\.png holds the class 9 in 256 pixels, which is none of the 4 known ones"):
            translator.translate_file(tmp_path / "new.png", tmp_path / "new_out.png")
    else:
        translator.translate_file(tmp_path / "odd.png", tmp_path / "odd_out.png")
        assert "256 pixels of the label maps (100 %) have a colour that is none of the 4 classes'" in capsys.readouterr().err
    values = {row.metric: row.value for row in evaluate(tmp_path / "run", split="train", quiet=True).rows}
    assert values["l1"] is not None and values["psnr"] is not None


def test_classes_that_are_given_are_named_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pairs(tmp_path / "data", "numbers")
    (tmp_path / "classes.txt").write_text("0 ground\n3 roof\n6 wall\n9 door\n12 window\n")
    run = train(recipe(data, "target", **{"data.target_classes": str(tmp_path / "classes.txt")}), tmp_path / "run")
    assert "5 classes, ground (0), roof (3), wall (6), door (9), window (12)\n" in capsys.readouterr().err
    assert Translator.load(run).config.target.to_encoding().names == ("ground", "roof", "wall", "door", "window")
    train(
        recipe(data, "target", **{"data.target_classes": str(tmp_path / "classes.txt"), "training.epochs": 2}), run, resume=True, quiet=True
    )
    with pytest.raises(UserError, match=r"holds the class 9, which data\.target_classes does not list"):
        train(recipe(data, "target", **{"data.target_classes": [0, 3, 6]}), tmp_path / "other", quiet=True)


def test_a_run_whose_classes_were_found_is_resumed(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", "palette")
    run = train(recipe(data, "target"), tmp_path / "run", quiet=True)
    before = Translator.load(run).config.target
    train(recipe(data, "target", **{"training.epochs": 2}), run, resume=True, quiet=True)
    assert Translator.load(run).config.target == before and len(before.classes) == 4


@pytest.mark.parametrize(("count", "used", "kind"), [(256, (0, 7, 200), "png"), (12, (0, 2, 3, 8, 11), "png"), (256, (1, 2, 255), "tif")])
def test_generated_label_maps_have_the_whole_palette_of_the_training_files(
    tmp_path: Path, count: int, used: tuple[int, ...], kind: str
) -> None:
    colours = np.random.default_rng(count).integers(0, 256, (count, 3), np.uint8)
    for at in range(6):
        indices = np.array(used, np.uint8)[(label_map(at) + at) % len(used)]
        image = Image.fromarray(indices)
        image.putpalette(colours.tobytes())
        (tmp_path / "data" / "B").mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "data" / "B" / f"{at}.{kind}", **({"transparency": bytes([255] * 4 + [9, 255, 9])} if kind == "png" else {}))
        images.write(tmp_path / "data" / "A" / f"{at}.{kind}", np.random.default_rng(at).integers(0, 256, (SIDE, SIDE, 1), np.uint8))
    run = train(recipe(tmp_path / "data", "target"), tmp_path / "run", quiet=True)
    translator = Translator.load(run)
    translator.translate_folder(tmp_path / "data" / "A", tmp_path / "out", format=kind, quiet=True)
    for file in sorted((tmp_path / "data" / "B").iterdir()):
        with Image.open(file) as original, Image.open(tmp_path / "out" / file.name) as written:
            assert written.mode == "P" and {*np.unique(written).tolist()} <= {*used}
            assert written.getpalette() == original.getpalette() == colours.ravel().tolist()
            assert written.info.get("transparency") == original.info.get("transparency")
    as_image = translator(Image.open(tmp_path / "data" / "A" / f"0.{kind}"))
    assert as_image.getpalette() == colours.ravel().tolist()
    stored = Recipe.load(run / "recipe.yaml").data
    assert isinstance(stored.target_palette, list) and len(stored.target_palette) == count
    train(recipe(tmp_path / "data", "target", **{"training.epochs": 2}), run, resume=True, quiet=True)
    assert Translator.load(run).config.target == translator.config.target and len(translator.config.target.entries) == count


def test_pages_become_pages_of_the_same_palette(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", "palette", 6)
    colours = [*(colour for _, colour in TABLE), (7, 7, 7), (8, 8, 8)]
    for at in range(6):
        images.write(data / "B" / f"{at}.png", label_map(at)[..., None], Metadata(palette=tuple(enumerate(colours))))
    translator = Translator.load(train(recipe(data, "target"), tmp_path / "run", quiet=True))
    images.write_pages(tmp_path / "volume.tif", [images.read(data / "A" / f"{at}.png")[..., :1] for at in range(3)])
    translator.translate_file(tmp_path / "volume.tif", tmp_path / "out.tif", pages="images")
    with Image.open(tmp_path / "out.tif") as written:
        assert written.n_frames == 3  # type: ignore[attr-defined]
        for page in range(3):
            written.seek(page)
            assert written.mode == "P" and (written.getpalette() or [])[:21] == [part for colour in colours for part in colour] + [0] * 3
            assert np.asarray(written).max() < 4


def test_both_directions_of_two_domains_write_palettes_of_their_own(tmp_path: Path) -> None:
    for side, colours in (("A", [*PALETTE, (9, 9, 9)]), ("B", [*PALETTE[::-1], (7, 7, 7), (8, 8, 8)])):
        for at in range(6):
            images.write(
                tmp_path / "data" / side / f"{at}{side}.png", label_map(at)[..., None], Metadata(palette=tuple(enumerate(colours)))
            )
    keys = {"data.kind": "unpaired", "data.source_encoding": "labels", "data.target_encoding": "labels", "data.crop_size": SIDE}
    keys |= {"data.load_size": SIDE, "data.cache_gb": 0, "generator.name": "unet", "generator.width": 2, "discriminator.width": 2}
    keys |= {"discriminator.receptive_field": 16, "training.epochs": 1, "training.preview_count": 1}
    wanted = Recipe.load("cyclegan", {**keys, "data.path": str(tmp_path / "data")})
    wanted = wanted.updated({"generator.depth": 4})
    run = train(wanted, tmp_path / "run", quiet=True)
    for model, count in ((run / "model", 6), (run / "model_inverse", 5)):
        assert len(Translator.load(model).config.target.entries) == count


def test_the_model_of_the_other_direction_knows_its_own_sides(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", "palette", 6)
    keys = {
        "data.unpaired": True,
        "data.target_encoding": "labels",
        "data.target_nodata": 9,
        "data.crop_size": SIDE,
        "data.load_size": SIDE,
    }
    keys |= {"data.cache_gb": 0, "generator.name": "unet", "generator.width": 2, "discriminator.width": 2, "training.epochs": 1}
    keys |= {"discriminator.receptive_field": 16, "training.preview_count": 1, "objective.terms": [{"loss": "cycle", "weight": 10}]}
    run = train(Recipe.load("cyclegan", {**keys, "data.path": str(data)}).updated({"generator.depth": 4}), tmp_path / "run", quiet=True)
    inverse = Translator.load(run / "model_inverse")
    stored = Recipe.from_dict(inverse.config.recipe or {}).data
    assert (stored.direction, stored.source_encoding, stored.target_encoding) == ("BtoA", "labels", "values")
    assert stored.no_data == (9, "tag") and stored.source_classes and stored.target_classes is None
    result = evaluate(run / "model_inverse", split="train", metrics=["random_frechet"], quiet=True)
    assert result.rows[0].value is not None
