"""Files and folders: written whole or not at all, in the order a person would count them."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..errors import RunFailure, TransfigureError, UserError
from ..integrity import DIGEST, Damaged, check_digest, digest_of
from ..stored import read_json

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_BAD_NAME = frozenset({errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOENT})

GRACE = 60.0
"""Seconds for which an unfinished file that nobody holds is left alone all the same: locks of some network drives are of one machine."""
_UNFINISHED = re.compile(r"\.(write-)?[0-9a-f]{16}\.part")
"""The exact names that :func:`write_atomically` gives, and gave in 0.1.0: a user's own ``.1.part`` is none of them."""
_UNLOCKED = 3600.0  # an hour without a change: what 0.1.0, or a writer on a drive without locks, has left
_NUMBER = re.compile("[0-9]+")
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_swept: set[str] = set()
LOCK = ".lock"
"""The file in a folder that is locked by the process which has the folder to itself."""
_LARGEST_LIST = 1 << 28
"""Bytes of a list of names that a run keeps: some millions of them."""


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new one, never half of either.

    The bytes go to a hidden file in the same folder, reach the disk (fsync), and then take the name in one step. Whether a file that
    is there already may be replaced is not asked here but before the work: see ``ownership.check_outputs``.

    Args:
        path: the file; folders above it are created.
        data: the bytes, or a function that writes them to the open binary stream it is given.

    Raises:
        UserError: the place cannot be written (permission, a folder of that name, a file where a folder should be), or is a link.
        RunFailure: the disk is full or failing.
    """
    temporary, written = None, 0
    refuse_link(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (place := str(path.parent.absolute())) not in _swept:
            _swept.add(place)
            sweep(path.parent)
        # The name is short on purpose: the final name may already be as long as the file system allows.
        temporary = path.parent / f".write-{secrets.token_hex(8)}.part"
        with temporary.open("xb") as stream:
            with contextlib.suppress(OSError):  # a file system without locks
                lock_file(stream)  # for as long as this process writes it: a file that nobody holds is one that a kill left behind
            try:
                if callable(data):
                    data(stream)
                else:
                    stream.write(data)
                stream.flush()
            finally:
                with contextlib.suppress(OSError, ValueError):
                    written = max(stream.tell(), len(data) if isinstance(data, bytes) else 0)
            os.fsync(stream.fileno())
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except TransfigureError:
        raise
    except Exception as error:
        # A writer may wrap the disk's error: torch.save reports a full disk as a RuntimeError raised from the OSError.
        if (cause := _os_error_behind(error)) is None:
            raise
        raise _worded(cause, path, written) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with the line ends it has; bytes of a file name that are no letters as escapes, ``\\udcff``."""
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: two-space indent, a newline at the end, NaN and infinity as null (JSON has no word for them)."""
    write_text(path, json.dumps(to_json_values(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_with_digest(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object with its digest atomically; letters beyond ASCII, and bytes of a name that are no letters, are escaped."""
    write_text(path, json.dumps({**values, DIGEST: digest_of(values)}, indent=1) + "\n")


def read_json_with_digest(path: Path) -> dict[str, Any] | None:
    """What :func:`write_json_with_digest` wrote into a run; None if the file is not there.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
    try:
        values = read_json(path, largest=_LARGEST_LIST)
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
        check_digest(values)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): copy the run again") from error
    except Damaged as error:
        raise UserError(f"{path} is damaged ({error}); else copy the run again") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): copy the run again") from error
    return values


def to_json_values(value: Any) -> Any:
    """The value in JSON's own types: tuples as lists, paths as text, numpy and torch scalars as numbers.

    Numbers that are not finite, for which JSON has no word, are None.
    """
    if isinstance(value, dict):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_values(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):
        return to_json_values(value.item())
    return value


def real_path(path: str | Path) -> Path:
    """The absolute path with ``~`` and links followed, whether it exists or not; what cannot be followed stays as it is written."""
    path = home_path(path)
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()


class RealPaths:
    """:func:`real_path` of many files of few folders, each of which is followed once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, file: Path) -> str:
        """The same as text."""
        above, name = os.path.split(file)
        if above.startswith("~") or name in ("", ".", "..") or name.startswith("~") or os.path.islink(file):  # noqa: PTH114 - many files
            return str(real_path(file))
        if (folder := self._folders.get(above)) is None:
            folder = self._folders[above] = str(real_path(above or "."))
        return os.path.join(folder, name)  # noqa: PTH118 - likewise


def cache_place(name: str) -> Path:
    """A folder of this name in ``$TRANSFIGURE_CACHE``, else in ``$XDG_CACHE_HOME/transfigure``, else in ``~/.cache/transfigure``."""
    if own := os.environ.get("TRANSFIGURE_CACHE"):
        return home_path(own).absolute() / name
    return home_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "transfigure" / name


def home_path(path: str | Path) -> Path:
    """The path with a leading ``~`` as the home folder; ``~nobody``, of a user that there is not, stays a name like any other."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises there


def natural_key(name: str) -> tuple[str, str]:
    """A sort key that counts: ``img2`` comes before ``img10``; names equal but for case or zeros keep one fixed order."""
    return _NUMBER.sub(_counting, name.casefold()), name


def natural_keys(names: Sequence[str]) -> list[tuple[str, str]]:
    """Keys that order these names as :func:`natural_key` does. Names that differ in their digits alone, as in most data sets, order as they
    are.
    """
    shapes = {name.encode("utf-8", "surrogatepass").translate(_DIGITS) for name in names[:1]}
    alike = all(name.encode("utf-8", "surrogatepass").translate(_DIGITS) in shapes for name in names)
    return [(name.casefold(), name) for name in names] if alike else [natural_key(name) for name in names]


def _counting(number: re.Match[str]) -> str:
    """Digits behind their number, so that they order as the number does, and behind what is before any letter, so that a name that ends
    is first. (Python makes numbers of no more than 4,300 digits.)
    """
    digits = number[0].lstrip("0")
    return f"\0{chr(min(len(digits), sys.maxunicode))}{digits}"


def check_writable_folder(path: Path) -> None:
    """Create a folder that is going to be written to, and find out now, not in an hour, whether that works.

    Unfinished files that a killed process left in it are removed.

    Raises:
        UserError: it cannot be created, or no file can be created in it.
        RunFailure: the disk is full or failing.
    """
    probe = path / f".write-{secrets.token_hex(8)}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        sweep(path)
    except (OSError, ValueError) as error:
        raise _worded(_os_error_behind(error) or OSError(errno.EINVAL, str(error)), path, 0) from error


def occupants(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too, in natural order; none if it does not exist.

    What only a process leaves that was killed while it wrote (unfinished files, a lock) is not among them.
    """
    if not folder.is_dir():
        return []
    names = (item.name for item in folder.iterdir())
    return sorted((name for name in names if name != LOCK and not _UNFINISHED.fullmatch(name)), key=natural_key)


def is_unfinished(name: str) -> bool:
    """Whether a name is that of a file which was being written, see :func:`write_atomically`."""
    return _UNFINISHED.fullmatch(name) is not None


def in_it(names: Sequence[str]) -> str:
    """``a.png is in it``, ``.hidden, a.png, b.png and 2 more are in it``: what stands in the way of a new folder."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'} in it"


def sweep(folder: Path, grace: float = GRACE) -> None:
    """Remove the unfinished files that killed processes left in a folder; those of a process that is still at work are left alone.

    A writer holds a lock on its file, and the system lets go of it when the process ends, however it ends.

    Args:
        folder: only itself, not what is below it.
        grace: seconds since a file's last change before which it is left; 0 where a lock keeps every other writer out.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (found := _UNFINISHED.fullmatch(entry.name)) is None:
                continue
            with contextlib.suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                patience = grace if found[1] or not grace else _UNLOCKED  # 0.1.0 held none
                if stat.S_ISREG(state.st_mode) and time.time() - state.st_mtime >= patience and not _held(Path(entry.path)):
                    Path(entry.path).unlink()


def _held(path: Path) -> bool:
    """Whether a process holds this unfinished file; where nothing can be locked, one that changed within the hour counts as held."""
    with path.open("r+b") as stream:
        try:
            lock_file(stream)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return True
            return time.time() - os.fstat(stream.fileno()).st_mtime < _UNLOCKED
    return False


def refuse_link(path: Path) -> None:
    """See that writing to a path changes no other place: it is no link, and no device or pipe.

    Raises:
        UserError: it is; whatever it leads to is as it was.
    """
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISLNK(mode):
        raise UserError(f"{path} is a link, and nothing is written through a link: remove it, or choose another place")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UserError(f"{path} is no regular file: choose another place")


def separate(path: Path) -> None:
    """Give a file that is about to be changed in place a content of its own, where a hard link shares it, as some backups have them."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        write_atomically(path, path.read_bytes())


def open_to_write(path: Path, mode: Literal["ab", "wb", "a+b", "r+b"]) -> BinaryIO:
    """Open a file that grows where it is (a log, a lock, a download), never through a link.

    Raises:
        UserError: it is a link.
        OSError: as ``open``.
    """
    refuse_link(path)
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666))


def sync_folder(folder: Path) -> None:
    """Make the new name itself reach the disk; Windows and some network drives cannot, and the file is whole there too."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refusal(error: BaseException, path: Path) -> TransfigureError | None:
    """The sentence for an operating system's refusal to write ``path``, if that is what lies behind an error."""
    cause = _os_error_behind(error)
    return None if cause is None else _worded(cause, path, 0)


def _os_error_behind(error: BaseException) -> OSError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _worded(error: OSError, path: Path, written: int) -> TransfigureError:
    """The sentence for an operating system's refusal to write ``path``."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        kept = "; the previous file is intact" if path.is_file() else ""
        size = f" ({written / 1e6:.1f} MB)" if written else ""
        return RunFailure(f"the disk is full while writing {path}{size}: free some space and run again{kept}")
    if error.errno in _FORBIDDEN:
        detail = "" if error.errno == errno.EACCES else f" ({reason})"
        return UserError(f"cannot write {path}: permission denied{detail}; choose another folder or change its permissions")
    if error.errno in _BAD_NAME:
        return UserError(f"cannot write {path}: {reason}; choose another name or folder")
    return RunFailure(f"cannot write {path}: {reason}")


def lock_file(stream: BinaryIO) -> None:
    """Lock an open file for this process until it is closed; OSError at once if another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
