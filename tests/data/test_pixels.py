"""Values, sizes and channels: exact where they can be, and close to Pillow where they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from transfigure.data.pixels import convert_channels, resize, to_array, to_tensor
from transfigure.errors import RunFailure, UserError

uint8_images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)))


def ramp(dtype: str) -> np.ndarray[Any, Any]:
    """Every value of the dtype once."""
    count = int(np.iinfo(dtype).max) + 1
    return np.arange(count).astype(dtype).reshape(16, -1, 1)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    layers = [127.5 + 120 * np.sin(x / (7 + c) + c) * np.cos(y / (5 + c)) for c in range(channels)]
    return np.stack(layers, axis=2).round().astype(np.uint8)


class TestConversion:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    @pytest.mark.parametrize("value_range", [None, (-3.0, 70000.0)])
    def test_every_value_comes_back(self, dtype: str, value_range: tuple[float, float] | None) -> None:
        tensor = to_tensor(ramp(dtype), value_range)
        assert tensor.dtype == torch.float32
        assert tensor.shape == (1, 16, ramp(dtype).size // 16)
        np.testing.assert_array_equal(to_array(tensor, dtype, value_range), ramp(dtype))

    def test_the_equations(self) -> None:
        assert to_tensor(np.array([[[0, 51, 255]]], np.uint8)).flatten().tolist() == pytest.approx([-1, 51 / 127.5 - 1, 1])
        assert to_tensor(np.array([[[0, 1000, 65535]]], np.uint16)).flatten().tolist() == pytest.approx([-1, 1000 / 32767.5 - 1, 1])
        assert to_tensor(np.array([[[0, 0.25, 1]]], np.float32)).flatten().tolist() == [-1, -0.5, 1]
        assert to_tensor(ramp("uint8")).min() == -1
        assert to_tensor(ramp("uint16")).max() == 1

    def test_channels_first_and_a_copy(self) -> None:
        array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        tensor = to_tensor(array)
        assert tensor.shape == (4, 2, 3)
        assert tensor.is_contiguous()
        assert tensor[3, 1, 2] == torch.tensor(23) / 127.5 - 1
        floats = np.zeros((1, 1, 1), np.float32)
        to_tensor(floats)
        assert floats[0, 0, 0] == 0

    def test_a_value_range_clips(self) -> None:
        array = np.array([[[100, 200, 300, 400]]], np.uint16)
        assert to_tensor(array, (200, 300)).flatten().tolist() == [-1, -1, 1, 1]
        assert to_array(torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1), "uint16", (200, 300)).tolist() == [[[200, 250, 300]]]
        ct = np.array([[[-1000, 0, 1000]]], np.float32)
        tensor = to_tensor(ct, (-1000, 1000))
        assert tensor.flatten().tolist() == [-1, 0, 1]
        np.testing.assert_array_equal(to_array(tensor, "float32", (-1000, 1000)), ct)

    def test_floats_beyond_one_need_a_range(self) -> None:
        with pytest.raises(UserError, match=r"ct\.tif holds values from -1000 to 3071 where 0 to 1 is expected.*value range"):
            to_tensor(np.array([[[-1000, 3071]]], np.float32), name="ct.tif")

    def test_rounds_to_nearest_and_clips(self) -> None:
        values = torch.tensor([-3.0, 0.999 / 127.5 - 1, 0.499 / 127.5 - 1, 254.6 / 127.5 - 1, 2.0]).reshape(1, 1, 5)
        assert to_array(values).flatten().tolist() == [0, 1, 0, 255, 255]

    def test_half_precision_and_gradients(self) -> None:
        tensor = torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
        assert to_array(tensor, "float32").tolist() == [[[0.75] * 3] * 2] * 2
        assert tensor.tolist()[0][0][0] == 0.5  # untouched

    def test_does_not_change_its_input(self) -> None:
        tensor = torch.tensor([5.0]).reshape(1, 1, 1)
        to_array(tensor)
        assert tensor.item() == 5

    def test_nan_is_not_made_black(self) -> None:
        with pytest.raises(RunFailure, match="2 of the 4 values"):
            to_array(torch.tensor([0.0, float("nan"), float("inf"), 1.0]).reshape(1, 2, 2))

    def test_words_for_what_cannot_be(self) -> None:
        with pytest.raises(UserError, match="lower value first"):
            to_tensor(ramp("uint8"), (5, 5))
        with pytest.raises(UserError, match="int64 are not used here: choose one of float16, float32, float64, int16, "):
            to_array(torch.zeros(1, 1, 1), "int64")
        with pytest.raises(UserError, match="complex128"):
            to_tensor(np.zeros((1, 1, 1), complex))

    @pytest.mark.parametrize("dtype", ["int8", "int16"])
    @pytest.mark.parametrize("value_range", [None, (-40000.0, 70000.0)])
    def test_every_signed_value_comes_back(self, dtype: str, value_range: tuple[float, float] | None) -> None:
        every = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype).reshape(16, -1, 1)
        tensor = to_tensor(every, value_range)
        np.testing.assert_array_equal(to_array(tensor, dtype, value_range), every)
        if value_range is None:
            assert (tensor.min(), tensor.max()) == (-1, 1)

    @pytest.mark.parametrize("dtype", ["int32", "uint32"])
    def test_wide_integers(self, dtype: str) -> None:
        """Exact within a range of less than 24 bits, wherever that lies; the ends of the type are exact in any case."""
        low = 2**31 - 2**20  # where 32-bit floats are 128 apart
        array = np.random.default_rng(0).integers(low, 2**31 - 1, (8, 8, 2), endpoint=True).astype(dtype)
        given = float(low), float(2**31 - 1)
        np.testing.assert_array_equal(to_array(to_tensor(array, given), dtype, given), array)
        ends = np.array([[[np.iinfo(dtype).min, np.iinfo(dtype).max]]], dtype)
        np.testing.assert_array_equal(to_array(to_tensor(ends), dtype), ends)

    def test_doubles_keep_their_digits(self) -> None:
        array = 1e9 + np.arange(256, dtype=np.float64).reshape(16, 16, 1)  # one value in 32-bit floats, nearly
        given = 1e9, 1e9 + 255
        tensor = to_tensor(array, given)
        assert len(tensor.unique()) == 256
        np.testing.assert_allclose(to_array(tensor, "float64", given), array, rtol=0, atol=1e-4)

    def test_half_precision_never_becomes_infinite(self) -> None:
        back = to_array(torch.tensor([[[-1.0, 1.0]]]), "float16", (0.0, 1e6))
        assert back.dtype == np.float16 and back.ravel().tolist() == [0, 65504]


class TestResize:
    @pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "float16", "float64"])
    def test_every_type(self, dtype: str) -> None:
        """A quarter of each type's range, shifted into its middle: as the bytes are resized, in the type's own steps."""
        image = smooth(24, 24)
        integer = np.dtype(dtype).kind in "iu"
        step = (np.iinfo(dtype).max // 512) if integer else 1 / 1024
        step = max(step, 1) if integer else step
        other = ((image.astype(np.float64) / (4 if dtype == "int8" else 1)).round() * step).astype(dtype)
        resized = resize(other, 11, 37, "bicubic")
        assert resized.dtype == np.dtype(dtype)
        reference = resize(other.astype(np.float64), 11, 37, "bicubic")
        resized = resized.clip(other.min(), other.max())  # integers may overshoot at edges, as bytes do
        assert np.abs(resized.astype(np.float64) - reference).max() <= (0.51 if integer else 0.25 if dtype == "float16" else 0)
        np.testing.assert_array_equal(resize(other, 48, 48, "nearest"), other.repeat(2, axis=0).repeat(2, axis=1))
        grey = convert_channels(other, 1)
        assert grey.dtype == np.dtype(dtype)
        expected = other.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        assert np.abs(grey[..., 0] - expected).max() <= (0.5 if integer else 0.1 if dtype == "float16" else 1e-9)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize(("height", "width"), [(20, 31), (17, 90), (96, 128), (47, 60)])
    def test_as_pillow(self, height: int, width: int, channels: int) -> None:
        image = smooth(48, 64, channels)
        with_pillow = np.stack(
            [np.asarray(Image.fromarray(image[..., c]).resize((width, height), Image.Resampling.BICUBIC)) for c in range(channels)], axis=2
        )
        ours = resize(image, height, width, "bicubic")
        assert ours.dtype == np.uint8
        assert np.abs(ours.astype(int) - with_pillow).max() <= 1

    def test_the_deep_agree_with_the_shallow(self) -> None:
        image = smooth(40, 40, 5)
        shallow = resize(image, 23, 51, "bicubic")
        deep = resize(image.astype(np.uint16) * 257, 23, 51, "bicubic")
        floats = resize(image.astype(np.float32) / 255, 23, 51, "bicubic")
        assert [shallow.dtype.name, deep.dtype.name, floats.dtype.name] == ["uint8", "uint16", "float32"]
        # the 8-bit path also rounds between its two passes
        assert np.abs(deep / 257 - shallow).max() <= 1.25
        assert np.abs(floats * 255 - shallow).max() <= 1.25

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_an_edge_does_not_overshoot(self, dtype: str) -> None:
        top = 1 if dtype == "float32" else int(np.iinfo(dtype).max)
        edge = np.zeros((8, 8, 1), dtype)
        edge[:, 4:] = top
        resized = resize(edge, 21, 21, "bicubic")
        assert resized.min() == 0
        assert resized.max() == top
        to_tensor(resized)

    def test_one_column_is_one_row_turned(self) -> None:
        tall = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
        for array in (tall, tall / np.float32(255)):
            column, row = resize(array, 20, 1, "bicubic"), resize(array.transpose(1, 0, 2), 1, 20, "bicubic")
            assert np.allclose(column, row.transpose(1, 0, 2), atol=1e-6)
            assert len(np.unique(column)) > 20

    def test_the_right_size_is_the_same_object(self) -> None:
        image = smooth(5, 6)
        assert resize(image, 5, 6, "bicubic") is image
        assert resize(image, 5, 6, "nearest") is image

    @given(uint8_images, st.integers(1, 12), st.integers(1, 12), st.sampled_from(["bicubic", "nearest"]))
    def test_any_size(self, image: np.ndarray[Any, Any], height: int, width: int, rule: Any) -> None:
        resized = resize(image, height, width, rule)
        assert resized.shape == (height, width, image.shape[2])
        assert resized.dtype == image.dtype
        if rule == "nearest":
            assert set(resized.flatten()) <= set(image.flatten())
        if image.min() == image.max():
            assert (resized == image[0, 0, 0]).all()

    @given(st.integers(1, 40), st.integers(1, 40))
    def test_nearest_is_torchs_nearest_exact(self, old: int, new: int) -> None:
        image = np.arange(old * 2, dtype=np.uint16).reshape(old, 2, 1)
        expected = torch.nn.functional.interpolate(to_tensor(image)[None], size=(new, 2), mode="nearest-exact")[0]
        between = (2 * np.arange(new) + 1) * old % (2 * new) == 0  # a centre on the border of two pixels: float rounding decides in torch
        np.testing.assert_array_equal(resize(image, new, 2, "nearest")[~between], to_array(expected, "uint16")[~between])

    def test_read_only_arrays(self) -> None:
        image = smooth(8, 8)
        image.flags.writeable = False
        assert resize(image, 4, 4, "bicubic").shape == (4, 4, 3)

    def test_no_size(self) -> None:
        with pytest.raises(UserError, match="0 x 4 pixels"):
            resize(smooth(5, 6), 4, 0, "bicubic")


class TestChannels:
    @given(uint8_images.filter(lambda image: image.shape[2] in (1, 3)), st.sampled_from([1, 3]))
    def test_grey_and_colour(self, image: np.ndarray[Any, Any], channels: int) -> None:
        converted = convert_channels(image, channels)
        assert converted.shape == (*image.shape[:2], channels)
        assert converted.dtype == image.dtype
        if image.shape[2] == 1:
            np.testing.assert_array_equal(convert_channels(converted, 1), image)

    @given(uint8_images.filter(lambda image: image.shape[2] == 3))
    def test_luma_is_pillows(self, image: np.ndarray[Any, Any]) -> None:
        grey = np.asarray(Image.fromarray(image).convert("L"))
        assert np.abs(convert_channels(image, 1)[..., 0].astype(int) - grey).max() <= 1

    def test_deep_luma(self) -> None:
        image = np.array([[[65535, 65535, 65535], [65535, 0, 0], [0, 65535, 0], [0, 0, 1]]], np.uint16)
        assert convert_channels(image, 1).flatten().tolist() == [65535, round(0.299 * 65535), round(0.587 * 65535), 0]
        floats = convert_channels(np.array([[[1, 1, 1], [1, 0, 0]]], np.float32), 1)
        assert floats.dtype == np.float32
        assert floats.flatten().tolist() == pytest.approx([1, 0.299])
        assert floats.max() <= 1

    def test_identity(self) -> None:
        image = np.zeros((2, 2, 13), np.uint16)
        assert convert_channels(image, 13) is image

    @pytest.mark.parametrize(("have", "want"), [(4, 3), (3, 4), (1, 2), (13, 1)])
    def test_refuses_the_rest(self, have: int, want: int) -> None:
        with pytest.raises(UserError, match=rf"an image of {have} channels? cannot be turned into {want}: .* so prepare files of {want}"):
            convert_channels(np.zeros((2, 2, have), np.uint8), want)
