#!/usr/bin/env bash
# Pillow reads a compressed big-endian TIFF of 32-bit floats with the bytes of each value the wrong way round: other numbers, no error.
#
# Guessed: the byte order of a TIFF is a matter of its reader; elevation models and microscopes write floats in both.
# Seen (Pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, Python 3.11): deflate or LZW, big-endian: the values are byte-swapped
# (0.5 arrives as 8.8e-44). Without compression, or little-endian, they are right; so are 16-bit integers. tifffile reads all of them right.
# Fails if any of these comes out otherwise.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import numpy, tifffile
from PIL import Image

for kind in ("f4", "u2"):
    values = numpy.linspace(0, 1, 12).reshape(3, 4) * (1 if kind == "f4" else 60000)
    values = values.astype(kind)
    for order in "<>":
        for compression in (None, "deflate", "lzw"):
            tifffile.imwrite("a.tif", values, byteorder=order, compression=compression)
            with Image.open("a.tif") as image:
                found = numpy.asarray(image).astype(kind)
            swapped = numpy.array_equal(found.view(f"u{found.itemsize}"), values.byteswap().view(f"u{found.itemsize}"))
            seen = "right" if numpy.array_equal(found, values) else "byte-swapped" if swapped else "other"
            other = "right" if numpy.array_equal(tifffile.imread("a.tif"), values) else "wrong"
            print(f"{kind} {order} {compression}: Pillow {seen}, tifffile {other}")
PY
test "$(grep -c "Pillow byte-swapped, tifffile right" seen.txt)" = 2
grep -q "^f4 > deflate: Pillow byte-swapped" seen.txt && grep -q "^f4 > lzw: Pillow byte-swapped" seen.txt
test "$(grep -c "Pillow right, tifffile right" seen.txt)" = 10
echo "as described: compressed big-endian floats arrive byte-swapped"
