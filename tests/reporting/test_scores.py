"""Reading an evaluation back: rows, per-image scores and pictures, whole or damaged."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transfigure.metrics.metric import TARGET_ITSELF
from transfigure.reporting.run import words
from transfigure.reporting.run.table import evaluated, table
from transfigure.reporting.run_files import RunFiles
from transfigure.reporting.scores import CEILINGS, ITSELF, EvaluationView, Score

from .run.example import rows_of_every_kind


def test_a_panel_cannot_reach_out_of_the_run(run: Path) -> None:
    secret = run.parent / "secret.png"
    secret.write_bytes(b"x")
    (run / "evaluation" / "link.png").symlink_to(secret)
    path = run / "evaluation" / "evaluation.json"
    evaluation = json.loads(path.read_text())
    evaluation["panels"] = [{"name": "a", "source": "../../secret.png", "generated": str(secret), "target": "link.png"}]
    path.write_text(json.dumps(evaluation))
    files = RunFiles.read(run)
    assert files.evaluation is not None
    (panel,) = files.evaluation.panels
    assert panel.files == {"source": None, "generated": None, "target": None}


def test_scores_that_are_not_finite_are_left_out_and_counted(run: Path) -> None:
    (run / "evaluation" / "per_image.csv").write_text("name,psnr\na,1.5\nb,nan\nc,\nd,inf\ne\nf,2.5\n")
    files = RunFiles.read(run)
    assert files.evaluation is not None and files.evaluation.per_image == {"psnr": [1.5, 2.5]}
    assert any("4 scores" in note for note in files.notes)


def test_a_row_carries_its_origin() -> None:
    rows = {row["metric"]: Score.from_dict(row) for row in rows_of_every_kind()}
    fid = rows["fid"]
    assert fid.network.startswith("Inception") and len(fid.weights) == 64 and fid.resize.endswith("TensorFlow 1 does")
    assert fid.checkpoint.startswith("best") and "2,048" in fid.caution and fid.skipped == "" and fid.of == "fid"
    assert rows["lab_histogram_a"].of == "lab_histogram"
    assert rows["dists"].value is None and "Inception" in rows["dists"].skipped
    bare = Score.from_dict({"metric": "l1"})
    assert (bare.label, bare.of, bare.caution, bare.skipped, bare.weights, bare.bounds) == ("l1", "l1", "", "", "", {})


def test_what_beats_the_translator() -> None:
    higher = Score.from_dict({"metric": "psnr", "better": "higher", "value": 10, "bounds": {"copied": 12, "mean": 8, "odd": None}})
    lower = Score.from_dict({"metric": "l1", "better": "lower", "value": 10, "bounds": {"copied": 12, "mean": 8}})
    assert higher.beaten_by() == ["copied"] and lower.beaten_by() == ["mean"]
    assert Score.from_dict({"metric": "psnr", "better": "higher", "value": math.nan, "bounds": {"copied": 12}}).beaten_by() == []


def test_a_ceiling_beats_nobody() -> None:
    assert ITSELF == TARGET_ITSELF
    bounds = {**dict.fromkeys(CEILINGS, 12.0), "source copied": 11.0, "mean training target": 9.0}
    assert Score.from_dict({"better": "higher", "value": 10, "bounds": bounds}).beaten_by() == ["source copied"]


def test_a_perfect_score_is_worth_no_comparison_but_halves_of_the_targets_are(run: Path) -> None:
    rewrite(run, rows=rows_of_every_kind())
    files = RunFiles.read(run)
    assert files.evaluation is not None
    scores = {score.metric: score for score in files.evaluation.scores}
    assert {name for name, score in scores.items() if ITSELF in score.bounds and ITSELF not in score.telling()} == {"l1", "psnr", "ssim"}
    assert scores["fid"].telling() == {"target itself": 88.3, "source copied": 301.2}
    assert "real photos" in scores["fcn_accuracy"].telling()
    (run / "evaluation" / "per_image.csv").unlink()
    files = RunFiles.read(run)
    assert files.evaluation is not None
    assert not any(ITSELF in score.telling() for score in files.evaluation.scores), "nobody knows now whose it is"


def test_a_source_that_nobody_promised_is_not_missed(run: Path) -> None:
    panels = [{"generated": "panels/0000_generated.png", "target": "gone.png"}, {"source": None}, {"source": "gone.png"}]
    rewrite(run, panels=panels)
    files = RunFiles.read(run)
    assert files.evaluation is not None
    assert [list(panel.files) for panel in files.evaluation.panels] == [["generated", "target"]] * 2 + [["source", "generated", "target"]]
    assert files.evaluation.panels[0].files["generated"] is not None and files.evaluation.panels[0].files["target"] is None


strange = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["higher", "lower", "ssim", "files"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CEILINGS, "source copied"]), inner),
    max_leaves=6,
)
number = st.none() | st.integers() | st.floats()
scored = st.fixed_dictionaries(
    {
        **{"metric": st.just("ssim"), "value": number, "better": st.sampled_from(["higher", "lower"])},
        "bounds": st.dictionaries(st.sampled_from([*CEILINGS, "source copied"]), number, min_size=1),
    },
    optional={"low": number, "high": number},
)
"""A row that can be drawn between its bounds, however wild its numbers are."""
KEYS = [*Score.__dataclass_fields__, "of", "bounds"]
FACTS = ["n", "split", "data", "against", "checkpoint", "ranked_by", "seconds", "rows", "panels", "resize"]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), strange) | scored, max_size=5), st.dictionaries(st.sampled_from(FACTS), strange))
def test_no_evaluation_is_too_strange(rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "evaluation.json").write_text(json.dumps({"rows": rows, **facts}))
        files = RunFiles.read(Path(folder))
        assert isinstance(files.evaluation, EvaluationView)
        found = table(files.evaluation)
        evaluated(files.evaluation)
        words.summary(files)
        assert words.title(files)
    for line in found.lines:
        if line.place:
            at = [line.place.value, line.place.start, line.place.start + line.place.width, *(where for _, where, _ in line.place.bounds)]
            assert all(3.9 <= where <= 96.1 for where in at)


def rewrite(run: Path, **changes: Any) -> None:
    path = run / "evaluation" / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
