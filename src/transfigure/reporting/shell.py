"""What every page shares: the frame around it, the script that enlarges a picture, and the policy that forbids anything else.

A page is a folder beside this file with a ``page.html`` that extends ``shell.html``, a ``page.css`` for what only this page shows, and
the modules that fill them; it is found by its ``page.html``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._version import __version__
from ..errors import printable
from . import charts
from .formatting import capital, plain

HERE = Path(__file__).parent
SCRIPT = """
const box = document.querySelector("dialog"), large = box.querySelector("img"), words = box.querySelector("p");
document.addEventListener("click", event => {
  if (box.open) { box.close(); return; }
  const image = event.target.closest("button.picture")?.querySelector("img");
  if (!image) return;
  large.src = image.src; large.alt = image.alt; large.className = image.className; words.textContent = image.alt;
  box.showModal();
});
"""


def pages() -> dict[str, Path]:
    """The folder of every page by its name."""
    return {file.parent.name: file.parent for file in sorted(HERE.glob("*/page.html"))}


def breakable(name: str) -> Markup:
    """A name, escaped; a long one with places where a line may break: after what joins words."""
    name = printable(name)
    if len(name) <= 20:
        return Markup.escape(name)
    pieces = re.split(r"(?<=[.,=_/+:-])(?=\w)", name)
    return Markup("<wbr>").join(pieces)


def _printable(value: Any) -> Any:
    """What a template writes; a name that turns the direction of what follows would make a page say something else."""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache  # to compile the templates of a page takes longer than to fill them in
def environment(folder: Path) -> Environment:
    """The templates of a page's folder and the shared ones; whatever comes from files is escaped, and made printable."""
    templates = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(plain=plain, capital=capital, breakable=breakable)
    return templates


def fragment(folder: Path, name: str, **values: Any) -> str:
    """A part of a page by itself; a name in it that nobody gave is an error."""
    return environment(folder).get_template(name).render(**values)


def fill(folder: Path, poll: str = "", **values: Any) -> str:
    """A page's ``page.html`` filled in; a name in it that nobody gave is an error.

    Args:
        folder: the page's.
        poll: a script of its own, of a page that a server of this package serves; such a page may ask that server, and nobody else.
        **values: what its templates name.
    """
    script = SCRIPT + poll
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    shared = {"colours": charts.COLOURS, "script": Markup(script), "digest": digest, "served": bool(poll), "version": __version__}
    return environment(folder).get_template("page.html").render(**values, **shared)
