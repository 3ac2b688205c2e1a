"""A comparison's figures as files: which there are, that each stands alone, and what is on them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from transfigure import cli
from transfigure.errors import UserError
from transfigure.reporting.charts import Band, Chart, Dots, LineStyle, bands, dots, overlay
from transfigure.reporting.comparison import overlays
from transfigure.reporting.comparison.figures import figures, panel_sheet
from transfigure.reporting.comparison.page import readable
from transfigure.reporting.figure_files import TARGETS, font, slug, standing, wrapped
from transfigure.studies.ablation.variants import Comparison, read_ablation, read_runs

from ..browser import browser, reported
from ..reading import change
from .example import edit, write_comparison

NAMES = [
    *("score-ssim", "score-psnr-db", "score-l1"),
    *("curve-generator-weighted-total", "curve-generator-adversarial", "curve-l1-unweighted", "curve-discriminator-loss"),
    *("curve-d-real", "curve-d-generated", "curve-gradient-norm-of-l1", "curve-gradient-norm-of-adversarial"),
    *("curve-detail-of-the-fixed-examples", "curve-variation-across-inputs"),
    *("curve-validation-l1", "curve-validation-psnr-db", "curve-validation-ssim"),
    *("spectrum", "spectrum-relative-to-the-targets", "colour-lightness-l", "colour-green-to-red-a", "colour-blue-to-yellow-b"),
]
STYLES = [("one", LineStyle("blue")), ("two", LineStyle("orange", 1))]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of a whole ablation, in a folder that held other files before."""
    root = tmp_path_factory.mktemp("comparison")
    (root / "figures").mkdir()
    (root / "figures" / "mine.svg").write_text("mine")
    (root / "figures" / "score-ssim.svg").write_text('<svg data-generator="transfigure 0.0.1" of last week')
    found = figures(read_ablation(write_comparison(root / "objectives")), root / "figures")
    assert [path.name for path in found] == [*(f"{name}.svg" for name in NAMES), "panels.png"]
    return root / "figures"


@pytest.fixture
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole ablation whose charts are empty, which takes no time."""
    for draw in ("bands", "dots", "overlay"):
        monkeypatch.setattr(overlays, draw, lambda *_, **__: "<svg></svg>")
    return write_comparison(tmp_path / "objectives")


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


# ---- charts ----------------------------------------------------------------------------------------------------------------


def test_there_is_a_file_for_every_figure_and_others_stay(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {*(f"{name}.svg" for name in NAMES), "panels.png", "mine.svg"}
    assert (written / "mine.svg").read_text() == "mine" and "SSIM" in texts((written / "score-ssim.svg").read_text())


def test_c06_figures_of_another_are_not_replaced(ablation: Path, tmp_path: Path) -> None:
    comparison, folder = read_ablation(ablation), tmp_path / "figures"
    (first, *_) = figures(comparison, folder)
    assert figures(comparison, folder)[0] == first, "again, over its own"
    first.write_text("<svg>mine</svg>")
    others = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="did not write it: choose another place, or replace it with --overwrite"):
        figures(comparison, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == others
    figures(comparison, folder, overwrite=True)
    assert "mine" not in first.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_leans_on_nothing(written: Path, name: str) -> None:
    text = (written / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert not re.search(r"var\(|@import|<style|<script|url\((?!#)|href=\"(?!#)", text)
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "namespaces"
    white = root.find("{http://www.w3.org/2000/svg}rect")
    assert white is not None and (white.get("width"), white.get("height"), white.get("fill")) == ("100%", "100%", "#fff")
    assert 500 < float(root.get("width", "0")) < 850, "as wide as a page on GitHub, or less"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and set(re.findall(r"#([\w-]+-[\w-]+)", text)) <= set(ids)
    assert len(text) < 60_000


def test_the_legend_names_the_variants_of_the_chart(written: Path) -> None:
    said = {name: texts((written / f"{name}.svg").read_text(encoding="utf-8")) for name in NAMES}
    names = ("L1", "L1+cGAN", "images seen")
    assert tuple(text for text in said["curve-generator-weighted-total"] if text in names) == names
    assert "L1+cGAN" in said["curve-discriminator-loss"] and "L1" not in said["curve-discriminator-loss"], "L1 alone has none"
    assert "the targets" in said["spectrum"] and "cycles per pixel" in said["spectrum"]
    assert "the targets" not in said["spectrum-relative-to-the-targets"]
    assert "a of CIELAB" in said["colour-green-to-red-a"]
    assert said["score-ssim"].count("L1") == 1, "the rows of dots have their names; no legend says them again"


def test_what_the_strokes_mean_is_said(written: Path) -> None:
    said = {name: " ".join(texts((written / f"{name}.svg").read_text(encoding="utf-8"))) for name in NAMES}
    assert "Better to the right. Ring: one run; stroke: their mean; bar: the 95 % interval of that mean" in said["score-ssim"]
    assert "Dashed: 0.5, where D cannot tell. Line: mean over seeds" in said["curve-d-real"]
    assert "band: from the lowest to the highest seed." in said["curve-d-real"]
    assert "thick grey: the targets. Means over seeds." in said["spectrum"]


def test_a_legend_has_the_looks_of_its_lines() -> None:
    lines = [Band(style, [[(1, 1.0), (2, 2.0)]]) for _, style in STYLES]
    text = standing(Chart("D", Markup(bands(lines, "d")), ""), [*STYLES, ("three", LineStyle("green"))])
    assert texts(text)[-2:] == ["one", "two"], "no line is green"
    strokes = re.findall(r'<path d="M [\d.]+ [\d.]+ h 24" style="([^"]+)"', text)
    assert "stroke: #0072b2" in strokes[0] and "dasharray: none" in strokes[0]
    assert "stroke: #d55e00" in strokes[1] and "dasharray: 10 4" in strokes[1]
    svg = overlay([(STYLES[0][1], [(0.1, 1.0), (0.2, 2.0)])], "o", target=[(0.1, 1.0), (0.2, 2.0)])
    assert "stroke: #5b6470; stroke-width: 4.5; stroke-opacity: 0.45" in standing(Chart("S", Markup(svg), ""), [TARGETS])


@pytest.mark.parametrize(("values", "dashed"), [([0.3, 0.4], False), ([0.8, 1.2], True)])
def test_a_reference_beyond_the_axis_is_not_called_dashed(values: list[float], dashed: bool) -> None:
    svg = dots([Dots("a", LineStyle("blue"), values, sum(values) / 2, None)], "d", level=1.0)
    said = " ".join(texts(standing(Chart("Detail", Markup(svg), "best at 1 (dashed)"), [])))
    assert ("Best at 1 (dashed)." in said, "Best at 1." in said) == (dashed, not dashed)


def test_names_of_rows_that_were_cut_get_a_legend(ablation: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(overlays, "dots", dots)
    long = "a name that is far too long to stand beside the rows of a chart"
    edit(ablation, "L1", 0, variation=long)
    edit(ablation, "L1", 1, variation=long)
    figures(read_ablation(ablation), tmp_path / "out")
    said = texts((tmp_path / "out" / "score-ssim.svg").read_text(encoding="utf-8"))
    assert long in " ".join(said) and any("…" in text for text in said)


def test_hostile_names_are_only_text(ablation: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(overlays, "bands", bands)
    evil = "<script>alert(1)</script>&amp;\x00\x1b\"'var(--evil)\ud800"

    def rename(stored: dict[str, Any]) -> None:
        for cell in stored["cells"]:
            cell["variation"] += evil

    def poison(stored: dict[str, Any]) -> None:
        for row in stored["rows"]:
            row.update(label=f"../../{row['label']}{evil}")

    change(ablation / "ablation.json", rename)
    for run in ablation.glob("cells/*/*"):
        change(run / "evaluation" / "evaluation.json", poison)
    found = figures(read_ablation(ablation), tmp_path / "out")
    assert {path.parent for path in found} == {tmp_path / "out"} and len({*found}) == len(found)
    for path in found[:-1]:
        root = ElementTree.fromstring(path.read_bytes())
        assert not [node for node in root.iter() if node.tag.endswith("script")]
    assert any("alert(1)" in "".join(texts(path.read_text(encoding="utf-8"))) for path in found[:-1])


def test_names_of_files() -> None:
    taken: list[str] = []
    for title in ("score PSNR (dB)", "score Fréchet, random features", "D(real)", "d real", "D: real!", "→", "x" * 300):
        taken.append(slug(title, taken))
    assert taken == ["score-psnr-db", "score-frechet-random-features", "d-real", "d-real-2", "d-real-3", "figure", "x" * 80]


@pytest.mark.parametrize(
    "text", ["", "one two three four five six", "objective.terms.l1.weight=10, generator.name=unet", "y" * 90, "a b " * 9]
)
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    letters = font(11)
    lines = wrapped(text, letters, 100)
    assert all(letters.getlength(line) <= 100 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


# ---- pictures --------------------------------------------------------------------------------------------------------------


def colour(at: int) -> tuple[int, int, int]:
    return (40 * at, 255 - 40 * at, 90)


def painted(ablation: Path, size: int = 8) -> None:
    """Pictures of one colour each: source 1, L1 2, L1+cGAN 3, target 4, plus the row in blue."""
    for file in ablation.glob("cells/*/*/evaluation/panels/*"):
        index, part = file.stem.split("_")
        at = {"source": 1, "target": 4}.get(part) or (3 if "l1_cgan" in file.parts else 2)
        red, green, blue = colour(at)
        Image.new("RGB", (size, size), (red, green, blue + int(index))).save(file)


def test_panels_are_images_by_variants(ablation: Path) -> None:
    painted(ablation)
    sheet = panel_sheet(readable(read_ablation(ablation), []))
    assert sheet is not None
    high, wide = sheet.shape[:2]
    assert wide == 4 * 192 + 5 * 6 and high > 5 * 192, "8 pixels enlarged 24 times"
    for row in range(5):
        middle = high - 6 - (5 - row) * 198 + 6 + 96
        seen = [tuple(sheet[middle, 6 + 198 * column + 96]) for column in range(4)]
        assert seen == [(red, green, blue + row) for red, green, blue in map(colour, range(1, 5))]
    head = sheet[: high - 5 * 198 - 6]
    for column in range(4):
        assert (head[:, 198 * column : 198 * (column + 1)] < 128).any(), "each column has a head"
    assert (head[0] == 255).all() and (head[-1] == 255).all(), "which is not cut"


def test_large_pictures_are_shrunk_and_grey_fields_stand_for_lost_ones(ablation: Path) -> None:
    painted(ablation, 700)
    (ablation / "cells/l1/seed0/evaluation/panels/0000_generated.png").write_bytes(b"no picture")
    sheet = panel_sheet(readable(read_ablation(ablation), []))
    assert sheet is not None and 4 * 512 < sheet.shape[1] < 4 * 512 + 100
    cell = sheet.shape[1] // 4
    assert tuple(sheet[-5 * 528 + 256, cell + cell // 2]) == (225, 225, 225)


def test_pictures_of_16_bits_are_shown_between_the_targets_limits(ablation: Path) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for file in ablation.glob("cells/*/*/evaluation/panels/*"):
        Image.fromarray(ramp * (2 if "generated" in file.stem else 4)).save(file)
    sheet = panel_sheet(readable(read_ablation(ablation), []))
    assert sheet is not None
    cell = sheet.shape[1] // 4
    source, one, _, target = (int(sheet[-190:-8, cell * at + 20 : cell * (at + 1) - 20].max()) for at in range(4))
    assert source > 250 and target > 250 and 110 < one < 140, "half as bright as its target"


def test_without_pictures_or_anything_there_are_fewer_files(ablation: Path, tmp_path: Path) -> None:
    for file in ablation.glob("cells/*/*/evaluation/evaluation.json"):
        change(file, lambda stored: stored.update(panels=[]))
    assert "panels.png" not in {path.name for path in figures(read_ablation(ablation), tmp_path / "a")}
    assert figures(Comparison("nothing", "", "", (), ()), tmp_path / "b" / "c") == [] and (tmp_path / "b" / "c").is_dir()


def test_a_place_that_is_a_file_is_refused(ablation: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file"):
        figures(read_ablation(ablation), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# ---- the command -----------------------------------------------------------------------------------------------------------


def test_the_command_writes_and_names_them(ablation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "figures"
    assert cli.main(["compare", str(ablation), "--pictures", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert f"comparison: {ablation / 'comparison.html'}" in said
    listed = [line.removeprefix("picture: ") for line in said if line.startswith("picture: ")]
    assert sorted(listed) == sorted(map(str, out.iterdir())) and listed[-1] == str(out / "panels.png")
    assert cli.main(["compare", str(ablation)]) == 0
    assert "picture" not in capsys.readouterr().out


def test_markdown_and_json_are_all_that_is_on_stdout(ablation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--markdown", "--json"):
        assert cli.main(["compare", str(ablation), flag, "--pictures", str(tmp_path / "out")]) == 0
        said = capsys.readouterr()
        assert "panels.png" in said.err and "picture" not in said.out and "comparison:" not in said.out
        if flag == "--json":
            assert json.loads(said.out)["title"] == "objectives"
        else:
            assert said.out.startswith("| variation | SSIM ↑ |") and "| L1 | **" in said.out
    assert cli.main(["compare", str(ablation), "--json", "--markdown"]) == 2
    assert "either --json or --markdown" in capsys.readouterr().err


def test_figures_of_runs_without_an_ablation(ablation: Path, tmp_path: Path) -> None:
    runs = [ablation / "cells/l1/seed0", ablation / "cells/l1_cgan/seed0"]
    assert (tmp_path / "out" / "panels.png") in figures(read_runs(runs), tmp_path / "out")


# ---- in a browser ----------------------------------------------------------------------------------------------------------

PROBE = """<script>
addEventListener("load", () => {
  const box = node => node.getBoundingClientRect();
  const found = [...document.querySelectorAll("body > svg")].map(svg => {
    const whole = box(svg), words = [...svg.querySelectorAll("text")].filter(text => text.textContent);
    const out = words.filter(text => box(text).left < whole.left || box(text).right > whole.right || box(text).bottom > whole.bottom);
    const own = words.filter(text => text.parentNode === svg), over = [];
    for (const one of own) for (const other of own) if (one !== other) {
      const a = box(one), b = box(other);
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4) over.push(one.textContent);
    }
    return [svg.querySelector("title").textContent, whole.width, out.map(text => text.textContent), over];
  });
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


@browser
def test_no_word_is_cut_or_over_another(written: Path, tmp_path: Path) -> None:
    page = tmp_path / "all.html"
    page.write_text("<body>" + "".join((written / f"{name}.svg").read_text() for name in NAMES) + PROBE + "</body>", encoding="utf-8")
    found = reported(tmp_path / "profile", page.as_uri())
    assert len(found) == len(NAMES)
    assert [(title, out, over) for title, _, out, over in found if out or over] == []
    assert all(500 < width < 850 for _, width, _, _ in found)
