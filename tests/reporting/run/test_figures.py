"""A run's figures as files: which there are, what stands on them, and the examples over time as a moving picture."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shutil
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from transfigure import cli
from transfigure.data.ownership import is_ours
from transfigure.errors import UserError
from transfigure.reporting import figure_pdf
from transfigure.reporting.charts import Chart, Curve, LineStyle, curve
from transfigure.reporting.figure_files import composed, standing
from transfigure.reporting.figure_pdf import pdf
from transfigure.reporting.run import animation as moving
from transfigure.reporting.run.animation import animation, spread
from transfigure.reporting.run.figures import figures
from transfigure.reporting.run.page import report
from transfigure.reporting.run_files import RunFiles, Sample, samples

from ..browser import browser, reported
from ..reading import read
from .example import write_folders, write_run

CURVES = [
    *("curve-generator-weighted-total", "curve-generator-adversarial", "curve-l1-unweighted", "curve-discriminator-loss"),
    *("curve-d-real-and-d-generated", "curve-validation-l1", "curve-validation-psnr-db", "curve-validation-ssim"),
    *("curve-learning-rate", "curve-images-per-second", "scores-psnr-db", "scores-ssim", "scores-l1"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tests read only."""
    return write_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(autouse=True)
def quick_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters as drawings (Type 3), which takes a quarter of the time: another font is all that differs."""
    monkeypatch.setitem(figure_pdf._STYLE, "pdf.fonttype", 3)


def frames(encoded: bytes) -> list[Image.Image]:
    with Image.open(io.BytesIO(encoded)) as picture:
        found = []
        for at in range(getattr(picture, "n_frames", 1)):
            picture.seek(at)
            found.append(picture.convert("RGB"))
    return found


def texts(svg: Path) -> str:
    return " ".join(node.text or "" for node in ElementTree.fromstring(svg.read_text("utf-8")).iter("{http://www.w3.org/2000/svg}text"))


# ---- files -----------------------------------------------------------------------------------------------------------------


def test_there_is_a_file_for_every_figure_and_each_stands_alone(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    found = figures(RunFiles.read(whole), out)
    names = [*(f"{name}.svg" for name in CURVES), *(f"{name}.pdf" for name in CURVES), "panels.png", "examples.png", "progress.webp"]
    assert [path.name for path in found] == names
    assert {path.name for path in out.iterdir()} == {*names} and all(is_ours(path) for path in out.iterdir())
    for name in CURVES:
        assert "var(--" not in (out / f"{name}.svg").read_text("utf-8")
    said_by = texts(out / "curve-d-real-and-d-generated.svg")
    assert (
        "D(real) and D(generated)" in said_by
        and "images seen" in said_by
        and "Strong: its running mean" in said_by.replace("strong", "Strong")
    )
    assert "real" in said_by.split() and "generated" in said_by.split(), "its legend"
    assert "running mean" not in texts(out / "curve-learning-rate.svg")
    assert "128 images" in texts(out / "scores-ssim.svg") and "images seen" not in texts(out / "scores-ssim.svg")


@pytest.mark.usefixtures("no_figures")
def test_the_command_names_them(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, out = tmp_path / "page.html", tmp_path / "figures"
    assert cli.main(["report", str(whole), "--out", str(page), "--pictures", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(page) and said[-1] == f"picture: {out / 'progress.webp'}"
    assert sorted(said[1:]) == sorted(f"picture: {path}" for path in out.iterdir())
    (tmp_path / "theirs.html").write_text("theirs")
    assert cli.main(["report", str(whole), "--out", str(tmp_path / "theirs.html"), "--pictures", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists(), "it is found out before anything is written"


@pytest.mark.usefixtures("no_figures")
def test_c06_another_s_figure_stays_and_nothing_else_is_written(run: Path, tmp_path: Path) -> None:
    (run / "log.jsonl").unlink()
    (run / "evaluation" / "per_image.csv").unlink()
    files = RunFiles.read(run)
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / "progress.webp"
    Image.new("RGB", (4, 4)).save(theirs)
    before = theirs.read_bytes()
    with pytest.raises(UserError, match=r"progress\.webp is there already, and transfigure did not write it"):
        figures(files, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["progress.webp"] and theirs.read_bytes() == before
    figures(files, tmp_path / "out", overwrite=True)
    figures(files, tmp_path / "out")
    assert is_ours(theirs), "over its own it needs no flag"
    theirs.write_bytes(theirs.read_bytes().replace(b"VP8", b"vp8", 1))
    assert not is_ours(theirs) or theirs.stat().st_size == 0, "one that was changed is no longer ours"


@pytest.mark.usefixtures("no_figures")
def test_a_run_without_pictures_has_fewer_files(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "samples")
    shutil.rmtree(run / "evaluation")
    (run / "log.jsonl").unlink()
    assert figures(RunFiles.read(run), tmp_path / "out") == [] and (tmp_path / "out").is_dir()
    evaluated = tmp_path / "evaluated"
    evaluated.mkdir()
    assert "panels.png" in {path.name for path in figures(RunFiles.read(write_folders(evaluated)), tmp_path / "two")}, "an evaluation alone"


def streams(document: bytes) -> str:
    """What a PDF draws, as text."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL)
    unpacked = []
    for one in found:
        with contextlib.suppress(zlib.error):
            unpacked.append(zlib.decompress(one))
    return b"\n".join(unpacked).decode("latin-1")


def test_a_pdf_draws_what_its_svg_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figure_pdf._STYLE, "pdf.fonttype", 42)
    lines = [Curve([(1, 1.0), (2, 3.0), (3, 2.0)], "blue"), Curve([(1, 2.0), (3, 2.5)], "orange")]
    drawn = Chart("A $title$ & \U0001f600", Markup(curve(lines, "c", smooth=False, level=1.5, best=2)), "dashed: 1.5")
    svg = standing(drawn, [("one", LineStyle("blue")), ("two", LineStyle("orange", 1))])
    document = pdf(svg)
    assert document == pdf(svg) and document.startswith(b"%PDF-") and b"/Type3" not in document, "journals refuse it"
    wide, high = (float(one) for one in ElementTree.fromstring(svg).attrib["viewBox"].split()[2:])
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", document)
    assert box is not None and (float(box[1]), float(box[2])) == pytest.approx((wide, high), abs=0.1)
    content = streams(document)
    blue = re.search(r"0 0\.44\d+ 0\.69\d+ RG", content)
    assert blue is not None and re.search(r"0\.83\d+ 0\.36\d+ 0 RG", content), "the colours of both lines"
    assert re.search(r"\[ ?\d[\d. ]* ?\] [\d.]+ d", content), "dashes"
    path = next(one for one in re.findall(r'<path d="([^"]+)"[^>]*stroke: #0072b2', svg) if one.count("L") == 2)
    for x, y in re.findall(r"[ML] (\S+) (\S+)", path):  # moved as the chart is in its document
        (left, top) = re.search(r"translate\((\S+) (\S+)\)", svg).groups()  # type: ignore[union-attr]
        place = float(x) + float(left), high - float(y) - float(top)
        assert any(math.dist(place, (float(a), float(b))) < 0.01 for a, b in re.findall(r"(-?[\d.]+) (-?[\d.]+) [ml]\b", content)), place
    (tmp_path / "a.pdf").write_bytes(document)
    assert is_ours(tmp_path / "a.pdf")
    (tmp_path / "a.pdf").write_bytes(document.replace(b"/Type", b"/type", 1))
    assert not is_ours(tmp_path / "a.pdf"), "changed by somebody"


# ---- pictures --------------------------------------------------------------------------------------------------------------


def test_pictures_lie_below_their_words() -> None:
    red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = composed([("first", [red, None]), ("", [np.full((8, 8, 1), 9, np.uint8), blue])], side=64)
    high, wide = sheet.shape[:2]
    assert wide == 2 * 64 + 3 * 4, "enlarged eight times"
    column = [tuple(sheet[at, 4 + 32]) for at in range(high)]
    assert column.count((255, 0, 0)) == 64 and column.count((9, 9, 9)) == 64
    assert tuple(sheet[column.index((255, 0, 0)) + 32, wide - 36]) == (225, 225, 225), "what cannot be read"
    assert (sheet[: column.index((255, 0, 0))] < 128).any(), "the words"
    assert composed([("", [red])], [("source", "")], side=64).shape[0] > composed([("", [red])], side=64).shape[0]


@pytest.mark.parametrize(("count", "most"), [(1, 20), (20, 20), (21, 20), (400, 20), (7, 6)])
def test_moments_go_from_the_first_to_the_last(count: int, most: int) -> None:
    found = spread(range(count), most)
    assert found[0] == 0 and found[-1] == count - 1 and len(found) <= most and found == sorted({*found})
    if count > 100:
        assert found[1] - found[0] < found[-1] - found[-2], "denser at the beginning"


def test_the_examples_move_and_say_how_far_training_is(whole: Path) -> None:
    found = animation(samples(whole / "samples"))
    assert found is not None and found.moments == tuple(range(1000, 9000, 1000)) and found.left_out == ""
    seen = frames(found.encoded)
    assert len(seen) == 8
    for at, frame in enumerate(seen):
        bar = np.asarray(frame)[-2].astype(int)
        blue = (bar[:, 2] - bar[:, 0] > 60).mean()
        assert blue == pytest.approx((at + 1) / 8, abs=0.03), "the line at the bottom"
    first, last = (np.asarray(frame).astype(int) for frame in (seen[0], seen[-1]))
    third = first.shape[0] // 3
    assert np.abs(first - last)[third : 2 * third].mean() > 20 > np.abs(first - last)[: third // 2].mean(), "the middle row moves"
    assert np.abs(np.asarray(found.still).astype(int) - last).mean() < 4, "the still is the last frame"


def test_many_moments_and_examples_are_thinned_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "0.png"
    Image.new("RGB", (4, 4), "red").save(file)
    many = [Sample(index, file, file, [(seen, file) for seen in range(0, 60, 2)]) for index in range(6)]
    monkeypatch.setattr(moving, "LEVELS", ((16, 50),))
    found = animation(many)
    assert found is not None and len(found.moments) <= 20 and found.moments[-1] == 58
    assert found.left_out == f"{len(found.moments)} of 30 moments are shown and 4 of 6 fixed examples are shown"
    assert animation([Sample(0, file, file, [(5, file)])]) is None, "nothing moves"
    gone = animation([Sample(0, file, None, [(1, file), (2, tmp_path / "gone.png")])])
    assert gone is not None and len(frames(gone.encoded)) == 2, "a lost picture is a grey field"


def test_what_weighs_too_much_is_made_smaller(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "LEVELS", ((160, 85), (40, 40)))
    monkeypatch.setattr(moving, "BUDGET", 20_000)
    found = animation(samples(whole / "samples"))
    assert found is not None and found.still.shape[1] < 200


# ---- the page --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_figures")
def test_the_page_plays_it_when_asked_and_stands_still_for_who_wants_that(run: Path) -> None:
    page = read(report(run))
    (source,) = page.of("source")
    assert source["media"] == "(prefers-reduced-motion: reduce)" and source["srcset"].startswith("data:image/")
    (picture,) = (one for one in page.of("img") if one.get("src", "").startswith("data:image/webp"))
    assert picture["alt"] == "The fixed examples, generated after 1,000 to 8,000 images of training"
    assert {"class": "moving"} in list(page.of("details")), "closed: nothing moves before somebody asks"
    shutil.rmtree(run / "samples" / "00001000")
    for path in sorted((run / "samples").glob("0000[2-7]000")):
        shutil.rmtree(path)
    assert "Play them" not in read(report(run)).text, "a single moment does not move"


@browser
@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("reduced", [False, True])
def test_a_browser_plays_or_stands_still(run: Path, tmp_path: Path, reduced: bool) -> None:
    source = report(run).read_text(encoding="utf-8")
    probe = """<script>addEventListener("load", async () => {
      const image = document.querySelector(".moving img"); document.querySelector(".moving").open = true; await image.decode();
      document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
      document.getElementById("found").textContent = JSON.stringify([image.currentSrc.slice(0, 15), image.naturalWidth]);
    });</script>"""
    page = tmp_path / "probe.html"
    page.write_text(
        source.replace("script-src 'sha256-", "script-src 'unsafe-inline' 'x-").replace("</body>", f"{probe}</body>"), encoding="utf-8"
    )
    found = reported(tmp_path / "profile", *(["--force-prefers-reduced-motion"] if reduced else []), page.as_uri())
    assert (found[0] == "data:image/webp") is not reduced and found[1] > 100
