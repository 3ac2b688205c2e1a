"""Fetching published files, only when asked to: what arrives is checked before it takes its name, and a cut is gone on from.

The bytes go into ``FILE.part`` next to the file they are for. It takes the name in one step once its SHA-256 is the published one,
and stays where it is when the connection or the person breaks off, so that the next call goes on from there.

Of a file without a published hash nothing says whether a part is its beginning, but the server's own mark of it (its ETag, or the time
of its last change): where :class:`Terms` want it, the mark is kept in ``FILE.part.mark``, and the rest is asked for on the condition that
the file still has it (``If-Range``).
"""

from __future__ import annotations

import contextlib
import errno
import glob
import http.client
import json
import math
import os
import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, BinaryIO

from .._version import __version__
from ..data.files import check_writable_folder, home_path, lock_file, open_to_write, refuse_link, write_text
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
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may be others in a moment."""
_LONGEST_WAIT = 60.0
_PROGRESS = 1 << 20
_LARGEST_MARK = 4096


@dataclass(frozen=True)
class Terms:
    """How a file is fetched, where not as weights are.

    Attributes:
        largest: bytes that are stored of a file whose size is not known beforehand; None for :data:`LARGEST_UNKNOWN`.
        attempts: how often in a row a connection may fail before it has brought a megabyte; then the person has to run it again.
        plain_http: an address that is not encrypted will do, since the person named it.
        marks: go on from a part of a file without a published hash if the server says that it is still the same file.
        way_out: what a person may do if it cannot be fetched; by default to put the file in its place.
        elsewhere: what a person may do if the disk is full.
        before: is told how many bytes are going to be stored and how many the whole file has, where the server says so, and may raise.
    """

    largest: int | None = None
    attempts: int = 1
    plain_http: bool = False
    marks: bool = False
    way_out: str = ""
    elsewhere: str = f"name another folder by ${VARIABLE}"
    before: Callable[[int, int], None] | None = None


_WEIGHTS = Terms()


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


def fetch(entry: Weights, *, quiet: bool = False, folder: str | Path | None = None, terms: Terms = _WEIGHTS) -> Path:
    """Download a published file that is not here, of the catalogue or not.

    Args:
        entry: what is published. Without a hash whatever arrives whole is taken, and nothing is gone on from but as ``terms`` say.
        quiet: as :func:`get`.
        folder: as :func:`get`.
        terms: how.

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
            _Transfer(entry, target, part, quiet, terms).run()
        except KeyboardInterrupt:
            raise Interrupted(f"stopped: {_kept(entry, target, terms)}run  {entry.command}  again to go on") from None
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


@dataclass
class _Transfer:
    """One file on its way.

    Attributes:
        entry: what is published.
        target: the file that it becomes.
        part: the file that it is until then.
        quiet: no lines and no progress.
        terms: how.
    """

    entry: Weights
    target: Path
    part: Path
    quiet: bool
    terms: Terms

    @property
    def most(self) -> int:
        """Bytes that are stored."""
        return self.entry.size or (LARGEST_UNKNOWN if self.terms.largest is None else self.terms.largest)

    @property
    def way_out(self) -> str:
        return self.terms.way_out or f"put the published file at {self.target}"

    def run(self) -> None:
        """Bring the file to its place."""
        if self.entry.sha256:
            self._bring_published()
        else:
            self._bring_unknown()
        with _disk(self.part, self.terms.elsewhere):
            with self.part.open("r+b") as stream:
                os.fsync(stream.fileno())
            self.part.replace(self.target)
        _mark_of(self.part).unlink(missing_ok=True)

    def _bring_published(self) -> None:
        digest = self._digest() if self.part.is_file() else None  # complete, if we were stopped between the last byte and the name
        while digest != self.entry.sha256:
            went_on = self._receive_patiently()
            if (digest := self._digest()) != self.entry.sha256:
                self._discard()
                if not went_on:
                    raise AnotherFile(
                        f"what {self.entry.url} sent is not the published file (SHA-256 {digest} and not {self.entry.sha256}) and was "
                        f"deleted: try again later, or {self.way_out}"
                    )
                # The beginning was from another time, perhaps of another file: once more, all of it.

    def _bring_unknown(self) -> None:
        if not self.terms.marks or _read_mark(self.part, self.entry.url) is None:
            self._discard()  # nothing would say whether it is the beginning of what is there now
        try:
            self._receive_patiently()
        except BaseException:
            if _read_mark(self.part, self.entry.url) is None:
                self._discard()
            raise

    def _digest(self) -> str:
        with _disk(self.part, self.terms.elsewhere):
            return sha256_of(self.part)

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        _mark_of(self.part).unlink(missing_ok=True)

    def _receive_patiently(self) -> bool:
        """As :meth:`_receive`, again after a connection that failed, as often as the terms say."""
        failures = 0
        began_with_some: bool | None = None
        while True:
            have = self.have
            if began_with_some is None:
                began_with_some = have > 0
            try:
                return self._receive() and began_with_some
            except _Unreachable as error:
                failures = 1 if self.have - have >= _PROGRESS else failures + 1
                if not error.for_a_moment or failures >= self.terms.attempts:
                    raise
                wait = min(_LONGEST_WAIT, error.wait if error.wait is not None else 2.0 ** (failures - 1))
                if not self.quiet:
                    say(f"note: {error.reason}: trying again in {wait:g} s ({failures + 1} of {self.terms.attempts})")
                time.sleep(wait)

    @property
    def have(self) -> int:
        """Bytes that are there."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def _receive(self) -> bool:
        """Bring the part to its full length; whether that went on from bytes that were there."""
        entry, part = self.entry, self.part
        have = self.have
        if have and not entry.sha256 and _read_mark(part, entry.url) is None:
            have = 0
        try:
            response, start = _request(self, have)
            with response:
                total = _total(response, start)
                if total is not None and total > self.most and not entry.size:
                    raise RunFailure(self._too_large(f"offers {total:,} bytes"))
                if entry.size and total not in (None, entry.size):
                    raise RunFailure(
                        f"{entry.url} offers {total:,} bytes and not the {entry.size:,} of the published file, perhaps a page of a proxy: "
                        f"try again later, or {self.way_out}"
                    )
                if self.terms.before is not None and total is not None:
                    self.terms.before(total - start, total)
                if self.terms.marks and not start:
                    _write_mark(part, entry.url, response)
                arrived = self._store(response, start, total or entry.size)
                if arrived > self.most and not entry.size:
                    self._discard()
                    raise RunFailure(self._too_large("sends without end"))
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answers {error.code} {error.reason}"
            raise self._unreachable(reason, error.code in _LATER, _retry_after(error)) from error
        except (_NetworkError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise self._unreachable(_reason(error), not isinstance(error, _NotSafe)) from error
        if arrived < (total or entry.size):
            raise self._unreachable(f"the connection ended after {arrived:,} of {total or entry.size:,} bytes", True)
        return start > 0

    def _store(self, response: http.client.HTTPResponse, start: int, total: int) -> int:
        """Write what arrives behind the first ``start`` bytes of the part; how many it has then."""
        done = start
        part = self.part
        progress = Progress(math.ceil(total / _MEGA), f"download {self.entry.name}", "MB", initial=start // _MEGA, quiet=self.quiet)
        with progress, _disk(part, self.terms.elsewhere), open_to_write(part, "ab" if start else "wb") as stream:
            while done <= self.most:  # an endless response ends here, and fails its check
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

    def _too_large(self, what: str) -> str:
        way_out = self.terms.way_out or f"put the published file at {self.target} by other means"
        return (
            f"{self.entry.url} {what}, and {self.most:,} are the most that are taken of a file whose size is not known: nothing is kept; "
            f"{way_out}"
        )

    def _unreachable(self, reason: str, for_a_moment: bool, wait: float | None = None) -> _Unreachable:
        other = self.terms.way_out or f"fetch it by other means and put it at {self.target}"
        error = _Unreachable(
            f"could not download {self.entry.url} ({reason}): {_kept(self.entry, self.target, self.terms)}"
            f"run  {self.entry.command}  again, or {other}"
        )
        error.reason, error.for_a_moment, error.wait = reason, for_a_moment, wait
        return error


class _Unreachable(RunFailure):
    """A connection that failed.

    Attributes:
        reason: why, in words.
        for_a_moment: another try may be worth it.
        wait: seconds that the server asks to wait before it.
    """

    reason: str
    for_a_moment: bool
    wait: float | None


# ---- the server's mark of a file -------------------------------------------------------------------------------------------


def _mark_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.mark")


def _read_mark(part: Path, url: str) -> str | None:
    """What the server called the file that the part is the beginning of; None if it is of another address, or nobody knows."""
    try:
        with _mark_of(part).open("rb") as stream:
            values = json.loads(stream.read(_LARGEST_MARK))
        mark = values["mark"] if values["url"] == url and part.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return mark if isinstance(mark, str) and mark.isprintable() and mark else None


def _write_mark(part: Path, url: str, response: http.client.HTTPResponse) -> None:
    """Keep the mark of the file whose first byte comes next, before it does: a mark never stands beside bytes of another file."""
    part.unlink(missing_ok=True)
    mark = _mark(response)
    if mark is None:
        _mark_of(part).unlink(missing_ok=True)
    else:
        write_text(_mark_of(part), json.dumps({"url": url, "mark": mark}) + "\n")


def _mark(response: http.client.HTTPResponse) -> str | None:
    """A strong ETag, else the time of the last change; a weak ETag may be that of other bytes."""
    tag = response.headers.get("ETag", "").strip()
    if tag.startswith('"') and len(tag) < 1000:
        return tag
    changed = response.headers.get("Last-Modified", "").strip()
    return changed if 0 < len(changed) < 100 else None


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    word = (error.headers.get("Retry-After") or "").strip() if error.headers else ""
    return float(word) if re.fullmatch("[0-9]{1,6}", word) else None


class AnotherFile(RunFailure):
    """What arrived is not the published file."""


class _NetworkError(Exception):
    """The connection failed while the body arrived; not an OSError, which means the disk there."""


class _NotSafe(_NetworkError):
    """An address that anybody on the way could answer for."""


@contextlib.contextmanager
def _disk(part: Path, elsewhere: str) -> Iterator[None]:
    """Turn an error of the disk into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFailure(f"the disk is full while writing {part}: free some space and run again to go on, or {elsewhere}") from error
        raise RunFailure(f"cannot write {part}: {(error.strerror or str(error)).lower()}") from error


def _kept(entry: Weights, target: Path, terms: Terms) -> str:
    part = _part_of(target)
    goes_on = bool(entry.sha256) or (terms.marks and _read_mark(part, entry.url) is not None)
    size = part.stat().st_size if goes_on and part.is_file() else 0
    return f"{_megabytes(size)} are kept; " if size else ""


def _megabytes(size: int) -> str:
    return f"{size / _MEGA:.1f} MB" if size >= _MEGA / 10 else f"{size:,} bytes"


# ---- HTTP ----------------------------------------------------------------------------------------------------------------


def _request(transfer: _Transfer, have: int) -> tuple[http.client.HTTPResponse, int]:
    """The response to a request for what is missing, and the position that its first byte belongs at."""
    entry, plain_http = transfer.entry, transfer.terms.plain_http
    headers = {"User-Agent": f"transfigure/{__version__}", "Accept-Encoding": "identity"}
    mark = _read_mark(transfer.part, entry.url) if have and transfer.terms.marks else None
    if have:
        headers["Range"] = f"bytes={have}-"
        if mark:
            headers["If-Range"] = mark
    _check_address(entry.url, plain_http)
    opener = urllib.request.build_opener(_SafeRedirects(plain_http))
    try:
        response: http.client.HTTPResponse = opener.open(urllib.request.Request(entry.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:  # the part is no beginning of what is there now
            error.close()
            return _request(transfer, 0)
        raise
    if response.status == HTTPStatus.OK:
        return response, 0
    # A server that knows no If-Range sends the rest of whatever is there now.
    is_another = mark is not None and (now := _mark(response)) is not None and now != mark and now.startswith('"') == mark.startswith('"')
    if have and response.status == HTTPStatus.PARTIAL_CONTENT and _range(response)[0] == have and not is_another:
        return response, have
    response.close()
    if have:
        return _request(transfer, 0)
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
    """Redirects lead to encrypted addresses only, as the first one is; or to others, where that was not."""

    def __init__(self, plain_http: bool) -> None:
        self._plain_http = plain_http

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_address(newurl, self._plain_http)
        except _NetworkError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_address(url: str, plain_http: bool) -> None:
    """Raise unless nobody on the way can change what is sent: https, or this very machine; or http, where the person said so."""
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and (plain_http or address.hostname in _HERE)):
        raise _NotSafe(f"{url} is not an https address")


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer for {TIMEOUT:g} seconds"
    if isinstance(inner, http.client.IncompleteRead):
        return "the connection ended too early"
    return (isinstance(inner, OSError) and inner.strerror) or str(inner) or type(inner).__name__
