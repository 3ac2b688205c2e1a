"""The reference pages say what the catalog and the parsers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfigure import registry
from transfigure.cli.commands import load, names
from transfigure.cli.inventory import reference
from transfigure.cli.parser import command_parser
from transfigure.cli.reference import command_reference

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_the_page_of_names_is_up_to_date() -> None:
    page = (PAGES / "names.md").read_text(encoding="utf-8")
    assert page == reference(), "run  transfigure list --markdown > docs/reference/names.md"


def test_it_names_everything() -> None:
    page = reference()
    for kind, name in registry.catalog():
        assert f"### `{name}`" in page, (kind, name)


def test_the_page_of_commands_is_up_to_date() -> None:
    page = (PAGES / "cli.md").read_text(encoding="utf-8")
    assert page == command_reference(), "run  transfigure list command --markdown > docs/reference/cli.md"


@pytest.mark.parametrize("name", names())
def test_it_explains_every_argument_of_every_command(name: str) -> None:
    (section,) = (part for part in command_reference().split("\n## ") if part.startswith(f"`{name}`\n"))
    assert f"\ntransfigure {name}" in section
    for action in command_parser(load(name))._actions:
        label = ", ".join(action.option_strings) or action.metavar
        assert f"\n| `{label}" in section or action.dest == "help", label


def test_defaults_are_shown() -> None:
    page = command_reference()
    assert "| `--images N` | at most so many of each domain (default: 500) |" in page
    assert "| `--features {inception,random}` | for FID, KID and PRDC, or for random_frechet (default: inception) |" in page
