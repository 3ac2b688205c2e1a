from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfigure.data import images
from transfigure.errors import UserError
from transfigure.reporting.run import page as page_module
from transfigure.reporting.run.page import report

from ..reading import EVIL, change, check_self_contained, read
from .example import rows_of_every_kind


def test_a_whole_page(run: Path) -> None:
    path = report(run)
    assert path == run / "report.html"
    assert path.stat().st_size < 1_000_000
    parsed = read(path)
    check_self_contained(parsed)
    text = parsed.text
    for words in (
        "pix2pix_small",
        "A U-Net (depth 6, width 32, 1.9 M parameters)",
        "Median SSIM 0.430 · 0001 Half of the pairs",
        "Best SSIM 0.610 · 0000",
        "Worst SSIM 0.210 · 0002",
        "Example SSIM 0.400 · 0003",
        "PSNR ↑ higher is better 17.2 dB 16.9 to 17.5 8.1 12.3",
        "L1 ↓ lower is better 0.113",
        "FID : skipped: the Inception weights are not on this machine",
        "How each number was made Metric N",
        "L1 l1 128 – – none last (8,000 images)",
        "128 images: ",
        "The same examples over time",
        "Generator, weighted total",
        "Generator, adversarial",
        "L1, unweighted",
        "Discriminator loss",
        "D(real) and D(generated)",
        "Validation PSNR (dB)",
        "best: 6,000 images (ring)",
        "Learning rate",
        "Images per second",
        "Diagnosis: discriminator wins. At 3,000 images: The discriminator wins",
        "Not computed: FID",
        "load_size: 286",
        "2.13.0",
        f"transfigure train --out {run} --resume",
        "recipe.yaml",
    ):
        assert words in text, words
    assert "is not there" not in text
    # 5 pairs of 3, and 2 strips of source, 6 moments and target
    assert len(parsed.pictures) == 15 + 2 * 8
    assert all(picture["alt"] for picture in parsed.pictures)
    assert {picture["width"] for picture in parsed.pictures} == {"32"}
    assert len(list(parsed.of("svg"))) == 3 + 10
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("no_figures")
def test_the_bounds_are_drawn_worse_left_and_better_right(run: Path) -> None:
    source = report(run).read_text()
    places = re.findall(r'<i style="left: ([\d.]+)%" title="source copied"></i>.*?<u style="left: ([\d.]+)%"', source)
    assert len(places) == 3
    assert all(float(bound) < float(value) for bound, value in places)


@pytest.mark.usefixtures("no_figures")
def test_a_translator_worse_than_a_copy_is_called_so(run: Path) -> None:
    change(run / "evaluation" / "evaluation.json", lambda data: data["rows"][0]["bounds"].update({"source copied": 20.0}))
    parsed = read(report(run))
    assert parsed.text.count("Copying the source does better by PSNR.") == 1 and "Source copied does better" not in parsed.text
    assert any("worse" in attributes.get("class", "").split() for attributes in parsed.of("u"))


@pytest.mark.usefixtures("no_figures")
def test_out_may_be_elsewhere_and_the_run_stays_untouched(run: Path, tmp_path: Path) -> None:
    before = sorted(run.rglob("*"))
    path = report(run, tmp_path / "new folder" / "page.html")
    assert path.is_file() and sorted(run.rglob("*")) == before
    with pytest.raises(UserError):
        report(run / "samples" / "fixed")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("recipe.yaml", "No recipe: recipe.yaml is not there."),
        ("environment.json", "No environment: environment.json is not there."),
        ("log.jsonl", "No curves: log.jsonl is not there or holds no steps."),
        ("samples", "No samples over time: samples/ is not there."),
        ("samples/fixed", "no file"),
        ("evaluation", "No evaluation yet: transfigure evaluate"),
        ("evaluation/per_image.csv", "Numbers"),
        ("evaluation/panels", "no file"),
    ],
)
def test_a_missing_part_is_said_in_words(run: Path, missing: str, words: str) -> None:
    path = run / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    parsed = read(report(run))
    check_self_contained(parsed)
    assert words in parsed.text


@pytest.mark.parametrize("only", ["recipe.yaml", "environment.json", "log.jsonl", "samples", "evaluation"])
def test_one_part_alone_makes_a_page(run: Path, only: str) -> None:
    for path in run.iterdir():
        if path.name != only:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    parsed = read(report(run))
    check_self_contained(parsed)
    assert "is not there" in parsed.text


@pytest.mark.usefixtures("no_figures")
def test_without_warnings_the_page_says_so(run: Path) -> None:
    log = run / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if "health" not in line))
    text = read(report(run)).text
    assert "Diagnosis: healthy. No sign of a collapse" in text and "Training raised no warning." in text


@pytest.mark.usefixtures("no_figures")
def test_no_page_says_that_all_is_well_of_a_run_that_loses_to_the_mean_target(run: Path) -> None:
    log = run / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if "health" not in line))
    change(run / "evaluation" / "evaluation.json", lambda data: data["rows"][0]["bounds"].update({"mean training target": 18.0}))
    text = read(report(run)).text
    assert text.count("Diagnosis: worse than the mean target. The mean training target does better by PSNR (1 of the 3 metrics") == 1
    assert text.count("The mean training target does better") == 1, "the box does not say again what the diagnosis says"
    assert "Diagnosis: worse than the mean target ; why stands at the top" in text or "Diagnosis: worse than the mean target; why" in text
    assert "and yet the diagnosis is worse than the mean target" in text and "No warnings" not in text


def test_a_run_that_has_not_ended_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:50]) + '{"kind":"step","ima')
    text = read(report(run)).text
    assert "The log has no end" in text and "log.jsonl: 1 line could not be read" in text
    assert capsys.readouterr().err == f"note: {log}: 1 line could not be read and was left out\n"
    report(run, quiet=True)
    assert capsys.readouterr().err == ""


def test_without_a_discriminator(run: Path) -> None:
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text(
        "\n".join(json.dumps({key: line[key] for key in line if key not in ("d", "adversarial", "d_real", "d_fake")}) for line in lines)
    )
    text = read(report(run)).text
    assert "Generator, weighted total" in text
    words = re.sub(r"adversarial:|--objective\.adversarial\.", "", text)  # of the recipe, and of what is advised
    assert "Discriminator loss" not in words and "adversarial" not in words and "D(real) and" not in words


@pytest.mark.parametrize("value", [float("nan"), None, "much"])
def test_values_that_are_no_numbers(run: Path, value: object) -> None:
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines[3:80]:
        line.update({"g": value, "epoch": value, "seconds": value, "terms": {"l1": value}, "metrics": {"psnr": value, "ssim": 0.2}})
    log.write_text("\n".join(map(json.dumps, lines)))
    change(run / "evaluation" / "evaluation.json", lambda data: [row.update(value=value, low=value, n=value) for row in data["rows"][:3]])
    change(run / "evaluation" / "evaluation.json", lambda data: data.update(n=value, seconds=value))
    (run / "evaluation" / "per_image.csv").write_text("name,psnr\n" + "".join(f"{n},{value}\n" for n in range(20)))
    text = read(report(run)).text
    assert "not a number" in text and "Not every logged value is finite: G, L1." in text
    assert not re.search(r"\bnan\b|\binf\b", text)


@pytest.mark.usefixtures("no_figures")
def test_lines_of_the_log_may_lack_anything(run: Path) -> None:
    """0.1.0 ended in a traceback on a warning without its message, which a line that was cut and mended can leave."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    lines.append({"kind": "health", "images": 8000, "code": "saturated", "level": "warning", "message": "D wins."})
    kinds = {line["kind"]: line for line in lines}
    for line in kinds.values():
        for key in line.keys() - {"kind", "images"}:
            rest = {other: value for other, value in line.items() if other != key}
            lines += [rest, *({**rest, key: value} for value in (None, "words", {"a": [1]}, [1], -5))]
    (run / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    check_self_contained(read(report(run)))


def test_whatever_comes_from_files_stays_text(run: Path) -> None:
    (run / "recipe.yaml").write_text(
        f"name: {json.dumps(EVIL)}\ndata: {{path: {json.dumps(EVIL)}}}\ngenerator: {{name: {json.dumps(EVIL)}}}"
    )
    change(run / "environment.json", lambda data: data.update({EVIL: EVIL, "device": EVIL}))
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "step":
            line["terms"] = {EVIL: 0.5}
        if line["kind"] == "validation":
            line["metrics"] = {EVIL: 0.5}
    lines.append({"kind": "health", "images": 1, "code": EVIL, "level": EVIL, "message": EVIL})
    log.write_text("\n".join(map(json.dumps, lines)))

    def poison(data: dict[str, object]) -> None:
        data.update(split=EVIL, resize=EVIL, checkpoint=EVIL, model=EVIL, ranked_by=EVIL)
        data["rows"] = [
            {
                **dict.fromkeys(("metric", "label", "unit", "caution", "network", "weights", "resize", "checkpoint", "of"), EVIL),
                **{"better": "higher", "value": 1, "bounds": {EVIL: 2.0}},
            },
            {"metric": "fid", "label": EVIL, "skipped": EVIL},
        ]
        for panel in data["panels"]:  # type: ignore[attr-defined]
            panel.update(name=EVIL, role=EVIL)

    change(run / "evaluation" / "evaluation.json", poison)
    (run / "evaluation" / "per_image.csv").write_text(f'name,"{EVIL.replace(chr(34), chr(34) * 2)}"\n' + "a,1\nb,2\n" * 10)
    evil_run = run.parent / "<script>b & c"
    run.rename(evil_run)
    parsed = read(report(evil_run))
    check_self_contained(parsed)
    assert len(list(parsed.of("script"))) == 1
    assert parsed.source.count("<script>") == 1
    assert parsed.text.count("<script>alert('x')</script>") > 20
    assert html.escape(str(evil_run)) in parsed.source


def grey_16(path: Path, part: str, index: int, finished: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(200, 800, 48 * 40).reshape(40, 48) * (finished if part == "generated" else 1.0)
    images.write(path, ramp.astype(np.uint16)[..., None])


def grey_8(path: Path, part: str, index: int, finished: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 200), 10 + 60 * index, np.uint8)).save(path)


def channels_7(path: Path, part: str, index: int, finished: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.random.default_rng(index).integers(0, 4000, (24, 24, 7)).astype(np.uint16))


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("save", "suffix", "stretched"), [(grey_16, ".png", True), (grey_8, ".png", False), (channels_7, ".tif", True)])
def test_other_kinds_of_pictures(
    make_run: Callable[..., Path], tmp_path: Path, save: Callable[..., None], suffix: str, stretched: bool
) -> None:
    parsed = read(report(make_run(tmp_path / "run", save, suffix)))
    check_self_contained(parsed)
    single = [alt for picture in parsed.pictures if re.search(r": \w+, channel \d$", alt := str(picture.get("alt")))]
    assert len(parsed.pictures) - len(single) == 31 and "could not be read" not in parsed.text
    assert len(single) == (15 * 7 if save is channels_7 else 0)
    assert ("0.1 and 99.9 percentiles" in parsed.text) == stretched
    enlarged_smoothly = save is grey_8
    assert all((picture.get("class") == "small") != enlarged_smoothly for picture in parsed.pictures)


@pytest.mark.usefixtures("no_figures")
def test_large_pictures_are_kept_within_the_budget(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(path: Path, part: str, index: int, finished: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (220, 220, 3), np.uint8)).save(path, compress_level=0)

    run = make_run(tmp_path / "run", noise)
    free = report(run, tmp_path / "free.html").stat().st_size
    monkeypatch.setattr(page_module, "BUDGET", 1_500_000)
    bounded = report(run, tmp_path / "bounded.html").stat().st_size
    assert bounded < 1_500_000 + 300_000 < free < 6_000_000


@pytest.mark.usefixtures("no_figures")
def test_a_damaged_picture_is_named(run: Path) -> None:
    (run / "evaluation" / "panels" / "0001_generated.png").write_bytes(b"not a picture")
    parsed = read(report(run))
    assert "0001_generated.png could not be read" in parsed.text and len(parsed.pictures) == 30


def test_a_curve_of_one_value_is_its_number(run: Path) -> None:
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("\n".join(json.dumps(line) for line in lines if line["kind"] != "validation" or line["images"] == 400))
    parsed = read(report(run))
    value = next(line["metrics"]["psnr"] for line in lines if line["kind"] == "validation")
    assert f"Validation PSNR (dB) {value:.1f} the only value so far, after 400 images" in parsed.text
    assert len(list(parsed.of("svg"))) == 3 + 7


@pytest.mark.usefixtures("no_figures")
def test_commands_name_the_plugins_that_the_run_was_made_with(run: Path) -> None:
    change(run / "environment.json", lambda stored: stored.update(plugins=["/my things/loss.py"]))
    text = read(report(run)).text
    for command in (f"train --out {run} --resume", f"translate {run} INPUT OUTPUT", f"evaluate {run}"):
        assert f"transfigure {command} --plugins '/my things/loss.py'" in text
    assert f"transfigure report {run} --plugins" not in text


@pytest.mark.usefixtures("no_figures")
def test_words_of_the_file_that_tell_nothing_are_explained(folders: Path) -> None:
    change(folders / "evaluation.json", lambda stored: stored.update(rows=rows_of_every_kind()))
    change(folders / "evaluation.json", lambda stored: [row.update(checkpoint="files") for row in stored["rows"]])
    change(folders / "evaluation.json", lambda stored: stored["rows"][0].update(better="one"))
    text = read(report(folders)).text
    assert "no model: image files were compared" in text and "checkpoint files" not in text
    assert "nearest to 1 is better" in text and "one is better" not in text
    assert "identical images would have an infinite PSNR, which counts as 100 dB here" in text


@pytest.mark.usefixtures("no_figures")
def test_a_run_shorter_than_log_every_has_a_log_and_no_steps(run: Path) -> None:
    log = run / "log.jsonl"
    kept = [
        line
        for line in log.read_text().splitlines(keepends=True)
        if not any(f'"{kind}"' in line for kind in ("step", "health", "validation"))
    ]
    log.write_text("".join(kept))
    text = read(report(run)).text
    assert "no step has been logged yet" in text
    assert "log.jsonl is not there" not in text and "there is no log" not in text
