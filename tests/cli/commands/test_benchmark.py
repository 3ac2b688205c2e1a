"""What ``benchmark`` measures, prints and keeps; how fast anything is, is asserted nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.saying import printed
from transfigure.cli.main import main
from transfigure.data.ownership import is_ours
from transfigure.training import speed

SIZE = ["--data.crop_size", "32", "--data.load_size", "32", "--generator.depth", "4", "--generator.width", "4"]
TINY = [*SIZE, "--rounds", "2", "--training.accelerator", "cpu", "--quiet"]
PIX2PIX = ("benchmark", "pix2pix", *TINY, "--discriminator.width", "4")
WAYS = [(way.name, way.precision, way.update) for way in speed.WAYS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_way_in_every_round_kept_for_doctor(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert "not measured here yet: transfigure benchmark" in printed(capsys, "doctor")
    found = json.loads(printed(capsys, *PIX2PIX, "--json"))
    assert [(way["way"], way["precision"], way["update"]) for way in found["ways"]] == WAYS
    assert found["title"] == "pix2pix, 32 x 32 pixels, batch 1"
    assert found["ways"][0]["of_rounds"] == [1.0, 1.0]
    assert all(way["seconds"] > 0 and len(way["of_rounds"]) == 2 for way in found["ways"])
    assert json.loads(printed(capsys, "doctor", "--json"))["measured"] == {found["title"]: found}
    page = printed(capsys, "doctor")
    assert speed.table(found) in page and "not measured" not in page
    assert all(name in page for name, _, _ in WAYS)
    printed(capsys, *PIX2PIX, "--training.batch_size", "2")
    assert list(speed.kept()) == [found["title"], "pix2pix, 32 x 32 pixels, batch 2"], "beside the other"
    assert is_ours(cache / "benchmark.json")


def test_only_the_ways_that_go_with_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    """D is shown a pool's images in cyclegan; a regression has no D."""
    pool = json.loads(printed(capsys, *PIX2PIX, "--json", "--objective.adversarial.pool", "4"))
    regression = json.loads(printed(capsys, "benchmark", "pix2pix", *TINY, "--json", "--objective.adversarial", "null"))
    for found in (pool, regression):
        assert [way["way"] for way in found["ways"]] == ["float32", "bfloat16"]


@pytest.mark.parametrize("content", ['{"measured": 3}', '{"note": "mine"}', "[]", "no json", '{"measured": {"a": {"title": 1}}}'])
def test_a_file_that_is_not_ours_stays_as_it_is(capsys: pytest.CaptureFixture[str], cache: Path, content: str) -> None:
    cache.mkdir()
    (cache / "benchmark.json").write_text(content, encoding="utf-8")
    assert "not measured here yet" in printed(capsys, "doctor")
    assert main([word for word in PIX2PIX if word != "--quiet"]) == 0
    said = capsys.readouterr()
    assert "float32, simultaneous" in said.out and "note: doctor will not know of it: " in said.err
    assert (cache / "benchmark.json").read_text(encoding="utf-8") == content


def test_no_round_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--rounds", "0"]) == 2
    assert "--rounds 0 measures nothing" in capsys.readouterr().err
