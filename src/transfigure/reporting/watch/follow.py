"""A log that grows, read as it grows: only what was appended since the last look, and of many steps only some."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...evaluation.schema import finite
from ...integrity import open_file
from ...stored import LONGEST_LINE

Entry = dict[str, Any]
Logged = tuple[int, Entry]
"""An entry, and which line of those that were read it was."""

POINTS = 500
"""The most steps, validations and previews that are kept of each; a curve has no more."""
PIECE = 1 << 20
_STEP = b'{"kind":"step"'
_MARK = 64
"""Bytes before the place that was read up to; if they are others now, the log was cut back and written anew meanwhile."""


@dataclass
class Thinned:
    """Entries of one kind: one in ``every`` of them, and the last."""

    every: int = 1
    count: int = 0
    kept: list[Logged] = field(default_factory=list)
    last: Logged | None = None

    def wants(self) -> bool:
        """Count one more; whether it is one of those that are kept."""
        self.count += 1
        return (self.count - 1) % self.every == 0

    def keep(self, logged: Logged) -> None:
        """Keep one; when there are too many, every other is dropped."""
        self.kept.append(logged)
        if len(self.kept) >= POINTS:
            self.every *= 2
            self.kept = self.kept[::2]

    def cut(self, images: float) -> None:
        """Forget what was logged past so many images."""
        self.kept = [logged for logged in self.kept if logged[1]["images"] <= images]
        self.last = self.kept[-1] if self.kept else None

    def all(self) -> list[Logged]:
        """Those that are kept, and the last."""
        return [*self.kept, self.last] if self.last is not None and self.last not in self.kept[-1:] else list(self.kept)


class Follower:
    """``log.jsonl`` of a run that may be going on.

    Args:
        file: the log; it need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._reset()

    def _reset(self) -> None:
        self._at, self._mark, self._rest = 0, b"", b""
        self._thinned = {"step": Thinned(), "validation": Thinned(), "preview": Thinned()}
        self._others: list[Logged] = []
        self._number = 0
        self._pending: bytes | None = None  # the newest step, when it is not one of those that are kept
        self.last: Entry | None = None

    def look(self) -> bool:
        """Read what was appended; whether there was anything new."""
        try:
            with open_file(self.file) as stream:
                size = os.fstat(stream.fileno()).st_size
                if self._was_rewritten(stream, size):
                    self._reset()
                before = self._at
                stream.seek(self._at)
                while piece := stream.read(PIECE):
                    self._at += len(piece)
                    self._mark = (self._mark + piece)[-_MARK:]
                    self._take(piece)
        except FileNotFoundError:
            had = self._at > 0
            self._reset()
            return had
        self._newest_step()
        return self._at != before

    def _was_rewritten(self, stream: Any, size: int) -> bool:
        if size < self._at:
            return True
        stream.seek(self._at - len(self._mark))
        return bool(stream.read(len(self._mark)) != self._mark)

    def _take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(_STEP) and not self._thinned["step"].wants():
                self._pending = line
                continue
            if (entry := _entry(line)) is not None:
                self._add(entry)
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""

    def _add(self, entry: Entry) -> None:
        kind = entry["kind"]
        if kind != "step":
            self._newest_step()
        self._number += 1
        logged = self._number, entry
        if kind in ("start", "resume"):  # what was logged past it happened to another network
            for every in self._thinned.values():
                every.cut(entry["images"])
            self._others = [old for old in self._others if old[1]["images"] <= entry["images"]]
        self.last = entry
        if kind == "step":
            self._pending = None
        if (thinned := self._thinned.get(kind)) is None:
            self._others = [*self._others, logged][-POINTS:]
            return
        thinned.last = logged
        if kind == "step" or thinned.wants():
            thinned.keep(logged)

    def _newest_step(self) -> None:
        entry, self._pending = _entry(self._pending or b""), None
        if entry is not None:
            self._number += 1
            self._thinned["step"].last = self._number, entry
            self.last = entry

    def of(self, kind: str) -> list[Entry]:
        """The entries of a kind, the oldest first."""
        thinned = self._thinned.get(kind)
        return [entry for _, entry in (self._others if thinned is None else thinned.all()) if entry["kind"] == kind]

    @property
    def entries(self) -> list[Entry]:
        """All that are kept, in the order they were logged; so a diagnosis is that of the whole log."""
        found = [logged for thinned in self._thinned.values() for logged in thinned.all()] + self._others
        return [entry for _, entry in sorted(found, key=lambda logged: logged[0])]


def _entry(line: bytes) -> Entry | None:
    if not line.strip() or len(line) > LONGEST_LINE:
        return None
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return None
    images = finite(value.get("images"))
    return value if images is not None and 0 <= images < 1e15 else None
