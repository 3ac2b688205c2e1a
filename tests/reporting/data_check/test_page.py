"""The page of a data check shows each thing that is wrong, with the pictures it is about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfigure.cli import main
from transfigure.data import images
from transfigure.data.check.whole import KINDS, CheckedData, CheckOptions, check_data
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.reporting.data_check.page import PICTURED, render, write_page
from transfigure.worlds.facades.dataset import draw_scene
from transfigure.worlds.facades.dataset import render as render_scene

from ..browser import DARK, browser, visit
from ..reading import check_self_contained, read
from .example import checked, write_faults

EXPECTED = {
    "unpaired": {"alone.png"},
    "unreadable": {"torn"},
    "unusable": {"deep"},
    "misaligned": {"shifted"},
    "leaks": {"train/copied = test/copied again"},
    "near_leaks": {"train/resized = test/resized again"},
    "duplicates": {"train/twice = train/twice again"},
    "constant": {"black"},
    "palette": {"blended"},
    "mixed_sizes": {"small", "resized again"},
    "clipping": {"burnt"},
}
"""What is wrong with the example, by kind."""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests read only."""
    return write_faults(tmp_path_factory.mktemp("faults") / "streets")


@pytest.fixture(scope="module")
def found(faults: Path) -> CheckedData:
    """What is wrong with it."""
    return checked(faults)


def test_every_fault_is_found_and_nothing_else(found: CheckedData) -> None:
    by_kind = {problem.kind: {item.name for item in problem.items} for problem in found.problems}
    assert by_kind == EXPECTED
    assert set(EXPECTED) <= set(KINDS)
    (shifted,) = next(problem.items for problem in found.problems if problem.kind == "misaligned")
    assert shifted.numbers["right"] == pytest.approx(7, abs=0.7) and shifted.numbers["down"] == pytest.approx(-5, abs=0.7)
    assert found.counts == {"train": 16, "test": 8}


def test_the_page_shows_them(found: CheckedData, tmp_path: Path) -> None:
    page = read(write_page(found, tmp_path / "check.html"))
    check_self_contained(page)
    for kind, names in EXPECTED.items():
        assert KINDS[kind] in page.text and all(name in page.source for name in names), kind
    assert page.source.count('class="picture"') >= 2 * len(EXPECTED) and "cannot be read" in page.text
    assert "edges as they are" in page.text and "outside the palette" in page.text and "at the largest value" in page.text


def test_more_than_can_be_shown_is_named(tmp_path: Path) -> None:
    folder = write_faults(tmp_path / "streets")
    for number in (0, 1, 13, 14, 15, 16, 17, 18, 19):
        (folder / ("trainB" if number < 16 else "testB") / f"{number}.png").write_bytes(b"")
    result = checked(folder, CheckOptions(quiet=True))
    unread = next(problem for problem in result.problems if problem.kind == "unreadable")
    assert len(unread.items) > PICTURED
    page = render(result)
    assert f"{len(unread.items) - PICTURED} more</summary>" in page and all(item.name in page for item in unread.items)


def test_sound_data_has_a_page_that_says_so(tmp_path: Path) -> None:
    assert (
        main(["data", "check", "synthetic", "--data.train", "3", "--data.test", "2", "--data.val", "0", "--out", f"{tmp_path}/c.html"]) == 0
    )
    assert "nothing was found to be wrong" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_what_is_ignored_is_neither_said_nor_counted(faults: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "check.html"
    words = ["data", "check", str(faults), "--palette", "synthetic", "--quiet", "--strict", "--out", str(out)]
    assert main(words) == 4
    assert "misaligned: 1 of" in capsys.readouterr().out and out.is_file()
    assert main([*words, "--ignore", ",".join(EXPECTED)]) == 0
    assert "nothing is wrong with it (not looked at: unpaired, " in capsys.readouterr().out
    assert main([*words, "--ignore", "leak"]) == 2
    assert "did you mean 'leaks'?" in capsys.readouterr().err
    assert main(["data", "check", str(faults), "--json", "--quiet"]) == 0
    assert {problem["kind"] for problem in json.loads(capsys.readouterr().out)["problems"]} == set(EXPECTED) - {"palette"}


def test_a_page_is_no_data(faults: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"ends in \.html"):
        write_page(checked(faults), faults / "check.png")
    assert main(["data", "check", str(faults), "--out", str(faults / "trainA" / "check.html")]) == 2
    assert "lies inside the data" in capsys.readouterr().err


def test_two_domains_are_looked_at_each_by_itself(tmp_path: Path) -> None:
    """Without pairs nothing is shifted, and a picture is compared with those of its own domain."""
    for number in range(12):
        for side, at, kind in (("A", number, "day"), ("B", 50 + number, "night")):
            images.write(tmp_path / f"d/train{side}/{at}.png", render_scene(draw_scene(0, at), kind, 64))
    for name in ("trainA/again.png", "testA/0.png"):
        images.write(tmp_path / "d" / name, render_scene(draw_scene(0, 4), "day", 64))
    images.write(tmp_path / "d/testB/0.png", render_scene(draw_scene(0, 70), "night", 64))
    section = Recipe.load("pix2pix", {"data.path": str(tmp_path / "d"), "data.unpaired": True}).data
    found = check_data(section, CheckOptions(ignored=("remark",), quiet=True))
    (leak,) = found.problems
    assert not found.paired and leak.kind == "leaks"
    assert [caption for caption, _ in leak.items[0].pictures] == ["train/4.png", "train/again.png", "test/0.png"]
    assert "test/0.png" in render(found)


def test_label_encodings_are_a_palette(faults: Path) -> None:
    section = Recipe.load("pix2pix", {"data.path": str(faults), "data.source_encoding": "labels"}).data
    found = check_data(section, CheckOptions(quiet=True))
    (problem,) = (problem for problem in found.problems if problem.kind == "palette")
    assert {item.name for item in problem.items} == {"blended"} and found.palettes[0] is not None and found.palettes[1] is None
    assert "outside the palette" in render(found)


@browser
def test_it_fits_a_phone_and_shows_every_picture(found: CheckedData, tmp_path: Path) -> None:
    page = write_page(found, tmp_path / "check.html")
    for options in (("--window-size=1200,900",), ("--window-size=500,900", DARK)):
        said = visit(page, tmp_path / "profile", *options)
        assert said["overflow"] == 0 and said["troubles"] == [] and said["opened"] and min(said["decoded"]) > 0 and min(said["shown"]) > 40
