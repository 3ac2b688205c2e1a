"""Getting a public data set: its archive is fetched, checked and unpacked beside the place, and takes its name in one step.

Until then all is in ``.NAME.get`` next to the folder that it becomes: the part of the archive that has arrived, which the next call goes on
from, and what is being unpacked, which it drops.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...data.files import (
    LOCK,
    check_writable_folder,
    home_path,
    in_it,
    lock_file,
    occupants,
    open_to_write,
    refusal,
    refuse_link,
    write_json,
    write_text,
)
from ...errors import Interrupted, RunFailure, TransfigureError, UserError
from ...features import download
from ...features.published import Weights
from ...integrity import sha256_of
from ...progress import Progress, say
from ...stored import read_json
from .catalogue import PublicDataset, dataset_called, megabytes
from .unpack import RefusedArchive, Unpacked, unpack

RECORD = "SOURCE.json"
"""The file in a data set's folder that says where it is from."""
LARGEST = 64 << 30
"""Bytes of an archive whose size is not known beforehand."""
ATTEMPTS = 5
_ADDRESS = "address"
_MEGA = 1_000_000


@dataclass(frozen=True)
class Fetched:
    """A data set that is here.

    Attributes:
        dataset: which.
        folder: where.
        sha256: of the archive that it is from.
        published: somebody published this hash, or the person gave it; else it is what came.
        files: how many there are.
        already: it has been here before.
    """

    dataset: PublicDataset
    folder: Path
    sha256: str
    published: bool
    files: int
    already: bool = False


class _Archive(Weights):
    """An archive for the downloader."""

    @property
    def command(self) -> str:
        return self.purpose


def get(name: str, *, out: str | Path | None = None, mirror: str | None = None, sha256: str | None = None, quiet: bool = False) -> Fetched:
    """Download and unpack a public data set, unless it is here already.

    Args:
        name: of the catalogue.
        out: the folder that it becomes, ``datasets/NAME`` by default. It must not be there, or be empty.
        mirror: where its archive is in place of the published address: a file, a folder that it is in, or an address of either.
        sha256: that the archive must have, 64 hexadecimal digits in small letters, in place of the published one, if there is one.
        quiet: no lines and no progress on stderr.

    Raises:
        UserError: no such name, the folder holds something else, the archive is another than the published one, is damaged, or is not
            unpacked for what it would do.
        RunFailure: the network, the server or the disk failed.
        Interrupted: Ctrl-C; what has arrived is kept.
    """
    dataset = dataset_called(name)
    folder = home_path(out) if out is not None else Path("datasets", dataset.name)
    command = _command(name, out, mirror, sha256)
    refuse_link(folder)
    if (here := _already(dataset, folder, sha256)) is not None:
        if not quiet:
            say(f"{folder} is here already: {here.files:,} files of {dataset.full_name}")
        return here
    source = _source(dataset, mirror)
    expected = sha256 or dataset.sha256
    if not quiet:
        say(f"{dataset.full_name} ({megabytes(dataset.size)}): {dataset.about}")
        say(f"terms: {dataset.licence}")
        if expected is None:
            say("note: nobody has published the hash of this archive, so its size, where known, and its own checksums are what is checked")
            if isinstance(source, str) and source.startswith("http:"):
                say(f"note: {_shown(source)} is not encrypted, so anybody on the way could send another archive")
    order = _Order(dataset, source, expected, sha256 is not None, command, quiet)
    work = folder.parent / f".{folder.name}.get"
    above = _first_missing(folder.parent)
    with _alone(work, dataset):
        try:
            fetched = _already(dataset, folder, sha256) or _bring(order, work, folder)  # another process may just have put it there
        except BaseException as error:
            # Nothing is kept of an archive that is refused, nor of one that has not begun to come.
            if isinstance(error, RefusedArchive) or not any(item.name.startswith(dataset.file) for item in work.iterdir()):
                shutil.rmtree(work, ignore_errors=True)
                _remove_empty(folder.parent, above)
            raise
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)  # Windows removes no folder with an open file
    return fetched


@dataclass(frozen=True)
class _Order:
    """What is to be got.

    Attributes:
        dataset: which.
        source: the file or address of its archive.
        expected: the hash that it must have, if any is known.
        is_given: the person said that hash.
        command: what was typed.
        quiet: no lines and no progress.
    """

    dataset: PublicDataset
    source: Path | str
    expected: str | None
    is_given: bool
    command: str
    quiet: bool


def _bring(order: _Order, work: Path, folder: Path) -> Fetched:
    """Fetch, check and unpack it, and give it its place."""
    dataset = order.dataset
    archive = order.source if isinstance(order.source, Path) else _fetch(order, order.source, work)
    digest = _checked(order, archive)
    root, unpacked = _unpack(order, archive, work)
    _record(order, root, digest, unpacked)
    _place(root, folder)
    if not order.quiet:
        say(f"{folder} is here now: {unpacked.files:,} files, {megabytes(unpacked.size)}")
        if order.expected is None:
            say(f"its archive has the SHA-256 {digest}: another machine gets the same with  --sha256 {digest}")
    return Fetched(dataset, folder, digest, order.expected is not None, unpacked.files)


# ---- from where ----------------------------------------------------------------------------------------------------------------


def _source(dataset: PublicDataset, mirror: str | None) -> Path | str:
    """The archive: a file of this disk, or an address."""
    if mirror is None:
        if dataset.url is None:
            raise UserError(
                f"{dataset.full_name} is not offered for download: {dataset.licence}; or, with an archive {dataset.file} that you may use, "
                "add --mirror FILE"
            )
        return dataset.url
    scheme = mirror.split("://", 1)[0].lower() if "://" in mirror else ""
    if scheme in ("http", "https"):
        address = urllib.parse.urlsplit(mirror)
        if address.query or address.path.endswith((".zip", ".tar.gz", ".tgz")):
            return mirror
        return f"{mirror.rstrip('/')}/{dataset.file}"
    if scheme not in ("", "file"):
        raise UserError(f"--mirror {mirror} is an address of a kind that is not read: give one of http, https or file, a file, or a folder")
    place = Path(urllib.request.url2pathname(urllib.parse.urlsplit(mirror).path)) if scheme else home_path(mirror)
    archive = place / dataset.file if place.is_dir() else place
    if not archive.is_file():
        what = f"holds no {dataset.file}" if place.is_dir() else "does not exist" if not place.exists() else "is no file"
        raise UserError(f"--mirror {place} {what}: give the archive {dataset.file}, or a folder or address that it is in")
    return archive


def _fetch(order: _Order, address: str, work: Path) -> Path:
    """The archive, from the address, in the folder to work in."""
    dataset = order.dataset
    size = 0 if order.is_given and order.expected != dataset.sha256 else dataset.size
    _forget_other_address(order, address, work)
    part = work / f"{dataset.file}.part"
    have = part.stat().st_size if part.is_file() else 0
    if not (work / dataset.file).is_file() and size:
        _check_space(work, max(0, size - have) + size, dataset)
    entry = _Archive(
        name=dataset.name,
        file=dataset.file,
        also=(),
        url=address,
        sha256=order.expected or "",
        size=size,
        purpose=order.command,
        origin=dataset.licence,
    )
    terms = download.Terms(
        largest=LARGEST,
        attempts=ATTEMPTS,
        plain_http=address != dataset.url and urllib.parse.urlsplit(address).scheme == "http",
        marks=True,
        way_out="get the archive by other means and name it with --mirror FILE, or say another hash with --sha256",
        elsewhere="choose a folder on another disk with --out",
        before=lambda left, whole: _check_space(work, left + whole, dataset),
    )
    try:
        return download.fetch(entry, quiet=order.quiet, folder=work, terms=terms)
    except download.AnotherFile as error:
        known = "" if order.is_given or not dataset.sha256 else f" (the hash is the one recorded by {dataset.hash_source})"
        raise UserError(f"{error}{known}; if you know the archive to be right, say its hash with --sha256") from error


def _forget_other_address(order: _Order, address: str, work: Path) -> None:
    """What has come from another address, and no hash speaks for it, is not gone on from."""
    note = work / _ADDRESS
    if order.expected is None and note.is_file() and note.read_text(encoding="utf-8", errors="replace").strip() != address:
        for file in work.glob(f"{order.dataset.file}*"):
            file.unlink()
    write_text(note, f"{address}\n")


def _checked(order: _Order, archive: Path) -> str:
    """The hash of the archive, which is the published one where there is one.

    Raises:
        UserError: it is another, or it has another size.
    """
    dataset, expected = order.dataset, order.expected
    try:
        size, digest = archive.stat().st_size, sha256_of(archive)
    except OSError as error:
        raise UserError(f"{archive} cannot be read: {(error.strerror or str(error)).lower()}; name another") from error
    if expected is not None and digest != expected:
        who = "as --sha256 says" if order.is_given else f"as recorded by {dataset.hash_source}"
        raise UserError(
            f"{archive} has the SHA-256 {digest} and not {expected}, {who}: it is another archive, or damaged; get it again, or say its "
            "hash with --sha256 if you know it to be right"
        )
    if not order.is_given and dataset.size not in (0, size):
        raise UserError(
            f"{archive} has {size:,} bytes and not the {dataset.size:,} of the published archive: it is another, or cut off; get it again, "
            f"or say its hash with --sha256 {digest} if you know it to be right"
        )
    return digest


# ---- in its place --------------------------------------------------------------------------------------------------------------


def _unpack(order: _Order, archive: Path, work: Path) -> tuple[Path, Unpacked]:
    """The archive's files in the folder to work in: the folder in there that is the data set, and how many they are."""
    dataset = order.dataset
    place = work / "unpacked"
    shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
    place.mkdir()
    size = archive.stat().st_size
    progress = Progress(max(1, size // _MEGA), f"unpack {dataset.name}", "MB", quiet=order.quiet)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        progress.advance((done + count) // _MEGA - done // _MEGA)
        done += count

    try:
        with progress:
            unpacked = unpack(archive, place, space=lambda needed: _check_space(work, needed, dataset), advance=advance)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, KeyboardInterrupt):
            kept = f"{archive.name} is kept; " if isinstance(order.source, str) else ""
            raise Interrupted(
                f"stopped while unpacking {archive.name}, of which nothing is left: {kept}run  {order.command}  again"
            ) from None
        raise
    inside = [item for item in place.iterdir() if item.name != "__MACOSX" and not item.name.startswith(".")]
    # Most archives hold one folder of the data set's name.
    root = inside[0] if len(inside) == 1 and inside[0].is_dir() else place
    return root, unpacked


def _record(order: _Order, root: Path, digest: str, unpacked: Unpacked) -> None:
    """Write where the data are from beside them."""
    dataset = order.dataset
    values = {
        "dataset": dataset.full_name,
        "archive": dataset.file,
        "from": _shown(order.source) if isinstance(order.source, str) else str(order.source),
        "sha256": digest,
        "sha256_was_known": order.expected is not None,
        "files": unpacked.files,
        "bytes": unpacked.size,
        "licence": dataset.licence,
        "citations": list(dataset.citations),
    }
    write_json(root / RECORD, values)


def _place(root: Path, folder: Path) -> None:
    """Give the data their name, in one step, once they have reached the disk."""
    if hasattr(os, "sync"):
        os.sync()
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()  # an empty one
        root.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _in_the_way(folder) from error
        raise refusal(error, folder) or error from error


def _already(dataset: PublicDataset, folder: Path, sha256: str | None) -> Fetched | None:
    """The data set, if it is in the folder; None if nothing is.

    Raises:
        UserError: something else is, or one of another hash.
    """
    try:
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return None
        values = read_json(folder / RECORD)
        if not isinstance(values, dict) or values["dataset"] != dataset.full_name:
            raise _in_the_way(folder)
        here = Fetched(dataset, folder, str(values["sha256"]), values["sha256_was_known"] is True, int(values["files"]), already=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _in_the_way(folder) from error
    if sha256 is not None and here.sha256 != sha256:
        raise UserError(
            f"{folder} is from an archive with the SHA-256 {here.sha256} and not {sha256}, as --sha256 says: choose another --out, or "
            "remove it"
        )
    return here


def _in_the_way(folder: Path) -> UserError:
    what = "is a file"
    with contextlib.suppress(OSError, TransfigureError):
        what = f"is there already ({in_it(occupants(folder))})" if folder.is_dir() else what
    return UserError(f"{folder} {what}, and nothing is replaced: choose another folder with --out, or move it away")


@contextlib.contextmanager
def _alone(work: Path, dataset: PublicDataset) -> Iterator[None]:
    """The folder to work in, for this process alone."""
    refuse_link(work)
    check_writable_folder(work)
    with open_to_write(work / LOCK, "a+b") as stream:
        try:
            lock_file(stream)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise UserError(
                    f"another process is getting {dataset.full_name} into {work}: wait for it, or choose another --out"
                ) from error
            # else a file system that knows no locks
        yield


def _check_space(folder: Path, needed: int, dataset: PublicDataset) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFailure(
            f"{dataset.full_name} needs about {megabytes(needed)} on the disk of {folder.parent}, where {megabytes(free)} are free: free "
            "some space, or choose a folder on another disk with --out"
        )


def _first_missing(folder: Path) -> Path | None:
    """The uppermost folder on the way that is not there."""
    missing = None
    for place in (folder, *folder.parents):
        if place.exists():
            break
        missing = place
    return missing


def _remove_empty(folder: Path, uppermost: Path | None) -> None:
    """Remove the folders that were made on the way, as far as nothing is in them."""
    if uppermost is None:
        return
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            place.rmdir()
        if place == uppermost:
            return


def _shown(address: str) -> str:
    """An address without a name and a password in it."""
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _command(name: str, out: str | Path | None, mirror: str | None, sha256: str | None) -> str:
    """What is typed to get it."""
    words = ["transfigure", "data", "get", name]
    for flag, value in (("--out", out), ("--mirror", mirror), ("--sha256", sha256)):
        words += [flag, str(value)] if value is not None else []
    return shlex.join(words)
