from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfigure.errors import UserError
from transfigure.reporting.run_files import LOOKED_FOR, Log, RunFiles


def test_everything_is_read(run: Path) -> None:
    files = RunFiles.read(run)
    assert files.recipe["generator"]["name"] == "unet"
    assert files.environment["torch"] == "2.13.0"
    assert len(files.log.steps) == 160 and len(files.log.validations) == 20 and len(files.log.health) == 1
    assert files.log.images == 8000 and files.log.images_per_epoch == 400
    assert files.log.best is not None and files.log.best["images"] == 6000
    assert files.log.names("terms") == ["l1"] and files.log.names("metrics") == ["l1", "psnr", "ssim"]
    assert [sample.index for sample in files.samples] == [0, 1]
    assert [seen for seen, _ in files.samples[0].moments] == list(range(1000, 8001, 1000))
    assert files.evaluation is not None and files.evaluation.ranked_by == "SSIM"
    assert {metric: len(values) for metric, values in files.evaluation.per_image.items()} == {"psnr": 128, "ssim": 128, "l1": 128}
    assert files.notes == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a directory"):
        RunFiles.read(tmp_path / "nowhere")


def test_a_directory_that_is_no_run_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "holiday.png").touch()
    with pytest.raises(UserError, match="is neither a run directory nor an evaluation") as caught:
        RunFiles.read(tmp_path)
    assert all(name in str(caught.value) for name in LOOKED_FOR)


def test_an_evaluation_alone_is_no_run(folders: Path, run: Path) -> None:
    files = RunFiles.read(folders)
    assert files.alone and files.evaluation is not None and files.evaluation.of_files and not files.evaluation.of_sets
    assert [list(panel.files) for panel in files.evaluation.panels] == [["generated", "target"]] * 4
    assert files.notes == [] and files.log.images is None and files.samples == []
    assert RunFiles.read(run / "evaluation").alone and not RunFiles.read(run).alone
    (run / "evaluation.json").write_text("{}")
    assert not RunFiles.read(run).alone, "a stray file does not make a run an evaluation"
    (folders / "samples").mkdir()
    assert RunFiles.read(folders).alone, "nor an empty folder an evaluation a run"


def test_damaged_lines_are_counted_and_the_others_kept(run: Path) -> None:
    log = run / "log.jsonl"
    whole = len(Log.read(log).steps)
    with log.open("ab") as file:
        file.write(b'\n{"kind": "step", "images": 90\n[1, 2]\n{"kind": "step"}\n\xff\xfe\n{"kind": "step", "images": 8050, "g": 1')
    files = RunFiles.read(run)
    assert len(files.log.steps) == whole
    assert files.log.damaged == 5
    assert any("5 lines" in note for note in files.notes)


def test_a_resume_makes_later_lines_void(tmp_path: Path) -> None:
    lines = [{"kind": "start", "images": 0}, *({"kind": "step", "images": n, "g": 1.0} for n in (50, 100, 150))]
    lines += [{"kind": "resume", "images": 100}, {"kind": "step", "images": 150, "g": 2.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    log = Log.read(tmp_path / "log.jsonl")
    assert log.series("g") == [(50, 1.0), (100, 1.0), (150, 2.0)]
    assert log.replaced == 1


def test_values_that_are_not_finite_become_gaps(tmp_path: Path) -> None:
    values = ["NaN", "null", "Infinity", '"high"', "true", "1e999", "3"]
    (tmp_path / "log.jsonl").write_text("\n".join(f'{{"kind":"step","images":{n},"g":{value}}}' for n, value in enumerate(values)))
    points = Log.read(tmp_path / "log.jsonl").series("g")
    assert [math.isnan(value) for _, value in points] == [True] * 6 + [False]


@pytest.mark.parametrize("content", ["", "[]", "{", "[[[[", "\x00"])
def test_damaged_json_and_yaml_become_notes(run: Path, content: str) -> None:
    for name in ("environment.json", "evaluation/evaluation.json"):
        (run / name).write_text(content)
    (run / "recipe.yaml").write_text("a: [1\nb: }")
    files = RunFiles.read(run)
    assert files.environment == {} and files.evaluation is None and files.recipe == {}
    assert len(files.notes) == 3
    assert files.recipe_text.startswith("a: [1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "images", "epoch", "metrics", "l1", "terms", "g", "best"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=8), st.text(max_size=20))
def test_no_log_is_too_strange(lines: list[object], rubbish: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        kinds = ("step", "validation", "health", "start", "resume", "end")
        known = [{"images": n, **line, "kind": kinds[n % 6]} for n, line in enumerate(lines) if isinstance(line, dict)]
        path.write_text("\n".join(json.dumps(line) for line in [*lines, *known]) + "\n" + rubbish, encoding="utf-8", errors="replace")
        log = Log.read(path)
    assert all(isinstance(value, float) for _, value in log.series("g"))
    assert log.images is None or isinstance(log.images, int)
    assert log.images_per_epoch is None or log.images_per_epoch == log.images_per_epoch
    for name in (*log.names("terms"), *log.names("metrics")):
        log.series(name, "terms")
        log.validation(name)
