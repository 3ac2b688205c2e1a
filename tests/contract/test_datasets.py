"""Every registered data set, opened on the smallest example of itself, keeps what the rest of the program relies on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transfigure import registry
from transfigure.data import images
from transfigure.data.open import open_collection
from transfigure.data.pairs import Collection, split


def _picture(path: Path, seed: int, width: int = 16) -> None:
    images.write(path, np.random.default_rng(seed).integers(0, 256, (16, width, 3), np.uint8))


def _side_by_side(folder: Path) -> Path:
    for n in range(12):
        _picture(folder / f"{n}.png", n, width=32)
    return folder


def _two_folders(folder: Path) -> Path:
    for n in range(12):
        _picture(folder / "A" / f"{n}.png", n)
        _picture(folder / "B" / f"{n}.png", 100 + n)
    return folder


def _manifest(folder: Path) -> Path:
    _two_folders(folder)
    lines = [json.dumps({"source": f"A/{n}.png", "target": f"B/{n}.png"}) for n in range(12)]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "side_by_side": _side_by_side,
    "two_folders": _two_folders,
    "unpaired": _two_folders,
    "manifest": _manifest,
}
"""Those that read files. Any other kind makes its own pictures and is opened without a path."""


@pytest.fixture(params=registry.names("dataset"))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Collection, Collection]:
    layout = LAYOUTS.get(request.param)
    path = layout(tmp_path) if layout else None
    options = {"size": 32} if "size" in registry.entry("dataset", request.param).options else {}
    return open_collection(request.param, path, **options), open_collection(request.param, path, **options)


def test_records(opened: tuple[Collection, Collection]) -> None:
    collection, again = opened
    assert bool(collection.splits) != bool(collection.domains)
    parts = split(collection, 0.1, 0.1, seed=0)
    assert parts["train"]
    for name, records in parts.items():
        assert [record.name for record in records] == [record.name for record in split(again, 0.1, 0.1, seed=0)[name]]
        assert len({record.name for record in records}) == len(records)
    for record in parts["train"][:2] + parts["train"][-1:]:
        a, b = record.load()
        assert a.ndim == b.ndim == 3
        assert collection.unpaired or a.shape[:2] == b.shape[:2]
        assert a.dtype.name in ("uint8", "uint16", "float32")
        assert np.array_equal(a, record.a.read())
        assert np.array_equal(b, record.b.read())
        assert all(np.array_equal(one, other) for one, other in zip(record.swapped().load(), (b, a)))
        assert record.a.label
        assert all(path.exists() for path in record.a.paths)


def test_notes_are_sentences(opened: tuple[Collection, Collection]) -> None:
    assert all(isinstance(note, str) and note for note in opened[0].notes)


def test_every_option_is_explained() -> None:
    for name in registry.names("dataset"):
        entry = registry.entry("dataset", name)
        assert entry.summary
        assert all(parameter.help for parameter in entry.parameters.values()), name
