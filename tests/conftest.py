"""Fixtures for every test, and what a machine must have for some."""

from __future__ import annotations

import copy
import gc
import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.forked import python_that_forks
from transfigure import registry
from transfigure.networks import base
from transfigure.worlds.facades.dataset import Rendering

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the code
settings.load_profile("tests")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is imported and collected stays to the end: the garbage collector need not look through it, neither now nor ever again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, and say so, what this machine has no device or browser for."""
    lacking = {
        "gpu": None if torch.cuda.is_available() else "no CUDA device here",
        "browser": None if any(shutil.which(name) for name in BROWSERS) else f"none of {', '.join(BROWSERS)} is installed",
    }
    for item in items:
        for mark, reason in lacking.items():
            if reason is not None and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and reference numbers that lies beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def forking_python() -> Iterator[str]:
    """A program to be called as ``sys.executable`` is, by tests that start many Pythons: torch is imported already (``forked.py``)."""
    with tempfile.TemporaryDirectory() as folder, python_that_forks(Path(folder)) as program:
        yield program


_drawn = lru_cache(maxsize=4096)(Rendering.read)


@pytest.fixture(scope="module")
def drawn_once() -> Iterator[None]:
    """Each picture of the street is drawn once, for modules that train on a few again and again; ``tests/worlds`` draws them anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rendering, "read", lambda picture, alpha="refuse": _drawn(picture).copy())
        yield


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """The same weights are traced once, for modules that write and convert one network again and again."""
    from transfigure.translation import conversion, export

    trace, known = export.onnx_graph, {}

    def graph(generator: base.Generator, *how: Any) -> Any:
        if "forward" in vars(generator):  # a test's own
            return trace(generator, *how)
        weights = [(name, tensor.numpy(force=True).tobytes()) for name, tensor in generator.state_dict().items()]
        key = hashlib.sha256(repr((generator, weights, how)).encode()).digest()
        if key not in known:
            known[key] = trace(generator, *how)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        for module in (export, conversion):
            patch.setattr(module, "onnx_graph", graph)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No file of a test must survive a power cut; that files are flushed, and before they take their name, ``test_files.py`` tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails, as it would, when the file is closed
        yield


@pytest.fixture(autouse=True)
def _own_plugins() -> Iterator[None]:
    """What one test has loaded as a plugin is not sent to the workers of another."""
    before = dict(registry._plugin_files)
    yield
    registry._plugin_files.clear()
    registry._plugin_files.update(before)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept of data sets goes to a temporary folder, of children too, and not to that of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFIGURE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # a hundred children need not compile the same modules
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tests are small: more threads cost more than they bring, and bits must not depend on how many cores a machine has. Children too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)
