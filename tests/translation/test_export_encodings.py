"""Exported models of label maps and of colour decode as the models that they were made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.encodings.label_colours import entries_of
from transfigure.data.formats.metadata import Metadata
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

LABELS = Domain(2, encoding="labels", classes=(LabelClass("sky", 3, (9, 99, 200)), LabelClass("roof", 5, (200, 9, 9))))
TABLE = tuple((7, index, 9) if index not in (3, 5) else (9, 99, 200) if index == 3 else (200, 9, 9) for index in range(12))
WHOLE = replace(LABELS, entries=(*TABLE[:-1], (*TABLE[-1], 0)))
"""With nine colours more than classes, the last of them transparent."""


@pytest.mark.parametrize(
    ("source", "target"),
    [(LABELS, WHOLE), (Domain(1, encoding="L"), Domain(2, encoding="ab"))],
    ids=["labels", "colour"],
)
def test_an_exported_file_decodes_alike(tmp_path: Path, source: Domain, target: Domain) -> None:
    translator = tiny_translator(tiny_config(source=source, target=target))
    if source.classes:
        numbers = np.kron(np.array([[3, 5, 3], [5, 5, 3]], np.uint8), np.ones((9, 8), np.uint8))[..., None]
        images.write(tmp_path / "in.png", numbers, Metadata(palette=source.palette))
    else:
        images.write(tmp_path / "in.png", noise_image(18, 24).astype(np.uint16) * 257)
    translator.export(tmp_path / "model.onnx", quiet=True)
    exported = Translator.load(tmp_path / "model.onnx", quiet=True)
    assert (exported.config.source, exported.config.target) == (source, target)
    for name, one in (("mine", translator), ("theirs", exported)):
        one.translate_file(tmp_path / "in.png", tmp_path / f"{name}.png")
    (mine, facts), (theirs, same) = (images.examine(tmp_path / f"{name}.png", palette="index") for name in ("mine", "theirs"))
    assert facts.palette == same.palette and mine.dtype == theirs.dtype and mine.shape == theirs.shape
    if source.classes:
        assert facts.entries == same.entries and entries_of(facts.entries) == WHOLE.entries
        assert {*np.unique(mine).tolist()} <= {3, 5} and facts.palette == tuple((i, bytes(c)) for i, c in source.palette if i in mine)
        assert (mine == theirs).mean() > 0.99
    else:
        assert mine.dtype == np.uint16 and np.abs(mine.astype(int) - theirs).max() <= 64
