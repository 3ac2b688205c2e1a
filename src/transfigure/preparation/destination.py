"""The folder that a prepared data set is written into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data import images
from ..data.files import check_writable_folder, real_path
from ..data.folder import find_images
from ..data.ownership import check_outputs
from ..data.pairs import SPLITS, Collection, Record
from ..data.pixels import Array
from ..data.splits import divide
from ..errors import UserError
from ..wording import counted

_SUFFIXES = (".png", ".tif")
"""Of the files that :func:`.images.write_kept` writes: PNG where it gives an image back exactly, else TIFF."""


@dataclass(frozen=True)
class SplitOptions:
    """How pairs, or images, are divided; as in a recipe's ``data`` section.

    Attributes:
        val: share for validation.
        test: share for test.
        group: what keeps names together: ``parent``, or a regular expression.
        seed: another one draws other names.

    Raises:
        UserError: the shares leave nothing to train on.
    """

    val: float = 0.0
    test: float = 0.0
    group: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise UserError(f"--val {self.val:g} and --test {self.test:g} must not be negative and must leave something to train on")


@dataclass
class PreparedFolder:
    """What was written.

    Attributes:
        folder: where.
        counts: pairs or patches by split; all of them under ``all`` where nothing was divided.
        notes: what a person should know.
    """

    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def words(self, what: str, plural: str | None = None) -> str:
        """``out: 8 pairs (train 6, val 1, test 1)``."""
        parts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return f"{self.folder}: {counted(sum(self.counts.values()), what, plural)}" + ("" if set(self.counts) == {"all"} else f" ({parts})")


class Destination:
    """A folder for images, each as the plainest file that gives it back exactly.

    Args:
        folder: it may exist; what is in it may only be what an earlier call of the same kind wrote.
        stems: the names of all images that are going to be written, without their suffixes.
        overwrite: replace files that are not ours.
        inputs: folders that are read, in none of which this one may lie.

    Raises:
        UserError: files are in the way, or other images would be mixed with those that are written.
    """

    def __init__(self, folder: str | Path, stems: Iterable[str], overwrite: bool, inputs: Iterable[Path]) -> None:
        self.folder = Path(folder)
        for place in inputs:
            if real_path(self.folder).is_relative_to(real_path(place)):
                raise UserError(
                    f"--out {self.folder} lies in {place}, from which is read, and would be read next time: choose another place"
                )
        names = [f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
        check_outputs([self.folder / name for name in names], overwrite, below=self.folder)
        planned = set(names)
        others: list[str] = []
        with contextlib.suppress(UserError):  # it is not there, or no image is in it
            others = [name for name in find_images(self.folder).names if name not in planned]
        if others:
            raise UserError(
                f"{self.folder} holds {counted(len(others), 'image')} that would be mixed with those that are written, such as "
                f"{others[0]}: choose another --out, or move what is there away"
            )
        check_writable_folder(self.folder)

    def write(self, stem: str, array: Array, names: Sequence[str] = ()) -> Path:
        """Write one image.

        Args:
            stem: one of those that were announced.
            array: ``[H, W, C]``.
            names: of its channels.
        """
        place = self.folder / stem
        file = images.write_kept(place, array, names)
        for suffix in _SUFFIXES:  # that of an earlier call, of another type: which may be replaced has been asked
            other = place.with_name(f"{place.name}{suffix}")
            if other != file and other.is_file():
                other.unlink()
        return file


def divided(collection: Collection, options: SplitOptions, notes: list[str]) -> Mapping[str, list[Record]]:
    """The records by split, or all of them under ``all``, by the rule that training divides by (:mod:`..data.splits`).

    Sub-folders named train, val and test win.

    Args:
        collection: what was found.
        options: the fractions.
        notes: what a person should know is added.

    Raises:
        UserError: the data is divided already and fractions are given, or cannot be divided so.
    """
    asked = bool(options.val or options.test)
    if "all" not in collection.splits:
        if asked:
            raise UserError(
                f"the images are divided already, into {', '.join(collection.splits)}: leave out --val and --test, "
                "or move them into one folder"
            )
    elif not asked:
        return {"all": collection.splits["all"]}
    try:
        division = divide(collection, options.val, options.test, options.seed, group=options.group)
    except UserError as error:
        raise UserError(_by_flag(str(error))) from error
    notes += map(_by_flag, division.notes)
    return {name: division.splits[name] for name in SPLITS if division.splits[name]}


def _by_flag(sentence: str) -> str:
    """A sentence about a recipe's key, about the flag that is here in its place."""
    return sentence.replace("--data.group", "--group").replace("data.group", "--group")


def prefix(split: str, side: str = "") -> str:
    """The folder of a split's side as the data kinds know it: ``trainA/``, ``A/``, or ``train/``."""
    name = f"{'' if split == 'all' else split}{side}"
    return f"{name}/" if name else ""
