"""Archives that are unpacked, and those that are not: in one sentence, with nothing outside the folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.preparation.public.archives import CONTENTS, HOSTILE, special, tar_gz, zipped
from transfigure.errors import RunFailure
from transfigure.preparation.public.unpack import ArchiveLimits, RefusedArchive, Unpacked, unpack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work" / "place").mkdir(parents=True)
    return tmp_path / "work" / "place"


def files(folder: Path) -> dict[str, bytes]:
    return {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}


@pytest.mark.parametrize("make", [tar_gz, zipped])
def test_what_went_in_comes_out(folder: Path, tmp_path: Path, make: object) -> None:
    archive = make(tmp_path / "archive")  # type: ignore[operator]
    done: list[int] = []
    asked: list[int] = []
    assert unpack(archive, folder, space=asked.append, advance=done.append) == Unpacked(8, 8 * 1400)
    assert files(folder) == CONTENTS
    assert 0 < sum(done) <= archive.stat().st_size
    assert asked == [archive.stat().st_size if make is tar_gz else 8 * 1400]
    assert {item.stat().st_mode & 0o7000 for item in folder.rglob("*")} == {0}


def test_folders_and_dots_in_names_are_no_harm(folder: Path, tmp_path: Path) -> None:
    archive = tar_gz(tmp_path / "archive", {"./a/b.jpg": b"1", "a//c.jpg": b"2", "..d/e..jpg": b"3"}, special("empty/", tarfile.DIRTYPE))
    assert unpack(archive, folder).files == 3
    assert files(folder) == {"a/b.jpg": b"1", "a/c.jpg": b"2", "..d/e..jpg": b"3"}
    assert (folder / "empty").is_dir()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_archive_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    make, words = HOSTILE[name]
    archive = tmp_path / "archive.bin"
    make(archive)
    before = {*tmp_path.rglob("*")}
    with pytest.raises(RefusedArchive) as caught:
        unpack(archive, folder)
    assert words in str(caught.value) and str(archive) in str(caught.value) and "\n" not in str(caught.value)
    assert {item for item in {*tmp_path.rglob("*")} - before if folder not in item.parents} == set()
    assert not any(item.is_symlink() or not (item.is_file() or item.is_dir()) for item in folder.rglob("*"))


@pytest.mark.parametrize("make", [tar_gz, zipped])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ArchiveLimits(members=7), "more than 7 files"),
        (ArchiveLimits(size=5000), "5,000 are the most"),
        (ArchiveLimits(least=0, ratio=1), "are the most"),
    ],
)
def test_limits_are_kept(folder: Path, tmp_path: Path, make: object, limits: ArchiveLimits, words: str) -> None:
    with pytest.raises(RefusedArchive, match=words):
        unpack(make(tmp_path / "archive"), folder, limits=limits)  # type: ignore[operator]
    assert sum(map(len, files(folder).values())) <= 7 * 1400 < 8 * 1400 == sum(map(len, CONTENTS.values()))


def test_what_a_header_claims_is_held_to_what_comes(folder: Path, tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "archive", {"a.jpg": b"x" * 5000}).read_bytes())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = content.index(mark) + offset
        content[place : place + 4] = (10).to_bytes(4, "little")
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(RefusedArchive):
        unpack(tmp_path / "archive", folder)
    assert sum(map(len, files(folder).values())) <= 10


def test_who_asks_for_space_may_refuse(folder: Path, tmp_path: Path) -> None:
    def full(needed: int) -> None:
        raise RunFailure(f"{needed} are too many")

    with pytest.raises(RunFailure, match="too many"):
        unpack(zipped(tmp_path / "archive"), folder, space=full)
    assert files(folder) == {}
