"""A server's life: it listens, says where, and when it is asked to end answers what it has accepted."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping

import uvicorn

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
        token = token or os.environ.get(TOKEN) or None
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
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(self.service.limits.seconds) + 5,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],), name="http")

    @property
    def address(self) -> str:
        """What is typed into a browser."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{shown}:{self.port}/"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._socket.close()

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Answer until a signal comes, and then until everything that was accepted is answered.

        Args:
            ready: called when requests are answered.
        """
        with StopRequest(_ENDS) as stop, self:
            while not self._uvicorn.started and self._thread.is_alive():
                self._thread.join(0.02)
            if not self._thread.is_alive():
                raise RunFailure("the server did not start")
            ready()
            while stop.signal is None and self._thread.is_alive():
                self._thread.join(0.2)
        if not self._quiet:
            say(f"stopped: {counted(self.service.answered, 'request')} answered")


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections.

    Raises:
        UserError: the port is taken, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"--host {host} --port {port} cannot be used ({reason}): choose another port, or 0 for any that is free") from error
    return found


def _usual(host: str) -> socket.socket:
    try:
        return listening(host, PORT)
    except UserError:
        return listening(host, 0)
