"""How the program is ended by signals, and how it starts others."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.runs import tiny_recipe
from transfigure.cli import main
from transfigure.cli.commands import Command, names
from transfigure.cli.parser import Parser
from transfigure.data import files, images
from transfigure.data.files import write_atomically
from transfigure.data.pairs import Record
from transfigure.errors import Interrupted
from transfigure.processes import Stopped, StopRequest, child_command, isolated_children, stopped_by_signals
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train

HANGUP = getattr(signal, "SIGHUP", None)
ENDINGS = [signal.SIGTERM, *([HANGUP] if HANGUP else [])]


@pytest.fixture(autouse=True)
def _heard() -> Any:
    """The tests may themselves run under ``nohup``."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("verb", names())
def test_every_verb_is_ended_with_a_sentence(
    verb: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def run(self: Command, options: argparse.Namespace, overrides: dict[str, Any]) -> int:
        try:
            signal.raise_signal(number)
            done.append("went on")
        except Exception:
            done.append("took it for a failure")
        finally:
            done.append("cleaned up")
        return 0

    monkeypatch.setattr(Parser, "read", lambda self, words: argparse.Namespace(help=False))
    monkeypatch.setattr(Command, "run", run)
    assert main(verb.split()) == 128 + number
    assert done == ["cleaned up"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"transfigure: stopped by {number.name}: what is written is whole, the rest is not there\n"
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.skipif(HANGUP is None, reason="there is no SIGHUP")
def test_nohup_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HANGUP is not None
    signal.signal(HANGUP, signal.SIG_IGN)
    with stopped_by_signals(), StopRequest() as stop:
        signal.raise_signal(HANGUP)
        assert stop.signal is None and signal.getsignal(HANGUP) is signal.SIG_IGN


def test_a_signal_that_comes_twice_does_not_break_into_the_cleaning_up() -> None:
    cleaned = False
    with pytest.raises(Stopped), stopped_by_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned = True
    assert cleaned


def test_other_threads_change_no_handlers() -> None:
    seen: list[Any] = []

    def work() -> None:
        with stopped_by_signals(), StopRequest():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_second_ctrl_c_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with StopRequest("stopping ...") as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # no hurry
        assert stop.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == "stopping ...\n"


@pytest.mark.parametrize("number", ENDINGS)
def test_training_saves_its_state_first(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Pix2PixStep.training_step

    def interrupted(self: Any, *given: Any, **named: Any) -> Any:
        signal.raise_signal(number)
        return update(self, *given, **named)

    monkeypatch.setattr(Pix2PixStep, "training_step", interrupted)
    with pytest.raises(Interrupted, match=r"the state is saved.*--resume") as caught:
        train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 128 + number
    assert (tmp_path / "run" / "checkpoints" / "last.pt").is_file()


def test_a_file_being_written_is_not_left_half_done(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("old")

    def half(stream: Any) -> None:
        stream.write(b"half of the ne")
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped), stopped_by_signals():
        write_atomically(tmp_path / "model", half)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_text() == "old"


def test_sigterm_while_the_data_is_read_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        images.write(tmp_path / "data" / "train" / f"{number}.png", np.zeros((32, 64, 3), np.uint8))
    examine = Record.examine

    def interrupted(*given: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return examine(*given, **named)

    monkeypatch.setattr(Record, "examine", interrupted)
    flags = ["--training.epochs", "1", "--data.crop_size", "32", "--data.load_size", "32"]
    assert main(["train", "pix2pix_small", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *flags]) == 143
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in capsys.readouterr().err


# ---- children ---------------------------------------------------------------------------------------------------------------


def child(tmp_path: Path, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    with isolated_children():
        isolated = {"PYTHONSAFEPATH": os.environ["PYTHONSAFEPATH"]}
    command = child_command(module, *arguments)
    return subprocess.run(command, cwd=tmp_path, env=kept | isolated | environment, capture_output=True, text=True, timeout=60, check=False)


ECHO = "import sys, json, transfigure\ndef main(arguments):\n    print(*arguments, transfigure.__file__, json.__file__)\n    return 7\n"


def test_a_child_has_this_package_and_nothing_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the current folder ran')")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "echo_of_a_child.py").write_text(ECHO)
    done = child(tmp_path, "echo_of_a_child", "a b", "c", PYTHONPATH=str(tmp_path / "own"))
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(f"a b c {files.__file__.removesuffix('data/files.py')}__init__.py ")
    assert "echo_of_a_child" not in done.stderr and str(tmp_path) not in done.stdout


def test_isolation_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with isolated_children():
        with isolated_children():
            pass
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
    assert sys.executable == child_command("x")[0]
