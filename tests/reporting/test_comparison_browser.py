"""The comparison in a real browser: every figure and every picture is shown, nothing overflows a phone, nothing is refused or fails."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from transfigure.reporting.comparison import compare
from transfigure.studies.ablation.summary import read_ablation

from .comparing import edit, write_comparison
from .reading import change
from .test_page_browser import CHROMIUM, QUIET

WATCH = """<script>
window.troubles = [];
addEventListener("securitypolicyviolation", event => troubles.push("refused " + event.blockedURI));
addEventListener("error", event => troubles.push("error " + event.message));
console.error = (...words) => troubles.push("console " + words.join(" "));
</script>"""
PROBE = """<script>
addEventListener("load", async () => {
  const pictures = [...document.images].filter(image => image.getAttribute("src"));
  await Promise.all(pictures.map(image => image.decode().catch(() => 0)));
  const box = node => node.getBoundingClientRect();
  const first = document.querySelector("button.picture"), dialog = document.querySelector("dialog");
  first.click();
  const opened = dialog.open && dialog.querySelector("img").src === first.querySelector("img").src;
  dialog.click();
  const svgs = [...document.querySelectorAll("figure svg")];
  const found = {
    decoded: pictures.map(image => image.naturalWidth), shown: pictures.map(image => Math.min(box(image).width, box(image).height)),
    opened, closed: !dialog.open,
    figures: svgs.map(svg => [box(svg).width, box(svg).height]),
    drawn: svgs.map(svg => [...svg.querySelectorAll("path")].filter(path => box(path).width > 20).length),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    beyond: [...document.querySelectorAll("figure svg text")].filter(text => box(text).right > innerWidth || box(text).left < 0).length,
    colours: [...document.querySelectorAll("#curves .legend .key")].map(key => getComputedStyle(key, "::before").backgroundColor),
    line: getComputedStyle(document.querySelector("#curves svg path[style*='stroke: var(--orange)']")).stroke,
    table: getComputedStyle(document.querySelector(".variants tbody th")).position,
    troubles: window.troubles,
  };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


def visit(page: Path, profile: Path, *options: str) -> Any:
    """Open a copy of the page that reports on itself, and return what it says."""
    source = re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page.read_text(encoding="utf-8"), count=1)
    copy = page.with_name("probe.html")
    copy.write_text(source.replace("</head>", WATCH + "</head>").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), f"--user-data-dir={profile}"]
    for _ in range(4):  # the browser's time may run out before a busy machine has decoded the pictures
        call = [*command, "--virtual-time-budget=4000", "--dump-dom", *options, copy.as_uri()]
        dom = subprocess.run(call, capture_output=True, timeout=120, check=True).stdout.decode()
        if found := re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL):
            return json.loads(html.unescape(found[1]))
    raise AssertionError(dom[-2000:])


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_every_figure_and_picture_is_shown(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "ablation")
    page = compare(read_ablation(folder), folder)
    for options in (
        ["--window-size=1300,900"],
        ["--window-size=500,900"],
        ["--window-size=500,900", "--blink-settings=preferredColorScheme=0"],
    ):
        found = visit(page, tmp_path / "profile", *options)
        assert found["decoded"] == [32] * 20 and min(found["shown"]) > 90
        assert found["opened"] and found["closed"], "a click enlarges a picture, another click ends it"
        assert len(found["figures"]) == 21 and min(min(size) for size in found["figures"]) > 60
        assert min(found["drawn"]) >= 2, "each figure has lines in it"
        assert found["overflow"] == 0 and found["beyond"] == 0 and found["troubles"] == []
        dark = len(options) == 2
        assert found["line"] == ("rgb(245, 139, 76)" if dark else "rgb(213, 94, 0)")
        assert found["colours"][:2] == (["rgb(98, 178, 234)", "rgb(245, 139, 76)"] if dark else ["rgb(0, 114, 178)", "rgb(213, 94, 0)"])


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_long_names_and_many_variants_do_not_overflow(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "ablation")
    edit(folder, "L1", 1, state="failed", reason="no " * 200)

    def many(told: dict[str, Any]) -> None:
        named = [{**told["cells"][2], "variation": f"objective.terms.l1.weight={at}, generator.name=unet, " + "x" * 60} for at in range(9)]
        told["cells"] += named

    change(folder / "ablation.json", many)
    page = compare(read_ablation(folder), folder)
    for size in ("1300,900", "500,900"):
        found = visit(page, tmp_path / "profile", f"--window-size={size}")
        assert found["overflow"] == 0 and found["beyond"] == 0 and found["troubles"] == []
        assert found["decoded"] == [32] * 5 * 13 and min(found["shown"]) > 60


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_policy_lets_only_our_own_script_run(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "ablation")
    page = compare(read_ablation(folder), folder)
    foreign = '<script>document.body.insertAdjacentHTML("beforeend", "<b id=foreign></b>")</script>'
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", foreign + "</body>"), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=120, check=True).stdout.decode()
    assert '<b id="foreign">' not in dom and "insertAdjacentHTML" in dom
    printed = tmp_path / "page.pdf"
    subprocess.run([*command, f"--print-to-pdf={printed}", page.as_uri()], capture_output=True, timeout=120, check=True)
    assert printed.read_bytes().startswith(b"%PDF")
