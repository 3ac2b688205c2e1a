"""Getting a data set from a server on this machine that behaves as servers do on good days and on bad ones, and from files."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.saying import said
from tests.preparation.public.archives import CONTENTS, HOSTILE, tar_gz
from transfigure.cli import main
from transfigure.errors import Interrupted, RunFailure, UserError
from transfigure.features import download
from transfigure.preparation.public import catalogue
from transfigure.preparation.public import get as getting
from transfigure.preparation.public.catalogue import DATASETS, PublicDataset, dataset_called
from transfigure.preparation.public.get import RECORD, get

ROOT = Path(__file__).parents[3]
HALF = 1_500_000
BIG = {**CONTENTS, "toy/train/noise.jpg": b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(100_000))}


@dataclass
class Server:
    """What the server does, and what it was asked."""

    content: bytes
    address: str = ""
    etag: str = '"one"'
    ranges: bool = True
    if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    pause: float = 0.0
    hold: threading.Event | None = None
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tar_gz(tmp_path_factory.mktemp("archive") / "toy.tar.gz", BIG)


@pytest.fixture
def toy(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicDataset:
    """A data set whose hash nobody has published, in an empty folder."""
    toy = PublicDataset("pix2pix", "toy", "toys", "nobody's", ("Somebody 2017",))
    monkeypatch.setitem(DATASETS, toy.full_name, toy)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.chdir(tmp_path)
    return toy


@pytest.fixture
def server(archive: Path, toy: PublicDataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server(archive.read_bytes())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
            state.asked.append((wanted, condition))
            if state.answers:
                code, headers = state.answers.pop(0)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                return
            start = 0
            if wanted and state.ranges and (not state.if_range or condition in (None, state.etag)):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(state.content) - start))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            body = state.content[start:][: state.cuts.pop(0) if state.cuts else None]
            if state.hold is not None:
                self.wfile.write(body[:HALF])
                self.wfile.flush()
                state.hold.wait(20)
                return
            for place in range(0, len(body), 200_000):
                self.wfile.write(body[place : place + 200_000])
                time.sleep(state.pause)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        state.address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(catalogue, "_SERVER", state.address)
        monkeypatch.setenv("NO_PROXY", "*")
        yield state
        running.shutdown()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    waits: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waits.append, time=time.time))
    return waits


def know(toy: PublicDataset, archive: Path, **changes: object) -> str:
    """Publish the archive's hash and size, or others."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    DATASETS[toy.full_name] = replace(toy, **{"sha256": digest, "size": archive.stat().st_size, **changes})  # type: ignore[arg-type]
    return digest


def is_whole(folder: Path) -> bool:
    found = {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}
    record = json.loads(found.pop(RECORD))
    return found == {name.removeprefix("toy/"): content for name, content in BIG.items()} and record["files"] == len(BIG)


def left(place: Path) -> list[str]:
    return sorted(item.relative_to(place).as_posix() for item in place.rglob("*"))


# ---- good days -------------------------------------------------------------------------------------------------------------------


def test_it_appears_whole_with_where_it_is_from(
    server: Server, toy: PublicDataset, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = know(toy, archive)
    server.pause = 0.01
    assert main(["data", "get", "toy"]) == 0
    out, err = capsys.readouterr()
    assert out == "datasets/toy\n"
    assert is_whole(tmp_path / "datasets" / "toy")
    assert [item.name for item in (tmp_path / "datasets").iterdir()] == ["toy"]
    assert err.index("terms: nobody's") < err.index(f"downloading {server.address}/pix2pix/datasets/toy.tar.gz (3.2 MB)")
    assert "cite: Somebody 2017" in err and "transfigure train pix2pix datasets/toy --data.kind side_by_side" in err
    assert "note:" not in err
    record = json.loads((tmp_path / "datasets" / "toy" / RECORD).read_text())
    assert (record["dataset"], record["sha256"], record["sha256_was_known"]) == ("pix2pix/toy", digest, True)


def test_what_is_here_is_left_alone(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    first = get("toy", quiet=True)
    assert main(["data", "get", "toy", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["already_here"] is True and "is here already" in err
    assert (first.already, get("toy", quiet=True).already, len(server.asked)) == (False, True, 1)
    with pytest.raises(UserError, match="is from an archive with the SHA-256"):
        get("toy", sha256="0" * 64, quiet=True)


def test_a_hash_that_nobody_published_is_said_and_can_be_given(
    server: Server, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    fetched = get("toy")
    err = capsys.readouterr().err
    assert "nobody has published the hash" in err and f"--sha256 {digest}" in err
    assert (fetched.sha256, fetched.published) == (digest, False)
    assert get("toy", out="again", sha256=digest, quiet=True).published and is_whole(tmp_path / "again")


@pytest.mark.parametrize(
    "mirror", ["{folder}", "{folder}/toy.tar.gz", "file://{folder}/toy.tar.gz", "{server}/", "{server}/toy.tar.gz?key=1"]
)
def test_a_mirror_is_a_file_a_folder_or_an_address(server: Server, archive: Path, tmp_path: Path, mirror: str) -> None:
    before = archive.read_bytes()
    get("toy", out="here", mirror=mirror.format(folder=archive.parent, server=server.address), quiet=True)
    assert is_whole(tmp_path / "here")
    assert archive.read_bytes() == before
    assert len(server.asked) == ("server" in mirror)


def test_a_data_set_that_is_not_offered_comes_from_a_copy_alone(toy: PublicDataset, archive: Path, tmp_path: Path) -> None:
    DATASETS[toy.full_name] = replace(toy, offered=False)
    with pytest.raises(
        UserError, match=r"not offered for download: nobody's; or, with an archive toy\.tar\.gz that you may use, add --mirror"
    ):
        get("toy")
    assert left(tmp_path) == []
    get("toy", mirror=str(archive), quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy")


# ---- cut connections -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_cut_download_goes_on_by_itself(
    server: Server, toy: PublicDataset, archive: Path, tmp_path: Path, slept: list[float], known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if known:
        know(toy, archive)
    server.cuts = [HALF, 100]
    get("toy")
    assert is_whole(tmp_path / "datasets" / "toy")
    assert server.asked == [(None, None), (f"bytes={HALF}-", '"one"'), (f"bytes={HALF + 100}-", '"one"')]
    assert slept == [1.0, 2.0]  # the first had brought a megabyte
    assert "the connection ended after 1,500,000 of" in capsys.readouterr().err


@pytest.mark.parametrize("known", [True, False])
def test_a_download_that_was_given_up_goes_on_when_it_is_typed_again(
    server: Server, toy: PublicDataset, archive: Path, tmp_path: Path, slept: list[float], known: bool
) -> None:
    if known:
        know(toy, archive)
    server.cuts = [HALF, *[0] * getting.ATTEMPTS]
    with pytest.raises(RunFailure, match=r"1\.5 MB are kept; run  transfigure data get toy  again, or get the archive by other means"):
        get("toy", quiet=True)
    assert len(slept) == getting.ATTEMPTS - 1
    assert not (tmp_path / "datasets" / "toy").exists()
    server.cuts, server.asked[:] = [], []
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy") and left(tmp_path / "datasets")[0] == "toy"
    assert server.asked == [(f"bytes={HALF}-", '"one"')]


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_that_changed_on_the_server_comes_anew(
    server: Server, archive: Path, tmp_path: Path, slept: list[float], honest: bool
) -> None:
    """One server knows ``If-Range`` and sends all of it; another sends the rest of the new file, with the new mark."""
    server.content, server.if_range = archive.read_bytes()[::-1], honest
    server.cuts = [HALF, *[0] * getting.ATTEMPTS]
    with pytest.raises(RunFailure):
        get("toy", quiet=True)
    server.content, server.etag, server.cuts, server.asked[:] = archive.read_bytes(), '"two"', [], []
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy")
    assert server.asked == [(f"bytes={HALF}-", '"one"')] + [(None, None)] * (not honest)


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_mark_that_holds_nothing_is_gone_on_from(
    server: Server, toy: PublicDataset, tmp_path: Path, slept: list[float], etag: str
) -> None:
    server.etag, server.cuts = etag, [HALF]
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy")
    assert server.asked == [(None, None)] * 2


def test_a_server_that_ignores_ranges_starts_over(server: Server, tmp_path: Path, slept: list[float]) -> None:
    server.ranges, server.cuts = False, [HALF, HALF]
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy")
    assert [wanted for wanted, _ in server.asked] == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_another_address_is_not_gone_on_from(server: Server, archive: Path, tmp_path: Path, slept: list[float]) -> None:
    server.cuts = [HALF, *[0] * getting.ATTEMPTS]
    with pytest.raises(RunFailure):
        get("toy", quiet=True)
    server.cuts, server.asked[:] = [], []
    get("toy", mirror=f"{server.address}/mine", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy") and server.asked == [(None, None)]


def test_a_server_that_asks_to_wait_is_waited_for(server: Server, tmp_path: Path, slept: list[float]) -> None:
    server.answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "86400"}), (503, {})]
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy") and slept == [7.0, 60.0, 4.0]


def test_a_file_that_is_not_there_is_not_asked_for_again(server: Server, tmp_path: Path, slept: list[float]) -> None:
    server.answers = [(404, {})]
    with pytest.raises(RunFailure, match="the server answers 404"):
        get("toy", quiet=True)
    assert (slept, len(server.asked), left(tmp_path)) == ([], 1, [])


# ---- what is not right -----------------------------------------------------------------------------------------------------------


def test_another_hash_is_refused(server: Server, toy: PublicDataset, archive: Path, tmp_path: Path) -> None:
    know(toy, archive, sha256="a" * 64)
    with pytest.raises(UserError, match=r"is not the published file .* was deleted"):
        get("toy", quiet=True)
    with pytest.raises(UserError, match=f"and not {'a' * 64}, as recorded by"):
        get("toy", mirror=str(archive), quiet=True)
    with pytest.raises(UserError, match=f"and not {'b' * 64}, as --sha256 says"):
        get("toy", mirror=str(archive), sha256="b" * 64, quiet=True)
    assert left(tmp_path) == [] and archive.is_file()


def test_another_size_is_refused_before_it_is_stored(server: Server, toy: PublicDataset, archive: Path, tmp_path: Path) -> None:
    know(toy, archive, sha256=None, size=1000)
    with pytest.raises(RunFailure, match=r"offers [\d,]+ bytes and not the 1,000 of the published file"):
        get("toy", quiet=True)
    with pytest.raises(UserError, match=r"has [\d,]+ bytes and not the 1,000 of the published archive.*--sha256 [0-9a-f]{64}"):
        get("toy", mirror=str(archive), quiet=True)
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["tar, up", "tar, symbolic link", "tar, bomb", "zip, absolute", "tar, cut off", "a page"])
@pytest.mark.parametrize("by", ["server", "file"])
def test_of_a_hostile_archive_nothing_is_left(
    server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = HOSTILE[name]
    file = tmp_path_factory.mktemp("hostile") / "toy.tar.gz"
    make(file)
    server.content = file.read_bytes()
    mirror = str(file) if by == "file" else server.address
    assert words in said(capsys, "data", "get", "toy", "--mirror", mirror, "--quiet")
    assert left(tmp_path) == [] and [item.name for item in file.parent.iterdir()] == ["toy.tar.gz"]


@pytest.mark.parametrize("what", ["a file", "a folder", "a link", "another data set"])
def test_nothing_that_is_there_is_replaced(server: Server, toy: PublicDataset, tmp_path: Path, what: str) -> None:
    place = tmp_path / "mine"
    if what == "a file":
        place.write_text("mine")
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    elif what == "a folder":
        place.mkdir()
        (place / "mine.jpg").write_text("mine")
    else:
        DATASETS["pix2pix/other"] = replace(toy, name="other")
        try:
            get("other", out=place, quiet=True)
        finally:
            del DATASETS["pix2pix/other"]
    before, asked = left(tmp_path), len(server.asked)
    with pytest.raises(UserError, match="mine is"):
        get("toy", out=place, quiet=True)
    assert left(tmp_path) == before and len(server.asked) == asked


def test_an_empty_folder_is_free(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    get("toy", out="mine", quiet=True)
    assert is_whole(tmp_path / "mine")


def test_a_folder_that_appears_meanwhile_is_not_replaced(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync() -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "mine.jpg").write_text("mine")

    monkeypatch.setattr(os, "sync", sync)
    with pytest.raises(UserError, match="mine is there already"):
        get("toy", out="mine", quiet=True)
    assert left(tmp_path / "mine") == ["mine.jpg"]


@pytest.mark.parametrize("known", [True, False])
def test_the_disk_is_asked_first(
    server: Server, toy: PublicDataset, archive: Path, tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:
        know(toy, archive)
    size = archive.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * size - 1))
    with pytest.raises(RunFailure, match=r"pix2pix/toy needs about 6\.\d MB on the disk of .*datasets, where 6\.\d MB are free"):
        get("toy", quiet=True)
    assert left(tmp_path) == [] and len(server.asked) == (not known)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * size))
    get("toy", quiet=True)


def test_a_mirror_that_is_none_is_one_sentence(toy: PublicDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no toy.tar.gz" in said(capsys, "data", "get", "toy", "--mirror", str(tmp_path), "--quiet")
    assert "does not exist" in said(capsys, "data", "get", "toy", "--mirror", "nowhere/x.tar.gz", "--quiet")
    assert "an address of a kind that is not read" in said(capsys, "data", "get", "toy", "--mirror", "ftp://host/x", "--quiet")
    assert "is no SHA-256" in said(capsys, "data", "get", "toy", "--sha256", "abc")
    assert "did you mean 'toy'" in said(capsys, "data", "get", "tos")
    assert "no data set is named" in said(capsys, "data", "get")
    assert left(tmp_path) == []


def test_plain_http_is_for_mirrors_and_is_remarked_on(toy: PublicDataset, monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    monkeypatch.setattr(catalogue, "_SERVER", "http://mirror.invalid")
    with pytest.raises(RunFailure, match="is not an https address"):
        get("toy", quiet=True)
    assert slept == []
    lines: list[str] = []
    monkeypatch.setattr(getting, "say", lines.append)
    with pytest.raises(RunFailure, match=r"could not download http://mirror\.invalid/mine/toy\.tar\.gz"):
        get("toy", mirror="http://mirror.invalid/mine")
    assert any("http://mirror.invalid/mine/toy.tar.gz is not encrypted" in line for line in lines)


# ---- stopped in the middle -------------------------------------------------------------------------------------------------------

CHILD = """\
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from transfigure.preparation.public import catalogue, get
catalogue._SERVER = sys.argv[2]
catalogue.DATASETS["pix2pix/toy"] = catalogue.PublicDataset("pix2pix", "toy", "toys", "nobody's", ())
if sys.argv[3] == "unpacked":
    get._record = lambda *_: os._exit(9)
get.get("toy", quiet=True)
"""


def start(server: Server, where: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(ROOT / "src"), server.address, where], env={**os.environ, "NO_PROXY": "*"})


def test_killed_while_it_comes_it_goes_on(server: Server, tmp_path: Path) -> None:
    server.hold = threading.Event()
    part = tmp_path / "datasets" / ".toy.get" / "toy.tar.gz.part"
    with start(server, "download") as child:
        try:
            until = time.monotonic() + 20
            while not (part.is_file() and part.stat().st_size == HALF) and time.monotonic() < until:
                time.sleep(0.01)
            with pytest.raises(UserError, match="another process is getting pix2pix/toy"):
                get("toy", quiet=True)
        finally:
            child.kill()
    server.hold.set()
    server.hold, server.asked[:] = None, []
    assert left(tmp_path / "datasets")[0].startswith(".toy.get") and not (tmp_path / "datasets" / "toy").exists()
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy") and [item.name for item in (tmp_path / "datasets").iterdir()] == ["toy"]
    assert server.asked == [(f"bytes={HALF}-", '"one"')]


def test_killed_while_it_is_unpacked_it_is_unpacked_again(server: Server, tmp_path: Path) -> None:
    with start(server, "unpacked") as child:
        assert child.wait(20) == 9
    assert (tmp_path / "datasets" / ".toy.get" / "unpacked" / "toy" / "train" / "0.jpg").is_file()
    assert not (tmp_path / "datasets" / "toy").exists()
    server.asked[:] = []
    get("toy", quiet=True)
    assert is_whole(tmp_path / "datasets" / "toy") and server.asked == []
    assert [item.name for item in (tmp_path / "datasets").iterdir()] == ["toy"]


def test_ctrl_c_while_it_is_unpacked_keeps_the_archive(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(getting, "unpack", interrupted)
        with pytest.raises(Interrupted, match=r"toy.tar.gz is kept; run  transfigure data get toy  again"):
            get("toy", quiet=True)
    assert "unpacked" not in [item.name for item in (tmp_path / "datasets" / ".toy.get").iterdir()]
    get("toy", quiet=True)
    assert len(server.asked) == 1


# ---- the catalogue ---------------------------------------------------------------------------------------------------------------


def test_what_is_not_known_is_not_said() -> None:
    for one in DATASETS.values():
        assert one.sha256 is None or (len(one.sha256) == 64 and int(one.sha256, 16) and one.size and one.hash_source)
        assert one.licence and one.citations and one.about
        assert one.url is None or one.url.startswith("https://")
    assert len({one.sha256 for one in DATASETS.values()} - {None}) == len([one for one in DATASETS.values() if one.sha256])
    assert {one.full_name for one in DATASETS.values() if one.url is None} == {"pix2pix/cityscapes", "cyclegan/cityscapes"}


def test_a_name_alone_is_the_pairs_where_both_have_it() -> None:
    assert dataset_called("facades") is DATASETS["pix2pix/facades"]
    assert dataset_called("cyclegan/facades") is DATASETS["cyclegan/facades"]
    assert dataset_called("horse2zebra") is DATASETS["cyclegan/horse2zebra"]


def test_the_lists_say_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["full_name"] for row in rows] == list(DATASETS)
    assert next(row for row in rows if row["full_name"] == "pix2pix/edges2shoes")["size"] is None
    assert main(["data", "get", "horse2zebra", "--list"]) == 0
    said = capsys.readouterr().out
    for word in ("116.9 MB", "a74d9d39", "ImageNet", "ICCV 2017", "transfigure train cyclegan datasets/horse2zebra --data.kind unpaired"):
        assert word in said
