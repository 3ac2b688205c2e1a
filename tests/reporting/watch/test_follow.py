"""A log that is read while it grows: what was appended once, what was undone not at all, and no more than a curve needs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from transfigure.evaluation.diagnosis import diagnose, diagnose_run, read_run_log
from transfigure.reporting.watch.follow import POINTS, Follower

from ..run.example import log_lines


def line(kind: str, images: int, **more: Any) -> str:
    return json.dumps({"kind": kind, "images": images, **more}, separators=(",", ":")) + "\n"


def append(file: Path, *lines: str) -> None:
    with file.open("a") as stream:
        stream.writelines(lines)


def test_only_what_was_appended_is_read_and_half_a_line_waits(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "log.jsonl"
    log = Follower(file)
    assert log.look() is False and log.entries == []
    append(file, line("start", 0), line("step", 50, g=1.0), '{"kind":"step","im')
    assert log.look() and [entry["images"] for entry in log.of("step")] == [50]
    taken: list[int] = []
    take = log._take

    def counted(piece: bytes) -> None:
        taken.append(len(piece))
        take(piece)

    monkeypatch.setattr(log, "_take", counted)
    append(file, 'ages":100,"g":2.0}\n')
    assert log.look() and taken == [len('ages":100,"g":2.0}\n')]
    assert [(entry["images"], entry["g"]) for entry in log.of("step")] == [(50, 1.0), (100, 2.0)]
    assert log.look() is False
    append(file, "damaged\n", "[1]\n", line("step", -3), line("end", 100))
    log.look()
    assert log.last is not None and log.last["kind"] == "end" and len(log.entries) == 4


def test_a_long_log_keeps_few_steps_and_always_the_newest(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    log = Follower(file)
    append(file, line("start", 0))
    for part in range(8):
        append(
            file, *(line("step", 1000 * part + at, g=float(at)) for at in range(1, 1001)), line("health", 1000 * (part + 1), code="d_wins")
        )
        log.look()
        steps = log.of("step")
        assert len(steps) <= POINTS and steps[-1]["images"] == 1000 * (part + 1) and steps[0]["images"] == 1
        assert log.last is not None and log.last["kind"] == "health"
        append(file, line("step", 1000 * (part + 1) + 1, g=0.0))
        log.look()
        assert log.last == {"kind": "step", "images": 1000 * (part + 1) + 1, "g": 0.0}
    images = [entry["images"] for entry in log.of("step")]
    assert images == sorted(images)
    gaps = {after - before for before, after in pairwise(images)}
    assert max(gaps) <= 34, "even"
    assert len(log.of("health")) == 8


def test_what_a_resume_undoes_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    log = Follower(file)
    append(file, line("start", 0), *(line("step", at) for at in (50, 100, 150)), line("health", 150, code="nan"))
    log.look()
    append(file, line("resume", 100), line("step", 150, g=7.0))
    log.look()
    assert [entry["images"] for entry in log.of("step")] == [50, 100, 150] and log.of("health") == []
    assert log.entries == read_run_log(file).entries


def test_a_log_that_was_cut_and_grew_again_between_two_looks_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    log = Follower(file)
    file.write_text(line("start", 0) + "".join(line("step", at, g=1.0) for at in range(50, 1000, 50)))
    log.look()
    file.write_text(line("start", 0) + "".join(line("step", at, g=2.0) for at in range(50, 2000, 50)))
    log.look()
    assert {entry["g"] for entry in log.of("step")} == {2.0}
    file.unlink()
    assert log.look() and log.entries == []


def test_the_diagnosis_is_that_of_the_whole_log(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    for lines in (log_lines(40_000, 50), log_lines(600, 50)):
        file.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in lines))
        log = Follower(file)
        log.look()
        assert diagnose_run(tmp_path, entries=log.entries) == diagnose_run(tmp_path) == diagnose(read_run_log(file).entries)
