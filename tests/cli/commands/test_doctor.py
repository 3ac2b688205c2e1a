"""What ``doctor`` finds here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import transfigure
from tests.cli.saying import printed
from transfigure.cli.commands import doctor


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
