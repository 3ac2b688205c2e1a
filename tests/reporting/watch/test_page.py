"""The page of a training that is watched: from nothing to its end, and never more than it is asked for."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from transfigure.cli.main import main
from transfigure.data import images
from transfigure.evaluation.diagnosis import diagnose_run
from transfigure.reporting.watch.page import Watched, write_watch
from transfigure.reporting.watch.server import WatchServer

from ..browser import browser, reported
from ..reading import EVIL, read
from ..run.example import log_lines


@pytest.fixture
def serve(run: Path) -> Iterator[WatchServer]:
    with WatchServer(run) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: WatchServer, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.headers["Content-Type"] or "", answer.read()
    connection.close()
    return found


def cut(run: Path, images: int, end: bool = False) -> None:
    """The run's log as it was after so many images."""
    lines = [entry for entry in log_lines() if entry["images"] <= images and (end or entry["kind"] != "end")]
    (run / "log.jsonl").write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in lines))


def test_a_run_that_has_not_begun_is_shown(tmp_path: Path) -> None:
    page = read(write_watch(tmp_path, tmp_path / "page.html"))
    assert "Nothing has been logged yet" in page.text and "No curves yet" in page.text and "No pictures yet" in page.text
    assert "Diagnosis" not in page.text and list(page.of("svg")) == []


def test_words_of_a_run_that_goes_on_and_of_one_that_has_ended(run: Path, tmp_path: Path) -> None:
    cut(run, 4000)
    watched = Watched(run)
    watched.look()
    state = watched.state(live=False)
    step = watched.log.of("step")[-1]
    assert state["status"] == "Training: 4,000 images seen."
    facts = dict(state["facts"])
    assert facts["time left"].startswith("about ") and facts["speed"].endswith("images/s")
    assert facts["loss of G"] and facts["epoch"].startswith(f"{step['epoch'] + 1} of ")
    assert state["diagnosis"] == diagnose_run(run)
    assert [side for side, _ in state["rows"][0]] == ["source", "generated", "target"]
    assert all(picture.uri.startswith("data:image/") for row in state["rows"] for _, picture in row)
    cut(run, 10**9, end=True)
    (run / "report.html").write_text("x")
    watched.look()
    state = watched.state(live=False)
    assert state["status"].startswith("Training has ended after ") and "time left" not in dict(state["facts"]) and state["report"]
    os.utime(run / "log.jsonl", (time.time() - 4000,) * 2)
    cut(run, 400)
    os.utime(run / "log.jsonl", (time.time() - 4000,) * 2)
    watched.look()
    assert "it may have been stopped" in watched.state(live=False)["status"]


def test_time_left_is_what_is_over_first_epochs_or_minutes(tmp_path: Path) -> None:
    lines = [{"kind": "start", "images": 0, "pairs": 100}]
    lines += [{"kind": "step", "images": at, "epoch": 0, "g": 1.0, "images_per_second": 10.0, "seconds": at / 10} for at in (50, 100)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    for training, left, epoch in (
        ("epochs: 31", "about 5 min 00 s", "1 of 31"),
        ("epochs: 31, minutes: 1", "about 50 s", "1"),
        ("epochs: 3, minutes: 9", "about 20 s", "1"),
    ):
        (tmp_path / "recipe.yaml").write_text(f"training: {{{training}}}")
        watched = Watched(tmp_path)
        watched.look()
        facts = dict(watched.state(live=False)["facts"])
        assert (facts["time left"], facts["epoch"]) == (left, epoch)


def test_pictures_change_with_the_training(run: Path) -> None:
    watched = Watched(run)
    watched.look()
    before = watched.picture("picture-0-generated")
    newest = max((path for path in (run / "samples").iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    later = run / "samples" / f"{int(newest.name) + 50:08d}"
    images.write(later / "0.png", np.full((32, 32, 3), 200, np.uint8))
    with (run / "log.jsonl").open("a") as stream:
        stream.write(json.dumps({"kind": "preview", "images": int(later.name), "variation": 0.5}) + "\n")
    watched.look()
    after = watched.picture("picture-0-generated")
    assert before and after and before.uri != after.uri and watched.files["picture-0-generated"] == later / "0.png"


def test_the_server_answers_fixed_names_and_nothing_else(serve: WatchServer, run: Path) -> None:
    status, kind, page = get(serve, "/")
    text = page.decode()
    assert (status, kind) == (200, "text/html; charset=utf-8") and "connect-src 'self'" in text and "/state.json" in text
    assert 'src="/picture-0-generated?' in text
    assert get(serve, "/picture-0-generated?1")[1].startswith("image/")
    status, kind, state = get(serve, "/state.json?seen=")
    found = json.loads(state)
    assert kind == "application/json" and f'data-version="{found["version"]}"' in text and "Diagnosis: " in found["html"]
    assert json.loads(get(serve, f"/state.json?seen={found['version']}")[2]) == {"version": found["version"]}, "nothing new, nothing sent"
    (run / "secret.txt").write_text("secret")
    for path in (
        *("/recipe.yaml", "/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/samples/fixed/0_target.png"),
        *("/picture-99-generated", "/picture-0-", "/picture--1-target", "/..", "/state.json/../secret.txt", "/log.jsonl"),
    ):
        assert get(serve, path)[0] == 404, path
    assert get(serve, "/report.html")[0] == 404
    (run / "report.html").write_text("<title>it</title>")
    assert get(serve, "/report.html")[2] == b"<title>it</title>" and b'href="/report.html"' in get(serve, "/")[2]
    assert get(serve, "/", host="evil.example:80")[0] == 403, "another site's name that leads here"
    assert get(serve, "/", method="POST")[0] == 501 == get(serve, "/", method="DELETE")[0]
    assert serve.server_address[0] == "127.0.0.1"


def test_what_changes_is_what_is_sent(serve: WatchServer, run: Path) -> None:
    cut(run, 4000)
    first = json.loads(get(serve, "/state.json?seen=")[2])
    cut(run, 5000)
    second = json.loads(get(serve, f"/state.json?seen={first['version']}")[2])
    assert "5,000 images seen" in second["html"] and second["version"] != first["version"]
    assert len(second["html"]) < 300_000


def test_a_name_from_a_file_is_escaped(run: Path, tmp_path: Path) -> None:
    with (run / "log.jsonl").open("a") as stream:
        stream.write(json.dumps({"kind": "step", "images": 9000, "g": 1.0, "terms": {EVIL: 1.0}}) + "\n")
        stream.write(json.dumps({"kind": "health", "images": 9000, "code": "collapse", "message": EVIL}) + "\n")
    page = read(write_watch(run, tmp_path / "page.html"))
    assert page.source.count("<script>") == 1 and "alert" in page.text


def test_a_page_is_written_once_and_a_foreign_file_is_left_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["watch", str(run), "--once", str(out)]) == 0 == main(["watch", str(run), "--once", str(out)])
    assert capsys.readouterr().out.splitlines() == [str(out)] * 2
    out.write_text("mine")
    assert main(["watch", str(run), "--once", str(out)]) == 2 and out.read_text() == "mine"
    assert main(["watch", str(run), "--once", str(out), "--overwrite"]) == 0


def test_what_cannot_be_watched_is_one_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.endswith("is not a directory: give the one that 'transfigure train --out' names\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["watch", str(run), "--port", str(port)]) == 2
    assert f"--port {port} cannot be used" in capsys.readouterr().err
    assert main(["watch", str(run), "--port", "99999"]) == 2


def test_ctrl_c_ends_it(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(self: WatchServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WatchServer, "serve_forever", interrupted)
    assert main(["watch", str(run)]) == 130
    assert capsys.readouterr().out.startswith("watch: http://127.0.0.1:")


@browser
def test_the_page_follows_the_run_in_a_browser(serve: WatchServer, run: Path, tmp_path: Path) -> None:
    """It asks by itself, shows what came, and what the policy forbids is not asked for."""
    cut(run, 4000)
    script = """<script>
    addEventListener("load", () => setTimeout(() => {
      const found = {words: document.getElementById("live").innerText, title: document.title, broken:
        [...document.images].filter(image => image.getAttribute("src") && !image.naturalWidth).length,
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth};
      document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
      document.getElementById("found").textContent = JSON.stringify(found);
    }, 4500));
    </script>"""
    serve.page = lambda: _probed(serve, script, run)  # type: ignore[method-assign]
    found = reported(tmp_path / "profile", "--window-size=500,900", "--virtual-time-budget=9000", serve.address)
    assert "5,000 images seen" in found["words"] and found["broken"] == 0 and found["overflow"] == 0
    assert found["title"].endswith("facades")


def _probed(server: WatchServer, script: str, run: Path) -> bytes:
    """The page with a script that reports on it; the run goes on once it has been sent."""
    text = WatchServer.page(server).decode().replace("</body>", script + "</body>")
    cut(run, 5000)
    start, _, rest = text.partition("script-src 'sha256-")
    return f"{start}script-src 'unsafe-inline'{rest.partition(chr(39))[2]}".encode()
