"""Grids that examine their cells: what is measured in a trained one, how seeds agree, and that every shipped one runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.studies.quick import quick_classifier
from transfigure.cli import main
from transfigure.errors import UserError
from transfigure.evaluation.held_out import held_out
from transfigure.studies.ablation import examine as module
from transfigure.studies.ablation.ablation import AblationOptions, ablate
from transfigure.studies.ablation.examine import agreements
from transfigure.studies.ablation.grid import Grid, shipped
from transfigure.studies.ablation.summary import summarise
from transfigure.studies.ablation.variants import read_ablation
from transfigure.studies.preservation import analyze as analysis
from transfigure.studies.preservation import measures
from transfigure.studies.preservation.probes import LabelledPictures, load_probes
from transfigure.translation.translator import Translator

EXAMINED = [name for name in shipped() if Grid.load(name).examine]
TOY: dict[str, Any] = {
    "data.train": 12,
    "data.val": 2,
    "data.test": 9,
    "data.size": 32,
    "data.load_size": 32,
    "data.crop_size": 32,
    "generator.width": 2,
    "discriminator.width": 2,
    "training.epochs": 1,
    "training.batch_size": 2,
    "training.accelerator": "cpu",
    "training.log_every": 4,
    "training.preview_count": 2,
    "training.keep_every": 4,
}
HERE = AblationOptions(isolate=False)
TWO = """
base: streamlined_small
set: {data.kind: shapes, data.source: A, data.target: A}
variations:
  L1: {data.unpaired: false, objective.adversarial: null, objective.terms: [{loss: l1, weight: 100}]}
  GAN: {}
free: [data.unpaired]
metrics: [l1]
examine: reconstruction
"""


def grid(folder: Path, text: str = TWO, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> Grid:
    (folder / "two.yaml").write_text(text, encoding="utf-8")
    return Grid.load(folder / "two.yaml", {**TOY, **changes}, seeds)


def rows(run: Path) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in json.loads((run / "evaluation" / "evaluation.json").read_text())["rows"]}


def moments(run: Path) -> dict[int, dict[str, float]]:
    return {entry["images"]: entry["values"] for entry in json.loads((run / "examined.json").read_text())["moments"]}


@pytest.fixture(scope="module")
def reconstructed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examined")
    return ablate(grid(folder, **{"generator.width": 4, "training.learning_rate": 0.01}), folder / "out", HERE, quiet=True)


def test_reconstruction_is_measured_at_every_model_that_was_kept(reconstructed: Path) -> None:
    run = reconstructed / "cells" / "l1" / "seed0"
    assert sorted(folder.name for folder in (run / "kept").iterdir()) == ["00000004", "00000008", "00000012"]
    found = moments(run)
    assert list(found) == [4, 8, 12]
    assert set(found[12]) == {
        "error, training",
        "error, held-out",
        "own source nearest, training",
        "own source nearest, held-out",
        "seed_agreement",
    }
    translator = Translator.load(run)
    pairs = held_out(translator, None, None, {}).pairs
    sources = torch.stack([pairs[index].source for index in range(len(pairs))])
    outputs = torch.stack([translator.translate_tensor(source[None])[0] for source in sources])
    scores = rows(run)
    assert scores["error_held_out"]["value"] == pytest.approx(float((outputs - sources).abs().mean() / 2), abs=3e-3)
    distances = (outputs[:, None] - sources[None]).square().flatten(2).mean(2)
    nearest = float((distances.argmin(1) == torch.arange(9)).float().mean())
    assert scores["own_source_nearest_held_out"]["value"] == pytest.approx(nearest, abs=0.12)
    assert scores["own_source_nearest_held_out"]["bounds"] == {"identity": 1.0, "permutation": pytest.approx(1 / 9)}
    assert scores["l1"]["value"] is not None, "the metrics of the evaluation stay"


def test_seeds_are_compared_on_the_same_images(reconstructed: Path) -> None:
    runs = [reconstructed / "cells" / "l1" / f"seed{seed}" for seed in (0, 1)]
    values = [rows(run)["seed_agreement"]["value"] for run in runs]
    assert values[0] == values[1] <= 1, "two seeds have one agreement between them"
    before = [(run / "examined.json").read_text() for run in runs]
    agreements(read_ablation(reconstructed))
    assert [(run / "examined.json").read_text() for run in runs] == before, "measuring again changes nothing"
    assert len(rows(runs[0])) == 6


def test_the_table_and_the_curves_show_what_was_measured(reconstructed: Path) -> None:
    summary = summarise(read_ablation(reconstructed))
    assert {"error_training", "own_source_nearest_training", "seed_agreement"} <= {column.metric for column in summary.columns}
    assert {"identity"} <= set(summary.bounds)
    assert main(["compare", str(reconstructed)]) == 0
    page = (reconstructed / "comparison.html").read_text()
    assert "Own source nearest, held-out" in page and page.count("along the way") == 5


def test_a_single_seed_agrees_with_nobody(tmp_path: Path) -> None:
    out = ablate(grid(tmp_path, seeds=(3,)), tmp_path / "out", HERE, quiet=True)
    assert "seed_agreement" not in rows(out / "cells" / "gan" / "seed3")


def test_translation_is_analysed_with_probes_that_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "SCENES", 12)
    monkeypatch.setattr(analysis, "STEPS", 2)
    monkeypatch.setattr(measures, "DomainClassifier", quick_classifier(5))
    text = (
        "base: streamlined_small\nset: {data.kind: shapes, data.limit: 5, training.validate_every: 1}\nvariations: {all: {}}\n"
        "metrics: [random_frechet]\nexamine: translation\n"
    )
    out = ablate(grid(tmp_path, text), tmp_path / "out", HERE, quiet=True)
    assert (out / "probes.safetensors").is_file()
    run = out / "cells" / "all" / "seed1"
    scores, found = rows(run), json.loads((run / "analysis" / "analysis.json").read_text())
    assert {"edge_agreement", "taken_for_target", "locality", "shared_preserved", "target_only_generated", "source_only_preserved"} <= set(
        scores
    )
    shared = [result["preserved"]["value"] for result in found["factors"] if result["role"] == "shared"]
    assert scores["shared_preserved"]["value"] == pytest.approx(sum(shared) / len(shared))
    assert {"random_frechet", "random_frechet_best", "seed_agreement"} <= set(scores)
    translator = Translator.load(run)
    seen = held_out(translator, None, None, {}).training
    assert seen is not None and len(seen) == 5, "only what was trained on"
    assert scores["retrieval_at_1_training"]["bounds"] == {"permutation": 1 / 5}
    outputs = torch.cat([translator.translate_tensor(seen[index].source[None]) for index in range(5)])
    shown = [record.a.factors for record in seen.records]
    values = {name: torch.tensor([each[name] for each in shown]) for name in shown[0]}
    read = load_probes(out / "probes.safetensors").accuracy(LabelledPictures(outputs, values, "A"))
    six = [max(0.0, read[name]) for name in ("shape", "number", "x", "y", "size", "angle")]
    assert scores["shared_preserved_training"]["value"] == pytest.approx(sum(six) / 6, abs=0.02)
    monkeypatch.setattr(module, "world_probes", None)  # what is there is not trained again
    ablate(grid(tmp_path, text, seeds=(0, 1, 2)), out, HERE, resume=True, quiet=True)
    assert rows(run)["seed_agreement"]["value"] != scores["seed_agreement"]["value"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO.replace("reconstruction", "everything"), "examine is 'everything': it must be translation or reconstruction"),
        (TWO.replace("free: [data.unpaired]\n", ""), "changes data.unpaired: all cells see the same images"),
        (
            "base: streamlined_small\nset: {data.kind: shapes}\nfree: [data.limit, training.epochs]\n"
            "variations: {few: {data.limit: 10, training.epochs: 4}, many: {data.limit: 20, training.epochs: 3}}\n",
            "the variations see 40 and 60 images",
        ),
    ],
)
def test_what_no_experiment_can_be(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        grid(tmp_path, text, **({"training.epochs": 1} if "few" not in text else {})).cells()


def test_shipped_grids_examine_their_cells() -> None:
    assert {"autoencoder", "bottleneck", "dataset_size", "discriminator", "penalties"} <= set(EXAMINED)


@pytest.mark.parametrize("name", EXAMINED)
def test_every_examined_grid_expands(name: str) -> None:
    found = Grid.load(name)
    cells = found.cells()
    assert found.examine and len(found.seeds) >= 3 and found.about.endswith((".", "?"))
    images = {cell.recipe.training.epochs * (cell.recipe.data.limit or 1000) for cell in cells}
    assert len(images) == 1, "equally many images are seen in all"
    assert all(not cell.recipe.data.flip for cell in cells), "a mirrored picture has other factors than it says"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMINED)
def test_every_examined_grid_runs_end_to_end(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(analysis, "SCENES", 12)
    monkeypatch.setattr(analysis, "STEPS", 2)
    monkeypatch.setattr(measures, "DomainClassifier", quick_classifier(5))
    side = "64" if name == "bottleneck" else "32"  # one of its generators halves six times
    toy = {**TOY, "data.size": side, "data.load_size": side, "data.crop_size": side, "training.checkpoint_every": 10**6}
    if name == "dataset_size":  # up to 200 epochs
        toy |= {"data.train": 2, "training.keep_every": "null", "training.preview_every": "null"}
    flags = [word for key, value in toy.items() for word in (f"--{key}", str(value))]
    code = main(["ablate", name, "--out", str(tmp_path / "out"), "--seeds", "0", "--together", "--quiet", *flags])
    said = capsys.readouterr()
    assert code == 0, said.err
    states = json.loads((tmp_path / "out" / "ablation.json").read_text())["cells"]
    assert [cell["reason"] for cell in states if cell["state"] != "done"] == []
    assert ("Error, training" if name == "autoencoder" else "Shared factors preserved") in said.out
    assert (tmp_path / "out" / "comparison.html").stat().st_size > 20_000
    if name == "discriminator":  # the former name of the command goes on with what is there
        assert main(["mechanism", name, "--out", str(tmp_path / "out"), "--seeds", "0", "--together", "--resume", *flags]) == 0
        again = capsys.readouterr()
        assert again.out == said.out
        assert again.err.splitlines() == ["note: mechanism is now  transfigure ablate", "note: 5 of 5 cells are done already"]


def test_the_former_command_is_an_alias(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mechanism", "autoencoder", "--print_config"]) == 0
    former = capsys.readouterr()
    assert former.err == "note: mechanism is now  transfigure ablate\n"
    assert main(["ablate", "autoencoder", "--print_config"]) == 0
    assert capsys.readouterr().out == former.out
    assert main(["mechanism", "autoencode", "--out", "nowhere", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("transfigure: there is no grid 'autoencode' (did you mean 'autoencoder'?)")
