"""Training a segmenter: which side holds the photos, what is learnt, and what is left on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation import segmenter_training
from transfigure.evaluation.segmenter_training import SegmenterOptions, train_segmenter
from transfigure.metrics.metric import MetricContext
from transfigure.metrics.palettes import IGNORE, load_palette
from transfigure.metrics.segmentation import FCNScore
from transfigure.metrics.segmenters import open_segmenter
from transfigure.recipe import Data
from transfigure.worlds.facades.dataset import draw_scene, render

from ..tiny import noise_image

TINY: dict[str, Any] = {"size": 16, "epochs": 1, "width": 2, "quiet": True, "device": "cpu"}


def train(data: Any, out: Path, quiet: bool = True, **options: Any) -> dict[str, Any]:
    return train_segmenter(data, out, SegmenterOptions(**options), quiet=quiet)


def streets(train: int = 6, test: int = 3, **more: Any) -> Data:
    return Data(kind="synthetic", load_size=32, crop_size=32, train=train, val=0, test=test, **more)


def boxes(folder: Path, n: int = 12, size: int = 48, photos_first: bool = True, suffix: str = "png") -> Path:
    """Pairs of a noisy photo with bright boxes on a dark ground, and the boxes in red on blue."""
    for split in ("train", "test"):
        for index in range(n):
            random = np.random.default_rng([index, split == "test"])
            inside = np.zeros((size, size), bool)
            for top, left in random.integers(0, size - 16, (3, 2)):
                inside[top : top + 14, left : left + 10] = True
            photo = (np.where(inside, 170, 60)[..., None] + random.normal(0, 18, (size, size, 3))).clip(0, 255).astype(np.uint8)
            labels = np.where(inside[..., None], [250, 0, 0], [0, 0, 250]).astype(np.uint8)
            halves = [photo, labels] if photos_first else [labels, photo]
            images.write(folder / split / f"{index}.{suffix}", np.concatenate(halves, axis=1))
    return folder


@pytest.mark.parametrize("photos_first", [True, False])
def test_two_colours_are_found_and_segmented_in_photos(tmp_path: Path, photos_first: bool, capsys: pytest.CaptureFixture[str]) -> None:
    folder = boxes(tmp_path / "boxes", photos_first=photos_first, suffix="jpg")
    options = {**TINY, "size": 32, "epochs": 40, "width": 4, "quiet": False}
    found = train(folder, tmp_path / "segmenter.safetensors", **options)
    assert found["photos"] == ("A" if photos_first else "B") and found["palette"]["name"] == "boxes"
    assert len(found["palette"]["classes"]) == 2
    assert found["n"] == 12 and found["split"] == "test" and found["images"] == 40 * 8
    assert found["pixel_accuracy"] > 0.8 and found["class_iou"] > 0.6
    assert f"photos are side {found['photos']}; the labels have 2 classes" in capsys.readouterr().err
    segmenter = open_segmenter(tmp_path / "segmenter.safetensors")
    assert segmenter.sha256 == found["sha256"] and segmenter.size == (32, 32)

    metric = FCNScore(segmenter=str(tmp_path / "segmenter.safetensors"))
    for file in sorted((folder / "test").iterdir()):
        halves = images.split_halves(images.read(file), file)
        photo, labels = halves if photos_first else halves[::-1]
        real = images.to_tensor(photo)[None]
        metric.update(torch.zeros_like(real), real, None, MetricContext(labels=[labels]))
    real_row = metric.bounds()["real photos"]
    assert real_row["pixel_accuracy"] == pytest.approx(found["pixel_accuracy"], abs=0.02), "what evaluation will say of real photos"
    assert metric.compute()["class_iou"] < real_row["class_iou"] - 0.1


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    first, second, other = (train(streets(), tmp_path / name, **{**TINY, "seed": seed}) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first["sha256"] == second["sha256"] != other["sha256"]
    assert first["palette"]["name"] == "synthetic" and first["photos"] == "B" and first["data"] == "synthetic"
    assert json.dumps(first)
    state = torch.random.get_rng_state()
    train(streets(), tmp_path / "a", **TINY)
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's random numbers move"


def test_sides_of_the_synthetic_world(tmp_path: Path) -> None:
    assert train(streets(source="night", target="labels"), tmp_path / "a", **TINY)["photos"] == "A"
    with pytest.raises(UserError, match=r"set --data\.source labels"):
        train(streets(source="day", target="night"), tmp_path / "a", **TINY)


def test_photos_at_their_own_size(tmp_path: Path) -> None:
    section = streets(size=40).replaced(load_size=None)
    found = train(section, tmp_path / "segmenter", **TINY)
    assert found["size"] is None and open_segmenter(tmp_path / "segmenter").size is None
    assert 0 <= found["class_iou"] <= found["class_accuracy"] <= 1


def test_photos_and_labels_move_together_and_labels_are_only_copied(tmp_path: Path) -> None:
    """The photo is the label map itself here, so what is seen must decode to what is asked for, wherever a label is."""
    for index in range(4):
        labels = render(draw_scene(0, index), "labels", 40)
        images.write(tmp_path / "data" / "train" / f"{index}.png", np.concatenate([labels, labels], axis=1))
    known = load_palette("synthetic")
    section = segmenter_training._section(tmp_path / "data", 40, {})
    side, palette = segmenter_training._labels_and_palette(section, [], SegmenterOptions(known, "A"))
    assert (side, palette) == (1, known)
    records = segmenter_training.find_records(section).splits["train"]
    examples = segmenter_training._Examples(section, records, side, palette)
    seen, mirrored = set(), 0
    for epoch in range(12):
        photo, classes = examples.jittered(0, epoch, 1)
        labelled = classes != IGNORE
        assert torch.equal(known.decode_tensor(photo[None])[0][labelled], classes[labelled])
        assert 0 <= (~labelled).float().mean() <= 0.11
        plain = known.decode(render(draw_scene(0, 1), "labels", 40))
        mirrored += int(
            np.mean(classes.numpy()[4:-4, 4:-4] == plain[4:-4, ::-1][:, 4:-4]) > np.mean(classes.numpy()[4:-4, 4:-4] == plain[4:-4, 4:-4])
        )
        seen.add(classes.numpy().tobytes())
    assert len(seen) > 6 and 0 < mirrored < 12
    again = examples.jittered(0, 3, 1)
    assert torch.equal(again[1], segmenter_training._Examples(section, records, side, palette).jittered(0, 3, 1)[1])


@pytest.mark.parametrize(("direction", "photos", "white"), [("AtoB", "A", 100), ("AtoB", "B", 200), ("BtoA", "A", 200), ("BtoA", "B", 100)])
def test_photos_have_the_value_range_of_their_side(tmp_path: Path, direction: Any, photos: Any, white: int) -> None:
    """100 is white in sources and 200 in targets; A is the source or the target, as the direction says."""
    grey = np.full((32, 64, 3), 50, np.uint8)
    images.write(tmp_path / "data" / "train" / "0.png", grey)
    data = Data(path=str(tmp_path / "data"), direction=direction, source_range=(0, 100), target_range=(0, 200), load_size=32, crop_size=32)
    section = segmenter_training._section(data, 32, {})
    side, palette = segmenter_training._labels_and_palette(section, [], SegmenterOptions(load_palette("facades"), photos))
    records = segmenter_training.find_records(section).splits["train"]
    photo, _ = segmenter_training._Examples(section, records, side, palette).jittered(0, 0, 0)
    assert photo.unique().tolist() == pytest.approx([50 / white * 2 - 1])


def test_a_given_palette_and_its_file(tmp_path: Path) -> None:
    folder = boxes(tmp_path / "boxes", 4)
    (tmp_path / "mine.json").write_text('{"classes": {"wall": [0, 0, 255], "box": [255, 0, 0], "never": [0, 255, 0]}}')
    found = train(folder, tmp_path / "segmenter", palette=str(tmp_path / "mine.json"), **TINY)
    assert list(found["palette"]["classes"]) == ["wall", "box", "never"] and found["photos"] == "A"
    with pytest.raises(UserError, match="no pixel of the label maps"):
        numbers = '{"classes": {"a": null, "b": null}, "numbers": {"300": "a", "301": "b"}}'
        (tmp_path / "numbers.json").write_text(numbers)
        for file in (folder / "train").iterdir():
            images.write(file, images.read(file)[..., :1])
        train(folder, tmp_path / "segmenter", palette=str(tmp_path / "numbers.json"), photos="A", **TINY)


def test_sides_that_cannot_be_recognised(tmp_path: Path) -> None:
    photos, labels = tmp_path / "photos", tmp_path / "labels"
    for index in range(3):
        day, night, map_ = (render(draw_scene(0, index), what, 48) for what in ("day", "night", "labels"))
        images.write(photos / "train" / f"{index}.png", np.concatenate([day, night], axis=1))
        images.write(labels / "train" / f"{index}.png", np.concatenate([map_, map_[::-1]], axis=1))
    with pytest.raises(UserError, match=r"neither side .* --photos A or --photos B"):
        train(photos, tmp_path / "segmenter", **TINY)
    with pytest.raises(UserError, match="both sides"):
        train(labels, tmp_path / "segmenter", **TINY)
    with pytest.raises(UserError, match=r"side A .* --photos A"):
        train(photos, tmp_path / "segmenter", photos="B", **TINY)
    assert train(labels, tmp_path / "segmenter", photos="B", **TINY)["split"] in ("test", "val", "train")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 8}, "16 pixels or more"),
        ({"epochs": 0}, "epochs is 0"),
        ({"minutes": -1.0}, "minutes is -1"),
        ({"photos": "left"}, "photos is 'left'"),
        ({"palette": "facade"}, "did you mean 'facades'"),
        ({"device": "tpu"}, "device tpu"),
    ],
)
def test_values_that_are_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        train(streets(), tmp_path / "segmenter", **{**TINY, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name the file"):
        train(streets(), tmp_path, **TINY)
    with pytest.raises(UserError, match="no training pairs"):
        train(streets(train=0), tmp_path / "segmenter", **TINY)


def test_stopping_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(segmenter_training, "_cross_entropy", stop)
    with pytest.raises(KeyboardInterrupt):
        train(streets(), tmp_path / "segmenter", **TINY)
    assert list(tmp_path.iterdir()) == []


def test_minutes_end_it_and_still_save(tmp_path: Path) -> None:
    found = train(streets(), tmp_path / "segmenter", **{**TINY, "epochs": 100_000, "minutes": 0.005})
    assert 0 < found["images"] < 600_000 and open_segmenter(tmp_path / "segmenter").classes == 16


@pytest.mark.slow
def test_the_synthetic_world_is_learnt(tmp_path: Path) -> None:
    found = train(streets(100, 24), tmp_path / "segmenter", size=32, epochs=20, quiet=True, device="cpu")
    assert found["pixel_accuracy"] > 0.55 and found["class_iou"] > 0.25, "the most frequent class alone is right at 0.3 of the pixels"


def test_c29_label_maps_of_differing_palettes_are_refused_with_names(tmp_path: Path) -> None:
    for index in range(4):
        images.write(tmp_path / "trainA" / f"{index}.png", noise_image(16, 16, seed=index))
        labels = Image.fromarray(np.random.default_rng(index).integers(0, 2, (16, 16), np.uint8), "L")
        labels.putpalette([0, 0, 0, *((0, 0, 255) if index == 2 else (255, 0, 0))])
        (tmp_path / "trainB").mkdir(exist_ok=True)
        labels.save(tmp_path / "trainB" / f"{index}.png")
    reason = r"1 of 4 label maps cannot be used:\n  .*B/2\.png has another palette than .*B/0\.png: its index 1 is the colour \(0, 0, 255\)"
    with pytest.raises(UserError, match=reason):
        train(tmp_path, tmp_path / "s.safetensors", photos="A", **TINY)


def test_c20_photos_and_label_maps_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for index in range(4):
        images.write(tmp_path / "trainA" / f"{index}.png", noise_image(16, 16, seed=index))
        labels = np.zeros((16, 16 - (index == 2), 3), np.uint8)
        labels[:8] = 250
        images.write(tmp_path / "trainB" / f"{index}.png", labels)
    with pytest.raises(UserError, match=r"A/2\.png is 16x16.*B/2\.png is 15x16.*both pictures of a pair must have one size"):
        train(tmp_path, tmp_path / "s.safetensors", photos="A", **TINY)


def indices(folder: Path, n: int = 6) -> Path:
    """Photos of noise, and maps that hold the indices 0, 1 and 2 in their one channel."""
    for index in range(n):
        classes = np.zeros((32, 32, 1), np.uint8)
        classes[8:20, 4:28], classes[22:30, index : index + 20] = 1, 2
        images.write(folder / "trainA" / f"{index}.png", noise_image(32, 32, 3, seed=index))
        images.write(folder / "trainB" / f"{index}.png", classes)
    return folder


@pytest.mark.parametrize("unlabelled", [False, True], ids=["all labelled", "255 without a label"])
def test_maps_of_class_indices_are_named_as_such_with_what_to_do(tmp_path: Path, unlabelled: bool) -> None:
    folder, file, palette = indices(tmp_path / "data"), tmp_path / "segmenter.safetensors", tmp_path / "palette.json"
    if unlabelled:
        classes = images.read(folder / "trainB" / "0.png")
        classes[:1, :3] = 255
        images.write(folder / "trainB" / "0.png", classes)
    for given in ({}, {"photos": "A"}, {"palette": "synthetic"}):
        with pytest.raises(
            UserError, match=r"side B of .*data holds class indices \(0, 1, 2\) and no colours: name .*--palette FILE"
        ) as one:
            train(folder, file, **given, **TINY)
    palette.write_text(str(one.value).partition("holds them as ")[2], encoding="utf-8")
    facts = train(folder, file, palette=str(palette), **TINY)
    assert facts["palette"]["classes"] == {"class 0": None, "class 1": None} and facts["photos"] == "A"


def test_the_data_flags_that_messages_advise_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = indices(tmp_path / "data")
    (folder / "trainA").rename(folder / "photos")
    (folder / "trainB").rename(folder / "maps")
    (folder / "photos" / "3.png").write_bytes(b"no image")
    palette = tmp_path / "p.json"
    palette.write_text(json.dumps({"classes": dict.fromkeys("abc"), "numbers": {"0": "a", "1": "b", "2": "c"}}), encoding="utf-8")
    line = ["segmenter", "train", str(folder), "--out", str(tmp_path / "s.safetensors"), "--photos", "A", "--palette", str(palette)]
    line += ["--size", "16", "--epochs", "1", "--width", "2", "--device", "cpu", "--json"]
    assert main(line) == 2
    assert "say which kind of data it is with --data.kind" in capsys.readouterr().err
    line += ["--data.kind", "two_folders", "--data.a", "photos", "--data.b", "maps"]
    line += ["--data.val_fraction", "0", "--data.test_fraction", "0"]
    assert main(line) == 2
    assert "leave them out with --data.on_error skip" in capsys.readouterr().err
    assert main([*line, "--data.on_error", "skip"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n"] == 5 and "1 train pair cannot be used and is left out" in printed.err
    assert main([*line, "--data.kind", "unpaired", "--data.on_error", "skip"]) == 2
    assert "read as data without pairs: a segmenter needs photos with the label maps of the same scenes" in capsys.readouterr().err
