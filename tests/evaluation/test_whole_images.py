"""Whole images of any sizes, scored: the numbers of the files that are written, whatever the sizes, the tiles and the masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluation.examples import model_on, smooth
from tests.tiny import tiny_config, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.transforms import Geometry
from transfigure.errors import UserError
from transfigure.evaluation import result as result_module
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import EvaluationRecord
from transfigure.evaluation.sizes import ScoredSizes, words_of
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

SIZES = {"a": (40, 56), "b": (64, 48), "c": (40, 56)}
NATIVE = {"data.load_size": None, "data.crop_size": 16}
PLAIN = ["l1", "psnr", "ssim", "pearson", "detail", "lab_histogram", "grid", "dependence", "random_frechet"]


def pairs_of(
    root: Path, kind: Domain | int = 3, parts: tuple[str, ...] = ("train", "test"), sizes: dict[str, tuple[int, int]] = SIZES
) -> Path:
    """Pairs of two sizes, none of which a network of the tests takes as it is."""
    domain = Domain(kind) if isinstance(kind, int) else kind
    suffix = "png" if domain.channels in (1, 3) and domain.dtype != "float32" else "tif"
    for part in parts:
        for seed, (name, (height, width)) in enumerate(sizes.items()):
            for side, more in (("A", 0), ("B", 40)):
                picture = smooth(height, width, domain.channels, domain.dtype, seed + more + 9 * len(part))
                images.write(root / f"{part}{side}" / f"{name}.{suffix}", picture)
    return root


def by_hand(translator: Translator, root: Path, tmp_path: Path, **more: Any) -> Evaluation:
    """The scores of the files that it writes, against the targets' files."""
    translator.translate_folder(root / "testA", tmp_path / "translated", quiet=True)
    return evaluate_folders(tmp_path / "translated", root / "testB", source=root / "testA", quiet=True, **more)


def same(result: Evaluation, other: Evaluation, places: float = 1e-6) -> None:
    assert result.names == other.names == list(SIZES)
    assert result.scores.keys() == other.scores.keys() != set()
    for metric, scores in other.scores.items():
        assert result.scores[metric] == pytest.approx(scores, rel=places, abs=1e-6), metric
    for metric, scores in other.channel_scores.items():
        assert result.channel_scores[metric] == pytest.approx(scores, rel=places, abs=1e-6), metric
    rows = {row.metric: row for row in result.rows}
    for row in other.rows:
        assert rows[row.metric].value == pytest.approx(row.value, rel=places), row.metric
        if (copied := row.bounds.get("source copied")) is not None:
            assert rows[row.metric].bounds["source copied"] == pytest.approx(copied, rel=places)


def test_whole_images_of_two_sizes_score_as_their_files_do(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    translator = model_on(root, values=NATIVE)
    result = evaluate(translator, metrics=PLAIN, quiet=True)
    same(result, by_hand(translator, root, tmp_path, metrics=PLAIN))
    assert (result.about.resize, result.about.scored, result.about.scored_share) == ("none", "whole images, 56 x 40 to 48 x 64", None)
    assert {row.resize for row in result.rows} == {"none"}


def test_channels_that_are_no_colours_each_by_itself(tmp_path: Path) -> None:
    kind = Domain(2, "uint16", names=("DAPI", "MAP2"))
    root = pairs_of(tmp_path / "data", Domain(2, "uint16"))
    translator = model_on(root, kind, kind, values=NATIVE)
    result = evaluate(translator, metrics=["psnr", "ssim", "pearson"], quiet=True)
    assert result.channel_scores.keys() == {f"{metric}[{name}]" for metric in ("psnr", "ssim", "pearson") for name in ("DAPI", "MAP2")}
    same(result, by_hand(translator, root, tmp_path, metrics=["psnr", "ssim", "pearson"], channel_names=["DAPI", "MAP2"]))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_tiles_with_the_statistics_of_the_whole_score_alike(tmp_path: Path, norm: str) -> None:
    root = pairs_of(tmp_path / "data", sizes={"a": (96, 128), "b": (128, 96), "c": (96, 128)})
    options = {"width": 4, "blocks": 1, "norm": norm}
    recipe = model_on(root, values=NATIVE).config.recipe
    translator = tiny_translator(tiny_config("resnet", options, recipe=recipe, size_multiple=4))
    whole = evaluate(translator, metrics=["l1", "psnr", "ssim"], quiet=True)
    tiled = evaluate(translator.set_tiles(tile=96, overlap=48, statistics="exact"), metrics=["l1", "psnr", "ssim"], quiet=True)
    same(tiled, whole, places=1e-5)
    assert any("tiles of 96 x 96" in note for note in tiled.about.notes)
    assert not any("tiles" in note for note in whole.about.notes)
    assert tiled.about.inference["tiles"]["statistics"] == "exact" and "tiles" not in whole.about.inference


def test_scores_inside_masks_of_each_image_s_size(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    for name, (height, width) in SIZES.items():
        mask = np.zeros((height, width, 1), np.uint8)
        mask[5:31, 8:40] = 255
        images.write(root / "mask" / "test" / f"{name}.png", mask)
    translator = model_on(root, values=NATIVE)
    metrics = ["l1", "psnr", "ssim", "pearson", "detail"]
    result = evaluate(translator, metrics=metrics, overrides={"data.mask": str(root / "mask" / "test")}, quiet=True)
    same(result, by_hand(translator, root, tmp_path, metrics=metrics, mask=root / "mask" / "test"))
    assert result.about.counted == pytest.approx(np.mean([26 * 32 / (height * width) for height, width in SIZES.values()]))
    for side in ("translated", "data/testB"):
        for name in SIZES:
            images.write(tmp_path / "cut" / side / f"{name}.png", images.read(tmp_path / side / f"{name}.png")[5:31, 8:40])
    cut = evaluate_folders(tmp_path / "cut/translated", tmp_path / "cut/data/testB", metrics=metrics, quiet=True)
    for metric in ("l1", "psnr", "ssim", "pearson"):
        assert result.scores[metric] == pytest.approx(cut.scores[metric], rel=1e-5), metric


def test_no_data_keeps_its_pixels_out_of_whole_images_too(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data", 1)
    translator = model_on(root, 1, 1, values=NATIVE)
    for name in SIZES:
        file = root / "testA" / f"{name}.png"
        images.write(file, np.maximum(images.read(file), 8))  # nothing is missing in a source
    plain = evaluate(translator, metrics=["l1"], quiet=True)
    holed = images.read(root / "testB" / "b.png").copy()
    holed[:20] = 7
    images.write(root / "testB" / "b.png", holed)
    result = evaluate(translator, metrics=["l1"], overrides={"data.nodata": 7}, quiet=True)
    output = images.to_tensor(translator.translate_array(images.read(root / "testA" / "b.png")))
    target = images.to_tensor(images.read(root / "testB" / "b.png"))
    counts = torch.from_numpy(holed[..., 0] != 7)
    assert result.scores["l1"][1] == pytest.approx(float((output - target).abs()[0][counts].mean() / 2), rel=1e-5)
    assert result.scores["l1"][1] != plain.scores["l1"][1]


def test_the_mean_target_of_images_of_several_sizes_is_a_value_of_each_channel(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    result = evaluate(model_on(root, values=NATIVE), metrics=["l1"], quiet=True)
    trained = torch.stack([images.to_tensor(images.read(root / "trainB" / f"{name}.png")).mean((1, 2)) for name in SIZES]).mean(0)
    mean = ((trained + 1) * 127.5).round() / 127.5 - 1
    targets = [images.to_tensor(images.read(root / "testB" / f"{name}.png")) for name in SIZES]
    wanted = np.mean([float((target - mean[:, None, None]).abs().mean() / 2) for target in targets])
    assert result.rows[0].bounds["mean training target"] == pytest.approx(wanted, rel=1e-5)
    assert result.about.notes == [
        "images differ in size, so the mean training target is the mean value of each channel, the same at every pixel"
    ]


def test_the_mean_target_of_images_of_one_size_is_an_image(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data", sizes=dict.fromkeys("abc", (40, 56)))
    result = evaluate(model_on(root, values=NATIVE), metrics=["l1"], quiet=True)
    trained = torch.stack([images.to_tensor(images.read(root / "trainB" / f"{name}.png")) for name in "abc"]).mean(0)
    mean = ((trained + 1) * 127.5).round() / 127.5 - 1
    wanted = np.mean([float((images.to_tensor(images.read(root / "testB" / f"{name}.png")) - mean).abs().mean() / 2) for name in "abc"])
    assert result.rows[0].bounds["mean training target"] == pytest.approx(wanted, rel=1e-5)
    assert not result.about.notes


def test_label_maps_are_scored_whole_class_by_class(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    classes = tuple(LabelClass(name, number) for number, name in enumerate(("sky", "wall", "door")))
    truth = {}
    for part in ("train", "test"):
        for name, (height, width) in SIZES.items():
            truth[name] = (
                np.random.default_rng(ord(name)).integers(0, 3, (height // 8, width // 8, 1)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
            )
            images.write(root / f"{part}B" / f"{name}.png", truth[name])
    kind = Domain(3, encoding="labels", classes=classes)
    keys = {"data.target_encoding": "labels", "data.target_classes": [{"name": one.name, "index": one.index} for one in classes]}
    translator = model_on(root, 3, kind, values={**NATIVE, **keys})
    result = evaluate(translator, metrics=["fcn_score"], quiet=True, out=tmp_path / "out")
    found = {name: translator.translate_array(images.read(root / "testA" / f"{name}.png")) for name in SIZES}
    right = sum(int((found[name] == truth[name]).sum()) for name in SIZES)
    values = {row.metric: row.value for row in result.rows}
    assert values["pixel_accuracy"] == pytest.approx(right / sum(height * width for height, width in SIZES.values()))
    assert [channel.name for channel in result.channels] == ["sky", "wall", "door"]
    assert result.about.scored == "whole images, 56 x 40 to 48 x 64" and len(result.panels) == 3


def test_domains_without_pairs_keep_their_own_sizes(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    for name, (height, width) in {"a": (48, 48), "b": (44, 60), "c": (70, 44)}.items():
        images.write(root / "testB" / f"{name}.png", smooth(height, width, 3, "uint8", ord(name)))
    translator = model_on(root, values={**NATIVE, "data.unpaired": True, "data.kind": "unpaired"})
    result = evaluate(translator, quiet=True)
    values = {row.metric: row.value for row in result.rows if not row.skipped}
    assert {"lab_histogram_l", "detail", "grid", "random_frechet"} <= values.keys()
    generated = [images.to_tensor(translator.translate_array(images.read(root / "testA" / f"{name}.png"))) for name in SIZES]
    targets = [images.to_tensor(images.read(root / "testB" / f"{name}.png")) for name in SIZES]
    energy = [float(torch.stack([high_pass(one) for one in side]).sum()) for side in (generated, targets)]
    assert values["detail"] == pytest.approx(energy[0] / energy[1], rel=1e-5)
    assert result.about.scored == "whole images, 56 x 40 to 48 x 64"


def high_pass(image: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    around = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] + padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return (image - around / 4).square().mean()


def test_which_pixels_are_scored_by_the_keys_of_the_data(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    resized = model_on(root, values={"data.load_size": 32, "data.crop_size": 32})

    def said(**keys: Any) -> tuple[str, str, float | None]:
        about = evaluate(resized, metrics=["l1"], overrides={f"data.{key}": value for key, value in keys.items()}, quiet=True).about
        return about.resize, about.scored, about.scored_share

    assert said() == ("bicubic / bicubic to 32 x 32", "whole images, resized to 32 x 32", None)
    assert said(evaluation_size="whole") == ("none", "whole images, 56 x 40 to 48 x 64", None)
    assert said(load_size=None) == ("none", "whole images, 56 x 40 to 48 x 64", None)
    share = 32 * 32 * 3 / sum(height * width for height, width in SIZES.values())
    words = "the middle 32 x 32 of images of 56 x 40 to 48 x 64"
    assert said(load_size=None, evaluation_size=32) == ("middle 32 x 32", words, pytest.approx(share))


def test_pairs_of_two_sizes_are_refused_or_fitted(tmp_path: Path) -> None:
    root = pairs_of(tmp_path / "data")
    images.write(root / "testB" / "b.png", smooth(32, 24, 3, "uint8", 5))
    translator = model_on(root, values={"data.load_size": 32, "data.crop_size": 32})
    whole = {"data.evaluation_size": "whole"}
    with pytest.raises(UserError, match=r"testA/b\.png is 48x64.*testB/b\.png is 24x32.*--data.fit resize"):
        evaluate(translator, metrics=["l1"], overrides=whole, quiet=True)
    assert len(evaluate(translator, metrics=["l1"], overrides={**whole, "data.fit": "resize"}, quiet=True).names) == 3


def test_large_images_are_kept_reduced_for_reports_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_module, "PANEL_SIDE", 50)
    root = pairs_of(tmp_path / "data")
    result = evaluate(model_on(root, values=NATIVE), metrics=["ssim"], out=tmp_path / "out", quiet=True)
    assert {panel.name: panel.reduced_from for panel in result.panels} == {"a": "56 x 40", "b": "48 x 64", "c": "56 x 40"}
    for panel in result.panels:
        for file in (panel.source, panel.generated, panel.target):
            assert max(images.read(tmp_path / "out" / str(file)).shape[:2]) == 50
    assert EvaluationRecord.read(tmp_path / "out").panels == result.panels
    assert main(["report", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "reduced from 48 x 64" in page and "scored: whole images, 56 x 40 to 48 x 64" in page


def test_a_run_whose_middles_were_scored_before_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = pairs_of(tmp_path / "data"), tmp_path / "run"
    translator = model_on(root, values=NATIVE)
    translator.save(run / "model")
    (run / "recipe.yaml").write_text("name: recipe\n")
    evaluate(run, quiet=True, overrides={"data.evaluation_size": 16})
    file = run / "evaluation" / "evaluation.json"
    stored = json.loads(file.read_text())
    assert stored["resize"] == "middle 16 x 16" and stored.pop("scored") and stored.pop("scored_share")
    file.write_text(json.dumps({**stored, "version": 2}))  # as an earlier version wrote it
    capsys.readouterr()
    evaluate(run, metrics=["l1"])
    assert "middle 16 x 16 of each: --data.evaluation_size 16 scores those pixels again" in capsys.readouterr().err
    evaluate(run)
    assert "--data.evaluation_size 16" in capsys.readouterr().err
    evaluate(run)
    assert "--data.evaluation_size" not in capsys.readouterr().err


def test_the_command_takes_tiles_and_says_what_was_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = pairs_of(tmp_path / "data"), tmp_path / "run"
    model_on(root, values=NATIVE).save(run / "model")
    (run / "recipe.yaml").write_text("name: recipe\n")
    flags = ["evaluate", str(run), "--metrics", "l1", "--tile", "32", "--overlap", "0", "--tile-statistics", "tile"]
    assert main([*flags, "--out", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["scored"] == "whole images, 56 x 40 to 48 x 64" and said["inference"]["tiles"]["tile"] == 32
    assert sum("tiles of 32 x 32" in note for note in said["notes"]) == 2, "one for each size"
    assert main([*flags[:4], "--data.evaluation_size", "16", "--quiet"]) == 0
    assert "scored: the middle 16 x 16 of images of 56 x 40 to 48 x 64 (10 % of their pixels)" in capsys.readouterr().out
    folders = ["evaluate", "--generated", str(root / "testA"), "--target", str(root / "testB"), "--metrics", "l1"]
    assert main(folders) == 0
    assert "scored: whole images, 56 x 40 to 48 x 64" in capsys.readouterr().out
    assert main([*folders, "--tile", "32"]) == 2
    assert "--tile is for a model that translates" in capsys.readouterr().err


def test_what_no_memory_is_enough_for_is_named(tmp_path: Path) -> None:
    translator = model_on(pairs_of(tmp_path / "data"), values=NATIVE).set_tiles(max_memory=1)
    with pytest.raises(UserError, match=r"^a: 56 x 40 pixels .*--max-memory|^a: .*the program itself takes all"):
        evaluate(translator, metrics=["l1"], quiet=True)


def test_a_geometry_of_whole_images_moves_nothing() -> None:
    whole = Geometry(24, 8, True, fit=True).of_whole_images()
    assert whole.evaluation() == whole
    source, target = smooth(30, 20, 3, "uint8", 0), smooth(30, 20, 1, "uint8", 1)
    assert all(one is other for one, other in zip(whole.prepare(source, target), (source, target)))
    assert whole.apply(source, whole.draw(None, 30, 20)) is source
    assert whole.prepare(source, target[:10])[1].shape == (30, 20, 1)


def test_sizes_in_words() -> None:
    assert words_of([(40, 56), (64, 48), (40, 56)]) == "56 x 40 to 48 x 64"
    sizes = ScoredSizes(Geometry(None, 32).evaluation())
    assert (sizes.words(), sizes.share()) == ("", None)
    sizes.take((32, 32))
    assert (sizes.words(), sizes.share()) == ("whole images, 32 x 32", None)
    sizes.take((16, 64))
    assert sizes.share() == pytest.approx((32 * 32 + 16 * 16) / (32 * 32 + 16 * 64)), "it is enlarged until the square fits"
    assert sizes.words() == "the middle 32 x 32 of images of 64 x 16 to 32 x 32, smaller ones enlarged"
    regions = ScoredSizes(what="regions")
    regions.take((64, 48))
    assert regions.words() == "whole regions, 48 x 64"


@pytest.mark.parametrize(
    ("fit", "load", "size", "words", "share"),
    [
        ("refuse", 32, (60, 90), "whole images, resized to 32 x 32", None),
        ("fit", 32, (60, 90), "whole images, scaled into 32 x 32", None),
        ("crop", 32, (60, 90), "the middle of images of 90 x 60, as much of each as covers 32 x 32", 2 / 3),
        ("crop", 32, (60, 60), "whole images, resized to 32 x 32", None),
        ("pad", 32, (60, 90), "the middle 32 x 32 of images of 90 x 60", 32 * 32 / 5400),
        ("pad", 32, (20, 30), "whole images, padded to 32 x 32", None),
        ("pad", None, (20, 30), "whole images, padded to 32 x 32", None),
        ("refuse", None, (20, 20), "whole images, brought to 32 x 32", None),
    ],
)
def test_what_is_seen_of_an_image_by_how_it_is_fitted(
    fit: Any, load: int | None, size: tuple[int, int], words: str, share: float | None
) -> None:
    sizes = ScoredSizes(Geometry(load, 32, fit=fit).evaluation())
    sizes.take(size)
    assert sizes.words() == words
    assert sizes.share() == pytest.approx(share)
