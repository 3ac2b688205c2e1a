from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.errors import UserError
from transfigure.registry import build, entry
from transfigure.worlds.facades.dataset import CLASSES, PALETTE, RENDERINGS, Rendering, draw_scene, render, synthetic
from transfigure.worlds.facades.scene import WALL, WINDOW

SIZE = 64


def luminance(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) @ [0.299, 0.587, 0.114]


def indices_of(records: list) -> set[int]:
    return {record.a.index for record in records}


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_equal_arguments_give_equal_pictures(rendering: str) -> None:
    first, second = (render(draw_scene(3, 14), rendering, SIZE) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert draw_scene(3, 14).factors == draw_scene(3, 14).factors


def test_rendering_leaves_the_scene_as_it_was() -> None:
    scene = draw_scene(0, 5)
    before = render(scene, "day", SIZE)
    for rendering in RENDERINGS:
        render(scene, rendering, 32)
    np.testing.assert_array_equal(before, render(scene, "day", SIZE))


@settings(max_examples=25)
@given(world=st.integers(0, 2**40), index=st.integers(0, 3 * 10**6), size=st.integers(16, 96), rendering=st.sampled_from(RENDERINGS))
def test_any_seed_and_size_gives_a_picture(world: int, index: int, size: int, rendering: str) -> None:
    picture = render(draw_scene(world, index), rendering, size)
    assert picture.shape == (size, size, 1 if rendering in ("edges", "grey") else 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert picture.std() > 2


def test_label_maps_hold_palette_colours_only_and_many_classes_appear() -> None:
    colours = {tuple(colour) for colour in PALETTE.tolist()}
    seen: set[tuple[int, ...]] = set()
    for index in range(50):
        scene = draw_scene(0, index)
        seen |= {tuple(colour) for colour in np.unique(render(scene, "labels", SIZE).reshape(-1, 3), axis=0).tolist()}
    assert seen <= colours
    assert len(seen) == len(CLASSES) >= 8


def test_palette_colours_are_far_apart() -> None:
    assert PALETTE.shape == (len(CLASSES), 3)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(PALETTE.astype(float), 2)]
    assert min(distances) > 60


def test_class_map_is_the_label_map() -> None:
    scene = draw_scene(1, 2)
    np.testing.assert_array_equal(PALETTE[scene.class_map(SIZE)], render(scene, "labels", SIZE))


def test_labels_at_two_sizes_agree() -> None:
    """A pixel at 64 lies on the corner of four pixels at 128: its class is one of theirs, and mostly that of each."""
    one, any_of_four = [], []
    for index in range(40):
        coarse, fine = draw_scene(0, index).class_map(64), draw_scene(0, index).class_map(128)
        same = [coarse == fine[y::2, x::2] for y in (0, 1) for x in (0, 1)]
        one.append(same[0].mean())
        any_of_four.append(np.any(same, axis=0).mean())
    assert np.mean(one) >= 0.9
    assert min(one) >= 0.8
    assert min(any_of_four) >= 0.96


def test_two_scenes_differ() -> None:
    maps = [draw_scene(0, index).class_map(32) for index in range(25)]
    assert min(np.mean(a != b) for a, b in itertools.combinations(maps, 2)) > 0.1


@pytest.mark.parametrize("rendering", ["day", "night"])
def test_one_label_map_has_many_plausible_photos(rendering: str) -> None:
    for index in range(4):
        looks = [draw_scene(0, index, appearance) for appearance in range(3)]
        pictures = [render(scene, rendering, SIZE).astype(float) for scene in looks]
        for scene in looks[1:]:
            np.testing.assert_array_equal(scene.class_map(SIZE), looks[0].class_map(SIZE))
        distance = [np.abs(a - b).mean() for a, b in itertools.combinations(pictures, 2)]
        assert min(distance) > (20 if rendering == "day" else 5)


def test_day_photo_is_aligned_with_the_labels() -> None:
    """Shifting the photo against the class map makes classes explain it less well."""

    def unexplained(picture: np.ndarray, classes: np.ndarray) -> float:
        return sum(float(((picture[classes == k] - picture[classes == k].mean()) ** 2).sum()) for k in np.unique(classes))

    better = 0
    for index in range(12):
        scene = draw_scene(0, index)
        classes, picture = scene.class_map(128), luminance(render(scene, "day", 128))
        better += unexplained(picture, classes) < min(unexplained(np.roll(picture, 3, axis), classes) for axis in (0, 1))
    assert better >= 11


@pytest.mark.parametrize("size", [64, 128])
def test_walls_have_fine_texture(size: int) -> None:
    """Differences between neighbouring wall pixels are far above those of a blurred copy, and of the sensor's noise."""
    sharp, blurred = [], []
    for index in range(30):
        scene = draw_scene(0, index)
        if scene.factors["material"] != "brick":
            continue
        wall = scene.class_map(size) == WALL
        inner = wall[1:-1, 1:-1] & wall[:-2, 1:-1] & wall[2:, 1:-1] & wall[1:-1, :-2] & wall[1:-1, 2:]
        picture = luminance(render(scene, "day", size))
        mean = sum(picture[1 + y : size - 1 + y, 1 + x : size - 1 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
        both = inner[1:] & inner[:-1]
        if both.sum() < 100:
            continue
        sharp.append(np.abs(np.diff(picture[1:-1, 1:-1], axis=0))[both].mean())
        blurred.append(np.abs(np.diff(mean, axis=0))[both].mean())
    assert len(sharp) > 3
    assert np.mean(sharp) > 2.2 * np.mean(blurred)
    assert np.mean(sharp) > 8


def test_night_lights_windows_that_the_labels_do_not_tell() -> None:
    shares = []
    for index in range(20):
        scene = draw_scene(0, index)
        panes = render(scene, "night", SIZE)[scene.class_map(SIZE) == WINDOW].astype(int)
        warm = (panes[:, 0] > 130) & (panes[:, 0] > panes[:, 2] + 20)
        shares.append(warm.mean())
    assert 0.05 < np.mean(shares) < 0.8
    assert np.std(shares) > 0.05


def test_night_is_dark_and_day_is_bright() -> None:
    for index in range(8):
        scene = draw_scene(0, index)
        assert luminance(render(scene, "night", SIZE)).mean() + 20 < luminance(render(scene, "day", SIZE)).mean()


def test_edges_are_ink_on_paper_along_class_boundaries() -> None:
    for index in range(8):
        scene = draw_scene(0, index)
        edges, classes = render(scene, "edges", 128)[:, :, 0], scene.class_map(128)
        boundary = np.zeros(classes.shape, dtype=bool)
        boundary[:-1] |= classes[:-1] != classes[1:]
        boundary[:, :-1] |= classes[:, :-1] != classes[:, 1:]
        boundary[1:] |= boundary[:-1]
        boundary[:, 1:] |= boundary[:, :-1]
        assert np.median(edges) == 255
        assert edges.min() < 90
        assert edges[boundary].mean() + 60 < edges[~boundary].mean()


def test_grey_is_the_luminance_of_day() -> None:
    scene = draw_scene(0, 9)
    difference = np.abs(render(scene, "grey", SIZE)[:, :, 0] - luminance(render(scene, "day", SIZE)))
    assert np.quantile(difference, 0.95) < 2  # colours clipped by the photo are the rest


def test_factors_are_plain_and_vary() -> None:
    factors = [draw_scene(0, index).factors for index in range(40)]
    assert all(isinstance(value, float | int | str) for value in factors[0].values())
    for key in ("layout", "floors", "columns", "roof", "ground_floor", "material", "time", "weather", "sun_x"):
        assert len({each[key] for each in factors}) > 1, key


def test_appearance_changes_only_what_the_labels_do_not_tell() -> None:
    a, b = draw_scene(0, 3).factors, draw_scene(0, 3, appearance=1).factors
    assert [a[key] for key in ("layout", "floors", "columns", "roof")] == [b[key] for key in ("layout", "floors", "columns", "roof")]
    assert a["sun_y"] != b["sun_y"] or a["lit_windows"] != b["lit_windows"]


# ---- the data set -------------------------------------------------------------------------------------------------------


def test_splits_are_disjoint_and_stay_when_train_grows() -> None:
    small, large = synthetic(None, train=5, val=3, test=4), synthetic(None, train=50, val=3, test=4)
    assert {split: len(records) for split, records in small.splits.items()} == {"train": 5, "val": 3, "test": 4}
    assert small.splits["test"] == large.splits["test"]
    assert small.splits["val"] == large.splits["val"]
    assert large.splits["train"][:5] == small.splits["train"]
    sets = [indices_of(records) for records in large.splits.values()]
    assert all(not a & b for a, b in itertools.combinations(sets, 2))
    names = [record.name for records in large.splits.values() for record in records]
    assert len(set(names)) == len(names)
    assert names[12] == "street_000012"


def test_records_read_source_and_target_of_one_scene() -> None:
    record = synthetic(None, source="edges", target="night", size=48, train=2).splits["train"][1]
    source, target = record.load()
    np.testing.assert_array_equal(source, render(draw_scene(0, 1), "edges", 48))
    np.testing.assert_array_equal(target, render(draw_scene(0, 1), "night", 48))
    assert record.a.paths == ()
    assert "street_000001" in record.a.label
    assert "edges" in record.a.label


def test_another_world_has_other_scenes() -> None:
    ours, theirs = (Rendering(world, 0, "labels", 32).read() for world in (0, 1))
    assert np.mean(ours != theirs) > 0.1


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(RENDERINGS, 2)))
def test_every_ordered_pair_is_a_task(source: str, target: str) -> None:
    collection = build("dataset", "synthetic", None, source=source, target=target, size=16, train=1, val=0, test=0)
    a, b = collection.splits["train"][0].load()
    assert a.shape[:2] == b.shape[:2] == (16, 16)
    assert collection.splits["val"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "day", "target": "day"}, ["'day'", "night"]),
        ({"target": "nihgt"}, ["nihgt", "did you mean 'night'"]),
        ({"size": 15}, ["15", "16"]),
        ({"train": -1}, ["data.train", "-1"]),
        ({"test": -7}, ["data.test", "-7"]),
        ({"val": 10**6 + 1}, ["data.val", "1000000"]),
        ({"world_seed": -2}, ["world_seed", "-2"]),
    ],
)
def test_errors_name_the_value_and_the_way_out(options: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        synthetic(None, **options)
    assert all(word in str(caught.value) for word in words)


def test_every_option_has_a_help_text() -> None:
    for name, parameter in entry("dataset", "synthetic").options.items():
        assert parameter.help, name


@pytest.mark.parametrize(("rendering", "size"), [("dawn", 64), ("day", 15)])
def test_render_refuses_what_it_cannot_draw(rendering: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"{rendering}.*{size}"):
        render(draw_scene(0, 0), rendering, size)
