"""How much memory there is, asked before something large is begun: the system's, or what a container or a limit leaves of it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""cgroups without a limit say ``max``, or a number beyond any machine's."""


def available() -> int | None:
    """Bytes that can still be used, as far as the system says; None where it does not."""
    found = [size for size in (_of_system(), _of_group(), _of_process()) if size is not None]
    return max(0, min(found)) if found else None


def available_on(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where nobody says."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return available()


def used() -> int:
    """Bytes that this process holds in memory; where the system does not say, the most that it has held, or 0."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError, OSError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return 0


def words(size: float) -> str:
    """``3.2 GB``, ``48 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6)):,} MB"


def _of_system() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _of_windows()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # macOS says how much there is, not how much is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "total_page", "free_page", "total_virtual", "free_virtual", "more")),
        ]

    status = Status()
    status.length = ctypes.sizeof(status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    return int(status.free) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _of_group() -> int | None:
    """What a container's limit leaves; pages of files that can be dropped count as free."""
    for limit, used, stat, droppable in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):
            most = int((_CGROUP / limit).read_text(encoding="ascii"))
            if most >= _UNLIMITED:
                continue
            lines = (line.split() for line in (_CGROUP / stat).read_text(encoding="ascii").splitlines())
            spare = sum(int(line[1]) for line in lines if len(line) == 2 and line[0] == droppable)
            return most - int((_CGROUP / used).read_text(encoding="ascii")) + spare
    return None


def _of_process() -> int | None:
    """What ``ulimit -v`` leaves of this process's address space."""
    with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit not in (resource.RLIM_INFINITY, -1):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return limit - pages * os.sysconf("SC_PAGE_SIZE")
    return None


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Many objects are made meanwhile, none of them garbage: Python's collector would look through them all again and again, which doubles
    the time that it takes to list 100,000 files.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
