"""The descriptions of a microscope's image: OME-XML, and the texts in which ImageJ, GDAL and tifffile name channels and distances.

They are read as data: bounded, without entities, and nothing in them is opened. What does not fit the file it stands in is passed over.
OME data model 2016-06 (https://docs.openmicroscopy.org/ome-model/); ImageJ's TIFF (https://imagej.net/ij/source/ij/io/TiffDecoder.java);
GDAL's tag 42112 (https://gdal.org/en/stable/drivers/raster/gtiff.html).
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

_LONGEST = 16 << 20
"""Characters of a description that is looked at."""
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
TYPES = {
    **{name: name for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")},
    "float32": "float",
    "float64": "double",
}
"""OME's words for the types of numbers that it knows; it has none for floats of 16 bits."""
_MICROMETRES = {
    **{"m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0},
    **{"micrometer": 1.0, "micrometre": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "\u212b": 1e-4},
    **{"in": 25400.0, "inch": 25400.0, "ft": 304800.0, "km": 1e9},
}
_ESCAPED_MU = re.compile(r"\\+u00b5", re.IGNORECASE)
_APERIO = re.compile(r"\|\s*MPP\s*=\s*([0-9]+(?:\.[0-9]+)?)\s*(?:\||$)")
_IMAGEJ = re.compile(r"^(\w+)=(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class PixelSize:
    """How far apart the centres of two pixels are.

    Attributes:
        x: micrometres along a row.
        y: micrometres along a column.
        z: micrometres between two slices; None if it is not known.
    """

    x: float
    y: float
    z: float | None = None


def _size(x: float, y: float, z: float | None) -> PixelSize | None:
    """One if its numbers are distances."""
    if not all(math.isfinite(side) and side > 0 for side in (x, y)):
        return None
    return PixelSize(x, y, z if z is not None and math.isfinite(z) and z > 0 else None)


def scaled_size(size: PixelSize, x: float, y: float) -> PixelSize:
    """Of pixels that are so many times as large along a row and along a column."""
    return PixelSize(size.x * x, size.y * y, size.z)


def aperio_size(description: str) -> PixelSize | None:
    """The size of a pixel by the description of an Aperio scan."""
    found = _APERIO.search(description) if description.startswith("Aperio") else None
    size = float(found[1]) if found else 0.0
    return PixelSize(size, size) if size > 0 else None


@dataclass(frozen=True)
class Description:
    """What the description of an image says.

    Attributes:
        names: of the channels; empty if it names none.
        pixel_size: None if it does not say it.
    """

    names: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None


def is_ome(text: str) -> bool:
    """Whether a description is OME-XML, as far as its ends show."""
    return text[-16:].rstrip("\0 \r\n\t").endswith("OME>")


def parsed(text: str) -> ElementTree.Element:
    """The tree of an OME-XML.

    Raises:
        ValueError: it is none, or has what no plain one has.
    """
    if len(text) > _LONGEST or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("its OME-XML is not plain")
    try:
        return ElementTree.fromstring(text.strip("\0 \r\n\t"))
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME-XML is damaged ({error})") from error


def is_about(text: str, pages: int) -> bool:
    """Whether an OME-XML speaks of the file that it stands in, which has so many pages: of no more planes, and of no other file."""
    try:
        root = parsed(text)
        planes = 0
        for pixels in _all(root, "Pixels"):
            samples = max((int(channel.get("SamplesPerPixel", 1)) for channel in _all(pixels, "Channel")), default=1)
            sizes = [int(pixels.attrib[f"Size{axis}"]) for axis in "XYCZT"]
            if min(sizes) < 1 or samples < 1:
                return False
            planes += sizes[2] * sizes[3] * sizes[4] // samples
            for data in _all(pixels, "TiffData"):
                count = int(data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else 0)))
                if not 0 <= int(data.get("IFD", 0)) < pages or not 0 <= count <= pages:
                    return False
        named = {(place.text or "").strip() for place in _all(root, "UUID")}
        return 0 < planes <= pages and len(named) <= 1
    except (ValueError, KeyError):
        return False


def of_description(text: str, resolution: tuple[float, float] | None = None) -> Description:
    """What a TIFF's description says; nothing where it is damaged.

    Args:
        text: OME-XML, or ImageJ's or tifffile's own kind.
        resolution: pixels per unit along x and y, by the tags of the resolution, which ImageJ's text gives the unit of.
    """
    try:
        if is_ome(text):
            return of_ome(text)
        if text.startswith("ImageJ="):
            return Description((), _imagej_size(text, resolution))
        if text.startswith("{"):
            return _of_shaped(text)
    except (ValueError, KeyError, TypeError):
        pass
    return Description()


def names_other_axes(text: str) -> bool:
    """Whether tifffile's own description says that what lies in a file as colours, or as one page, is something else."""
    try:
        axes = json.loads(text).get("axes", "") if text.startswith("{") else ""
    except (ValueError, AttributeError):
        return False
    return not set(str(axes).upper()) <= set("YXS")


def of_ome(text: str) -> Description:
    """The channels' names and the pixel size of the first image of an OME-XML.

    Raises:
        ValueError: it is damaged.
    """
    pixels = next(iter(_all(parsed(text), "Pixels")), None)
    if pixels is None:
        return Description()
    channels = _all(pixels, "Channel")
    names = [channel.get("Name", "").strip() for channel in channels]
    samples = [int(channel.get("SamplesPerPixel", 1)) for channel in channels]
    sides: list[float | None] = []
    for axis in "XYZ":
        factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        side = pixels.get(f"PhysicalSize{axis}")
        sides.append(float(side) * factor if side is not None and factor is not None else None)
    size = None if sides[0] is None or sides[1] is None else _size(sides[0], sides[1], sides[2])
    return Description(_names(names) if set(samples) == {1} else (), size)


def _all(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The elements of this name, whatever their namespace."""
    return [one for one in root.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name]


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that tell channels apart: one that is missing or comes twice gets the number of its channel; nothing if all are missing."""
    if not any(names):
        return ()
    found = tuple(
        name if name and names.count(name) == 1 else f"{name or 'channel'} {number}" for number, name in enumerate(names, start=1)
    )
    return found if len(set(found)) == len(found) else ()


def _of_shaped(text: str) -> Description:
    """What tifffile's own description says, in JSON."""
    about = json.loads(text)
    channel = about.get("Channel") if isinstance(about, dict) else None
    names = channel.get("Name") if isinstance(channel, dict) else None
    found = _names([str(name).strip() for name in names]) if isinstance(names, list) else ()
    sides = [about.get(f"PhysicalSize{axis}") for axis in "XYZ"]
    factors = [_MICROMETRES.get(about.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XYZ"]
    scaled = [side * factor if isinstance(side, int | float) and factor else None for side, factor in zip(sides, factors)]
    return Description(found, None if scaled[0] is None or scaled[1] is None else _size(scaled[0], scaled[1], scaled[2]))


def imagej_values(text: str) -> dict[str, str]:
    """The values that ImageJ's description gives: ``unit``, ``spacing``, ``channels``, ..."""
    return dict(_IMAGEJ.findall(text[:_LONGEST]))


def _imagej_size(text: str, resolution: tuple[float, float] | None) -> PixelSize | None:
    values = imagej_values(text)
    factor = _MICROMETRES.get(_ESCAPED_MU.sub("µ", values.get("unit", "").strip()))
    if factor is None or resolution is None or not all(resolution):
        return None
    spacing = float(values["spacing"]) * factor if "spacing" in values else None
    return _size(factor / resolution[0], factor / resolution[1], spacing)


def imagej_names(labels: Any, planes: int, channels: int) -> tuple[str, ...]:
    """The channels' names from ImageJ's labels of planes, of which the channels are the fastest.

    Args:
        labels: as tifffile reads them.
        planes: how many there are in the file.
        channels: how many channels.
    """
    if not isinstance(labels, list | tuple) or len(labels) != planes or planes < channels:
        return ()
    return _names([_label(str(label)) for label in labels[:channels]])


def _label(text: str) -> str:
    """The name in a label such as ``c:1/3 z:1/5 - DAPI``."""
    return text.split("\n", maxsplit=1)[0].rpartition(" - ")[2].strip()


def gdal_names(text: str, channels: int) -> tuple[str, ...]:
    """The descriptions of bands in GDAL's metadata."""
    try:
        items = [one for one in parsed(text).iter("Item") if one.get("role") == "description" and one.get("sample", "").isdecimal()]
    except ValueError:
        return ()
    named = {int(item.get("sample", 0)): (item.text or "").strip() for item in items}
    return _names([named.get(band, "") for band in range(channels)])


@dataclass(frozen=True)
class Slices:
    """Images that follow one another in a file.

    Attributes:
        count: how many there are.
        axis: along what: ``Z`` or ``T``.
    """

    count: int = 1
    axis: str = "Z"

    def size(self, axis: str) -> int:
        """How many there are along one axis."""
        return self.count if axis == self.axis else 1


ONE = Slices()


def gdal_metadata(names: Sequence[str]) -> str:
    """GDAL's metadata of bands with these descriptions."""
    items = (f'<Item name="DESCRIPTION" sample="{at}" role="description">{escape(_plain(name))}</Item>' for at, name in enumerate(names))
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"


def description(
    shape: tuple[int, int, int],
    samples: int,
    dtype: str,
    names: Sequence[str],
    size: PixelSize | None,
    creator: str,
    slices: Slices = ONE,
) -> str:
    """The description of an image whose channels are pages, one after the other, or colours; always the same for the same image.

    It is OME-XML, or in tifffile's way for the one type that OME does not know.

    Args:
        shape: pages, height, width.
        samples: of a page: 1, or 3 or 4 for colours.
        dtype: of its numbers.
        names: of the channels that are pages; empty for none.
        size: of a pixel.
        creator: the software that writes it.
        slices: how many such images there are, one after the other.
    """
    pages, height, width = shape
    sides = [] if size is None else [("X", size.x), ("Y", size.y)] + ([("Z", size.z)] if size.z is not None else [])
    if dtype not in TYPES:
        layout: dict[str, Any] = {"shape": [*shape], "axes": "CYX"} if samples == 1 else {"shape": [height, width, samples], "axes": "YXS"}
        if slices.count > 1:
            layout = {"shape": [slices.count, *layout["shape"]], "axes": f"{slices.axis}{layout['axes']}"}
        named = {"Channel": {"Name": [*names]}} if names else {}
        return json.dumps({**layout, **named, **{f"PhysicalSize{axis}": side for axis, side in sides}})
    identity = uuid.uuid5(uuid.NAMESPACE_URL, repr((shape, samples, dtype, tuple(names), size, *(() if slices == ONE else (slices,)))))
    physical = "".join(f' PhysicalSize{axis}="{side!r}" PhysicalSize{axis}Unit="µm"' for axis, side in sides)
    channels = "".join(
        f'<Channel ID="Channel:0:{at}"{f" Name={_quoted(name)}" if name else ""} SamplesPerPixel="{samples}"/>'
        for at, name in enumerate(list(names) or [""] * pages)
    )
    sizes = f'SizeX="{width}" SizeY="{height}" SizeC="{pages * samples}" SizeZ="{slices.size("Z")}" SizeT="{slices.size("T")}"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{_SCHEMA}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_SCHEMA} {_SCHEMA}/ome.xsd" UUID="urn:uuid:{identity}" Creator={_quoted(creator)}>'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{TYPES[dtype]}" {sizes}{physical}>{channels}'
        f'<TiffData IFD="0" PlaneCount="{pages * slices.count}"/></Pixels></Image></OME>'
    )


def _quoted(text: str) -> str:
    """A text as the value of an attribute."""
    return quoteattr(_plain(text))


def _plain(text: str) -> str:
    """What of a text XML can say."""
    return "".join(letter for letter in text if letter >= " " and letter not in "\ufffe\uffff" and not "\ud800" <= letter <= "\udfff")
