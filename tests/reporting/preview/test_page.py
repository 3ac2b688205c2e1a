"""The preview: that its pictures are the training's own, that its words are true, and what the command refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import gradient
from transfigure.cli import main
from transfigure.data import images
from transfigure.data.augmentation import Warp
from transfigure.data.dataset import Loader, PairSampler
from transfigure.data.ownership import is_ours
from transfigure.data.transforms import Crop, Framing
from transfigure.reporting.charts import COLOURS
from transfigure.reporting.preview import words
from transfigure.reporting.preview.draws import framed, preview
from transfigure.reporting.preview.page import render, sheet, write_preview

from ..reading import read
from .example import opened, previewed, write, write_pairs

SMALL = "--data.load_size 40 --data.crop_size 32 --data.val_fraction 0 --data.test_fraction 0 --data.cache_gb 0"


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs that tests read only: 12-bit pictures in 16-bit files, and photos."""
    return write_pairs(tmp_path_factory.mktemp("streets") / "streets")


def said(folder: Path | None, **keys: object) -> str:
    return " ".join(words.summary(previewed(folder, pairs=1, draws=1, **keys)))


# ---- the training's own --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unpaired", [False, True])
def test_every_draw_is_what_the_training_reads_in_that_epoch(streets: Path, unpaired: bool) -> None:
    data = opened(streets, seed=3, unpaired=unpaired, load_size=40)
    found = preview(data, "mine", pairs=3, draws=3, epochs=50, quiet=True)
    training = opened(streets, seed=3, unpaired=unpaired, load_size=40)
    assert [pair.name for pair in found.pairs] == ["0", "1", "2"]
    for epoch in range(3):
        batches = Loader(training.train, 1).epoch(PairSampler(3, 1, 3, epoch))
        read = {batch.names[0]: (batch.source[0], batch.target[0]) for batch in batches}
        for pair in found.pairs:
            for side, tensor in zip(pair.sides, read[pair.name]):
                seen = ((tensor.numpy() + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0)
                assert np.array_equal(side.draws[epoch].picture, seen) and side.draws[epoch].epoch == epoch + 1
                if not unpaired or side.role == "source":
                    assert side.draws[epoch].mirrored == training.train.crops(epoch, int(pair.name), (40, 40), (40, 40))[0].flipped
    if not unpaired:
        plain = training.train_plain[0].target.numpy()
        assert np.array_equal(found.pairs[0].target.evaluated, ((plain + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0))
    assert {draw.mirrored for pair in found.pairs for draw in pair.source.draws} == {False, True}


def test_without_pairs_each_draw_names_its_target(streets: Path) -> None:
    data = opened(streets, unpaired=True)
    found = preview(data, "mine", pairs=3, draws=3, quiet=True)
    for index, pair in enumerate(found.pairs):
        assert [draw.file for draw in pair.target.draws] == [f"B/{data.train.partner(epoch, index)}.png" for epoch in range(3)]
        assert pair.target.evaluated is None and pair.source.evaluated is not None and pair.target.file == pair.target.draws[0].file
    text = render(found)
    assert "A source above, its targets below" in text and "nothing says which belongs to it" in text
    assert len({draw.file for pair in found.pairs for draw in pair.target.draws}) == 3, "and the page shows them"
    assert all(f"{draw.file}</figcaption>" in text for pair in found.pairs for draw in pair.target.draws if words.turns(pair))


def test_regions_are_said_to_be_regions(streets: Path) -> None:
    text = said(streets, split_by="region", crop_size=16, test_regions=[[1, 1]])
    assert "There are 9 pairs to train on, 3 to test. They are regions, 2\xa0×\xa02 of each image." in text, text


def test_a_frame_lies_where_the_crop_was() -> None:
    """A file of 400 x 200 that is squeezed to 100 x 100: the frame is as oblong as the file."""
    picture = np.full((200, 400, 3), 90, np.uint8)
    found = framed(picture, [Crop(20, 50, False), Crop(0, 0, True)], 40, Framing(100, 100, 0, 0, (100, 100))).astype(int)
    height, width = found.shape[:2]
    assert (height, width) == (180, 360)

    def colour_at(x: float, y: float) -> str:
        near = found[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].reshape(-1, 3)
        hues = {name: [int(code[at : at + 2], 16) for at in (1, 3, 5)] for name, code in COLOURS.items()}
        return " ".join(name for name in ("blue", "orange") if (np.abs(near - hues[name]).sum(axis=1) < 30).any())

    left, right, top, bottom = 0.5 * width, 0.9 * width, 0.2 * height, 0.6 * height
    assert colour_at((left + right) / 2, top) == colour_at(right, (top + bottom) / 2) == colour_at(left, (top + bottom) / 2) == "blue"
    assert colour_at(0.2 * width, 0.4 * height) == colour_at(0.4 * width, 0.2 * height) == "orange"
    assert colour_at((left + right) / 2, (top + bottom) / 2) == "" and colour_at(0.7 * width, 0.9 * height) == ""
    assert (framed(picture, [Crop(0, 0, True)], 100, Framing(100, 100, 0, 0, (100, 100))) == 90).all(), "all of it has no frame"
    deep = np.linspace(0, 1, 6400, dtype=np.float32).reshape(80, 80, 1)
    deep[:40] = -9999
    assert [int(framed(deep, [], 80, Framing(80, 80, 0, 0, (80, 80)), no_data)[130, 5, 0]) for no_data in (-9999, None)] == [19, 255], (
        "0.54 of 0.5 to 1"
    )
    assert max(framed(gradient(9, 12, 2, "uint16"), [Crop(0, 0, False)], 4, Framing(9, 12, 0, 0, (9, 12))).shape) >= 200, (
        "a small one is enlarged"
    )


# ---- words -----------------------------------------------------------------------------------------------------------------------


def test_which_side_is_which(streets: Path, tmp_path: Path) -> None:
    assert "The source is the files of A/, the target the files of B/ (direction AtoB)." in said(streets)
    assert "The source is the files of B/, the target the files of A/ (direction BtoA)." in said(streets, direction="BtoA")
    Image.new("RGB", (96, 48)).save(tmp_path / "0.png")
    assert "The source is the right half of each file, the target the left half of each file" in said(tmp_path, direction="BtoA")
    table = tmp_path / "pairs.csv"
    table.write_text(f"source,target\n{streets}/A/0.png,{streets}/B/0.png\n")
    assert "The source is the column target of the manifest, the target the column source of" in said(table, direction="BtoA")
    assert "The source is A of what synthetic draws, the target B" in said(None, kind="synthetic", size=32, train=2, val=0, test=0)
    assert words.other_way(previewed(streets, pairs=1, direction="BtoA")) == "--data.direction AtoB"


def test_photos_are_both_sides(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    assert "Each of the files here is source and target. " in said(tmp_path / "B", kind="photos", source_encoding="L", target_encoding="ab")


def test_how_much_a_crop_shows_and_how_often_it_is_mirrored(streets: Path) -> None:
    text = said(streets, crop_size=24)
    assert "left at its size, and a square of 24 × 24 is cut out" in text.replace("\xa0", " ") and "25 % of it." in text.replace(
        "\xa0", " "
    )
    share = re.search(r"mirrored left to right: (\d+)\s%", text)
    data = opened(streets, crop_size=24)
    assert share is not None and int(share[1]) == 2 * sum(data.train.crops(epoch, 0, (48, 48), (48, 48))[0].flipped for epoch in range(50))
    assert "Nothing is mirrored" in said(streets, flip=False)
    assert "is resized to 32 × 32 pixels, whole." in said(streets, load_size=32).replace("\xa0", " ")


def test_twelve_bits_in_sixteen_are_seen_to_be_dark(streets: Path) -> None:
    found = previewed(streets, pairs=1)
    (pair,) = found.pairs
    assert pair.source.held[1] <= 4095 and pair.source.seen[1] < -0.85 and max(draw.picture.max() for draw in pair.source.draws) < 20
    (remark,) = words.remarks(pair.source)
    assert "of the range is used: next to no contrast is left" in remark and not words.remarks(pair.target)
    assert pair.source.whole.max() == 255, "the file itself can be recognised"
    text = read(write_preview(found, streets.parent / "dark.html")).text
    assert "--data.source_range '[0, 4095]'" in text and "next to no contrast is left" in text
    (pair,) = previewed(streets, pairs=1, source_range=(0, 4095)).pairs
    assert not words.remarks(pair.source) and pair.source.seen[1] > 0.5


def test_labels_that_are_mixed_are_counted(tmp_path: Path) -> None:
    labels = np.repeat(np.repeat(np.arange(9, dtype=np.uint8).reshape(3, 3, 1) * 25, 20, 0), 20, 1)
    for side in "AB":
        images.write(tmp_path / side / "0.png", labels)
    (pair,) = previewed(tmp_path, load_size=40, source_resize="nearest").pairs
    assert words.remarks(pair.source) == [] and pair.source.colours == (9, 9)
    (remark,) = words.remarks(pair.target)
    assert re.fullmatch(r"9 colours in the file, \d\d+ colours once resized: if these are labels, --data.target_resize nearest .*", remark)
    (pair,) = previewed(tmp_path, crop_size=40).pairs
    assert pair.target.colours is None and words.remarks(pair.target) == [], "nothing is resized"


def test_many_channels_are_counted_and_shown_as_a_composite_with_each_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    images.write(tmp_path / "A" / "0.tif", gradient(40, 40, 5, "uint16"))
    images.write(tmp_path / "B" / "0.tif", gradient(40, 40, 2, "uint16"))
    found = previewed(tmp_path)
    (pair,) = found.pairs
    assert (pair.source.channels, pair.target.channels) == (5, 2)
    assert [side.draws[0].picture.shape[2] for side in pair.sides] == [3, 3]
    assert [name for name, _ in pair.target.single] == ["channel 1", "channel 2"] and len(pair.source.single) == 5
    told = dict(words.facts(found))
    assert "5 channels (shown: channel 1 red, channel 2 green, channel 3 blue, " in told["sources"]
    assert "2 channels (shown: channel 1 green, channel 2 magenta)" in told["targets"]
    page = read(write_preview(found, tmp_path / "preview.html"))
    assert page.text.count("channel 5") > 1
    assert "16-bit 5 channels" in words.about(pair.source)


def test_what_is_passed_over_and_left_out_is_on_the_page(tmp_path: Path) -> None:
    page = read(write(tmp_path))
    assert "passed over in" in page.text and "1 other file, such as notes.txt" in page.text
    assert "Left out" in page.text and "3.png" in page.text
    assert "What training will see, by the recipe pix2pix" in page.text and "0 to validate" in page.text
    assert len(page.pictures) == 2 * 2 * (1 + 3 + 1)


def test_a_file_that_is_squeezed_is_said_to_be(tmp_path: Path) -> None:
    for side in "AB":
        images.write(tmp_path / side / "0.png", gradient(30, 60, 3))
    (pair,) = previewed(tmp_path, load_size=40).pairs
    assert words.resized(pair.source).replace("\xa0", " ") == "squeezed to 40 × 40"
    (pair,) = previewed(tmp_path).pairs
    assert words.resized(pair.source).replace("\xa0", " ") == "enlarged to 64 × 32", "with its proportions, until the crop fits"


def test_one_picture_has_a_row_for_each_side(streets: Path) -> None:
    found = previewed(streets)
    one, two = sheet(previewed(streets, pairs=1)), sheet(found)
    assert one.shape[1] == two.shape[1] and 1.8 * one.shape[0] < two.shape[0] < 2.1 * one.shape[0]


# ---- the command -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_says_what_it_shows(streets: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", str(streets), *SMALL.split(), "--pairs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "note: no recipe is named: the pairs are shown as pix2pix draws them" in err and "--data.source_range" in err
    assert "There are 3 pairs to train on." in out and "preview: preview.html\n" in out
    assert f"next:    transfigure train pix2pix {streets} --out RUN ..." in out
    assert [path.name for path in here.iterdir()] == ["preview.html"]
    assert main(["preview", "l1", str(streets), *SMALL.split(), "--out", "new/a.png", "--draws", "2", "--pairs", "1", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "preview: new/a.png" in out and is_ours(here / "new" / "a.png")


def test_a_run_shows_what_it_was_trained_on(streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert main(["train", "l1", str(streets), *SMALL.split(), "--data.direction", "BtoA", "--print_config"]) == 0
    (run / "recipe.yaml").write_text(capsys.readouterr().out)
    assert main(["preview", str(run), "--pairs", "1", "--out", str(tmp_path / "page.html")]) == 0
    assert "(direction BtoA). There are 3 pairs to train on." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("preview", "no data: name a folder of image pairs"),
        ("preview pix2pix", "no data: name a folder of image pairs"),
        ("preview nowhere", "nowhere does not exist"),
        ("preview pix2pix_smal DATA", "did you mean 'pix2pix_small'?"),
        ("preview DATA --out page.txt", "page.txt is neither a page nor a picture: name a file that ends in .html or in .png"),
        ("preview DATA --out DATA/A/new.png", "lies inside the data"),
        ("preview DATA --pairs 0", "--pairs is 0: give 1 to 100"),
        ("preview DATA --draws 9", "--draws is 9: give 1 to 8"),
        ("preview DATA --data.crop_sise 4", "data.crop_size"),
        ("preview DATA --data.load_size 16 --data.crop_size 24", "load_size 16 is smaller than data.crop_size 24"),
        ("preview DATA --data.source_resize nearst", "nearest"),
    ],
)
def test_a_mistake_is_a_sentence(line: str, sentence: str, streets: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.replace("DATA", str(streets)) for word in [*line.split(), "--quiet"]]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("transfigure: ") and sentence in err
    assert list(here.iterdir()) == [] and not (streets / "A" / "new.png").exists()


def test_a_pair_that_training_would_stop_at_stops_the_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(tmp_path / "pairs", 2)
    (tmp_path / "pairs" / "B" / "1.png").write_bytes(b"broken")
    assert main(["preview", "l1", str(tmp_path / "pairs"), *SMALL.split(), "--out", str(tmp_path / "a.html")]) == 2
    assert "1 of 2 pairs cannot be used" in capsys.readouterr().err and not (tmp_path / "a.html").exists()


# ---- augmentation and proportions -------------------------------------------------------------------------------------------------


def test_augmented_pairs_are_shown_as_they_are_trained_on(streets: Path) -> None:
    keys: dict[str, Any] = {"crop_size": 32, "rotation": 30, "scaling": 0.2, "elastic": 2, "vertical_flip": True, "colour_jitter": 0.2}
    found, training = previewed(streets, pairs=2, draws=4, **keys), opened(streets, **keys)
    for pair in found.pairs:
        for side in pair.sides:
            for epoch, draw in enumerate(side.draws):
                seen = getattr(training.train[epoch, int(pair.name)], side.role)
                np.testing.assert_array_equal(draw.picture, ((seen + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
                assert draw.upside_down == training.train.crops(epoch, int(pair.name), (48, 48), (48, 48))[0].upside_down
    text = render(found).replace("\xa0", " ")
    assert (
        text.count(", upside down") == sum(draw.upside_down for pair in found.pairs for side in pair.sides for draw in side.draws) * 2 > 0
    )
    assert "half of them mirrored top to bottom, turned by up to 30 degrees, scaled by 0.833 to 1.2, bent by 2 pixels" in text
    assert "the colours of sources changed by up to 0.2. Beyond its border a picture is mirrored." in text
    assert "augmented" not in render(previewed(streets, pairs=1))


def test_the_frame_of_a_turned_crop_is_turned() -> None:
    picture = np.full((200, 200, 3), 90, np.uint8)
    place = Framing(100, 100, 0, 0, (100, 100))
    turned = framed(picture, [Crop(30, 30, False, warp=Warp(45.0))], 40, place).astype(int)
    straight = framed(picture, [Crop(30, 30, False)], 40, place).astype(int)
    height, width = turned.shape[:2]

    def has_frame(found: Any, x: float, y: float) -> bool:
        near = found[round(y * height) - 3 : round(y * height) + 4, round(x * width) - 3 : round(x * width) + 4]
        return bool((near != 90).any())

    reach = 0.2 * 2**0.5
    assert has_frame(turned, 0.5 + reach, 0.5) and has_frame(turned, 0.5, 0.5 - reach) and not has_frame(turned, 0.3, 0.3)
    assert has_frame(straight, 0.3, 0.3) and not has_frame(straight, 0.5 + reach, 0.5)


def test_what_is_padded_or_cut_is_said(streets: Path) -> None:
    text = said(streets, load_size=64, crop_size=64, fit="pad").replace("\xa0", " ")
    assert "left at its size, and padded where it is smaller than 64 × 64 pixels" in text
    side = previewed(streets, pairs=1, load_size=64, crop_size=64, fit="pad").pairs[0].target
    assert words.resized(side).replace("\xa0", " ") == "padded to 64 × 64"
    assert side.evaluated is not None and len(np.unique(side.evaluated[:4].reshape(-1, 3), axis=0)) <= 2, (
        "with stripes: it counts in nothing"
    )


def test_what_is_validated_and_what_is_tested(streets: Path) -> None:
    whole, resized = (dict(words.facts(previewed(streets, pairs=1, draws=1, load_size=size))) for size in (None, 40))
    square = f"32{words._TIMES}32 pixels"
    assert whole["when validated"] == f"the middle of each picture, {square}, never mirrored"
    assert whole["when tested"] == "whole pictures, at their own size"
    assert resized["when validated and tested"] == f"the whole of each picture, resized, {square}, never mirrored"
