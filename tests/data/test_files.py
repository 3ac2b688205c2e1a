"""Whole files or none, and folders listed the way a person counts."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfigure.data.files import check_writable_folder, list_images, natural_key, write_atomically, write_json, write_text
from transfigure.errors import RunFailure, UserError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWriteAtomically:
    def test_writes_bytes_and_creates_folders(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a" / "b" / "x.bin", b"\x00\xff\r\n")
        assert (tmp_path / "a" / "b" / "x.bin").read_bytes() == b"\x00\xff\r\n"
        assert names(tmp_path / "a" / "b") == ["x.bin"]

    def test_replaces_with_a_writer(self, tmp_path: Path) -> None:
        path = tmp_path / "x.pt"
        path.write_bytes(b"old")
        write_atomically(path, lambda stream: torch.save({"a": 3}, stream))
        assert torch.load(path, weights_only=True) == {"a": 3}

    def test_the_longest_name_the_system_takes(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / ("n" * 255), b"x")
        assert (tmp_path / ("n" * 255)).read_bytes() == b"x"

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
    def test_the_mode_follows_the_umask(self, tmp_path: Path) -> None:
        old = os.umask(0o022)
        try:
            write_atomically(tmp_path / "x", b"x")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644

    @pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), MemoryError()])
    def test_a_failing_writer_leaves_the_old_file_and_no_other(self, tmp_path: Path, failure: BaseException) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"old")

        def half(stream: BinaryIO) -> None:
            stream.write(b"half")
            raise failure

        with pytest.raises(type(failure)):
            write_atomically(path, half)
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["x"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"old")

        def full(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], full)
        with pytest.raises(RunFailure) as caught:
            write_atomically(path, b"n" * 2_500_000)
        assert str(caught.value) == (
            f"the disk is full while writing {path} (2.5 MB): free some space and run again; the previous file is intact"
        )
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["x"]

    def test_a_full_disk_without_a_previous_file_promises_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunFailure) as caught:
            write_atomically(tmp_path / "x", b"n")
        assert "previous" not in str(caught.value)
        assert names(tmp_path) == []

    def test_a_full_disk_that_torch_reports_in_its_own_words(self, tmp_path: Path) -> None:
        class Full(io.RawIOBase):
            def writable(self) -> bool:
                return True

            def write(self, _: object) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(RunFailure, match="the disk is full"):
            write_atomically(tmp_path / "x", lambda _: torch.save({"a": torch.zeros(100_000)}, io.BufferedWriter(Full())))

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(UserError, match="permission denied") as caught:
            write_atomically(tmp_path / "x", b"new")
        assert str(tmp_path / "x") in str(caught.value)

    def test_a_folder_of_that_name(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir()
        with pytest.raises(UserError, match="cannot write"):
            write_atomically(tmp_path / "x", b"new")
        assert names(tmp_path) == ["x"]

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"")
        with pytest.raises(UserError, match="choose another"):
            write_atomically(tmp_path / "x" / "y", b"new")

    def test_other_failures_of_the_disk_are_run_failures(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(RunFailure, match="input/output error"):
            write_atomically(tmp_path / "x", b"new")


class TestText:
    def test_text_keeps_its_line_ends(self, tmp_path: Path) -> None:
        write_text(tmp_path / "x", "é\n\r\n")
        assert (tmp_path / "x").read_bytes() == "é\n\r\n".encode()

    def test_json(self, tmp_path: Path) -> None:
        value = {"a": [1, math.nan, -math.inf, np.float32(0.5), np.float64("nan")], "é": Path("p/q"), 3: (True, None)}
        write_json(tmp_path / "x.json", value)
        text = (tmp_path / "x.json").read_text(encoding="utf-8")
        assert text.endswith("}\n")
        assert '\n  "é"' in text
        assert json.loads(text) == {"a": [1, None, None, 0.5, None], "é": os.fspath(Path("p/q")), "3": [True, None]}


class TestNaturalOrder:
    def test_counts(self) -> None:
        given = ["img10", "img2", "Img1", "2", "10", "a", "img2b", "img02"]
        assert sorted(given, key=natural_key) == ["2", "10", "a", "Img1", "img02", "img2", "img2b", "img10"]

    @given(st.lists(st.text("aB0129.²_ -", max_size=8), unique=True), st.randoms())
    def test_one_order_for_any_names(self, words: list[str], random: object) -> None:
        ordered = sorted(words, key=natural_key)
        random.shuffle(words)  # type: ignore[attr-defined]
        assert sorted(words, key=natural_key) == ordered

    @given(st.integers(0, 10**30), st.integers(0, 10**30))
    def test_numbers_of_any_length(self, a: int, b: int) -> None:
        assert (natural_key(f"x{a}y") < natural_key(f"x{b}y")) == (a < b)


class TestListImages:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in (
            "b10.png",
            "b2.PNG",
            "a.jpg",
            "c.jpeg",
            "d.webp",
            "e.Tif",
            "f.tiff",
            "g.bmp",
            "notes.txt",
            "sub10/z.png",
            "sub9/z.png",
            ".hidden.png",
            "._b2.png",
            ".cache/x.png",
            "__MACOSX/x.png",
            "Thumbs.db",
            "png",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    def test_natural_order_any_case_no_junk(self, folder: Path) -> None:
        here = ["a.jpg", "b2.PNG", "b10.png", "c.jpeg", "d.webp", "e.Tif", "f.tiff", "g.bmp"]
        assert list_images(folder, recursive=False) == [folder / name for name in here]
        assert list_images(folder) == [folder / name for name in [*here, "sub9/z.png", "sub10/z.png"]]

    def test_links_are_followed_once(self, folder: Path) -> None:
        try:
            (folder / "sub9" / "again").symlink_to(folder, target_is_directory=True)
            (folder / "linked.png").symlink_to(folder / "a.jpg")
        except OSError:
            (folder / "linked.png").write_bytes(b"")  # Windows without the right to link
        listed = list_images(folder)
        assert len(listed) == 11
        assert folder / "linked.png" in listed

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the folder .*nowhere does not exist: give a folder of png, jpg, .* or bmp files"):
            list_images(tmp_path / "nowhere")

    def test_not_a_folder(self, folder: Path) -> None:
        with pytest.raises(UserError, match=r"a\.jpg is a file, not a folder"):
            list_images(folder / "a.jpg")

    def test_no_images(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="holds no images, no other file either"):
            list_images(tmp_path)
        (tmp_path / "a.gif").write_bytes(b"")
        with pytest.raises(UserError, match=r"holds no images, only 1 other file, such as a\.gif: accepted are png"):
            list_images(tmp_path)
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "x.png").write_bytes(b"")
        with pytest.raises(UserError, match="its subfolders were not searched"):
            list_images(tmp_path, recursive=False)
        assert list_images(tmp_path) == [tmp_path / "sub" / "x.png"]

    def test_a_locked_subfolder_is_not_passed_over(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scandir = os.scandir

        def locked(path: str) -> Iterator[os.DirEntry[str]]:
            if Path(path).name == "sub9":
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", locked)
        with pytest.raises(UserError, match=r"cannot look into the folder .*sub9: Permission denied"):
            list_images(folder)

    def test_real_names_with_commas(self, shared: Path) -> None:
        listed = list_images(shared / "data" / "isl_16bit")
        depths = [int(path.name.split("z_depth-")[1].split(",")[0]) for path in listed if "z_depth" in path.name]
        assert depths == list(range(13))


class TestCheckWritableFolder:
    def test_creates(self, tmp_path: Path) -> None:
        check_writable_folder(tmp_path / "a" / "b")
        check_writable_folder(tmp_path / "a" / "b")
        assert names(tmp_path / "a" / "b") == []

    def test_refuses_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"")
        for path in (tmp_path / "x", tmp_path / "x" / "y"):
            with pytest.raises(UserError, match="cannot write"):
                check_writable_folder(path)

    def test_refuses_what_the_system_refuses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "touch", refuse)
        with pytest.raises(UserError, match="permission denied; choose another folder"):
            check_writable_folder(tmp_path)

    def test_a_name_that_cannot_be(self) -> None:
        with pytest.raises(UserError, match="cannot write"):
            check_writable_folder(Path("a\0b"))
