"""Models of label maps and of colour behind the API: the same file as by translate, and what a page needs to draw with their classes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.formats.metadata import Metadata
from transfigure.networks.model_file import Domain
from transfigure.serving.models import ServedModel
from transfigure.serving.palette import palette_for

from .served import problem, serving

URL = "/v1/translate"
CLASSES = tuple(LabelClass(name, index, colour) for index, (name, colour) in enumerate({"sky": (9, 99, 200), "roof": (200, 9, 9)}.items()))
LABELS = Domain(2, "uint8", encoding="labels", classes=CLASSES)
WHOLE = replace(LABELS, entries=((9, 99, 200), (200, 9, 9), (7, 7, 7), (8, 8, 8, 0)))
"""The same with a palette of more colours than classes."""
PHOTO = Domain(3)
MAP = np.kron(np.array([[0, 1], [1, 0]], np.uint8), np.ones((10, 17), np.uint8))[..., None]


@pytest.mark.parametrize(
    ("source", "target"),
    [(LABELS, PHOTO), (PHOTO, LABELS), (PHOTO, WHOLE), (Domain(1, encoding="L"), Domain(2, encoding="ab"))],
    ids=["from labels", "to labels", "to a whole palette", "colour"],
)
def test_the_answer_is_the_file_that_translate_writes(tmp_path: Path, source: Domain, target: Domain) -> None:
    translator = tiny_translator(tiny_config(source=source, target=target))
    if source is LABELS:
        images.write(tmp_path / "in.png", MAP, Metadata(palette=translator.config.source.palette))
    else:
        images.write(tmp_path / "in.png", noise_image(20, 34))
    translator.translate_file(tmp_path / "in.png", tmp_path / "out.png")
    with serving(translator) as client:
        answer = client.post(URL, content=(tmp_path / "in.png").read_bytes())
        (about,) = client.get("/v1/models").json()["models"]
    assert answer.status_code == 200 and answer.content == (tmp_path / "out.png").read_bytes()
    if target is WHOLE:
        assert Image.open(io.BytesIO(answer.content)).getpalette() == [9, 99, 200, 200, 9, 9, 7, 7, 7, 8, 8, 8]
    assert about["source"]["channels"] == (1 if source.encoding == "L" else 3)
    assert about["target"]["channels"] == (1 if target.classes else 3)


def test_what_is_drawn_in_the_colours_of_the_classes_is_taken_and_other_numbers_are_refused(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(source=LABELS))
    colours = np.array([one.colour for one in CLASSES], np.uint8)[MAP[..., 0]]
    images.write(tmp_path / "map.png", MAP, Metadata(palette=translator.config.source.palette))
    images.write(tmp_path / "drawn.png", colours)
    images.write(tmp_path / "odd.png", MAP * 7)
    with serving(translator) as client:
        by_index, by_colour, odd = (client.post(URL, content=(tmp_path / f"{name}.png").read_bytes()) for name in ("map", "drawn", "odd"))
    about = ServedModel("a", translator, palette_for(translator.config)).about()
    assert [one["name"] for one in about["palette"]["classes"]] == ["sky", "roof"]
    assert [one["color"] for one in about["palette"]["classes"]] == ["#0963c8", "#c80909"]
    for one, name in ((by_index, "one"), (by_colour, "two")):
        assert one.status_code == 200
        (tmp_path / f"{name}.png").write_bytes(one.content)
    assert np.array_equal(images.read(tmp_path / "one.png"), images.read(tmp_path / "two.png"))
    assert "the class 7 in 340 pixels, which is none of the 2 known ones" in problem(odd, 422)
