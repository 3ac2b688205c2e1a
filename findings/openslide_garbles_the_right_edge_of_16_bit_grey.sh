#!/usr/bin/env bash
# openslide shows the last column of tiles of a 16-bit grey TIFF as rubbish, where the image's width is no multiple of the tile's.
#
# Guessed: a tiled grey TIFF of 16 bits is shown by its high bytes, as one of 8 bits is by its bytes.
# Seen (openslide-python 1.4.7, openslide-bin 4.0.1.2, tifffile 2026.3.3, numpy 2.4.6, Python 3.11): so it is in all tiles that lie
# wholly inside. In those that reach beyond the right edge, rows follow each other at another distance than they are stored at, and the part
# that is inside shows diagonal rubbish; no error is raised. Tiles beyond the lower edge are right, and so are grey of 8 bits and RGB of 16.
# Fails if that tile is right, or any of the others wrong.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check openslide-python==1.4.7 openslide-bin==4.0.1.2 tifffile==2026.3.3 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import numpy, openslide, tifffile

random = numpy.random.default_rng(0)
for name, shape, dtype in (("grey 8", (500, 600), "u1"), ("grey 16", (500, 600), "u2"), ("RGB 16", (500, 600, 3), "u2")):
    pixels = random.integers(0, numpy.iinfo(dtype).max, shape).astype(dtype)
    tifffile.imwrite("a.tif", pixels, tile=(256, 256), photometric="rgb" if len(shape) == 3 else "minisblack", metadata=None)
    high = (pixels >> (8 * (pixels.itemsize - 1))).reshape(500, 600, -1)
    seen = numpy.asarray(openslide.OpenSlide("a.tif").read_region((0, 0), 0, (600, 500)))[..., : high.shape[2]]
    wrong = abs(seen.astype(int) - high) > 1
    print(f"{name} bits: wrong inside {wrong[:, :512].mean():.2f}, in the last column of tiles {wrong[:, 512:].mean():.2f}")
PY
grep -q "^grey 8 bits: wrong inside 0.00, in the last column of tiles 0.00" seen.txt
grep -q "^grey 16 bits: wrong inside 0.00, in the last column of tiles 0.9" seen.txt
grep -q "^RGB 16 bits: wrong inside 0.00, in the last column of tiles 0.00" seen.txt
echo "as described: the tiles that reach beyond the right edge are rubbish"
