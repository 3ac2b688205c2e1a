"""Reading a page, and changing what it is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from transfigure.errors import printable

EVIL = "<script>alert('x')</script>\"&$1_{2}\x1b[2J\u202e"
VOID = {"meta", "img", "br", "wbr", "link", "input", "hr", "source"}


class Page(HTMLParser):
    """The elements of a page, its text, and whether every tag that opens closes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)

    @property
    def pictures(self) -> list[dict[str, str]]:
        """Those that are enlarged by a click; what moves is none of them."""
        return [one for one in self.of("img") if one.get("src") and not one["src"].startswith("data:image/webp")]


def read(path: Path) -> Page:
    parsed = Page(path)
    assert parsed.open == []
    return parsed


def texts(svg: str) -> list[str]:
    """The words in a figure, in order."""
    return [node.text or "" for node in ElementTree.fromstring(svg.replace("xlink:href", "href")).iter("text")]


def check_self_contained(parsed: Page) -> None:
    assert printable(parsed.source, lines=True) == parsed.source, "a control character or a mark that turns the direction"
    for tag, attributes in parsed.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for key, value in attributes.items():
            if key in {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}:
                assert value.startswith(("data:image/", "#")) or not value, f"<{tag} {key}={value[:60]}>"
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)|https?://", parsed.source)


def change(path: Path, edit: Callable[..., object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
