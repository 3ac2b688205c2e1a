"""Pages in a real browser: what a page says of itself when headless Chromium has opened it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
DARK = "--blink-settings=preferredColorScheme=0"
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
  const box = node => node.getBoundingClientRect(), all = selector => [...document.querySelectorAll(selector)];
  const line = name => document.querySelector(`figure svg path[style*='stroke: var(--${name})']`) ?? document.body;
  const stroke = name => getComputedStyle(line(name)).stroke;
  const first = document.querySelector("button.picture"), dialog = document.querySelector("dialog");
  first?.click();
  const opened = dialog.open && dialog.querySelector("img").src === first?.querySelector("img").src;
  dialog.click();
  const found = {
    decoded: pictures.map(image => image.naturalWidth), shown: pictures.map(image => Math.min(box(image).width, box(image).height)),
    opened, closed: !dialog.open,
    figures: all("figure svg").map(svg => [box(svg).width, box(svg).height]),
    drawn: all("figure svg").map(svg => [...svg.querySelectorAll("path")].filter(path => box(path).width > 20).length),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    beyond: all("figure svg text").filter(text => box(text).right > innerWidth || box(text).left < 0).length,
    colours: all("#curves .legend .key").map(key => getComputedStyle(key, "::before").backgroundColor),
    blue: stroke("blue"), orange: stroke("orange"),
    targets: all(".sheet figure.last").map(node => innerWidth - box(node).right),
    hidden: all(".wide").map(box => box.scrollWidth - box.clientWidth),
    troubles: window.troubles,
  };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


def browser(test: Any) -> Any:
    """Mark a test that opens a page in Chromium; it is skipped where there is none."""
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")(test))


def call(profile: Path, *options: str) -> str:
    """Run Chromium headless with these options; what it wrote to stdout."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), f"--user-data-dir={profile}", *options]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()


def reported(profile: Path, *options: str) -> Any:
    """What a page that reports on itself in ``<pre id="found">`` says."""
    dom = ""
    for _ in range(4):  # the browser's time may run out before a busy machine has decoded the pictures
        dom = call(profile, "--virtual-time-budget=4000", "--dump-dom", *options)
        if found := re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL):
            return json.loads(html.unescape(found[1]))
    raise AssertionError(dom[-2000:])


def visit(page: Path, profile: Path, *options: str) -> Any:
    """Open a copy of the page that reports on itself, and return what it says."""
    source = re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page.read_text(encoding="utf-8"), count=1)
    copy = page.with_name("probe.html")
    copy.write_text(source.replace("</head>", WATCH + "</head>").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    return reported(profile, *options, copy.as_uri())
