"""The comparison in a real browser: every figure and every picture is shown, and nothing overflows a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfigure.reporting.comparison.page import compare
from transfigure.studies.ablation.variants import read_ablation

from ..browser import DARK, browser, visit
from ..reading import change
from .example import edit, write, write_comparison


@browser
def test_every_figure_and_picture_is_shown(tmp_path: Path) -> None:
    page = write(tmp_path)
    for options in (["--window-size=1300,900"], ["--window-size=500,900"], ["--window-size=500,900", DARK]):
        found = visit(page, tmp_path / "profile", *options)
        assert found["decoded"] == [32] * 20 and min(found["shown"]) > 90
        assert found["opened"] and found["closed"], "a click enlarges a picture, another click ends it"
        assert len(found["figures"]) == 21 and min(min(size) for size in found["figures"]) > 60
        assert min(found["drawn"]) >= 2, "each figure has lines in it"
        assert found["overflow"] == 0 and found["beyond"] == 0 and found["troubles"] == []
        dark = DARK in options
        assert found["orange"] == ("rgb(245, 139, 76)" if dark else "rgb(213, 94, 0)")
        assert found["colours"][:2] == (["rgb(98, 178, 234)", "rgb(245, 139, 76)"] if dark else ["rgb(0, 114, 178)", "rgb(213, 94, 0)"])


@browser
def test_long_names_and_many_variants_do_not_overflow(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "ablation")
    edit(folder, "L1", 1, state="failed", reason="no " * 200)

    def many(stored: dict[str, Any]) -> None:
        named = [
            {**stored["cells"][2], "variation": f"objective.terms.l1.weight={at}, generator.name=unet, " + "x" * 60} for at in range(9)
        ]
        stored["cells"] += named

    change(folder / "ablation.json", many)
    page = compare(read_ablation(folder), folder)
    for size in ("1300,900", "500,900"):
        found = visit(page, tmp_path / "profile", f"--window-size={size}")
        assert found["overflow"] == 0 and found["beyond"] == 0 and found["troubles"] == []
        assert found["decoded"] == [32] * 5 * 13 and min(found["shown"]) > 60
        if size.startswith("500"):
            assert len(found["targets"]) == 5 and min(found["targets"]) >= 0, "on a phone the target stays in sight"
