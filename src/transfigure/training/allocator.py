"""Keep freed memory instead of returning it to the system: on CPU a fifth of a training step is page faults otherwise.

A training step frees and asks again for the same few hundred megabytes. glibc serves large blocks by ``mmap`` and unmaps them on
``free``, so every step faults every page in anew. ``mallopt`` with ``M_MMAP_MAX = 0`` and the largest ``M_TRIM_THRESHOLD`` makes the
heap keep them. Process-wide and harmless; measured in ``benchmarks/against_reference.py``.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed. Returns whether that was possible (Linux with glibc, nothing preloaded instead)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
