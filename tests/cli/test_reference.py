"""The reference page says what the catalog says."""

from __future__ import annotations

from pathlib import Path

from transfigure import registry
from transfigure.cli.inventory import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "names.md"


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run  transfigure list --markdown > docs/reference/names.md"


def test_it_names_everything() -> None:
    page = reference()
    for kind, name in registry.catalog():
        assert f"### `{name}`" in page, (kind, name)
