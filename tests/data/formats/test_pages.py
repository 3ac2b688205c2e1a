"""Files of several pages: what their dimensions are is read from the file, asked for, or said, and never guessed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.pictures import Pixels
from transfigure.data import images
from transfigure.errors import UserError

tifffile = pytest.importorskip("tifffile")


def noise(*shape: int, dtype: str = "uint16") -> Pixels:
    return np.random.default_rng(len(shape)).integers(0, 1 << 12, shape).astype(dtype)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        images.read(path)
    with pytest.raises(UserError) as header:
        images.size_of(path)
    assert str(header.value) == str(caught.value)
    return str(caught.value).removeprefix(str(path))


WRITERS: dict[str, dict[str, Any]] = {
    "ome": {"ome": True, "photometric": "minisblack"},
    "ome compressed": {"ome": True, "photometric": "minisblack", "compression": "zlib"},
    "ome in tiles": {"ome": True, "photometric": "minisblack", "tile": (16, 16)},
    "imagej": {"imagej": True},
    "tifffile": {"photometric": "minisblack"},
    "tifffile, guessing colours": {},
    "big": {"photometric": "minisblack", "bigtiff": True, "byteorder": ">"},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX", "CZYX", "TZCYX", "CYX"])
@pytest.mark.parametrize("slices", [3, 5])
def test_axes_that_a_file_names(tmp_path: Path, writer: str, axes: str, slices: int, dtype: str) -> None:
    """Three or four slices look like colours to the writer; what the file names is believed all the same."""
    if writer == "imagej" and axes == "CZYX":
        pytest.skip("ImageJ has its own order")
    sizes = {"T": 2, "Z": slices, "C": 3, "Y": 20, "X": 17}
    sizes["C"] = slices if axes == "CYX" else 3
    array = noise(*(sizes[axis] for axis in axes), dtype=dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, array, metadata={"axes": axes}, **WRITERS[writer])
    paged = [axis for axis in axes if axis in "TZ"]
    count = int(np.prod([sizes[axis] for axis in paged]))
    channels = sizes["C"] if "C" in axes else 1
    assert images.pages_of(path) == count
    # every page by itself, its channels last
    order = [axes.index(axis) for axis in (*paged, "Y", "X", *("C" * ("C" in axes)))]
    pages = array.transpose(order).reshape(count, 20, 17, channels)
    if count == 1:
        whole, facts = images.examine(path)
        np.testing.assert_array_equal(whole, pages[0])
        assert (facts.axes, facts.pages) == (axes, 1)
    else:
        words = {"Z": f"holds {slices} pages (z-slices): ", "T": "holds 2 pages (time points): "}
        expected = words[paged[0]] if len(paged) == 1 else f"holds {count} pages (z-slices of time points): "
        assert expected + "choose --pages channels" in refused(path)
    for chosen in ((0,), (count - 1, 0), tuple(range(count))):
        some, facts = images.examine(path, pages=chosen)
        np.testing.assert_array_equal(some, np.concatenate([pages[number] for number in chosen], axis=2))
        assert images.size_of(path, pages=chosen).channels == channels * len(chosen)
        assert facts.pages == len(chosen)
    together, facts = images.examine(path, pages="channels")
    rest = [at for at, axis in enumerate(axes) if axis not in "YX"]
    np.testing.assert_array_equal(together, array.transpose(axes.index("Y"), axes.index("X"), *rest).reshape(20, 17, -1))
    assert facts.pages == count and facts.axes == axes and facts.page_axis == ("".join(paged) if count > 1 else "")
    for wrong in ((count,), (-1,)):
        with pytest.raises(UserError, match=rf"x\.tif has .* page.*: there is no page {wrong[0]}"):
            images.read(path, pages=wrong)


class TestNameless:
    def test_pages(self, tmp_path: Path) -> None:
        array = noise(13, 20, 17)
        tifffile.imwrite(tmp_path / "x.tif", array, photometric="minisblack", metadata=None)
        assert refused(tmp_path / "x.tif").startswith(" holds 13 pages, and does not say what they are: choose --pages channels")
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif", pages="channels"), array.transpose(1, 2, 0))
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif", pages=(7,)), array[7][..., None])
        assert images.examine(tmp_path / "x.tif", pages="channels")[1].axes == ""

    def test_the_flag_of_training_is_named(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(13, 20, 17), photometric="minisblack", metadata=None)
        with pytest.raises(UserError, match=r"choose --data\.pages channels"):
            images.examine(tmp_path / "x.tif", flag="--data.alpha")

    def test_channels_last_became_a_page_for_each_row(self, tmp_path: Path) -> None:
        """A bare imwrite of (64, 48, 2) makes 64 pages of 48 x 2."""
        array = noise(64, 48, 2)
        tifffile.imwrite(tmp_path / "x.tif", array)
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            assert len(tiff.pages) == 64 and tiff.pages[0].shape == (48, 2)
        assert images.pages_of(tmp_path / "x.tif") == 2
        assert refused(tmp_path / "x.tif").startswith(" holds 2 pages, and does not say what they are")
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif", pages="channels"), array)
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif", pages=(1,)), array[..., 1:])

    def test_three_layers_first_became_colours_in_planes(self, tmp_path: Path) -> None:
        """A bare imwrite of (3, 64, 48) makes one RGB picture in planes: which is what the file says."""
        array = noise(3, 64, 48)
        tifffile.imwrite(tmp_path / "x.tif", array)
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif"), array.transpose(1, 2, 0))

    @pytest.mark.parametrize("use", ["images", "depth"])
    def test_one_page_is_named_where_each_is_an_image(self, tmp_path: Path, use: Any) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(5, 20, 17), photometric="minisblack", metadata={"axes": "ZYX"})
        with pytest.raises(UserError, match=r"holds 5 pages \(z-slices\), which are not one image"):
            images.read(tmp_path / "x.tif", pages=use)
        images.write(tmp_path / "y.png", noise(4, 4, 3, dtype="uint8"))
        assert images.read(tmp_path / "y.png", pages=use).shape == (4, 4, 3)

    def test_what_is_no_tiff_has_one_page(self, tmp_path: Path) -> None:
        images.write(tmp_path / "x.png", noise(4, 4, 3, dtype="uint8"))
        assert images.pages_of(tmp_path / "x.png") == 1
        np.testing.assert_array_equal(images.read(tmp_path / "x.png", pages=(0,)), images.read(tmp_path / "x.png"))
        with pytest.raises(UserError, match=r"x\.png has a single page, number 0: there is no page 1"):
            images.read(tmp_path / "x.png", pages=(1,))


class TestNames:
    @pytest.mark.parametrize("channels", [2, 3, 4, 5])
    def test_of_ome_and_imagej(self, tmp_path: Path, channels: int) -> None:
        names = ["DAPI", "MAP2, raw", "NFH <é>", "d", "e"][:channels]
        array = noise(channels, 20, 17)
        ours = {"axes": "CYX", "Channel": {"Name": names}}
        tifffile.imwrite(tmp_path / "ome.tif", array, ome=True, photometric="minisblack", metadata=ours)
        tifffile.imwrite(tmp_path / "tifffile.tif", array, photometric="minisblack", metadata=ours)
        labels = [name.encode("ascii", "ignore").decode() for name in names]
        tifffile.imwrite(tmp_path / "imagej.tif", array, imagej=True, metadata={"axes": "CYX", "Labels": labels})
        for name, expected in (("ome", names), ("tifffile", names), ("imagej", labels)):
            found, facts = images.examine(tmp_path / f"{name}.tif")
            np.testing.assert_array_equal(found, array.transpose(1, 2, 0))
            assert facts.channel_names == tuple(expected), name

    def test_of_imagej_planes(self, tmp_path: Path) -> None:
        labels = [f"c:{c + 1}/2 z:{z + 1}/3 - {name}" for z in range(3) for c, name in enumerate(("DAPI", "GFP"))]
        tifffile.imwrite(tmp_path / "x.tif", noise(3, 2, 20, 17), imagej=True, metadata={"axes": "ZCYX", "Labels": labels})
        assert images.examine(tmp_path / "x.tif", pages=(1,))[1].channel_names == ("DAPI", "GFP")
        assert images.examine(tmp_path / "x.tif", pages="channels")[1].channel_names == ()

    def test_of_bands_by_gdal(self, tmp_path: Path) -> None:
        xml = '<GDALMetadata><Item name="DESCRIPTION" sample="{}" role="description">{}</Item></GDALMetadata>'
        items = "".join(f'<Item name="DESCRIPTION" sample="{at}" role="description">B{at + 2}</Item>' for at in range(5))
        tag = (42112, 2, 0, f"<GDALMetadata>{items}</GDALMetadata>", True)
        options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
        tifffile.imwrite(tmp_path / "x.tif", noise(5, 20, 17), extratags=[tag], **options)
        assert images.examine(tmp_path / "x.tif")[1].channel_names == ("B2", "B3", "B4", "B5", "B6")
        tifffile.imwrite(tmp_path / "y.tif", noise(5, 20, 17), extratags=[(42112, 2, 0, xml.format(0, "B2"), True)], **options)
        assert images.examine(tmp_path / "y.tif")[1].channel_names == ("B2", *(f"channel {number}" for number in range(2, 6)))

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["a", "a", "b"], ("a 1", "a 2", "b")),
            (["a", "", "b"], ("a", "channel 2", "b")),
            (["", "", ""], ()),
            (["a", "b"], ()),
            ("abc", ()),
        ],
        ids=["twice", "empty", "all empty", "few", "text"],
    )
    def test_names_that_do_not_name_each_channel(self, tmp_path: Path, names: Any, expected: tuple[str, ...]) -> None:
        """What is missing or comes twice is numbered; what fits no channel is passed over."""
        tifffile.imwrite(
            tmp_path / "x.tif", noise(3, 20, 17), photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": names}}
        )
        assert images.examine(tmp_path / "x.tif")[1].channel_names == expected


class TestSeveralImages:
    def test_they_are_named(self, tmp_path: Path) -> None:
        """tifffile and Pillow read the first, and say nothing of the rest."""
        with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
            tiff.write(noise(20, 17), photometric="minisblack")
            tiff.write(noise(3, 8, 9, dtype="float32"), photometric="minisblack", metadata={"axes": "ZYX"})
        assert refused(tmp_path / "x.tif") == (
            " holds 2 images of different kinds (17 x 20, 16-bit; 9 x 8, float, 3 z-slices): save each as a file of its own"
        )

    def test_of_ome(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "x.tif", ome=True) as tiff:
            tiff.write(noise(20, 17), photometric="minisblack", metadata={"Name": "well A1"})
            tiff.write(noise(2, 20, 17), photometric="minisblack", metadata={"axes": "CYX", "Name": "well A2"})
        assert " holds 2 images of different kinds (well A1: 17 x 20, 16-bit; well A2: 17 x 20, 16-bit, 2 channels)" in refused(
            tmp_path / "x.tif"
        )

    @pytest.mark.parametrize("ome", [False, True])
    def test_a_pyramid_is_read_at_full_resolution(self, tmp_path: Path, ome: bool) -> None:
        array = noise(2, 64, 48)
        with tifffile.TiffWriter(tmp_path / "x.tif", ome=ome) as tiff:
            options: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16)}
            tiff.write(array, subifds=2, metadata={"axes": "CYX"}, **options)
            for step in (2, 4):
                tiff.write(array[:, ::step, ::step], subfiletype=1, **options)
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif"), array.transpose(1, 2, 0))

    def test_a_pyramid_of_overviews_behind_the_image(self, tmp_path: Path) -> None:
        array = noise(64, 48)
        with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
            tiff.write(array, photometric="minisblack", metadata=None)
            for step in (2, 4):
                tiff.write(array[::step, ::step], photometric="minisblack", subfiletype=1, metadata=None)
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif")[..., 0], array)

    def test_a_thumbnail_with_the_image_below_it_is_not_taken_for_the_image(self, tmp_path: Path) -> None:
        """As cameras write them: Pillow reads the thumbnail."""
        array = noise(32, 32, 3, dtype="uint8")
        with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
            tiff.write(array[::4, ::4], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
            tiff.write(array, photometric="rgb", metadata=None)
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif"), array)


class TestDamagedDescriptions:
    XML = (
        '<?xml version="1.0"?>{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="17" SizeY="20" SizeC="{c}" SizeZ="1" SizeT="1">'
        '<TiffData IFD="{ifd}" PlaneCount="{planes}"/></Pixels></Image></OME>'
    )

    @pytest.mark.parametrize(
        "values",
        [
            {"c": 10**12, "planes": 10**12},
            {"planes": 10**9},
            {"ifd": 10**9},
            {"c": 0},
            {"c": "x"},
            {"head": '<!DOCTYPE OME [<!ENTITY a "a">]>'},
            {"head": "<"},
        ],
        ids=str,
    )
    def test_a_description_that_speaks_of_something_else_is_passed_over(self, tmp_path: Path, values: dict[str, Any]) -> None:
        xml = self.XML.format(**{"c": 2, "ifd": 0, "planes": 2, "head": "", **values})
        tifffile.imwrite(tmp_path / "x.tif", noise(2, 20, 17), photometric="minisblack", description=xml, metadata=None)
        assert refused(tmp_path / "x.tif").startswith(" holds 2 pages, and does not say what they are")
        np.testing.assert_array_equal(images.read(tmp_path / "x.tif", pages="channels"), noise(2, 20, 17).transpose(1, 2, 0))

    def test_a_good_one_is_not(self, tmp_path: Path) -> None:
        xml = self.XML.format(c=2, ifd=0, planes=2, head="")
        tifffile.imwrite(tmp_path / "x.tif", noise(2, 20, 17), photometric="minisblack", description=xml, metadata=None)
        assert images.examine(tmp_path / "x.tif")[1].axes == "CYX"

    @pytest.mark.parametrize(
        "text", ["ImageJ=1.53\nimages=1000000\nslices=1000000\n", "ImageJ=1.53\nchannels=-2\n", '{"shape": [1000000000, 20, 17]}', "{"]
    )
    def test_other_descriptions(self, tmp_path: Path, text: str) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(2, 20, 17), photometric="minisblack", description=text, metadata=None)
        if "shape" in text:
            assert "part of its pixels is missing" in refused(tmp_path / "x.tif")
            return
        assert refused(tmp_path / "x.tif").startswith(" holds 2 pages, and does not say what they are")
        assert images.read(tmp_path / "x.tif", pages="channels").shape == (20, 17, 2)


def packed(bits: int, values: Pixels, order: str) -> bytes:
    """A TIFF whose values have so many bits, without gaps between them."""
    rows = []
    for row in values:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    data = b"".join(rows) + b"\0" * (sum(map(len, rows)) % 2)
    height, width = values.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, sum(map(len, rows)))]
    entries = b"".join(struct.pack(f"{order}HHII", code, 4, 1, value) for code, value in tags)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
def test_packed_values_are_what_they_are(tmp_path: Path, bits: int, order: str) -> None:
    """Of 12 bits, OpenCV makes sixteen times as much; of 2 and 4, Pillow makes 85 and 17 times as much."""
    pytest.importorskip("imagecodecs")
    values = np.random.default_rng(bits).integers(0, 1 << bits, (5, 7))
    values[0, 0] = (1 << bits) - 1
    (tmp_path / "x.tif").write_bytes(packed(bits, values, order))
    found, facts = images.examine(tmp_path / "x.tif")
    assert found.dtype == ("uint8" if bits < 8 else "uint16") and facts.bits == bits
    np.testing.assert_array_equal(found[..., 0], values)
    assert images.size_of(tmp_path / "x.tif").dtype == found.dtype.name


COMPRESSIONS = ["packbits", "lzw", "deflate", "zstd", "lzma", "jpeg2000", "jpegxl", "lerc", "png", "webp"]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_without_loss(tmp_path: Path, compression: str, dtype: str, channels: int) -> None:
    pytest.importorskip("imagecodecs")
    array = noise(32, 48, channels, dtype="uint8").astype(dtype)
    options: dict[str, Any] = {"photometric": "rgb" if channels == 3 else "minisblack", "metadata": None, "tile": (16, 16)}
    try:
        if channels == 5:
            planes = array.transpose(2, 0, 1)
            tifffile.imwrite(tmp_path / "x.tif", planes, compression=compression, planarconfig="separate", **options)
        else:
            tifffile.imwrite(tmp_path / "x.tif", array if channels > 1 else array[..., 0], compression=compression, **options)
    except Exception as error:
        pytest.skip(f"it cannot be written ({error})")
    try:
        found = images.read(tmp_path / "x.tif")
    except UserError as error:
        assert "not finite" in str(error)
        return
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("pages", [1, 3])
def test_jpeg_colours(tmp_path: Path, pages: int) -> None:
    """Stored as luminance and colour differences, which become RGB."""
    pytest.importorskip("imagecodecs")
    smooth = np.stack(np.broadcast_arrays(*np.ogrid[60:180:64j, 60:180:48j], 90), axis=2).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
        for _ in range(pages):
            tiff.write(smooth, photometric="rgb", compression="jpeg", tile=(32, 32), metadata=None)
    found, facts = images.examine(tmp_path / "x.tif", pages=(pages - 1,))
    assert np.abs(found.astype(int) - smooth).mean() <= 3 and facts.lossy == "JPEG"
