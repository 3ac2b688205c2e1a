"""``make demo`` at its full size; in a file of its own, so that other tests need not wait for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from transfigure.data import images


@pytest.mark.slow
def test_the_demo_learns_to_follow_its_input(tmp_path: Path) -> None:
    """The demo as it is shipped, without a terminal: better than both bounds, and each picture is a picture of its own source."""
    result = subprocess.run(
        [sys.executable, "-m", "transfigure", "demo", "--out", "transfigure-demo"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1800,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # with more, threads that wait for each other starve beside the other tests
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr and "Traceback" not in result.stderr
    out = tmp_path / "transfigure-demo"
    rows = {row["metric"]: row for row in json.loads((out / "evaluation" / "evaluation.json").read_text())["rows"]}
    for metric in ("ssim", "ms_ssim"):
        bounds = rows[metric]["bounds"]
        assert rows[metric]["value"] > max(bounds["source copied"], bounds["mean training target"]), rows[metric]

    generated, targets = _pictures(out / "demo" / "generated"), _pictures(out / "demo" / "target")
    assert len(generated) == len(targets) == 24
    alike = np.array([[_correlation(one, other) for other in targets] for one in generated])
    own = np.diag(alike)
    assert (own == alike.max(axis=1)).mean() > 0.75, "a generated picture is most like the target of its own source"
    among = np.array([[_correlation(one, other) for other in generated] for one in generated])
    assert np.median(among[~np.eye(24, dtype=bool)]) < np.median(own), "and they differ from one another"


def _pictures(folder: Path) -> list[NDArray[np.float64]]:
    return [images.read(file).astype(np.float64) for file in sorted(folder.iterdir())]


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
