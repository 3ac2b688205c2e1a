"""What a package's files import, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import transfigure

PACKAGE = Path(transfigure.__file__).parent


def imports(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Every module of the package, or outside it, that a file imports, anywhere in its text, as ``(line, dotted path)``.

    A module of the package is written ``.data.images``, one from elsewhere ``torch.nn``. ``from x import y`` gives ``x.y``.
    """
    yield from _imports(file.read_text(encoding="utf-8"), file.relative_to(root).parent.parts, root.name)


@cache
def _imports(text: str, package: tuple[str, ...], root: str) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, _ours(alias.name, root)) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level:
                    base = package[: len(package) - (node.level - 1)]
                    found.append((node.lineno, "." + ".".join([*base, *([node.module] if node.module else []), alias.name])))
                else:
                    found.append((node.lineno, _ours(f"{node.module}.{alias.name}", root)))
    return found


def _ours(path: str, package: str) -> str:
    if path == package:
        return ".__init__"
    return path.removeprefix(package) if path.startswith(f"{package}.") else path
