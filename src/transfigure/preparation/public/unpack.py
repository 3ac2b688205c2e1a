"""Unpacking an archive that somebody else made: into its folder and nowhere else, files and folders alone, and no more than was agreed.

Only the bytes of regular files are taken. No link, device, owner, permission or time of the archive reaches the disk, so that no name can
lead anywhere but below the folder, and what a header claims is held to what comes.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from ...data.files import refusal
from ...errors import UserError
from ...integrity import open_file

_CHUNK = 1 << 20
_HEADERS = 16 << 20
"""Bytes that the headers between two members of a tar archive may have: their reader keeps them in memory."""
_DEEPEST = 32
_LONGEST_NAME = 255
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_MEGA = 1_000_000


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        members: files and folders.
        size: bytes of all files together.
        ratio: bytes of all files for each byte of the archive; pictures in an archive are hardly smaller than outside of it.
        least: bytes that any archive may hold, however small it is.
    """

    members: int = 1_000_000
    size: int = 256 << 30
    ratio: int = 100
    least: int = 64 << 20

    def most(self, archive: int) -> int:
        """Bytes that an archive of so many bytes may hold."""
        return min(self.size, max(self.least, self.ratio * archive))


@dataclass(frozen=True)
class Unpacked:
    """What came out.

    Attributes:
        files: how many.
        size: bytes of all of them.
    """

    files: int
    size: int


class RefusedArchive(UserError):
    """An archive that is damaged, or is not unpacked for what it would do. What had been unpacked of it is for the caller to remove."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    limits: ArchiveLimits | None = None,
    space: Callable[[int], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Unpacked:
    """Unpack a zip or a tar archive compressed with gzip, as its first bytes say, into an empty folder.

    Args:
        archive: the file.
        folder: is there, and is empty.
        limits: what it may hold.
        space: is told before the first byte how many there will be at least, and may raise.
        advance: is told how many bytes of the archive are done.

    Raises:
        RefusedArchive: it is damaged or no archive; or a member has an absolute name, leads out of the folder, is a link or a device, has
            the name of another; or it holds more than the limits.
        UserError, RunFailure: the folder cannot be written; the disk is full.
    """
    try:
        size = archive.stat().st_size
        with open_file(archive) as stream:
            head = stream.read(262)
            stream.seek(0)
            work = _Unpacking(archive, folder, (limits or ArchiveLimits()), size, space or (lambda _: None), advance or (lambda _: None))
            if head.startswith(b"PK"):
                work.unzip(stream)
            elif head.startswith(b"\x1f\x8b"):
                work.untar(stream)
            else:
                beginning = " ".join(head[:12].decode("ascii", "replace").split())
                raise RefusedArchive(
                    f"{archive} is neither a zip nor a tar.gz archive (it begins with {beginning!r}), perhaps a page of a proxy: get it "
                    "again"
                )
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({(error.strerror or str(error)).lower()}): get it again, or name another") from error
    if not work.files:
        raise RefusedArchive(f"{archive} holds no files: get it again, or name another")
    return Unpacked(work.files, work.written)


class _Unpacking:
    def __init__(
        self, archive: Path, folder: Path, limits: ArchiveLimits, size: int, space: Callable[[int], None], advance: Callable[[int], None]
    ) -> None:
        self.archive, self.folder, self.limits, self.size = archive, folder, limits, size
        self.space, self.advance = space, advance
        self.most = limits.most(size)
        self.members = self.files = self.written = 0
        self._done = 0

    # ---- the two formats -----------------------------------------------------------------------------------------------------

    def unzip(self, stream: BinaryIO) -> None:
        with self._damage(), zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            # All of it is said beforehand, so nothing is written of an archive that will be refused for what it says.
            for member in members:
                self._count(member.filename)
                self._place(member.orig_filename if "\0" in member.orig_filename else member.filename)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    self._refuse(member.filename, "is a link" if kind == stat.S_IFLNK else "is no file and no folder")
                if member.flag_bits & 0x1:
                    self._refuse(member.filename, "is encrypted")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    self._refuse(member.filename, "is compressed in a rare way")
            total = sum(member.file_size for member in members)
            if total > self.most:
                raise self._too_large(total)
            self.space(total)
            for member in members:
                place = self._place(member.filename)
                if member.is_dir():
                    self._make_folder(place, member.filename)
                    continue
                with archive.open(member) as source:
                    self._write(source, place, member.filename, member.file_size)
                self._advance(stream.tell() if self.size else 0)

    def untar(self, stream: BinaryIO) -> None:
        self.space(self.size)
        with self._damage(), gzip.GzipFile(fileobj=stream) as plain:
            source = _Counted(cast("IO[bytes]", plain), self._read_too_much)
            source.budget = _HEADERS
            with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|", errorlevel=2) as archive:
                while (member := archive.next()) is not None:
                    self._count(member.name)
                    archive.members = []  # type: ignore[attr-defined]  # which would keep every header
                    place = self._place(member.name)
                    if member.isdir():
                        self._make_folder(place, member.name)
                    elif not member.isreg() or member.issparse():
                        self._refuse(member.name, "is a link" if member.islnk() or member.issym() else "is no plain file and no folder")
                    else:
                        if member.size < 0 or self.written + member.size > self.most:
                            raise self._too_large(self.written + member.size)
                        content = archive.extractfile(member)
                        assert content is not None
                        source.budget = member.size + _HEADERS
                        self._write(content, place, member.name, member.size)
                    source.budget = _HEADERS
                    self._advance(stream.tell())
                end = archive.offset
            source.budget = _HEADERS + self.limits.least  # the zeros that a tape ends with
            while source.read(_CHUNK):  # the checksum stands at the very end
                pass
            if source.last > end:
                raise RefusedArchive(f"{self.archive} is damaged (it goes on behind its end): get it again")

    # ---- a member ------------------------------------------------------------------------------------------------------------

    def _count(self, name: str) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise RefusedArchive(
                f"{self.archive} holds more than {self.limits.members:,} files, and is not unpacked: it is not the data set that it says"
            )

    def _place(self, name: str) -> Path:
        """Where a member goes: below the folder, whatever it is called."""
        if name.startswith("/") or re.match("[A-Za-z]:", name):
            self._refuse(name, "has an absolute name")
        if "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
            self._refuse(name, "has a name of letters that no file should have")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            self._refuse(name, "leads out of its folder")
        if len(parts) > _DEEPEST or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
            self._refuse(name, "has too long a name")
        if os.name == "nt" and any(_RESERVED.fullmatch(part) or part[-1] in ". " or ":" in part for part in parts):
            self._refuse(name, "has a name that Windows keeps for itself")
        return self.folder.joinpath(*parts)

    def _make_folder(self, place: Path, name: str) -> None:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self._refuse(name, "has the name of another member")
        except OSError as error:
            raise self._disk(error, place) from error

    def _write(self, source: IO[bytes], place: Path, name: str, size: int) -> None:
        if place == self.folder:
            self._refuse(name, "has no name")
        self._make_folder(place.parent, name)
        try:
            target = place.open("xb")
        except (FileExistsError, IsADirectoryError):
            self._refuse(name, "has the name of another member")
        except OSError as error:
            raise self._disk(error, place) from error
        left = size
        with target:
            while chunk := source.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    self._refuse(name, "is larger than it says")
                try:
                    target.write(chunk)
                except OSError as error:
                    raise self._disk(error, place) from error
                self.written += len(chunk)
        if left:
            raise RefusedArchive(f"{self.archive} is damaged ({name} is cut off): get it again")
        self.files += 1

    # ---- words ---------------------------------------------------------------------------------------------------------------

    def _advance(self, position: int) -> None:
        if position > self._done:
            self.advance(position - self._done)
            self._done = position

    def _refuse(self, name: str, what: str) -> None:
        raise RefusedArchive(
            f"{self.archive} is not unpacked, since its member {name[:200]!r} {what}: nothing of it is kept; get it from where you trust it"
        )

    def _too_large(self, size: int) -> RefusedArchive:
        return RefusedArchive(
            f"{self.archive} of {self.size:,} bytes holds {size:,} and more, where {self.most:,} are the most that are unpacked: nothing "
            "of it is kept; it is not the data set that it says"
        )

    def _read_too_much(self) -> RefusedArchive:
        return RefusedArchive(f"{self.archive} is not unpacked, since it has headers without end: get it from where you trust it")

    def _disk(self, error: OSError, place: Path) -> Exception:
        return refusal(error, place) or error

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """What a damaged archive makes of its readers, as a sentence."""
        try:
            yield
        except UserError:
            raise
        except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise RefusedArchive(f"{self.archive} is damaged ({str(error).lower() or 'it ends too early'}): get it again") from error
        except (ValueError, OverflowError, NotImplementedError, KeyError, IndexError) as error:
            raise RefusedArchive(f"{self.archive} is damaged or of a kind that is not read: get it again") from error


class _Counted:
    """A stream that counts: how much may be read still, and where the last byte is that is not zero."""

    def __init__(self, source: IO[bytes], too_much: Callable[[], Exception]) -> None:
        self._source, self._too_much = source, too_much
        self.budget = 0
        self.position = self.last = 0

    def read(self, count: int) -> bytes:
        chunk = self._source.read(count)
        self.budget -= len(chunk)
        if self.budget < 0:
            raise self._too_much()
        if rest := len(chunk.rstrip(b"\0")):
            self.last = self.position + rest
        self.position += len(chunk)
        return chunk
