"""Every registered data set, opened on the smallest example of itself, keeps what the rest of the program relies on."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from transfigure import registry
from transfigure.data.open import open_collection
from transfigure.data.pairs import Collection
from transfigure.data.splits import divide

LAYOUTS = Path(__file__).resolve().parents[1] / "data" / "layouts"


def example(kind: str, folder: Path) -> Path | None:
    """Where the smallest data set of a kind is, written by ``tests/data/layouts/KIND.py``; None for one that draws its pictures."""
    if registry.entry("dataset", kind).extra.get("drawn"):
        return None
    assert (LAYOUTS / f"{kind}.py").is_file(), (
        f"add tests/data/layouts/{kind}.py whose write(folder) writes the smallest data set of its kind"
    )
    path: Path = import_module(f"tests.data.layouts.{kind}").write(folder)
    return path


@pytest.fixture(params=registry.names("dataset"))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Collection, Collection]:
    path = example(request.param, tmp_path)
    options = {"size": 32} if path is None else {}
    return open_collection(request.param, path, **options), open_collection(request.param, path, **options)


def test_records(opened: tuple[Collection, Collection]) -> None:
    collection, again = opened
    assert bool(collection.splits) != bool(collection.domains)
    parts = divide(collection, 0.1, 0.1, seed=0).splits
    assert parts["train"]
    for name, records in parts.items():
        assert [record.name for record in records] == [record.name for record in divide(again, 0.1, 0.1, seed=0).splits[name]]
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
