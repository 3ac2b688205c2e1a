"""The recipe keys of ``train``: its help, its flags, and the recipe that comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.saying import printed, said
from transfigure.recipe import Recipe, flatten, shipped


@pytest.mark.parametrize("name", sorted(shipped()))
def test_train_help_lists_every_key_of_the_recipe(capsys: pytest.CaptureFixture[str], name: str) -> None:
    page = printed(capsys, "train", name, "--help")
    for key, value in flatten(Recipe.load(name).to_dict()):
        if key == "name" or (key in ("discriminator", "objective.adversarial") and value is None):
            continue
        assert f"  --{key} " in page, key
    chosen = Recipe.load(name).training.precision
    assert f"A run keeps what was chosen. (one of auto, 32-true, bf16-mixed, 16-mixed) [{chosen}]" in " ".join(page.split())
    assert "``" not in page


def test_train_help_follows_the_flags_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "train", "--help", "pix2pix", "--generator", "resnet", "--objective.terms", "[{loss: ssim, weight: 3}]")
    assert "--generator.blocks" in page and "--generator.depth" not in page
    assert "--objective.terms '[{loss: ssim, weight: 3.0, window: 11, sigma: 1.5}]'" in page
    assert "--objective.terms.ssim.window 11" in page
    assert "did you mean 'pix2pix'" in said(capsys, "train", "pix2pixx", "--help")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_print_config_is_the_whole_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    file = tmp_path / "printed.yaml"
    file.write_text(printed(capsys, "train", name, "--print_config"))
    assert Recipe.load(file) == Recipe.load(name)
    assert printed(capsys, "train", str(file), "--print_config") == file.read_text()


def test_flags_reach_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(
        capsys,
        *("train", "pix2pix", "--quiet", "photos", "--training.epochs", "20", "--generator=resnet", "--generator.blocks", "6"),
        *("--objective.terms", "[{loss: l2, weight: 3}, ssim]", "--objective.terms.ssim.weight", "2e1", "--training.betas", "[0, 0.9]"),
        *("--data.flip", "no", "--training.sync_batchnorm", "--seed", "7", "--devices", "2", "--name", "mine", "--print_config"),
    )
    expected = Recipe.load("pix2pix").updated(
        {
            **{"name": "mine", "data.path": "photos", "data.flip": False, "generator": "resnet", "generator.blocks": 6},
            **{
                "training.epochs": 20,
                "training.seed": 7,
                "training.devices": 2,
                "training.sync_batchnorm": True,
                "training.betas": [0, 0.9],
            },
            "objective.terms": [{"loss": "l2", "weight": 3}, {"loss": "ssim", "weight": 20}],
        }
    )
    assert Recipe.from_dict(yaml.safe_load(page)) == expected
    without = yaml.safe_load(printed(capsys, "train", "pix2pix", "--objective.adversarial", "null", "--print_config"))
    assert without["objective"]["adversarial"] is None and without["discriminator"] is None


@pytest.mark.parametrize(
    ("data", "kind", "path"), [("synthetic", "synthetic", None), ("2024", "auto", "2024"), ("a/b.csv", "auto", "a/b.csv")]
)
@pytest.mark.parametrize("recipe", ["pix2pix", "pix2pix_tiny"])
def test_data_is_a_place_or_the_word_synthetic(
    capsys: pytest.CaptureFixture[str], recipe: str, data: str, kind: str, path: str | None
) -> None:
    section = yaml.safe_load(printed(capsys, "train", recipe, data, "--print_config"))["data"]
    assert (section["kind"], section["path"]) == (kind, path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["pix2pix", "--out", "r", "photos"],
        ["--out", "r", "pix2pix", "photos"],
        ["--quiet", "pix2pix", "--out", "r", "--training.epochs", "3", "photos"],
        ["pix2pix", "photos", "--out", "r"],
    ],
)
def test_words_and_flags_in_any_order(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert yaml.safe_load(printed(capsys, "train", *arguments, "--print_config"))["data"]["path"] == "photos"


def test_an_explicit_kind_goes_before_the_guess(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "train", "pix2pix_tiny", "photos", "--data.kind", "two_folders", "--data.a", "01", "--print_config")
    section = yaml.safe_load(page)["data"]
    assert (section["kind"], section["path"], section["a"], section["b"]) == ("two_folders", "photos", "01", "B")
