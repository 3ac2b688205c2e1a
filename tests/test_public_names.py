"""The names of ``import transfigure``."""

from __future__ import annotations

import pytest

import transfigure
from transfigure.recipe import Recipe


def test_the_public_names() -> None:
    assert dir(transfigure) == sorted(transfigure.__all__) == ["Recipe", "Translator", "__version__", "evaluate", "train"]
    assert transfigure.Recipe is Recipe
    assert all(callable(getattr(transfigure, name)) for name in ("Translator", "evaluate", "train"))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        transfigure.nothing  # noqa: B018
