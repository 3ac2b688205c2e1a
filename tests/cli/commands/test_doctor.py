"""What ``doctor`` finds here."""

from __future__ import annotations

import json

import pytest

import transfigure
from tests.cli.saying import printed


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
    page = printed(capsys, "doctor")
    assert all(name in page for name in (*found["packages"], *found["optional"]))
