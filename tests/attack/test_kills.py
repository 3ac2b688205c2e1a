"""Real trainings, an ablation and a folder's translation, killed at random moments and within their writes; what is left in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attack.kills import MODES, TASKS, timeless

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_dozen_kills(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    command = [sys.executable, "-m", "tests.attack", "--count", "0", "--kills", "12", "--json", str(tmp_path / "figures.json"), "--quiet"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    found = json.loads((tmp_path / "figures.json").read_text())["kills"]
    assert found["faulty"] == [], done.stderr
    assert found["kills"] >= 12 and sum(found["how"].values()) == found["kills"]
    assert found["by task"].keys() == TASKS.keys() and found["how"].keys() <= set(MODES)


def test_only_clocks_are_left_out() -> None:
    entry = {"kind": "step", "seconds": 3, "images_per_second": 7.0, "terms": {"l1": 0.5, "seconds": 1}, "list": [{"seconds": 1, "a": 2}]}
    assert timeless(entry) == {"kind": "step", "terms": {"l1": 0.5}, "list": [{"a": 2}]}
