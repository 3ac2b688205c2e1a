"""The page on this machine alone: a few fixed names, nothing that can be written, and no path that is taken from a request."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import UserError
from .page import Watched, body, render, title

HOST = "127.0.0.1"
LARGEST = 64 << 20
"""Bytes of a report that is served."""


class WatchServer(ThreadingHTTPServer):
    """Serves one run.

    Args:
        run: its directory.
        port: to listen on; 0 is any that is free.

    Raises:
        UserError: there is no such directory, or the port is taken.
    """

    daemon_threads = True

    def __init__(self, run: Path, port: int = 0) -> None:
        self.watched, self.lock = Watched(run), threading.Lock()
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"--port {port} cannot be used ({reason}): leave it out, and a free one is taken") from error

    @property
    def address(self) -> str:
        """What is typed into a browser."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def page(self) -> bytes:
        """The page as it is now."""
        with self.lock:
            self.watched.look()
            state = self.watched.state(live=True)
            return render(state, _version(body(state))).encode("utf-8", "replace")

    def state(self, seen: str) -> bytes:
        """What has changed since the version ``seen``, as JSON."""
        with self.lock:
            self.watched.look()
            state = self.watched.state(live=True)
        html = body(state)
        version = _version(html)
        found = {"version": version} if version == seen else {"version": version, "title": title(state), "html": html}
        return json.dumps(found).encode()

    def picture(self, name: str) -> tuple[str, bytes] | None:
        """The kind and the bytes of a picture of the page; None for any other name."""
        with self.lock:
            picture = self.watched.picture(name)
        if picture is None or not picture.uri:
            return None
        kind, _, data = picture.uri.removeprefix("data:").partition(";base64,")
        return kind, base64.b64decode(data)

    def report(self) -> bytes | None:
        """The run's report, if it is there."""
        try:
            with (self.watched.run / "report.html").open("rb") as stream:
                return stream.read(LARGEST)
        except OSError:
            return None


class Handler(BaseHTTPRequestHandler):
    """Answers GET for the fixed names of a :class:`WatchServer`."""

    server: WatchServer

    def do_GET(self) -> None:
        """One of the names, or 404."""
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):  # another site's name that leads here
            self._send(403, "text/plain; charset=utf-8", b"open the address that transfigure watch printed\n")
            return
        asked = urlsplit(self.path)
        if asked.path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page())
        elif asked.path == "/state.json":
            self._send(200, "application/json", self.server.state(asked.query.removeprefix("seen=")))
        elif asked.path == "/report.html" and (report := self.server.report()) is not None:
            self._send(200, "text/html; charset=utf-8", report)
        elif (picture := self.server.picture(asked.path.removeprefix("/"))) is not None:
            self._send(200, *picture)
        else:
            self._send(404, "text/plain; charset=utf-8", b"there is no such page\n")

    def _send(self, status: int, kind: str, content: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "no-store")):
                self.send_header(name, value)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):  # the tab was closed
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""


def _version(html: str) -> str:
    return hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:16]
