"""Fetching published weights, only when asked to: what arrives is checked before it takes its name, and a cut is gone on from.

The bytes go into ``FILE.part`` next to the file they are for. It takes the name in one step once its SHA-256 is the published one,
and stays where it is when the connection or the person breaks off, so that the next call goes on from there.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import http.client
import math
import os
import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, BinaryIO

from .._version import __version__
from ..data.files import check_writable_folder, home_path, lock_file, open_to_write, refuse_link
from ..errors import Interrupted, RunFailure, TransfigureError
from ..integrity import sha256_of
from ..progress import Progress, say
from .weights import VARIABLE, Weights, check, entry_of, hub_cache, places, search

TIMEOUT = 30.0
"""Seconds of silence after which a server is given up."""
LARGEST_UNKNOWN = 2 << 30
"""Bytes that are stored of a file whose size is not known beforehand."""
_CHUNK = 1 << 18
_SILENT = 3600.0
_MEGA = 1_000_000
_HERE = ("127.0.0.1", "localhost")


def get(name: str, *, quiet: bool = False, folder: str | Path | None = None) -> Path:
    """Download published weights, unless they are here already.

    Several processes may ask for the same file at once: one downloads it, the others wait.

    Args:
        name: of the catalogue.
        quiet: no lines and no progress on stderr.
        folder: where to; by default the first folder of ``$TRANSFIGURE_WEIGHTS`` that can be written, else torch hub's cache.

    Returns:
        The file, whose hash is the published one.

    Raises:
        UserError: no such name, a file of that name which is not the published one, or a folder that cannot be written.
        RunFailure: the network, the server or the disk failed, or what arrived is not the published file.
        Interrupted: Ctrl-C; what has arrived is kept.
    """
    entry = entry_of(name)
    if folder is None and (located := search(entry)) is not None:
        if not quiet:
            say(f"{located.path} is here already, and is the published file")
        return located.path
    return fetch(entry, quiet=quiet, folder=folder)


def fetch(entry: Weights, *, quiet: bool = False, folder: str | Path | None = None) -> Path:
    """Download a published file that is not here, of the catalogue or not.

    Args:
        entry: what is published. Without a hash whatever arrives whole is taken, and nothing is gone on from.
        quiet: as :func:`get`.
        folder: as :func:`get`.

    Raises:
        UserError, RunFailure, Interrupted: as :func:`get`.
    """
    report: Callable[[str], None] = (lambda words: None) if quiet else say
    if folder is None:
        folder = _destination(report)
    is_published = ", and is the published file" if entry.sha256 else ""
    target = home_path(folder) / entry.file
    check_writable_folder(target.parent)
    with _claimed(target, report) as part:
        if target.is_file():  # perhaps another process has just put it there
            check(entry, target)
            report(f"{target} is here already{is_published}")
            return target
        report(f"downloading {entry.url}{f' ({_megabytes(entry.size)})' if entry.size else ''} to {target.parent}")
        try:
            _download(entry, target, part, quiet)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped: {_kept(entry, target)}run  {entry.command}  again to go on") from None
    report(f"{target} is here now{is_published}")
    return target


def _destination(report: Callable[[str], None]) -> Path:
    """The first folder that can be written."""
    for folder, why in places()[:-1]:
        try:
            check_writable_folder(folder)
            return folder
        except TransfigureError as error:
            report(f"not into {folder} ({why}): {error}")
    return hub_cache()


# ---- one process at a time -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _claimed(target: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """The part file, for us alone; waits while another process has it. Where nothing can be locked, a part file of our own."""
    lock = target.with_name(f"{target.name}.lock")
    try:
        stream = _locked(lock, report)
    except OSError:  # some network drives know no locks
        stream = None
    part = _part_of(target) if stream else target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    refuse_link(part)
    _sweep(target)
    try:
        yield part
    finally:
        if stream:
            with contextlib.suppress(OSError):  # Windows keeps the name of an open file
                lock.unlink()
            stream.close()
        else:  # nobody will look for that part again
            part.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove the parts of their own that killed processes left where nothing can be locked: an hour without a byte."""
    for part in target.parent.glob(f"{glob.escape(target.name)}.????????.part"):
        with contextlib.suppress(OSError):
            if re.fullmatch("[0-9a-f]{8}", part.name[-13:-5]) and time.time() - part.lstat().st_mtime > _SILENT:
                part.unlink()


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _locked(lock: Path, report: Callable[[str], None]) -> BinaryIO:
    """The lock file, open and locked, however long that takes; OSError where it cannot be."""
    waiting = False
    while True:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(open_to_write(lock, "ab"))
            try:
                lock_file(stream)
                # Whoever had it before us removed it: a lock on a file without a name keeps nobody out.
                if os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
                    stack.pop_all()
                    return stream
                continue
            except FileNotFoundError:
                continue
            except (BlockingIOError, PermissionError):  # the latter on Windows
                if not waiting:
                    report(f"another process is downloading {lock.name.removesuffix('.lock')}: waiting for it")
                waiting = True
        time.sleep(0.2)


# ---- the download --------------------------------------------------------------------------------------------------------


def _download(entry: Weights, target: Path, part: Path, quiet: bool) -> None:
    if not entry.sha256:
        part.unlink(missing_ok=True)  # nothing would say whether it is the beginning of what is there now
        try:
            _receive(entry, target, part, quiet)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    digest = _digest(part) if part.is_file() else None  # complete, if we were stopped between the last byte and the name
    while entry.sha256 and digest != entry.sha256:
        went_on = _receive(entry, target, part, quiet)
        if (digest := _digest(part)) != entry.sha256:
            part.unlink()
            if not went_on:
                raise AnotherFile(
                    f"what {entry.url} sent is not the published file (SHA-256 {digest} and not {entry.sha256}) and was deleted: "
                    f"try again later, or put the published file at {target}"
                )
            # The beginning was from another time, perhaps of another file: once more, all of it.
    with _disk(part):
        with part.open("r+b") as stream:
            os.fsync(stream.fileno())
        part.replace(target)


def _digest(part: Path) -> str:
    with _disk(part):
        return sha256_of(part)


def _receive(entry: Weights, target: Path, part: Path, quiet: bool) -> bool:
    """Bring the part to its full length; whether that went on from bytes that were there."""
    have = part.stat().st_size if part.is_file() else 0
    try:
        response, start = _request(entry, have)
        with response:
            total = _total(response, start)
            most = entry.size or LARGEST_UNKNOWN
            if total is not None and total > most and not entry.size:
                raise RunFailure(_too_large(entry, target, f"offers {total:,} bytes"))
            if entry.size and total not in (None, entry.size):
                raise RunFailure(
                    f"{entry.url} offers {total:,} bytes and not the {entry.size:,} of the published file, perhaps a page of a proxy: "
                    f"try again later, or put the published file at {target}"
                )
            arrived = _store(response, part, start, total or entry.size, entry, quiet)
            if arrived > most and not entry.size:
                part.unlink(missing_ok=True)
                raise RunFailure(_too_large(entry, target, "sends without end"))
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(entry, target, f"the server answers {error.code} {error.reason}") from error
    except (_NetworkError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _unreachable(entry, target, _reason(error)) from error
    if arrived < (total or entry.size):
        words = f"the connection ended after {arrived:,} of {total or entry.size:,} bytes"
        raise _unreachable(entry, target, words)
    return start > 0


def _store(response: http.client.HTTPResponse, part: Path, start: int, total: int, entry: Weights, quiet: bool) -> int:
    """Write what arrives behind the first ``start`` bytes of the part; how many it has then."""
    done, most = start, entry.size or LARGEST_UNKNOWN
    progress = Progress(math.ceil(total / _MEGA), f"download {entry.name}", "MB", initial=start // _MEGA, quiet=quiet)
    with progress, _disk(part), open_to_write(part, "ab" if start else "wb") as stream:
        while done <= most:  # an endless response ends here, and fails its check
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _NetworkError(_reason(error)) from error
            if not chunk:
                break
            stream.write(chunk)
            progress.advance((done + len(chunk)) // _MEGA - done // _MEGA)
            done += len(chunk)
    return done


def _too_large(entry: Weights, target: Path, what: str) -> str:
    return (
        f"{entry.url} {what}, and {LARGEST_UNKNOWN:,} are the most that are taken of a file whose size is not known: nothing is kept; "
        f"put the published file at {target} by other means"
    )


class AnotherFile(RunFailure):
    """What arrived is not the published file."""


class _NetworkError(Exception):
    """The connection failed while the body arrived; not an OSError, which means the disk there."""


@contextlib.contextmanager
def _disk(part: Path) -> Iterator[None]:
    """Turn an error of the disk into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFailure(
                f"the disk is full while writing {part}: free some space and run again to go on, or name another folder by ${VARIABLE}"
            ) from error
        raise RunFailure(f"cannot write {part}: {(error.strerror or str(error)).lower()}") from error


def _unreachable(entry: Weights, target: Path, reason: str) -> RunFailure:
    return RunFailure(
        f"could not download {entry.url} ({reason}): {_kept(entry, target)}run  {entry.command}  again, "
        f"or fetch it by other means and put it at {target}"
    )


def _kept(entry: Weights, target: Path) -> str:
    part = _part_of(target)
    size = part.stat().st_size if entry.sha256 and part.is_file() else 0
    return f"{_megabytes(size)} are kept; " if size else ""


def _megabytes(size: int) -> str:
    return f"{size / _MEGA:.1f} MB" if size >= _MEGA / 10 else f"{size:,} bytes"


# ---- HTTP ----------------------------------------------------------------------------------------------------------------


def _request(entry: Weights, have: int) -> tuple[http.client.HTTPResponse, int]:
    """The response to a request for what is missing, and the position that its first byte belongs at."""
    headers = {"User-Agent": f"transfigure/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    _check_address(entry.url)
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        response: http.client.HTTPResponse = opener.open(urllib.request.Request(entry.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:  # the part is no beginning of what is there now
            error.close()
            return _request(entry, 0)
        raise
    if response.status == HTTPStatus.OK:
        return response, 0
    if have and response.status == HTTPStatus.PARTIAL_CONTENT and _range(response)[0] == have:
        return response, have
    response.close()
    if have:
        return _request(entry, 0)
    raise _NetworkError(f"the server answers {response.status} {response.reason}")


def _range(response: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """First byte and length of the whole, from ``Content-Range: bytes 500-999/1000``."""
    words = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", "").strip())
    if words is None:
        return None, None
    return int(words[1]), None if words[2] == "*" else int(words[2])


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    """The length of the whole file, as far as the server says it."""
    if start and (whole := _range(response)[1]) is not None:
        return whole
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() and len(length) < 19 else None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects lead to encrypted addresses only, as the first one is."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_address(newurl)
        except _NetworkError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_address(url: str) -> None:
    """Raise unless nobody on the way can change what is sent: https, or this very machine."""
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _HERE):
        raise _NetworkError(f"{url} is not an https address")


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer for {TIMEOUT:g} seconds"
    if isinstance(inner, http.client.IncompleteRead):
        return "the connection ended too early"
    return (isinstance(inner, OSError) and inner.strerror) or str(inner) or type(inner).__name__
