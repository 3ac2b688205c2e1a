#!/usr/bin/env bash
# tifffile without imagecodecs asks for it by name where a TIFF is compressed with LZW, but for ZSTD it asks for a module "compression".
#
# Guessed: every compression that tifffile cannot decode alone is answered with "requires the 'imagecodecs' package".
# Seen (tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, Python 3.11 to 3.13): LZW is answered so; ZSTD, which many microscopes' and
# satellites' files use now, with "No module named 'compression'", since Python 3.14's own zstd is tried first and its absence is what is
# told. `pip install compression` is then the obvious wrong turn; the cure is imagecodecs here too.
# Fails if one of the two answers changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || { echo "Python 3.14 has a module compression.zstd: nothing to see here"; exit 0; }
python3 -m venv with; with/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
python3 -m venv without; without/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 numpy==2.4.6
with/bin/python - <<'PY'
import numpy, tifffile
for name in ("lzw", "zstd"):
    tifffile.imwrite(f"{name}.tif", numpy.arange(4096, dtype="u2").reshape(64, 64), compression=name, metadata=None)
PY
without/bin/python - <<'PY' | tee seen.txt
import tifffile
for name in ("lzw", "zstd"):
    try:
        print(name, tifffile.imread(f"{name}.tif").shape)
    except Exception as error:
        print(name, type(error).__name__, error)
PY
grep -q "^lzw .*requires the 'imagecodecs' package" seen.txt
grep -q "^zstd .*No module named 'compression'" seen.txt
echo "as described: LZW names imagecodecs, ZSTD names another module"
