"""The table of ``docs/how-to/data.md``, walked: every type of number in every format, through all four that read images.

The files are written by other libraries, where those can; each cell either works, with values that come back exactly, or is refused in
one sentence. What works where is held against the page.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.journeys.commands import ROOT, TINY, type_in
from tests.tiny import copying
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64")
CHANNELS = (1, 3, 5)
SIZE = 24

Writer = Callable[[Path, NDArray[Any]], None]


def _pillow(path: Path, array: NDArray[Any]) -> None:
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(path, lossless=True)


def _png(path: Path, array: NDArray[Any]) -> None:
    if array.dtype == np.uint8:
        return _pillow(path, array)
    png = pytest.importorskip("png")
    height, width, channels = array.shape
    stream = io.BytesIO()
    png.Writer(width, height, greyscale=channels == 1, bitdepth=16).write_packed(stream, (row.astype(">u2").tobytes() for row in array))
    path.write_bytes(stream.getvalue())


def _tif(path: Path, array: NDArray[Any]) -> None:
    """Samples of one page, as a plain writer makes them."""
    tifffile = pytest.importorskip("tifffile")
    colour = "rgb" if array.shape[2] == 3 and array.dtype.kind == "u" else "minisblack"
    tifffile.imwrite(
        path, array[..., 0] if array.shape[2] == 1 else array, photometric=colour, planarconfig="contig" if array.shape[2] > 1 else None
    )


def _ome(path: Path, array: NDArray[Any]) -> None:
    """A plane for each channel, which have names."""
    tifffile = pytest.importorskip("tifffile")
    names = {"Channel": {"Name": [f"c{number}" for number in range(array.shape[2])]}} if array.shape[2] > 1 else {}
    pages = array.transpose(2, 0, 1) if array.shape[2] > 1 else array[..., 0]
    metadata = {"axes": "CYX" if array.shape[2] > 1 else "YX", **names}
    tifffile.imwrite(path, pages, ome=True, photometric="minisblack", metadata=metadata)


def _npy(path: Path, array: NDArray[Any]) -> None:
    np.save(path, array)


def _npz(path: Path, array: NDArray[Any]) -> None:
    np.savez_compressed(path, image=array)


FORMATS: dict[str, tuple[str, Writer, tuple[str, ...], tuple[int, ...]]] = {
    "PNG": (".png", _png, ("uint8", "uint16"), (1, 3)),
    "TIFF": (".tif", _tif, TYPES, CHANNELS),
    "OME-TIFF": (".ome.tif", _ome, tuple(name for name in TYPES if name != "float16"), CHANNELS),  # the standard has no half floats
    "NPY": (".npy", _npy, TYPES, CHANNELS),
    "NPZ": (".npz", _npz, TYPES, CHANNELS),
    "BMP": (".bmp", _pillow, ("uint8",), (1, 3)),
    "WebP": (".webp", _pillow, ("uint8",), (3,)),
}
"""Of each format: its suffix, who writes it, and the types and numbers of channels that it can hold at all."""
CELLS = [(kind, dtype, channels) for kind, (_, _, types, counts) in FORMATS.items() for dtype in types for channels in counts]


def picture(dtype: str, channels: int, seed: int) -> NDArray[Any]:
    """Values over the type's whole range, its ends included: floats are in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = SIZE, SIZE, channels
    if dtype.startswith("float"):
        array = rng.random(shape).astype(dtype)
        array[0, 0], array[0, 1] = 0, 1
        return array
    limits = np.iinfo(dtype)
    array = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    array[0, 0], array[0, 1] = limits.min, limits.max
    return array


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    kind, dtype, channels = request.param
    suffix, write, _, _ = FORMATS[kind]
    data = tmp_path / "data"
    for side in "AB":
        (data / side).mkdir(parents=True)
        for number in range(3):
            write(data / side / f"{number}{suffix}", picture(dtype, channels, number + 10 * (side == "B")))
    return data


cells = pytest.mark.parametrize("folder", CELLS, indirect=True, ids=lambda cell: "-".join(map(str, cell)))


@cells
def test_files_come_back(folder: Path) -> None:
    """Read: as another library wrote it. Written: in every format that can hold it, to the bit; the others are refused before."""
    for number, file in enumerate(sorted((folder / "A").iterdir())):
        array = images.read(file)
        expected = picture(array.dtype.name, array.shape[2], number)
        np.testing.assert_array_equal(array, expected)
        for suffix in (".png", ".tif", ".npy", ".npz", ".webp", ".bmp"):
            output = folder.parent / "out" / f"{number}{suffix}"
            try:
                images.write(output, array)
            except UserError as error:
                assert suffix not in (".tif", ".npy", ".npz"), error
                assert one_sentence(str(error)) and str(output) in str(error) and ".tif file instead" in str(error), error
                continue
            again = images.read(output)
            np.testing.assert_array_equal(again, np.repeat(expected, 3, 2) if suffix == ".webp" and array.shape[2] == 1 else expected)
            assert again.dtype == expected.dtype


@cells
def test_translated_in_its_own_type(folder: Path) -> None:
    """A generator that copies gives the file back: 8 and 16 bits exactly, more as finely as the networks' 32-bit floats tell apart."""
    file = folder / "A" / f"0{suffix_of(folder)}"
    array = images.read(file)
    model = copying(Domain(array.shape[2], array.dtype.name))
    model.translate_folder(folder / "A", folder.parent / "out", format="same", quiet=True)
    (output,) = (folder.parent / "out").glob("0.*")
    again = images.read(output)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    if array.dtype.itemsize <= 2:
        np.testing.assert_array_equal(again, array)
    else:
        step = 2.0**-23 * (1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max) - float(np.iinfo(array.dtype).min))
        np.testing.assert_allclose(again.astype(np.float64), array.astype(np.float64), rtol=0, atol=step)


@pytest.mark.slow
@cells
def test_trained_on_and_scored(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A training takes them, its model writes their type, and a folder scored against itself is perfect."""
    monkeypatch.chdir(folder)
    array = images.read(folder / "A" / f"0{suffix_of(folder)}")
    small = f"{TINY} --data.load_size null --data.crop_size 16 --generator.width 2 --discriminator.width 2"
    trained = type_in(capsys, f"transfigure train pix2pix . --data.kind two_folders --out ../run {small}")
    assert trained.code == 0, trained.err
    model = Translator.load(folder.parent / "run").config
    assert [(side.channels, side.dtype) for side in (model.source, model.target)] == [(array.shape[2], array.dtype.name)] * 2
    copy = folder.parent / "copy"
    shutil.copytree(folder / "B", copy)
    scored = type_in(capsys, f"transfigure evaluate --generated {copy} --target B --metrics l1,psnr,ssim --out ../scores --json")
    assert scored.code == 0, scored.err
    values = {row["metric"]: row["value"] for row in json.loads(scored.out)["rows"]}
    assert values["l1"] == 0 and values["psnr"] == 100 and values["ssim"] == pytest.approx(1)
    gathered = type_in(capsys, "transfigure statistics B --features random --out ../statistics.npz")
    assert gathered.code == 0, gathered.err


def test_the_page_says_what_each_format_holds() -> None:
    """The table of the page, cell by cell: channels of 1 to 5 that are written and come back; all others are refused."""
    page = (ROOT / "docs" / "how-to" / "data.md").read_text(encoding="utf-8")
    head, _, *rows = re.findall(r"^\| *(.*) *\|$", page[page.index("| numbers |") - 1 :].partition("\n\n")[0], re.M)
    suffixes = [re.findall(r"\.\w+", cell) for cell in head.split("|")[1:]]
    told = {row.split("|")[0].strip(): [cell.strip() for cell in row.split("|")[1:]] for row in rows}
    assert told.keys() == set(TYPES) and sum(map(len, suffixes)) == 7
    for dtype, cells_of in told.items():
        for names, cell in zip(suffixes, cells_of, strict=True):
            for suffix in names:
                held = []
                for channels in range(1, 6):
                    try:
                        images.encode(f"x{suffix}", picture(dtype, channels, 0))
                        held.append(str(channels))
                    except UserError:
                        pass
                assert cell == ("any" if len(held) == 5 else ", ".join(held) or "-"), (dtype, suffix)


def suffix_of(folder: Path) -> str:
    return next(file.name[1:] for file in (folder / "A").iterdir())


def one_sentence(text: str) -> bool:
    return "\n" not in text and "Traceback" not in text
