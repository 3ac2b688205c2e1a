"""Freed memory is kept where the C library can."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from transfigure.training.allocator import keep_freed_memory

MEASURED = """
import resource, torch
from transfigure.training.allocator import keep_freed_memory

assert keep_freed_memory()
torch.ones(64 << 20, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16 << 20, dtype=torch.uint8)  # 4,096 pages, all within those that were freed
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or "LD_PRELOAD" in os.environ, reason="needs glibc and its own allocator")
def test_a_freed_tensor_leaves_its_pages_to_the_next() -> None:
    """In a process of its own: the heap of one that ran other tests has its own history."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400


def test_elsewhere_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()
