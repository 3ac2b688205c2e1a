"""Whole files or none, and folders listed the way a person counts."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfigure.data import files
from transfigure.data.files import check_writable_folder, natural_key, open_to_write, sweep, write_atomically, write_json, write_text
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


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
class TestLinks:
    @pytest.fixture
    def precious(self, tmp_path: Path) -> Path:
        (tmp_path / "precious").write_bytes(b"precious")
        (tmp_path / "link").symlink_to(tmp_path / "precious")
        return tmp_path / "precious"

    def test_a_link_is_neither_replaced_nor_written_through(self, tmp_path: Path, precious: Path) -> None:
        with pytest.raises(UserError, match=r"link is a link, and nothing is written through a link"):
            write_atomically(tmp_path / "link", b"new")
        for mode in ("ab", "wb", "a+b"):
            with pytest.raises(UserError, match="is a link"):
                open_to_write(tmp_path / "link", mode)  # type: ignore[arg-type]
        assert precious.read_bytes() == b"precious" and (tmp_path / "link").is_symlink()

    def test_a_link_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "absent")
        with pytest.raises(UserError, match="is a link"):
            write_atomically(tmp_path / "link", b"new")
        assert names(tmp_path) == ["link"]

    def test_a_link_that_appears_after_the_look(self, tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "refuse_link", lambda path: None)
        with pytest.raises(OSError, match="ymbolic"):
            open_to_write(tmp_path / "link", "ab")
        assert precious.read_bytes() == b"precious"

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UserError, match="is no regular file"):
            write_atomically(tmp_path / "pipe", b"new")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)

    def test_a_folder_that_is_a_link_is_where_people_keep_their_outputs(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
        write_atomically(tmp_path / "out" / "x", b"new")
        assert (tmp_path / "disk" / "x").read_bytes() == b"new"


WRITER = """
import sys, time
from pathlib import Path
from transfigure.data.files import write_atomically

def slowly(stream):
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)

write_atomically(Path(sys.argv[1]), slowly)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
class TestLeftOvers:
    @pytest.fixture
    def writer(self, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "x")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    def test_what_a_killed_writer_left_is_swept_by_the_next_and_not_before(self, tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
        (left,) = tmp_path.glob(".write-*.part")
        old = left.stat().st_mtime - 7200
        os.utime(left, (old, old))
        sweep(tmp_path)
        sweep(tmp_path, grace=0)
        assert left.exists()  # however old it is: its writer is alive
        writer.kill()
        writer.wait()
        check_writable_folder(tmp_path)
        assert names(tmp_path) == []

    def test_what_has_just_been_written_is_left_for_a_minute(self, tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
        writer.kill()
        writer.wait()
        write_atomically(tmp_path / "y", b"y")
        assert len(names(tmp_path)) == 2
        sweep(tmp_path, grace=0)
        assert names(tmp_path) == ["y"]

    def test_only_names_of_ours_and_no_link(self, tmp_path: Path) -> None:
        kept = ["paper.part", ".write-notes.part", ".0123456789abcdef.part.txt", "precious", ".1.part", ".cafe.part", ".write-cafe.part"]
        kept += [".0123456789abcdef0.part", ".write-0123456789ABCDEF.part"]
        for name in [*kept, ".0123456789abcdef.part", ".write-0123456789abcdef.part"]:
            (tmp_path / name).write_bytes(b"x")
            os.utime(tmp_path / name, (0, 0))
        (tmp_path / ".write-fedcba9876543210.part").symlink_to(tmp_path / "precious")
        sweep(tmp_path)
        assert names(tmp_path) == sorted([*kept, ".write-fedcba9876543210.part"])
        assert (tmp_path / "precious").read_bytes() == b"x"

    def test_the_first_write_of_a_process_into_a_folder_sweeps_it(self, tmp_path: Path) -> None:
        (tmp_path / ".0123456789abcdef.part").write_bytes(b"x")
        os.utime(tmp_path / ".0123456789abcdef.part", (0, 0))
        write_atomically(tmp_path / "y", b"y")
        assert names(tmp_path) == ["y"]


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
