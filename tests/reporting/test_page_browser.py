"""The report in a real browser: every picture decodes, nothing overflows a phone, only the page's own script runs."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from transfigure.reporting.page import report

from .conftest import rows_of_every_kind

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
PROBE = """<script>
addEventListener("load", async () => {
  const pictures = [...document.images].filter(image => image.getAttribute("src"));
  await Promise.all(pictures.map(image => image.decode().catch(() => 0)));
  const first = document.querySelector("button.picture");
  first.click();
  const dialog = document.querySelector("dialog");
  const opened = dialog.open && dialog.querySelector("img").src === first.querySelector("img").src;
  dialog.click();
  const found = {
    widths: pictures.map(image => image.naturalWidth), opened, closed: !dialog.open,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    figures: [...document.querySelectorAll("svg")].map(figure => figure.getBoundingClientRect().height),
    curve: getComputedStyle(document.querySelector("svg path[style*='stroke: var(--blue)']") ?? document.body).stroke,
    hidden: [...document.querySelectorAll(".wide")].map(box => box.scrollWidth - box.clientWidth),
    violations: window.violations,
  };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""
WATCH = "<script>window.violations = []; addEventListener('securitypolicyviolation', event => violations.push(event.blockedURI));</script>"


def visit(page: Path, profile: Path, *options: str) -> Any:
    """Open a copy of the page that reports on itself, and return what it says."""
    source = page.read_text(encoding="utf-8")
    source = re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", source, count=1)
    copy = page.with_name("probe.html")
    copy.write_text(source.replace("</head>", WATCH + "</head>").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=4000", "--dump-dom", *options, copy.as_uri()]
    for _ in range(4):  # the browser's time may run out before a busy machine has decoded the pictures
        dom = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()
        if found := re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL):
            break
    assert found, dom[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_every_picture_decodes_and_the_page_fits(run: Path, tmp_path: Path) -> None:
    page = report(run)
    found = visit(page, tmp_path / "profile", "--window-size=1280,900")
    assert found["widths"] == [32] * 31
    assert found["opened"] and found["closed"], "a click enlarges a picture, another click ends it"
    assert found["overflow"] == 0 and found["violations"] == []
    assert len(found["figures"]) == 13 and min(found["figures"]) > 100
    assert found["curve"] == "rgb(0, 114, 178)"
    dark = visit(page, tmp_path / "profile", "--window-size=500,900", "--blink-settings=preferredColorScheme=0")
    assert dark["overflow"] == 0 and dark["widths"] == [32] * 31
    assert dark["curve"] == "rgb(98, 178, 234)"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_long_table_fits_a_laptop_and_a_phone(folders: Path, tmp_path: Path) -> None:
    path = folders / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": rows_of_every_kind()}))
    page = report(folders)
    page.write_text(page.read_text(encoding="utf-8").replace("<details>", "<details open>"), encoding="utf-8")
    for size in ("1280,900", "820,900", "500,900"):
        found = visit(page, tmp_path / "profile", f"--window-size={size}")
        assert found["overflow"] == 0 and found["violations"] == [] and found["widths"] == [32] * 8
        assert found["hidden"] == [0, 0], f"nothing of the tables has to be scrolled for at {size}"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_policy_lets_only_our_own_script_run(run: Path, tmp_path: Path) -> None:
    page = report(run)
    source = page.read_text(encoding="utf-8")
    # Ours runs: a beforeprint opens what is folded. A foreign one in the same page does not.
    foreign = '<script>document.body.insertAdjacentHTML("beforeend", "<b id=foreign></b>")</script>'
    page.write_text(source.replace("</body>", foreign + "</body>"), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=120, check=True).stdout.decode()
    assert '<b id="foreign">' not in dom and "insertAdjacentHTML" in dom
    printed = tmp_path / "page.pdf"
    subprocess.run([*command, f"--print-to-pdf={printed}", page.as_uri()], capture_output=True, timeout=120, check=True)
    assert printed.read_bytes().startswith(b"%PDF")
