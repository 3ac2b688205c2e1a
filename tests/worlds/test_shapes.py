from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data.pairs import Collection, Record
from transfigure.data.splits import divide
from transfigure.errors import UserError
from transfigure.registry import build, entry
from transfigure.worlds.shapes.dataset import FACTORS, Factor, ShapesPicture, ShapesScene, draw_scene, render, same_shapes, shapes
from transfigure.worlds.shapes.drawing import FILLS, LINES, PALETTES, REACH

BY_NAME = {factor.name: factor for factor in FACTORS}
SHARED = [factor for factor in FACTORS if factor.owner == "both"]


def records_of(collection: Collection) -> dict[str, list[Record]]:
    return divide(collection, 0, 0, 0).splits


def drawn(path: None, **options: Any) -> dict[str, list[Record]]:
    return records_of(shapes(path, **options))


def with_values(scene: ShapesScene, **values: float) -> ShapesScene:
    return replace(scene, values={**scene.values, **values})


def all_values(factor: Factor) -> list[float]:
    """Every choice, or five values spread over a range."""
    if factor.kind == "choice":
        return [float(index) for index in range(len(factor.values))]
    return [factor.at(share) for share in (0.0, 0.2, 0.4, 0.6, 0.8)]


def shares(factor: Factor, values: list[float]) -> np.ndarray:
    """Values of a factor in [0, 1): of a choice, the middle of its index's part."""
    held = np.array(values)
    if factor.kind == "choice":
        return (held + 0.5) / len(factor.values)
    return held / factor.period if factor.kind == "angle" else (held - factor.low) / (factor.high - factor.low)


def ink(scene: ShapesScene, domain: str, size: int) -> np.ndarray:
    """Where anything is drawn on a plain ground."""
    picture = render(with_values(scene, background=0), domain, size).astype(int)
    return np.abs(picture - picture[0, 0]).max(axis=2) > 4


def scenes_of(records: list[Record], side: str) -> list[ShapesScene]:
    return [getattr(record, side).scene for record in records]


# ---- scenes -------------------------------------------------------------------------------------------------------------


def test_a_scene_is_the_same_on_every_run_and_platform() -> None:
    assert draw_scene(7, 3) == draw_scene(7, 3)
    values = draw_scene(12).values
    assert list(values) == [factor.name for factor in FACTORS]
    assert [values["shape"], values["number"], values["fill"], values["texture"]] == [2, 1, 4, 3]
    assert values["x"] == pytest.approx(0.46419457074346526, abs=1e-12)
    assert values["angle"] == pytest.approx(346.2130409939761, abs=1e-9)


def test_other_indices_and_seeds_give_other_scenes() -> None:
    scenes = [draw_scene(index, seed) for index in range(30) for seed in range(3)]
    assert len({tuple(scene.values.values()) for scene in scenes}) == 90
    assert len({hash(scene) for scene in scenes}) == 90


def test_every_factor_is_uniform() -> None:
    drawn = [draw_scene(index).values for index in range(3000)]
    for factor in FACTORS:
        held = np.sort(shares(factor, [values[factor.name] for values in drawn]))
        assert held.min() >= 0
        assert held.max() < 1
        if factor.kind == "choice":
            counts = np.bincount((held * len(factor.values)).astype(int), minlength=len(factor.values))
            assert np.abs(counts / 3000 - 1 / len(factor.values)).max() < 0.035, factor.name
        else:  # Kolmogorov-Smirnov, p about 0.001
            assert np.abs(held - (np.arange(3000) + 0.5) / 3000).max() < 1.95 / np.sqrt(3000), factor.name


def test_factors_are_independent() -> None:
    columns = np.array([[draw_scene(index).values[factor.name] for factor in FACTORS] for index in range(3000)]).T
    correlations = np.abs(np.corrcoef(columns)[np.triu_indices(len(FACTORS), 1)])
    assert correlations.max() < 4 / np.sqrt(3000)


def test_sources_and_targets_have_the_shared_factors_in_common() -> None:
    records = drawn(None, train=2000, val=0, test=0)["train"]
    for factor in SHARED:
        a, b = (shares(factor, [scene.values[factor.name] for scene in scenes_of(records, side)]) for side in "ab")
        grid = np.linspace(0, 1, 41)
        steps = [np.searchsorted(np.sort(held), grid) / 2000 for held in (a, b)]
        assert np.abs(steps[0] - steps[1]).max() < 1.95 * np.sqrt(2 / 2000), factor.name
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.09, factor.name  # and nothing is paired


def test_same_shapes_mixes_two_scenes() -> None:
    scene, style = draw_scene(1), draw_scene(2)
    mixed = same_shapes(scene, style)
    for factor in FACTORS:
        assert mixed.values[factor.name] == (scene if factor.owner == "both" else style).values[factor.name]
    assert (mixed.index, mixed.seed) == (scene.index, scene.seed)
    assert same_shapes(scene, scene) == scene


# ---- pictures -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(index=st.integers(0, 2**31), seed=st.integers(0, 2**40), size=st.integers(32, 100), domain=st.sampled_from("AB"))
def test_any_scene_and_size_gives_a_picture(index: int, seed: int, size: int, domain: str) -> None:
    picture = render(draw_scene(index, seed), domain, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_a_picture_depends_on_its_values_alone() -> None:
    scene = draw_scene(5)
    for domain in "AB":
        before = render(scene, domain, 64)
        render(draw_scene(6), domain, 64)
        np.testing.assert_array_equal(render(replace(scene, index=9, seed=9), domain, 64), before)


@pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: factor.name)
@pytest.mark.parametrize("size", [32, 64])
def test_a_factor_changes_the_pictures_of_its_owners_only(factor: Factor, size: int) -> None:
    for index, domain in itertools.product(range(6), "AB"):
        scene = draw_scene(index)
        pictures = [render(with_values(scene, **{factor.name: value}), domain, size).astype(int) for value in all_values(factor)]
        for one, other in itertools.combinations(pictures, 2):
            changed = np.abs(one - other).max(axis=2)
            if factor.owner in ("both", domain):
                assert (changed > (12 if factor.name != "shade" else 8)).sum() >= 8, (index, domain)
            else:
                assert not changed.any()


def test_the_angle_has_its_period_and_no_smaller_one() -> None:
    period = BY_NAME["angle"].period
    for shape, number, domain in itertools.product(range(5), range(3), "AB"):
        scene = with_values(draw_scene(3), shape=shape, number=number, angle=40.0)
        picture = render(scene, domain, 64)
        for turns in (-1, 1, 2):
            np.testing.assert_array_equal(render(with_values(scene, angle=40.0 + turns * period), domain, 64), picture)
        for parts in (2, 3, 4, 5):
            turned = render(with_values(scene, angle=40.0 + period / parts), domain, 64)
            assert (np.abs(turned.astype(int) - picture).max(axis=2) > 30).sum() >= 8, (shape, number, parts)


def test_the_stem_points_where_the_angle_says() -> None:
    at = (np.arange(128) + 0.5) / 128
    for angle, (right, down) in {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}.items():
        drawn = ink(with_values(draw_scene(0), shape=0, number=0, x=0.5, y=0.5, size=0.15, angle=angle), "A", 128)
        along = right * (at[None, :] - 0.5) + down * (at[:, None] - 0.5)
        assert along[drawn].max() > 0.2
        assert along[drawn].min() > -0.15


@pytest.mark.parametrize("domain", ["A", "B"])
def test_shapes_stay_inside_the_picture(domain: str) -> None:
    """The largest group with the widest outline, in the corners of its range: a pixel of ground is left all around."""
    for shape, number, angle in itertools.product(range(5), range(3), range(0, 360, 15)):
        corner = {"x": BY_NAME["x"].high, "y": BY_NAME["y"].low, "size": BY_NAME["size"].high}
        values = {"shape": shape, "number": number, "angle": angle, "line": list(LINES).index("double")}
        drawn = ink(with_values(draw_scene(0), **corner, **values), domain, 64)
        assert not (drawn[0].any() or drawn[-1].any() or drawn[:, 0].any() or drawn[:, -1].any()), (shape, number, angle)


def test_nothing_is_drawn_beyond_the_reach_of_a_shape() -> None:
    at = (np.arange(128) + 0.5) / 128
    for shape, size, line in itertools.product(range(5), (0.11, 0.15), range(4)):
        drawn = ink(with_values(draw_scene(0), shape=shape, number=0, x=0.5, y=0.5, size=size, line=line, angle=30), "B", 128)
        distance = np.hypot(at[None, :] - 0.5, at[:, None] - 0.5)[drawn].max()
        assert size < distance < REACH[0] * size + REACH[1] - 1 / 128


def test_there_are_as_many_shapes_as_the_number_says() -> None:
    for shape, number, index in itertools.product(range(5), range(3), range(2)):
        drawn = ink(with_values(draw_scene(index), shape=shape, number=number), "A", 128)
        assert pieces(drawn) == number + 1, (index, shape, number)


def pieces(drawn: np.ndarray) -> int:
    """How many connected pieces a mask has: each is filled from one of its pixels and taken away."""
    left, count = {(int(row), int(column)) for row, column in np.argwhere(drawn)}, 0
    while left:
        border, count = [left.pop()], count + 1
        while border:
            row, column = border.pop()
            near = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)} & left
            left -= near
            border += near
    return count


def test_shapes_of_one_size_do_not_depend_on_the_domain() -> None:
    """Without an outline both domains cover the same pixels: nothing shared is easier to see in one of them."""
    for index in range(20):
        scene = with_values(draw_scene(index), line=0, palette=list(PALETTES).index("navy and sky"))
        a, b = ink(scene, "A", 64), ink(scene, "B", 64)
        assert (a != b).sum() <= 0.04 * a.sum(), index


def test_the_domains_look_different() -> None:
    """Cut-outs have a grey ground and one colour; prints have warm paper and are busy inside."""
    for index in range(20):
        a, b = (render(draw_scene(index), domain, 64).astype(int) for domain in "AB")
        assert np.ptp(a[0, 0]) == 0
        assert b[0, 0, 0] > b[0, 0, 2] + 10
    busy = {d: np.mean([np.abs(np.diff(render(draw_scene(i), d, 64).astype(int), axis=0)).mean() for i in range(40)]) for d in "AB"}
    assert busy["B"] > 2 * busy["A"]


def test_cut_outs_are_darker_than_their_ground() -> None:
    luminance = np.array(list(FILLS.values())) @ [0.299, 0.587, 0.114]
    assert luminance.max() + 30 < 255 * BY_NAME["shade"].low


def test_texture_tells_nothing_about_the_angle() -> None:
    """Inside a turned circle the texture stays as it was."""
    scene = with_values(draw_scene(0), shape=0, number=0, x=0.5, y=0.5, line=0)
    for texture in range(5):
        first, second = (render(with_values(scene, texture=texture, angle=angle), "B", 64)[28:36, 28:36] for angle in (10, 130))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("domain", "size"), [("C", 64), ("A", 31), ("B", 257)])
def test_render_refuses_what_it_cannot_draw(domain: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"{domain}.*{size}"):
        render(draw_scene(0), domain, size)


# ---- the data set -------------------------------------------------------------------------------------------------------


def test_splits_are_disjoint_and_stay_when_train_grows() -> None:
    small, large = shapes(None, train=5, val=3, test=4), shapes(None, train=50, val=3, test=4)
    assert {name: len(records) for name, records in records_of(small).items()} == {"train": 5, "val": 3, "test": 4}
    assert records_of(small)["test"] == records_of(large)["test"]
    assert records_of(small)["val"] == records_of(large)["val"]
    assert records_of(large)["train"][:5] == records_of(small)["train"]
    every = [record for records in records_of(large).values() for record in records]
    assert len({record.name for record in every}) == len(every)
    assert every[12].name == "shape_000012"
    assert small.notes == []


def test_no_scene_is_both_a_source_and_a_target() -> None:
    every = [record for records in drawn(None, train=60, val=20, test=20).values() for record in records]
    indices = [scene.index for side in "ab" for scene in scenes_of(every, side)]
    assert len(set(indices)) == len(indices) == 200
    assert len({tuple(scene.values.values()) for side in "ab" for scene in scenes_of(every, side)}) == 200


def test_records_read_what_they_say() -> None:
    record = drawn(None, size=48, train=2, world_seed=4)["train"][1]
    assert (record.a.scene, record.a.domain, record.b.domain) == (draw_scene(1, 4), "A", "B")
    source, target = record.load()
    np.testing.assert_array_equal(source, render(record.a.scene, "A", 48))
    np.testing.assert_array_equal(target, render(record.b.scene, "B", 48))
    assert record.a.paths == ()
    assert record.a.label == "shape_000001 (A, shapes)"


def test_the_other_direction_has_the_same_source_scenes() -> None:
    forth, back = drawn(None, train=3)["train"], drawn(None, train=3, source="B", target="A")["train"]
    assert scenes_of(forth, "a") == scenes_of(back, "a")
    assert {(record.a.domain, record.b.domain) for record in back} == {("B", "A")}


def test_same_pairs_a_source_with_its_own_shapes() -> None:
    for record in drawn(None, train=5, same=True)["train"]:
        shared = [{factor.name: picture.factors[factor.name] for factor in SHARED} for picture in (record.a, record.b)]
        assert shared[0] == shared[1]
        assert record.a != record.b
        np.testing.assert_array_equal(record.b.read(), render(same_shapes(record.a.scene, record.b.scene), "B", 64))


@pytest.mark.parametrize("domain", ["A", "B"])
@pytest.mark.parametrize("same", [False, True])
def test_one_domain_twice_is_one_picture_twice(domain: str, same: bool) -> None:
    for record in drawn(None, source=domain, target=domain, train=3, same=same)["train"]:
        assert record.a == record.b
        np.testing.assert_array_equal(*record.load())


def test_a_picture_says_the_factors_it_shows() -> None:
    scene = draw_scene(8)
    for domain, hidden in (("A", "B"), ("B", "A")):
        factors = ShapesPicture(scene, domain, 64).factors
        assert factors == {factor.name: scene.values[factor.name] for factor in FACTORS if factor.owner != hidden}


def test_pictures_travel_to_worker_processes() -> None:
    record = drawn(None, train=1)["train"][0]
    assert pickle.loads(pickle.dumps(record)) == record


def test_it_is_built_by_name() -> None:
    collection = build("dataset", "shapes", None, size=32, train=1, val=0, test=0)
    assert collection.unpaired
    records = records_of(collection)
    assert records["val"] == []
    assert records["train"][0].load()[0].shape == (32, 32, 3)
    assert all(parameter.help for parameter in entry("dataset", "shapes").options.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "C"}, ["data.source", "'C'", "A (paper cut-outs)"]),
        ({"target": "b"}, ["data.target", "'b'", "B"]),
        ({"size": 31}, ["data.size", "31", "32"]),
        ({"size": 512}, ["512", "256"]),
        ({"train": -1}, ["data.train", "-1"]),
        ({"test": -7}, ["data.test", "-7"]),
        ({"val": 10**5 + 1}, ["data.val", "100000"]),
        ({"world_seed": -2}, ["data.world_seed", "-2"]),
    ],
)
def test_errors_name_the_value_and_the_way_out(options: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        shapes(None, **options)
    assert all(word in str(caught.value) for word in words)
