from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfigure.errors import UserError
from transfigure.reporting.charts import COLOURS
from transfigure.reporting.comparison import overlays
from transfigure.reporting.comparison import page as page_module
from transfigure.reporting.comparison.page import check_comparison, compare, readable
from transfigure.studies.ablation.variants import Comparison, read_ablation, read_runs

from ..reading import EVIL, Page, change, check_self_contained, read
from .example import edit, pictures, write_comparison


@pytest.fixture
def ablation(tmp_path: Path) -> Path:
    return write_comparison(tmp_path / "objectives")


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for draw in ("bands", "dots", "overlay"):
        monkeypatch.setattr(overlays, draw, lambda *_, **__: "<svg></svg>")


def titles(page: Page) -> list[str]:
    return re.findall(r"<figure><h3>(.*?)</h3>", page.source)


def made(folder: Path) -> Page:
    return read(compare(read_ablation(folder), folder))


def test_a_whole_page(ablation: Path) -> None:
    path = compare(read_ablation(ablation), ablation)
    assert path == ablation / "comparison.html"
    assert path.stat().st_size < 1_500_000
    page = read(path)
    check_self_contained(page)
    for words in (
        "What does each term do?",
        "2 variants, 2 seeds each: all 4 runs are done. Budget: 8,000 images a cell.",
        "Best and apart from all others, as far as the seeds can tell: L1 by SSIM and PSNR; L1+cGAN by L1.",
        "SSIM ↑ higher is better",
        "PSNR ↑ higher is better dB",
        "L1 2 0.631 ± 0.006 17.410 ± 0.006 0.314 ± 0.006",
        "L1+cGAN 2 0.431 ± 0.006 17.211 ± 0.006 0.114 ± 0.006",
        "Source copied 0.120 8.100 0.520",
        "Mean training target 0.310 12.300 0.210",
        "FID : skipped: the Inception weights are not on this machine",
        "L1+cGAN seeds 0, 1, first at 3,000 images The discriminator wins",
        "L1 1 min 03 s 812 MiB",
        "1.9 M parameters",
        "comparison.csv",
    ):
        assert words in page.text, words
    assert titles(page) == [
        *("SSIM", "PSNR (dB)", "L1"),
        *("Generator, weighted total", "Generator, adversarial", "L1, unweighted", "Discriminator loss", "D(real)", "D(generated)"),
        *("Gradient norm of L1", "Gradient norm of adversarial", "Detail of the fixed examples", "Variation across inputs"),
        *("Validation L1", "Validation PSNR (dB)", "Validation SSIM"),
        *("Spectrum", "Spectrum, relative to the targets", "Lightness L", "Green to red, a", "Blue to yellow, b"),
    ]
    svgs = re.findall(r"<svg .*?</svg>", page.source, re.DOTALL)
    assert len(svgs) == len(titles(page))
    ids = [name for svg in svgs for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids)), "no two figures share an id"
    assert all(max(map(len, re.findall(r'd="([^"]*)"', svg))) < 20_000 for svg in svgs)
    assert not any(code in svg for svg in svgs for code in COLOURS.values()), "colours are left to the page"
    assert len(page.pictures) == 5 * 4, "five test images: source, two variants, target"
    assert re.findall(r'class="best.*?<span>(.*?)</span>', page.source) == ["0.631", "17.410", "0.114"]
    assert [line.split(",")[1] for line in (ablation / "comparison.csv").read_text().splitlines()] == [
        *("name", "L1", "L1+cGAN", "source copied", "mean training target")
    ]
    assert json.loads((ablation / "comparison.json").read_text())["title"] == "objectives"


def test_the_same_ablation_gives_the_same_files(ablation: Path, tmp_path: Path) -> None:
    comparison = read_ablation(ablation)
    first = compare(comparison, tmp_path / "one" / "page.html")
    again = compare(comparison, tmp_path / "two" / "page.html")
    for suffix in (".html", ".csv", ".json"):
        assert first.with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_failed_and_waiting_cells_are_said(ablation: Path) -> None:
    edit(ablation, "L1", 1, state="failed", reason="the generator's loss is NaN")
    edit(ablation, "L1+cGAN", 0, state="waiting")
    page = made(ablation)
    assert "2 variants, 2 seeds each: of 4 runs 1 failed and 1 still waiting." in page.text
    assert "L1, seed 1 : failed: the generator's loss is NaN" in page.text and "L1+cGAN, seed 0 : waiting" in page.text
    assert "1 of 2" in page.text
    assert "no interval over seeds, and nothing is marked as best" in page.text
    assert len(page.pictures) == 5 * 4, "the pictures of the second seed stand in"


@pytest.mark.usefixtures("no_figures")
def test_nothing_but_failures(ablation: Path) -> None:
    for variant in ("L1", "L1+cGAN"):
        for seed in (0, 1):
            edit(ablation, variant, seed, state="failed", reason="no memory")
    shutil.rmtree(ablation / "cells")
    page = made(ablation)
    assert "L1+cGAN, seeds 0 and 1 : failed: no memory" in page.text
    for words in (
        "No numbers:",
        "No pictures:",
        "No curves:",
        "No spectra or colours:",
        "Nothing is known about the health",
        "Nothing is known about what",
    ):
        assert words in page.text, words


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("part", ["recipe.yaml", "log.jsonl", "samples", "evaluation/panels", "evaluation/pictures.json", "evaluation"])
def test_a_page_without_a_part(ablation: Path, part: str) -> None:
    for run in ablation.glob("cells/*/*"):
        shutil.rmtree(run / part) if (run / part).is_dir() else (run / part).unlink()
    page = made(ablation)
    check_self_contained(page)
    said = {
        "log.jsonl": "No curves:",
        "evaluation/panels": "no file",
        "evaluation/pictures.json": "No spectra or colours:",
        "evaluation": "trained, but without an evaluation",
    }
    assert said.get(part, "2 variants") in page.text


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"spectrum": 3, "lab": []}',
        '{"spectrum": {"frequency": [0, 1], "generated": [1], "target": [1, null]}, "lab": {"L": {"edges": "x"}}}',
        '{"spectrum": {"frequency": [0, 0.5], "generated": [0, -1], "target": [0, 0]}}',
        '{"spectrum": {"frequency": [0, 1e999], "generated": [NaN, 1], "target": null}, "lab": {"a": {"edges": [1, 2], "generated": [0]}}}',
    ],
)
def test_damaged_pictures_are_left_out(ablation: Path, text: str) -> None:
    for run in ablation.glob("cells/*/*"):
        (run / "evaluation" / "pictures.json").write_text(text)
    notes: list[str] = []
    comparison = read_ablation(ablation)
    figures = list(overlays.pictures(readable(comparison, notes), notes))
    assert len(figures) <= 2
    assert bool(notes) == ("0.5" not in text)


def test_grey_pictures_have_no_colours(ablation: Path) -> None:
    for run in ablation.glob("cells/*/*"):
        (run / "evaluation" / "pictures.json").write_text(json.dumps(pictures(0.1, colour=False)))
    notes: list[str] = []
    figures = list(overlays.pictures(readable(read_ablation(ablation), notes), notes))
    assert [figure.title for figure in figures] == ["Spectrum", "Spectrum, relative to the targets"] and notes == []


@pytest.mark.usefixtures("no_figures")
def test_hostile_names_are_only_text(ablation: Path) -> None:
    def rename(stored: dict[str, Any]) -> None:
        stored.update(name=EVIL, about=EVIL, budget=EVIL)
        for cell in stored["cells"]:
            cell["variation"] += EVIL
        stored["cells"][0].update(state="failed", reason=EVIL)

    def poison(stored: dict[str, Any]) -> None:
        for row in stored["rows"]:
            row.update(label=row["label"] + EVIL, unit=EVIL, caution=EVIL, metric=row["metric"] + EVIL, bounds={EVIL: 1.0})
        for panel in stored["panels"]:
            panel["name"] += EVIL

    change(ablation / "ablation.json", rename)
    for run in ablation.glob("cells/*/*"):
        change(run / "evaluation" / "evaluation.json", poison)
        with (run / "log.jsonl").open("a") as log:
            log.write(json.dumps({"kind": "health", "images": 1, "level": EVIL, "code": EVIL, "message": EVIL}) + "\n")
            log.write(json.dumps({"kind": "step", "images": 8001, "terms": {EVIL: 1}, "gradients": {EVIL: 1}}) + "\n")
    page = made(ablation)
    check_self_contained(page)
    assert page.source.count("<script>") == 1, "our own, and no other"
    assert page.text.count("alert('x')") > 15
    assert html.escape(EVIL, quote=False)[:30] in page.source.replace("&#39;", "'").replace("&#34;", '"').replace("<wbr>", "")


@pytest.mark.usefixtures("no_figures")
def test_pictures_are_of_images_that_all_variants_have(ablation: Path) -> None:
    def drop(stored: dict[str, Any]) -> None:
        stored["panels"] = [panel for panel in stored["panels"] if panel["name"] != "0001"] + [{"name": "mine", "role": "best"}]

    for seed in (0, 1):
        change(ablation / f"cells/l1/seed{seed}/evaluation/evaluation.json", drop)
    (ablation / "cells/l1/seed0/evaluation/panels/0000_generated.png").write_bytes(b"no picture")
    page = made(ablation)
    assert len(page.pictures) == 4 * 4 - 1 and "0000_generated.png could not be read" in page.text
    assert "0001" not in page.text and "mine" not in page.text


@pytest.mark.usefixtures("no_figures")
def test_pictures_of_a_large_study_keep_to_the_budget(ablation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ablation.glob("cells/*/*/evaluation/panels/*"):
        noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    monkeypatch.setattr(page_module, "BUDGET", 800_000)
    page = compare(read_ablation(ablation), ablation)
    assert page.stat().st_size < 900_000
    assert len(read(page).pictures) == 20


@pytest.mark.usefixtures("no_figures")
def test_one_seed_has_no_intervals_and_no_bands(ablation: Path) -> None:
    stored = json.loads((ablation / "ablation.json").read_text())
    stored["cells"] = [cell for cell in stored["cells"] if cell["seed"] == 0]
    (ablation / "ablation.json").write_text(json.dumps(stored))
    page = made(ablation)
    assert "2 variants, one run each: all 2 runs are done." in page.text
    assert "One run of each tells no difference from chance" in page.text
    assert "±" not in page.text and "Band:" not in page.text


@pytest.mark.usefixtures("no_figures")
def test_worse_than_no_translator_is_said(ablation: Path) -> None:
    for seed in (0, 1):
        change(ablation / f"cells/l1/seed{seed}/evaluation/evaluation.json", lambda stored: stored["rows"][1].update(value=0.2))
    page = made(ablation)
    assert re.search(r'mean training target does better"><span class="worse">0\.200', page.source)


@pytest.mark.usefixtures("no_figures")
def test_more_variants_than_colours(ablation: Path) -> None:
    stored = json.loads((ablation / "ablation.json").read_text())
    stored["cells"] = [{**stored["cells"][0], "variation": f"variant {at}"} for at in range(10)]
    (ablation / "ablation.json").write_text(json.dumps(stored))
    page = made(ablation)
    assert "With more than eight variants colours come again in other dashes." in page.text
    keys = re.findall(r'<span class="key (\w+)" style="--colour: var\(--(\w+)\)">', page.source)[:10]
    assert len(set(keys)) == 10


def test_runs_of_no_ablation(ablation: Path, tmp_path: Path, no_figures: None) -> None:
    runs = [ablation / "cells/l1/seed0", ablation / "cells/l1_cgan/seed0"]
    comparison = read_runs(runs, "two runs")
    page = read(compare(comparison, tmp_path / "out"))
    assert page.source.count("<h1>Two runs</h1>") == 1 and "2 variants, one run each" in page.text
    assert (tmp_path / "out" / "comparison.csv").is_file()


@pytest.mark.parametrize("name", ["mine.csv", "mine.json", "there"])
def test_a_place_that_is_no_page_and_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "there":
        place.write_text("mine")
    with pytest.raises(UserError, match=r"is neither a folder nor a page: name a folder, or a file that ends in \.html"):
        check_comparison(place)
    assert check_comparison(tmp_path / "table.v2") == tmp_path / "table.v2" / "comparison.html"


def test_an_empty_study_is_a_page_too(tmp_path: Path) -> None:
    page = read(compare(Comparison("nothing", "", "", (), ()), tmp_path / "nothing.html"))
    assert "0 variants" in page.text and "No curves" in page.text


def test_one_value_a_run_is_a_row_and_no_lone_dot(ablation: Path) -> None:
    for log in ablation.rglob("log.jsonl"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        first = next(at for at, line in enumerate(lines) if line["kind"] == "step")
        log.write_text("\n".join(json.dumps(line) for at, line in enumerate(lines) if line["kind"] != "step" or at == first))
    page = made(ablation)
    assert "D(real)" in titles(page) and "dashed: 0.5, where D cannot tell; one value a run" in page.text
    assert re.search(r"<h3>D\(real\)</h3><svg.*?>L1\+cGAN<", page.source, re.S), "the figure names its rows"


def test_the_diagnosis_on_every_variant(ablation: Path, no_figures: None) -> None:
    page = made(ablation)
    health = page.text[page.text.index("Variant Diagnosis Of its first run") :]
    assert "L1+cGAN discriminator wins in 2 of 2 runs At 3,000 images: The discriminator wins" in health and "No warnings" not in page.text
    stored = json.loads((ablation / "comparison.json").read_text())
    assert {found["diagnosis"] for variant in stored["variants"] for found in variant["diagnoses"]} == {
        "discriminator wins",
        "worse than the mean target",
    }
