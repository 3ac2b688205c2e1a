"""What ``transfigure data check`` finds: each fault with the pairs that have it, and nothing in a sound set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import noise_image
from transfigure.cli import main
from transfigure.data import images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve sound pairs in two splits, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        split = "train" if number < 8 else "test"
        for side, seed in (("A", number), ("B", 100 + number)):
            images.write(tmp_path / f"pairs/{split}{side}/{number}.png", noise_image(48, 48, seed=seed))
    return tmp_path / "pairs"


@pytest.fixture
def found(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What the command finds, by kind."""

    def check(*words: str) -> dict[str, Any]:
        assert main(["data", "check", str(folder), "--json", "--quiet", *words]) == 0
        problems: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["problems"]
        return {problem["kind"]: problem for problem in problems if problem["kind"] != "remark"}

    return check


def test_a_sound_set_has_no_problem_but_its_smallness(folder: Path, found: Callable[..., dict[str, Any]]) -> None:
    assert found() == {}


def test_regions_of_one_image_are_no_copies_and_have_no_sizes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But what is wrong with one of them is said of that one."""
    for side, seed in (("A", 0), ("B", 1)):
        image = noise_image(96, 96, seed=seed)
        image[48:, 48:] = 7
        images.write(tmp_path / f"one/{side}/well.png", image)
    words = ["--split-by", "region", "--data.test_regions", "1,1", "--data.margin", "8", "--json", "--quiet"]
    assert main(["data", "check", str(tmp_path / "one"), *words]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["counts"] == {"train": 2, "val": 1, "test": 1}
    problems = {problem["kind"]: problem for problem in checked["problems"] if problem["kind"] != "remark"}
    assert problems.keys() == {"constant"}
    assert {item["name"] for item in problems["constant"]["items"]} == {"well/r1c1"}


def test_files_without_a_partner_are_all_listed(folder: Path, found: Callable[..., dict[str, Any]]) -> None:
    for number in range(5):
        (folder / f"trainA/{number}.png").unlink()
    problem = found()["unpaired"]
    assert [item["name"] for item in problem["items"]] == [f"{number}.png" for number in range(5)]
    assert all(Path(item["files"][0]).is_file() for item in problem["items"])


def test_a_torn_file_and_a_pair_of_two_sizes_are_told_apart(folder: Path, found: Callable[..., dict[str, Any]]) -> None:
    torn = folder / "testB/9.png"
    torn.write_bytes(torn.read_bytes()[:500])
    images.write(folder / "trainB/2.png", noise_image(48, 40, seed=102))
    problems = found()
    (unread,), (unusable,) = problems["unreadable"]["items"], problems["unusable"]["items"]
    assert (unread["split"], unread["name"]) == ("test", "9") and str(torn) in unread["detail"]
    assert (unusable["split"], unusable["name"]) == ("train", "2") and "40" in unusable["detail"]


def test_strict_has_an_exit_code_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder), "--strict", "--quiet"]) == 0
    (folder / "trainA/0.png").unlink()
    assert main(["data", "check", str(folder), "--strict", "--quiet"]) == 4
    assert "unpaired: 1 of 8 files" in capsys.readouterr().out
