"""Label maps to classes: shipped palettes, files of one's own, and palettes learnt from the maps themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.errors import UserError
from transfigure.metrics.palettes import IGNORE, Palette, learn_palette, load_palette
from transfigure.worlds.facades.dataset import CLASSES, PALETTE, draw_scene, render

SKY = {"classes": {"sky": [70, 130, 180], "road": [128, 64, 128]}, "ignore": [[0, 0, 0]]}


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(stream))


def generated(colours: NDArray[np.uint8]) -> torch.Tensor:
    """A label map as a generator would give it, ``[1, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.mark.parametrize("name", ["facades", "cityscapes", "synthetic", "shapes"])
def test_shipped_palettes_know_their_own_colours(name: str) -> None:
    palette = load_palette(name)
    assert len(palette.classes) == {"facades": 12, "cityscapes": 19, "synthetic": 16, "shapes": 6}[name]
    assert palette.colours is not None
    truth = np.arange(len(palette.classes))
    row = palette.colours[None]
    assert palette.decode(row).tolist() == [truth.tolist()]
    assert palette.decode(row.astype(np.uint16) * 257).tolist() == [truth.tolist()]
    near = np.clip(row.astype(int) + np.random.default_rng(0).integers(-9, 10, row.shape), 0, 255).astype(np.uint8)
    assert palette.decode_tensor(generated(near)).tolist() == [[truth.tolist()]]


def test_cityscapes_numbers_and_what_is_not_evaluated() -> None:
    palette = load_palette("cityscapes")
    assert palette.numbers is not None and len(palette.numbers) == 19
    ids = np.arange(34, dtype=np.uint8)[None, :, None]
    expected = np.full(34, IGNORE)
    expected[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = np.arange(19)
    assert palette.decode(ids)[0].tolist() == expected.tolist()
    assert palette.decode(np.array([[[255]]], np.uint8)) == IGNORE, "the license plate, -1 in a byte"
    black_bus_train = np.array([[[0, 0, 0], [0, 60, 100], [0, 80, 100]]], np.uint8)
    assert palette.decode(black_bus_train).tolist() == [[IGNORE, palette.classes.index("bus"), palette.classes.index("train")]]
    assert palette.decode_tensor(generated(black_bus_train))[0, 0, 0] != IGNORE, "a drawn pixel always has a class"
    drawn = torch.tensor([7.3, 9.6, 33.0]).reshape(1, 1, 1, 3) / 127.5 - 1
    assert palette.decode_tensor(drawn).tolist() == [[[0, 2, 18]]], "one channel is read as the nearest number that is a class"


def test_grey_maps_by_nearest_grey() -> None:
    palette = Palette.from_dict({"classes": {"ground": [0, 0, 0], "membrane": [255, 255, 255]}})
    assert palette.decode(np.array([[[10], [240]]], np.uint8)).tolist() == [[0, 1]]
    assert palette.decode_tensor(torch.tensor([-0.2, 0.3]).reshape(1, 1, 1, 2)).tolist() == [[[0, 1]]]


def test_a_palette_of_numbers_only() -> None:
    palette = Palette.from_dict({"classes": {"left": None, "right": None}, "numbers": {"300": "left", "70": "right"}})
    assert palette.decode(np.array([[[300], [70], [71]]], np.uint16)).tolist() == [[0, 1, IGNORE]]
    assert palette.decode_tensor(torch.tensor([300 / 65535 * 2 - 1]).reshape(1, 1, 1, 1)).item() == 0
    for see in (lambda: palette.decode(np.zeros((1, 1, 3), np.uint8)), lambda: palette.decode_tensor(torch.zeros(1, 3, 1, 1))):
        with pytest.raises(UserError, match="by number only"):
            see()


@pytest.mark.parametrize("shape_and_type", [((4, 4, 4), np.uint8), ((4, 4), np.uint8), ((4, 4, 3), np.float32)])
def test_other_pictures_are_refused(shape_and_type: tuple[tuple[int, ...], type]) -> None:
    with pytest.raises(UserError, match="label map"):
        load_palette("facades").decode(np.zeros(*shape_and_type))


def test_a_file_of_ones_own_and_back(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({**SKY, "numbers": {"23": "sky", "7": "road"}}))
    palette = load_palette(tmp_path / "mine.json")
    assert palette.name == "mine" and palette.classes == ("sky", "road") and palette.numbers == {23: 0, 7: 1}
    assert palette.decode(np.array([[[120, 70, 120], [70, 130, 180], [9, 0, 3]]], np.uint8)).tolist() == [[1, 0, IGNORE]]
    for one in (palette, load_palette("cityscapes"), load_palette("synthetic")):
        again = Palette.from_dict(json.loads(json.dumps(one.to_dict())))
        assert (again.name, again.classes, again.numbers) == (one.name, one.classes, one.numbers)
        assert np.array_equal(again.colours, one.colours) and np.array_equal(again.ignored, one.ignored)
        assert again.ignored.shape[1] == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "no palette"),
        ("{}", "'classes'"),
        ('{"classes": {"sky": [1, 2, 3]}}', "1 classes"),
        ('{"classes": {"sky": [1, 2, 3], "road": [1, 2, 3]}}', "one colour"),
        ('{"classes": {"sky": [1, 2, 3], "road": null}}', "road has no colour"),
        ('{"classes": {"sky": [1, 2, 3], "road": [1, 2, 256]}}', "0 to 255"),
        ('{"classes": {"sky": [1, 2, 3], "road": [1, 2]}}', "palette"),
        ('{"classes": {"sky": null, "road": null}}', "neither colours nor numbers"),
        ('{"classes": {"sky": [1, 2, 3], "road": [4, 5, 6]}, "numbers": {"1": "sea"}}', "palette"),
        ('{"classes": {"sky": [1, 2, 3], "road": [4, 5, 6]}, "numbers": {"x": "sky"}}', "palette"),
    ],
)
def test_files_that_are_no_palette(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=reason) as caught:
        load_palette(file)
    assert str(file) in str(caught.value)


def test_names_that_are_not_there() -> None:
    with pytest.raises(UserError, match="did you mean 'facades'"):
        load_palette("facade")
    with pytest.raises(UserError, match=r"known: cityscapes, facades, shapes, synthetic.*JSON"):
        load_palette("xyz.json")


def test_learning_lossless_colours_finds_each_one() -> None:
    maps = [render(draw_scene(0, index), "labels", 64) for index in range(24)]
    palette = learn_palette(maps, "streets")
    seen = {tuple(colour) for picture in maps for colour in picture.reshape(-1, 3).tolist()}
    assert palette.colours is not None and {tuple(colour) for colour in palette.colours.tolist()} == seen <= set(
        map(tuple, PALETTE.tolist())
    )
    assert palette.classes[0] == "#{:02x}{:02x}{:02x}".format(*palette.colours[0]) and palette.classes == tuple(sorted(palette.classes))
    assert palette.name == "streets" and not len(palette.ignored) and palette.numbers is None


@pytest.mark.parametrize("quality", [60, 90])
def test_jpeg_noise_neither_adds_nor_hides_classes(quality: int) -> None:
    maps = [render(draw_scene(0, index), "labels", 256) for index in range(5)]
    noisy = [jpeg(picture, quality) for picture in maps]
    assert len(np.unique(noisy[0].reshape(-1, 3), axis=0)) > 1000
    palette = learn_palette(noisy)
    assert palette.colours is not None
    distance = np.linalg.norm(palette.colours[:, None].astype(float) - PALETTE[None], axis=2)
    assert (distance.min(1) < 6).all() and len(set(distance.argmin(1))) == len(palette.classes) >= 13
    known = load_palette("synthetic")
    truth = np.stack([known.decode(picture) for picture in maps])
    assert (np.stack([known.decode(picture) for picture in noisy]) == truth).mean() > 0.985
    assert known.classes == CLASSES


def test_learning_masks_and_numbers() -> None:
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[8:20, 8:20] = 255
    assert learn_palette([mask]).classes == ("#000000", "#ffffff")
    numbers = learn_palette([mask.astype(np.uint16) * 3, mask.astype(np.uint16)])
    assert numbers.classes == ("0", "255", "765") and numbers.colours is None
    assert numbers.decode(mask.astype(np.uint16) * 3)[10, 10] == 2


def test_photographs_drawings_and_blanks_have_no_palette() -> None:
    random = np.random.default_rng(0)
    photos = [render(draw_scene(0, index), "day", 96) for index in range(6)]
    night = [render(draw_scene(0, index), "night", 96) for index in range(6)]
    blank = [np.full((32, 32, 3), 255, np.uint8)]
    noise = [random.integers(0, 256, (32, 32, 3), dtype=np.uint8)]
    product = np.full((96, 96, 3), 255, np.uint8)  # a photograph on a white ground
    product[24:72, 24:72] = np.linspace(20, 200, 48).astype(np.uint8)[:, None, None] + random.integers(0, 3, (48, 48, 3), dtype=np.uint8)
    for pictures in (photos, night, blank, noise, [product], [], [np.zeros((4, 4, 5), np.uint8)], [np.zeros((4, 4, 3), np.float32)]):
        with pytest.raises(UserError, match="no palette"):
            learn_palette(pictures)


def test_the_labels_of_real_facades(shared: Path) -> None:
    """The colours of the shipped palette are those of the files, and so are the learnt ones, be it in JPEGs."""
    files = sorted((shared / "data" / "facades_mini22").glob("t*B/*.jpg"))
    maps = [images.read(file) for file in files]
    palette = learn_palette(maps)
    known = load_palette("facades")
    assert palette.colours is not None and known.colours is not None and len(palette.classes) == 12
    distance = np.linalg.norm(palette.colours[:, None].astype(float) - known.colours[None], axis=2)
    assert distance.min(1).max() < 6 and sorted(distance.argmin(1).tolist()) == list(range(12))
    share = np.bincount(np.concatenate([known.decode(labels).ravel() for labels in maps]), minlength=12) / len(maps) / 65536
    assert share.min() > 0.0005 and share[known.classes.index("facade")] > 0.3
    ground = np.mean([(known.decode(labels)[-40:] == known.classes.index("shop")).mean() for labels in maps])
    assert ground > 5 * np.mean([(known.decode(labels)[:40] == known.classes.index("shop")).mean() for labels in maps]), "shops stand below"


def test_the_labels_of_real_windows(shared: Path) -> None:
    files = sorted((shared / "data" / "facade_windows" / "train").glob("1?.jpg"))
    pairs = [images.split_halves(images.read(file), file) for file in files]
    palette = learn_palette([labels for _, labels in pairs])
    assert palette.colours is not None
    assert np.abs(palette.colours.astype(int) - [[0, 0, 254], [254, 0, 0]]).max() < 4
    with pytest.raises(UserError, match="photographs"):
        learn_palette([photo for photo, _ in pairs])
