"""Whether a file may be written: ours are known by what stands in them, another's is never replaced, and nothing goes through a link."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.tiny import noise_image
from transfigure.data import images
from transfigure.data.formats.metadata import Metadata, Tag
from transfigure.data.ownership import check_outputs, digest, is_ours, marked
from transfigure.errors import UserError

PICTURES = {"images": {}, "spectrum": {}, "lab": {}}
"""The keys that the pictures of a comparison have."""
COMPAT = Path(__file__).resolve().parents[1] / "compat" / "v0_1_0"
KINDS = [
    *(("a.png", 3, "uint8"), ("a.png", 1, "uint16"), ("a.png", 3, "uint16"), ("a.jpg", 3, "uint8"), ("a.webp", 4, "uint8")),
    *(("a.tif", 3, "uint8"), ("a.tif", 1, "float32"), ("a.tif", 5, "uint16"), ("a.tif", 3, "uint16"), ("a.tif", 2, "uint8")),
]


@pytest.mark.parametrize(("name", "channels", "dtype"), KINDS)
def test_c06_a_picture_says_who_wrote_it(tmp_path: Path, name: str, channels: int, dtype: str) -> None:
    array = noise_image(9, 7, channels, dtype)
    images.write(tmp_path / name, array)
    assert is_ours(tmp_path / name)
    if not name.endswith("jpg"):
        assert np.array_equal(images.read(tmp_path / name, "keep"), array)


@pytest.mark.parametrize("keeps_the_name", [False, True])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_c06_a_picture_that_another_program_saved_is_no_longer_ours(tmp_path: Path, suffix: str, keeps_the_name: bool) -> None:
    """Though the program keeps the software's name in it, as many do."""
    file = tmp_path / f"a.{suffix}"
    images.write(file, noise_image(9, 7, 3))
    with Image.open(file) as picture:
        picture.load()
        picture.putpixel((3, 3), (1, 2, 3))
        text = PngInfo()
        text.add_text("Software", str(picture.info.get("Software")))
        kept: dict[str, Any] = {"png": {"pnginfo": text}, "tif": {}}.get(suffix, {"exif": picture.getexif()})
        picture.save(file, **kept) if keeps_the_name else Image.fromarray(np.asarray(picture)).save(file)
    assert ("transfigure" in (images.software(file) or "")) == keeps_the_name
    assert not is_ours(file)


def readable(file: Path) -> bool:
    try:
        images.read(file, "keep")
    except UserError:
        return False
    return True


@pytest.mark.parametrize(("name", "channels", "dtype"), KINDS)
@pytest.mark.parametrize("about", [Metadata(), Metadata(maker="abc", camera={271: Tag(2, 4, b"Cam\0")}, icc=b"x" * 200)])
def test_c06_a_picture_of_which_a_byte_was_changed_is_no_longer_ours(
    tmp_path: Path, name: str, channels: int, dtype: str, about: Metadata
) -> None:
    images.write(tmp_path / name, noise_image(9, 7, channels, dtype), about)
    whole = (tmp_path / name).read_bytes()
    assert is_ours(tmp_path / name)
    for at in range(40, len(whole), max(1, len(whole) // 40)):
        (tmp_path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not is_ours(tmp_path / name) or not readable(tmp_path / name), at


def test_c06_a_bitmap_has_no_place_for_a_mark(tmp_path: Path) -> None:
    images.write(tmp_path / "a.bmp", noise_image(4, 4, 3))
    assert not is_ours(tmp_path / "a.bmp")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"a": 1}', b"PK\x03\x04 no archive", b"\x89PNG\r\n\x1a\n", b"II*\0\xff\xff\xff\xff", b"x" * 100]
)
@pytest.mark.parametrize("name", ["a.json", "a.png", "a.tif", "a.npz", "a.html", "a.svg", "a.csv", "a.safetensors", "a.yaml", "a"])
def test_c06_other_files_and_damaged_ones_are_not_ours(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_ours(tmp_path / name)
    assert not is_ours(tmp_path / "absent")
    assert not is_ours(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("evaluation/evaluation.json", "evaluation/per_image.csv", "statistics.npz", "segmenter.safetensors", "probes.safetensors"),
        *("vector/analysis/analysis.json", "paired/evaluation/panels/00_generated.png", "paired/model/config.json"),
    ],
)
def test_c06_what_0_1_0_wrote_is_known(name: str) -> None:
    assert is_ours(COMPAT / name)


@pytest.mark.parametrize("name", ["evaluation/evaluation.json", "vector/analysis/analysis.json", "paired/model/config.json"])
def test_c06_another_s_file_that_has_our_key_is_not_ours(tmp_path: Path, name: str) -> None:
    values = json.loads((COMPAT / name).read_text(encoding="utf-8"))
    file = tmp_path / Path(name).name
    file.write_text(json.dumps(marked(values)), encoding="utf-8")
    assert is_ours(file)
    for theirs in ({}, {"note": "my own"}, dict(list(values.items())[:2])):
        file.write_text(json.dumps(marked(theirs)), encoding="utf-8")
        assert not is_ours(file), "the key is there, and what such a file holds is not"


def test_c06_a_table_of_0_1_0_with_a_column_more_is_another_s(tmp_path: Path) -> None:
    shutil.copytree(COMPAT / "evaluation", tmp_path / "evaluation")
    table = tmp_path / "evaluation" / "per_image.csv"
    head, rest = table.read_text(encoding="utf-8").split("\n", 1)
    table.write_text(f"{head},remark\n{rest}", encoding="utf-8")
    assert not is_ours(table)


def test_c06_a_table_is_known_by_its_digest_in_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"name,ssim\nx,1\n")
    (tmp_path / "a.json").write_text(json.dumps(marked(PICTURES, {"a.csv": digest(b"name,ssim\nx,1\n")})))
    assert is_ours(tmp_path / "a.csv") and is_ours(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["files"] == {"a.csv": digest(b"name,ssim\nx,1\n")}
    (tmp_path / "a.csv").write_bytes(b"name,ssim\nx,2\n")
    assert not is_ours(tmp_path / "a.csv")


@pytest.mark.parametrize("values", [{"rows": 3}, {"rows": [{"of": []}]}, {"rows": None}])
def test_c06_a_table_beside_a_description_that_is_none(tmp_path: Path, values: dict[str, Any]) -> None:
    described = {"split": "", "data": "", "resize": "", "checkpoint": "", "panels": [], **values}  # the keys that 0.1.0 wrote
    (tmp_path / "evaluation.json").write_text(json.dumps(described), encoding="utf-8")
    (tmp_path / "per_image.csv").write_text("name,l1\nx,1\n", encoding="utf-8")
    assert not is_ours(tmp_path / "per_image.csv")


def test_c06_an_archive_of_a_later_version_of_zip_is_not_ours(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("transfigure.npy", b"")
    assert is_ours(tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    at = content.index(b"PK\x01\x02") + 6  # the version that is needed to extract
    (tmp_path / "a.npz").write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    assert not is_ours(tmp_path / "a.npz")


def test_c06_an_object_with_a_brace_where_tensors_have_theirs(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(marked({"more": {}, **PICTURES})).replace(" ", ""))
    assert (tmp_path / "a.json").read_bytes()[8:9] == b"{" and is_ours(tmp_path / "a.json")


def test_c06_what_is_there_and_not_ours_is_refused_without_overwrite(tmp_path: Path) -> None:
    for name in ("1.txt", "2.txt"):
        (tmp_path / name).write_text("mine")
    files = [tmp_path / "1.txt", tmp_path / "2.txt", tmp_path / "3.txt"]
    with pytest.raises(UserError, match=r"^2 files are there already that transfigure did not write, such as .*1\.txt: .*--overwrite$"):
        check_outputs(files)
    with pytest.raises(UserError, match=r"^.*2\.txt is there already, and transfigure did not write it: .*replace it with --overwrite$"):
        check_outputs(files[1:])
    with pytest.raises(UserError, match=r"move it away, or choose another place$"):
        check_outputs(files[1:], None)
    check_outputs(files, overwrite=True)
    check_outputs(files[2:])


@pytest.mark.parametrize("overwrite", [False, True])
def test_links_are_never_written_through(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "elsewhere" / "absent.png")
    for file in ("a.png", "sub/b.png"):
        with pytest.raises(UserError, match="is a link, and nothing is written through a link"):
            check_outputs([tmp_path / "out" / file], overwrite, below=tmp_path / "out")
    (tmp_path / "here").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    check_outputs([tmp_path / "here" / "a.png"], overwrite, below=tmp_path / "here")  # the folder that was asked for may be one
