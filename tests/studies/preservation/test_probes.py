from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import safetensors.torch
import torch

from transfigure.errors import UserError
from transfigure.studies.preservation.probes import LabelledPictures, Probes, Reading, agreement, load_probes, train_probes
from transfigure.worlds.shapes.dataset import FACTORS as SHAPES
from transfigure.worlds.shapes.dataset import Factor, draw_scene
from transfigure.worlds.shapes.dataset import render as draw_shapes

from . import tiny_world as world

TINT, PLACE, STRIPES = (next(factor for factor in world.FACTORS if factor.name == name) for name in ("tint", "place", "stripes"))


@pytest.mark.parametrize("domain", ["A", "B"])
def test_probes_read_pictures_they_have_not_seen(domain: Literal["A", "B"]) -> None:
    scenes = world.draw(200, 77)
    found = world.probes().accuracy(world.labelled(scenes, domain))
    assert {*found} == {factor.name for factor in world.FACTORS}
    assert min(found.values()) > 0.93, found


def test_readings_are_values_and_none_where_the_domain_shows_none() -> None:
    scenes = world.draw(60, 78)
    a, b = (world.probes().read(world.render(scenes, domain)) for domain in "AB")
    assert a["tint"].probabilities is not None and a["tint"].probabilities.shape == (60, 4)
    assert b["outline"].probabilities is not None and b["outline"].probabilities.shape == (60, 2)
    torch.testing.assert_close(a["tint"].probabilities.sum(1), torch.ones(60))
    for domain, found in (("A", a), ("B", b)):
        for name, reading in found.items():
            owner = next(factor.owner for factor in world.FACTORS if factor.name == name)
            assert reading.none.float().mean().item() == pytest.approx(float(owner not in ("both", domain)), abs=0.05), name
            assert ((reading.presence > 0.5) != reading.none).float().mean() > 0.95
    assert a["place"].value.min() >= -1 and a["place"].value.max() <= 3 and a["place"].value.std() > 0.8
    assert b["stripes"].value.min() >= 0 and b["stripes"].value.max() <= 180
    few = b["stripes"][torch.tensor([3, 1])]
    assert torch.equal(few.value, b["stripes"].value[[3, 1]]) and few.probabilities is None


def test_agreement_is_what_it_says() -> None:
    ones = torch.ones(4)
    choice = agreement(Reading(TINT, torch.tensor([0, 1, 3, 2]), ones), torch.tensor([0.0, 2.0, 1.0, 2.0]))
    assert choice.tolist() == [1, 0, 0, 1]
    true = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    assert agreement(Reading(PLACE, true, ones), true).tolist() == [1] * 4
    assert agreement(Reading(PLACE, torch.full((4,), 0.5), ones), true).mean().item() == pytest.approx(0), "the mean explains nothing"
    off = agreement(Reading(PLACE, true + 1, torch.tensor([1.0, 1.0, 0.0, 0.0])), true)
    assert off.tolist() == pytest.approx([1 - 1 / 1.25, 1 - 1 / 1.25, 0, 0])
    assert agreement(Reading(PLACE, ones, ones), ones).tolist() == [1] * 4, "a set that shows one value only"
    angle = agreement(
        Reading(STRIPES, torch.tensor([179.0, 90.0, 45.0, 10.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])), torch.tensor([1.0, 0, 0, 10])
    )
    assert angle.tolist() == pytest.approx([math.cos(2 * math.pi * 2 / 180), -1, 0, 0], abs=1e-6)
    assert agreement(Reading(TINT, torch.tensor([0, 3]), torch.ones(2)), None).tolist() == [0, 1]
    assert agreement(Reading(STRIPES, torch.zeros(2), torch.tensor([0.9, 0.1])), None).tolist() == [0, 1]


def test_the_same_seed_gives_the_same_probes_and_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (world.train(3, seed, n=40) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [probes.network.state_dict() for probes in (one, same, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert one.facts["steps"] == 3 and one.facts["pictures"] == [40, 40]


def test_minutes_end_the_training() -> None:
    a, b = world.labelled(world.draw(40, 1), "A"), world.labelled(world.draw(40, 2), "B")
    probes = train_probes(a, b, world.FACTORS, minutes=1 / 600, steps=10**6, width=4, quiet=True)
    assert 1 <= probes.facts["steps"] < 10**4


def test_a_file_gives_the_same_readings(tmp_path: Path) -> None:
    probes = world.probes()
    probes.save(tmp_path / "deep" / "probes.safetensors")
    loaded = load_probes(tmp_path / "deep" / "probes.safetensors")
    assert (loaded.factors, loaded.size, loaded.width, loaded.facts) == (probes.factors, probes.size, probes.width, probes.facts)
    pictures = world.render(world.draw(20, 5), "B")
    for one, other in zip(probes.read(pictures).values(), loaded.read(pictures).values()):
        assert torch.equal(one.value, other.value) and torch.equal(one.presence, other.presence)
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def _damaged(edit: str, about: dict[str, object]) -> dict[str, str] | None:
    factors = about["factors"]
    assert isinstance(factors, list)
    match edit:
        case "nobody's":
            return {"format": "pt"}
        case "no JSON":
            return {"probes": "{"}
        case "newer":
            about["format"] = 2
        case "other size of network":
            about["width"] = 13
        case "endless":
            about["size"] = 10**9
        case "no factors":
            about["factors"] = []
        case "no kind":
            factors[0]["kind"] = "__import__('os')"
        case "strange key":
            factors[0]["code"] = 1
        case "a choice of nothing":
            factors[0]["values"] = []
        case "no range":
            factors[1]["high"] = float("nan")
    return {"probes": json.dumps(about)}


EDITS = [
    "nobody's",
    "no JSON",
    "newer",
    "other size of network",
    "endless",
    "no factors",
    "no kind",
    "strange key",
    "a choice of nothing",
    "no range",
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path, edit: str) -> None:
    file = tmp_path / "probes.safetensors"
    world.probes().save(file)
    with safetensors.safe_open(file, framework="pt") as opened:
        about = json.loads(opened.metadata()["probes"])
    weights = safetensors.torch.load_file(file)
    file.write_bytes(safetensors.torch.save(weights, metadata=_damaged(edit, about)))
    with pytest.raises(UserError, match="probes"):
        load_probes(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not this", b"\x80\x04cos\nsystem\n."])
def test_no_file_of_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    for path in (tmp_path / "x", tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="damaged or holds no probes"):
            load_probes(path)


def test_what_does_not_fit_is_refused() -> None:
    scenes = world.draw(10, 3)
    a, b = world.labelled(scenes, "A"), world.labelled(scenes, "B")

    def train(**changes: object) -> Probes:
        given = {"a": a, "b": b, "factors": world.FACTORS, "steps": 1, "quiet": True}
        return train_probes(**{**given, **changes})  # type: ignore[arg-type]

    def other(one: LabelledPictures, **values: torch.Tensor) -> LabelledPictures:
        return dataclasses.replace(one, values={**one.values, **values})

    without = {name: value for name, value in a.values.items() if name != "glow"}
    for changes, words in (
        (
            {"b": dataclasses.replace(b, pictures=b.pictures[..., :20, :20])},
            r"read pictures \[N, 3, 24, 24\], and these are \[10, 3, 20, 20\]",
        ),
        ({"a": dataclasses.replace(a, pictures=a.pictures * math.nan)}, "not a number"),
        ({"a": dataclasses.replace(a, values=without)}, "domain A do not tell its factor glow"),
        ({"a": other(a, glow=a.values["glow"][:4])}, "10 pictures of domain A came with .4. values of glow"),
        ({"b": other(b, frame=b.values["frame"] + 5)}, "frame in domain B is outside 0 to 1"),
        ({"b": other(b, haze=b.values["haze"] * math.nan)}, "haze in domain B is outside"),
        ({"factors": ()}, "number of factors is 0"),
        ({"minutes": 0}, "minutes is 0"),
    ):
        with pytest.raises(UserError, match=words):
            train(**changes)
    with pytest.raises(UserError, match="the probes read pictures"):
        world.probes().read(torch.zeros(2, 3, 32, 32))


def test_factors_of_any_world_will_do() -> None:
    twice = [dataclasses.replace(PLACE, name="one"), Factor("turn", "A", "angle", period=90.0)]
    scenes = world.draw(16, 3)
    a = {"one": scenes["place"], "turn": 90 * scenes["glow"]}
    b = LabelledPictures(world.render(scenes, "B"), {"one": scenes["place"]}, "B")
    probes = train_probes(LabelledPictures(world.render(scenes, "A"), a, "A"), b, twice, steps=1, width=4, quiet=True)
    assert {*probes.read(world.render(scenes, "A"))} == {"one", "turn"}


def _shapes(domain: Literal["A", "B"], start: int, n: int, size: int) -> LabelledPictures:
    scenes = [draw_scene(index) for index in range(start, start + n)]
    pictures = np.stack([draw_shapes(scene, domain, size) for scene in scenes])
    shown = {
        factor.name: torch.tensor([scene.values[factor.name] for scene in scenes]) for factor in SHAPES if factor.owner in ("both", domain)
    }
    return LabelledPictures(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1, shown, domain)


def test_the_world_of_shapes_can_be_learnt() -> None:
    probes = train_probes(_shapes("A", 0, 300, 32), _shapes("B", 9000, 300, 32), SHAPES, steps=120, width=8, quiet=True)
    a, b = probes.accuracy(_shapes("A", 5000, 100, 32)), probes.accuracy(_shapes("B", 7000, 100, 32))
    assert min(a["fill"], a["texture"], a["number"], b["fill"], b["shade"]) > 0.75 and b["background"] > 0.5
    assert min(a["shade"], a["x"], b["y"]) > 0.5
