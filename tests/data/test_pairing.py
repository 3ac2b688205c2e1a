"""Names find their partners, and nothing else does."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transfigure.data.pairing import Pairing, match
from transfigure.errors import UserError


def names_of(pairing: Pairing, a: list[str], b: list[str]) -> dict[str, tuple[str, str]]:
    return {name: (a[i], b[j]) for i, j, name in pairing.pairs}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (["1.jpg", "2.png"], ["2.jpg", "1.jpg"], {"1": ("1.jpg", "1.jpg"), "2": ("2.png", "2.jpg")}),
        (["12_A.jpg", "7_A.jpg"], ["7_B.jpg", "12_B.jpg"], {"12": ("12_A.jpg", "12_B.jpg"), "7": ("7_A.jpg", "7_B.jpg")}),
        (["photo_7.jpg", "photo_8.jpg"], ["label_8.png", "label_7.png"],
         {"7": ("photo_7.jpg", "label_7.png"), "8": ("photo_8.jpg", "label_8.png")}),
        (["u_7_leftImg8bit.png", "u_9_leftImg8bit.png"], ["u_9_gtFine_color.png", "u_7_gtFine_color.png"],
         {"u_7": ("u_7_leftImg8bit.png", "u_7_gtFine_color.png"), "u_9": ("u_9_leftImg8bit.png", "u_9_gtFine_color.png")}),
        (["x/1.png", "y/1.png"], ["y/1.png", "x/1.png"], {"x/1": ("x/1.png", "x/1.png"), "y/1": ("y/1.png", "y/1.png")}),
        (["img_10.png", "img_11.png"], ["lab_10.png", "lab_11.png", "lab_20.png"],
         {"10": ("img_10.png", "lab_10.png"), "11": ("img_11.png", "lab_11.png")}),
        (["img_10.png", "img_11.png"], ["0.png", "1.png"], {}),
        (["photo_cat.png", "photo_car.png"], ["label_cat.png", "label_car.png", "label_dog.png"],
         {"cat": ("photo_cat.png", "label_cat.png"), "car": ("photo_car.png", "label_car.png")}),
        (["photo_cat.png", "photo_car.png"], ["t.png", "r.png"], {}),
        (["p_2020_1_x.png", "p_2020_2_x.png"], ["l_2020_1_y.png", "l_2020_2_y.png", "l_2021_1_y.png"],
         {"2020_1": ("p_2020_1_x.png", "l_2020_1_y.png"), "2020_2": ("p_2020_2_x.png", "l_2020_2_y.png")}),
        (["7_A.png"], ["7_B.png"], {"7": ("7_A.png", "7_B.png")}),
        (["photo_7.png"], ["label_7.png"], {"7": ("photo_7.png", "label_7.png")}),
        (["img_1.png"], ["img_2.png"], {}),
        (["7_A.png"], ["8_B.png"], {}),
        (["7_A.png"], ["7_B.png", "8_B.png"], {"7": ("7_A.png", "7_B.png")}),
        (["IMG_1.png", "IMG_2.png"], ["img_1.png", "img_2.png"], {"1": ("IMG_1.png", "img_1.png"), "2": ("IMG_2.png", "img_2.png")}),
        (["Cat.png", "dog.png"], ["DOG.png", "cat.png"], {"cat": ("Cat.png", "cat.png"), "dog": ("dog.png", "DOG.png")}),
        (["IMG_1.png", "img_1.png"], ["img_1.png"], {"img_1": ("img_1.png", "img_1.png")}),
        (["a.png"], ["b.png"], {}),
        ([], ["b.png"], {}),
        (["1.jpg", "1.png"], ["1.png", "1.jpg"], {"1.jpg": ("1.jpg", "1.jpg"), "1.png": ("1.png", "1.png")}),
        (["t1_007.png", "t1_008.png"], ["t2_008.png", "t2_007.png"],
         {"007": ("t1_007.png", "t2_007.png"), "008": ("t1_008.png", "t2_008.png")}),
    ],
)  # fmt: skip
def test_examples(a: list[str], b: list[str], expected: dict[str, tuple[str, str]]) -> None:
    assert names_of(match(a, b), a, b) == expected


def test_a_missing_file_does_not_shift_the_others() -> None:
    a = [f"{n}_A.jpg" for n in range(10)]
    b = [f"{n}_B.jpg" for n in range(10) if n != 3]
    pairing = match(a, b)
    assert all(a[i].split("_")[0] == b[j].split("_")[0] == name for i, j, name in pairing.pairs)
    assert (len(pairing.pairs), pairing.only_a, pairing.only_b) == (9, ["3_A.jpg"], [])


def test_notes_count_and_name_the_lonely() -> None:
    pairing = match([f"{n}.png" for n in range(12)], [f"{n}.png" for n in range(5, 13)])
    assert pairing.notes("A", "B") == [
        "5 of 12 files in A have no partner in B: 0.png, 1.png, 2.png and 2 more",
        "1 of 8 files in B has no partner in A: 12.png",
    ]


def test_notes_say_what_was_taken_off() -> None:
    assert match(["1_A.png", "2_A.png"], ["1_B.png", "2_B.png"]).notes("X", "Y") == ["paired *_A of X with *_B of Y"]


@pytest.mark.parametrize(("a", "b"), [(["1.jpg", "1.png"], ["1.png"]), (["IMG.png", "Img.png"], ["img.png"])])
def test_ambiguity_is_refused(a: list[str], b: list[str]) -> None:
    with pytest.raises(UserError, match=r"of photos could each belong to .* of labels: remove one"):
        match(a, b, ("photos", "labels"))


keys = st.lists(st.text("ab019_-", min_size=1, max_size=6), min_size=1, max_size=12, unique=True)
affixes = st.sampled_from(["", "A_", "photo_", "_B", "-label", "_8bit", "x/"])


@given(keys, keys, affixes, affixes, st.randoms(use_true_random=False))
def test_order_does_not_matter(a: list[str], b: list[str], prefix: str, suffix: str, rng: random.Random) -> None:
    a, b = [f"{prefix}{key}.png" for key in a], [f"{key}{suffix}.png" for key in b]
    first = match(a, b)
    other_a, other_b = rng.sample(a, len(a)), rng.sample(b, len(b))
    second = match(other_a, other_b)
    assert [(a[i], b[j], name) for i, j, name in first.pairs] == [(other_a[i], other_b[j], name) for i, j, name in second.pairs]
    assert (first.only_a, first.only_b) == (second.only_a, second.only_b)


@given(keys, keys)
def test_nothing_is_used_twice_or_lost(a: list[str], b: list[str]) -> None:
    a, b = [f"{key}.png" for key in a], [f"{key}.png" for key in b]
    pairing = match(a, b)
    for side, used, lonely in (
        (a, [i for i, _, _ in pairing.pairs], pairing.only_a),
        (b, [j for _, j, _ in pairing.pairs], pairing.only_b),
    ):
        assert sorted([side[k] for k in used] + lonely) == sorted(side)
    assert len({name for _, _, name in pairing.pairs}) == len(pairing.pairs)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30, unique=True), st.sampled_from(["_A", "-photo", "_leftImg8bit"]),
       st.sampled_from(["_B", "-label", "_gtFine_color"]), st.integers(0, 5), st.booleans())  # fmt: skip
def test_numbers_with_a_constant_affix_find_their_number(numbers: list[int], end_a: str, end_b: str, dropped: int, in_front: bool) -> None:
    kept = numbers[min(dropped, len(numbers) - 2) :]
    a = [f"{end_a[1:]}_{n}.png" if in_front else f"{n}{end_a}.png" for n in numbers]
    b = [f"{end_b[1:]}_{n}.png" if in_front else f"{n}{end_b}.png" for n in reversed(kept)]
    assume(len(kept) >= 2)
    pairing = match(a, b)
    assert {name for _, _, name in pairing.pairs} == {str(n) for n in kept}
    assert all(str(numbers[i]) == name and str(kept[::-1][j]) == name for i, j, name in pairing.pairs)
