"""Pages in a real browser: what a page says of itself when headless Chromium has opened it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
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
  const pictures = [...document.images].filter(image => image.getAttribute("src") && !image.closest(".moving"));
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
    for budget in (4000, 8000, 16000, 32000):  # the browser's time may run out before a busy machine has decoded the pictures
        dom = call(profile, f"--virtual-time-budget={budget}", "--dump-dom", *options)
        if found := re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL):
            return json.loads(html.unescape(found[1]))
    raise AssertionError(dom[-2000:])


def visit(page: Path, profile: Path, *options: str) -> Any:
    """Open a copy of the page that reports on itself, and return what it says."""
    source = re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page.read_text(encoding="utf-8"), count=1)
    copy = page.with_name("probe.html")
    copy.write_text(source.replace("</head>", WATCH + "</head>").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    return reported(profile, *options, copy.as_uri())


class Chromium:
    """A browser that is driven: real input events, network conditions and files, by the DevTools protocol over a pair of pipes.

    Args:
        profile: a folder of its own.
        options: of the command line, without the dashes.

    Attributes:
        events: what the page has told since :meth:`open`: messages of the protocol that answer no call.
    """

    def __init__(self, profile: Path, *options: str) -> None:
        (reading, self._to), (self._from, writing) = os.pipe(), os.pipe()
        flags = [f"--{name}" for name in (*QUIET, "headless", "no-sandbox", "remote-debugging-pipe", *options)]
        command = [str(CHROMIUM), *flags, f"--user-data-dir={profile}", "about:blank"]
        plumb = [sys.executable, "-S", "-c", _PLUMB, str(reading), str(writing), *command]  # it must find its pipes at 3 and 4
        self._process = subprocess.Popen(plumb, pass_fds=(reading, writing), stderr=subprocess.DEVNULL)
        os.close(reading)
        os.close(writing)
        self._rest, self._count, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def open(self, url: str, width: int = 1280, height: int = 800, *, dark: bool = False, phone: bool = False, script: str = "") -> None:
        """Open a page in a tab of its own (the one before is closed), in a window of this size.

        Args:
            url: of the page.
            width: of the window.
            height: of the window.
            dark: whether its user prefers dark pages.
            phone: with fingers in place of a mouse, and two pixels of the screen for one of the page.
            script: runs before any of the page's own.
        """
        if self._session:
            self.call("Page.close")
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.events.clear()
        self.call("Page.navigate", url=url)

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and wait for its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._count:
            self.events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (more := os.read(self._from, 1 << 20)):
                raise AssertionError("the browser has gone")
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript, or the promise that it is, comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> Any:
        """Wait until an expression holds, and return what it is then; True for an element."""
        end = time.monotonic() + seconds
        while not (found := self.value(f"(found => found instanceof Element || found)({expression})")):
            assert time.monotonic() < end, f"{expression} did not become true in {seconds} s"
            time.sleep(0.02)
        return found

    def drag(self, *points: tuple[float, float], shift: bool = False) -> None:
        """Press the mouse at the first of these points of the window, move it along the others, let go at the last."""
        for kind, (x, y) in (("mousePressed", points[0]), *(("mouseMoved", point) for point in points[1:]), ("mouseReleased", points[-1])):
            held = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1, "modifiers": 8 * shift}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def swipe(self, *points: tuple[float, float]) -> None:
        """A finger from the first of these points along the others."""
        for kind, point in (("touchStart", points[0]), *(("touchMove", point) for point in points[1:])):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": point[0], "y": point[1]}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, *, control: bool = False, shift: bool = False) -> None:
        """Press a key, and let go."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=2 * control + 8 * shift)

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an input of that type."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def screenshot(self, file: Path) -> None:
        """Write what the window shows as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def troubles(self) -> list[str]:
        """What went wrong on the page: errors and warnings of scripts, of the console, of its security policy."""
        self.value("1")  # what has happened until now has been told then
        found = []
        for event in self.events:
            told = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(str(told["args"]))
            elif event["method"] == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
        return found

    def requested(self) -> list[str]:
        """The address of every request of the page."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._to)
        os.close(self._from)


_PLUMB = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3])
os.dup2(reading, 3), os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
