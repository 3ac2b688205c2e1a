"""What is kept of a data set is found again by its files alone, and never mistaken for another's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from transfigure.data import prepared
from transfigure.data.prepared import cache_folder, file_key
from transfigure.data.transforms import Geometry
from transfigure.recipe import Data

GEOMETRY = Geometry(12, 8)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)  # the files of a test are young
    prepared._say_once.cache_clear()
    return tmp_path / "cache" / "data"


def section(path: Path, **keys: object) -> Data:
    return Data(kind="side_by_side", path=str(path), load_size=12, crop_size=8).replaced(**keys)


def test_a_folder_for_each_data_set_and_preparation(tmp_path: Path, place: Path) -> None:
    ours = cache_folder(section(tmp_path / "x"), GEOMETRY)
    assert ours is not None
    assert ours.parent == place
    assert ours == cache_folder(section(tmp_path / "x"), Geometry(12, 8, flip=False)), "chance is no preparation"
    others = [
        cache_folder(section(tmp_path / "y"), GEOMETRY),
        cache_folder(section(tmp_path / "x"), Geometry(13, 8)),
        cache_folder(section(tmp_path / "x"), Geometry(12, 8, target_rule="nearest")),
        cache_folder(section(tmp_path / "x", alpha="drop"), GEOMETRY),
        cache_folder(section(tmp_path / "x", orientation="ignore"), GEOMETRY),
    ]
    assert len({ours, *others}) == 6
    assert None not in others


def test_nothing_is_kept_of_what_is_drawn_or_not_wanted(tmp_path: Path) -> None:
    assert cache_folder(Data(kind="synthetic"), GEOMETRY) is None
    assert cache_folder(section(tmp_path, cache_gb=0.0), GEOMETRY) is None


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("TRANSFIGURE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "home"))
    inside = "transfigure/data" if variable == "XDG_CACHE_HOME" else ".cache/transfigure/data"
    folder = cache_folder(section(tmp_path), GEOMETRY)
    assert folder is not None
    assert folder.parent == tmp_path / "home" / inside


def test_a_foreign_folder_is_left_alone_and_said(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = cache_folder(section(tmp_path), GEOMETRY)
    assert ours is not None
    (ours / "about.json").unlink()
    (ours / "thesis.txt").write_text("mine")
    for _ in range(2):
        assert cache_folder(section(tmp_path), GEOMETRY) is None
    assert capsys.readouterr().err.count("it holds thesis.txt, which is no cache of ours") == 1
    assert [item.name for item in ours.iterdir()] == ["thesis.txt"]


def test_a_place_that_is_a_file_is_a_note(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place.parent.write_text("")
    assert cache_folder(section(tmp_path), GEOMETRY) is None
    assert "set TRANSFIGURE_CACHE to a folder that can be written" in capsys.readouterr().err


def test_the_key_of_a_file(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"123")
    other.write_bytes(b"123")
    key = file_key([file])
    assert key == file_key([file])
    assert key is not None
    assert len(key) == 16
    assert len({key, file_key([other]), file_key([file, other]), file_key([other, file]), file_key([file], "left")}) == 5


def test_hard_links_share_a_key_and_edits_change_it(tmp_path: Path) -> None:
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"123")
    link.hardlink_to(file)
    before, state = file_key([file]), file.stat()
    assert before == file_key([link])
    time.sleep(0.02)
    file.write_bytes(b"456")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # of one size and age: the time of its inode's change still tells
    assert file_key([file]) not in (before, None)
    assert file_key([link]) == file_key([file])


def test_what_may_still_change_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    file = tmp_path / "a"
    assert file_key([file]) is None
    assert file_key([tmp_path]) is None
    file.write_bytes(b"123")
    assert file_key([file]) is None, "younger than the step of a clock"
    assert file_key([file], before=time.time() + 60) is not None
    assert file_key([file], before=time.time() - 60) is None, "it changed after the reading began"
