"""Features of a reference set, kept in a file: what a Fréchet or kernel distance needs of the targets, without the targets."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray
from torch import Tensor

from ..data.files import write_atomically
from ..data.ownership import check_outputs
from ..errors import Skipped, UserError
from ..integrity import Damaged, check_archive, write_archive
from .divergence import covariance

if TYPE_CHECKING:
    from ..features.extractors import Extractor

FORMAT = 2
"""Files carry a digest since 2."""
FIRST_WITH_DIGEST = 2
_SMALL = 1 << 16
_LARGEST = {"mu": 1 << 20, "sigma": 256 << 20, "features": 4 << 30} | dict.fromkeys(
    ("count", "network", "weights", "resize", "version"), _SMALL
)
"""What is read of an archive, and the bytes each may take: a small archive can unpack to any number of them. 5,792 features have a
covariance of 256 MB; the features themselves may only take what the file takes."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of a reference set.

    Attributes:
        network: whose features they are, as :class:`.extractors.Extractor` names it; empty if a file does not say.
        weights: the SHA-256 of its weights.
        resize: how images were brought to its size.
        mean: ``[D]`` float64.
        covariance: ``[D, D]`` float64, unbiased.
        count: images; 0 if a file does not say.
        features: ``[N, D]`` float64, or None where only the moments are known.
        origin: the file or folder, for messages.
    """

    network: str
    weights: str
    resize: str
    mean: Tensor
    covariance: Tensor
    count: int
    features: Tensor | None
    origin: str

    @classmethod
    def of(cls, features: Tensor, extractor: Extractor, origin: str | Path) -> Statistics:
        """From the features ``[N, D]`` of at least 2 images; kept in single precision, as they are stored, so a reload gives the same.

        Raises:
            UserError: fewer than 2 images.
        """
        if len(features) < 2:
            raise UserError(f"{origin} has too few images: a mean and a covariance need at least 2")
        features = features.detach().cpu().float().double()
        moments = features.mean(0), covariance(features)
        return cls(extractor.name, extractor.weights, extractor.resize, *moments, len(features), features, str(origin))

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a NumPy archive with the names other tools read, ``mu`` and ``sigma``, and the rest under names of our own.

        Args:
            path: the file.
            overwrite: replace one that is there already and that this tool did not write.

        Raises:
            UserError: the place cannot be written, or holds another's file.
            RunFailure: the disk is full or failing.
        """
        check_outputs([Path(path)], overwrite)
        arrays: dict[str, Any] = {"mu": self.mean.numpy(), "sigma": self.covariance.numpy(), "version": FORMAT, "count": self.count}
        arrays |= {"network": self.network, "weights": self.weights, "resize": self.resize}
        if self.features is not None:
            arrays["features"] = self.features.float().numpy()

        def write(stream: BinaryIO) -> None:
            write_archive(stream, lambda archive: np.savez(archive, allow_pickle=False, **arrays))

        write_atomically(Path(path), write)

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what :meth:`save` wrote, or another tool's archive of ``mu`` and ``sigma``.

        Raises:
            UserError: no such file, not such an archive, or arrays that are not what their names say.
        """
        path = Path(path)
        arrays, has_digest = _read(path)
        try:
            if not has_digest and FIRST_WITH_DIGEST <= _whole(arrays, "version", 0) <= FORMAT:
                raise UserError(f"{path} is damaged (its SHA-256 is gone from its end): copy it again, or make it anew")
            return cls._from(arrays, str(path))
        except ValueError as error:
            raise UserError(f"{path} is no file of feature statistics: {error}; {_WAY_OUT}") from error

    @classmethod
    def _from(cls, arrays: Mapping[str, NDArray[Any]], origin: str) -> Statistics:
        if missing := [name for name in ("mu", "sigma") if name not in arrays]:
            raise ValueError(f"it holds no array {missing[0]}")
        if (version := _whole(arrays, "version", FORMAT)) > FORMAT:
            raise ValueError(f"it is of version {version}, written by a newer program, and {FORMAT} is the newest known here")
        mean, spread = _numbers(arrays, "mu", 1), _numbers(arrays, "sigma", 2)
        if spread.shape != (len(mean), len(mean)) or not len(mean):
            raise ValueError(f"mu has shape {tuple(mean.shape)} and sigma {tuple(spread.shape)}, not (D,) and (D, D)")
        if not torch.allclose(spread, spread.T, rtol=1e-5, atol=1e-8 * float(spread.abs().amax())) or spread.diagonal().amin() < 0:
            raise ValueError("sigma is no covariance, which is symmetric and has no negative variance")
        features = _numbers(arrays, "features", 2) if "features" in arrays else None
        if features is not None and (features.shape[1] != len(mean) or len(features) < 2):
            raise ValueError(f"features has shape {tuple(features.shape)}, not (N, {len(mean)}) with N of at least 2")
        count = _whole(arrays, "count", 0 if features is None else len(features))
        if features is not None and count != len(features):
            raise ValueError(f"count is {count}, but there are {len(features)} rows of features")
        network, weights, resize = (_word(arrays, name) for name in ("network", "weights", "resize"))
        return cls(network, weights, resize, mean, spread, count, features, origin)

    def check_made_by(self, extractor: Extractor) -> None:
        """See that two sets of features can be compared. A file that names no network is taken at its user's word.

        Raises:
            Skipped: another network, other weights or another resize.
        """
        if not self.network:
            return
        for what, ours, theirs in (
            ("network", self.network, extractor.name),
            ("weights", self.weights, extractor.weights),
            ("resize", self.resize, extractor.resize),
        ):
            if ours != theirs:
                raise Skipped(
                    f"{self.origin} was made with {what} {ours or 'unknown'}, and this metric has {theirs or 'unknown'}: make it anew"
                )


_WAY_OUT = "give a .npz file with mu and sigma, or the folder of images to make them from"


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], bool]:
    """The arrays of an archive whose names mean something here: never an object, and never more than is sensible; and whether the archive
    carries a digest."""
    try:
        has_digest = check_archive(path)
        with zipfile.ZipFile(path) as archive:
            found = {name: f"{name}.npy" for name in _LARGEST if f"{name}.npy" in archive.namelist()}
            sizes = {name: archive.getinfo(member).file_size for name, member in found.items()}
            if large := next((name for name in found if sizes[name] > _LARGEST[name]), ""):
                raise UserError(
                    f"{path} declares {sizes[large]:,} bytes of {large}, where {_LARGEST[large]:,} are the most: it is no such file"
                )
            if "features" in found and archive.getinfo(found["features"]).compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{path} holds compressed features, which may unpack to any size: write it with numpy.savez")
            arrays = {}
            for name, member in found.items():
                with archive.open(member) as stream:
                    arrays[name] = _array(stream, sizes[name])
            return arrays, has_digest
    except UserError:
        raise
    except Damaged as error:
        raise UserError(f"{path} is damaged, or no NumPy archive of plain arrays ({error}): {_WAY_OUT}") from error
    except FileNotFoundError as error:
        raise UserError(f"the file {path} does not exist: {_WAY_OUT}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; {_WAY_OUT}") from error
    except Exception as error:  # all that a damaged or hostile archive makes a reader say: wrong headers, missing bytes, objects
        raise UserError(f"{path} is damaged, or no NumPy archive of plain arrays: {_WAY_OUT}") from error


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """An array of a member of ``size`` bytes, if its header claims no more than these."""
    version = read_magic(stream)
    read = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its header is of version {version}")
    shape, fortran, dtype = read(stream)
    count = math.prod(shape)
    if dtype.hasobject or count * dtype.itemsize > size:
        raise ValueError(f"{shape} of {dtype} in {size} bytes")
    data = stream.read()  # to the end, where the member's checksum is looked at
    array: NDArray[Any] = np.frombuffer(data, dtype, count)
    return array.reshape(shape, order="F" if fortran else "C")


def _numbers(arrays: Mapping[str, NDArray[Any]], name: str, dimensions: int) -> Tensor:
    array = arrays[name]
    if array.dtype.kind not in "fiu" or array.ndim != dimensions:
        raise ValueError(
            f"{name} holds {array.dtype} of shape {array.shape}, not numbers in {dimensions} dimension{'s' * (dimensions > 1)}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return torch.from_numpy(array.astype(np.float64))


def _whole(arrays: Mapping[str, NDArray[Any]], name: str, default: int) -> int:
    if name not in arrays:
        return default
    array = arrays[name]
    if array.dtype.kind not in "iu" or array.ndim or array < 0:
        raise ValueError(f"{name} is not one whole number")
    return int(array)


def _word(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    if name not in arrays:
        return ""
    if arrays[name].dtype.kind != "U" or arrays[name].ndim:
        raise ValueError(f"{name} is not a word")
    return str(arrays[name])
