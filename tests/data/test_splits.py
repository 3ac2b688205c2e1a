"""Which split a pair is in, and that nothing which comes later moves it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.damage import cuts, flips
from transfigure.data.check.left_out import LeftOut, load_left_out, save_left_out
from transfigure.data.pairs import Collection, FilePicture, Record, Single
from transfigure.data.splits import SPLITS_FILE, Division, StoredSplit, divide
from transfigure.errors import UserError

fractions = st.floats(0, 0.45)
name_sets = st.sets(st.text("abc0123", min_size=1, max_size=5), min_size=1, max_size=40)


def records(names: list[str], groups: dict[str, str] | None = None) -> list[Record]:
    picture = FilePicture(("x.png",))
    return [Record(name, picture, picture, (groups or {}).get(name)) for name in names]


def undivided(names: list[str], groups: dict[str, str] | None = None) -> Collection:
    return Collection({"all": records(names, groups)})


def names_in(division: Division) -> dict[str, list[str]]:
    return {part: [record.name for record in held] for part, held in division.splits.items()}


@given(name_sets, fractions, fractions, st.integers(0, 5), st.randoms())
def test_split_depends_on_names_and_seed_only(names: set[str], val: float, test: float, seed: int, rng: random.Random) -> None:
    listed = sorted(names)
    first = names_in(divide(undivided(listed), val, test, seed))
    rng.shuffle(listed)
    assert names_in(divide(undivided(listed), val, test, seed)) == first
    assert sorted(name for part in first.values() for name in part) == sorted(names)
    assert len(first["train"]) >= 1
    if len(names) >= 3:
        assert bool(first["val"]) == (val > 0)
        assert bool(first["test"]) == (test > 0)


@given(name_sets, name_sets, fractions, fractions, st.integers(0, 5))
def test_c35_added_files_move_no_trained_pair_into_test(old: set[str], new: set[str], val: float, test: float, seed: int) -> None:
    before = names_in(divide(undivided(sorted(old)), val, test, seed))
    after = names_in(divide(undivided(sorted(old | new)), val, test, seed))
    held = {name for part in ("val", "test") for name in after[part]}
    if len(old) >= 20:  # fewer may have been moved to keep a split from being empty
        trained = set(before["train"])
        assert len(trained & held) <= sum(not before[part] for part in ("val", "test"))
    places = {name: part for part, names in before.items() for name in names}
    moved = [name for part, names in after.items() for name in names if places.get(name, part) != part]
    assert len(moved) <= 6  # those that had filled an empty split


def test_c35_hundred_images_are_added_to_a_thousand() -> None:
    old, new = [f"img{n:04}" for n in range(1000)], [f"new{n:04}" for n in range(100)]
    before, after = (names_in(divide(undivided(names), 0.1, 0.1, 0)) for names in (old, old + new))
    for part in before:
        assert set(before[part]) == {name for name in after[part] if name in set(old)}
    assert 80 <= len(before["val"]) <= 120
    assert 80 <= len(before["test"]) <= 120
    by_rank = [names_in(divide(undivided(names), 0.1, 0.1, 0, rule="rank")) for names in (old, old + new)]
    assert set(by_rank[0]["train"]) & set(by_rank[1]["val"] + by_rank[1]["test"])  # what 0.1.0 did


def test_split_of_version_0_1_0_is_kept_for_its_runs() -> None:
    parts = names_in(divide(undivided([str(n) for n in range(20)]), 0.1, 0.2, 0, rule="rank"))
    assert parts["test"] == ["0", "1", "11", "18"]
    assert parts["val"] == ["2", "16"]


def test_another_seed_draws_others() -> None:
    names = [str(n) for n in range(200)]
    first, second = (names_in(divide(undivided(names), 0.1, 0.2, seed)) for seed in (0, 1))
    assert first["val"] != second["val"]
    assert first["test"] != second["test"]


def test_c04_composed_and_decomposed_names_are_drawn_alike() -> None:
    composed, decomposed = [f"B\u00e4r{n}" for n in range(60)], [f"Ba\u0308r{n}" for n in range(60)]
    first, second = (names_in(divide(undivided(names), 0.2, 0.2, 0)) for names in (composed, decomposed))
    assert {part: [name[-2:] for name in names] for part, names in first.items()} == {
        part: [name[-2:] for name in names] for part, names in second.items()
    }


def test_c05_names_that_are_not_utf8_are_drawn_and_stored(tmp_path: Path) -> None:
    names = [f"\udcff{n}" for n in range(30)]
    division = divide(undivided(names), 0.2, 0.2, 0)
    assert division.drawn is not None
    division.drawn.save(tmp_path / SPLITS_FILE)
    (tmp_path / SPLITS_FILE).read_bytes().decode("ascii")
    assert StoredSplit.load(tmp_path / SPLITS_FILE) == division.drawn


def test_folders_win_over_fractions() -> None:
    division = divide(Collection({"train": records(["1", "2"]), "validation": records(["3"])}), 0.5, 0.4, 0)
    assert names_in(division) == {"train": ["1", "2"], "val": ["3"], "test": []}
    assert division.drawn is None


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UserError, match="two pairs of the train split are called '1'"):
        divide(Collection({"train": records(["1", "1"])}), 0, 0, 0)
    with pytest.raises(UserError, match="leave something to train on"):
        divide(undivided(["1", "2"]), 0.6, 0.4, 0)
    with pytest.raises(UserError, match="'dev' is not a split"):
        divide(Collection({"dev": records(["1"])}), 0, 0, 0)


# ---- the split that a run keeps ---------------------------------------------------------------------------------------------


def test_c35_a_run_keeps_its_split(tmp_path: Path) -> None:
    names = [str(n) for n in range(30)]
    first = divide(undivided(names), 0.2, 0.2, 0)
    assert first.drawn is not None
    first.drawn.save(tmp_path / SPLITS_FILE)
    stored = StoredSplit.load(tmp_path / SPLITS_FILE)
    again = divide(undivided([*names, "new1", "new2"]), 0.3, 0.3, 7, stored=stored)
    assert names_in(again) == names_in(first)
    assert again.notes == ["2 pairs were added since this run was trained and are not used: new1, new2"]
    trained, tested = first.splits["train"][0].name, first.splits["test"][0].name
    fewer = divide(undivided([name for name in names if name not in (trained, tested)]), 0.2, 0.2, 0, stored=stored)
    assert fewer.gone["train"] == [trained]
    assert fewer.gone["test"] == [tested]
    assert stored is not None
    with pytest.raises(UserError, match=rf"1 of the pairs that this run was trained on are not in here any more \({trained}\)"):
        stored.check(fewer, "here")


def test_domains_keep_their_splits_apart(tmp_path: Path) -> None:
    picture = FilePicture(("x.png",))
    sides = [Single(str(n), picture) for n in range(30)], [Single(f"b{n}", picture) for n in range(20)]
    first = divide(Collection(domains={"all": sides}), 0.2, 0.2, 0)
    assert first.drawn is not None
    assert set(first.drawn.parts) == {"A", "B"}
    first.drawn.save(tmp_path / SPLITS_FILE)
    more = sides[0], [*sides[1], Single("b20", picture)]
    again = divide(Collection(domains={"all": more}), 0.2, 0.2, 0, stored=StoredSplit.load(tmp_path / SPLITS_FILE))
    assert names_in(again) == names_in(first)
    assert again.notes == ["1 picture of domain B was added since this run was trained and is not used: b20"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "pairs": {"train": [1], "val": [], "test": []}}', '{"format": 1, "pairs": {}}',
             '{"pairs": {"train": [], "val": [], "test": []}}']
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SPLITS_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"splits\.json is damaged.*copy the run again"):
        StoredSplit.load(tmp_path / SPLITS_FILE)
    assert StoredSplit.load(tmp_path / "none.json") is None


@pytest.mark.parametrize("kind", ["split", "left out"])
def test_no_flipped_bit_of_a_run_s_lists_is_taken_for_whole(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "list.json"
    if kind == "split":
        StoredSplit({"pairs": {"train": ["a1", "a2"], "val": ["b"], "test": []}}).save(file)
    else:
        save_left_out(file, [LeftOut("train", "a1", ("A/a1.png",), "no image")])
    load = StoredSplit.load if kind == "split" else load_left_out
    found, whole = load(file), file.read_bytes()
    refusals = 0
    for what, data in [*flips(whole, 100), *cuts(whole, 20)]:
        file.write_bytes(data)
        try:
            assert load(file) == found, what  # a space between two values, or the word that names the digest
        except UserError:
            refusals += 1
    assert refusals > 150


# ---- groups -----------------------------------------------------------------------------------------------------------------

PATCHES = [f"patient{patient}_{n}" for patient in range(12) for n in range(10)]


def test_c31_names_that_look_like_pieces_are_noted() -> None:
    (note,) = divide(undivided(PATCHES), 0.1, 0.1, 0).notes
    assert "look like pieces of 12 things" in note
    assert "--data.group" in note
    tiles = [f"scene{scene}_x{x}_y{y}" for scene in range(5) for x in range(6) for y in range(6)]
    (note,) = divide(undivided(tiles), 0.1, 0.1, 0).notes
    assert "look like pieces of 5 things" in note
    for ordinary in ([f"img_{n:03}" for n in range(100)], [str(n) for n in range(100)], [f"a{n}b" for n in range(100)]):
        assert divide(undivided(ordinary), 0.1, 0.1, 0).notes == []


def test_c31_the_recommended_pattern_keeps_pieces_together() -> None:
    (note,) = divide(undivided(PATCHES), 0.1, 0.1, 0).notes
    pattern = note.partition("--data.group '")[2].partition("'")[0]
    division = divide(undivided(PATCHES), 0.2, 0.2, 0, group=pattern)
    patients = {part: {name.partition("_")[0] for name in names} for part, names in names_in(division).items()}
    assert all(patients.values())
    assert sum(map(len, patients.values())) == 12
    assert division.notes == []


def test_c31_groups_by_folder_and_by_a_manifests_column() -> None:
    foldered = [f"{patient}/{n}" for patient in "abcdef" for n in range(5)]
    parts = names_in(divide(undivided(foldered), 0.2, 0.2, 0, group="parent"))
    folders = [{name[0] for name in names} for names in parts.values()]
    assert sum(map(len, folders)) == 6
    given = {str(n): "odd" if n % 2 else "even" for n in range(20)}
    parts = names_in(divide(undivided(list(given), given), 0.3, 0, 0))
    assert {part: {given[name] for name in names} for part, names in parts.items()}["train"] != {"odd", "even"}


def test_c31_groups_in_two_given_splits_are_noted() -> None:
    divided = Collection({"train": records(["p1_1", "p1_2", "p2_1"]), "test": records(["p2_2", "p3_1"])})
    assert divide(divided, 0, 0, 0, group="^(p.)").notes == [
        "1 group is both in the training set and in a held-out one, so their scores will be too good: p2"
    ]
    assert divide(divided, 0, 0, 0).notes == []


def test_c31_files_of_one_folder_on_both_sides_are_noted() -> None:
    foldered = [f"patient{patient}/{n}" for patient in range(6) for n in range(12)]
    (note,) = divide(undivided(foldered), 0.2, 0.2, 0).notes
    assert "such as those of patient0" in note
    assert "--data.group parent" in note
    assert divide(undivided(foldered), 0.2, 0.2, 0, group="parent").notes == []


def test_c31_a_pattern_that_tells_nothing_apart_is_refused() -> None:
    with pytest.raises(UserError, match=r"puts all 120 names into one group \('patient'\), which cannot be divided: .* column group"):
        divide(undivided(PATCHES), 0.1, 0.1, 0, group="patient")


@pytest.mark.parametrize(("group", "message"), [("(", "is no regular expression"), ("^x", "finds no group in any name, such as 'a'")])
def test_patterns_that_are_none(group: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        divide(undivided(["a", "b"]), 0.1, 0.1, 0, group=group)
