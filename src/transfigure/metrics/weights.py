"""Weights of the networks that metrics see with: which files, where they are looked for, and whether they are the published ones.

Nothing here reaches for the network; fetching a file is :mod:`.download`, and only when it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Missing, UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "TRANSFIGURE_WEIGHTS"
"""The environment variable that names folders to look in."""


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        name: what it is called here, such as ``inception``.
        file: the file name it was published under, and is looked for.
        also: further names it goes by; a file of such a name counts only if its hash is the published one.
        url: where it was published.
        sha256: of the published file, 64 hexadecimal digits.
        size: in bytes; 0 if unknown.
        purpose: the metrics that see with it.
        origin: who made it, and under which licence where that is stated.
    """

    name: str
    file: str
    also: tuple[str, ...]
    url: str
    sha256: str
    size: int
    purpose: str
    origin: str


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


def _of_torchvision(name: str, network: str, file: str, sha256: str, size: int, purpose: str) -> Weights:
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(name, file, (), url, sha256, size, purpose, f"{network}, trained on ImageNet and published with torchvision")


def _of_lpips(kind: str, sha256: str, size: int) -> Weights:
    folder = "https://github.com/richzhang/PerceptualSimilarity/raw/082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1"
    file, also, url = f"lpips_v0.1_{kind}.pth", (f"{kind}.pth",), f"{folder}/{kind}.pth"
    origin = "the linear layers of LPIPS 0.1, published by its authors (Zhang et al. 2018), BSD-2-Clause"
    return Weights(f"lpips_{kind}", file, also, url, sha256, size, f"LPIPS ({kind})", origin)


_ALL = (
    Weights(
        name="inception",
        file="pt_inception-2015-12-05-6726825d.pth",
        also=("weights-inception-2015-12-05-6726825d.pth",),
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        size=95_628_359,
        purpose="FID, KID, precision/recall/density/coverage",
        origin="the Inception network of 2015 that FID is defined on, converted for PyTorch and published with pytorch-fid, Apache-2.0",
    ),
    _of_torchvision(
        "alexnet",
        "AlexNet",
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
        "LPIPS (alex)",
    ),
    _of_torchvision(
        "vgg16",
        "VGG-16",
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
        "LPIPS (vgg), DISTS",
    ),
    _of_torchvision(
        "squeezenet",
        "SqueezeNet 1.1",
        "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        0,
        "LPIPS (squeeze)",
    ),
    _of_lpips("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 6009),
    _of_lpips("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7289),
    _of_lpips("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", 10_811),
    Weights(
        name="dists",
        file="dists_weights.pt",
        also=("weights.pt",),
        url="https://github.com/dingkeyan93/DISTS/raw/1267d8cb626c98706db3697422701c56a85ebf2e/DISTS_pytorch/weights.pt",
        sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        size=12_288,
        purpose="DISTS",
        origin="the weights of DISTS, published by its authors (Ding et al. 2020), MIT",
    ),
)
CATALOGUE: dict[str, Weights] = {entry.name: entry for entry in _ALL}

# ---- where they are ------------------------------------------------------------------------------------------------------

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
    *named, (cache, _) = places()
    absent = [str(folder) for folder, _ in named if not folder.is_dir()]
    here = f"here, and {', '.join(absent)}, named by ${VARIABLE}, is no folder" if absent else "here"
    where = next((f"{folder}" for folder, _ in named if folder.is_dir()), f"{cache} (or a folder named by ${VARIABLE})")
    raise Missing(f"the weights {name!r} are not {here}: put {entry.file} into {where}, or run  transfigure weights get {name}")


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
    if digest != entry.sha256:
        raise UserError(
            f"{file} is damaged or something else: its SHA-256 begins with {digest[:8]}, that of the published file with "
            f"{entry.sha256[:8]}; delete it and run  transfigure weights get {entry.name}, or use it all the same with "
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
        lines += [f"{row['name']:14} for {row['purpose']}", f"{'':14} {row['file']}: {state}"]
    lines += ["", "looked for in:", *(f"  {folder}  ({why})" for folder, why in places())]
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
        return safetensors.torch.load_file(file, device="cpu")
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{file} is damaged or no safetensors file ({error}): copy or download it again") from error


def _read_pickle(file: Path, entry: Weights) -> object:
    import torch

    if _is_torchscript(file):
        raise UserError(f"{file} is a TorchScript archive, which is a program and not only weights, so it is not loaded: get {entry.file}")
    try:
        with warnings.catch_warnings():  # torch wonders about some files before it refuses them
            warnings.simplefilter("ignore")
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
