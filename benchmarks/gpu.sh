#!/usr/bin/env bash
# What a GPU makes of the package, on a machine that has Python, PyTorch for CUDA and little else, and no network.
#
#   benchmarks/gpu.sh --out FOLDER [correctness] [speed] [modes] [classical] [recipes] [trainings] [--windows FOLDER] [--reference FOLDER]
#
# WHEELS names a folder of wheels for what that Python lacks (pip download --no-deps --only-binary=:all: ...). All arguments go to
# benchmarks/gpu; a dry run at toy size on a CPU is  benchmarks/gpu.sh --dry-run --out FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$here/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH="$PYTHONPATH:$site"
fi
exec python3 "$here/benchmarks/gpu" "$@"
