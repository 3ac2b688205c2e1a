"""``docs/how-to/microscopy.md``, followed: 13 files of 16 bits with commas in their names become three named channels, and a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.journeys.commands import ROOT, blocks, shell_lines, type_in
from transfigure.data import images
from transfigure.recipe import Recipe
from transfigure.translation.translator import Translator

PAGE = ROOT / "docs" / "how-to" / "microscopy.md"
STEM = "lab-FINKBEINER,condition-KEVAN_0_8,acquisition_date,year-2015,month-10,day-5,minute-0,well-A4,tile_computation-STITCHED"
SLICES = [f"{STEM},z_depth-{number},channel-PHASE_CONTRAST,is_mask-false.png" for number in range(13)]
STAINS = [f"{STEM},depth_computation-MAXPROJECT,channel-{name}_CONFOCAL,is_mask-false.png" for name in ("DAPI", "MAP2", "NFH")]
SIDE = 128
SMALL = {
    "data.crop_size": 16,
    "data.evaluation_size": 32,
    "generator.width": 6,
    "generator.depth": 4,
    "generator.dropout": 0,
    "discriminator.width": 4,
    "discriminator.receptive_field": 16,
    "training.epochs": 30,
    "training.learning_rate": 0.002,
    "training.preview_every": "null",
    "training.accelerator": "cpu",
}
QUADRANTS = {"data.evaluation_size": "whole", "training.epochs": 120}
"""An epoch of three quadrants has a fourth of the steps of one of twelve tiles."""


def well(folder: Path) -> None:
    """A well of 128 pixels whose stains can be told from its slices: each is one slice, dim, on the dark count of a camera."""
    rng = np.random.default_rng(0)
    coarse = rng.random((13, 17, 17))
    fields = np.array([np.kron(one, np.ones((8, 8)))[4 : SIDE + 4, 4 : SIDE + 4] for one in coarse])
    for name, field in zip(SLICES, fields):
        images.write(folder / name, np.round(field * 65535).astype(np.uint16)[..., None])
    for name, field in zip(STAINS, fields[[0, 6, 12]]):
        images.write(folder / name, np.round(12000 + field * 20000).astype(np.uint16)[..., None])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    well(tmp_path / "well")
    return tmp_path


@pytest.mark.slow
def test_the_page_can_be_followed(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile = pytest.importorskip("tifffile")
    said: dict[str, str] = {}
    for block in blocks(PAGE):
        if block.file == "cut.py":
            exec(compile(block.text, str(PAGE), "exec"), {})
        elif block.file is not None:
            (desk / block.file).write_text(block.text)
        elif block.language == "bash":
            for line in shell_lines(block.text):
                program, verb, *_ = line.split()
                if program == "pip":
                    continue
                small = SMALL | (QUADRANTS if "quadrants.yaml" in line else {})
                typed = " ".join([line, *(f"--{key} {value}" for key, value in small.items())])
                result = type_in(capsys, typed if verb in ("train", "preview") else line)
                assert result.code == 0, f"{line}\n{result.err}"
                said[line] = result.out + result.err
    assert {line.split()[1] for line in said} == {"preview", "train", "evaluate", "translate", "report"}
    of_tiles(said["transfigure evaluate runs/stains"], tifffile)
    of_quadrants(said, tifffile)


def of_tiles(said: str, tifffile: Any) -> None:
    """What the first half of the page promises."""
    model = Translator.load("runs/stains").config
    assert (model.source.channels, model.source.dtype, model.target.dtype) == (13, "uint16", "uint16")
    assert model.target.names == ("DAPI", "MAP2", "NFH")
    assert model.target.value_range is not None and 11_990 <= model.target.value_range[0] < model.target.value_range[1] <= 32_010
    assert images.read("preview.png").shape[0] > SIDE

    scores = json.loads(Path("runs/stains/evaluation/evaluation.json").read_text())
    assert (scores["n"], scores["split"]) == (4, "test")
    channels = scores["channels"]
    assert [channel["name"] for channel in channels] == ["DAPI", "MAP2", "NFH"]
    for channel in channels:
        assert {row["metric"] for row in channel["rows"]} == {"psnr", "ssim", "pearson"}
        for row in channel["rows"]:
            assert row["value"] > row["bounds"]["mean training target"], (channel["name"], row)
    assert any(line.startswith("DAPI ") for line in said.splitlines())
    assert not any(line.startswith("Lab histogram") for line in said.splitlines()), "stains are no colours"
    is_a_stained_well(Path("stained"), tifffile)


def of_quadrants(said: dict[str, str], tifffile: Any) -> None:
    """And the second."""
    run, half, margin = Path("runs/quadrants"), SIDE // 2, 4
    regions = json.loads((run / "splits.json").read_text())["regions"]
    assert regions["margin"] == margin == Recipe.load(run / "recipe.yaml").data.margin
    name = f"{STEM.removesuffix(',tile_computation-STITCHED')}"
    assert regions["pairs"] == {
        f"{name}/r0c0": [0, 0, half, half - margin],
        f"{name}/r0c1": [0, half, half - margin, SIDE],
        f"{name}/r1c0": [half, 0, SIDE, half - margin],
        f"{name}/r1c1": [half, half, SIDE, SIDE],
    }
    fourth, whole = (json.loads((place / "evaluation.json").read_text()) for place in (run / "evaluation", Path("runs/whole")))
    assert (fourth["n"], fourth["split"], whole["n"]) == (1, "test", 1)
    for channel in fourth["channels"]:
        for row in channel["rows"]:
            assert row["value"] > row["bounds"]["mean training target"], (channel["name"], row)
    share = round(100 * (2 * half * (half - margin) + half * (half - margin)) / SIDE**2)
    assert (
        f"1 of 1 pair holds pixels that this run was trained on (scores too good): {name} ({share} % of its pixels)"
        in said["transfigure evaluate runs/quadrants --data.split_by name --out runs/whole"]
    )
    is_a_stained_well(Path("whole"), tifffile)
    assert {"panels.png", "examples.png"} <= {file.name for file in Path("figures").iterdir()}


def is_a_stained_well(folder: Path, tifffile: Any) -> None:
    """One OME-TIFF of the size of the well, with three named channels of 16 bits."""
    (output,) = folder.iterdir()
    with tifffile.TiffFile(output) as tiff:
        assert (tiff.series[0].axes, tiff.series[0].shape, tiff.series[0].dtype) == ("CYX", (3, SIDE, SIDE), np.uint16)
        assert [name in tiff.ome_metadata for name in ('Name="DAPI"', 'Name="MAP2"', 'Name="NFH"')] == [True] * 3
    assert images.examine(output)[1].channel_names == ("DAPI", "MAP2", "NFH")
