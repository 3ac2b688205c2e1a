#!/usr/bin/env bash
# Pillow stretches the values of a 2-bit grey PNG to 8 bits and leaves the file's transparent value (tRNS) as it is: nothing is transparent.
#
# Guessed: a label map of 2 bits whose class 1 is declared transparent ("ignore") gets alpha 0 there when it is converted to LA.
# Seen (Pillow 13.0.0, pypng 0.20220715.0, numpy 2.4.6, Python 3.11 to 3.13): the pixels 0, 1, 2, 3 arrive as 0, 85, 170, 255, info["transparency"]
# is still 1, and the alpha of every pixel is 255. The same file with 8 bits has alpha 0 where it should; pypng reads both right.
# Fails if the values, the transparent value or the alpha come out otherwise.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 pypng==0.20220715.0 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import numpy, png
from PIL import Image

for bits in (2, 8):
    name = f"{bits}.png"
    with open(name, "wb") as stream:
        png.Writer(4, 1, greyscale=True, bitdepth=bits, transparent=1).write(stream, [[0, 1, 2, 3]])
    with Image.open(name) as image:
        known, grey, alpha = image.info["transparency"], *numpy.array(image.convert("LA")).T
    _, _, rows, about = png.Reader(name).read()
    print(f"{bits} bits: values {grey.ravel().tolist()}, transparent value {known}, alpha {alpha.ravel().tolist()}; pypng {list(next(rows))}, {about['transparent']}")
PY
grep -q "^2 bits: values \[0, 85, 170, 255\], transparent value 1, alpha \[255, 255, 255, 255\]; pypng \[0, 1, 2, 3\], (1,)" seen.txt
grep -q "^8 bits: values \[0, 1, 2, 3\], transparent value 1, alpha \[255, 0, 255, 255\]; pypng \[0, 1, 2, 3\], (1,)" seen.txt
echo "as described: with 2 bits nothing is transparent"
