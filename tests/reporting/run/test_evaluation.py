"""What the page says of an evaluation: every kind of row, an evaluation without a run, and damaged ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from transfigure.reporting.run.page import report

from ..reading import change, check_self_contained, read
from .example import ALEX, HEADS, INCEPTION, rows_of_every_kind


@pytest.mark.usefixtures("no_figures")
def test_rows_of_every_kind(run: Path) -> None:
    change(run / "evaluation" / "evaluation.json", lambda data: data.update(rows=rows_of_every_kind()))
    parsed = read(report(run))
    check_self_contained(parsed)
    for words in (
        "Metric Value 95 % interval Source copied Mean training target Target itself Real photos Worse → better Variation across inputs",
        "FID ↓ lower is better * 142 128 to 156 301 – 88 –",
        "KID x 1,000 ↓ lower is better 31.2 28.1 to 34.3 190.4 – −0.0310 –",
        "Per-pixel accuracy ↑ higher is better 0.610 0.549 to 0.671 0.120 – – 0.790",
        "PSNR ↑ higher is better 17.2 dB 15.5 to 18.9 8.1 12.3 100.0 –",
        "* Diversity : on 32 of 128 images",
        "* FID : of 128 images, where 2,048 are the least",
        "DISTS, precision, recall, density, coverage : skipped: the Inception weights are not on this machine",
        "Dotted green: what real images score (target itself, real photos)",
        "FID fid 128 Inception v3 of 2015-12-05, pooled features 6726825d0f0f bicubic to 256 x 256; bilinear to 299 x 299 as TensorFlow 1",
        "LPIPS lpips 128 AlexNet, LPIPS 0.1 heads abababababab + 0123456789ab",
        "Lab histogram, a lab_histogram 128",
        "Fréchet, random features random_frechet 128 3 random convolutions, 256 features seed 0",
    ):
        assert words in parsed.text, words
    assert "does better than" not in parsed.text, "no ceiling does"
    assert {ALEX, HEADS, INCEPTION} <= {attributes.get("title") for attributes in parsed.of("code")}
    drawn = re.findall(r'<i class="ceiling" style="left: ([\d.]+)%" title="([^"]+)"', parsed.source)
    assert [name for _, name in drawn].count("target itself") == 9 and ("96.0", "real photos") in drawn
    closed = [attributes for attributes in parsed.of("details") if "open" not in attributes]
    assert len(closed) == 6 and [attributes.get("class") for attributes in closed].count("skipped") == 1, "one line for what was skipped"


@pytest.mark.usefixtures("no_figures")
def test_when_everything_was_skipped_the_reasons_stand_alone(run: Path) -> None:
    skipped = [row for row in rows_of_every_kind() if row["skipped"]]
    change(run / "evaluation" / "evaluation.json", lambda data: data.update(rows=skipped))
    parsed = read(report(run))
    assert "MS-SSIM : skipped: needs images" in parsed.text and "How each number" not in parsed.text
    assert not any("scores" in attributes.get("class", "") for attributes in parsed.of("table"))


def test_an_evaluation_alone(folders: Path) -> None:
    path = report(folders)
    assert path == folders / "report.html"
    parsed = read(path)
    check_self_contained(parsed)
    for words in (
        "Report of an evaluation compared",
        "SSIM 0.431 [0.388, 0.474] on 20 pairs.",
        "20 pairs · made/facades against data/targets · resize: none · took 3 s",
        "How each number was made",
        "0.200 to 0.580, median 0.390 (dashed); the pictures are chosen by it",
        "Best SSIM 0.580 · 0000",
        "The evaluation split made/facades against data/targets",
        "Files of this evaluation",
    ):
        assert words in parsed.text, words
    for words in (
        "Curves",
        "Health",
        "Recipe",
        "Environment",
        "transfigure train",
        "transfigure evaluate",
        "is not there",
        "no file",
        "source",
    ):
        assert words not in parsed.text.replace("source copied", ""), words
    ids = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    assert {"numbers", "pictures", "details"} <= ids and ids.isdisjoint({"curves", "health"})
    links = [attributes["href"] for attributes in parsed.of("a")]
    assert links == ["#numbers", "#pictures", "#details"]
    assert len(parsed.pictures) == 4 * 2 and parsed.text.count("generated target") == 4


@pytest.mark.usefixtures("no_figures")
def test_an_evaluation_of_two_sets_has_no_pictures(folders: Path) -> None:
    def unpaired(data: dict[str, Any]) -> None:
        kept = [row for row in data["rows"] if row["metric"] in ("fid", "kid")]
        data.update(rows=kept, panels=[], ranked_by=None, against=500, split="a against b, unpaired")

    change(folders / "evaluation.json", unpaired)
    (folders / "per_image.csv").write_text("name\n" + "".join(f"{n}\n" for n in range(20)))
    shutil.rmtree(folders / "panels")
    parsed = read(report(folders))
    assert "FID 142 [128, 156] on 20 generated and 500 target images; the targets themselves give 88." in parsed.text
    assert parsed.pictures == [] and "Pictures" not in parsed.text and "No pictures" not in parsed.text
    assert [attributes["href"] for attributes in parsed.of("a")] == ["#numbers", "#details"]


@pytest.mark.usefixtures("no_figures")
def test_generated_images_that_a_copy_beats_are_not_called_a_translator(folders: Path) -> None:
    change(folders / "evaluation.json", lambda data: [row["bounds"].update({"source copied": 1000.0}) for row in data["rows"]])
    text = read(report(folders)).text
    assert "Source copied does better than the generated images by Variation across inputs, Own target nearest, " in text
    assert "the translator by" not in text


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "content", ["", "[]", "{", "{}", '{"rows": 3, "panels": {"a": 1}, "n": "x", "split": ["\\ud800"], "data": "\\udfff/x"}']
)
def test_a_damaged_evaluation_alone_is_still_a_page(folders: Path, content: str) -> None:
    (folders / "evaluation.json").write_text(content)
    parsed = read(report(folders))
    check_self_contained(parsed)
    assert "Report of an evaluation" in parsed.text and "No metric has a value." in parsed.text
    assert "No numbers: evaluation.json holds none that can be read." in parsed.text


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("value", [float("nan"), None, "much", [1], {"a": 1}, 1e308, -1e308, True])
def test_strange_values_in_a_row(folders: Path, value: object) -> None:
    keys = ("value", "low", "n", "bounds", "better", "weights", "network", "resize", "checkpoint", "caution", "of", "label", "unit")
    rows = [{**row, key: value} for row in rows_of_every_kind() for key in keys]
    rows += [{**row, "bounds": dict.fromkeys(row["bounds"], value)} for row in rows_of_every_kind()]
    change(folders / "evaluation.json", lambda data: data.update(rows=[*rows, value], ranked_by=value, against=value))
    parsed = read(report(folders))
    check_self_contained(parsed)
    assert not re.search(r"\bnan\b|\binf\b", parsed.text.replace(str(value), ""))
    assert all(4 <= float(at) <= 96 for at in re.findall(r"left: ([-\d.einfa]+)%", parsed.source))
