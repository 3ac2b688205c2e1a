"""Published networks come by name: from a folder, or from a server on this machine when they are asked for, and nothing else is kept."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.interop.reference_layouts import reference_patch, reference_resnet, reference_unet
from transfigure.cli.main import main
from transfigure.interop.zoo import PUBLISHED
from transfigure.translation.translator import Translator

BOTH = ("sat2map", "map2sat", "facades_label2photo")


class Files(dict[str, bytes]):
    """What the server has, by path; ``address`` is its own."""

    address = ""
    asked = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    files = Files()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.asked += 1
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        files.address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr("transfigure.interop.zoo._SERVER", files.address)
        monkeypatch.setenv("NO_PROXY", "*")
        yield files
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    torch.manual_seed(0)
    torch.save(reference_unet(3, 3, 2, 6, "batch"), tmp_path / "net.pth")
    data = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").unlink()
    return data


def typed(out: Path, *words: str) -> int:
    return main(["import", *words, "--out", str(out)])


def refused(capsys: pytest.CaptureFixture[str], code: int, out: Path, *words: str) -> str:
    assert typed(out, *words, "--quiet") == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not out.exists()
    return said


def test_the_list_is_what_was_published() -> None:
    assert len(PUBLISHED) == 23
    names = [one.name for one in PUBLISHED.values()]
    assert {name for name in names if names.count(name) == 2} == set(BOTH)
    assert all(one.url.startswith("https://") and one.url.endswith(f"/{one.name}.pth") for one in PUBLISHED.values())
    assert len({one.file for one in PUBLISHED.values()}) == 23
    assert main(["list", "published"]) == 0


def test_it_is_downloaded_on_demand_once_and_its_hash_is_recorded(
    server: Files, content: bytes, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server["/pix2pix/models-pytorch/facades_label2photo.pth"] = content
    digest = hashlib.sha256(content).hexdigest()
    assert typed(tmp_path / "model", "pix2pix/facades_label2photo", "--download") == 0
    said = capsys.readouterr().err
    assert f"downloading {server.address}/pix2pix/models-pytorch/facades_label2photo.pth to {cache}" in said
    assert "label maps of facades to photographs (trained on facades, BtoA); trained on images resized to 286 x 286" in said
    file = cache / "pix2pix-facades_label2photo.pth"
    assert file.read_bytes() == content
    assert (cache / f"{file.name}.sha256").read_text() == f"{digest}  {file.name}\n"
    model = Translator.load(tmp_path / "model")
    assert model.config.checkpoint == {"which": "pix2pix/facades_label2photo", "file": f"SHA-256 {digest}"}
    assert model.config.trained_size == 256
    assert typed(tmp_path / "again", "pix2pix/facades_label2photo", "--quiet") == 0  # it is here now: nothing has to be asked for
    assert server.asked == 1
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_named_goes_first_and_needs_no_network(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cyclegan-horse2zebra.pth").write_bytes(content)
    monkeypatch.setenv("TRANSFIGURE_WEIGHTS", str(tmp_path / "mine"))
    assert typed(tmp_path / "model", "horse2zebra", "--quiet") == 0
    assert Translator.load(tmp_path / "model").config.checkpoint["which"] == "cyclegan/horse2zebra"


def test_another_address_and_a_hash_that_is_known(server: Files, content: bytes, tmp_path: Path) -> None:
    server["/mirror/zebra.pth"] = content
    digest = hashlib.sha256(content).hexdigest().upper()
    assert typed(tmp_path / "model", "horse2zebra", "--url", f"{server.address}/mirror/zebra.pth", "--sha256", digest, "--quiet") == 0
    assert typed(tmp_path / "again", "horse2zebra", "--sha256", digest, "--quiet") == 0


@pytest.mark.parametrize("name", BOTH)
def test_a_name_of_both_zoos_is_refused_with_both(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, tmp_path / "model", name, "--download")
    assert f"two published networks are called {name}: say pix2pix/{name} or cyclegan/{name}\n" in said


def test_a_name_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "(did you mean 'horse2zebra'?)" in refused(capsys, 2, tmp_path / "model", "horse2zebr", "--download")
    assert "(did you mean 'cyclegan/horse2zebra'?)" in refused(capsys, 2, tmp_path / "model", "pix2pix/horse2zebra")
    assert "give the file of a network, or a name" in refused(capsys, 2, tmp_path / "model", "runs/facades")


def test_nothing_is_downloaded_unasked(server: Files, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 3, tmp_path / "model", "horse2zebra")
    assert f"cyclegan/horse2zebra is not here: add --download to get it from {server.address}/cyclegan" in said
    assert f"or put the file as cyclegan-horse2zebra.pth into {cache}" in said
    assert server.asked == 0


def test_without_a_network_the_way_out_is_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("transfigure.interop.zoo._SERVER", "http://127.0.0.1:9")
    said = refused(capsys, 1, tmp_path / "model", "horse2zebra", "--download")
    assert "run  transfigure import cyclegan/horse2zebra --download  again, or fetch it by other means and put it at" in said
    assert "are kept" not in said
    assert [file.name for file in cache.iterdir()] == []


def test_a_wrong_hash_is_refused_and_nothing_kept(
    server: Files, content: bytes, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server["/cyclegan/pretrained_models/horse2zebra.pth"] = content
    said = refused(capsys, 2, tmp_path / "model", "horse2zebra", "--download", "--sha256", "0" * 64)
    assert "is not the published file" in said
    assert [file.name for file in cache.iterdir()] == []
    assert "no SHA-256" in refused(capsys, 2, tmp_path / "model", "horse2zebra", "--download", "--sha256", "abc")
    assert typed(tmp_path / "right", "horse2zebra", "--download", "--quiet") == 0
    said = refused(capsys, 2, tmp_path / "model", "horse2zebra", "--sha256", "0" * 64)
    assert f"and not {'0' * 64}, as --sha256 says" in said
    said = refused(capsys, 2, tmp_path / "model", str(cache / "cyclegan-horse2zebra.pth"), "--sha256", "0" * 64)
    assert f"and not {'0' * 64}, as --sha256 says" in said


def test_a_file_that_changed_since_its_download_is_refused(
    server: Files, content: bytes, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server["/cyclegan/pretrained_models/horse2zebra.pth"] = content
    assert typed(tmp_path / "right", "horse2zebra", "--download", "--quiet") == 0
    torch.save(reference_resnet(3, 3, 2, 1, "instance", dropout=False), cache / "cyclegan-horse2zebra.pth")
    said = refused(capsys, 2, tmp_path / "model", "horse2zebra")
    assert "is not what was downloaded" in said
    assert "delete both and download it again" in said


@pytest.mark.parametrize("page", [True, False], ids=["a page", "a discriminator"])
def test_what_arrives_and_is_no_generator_is_not_kept(
    page: bool, server: Files, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(reference_patch(3, 2, 3, "instance"), tmp_path / "net_D.pth")
    server["/cyclegan/pretrained_models/horse2zebra.pth"] = b"<html>moved</html>" if page else (tmp_path / "net_D.pth").read_bytes()
    said = refused(capsys, 2, tmp_path / "model", "horse2zebra", "--download")
    assert "horse2zebra.pth sent is no generator, and was deleted" in said
    assert [file.name for file in cache.iterdir()] == []


def test_flags_of_a_download_with_a_file(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    for flag in (["--download"], ["--url", "https://example.org/x.pth"]):
        assert f"{flag[0]} is for the name of a published network" in refused(
            capsys, 2, tmp_path / "model", str(tmp_path / "net.pth"), *flag
        )
