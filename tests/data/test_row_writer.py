"""What is written row by row is the file that is written at once; it appears whole or not at all, and can be gone on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfigure.data import files, images
from transfigure.data.formats import metadata, row_file
from transfigure.data.formats.metadata import Metadata
from transfigure.data.formats.ome import PixelSize
from transfigure.data.formats.row_file import ImageShape
from transfigure.data.ownership import is_ours
from transfigure.data.pixels import Array
from transfigure.data.row_writer import RowWriter
from transfigure.errors import RunFailure, UserError

HEIGHT, WIDTH = 61, 47


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "BLOCK", 2000)


def picture(channels: int, dtype: str = "uint8") -> Array:
    random = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(HEIGHT) * 3, np.arange(WIDTH) * 2)[..., None] * np.arange(1, channels + 1)
    noisy = smooth + random.integers(0, 40, (HEIGHT, WIDTH, channels))
    return (noisy / 1000 if dtype.startswith("float") else noisy % 256).astype(dtype)


def shape_of(array: Array) -> ImageShape:
    height, width, channels = array.shape
    return ImageShape(height, width, channels, array.dtype.name)


def written(path: Path, array: Array, about: Metadata | None = None, step: int = 13) -> None:
    path.unlink(missing_ok=True)
    writer = images.open_rows(path, shape_of(array), about)
    for top in range(0, HEIGHT, step):
        writer.write_rows(array[top : top + step])
    assert not path.exists()
    assert writer.close() == path
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


def said(path: Path) -> Metadata:
    """What a file says beside its pixels, without the resolution of no unit that tifffile always writes."""
    found = images.metadata_of(path)
    unit = found.resolution.get(296)
    return replace(found, resolution={}) if unit is not None and unit.data[0] == 1 else found


TIFFS = [
    (1, "uint8"),
    (3, "uint8"),
    (4, "uint8"),
    (2, "uint8"),
    (1, "uint16"),
    (3, "uint16"),
    (5, "uint16"),
    (3, "float32"),
    (1, "float64"),
    (1, "int16"),
]
OTHERS = [
    *(
        ("a.png", 1, "uint8"),
        ("a.png", 3, "uint8"),
        ("a.png", 4, "uint8"),
        ("a.png", 1, "uint16"),
        ("a.png", 3, "uint16"),
        ("a.png", 4, "uint16"),
    ),
    *(
        ("a.npy", 1, "uint16"),
        ("a.npy", 7, "float32"),
        ("a.npz", 3, "int16"),
        ("a.bmp", 3, "uint8"),
        ("a.webp", 3, "uint8"),
        ("a.jpg", 3, "uint8"),
    ),
]


@pytest.mark.parametrize(("name", "channels", "dtype"), [*(("a.tif", *one) for one in TIFFS), *OTHERS])
@pytest.mark.parametrize("step", [13, HEIGHT])
def test_rows_make_the_same_file(name: str, channels: int, dtype: str, step: int, tmp_path: Path) -> None:
    array = picture(channels, dtype)
    written(tmp_path / name, array, step=step)
    (tmp_path / "whole").mkdir()
    images.write(tmp_path / "whole" / name, array)
    how: dict[str, Any] = {"alpha": "keep", "pages": "channels"}
    (got, facts), (wanted, expected) = (images.examine(file, **how) for file in (tmp_path / name, tmp_path / "whole" / name))
    np.testing.assert_array_equal(got, wanted)
    assert facts == expected and said(tmp_path / name) == said(tmp_path / "whole" / name)
    assert images.software(tmp_path / name) is not None and is_ours(tmp_path / name) == is_ours(tmp_path / "whole" / name)
    assert (tmp_path / name).stat().st_size < 2 * (tmp_path / "whole" / name).stat().st_size + 2000


def test_what_goes_along(tmp_path: Path) -> None:
    ground = metadata.Tag(12, 3, np.array([1.0, 1.0, 0.0]).tobytes())
    names = ("DAPI", "MAP2")
    exposure = {33434: metadata.Tag(5, 1, np.array([1, 60], np.uint32).tobytes())}
    camera = {271: metadata.Tag(2, 6, b"Maker\0")}
    for about, channels in (
        (Metadata(channel_names=names, pixel_size=PixelSize(0.5, 0.25, None), maker="model-0"), 2),
        (Metadata(channel_names=names, georeference={33550: ground}), 2),
        (Metadata(camera=camera, exif=exposure, gps=exposure, icc=b"profile" * 30, resolution=metadata.resolution(300, 300)), 3),
        (Metadata(palette=((0, (10, 20, 30)), (3, (255, 0, 7)), (5, (1, 2, 3, 9)))), 1),
    ):
        array = picture(channels) % 4 if about.palette else picture(channels)
        for name in ("a.tif", "a.png") if channels != 2 else ("a.tif",):
            written(tmp_path / name, array, about)
            images.write(tmp_path / f"whole_{name}", array, about)
            assert said(tmp_path / name) == said(tmp_path / f"whole_{name}") and is_ours(tmp_path / name)
            (got, facts), (wanted, expected) = (
                images.examine(file, palette="index") for file in (tmp_path / name, tmp_path / f"whole_{name}")
            )
            assert facts == expected and (got == wanted).all()
            named, expected_name = (metadata.unsealed(images.software(tmp_path / one) or "") for one in (name, f"whole_{name}"))
            assert named == expected_name


def test_a_file_of_more_than_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfigure.data.formats.tiff_rows.BIG", 1000)
    for channels, about in ((3, Metadata(resolution=metadata.resolution(300, 300))), (5, Metadata(channel_names=tuple("abcde")))):
        written(tmp_path / "a.tif", picture(channels), about)
        assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
        array, facts = images.examine(tmp_path / "a.tif")
        assert (array == picture(channels)).all() and facts.channel_names == about.channel_names
        assert images.metadata_of(tmp_path / "a.tif").resolution == about.resolution and is_ours(tmp_path / "a.tif")


def test_a_seal_is_the_same_for_files_in_memory_and_in_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in (1 << 22, 7, 50):
        monkeypatch.setattr(metadata, "_PIECE", piece)
        for name in ("a.png", "a.tif"):
            written(tmp_path / name, picture(3))
            software = images.software(tmp_path / name) or ""
            content = (tmp_path / name).read_bytes()
            assert metadata.is_sealed(content, software) and metadata.is_sealed_file(tmp_path / name, software)
            for at in (30, len(content) // 2, len(content) - 1):
                changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
                (tmp_path / "b").write_bytes(changed)
                assert not metadata.is_sealed(changed, software) and not metadata.is_sealed_file(tmp_path / "b", software)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy", "a.npz", "many.tif"])
def test_another_process_goes_on_after_the_rows_that_were_saved(name: str, tmp_path: Path) -> None:
    array = picture(5 if name == "many.tif" else 3)
    straight, path = tmp_path / "straight", tmp_path / "cut" / name
    written(straight / name, array)
    script = f"""
import numpy as np, os
from transfigure.data import images
from transfigure.data.formats import row_file
row_file.BLOCK = 2000
array = np.load({str(tmp_path / "array.npy")!r})
writer = images.open_rows({str(path)!r}, row_file.ImageShape(*array.shape, "uint8"), key="k")
writer.write_rows(array[:20])
writer.write_rows(array[20:40])
writer.save({{"side": 8}})
writer.write_rows(array[40:55])
os._exit(9)
"""
    np.save(tmp_path / "array.npy", array)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert not path.exists() and len(list(path.parent.iterdir())) == 2
    files.sweep(path.parent, grace=0)
    writer = images.open_rows(path, shape_of(array), key="k")
    assert writer.beside == {"side": 8} and 20 < writer.rows <= 40 and not writer.dropped
    for top in range(writer.rows, HEIGHT, 11):
        writer.write_rows(array[top : top + 11])
    writer.close()
    assert path.read_bytes() == (straight / name).read_bytes() and [file.name for file in path.parent.iterdir()] == [name]


def test_what_another_work_has_left_is_not_used(tmp_path: Path) -> None:
    array = picture(3)

    def begun(key: str) -> RowWriter:
        return images.open_rows(tmp_path / "a.tif", shape_of(array), key=key)

    writer = begun("one")
    writer.write_rows(array[:40])
    writer.save({})
    writer.keep()
    other = begun("two")
    assert other.rows == 0 and other.beside is None and other.dropped
    other.write_rows(array)
    other.close()
    assert (images.read(tmp_path / "a.tif") == array).all() and [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_damaged_notes_of_what_was_saved_are_not_believed(tmp_path: Path) -> None:
    array = picture(3)
    for damage in ("number", "short", "text"):
        writer = images.open_rows(tmp_path / "a.tif", shape_of(array), key="one")
        writer.write_rows(array[:40])
        writer.save({})
        writer.keep()
        (journal,), (part,) = tmp_path.glob(".rows-*.json"), tmp_path.glob(".rows-*.part")
        if damage == "number":
            values = json.loads(journal.read_text())
            values["file"]["rows"] += 1
            journal.write_text(json.dumps(values))
        elif damage == "short":
            os.truncate(part, 100)
        else:
            journal.write_text("{")
        writer = images.open_rows(tmp_path / "a.tif", shape_of(array), key="one")
        assert writer.rows == 0 and writer.beside is None
        writer.discard()
        assert [*tmp_path.iterdir()] == []


def test_what_is_not_saved_is_not_kept(tmp_path: Path) -> None:
    writer = images.open_rows(tmp_path / "a.tif", shape_of(picture(3)), key="one")
    writer.write_rows(picture(3)[:40])
    writer.keep()
    assert [*tmp_path.iterdir()] == []
    writer.discard()


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    first = images.open_rows(tmp_path / "a.tif", shape_of(picture(3)), key="one")
    with pytest.raises(UserError, match=r"a.tif is being written by another process"):
        images.open_rows(tmp_path / "a.tif", shape_of(picture(3)), key="one")
    first.discard()


def test_rows_that_are_wrong_or_missing(tmp_path: Path) -> None:
    writer = images.open_rows(tmp_path / "a.tif", shape_of(picture(3)))
    with pytest.raises(ValueError, match="rows of"):
        writer.write_rows(picture(1))
    with pytest.raises(ValueError, match="rows of"):
        writer.write_rows(picture(3, "uint16"))
    writer.write_rows(picture(3)[:20])
    with pytest.raises(ValueError, match="more rows"):
        writer.write_rows(picture(3))
    with pytest.raises(ValueError, match="rows of 61"):
        writer.close()
    with pytest.raises(ValueError, match="without a key"):
        writer.save({})
    writer.discard()
    assert [*tmp_path.iterdir()] == []


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(picture(3))
    (tmp_path / "link.tif").symlink_to(tmp_path / "other.tif")
    with pytest.raises(UserError, match="is a link"):
        images.open_rows(tmp_path / "link.tif", shape)
    with pytest.raises(UserError, match="cannot hold 3 channels of float32"):
        images.open_rows(tmp_path / "a.png", ImageShape(2, 2, 3, "float32"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        images.open_rows(tmp_path / "file" / "a.tif", shape)
    writer = images.open_rows(tmp_path / "a.tif", shape)

    def full(rows: Array) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer._file, "append", full)
    with pytest.raises(RunFailure, match=r"the disk is full while writing .*a.tif"):
        writer.write_rows(picture(3))
    writer.discard()
