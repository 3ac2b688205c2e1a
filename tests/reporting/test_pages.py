"""What holds for every page: a folder of ``reporting/`` with a ``page.html`` is one, and its example here is opened unasked."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from transfigure.errors import printable
from transfigure.reporting.shell import HERE, environment, fill, pages

from .browser import browser, call, visit
from .reading import EVIL, check_self_contained, read

EXAMPLES = Path(__file__).parent


def example(name: str, folder: Path) -> Path:
    """The page that ``tests/reporting/NAME/example.py`` writes."""
    written: Path = import_module(f"{__package__}.{name}.example").write(folder)
    return written


def test_pages_are_found() -> None:
    assert {"run", "comparison", "analysis"} <= pages().keys()
    assert [file.parent for file in HERE.rglob("page.html") if file.parent not in pages().values()] == []


@pytest.mark.parametrize("name", pages())
def test_a_page_is_one_folder(name: str) -> None:
    folder = pages()[name]
    assert all((folder / file).is_file() for file in ("__init__.py", "page.py", "page.css"))
    assert (EXAMPLES / name / "example.py").is_file(), f"add tests/reporting/{name}/example.py whose write(folder) writes a whole page"
    templates = environment(folder)
    for file in (*folder.glob("*.html"), *folder.glob("*.css")):
        templates.get_template(file.name)
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"https?:|//\w|@import|url\((?!#)|<(?:link|iframe|object|embed|script)\b|\bstyle-src", text), file
    assert (folder / "page.html").read_text(encoding="utf-8").startswith('{% extends "shell.html" %}')


def test_a_folder_of_ones_own_is_a_page(tmp_path: Path) -> None:
    """A template and a style are all that a page has to bring; the frame, the script and the policy are there already."""
    (tmp_path / "page.css").write_text(".mine { color: var(--accent); }")
    (tmp_path / "page.html").write_text(
        '{% extends "shell.html" %}{% from "macros.html" import heading %}{% block title %}Mine{% endblock %}'
        '{% block main %}{{ heading([what, "two"]) }}<p class="mine">{{ value | plain }}</p>{% endblock %}'
    )
    (tmp_path / "out.html").write_text(fill(tmp_path, what=EVIL, value=1234.5), encoding="utf-8")
    page = read(tmp_path / "out.html")
    check_self_contained(page)
    assert page.source.count("<script>") == 1 and "1,234" in page.text and ".mine { color" in page.source and printable(EVIL) in page.text


@pytest.mark.parametrize("name", pages())
def test_a_page_stands_alone(name: str, tmp_path: Path) -> None:
    path = example(name, tmp_path)
    page = read(path)
    check_self_contained(page)
    assert page.source.count("<h1>") == 1 and page.source.count("<script>") == 1 and "default-src 'none'" in page.source
    anchors = {attributes["href"] for attributes in page.of("a")}
    assert anchors <= {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}


@browser
@pytest.mark.parametrize("name", pages())
def test_nothing_overflows_and_only_our_own_script_runs(name: str, tmp_path: Path) -> None:
    page = example(name, tmp_path)
    for width in (1300, 500):
        found = visit(page, tmp_path / "profile", f"--window-size={width},900")
        assert found["overflow"] == 0 and found["troubles"] == []
    foreign = '<script>document.body.insertAdjacentHTML("beforeend", "<b id=foreign></b>")</script>'
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", foreign + "</body>"), encoding="utf-8")
    dom = call(tmp_path / "profile", "--dump-dom", page.as_uri())
    assert '<b id="foreign">' not in dom and "insertAdjacentHTML" in dom
    printed = tmp_path / "page.pdf"
    call(tmp_path / "profile", f"--print-to-pdf={printed}", page.as_uri())
    assert printed.read_bytes().startswith(b"%PDF")
