"""What an image file says beside its pixels: where it lies on the ground, its colour profile, resolution, date and camera, its software.

These are copied as bytes and never interpreted; each is bounded. `images` reads them from a file and writes them into another, and
every file that is written names the software (`ownership` knows our own files by it).

EXIF data are a TIFF of tags without pixels, so one reader and one writer of tags serve TIFF files and EXIF alike.
TIFF 6.0; Exif 2.32, section 4.6; PNG (third edition), sections 5 and 11; OGC GeoTIFF 1.1.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ..value_range import NATURAL_RANGE
from . import ome
from .ome import PixelSize

Keep = Literal["keep", "drop"]
_ARRAYS = ("NPY", "NPZ")
_NOTHING: dict[str, Any] = {"icc": b"", "pixel_size": None}

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8, 18: 8}
"""Bytes of one value by TIFF type; rationals are pairs of four bytes."""
_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 2, 3, 4, 5, 7
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _SOFTWARE, _ORIENTATION, _ICC = 282, 283, 296, 305, 274, 34675
_EXIF, _GPS = 34665, 34853
_CAMERA = (271, 272, 306, 315, 33432)  # maker, model, date, artist, copyright
_NODATA = 42113
_GEOREFERENCE = (33550, 33920, 33922, 34264, 34735, 34736, 34737, 50844, _NODATA)
_OF_THE_SOURCE = (37500, 40961, 40965)
"""Tags of EXIF that are of no use elsewhere: the maker's own note, which holds positions in its file, the colour space and a pointer."""

_PALETTE = 3
"""The colour type of a PNG whose values are places in its palette."""
_MOST_TAGS, _LARGEST_TAG, _LARGEST_ICC, _LARGEST_EXIF = 512, 1 << 20, 4 << 20, 60_000
_DESCRIPTION, _GDAL_METADATA = 270, 42112
_LARGEST_DESCRIPTION = 16 << 20
_PER_METRE = 1 / 0.0254
_MICROMETRES_PER_INCH = 25400.0
_CENTIMETRE = 3
_LARGEST_OF_MICROSCOPES = 10.0


@dataclass(frozen=True)
class Tag:
    """One tag: its TIFF type, how many values, and these as little-endian bytes."""

    kind: int
    count: int
    data: bytes


Tags = dict[int, Tag]


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file.

    Attributes:
        icc: the colour profile; empty if there is none.
        camera: maker, model, date, artist and copyright.
        exif: the tags of an exposure.
        gps: the tags of a position.
        resolution: the tags of a resolution, as a TIFF has them.
        georeference: GeoTIFF's tags, and GDAL's of the value that stands for no data.
        orientation: of the file; the pixels are upright once they are read, so 1 is what a copy has.
        maker: a word that is added to the software's name, such as which model made a picture.
        palette: of an image of palette indices, the colours of those that mean something, red, green, blue and perhaps opacity; empty for
            every other image.
        texts: a PNG holds texts, which are never kept; those that programs write of themselves (software, dates) do not count.
        pixel_size: how far apart pixels are, where the file says it in a unit (OME-XML, ImageJ).
        channel_names: of the image that is written; those of a file that is read are among its facts.
        description: the text in which a TIFF says these.
    """

    icc: bytes = b""
    camera: Tags = field(default_factory=dict)
    exif: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)
    resolution: Tags = field(default_factory=dict)
    georeference: Tags = field(default_factory=dict)
    orientation: int = 1
    maker: str = ""
    texts: bool = False
    palette: tuple[tuple[int, tuple[int, ...]], ...] = ()
    pixel_size: PixelSize | None = None
    channel_names: tuple[str, ...] = ()
    description: bytes = b""

    def described(
        self, shape: tuple[int, int, int], samples: int, dtype: str, software: str, slices: ome.Slices = ome.ONE, always: bool = False
    ) -> Metadata:
        """With the description and the resolution that a TIFF says the names of channels and the size of a pixel in.

        Args:
            shape: pages, height, width.
            samples: channels of a page; of several, three or four, which are colours.
            dtype: of its numbers.
            software: that writes it.
            slices: how many such images the file holds.
            always: also where it has nothing of that to say.
        """
        if not always and slices.count == 1 and shape[0] == 1 and not self.channel_names and self.pixel_size is None:
            return self
        text = ome.description(shape, samples, dtype, self.channel_names, self.pixel_size, software, slices)
        described = replace(self, description=text.encode())
        if self.pixel_size is None:
            return described
        return replace(described, resolution=_per_centimetre(self.pixel_size))

    @property
    def is_on_ground(self) -> bool:
        """Whether it says where on the ground the image lies."""
        return bool(self.georeference.keys() - {_NODATA})

    def with_bands(self) -> Metadata:
        """With the names of channels as GDAL says them of bands, and the size of a pixel as a resolution."""
        tags = self.georeference
        if self.channel_names:
            tags = {**tags, _GDAL_METADATA: _ascii(ome.gdal_metadata(self.channel_names).encode())}
        described = replace(self, georeference=tags)
        return described if self.pixel_size is None else replace(described, resolution=_per_centimetre(self.pixel_size))

    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch; None if they are not known."""
        if self.pixel_size is not None:
            return _MICROMETRES_PER_INCH / self.pixel_size.x, _MICROMETRES_PER_INCH / self.pixel_size.y
        unit = self.resolution.get(_RESOLUTION_UNIT)
        per_inch = {2: 1.0, 3: 2.54}.get(int.from_bytes(unit.data[:2], "little") if unit else 2)
        sides = [_fraction(self.resolution.get(code)) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
        return None if per_inch is None or not all(sides) else (float(sides[0]) * per_inch, float(sides[1]) * per_inch)

    def in_micrometres(self) -> Metadata:
        """With the size of a pixel by its resolution, where that is a microscope's: given per centimetre, of pixels below 10 micrometres.

        A camera's or a printer's, per inch, says nothing of what is in the picture.
        """
        dpi, unit = self.dpi(), self.resolution.get(_RESOLUTION_UNIT)
        if self.pixel_size is not None or dpi is None or unit is None or int.from_bytes(unit.data[:2], "little") != _CENTIMETRE:
            return self
        size = PixelSize(_MICROMETRES_PER_INCH / dpi[0], _MICROMETRES_PER_INCH / dpi[1])
        return replace(self, pixel_size=size) if max(size.x, size.y) < _LARGEST_OF_MICROSCOPES else self

    def no_data(self) -> float | None:
        """The value that it says means "nothing here"."""
        tag = self.georeference.get(_NODATA)
        try:
            return None if tag is None else float(_text(tag.data))
        except ValueError:
            return None

    def declares_no_data(self) -> bool:
        """Whether it says which value means "nothing here"."""
        return _NODATA in self.georeference

    def with_no_data(self, value: float | None) -> Metadata:
        """The same with this value for "nothing here", as GDAL writes it; None says nothing of it."""
        others = {code: tag for code, tag in self.georeference.items() if code != _NODATA}
        if value is None:
            return replace(self, georeference=others)
        text = f"{int(value) if abs(value) < 1e15 and value.is_integer() else repr(value)}\0".encode("ascii")
        return replace(self, georeference={**others, _NODATA: Tag(_ASCII, len(text), text)})

    def fitting(self, kind: str, channels: int, dtype: str, same_grid: bool) -> tuple[Metadata, list[str]]:
        """What of this a file can hold, and what is lost: a sentence each.

        Args:
            kind: the file's format.
            channels: of the image in it.
            dtype: of that.
            same_grid: its pixels are those of the file that this was read from, turned upright.
        """
        kept, lost = dict(vars(self)), []

        def drop(what: str, reason: str, *names: str) -> None:
            if any(kept[name] for name in names):
                lost.append(f"{what} of the source {'is' if what.startswith('the ') else 'are'} not kept: {reason}")
                kept.update({name: _NOTHING.get(name, {}) for name in names})

        if self.texts:
            lost.append("texts of the source (comment, author, title and the like) are not kept: they may speak of its pixels")
        on_ground, no_data = self.is_on_ground, _NODATA in self.georeference
        ground = "georeference and no-data value" if on_ground and no_data else "the no-data value" if no_data else "the georeference"
        if kind != "TIFF":
            drop(ground, f"a {kind} file has no place for {'them' if on_ground and no_data else 'it'} (tif has)", "georeference")
        if not same_grid or self.orientation != 1:
            drop(ground, "the output has other rows and columns", "georeference")
        if (nodata := self.georeference.get(_NODATA)) is not None and not _representable(nodata.data, dtype):
            if kept["georeference"]:
                lost.append(f"the no-data value of the source is not kept: {dtype} cannot say {_text(nodata.data)}")
            kept["georeference"] = {code: tag for code, tag in kept["georeference"].items() if code != _NODATA}
        if self.icc and self.icc[16:20] != {1: b"GRAY", 3: b"RGB ", 4: b"RGB "}.get(channels):
            drop("the colour profile", f"it is not for images of {channels} channel{'s' * (channels > 1)}", "icc")
        if self.pixel_size is not None and self.orientation > 4:  # rows became columns
            kept["pixel_size"] = PixelSize(self.pixel_size.y, self.pixel_size.x, self.pixel_size.z)
        if kind in ("JPEG", "WEBP", "BMP", *_ARRAYS):
            drop("the size of a pixel", f"a {kind} file has no place for it (tif and png have)", "pixel_size")
        if kind in ("BMP", *_ARRAYS):
            drop("the colour profile", f"a {kind} file has no place for it", "icc")
            drop("EXIF data (date, camera, position)", f"a {kind} file has no place for them", "camera", "exif", "gps")
        if kind in _ARRAYS:
            drop("the resolution", f"a {kind} file has no place for it", "resolution")
        if len(_exif_block(Metadata(**{**kept, "icc": b"", "georeference": {}}), b"")) > _LARGEST_EXIF:
            drop("EXIF data (date, camera, position)", f"they are more than {_LARGEST_EXIF:,} bytes", "exif", "gps", "camera")
        return Metadata(**kept), lost


def palette_table(palette: Sequence[tuple[int, Sequence[int]]]) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of the indices from 0 on, ``[N, 4]``, of :attr:`Metadata.palette`; those between two are black."""
    table = np.zeros((max(index for index, _ in palette) + 1, 4), np.uint8)
    table[:, 3] = 255
    for index, colour in palette:
        table[index, : len(colour)] = colour
    return table


def opacities(table: NDArray[np.uint8]) -> bytes:
    """The content of a PNG's chunk tRNS: how opaque the first indices are; empty if all are wholly."""
    return table[:, 3].tobytes().rstrip(b"\xff")


# ---- reading ---------------------------------------------------------------------------------------------------------------


def of_png(stream: BinaryIO) -> Metadata:
    """What a PNG says."""
    found: dict[str, Any] = {}
    icc, exif = b"", b""
    texts = False
    for kind, data in _chunks(stream):
        if kind == b"iCCP":
            inflate = zlib.decompressobj()
            icc = inflate.decompress(data[data.index(b"\0") + 2 :], _LARGEST_ICC)
            icc = b"" if inflate.unconsumed_tail else icc
        elif kind == b"eXIf":
            exif = data
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            key = data[:80].split(b"\0")[0].decode("latin-1")
            texts |= key != "Software" and not key.startswith(("date:", "XML:"))
        elif kind == b"pHYs" and data[8:] == b"\1":
            sides = struct.unpack(">II", data[:8])
            found["resolution"] = resolution(*(float(side) / _PER_METRE for side in sides))
    return of_blocks(icc, exif, texts=texts, **found)


def significant_bits_of_png(stream: BinaryIO) -> int:
    """How many bits of each value mean something by the chunk sBIT, where that is fewer than the file has; else 0."""
    depth = 0
    for kind, data in _chunks(stream):
        if kind == b"IHDR":
            depth = data[8] if len(data) > 9 and data[9] != _PALETTE else 8
        elif kind == b"sBIT" and data:
            return max(data) if 0 < max(data) < depth else 0
        elif kind == b"IDAT":
            break
    return 0


def of_blocks(icc: bytes, exif: bytes, **more: Any) -> Metadata:
    """From a colour profile and a block of EXIF data."""
    found = of_tiff(io.BytesIO(exif.removeprefix(b"Exif\0\0"))) if exif else Metadata()
    values = {name: value for name, value in vars(found).items() if name not in ("icc", "georeference")}
    return Metadata(**{**values, "icc": icc if len(icc) <= _LARGEST_ICC else b"", **more})


def of_tiff(stream: BinaryIO) -> Metadata:
    """What a TIFF says, or a block of EXIF data, which is one without pixels."""
    tags, read = _directory(stream)
    tag = tags.get(_ORIENTATION)
    orientation = int.from_bytes(tag.data[:2], "little") if tag is not None else 1
    sub = {name: read(tags[code]) if code in tags else {} for name, code in (("exif", _EXIF), ("gps", _GPS))}

    def some(*codes: int) -> Tags:
        return {code: tags[code] for code in codes if code in tags and tags[code].data}

    icc = tags.get(_ICC)
    text = tags[_DESCRIPTION].data.rstrip(b"\0").decode("utf-8", "replace") if _DESCRIPTION in tags else ""
    per_unit = [float(_fraction(tags.get(code))) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
    return Metadata(
        pixel_size=ome.of_description(text, (per_unit[0], per_unit[1])).pixel_size or ome.aperio_size(text),
        icc=icc.data if icc is not None else b"",
        camera=some(*_CAMERA),
        exif={code: tag for code, tag in sub["exif"].items() if code not in _OF_THE_SOURCE and tag.data},
        gps={code: tag for code, tag in sub["gps"].items() if tag.data},
        resolution=some(_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT),
        georeference=some(*_GEOREFERENCE),
        orientation=orientation if 1 <= orientation <= 8 else 1,  # no other moves a pixel
    )


def resolution(x: float, y: float) -> Tags:
    """The tags of a resolution in pixels per inch."""
    sides = [Fraction(side).limit_denominator(10_000) for side in (x, y)]
    if not all(0 < side.numerator < 1 << 32 for side in sides):
        return {}
    tags = [Tag(_RATIONAL, 1, struct.pack("<II", side.numerator, side.denominator)) for side in sides]
    return {_X_RESOLUTION: tags[0], _Y_RESOLUTION: tags[1], _RESOLUTION_UNIT: Tag(_SHORT, 1, b"\2\0")}


def _per_centimetre(size: PixelSize) -> Tags:
    """The tags of a resolution, as TIFF's readers know it, of pixels of this size."""
    sides = [Fraction(10_000 / side).limit_denominator(1_000_000) for side in (size.x, size.y)]
    if not all(0 < side.numerator < 1 << 32 for side in sides):
        return {}
    tags = [Tag(_RATIONAL, 1, struct.pack("<II", side.numerator, side.denominator)) for side in sides]
    return {_X_RESOLUTION: tags[0], _Y_RESOLUTION: tags[1], _RESOLUTION_UNIT: Tag(_SHORT, 1, b"\3\0")}


def software_of_png(stream: BinaryIO) -> str:
    """The software that a PNG names before its pixels; empty if it names none."""
    for kind, data in _chunks(stream):
        if kind == b"IDAT":
            break
        if kind == b"tEXt" and data.startswith(b"Software\0"):
            return data[9:].decode("latin-1")
    return ""


def software_of_tiff(stream: BinaryIO) -> str:
    """The software that a TIFF, or a block of EXIF data, names; empty if it names none."""
    tag = _directory(stream)[0].get(_SOFTWARE)
    return "" if tag is None else _text(tag.data)


def first_tags(stream: BinaryIO) -> Tags:
    """The tags of the first image of a TIFF; none where they are damaged."""
    try:
        return _directory(stream)[0]
    except Exception:  # damaged in whatever way: who reads the pixels will say so
        return {}


CONTENT = " content:"
_UNKNOWN = b"0" * 16
_PIECE = 1 << 22
"""Bytes of a file that are looked at together."""


def to_be_sealed(software: str) -> str:
    """The name of a software with a place for the digest."""
    return software + CONTENT + _UNKNOWN.decode()


def sealed(encoded: bytes, software: str) -> bytes:
    """A file with the digest of its content behind the name of its software, in the place that was kept for it.

    A program that changes the picture and keeps the name leaves a digest that no longer fits: see :func:`is_sealed`. ``software`` is
    what :func:`to_be_sealed` gave.
    """
    empty = software.encode("latin-1", "replace")
    return _filled(encoded, empty, empty.removesuffix(_UNKNOWN) + _digest(encoded))


def seal(stream: BinaryIO, software: str) -> None:
    """As :func:`sealed`, of a file in a stream, of which little is in memory at a time."""
    empty = software.encode("latin-1", "replace")
    if (at := _first(stream, empty)) >= 0:
        digest = hashlib.sha256()
        for piece in _pieces(stream, {}):
            digest.update(piece)
        full = empty.removesuffix(_UNKNOWN) + digest.hexdigest()[: len(_UNKNOWN)].encode()
        for place, data in _changes(stream, at, full).items():
            stream.seek(place)
            stream.write(data)


def is_sealed_file(path: Path, software: str) -> bool:
    """As :func:`is_sealed`, of a file, of which little is in memory at a time."""
    _, mark, found = software.rpartition(CONTENT)
    if not mark or len(found) != len(_UNKNOWN):
        return False
    named = software.encode("latin-1", "replace")
    nameless = named[: -len(_UNKNOWN)] + _UNKNOWN
    with path.open("rb") as stream:
        at = _first(stream, named)
        if at < 0 or 0 <= _first(stream, nameless, at) < at:
            return False
        as_it_is, emptied = _changes(stream, at, named), _changes(stream, at, nameless)
        for place, data in as_it_is.items():
            stream.seek(place)
            if stream.read(len(data)) != data:
                return False
        digest = hashlib.sha256()
        for piece in _pieces(stream, emptied):
            digest.update(piece)
    return digest.hexdigest()[: len(_UNKNOWN)].encode() == named[-len(_UNKNOWN) :]


def _first(stream: BinaryIO, wanted: bytes, before: int | None = None) -> int:
    """Where these bytes first are in a file, or before a place of it; -1 if they are nowhere."""
    stream.seek(0)
    read, rest = 0, b""
    while piece := stream.read(_PIECE if before is None else max(0, min(_PIECE, before - read))):
        if (at := (rest + piece).find(wanted)) >= 0:
            return read - len(rest) + at
        read, rest = read + len(piece), (rest + piece)[-len(wanted) + 1 :]
    return -1


def _changes(stream: BinaryIO, at: int, name: bytes) -> dict[int, bytes]:
    """The bytes of a file that are others with this name of its software, by their places: a PNG's checksum follows the name."""
    stream.seek(0)
    if not stream.read(4).startswith(b"\x89PNG"):
        return {at: name}
    kind = b"tEXtSoftware\0"
    return {at: name, at + len(name): struct.pack(">I", zlib.crc32(kind + name))}


def _pieces(stream: BinaryIO, changes: Mapping[int, bytes]) -> Iterator[bytes]:
    """A file, a piece at a time, with some of its bytes changed."""
    stream.seek(0)
    place = 0
    while piece := stream.read(_PIECE):
        changed = bytearray(piece)
        for at, data in changes.items():
            first, last = max(at, place), min(at + len(data), place + len(piece))
            if first < last:
                changed[first - place : last - place] = data[first - at : last - at]
        yield bytes(changed)
        place += len(piece)


def is_sealed(encoded: bytes, software: str) -> bool:
    """Whether a file is, byte for byte, as it was sealed."""
    _, mark, found = software.rpartition(CONTENT)
    if not mark or len(found) != len(_UNKNOWN):
        return False
    named = software.encode("latin-1", "replace")
    nameless = named[: -len(_UNKNOWN)] + _UNKNOWN
    empty = _filled(encoded, named, nameless)
    return _digest(empty) == named[-len(_UNKNOWN) :] and _filled(empty, nameless, named) == encoded


def unsealed(software: str) -> str:
    """The name of a software without the digest."""
    return software.partition(CONTENT)[0]


def _digest(encoded: bytes) -> bytes:
    return hashlib.sha256(encoded).hexdigest()[: len(_UNKNOWN)].encode()


def _filled(encoded: bytes, old: bytes, new: bytes) -> bytes:
    """The file with another name of its software; a PNG's checksum of it follows."""
    at = encoded.find(old)
    if at < 0:
        return encoded
    changed = encoded[:at] + new + encoded[at + len(old) :]
    if encoded.startswith(b"\x89PNG"):
        begin, end = at - len(b"tEXtSoftware\0"), at + len(new)
        changed = changed[:end] + struct.pack(">I", zlib.crc32(changed[begin:end])) + changed[end + 4 :]
    return changed


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of every chunk of a PNG; pixels, and what is larger than anything that is kept, as no data."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        wanted = kind != b"IDAT" and length <= _LARGEST_ICC
        yield kind, stream.read(length) if wanted else b""
        stream.seek(4 if wanted else length + 4, io.SEEK_CUR)


def _directory(stream: BinaryIO) -> tuple[Tags, Any]:
    """The tags of the first image of a TIFF, and a function that reads the directory which a tag points to.

    Raises:
        ValueError, struct.error: it is no TIFF, or is damaged.
    """
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(f"{order}H", head[2:4])[0] if order else 0
    if version not in (42, 43):
        raise ValueError("no TIFF")
    big = version == 43
    number, entry, offset = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")

    def read(at: int) -> Tags:
        stream.seek(at)
        (count,) = struct.unpack(f"{order}{number}", stream.read(struct.calcsize(f"{order}{number}")))
        if count > _MOST_TAGS:
            raise ValueError(f"{count} tags")
        size = struct.calcsize(f"{order}{entry}")
        entries = stream.read(count * size)
        tags: Tags = {}
        for code, kind, values, inline in struct.iter_unpack(f"{order}{entry}", entries[: len(entries) // size * size]):
            length = _SIZES.get(kind, 0) * values
            if not 0 < length <= {_ICC: _LARGEST_ICC, _DESCRIPTION: _LARGEST_DESCRIPTION}.get(code, _LARGEST_TAG):
                continue
            data = inline[:length]
            if length > len(inline):
                stream.seek(struct.unpack(f"{order}{offset}", inline)[0])
                data = stream.read(length)
            if len(data) == length:
                tags[code] = Tag(kind, values, data if order == "<" else _byteswapped(data, kind))
        return tags

    def follow(tag: Tag) -> Tags:
        return read(int.from_bytes(tag.data, "little"))

    first = struct.unpack(f"{order}{offset}", head[8:16] if big else head[4:8])[0]
    return read(first), follow


def _byteswapped(data: bytes, kind: int) -> bytes:
    """Big-endian values as little-endian ones."""
    size = 4 if kind in (5, 10) else _SIZES[kind]
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size)) if size > 1 else data


def _fraction(tag: Tag | None) -> Fraction | float:
    if tag is None or tag.kind != _RATIONAL or len(tag.data) < 8:
        return 0.0
    above, below = struct.unpack("<II", tag.data[:8])
    return Fraction(above, below) if below else 0.0


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1").strip()


def _representable(data: bytes, dtype: str) -> bool:
    try:
        value = float(_text(data))
    except ValueError:
        return False
    low, high = NATURAL_RANGE[dtype]
    return dtype.startswith("float") or (value.is_integer() and low <= value <= high)


# ---- writing ---------------------------------------------------------------------------------------------------------------


def save_options(kind: str, metadata: Metadata, software: str) -> dict[str, Any]:
    """What Pillow is given to write a JPEG, WebP or BMP file with these."""
    options: dict[str, Any] = {}
    if kind in ("JPEG", "WEBP"):
        options["exif"] = b"Exif\0\0" + _exif_block(metadata, software.encode("latin-1", "replace"), resolution=kind == "WEBP")
        if metadata.icc:
            options["icc_profile"] = metadata.icc
    if kind in ("JPEG", "BMP") and (dpi := metadata.dpi()) is not None and max(dpi) < 65536:
        options["dpi"] = dpi
    return options


def chunks_of(metadata: Metadata, software: str) -> list[tuple[bytes, bytes]]:
    """What a PNG says of these behind its header: kind and data of each chunk."""
    chunks = [(b"tEXt", b"Software\0" + software.encode("latin-1", "replace"))]
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if (dpi := metadata.dpi()) is not None and max(dpi) * _PER_METRE < 1 << 31:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(side * _PER_METRE) for side in dpi), 1)))
    if metadata.camera or metadata.exif or metadata.gps:
        chunks.append((b"eXIf", _exif_block(metadata, unsealed(software).encode("latin-1", "replace"))))
    return chunks


def into_png(png: bytes, metadata: Metadata, software: str) -> bytes:
    """A PNG file with these behind its header."""
    chunks, end = chunks_of(metadata, software), 8 + 25  # signature, and IHDR with its 13 bytes of data
    written = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return png[:end] + written + png[end:]


def tags_of(metadata: Metadata, software: str) -> Tags:
    """What a TIFF says of these among the tags of its first image, without the directories of EXIF data."""
    described = {_DESCRIPTION: _ascii(metadata.description)} if metadata.description else {}
    tags = {
        **described,
        **metadata.camera,
        **metadata.resolution,
        **metadata.georeference,
        _SOFTWARE: _ascii(software.encode("latin-1", "replace")),
    }
    if metadata.icc:
        tags[_ICC] = Tag(_UNDEFINED, len(metadata.icc), metadata.icc)
    return tags


def directories_of(metadata: Metadata) -> dict[int, Tags]:
    """The directories of EXIF data, by the tags that say where they are."""
    return {code: inner for code, inner in ((_EXIF, metadata.exif), (_GPS, metadata.gps)) if inner}


def into_tiff(tiff: bytes, metadata: Metadata, software: str) -> bytes:
    """A TIFF file with these among the tags of its first image: a new directory at its end takes the place of the first.

    A file of more than 4 GB (BigTIFF) is left as it is, with the description that it was written with.
    """
    if tiff[:4] != b"II*\0":
        return tiff
    (first,) = struct.unpack("<I", tiff[4:8])
    (count,) = struct.unpack("<H", tiff[first : first + 2])
    entries = {struct.unpack("<H", one[:2])[0]: one for one in (tiff[first + 2 + 12 * at : first + 14 + 12 * at] for at in range(count))}
    following = tiff[first + 2 + 12 * count : first + 6 + 12 * count]
    tiff += b"\0" * (len(tiff) % 2)
    tags = tags_of(metadata, software)
    for code, inner in directories_of(metadata).items():
        tags[code] = Tag(_LONG, 1, struct.pack("<I", len(tiff)))
        tiff += _laid_out(inner, len(tiff))
    if len(tiff) > (1 << 32) - (1 << 24):
        return tiff
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + _laid_out(tags, len(tiff), entries, following)


def _exif_block(metadata: Metadata, software: bytes, resolution: bool = False) -> bytes:
    """A block of EXIF data: upright, with the software's name."""
    tags = {**metadata.camera, _ORIENTATION: Tag(_SHORT, 1, b"\1\0"), _SOFTWARE: _ascii(software)}
    if resolution:
        tags |= metadata.resolution
    block = b"II*\0" + struct.pack("<I", 8)
    pointers = {code: Tag(_LONG, 1, bytes(4)) for code, inner in ((_EXIF, metadata.exif), (_GPS, metadata.gps)) if inner}
    end = 8 + len(_laid_out({**tags, **pointers}, 8))
    behind = b""
    for code, inner in ((_EXIF, metadata.exif), (_GPS, metadata.gps)):
        if inner:
            pointers[code] = Tag(_LONG, 1, struct.pack("<I", end + len(behind)))
            behind += _laid_out(inner, end + len(behind))
    return block + _laid_out({**tags, **pointers}, 8) + behind


def _ascii(text: bytes) -> Tag:
    return Tag(_ASCII, len(text) + 1, text + b"\0")


def _laid_out(tags: Tags, at: int, entries: Mapping[int, bytes] | None = None, following: bytes = bytes(4)) -> bytes:
    """A directory of tags that begins at a position of its file, with the values that do not fit into it behind it.

    Args:
        tags: to write.
        at: the position, an even number.
        entries: further entries of twelve bytes, as they are in the file already; tags of the same code take their places.
        following: where the next directory is.
    """
    lines = dict(entries or {})
    values, end = b"", at + 2 + 12 * len({**lines, **tags}) + 4
    for code, tag in tags.items():
        inline = tag.data.ljust(4, b"\0")
        if len(tag.data) > 4:
            inline = struct.pack("<I", end + len(values))
            values += tag.data + b"\0" * (len(tag.data) % 2)
        lines[code] = struct.pack("<HHI4s", code, tag.kind, tag.count, inline)
    return struct.pack("<H", len(lines)) + b"".join(lines[code] for code in sorted(lines)) + following + values
