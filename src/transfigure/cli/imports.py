"""The heavy imports of a command, without the collector of cyclic garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports inside are not searched for cyclic garbage, and what the first of them brought with torch is not searched later either.

    Importing torch makes about a million objects, and none of them is garbage. Going through them again and again costs a tenth of the
    import, and as much at every full collection of the work that follows.
    """
    enabled, first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
        if first and "torch" in sys.modules:
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
