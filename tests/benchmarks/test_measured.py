"""The shape that benchmarks write, and the table that shows two of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("measured")


def test_what_is_written_is_read_back(measured: ModuleType, tmp_path: Path) -> None:
    written = measured.Measured("training", {"size": 64}, [measured.Row("ours", "images/s", [2.0, 3.0, 1.0])])
    written.write(tmp_path / "a.json")
    read = measured.Measured.read(tmp_path / "a.json")
    assert read == written
    assert read.rows[0].median == 2.0 and read.rows[0].spread() == "(1 to 3)"
    assert read.machine["cores"].isdigit() and read.versions["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": 3}', '{"rows": [{"name": "a", "unit": "s", "values": []}]}', '{"rows": [{"values": ["a"]}]}']
)
def test_another_file_ends_in_a_sentence(measured: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SystemExit, match=r"a\.json is not what a benchmark writes"):
        measured.Measured.read(tmp_path / "a.json")


def test_two_are_shown_side_by_side(measured: ModuleType) -> None:
    compare = importlib.import_module("compare")

    def made(values: list[float], **machine: str) -> object:
        return measured.Measured("training", {"size": 64}, [measured.Row("ours", "images/s", values)], machine, {"torch": "1"})

    text = compare.words(made([2.0, 2.2, 2.1], cores="2"), made([4.0, 4.4, 4.2], cores="4"))
    assert text.splitlines()[0] == "note: machine differ: cores: 2, and 4"
    assert "2.00 x" in text and "within the spread" not in text and "(2 to 2.2)" in text
    alike = compare.words(made([2.0, 2.2, 2.1], cores="2"), made([2.15, 2.3, 2.25], cores="2"))
    assert "note" not in alike and "within the spread" in alike
    other = measured.Measured("data", {}, [measured.Row("theirs", "s", [1.0])], {}, {"torch": "2"})
    apart = compare.words(made([2.0]), other)
    assert "two benchmarks, training and data" in apart and "size: 64, and not said" in apart and "torch: 1, and 2" in apart
    assert apart.count(" - ") >= 1 and " x" not in apart.splitlines()[-1]


def test_ratios_are_of_one_round_each(measured: ModuleType) -> None:
    assert measured.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError):
        measured.ratios([1.0], [1.0, 2.0])


def test_the_page_of_performance_is_what_its_files_say(measured: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """``python benchmarks/performance.py docs/results/performance > docs/performance.md`` makes it anew."""
    docs = BENCHMARKS.parent / "docs"
    importlib.import_module("performance").main([str(docs / "results" / "performance")])
    assert capsys.readouterr().out == (docs / "performance.md").read_text(encoding="utf-8")


def test_a_number_that_was_not_measured_is_missed(measured: ModuleType) -> None:
    performance = importlib.import_module("performance")
    known = {"data": performance.EXAMPLE}
    assert performance.filled("{data|ours} and {data|ours: against Pillow|.2f}", known) == "2.25 and 3.50"
    for place in ("{data|theirs}", "{other|ours}"):
        with pytest.raises(SystemExit, match="which is in none of the files"):
            performance.filled(place, known)
