"""The networks that the authors of pytorch-CycleGAN-and-pix2pix published: what each does, where its file is, and getting it when asked.

A file is looked for in the folders of ``$TRANSFIGURE_WEIGHTS``, then in torch hub's cache; it is downloaded only on demand. Nobody
published hashes of these files, so that of the one that arrives first is written beside it, and holds from then on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..data.files import write_text
from ..errors import Missing, UserError, did_you_mean
from ..features import download
from ..features.published import Weights
from ..features.weights import places
from ..features.weights import sha256 as hash_of

_SERVER = "https://efrosgans.eecs.berkeley.edu"
_FOLDERS = {"pix2pix": "pix2pix/models-pytorch", "cyclegan": "cyclegan/pretrained_models"}
_NETWORKS = {"pix2pix": "U-Net of depth 8, batch norm, dropout", "cyclegan": "ResNet of 9 blocks, instance norm"}
TRAINED_SIZE = 256
"""Side in pixels of the squares that all of them were trained on."""
PREPROCESSING = (
    f"trained on images resized to 286 x 286 and cut to {TRAINED_SIZE} x {TRAINED_SIZE}, so give it images resized to "
    f"{TRAINED_SIZE} x {TRAINED_SIZE}"
)
"""What all of them are to be given."""


@dataclass(frozen=True)
class Published:
    """A published generator.

    Attributes:
        zoo: pix2pix or cyclegan.
        name: that of its file.
        source: what it translates.
        target: and into what.
        data: the data set it was trained on, and its direction there.
    """

    zoo: str
    name: str
    source: str
    target: str
    data: str

    @property
    def full_name(self) -> str:
        """Three names are in both zoos: this is what it is called by."""
        return f"{self.zoo}/{self.name}"

    @property
    def network(self) -> str:
        """Its architecture, in words."""
        return _NETWORKS[self.zoo]

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return f"{self.source} to {self.target} (trained on {self.data})"

    @property
    def file(self) -> str:
        """The name that its file has here."""
        return f"{self.zoo}-{self.name}.pth"

    @property
    def url(self) -> str:
        """Where it was published."""
        return f"{_SERVER}/{_FOLDERS[self.zoo]}/{self.name}.pth"


_ALL = (
    Published("pix2pix", "edges2shoes", "drawings of edges", "photographs of shoes", "edges2shoes, AtoB"),
    Published("pix2pix", "sat2map", "aerial photographs", "maps", "maps, AtoB"),
    Published("pix2pix", "map2sat", "maps", "aerial photographs", "maps, BtoA"),
    Published("pix2pix", "facades_label2photo", "label maps of facades", "photographs", "facades, BtoA"),
    Published("pix2pix", "day2night", "photographs by day", "the same by night", "day2night, AtoB"),
    Published("cyclegan", "apple2orange", "apples", "oranges", "apple2orange, AtoB"),
    Published("cyclegan", "orange2apple", "oranges", "apples", "apple2orange, BtoA"),
    Published("cyclegan", "summer2winter_yosemite", "landscapes in summer", "the same in winter", "summer2winter_yosemite, AtoB"),
    Published("cyclegan", "winter2summer_yosemite", "landscapes in winter", "the same in summer", "summer2winter_yosemite, BtoA"),
    Published("cyclegan", "horse2zebra", "horses", "zebras", "horse2zebra, AtoB"),
    Published("cyclegan", "zebra2horse", "zebras", "horses", "horse2zebra, BtoA"),
    Published("cyclegan", "monet2photo", "paintings of Monet", "photographs", "monet2photo, AtoB"),
    Published("cyclegan", "style_monet", "photographs", "paintings after Monet", "monet2photo, BtoA"),
    Published("cyclegan", "style_cezanne", "photographs", "paintings after Cezanne", "cezanne2photo, BtoA"),
    Published("cyclegan", "style_ukiyoe", "photographs", "woodcuts after Ukiyo-e", "ukiyoe2photo, BtoA"),
    Published("cyclegan", "style_vangogh", "photographs", "paintings after Van Gogh", "vangogh2photo, BtoA"),
    Published("cyclegan", "sat2map", "aerial photographs", "maps", "maps, AtoB"),
    Published("cyclegan", "map2sat", "maps", "aerial photographs", "maps, BtoA"),
    Published("cyclegan", "cityscapes_photo2label", "photographs of streets", "label maps", "cityscapes, AtoB"),
    Published("cyclegan", "cityscapes_label2photo", "label maps of streets", "photographs", "cityscapes, BtoA"),
    Published("cyclegan", "facades_photo2label", "photographs of facades", "label maps", "facades, AtoB"),
    Published("cyclegan", "facades_label2photo", "label maps of facades", "photographs", "facades, BtoA"),
    Published(
        "cyclegan", "iphone2dslr_flower", "flowers as a phone takes them", "flowers as a large lens takes them", "iphone2dslr_flower, AtoB"
    ),
)
PUBLISHED: dict[str, Published] = {one.full_name: one for one in _ALL}


def published(word: str) -> Published:
    """The published network of this name; the zoo may be left out where the name is in one alone.

    Raises:
        UserError: there is none, or there are two.
    """
    if word in PUBLISHED:
        return PUBLISHED[word]
    same = [one for one in _ALL if one.name == word]
    if len(same) > 1:
        raise UserError(f"two published networks are called {word}: say {' or '.join(one.full_name for one in same)}")
    if not same:
        known = PUBLISHED if "/" in word else {*PUBLISHED, *(one.name for one in _ALL)}
        raise UserError(
            f"{word} does not exist, and no published network is called so{did_you_mean(word, known)}: "
            "give the file of a network, or a name of  transfigure list published"
        )
    return same[0]


def is_name(word: str) -> bool:
    """Whether a word can only be meant as the name of a published network: nothing lies there, and it has no suffix."""
    return re.fullmatch(r"([\w-]+/)?[\w-]+", word) is not None and not Path(word).exists()


@dataclass(frozen=True)
class Obtained:
    """A file that is here.

    Attributes:
        path: the file.
        sha256: its hash.
        first: it has just arrived, and nobody said beforehand what its hash is.
    """

    path: Path
    sha256: str
    first: bool = False

    def discard(self) -> None:
        """Remove it, and what was recorded of it."""
        _record(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def obtain(network: Published, *, fetch: bool = False, url: str | None = None, sha256: str | None = None, quiet: bool = False) -> Obtained:
    """The file of a published network.

    Args:
        network: which.
        fetch: download it, if it is not here.
        url: from this address in place of the published one.
        sha256: that it must have; without one that which was recorded when it came.
        quiet: no lines and no progress.

    Raises:
        Missing: it is not here, and nobody asked to download it.
        UserError: it is another file than it should be.
        RunFailure: the network, the server or the disk failed.
    """
    for folder, _ in places():
        if (folder / network.file).is_file():
            return Obtained(folder / network.file, check(folder / network.file, sha256))
    if not fetch:
        raise Missing(
            f"{network.full_name} is not here: add --download to get it from {url or network.url}, or put the file as {network.file} "
            f"into {places()[0][0]}"
        )
    entry = _File(network.full_name, network.file, (), url or network.url, sha256 or "", 0, network.summary, "")
    try:
        path = download.fetch(entry, quiet=quiet)
    except download.AnotherFile as error:
        raise UserError(str(error)) from error
    digest = hash_of(path)
    write_text(_record(path), f"{digest}  {path.name}\n")
    return Obtained(path, digest, first=sha256 is None)


def check(file: Path, sha256: str | None) -> str:
    """The hash of a file, if it is this one, or without one that which was recorded when it came.

    Raises:
        UserError: it is another.
    """
    digest = hash_of(file)
    if sha256 is not None and digest != sha256:
        raise UserError(f"{file} has the SHA-256 {digest} and not {sha256}, as --sha256 says: it is another file, or damaged")
    record = _record(file)
    if sha256 is None and record.is_file() and digest != (first := record.read_text(encoding="utf-8", errors="replace")[:64]):
        raise UserError(
            f"{file} is not what was downloaded: its SHA-256 is {digest}, and {record.name} beside it says {first!r}; "
            "delete both and download it again"
        )
    return digest


def read_sha256(word: str) -> str:
    """A hash as it is typed.

    Raises:
        UserError: it is none.
    """
    if re.fullmatch("[0-9a-fA-F]{64}", word) is None:
        raise UserError(f"--sha256 {word} is no SHA-256: it has 64 digits from 0 to f")
    return word.lower()


def _record(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


class _File(Weights):
    """A published network for the downloader."""

    @property
    def command(self) -> str:
        return f"transfigure import {self.name} --download"
