"""evaluation.json: written as it is defined, read back as it was written, of version 1 too, and forgiving of damage."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.errors import UserError
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import FILE, OF_FILES, VERSION, EvaluationRecord, Facts, Panel, Row, finite

VERSION_1 = Path(__file__).parent / "version1"
"""Two evaluations that transfigure 0.1.0 wrote: of two unpaired folders, and of a model on two domains."""

ROW = Row("precision", "Precision", "", "higher", 0.5, 0.25, 0.75, 12, {"source copied": 0.125}, network="Inception", of="prdc")
SKIPPED = Row("fid", "FID", "", "lower", None, None, None, 0, skipped="the weights are not here", of="fid")
FACTS = Facts(
    "test", "facades", "middle 32 x 32", False, "last", "runs/a", {"noise": "dropout"}, "0 to 4095", {"fid.resize": "clean"}, 7, "m", 0.5
)  # fmt: skip
FACTS.channel_names = {"target": ["DAPI", "MAP2"]}
FACTS.scored, FACTS.scored_share = "the middle 32 x 32 of images of 64 x 48", 1 / 3
PANELS = [
    Panel("a", "best", 0.9, "panels/00_source.png", "panels/00_generated.png", "panels/00_target.png", "4096 x 4096"),
    Panel("b", target="t.png"),
]


def old(name: str, folder: Path) -> EvaluationRecord:
    folder.mkdir()
    (folder / FILE).write_bytes((VERSION_1 / f"{name}.json").read_bytes())
    return EvaluationRecord.read(folder)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    record = EvaluationRecord([ROW, SKIPPED], FACTS, PANELS)
    record.write(tmp_path)
    assert EvaluationRecord.read(tmp_path) == record
    assert json.loads((tmp_path / FILE).read_text())["version"] == VERSION


def test_a_result_is_read_back_but_for_the_scores_of_images(tmp_path: Path) -> None:
    result = Evaluation(
        [Row("ssim", "SSIM", "", "higher", 0.5, 0.4, 0.6, 2, of="ssim")], Facts("val"), scores={"ssim": [0.4, 0.6]}, names=["x", "y"]
    )
    result.save(tmp_path)
    record = EvaluationRecord.read(tmp_path)
    assert (record.rows, record.about, record.panels) == (result.rows, result.about, [])
    assert (record.about.n, record.about.ranked_by, record.about.worst, record.about.best) == (2, "ssim", ["x", "y"], ["y", "x"])


def test_every_fact_is_a_key_of_the_file(tmp_path: Path) -> None:
    full = Facts(**{**vars(FACTS), "ranked_by": "ssim", "worst": ["a"], "best": ["b"], "notes": ["dark"], "seconds": 1.5, "n": 3})
    EvaluationRecord([], full).write(tmp_path)
    keys = json.loads((tmp_path / FILE).read_text()).keys()
    assert keys == {"version", "rows", "panels", "transfigure", *(item.name for item in fields(Facts))} - {"more"}
    assert full["split"] == "test" and full["n"] == 3
    with pytest.raises(KeyError):
        full["spilt"]


def test_folders_of_version_1(tmp_path: Path) -> None:
    record = old("folders", tmp_path / "old")
    assert record.about == Facts(
        data="generated against target, unpaired", resize="none", checkpoint=OF_FILES, model="generated", target_images=8, seconds=0.24, n=8
    )
    assert record.about["against"] == 8, "the key by which 0.1.0 had it"
    frechet, l1 = record.rows
    assert (frechet.metric, frechet.value, frechet.bounds, frechet.skipped) == (
        "random_frechet", 18.479051100867476, {"target itself": 1.9038627868894338}, "",
    )  # fmt: skip
    assert l1.value is None and l1.skipped.startswith("needs pairs")


def test_domains_of_version_1(tmp_path: Path) -> None:
    record = old("domains", tmp_path / "old")
    assert not record.about.paired and record.about.target_images is None and record.about["truth"] is False
    assert (record.about.split, record.about.checkpoint, record.about.n) == ("test", "last (12 images)", 7)
    assert record.about.inference == {"norm": "batch", "noise": "dropout", "seed": 0}
    assert [row.metric for row in record.rows] == ["l1", "diversity", "detail"]


@pytest.mark.parametrize("name", ["folders", "domains"])
def test_version_1_becomes_this_version_when_it_is_written_again(name: str, tmp_path: Path) -> None:
    record = old(name, tmp_path / "old")
    record.write(tmp_path / "new")
    assert EvaluationRecord.read(tmp_path / "new") == record
    written = json.loads((tmp_path / "new" / FILE).read_text())
    assert written["version"] == VERSION and not {"against", "truth"} & written.keys()
    assert written["rows"] == json.loads((VERSION_1 / f"{name}.json").read_text())["rows"]


def test_keys_of_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"split": "val", "operator": {"name": "x"}, "rows": []}))
    record = EvaluationRecord.read(tmp_path)
    record.replace_rows([ROW])
    record.write(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["operator"] == {"name": "x"} == EvaluationRecord.read(tmp_path).about["operator"]


def test_rows_take_the_place_of_rows_of_the_same_names() -> None:
    record = EvaluationRecord([ROW, SKIPPED], FACTS)
    better = Row(**{**vars(ROW), "value": 0.75})
    record.replace_rows([better])
    assert record.rows == [SKIPPED, better]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "transfigure evaluate"),
        ("{", "cannot be read"),
        ("[1]", "not one JSON object"),
        ("[" * 100_000, "cannot be read"),
        (f'{{"version": {VERSION + 1}}}', "written by a newer program"),
    ],
)
def test_what_is_no_evaluation(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=words):
        EvaluationRecord.read(tmp_path)


def test_every_key_is_on_the_page_of_the_run_directory() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "run-directory.md").read_text(encoding="utf-8")
    section = page[page.index("## evaluation.json") : page.index("## An ablation")]
    keys = {*["version", "rows", "panels", "transfigure", "files"]}
    keys |= {item.name for kind in (Facts, Row, Panel) for item in fields(kind)} - {"more"}
    assert keys == {key for key in keys if f"`{key}`" in section}


def test_only_finite_numbers_are_numbers() -> None:
    assert finite(3) == 3.0
    assert [finite(value) for value in (None, True, "3", math.nan, -math.inf, 10**400, [])] == [None] * 7


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([item.name for item in fields(Facts)] + ["against", "truth", "x"]), anything),
    st.lists(st.dictionaries(st.sampled_from([item.name for item in fields(Row)]), anything) | anything, max_size=2) | anything,
    st.lists(st.dictionaries(st.sampled_from([item.name for item in fields(Panel)]), anything) | anything, max_size=2) | anything,
)
@settings(max_examples=200)
def test_damage_is_left_out(facts: dict[str, Any], rows: Any, panels: Any) -> None:
    record = EvaluationRecord.from_dict({**facts, "rows": rows, "panels": panels})
    numbers = [number for row in record.rows for number in (row.value, row.low, row.high, row.n, *row.bounds.values())]
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert all(isinstance(text, str) for row in record.rows for text in (row.metric, row.label, row.skipped, row.of))
    again = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert EvaluationRecord.from_dict(again).rows == record.rows


def test_what_was_scored_in_words() -> None:
    assert FACTS.pixels_scored == "scored: the middle 32 x 32 of images of 64 x 48 (33 % of their pixels)"
    older = Facts.from_dict({"split": "test", "resize": "middle 128 x 128"})
    assert older.pixels_scored == "resize: middle 128 x 128", "versions 1 and 2 have no other words"
    assert (older.scored, older.scored_share) == ("", None)
    assert Facts.from_dict({"scored": 3, "scored_share": "half"}).scored_share is None
