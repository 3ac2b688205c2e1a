"""Which colours a model is drawn with: those that were named, its world's, those of its images, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfigure.data import images
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain, ModelConfig
from transfigure.serving.palette import palette_for
from transfigure.worlds.facades.scene import CLASSES, PALETTE
from transfigure.worlds.shapes.drawing import FILLS

COLOURS = [[0, 0, 222], [0, 128, 255], [255, 80, 0]]


def config(**data: Any) -> ModelConfig:
    return ModelConfig("unet", {}, Domain(3), Domain(3), 8, 32, recipe={"data": data} if data else None)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs of files: label maps of three colours on the left, noise on the right."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for index in range(4):
        labels = np.array(COLOURS, np.uint8)[np.kron(rng.integers(0, 3, (4, 4)), np.ones((8, 8), int))]
        photo = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        images.write(folder / "train" / f"{index}.png", np.concatenate([labels, photo], axis=1))
    return folder


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        ({"kind": "synthetic"}, CLASSES),
        ({"kind": "synthetic", "source": "labels", "target": "night", "direction": "AtoB"}, CLASSES),
        ({"kind": "synthetic", "source": "day", "target": "labels", "direction": "BtoA"}, CLASSES),
        ({"kind": "synthetic", "direction": "BtoA"}, None),
        ({"kind": "synthetic", "source": "edges"}, None),
        ({"kind": "shapes"}, ("ground", *FILLS)),
        ({"kind": "shapes", "direction": "BtoA"}, None),
    ],
)
def test_a_drawn_world_says_what_its_source_side_is_painted_in(data: dict[str, Any], classes: tuple[str, ...] | None) -> None:
    palette = palette_for(config(**data), None)
    assert (palette.classes if palette is not None else None) == classes
    if classes == CLASSES:
        assert palette is not None and palette.colours is not None and palette.colours.tolist() == PALETTE.tolist()


def test_what_is_given_wins(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"classes": {"sky": [70, 130, 180], "road": [128, 64, 128]}}))
    named, own = palette_for(config(kind="synthetic"), "facades"), palette_for(config(kind="synthetic"), str(file))
    assert named is not None and named.name == "facades" and len(named.classes) == 12
    assert own is not None and own.classes == ("sky", "road")
    with pytest.raises(UserError, match="did you mean 'facades'"):
        palette_for(config(kind="synthetic"), "facade")
    file.write_text(json.dumps({"classes": {"sky": None, "road": None}, "numbers": {"1": "sky", "2": "road"}}))
    with pytest.raises(UserError, match="cannot be drawn with: give its classes colours"):
        palette_for(config(kind="synthetic"), str(file))


def test_the_colours_of_training_images_are_learnt_and_it_is_said(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    palette = palette_for(config(kind="side_by_side", path=str(pairs)), None)
    assert palette is not None and palette.colours is not None and palette.colours.tolist() == sorted(COLOURS)
    assert palette.classes[0] == "#0000de"
    assert "note: its palette has 3 colours, those of the images that it was trained on" in capsys.readouterr().err
    assert palette_for(config(kind="side_by_side", path=str(pairs)), "learn") is not None


def test_photographs_have_no_palette(pairs: Path) -> None:
    data = {"kind": "side_by_side", "path": str(pairs), "direction": "BtoA"}
    assert palette_for(config(**data), None) is None
    with pytest.raises(UserError, match=r"no palette can be learnt for this model: .* look like photographs"):
        palette_for(config(**data), "learn")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "side_by_side", "path": "/nowhere/at/all"},
        {"kind": "side_by_side", "path": "pairs"},
        {"kind": "of_a_plugin_that_is_gone", "path": "/nowhere"},
        {"kind": "two_folders", "path": None, "a": "/nowhere/a", "b": "/nowhere/b"},
        {"kind": "side_by_side", "path": 3},
    ],
)
def test_where_the_data_are_gone_there_is_none(
    data: dict[str, Any], pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shared model keeps the last name of its folder: one of that name here is another's."""
    monkeypatch.chdir(pairs.parent)
    (pairs.parent / "pairs").exists() or (pairs.parent / "pairs").symlink_to(pairs)
    assert palette_for(config(**data), None) is None
    assert capsys.readouterr().err == ""


def test_sources_that_no_page_can_draw_have_none(pairs: Path) -> None:
    many = replace(config(kind="side_by_side", path=str(pairs)), source=Domain(4, "uint16"))
    assert palette_for(many, None) is None
