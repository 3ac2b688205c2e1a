from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.studies.ablation.formats import to_csv, to_dict
from transfigure.studies.ablation.over_seeds import student
from transfigure.studies.ablation.summary import summarise
from transfigure.studies.ablation.variants import read_ablation, read_runs

from .example import BOUNDS, edit, row, write_ablation, write_evaluation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """L1 is best by far in SSIM; by L1 the two overlap."""
    seeds = {"L1": [(0.50, 0.11), (0.51, 0.12), (0.52, 0.16)], "L1+cGAN": [(0.40, 0.12), (0.41, 0.13), (0.43, 0.10)]}
    return write_ablation(tmp_path / "ablation", {name: [{"ssim": s, "l1": d} for s, d in each] for name, each in seeds.items()})


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 9, 10, 29, 60])
def test_students_quantile(degrees: int) -> None:
    assert student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_means_and_intervals_over_seeds(folder: Path) -> None:
    summary = summarise(read_ablation(folder))
    assert (summary.title, summary.about, summary.budget) == ("objectives", "Why?", "150 images")
    assert [column.metric for column in summary.columns] == ["l1", "ssim"], "in the order of the grid"
    value = summary.lines[0].values["ssim"]
    # By hand: mean 0.51, s = 0.01, t(0.975, 2) = 4.3027, so the half width is 4.3027 * 0.01 / sqrt(3) = 0.024841.
    assert value.seeds == ((0, 0.50), (1, 0.51), (2, 0.52)) and value.n == 3
    assert (value.mean, value.low, value.high) == pytest.approx((0.51, 0.485159, 0.534841), abs=1e-6)
    assert value.half == pytest.approx(0.024841, abs=1e-6)


def test_huge_and_equal_values_have_what_can_be_said_of_them(tmp_path: Path) -> None:
    folder = write_ablation(tmp_path, {"huge": [{"ssim": 1.7e308}, {"ssim": -1.7e308}], "equal": [{"ssim": 0.3}, {"ssim": 0.3}]})
    huge, equal = (line.values["ssim"] for line in summarise(read_ablation(folder)).lines)
    assert (huge.mean, huge.low, huge.n) == (0.0, None, 2)
    assert (equal.mean, equal.low, equal.high) == (0.3, 0.3, 0.3)


def test_the_best_is_marked_only_where_it_lies_apart_from_all(folder: Path) -> None:
    l1, ssim = summarise(read_ablation(folder)).columns
    assert (ssim.best, ssim.apart) == ("L1", True)
    assert (l1.best, l1.apart) == ("L1+cGAN", False), "lower is better, and the intervals overlap"


def test_one_overlapping_variant_is_enough_to_mark_nothing(folder: Path) -> None:
    scores = {"a": [0.50, 0.51], "b": [0.50, 0.52], "c": [0.1, 0.11]}
    seeds = {name: [{"ssim": value} for value in values] for name, values in scores.items()}
    column = summarise(read_ablation(write_ablation(folder.parent / "three", seeds))).columns[0]
    assert (column.best, column.apart) == ("b", False)


def test_nothing_is_apart_without_an_interval(folder: Path) -> None:
    edit(folder, "L1+cGAN", 1, state="failed")
    edit(folder, "L1+cGAN", 2, state="failed")
    summary = summarise(read_ablation(folder))
    assert summary.lines[1].values["ssim"].low is None and summary.lines[1].values["ssim"].n == 1
    assert [(column.best, column.apart) for column in summary.columns] == [("L1+cGAN", False), ("L1", False)]


@pytest.mark.parametrize(
    ("seeds", "best", "apart"),
    [
        ({"blurred": [0.2, 0.21], "noisy": [1.5, 1.49], "fine": [0.99, 1.0]}, "fine", True),
        ({"low": [0.90, 0.901], "high": [1.30, 1.301]}, "low", True),  # 0.1 away, not the larger value
        ({"low": [0.90, 0.901], "high": [1.10, 1.101]}, "low", False),  # as far on the other side
        ({"across": [0.9, 1.1], "near": [0.97, 0.971]}, "across", False),
    ],
)
def test_nearest_to_one_is_best_where_that_is_the_goal(tmp_path: Path, seeds: dict[str, list[float]], best: str, apart: bool) -> None:
    rows = {name: [{"detail": value} for value in values] for name, values in seeds.items()}
    column = summarise(read_ablation(write_ablation(tmp_path, rows))).columns[0]
    assert (column.better, column.best, column.apart) == ("one", best, apart)


def test_cells_that_failed_wait_or_were_never_evaluated(folder: Path) -> None:
    edit(folder, "L1", 0, state="failed", reason="the disk is full")
    edit(folder, "L1", 1, state="waiting")
    (folder / "cells/1/seed0/evaluation/evaluation.json").unlink()
    (folder / "cells/1/seed1/evaluation/evaluation.json").write_text("[")
    edit(folder, "L1+cGAN", 2, path="../elsewhere")
    summary = summarise(read_ablation(folder))
    first, second = summary.lines
    assert first.troubles == ((0, "failed: the disk is full"), (1, "waiting")) and first.measured == 1
    assert first.values["ssim"].seeds == ((2, 0.52),)
    assert [seed for seed, _ in second.troubles] == [0, 1, 2] and second.measured == 0
    assert "does not lie in the ablation's folder" in second.troubles[2][1]
    assert summary.notes == ("The evaluation of L1+cGAN, seed 1, could not be read: it is not one JSON object.",)
    assert second.values == {}, "a variant without a run is a gap"
    to_csv(summary), to_dict(summary)


def test_only_failed_cells_are_a_table_without_columns(folder: Path) -> None:
    for name in ("L1", "L1+cGAN"):
        for seed in range(3):
            edit(folder, name, seed, state="failed", reason="no")
    summary = summarise(read_ablation(folder))
    assert summary.columns == () and [line.measured for line in summary.lines] == [0, 0]
    assert to_csv(summary).count("\n") == 3


def test_skipped_metrics_and_values_that_are_not_finite(folder: Path) -> None:
    skipped = row("lab", None, skipped="not in colour", label="Lab histogram")
    parts = [row("lab_l", 0.5, of="lab"), row("lab_a", 0.6, of="lab")]
    fid = row("fid", None, skipped="no weights", label="FID")
    write_evaluation(folder / "cells/0/seed0", [row("ssim", None), row("l1", 0.1), *parts, fid])
    write_evaluation(folder / "cells/0/seed1", [row("ssim", 0.5), row("l1", 0.1), *parts, fid])
    write_evaluation(folder / "cells/1/seed0", [row("ssim", 0.5), row("l1", 0.1), skipped, fid])
    summary = summarise(read_ablation(folder))
    assert summary.skipped == (("FID", "no weights"),)
    assert [column.metric for column in summary.columns] == ["l1", "ssim", "lab_l", "lab_a"]
    assert summary.lines[0].values["ssim"].seeds == ((1, 0.5), (2, 0.52)), "null is no value"
    assert summary.lines[1].values["lab_a"].skipped == "not in colour" and summary.lines[1].values["lab_a"].mean is None


def test_bounds_are_given_once_if_all_agree(folder: Path) -> None:
    summary = summarise(read_ablation(folder))
    assert [column.bounds for column in summary.columns] == [BOUNDS["l1"], BOUNDS["ssim"]]
    assert summary.bounds == ("source copied", "mean training target", "target itself")
    differing = row("ssim", 0.4, bounds={"source copied": 0.3, "target itself": 1.0 + 1e-9})
    write_evaluation(folder / "cells/1/seed2", [differing, row("l1", 0.1)], n=30, split="val")
    summary = summarise(read_ablation(folder))
    assert summary.columns[1].bounds == {"target itself": 1.0}
    assert [note.partition(" is ")[2] for note in summary.notes] == [
        "test or val. Compare with care.",
        "24 or 30. Compare with care.",
    ]


def test_cost(folder: Path) -> None:
    edit(folder, "L1", 0, seconds=30.0)
    edit(folder, "L1", 1, seconds=None)
    cost = summarise(read_ablation(folder)).lines[0].cost
    assert cost.seconds == pytest.approx((30 + 12.5 + 60) / 3), "where the ablation does not say, the log does"
    assert (cost.peak_mib, cost.images, cost.images_per_second) == (102, 150, 30)
    assert (cost.generator_parameters, cost.discriminator_parameters) == (1000, 200)


def test_the_same_input_gives_the_same_bytes_and_cost_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    first, again = (summarise(read_ablation(folder)) for _ in range(2))
    assert to_csv(first) == to_csv(again) and json.dumps(to_dict(first)) == json.dumps(to_dict(again))
    other = tmp_path / "moved"
    folder.rename(other)
    for seed in range(3):
        edit(other, "L1", seed, seconds=1.0, peak_mib=1.0)
    slower = summarise(read_ablation(other))

    def without(text: str) -> list[dict[str, str]]:
        return [{k: v for k, v in line.items() if not k.startswith("cost_")} for line in csv.DictReader(io.StringIO(text))]

    assert to_csv(slower) != to_csv(first) and without(to_csv(slower)) == without(to_csv(first))
    assert {**to_dict(slower), "cost": 0} == {**to_dict(first), "cost": 0}
    assert str(tmp_path) not in json.dumps(to_dict(first)), "where it lies is no part of the result"


def test_csv_quotes_what_needs_it(tmp_path: Path) -> None:
    name = 'L1, "and" \n more'
    text = to_csv(summarise(read_ablation(write_ablation(tmp_path, {name: [{"ssim": 1 / 3}, {"ssim": 0.25}], "b": [{"ssim": 0.5}]}))))
    first, second, bound, *_ = csv.DictReader(io.StringIO(text))
    assert first["name"] == name and first["kind"] == "variant"
    assert float(first["ssim_mean"]) == pytest.approx((1 / 3 + 0.25) / 2, rel=1e-5) and first["ssim_n"] == "2"
    assert float(first["ssim_low"]) == pytest.approx(
        statistics.mean([1 / 3, 0.25]) - 12.7062 * statistics.stdev([1 / 3, 0.25]) / math.sqrt(2), abs=1e-5
    )
    assert (second["ssim_low"], second["ssim_n"], second["runs"]) == ("", "1", "1")
    assert (bound["kind"], bound["name"], bound["ssim_mean"], bound["cost_seconds"]) == ("bound", "source copied", "0.1", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "is no ablation"), ("{", "cannot be read"), ("[]", "not one JSON object"), ('{"cells": 3}', "holds no cells")],
)
def test_what_is_no_ablation(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "ablation.json").write_text(text)
    with pytest.raises(UserError, match=words):
        read_ablation(tmp_path)


def test_a_damaged_ablation_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    cells = [
        {"variation": "a", "path": "cells/a", "seed": "x", "seconds": True, "state": "finished"},
        7,
        {"path": "cells/b", "state": "done"},
        {},
    ]
    (tmp_path / "ablation.json").write_text(json.dumps({"cells": cells, "metrics": None, "budget": 3}))
    comparison = read_ablation(tmp_path)
    assert [variant.name for variant in comparison.variants] == ["a", "unnamed"]
    assert [(cell.state, cell.seconds) for cell in comparison.variants[0].cells] == [("failed", None)]
    assert len(summarise(comparison).lines) == 2


# ---- any runs --------------------------------------------------------------------------------------------------------------


def write_run(path: Path, evaluated: bool = True, **overrides: Any) -> Path:
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text(
        Recipe.load("pix2pix_tiny", {key.replace("__", "."): value for key, value in overrides.items()}).to_yaml()
    )
    if evaluated:
        write_evaluation(path, [row("ssim", 0.5)])
    return path


def test_runs_that_differ_in_seed_and_places_are_one_variant(tmp_path: Path) -> None:
    ours = {"data__kind": "side_by_side", "data__path": "/here/facades", "objective__terms__l1__weight": 10}
    runs = [
        write_run(tmp_path / "a", **ours, training__seed=0),
        write_run(tmp_path / "b", **{**ours, "data__path": "/there/facades"}, training__seed=1, training__log_every=7, name="other"),
        write_run(tmp_path / "c", **{**ours, "objective__terms__l1__weight": 100.0}),
        write_run(tmp_path / "d", **{**ours, "data__path": "/here/maps"}),
    ]
    comparison = read_runs(runs)
    assert [[cell.seed for cell in variant.cells] for variant in comparison.variants] == [[0, 1], [0], [0]]
    assert [variant.name for variant in comparison.variants] == [
        "data.path=facades, 10 × L1",
        "data.path=facades, 100 × L1",
        "data.path=maps, 10 × L1",
    ]
    assert comparison.title == "4 runs" and read_runs(runs, "mine").title == "mine"


def test_variants_are_named_by_the_keys_that_make_them(tmp_path: Path) -> None:
    comparison = read_runs(
        [
            write_run(tmp_path / "1", objective__adversarial="null"),
            write_run(tmp_path / "2", objective__adversarial__conditional=False),
            write_run(tmp_path / "3", objective__terms="[]"),
            write_run(tmp_path / "4"),
        ]
    )
    assert [variant.name for variant in comparison.variants] == [
        "no discriminator, 100 × L1",
        "unconditional, 100 × L1",
        "conditional, no L1",
        "conditional, 100 × L1",
    ]
    networks = read_runs(
        [write_run(tmp_path / "5", generator="resnet"), write_run(tmp_path / "6"), write_run(tmp_path / "7", generator__depth=3)]
    )
    assert [variant.name for variant in networks.variants] == [
        "generator=resnet",
        "generator=unet, generator.depth=4",
        "generator=unet, generator.depth=3",
    ]
    ssim = "{loss: ssim, weight: 1, window: WINDOW}"
    terms = read_runs(
        [
            write_run(tmp_path / "8", objective__terms=f"[{ssim.replace('WINDOW', '7')}]", training__betas=[0.5, 0.9]),
            write_run(tmp_path / "9", objective__terms=f"[{ssim.replace('WINDOW', '11')}, {{loss: l1, weight: 100}}]"),
        ]
    )
    assert [variant.name for variant in terms.variants] == [
        "1 × SSIM (window=7), training.betas=[0.5, 0.9]",
        "1 × SSIM (window=11) + 100 × L1, training.betas=[0.5, 0.999]",
    ]


def test_variants_are_called_by_their_folder_where_keys_fail(tmp_path: Path) -> None:
    first, again = write_run(tmp_path / "monday"), write_run(tmp_path / "tuesday")
    assert [variant.name for variant in read_runs([first, again]).variants] == ["monday", "tuesday"], "one seed twice is no second witness"
    (again / "recipe.yaml").write_text("of: another version\n")
    assert [variant.name for variant in read_runs([first, again]).variants] == ["monday", "tuesday"]
    twin = write_run(tmp_path / "else" / "monday")
    assert [variant.name for variant in read_runs([first, twin]).variants] == ["monday", "monday (2)"]


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    run, other = write_run(tmp_path / "run"), write_run(tmp_path / "my run", evaluated=False, training__seed=1)
    with pytest.raises(UserError, match=r"needs two or more runs, or the folder of an ablation; given was \S+run \(beside it: \S+my run\)"):
        read_runs([run])
    with pytest.raises(UserError, match=f"is no run, but holds some: name them, as  transfigure compare '{other}' {run}"):
        read_runs([tmp_path])
    with pytest.raises(UserError, match=r"none does not exist: give two or more runs, .*; the runs in \S+ are my run, run$"):
        read_runs([tmp_path / "none"])
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="x is no run: it holds no recipe"):
        read_runs([run, tmp_path / "x"])
    with pytest.raises(UserError, match="is given twice"):
        read_runs([run, tmp_path / "x" / ".." / "run"])
    with pytest.raises(UserError, match=f"has no evaluation: first run  transfigure evaluate '{other}'"):
        read_runs([run, other])
