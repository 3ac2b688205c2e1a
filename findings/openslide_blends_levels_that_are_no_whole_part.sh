#!/usr/bin/env bash
# openslide gives other pixels of a level than are stored, where the level is no whole part of the full image, unless the region begins at 0, 0.
#
# Guessed: read_region gives the pixels of a level, from the place that is nearest to the one that is asked for.
# Seen (openslide-python 1.4.7, openslide-bin 4.0.1.2, tifffile 2026.3.3, numpy 2.4.6, Python 3.11): places are counted in pixels of
# level 0 and divided by the level's mean downsampling, and what lies between two pixels is blended of them. Scanners round sides down, so that
# 1503 x 1001 pixels at a quarter are 375 x 250, 4.006 times smaller: hardly a place lies on a pixel. Regions that begin at 0, 0 are exact, and
# so are all regions of levels that are a whole part; parts that are put together differ from the whole by a slight blur.
# Fails if the region is exact in the first case, or is not in the second.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check openslide-python==1.4.7 openslide-bin==4.0.1.2 tifffile==2026.3.3 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import numpy, openslide, tifffile

for height, width in ((1001, 1503), (1000, 1504)):
    random = numpy.random.default_rng(0)
    levels = [random.integers(0, 256, (height // times, width // times, 3), "u1") for times in (1, 4)]
    with tifffile.TiffWriter("a.tif") as tiff:
        for number, level in enumerate(levels):
            tiff.write(level, tile=(256, 256), photometric="rgb", subfiletype=int(number > 0), metadata=None)
    slide = openslide.OpenSlide("a.tif")
    larger = slide.level_downsamples[1]
    found = []
    for left, top in ((0, 0), (100, 50)):
        seen = numpy.asarray(slide.read_region((round(left * larger), round(top * larger)), 1, (100, 100)))[..., :3]
        found.append(f"from {left}, {top}: {(seen != levels[1][top : top + 100, left : left + 100]).mean():.2f} of the values are others")
    print(f"{width} x {height}, {larger:.3f} times smaller: {'; '.join(found)}")
PY
grep -q "^1503 x 1001, 4.006 times smaller: from 0, 0: 0.00 of the values are others; from 100, 50: 0.9" seen.txt
grep -q "^1504 x 1000, 4.000 times smaller: from 0, 0: 0.00 of the values are others; from 100, 50: 0.00" seen.txt
echo "as described: a level of 4.006 times less is blended"
