#!/usr/bin/env bash
# Where the levels of a TIFF pyramid have to stand so that tifffile, tiffslide and openslide see the same: in both places at once.
#
# Guessed: an OME-TIFF with its levels in SubIFDs, as its specification wants, is a pyramid to every reader of slides.
# Seen (tifffile 2026.3.3, tiffslide 3.0.1, openslide-python 1.4.7, openslide-bin 4.0.1.2, Python 3.11): to openslide it has one level. With
# levels as further pages openslide has all, but an OME-TIFF of that kind has one level to tifffile and tiffslide, and without OME-XML all three
# see all. With both, and OME-XML, all three see all; without OME-XML tifffile takes the pages for images of their own. Pages for channels are
# levels to openslide if they are in the way; it shows no float, and of 16 bits the high 8. Prints the table of docs/how-to/translate.md.
# Fails if a cell of it has changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 imagecodecs==2026.3.6 tiffslide==3.0.1 \
  openslide-python==1.4.7 openslide-bin==4.0.1.2 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import logging, warnings
import numpy, openslide, tifffile, tiffslide

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
HEIGHT, WIDTH = 768, 1024
XML = ('<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
       'DimensionOrder="XYCZT" Type="{kind}" SizeX="1024" SizeY="768" SizeC="{channels}" SizeZ="1" SizeT="1">{each}<TiffData IFD="0" PlaneCount="{planes}"/>'
       '</Pixels></Image></OME>')


def write(levels, place, ome, planes):
    channels = levels[0].shape[2]
    of_page = 1 if planes == "pages" else channels
    each = "".join(f'<Channel ID="Channel:0:{at}" SamplesPerPixel="{of_page}"/>' for at in range(channels // of_page))
    kind = {"float32": "float"}.get(levels[0].dtype.name, levels[0].dtype.name)
    text = XML.format(kind=kind, channels=channels, each=each, planes=channels // of_page) if ome else None
    colour = {"tile": (256, 256), "metadata": None, "compression": "zlib", "photometric": "rgb" if of_page == 3 else "minisblack"}
    pages = [[level[..., at] for at in range(channels)] if of_page == 1 else [level] for level in levels]
    with tifffile.TiffWriter("a.tif") as tiff:
        for number, page in enumerate(pages[0]):
            sub = place in ("SubIFDs", "both")
            tiff.write(page, description=text if number == 0 else None, subifds=len(levels) - 1 if sub else 0, **colour)
            for level in pages[1:] if sub else []:
                tiff.write(level[number], subfiletype=1, **colour)
        for level in pages[1:] if place in ("pages", "both") else []:
            for page in level:
                tiff.write(page, subfiletype=1, **colour)


def compared(found, levels):
    sizes = [one.shape[:2] for one in found] == [level.shape[:2] for level in levels]
    count = f"{len(found)} level{'s' * (len(found) > 1)}"
    if not sizes:
        return count
    high = [level if level.dtype != "u2" else level >> 8 for level in levels]
    if all(one.shape == level.shape and (one == level).all() for one, level in zip(found, levels)):
        return f"{count}, exact"
    if all(one.shape == level.shape and (abs(one.astype(int) - level) <= 1).all() for one, level in zip(found, high)):
        return f"{count}, high 8 bits"
    return f"{count}, other pixels"


def by_tifffile(levels):
    with tifffile.TiffFile("a.tif") as tiff:
        first = tiff.series[0]
        found = [numpy.moveaxis(one, 0, 2) if first.axes[0] in "CI" else one.reshape(*one.shape[:2], -1) for one in (level.asarray() for level in first.levels)]
        return compared(found, levels) + ("" if len(tiff.series) == 1 else f" of {len(tiff.series)} images")


def by_tiffslide(levels):
    with tiffslide.TiffSlide("a.tif") as slide:
        found = [slide.read_region((0, 0), at, size, as_array=True) for at, size in enumerate(slide.level_dimensions)]
        return compared([one.reshape(*one.shape[:2], -1) for one in found], levels)


def by_openslide(levels):
    with openslide.OpenSlide("a.tif") as slide:
        found = [numpy.asarray(slide.read_region((0, 0), at, size))[..., :3] for at, size in enumerate(slide.level_dimensions)]
        return compared([one[..., :1] if levels[0].shape[2] == 1 else one for one in found], levels)


def cell(reader, levels):
    try:
        return reader(levels)
    except Exception:
        return "fails"


print("| image | levels in | tifffile | tiffslide | openslide |\n|---|---|---|---|---|")
for name, channels, dtype, planes, places in (
    ("RGB, 8 bits", 3, "uint8", "samples", [("SubIFDs", True), ("pages", True), ("pages", False), ("both", True), ("both", False)]),
    ("grey, 8 bits", 1, "uint8", "samples", [("both", True)]),
    ("RGB, 16 bits", 3, "uint16", "samples", [("both", True)]),
    ("grey, 16 bits", 1, "uint16", "samples", [("both", True)]),
    ("grey, 32-bit float", 1, "float32", "samples", [("both", True)]),
    ("5 channels, 8 bits, a page each", 5, "uint8", "pages", [("SubIFDs", True), ("both", True)]),
    ("5 channels, 16 bits, a page each", 5, "uint16", "pages", [("SubIFDs", True)]),
):
    random = numpy.random.default_rng(0).random((HEIGHT, WIDTH, channels))
    full = random.astype(dtype) if dtype == "float32" else (random * numpy.iinfo(dtype).max).astype(dtype)
    levels = [full, *(numpy.ascontiguousarray(full[::step, ::step]) for step in (2, 4))]
    for place, ome in places:
        write(levels, place, ome, planes)
        where = {"SubIFDs": "SubIFDs", "pages": "further pages", "both": "both"}[place] + (", OME-XML" if ome else "")
        print(f"| {name} | {where} | {' | '.join(cell(reader, levels) for reader in (by_tifffile, by_tiffslide, by_openslide))} |")
PY
cat > expected.txt <<'TABLE'
| image | levels in | tifffile | tiffslide | openslide |
|---|---|---|---|---|
| RGB, 8 bits | SubIFDs, OME-XML | 3 levels, exact | 3 levels, exact | 1 level |
| RGB, 8 bits | further pages, OME-XML | 1 level | 1 level | 3 levels, exact |
| RGB, 8 bits | further pages | 3 levels, exact | 3 levels, exact | 3 levels, exact |
| RGB, 8 bits | both, OME-XML | 3 levels, exact | 3 levels, exact | 3 levels, exact |
| RGB, 8 bits | both | 1 level of 3 images | 1 level | 3 levels, exact |
| grey, 8 bits | both, OME-XML | 3 levels, exact | 3 levels, exact | 3 levels, exact |
| RGB, 16 bits | both, OME-XML | 3 levels, exact | 3 levels, exact | 3 levels, high 8 bits |
| grey, 16 bits | both, OME-XML | 3 levels, exact | 3 levels, exact | 3 levels, high 8 bits |
| grey, 32-bit float | both, OME-XML | 3 levels, exact | 3 levels, exact | fails |
| 5 channels, 8 bits, a page each | SubIFDs, OME-XML | 3 levels, exact | 3 levels, exact | 1 level |
| 5 channels, 8 bits, a page each | both, OME-XML | 3 levels, exact | 3 levels, exact | 11 levels |
| 5 channels, 16 bits, a page each | SubIFDs, OME-XML | 3 levels, exact | 3 levels, exact | 1 level |
TABLE
diff expected.txt seen.txt
echo "as described: one page with its levels in both places is the same to all three"
