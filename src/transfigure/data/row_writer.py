"""Files whose rows come one after the other: hidden until all are there, and gone on with where a process was cut off."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import TransfigureError, UserError
from .files import (
    check_writable_folder,
    lock_file,
    open_to_write,
    read_json_with_digest,
    refusal,
    refuse_link,
    sync_folder,
    write_atomically,
    write_json_with_digest,
)
from .formats.row_file import RowFile
from .pixels import Array

_KEY = "key"


class RowWriter:
    """Takes the rows of an image from the top, in a hidden file beside the one that it becomes; see :class:`.windows.WindowedWriter`.

    Without a ``key`` what a killed process leaves is removed by the next that writes to the folder. With one, :meth:`save` makes the rows
    that have come, and what it is given beside them, outlast the process: another writer of the same place and key goes on there. One of
    another key begins anew.

    Args:
        path: the file.
        begin: makes what writes rows to a stream, of what such a one said of its state before.
        encode: of a format that cannot be written row by row, makes the file's bytes from a stream that holds all rows.
        key: what tells this piece of work from all others.

    Attributes:
        rows: that are there already, from the top; those after them are to be written.
        beside: what was saved with them; None if nothing is gone on with.
        dropped: whether there were rows of another key.

    Raises:
        UserError: the place cannot be written, is a link, or another process is writing it.
        RunFailure: the disk is full or failing.
    """

    def __init__(
        self,
        path: Path,
        begin: Callable[[BinaryIO, Mapping[str, Any] | None], RowFile],
        encode: Callable[[BinaryIO], bytes] | None = None,
        key: str = "",
    ) -> None:
        self.path, self._encode, self._key = path, encode, key
        self.beside: dict[str, Any] | None = None
        self.dropped = False
        refuse_link(path)
        with self._naming():
            check_writable_folder(path.parent)
        name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        # Names are short on purpose: the file's own may already be as long as the file system allows.
        self._part = path.with_name(f".rows-{name}.part" if key else f".write-{secrets.token_hex(8)}.part")
        self._journal = path.with_name(f".rows-{name}.json")
        with self._naming():
            self._stream = open_to_write(self._part, "a+b")
            self._stream.close()
            self._stream = open_to_write(self._part, "r+b")
            self._lock()
            begun = self._begun() if key else None
            if begun is None:
                self._stream.truncate(0)
            else:
                self.beside = dict(begun["beside"])
            self._file = begin(self._stream, None if begun is None else begun["file"])

    @property
    def rows(self) -> int:
        """How many are there, from the top."""
        return self._file.rows

    def write_rows(self, rows: Array) -> None:
        """The next rows, ``[n, W, C]`` of the type of the file.

        Raises:
            ValueError: they are not of the image's width, channels and type, or too many.
            UserError: the place cannot be written.
            RunFailure: the disk is full or failing.
        """
        with self._naming():
            self._file.write(rows)

    def save(self, beside: Mapping[str, Any]) -> None:
        """Make the rows that are there, but for the last few, outlast this process, and with them some words, numbers and lists.

        Raises:
            ValueError: there is no key.
            UserError, RunFailure: as :meth:`write_rows`.
        """
        if not self._key:
            raise ValueError("without a key nobody could go on")
        with self._naming():
            state = self._file.state()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            write_json_with_digest(self._journal, {_KEY: self._key, "file": state, "beside": dict(beside)})

    def close(self) -> Path:
        """All rows have come: the file takes its name.

        Raises:
            ValueError: rows are missing.
            UserError, RunFailure: as :meth:`write_rows`.
        """
        with self._naming():
            self._file.finish()
            self._stream.flush()
            if self._encode is None:
                os.fsync(self._stream.fileno())
                refuse_link(self.path)
                self._stream.close()  # an open file keeps its name on Windows
                self._part.replace(self.path)
                sync_folder(self.path.parent)
                self._forget()
            else:
                write_atomically(self.path, self._encode(self._stream))
                self.discard()
        return self.path

    def discard(self) -> None:
        """Leave nothing behind; after :meth:`close` nothing happens."""
        if self._stream.closed:
            return
        self._forget()
        self._stream.close()
        with contextlib.suppress(OSError):
            self._part.unlink()

    def keep(self) -> bool:
        """Leave what :meth:`save` has saved, for another process, and say whether that is anything; if not, leave nothing behind."""
        if self._stream.closed:
            return False
        if kept := bool(self._key) and self._journal.is_file():
            self._stream.close()
        else:
            self.discard()
        return kept

    def _forget(self) -> None:
        if self._key:
            with contextlib.suppress(OSError):
                self._journal.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            lock_file(self._stream)
        except OSError as error:  # any other is that of a file system without locks
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                self._stream.close()
                raise UserError(
                    f"{self.path} is being written by another process: wait until it is there, or choose another place"
                ) from error

    def _begun(self) -> dict[str, Any] | None:
        """What was saved of this very work."""
        try:
            found = read_json_with_digest(self._journal)
        except UserError:  # damaged, so it is no use
            found = None
        if found is None:
            return None
        if found.get(_KEY) != self._key or self._stream.seek(0, 2) < found["file"]["end"]:
            self.dropped = True
            return None
        return found

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """What the system refuses is a sentence about the file."""
        try:
            yield
        except (TransfigureError, ValueError):
            raise
        except Exception as error:
            if (worded := refusal(error, self.path)) is None:
                raise
            raise worded from error


def blocks(rows: int, width: int, channels: int, at_once: int = 1 << 22) -> Iterator[slice]:
    """Stretches of rows of no more than so many values, or of a single row."""
    step = max(1, at_once // (width * channels))
    return (slice(top, min(rows, top + step)) for top in range(0, rows, step))
