"""Soft edges by an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.preparation.edge_networks import write_network
from transfigure.errors import UserError
from transfigure.preparation.prepare import generator_of, preparation

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def edges(photo: Any, **options: Any) -> Any:
    return preparation("soft_edges", options)(photo, "this photo", generator_of(0, "this")).source


def test_it_is_the_network_s_map(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (33, 20, 3), np.uint8)
    photo[0, 0], photo[0, 1] = 0, 255
    red = str(write_network(tmp_path / "red.onnx", [1, 0, 0]))
    found = edges(photo, model=red, lines="white", multiple=8)
    assert found.dtype == np.uint8 and np.array_equal(found[..., 0], photo[..., 0])
    assert np.array_equal(edges(photo, model=red, multiple=8), 255 - found)
    assert np.array_equal(edges(photo, model=red, lines="white", order="bgr", multiple=8)[..., 0], photo[..., 2])
    deep = photo.astype(np.uint16) * 257
    assert np.array_equal(edges(deep, model=red, lines="white", multiple=8), found)
    logits = edges(photo, model=red, values="signed", sigmoid=True, lines="white", multiple=8)
    assert np.abs(logits[..., 0] - 255 / (1 + np.exp(1 - photo[..., 0] / 127.5))).max() <= 0.51


def test_what_is_no_edge_detector_is_refused(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with pytest.raises(UserError, match=r"values from .* if these are logits"):
        edges(photo, model=str(write_network(tmp_path / "a.onnx", [9, 9, 9])))
    with pytest.raises(UserError, match="takes 16 x 16"):
        edges(photo, model=str(write_network(tmp_path / "b.onnx", [1, 0, 0], side=16)))
    with pytest.raises(UserError, match="is not there"):
        edges(photo, model=str(tmp_path / "none.onnx"))
    (tmp_path / "c.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be run by onnxruntime"):
        edges(photo, model=str(tmp_path / "c.onnx"))
