"""What ``list`` names."""

from __future__ import annotations

import json

import pytest

from tests.cli.saying import printed
from transfigure import registry
from transfigure.cli.inventory import inventory
from transfigure.recipe import shipped


def test_list_shows_every_name_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "list")
    letters = "".join(page.split())  # a line may end anywhere
    for (_, name), entry in registry.catalog().items():
        assert "".join(f"{name}{entry.summary}".split()) in letters
    assert set(shipped()) <= set(page.split())


def test_list_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "list", "--json"))
    assert set(found) == {"recipe", "model", "grid", "published", "command", *(kind for kind, _ in registry.catalog())}
    assert found["generator"]["unet"]["options"]["width"] == 64
    assert all(item["summary"] for items in found.values() for item in items.values())
    assert set(found["recipe"]) == set(shipped())
    assert json.loads(printed(capsys, "list", "loss", "--json")) == {"loss": found["loss"]}


def test_list_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "list", "metric")
    assert page.startswith("metric\n") and "unet" not in page
    assert inventory()["metric"].keys() <= set(page.split())
