"""What files say, bounded: no alias, depth, size or number of digits takes memory or time."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfigure import stored
from transfigure.stored import check_tree, load_json, load_yaml, read_json, read_lines, read_yaml

ALIASES = "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))])
"""A thousand letters that stand for 10^12 values."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALIASES, "50,000 values"),
        ("a: &a [*a]", "inside itself"),
        ("[" * 300 + "]" * 300, "too deep"),
        ("[" * 100_000, "too deep"),
        ("a: " + "1" * 4301, "thousands of digits"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: 2024-13-45", "month"),
        ("a: [", "parsing"),
        ("x" * (stored.LARGEST_YAML + 1), "the most"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_yaml_beyond_bounds_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        load_yaml(text)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500


def test_yaml_with_aliases_that_people_write() -> None:
    assert load_yaml("base: &b {x: 1}\none: {<<: *b, y: 2}\ntwo: *b") == {"base": {"x": 1}, "one": {"x": 1, "y": 2}, "two": {"x": 1}}
    assert load_yaml("") is None


@pytest.mark.parametrize(("text", "words"), [("[" * 100_000, "too deep"), ("1" * 4301, "thousands of digits"), ("{", "Expecting")])
def test_json_beyond_bounds_is_a_value_error(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_json(text)


def test_files_are_measured_before_they_are_read(tmp_path: Path) -> None:
    for name, read, most in (("a.yaml", read_yaml, stored.LARGEST_YAML), ("a.json", read_json, stored.LARGEST_JSON)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(1 << 40)  # a terabyte of nothing, on no disk
        with pytest.raises(ValueError, match=f"1,099,511,627,776 bytes, where {most:,}"):
            read(tmp_path / name)


def test_a_line_without_end_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\n" + b"x" * (3 << 20) + b"\ntwo\r\n" + b"y" * (stored.LONGEST_LINE - 1) + b"\nlast")
    found = list(read_lines(tmp_path / "log"))
    assert found == [b"one", None, b"two", b"y" * (stored.LONGEST_LINE - 1), b"last"]


def test_a_tree_that_holds_its_parts_many_times_is_counted_as_it_is_walked() -> None:
    part: list[object] = [0]
    for _ in range(40):
        part = [part, part]
    with pytest.raises(ValueError, match="more than"):
        check_tree({"a": part})
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="inside itself"):
        check_tree(loop)
    check_tree({"a": [1, 2, {"b": None}]})
