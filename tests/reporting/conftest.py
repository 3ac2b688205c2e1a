"""What the tests of the pages start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfigure.reporting import charts

from .run.example import write_folders, write_run


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """What ``transfigure evaluate --generated A --target B --out DIR`` writes."""
    return write_folders(tmp_path / "compared")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A whole run directory with small colour pictures."""
    return write_run(tmp_path / "runs" / "facades")


@pytest.fixture
def make_run() -> Callable[..., Path]:
    """``write_run`` for tests that need other pictures."""
    return write_run


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take most of the time of a page; a test about something else goes without."""
    for draw in ("curve", "histogram"):
        monkeypatch.setattr(charts, draw, lambda *_, **__: "<svg></svg>")
