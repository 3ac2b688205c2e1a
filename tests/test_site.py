"""The documentation as a site: it is built without a warning, holds every public name, and needs nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import transfigure

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "docs" / "reference" / "api.md"
NAMES = [name for name in transfigure.__all__ if name != "__version__"]
LOADED = re.compile(r"""<(?:script|img|iframe|source|video|audio|embed|use)\b[^>]*?\b(?:src|href)=["']?([^"'\s>]+)|<link\b[^>]*?>""")


def foreign(page: str) -> list[str]:
    """What a page would load from elsewhere: scripts, styles, pictures, frames; a link that is clicked is none."""
    found = []
    for match in LOADED.finditer(page):
        target = match[1] or next(iter(re.findall(r"""\bhref=["']?([^"'\s>]+)""", match[0])), "")
        if re.match(r"(?:[a-z]+:)?//", target):
            found.append(target)
    return found + re.findall(r"""url\(["']?((?:[a-z]+:)?//[^"')]+)""", page)


def test_every_public_name_has_a_section() -> None:
    sections = re.findall(r"^::: transfigure\.(\w+)$", API.read_text(encoding="utf-8"), re.M)
    assert sorted(sections) == sorted(NAMES)


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<script src="https://x.y/z.js"></script>', ["https://x.y/z.js"]),
        ("<script src=//x.y/z.js></script>", ["//x.y/z.js"]),
        ('<link rel="stylesheet" href="https://x.y/a.css">', ["https://x.y/a.css"]),
        ("<style>@font-face { src: url(https://x.y/f.woff) }</style>", ["https://x.y/f.woff"]),
        ('<img src="figures/a.svg"> <a href="https://x.y">z</a> <link href="style.css">', []),
    ],
)
def test_what_comes_from_elsewhere_is_found(page: str, found: list[str]) -> None:
    assert foreign(page) == found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The site, as ``make docs`` builds it."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr
    yield folder


@pytest.mark.slow
def test_a_page_of_the_site_stands_for_every_page(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    pages = {page.replace("README.html", "index.html") for page in pages} | {"changelog.html", "contributing.html"}
    assert {page.relative_to(site).as_posix() for page in site.rglob("*.html")} == pages | {"404.html"}


@pytest.mark.slow
def test_every_public_name_has_its_signature(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert [name for name in NAMES if f'id="transfigure.{name}"' not in page] == []
    assert page.count("doc-signature") >= len(NAMES)


@pytest.mark.slow
def test_the_site_needs_nothing_from_elsewhere(site: Path) -> None:
    files = [file for kind in ("html", "css") for file in site.rglob(f"*.{kind}")]
    assert {file.relative_to(site).as_posix(): found for file in files if (found := foreign(file.read_text(encoding="utf-8")))} == {}
    assert (site / "search_from_folder.js").is_file()
    assert 'src="../search_from_folder.js"' in (site / "how-to" / "train.html").read_text(encoding="utf-8").replace("src=../", 'src="../')


@pytest.mark.slow
def test_equations_are_mathml(site: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert [name for name, text in pages.items() if "arithmatex" in text] == []
    equations = [found for text in pages.values() for found in re.findall(r"<math.*?</math>", text, re.S)]
    assert equations and [equation for equation in equations if "\\" in equation] == [], "every command of TeX was understood"
    assert pages["pix2pix.html"].count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') == 1
