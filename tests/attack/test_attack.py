"""A few hundred mutations and a dozen kills by fixed seeds; that every verb and every format has its turn; that faults are seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.attack import children
from tests.attack.campaign import changes, fingerprints, judge, kind_of, plan
from tests.attack.kills import MODES, TASKS, timeless
from tests.attack.mutations import KINDS, mutate
from tests.attack.subjects import SUBJECTS, WITHOUT_FILES, digest
from tests.attack.workspace import PICTURES
from transfigure.cli.commands import names
from transfigure.data import images

ROOT = Path(__file__).parents[2]


SAMPLED, MORE = 160, 60


@pytest.fixture(scope="module")
def attacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, forking_python: str) -> dict[str, Any]:
    """The figures of an attack as ``make attack`` runs it: mutations of what is quick; and if a slow test here wants them, of the same
    workspace every subject unharmed, some more mutations, and trainings, ablations and translations killed at random moments and within
    writes."""
    slow = any(item.path == request.path and item.get_closest_marker("slow") for item in request.session.items)
    more = ["--count", str(MORE), "--first", "100", "--kills", "12"] if slow else ["--count", "0"]
    file = tmp_path_factory.mktemp("attacked") / "figures.json"
    command = [forking_python, "-m", "tests.attack", "--sample", str(SAMPLED), *more, "--jobs", "1", "--json", str(file), "--quiet"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert file.is_file(), done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    assert done.returncode == bool(found["faulty"] or found["unsound"] or found["kills"]["faulty"]), done.stderr
    return found


def test_a_few_hundred_mutations(attacked: dict[str, Any]) -> None:
    assert attacked["unsound"] == []
    assert attacked["faulty"] == []
    assert attacked["mutations"] in (SAMPLED, SAMPLED + MORE)
    assert min(attacked["of"].values()) > attacked["mutations"] / 8


@pytest.mark.slow
def test_some_more_mutations_of_every_subject(attacked: dict[str, Any]) -> None:
    assert attacked["mutations"] == SAMPLED + MORE
    assert attacked["sound"] == len(SUBJECTS)


@pytest.mark.slow
def test_a_dozen_kills(attacked: dict[str, Any]) -> None:
    found = attacked["kills"]
    assert found["faulty"] == []
    assert found["kills"] >= 12 and sum(found["how"].values()) == found["kills"]
    assert found["by task"].keys() == TASKS.keys() and found["how"].keys() <= set(MODES)


def test_only_clocks_are_left_out_of_what_kills_compare() -> None:
    entry = {"kind": "step", "seconds": 3, "images_per_second": 7.0, "terms": {"l1": 0.5, "seconds": 1}, "list": [{"seconds": 1, "a": 2}]}
    assert timeless(entry) == {"kind": "step", "terms": {"l1": 0.5}, "list": [{"a": 2}]}


def test_every_verb_has_its_turn() -> None:
    """A verb without a subject of its own is tried with what most of them take; better is one that knows its files."""
    assert {subject.verb for subject in SUBJECTS.values()} - {""} | set(WITHOUT_FILES) == set(names())
    assert not {subject.verb for subject in SUBJECTS.values()} & set(WITHOUT_FILES)


def test_every_format_has_its_turn_under_every_verb_that_reads_images() -> None:
    formats = {kind for _, kind, _ in PICTURES.values()}
    assert formats == {*images._PLUGINS, "PNM"}
    for verb in ("translate", "train", "evaluate", "folders", "statistics"):
        assert {kind for name, (_, kind, _) in PICTURES.items() if f"{verb} {name}" in SUBJECTS} == formats


def test_a_plan_has_something_of_all_and_is_the_same_each_time() -> None:
    count = sum(subject.weight for subject in SUBJECTS.values())
    turns = plan(count)
    assert turns == plan(count) and len(turns) == len(set(turns)) == count
    assert {name for name, _ in turns} == SUBJECTS.keys()
    assert {kind_of(SUBJECTS[name], seed) for name, seed in turns} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_a_mutation(tmp_path: Path, kind: str) -> None:
    values = {"a": [1, 2.5, "word"], "b": {"c": None, "d": list(range(20))}}
    changed, first, second = 0, tmp_path / "first.json", tmp_path / "second.json"
    for seed in range(60):
        for file in (first, second):
            file.write_text(json.dumps(values))
        words = mutate(first, kind, Random(seed), [])
        if not first.is_file():  # a folder, a pipe or a link in its place
            first.rmdir() if first.is_dir() else first.unlink()
            continue
        assert mutate(second, kind, Random(seed), []) == words
        first.chmod(0o600), second.chmod(0o600)
        assert first.read_bytes() == second.read_bytes()
        changed += first.read_bytes() != json.dumps(values).encode()
    assert changed > 30


# ---- that faults are seen ---------------------------------------------------------------------------------------------------


def ending(
    code: int = 0, stderr: str = "", seconds: float = 1, computed: float = 1, megabytes: float = 300, stdout: str = ""
) -> children.Ending:
    return children.Ending(code, seconds, computed, megabytes, stdout.encode("utf-8", "surrogateescape"), stderr.encode())


TRACEBACK = """Traceback (most recent call last):
  File "/somewhere/transfigure/data/images.py", line 12, in read
    raise KeyError(key)
KeyError: 'a'
"""


@pytest.mark.parametrize(
    ("ended", "fault"),
    [
        (ending(), None),
        (ending(2, "note: one thing\ntransfigure: the file a.png is damaged: copy it again\n"), None),
        (ending(70, TRACEBACK), "traceback: data/images.py:12 in read: KeyError: 'a'"),
        (ending(0, TRACEBACK), "traceback: data/images.py:12 in read: KeyError: 'a'"),
        (ending(-11), "crash: signal SIGSEGV"),
        (ending(-24, computed=12), "hang: 12.0 s of the processor"),
        (ending(-24, seconds=60), "hang: 60 s by the clock"),
        (ending(computed=11), "hang: 11.0 s of the processor"),
        (ending(megabytes=2100), "memory: 2100 MB"),
        (ending(1, "transfigure: not enough memory for this: use a smaller image\n"), "memory: asked for more than there may be"),
        (ending(9, "transfigure: no\n"), "code: 9"),
        (ending(2), "sentence: 0 of ours, and the last line is 'nothing'"),
        (ending(2, "transfigure: one\ntransfigure: two\n"), "sentence: 2 of ours, and the last line is 'transfigure: two'"),
        (ending(2, f"transfigure: {'x' * 12_000}\n"), "sentence: 12013 letters"),
        (ending(2, "transfigure: \x1b[31mred is damaged\n"), "raw: '\\x1b' in what is printed"),
        (ending(stdout="a\udcffb\n"), "raw: '\\udcff' in what is printed"),
        (ending(stderr="x.py:3: UserWarning: careful\n  f()\n"), "warning: x.py:3: UserWarning: careful"),
    ],
)  # fmt: skip
def test_what_must_not_be_is_seen(ended: children.Ending, fault: str | None) -> None:
    assert judge(ended) == ([] if fault is None else [fault])


def test_changed_lost_and_stray_files_are_seen(tmp_path: Path) -> None:
    for name in ("mine", "theirs", "gone", "run/log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("mine")
    before = fingerprints(tmp_path)
    assert changes(before, fingerprints(tmp_path), ()) == []
    (tmp_path / "theirs").write_text("ours")
    (tmp_path / "run/log").write_text("more")
    (tmp_path / "gone").unlink()
    (tmp_path / "run/.0.part").write_text("")
    (tmp_path / "new").write_text("")
    assert changes(before, fingerprints(tmp_path), ("run/*",)) == ["lost: gone", "changed: theirs", "stray: new", "unfinished: run/.0.part"]


def test_a_child_is_measured_and_ended(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    code = """
import sys, time
from pathlib import Path
from tests.attack import children
place = Path(sys.argv[1])
def fill():
    held = bytearray(700 << 20)
    return held[0]
def beyond():
    try:
        bytearray(8 << 30)
    except MemoryError:
        return 5
    return 0
for work in (fill, beyond, lambda: 1 / 0, lambda: time.sleep(500), lambda: print("out") or print("err", file=sys.stderr) or 3):
    ended = children.run(work, place, 3 if "sleep" in work.__code__.co_names else 60)
    print(ended.code, ended.megabytes > 700, b"ZeroDivisionError" in ended.stderr, ended.stdout)
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "0 True False b''",
        "5 False False b''",
        "70 False True b''",
        "-24 False False b''",
        "3 False False b'out\\n'",
    ]


def test_states_are_compared_bit_by_bit() -> None:
    import torch

    one = {"a": torch.tensor([0.0, 1.0]), "b": [1, None, "x"]}
    assert digest(one) == digest({"b": [1, None, "x"], "a": torch.tensor([0.0, 1.0])})
    for other in (
        {**one, "a": torch.tensor([-0.0, 1.0])},
        {**one, "a": one["a"].double()},
        {**one, "b": [1.0, None, "x"]},
        {"a": one["a"]},
    ):
        assert digest(other) != digest(one)
