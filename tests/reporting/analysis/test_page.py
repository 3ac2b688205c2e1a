"""The page of an analysis, made from results that were never computed."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transfigure.errors import UserError
from transfigure.reporting.analysis.page import SIDE, _parts, _place, overlay, write_analysis
from transfigure.reporting.analysis.words import called, diagnosis_of, notices, percent, summary
from transfigure.studies.preservation.analyze import Analysis, Attribution
from transfigure.studies.preservation.measure import Measure

from ..browser import DARK, browser, visit
from ..reading import EVIL, check_self_contained, read
from .example import ABOUT, MEASURES, SOME, analysis, cells, images, measure, with_measure, write


def test_a_whole_page_and_what_lies_beside_it(tmp_path: Path) -> None:
    path = write_analysis(analysis(), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "analysis.html"
    assert sorted(file.name for file in path.parent.iterdir()) == ["analysis.html", "analysis.json", "factors.png"]
    stored = json.loads((path.parent / "analysis.json").read_text())
    assert stored["measures"][2]["value"] is None and stored["where"] == {"share": 0.62, "uniform": 0.2}
    assert Image.open(path.parent / "factors.png").width > 1000
    page = read(path)
    check_self_contained(page)
    assert len(page.pictures) == 3 * 6 and page.source.count("<svg") == 1
    for words in (
        "stream · shapes · A to B",
        "most of the layout: 80 % of the way from a random target to the source",
        "95 % of its outputs are nearer to their own source than to any other of 200",
        "takes 90 % of its outputs for targets (of real targets: 98 %)",
        "preserves 1 of 1 that both domains show, generates 0 of 1 that only the target shows",
        "200 test sources, beside 150 real targets",
        "1,000 sources and 900 targets of its training",
        "The probes read stripes badly",
        "Source Output Output of the second training Nearest training target",
        "The part with most contrast depends on The part with least contrast depends on",
        "Outlines in common ↑ higher is better 0.900 0.880 to 0.920 1.000 0.500 correlation of maps",
        "FID, to target; KID, to target – – – – skipped: no weights",
        "0.40 *",
        "62 % of its dependence on the input",
        "it would be 20 % if",
        "not of another training",
        "Inference mode norm: batch, noise: dropout, seed: 0",
        "Took 1 min 15 s",
        "Source and target are one domain no",
    ):
        assert words in page.text.replace("\N{NO-BREAK SPACE}", " "), words
    assert "second training None" not in page.text.lower()


def test_without_factors_nothing_is_said_of_them_and_an_older_figure_goes(tmp_path: Path) -> None:
    write_analysis(analysis(), tmp_path)
    page = read(write_analysis(analysis(factors=[], accuracy={}), tmp_path))
    assert not (tmp_path / "factors.png").exists()
    assert "actor" not in page.text and "robe" not in page.text and "<svg" not in page.source


def test_an_analysis_without_anything_is_a_page_too(tmp_path: Path) -> None:
    empty = Analysis({**ABOUT, "sources": 2}, [], Attribution(math.nan, 0.2))
    page = read(write_analysis(empty, tmp_path))
    assert "Nothing could be measured." in page.text and "do not depend on their input at all" in page.text
    assert page.pictures == [] and "Only 2 sources" in page.text and "nan" not in page.text


def test_no_place_to_write_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        write_analysis(analysis(), tmp_path / "out")


def test_the_strip_runs_from_nothing_preserved_to_all_and_from_nothing_novel_to_all() -> None:
    preserved, novel = _place(measure("a", "preserved", 0.75, 1.0, 0.5)), _place(measure("b", "novel", 2.0, 10.0, 0.0, better="lower"))
    assert preserved and novel
    assert [name for name, _, _ in preserved.bounds] == ["random target", "identity"]
    assert [at for _, at, _ in preserved.bounds] == [5, 95] and preserved.value == 50
    assert [name for name, _, _ in novel.bounds] == ["identity", "random target"]
    assert [at for _, at, _ in novel.bounds] == [5, 95] and novel.value == pytest.approx(77)
    assert preserved.start == pytest.approx(46.4) and preserved.width == pytest.approx(7.2)


def test_a_strip_holds_what_lies_outside_the_bounds_and_needs_two_of_them() -> None:
    below = _place(measure("a", "preserved", 0.0, 1.0, 0.5))
    assert below and below.start == 5 and below.value < {name: at for name, at, _ in below.bounds}["random target"] < 95
    assert _place(measure("a", "preserved", 0.5, math.nan, 0.5)) is None
    assert _place(measure("a", "preserved", 0.5, 0.4, 0.4)) is None
    assert _place(Measure("a", "a", "preserved", 0.5, None)) is None


def said(given: Analysis) -> str:
    return " ".join([*summary(given), *notices(given)]).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.65, "some of the layout: 30 %"),
        (0.54, "little of the layout: 8 %"),
        (0.5, "nothing of the layout"),
        (0.1, "nothing of the layout"),
    ],
)
def test_how_much_layout_is_preserved_is_said_in_words(value: float, words: str) -> None:
    assert words in said(with_measure("edge_agreement", value=value))


def test_outputs_that_do_not_differ_are_said_to_be_collapsed() -> None:
    one = analysis()
    assert "collapsed" not in said(one) and "says little" not in said(one)
    one.examples[1]["output"] = images(1, 9).expand(3, -1, -1, -1) + 0.01 * images(3, 8)
    assert "probably collapsed" in said(one) and "98 %), which says little here: see below." in said(one)


def test_the_diagnosis_is_that_of_the_run_with_what_is_seen_here(tmp_path: Path) -> None:
    one = analysis()
    assert diagnosis_of(one) is None, "of a translator without a run nothing is known"
    one.examples[1]["output"] = images(1, 9).expand(3, -1, -1, -1) + 0.01 * images(3, 8)
    assert "Diagnosis: collapsed. The outputs hardly differ" in read(write_analysis(one, tmp_path / "page")).text
    (tmp_path / "log.jsonl").write_text('{"kind":"step","images":5000,"g":1.0}\n')
    (tmp_path / "recipe.yaml").write_text("name: a run")
    of_a_run = dataclasses.replace(analysis(), about={**ABOUT, "model": str(tmp_path)})
    found = diagnosis_of(of_a_run)
    assert found is not None and found.word == "healthy"


def test_a_classifier_that_is_often_wrong_is_not_gone_by() -> None:
    poor = with_measure("taken_for_target", bounds={"identity": 0.3, "random target": 0.9})
    assert "right on only 80 % of real images" in said(poor) and "says little here: see below" in said(poor)


def test_sources_found_again_no_more_than_by_chance() -> None:
    assert "by chance" not in said(analysis())
    assert "1 % of its outputs are" in said(with_measure("retrieval_at_1", value=0.01, interval=(0.0, 0.02)))
    assert "any other of 200, no more than by chance." in said(with_measure("retrieval_at_1", value=0.01, interval=(0.0, 0.02)))


def test_names_and_shares_as_people_say_them() -> None:
    assert [called(path) for path in ("runs/stream", "runs/stream/model", "shapes", "in memory", "/")] == [
        *("stream", "stream/model", "shapes", "in memory", "/")
    ]
    assert [percent(share)[:-2] for share in (0, 0.001, 0.5, 0.999, 1)] == ["0", "1", "50", "99", "100"]


def test_the_parts_shown_have_most_and_least_contrast() -> None:
    output = torch.zeros(3, 32, 32)
    output[:, 20:, 2:6] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    output[:, 3, 20] = 0.1
    output[:, 20, 20] = 0.3
    assert _parts(output, cells()) == [2, 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_dependence_is_orange_where_it_is_and_its_region_outlined(channels: int) -> None:
    depends = torch.zeros(32, 32)
    depends[2:12, 4:14] = 1
    seen = overlay(torch.ones(channels, 32, 32), depends, cells()[0]).astype(int)
    assert seen.shape == (288, 288, 3)
    orange = seen[..., 0] > seen[..., 2] + 100
    expected = np.kron(depends.numpy() > 0, np.ones((9, 9))) > 0
    assert (orange == expected)[4:140, 4:140].all() and not orange[150:, 150:].any()
    dark = seen.max(2) < 100
    assert dark[0, :144].all() and dark[:144, 143].all() and not dark[5:138, 5:138].any() and not dark[:, 144:].any()


def test_a_map_of_nothing_and_a_region_of_nothing() -> None:
    seen = overlay(torch.zeros(3, 32, 32), torch.zeros(32, 32), torch.zeros(32, 32))
    assert (seen[..., 0] == seen[..., 2]).all(), "grey"


def test_large_pictures_are_shown_smaller_and_others_as_they_are(tmp_path: Path) -> None:
    pictures = {"source": images(1, 0, side=400), "output": images(1, 1, 1, side=400), "nearest": images(1, 2, 1, side=400)}
    attribution = Attribution(0.5, 0.2, [(cells(400), cells(400))])
    page = read(write_analysis(analysis(1, examples=(["large"], pictures), attribution=attribution), tmp_path))
    sizes = [Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))).size for image in page.pictures]
    assert sizes == [(SIDE, SIDE)] * 5 and [image["width"] for image in page.pictures] == [str(SIDE)] * 5


def test_whatever_a_name_holds_is_text(tmp_path: Path) -> None:
    evil = analysis(
        about={**ABOUT, "model": EVIL, "data": EVIL, "checkpoint": EVIL},
        measures=[dataclasses.replace(one, label=EVIL, note=EVIL) for one in MEASURES],
        factors=[dataclasses.replace(one, name=EVIL, outcome=EVIL) for one in SOME],
        examples=([EVIL] * 3, analysis().examples[1]),
    )
    page = read(write_analysis(evil, tmp_path))
    check_self_contained(page)
    assert page.source.count("<script>") == 1, "our own, and no other"
    assert html.escape(EVIL, quote=False)[:30] in page.source.replace("&#39;", "'").replace("&#34;", '"').replace("<wbr>", "")


@browser
def test_every_picture_and_figure_is_shown_and_nothing_overflows(tmp_path: Path) -> None:
    page = write(tmp_path)
    for options in (["--window-size=1300,900"], ["--window-size=980,900"], ["--window-size=700,900"], ["--window-size=500,900", DARK]):
        found = visit(page, tmp_path / "profile", *options)
        assert found["decoded"] == ([32] * 4 + [288] * 2) * 3
        assert found["opened"] and found["closed"], "a click enlarges a picture, another click ends it"
        assert len(found["figures"]) == 1 and found["figures"][0][1] > 350
        assert found["overflow"] == 0 and found["troubles"] == []
        assert found["hidden"] == [0, 0, 0], f"nothing of the tables has to be scrolled for at {options[0]}"
        assert found["blue"] == ("rgb(98, 178, 234)" if DARK in options else "rgb(0, 114, 178)")
