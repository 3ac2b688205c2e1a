"""Two domains without correspondence: found, divided, sampled, and looked at before anything is trained."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.domains import domains, fill
from transfigure.data import images
from transfigure.data.layouts import unpaired
from transfigure.data.open import OpenedData, open_data, resolve_data
from transfigure.data.pairs import Single, side_by_chance
from transfigure.data.splits import divide
from transfigure.errors import UserError
from transfigure.recipe import Data


def opened(path: Path | None, **keys: Any) -> OpenedData:
    given = {"load_size": None, "crop_size": 16, "flip": False, "unpaired": True, **keys}
    return open_data(resolve_data(Data(path=None if path is None else str(path), **given)), quiet=True)


def number(tensor: Any) -> int:
    return round((float(tensor.median()) + 1) * 127.5)


def test_each_split_holds_every_picture_of_both_domains(tmp_path: Path) -> None:
    data = opened(domains(tmp_path, trainA=4, trainB=7, testA=3, testB=2))
    assert data.section.kind == "unpaired" and data.unpaired and not data.has_pairs
    assert [len(pairs) for pairs in (data.train, data.val, data.test)] == [7, 0, 3]
    shown = [(number(pair.source), number(pair.target)) for pair in (data.train_plain[index] for index in range(7))]
    assert Counter(a for a, _ in shown) == {0: 2, 1: 2, 2: 2, 3: 1}
    assert sorted(b for _, b in shown) == list(range(50, 57))
    assert len({record.name for record in data.train.records}) == 7


def test_undivided_domains_share_no_picture_between_splits(tmp_path: Path) -> None:
    """The larger domain goes round the smaller one; a picture must not come round into another split."""
    fill(tmp_path / "A", 10), fill(tmp_path / "B", 25, first=100)
    parts = divide(unpaired(tmp_path), 0.2, 0.2, seed=0).splits
    for side in ("a", "b"):
        seen = [{getattr(record, side).paths[0] for record in parts[name]} for name in ("train", "val", "test")]
        assert sum(map(len, seen)) == len(set.union(*seen)) == (10 if side == "a" else 25)


def test_targets_are_drawn_anew_in_every_epoch_each_equally_often(tmp_path: Path) -> None:
    data = opened(domains(tmp_path, trainA=8, trainB=8))
    epochs = [[number(data.train[epoch, index].target) for index in range(8)] for epoch in range(3)]
    assert all(sorted(targets) == list(range(50, 58)) for targets in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    again = opened(tmp_path)
    assert [number(again.train[2, index].target) for index in reversed(range(8))] == epochs[2][::-1]  # whatever was asked before


def test_source_and_target_are_cropped_and_mirrored_apart(tmp_path: Path) -> None:
    picture = np.zeros((24, 24, 3), np.uint8)
    picture[...] = np.arange(24)[None, :, None]
    for side in "AB":
        images.write(tmp_path / f"train{side}" / "0.png", picture)
    data = opened(tmp_path, flip=True)
    pairs = [data.train[epoch, 0] for epoch in range(30)]
    rows = [(pair.source[0, 0, 0].item(), pair.target[0, 0, 0].item()) for pair in pairs]
    assert len({a == b for a, b in rows}) == 2
    mirrored = [tuple(bool(side[0, 0, 0] > side[0, 0, 1]) for side in (pair.source, pair.target)) for pair in pairs]
    assert len(set(mirrored)) == 4


def test_any_pairs_can_be_read_without_their_pairing_and_keep_their_truth(tmp_path: Path) -> None:
    for index in range(6):
        fill(tmp_path / "A", 1, first=index), fill(tmp_path / "B", 1, first=index)
    images.write(tmp_path / "B" / "40.png", np.full((20, 20, 3), 40, np.uint8))  # without a partner
    data = opened(tmp_path, kind="two_folders", val_fraction=0.4, test_fraction=0)
    assert data.unpaired and data.has_pairs
    assert all(number(data.val[index].source) == number(data.val[index].target) for index in range(len(data.val)))
    shuffled = [(number(pair.source), number(pair.target)) for pair in (data.train[0, index] for index in range(len(data.train)))]
    assert any(a != b for a, b in shuffled)
    assert opened(tmp_path).section.kind == "unpaired"  # unless a kind is named, no picture is left out for its name


def test_two_folders_by_name_alone(tmp_path: Path) -> None:
    first, second = fill(tmp_path / "photos of a", 3), fill(tmp_path / "paintings", 2, first=50)
    data = opened(None, a=str(first), b=str(second))
    assert (data.section.kind, len(data.train) > 0) == ("unpaired", True)


def test_direction_turns_the_domains(tmp_path: Path) -> None:
    data = opened(domains(tmp_path, trainA=3, trainB=3), direction="BtoA")
    assert number(data.train[0, 0].source) >= 50 > number(data.train[0, 0].target)


def test_sizes_may_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "trainA", 10, side=20), fill(tmp_path / "trainB", 10, first=50, side=33)
    data = open_data(resolve_data(Data(path=str(tmp_path), load_size=None, crop_size=16, unpaired=True)))
    assert data.train[0, 0].source.shape == data.train[0, 0].target.shape == (3, 16, 16)
    assert "sources are mostly 20x20 and targets 33x33 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        (range(12), range(12), "both domains are the same pictures: nothing is translated"),
        (range(12), range(9, 24), "3 pictures are in both domains"),
        (range(12), range(50, 51), "the target domain has a single picture to train on: the generator can only learn that one"),
        (range(4), range(50, 70), "the source domain has only 4 pictures to train on"),
        (range(12), range(50, 70), ""),
    ],
    ids=str,
)
def test_what_is_probably_not_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str], a: range, b: range, note: str) -> None:
    for side, numbers in (("trainA", a), ("trainB", b)):
        for number in numbers:
            fill(tmp_path / side, 1, first=number)
    open_data(resolve_data(Data(path=str(tmp_path), load_size=None, crop_size=16, unpaired=True)))
    said = [line for line in capsys.readouterr().err.splitlines() if "note: " in line]
    assert len(said) == bool(note) and all(note in line for line in said)


def test_the_same_folder_twice_is_the_autoencoder_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(fill(tmp_path / "X", 12))
    open_data(resolve_data(Data(load_size=None, crop_size=16, unpaired=True, a=folder, b=folder)))
    assert "the autoencoder experiment" in capsys.readouterr().err


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: unpaired data is a folder with two domains"):
        unpaired(tmp_path / "nowhere")
    (tmp_path / "trainA").mkdir()
    fill(tmp_path / "trainB", 2)
    with pytest.raises(UserError, match=r"trainA.*no images.*a domain needs images"):
        unpaired(tmp_path)
    fill(tmp_path / "trainA", 2)
    fill(tmp_path / "testB", 2)
    assert "testB has no folder beside it for the other domain: not used" in unpaired(tmp_path).notes[0]
    with pytest.raises(UserError, match="has no folder C"):
        unpaired(tmp_path, "A", "C")


def test_names_are_unique_when_a_domain_is_gone_through_again() -> None:
    class Nothing:
        paths, label = (), "nothing"

        def read(self, alpha: str = "refuse") -> Any:
            return np.zeros((4, 4, 3), np.uint8)

    singles = [[Single(f"{side}{index}", Nothing()) for index in range(count)] for side, count in (("a", 2), ("b", 5))]
    names = [record.name for record in side_by_chance(*singles)]
    assert names == ["a0", "a1", "a0 (2)", "a1 (2)", "a0 (3)"]
    assert side_by_chance(singles[0], []) == []
