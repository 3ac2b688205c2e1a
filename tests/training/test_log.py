"""The log of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from transfigure.errors import RunFailure
from transfigure.training import log as log_module
from transfigure.training.log import RunLog


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.write("step", 1, g=1.5)
    size = log.size()
    log.write("step", 2, g=float("nan"), terms={"l1": float("inf")})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"kind": "step", "images": 1, "g": 1.5}, {"kind": "step", "images": 2, "g": None, "terms": {"l1": None}}]
    again = RunLog(tmp_path / "log.jsonl", keep=size)
    again.write("resume", 1)
    again.close()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert kinds == ["step", "resume"]


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_a_log_that_a_backup_shares_is_cut_back_in_its_run_alone(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"kept\nlogged after the checkpoint\n")
    os.link(tmp_path / "log.jsonl", tmp_path / "backup")
    log = RunLog(tmp_path / "log.jsonl", keep=5)
    log.write("step", 1)
    log.close()
    assert (tmp_path / "backup").read_bytes() == b"kept\nlogged after the checkpoint\n"
    assert (tmp_path / "log.jsonl").read_bytes().startswith(b'kept\n{"kind":"step"')


def test_a_log_on_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(log_module, "open_to_write", lambda file, mode: Path("/dev/full").open(mode))  # noqa: SIM115
    log = RunLog(tmp_path / "log.jsonl")
    with pytest.raises(RunFailure, match="No space left"):
        log.write("step", 1)
    log.close()  # what could not be written is tried once more; that must not hide the sentence
