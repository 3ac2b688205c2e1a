"""An analysis from end to end, on generators whose output is known: the identity, a perfect translator, one picture for all."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.data.domains import domains
from tests.studies.quick import quick_classifier
from tests.tiny import Copy, tiny_config, write_images
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import UserError
from transfigure.networks.model_file import Inference
from transfigure.recipe import Data, Recipe
from transfigure.studies.preservation import analyze as module
from transfigure.studies.preservation import measures
from transfigure.studies.preservation.analyze import Analysis, AnalysisOptions, analyze, domains_of, read_probes, world_probes
from transfigure.studies.preservation.probes import Probes
from transfigure.translation.translator import Translator
from transfigure.worlds.shapes.dataset import FACTORS, ShapesPicture, same_shapes

WORLD = {
    "data.kind": "shapes",
    "data.size": 32,
    "data.load_size": 32,
    "data.crop_size": 32,
    "data.train": 80,
    "data.test": 48,
    "data.val": 0,
}


def recipe(**more: Any) -> dict[str, Any]:
    given = {**WORLD, "generator.width": 4, "generator.depth": 2, **{f"data.{key}": value for key, value in more.items()}}
    return Recipe.load("streamlined_small", given).to_dict()


def translator(generator: nn.Module, **more: Any) -> Translator:
    config = tiny_config("copy", {}, 3, 3, size_multiple=1, trained_size=32, recipe=recipe(**more))
    return Translator(generator, config, Inference())


class Known(Copy):
    """Outputs for each picture the one that it is paired with."""

    def __init__(self, pairs: list[tuple[ShapesPicture, ShapesPicture]]) -> None:
        super().__init__()
        self.asked, self.outputs = (torch.stack([_tensor(pair[side]) for pair in pairs]) for side in (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.outputs[(self.asked - one).square().sum((1, 2, 3)).argmin()] for one in x]) + 0 * x


class Constant(Copy):
    def forward(self, x: Tensor) -> Tensor:
        ramp = torch.linspace(-1, 1, x.shape[-1]).expand(x.shape[1:])
        return ramp[None].repeat(len(x), 1, 1, 1) + 0 * x


def _tensor(picture: ShapesPicture) -> Tensor:
    return torch.from_numpy(picture.read()).permute(2, 0, 1).float() / 127.5 - 1


def perfect() -> Known:
    records = open_data(resolve_data(Recipe.from_dict(recipe()).data), quiet=True).test.records
    shown = [(record.a, record.b) for record in records]
    return Known([(a, ShapesPicture(same_shapes(a.scene, b.scene), "B", 32)) for a, b in shown])  # type: ignore[union-attr]


@cache
def probes() -> Probes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SCENES", 700)
        patch.setattr(module, "STEPS", 350)
        records = open_data(resolve_data(Recipe.from_dict(recipe()).data), quiet=True).train.records
        found = world_probes(records, quiet=True)
    assert found is not None
    return found


@cache
def analysed(which: str) -> Analysis:
    generator = {"identity": Copy, "perfect": perfect, "constant": Constant}[which]()
    second = translator(generator) if which != "identity" else None
    return analyze(translator(generator), second=second, options=AnalysisOptions(probes=probes()), quiet=True)


def by_role(found: Analysis, role: str, key: str) -> list[float]:
    return [getattr(result, key) for result in found.factors if result.role == role]


def test_the_identity_preserves_everything_and_generates_nothing() -> None:
    found = analysed("identity")
    assert {result.name for result in found.factors} == {factor.name for factor in FACTORS}
    assert found.value("retrieval_at_1") == 1 and found.value("edge_agreement") == pytest.approx(1)
    assert found.value("taken_for_target") < 0.2
    assert found.value("random_kid_to_target") > 5
    assert min(by_role(found, "target only", "preserved")) > 0.8, "what the target would add is not there: the input's none is kept"
    assert max(by_role(found, "target only", "generated")) < 0.3
    assert found.attribution.share > 0.99 and 0.1 < found.attribution.uniform < 0.4
    for measure in found.measures:
        if "identity" in measure.bounds and measure.value == measure.value:
            assert measure.value == pytest.approx(measure.bounds["identity"], abs=1e-6)


def test_a_perfect_translator_preserves_the_shared_and_generates_the_rest() -> None:
    found, copied = analysed("perfect"), analysed("identity")
    assert found.value("taken_for_target") > 0.8
    assert found.value("random_kid_to_target") < copied.value("random_kid_to_target") / 5
    assert 0.3 < found.value("retrieval_at_1") < 1
    assert found.value("seed_agreement") == pytest.approx(1)
    shared = {result.name: result.preserved for result in found.factors if result.role == "shared"}
    assert shared["number"] > 0.8 and sum(shared.values()) / len(shared) > 0.5, shared
    assert sum(by_role(found, "target only", "generated")) / 4 > 0.6
    assert max(by_role(found, "source only", "preserved")) < 0.4


def test_one_picture_for_all_preserves_nothing_and_is_called_a_collapse() -> None:
    found = analysed("constant")
    assert found.value("retrieval_at_1") == pytest.approx(1 / 48, abs=0.03)
    agreement = next(measure for measure in found.measures if measure.name == "seed_agreement")
    assert agreement.value != agreement.value and "agree trivially" in agreement.note
    numbers = [result for result in found.factors if result.role == "shared" and result.kind == "number"]
    assert max(result.preserved for result in numbers) < 0.2
    assert max(by_role(found, "target only", "generated")) < 0.6
    assert found.attribution.share != found.attribution.share, "no pixel of the output depends on any of the input"


def test_the_result_is_plain_and_readable() -> None:
    found = analysed("perfect")
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert stored["sources"] == 48 and stored["direction"] == "AtoB" and len(stored["factors"]) == len(FACTORS)
    assert set(stored["probe_accuracy"]["shape"]) == {"source", "target"}
    for words in ("outlines in common", "in its own place or beside it", "texture", "target only"):
        assert words in found.table()
    names, pictures = found.examples
    assert len(names) == 8 and {key: tuple(value.shape) for key, value in pictures.items()} == dict.fromkeys(
        ("source", "output", "second", "nearest"), (8, 3, 32, 32)
    )


def test_probes_are_kept_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCENES", 10)
    monkeypatch.setattr(module, "STEPS", 2)
    file = tmp_path / "probes.safetensors"
    one, other = (read_probes(file, translator(Copy()), quiet=True) for _ in range(2))
    assert one is not None and other is not None and file.is_file()
    sources = torch.zeros(1, 3, 32, 32)
    assert torch.equal(one.read(sources)["x"].value, other.read(sources)["x"].value)


def test_any_two_folders_can_be_analysed_without_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "DomainClassifier", quick_classifier(5))  # it cannot know noise from noise, and would try for long
    for folder, count in (("trainA", 6), ("trainB", 9), ("testA", 5), ("testB", 3)):
        write_images(tmp_path / folder, *(f"{number}.png" for number in range(count)))
    data = Data(path=str(tmp_path), load_size=None, crop_size=16, unpaired=True)
    found = analyze(translator(Copy()), data, quiet=True)
    assert found.factors == [] and found.value("retrieval_at_1") == 1
    assert (found.about["sources"], found.about["targets"], found.about["training_targets"]) == (5, 3, 9)
    with pytest.raises(UserError, match="does not tell what is in its pictures"):
        read_probes(tmp_path / "p.safetensors", translator(Copy()), data, quiet=True)


def test_one_domain_is_an_autoencoders_world() -> None:
    found = analyze(translator(Copy(), source="A", target="A"), options=AnalysisOptions(probes=probes()), quiet=True)
    assert found.about["same_domain"] and found.value("taken_for_target") != found.value("taken_for_target")
    assert {result.role for result in found.factors} == {"shared"}


def test_distinct_pictures_are_looked_at_once(tmp_path: Path) -> None:
    data = open_data(
        resolve_data(Data(path=str(domains(tmp_path, trainA=3, trainB=8)), load_size=None, crop_size=16, unpaired=True)), quiet=True
    )
    sources, targets, names = domains_of(data.train_plain, 100, quiet=True)
    assert (len(sources), len(targets), names) == (3, 8, ["0", "1", "2"])
    assert len(domains_of(data.train_plain, 4, quiet=True)[1]) == 4


def test_factors_of_cut_or_resized_pictures_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = analyze(translator(Copy(), size=48), options=AnalysisOptions(10, probes=probes()))
    assert found.factors == [] and "drawn at 48 pixels and read at 32" in capsys.readouterr().err


def test_maps_belong_to_the_pictures_beside_them() -> None:
    found = analysed("identity")
    pictures = found.examples[1]["source"]
    assert len(found.attribution.examples) == len(pictures) and found.attribution.sources > len(pictures)


def test_too_little_to_analyse(tmp_path: Path) -> None:
    data = Data(path=str(domains(tmp_path, trainA=6, trainB=9, testA=1, testB=1)), load_size=None, crop_size=16, unpaired=True)
    with pytest.raises(UserError, match="one test image in a domain"):
        analyze(translator(Copy()), data, quiet=True)
