"""Real pictures from the world: each layout, depth and number of channels through the commands a person would type.

The networks are tiny and see a few pairs, so nothing here says how good a picture is; only that all of it fits together.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.commands import done
from transfigure.data import images
from transfigure.data.encodings.lab import lab_of_file
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

SMALL = (
    "--quiet --data.load_size 72 --data.crop_size 64 --data.limit 4 --generator.width 4 --discriminator.width 4 "
    "--discriminator.receptive_field 34 --training.epochs 1 --training.preview_count 1 --training.accelerator cpu"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(shared: Path) -> Path:
    return shared / "data"


def config_of(run: str) -> tuple[Domain, Domain]:
    config = Translator.load(run).config
    return config.source, config.target


def steps(run: str) -> int:
    """How many pairs it was trained on, and that it began and ended."""
    lines = [json.loads(line) for line in Path(run, "log.jsonl").read_text().splitlines()]
    assert [lines[0]["kind"], lines[-1]["kind"]] == ["start", "end"]
    return int(lines[-1]["images"])


def scores(run: str) -> tuple[int, set[str]]:
    """How many pictures were scored, and beside which bounds."""
    found = json.loads(Path(run, "evaluation", "evaluation.json").read_text())
    assert {"ssim", "ms_ssim", "psnr", "l1"} <= {row["metric"] for row in found["rows"]}
    assert all(row["skipped"] or np.isfinite(row["value"]) for row in found["rows"])
    return found["n"], set(found["rows"][0]["bounds"]) - {"target itself"}


@pytest.mark.parametrize(("direction", "given"), [("AtoB", "testA"), ("BtoA", "testB")])
def test_two_folders(capsys: pytest.CaptureFixture[str], data: Path, direction: str, given: str) -> None:
    """Facades and their labels; the training files of a pair differ by a suffix, ``12_A.jpg`` and ``12_B.jpg``."""
    facades = data / "facades_mini22"
    done(capsys, f"transfigure train pix2pix_small {facades} --data.direction {direction} --out run {SMALL}")
    assert steps("run") == 4
    assert config_of("run") == (Domain(3), Domain(3))
    recipe = Path("run/recipe.yaml").read_text()
    assert "kind: two_folders" in recipe and f"direction: {direction}" in recipe
    done(capsys, f"transfigure translate run {facades / given} made --quiet")
    made = sorted(Path("made").iterdir())
    assert [file.stem for file in made] == sorted(file.stem for file in (facades / given).iterdir())
    assert {images.read(file).shape for file in made} == {(256, 256, 3)}
    done(capsys, f"transfigure evaluate run {facades} --quiet")
    assert scores("run") == (11, {"source copied", "mean training target"})
    panel = json.loads(Path("run/evaluation/evaluation.json").read_text())["panels"][0]
    whole = images.read(facades / given / f"{panel['name']}.jpg")
    shown = images.read(Path("run/evaluation") / panel["source"])
    assert np.array_equal(shown, images.resize(whole, 64, 64, "bicubic")), "the source is the side that the direction names"


def test_side_by_side(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """Shoes and their edges, in a train and a val folder: a best model is chosen, and evaluation says that it scores the val pairs."""
    shoes = data / "edges2shoes_mini20"
    done(capsys, f"transfigure train pix2pix_small {shoes} --data.direction BtoA --out run {SMALL}")
    assert steps("run") == 4
    assert "kind: side_by_side" in Path("run/recipe.yaml").read_text()
    assert (Path("run") / "model_best" / "generator.safetensors").is_file()
    done(capsys, f"transfigure translate run {shoes / 'val'} made --half right --checkpoint best --quiet")
    assert {images.read(file).shape for file in Path("made").iterdir()} == {(256, 256, 3)}
    assert "split: val" in done(capsys, f"transfigure evaluate run {shoes} --quiet")
    assert scores("run") == (10, {"source copied", "mean training target"})


def test_one_channel(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """Microscope pictures and their membranes: grey stays grey, and folders with names of their own are named by flags."""
    cells = data / "isbi2012_em" / "membrane" / "train"
    line = f"transfigure train pix2pix_small {cells} --data.a image --data.b label --data.target_resize nearest --out run {SMALL}"
    done(capsys, line)
    assert steps("run") == 4
    assert config_of("run") == (Domain(1), Domain(1))
    done(capsys, f"transfigure translate run {cells / 'image' / '0.png'} made.png --quiet")
    made = images.read("made.png")
    assert made.shape == (512, 512, 1) and made.dtype.name == "uint8"
    done(capsys, f"transfigure evaluate run {cells} --data.a image --data.b label --quiet")
    held_out = json.loads(Path("run/splits.json").read_text())["pairs"]["test"]
    assert scores("run") == (len(held_out), {"source copied", "mean training target"}) and held_out
    done(capsys, "transfigure report run")


def test_thirteen_channels_to_three_of_16_bits(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """One well of cells: 13 focal planes in, 3 fluorescent stains out, each a file; 16 bits from file to file."""
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    folder = data / "isl_16bit"
    planes = [next(folder.glob(f"*z_depth-{depth},*.png")) for depth in range(13)]
    stains = [next(folder.glob(f"*channel-{stain}_CONFOCAL*.png")) for stain in ("DAPI", "MAP2", "NFH")]
    row = {"source": [str(file) for file in planes], "target": [str(file) for file in stains], "split": "train", "name": "well A4"}
    Path("wells.jsonl").write_text(json.dumps(row) + "\n")
    done(capsys, f"transfigure train pix2pix_small wells.jsonl --out run {SMALL}")
    assert steps("run") == 1
    assert config_of("run") == (Domain(13, "uint16"), Domain(3, "uint16"))

    stack = np.concatenate([images.read(file) for file in planes], axis=2)
    images.write("wells/A4.tif", stack)
    assert np.array_equal(images.read("wells/A4.tif"), stack) and stack.dtype == np.uint16
    done(capsys, "transfigure translate run wells made --format same --quiet")
    made = images.read("made/A4.tif")
    assert images.size_of("made/A4.tif").format == "TIFF"
    assert made.shape == (1024, 1024, 3) and made.dtype.name == "uint16"
    assert len(np.unique(made)) > 300, "more values than 8 bits have"
    done(capsys, "transfigure evaluate run wells.jsonl --split train --quiet")
    assert scores("run") == (1, {"mean training target"})
    done(capsys, "transfigure report run")
    assert Path("run/report.html").is_file()


def test_slices_of_a_well_become_named_stains(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """13 files of 16 bits with commas in their names to three channels, and the same 13 files translated."""
    tifffile = pytest.importorskip("tifffile")
    start = f"{data / 'isl_16bit'}/{{name}},tile_computation-STITCHED"
    slices = f"{start},z_depth-{{0..12}},channel-PHASE_CONTRAST,is_mask-false.png"
    stains = f"{start},depth_computation-MAXPROJECT,channel-{{DAPI,MAP2,NFH}}_CONFOCAL,is_mask-false.png"
    own = SMALL.replace("--data.load_size 72", "--data.load_size null")
    done(capsys, f"transfigure train pix2pix_small --data.a '{slices}' --data.b '{stains}' --out run {own}")
    source, target = config_of("run")
    assert (source.channels, source.dtype, target.dtype, target.names) == (13, "uint16", "uint16", ("DAPI", "MAP2", "NFH"))
    done(capsys, f"transfigure translate run '{slices}' stained --quiet")
    (output,) = Path("stained").iterdir()
    with tifffile.TiffFile(output) as tiff:
        assert (tiff.series[0].axes, tiff.series[0].shape, tiff.series[0].dtype) == ("CYX", (3, 1024, 1024), np.uint16)


def test_photos_get_their_colours_back(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """Photos of buildings, colourised: an output has the lightness of its input."""
    windows = data / "facade_windows"
    done(capsys, f"transfigure train colorize {windows} --data.half left --out run {SMALL}")
    photo = images.split_halves(images.read(windows / "test" / "1.jpg"), windows)[0]
    images.write("grey.png", images.convert_channels(photo, 1))
    done(capsys, "transfigure translate run grey.png colour.png --quiet")
    coloured = images.read("colour.png")
    assert coloured.shape == photo.shape
    lightness = [lab_of_file(one, part="L") for one in (images.read("grey.png"), coloured)]
    assert np.abs(lightness[0] - lightness[1]).max() < 1.5


def test_labels_of_jpeg_are_classes(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """The twelve colours of facades, blurred by JPEG, each pixel the nearest one; and back to exactly those colours."""
    facades = data / "facades_mini22"
    classes = "--data.source_encoding labels --data.source_classes facades"
    done(capsys, f"transfigure train pix2pix_small {facades} --data.direction BtoA {classes} --out run {SMALL}")
    assert config_of("run")[0].channels == 12
    done(capsys, f"transfigure translate run {facades / 'testB'} photos --quiet")
    assert len(list(Path("photos").iterdir())) == 11
    back = classes.replace("source", "target")
    done(capsys, f"transfigure train pix2pix_small {facades} {back} --out back {SMALL}")
    done(capsys, f"transfigure translate back {facades / 'testA'} labels --quiet")
    known = {one.colour for one in config_of("back")[1].classes}
    found = {tuple(map(int, colour)) for file in Path("labels").iterdir() for colour in np.unique(images.read(file).reshape(-1, 3), axis=0)}
    assert len(known) == 12 and found <= known
