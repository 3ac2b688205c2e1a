"""NumPy's arrays as images: read and written exactly, their dimensions asked for where they may be two things, and never as code."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.pictures import Pixels
from transfigure.data import images, ownership
from transfigure.data.folder import find_images
from transfigure.data.value_range import NATURAL_RANGE
from transfigure.errors import UserError


def noise(*shape: int, dtype: str = "uint16") -> Pixels:
    kind = np.dtype(dtype)
    values = np.random.default_rng(0).random(shape)
    return values.astype(kind) if kind.kind == "f" else (values * 120).astype(kind)


def save(path: Path, array: Pixels) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, array)
    else:
        np.save(path, array)
    return path


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(UserError) as caught:
        images.read(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
class TestBoth:
    @pytest.mark.parametrize("dtype", sorted(NATURAL_RANGE))
    @pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
    def test_written_and_read_exactly(self, tmp_path: Path, suffix: str, channels: int, dtype: str) -> None:
        array = noise(20, 17, channels, dtype=dtype)
        path = tmp_path / f"x{suffix}"
        images.write(path, array)
        back, facts = images.examine(path)
        assert back.dtype == array.dtype and facts.format == suffix[1:].upper() and facts.stored == dtype
        np.testing.assert_array_equal(back, array)
        assert images.size_of(path) == images.Header(17, 20, channels, dtype, suffix[1:].upper())
        with np.load(path) if suffix == ".npz" else io.BytesIO() as archive:
            theirs = archive["image"] if suffix == ".npz" else np.load(path)
        np.testing.assert_array_equal(theirs, array if channels > 1 else array[..., 0])

    @pytest.mark.parametrize("array", [noise(20, 17), noise(20, 17, 1), noise(20, 17, 5), noise(20, 17, 3).astype(">u2"), noise(1, 1)])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_as_numpy_writes_them(self, tmp_path: Path, suffix: str, array: Pixels, order: Any) -> None:
        path = save(tmp_path / f"x{suffix}", np.array(array, order=order))
        np.testing.assert_array_equal(images.read(path), array.reshape(*array.shape[:2], -1))
        assert images.read(path).dtype == np.uint16 and images.pages_of(path) == 1

    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_stack_of_images(self, tmp_path: Path, suffix: str, channels: int) -> None:
        array = noise(30, 20, 17, channels)
        images.write_pages(tmp_path / f"x{suffix}", list(array))
        assert images.pages_of(tmp_path / f"x{suffix}") == 30
        for page in (0, 29):
            np.testing.assert_array_equal(images.read(tmp_path / f"x{suffix}", pages=(page,)), array[page])

    def test_true_and_false(self, tmp_path: Path, suffix: str) -> None:
        path = save(tmp_path / f"x{suffix}", noise(20, 17) > 60)
        assert set(np.unique(images.read(path)).tolist()) == {0, 255}

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("shape", [(13, 64, 48), (3, 20, 17), (4, 4, 4), (6, 20, 17, 3)])
    def test_a_first_dimension_that_may_count_pages_is_asked_for(
        self, tmp_path: Path, suffix: str, shape: tuple[int, ...], order: Any
    ) -> None:
        array = noise(*shape)
        path = save(tmp_path / f"x{suffix}", np.array(array, order=order))
        said = refusal(path)
        assert said.startswith(
            f" is an array of {' x '.join(map(str, shape))} and does not say what its dimensions are: if the first counts"
        )
        assert "choose --pages channels" in said and "save it as [height, width] or [height, width, channels]" in said
        with pytest.raises(UserError, match="does not say what its dimensions are"):
            images.size_of(path)
        assert images.pages_of(path) == shape[0]
        pages = array.reshape(*shape[:3], -1)
        together = images.read(path, pages="channels")
        np.testing.assert_array_equal(together, np.concatenate(list(pages), axis=2))
        for chosen in ((1,), (2, 0), (0, 0, 1)):
            some, facts = images.examine(path, pages=chosen)
            np.testing.assert_array_equal(some, np.concatenate([pages[number] for number in chosen], axis=2))
            assert facts.pages == len(chosen) and images.size_of(path, pages=chosen).channels == some.shape[2]
        assert f"there is no page {shape[0]}" in refusal(path, pages=(shape[0],))

    @pytest.mark.parametrize("shape", [(5,), (0, 4), (2, 3, 4, 5), (1, 1, 2, 3, 4), ()])
    def test_no_image(self, tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
        path = save(tmp_path / f"x{suffix}", np.zeros(shape, np.uint8))
        assert f"array of shape {shape}".replace(",)", ",)") in refusal(path) and "[height, width, channels]" in refusal(path)

    @pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64", "U4", "M8[s]"])
    def test_numbers_that_no_image_has(self, tmp_path: Path, suffix: str, dtype: str) -> None:
        path = save(tmp_path / f"x{suffix}", np.zeros((4, 5), dtype))
        assert "values: save it as integers of 8, 16 or 32 bits, or floats of 16, 32 or 64 bits" in refusal(path)

    def test_objects_are_never_read(self, tmp_path: Path, suffix: str) -> None:
        class Harmless:
            def __reduce__(self) -> Any:
                return os.mkdir, (str(tmp_path / "opened"),)

        array = np.empty((2, 2), object)
        array[:] = Harmless()
        path = save(tmp_path / f"x{suffix}", array)
        assert refusal(path).startswith(" holds objects, which are code and never read: save it as")
        with pytest.raises(UserError):
            images.size_of(path)
        assert not (tmp_path / "opened").exists()

    def test_not_finite(self, tmp_path: Path, suffix: str) -> None:
        array = np.zeros((4, 5), np.float64)
        array[1, 1] = np.nan
        assert "holds 1 values that are not finite" in refusal(save(tmp_path / f"x{suffix}", array))

    def test_too_large(self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "100")
        assert "larger than the limit" in refusal(save(tmp_path / f"x{suffix}", noise(20, 17)))

    def test_every_cut_ends_in_a_sentence(self, tmp_path: Path, suffix: str) -> None:
        whole = save(tmp_path / f"x{suffix}", noise(20, 17, 3)).read_bytes()
        for end in range(1, len(whole), max(1, len(whole) // 60)):
            (tmp_path / f"y{suffix}").write_bytes(whole[:end])
            refusal(tmp_path / f"y{suffix}")

    def test_every_flipped_bit_of_the_head_ends_in_a_sentence_or_an_image(self, tmp_path: Path, suffix: str) -> None:
        whole = save(tmp_path / f"x{suffix}", noise(20, 17, 3)).read_bytes()
        for at in range(128):
            for bit in (1, 16, 128):
                (tmp_path / f"y{suffix}").write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
                for action in (images.read, images.size_of, images.pages_of, images.kind_of):
                    try:
                        action(tmp_path / f"y{suffix}")
                    except UserError as error:
                        assert "\n" not in str(error)


def header(shape: str, descr: str = "|u1", length: int | None = None) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (len(text) + 1 if length is None else length).to_bytes(2, "little") + text + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        header("(10000, 10000)") + bytes(100),
        header("(1000000000000, 1000000000000)"),
        header("(-3, 4)") + bytes(100),
        header("(3, 4), 'x': 1") + bytes(100),
        header("(3, 4)", descr="|O") + pickle.dumps([0] * 12),
        header("(3, 4)", length=65535),
        header("(" + "1, " * 3000 + ")"),
        header("(__import__('os').getcwd(), 4)"),
        b"\x93NUMPY\x09\x00" + header("(3, 4)")[8:] + bytes(12),
        b"\x93NUMPY",
        header("(3, 4)", descr="<V8") + bytes(200),
    ],
    ids=range(11),
)
def test_headers_that_lie(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert len(refusal(tmp_path / "x.npy")) < 400


class TestArchives:
    def test_of_several_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", photo=noise(4, 5), label=noise(4, 5), mask=noise(4, 5))
        assert refusal(tmp_path / "x.npz") == (" holds 3 arrays (photo, label, mask): save the one that is the image as a file of its own")

    def test_an_archive_of_other_things_is_none(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("readme.txt", "hello")
        assert "is not a PNG, JPEG, WebP, TIFF, BMP, GIF, PNM, NPY or NPZ file (it looks like ZIP)" in refusal(tmp_path / "x.npz")

    def test_a_member_that_unpacks_to_more_than_its_array(self, tmp_path: Path) -> None:
        """A small archive of gigabytes of zeros: no more is unpacked than the header speaks of."""
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("image.npy", header("(3, 4)") + bytes(1 << 24))
        assert images.read(tmp_path / "x.npz").shape == (3, 4, 1)

    def test_ways_to_pack_that_numpy_does_not_use(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("image.npy", header("(3, 4)") + bytes(12))
        assert "compressed in another way than numpy does" in refusal(tmp_path / "x.npz")

    def test_the_same_image_is_the_same_file_and_ours(self, tmp_path: Path) -> None:
        for name in "ab":
            images.write(tmp_path / f"{name}.npz", noise(20, 17, 3))
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        assert ownership.is_ours(tmp_path / "a.npz")
        save(tmp_path / "theirs.npz", noise(20, 17, 3))
        images.write(tmp_path / "bare.npy", noise(20, 17, 3))  # which has no place for a name
        assert not ownership.is_ours(tmp_path / "theirs.npz") and not ownership.is_ours(tmp_path / "bare.npy")


def test_in_a_folder_arrays_that_may_be_images_are_taken(tmp_path: Path) -> None:
    for name, array in {
        "a.npy": noise(4, 5),
        "b.npz": noise(4, 5, 2),
        "vector.npy": noise(7),
        "wide.npy": noise(4, 5, dtype="float64"),
    }.items():
        save(tmp_path / name, array)
    np.savez(tmp_path / "several.npz", x=noise(4, 5), y=noise(4, 5))
    found = find_images(tmp_path)
    assert [file.name for file in found.files] == ["a.npy", "b.npz", "wide.npy"]
    assert any("several.npz" in note for note in found.notes)
