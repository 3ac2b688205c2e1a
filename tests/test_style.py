"""The style that can be checked without running anything: short signatures, names used once, and no circle of imports."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import PACKAGE, imports

MOST_PARAMETERS = 8
"""Of a function that is not registered; more of them are a small class of options."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_registered(node: ast.AST) -> bool:
    """Whether ``@register(...)`` stands above a class or a function: its parameters are keys of a recipe and flags."""
    decorators = node.decorator_list if isinstance(node, Function | ast.ClassDef) else []
    calls = [decorator.func for decorator in decorators if isinstance(decorator, ast.Call)]
    return any((call.id if isinstance(call, ast.Name) else getattr(call, "attr", "")) == "register" for call in calls)


def long_signatures(file: Path) -> Iterator[str]:
    """``function (line): parameters`` of those with too many, ``self`` and ``cls`` not counted."""

    def walk(node: ast.AST, exempt: bool = False) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function) and not is_registered(child):
                given = [argument.arg for argument in (*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs)]
                count = len([name for name in given if name not in ("self", "cls")])
                if count > MOST_PARAMETERS and not (exempt and child.name == "__init__"):
                    yield f"{child.name} ({file.name}:{child.lineno}): {count}"
            yield from walk(child, is_registered(child))

    yield from walk(ast.parse(file.read_text(encoding="utf-8")))


def classes_by_name(root: Path) -> dict[str, list[str]]:
    """Every class of a package: where a class of its name stands."""
    found = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(file.relative_to(root).as_posix())
    return found


def circles(root: Path) -> list[list[str]]:
    """Modules that import each other, at once or through others, wherever in their text the import stands."""
    modules = {".".join(["", *file.relative_to(root).with_suffix("").parts]).removesuffix(".__init__"): file for file in root.rglob("*.py")}
    needs = {name: {target for _, path in imports(file, root) if (target := _module(path, modules))} for name, file in modules.items()}
    reached: dict[str, set[str]] = {}
    for start in modules:
        seen: set[str] = set()
        left = list(needs[start])
        while left:
            module = left.pop()
            if module not in seen:
                seen.add(module)
                left += needs[module]
        reached[start] = seen
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in modules if name in reached[name]}
    return sorted(sorted(circle) for circle in found)


def _module(path: str, modules: dict[str, Path]) -> str | None:
    """The module that an import's dotted path is or lies in; the package itself, whose names are lazy, is none."""
    while path and path not in modules:
        path = path.rpartition(".")[0]
    return path or None


def test_signatures_are_short() -> None:
    assert [fault for file in sorted(PACKAGE.rglob("*.py")) for fault in long_signatures(file)] == []


def test_a_class_name_is_used_once() -> None:
    assert {name: places for name, places in classes_by_name(PACKAGE).items() if len(places) > 1} == {}


def test_no_imports_in_a_circle() -> None:
    assert circles(PACKAGE) == []


LONG = "a, b, c, d, e, f, g, h, i"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (f"def f({LONG}): ...", ["f (file.py:1): 9"]),
        (f"def f({LONG[:-3]}, *more, **named): ...", []),
        (f"def f(a, /, b, *, {LONG[6:]}): ...", ["f (file.py:1): 9"]),
        (f"class C:\n    def __init__(self, {LONG}): ...", ["__init__ (file.py:2): 9"]),
        (f"class C:\n    async def f(self, {LONG[:-3]}): ...", []),
        (f"@register('loss', 'f')\ndef f({LONG}): ...", []),
        (f"@transfigure.register('loss', 'f')\ndef f({LONG}): ...", []),
        (f"@register('loss', 'f')\nclass C:\n    def __init__(self, {LONG}): ...", []),
        (f"@register('loss', 'f')\nclass C:\n    def f(self, {LONG}): ...", ["f (file.py:3): 9"]),
        (f"@register('loss', 'f')\ndef f():\n    def inner({LONG}): ...", ["inner (file.py:3): 9"]),
        (f"@cache\ndef f({LONG}): ...", ["f (file.py:2): 9"]),
    ],
)
def test_every_long_signature_is_found(tmp_path: Path, text: str, faults: list[str]) -> None:
    (tmp_path / "file.py").write_text(text)
    assert list(long_signatures(tmp_path / "file.py")) == faults


def test_twins_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class Twin: ...\nclass One: ...")
    (tmp_path / "b.py").write_text("def f():\n    class Twin: ...")
    assert classes_by_name(tmp_path) == {"Twin": ["a.py", "b.py"], "One": ["a.py"]}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a.py": "from .b import x", "b.py": ""}, []),
        ({"a.py": "from .b import x", "b.py": "def f():\n    from .a import y"}, [[".a", ".b"]]),
        ({"a.py": "from . import b", "b.py": "if TYPE_CHECKING:\n    from .c import y", "c.py": "from .a import z"}, [[".a", ".b", ".c"]]),
        ({"p/__init__.py": "from .a import x", "p/a.py": "from ..q import y", "q.py": "from .p import x"}, [[".p", ".p.a", ".q"]]),
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str], found: list[list[str]]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert circles(tmp_path) == found
