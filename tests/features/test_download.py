"""Downloads against a server on this machine that behaves as servers do on good days and on bad ones."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from transfigure.errors import Interrupted, Missing, RunFailure, UserError
from transfigure.features import download, weights
from transfigure.features.published import CATALOGUE, Weights

NAME, FILE = "toy", "toy.pth"
CONTENT = os.urandom(1_300_000)


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    status: int = 200
    cut: int | None = None
    length: bool = True
    redirect: str = ""
    hold: threading.Event | None = None
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    behaviour = Behaviour()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.hold is not None:
                behaviour.hold.wait(10)
            if behaviour.redirect and self.path != "/there":
                self.send_response(302)
                self.send_header("Location", behaviour.redirect)
                self.end_headers()
                return
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            content, start = behaviour.content, 0
            if wanted and behaviour.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if behaviour.length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : behaviour.cut])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        digest = hashlib.sha256(CONTENT).hexdigest()
        url = f"http://127.0.0.1:{running.server_port}/toy.pth"
        monkeypatch.setitem(CATALOGUE, NAME, Weights(NAME, FILE, ("other.pth",), url, digest, len(CONTENT), "TOY", "nobody"))
        monkeypatch.setenv("NO_PROXY", "*")
        yield behaviour
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)
    return tmp_path / "home" / "hub" / "checkpoints"


def change(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setitem(CATALOGUE, NAME, replace(CATALOGUE[NAME], **changes))  # type: ignore[arg-type]


def begin(folder: Path, part: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{FILE}.part").write_bytes(part)
    return folder / f"{FILE}.part"


def fails(*words: str) -> str:
    with pytest.raises(RunFailure) as caught:
        download.get(NAME, quiet=True)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- good days -----------------------------------------------------------------------------------------------------------


def test_a_whole_download_is_said_and_found(server: Behaviour, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert download.get(NAME) == cache / FILE
    assert (cache / FILE).read_bytes() == CONTENT
    assert [file.name for file in cache.iterdir()] == [FILE]
    assert weights.find(NAME).published
    out, err = capsys.readouterr()
    assert out == ""
    assert f"downloading {CATALOGUE[NAME].url} (1.3 MB) to {cache}" in err
    assert f"{cache / FILE} is here now" in err


def test_what_is_here_is_left_alone(server: Behaviour, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir(parents=True)
    (cache / "other.pth").write_bytes(CONTENT)
    assert download.get(NAME) == cache / "other.pth"
    (tmp_path / FILE).write_bytes(CONTENT)
    assert download.get(NAME, folder=tmp_path) == tmp_path / FILE
    assert capsys.readouterr().err.count("is here already") == 2
    assert server.asked == []


def test_quiet_is_quiet(server: Behaviour, capsys: pytest.CaptureFixture[str]) -> None:
    download.get(NAME, quiet=True)
    download.get(NAME, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_the_folder_is_the_users(
    server: Behaviour, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("TRANSFIGURE_WEIGHTS", os.pathsep.join([str(tmp_path / "a file"), str(tmp_path / "named")]))
    assert download.get(NAME, folder=tmp_path / "given") == tmp_path / "given" / FILE
    assert download.get(NAME) == tmp_path / "named" / FILE
    assert f"not into {tmp_path / 'a file'} (named by $TRANSFIGURE_WEIGHTS)" in capsys.readouterr().err
    assert not cache.exists()


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_sizes_may_be_unknown(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch, size: int, length: bool) -> None:
    change(monkeypatch, size=size)
    server.length = length
    assert download.get(NAME).read_bytes() == CONTENT


# ---- going on ------------------------------------------------------------------------------------------------------------


def test_a_cut_is_said_and_gone_on_from(server: Behaviour, cache: Path) -> None:
    server.cut = 700_000
    words = fails("the connection ended after 700,000 of 1,300,000 bytes", "0.7 MB are kept", str(cache / FILE), CATALOGUE[NAME].url)
    assert f"weights get {NAME}" in words
    assert [file.name for file in cache.iterdir()] == [f"{FILE}.part"]
    with pytest.raises(Missing):
        weights.find(NAME)
    server.cut = None
    assert download.get(NAME).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=700000-"]
    assert [file.name for file in cache.iterdir()] == [FILE]


def test_a_server_without_ranges_starts_over(server: Behaviour, cache: Path) -> None:
    begin(cache, CONTENT[:500])
    server.ranges = False
    assert download.get(NAME).read_bytes() == CONTENT
    assert server.asked == ["bytes=500-"]


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        (b"x" * 500, ["bytes=500-", None]),  # of another file
        (b"x" * len(CONTENT), [f"bytes={len(CONTENT)}-", None]),
        (CONTENT + b"x", [f"bytes={len(CONTENT) + 1}-", None]),
        (CONTENT, []),  # stopped just before it took its name
        (b"", [None]),
    ],
    ids=["another file's", "another file's, as long", "too long", "whole", "empty"],  # random bytes would be another id in every process
)
def test_whatever_part_there_is_the_file_comes_whole(server: Behaviour, cache: Path, part: bytes, asked: list[str | None]) -> None:
    begin(cache, part)
    assert download.get(NAME).read_bytes() == CONTENT
    assert server.asked == asked


def test_ctrl_c_keeps_what_has_arrived(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(download.Progress):
        def advance(self, units: int = 1) -> None:
            if units:  # the first million bytes are there
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "Progress", Impatient)
        with pytest.raises(Interrupted, match=rf"stopped: 1\.\d MB are kept; run  transfigure weights get {NAME}") as caught:
            download.get(NAME, quiet=True)
    assert caught.value.exit_code == 130
    kept = (cache / f"{FILE}.part").stat().st_size
    assert download.get(NAME).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]


def test_two_at_once_download_once(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.hold = threading.Event()
    said: list[str] = []
    monkeypatch.setattr(download, "say", said.append)
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(download.get, NAME) for _ in range(4)]
        threading.Timer(0.5, server.hold.set).start()
        assert {result.result() for result in results} == {cache / FILE}
    assert (cache / FILE).read_bytes() == CONTENT
    assert server.asked == [None]
    assert [file.name for file in cache.iterdir()] == [FILE]
    assert sum("another process is downloading" in words for words in said) == 3


def test_a_lock_on_a_removed_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the process before us may finish and remove the file; a third one makes it anew."""
    lock, calls = tmp_path / "lock", []
    real = download.lock_file

    def late(stream: BinaryIO) -> None:
        real(stream)
        calls.append(stream)
        if len(calls) == 1:
            lock.rename(tmp_path / "removed")
            lock.touch()
        if len(calls) == 2:
            lock.unlink()

    monkeypatch.setattr(download, "lock_file", late)
    with download._locked(lock, print) as stream:
        assert os.path.samestat(os.fstat(stream.fileno()), lock.stat())
    assert len(calls) == 3


def test_without_locks_it_works_and_leaves_nothing(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(stream: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(download, "lock_file", refuse)
    server.cut = 500
    assert "kept" not in fails("500 of 1,300,000")
    server.cut = None
    download.get(NAME)
    assert {file.name for file in cache.iterdir()} <= {FILE, f"{FILE}.lock"}


# ---- bad days ------------------------------------------------------------------------------------------------------------


def test_another_content_is_deleted_and_both_hashes_named(server: Behaviour, cache: Path) -> None:
    server.content = bytes(len(CONTENT))
    fails(hashlib.sha256(server.content).hexdigest(), CATALOGUE[NAME].sha256, "was deleted")
    assert list(cache.iterdir()) == []


def test_another_length_is_noticed_before_anything_is_lost(server: Behaviour, cache: Path) -> None:
    part = begin(cache, CONTENT[:500])
    server.content, server.ranges = b"<html>please log in</html>", False
    fails("offers 26 bytes and not the 1,300,000")
    assert part.read_bytes() == CONTENT[:500]


def test_an_endless_response_ends(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, size=1000)
    server.length = False
    stored: list[int] = []
    real = download._Transfer._store
    monkeypatch.setattr(download._Transfer, "_store", lambda *arguments: stored.append(real(*arguments)) or stored[-1])
    fails("is not the published file")
    assert stored[0] <= 1000 + download._CHUNK
    assert list(cache.iterdir()) == []


def test_404_is_one_sentence(server: Behaviour, cache: Path) -> None:
    server.status = 404
    fails("the server answers 404 Not Found", CATALOGUE[NAME].url, f"put it at {cache / FILE}")
    assert list(cache.iterdir()) == []


def test_nobody_there_is_one_sentence(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        change(monkeypatch, url=f"http://127.0.0.1:{free.getsockname()[1]}/toy.pth")
        fails("Connection refused", CATALOGUE[NAME].url)


def test_silence_is_one_sentence(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    server.hold = threading.Event()
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    fails("no answer for 0.1 seconds")
    server.hold.set()


@pytest.mark.parametrize(
    "address", ["http://example.invalid/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1.example.invalid/"]
)
def test_only_encrypted_addresses(server: Behaviour, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    server.redirect = address
    fails(address)
    assert len(server.asked) == 1
    change(monkeypatch, url=address)
    fails(f"{address} is not an https address")


def test_redirects_are_followed_with_the_range(server: Behaviour, cache: Path) -> None:
    begin(cache, CONTENT[:500])
    server.redirect = "/there"
    assert download.get(NAME).read_bytes() == CONTENT
    assert server.asked == ["bytes=500-", "bytes=500-"]


def test_a_full_disk_is_said(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fails("the disk is full", str(cache), "run again to go on")
    assert not (cache / FILE).exists()
    assert download.get(NAME).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        download.get(NAME, folder=tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="permission denied"):
        download.get(NAME, folder=tmp_path / "closed")
    assert server.asked == []


def test_a_damaged_file_is_not_replaced_unasked(server: Behaviour, cache: Path, tmp_path: Path) -> None:
    for folder, call in ((cache, lambda: download.get(NAME)), (tmp_path, lambda: download.get(NAME, folder=tmp_path, quiet=True))):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(b"mine")
        with pytest.raises(UserError, match=r"delete it and run  transfigure weights get toy"):
            call()
        assert (folder / FILE).read_bytes() == b"mine"
    assert server.asked == []


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(UserError, match="did you mean 'inception'"):
        download.get("incepton")


@pytest.mark.parametrize("call", [lambda: weights.find(NAME), lambda: weights.load(NAME), weights.listing])
def test_looking_downloads_nothing(server: Behaviour, cache: Path, call: Callable[[], object]) -> None:
    with contextlib.suppress(Missing):
        call()
    assert server.asked == []
    assert not cache.exists()


def test_a_server_that_never_stops_fills_no_disk(server: Behaviour, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file whose size nobody published, a stated number of bytes is the most."""
    change(monkeypatch, size=0)
    monkeypatch.setattr(download, "LARGEST_UNKNOWN", 300_000)
    server.length = False
    server.content = bytes(3_000_000)
    fails("sends without end", "300,000 are the most")
    assert not list(cache.glob("*.part"))
    server.length = True
    fails("offers 3,000,000 bytes")


def test_a_length_of_thousands_of_digits_is_no_length(server: Behaviour, cache: Path) -> None:
    digits = "1" * 4301
    response = SimpleNamespace(headers={"Content-Length": digits, "Content-Range": f"bytes 0-{digits}/{digits}"})
    assert download._total(response, 0) is None  # type: ignore[arg-type]
    assert download._range(response) == (None, None)  # type: ignore[arg-type]
