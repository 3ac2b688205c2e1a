"""The state of a training in words, curves and pictures, from what its directory holds at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...data.files import write_atomically
from ...data.ownership import check_outputs
from ...errors import UserError
from ...evaluation.diagnosis import diagnose_run
from ...evaluation.schema import finite
from ...progress import duration
from ...stored import read_yaml
from ...wording import called
from ..charts import Chart
from ..formatting import plain
from ..panels import Album, PagePicture
from ..run_files import Points, Sample, channel_names, points_of, samples
from ..scores import mapping
from ..shell import fill, fragment
from . import lines
from .follow import Entry, Follower

HERE = Path(__file__).parent
EVERY = 3
"""Seconds between two looks."""
EXAMPLES, SIDE, CURVES = 4, 320, 12
"""The most fixed examples, their longest side in pixels, and the most loss terms and metrics of a kind."""
RECENT = 5
"""Logged steps that a rate is the mean of."""
QUIET_SECONDS = 300
"""A log that has been silent for so long is said to be."""
POLL = f"""
let version = document.getElementById("live").dataset.version;
async function look() {{
  try {{
    const answer = await fetch("/state.json?seen=" + version, {{cache: "no-store"}}), state = await answer.json();
    document.body.classList.remove("lost");
    if (state.html !== undefined && !document.querySelector("dialog").open) {{
      version = state.version;
      document.getElementById("live").innerHTML = state.html;
      document.title = state.title;
    }}
  }} catch {{ document.body.classList.add("lost"); }}
  setTimeout(look, {1000 * EVERY});
}}
setTimeout(look, {1000 * EVERY});
"""


@dataclass
class Watched:
    """A run that is looked at again and again; each look reads what is new.

    Args:
        run: its directory.

    Raises:
        UserError: there is no such directory.
    """

    run: Path
    log: Follower = field(init=False)
    examples: list[dict[str, Path]] = field(default_factory=list)
    drawn: dict[tuple[Path, int], PagePicture] = field(default_factory=dict)
    seen: object = None

    def __post_init__(self) -> None:
        if not self.run.is_dir():
            raise UserError(f"{self.run} is not a directory: give the one that 'transfigure train --out' names")
        self.log = Follower(self.run / "log.jsonl")

    def look(self) -> None:
        """Read what is new."""
        self.log.look()
        newest = self.log.of("preview")[-1:]
        if self.seen != newest or not self.examples:
            self.seen = newest
            found = samples(self.run / "samples")[:EXAMPLES]
            self.examples = [_latest(sample) for sample in found if sample.moments]

    @property
    def files(self) -> dict[str, Path]:
        """The pictures by the name that they have on the page."""
        return {f"picture-{at}-{side}": file for at, example in enumerate(self.examples) for side, file in example.items()}

    def picture(self, name: str) -> PagePicture | None:
        """A picture of :attr:`files`, as it is shown; None for any other name."""
        file = self.files.get(name)
        if file is None:
            return None
        try:
            key = (file, file.stat().st_mtime_ns)
        except OSError:
            key = (file, 0)
        if key not in self.drawn:
            album, side = Album(SIDE, names=self._names()), name.rpartition("-")[2]
            between = None if side == "source" else album.limits_of(self.examples[int(name.split("-")[1])].get("target"))
            picture = album.picture(file, name.replace("-", " "), between, side)
            if len(self.drawn) >= 8 * EXAMPLES:
                self.drawn.clear()
            self.drawn[key] = picture
        return self.drawn[key]

    def _names(self) -> dict[str, list[str]]:
        started = [*self.log.of("start"), *self.log.of("resume")]
        return channel_names(started[-1].get("channel_names")) if started else {}

    def state(self, live: bool) -> dict[str, Any]:
        """What the page's templates name.

        Args:
            live: pictures and the report are links to the server; else pictures are in the page, and the report is named.
        """
        try:
            found = read_yaml(self.run / "recipe.yaml", errors="replace") if (self.run / "recipe.yaml").is_file() else {}
        except (OSError, ValueError):
            found = {}
        recipe: Entry = mapping(found)
        entries = self.log.entries
        return {
            "called": self.run.resolve().name,
            "recipe": str(recipe.get("name") or ""),
            "status": self._status(),
            "facts": list(self._facts(recipe)),
            "diagnosis": diagnose_run(self.run, entries=entries) if entries else None,
            "rows": self._rows(live),
            "figures": list(self._figures()),
            "report": (self.run / "report.html").is_file(),
            "live": live,
        }

    # ---- words -------------------------------------------------------------------------------------------------------

    def _status(self) -> str:
        last = self.log.last
        if last is None:
            return "Nothing has been logged yet: the data is being read, or training has not begun."
        seen = max(entry["images"] for entry in [last, *self.log.of("step")[-1:]])
        images = f"{seen:,.0f} images"
        if last["kind"] == "end":
            return f"Training has ended after {images}."
        if last["kind"] == "health" and last.get("code") == "nan":
            return f"Training stopped by itself after {images}."
        try:
            silent = time.time() - self.log.file.stat().st_mtime
        except OSError:
            silent = 0.0
        if silent > QUIET_SECONDS:
            return f"Nothing has been logged for {duration(silent)}, after {images}: it may have been stopped."
        return f"Training: {images} seen."

    def _facts(self, recipe: Entry) -> Iterator[tuple[str, str]]:
        steps = self.log.of("step")
        if not steps:
            return
        last, training = steps[-1], mapping(recipe.get("training"))
        rates = [rate for step in steps[-RECENT:] if (rate := finite(step.get("images_per_second"))) is not None and rate > 0]
        rate = sum(rates) / len(rates) if rates else None
        ended = self.log.last is not None and self.log.last["kind"] == "end"
        epochs, epoch = finite(training.get("epochs")), finite(last.get("epoch"))
        if epoch is not None:
            budget = training.get("minutes") is not None  # which is over before the epochs are, as a rule
            yield "epoch", f"{epoch + 1:,.0f}" + (f" of {epochs:,.0f}" if epochs and not budget else "")
        if rate is not None:
            yield "speed", f"{plain(rate)} images/s"
        if (seconds := finite(last.get("seconds"))) is not None:
            yield "trained for", duration(seconds)
        if not ended and (left := self._left(training, rate, last)) is not None:
            yield "time left", f"about {duration(left)}"
        for key, name in (("g", "G"), ("d", "D")):
            if (value := finite(last.get(key))) is not None:
                yield f"loss of {name}", plain(value)

    def _left(self, training: Entry, rate: float | None, last: Entry) -> float | None:
        """Seconds to go, by the epochs or by the budget of minutes, whichever is over first."""
        starts = [*self.log.of("start"), *self.log.of("resume")]
        pairs = next((count for mark in reversed(starts) if (count := finite(mark.get("pairs"))) is not None), None)
        epochs, minutes, seconds = (finite(training.get("epochs")), finite(training.get("minutes")), finite(last.get("seconds")))
        ways = []
        if pairs and epochs and rate:
            ways.append((pairs * epochs - last["images"]) / rate)
        if minutes and seconds is not None:
            ways.append(60 * minutes - seconds)
        return max(0.0, min(ways)) if ways else None

    # ---- pictures and curves -----------------------------------------------------------------------------------------

    def _rows(self, live: bool) -> list[list[tuple[str, PagePicture]]]:
        rows = []
        for at in range(len(self.examples)):
            row = []
            for side in ("source", "generated", "target"):
                name = f"picture-{at}-{side}"
                picture = self.picture(name) or PagePicture("", 0, 0, name, "no file")
                if live and picture.uri:
                    version = next((key[1] for key, drawn in self.drawn.items() if drawn is picture), 0)
                    picture = replace(picture, uri=f"/{name}?{version}")
                row.append((side, replace(picture, alt=f"example {at}: {side}")))
            rows.append(row)
        return rows

    def _figures(self) -> Iterator[Chart]:
        steps = self.log.of("step")

        def series(key: str, inside: str | None = None, of: list[Entry] = steps) -> Points:
            return points_of(of, key, inside)

        def figure(title: str, *curves: tuple[Points, str, str], smooth: bool = True) -> Iterator[Chart]:
            present = [(points, colour, key) for points, colour, key in curves if points]
            if present:
                svg = lines.draw([(points, colour) for points, colour, _ in present], title, smooth)
                yield Chart(title, svg, "", tuple((colour, key) for _, colour, key in present if key))

        def names(inside: str, of: list[Entry]) -> list[str]:
            return list(dict.fromkeys(name for entry in of for name in mapping(entry.get(inside))))[:CURVES]

        for term in names("terms", steps):
            yield from figure(f"{called(term)}, unweighted", (series(term, "terms"), "green", ""))
        yield from figure("Generator, adversarial", (series("adversarial"), "blue", ""))
        yield from figure("Discriminator loss", (series("d"), "purple", ""))
        yield from figure("D(real) and D(generated)", (series("d_real"), "blue", "real"), (series("d_fake"), "orange", "generated"))
        previews, validations = self.log.of("preview"), self.log.of("validation")
        shares = ((series("variation", of=previews), "blue", "variation"), (series("detail", of=previews), "orange", "detail"))
        yield from figure("Examples, as a share of their targets'", *shares, smooth=False)
        for metric in names("metrics", validations):
            yield from figure(f"Validation {called(metric)}", (series(metric, "metrics", validations), "purple", ""), smooth=False)
        yield from figure("Learning rate", (series("learning_rate"), "green", ""), smooth=False)
        yield from figure("Images per second", (series("images_per_second"), "blue", ""))


def _latest(sample: Sample) -> dict[str, Path]:
    sides = {"source": sample.source, "generated": sample.moments[-1][1], "target": sample.target}
    return {side: file for side, file in sides.items() if file is not None}


def title(state: dict[str, Any]) -> str:
    """Of the page: the verdict first, since that is what a tab shows."""
    word = f"{state['diagnosis'].word} · " if state["diagnosis"] else ""
    return f"{word}{state['called']}"


def body(state: dict[str, Any]) -> str:
    """What changes on the page."""
    return fragment(HERE, "live.html", **state)


def render(state: dict[str, Any], version: str = "") -> str:
    """The whole page; a live one asks for its state every few seconds."""
    return fill(HERE, poll=POLL if state["live"] else "", tab=title(state), seen=version, **state)


def write_watch(run: Path, out: Path, overwrite: bool = False) -> Path:
    """The page of this moment as one self-contained HTML file.

    Args:
        run: the run directory.
        out: where to write.
        overwrite: replace a file that this tool did not write.

    Raises:
        UserError: there is no such directory, or the file may not be written.
    """
    watched = Watched(run)
    check_outputs([out], overwrite)
    watched.look()
    write_atomically(out, render(watched.state(live=False)).encode("utf-8", "replace"))
    return out
