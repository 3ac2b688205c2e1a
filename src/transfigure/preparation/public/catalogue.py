"""The public data sets that pix2pix and CycleGAN were shown on: where they are, how large, under which terms, and how to train on them.

Addresses and origins are those of the authors' own download scripts and of the page on data sets of pytorch-CycleGAN-and-pix2pix. Sizes and
hashes stand here only where somebody has published them: those of CycleGAN's archives are recorded by TensorFlow Datasets
(``url_checksums/cycle_gan.txt``), which took them at a former address, https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets;
the sizes of two archives of pix2pix are what the server answers in published logs. Where nothing is known, ``sha256`` is None and ``size``
is 0: then no more than the archive's own checksums can be checked.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import UserError, did_you_mean, printable

_SERVER = "https://efrosgans.eecs.berkeley.edu"
_FOLDERS = {"pix2pix": "pix2pix/datasets", "cyclegan": "cyclegan/datasets"}
_SUFFIXES = {"pix2pix": ".tar.gz", "cyclegan": ".zip"}
_KINDS = {"pix2pix": "side_by_side", "cyclegan": "unpaired"}
_MEGA = 1_000_000

PIX2PIX = 'Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017'
CYCLEGAN = 'Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017'
_FACADES = 'Tylecek, Sara, "Spatial Pattern Templates for Recognition of Objects with Regular Structure", GCPR 2013'
_CITYSCAPES = 'Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016'
_SHOES = 'Yu, Grauman, "Fine-Grained Visual Comparisons with Local Learning", CVPR 2014'
_HANDBAGS = 'Zhu, Kraehenbuehl, Shechtman, Efros, "Generative Visual Manipulation on the Natural Image Manifold", ECCV 2016'
_EDGES = 'Xie, Tu, "Holistically-Nested Edge Detection", ICCV 2015'
_NIGHT = 'Laffont, Ren, Tao, Qian, Hays, "Transient Attributes for High-Level Understanding and Editing of Outdoor Scenes", SIGGRAPH 2014'

_TENSORFLOW = "TensorFlow Datasets (url_checksums/cycle_gan.txt)"
_NOT_STATED = "no licence is stated with the archive"
_ASK_CITYSCAPES = (
    "the authors may not pass it on: register at https://www.cityscapes-dataset.com, which says its terms, and make the pairs from "
    "gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip"
)


@dataclass(frozen=True)
class PublicDataset:
    """A public data set.

    Attributes:
        collection: whose: ``pix2pix`` (pairs side by side) or ``cyclegan`` (two unpaired domains).
        name: its name there.
        about: what is in it, as its authors say.
        licence: the terms, as far as they are stated, and where they are.
        citations: whom to cite.
        size: of the archive in bytes; 0 if unknown.
        sha256: of the archive, 64 hexadecimal digits; None if nobody published it.
        offered: it can be downloaded from its authors; else it may only be unpacked from a copy that one has.
        flags: what training on it is given besides its folder.
    """

    collection: str
    name: str
    about: str
    licence: str
    citations: tuple[str, ...]
    size: int = 0
    sha256: str | None = None
    offered: bool = True
    flags: str = ""

    @property
    def full_name(self) -> str:
        """Some names are in both collections: this is what it is called by."""
        return f"{self.collection}/{self.name}"

    @property
    def file(self) -> str:
        """The name of its archive."""
        return f"{self.name}{_SUFFIXES[self.collection]}"

    @property
    def url(self) -> str | None:
        """Where its authors publish it; None if they may not."""
        return f"{_SERVER}/{_FOLDERS[self.collection]}/{self.file}" if self.offered else None

    @property
    def kind(self) -> str:
        """How it lies on the disk, as ``data.kind`` names it."""
        return _KINDS[self.collection]

    @property
    def hash_source(self) -> str | None:
        """Who published the hash."""
        return _TENSORFLOW if self.sha256 else None

    def training(self, folder: str) -> str:
        """The command that trains on it, from the folder that it is in."""
        flags = f" {self.flags}" if self.flags else ""
        return f"transfigure train {self.collection} {shlex.quote(folder)} --data.kind {self.kind}{flags} --out runs/{self.name}"

    def facts(self) -> dict[str, Any]:
        """All that is known, in plain values; what is not known is None."""
        known = {key: value for key, value in asdict(self).items() if key != "flags"}
        return {
            "full_name": self.full_name,
            **known,
            "citations": list(self.citations),
            "size": self.size or None,
            "hash_source": self.hash_source,
            "file": self.file,
            "url": self.url,
            "kind": self.kind,
            "training": self.training(f"datasets/{self.name}"),
        }


_PAINTINGS = (
    f"{_NOT_STATED}; the paintings are from https://www.wikiart.org, the photographs from Flickr, whose photographers keep their rights"
)
_IMAGENET = f"{_NOT_STATED}; the photographs are from ImageNet, whose terms (https://www.image-net.org) are for research and education"
_FLICKR = f"{_NOT_STATED}; the photographs are from Flickr, whose photographers keep their rights"
_GOOGLE = f"{_NOT_STATED}; the pictures are from Google Maps, whose terms hold for them"
_CMP = f"{_NOT_STATED}; the pictures are those of the CMP Facade Database, http://cmp.felk.cvut.cz/~tylecr1/facade, which says its terms"


def _paintings(name: str, whose: str, size: int, sha256: str) -> PublicDataset:
    about = f"A: {whose}; B: 6,853 photographs of landscapes (training)"
    return PublicDataset("cyclegan", name, about, _PAINTINGS, (CYCLEGAN,), size, sha256)


_ALL = (
    PublicDataset(
        "pix2pix",
        "facades",
        "400 photographs of facades (A) and their label maps (B) for training",
        _CMP,
        (PIX2PIX, _FACADES),
        size=30_168_306,
        flags="--data.direction BtoA",
    ),
    PublicDataset(
        "pix2pix",
        "cityscapes",
        "2,975 photographs of streets (A) and label maps (B) for training",
        _ASK_CITYSCAPES,
        (PIX2PIX, _CITYSCAPES),
        offered=False,
        flags="--data.direction BtoA",
    ),
    PublicDataset("pix2pix", "maps", "1,096 aerial photographs (A) and maps (B) for training", _GOOGLE, (PIX2PIX,), size=250_242_400),
    PublicDataset(
        "pix2pix",
        "edges2shoes",
        "50,000 drawings of edges (A) and photographs of shoes (B) for training",
        f"{_NOT_STATED}; the photographs are those of UT Zappos50K, http://vision.cs.utexas.edu/projects/finegrained/utzap50k, which says "
        "its terms",
        (PIX2PIX, _SHOES, _EDGES),
        flags="--training.epochs 15 --training.batch_size 4",
    ),
    PublicDataset(
        "pix2pix",
        "edges2handbags",
        "137,000 drawings of edges (A) and photographs of handbags (B) for training",
        f"{_NOT_STATED}; the photographs are Amazon's, as the project iGAN collected them, https://github.com/junyanz/iGAN",
        (PIX2PIX, _HANDBAGS, _EDGES),
        flags="--training.epochs 15 --training.batch_size 4",
    ),
    PublicDataset(
        "pix2pix",
        "night2day",
        "17,823 pairs of photographs of one place by night and by day for training, from 91 cameras",
        f"{_NOT_STATED}; the photographs are those of the Transient Attributes database, whose terms hold for them",
        (PIX2PIX, _NIGHT),
        flags="--training.epochs 17 --training.batch_size 4",
    ),
    PublicDataset(
        "cyclegan",
        "horse2zebra",
        "A: 939 photographs of horses, B: 1,177 of zebras (as its authors count them)",
        _IMAGENET,
        (CYCLEGAN,),
        116_867_962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    ),
    PublicDataset(
        "cyclegan",
        "apple2orange",
        "A: 996 photographs of apples, B: 1,020 of oranges",
        _IMAGENET,
        (CYCLEGAN,),
        78_456_409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    ),
    PublicDataset(
        "cyclegan",
        "summer2winter_yosemite",
        "A: 1,273 photographs of Yosemite in summer, B: 854 in winter",
        _FLICKR,
        (CYCLEGAN,),
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    ),
    _paintings("monet2photo", "1,074 paintings of Monet", 305_231_073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
    _paintings(
        "cezanne2photo", "584 paintings of Cezanne", 279_885_071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"
    ),
    _paintings(
        "ukiyoe2photo", "1,433 woodcuts of Ukiyo-e", 292_946_532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"
    ),
    _paintings(
        "vangogh2photo", "401 paintings of Van Gogh", 306_590_349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"
    ),
    PublicDataset(
        "cyclegan",
        "maps",
        "A: 1,096 aerial photographs, B: as many maps (training)",
        _GOOGLE,
        (CYCLEGAN,),
        1_476_754_427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    ),
    PublicDataset(
        "cyclegan",
        "cityscapes",
        "A: 2,975 photographs of streets, B: as many label maps (training)",
        _ASK_CITYSCAPES,
        (CYCLEGAN, _CITYSCAPES),
        279_601_602,
        "d2f6910fd056c1ee9873777ae838e7ac4a2c833598ae62a04188e5ab2f4ea036",
        offered=False,
    ),
    PublicDataset(
        "cyclegan",
        "facades",
        "A: 400 photographs of facades, B: as many label maps (training)",
        _CMP,
        (CYCLEGAN, _FACADES),
        35_135_868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    ),
    PublicDataset(
        "cyclegan",
        "iphone2dslr_flower",
        "A: 1,813 photographs of flowers by a phone, B: 3,316 by a large lens (training)",
        _FLICKR,
        (CYCLEGAN,),
        339_964_458,
        "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    ),
)
DATASETS: dict[str, PublicDataset] = {one.full_name: one for one in _ALL}
"""By their full names."""


def dataset_called(name: str) -> PublicDataset:
    """The data set of this name. The collection may be left out: of a name that both have, it is the one of pix2pix.

    Raises:
        UserError: there is none.
    """
    for full_name in (name, *(f"{collection}/{name}" for collection in _FOLDERS)):
        if full_name in DATASETS:
            return DATASETS[full_name]
    known = DATASETS if "/" in name else {one.name for one in DATASETS.values()}
    raise UserError(f"no public data set is called {name!r}{did_you_mean(name, known)}: see  transfigure data get --list")


def namesakes(dataset: PublicDataset) -> list[PublicDataset]:
    """Those of the same name in other collections."""
    return [one for one in DATASETS.values() if one.name == dataset.name and one is not dataset]


def megabytes(size: int | None) -> str:
    """``30.2 MB``; ``size unknown`` for none."""
    return f"{size / _MEGA:,.1f} MB" if size else "size unknown"


def listing_text() -> str:
    """All of them for a person, a line each."""
    width = max(len(one.full_name) for one in DATASETS.values())
    lines = []
    for one in DATASETS.values():
        state = "hash known" if one.sha256 else "no hash published"
        offered = "" if one.offered else "; not offered for download"
        lines += [f"{one.full_name:{width}}  {megabytes(one.size):>12}, {state}{offered}", f"{'':{width}}  {one.about}"]
    return "\n".join([*lines, "", "terms, citation and address of one:  transfigure data get NAME --list"])


def details_text(one: PublicDataset) -> str:
    """One of them for a person."""
    checked = f"{one.sha256} (recorded by {one.hash_source})" if one.sha256 else "none was published"
    rows = {
        "data set": f"{one.full_name}: {one.about}",
        "archive": f"{one.url or f'{one.file}, not offered for download'} ({megabytes(one.size)})",
        "SHA-256": checked,
        "terms": one.licence,
        "cite": "; ".join(one.citations),
        "train": one.training(f"datasets/{one.name}"),
    }
    return "\n".join(f"{key:9} {printable(value)}" for key, value in rows.items())
