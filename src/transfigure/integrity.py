"""Digests that files carry of themselves, so that a damaged one is refused before anything of it is used.

Neither of the libraries that read our files looks for damage: torch writes a checksum for every record and never reads it, safetensors has
none. So every file of state says its own SHA-256:

- zip archives (checkpoints, stored statistics) in the comment that a zip may end with: of all bytes before it;
- safetensors files (models, segmenters, probes) as ``sha256`` in the metadata of their header: of the rest of the header and of all bytes
  behind it;
- JSON (a model's configuration) as the key ``digest``: of the other keys and their values, however they are laid out.

A file that carries none was written before there were any, or by another program; then what its format has is checked.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = "digest"
"""The key of JSON objects that holds theirs."""
_PREFIX = b"transfigure sha256 "
_COMMENT = len(_PREFIX) + 64
_METADATA, _SHA256 = "__metadata__", "sha256"
_LARGEST_HEADER = 64 << 20
_BLOCK = 1 << 20


class Damaged(ValueError):
    """A file is not what was written; the message says what is wrong, to stand in a sentence that names the file."""


# ---- zip archives ------------------------------------------------------------------------------------------------------------


class _Hashed(io.RawIOBase):
    """Passes on what is written, in order, and hashes it on the way: no second copy, no second reading."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest = stream, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.stream.write(data)


def open_file(file: Path) -> BinaryIO:
    """Open a file of the disk to read it. A pipe that nobody writes to would be waited for, and a device may never end.

    Raises:
        OSError: it is no such file, or cannot be read.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file", str(file))
    return file.open("rb")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with open_file(file) as stream:
        return hashlib.file_digest(cast("io.BufferedReader", stream), "sha256").hexdigest()


def write_archive(stream: BinaryIO, write: Callable[[BinaryIO], None]) -> None:
    """Write a zip archive whose comment is the SHA-256 of all before it.

    Args:
        stream: an empty binary file, open for writing.
        write: writes the archive to the stream it is given, without a comment, never going back in it.
    """
    hashed = _Hashed(stream)
    write(hashed)  # type: ignore[arg-type]
    comment = _PREFIX + hashed.digest.hexdigest().encode()
    stream.seek(-2, os.SEEK_END)  # the comment's length is the last field of an archive
    stream.write(struct.pack("<H", len(comment)) + comment)


def check_archive(path: Path, stored_only: bool = False) -> bool:
    """See that a zip archive is what was written, before anything is unpacked.

    Args:
        path: the file.
        stored_only: no member may be compressed, and none may share its bytes with another: then no member is larger than the file.
            Without a digest all are held to their CRC-32 at once; else this happens when one is read to its end.

    Returns:
        Whether it carries a digest.

    Raises:
        Damaged: it is not.
        OSError: it cannot be read.
    """
    with open_file(path) as stream:
        has_digest = _check_comment(stream)
        stream.seek(0)
        _check_members(stream, stored_only, checksums=stored_only and not has_digest)
    return has_digest


def check_claims(path: Path) -> None:
    """See that no member of a zip archive claims more bytes than the file holds, as :func:`check_archive` does, whatever else it holds.

    Raises:
        Damaged: one does, or it is no whole archive.
        OSError: it cannot be read.
    """
    with open_file(path) as stream:
        _check_members(stream, stored_only=True, checksums=False)


def _check_members(stream: BinaryIO, stored_only: bool, checksums: bool) -> None:
    size = os.fstat(stream.fileno()).st_size
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            packed = any(one.compress_type != zipfile.ZIP_STORED for one in members)
            if stored_only and (packed or sum(one.file_size for one in members) > size):
                raise Damaged("it claims more than it holds")
            if len({one.filename for one in members}) < len(members):
                raise Damaged("it holds two members of one name")
            if checksums and (bad := archive.testzip()) is not None:
                raise Damaged(f"the checksum of {bad} is another")
    except (Damaged, OSError):
        raise
    except Exception as error:  # what a damaged archive makes of its reader: bad offsets, unknown methods, an end too early
        raise Damaged("it is no whole zip archive") from error


def _check_comment(stream: BinaryIO) -> bool:
    end = stream.seek(0, os.SEEK_END)
    if end < _COMMENT + 2:
        return False
    stream.seek(end - _COMMENT - 2)
    length, comment = stream.read(2), stream.read()
    if not comment.startswith(_PREFIX) or length != struct.pack("<H", _COMMENT):
        return False
    digest = hashlib.sha256()
    stream.seek(0)
    left = end - _COMMENT - 2
    while left:
        block = stream.read(min(_BLOCK, left))
        if not block:
            raise Damaged("it is cut off")
        digest.update(block)
        left -= len(block)
    digest.update(b"\0\0")
    if comment[len(_PREFIX) :] != digest.hexdigest().encode():
        raise Damaged("its SHA-256 is not the one that was written into it")
    return True


# ---- safetensors -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorHeader:
    """What the header of a safetensors file says.

    Attributes:
        tensors: name to dtype (as safetensors spells it: ``F32``) and shape.
        metadata: the other texts.
        digest: the SHA-256 that it carries, if it does.
    """

    tensors: dict[str, tuple[str, tuple[int, ...]]]
    metadata: dict[str, str]
    digest: str | None

    @property
    def has_digest(self) -> bool:
        """Whether it carries a digest."""
        return self.digest is not None


def write_tensors(stream: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose header holds its digest. The same tensors give the same bytes.

    Args:
        stream: a binary file, open for writing.
        tensors: by name; wherever and however they are laid out.
        metadata: texts for the header.
    """
    import safetensors.torch

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole = memoryview(safetensors.torch.save(plain))
    (length,) = struct.unpack("<Q", whole[:8])
    header, body = json.loads(bytes(whole[8 : 8 + length])), whole[8 + length :]
    header[_METADATA] = dict(metadata)
    digest = hashlib.sha256(_canonical(header))
    digest.update(body)
    header[_METADATA][_SHA256] = digest.hexdigest()
    text = json.dumps({_METADATA: header.pop(_METADATA), **header}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    stream.write(struct.pack("<Q", len(text)) + text)
    stream.write(body)


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file, whatever its name is made of.

    Raises:
        safetensors.SafetensorError, OSError: it cannot be read.
    """
    import safetensors.torch

    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:  # which safetensors cannot open
        return {name: tensor.to(device) for name, tensor in safetensors.torch.load(path.read_bytes()).items()}
    return safetensors.torch.load_file(path, device=device)


def read_header(path: Path) -> TensorHeader:
    """The header of a safetensors file, without its tensors; nothing is checked against a digest.

    Raises:
        Damaged: it has none that can be read.
        OSError: it cannot be read.
    """
    with open_file(path) as stream:
        return _described(_header(stream, path.stat().st_size))


def check_tensors(path: Path) -> TensorHeader:
    """See that a safetensors file is what was written, before any tensor is read.

    Raises:
        Damaged: it is not, or its header claims other sizes than the file has.
        OSError: it cannot be read.
    """
    with open_file(path) as stream:
        header = _header(stream, path.stat().st_size)
        described = _described(header)
        if not described.has_digest:
            return described
        written = header[_METADATA].pop(_SHA256)
        digest = hashlib.sha256(_canonical(header))
        while block := stream.read(_BLOCK):
            digest.update(block)
    if written != digest.hexdigest():
        raise Damaged("its SHA-256 is not the one that was written into it")
    return described


def _header(stream: BinaryIO, size: int) -> dict[str, Any]:
    head = stream.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise Damaged("it does not begin as a safetensors file does")
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as error:
        raise Damaged("its header is no JSON") from error
    if not isinstance(header, dict) or not isinstance(header.get(_METADATA, {}), dict):
        raise Damaged("its header is no JSON object")
    return header


def _described(header: Mapping[str, Any]) -> TensorHeader:
    metadata = {str(key): str(value) for key, value in header.get(_METADATA, {}).items()}
    digest = metadata.pop(_SHA256, None)
    tensors = {}
    for name, entry in header.items():
        if name != _METADATA:
            try:
                shape = tuple(entry["shape"])
                if not all(type(side) is int and 0 <= side < 2**63 for side in shape):
                    raise ValueError(shape)
                tensors[name] = str(entry["dtype"]), shape
            except (KeyError, TypeError, ValueError) as error:
                raise Damaged(f"its header does not describe {name[:80]!r}") from error
    return TensorHeader(tensors, metadata, digest)


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n"


# ---- JSON --------------------------------------------------------------------------------------------------------------------


def digest_of(values: Mapping[str, Any]) -> str:
    """The digest of a JSON object: of its keys and values without ``digest`` itself, in any order and layout."""
    rest = {key: value for key, value in values.items() if key != DIGEST}
    return f"sha256:{hashlib.sha256(_canonical(rest)).hexdigest()}"


def check_digest(values: Mapping[str, Any]) -> bool:
    """See that a JSON object is what was written.

    Returns:
        Whether it carries a digest.

    Raises:
        Damaged: it does, and that of another.
    """
    if DIGEST not in values:
        return False
    if values[DIGEST] != digest_of(values):
        raise Damaged(f'its digest is that of other values: if you changed it yourself, remove its line "{DIGEST}"')
    return True
