"""The report in a real browser: every picture decodes, and nothing overflows."""

from __future__ import annotations

import json
import re
from pathlib import Path

from transfigure.reporting.run.page import report

from ..browser import DARK, browser, call, visit
from .example import rows_of_every_kind


@browser
def test_every_picture_decodes_and_the_page_fits(run: Path, tmp_path: Path) -> None:
    page = report(run)
    found = visit(page, tmp_path / "profile", "--window-size=1280,900")
    assert found["decoded"] == [32] * 31
    assert found["opened"] and found["closed"], "a click enlarges a picture, another click ends it"
    assert found["overflow"] == 0 and found["troubles"] == []
    assert len(found["figures"]) == 13 and min(height for _, height in found["figures"]) > 100
    assert found["blue"] == "rgb(0, 114, 178)"
    dark = visit(page, tmp_path / "profile", "--window-size=500,900", DARK)
    assert dark["overflow"] == 0 and dark["decoded"] == [32] * 31
    assert dark["blue"] == "rgb(98, 178, 234)"


@browser
def test_a_long_table_fits_a_laptop_and_a_phone(folders: Path, tmp_path: Path) -> None:
    path = folders / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": rows_of_every_kind()}))
    page = report(folders)
    page.write_text(page.read_text(encoding="utf-8").replace("<details>", "<details open>"), encoding="utf-8")
    for size in ("1280,900", "820,900", "500,900"):
        found = visit(page, tmp_path / "profile", f"--window-size={size}")
        assert found["overflow"] == 0 and found["troubles"] == [] and found["decoded"] == [32] * 8
        assert found["hidden"] == [0, 0], f"nothing of the tables has to be scrolled for at {size}"


@browser
def test_a_report_prints_on_two_pages(run: Path, tmp_path: Path) -> None:
    call(tmp_path / "profile", "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", report(run).as_uri())
    assert re.findall(rb"/Count (\d+)", (tmp_path / "page.pdf").read_bytes()) == [b"2"]
