"""The table of an evaluation: what stands beside what, what is grouped, and how each number was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfigure.reporting.run import table as tables
from transfigure.reporting.run import words
from transfigure.reporting.run.table import ScoreTable
from transfigure.reporting.run_files import RunFiles
from transfigure.reporting.scores import EvaluationView

from .example import ALEX, HEADS, INCEPTION, rows_of_every_kind

Made = Callable[..., EvaluationView]


@pytest.fixture
def evaluation(tmp_path: Path) -> Made:
    """An evaluation of these rows, of which some have scores of single images."""

    def made(rows: list[dict[str, Any]], single: str = "l1,psnr,ssim,lpips", **facts: Any) -> EvaluationView:
        (tmp_path / "evaluation.json").write_text(json.dumps({"n": 128, "split": "test", **facts, "rows": rows}))
        (tmp_path / "per_image.csv").write_text(f"name,{single}\n")
        read = RunFiles.read(tmp_path).evaluation
        assert read is not None
        return read

    return made


@pytest.fixture
def table(evaluation: Made) -> ScoreTable:
    return tables.table(evaluation(rows_of_every_kind()))


def test_floors_come_first_and_ceilings_last(table: ScoreTable) -> None:
    assert table.floors == ["source copied", "mean training target"]
    assert table.ceilings == ["target itself", "real photos"]
    assert table.bounds == [*table.floors, *table.ceilings] and table.drawn == table.ceilings
    assert not table.counts, "all of 128 images: said once, above the table"


def test_a_perfect_score_squashes_no_line(table: ScoreTable) -> None:
    lines = {line.score.metric: line for line in table.lines}
    psnr, fid = lines["psnr"].place, lines["fid"].place
    assert psnr is not None and [(name, ceiling) for name, _, ceiling in psnr.bounds] == [
        ("source copied", False), ("mean training target", False)
    ]  # fmt: skip
    assert psnr.value > 80, "between 8.1 and 18.9, not between 8.1 and 100"
    assert lines["psnr"].bounds["target itself"] == "100.0", "said, but not drawn"
    assert fid is not None and ("target itself", 96.0, True) in fid.bounds and fid.value < 96
    accuracy = lines["fcn_accuracy"].place
    assert accuracy is not None and ("real photos", 96.0, True) in accuracy.bounds
    assert lines["diversity"].place is None
    assert not tables.table(None).lines


def test_what_was_skipped_and_what_to_beware_of_is_grouped_by_reason(table: ScoreTable) -> None:
    assert [labels for labels, _ in table.skipped] == ["DISTS, precision, recall, density, coverage", "MS-SSIM"]
    assert [labels for labels, _ in table.cautions] == ["Diversity", "FID", "Fréchet, random features"]
    assert {line.score.metric for line in table.lines}.isdisjoint({"dists", "prdc", "ms_ssim"})


def test_several_scores_of_one_caution_share_a_footnote(evaluation: Made) -> None:
    rows = [{"metric": name, "label": name.upper(), "value": 1, "caution": "few"} for name in ("a", "b", "a")]
    assert tables.table(evaluation(rows)).cautions == [("A, B", "few")]


def test_how_each_number_was_made(table: ScoreTable) -> None:
    origins = {origin.label: origin for origin in table.origins}
    assert len(origins) == len(table.lines) == 14
    fid, lpips, frechet = origins["FID"], origins["LPIPS"], origins["Fréchet, random features"]
    assert fid.weights == [(INCEPTION[:12], INCEPTION)] and fid.n == "128" and fid.network.startswith("Inception")
    assert lpips.weights == [(ALEX[:12], ALEX), (HEADS[:12], HEADS)]
    assert frechet.weights == [("seed 0", "seed 0")], "no hash, so not shortened"
    assert origins["Lab histogram, a"].registered == "lab_histogram" and origins["L1"].weights == []
    assert origins["L1"].checkpoint.startswith("best") and "299" in fid.resize and "299" not in origins["L1"].resize


def test_an_older_evaluation_says_resize_and_checkpoint_once_for_all(evaluation: Made) -> None:
    made = evaluation([{"metric": "l1", "value": 1}], resize="bicubic", checkpoint="last")
    (origin,) = tables.table(made).origins
    assert (origin.resize, origin.checkpoint, origin.registered, origin.n) == ("bicubic", "last", "l1", "")


def test_counts_that_differ_are_said(evaluation: Made) -> None:
    assert tables.table(evaluation([{"metric": "a", "value": 1, "n": 3}, {"metric": "b", "value": 1, "n": 4}])).counts


def test_a_small_bound_beside_a_large_value_is_not_written_as_nothing(evaluation: Made) -> None:
    rows = [{"metric": "fid", "better": "lower", "value": 342.0, "bounds": {"target itself": 0.31, "source copied": 0.0, "odd": 401.4}}]
    (line,) = tables.table(evaluation(rows)).lines
    assert line.bounds == {"target itself": "0.310", "source copied": "0", "odd": "401"}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "128 test pairs · resize: none"),
        (
            {"checkpoint": "last", "model": "runs/a", "data": "d"},
            "128 test pairs · data: d · checkpoint: last · model: runs/a · resize: none",
        ),
        ({"checkpoint": "files", "split": "a against b", "model": "a"}, "128 pairs · a against b · resize: none"),
        (
            {"checkpoint": "files", "split": "a against b, unpaired", "against": 500},
            "128 generated and 500 target images · a against b, unpaired · resize: none",
        ),
        ({"checkpoint": "files", "split": "a against b", "against": "many"}, "128 images · a against b · resize: none"),
    ],
)
def test_how_all_were_made_in_one_line(evaluation: Made, facts: dict[str, Any], line: str) -> None:
    assert tables.evaluated(evaluation([], **{"resize": "none", **facts})) == line


def test_the_summary_takes_the_score_that_people_know(evaluation: Made, tmp_path: Path) -> None:
    def summed_up(rows: list[dict[str, Any]]) -> str:
        evaluation(rows)
        return " ".join(words.summary(RunFiles.read(tmp_path)))

    rows = rows_of_every_kind()
    copied = "copying the source gives"
    assert summed_up(rows) == (f"SSIM 0.431 [0.388, 0.474] on 128 test pairs; {copied} 0.120, the mean training target gives 0.310."), (
        "and no word of its perfect score"
    )
    without = [row for row in rows if row["metric"] != "ssim"]
    assert summed_up(without).startswith("L1 0.113 [0.102, 0.124] on 128 test pairs")
    sets = [row for row in without if row["metric"] in ("dists", "fid", "kid")]
    assert summed_up(sets).startswith(f"FID 142 [128, 156] on 128 test pairs; {copied} 301, the targets themselves give 88.")
    assert "with care: of 128 images, where 2,048 are the least" in summed_up(sets)
    assert summed_up([row for row in rows if row["skipped"]]) == ""
    rows[-1].update(value=None, skipped="too small")
    assert summed_up(rows).startswith("L1")
