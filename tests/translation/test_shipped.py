"""Models that came with the package: opened by their names, unless something of that name lies here."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import tiny_translator
from transfigure import Translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.integrity import DIGEST, digest_of
from transfigure.networks import shipped
from transfigure.networks.shipped import shipped_models
from transfigure.recipe import Recipe
from transfigure.worlds.facades.scene import CLASSES, PALETTE

NAMES = sorted(shipped_models())
LARGEST = 4_000_000
"""Bytes that a shipped model may take in all."""


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shipped._say_once.cache_clear()
    return tmp_path


def house() -> np.ndarray:
    """A house as a hand draws it: flat colours, crooked, more sky than any training picture has."""
    at = {name: PALETTE[index] for index, name in enumerate(CLASSES)}
    picture = np.empty((128, 128, 3), np.uint8)
    picture[:] = at["sky"]
    picture[110:] = at["road"]
    picture[50:110, 30:95] = at["wall"]
    for row in range(30):
        picture[20 + row, 62 - row : 64 + row] = at["roof"]
    for left, top in ((38, 60), (57, 58), (76, 61)):
        picture[top : top + 17, left : left + 12] = at["window"]
    picture[84:110, 55:68] = at["door"]
    return picture


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_small_whole_and_says_nothing_of_where_it_was_made(name: str) -> None:
    folder = files("transfigure") / "models" / name
    sizes = {item.name: len(item.read_bytes()) for item in folder.iterdir()}
    assert {"config.json", "generator.safetensors", "README.md"} <= sizes.keys() and sum(sizes.values()) <= LARGEST
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config.pop(DIGEST) == digest_of(config)
    assert config["recipe"]["data"]["path"] is None and '"/' not in json.dumps(config)
    trained = Recipe.from_dict(config["recipe"])
    told = Recipe.load(name, {"training.precision": trained.training.precision, "data.size": trained.data.options["size"]})
    differing = trained.differences(told).keys() - {"data.pages"}  # of which recipes said nothing then; a drawn world has none
    assert differing == set(), "the recipe of its name is the one that it was trained by"


def test_it_is_opened_by_its_name() -> None:
    translator = Translator.load("street")
    assert translator.origin == Path("street") and translator.config.recipe is not None
    assert repr(Translator.load(Path("street"))) == repr(translator) and "from: street)" in repr(translator)


def test_the_first_minute_of_an_artist(capsys: pytest.CaptureFixture[str]) -> None:
    """What is drawn by hand comes out as it was meant: sky bright and blue, the road dark, windows darker than the wall around them."""
    images.write(Path("drawing.png"), house())
    assert main(["translate", "street", "drawing.png", "photo.png"]) == 0
    assert capsys.readouterr().out.strip().splitlines()[0] == "photo.png"
    photo = images.read(Path("photo.png")).astype(float)
    sky, road, wall, window = photo[4:16, 4:124], photo[116:, 8:120], photo[80:105, 75:90], photo[62:74, 60:66]
    assert sky.mean() > road.mean() + 40 and sky.mean() > 130
    assert sky[..., 2].mean() > sky[..., 0].mean() + 20, "blue"
    assert wall.mean() > window.mean() + 20
    assert np.abs(np.diff(sky, axis=1)).mean() < 6, "clouds, and no grain"


def test_another_seed_is_another_picture_and_the_same_one_the_same() -> None:
    picture = Image.fromarray(house())
    first, again, other = (np.asarray(Translator.load("street", seed=seed)(picture)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(first.astype(int) - other).mean() < 30, "and no other house"


@pytest.mark.parametrize("what", ["folder", "file", "dangling link"])
def test_what_lies_here_under_that_name_wins(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    here = Path("street")
    if what == "folder":
        tiny_translator().save(here)
        assert Translator.load("street").config.options["width"] == 4
    else:
        here.write_text("a map") if what == "file" else here.symlink_to("gone")
        with pytest.raises(UserError, match="street is not a model" if what == "file" else "street does not exist"):
            Translator.load("street")
    said = capsys.readouterr().err
    assert "note: street is the" in said and "write ./street to say so" in said
    if what == "folder":
        Translator.load("./street")
        Translator.load(here)
        Translator.load("street", quiet=True)
        assert capsys.readouterr().err == ""


def test_a_name_that_is_nearly_right_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    images.write(Path("a.png"), house())
    assert main(["translate", "stret", "a.png", "b.png"]) == 2
    assert "stret does not exist (did you mean 'street'?): give a run" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"runs/stret does not exist: give"):
        Translator.load("runs/stret")
    with pytest.raises(UserError, match=r"street does not exist \(without ./, street is a model that came with transfigure\)"):
        Translator.load("./street")


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "model"]) == 0
    assert "street" in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["model"]) == NAMES


def test_evaluation_and_a_copy_to_share_take_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "street", "--data.test", "2", "--data.train", "2", "--metrics", "l1", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 2 and found["model"] == "street" and [row["of"] for row in found["rows"]] == ["l1"]
    assert main(["push", "street", "me/street", "--dry-run", "shared", "--no-panel"]) == 0
    assert (Path("shared") / "generator.safetensors").read_bytes()[-64:] == (
        shipped_models()["street"] / "generator.safetensors"
    ).read_bytes()[-64:]
    assert not Path("street").exists(), "nothing is written under the name"


def test_a_training_starts_from_it_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data.train", "2", "--data.val", "0", "--data.test", "1", "--training.epochs", "1", "--training.preview_count", "0"]
    assert main(["train", "--from", "street", "--out", "run", "--quiet", *flags]) == 0
    begun = json.loads(Path("run/log.jsonl").read_text(encoding="utf-8").splitlines()[0])["started_from"]
    taken, of = begun["taken"]["generator"].removesuffix(" tensors").split(" of ")
    assert begun["path"] == "street" and taken == of
    assert Recipe.load(Path("run/recipe.yaml")).training.start_from == "street"
