from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import pytest

from tests.tiny import turning_around
from transfigure.networks.model_file import Domain, ModelConfig
from transfigure.translation.engines.openvino import OpenVinoEngine
from transfigure.translation.exported import About


def stack_for_signals() -> int | None:
    """Where this thread's handlers of signals run; None if they run where the thread is."""

    class Stack(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    start: int | None = found.start
    return start


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the layout of this structure is Linux's")
def test_compiling_leaves_this_thread_s_signals_alone(tmp_path: Path) -> None:
    """Whatever is freed in whatever order: else the next signal would be handled on a stack that is not there any more."""
    file, about = turning_around(tmp_path / "negative.onnx"), About(ModelConfig("any", {}, Domain(3), Domain(3), 1), 1)
    before = stack_for_signals()
    engines = [OpenVinoEngine(file, about) for _ in range(2)]
    assert stack_for_signals() == before
    while engines:
        engines.pop(0)
        gc.collect()
        assert stack_for_signals() in (before, None)
