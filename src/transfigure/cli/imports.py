"""The heavy imports of a command, without the collector of cyclic garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..memory import without_collecting


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports inside are not searched for cyclic garbage, and what the first of them brought with torch is not searched later either.

    Importing torch makes about a million objects, and none of them is garbage. Going through them again and again costs a tenth of the
    import, and as much at every full collection of the work that follows.
    """
    first = "torch" not in sys.modules
    with without_collecting():
        yield
        if first and "torch" in sys.modules:
            gc.freeze()
