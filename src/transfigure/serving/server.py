"""A server's life: it listens, says where, and when it is asked to end answers what it has accepted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import RunFailure, UserError
from ..processes import StopRequest
from ..progress import say
from ..wording import counted
from .app import Service, make_app
from .limits import Limits
from .models import ServedModel

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PORT = 8000
TOKEN = "TRANSFIGURE_TOKEN"
"""The variable of the environment with the token that requests carry."""
_OTHER_FILES = 256
"""Open files that are not connections: models, libraries, bodies."""
_AT_ONCE = 128
"""Connections that asyncio takes in one go, before any of them can be closed."""
_ENDS = "stopping: what was accepted is being answered (Ctrl-C again stops at once)"


class Server:
    """Listens from the beginning, answers from :meth:`run` on.

    Args:
        models: by name.
        host: to listen on; off loopback a token is required.
        port: to listen on; 0 is any that is free, None :data:`PORT` or any that is free.
        limits: of requests.
        token: that requests carry; None is that of the environment, and none on loopback if there is none.
        quiet: nothing is said.

    Raises:
        UserError: there is no token, or the address cannot be used.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        host: str = "127.0.0.1",
        port: int | None = None,
        limits: Limits | None = None,
        token: str | None = None,
        quiet: bool = False,
    ) -> None:
        token = (token or os.environ.get(TOKEN) or "").strip() or None
        if token is not None and not (token.isascii() and token.isprintable()):
            raise UserError(f"{TOKEN} holds a character that clients cannot send: use letters and digits without accents, and - . _ ~ + /")
        if host not in LOOPBACK and token is None:
            raise UserError(
                f"--host {host} lets other machines in, and everybody could use this server: set {TOKEN}, for example by  "
                f"export {TOKEN}={secrets.token_urlsafe(8)}...  (a long word of your own), and send it as  Authorization: Bearer ..."
            )
        self._quiet = quiet
        self._socket = _usual(host) if port is None else listening(host, port)
        self.host, self.port = host, self._socket.getsockname()[1]
        self.service = Service(models, limits or Limits(), token, LOOPBACK if token is None else None)
        config = uvicorn.Config(
            make_app(self.service),
            http=_impatient(self.service.limits.seconds, _most_connections()),
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_AT_ONCE,
            timeout_graceful_shutdown=round(self.service.limits.seconds) + 5,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread, self._ended = threading.Thread(target=self._serve, name="http"), threading.Event()

    @property
    def address(self) -> str:
        """What is typed into a browser."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{shown}:{self.port}/"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._uvicorn.should_exit = True
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                self.service.give_up()
            self._ended.wait()  # a thread whose join() is interrupted is taken for ended
        except KeyboardInterrupt:
            self.service.give_up()
            self._ended.wait()
            raise
        finally:
            self._socket.close()

    def _serve(self) -> None:
        try:
            self._uvicorn.run([self._socket])
        finally:
            self._ended.set()

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Answer until a signal comes, and then until everything that was accepted is answered.

        Args:
            ready: called when requests are answered.
        """
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to who sent it
        with StopRequest(_ENDS) as stop, self:
            while not self._uvicorn.started and not self._ended.wait(0.02):
                pass
            if self._ended.is_set():
                raise RunFailure("the server did not start")
            ready()
            while stop.signal is None and not self._ended.wait(0.2):
                pass
        if not self._quiet:
            say(f"stopped: {counted(self.service.answered, 'request')} answered")


def _impatient(seconds: float, most: float) -> type[H11Protocol]:
    """HTTP that closes connections which bring no whole head of a request for a while; uvicorn waits for it without end.

    Args:
        seconds: that a connection may take for it.
        most: connections; more are closed at once.
    """

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.close()
            self._look = self.loop.call_later(seconds, self._close_if_idle, self.cycle)

        def connection_lost(self, exc: Exception | None) -> None:
            self._look.cancel()
            super().connection_lost(exc)

        def _close_if_idle(self, before: object) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is before:
                self.transport.close()
            else:
                self._look = self.loop.call_later(seconds, self._close_if_idle, self.cycle if idle else self)

    return Impatient


def _most_connections() -> float:
    """As many as this process may have files open, which it is allowed all that it can be, less what it needs itself.

    Where they are used up nothing can be accepted, and asyncio says so thousands of times a second.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return math.inf
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if files == resource.RLIM_INFINITY else files - min(_OTHER_FILES, files // 2)


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections.

    Raises:
        UserError: the port is taken, or the address is none of this machine's.
    """
    if not 0 <= port < 1 << 16:  # beyond, the system takes the remainder
        raise UserError(f"--port is {port}: give one from 1 to 65535, or 0 for any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_AT_ONCE)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"--host {host} --port {port} cannot be used ({reason}): choose another port, or 0 for any that is free") from error
    return found


def _usual(host: str) -> socket.socket:
    try:
        return listening(host, PORT)
    except UserError:
        return listening(host, 0)
