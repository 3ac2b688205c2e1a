"""A translator on held-out pairs: the right pairs, the numbers of the written files, and bounds beside them."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluation.examples import SIZE, model_on, section, smooth, two_folders
from tests.tiny import Copy, copying, noise_image, tiny_config, tiny_translator
from transfigure import registry
from transfigure.data import images
from transfigure.data.dataset import PairDataset
from transfigure.data.open import open_collection
from transfigure.data.ownership import marked
from transfigure.data.pixels import to_tensor
from transfigure.data.splits import divide
from transfigure.errors import UserError
from transfigure.evaluation import evaluate as module
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders
from transfigure.evaluation.result import Evaluation
from transfigure.metrics.metric import Metric
from transfigure.networks.base import Generator
from transfigure.networks.model_file import Domain, Inference
from transfigure.recipe import Data

PLAIN = ["l1", "psnr", "ssim", "ms_ssim"]


def row(result: Evaluation, metric: str) -> Any:
    return next(one for one in result.rows if one.metric == metric)


# ---- which pairs --------------------------------------------------------------------------------------------------------


def test_test_pairs_by_default(tmp_path: Path) -> None:
    result = evaluate(model_on(two_folders(tmp_path)), quiet=True)
    assert result.about["split"] == "test"
    assert result.names == ["0", "1", "2", "3"]
    assert {one.of for one in result.rows} == set(registry.names("metric"))
    assert set(result.scores) >= set(PLAIN)
    for one in (one for one in result.rows if one.metric in result.scores):
        assert one.n == 4
        assert one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high
        assert one.value == pytest.approx(np.mean(result.scores[one.metric]))
        assert set(one.bounds) == {"source copied", "mean training target", "target itself"}


@pytest.mark.parametrize(("counts", "split"), [({"train": 2, "val": 3}, "val"), ({"train": 2}, "train"), ({"test": 2}, "test")], ids=str)
def test_what_is_scored_without_a_test_split_is_said(
    tmp_path: Path, counts: dict[str, int], split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(model_on(two_folders(tmp_path, **counts)))
    assert result.about["split"] == split
    assert len(result.names) == counts[split]
    said = capsys.readouterr().err
    assert ("no test split" in said) == (split == "val")
    assert ("too good" in said) == (split == "train")
    assert ("mean training target" in row(result, "l1").bounds) == ("train" in counts)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_by_name(tmp_path: Path, split: str) -> None:
    translator = model_on(two_folders(tmp_path, train=1, val=2, test=3))
    assert len(evaluate(translator, split=split, quiet=True).names) == {"train": 1, "val": 2, "test": 3}[split]


@pytest.mark.parametrize("split", ["val", "testing", ""])
def test_a_missing_split_names_those_there_are(tmp_path: Path, split: str) -> None:
    translator = model_on(two_folders(tmp_path, train=1, test=1))
    if split == "":
        assert evaluate(translator, split=split or None, quiet=True).about["split"] == "test"
        return
    with pytest.raises(UserError, match=r"no (val|testing) pairs .*train, test.*--split"):
        evaluate(translator, split=split, quiet=True)


def test_an_undivided_folder_is_divided_as_in_training(tmp_path: Path) -> None:
    for index in range(20):
        images.write(tmp_path / f"{index}.png", noise_image(SIZE, 2 * SIZE, seed=index))
    result = evaluate(model_on(tmp_path, values={"data.test_fraction": 0.25}), quiet=True)
    expected = divide(open_collection("side_by_side", tmp_path), 0.1, 0.25, 0).splits["test"]
    assert result.names == [record.name for record in expected]


def test_data_in_memory_of_the_model_s_recipe() -> None:
    translator = model_on(None, values={"data.kind": "synthetic", "data.size": SIZE, "data.train": 2, "data.val": 1, "data.test": 3})
    result = evaluate(translator, quiet=True)
    assert len(result.names) == 3
    assert result.about["data"] == "synthetic"


def test_a_model_that_knows_no_data_asks_for_some(tmp_path: Path) -> None:
    translator = tiny_translator()
    with pytest.raises(UserError, match="name the pairs"):
        evaluate(translator, quiet=True)
    result = evaluate(translator, two_folders(tmp_path), quiet=True)
    assert result.about["resize"].endswith("32 x 32")
    assert len(evaluate(translator, overrides={"data.path": str(tmp_path)}, quiet=True).names) == 4


# ---- data named anew ----------------------------------------------------------------------------------------------------


def side_by_side(root: Path, count: int = 3) -> Path:
    for index in range(count):
        halves = [smooth(SIZE, SIZE, 3, "uint8", seed) for seed in (index, 50 + index)]
        images.write(root / "test" / f"{index}.png", np.concatenate(halves, axis=1))
    return root


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_another_place_keeps_the_direction_and_recognises_the_kind(tmp_path: Path, direction: str) -> None:
    home, elsewhere = two_folders(tmp_path / "home"), side_by_side(tmp_path / "elsewhere")
    translator = model_on(home, values={"data.direction": direction})
    translator.generator = Copy(16)
    result = evaluate(translator, elsewhere, quiet=True)
    assert len(result.names) == 3
    # the other way: trained on side-by-side files, evaluated on two folders
    again = model_on(elsewhere, values={"data.direction": direction})
    again.generator = Copy(16)
    assert len(evaluate(again, home, quiet=True).names) == 4
    first = again.generator.seen[0]
    expected = images.read(home / ("testA" if direction == "AtoB" else "testB") / "0.png")
    assert np.array_equal(images.to_array(first[0]), expected)


def test_from_drawn_to_real_pairs_and_back(tmp_path: Path) -> None:
    drawn = model_on(None, values={"data.kind": "synthetic", "data.size": SIZE, "data.test": 2})
    assert len(evaluate(drawn, two_folders(tmp_path), quiet=True).names) == 4
    real = model_on(tmp_path)
    result = evaluate(real, "synthetic", quiet=True, overrides={"data.test": 2, "data.train": 2})
    assert result.about["data"] == "synthetic"
    assert len(result.names) == 2


def test_a_moved_folder_with_names_of_its_own(tmp_path: Path) -> None:
    two_folders(tmp_path / "old")
    for split in ("train", "val", "test"):
        for side, name in (("A", "foo"), ("B", "bar")):
            (tmp_path / "old" / name).mkdir(exist_ok=True)
            (tmp_path / "old" / f"{split}{side}").rename(tmp_path / "old" / name / split)
    translator = model_on(tmp_path / "old", values={"data.kind": "two_folders", "data.a": "bar", "data.b": "foo"})
    before = evaluate(translator, quiet=True)
    (tmp_path / "old").rename(tmp_path / "new")
    assert evaluate(translator, tmp_path / "new", quiet=True).scores == before.scores
    with pytest.raises(UserError, match="old"):
        evaluate(translator, quiet=True)


def test_the_recipe_s_own_folder_named_again_is_the_recipe_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = model_on(two_folders(tmp_path / "data"))
    own = evaluate(translator, quiet=True)
    monkeypatch.chdir(tmp_path)
    for name in ("data", "./data", str(tmp_path / "data")):
        assert evaluate(translator, name, quiet=True).scores == own.scores


def test_places_with_difficult_names(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(recipe=section(two_folders(tmp_path / "home"))))
    for name in ("run #3: new", "2024", "null", "a: b"):
        assert len(evaluate(translator, two_folders(tmp_path / name), quiet=True).names) == 4


def test_places_that_are_not_there(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path / "home"))
    with pytest.raises(UserError, match="does not exist"):
        evaluate(translator, tmp_path / "absent", quiet=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        evaluate(translator, tmp_path / "empty", quiet=True)


def test_overrides(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path, size=40))
    translator.generator = Copy(16)
    forward = evaluate(translator, quiet=True)
    backward = evaluate(translator, overrides={"data.direction": "BtoA"}, quiet=True)
    assert forward.scores["l1"] == pytest.approx(backward.scores["l1"])
    assert not np.array_equal(translator.generator.seen[0], translator.generator.seen[-1])
    small = evaluate(translator, overrides={"data.load_size": "16", "data.crop_size": "16"}, quiet=True)
    assert small.about["resize"] == "bicubic / bicubic to 16 x 16"
    whole = evaluate(translator, overrides={"data.load_size": "null"}, quiet=True)
    assert (whole.about["resize"], whole.about["scored"]) == ("none", "whole images, 40 x 40")
    middle = evaluate(translator, overrides={"data.load_size": "null", "data.evaluation_size": "32"}, quiet=True)
    assert middle.about["resize"] == "middle 32 x 32"
    assert middle.about.pixels_scored == "scored: the middle 32 x 32 of images of 40 x 40 (64 % of their pixels)"
    with pytest.raises(UserError, match="directoin"):
        evaluate(translator, overrides={"data.directoin": "BtoA"}, quiet=True)


def test_a_model_of_small_crops_is_evaluated_at_the_size_of_its_recipe(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path, size=40), values={"data.crop_size": 16, "data.evaluation_size": 32})
    assert evaluate(translator, quiet=True).about["resize"] == "bicubic / bicubic to 32 x 32"
    named = evaluate(translator, overrides={"data.load_size": "24", "data.crop_size": "24"}, quiet=True)
    assert named.about["resize"] == "bicubic / bicubic to 24 x 24", "who names a crop gets squares of that size"
    both = evaluate(translator, overrides={"data.crop_size": "8", "data.evaluation_size": "24"}, quiet=True)
    assert both.about["resize"] == "bicubic / bicubic to 24 x 24"


def test_a_data_section_and_overrides_on_top(tmp_path: Path) -> None:
    translator = tiny_translator()
    given = Data(path=str(two_folders(tmp_path)), load_size=SIZE, crop_size=SIZE)
    assert len(evaluate(translator, given, quiet=True).names) == 4
    result = evaluate(translator, given, overrides={"data.load_size": None, "data.crop_size": 16}, quiet=True)
    assert result.about["resize"] == "middle 16 x 16", "who names a crop wants squares of that size"


def test_a_recipe_with_a_loss_that_is_no_longer_there(tmp_path: Path) -> None:
    recipe = section(two_folders(tmp_path))
    recipe["objective"]["terms"] = [{"loss": "from_a_plugin", "weight": 1.0}]
    assert len(evaluate(tiny_translator(tiny_config(recipe=recipe)), quiet=True).names) == 4


# ---- the numbers --------------------------------------------------------------------------------------------------------

KINDS: list[tuple[Domain | int, Domain | int, dict[str, Any]]] = [
    (3, 3, {}),
    (1, 3, {}),
    (3, 1, {}),
    (Domain(1, "uint16"), Domain(1, "uint16"), {}),
    (Domain(3, "uint16"), Domain(3, "uint8"), {}),
    (Domain(5, "uint16", (0.0, 40000.0)), Domain(3), {"data.source_range": [0, 40000]}),
    (3, Domain(4, "uint16"), {}),
    (3, Domain(1, "float32"), {}),
    (3, Domain(2, "uint16", (1000.0, 50000.0)), {"data.target_range": [1000, 50000]}),
    (3, Domain(1, "float32", (-1.0, 2.0)), {"data.target_range": [-1, 2]}),
]


@pytest.mark.parametrize(("source", "target", "values"), KINDS, ids=str)
def test_the_numbers_are_those_of_the_files(tmp_path: Path, source: Any, target: Any, values: dict[str, Any]) -> None:
    translator = model_on(two_folders(tmp_path, source, target), source, target, values=values)
    result = evaluate(translator, quiet=True)
    translator.translate_folder(tmp_path / "testA", tmp_path / "made", quiet=True)
    limits = translator.config.target.value_range
    made, wanted, given = tmp_path / "made", tmp_path / "testB", tmp_path / "testA"
    files = evaluate_folders(made, wanted, source=given, value_range=limits, alpha="keep", quiet=True)
    assert files.names == result.names
    for metric, scores in result.scores.items():
        np.testing.assert_allclose(files.scores[metric], scores, atol=1e-6, rtol=1e-6)
    channels = [one.channels if isinstance(one, Domain) else one for one in (source, target)]
    assert ("source copied" in result.rows[0].bounds) == (channels[0] == channels[1] or set(channels) == {1, 3})
    if not values and "source copied" in result.rows[0].bounds:
        assert row(files, "l1").bounds["source copied"] == pytest.approx(row(result, "l1").bounds["source copied"], abs=1e-6)


def test_a_perfect_translator_scores_perfectly(tmp_path: Path) -> None:
    two_folders(tmp_path)
    for split in ("train", "val", "test"):
        for file in (tmp_path / f"{split}A").iterdir():
            (tmp_path / f"{split}B" / file.name).write_bytes(file.read_bytes())
    translator = model_on(tmp_path)
    translator.generator = Copy()
    result = evaluate(translator, metrics=PLAIN, quiet=True)
    assert {one.metric: round(one.value, 5) for one in result.rows} == {"l1": 0, "psnr": 100, "ssim": 1, "ms_ssim": 1}
    for one in result.rows:
        assert one.bounds["source copied"] == pytest.approx(one.value)
        assert one.bounds["mean training target"] != pytest.approx(one.value)


def test_the_mean_training_target_is_that(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path, train=5, test=2))
    bound = row(evaluate(translator, quiet=True), "l1").bounds["mean training target"]
    targets = [images.read(tmp_path / "trainB" / f"{index}.png").astype(float) for index in range(5)]
    mean = np.rint(np.mean(targets, axis=0)) / 255
    tests = [images.read(tmp_path / "testB" / f"{index}.png") / 255 for index in range(2)]
    assert bound == pytest.approx(np.mean([np.abs(mean - one).mean() for one in tests]), abs=1e-4)


def test_the_copied_source_is_that(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path, 1, 3))
    pairs = [[images.read(tmp_path / f"test{side}" / f"{index}.png") / 255 for side in "AB"] for index in range(4)]
    expected = np.mean([np.abs(source - target).mean() for source, target in pairs])
    bounds = {split: row(evaluate(translator, split=split, quiet=True), "l1").bounds["source copied"] for split in ("test", "val")}
    assert bounds["test"] == pytest.approx(expected, abs=1e-5)


def test_an_image_s_score_does_not_depend_on_the_others(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path))
    together = evaluate(translator, quiet=True)
    for index in (0, 1, 3):
        for side in "AB":
            (tmp_path / f"test{side}" / f"{index}.png").unlink()
    alone = evaluate(translator, quiet=True)
    assert alone.names == ["2"]
    for metric, scores in alone.scores.items():
        assert scores == [together.scores[metric][2]]
    assert row(alone, "l1").low is row(alone, "l1").high is None, "nothing is known of the spread of images"


def test_label_maps(tmp_path: Path) -> None:
    """Labels keep their colours where the recipe says nearest."""
    two_folders(tmp_path, size=40)
    palette = np.array([[0, 0, 170], [255, 255, 0]], np.uint8)
    for file in [*(tmp_path / "testA").iterdir()]:
        images.write(file, palette[(noise_image(40, 40, 1)[:, :, 0] > 127).astype(int)])
    translator = model_on(tmp_path, values={"data.source_resize": "nearest"})
    translator.generator = Copy()
    evaluate(translator, quiet=True)
    colours = {tuple(colour) for seen in translator.generator.seen for colour in images.to_array(seen[0]).reshape(-1, 3).tolist()}
    assert colours == {tuple(colour) for colour in palette.tolist()}


def test_the_noise_is_as_the_translator_says(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path))
    noisy = evaluate(translator, quiet=True)
    assert evaluate(translator, quiet=True).scores == noisy.scores
    translator.inference = Inference(seed=1)
    assert evaluate(translator, quiet=True).scores != noisy.scores
    assert noisy.about["inference"] == {"norm": "batch", "noise": "dropout", "seed": 0}


# ---- the result ---------------------------------------------------------------------------------------------------------


def test_best_and_worst(tmp_path: Path) -> None:
    """The better the number, the less the target differs from the source, which the translator copies."""
    two_folders(tmp_path, train=1, test=5)
    for index, off in enumerate([30, 10, 50, 0, 20]):
        picture = smooth(SIZE, SIZE, 3, "uint8", 1) // 2
        images.write(tmp_path / "testA" / f"{index}.png", picture)
        rng = np.random.default_rng(0)
        images.write(tmp_path / "testB" / f"{index}.png", picture + rng.integers(0, off + 1, picture.shape, dtype=np.uint8))
    translator = model_on(tmp_path)
    translator.generator = Copy()
    for metrics in (None, ["l1"], ["psnr", "l1"]):
        result = evaluate(translator, metrics=metrics, quiet=True)
        assert result.about["ranked_by"] == (metrics or ["ssim"])[0]
        assert result.about["best"] == ["3", "1", "4"]
        assert result.about["worst"] == ["2", "0", "4"]
    panels = evaluate(translator, out=tmp_path / "out", quiet=True).panels
    assert {panel.role: panel.name for panel in panels if panel.role != "example"} == {"best": "3", "median": "4", "worst": "2"}


def test_what_is_written(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path / "data", test=9, train=2))
    (tmp_path / "out" / "panels").mkdir(parents=True)
    (tmp_path / "out" / "panels" / "mine.txt").write_text("keep")
    images.write(tmp_path / "out" / "panels" / "97_source.png", np.zeros((2, 2, 3), np.uint8))  # from an earlier evaluation
    result = evaluate(translator, out=tmp_path / "out", quiet=True)
    loaded = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert loaded == json.loads(json.dumps(marked(result.to_dict(), result.files)))
    assert loaded["n"] == 9
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "per_image.csv").read_text())))
    assert [line["name"] for line in lines] == result.names
    for metric, scores in result.scores.items():
        assert [float(line[metric]) for line in lines] == pytest.approx(scores, rel=1e-5)
    assert (tmp_path / "out" / "panels" / "mine.txt").read_text() == "keep"
    assert not (tmp_path / "out" / "panels" / "97_source.png").exists()
    seen = set()
    for panel in loaded["panels"]:
        index = result.names.index(panel["name"])
        assert panel["value"] == result.scores["ssim"][index]
        assert np.array_equal(images.read(tmp_path / "out" / panel["target"]), images.read(tmp_path / "data" / "testB" / f"{index}.png"))
        generated = images.read(tmp_path / "out" / panel["generated"])
        assert np.array_equal(generated, translator(images.read(tmp_path / "data" / "testA" / f"{index}.png")))
        seen.add(panel["name"])
    assert len(seen) == len(loaded["panels"]) >= 6


@pytest.mark.parametrize("target", [Domain(5), Domain(1, "float32", (-1.0, 2.0)), Domain(3, "uint16")], ids=str)
def test_panels_of_every_kind_of_image(tmp_path: Path, target: Domain) -> None:
    limits = target.value_range and list(target.value_range)
    translator = model_on(two_folders(tmp_path / "data", 3, target), 3, target, values={"data.target_range": limits})
    for panel in evaluate(translator, out=tmp_path / "out", quiet=True).panels:
        assert panel.generated is not None
        written = images.read(tmp_path / "out" / panel.generated)
        assert written.dtype == target.dtype
        assert written.shape[2] == target.channels


def test_awkward_names(tmp_path: Path) -> None:
    root = two_folders(tmp_path / "data", train=1, test=1)
    names = ['a, "b"; c', "ü λ", "=1+1", "new\nline"]
    for name in names:
        for side in "AB":
            images.write(root / f"test{side}" / f"{name}.png", noise_image(SIZE, SIZE))
    evaluate(model_on(root), out=tmp_path / "out", quiet=True)
    lines = list(csv.reader(io.StringIO((tmp_path / "out" / "per_image.csv").read_text(encoding="utf-8"), newline="")))
    assert sorted(line[0] for line in lines[1:]) == sorted(["0", *names])
    assert {len(line) for line in lines} == {len(lines[0])}
    json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    root = two_folders(tmp_path / "data", train=1, test=1)
    for side in "AB":
        (root / f"test{side}" / "0.png").rename(root / f"test{side}" / "\udcff.png")
    evaluate(model_on(root), out=tmp_path / "out", quiet=True)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["best"] == ["\udcff"]


def test_a_run_keeps_its_evaluation(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path / "data"))
    translator.save(tmp_path / "run" / "model")
    result = evaluate(tmp_path / "run" / "model", quiet=True)
    assert not (tmp_path / "run" / "evaluation").exists()
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n")
    again = evaluate(str(tmp_path / "run"), quiet=True)
    assert again.scores == result.scores == evaluate(translator, quiet=True).scores
    assert json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())["model"] == str(tmp_path / "run")


def test_an_output_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path / "data"))
    translator.generator = Copy()
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out"):
        evaluate(translator, out=tmp_path / "out", quiet=True)
    assert not translator.generator.seen


def test_each_picture_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = model_on(two_folders(tmp_path, train=3, val=2, test=4))
    asked: list[Path] = []
    examine = images.examine

    def counted(path: Path, *how: Any, **more: Any) -> Any:
        asked.append(path)
        return examine(path, *how, **more)

    monkeypatch.setattr(images, "examine", counted)
    evaluate(translator, quiet=True)
    assert len(asked) == len(set(asked)) == 2 * (3 + 4)


def test_what_is_converted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_folders(tmp_path, 1, 3)
    evaluate(model_on(tmp_path, 3, 1))
    said = capsys.readouterr().err
    assert "sources are grey" in said
    assert "targets are in colour" in said
    evaluate(model_on(tmp_path, 1, 3))
    assert "sources" not in capsys.readouterr().err
    evaluate(model_on(tmp_path, 3, 1), quiet=True)
    assert capsys.readouterr().err == ""


# ---- what cannot be evaluated -------------------------------------------------------------------------------------------


def test_pairs_that_do_not_fit_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"testA/0\.tif.*5 channels"):
        evaluate(model_on(two_folders(tmp_path / "many", 5, 3, test=1), 3, 3), quiet=True)
    root = two_folders(tmp_path / "sizes", test=2)
    images.write(root / "testA" / "1.png", noise_image(50, 50))
    with pytest.raises(UserError, match=r"testA/1\.png is 50x50.*testB/1\.png is 32x32.*must have one size"):
        evaluate(model_on(root, values={"data.load_size": None}), quiet=True)
    (root / "testB" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"testB/0\.png is empty"):
        evaluate(model_on(root), quiet=True)


def test_metrics_by_name(tmp_path: Path) -> None:
    translator = model_on(two_folders(tmp_path, train=1, test=1))
    result = evaluate(translator, metrics=["psnr", " l1", "psnr"], quiet=True)
    assert [one.metric for one in result.rows] == ["psnr", "l1"]
    assert list(result.scores) == ["psnr", "l1"]
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        evaluate(translator, metrics=["pnsr"], quiet=True)
    with pytest.raises(UserError, match="no metric is chosen"):
        evaluate(translator, metrics=[], quiet=True)


class Spread(Metric):
    """A metric of the whole set, with two values and none per image."""

    name, label, better, values = "spread", "Spread", "lower", {"spread_log": "Spread, logarithm"}

    def __init__(self) -> None:
        self.seen = 0

    def update(self, prediction: Any, target: Any, names: Any = None, beside: Any = None) -> None:
        self.seen += len(prediction)

    def compute(self) -> dict[str, float]:
        return {"spread": float(self.seen), "spread_log": math.inf}

    def reset(self) -> None:
        self.seen = 0


@pytest.mark.parametrize("chosen", [["spread"], ["spread", "l1"]], ids=str)
def test_metrics_without_a_score_per_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: list[str]) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    registry.register("metric", "spread")(Spread)
    result = evaluate(model_on(two_folders(tmp_path / "data", train=2, test=3)), metrics=chosen, out=tmp_path / "out", quiet=True)
    assert row(result, "spread").value == 3
    assert row(result, "spread").low is None
    assert row(result, "spread").bounds == {"source copied": 3, "mean training target": 3}
    assert result.about["ranked_by"] == (None if chosen == ["spread"] else "l1")
    assert "Spread  " in result.table() and "Spread, logarithm  inf" in result.table()
    text = (tmp_path / "out" / "evaluation.json").read_text()
    assert "Infinity" not in text
    assert "Infinity" not in json.dumps(result.to_dict())
    assert [len(line) for line in csv.reader(io.StringIO(result.csv()))] == [len(chosen)] * 4


def test_nothing_is_cached_beyond_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set of an evaluation keeps no pictures."""
    kept: list[int] = []
    original = PairDataset.with_files

    def watched(self: PairDataset, index: int) -> Any:
        pair = original(self, index)
        kept.append(len(self.cache))
        return pair

    monkeypatch.setattr(PairDataset, "with_files", watched)
    evaluate(model_on(two_folders(tmp_path)), quiet=True)
    assert set(kept) == {0}


def test_scores_of_copies_are_scores_of_the_sources(tmp_path: Path) -> None:
    """A translator that copies is exactly as good as the bound of copying."""
    translator = model_on(two_folders(tmp_path))
    translator.generator = Copy()
    for one in evaluate(translator, quiet=True).rows:
        assert one.skipped or one.of in ("diversity", "dependence") or one.value == pytest.approx(one.bounds["source copied"], abs=1e-7)
    assert to_tensor(images.read(tmp_path / "testA" / "0.png")).shape == (3, SIZE, SIZE)
    assert copying(3)(images.read(tmp_path / "testA" / "0.png")).shape == (SIZE, SIZE, 3)


def test_diversity_is_measured_on_a_part_of_many_images_and_says_so(tmp_path: Path) -> None:
    for side, start in (("A", 0), ("B", 900)):
        for index in range(70):
            images.write(tmp_path / f"test{side}" / f"{index}.png", noise_image(SIZE, SIZE, seed=start + index))
    translator = model_on(tmp_path)
    for layer in translator.generator.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, 0, 0.3)
    assert any(isinstance(layer, torch.nn.Dropout) for layer in translator.generator.modules())
    noisy = row(evaluate(translator, metrics=["diversity"], quiet=True), "diversity")
    assert noisy.value > 0
    assert noisy.caution == "on 24 of 70 images"
    translator.inference = Inference(noise="none")
    assert "takes noise" in row(evaluate(translator, metrics=["diversity"], quiet=True), "diversity").skipped


def test_diversity_is_of_the_files(tmp_path: Path) -> None:
    """Noise that no file shows is no diversity."""
    translator = model_on(two_folders(tmp_path))

    class Faint(Generator):
        dropout = torch.nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.5 / 255 * self.dropout(torch.ones_like(x))

    translator.generator = Faint(3, 3)
    assert row(evaluate(translator, metrics=["diversity"], quiet=True), "diversity").value == 0
    translator.generator.forward = lambda x: 20 / 255 * Faint.dropout(torch.ones_like(x))  # type: ignore[method-assign]
    assert row(evaluate(translator, metrics=["diversity"], quiet=True), "diversity").value > 0


def test_training_targets_are_read_only_for_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = model_on(two_folders(tmp_path))
    monkeypatch.setattr(module, "_mean_target", lambda *_: pytest.fail("the training targets were read"))
    assert evaluate(translator, metrics=["random_frechet", "dependence"], quiet=True).rows


def test_a_choice_of_metrics_does_not_replace_the_whole_table(tmp_path: Path) -> None:
    home = two_folders(tmp_path / "data")
    run = tmp_path / "run"
    translator = model_on(home)
    translator.save(run / "model")
    (run / "recipe.yaml").write_text("name: recipe\n")
    evaluate(run, quiet=True)
    whole = (run / "evaluation" / "evaluation.json").read_text()
    evaluate(run, metrics=["ssim"], quiet=True)
    assert (run / "evaluation" / "evaluation.json").read_text() == whole
    evaluate(run, metrics=["ssim"], out=run / "evaluation", quiet=True)
    assert (run / "evaluation" / "evaluation.json").read_text() != whole
