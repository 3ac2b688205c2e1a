"""The files of the page to draw on: what is from elsewhere is what it says, and nothing is fetched from anywhere."""

from __future__ import annotations

import hashlib
import re

from tests.imports import PACKAGE

PAGE = PACKAGE / "serving" / "page"
VENDORED = PAGE / "vendor"


def test_vendored_files_are_the_published_ones_with_their_licence() -> None:
    for folder in (found := sorted(VENDORED.iterdir())):
        told = dict(re.findall(r"^\| `(.+?)` \| `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
        assert {file.name for file in folder.iterdir()} == {"README.md", "LICENSE", *told}
        assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in told} == told
        assert "Permission is hereby granted, free of charge" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert [folder.name for folder in found] == ["konva"]


def test_konva_is_of_the_version_that_is_said() -> None:
    (version,) = re.findall(r"^# Konva (\S+)$", (VENDORED / "konva" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"Konva JavaScript Framework v{version}\n" in (VENDORED / "konva" / "konva.min.js").read_text(encoding="utf-8")


def test_our_files_name_no_other_host_and_hold_no_inline_script_or_style() -> None:
    ours = [file for file in PAGE.iterdir() if file.is_file()]
    assert {file.suffix for file in ours} == {".html", ".css", ".js", ".svg"}
    for file in ours:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text), file.name
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", html)
    referred = re.findall(r'(?:src|href)="page/([^"]+)"', html)
    assert len(referred) == 4
    assert [name for name in referred if not (PAGE / name).is_file()] == []
