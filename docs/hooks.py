"""What the site needs beside the pages: whole folders in its table of contents, the two pages that stand at the root of the
repository, equations as MathML, and a search that works without a server."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FROM_THE_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files outside of docs/ that are pages of the site, and where they stand there."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let an entry of the table of contents that ends in a slash stand for the pages of that folder that no other entry names."""
    if config.nav is not None:
        named = set(_pages(config.nav))
        config.nav = _expanded(config.nav, named)
    return config


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(below)


def _expanded(entries: list[Any], named: set[str]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            ((title, below),) = entry.items()
            found.append({title: _expanded(below if isinstance(below, list) else [below], named) if _is_more(below) else below})
        else:
            found += _folder(entry, named) if _is_more(entry) else [entry]
    return found


def _is_more(entry: Any) -> bool:
    """Whether an entry is more than one page: a list, or a folder."""
    return isinstance(entry, list) or entry.endswith("/")


def _folder(folder: str, named: set[str]) -> list[str]:
    """The pages of a folder that no other entry names, its README first."""
    pages = sorted((ROOT / "docs" / folder).glob("*.md"), key=lambda page: (page.stem != "README", page.stem))
    return [name for page in pages if (name := page.relative_to(ROOT / "docs").as_posix()) not in named]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages from the root."""
    for name, place in FROM_THE_ROOT.items():
        if (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
            for other, page in FROM_THE_ROOT.items():
                text = text.replace(f"]({other})", f"]({page})")
            files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the files at the root to their pages."""
    here = Path(page.file.src_uri).parent

    def lead(match: re.Match[str]) -> str:
        target = os.path.normpath(Path("docs") / here / match[1])
        place = FROM_THE_ROOT.get(target)
        return match[0] if place is None else f"]({os.path.relpath(place, here)}{match[2]})"

    return re.sub(r"\]\(((?:\.\./)+[\w.]+)((?:#[\w-]+)?)\)", lead, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn equations into MathML, which browsers show without a script, and the roles of docstrings (``:func:``) into plain code."""
    content = re.sub(r":(?:func|meth|class|mod|attr|data|exc):<code>~?", "<code>", content)
    content = re.sub(r'<span class="arithmatex">\\\((.+?)\\\)</span>', lambda match: _mathml(match[1], "inline"), content, flags=re.S)
    return re.sub(r'<div class="arithmatex">\\\[(.+?)\\\]</div>', lambda match: _mathml(match[1], "block"), content, flags=re.S)


def _mathml(latex: str, display: str) -> str:
    """An equation as MathML, with the thin space after the name of a function that TeX would set, unless a parenthesis follows."""
    written = convert(html.unescape(latex).strip().replace(r"\arg", r"\operatorname{arg}"), display=display)
    return re.sub(r"(<m[io]>(?:log|arg)</m[io]>)(?!<mo[^>]*>&#x00028;)", r'\1<mspace width="0.17em"/>', written)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The theme would fetch a script from elsewhere to search without a server: use ours."""
    ours = os.path.relpath("search_from_folder.js", Path(page.file.dest_uri).parent)
    return _replaced(output, ours)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for the page "not found"."""
    return _replaced(output, "search_from_folder.js") if template_name.endswith(".html") else output


def _replaced(output: str, ours: str) -> str:
    return output.replace("https://unpkg.com/iframe-worker/shim", ours)
