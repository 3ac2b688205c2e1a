"""What ``doctor`` finds here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import transfigure
from tests.cli.saying import printed
from transfigure.cli.commands import doctor
from transfigure.data.open import geometry_of
from transfigure.data.prepared import PreparedStore, cache_folder
from transfigure.recipe import Data


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "doctor", "--json"))
    assert found["environment"]["transfigure"] == transfigure.__version__
    assert "cpu" in found["devices"]
    assert all(found["packages"].values()), "every base package is installed here"
    for name, item in found["optional"].items():
        assert (item["installed"] is None) == any(
            f"transfigure[{item['extra']}]" in line and item["for"] in line for line in found["advice"]
        )
        assert name and item["for"]
    assert len({*found["advice"]}) == len(found["advice"])
    page = printed(capsys, "doctor")
    assert all(name in page for name in (*found["packages"], *found["optional"]))


def test_it_looks_for_what_the_project_requires() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in project["dependencies"]}
    assert set(doctor.examine()["packages"]) == names
    assert {extra for extra, _ in doctor.FEATURES.values()} <= set(project["optional-dependencies"])


def test_the_cache_is_shown_and_how_to_empty_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path))
    page = printed(capsys, "doctor")
    assert f"cache        0 MiB of at most 10 GiB of prepared pairs in {tmp_path / 'data'}" in page
    assert "to empty it" not in page
    section = Data(kind="side_by_side", path="/photos/x", load_size=8, crop_size=8)
    folder = cache_folder(section, geometry_of(section))
    assert folder is not None
    pixels = np.zeros((640, 819, 1), np.uint8)  # half a MiB
    assert PreparedStore(folder, 2**22).put(bytes(16), pixels, pixels)
    (kept,) = json.loads(printed(capsys, "doctor", "--json"))["cache"]["data"]
    assert (kept["data"], kept["folder"]) == (["/photos/x"], str(folder))
    page = printed(capsys, "doctor")
    assert re.search(r"1 MiB +last used 20\d\d-\d\d-\d\d  /photos/x\n +to empty it, remove that folder", page)
