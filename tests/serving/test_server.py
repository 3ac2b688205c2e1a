"""A server's life: where it listens, whom it lets in, and that it answers what it has accepted before it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import noise_image, tiny_translator
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.serving.limits import Limits
from transfigure.serving.models import ServedModel, name_models
from transfigure.serving.server import TOKEN, Server


def served() -> dict[str, ServedModel]:
    translator = tiny_translator()
    translator.quiet = True
    return {"tiny": ServedModel("tiny", translator)}


def ask(address: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def counter(address: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", ask(address + "metrics")[1].decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_off_loopback_a_token_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(UserError, match=rf"--host 0.0.0.0 lets other machines in, .* set {TOKEN}, for example"):
        Server(served(), "0.0.0.0", 0)
    monkeypatch.setenv(TOKEN, "a long word")
    with Server(served(), "0.0.0.0", 0) as server:
        while not server._uvicorn.started:
            time.sleep(0.02)
        assert json.loads(ask(server.address + "v1/models")[1])["status"] == 401
        assert ask(server.address + "v1/models", Authorization="Bearer a long word")[0] == 200


@pytest.mark.parametrize("token", ["tökén", "a\nb"])
def test_a_token_that_no_client_could_send_is_refused(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(UserError, match=f"{TOKEN} holds a character that clients cannot send"):
        Server({}, port=0)


def test_spaces_around_a_token_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file with a line's end leaves them; a token of nothing else is none."""
    monkeypatch.setenv(TOKEN, " word\n")
    with Server({}, port=0) as server:
        assert server.service.token == "word"
    monkeypatch.setenv(TOKEN, " \n")
    with pytest.raises(UserError, match="everybody could use this server"):
        Server({}, "0.0.0.0", 0)


def connected(server: Server, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 30)
    connection.sendall(data)
    return connection


def test_a_connection_that_never_asks_is_closed() -> None:
    """Nor does half a head hold it open; one that asks stays usable."""
    with Server(served(), port=0, limits=Limits(seconds=0.2)) as server:
        for head in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal"):
            with connected(server, head) as silent:
                while silent.recv(1000):
                    pass


def test_who_closes_after_one_answer_reads_why_a_large_body_is_refused() -> None:
    """urllib sends all of it before it reads; a server that closes meanwhile resets the connection."""
    with Server(served(), port=0, limits=Limits(megabytes=0.1)) as server:
        status, words = ask(server.address + "v1/translate", bytes(8_000_000))
        assert status == 413 and b"100,000 bytes" in words
        assert ask(server.address + "v1/nothing", bytes(8_000_000))[0] == 404


def test_more_connections_than_files_may_be_open_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfigure.serving.server._most_connections", lambda: 2)
    with Server(served(), port=0) as server:
        first = [connected(server, b"GET /heal") for _ in range(2)]
        with connected(server, b"") as third:
            assert third.recv(100) == b""
        first[0].sendall(b"thz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert first[0].recv(100).startswith(b"HTTP/1.1 200 OK")
        for connection in first:
            connection.close()


def test_nobody_works_for_a_client_that_has_hung_up(tmp_path: Path) -> None:
    images.write(tmp_path / "source.png", noise_image(20, 20))
    data, models = (tmp_path / "source.png").read_bytes(), served()
    go, passes = threading.Event(), list[int]()
    engine = models["tiny"].translator.engine

    class Held:
        exact_batches = False

        def __call__(self, *values: Any) -> Any:
            assert go.wait(30)
            passes.append(1)
            return engine(*values)

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    models["tiny"].translator.engine = Held()  # type: ignore[assignment]
    head = f"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    with Server(models, port=0) as server:
        clients = [connected(server, head + data) for _ in range(4)]
        while server.service.accepted < 4 or len(server.service.queue) < 3:  # one is in the network
            time.sleep(0.01)
        for client in clients[1:]:
            client.close()
        while server.service.accepted > 1:
            time.sleep(0.01)
        go.set()
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200")
        clients[0].close()
        assert ask(server.address + "v1/translate", data)[0] == 200
        assert counter(server.address, 'transfigure_answers_total{model="tiny",status="499"}') == 3
    assert len(passes) <= 3  # the one that was running, that of the client who stayed, and the last


def test_a_port_that_is_taken_is_a_sentence_and_the_usual_one_is_replaced() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"--host 127.0.0.1 --port {port} cannot be used \(address already in use\): choose another"):
            Server(served(), port=port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("transfigure.serving.server.PORT", port)
            with Server(served()) as server:
                assert server.port != port


@pytest.mark.parametrize("port", [99_999, 65_536, -1])
def test_a_port_that_there_cannot_be(port: int) -> None:
    """99999 would otherwise listen on 34463."""
    with pytest.raises(UserError, match=f"--port is {port}: give one from 1 to 65535, or 0"):
        Server(served(), port=port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b"])
def test_an_address_of_another_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "word")
    with pytest.raises(UserError, match=f"--host {host} --port 0 cannot be used"):
        Server(served(), host, 0)


def test_models_are_called_by_the_last_part_of_their_place() -> None:
    assert name_models(["runs/facades", "night=runs/b", "x/y.onnx", "hub:me/photos", "runs/a=b/model"]) == {
        "facades": "runs/facades",
        "night": "runs/b",
        "y": "x/y.onnx",
        "photos": "hub:me/photos",
        "model": "runs/a=b/model",
    }
    with pytest.raises(UserError, match="runs/a and other/a would both be served as a: give one of them a name, as other=other/a"):
        name_models(["runs/a", "other/a"])


def test_what_was_accepted_is_answered_before_it_ends(tmp_path: Path, forking_python: str) -> None:
    """SIGTERM in the middle of a queue, as an orchestrator sends it."""
    tiny_translator().save(tmp_path / "tiny")
    images.write(tmp_path / "large.png", noise_image(768, 768))
    data, statuses, asked = (tmp_path / "large.png").read_bytes(), list[int](), 12
    command = [forking_python, "-m", "transfigure", "serve", str(tmp_path / "tiny"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stderr is not None
            found = re.search(r"serving: tiny at (\S+)", server.stdout.readline())
            assert found, server.stderr.read()
            address = found[1]
            threads = [threading.Thread(target=lambda: statuses.append(ask(address + "v1/translate", data)[0])) for _ in range(asked)]
            for thread in threads:
                thread.start()
            while counter(address, "transfigure_accepted") + counter(address, 'transfigure_seconds_count{model="tiny"}') < asked:
                time.sleep(0.02)
            unanswered = counter(address, "transfigure_accepted")
            server.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join()
            assert server.wait(60) == 0
            words = server.stderr.read()
        finally:
            server.kill()
    assert statuses == [200] * asked and unanswered > 0
    assert words.endswith(f"stopped: {asked} requests answered\n") and "stopping: what was accepted is being answered" in words
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2])), 5)
