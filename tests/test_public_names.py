"""The names of ``import transfigure``."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import transfigure
from tests.cli.saying import run_python

NAMES = [
    *("Batch", "Discriminator", "Generator", "Metric", "Recipe", "Translator", "__version__"),
    *("ablate", "analyze", "evaluate", "register", "train"),
]


def test_the_public_names() -> None:
    assert dir(transfigure) == transfigure.__all__ == NAMES
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        transfigure.nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from transfigure import nothing", {})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_each_is_what_its_module_defines_and_a_type_checker_reads(name: str) -> None:
    """The imports that only a type checker sees name the same modules as those that happen."""
    tree = ast.parse(Path(transfigure.__file__).read_text(encoding="utf-8"))
    seen = {alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    thing = getattr(transfigure, name)
    assert thing is getattr(importlib.import_module(f"transfigure.{seen[name]}"), name)
    assert (thing.__name__, thing.__doc__ is None) == (name, False)


def test_importing_the_package_imports_nothing_heavy() -> None:
    result = run_python(
        """
        import sys
        import transfigure
        assert not {"torch", "numpy", "PIL", "yaml", "pydantic"} & set(sys.modules)
        from transfigure import register
        assert not {"torch", "numpy", "PIL"} & set(sys.modules)
        from transfigure import *
        assert "torch" in sys.modules and Generator is transfigure.Generator
        """
    )
    assert (result.returncode, result.stderr) == (0, "")
