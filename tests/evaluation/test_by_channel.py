"""Scores channel by channel: for measurements that share an image, not for the colours of a photo."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from tests.evaluation.examples import model_on
from tests.tiny import tiny_config, tiny_translator
from transfigure.cli import main
from transfigure.data import images
from transfigure.data.channels import not_colour
from transfigure.errors import Missing, UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import ChannelScores, EvaluationRecord, Facts, Row
from transfigure.networks.model_file import Domain
from transfigure.reporting.run.page import report
from transfigure.reporting.run.table import channel_table, channels_said
from transfigure.reporting.scores import EvaluationView, Score

SIZE = 32


def measured(seed: int, channels: int = 3, dtype: str = "uint16") -> np.ndarray:
    """Channels that share a layout, each with noise of its own: the first has least."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0.1, 0.6, SIZE)[:, None, None]
    noise = random.random((SIZE, SIZE, channels)) * np.linspace(0.05, 0.3, channels)
    return ((rows + noise) * np.iinfo(dtype).max).astype(dtype)


def folders(tmp_path: Path, channels: int = 3, dtype: str = "uint16") -> tuple[Path, Path]:
    for index in range(3):
        for side, seed in (("generated", 10), ("target", 20)):
            images.write(tmp_path / side / f"{index}.tif", measured(seed + index, channels, dtype))
    return tmp_path / "generated", tmp_path / "target"


def values(result: EvaluationRecord, metric: str) -> dict[str, float | None]:
    return {channel.name: row.value for channel in result.channels for row in channel.rows if row.metric == metric}


@pytest.mark.parametrize(
    ("channels", "names", "dtype", "reason"),
    [
        (3, (), "uint8", ""),
        (1, ("DAPI",), "uint16", ""),
        (3, ("Red", "green", "B"), "uint16", ""),
        (3, ("DAPI", "MAP2", "NFH"), "uint8", "DAPI, MAP2, NFH"),
        (3, (), "uint16", "16-bit"),
        (5, (), "uint8", "5 channels"),
        (5, tuple("abcde"), "uint8", "a, b, c and 2 more"),
    ],
)
def test_what_is_colour(channels: int, names: tuple[str, ...], dtype: str, reason: str) -> None:
    assert (reason in not_colour(channels, names, dtype)) and bool(reason) == bool(not_colour(channels, names, dtype))


def test_two_folders_are_scored_channel_by_channel_by_name(tmp_path: Path) -> None:
    generated, target = folders(tmp_path)
    result = evaluate_folders(
        generated, target, source=generated, channel_names=["DAPI", "MAP2", "NFH"], metrics=["l1", "psnr", "pearson"], quiet=True
    )
    assert [channel.name for channel in result.channels] == ["DAPI", "MAP2", "NFH"]
    assert [row.metric for row in result.channels[0].rows] == ["psnr", "pearson"]
    for at, channel in enumerate(result.channels):
        found = [
            peak_signal_noise_ratio(images.read(target / f"{n}.tif")[..., at], images.read(generated / f"{n}.tif")[..., at])
            for n in range(3)
        ]
        row = channel.rows[0]
        assert row.value == pytest.approx(np.mean(found), abs=1e-3) and row.n == 3
        assert row.low is not None and row.high is not None and row.low <= row.value <= row.high
        assert row.bounds["source copied"] == pytest.approx(row.value)
    pearson = values(result, "pearson")
    assert pearson["DAPI"] > pearson["MAP2"] > pearson["NFH"]
    whole = next(row for row in result.rows if row.metric == "pearson")
    assert whole.value == pytest.approx(np.mean([*pearson.values()]))


def test_they_are_stored_printed_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated, target = folders(tmp_path)
    flags = ["--metrics", "psnr,ssim,lab_histogram,fid", "--channel_names", "a,b <i>,c", "--out", str(tmp_path / "scores"), "--quiet"]
    assert main(["evaluate", "--generated", str(generated), "--target", str(target), *flags]) == 0
    printed = capsys.readouterr().out
    assert "\nb <i>    SSIM" in printed
    assert "skipped: Lab histogram, FID: it sees colour or grey pictures, and these have the channels a, b <i>, c" in printed
    stored = EvaluationRecord.read(tmp_path / "scores")
    assert [channel.name for channel in stored.channels] == ["a", "b <i>", "c"]
    again = EvaluationRecord.from_dict(json.loads(json.dumps(stored.to_dict())))
    assert again.channels == stored.channels
    with (tmp_path / "scores" / "per_image.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert np.mean([float(line["psnr[c]"]) for line in table]) == pytest.approx(values(stored, "psnr")["c"], abs=1e-3)
    page = report(tmp_path / "scores").read_text()
    assert "Channel by channel" in page and "b &lt;i&gt;: PSNR" in page


@pytest.mark.parametrize(("channels", "dtype"), [(3, "uint8"), (1, "uint16")])
def test_photos_are_not(tmp_path: Path, channels: int, dtype: str) -> None:
    result = evaluate_folders(*folders(tmp_path, channels, dtype), metrics=["psnr", "lab_histogram"], quiet=True)
    assert result.channels == [] and not any(row.skipped for row in result.rows)
    assert "channels" not in result.to_dict()


def test_named_colours_are_colours_and_a_required_metric_says_why_it_cannot_be(tmp_path: Path) -> None:
    places = folders(tmp_path)
    named = evaluate_folders(*places, channel_names=["red", "green", "blue"], metrics=["lab_histogram"], quiet=True)
    assert named.channels == [] and named.rows[0].value is not None
    with pytest.raises(Missing, match=r"lab_histogram is required: it sees colour .* 16-bit data that nobody has named"):
        evaluate_folders(*places, require=["lab_histogram"], quiet=True)
    with pytest.raises(UserError, match="has 3 channels, and 2 are named"):
        evaluate_folders(*places, channel_names=["red", "green"], quiet=True)
    sets = evaluate_folders(*places, unpaired=True, metrics=["fid", "random_frechet"], quiet=True)
    assert [bool(row.skipped) for row in sets.rows] == [True, False] and "16-bit" in sets.rows[0].skipped


def test_a_model_is_compared_with_the_mean_image_channel_by_channel(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("test", 2)):
        for index in range(count):
            images.write(tmp_path / f"{split}A" / f"{index}.tif", measured(index, 1))
            images.write(tmp_path / f"{split}B" / f"{index}.tif", measured(index + 50 * (split == "test"), 2))
    translator = model_on(tmp_path, Domain(1, "uint16"), Domain(2, "uint16"))
    result: Evaluation = evaluate(translator, quiet=True, metrics=["psnr", "ssim", "pearson"])
    assert [channel.name for channel in result.channels] == ["channel 1", "channel 2"]
    for channel in result.channels:
        assert [row.metric for row in channel.rows] == ["psnr", "ssim", "pearson"]
        assert all("mean training target" in row.bounds for row in channel.rows)
    easy, hard = (channel.rows[0].bounds["mean training target"] for channel in result.channels)
    assert easy > hard + 3, "the mean image is good where there is little noise"


def test_a_model_writes_the_names_of_its_channels_where_a_file_has_a_place_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images.write(tmp_path / "in" / "a.png", measured(0, 1))
    target = Domain(2, "uint16", names=("DAPI", "MAP2"))
    translator = tiny_translator(tiny_config(source=Domain(1, "uint16"), target=target))
    assert "2 x uint16 (DAPI, MAP2)" in repr(translator)
    for metadata in ("keep", "drop"):
        translator.translate_file(tmp_path / "in" / "a.png", tmp_path / f"{metadata}.tif", metadata=metadata)
        array, facts = images.examine(tmp_path / f"{metadata}.tif")
        assert facts.channel_names == ("DAPI", "MAP2") and array.shape == (SIZE, SIZE, 2)
    assert [file.name for file in translator.translate_folder(tmp_path / "in", tmp_path / "out")] == ["a.tif"]
    three = tiny_translator(tiny_config(source=Domain(1, "uint16"), target=Domain(3, "uint8", names=("a", "b", "c"))))
    capsys.readouterr()
    three.translate_file(tmp_path / "in" / "a.png", tmp_path / "colours.png")
    assert "a PNG file has no place for the names of the channels (a, b, c): a .tif file has" in capsys.readouterr().err


def test_pictures_are_kept_with_the_names_of_their_channels(tmp_path: Path) -> None:
    kept = {
        names: images.write_kept(tmp_path / f"{len(names)}.{dtype}", measured(0, channels, dtype), names)
        for channels, names, dtype in (
            (3, ("a", "b", "c"), "uint8"),
            (3, ("red", "green", "blue"), "uint8"),
            (1, ("a",), "uint16"),
            (3, (), "uint16"),
        )
    }
    assert [file.suffix for file in kept.values()] == [".tif", ".png", ".png", ".tif"]
    assert images.examine(kept["a", "b", "c"])[1].channel_names == ("a", "b", "c")


@pytest.mark.parametrize(
    "channels",
    [None, 3, "DAPI", [3, None], [{"name": 7, "rows": [4, {"metric": ["x"]}]}], {"name": "a"}, [{"name": "a", "rows": {"b": 1}}]],
)
def test_what_is_damaged_in_the_file_is_left_out(tmp_path: Path, channels: object) -> None:
    folder = tmp_path / "scores"
    evaluate_folders(*folders(tmp_path), metrics=["psnr"], out=folder, quiet=True)
    values_of_file = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps({**values_of_file, "channels": channels, "channel_names": {"target": 3}}))
    assert all(row.value is None for channel in EvaluationRecord.read(folder).channels for row in channel.rows)
    assert "All" not in report(folder).read_text().partition("Channel by channel")[2][:300]


def test_the_page_counts_how_many_channels_are_at_least_as_good_as_their_mean_image() -> None:
    def row(metric: str, value: float, mean: float) -> Row:
        return Row(metric, metric.upper(), "", "higher", value, None, None, 3, {"mean training target": mean})

    channels = [ChannelScores("a", [row("psnr", 20, 18), row("ssim", 0.4, 0.5)]), ChannelScores("b", [row("psnr", 30, 30)])]
    scores = [(one.name, [Score(**vars(each)) for each in one.rows]) for one in channels]
    view = EvaluationView(Facts(), [], [], {}, scores)
    assert "2 of 3 scores are at least as good as those of the mean training target." in channels_said(view)
    beaten = [line.beaten for line in channel_table(view).lines]
    assert beaten == [[], ["mean training target"], []]
