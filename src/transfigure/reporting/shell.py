"""What every page shares: the script that enlarges a picture, the policy that forbids anything else, and the templates' room."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._version import __version__
from . import curves, words

SCRIPT = """
const box = document.querySelector("dialog"), large = box.querySelector("img"), words = box.querySelector("p");
document.addEventListener("click", event => {
  if (box.open) { box.close(); return; }
  const image = event.target.closest("button.picture")?.querySelector("img");
  if (!image) return;
  large.src = image.src; large.alt = image.alt; large.className = image.className; words.textContent = image.alt;
  box.showModal();
});
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => part.open = true));
"""


def breakable(name: str) -> Markup:
    """A name, escaped; a long one with places where a line may break: after what joins words."""
    if len(name) <= 20:
        return Markup.escape(name)
    pieces = re.split(r"(?<=[.,=_/+:-])(?=\w)", name)
    return Markup("<wbr>").join(pieces)


def fill(template: str, **values: Any) -> str:
    """A template of ``templates/`` filled in; whatever comes from files is escaped, and a name that nobody gave is an error."""
    room = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters.update(plain=words.plain, capital=words.capital, breakable=breakable)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    shared = {"colours": curves.COLOURS, "script": Markup(SCRIPT), "digest": digest, "version": __version__}
    return room.get_template(template).render(**values, **shared)
