"""The comparison in words: decimals, what is marked, what stands below, and names that look like markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from transfigure.studies.ablation.formats import to_markdown, to_text
from transfigure.studies.ablation.summary import Summary, summarise
from transfigure.studies.ablation.variants import read_ablation

from .example import Values, edit, row, write_ablation, write_evaluation


def made(folder: Path, **values: list[Values]) -> Summary:
    return summarise(read_ablation(write_ablation(folder, values)))


def column(text: str, at: int = 1) -> list[str]:
    """A column of the plain table or of the Markdown one, without its head."""
    if text.startswith("|"):
        return [[cell.strip() for cell in line.strip("|").split(" | ")][at] for line in text.partition("\n\n")[0].splitlines()[2:]]
    return [re.split(r"  +", line)[at] for line in text.splitlines()[1:] if "  " in line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """SSIM tells L1 from the other; by detail the two overlap."""
    seeds = {"L1": [(0.50, 0.4), (0.51, 0.6), (0.52, 0.9)], "L1+cGAN": [(0.40, 0.7), (0.41, 0.8), (0.43, 1.3)]}
    return write_ablation(tmp_path / "a", {name: [{"ssim": s, "detail": d} for s, d in each] for name, each in seeds.items()})


def test_the_table_for_a_terminal(folder: Path) -> None:
    text = to_text(summarise(read_ablation(folder)))
    head, first, second, *bounds = text.splitlines()
    assert re.split(r"  +", head) == ["objectives", "SSIM", "Detail"]
    # By hand: t(0.975, 2) / sqrt(3) = 2.4841 times s, which is 0.01 and 0.015275 (SSIM), 0.25166 and 0.32146 (detail).
    assert re.split(r"  +", first) == ["L1", "0.510 ± 0.025 *", "0.63 ± 0.63"]
    assert re.split(r"  +", second) == ["L1+cGAN", "0.413 ± 0.038", "0.93 ± 0.80"]
    assert [re.split(r"  +", line) for line in bounds[:2]] == [["source copied", "0.100", "-"], ["target itself", "1.000", "-"]]
    assert bounds[2:] == [
        "diagnosis: too early to say in 3 of 3 runs: L1; L1+cGAN",
        "L1: 3 seeds, 150 images seen, 60 s a cell (median), 102 MiB at most",
        "L1+cGAN: 3 seeds, 150 images seen, 60 s a cell (median), 102 MiB at most",
    ]


def test_the_table_for_a_document(folder: Path) -> None:
    table, key, took = to_markdown(summarise(read_ablation(folder))).split("\n\n")
    assert table.splitlines() == [
        "| variation | SSIM ↑ | Detail → 1 |",
        "| --- | ---: | ---: |",
        "| L1 | **0.510 ± 0.025** | 0.63 ± 0.63 |",
        "| L1+cGAN | 0.413 ± 0.038 | 0.93 ± 0.80 |",
        "| *source copied* | *0.100* | - |",
        "| *target itself* | *1.000* | - |",
    ]
    assert all(fact in key for fact in ("half the 95 % interval over seeds (Student's t)", "Bold: the best", "Italic: bounds"))
    assert [part.split(": ")[-2:] for part in took.removesuffix(".").split("; ")] == [
        [name, "3 seeds, 150 images seen, 60 s a cell (median), 102 MiB at most"] for name in ("L1", "L1+cGAN")
    ]


def test_nothing_is_marked_where_intervals_overlap(tmp_path: Path) -> None:
    summary = made(tmp_path, a=[{"ssim": 0.5}, {"ssim": 0.6}], b=[{"ssim": 0.5}, {"ssim": 0.7}])
    assert summary.columns[0].best == "b"
    assert "*" not in to_text(summary) and "**" not in to_markdown(summary) and "Bold" not in to_markdown(summary)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([(0.30, 0.31), (0.5, 0.9)], ["0.305 ± 0.064", "0.700 ± 2.541"]),  # of two halves the smaller one decides
        ([(0.30, 0.301), (0.4, 0.42), (0.5, 0.9)], ["0.30 ± 0.01", "0.41 ± 0.13", "0.70 ± 2.54"]),  # of three the one in the middle
        ([(0.3001, 0.3002), (0.5003, 0.5005)], ["0.30015 ± 0.00064", "0.50040 ± 0.00127"]),
        ([(0.3, 0.3 + 1e-9), (0.5, 0.5 + 1e-9)], ["0.30000 ± 6.4e-09", "0.50000 ± 6.4e-09"]),  # five decimals are enough
        ([(0.3, 0.3), (0.5, 0.5)], ["0.300 ± 0.000", "0.500 ± 0.000"]),
        ([(0.3,), (0.0004,)], ["0.300", "0.0004"]),
        ([(1234.5, 1236.5), (0.3,)], ["1236 ± 13", "0.3"]),
        ([(-0.5, -0.6), (0.0, 0.0)], ["-0.55 ± 0.64", "0.00 ± 0.00"]),
        ([(1.7e308, -1.7e308), (0.5,)], ["0.000", "0.500"]),  # no interval: three digits of the largest mean
        ([(2e12,), (0.5,)], ["2e+12", "0.5"]),
    ],
)
def test_decimals_are_those_of_the_interval(tmp_path: Path, values: list[tuple[float, ...]], said: list[str]) -> None:
    summary = made(tmp_path, **{name: [{"other": value} for value in each] for name, each in zip("abc", values)})
    assert [cell.removesuffix(" *") for cell in column(to_text(summary))] == said
    assert [cell.strip("*") for cell in column(to_markdown(summary))] == said


def test_seeds_and_cost_are_of_what_was_measured(folder: Path) -> None:
    edit(folder, "L1", 0, seconds=3.25)
    edit(folder, "L1", 1, state="failed", reason="the disk | is full", seconds=9000.0)
    edit(folder, "L1", 2, seconds=8.75, peak_mib=1500.4)
    for seed in range(3):
        edit(folder, "L1+cGAN", seed, seconds=None, peak_mib=None)
    write_evaluation(folder / "cells/1/seed1", [row("ssim", 0.41), row("detail", None, caution="too few")])
    summary = summarise(read_ablation(folder))
    lines = to_text(summary).splitlines()
    assert lines[-4:] == [
        "L1, seed 1: failed: the disk | is full",
        "with care: Detail: too few",
        "L1: 2 of 3 seeds, 150 images seen, 6.0 s a cell (median), 1,500 MiB at most",
        "L1+cGAN: 3 seeds, 150 images seen, 12 s a cell (mean)",
    ]
    assert "(n = 2)" in lines[2], "detail is of two seeds only"
    markdown = to_markdown(summary)
    assert "- L1, seed 1: failed: the disk \\| is full" in markdown.splitlines()
    assert "(n = 2)" in markdown


def test_skipped_metrics_and_variations_without_a_value(folder: Path) -> None:
    for seed in range(3):
        edit(folder, "L1", seed, state="waiting")
    for seed in range(3):
        write_evaluation(folder / f"cells/1/seed{seed}", [row("ssim", 0.4 + seed), row("fid", None, label="FID", skipped="no weights")])
    summary = summarise(read_ablation(folder))
    assert column(to_text(summary))[0] == "-" and column(to_markdown(summary))[0] == "-"
    assert "skipped: FID: no weights" in to_text(summary).splitlines()
    assert "- skipped: FID: no weights" in to_markdown(summary).splitlines()
    assert "L1: 0 of 3 seeds" in to_text(summary).splitlines()


def test_nothing_but_failures_is_a_table_of_names(folder: Path) -> None:
    for name in ("L1", "L1+cGAN"):
        for seed in range(3):
            edit(folder, name, seed, state="failed", reason="no")
    summary = summarise(read_ablation(folder))
    assert to_markdown(summary).splitlines()[:4] == ["| variation |", "| --- |", "| L1 |", "| L1+cGAN |"]
    assert to_text(summary).splitlines()[:3] == ["objectives", "L1", "L1+cGAN"]


def test_names_are_no_markup(tmp_path: Path) -> None:
    name = "a|b\n*c* _d_ `e` <f> [g](h) \\ $i$ &amp; #1 @you"
    folder = write_ablation(tmp_path, {name: [{"ssim": 0.5}], "b": [{"ssim": 0.4}]})
    stored = json.loads((folder / "ablation.json").read_text())
    (folder / "ablation.json").write_text(json.dumps(stored | {"name": name}))
    text = to_markdown(summarise(read_ablation(folder)))
    first = text.splitlines()[2]
    assert first == r"| a\|b \*c\* \_d\_ \`e\` \<f\> \[g\](h) \\ \$i\$ \&amp; \#1 \@you | 0.500 |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in text.partition("\n\n")[0].splitlines()} == {3}
