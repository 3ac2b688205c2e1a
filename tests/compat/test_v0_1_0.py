"""What 0.1.0 wrote is read as it was meant: models, runs to go on with, evaluations, analyses, ablations, recipes and grids.

The files in ``v0_1_0/`` were written by that version (``v0_1_0/README.md``) and are never written again. Numbers that depend on the
processor must be met to the last bit where it computes as the one that wrote them did, and nearly elsewhere (``arithmetic.py``).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

import transfigure
from tests.compat.arithmetic import arithmetic, digest, random_numbers
from transfigure.cli import main
from transfigure.networks import modes
from transfigure.networks.noise import NoiseMap, NoiseStream

FILES = Path(__file__).parent / "v0_1_0"
EXPECTED: dict[str, Any] = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
MODELS = sorted(file.parent.relative_to(FILES).as_posix() for file in FILES.rglob("output.npy"))
RUNS = sorted(EXPECTED["finished"])
ABLATIONS = ("ablation", "mechanism", "reconstruction")
RENAMED = {"like": "match_gradient_of", "verdicts": "outcomes"}
"""Keys that 0.1.0 wrote and what they may be called now."""


@pytest.fixture(scope="module")
def same_arithmetic() -> bool:
    return arithmetic() == EXPECTED["arithmetic"]


@pytest.fixture
def _same_random_numbers() -> None:
    if random_numbers() != EXPECTED["random_numbers"]:
        pytest.skip("this machine draws other random numbers from a seed")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in; the stored files stay as they are."""
    copy = tmp_path / "v0_1_0"
    shutil.copytree(FILES, copy, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    monkeypatch.chdir(copy)
    return copy


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def assert_holds(now: Any, then: Any, where: str = "") -> None:
    """Everything that was there then is there now, with the same value; there may be more."""
    if isinstance(then, Mapping):
        for key, value in then.items():
            name = key if key in now else RENAMED.get(key, key)
            assert name in now, f"{where}.{key} is gone"
            assert_holds(now[name], value, f"{where}.{name}")
    elif isinstance(then, list):
        assert len(now) == len(then), where
        for index, (one, other) in enumerate(zip(now, then)):
            assert_holds(one, other, f"{where}.{index}")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-4, abs=1e-6), where
    else:
        assert now == then, where


def test_there_is_something_of_everything() -> None:
    assert {"paired/model", "paired/model_best", "cyclegan/model_inverse", "contrastive/model", "vector/model"} <= set(MODELS)
    assert any(name.startswith("paired/kept/") for name in MODELS)
    assert RUNS == ["contrastive", "cyclegan", "paired"]
    for ablation in ABLATIONS:
        assert len(list((FILES / ablation / "cells").glob("*/*/evaluation/evaluation.json"))) >= 2


@pytest.fixture(autouse=True)
def _noise_as_it_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise of a seed is another since then (it is drawn outside of torch); with that of then all is as it was."""

    class OfTorch(NoiseStream):
        def __init__(self, seed: int, given: Sequence[Any] | None = None) -> None:
            super().__init__(seed, given)
            self._of_torch = torch.Generator().manual_seed(seed)

        def next(self, wanted: NoiseMap) -> Any:
            assert wanted.kind == "dropout"
            kept = 1 - wanted.probability
            return torch.empty(1, *wanted.shape).bernoulli_(kept, generator=self._of_torch).div_(kept)

    monkeypatch.setattr(modes, "NoiseStream", OfTorch)


# ---- models -------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_same_random_numbers")
@pytest.mark.parametrize("model", MODELS)
def test_a_model_translates_as_it_did(model: str, same_arithmetic: bool) -> None:
    translator = transfigure.Translator.load(FILES / model)
    source = np.asarray(Image.open(FILES / "source.png"))
    tensor = torch.from_numpy(source.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    output, expected = translator(source), np.load(FILES / model / "output.npy")
    before_rounding, exactly = translator.translate_tensor(tensor).numpy(), np.load(FILES / model / "output_float.npy")
    assert output.dtype == np.uint8 and output.shape == source.shape and expected.std() > 1
    np.testing.assert_allclose(before_rounding, exactly, rtol=0, atol=0 if same_arithmetic else 1e-5)
    np.testing.assert_allclose(output.astype(int), expected.astype(int), rtol=0, atol=0 if same_arithmetic else 1)


@pytest.mark.usefixtures("_same_random_numbers")
@pytest.mark.parametrize("which", ["last", "best"])
def test_a_run_translates_a_file_as_it_did(stored: Path, which: str, same_arithmetic: bool) -> None:
    assert main(["translate", "paired", "source.png", "out.png", "--checkpoint", which, "--quiet"]) == 0
    expected = np.load(stored / "paired" / ("model" if which == "last" else "model_best") / "output.npy").astype(int)
    np.testing.assert_allclose(np.asarray(Image.open("out.png")).astype(int), expected, rtol=0, atol=0 if same_arithmetic else 1)


# ---- runs ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_same_random_numbers")
@pytest.mark.parametrize("run", RUNS)
def test_a_run_goes_on_to_the_bits_that_0_1_0_would_have_reached(stored: Path, run: str, same_arithmetic: bool) -> None:
    moved = ["--data.path", "images"] if run == "contrastive" else []
    before = (stored / run / "model" / "generator.safetensors").read_bytes()
    assert main(["train", "--out", run, "--resume", "--quiet", *moved]) == 0
    assert (stored / run / "model" / "generator.safetensors").read_bytes() != before
    assert json.loads((stored / run / "log.jsonl").read_text().splitlines()[-1])["kind"] == "end"
    expected = EXPECTED["finished"][run]
    found = {model: safetensors.torch.load_file(stored / run / model / "generator.safetensors") for model in expected}
    finished = safetensors.torch.load_file(stored / "finished" / f"{run}.safetensors")
    assert {name: digest([tensor]) for name, tensor in sorted(finished.items())} == expected["model"]
    for model, tensors in found.items():
        assert sorted(tensors) == sorted(expected[model])
    for name, tensor in finished.items():
        torch.testing.assert_close(found["model"][name], tensor, rtol=0, atol=0 if same_arithmetic else 0.02, msg=name)
    if same_arithmetic:
        assert {model: {name: digest([tensor]) for name, tensor in tensors.items()} for model, tensors in found.items()} == expected


def test_the_report_of_a_run_shows_its_evaluation_and_its_log(stored: Path) -> None:
    assert main(["report", "paired"]) == 0
    page = (stored / "paired" / "report.html").read_text(encoding="utf-8")
    assert "No evaluation yet" not in page and "cannot be read" not in page
    for row in json.loads((stored / "paired" / "evaluation" / "evaluation.json").read_text())["rows"]:
        assert row["label"] in page


def test_an_evaluation_made_again_finds_the_same(stored: Path, capsys: pytest.CaptureFixture[str], same_arithmetic: bool) -> None:
    then = json.loads((stored / "paired" / "evaluation" / "evaluation.json").read_text())
    now = json.loads(printed(capsys, "evaluate", "paired", "--json", "--quiet", "--metrics", "l1,psnr,lab_histogram"))
    rows = {row["metric"]: row["value"] for row in then["rows"] if row["of"] in ("l1", "psnr", "lab_histogram")}
    assert len(rows) >= 3
    tolerance = 1e-5 if same_arithmetic else 1e-2
    assert {row["metric"]: row["value"] for row in now["rows"]} == pytest.approx(rows, rel=tolerance, abs=tolerance)


# ---- evaluations of folders, segmenter, statistics ----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["evaluation", "evaluation_unpaired"])
def test_the_page_of_an_evaluation_of_folders(stored: Path, folder: str) -> None:
    assert main(["report", folder]) == 0
    page = (stored / folder / "report.html").read_text(encoding="utf-8")
    rows = json.loads((stored / folder / "evaluation.json").read_text())["rows"]
    assert rows and all(row["label"] in page for row in rows)


def test_a_segmenter_reads_photos_as_it_did(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("photos", "targets")
    words = "evaluate --generated photos --target targets --labels labels --segmenter segmenter.safetensors --metrics fcn_score --json"
    now = json.loads(printed(capsys, *words.split(), "--quiet"))["rows"]
    assert EXPECTED["fcn_score"][0]["value"] > 0.8
    assert_holds([{key: row[key] for key in ("metric", "value", "bounds")} for row in now], _of(EXPECTED["fcn_score"]))


def test_stored_statistics_are_compared_with_as_they_were(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "evaluate --generated images/testB --target statistics.npz --metrics random_frechet --json --quiet"
    now = json.loads(printed(capsys, *words.split()))["rows"]
    assert_holds([{key: row[key] for key in ("metric", "value", "bounds")} for row in now], _of(EXPECTED["against_statistics"]))


def _of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in ("metric", "value", "bounds")} for row in rows]


# ---- analyses -----------------------------------------------------------------------------------------------------------------


def test_an_analysis_with_stored_probes_finds_the_same(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = json.loads((stored / "vector" / "analysis" / "analysis.json").read_text())
    probes = (stored / "probes.safetensors").read_bytes()
    now = json.loads(printed(capsys, "analyze", "vector", "--probes", "probes.safetensors", "--json", "--quiet"))
    assert (stored / "probes.safetensors").read_bytes() == probes, "the stored ones are used, and none are trained"
    assert len(then["factors"]) >= 10 and len(then["measures"]) >= 5
    measures = [{row["name"]: math.nan if row["value"] is None else row["value"] for row in each["measures"]} for each in (now, then)]
    assert measures[0] == pytest.approx(measures[1], rel=1e-3, abs=1e-3, nan_ok=True)
    for asked in ("preserved", "generated"):
        factors = [{row["name"]: row[asked]["value"] for row in each["factors"]} for each in (now, then)]
        assert factors[0] == pytest.approx(factors[1], rel=1e-3, abs=1e-3)
    assert now["probe_accuracy"].keys() == then["probe_accuracy"].keys()


# ---- ablations ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_is_compared_as_it_was(stored: Path, capsys: pytest.CaptureFixture[str], ablation: str) -> None:
    then, now = EXPECTED[ablation], json.loads(printed(capsys, "compare", ablation, "--json"))
    assert_holds(now, {key: then[key] for key in ("title", "about", "budget", "variants", "skipped")})
    assert [column["metric"] for column in now["columns"]] == [column["metric"] for column in then["columns"]]
    values = [{factor["name"]: factor["values"] for factor in each.get("factors", [])} for each in (now, then)]
    assert bool(values[1]) == (ablation == "mechanism")
    assert_holds(values[0], values[1])
    page = (stored / ablation / "comparison.html").read_text(encoding="utf-8")
    assert all(variant["name"] in page for variant in then["variants"])


@pytest.mark.parametrize("ablation", ["ablation", "mechanism"])
def test_an_ablation_that_is_done_is_not_begun_again(stored: Path, capsys: pytest.CaptureFixture[str], ablation: str) -> None:
    logs = {file: file.read_bytes() for file in sorted((stored / ablation).rglob("log.jsonl"))}
    assert len(logs) >= 2
    now = printed(capsys, "ablate", f"grids/{ablation}.yaml", "--out", ablation, "--resume", "--together", "--quiet", "--json")
    assert_holds(json.loads(now)["variants"], EXPECTED[ablation]["variants"])
    assert {file: file.read_bytes() for file in sorted((stored / ablation).rglob("log.jsonl"))} == logs
    assert list((stored / ablation).rglob("checkpoints")) == []


# ---- what users wrote ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", sorted(EXPECTED["recipes"]))
def test_a_recipe_means_what_it_meant(stored: Path, capsys: pytest.CaptureFixture[str], recipe: str) -> None:
    then = EXPECTED["recipes"][recipe]
    assert_holds(transfigure.Recipe.load(stored / "recipes" / f"{recipe}.yaml").to_dict(), then)
    shown = yaml.safe_load(printed(capsys, "train", f"recipes/{recipe}.yaml", "--print_config"))
    assert_holds(shown, then)


@pytest.mark.parametrize("run", [*RUNS, "vector"])
def test_the_complete_recipe_of_a_run_means_what_it_says(run: str) -> None:
    file = FILES / run / "recipe.yaml"
    assert_holds(transfigure.Recipe.load(file).to_dict(), yaml.safe_load(file.read_text(encoding="utf-8")))


def test_the_stored_recipe_has_every_key_of_its_sections() -> None:
    """So that a key that is renamed without an alias is found here."""
    written = yaml.safe_load((FILES / "recipes" / "every_key.yaml").read_text(encoding="utf-8"))
    complete = EXPECTED["recipes"]["every_key"]
    for section in ("data", "generator", "discriminator", "training"):
        assert written[section].keys() == complete[section].keys()
    assert written["objective"]["adversarial"].keys() == complete["objective"]["adversarial"].keys()
    assert any("like" in term for term in written["objective"]["terms"])


@pytest.mark.parametrize("grid", sorted(EXPECTED["grids"]))
def test_a_grid_means_what_it_meant(stored: Path, capsys: pytest.CaptureFixture[str], grid: str) -> None:
    shown = yaml.safe_load(printed(capsys, "ablate", f"grids/{grid}.yaml", "--print_config"))
    assert_holds(shown, EXPECTED["grids"][grid])
