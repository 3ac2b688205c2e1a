"""Weights of the networks that features come from: which files, where they are looked for, and whether they are the published ones.

Nothing here reaches for the network; fetching a file is :mod:`.download`, and only when it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Missing, UserError, did_you_mean, printable
from ..integrity import check_claims, read_tensors
from ..progress import without_warnings
from .published import CATALOGUE, Weights

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CATALOGUE",
    "Located",
    "Weights",
    "check",
    "entry_of",
    "explicit",
    "find",
    "hub_cache",
    "listing",
    "listing_text",
    "load",
    "need",
    "places",
    "search",
    "sha256",
]

VARIABLE = "TRANSFIGURE_WEIGHTS"
"""The environment variable that names folders to look in."""


@dataclass(frozen=True)
class Located:
    """A file of weights that is here.

    Attributes:
        path: the file.
        sha256: its hash, 64 hexadecimal digits.
        published: the hash is the one of the published file.
    """

    path: Path
    sha256: str
    published: bool


_named: ContextVar[Mapping[str, Path]] = ContextVar("weights named by the user")
_hashes: dict[tuple[str, int, int], str] = {}


def entry_of(name: str) -> Weights:
    """What is known of the weights of that name.

    Raises:
        UserError: there are none.
    """
    if name not in CATALOGUE:
        raise UserError(f"there are no weights called {name!r}{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]


def places() -> list[tuple[Path, str]]:
    """The folders looked in, in this order, each with the reason why; some may not exist."""
    folders = [(_expanded(folder), f"named by ${VARIABLE}") for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder.strip()]
    return [*folders, (hub_cache(), "torch hub's cache")]


def hub_cache() -> Path:
    """Where torch hub keeps files of weights (``torch.hub.get_dir()/checkpoints``), found without importing torch."""
    home = os.environ.get("TORCH_HOME")
    if home is None:
        home = str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return _expanded(home) / "hub" / "checkpoints"


@contextmanager
def explicit(paths: Mapping[str, str | Path]) -> Iterator[None]:
    """Within this context the named weights are these files, whatever their hashes; inner contexts go before outer ones.

    Like every context variable this does not reach into threads that are started within.

    Args:
        paths: the file for each name.

    Raises:
        UserError: an unknown name, or a file that is not there.
    """
    files = {}
    for name, path in paths.items():
        entry, file = entry_of(name), _expanded(path)
        if not _is_file(file):
            what = "is a folder" if file.is_dir() else "does not exist"
            raise UserError(f"{file}, named for the weights {name!r}, {what}: give a file such as {entry.file}")
        files[name] = file
    token = _named.set({**_named.get({}), **files})
    try:
        yield
    finally:
        _named.reset(token)


def find(name: str) -> Located:
    """The file of some weights: the one the user named, else the published one from the first of :func:`places` that has it.

    Raises:
        Missing: it is nowhere; the message says what to put where.
        UserError: there are no weights of that name, or a file has the published name but not the published hash.
    """
    entry = entry_of(name)
    if (file := _named.get({}).get(name)) is not None:
        digest = sha256(file)
        return Located(file, digest, digest == entry.sha256)
    if (located := search(entry)) is not None:
        return located
    raise Missing(_not_here([entry]))


def need(*names: str) -> None:
    """See that all of these are there, so that a person learns at once of every file that is not.

    Raises:
        Missing, UserError: as :func:`find`.
    """
    absent = []
    for name in names:
        try:
            find(name)
        except Missing:
            absent.append(entry_of(name))
    if absent:
        raise Missing(_not_here(absent))


def _not_here(entries: list[Weights]) -> str:
    *named, (cache, _) = places()
    absent = [str(folder) for folder, _ in named if not folder.is_dir()]
    here = f"here, and {', '.join(absent)}, named by ${VARIABLE}, is no folder" if absent else "here"
    where = next((f"{folder}" for folder, _ in named if folder.is_dir()), f"{cache} (or a folder named by ${VARIABLE})")
    known, files = " and ".join(repr(entry.name) for entry in entries), " and ".join(entry.file for entry in entries)
    return (
        f"the weights {known} are not {here}: put {files} into {where}, or run  transfigure weights get {' '.join(e.name for e in entries)}"
    )


def search(entry: Weights) -> Located | None:
    """The published file in the first of :func:`places` that has it, whatever the user named.

    Raises:
        UserError: a file has the published name but not the published hash.
    """
    for folder, _ in places():
        if _is_file(folder / entry.file):
            return check(entry, folder / entry.file)
        for file in (folder / other for other in entry.also):
            # Such names are anybody's: a file of another size or hash, or closed to us, is somebody else's and no fault.
            with suppress(OSError, UserError):
                if _is_file(file) and entry.size in (0, file.stat().st_size) and sha256(file) == entry.sha256:
                    return Located(file, entry.sha256, True)
    return None


def check(entry: Weights, file: Path) -> Located:
    """The file, if it is the published one.

    Raises:
        UserError: its hash is another.
    """
    digest = sha256(file)
    if entry.sha256 and digest != entry.sha256:
        raise UserError(
            f"{file} is damaged or something else: its SHA-256 begins with {digest[:8]}, that of the published file with "
            f"{entry.sha256[:8]}; delete it and run  {entry.command}, or use it all the same with "
            f"--weights {entry.name}={file}"
        )
    return Located(file, digest, True)


def sha256(file: Path) -> str:
    """The hash of a file, worked out once as long as its size and time stay the same.

    Raises:
        UserError: it cannot be read.
    """
    try:
        state = file.stat()
        key = (str(file.absolute()), state.st_size, state.st_mtime_ns)
        if key not in _hashes:
            with file.open("rb") as stream:
                _hashes[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        return _hashes[key]
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}; change its permissions or name another"
        ) from error


def listing() -> list[dict[str, Any]]:
    """What there is to know of all weights, in plain values.

    Returns:
        For each: ``name``, ``file``, ``also``, ``purpose``, ``origin``, ``url``, ``size`` (bytes, 0 if unknown), ``sha256`` (of the
        published file), ``found`` (path or None), ``published`` (whether what was found has that hash; None if nothing was found),
        ``problem`` (why a file that is there cannot be used, or None), ``places`` (the folders looked in).
    """
    rows = []
    folders = [str(folder) for folder, _ in places()]
    for entry in CATALOGUE.values():
        found: Located | None = None
        problem = None
        try:
            found = find(entry.name)
        except Missing:
            pass
        except UserError as error:
            problem = str(error)
        known = {**asdict(entry), "also": list(entry.also)}
        state = {"found": str(found.path) if found else None, "published": found.published if found else None, "problem": problem}
        rows.append({**known, **state, "places": folders})
    return rows


def listing_text(rows: list[dict[str, Any]]) -> str:
    """The listing for a person."""
    lines = []
    for row in rows:
        state = row["problem"] or (
            f"{row['found']}{'' if row['published'] else ' (not the published file)'}" if row["found"] else "not here"
        )
        lines += [f"{row['name']:14} for {row['purpose']}", f"{'':14} {row['file']}: {printable(state)}"]
    lines += ["", "looked for in:", *(f"  {printable(folder)}  ({why})" for folder, why in places())]
    return "\n".join([*lines, "", "get one with  transfigure weights get NAME  or name a file with  --weights NAME=FILE"])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into
        return False


def _expanded(path: str | Path) -> Path:
    # Path.expanduser raises where there is no home; torch, whose cache this has to find, takes the ~ literally then.
    return Path(os.path.expanduser(path))  # noqa: PTH111


# ---- what is in them -----------------------------------------------------------------------------------------------------


def load(name: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of some weights, by name, on the CPU, and the SHA-256 of their file. Only tensors are read, never code.

    Raises:
        Missing: the file is nowhere.
        UserError: it is damaged, holds code, or anything but names and their tensors.
    """
    located = find(name)
    file = located.path
    state = _read_safetensors(file) if file.suffix.lower() == ".safetensors" else _read_pickle(file, entry_of(name))
    return _flat(state, file), located.sha256


def _read_safetensors(file: Path) -> object:
    import safetensors
    import safetensors.torch

    try:
        return read_tensors(file)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{file} is damaged or no safetensors file ({error}): copy or download it again") from error


def _read_pickle(file: Path, entry: Weights) -> object:
    import torch

    if _is_torchscript(file):
        raise UserError(f"{file} is a TorchScript archive, which is a program and not only weights, so it is not loaded: get {entry.file}")
    try:
        if zipfile.is_zipfile(file):
            check_claims(file)
        with without_warnings():  # torch wonders about some files before it refuses them
            # Some were saved on a GPU: without map_location they could only be read on one.
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise UserError(f"{file} is damaged or not a file of PyTorch weights: copy or download it again") from None
        raise UserError(f"{file} contains code ({code[1]}) that loading would run, so it is not loaded: get {entry.file}") from None
    except Exception as error:  # a broken archive surfaces as almost any exception type
        raise UserError(f"{file} is damaged or not a file of PyTorch weights: copy or download it again") from error


def _is_torchscript(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(member.endswith("/constants.pkl") for member in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _flat(state: object, file: Path) -> dict[str, Tensor]:
    from torch import Tensor, strided

    if not isinstance(state, Mapping) or not state:
        what = "nothing" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise UserError(f"{file} holds {what}: give a file of names and their tensors, as torch.save(network.state_dict(), ...) writes it")
    tensors = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            raise UserError(
                f"{file} holds a {type(value).__name__} under {key!r}: only names and their tensors are read, nothing further down; "
                f"if the weights are in there, save them alone, torch.save(torch.load(FILE)[{key!r}], ...)"
            )
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{file} holds a {type(value).__name__} under {key!r}: only a file of names and their tensors is read")
        # A few bytes that claim to be a huge tensor would be believed when they are copied into a network.
        if value.layout != strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{file} claims more values under {key!r} than it holds: copy or download it again")
        tensors[key] = value.detach()
    return tensors
