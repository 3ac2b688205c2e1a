"""An evaluation over a cluster is the one of one process, to the last digit: numbers, tables, pictures, notes and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.examples import SIZE, model_on, smooth
from tests.scale.inline import InlineCluster
from tests.tiny import noise_image
from transfigure import registry
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.errors import Missing, RunFailure, Skipped, UserError
from transfigure.evaluation import shards as module
from transfigure.evaluation.collection import MetricChoice, MetricCollection
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import FILE, PER_IMAGE
from transfigure.evaluation.shards import Shard, shards_of
from transfigure.metrics.metric import NO_CONTEXT, ImageMetric, Metric, MetricContext
from transfigure.networks.model_file import Domain, Inference
from transfigure.scale.cluster import Cluster
from transfigure.scale.evaluation import ClusterExecutor
from transfigure.translation.translator import Translator

FREE = ["l1", "psnr", "ssim", "pearson", "lab_histogram", "detail", "grid", "dependence", "random_frechet", "random_kid"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several shards of a few images, in one process and over a cluster alike."""
    monkeypatch.setattr(module, "SHARD", 3)


def pairs(root: Path, kinds: tuple[Domain | int, Domain | int] = (3, 3), sizes: Sequence[tuple[int, int]] = ((SIZE, SIZE),) * 8) -> Path:
    """Two training pairs and as many test pairs as there are sizes."""
    for part, shapes in (("train", sizes[:2]), ("test", sizes)):
        for side, kind, start in (("A", kinds[0], 0), ("B", kinds[1], 50)):
            domain = Domain(kind) if isinstance(kind, int) else kind
            suffix = "png" if domain.channels in (1, 3) and domain.dtype != "float32" else "tif"
            for index, (height, width) in enumerate(shapes):
                picture = smooth(height, width, domain.channels, domain.dtype, start + index + 10 * len(part))
                images.write(root / f"{part}{side}" / f"{index}.{suffix}", picture)
    return root


def same(one: Path, other: Path) -> dict[str, Any]:
    """Every file of both folders is the same, but for the time it took; what ``evaluation.json`` holds."""
    names = sorted(file.relative_to(one) for file in one.rglob("*") if file.is_file())
    assert names == sorted(file.relative_to(other) for file in other.rglob("*") if file.is_file())
    assert {Path(FILE), Path(PER_IMAGE)} < {*names}, "panels are missing"
    found = []
    for name in names:
        if name == Path(FILE):
            texts = [(folder / name).read_text() for folder in (one, other)]
            found = [json.loads(text) for text in texts]
            for values in found:
                values.pop("seconds")
                values.pop("transfigure", None)  # the digest of the rest
            assert json.dumps(found[0]) == json.dumps(found[1])
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
    return found[0]  # type: ignore[no-any-return]


def evaluate_on(cluster: Cluster, *model_and_data: Any, **keywords: Any) -> Evaluation:
    return evaluate(*model_and_data, executor=ClusterExecutor(cluster), **keywords)


def evaluate_folders_on(cluster: Cluster, *folders: Any, **keywords: Any) -> Evaluation:
    return evaluate_folders(*folders, executor=ClusterExecutor(cluster), **keywords)


Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The notes since the last call."""
    return lambda: "\n".join(line for line in capsys.readouterr().err.splitlines() if line.startswith("note"))


def both(translator: Translator, root: Path, tmp_path: Path, said: Said, **keywords: Any) -> dict[str, Any]:
    """What is the same of a model's evaluation in one process and over a cluster."""
    model = tmp_path / "model"
    translator.save(model)
    said()
    keywords = {"metrics": FREE, **keywords}
    evaluate(model, root, out=tmp_path / "one", **keywords)
    notes = said()
    evaluate_on(InlineCluster(), model, root, out=tmp_path / "many", **keywords)
    assert said() == notes
    return same(tmp_path / "one", tmp_path / "many")


def values_of(result: dict[str, Any]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in result["rows"] if not row["skipped"]}


# ---- a model --------------------------------------------------------------------------------------------------------------


def test_pairs_by_every_metric_with_noise(tmp_path: Path, said: Said) -> None:
    root = pairs(tmp_path / "data")
    translator = model_on(root)
    translator.inference = Inference(noise="dropout", seed=3)
    found = both(translator, root, tmp_path, said, metrics=None)
    assert {"diversity", "random_frechet", "random_kid", "lab_histogram_a", "own_target_nearest", "ms_ssim"} <= values_of(found).keys()
    assert found["n"] == 8 and len(found["panels"]) >= 6
    assert set(found["rows"][0]["bounds"]) == {"target itself", "source copied", "mean training target"}


def test_channels_that_are_no_colours_and_whose_range_looks_wrong(tmp_path: Path, said: Said) -> None:
    kind = Domain(5, "uint16", names=("a", "b", "c", "d", "e"))
    root = pairs(tmp_path / "data", (2, kind))
    for file in (root / "testB").iterdir():
        images.write(file, images.read(file) // 40)
    found = both(model_on(root, 2, kind), root, tmp_path, said)
    assert [channel["name"] for channel in found["channels"]] == ["a", "b", "c", "d", "e"]
    assert any("16-bit target pictures use only the values" in note for note in found["notes"])
    assert (tmp_path / "many" / PER_IMAGE).read_text().splitlines()[0].endswith("pearson[e]")


def test_label_maps_class_by_class(tmp_path: Path, said: Said) -> None:
    root = pairs(tmp_path / "data")
    classes = tuple(LabelClass(name, number) for number, name in enumerate(("sky", "wall", "door")))
    for file in [*(root / "trainB").iterdir(), *(root / "testB").iterdir()]:
        blocks = np.random.default_rng(int(file.stem)).integers(0, 3, (SIZE // 8, SIZE // 8, 1))
        images.write(file, blocks.repeat(8, 0).repeat(8, 1).astype(np.uint8))
    keys = {"data.target_encoding": "labels", "data.target_classes": [{"name": one.name, "index": one.index} for one in classes]}
    translator = model_on(root, 3, Domain(3, encoding="labels", classes=classes), values=keys)
    found = both(translator, root, tmp_path, said, metrics=["fcn_score", "l1"])
    assert set(values_of(found)) == {"pixel_accuracy", "class_accuracy", "class_iou"}
    assert [channel["name"] for channel in found["channels"]] == ["sky", "wall", "door"]


def test_whole_images_of_several_sizes_inside_masks_of_which_one_is_empty(tmp_path: Path, said: Said) -> None:
    sizes = [(40, 56), (40, 56), (64, 48), (40, 56), (40, 56), (40, 56), (72, 40)]
    root = pairs(tmp_path / "data", sizes=sizes)
    for index, (height, width) in enumerate(sizes):
        mask = np.zeros((height, width, 1), np.uint8)
        mask[5 : 5 if index == 1 else 31, 8:40] = 255
        images.write(root / "mask" / f"{index}.png", mask)
    translator = model_on(root, values={"data.load_size": None, "data.crop_size": 16})
    found = both(translator, root, tmp_path, said, overrides={"data.mask": str(root / "mask"), "data.evaluation_size": "whole"})
    assert found["scored"] == "whole images, 56 x 40 to 48 x 64" and found["n"] == 6
    assert any("1 image has nothing that counts" in note for note in found["notes"])
    assert {"l1", "detail", "lab_histogram_l"} < values_of(found).keys()


def test_domains_without_pairs_of_which_one_comes_round_again(tmp_path: Path, said: Said) -> None:
    root = pairs(tmp_path / "data", sizes=((SIZE, SIZE),) * 9)
    for index in range(4, 9):
        (root / "testB" / f"{index}.png").unlink()
    translator = model_on(root, values={"data.unpaired": True, "data.kind": "unpaired"})
    found = both(translator, root, tmp_path, said, metrics=None)
    assert {"random_frechet", "random_kid", "detail", "grid", "lab_histogram_l"} <= values_of(found).keys()
    assert not found["paired"] and found["n"] == 9


def test_a_bad_image_is_told_as_in_one_process(tmp_path: Path) -> None:
    root = pairs(tmp_path / "data")
    model_on(root).save(tmp_path / "model")
    for name in ("7", "4"):
        (root / "testB" / f"{name}.png").write_bytes(b"no picture")
    messages = []
    for run in (evaluate, lambda *all_of, **more: evaluate_on(InlineCluster(), *all_of, **more)):
        with pytest.raises(UserError) as caught:
            run(tmp_path / "model", root, metrics=["l1"], quiet=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "2 of 8" in messages[0]


def test_what_is_in_memory_only_is_refused(tmp_path: Path) -> None:
    root = pairs(tmp_path / "data")
    translator = model_on(root)
    translator.save(tmp_path / "model")
    cluster = InlineCluster()
    with pytest.raises(UserError, match="this translator was built in memory, and workers load theirs: save it"):
        evaluate_on(cluster, translator, root, metrics=["l1"], quiet=True)
    with pytest.raises(UserError, match=r"an open segmenter is not sent .*: name its file, or module:function"):
        evaluate_on(
            cluster, tmp_path / "model", root, metrics=["fcn_score"], segmenter=torch.relu, palette="facades", quiet=True
        )  # fmt: skip


def test_workers_see_the_model_and_the_images(tmp_path: Path) -> None:
    root = pairs(tmp_path / "data")
    model_on(root).save(tmp_path / "run" / "model")
    cluster = InlineCluster()
    evaluate_on(cluster, tmp_path / "run", root, metrics=["l1"], quiet=True)
    reads = {str(Path(path).relative_to(tmp_path)) for path in cluster.checked[0][0]}  # type: ignore[attr-defined]
    assert reads == {"run/model/config.json", "data/testA/0.png", "data/testB/0.png"}


def test_images_that_no_worker_lives_through_end_it(tmp_path: Path) -> None:
    root = pairs(tmp_path / "data")
    model_on(root).save(tmp_path / "model")
    with pytest.raises(RunFailure, match=r"^3 images from 3 on could not be scored \(3 workers died .*would mislead"):
        evaluate_on(InlineCluster(losing=[1]), tmp_path / "model", root, metrics=["l1"], quiet=True)


# ---- folders --------------------------------------------------------------------------------------------------------------


def both_folders(generated: Path, target: Path, tmp_path: Path, said: Said, **keywords: Any) -> dict[str, Any]:
    said()
    keywords = {"metrics": FREE, **keywords}
    evaluate_folders(generated, target, out=tmp_path / "one", **keywords)
    notes = said()
    evaluate_folders_on(InlineCluster(), generated, target, out=tmp_path / "many", **keywords)
    assert said() == notes
    if keywords.get("unpaired"):  # without pictures
        (tmp_path / "one" / "panels").mkdir()
        for folder in ("one", "many"):
            images.write(tmp_path / folder / "panels" / "00_source.png", noise_image(4, 4))
    return same(tmp_path / "one", tmp_path / "many")


def test_folders_of_pairs(tmp_path: Path, said: Said) -> None:
    root = pairs(tmp_path, sizes=[(24, 24)] * 5 + [(32, 24)] * 4)
    found = both_folders(root / "testA", root / "testB", tmp_path, said, source=root / "testA", metrics=None)
    assert {"l1", "ms_ssim", "random_kid", "own_target_nearest"} <= values_of(found).keys()
    assert found["scored"] == "whole images, 24 x 24 to 24 x 32"


def test_folders_of_16_bit_channels_with_an_empty_mask(tmp_path: Path, said: Said) -> None:
    kind = Domain(4, "uint16")
    root = pairs(tmp_path, (kind, kind))
    for index in range(8):
        for side in "AB":
            file = root / f"test{side}" / f"{index}.tif"
            images.write(file, images.read(file, "keep") // 40)
        images.write(root / "mask" / f"{index}.png", np.full((SIZE, SIZE, 1), 0 if index == 0 else 255, np.uint8))
    keywords: dict[str, Any] = {"alpha": "keep", "channel_names": ["a", "b", "c", "d"], "mask": root / "mask", "metrics": ["l1", "ssim"]}
    found = both_folders(root / "testA", root / "testB", tmp_path, said, **keywords)
    assert found["n"] == 7 and [channel["name"] for channel in found["channels"]] == ["a", "b", "c", "d"]
    assert any("use only the values" in note for note in found["notes"])


@pytest.mark.parametrize("stored", [False, True])
def test_sets_without_pairs(tmp_path: Path, said: Said, stored: bool) -> None:
    root = pairs(tmp_path)
    target: Path = root / "trainA"
    for index in range(5):
        images.write(root / "trainA" / f"more{index}.png", smooth(40, 24, 3, "uint8", index))
    if stored:
        statistics_of(target, "random", quiet=True).save(tmp_path / "stored.npz")
        target = tmp_path / "stored.npz"
    found = both_folders(root / "testA", target, tmp_path, said, unpaired=True, source=root / "testB")
    assert values_of(found).keys() == {"random_frechet", "random_kid"} and found["target_images"] == 7
    assert set(found["rows"][-1]["bounds"]) >= {"source copied"}


@pytest.mark.parametrize("unpaired", [False, True])
def test_bad_files_are_told_all_together_as_in_one_process(tmp_path: Path, unpaired: bool) -> None:
    root = pairs(tmp_path)
    for name in ("1", "2", "7"):
        (root / "testA" / f"{name}.png").write_bytes(b"no picture")
    (root / "testB" / "4.png").write_bytes(b"no picture")
    messages = []
    for run in (evaluate_folders, lambda *all_of, **more: evaluate_folders_on(InlineCluster(), *all_of, **more)):
        with pytest.raises(UserError) as caught:
            run(root / "testA", root / "testB", unpaired=unpaired, metrics=["random_kid"], quiet=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "4 of 8 pairs cannot be used" in messages[0] or (unpaired and "testB/4.png" in messages[0])


def test_another_kind_of_image_in_a_later_shard_is_told_as_in_one_process(tmp_path: Path) -> None:
    kind = Domain(5, "uint16")
    root = pairs(tmp_path, (kind, kind))
    for side in "AB":
        images.write(root / f"test{side}" / "6.tif", smooth(SIZE, SIZE, 2, "uint16", 1))
    messages = []
    for run in (evaluate_folders, lambda *all_of, **more: evaluate_folders_on(InlineCluster(), *all_of, **more)):
        with pytest.raises(UserError) as caught:
            run(root / "testA", root / "testB", metrics=["psnr"], quiet=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "the target of 6 has 2 channels, and those before it 5" in messages[0]


# ---- metrics --------------------------------------------------------------------------------------------------------------


class Total(Metric):
    """A metric that adds up as it goes, and whose sum is another in another order; it cannot be merged."""

    name, label, better, pairs = "total", "Total", "lower", True

    def __init__(self) -> None:
        self.reset()

    def update(self, prediction: Tensor, target: Tensor, names: Any = None, context: MetricContext = NO_CONTEXT) -> None:
        for image in prediction:
            self.total += float(image.double().sum()) / 3

    def compute(self) -> dict[str, float]:
        return {self.name: self.total}

    def reset(self) -> None:
        self.total = 0.0


class MergedTotal(Total):
    """The same with a state."""

    name = "merged_total"

    def state(self) -> dict[str, Any]:
        return {"total": self.total}

    def merge(self, state: dict[str, Any]) -> None:
        self.total += state["total"]

    def reset(self) -> None:
        super().reset()


MergedTotal.state.__doc__ = MergedTotal.merge.__doc__ = "Of the base."


class Shy(ImageMetric):
    """Says nothing about bright images."""

    name, label, better, perfect = "shy", "Shy", "lower", 0.0

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.mean() > 0.9:
            raise Skipped("it is too bright")
        return prediction.flatten(1).mean(1)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    for kind in (Total, MergedTotal, Shy):
        registry.register("metric", kind.name)(kind)


def test_a_metric_without_a_state_is_of_one_process_and_one_with_a_state_is_the_same_anywhere(
    tmp_path: Path, plugins: None, said: Said
) -> None:
    root = pairs(tmp_path)
    place: tuple[Any, ...] = root / "testA", root / "testB"
    one = evaluate_folders(*place, metrics=["total", "merged_total"], quiet=True)
    many = evaluate_folders_on(InlineCluster(), *place, metrics=["total", "merged_total"], quiet=True)
    values = [{row.metric: row.value for row in result.rows} for result in (one, many)]
    assert values[0]["merged_total"] == values[1]["merged_total"] == pytest.approx(values[0]["total"])
    assert values[1]["total"] is None
    assert many.rows[0].skipped == (
        "it cannot be computed by several workers, as it has no state() and merge(): evaluate in one process for it"
    )
    with pytest.raises(Missing, match="total is required: it cannot be computed by several workers"):
        evaluate_folders_on(InlineCluster(), *place, metrics=["l1"], require=["total"], quiet=True)


def test_a_metric_that_one_shard_leaves_out_is_left_out_with_that_reason(tmp_path: Path, plugins: None, said: Said) -> None:
    root = pairs(tmp_path)
    images.write(root / "testA" / "4.png", np.full((SIZE, SIZE, 3), 255, np.uint8))
    found = both_folders(root / "testA", root / "testB", tmp_path, said, metrics=["shy", "l1"])
    assert found["rows"][0]["skipped"] == "it is too bright" and list(values_of(found)) == ["l1"]
    for run in (evaluate_folders, lambda *all_of, **more: evaluate_folders_on(InlineCluster(), *all_of, **more)):
        with pytest.raises(Missing, match="shy is required: it is too bright"):
            run(root / "testA", root / "testB", metrics=["l1"], require=["shy"], quiet=True)


def test_a_metric_that_a_worker_lacks_something_for_is_left_out(plugins: None) -> None:
    here, worker = (MetricCollection(MetricChoice.of(["shy", "l1"])) for _ in range(2))
    worker.skip(lambda metric: metric.name == "shy", "its weights are not there")
    image = torch.zeros(1, 3, 8, 8)
    worker.update(image, image, ["a"])
    here.merge(worker.take())
    assert here.skipped == {"shy": "its weights are not there"} and here.values() == {"l1": 0.0} and here.count == 1
    assert worker.count == 0 and set(worker.metrics) == {"l1"}


# ---- shards ---------------------------------------------------------------------------------------------------------------


def test_shards_are_of_consecutive_images_whole_batches_and_fewer_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def lengths(count: int, size: tuple[int, int] | None) -> list[int]:
        found: list[Shard[int]] = shards_of([*range(count)], lambda _: size)
        assert [item for shard in found for item in shard.items] == [*range(count)]
        assert [shard.items[0] for shard in found] == [shard.start for shard in found]
        return [len(shard.items) for shard in found]

    assert lengths(0, None) == []
    assert lengths(130, None) == lengths(130, (256, 256)) == lengths(130, (512, 512)) == [16] * 8 + [2]
    assert lengths(20, (600, 600)) == [8, 8, 4]
    assert lengths(10, (1024, 1024)) == [4, 4, 2]
    assert lengths(2, (2048, 2048)) == [1, 1]
    assert lengths(3, (20_000, 20_000)) == [1, 1, 1]


# ---- the command, on a cluster of its own ----------------------------------------------------------------------------------


def test_the_command_on_a_cluster(
    tmp_path: Path, cluster_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # workers know nothing of smaller shards
    root = pairs(tmp_path / "data", sizes=((SIZE, SIZE),) * 40)
    model_on(root).save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "model", "data", "--metrics", ",".join(FREE), "--quiet"]
    assert main([*words, "--out", "one"]) == 0
    table = capsys.readouterr().out
    assert main([*words, "--out", "many", "--executor", "ray", "--address", cluster_address, "--workers", "2"]) == 0
    shown = capsys.readouterr()
    assert shown.out == table and shown.err == ""
    assert same(tmp_path / "one", tmp_path / "many")["n"] == 40
    for name in ("3", "30", "39"):  # so that the rest is looked at by workers, when those that scored are gone
        (root / "testA" / f"{name}.png").write_bytes(b"no picture")
    words = ["evaluate", "--generated", "data/testA", "--target", "data/testB", "--metrics", "l1", "--quiet"]
    assert main(words) == 2
    message = capsys.readouterr().err
    assert main([*words, "--executor", "ray", "--address", cluster_address, "--workers", "3"]) == 2
    assert capsys.readouterr().err == message and "3 of 40 pairs cannot be used" in message
