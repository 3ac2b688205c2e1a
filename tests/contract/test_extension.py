"""One addition, one file: one of each kind is added to a copy of the project, and is found everywhere without being named anywhere else.

What is added is what the page on extending shows: the files of ``examples/``, moved to where their siblings live, and those that the page
itself tells people to write. The contract tests then run on the copy, for the additions alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

import transfigure
from tests.journeys.commands import ROOT, blocks
from transfigure import registry

pytestmark = pytest.mark.slow

PAGES = ("tests/journeys/", "tests/test_docs.py", "tests/examples/")
"""Tests that follow the pages, which speak of examples that are not in the package."""
THIS = Path(__file__).relative_to(ROOT).as_posix()
PAGE = ROOT / "docs" / "extending.md"
PACKAGE = "src/transfigure"


@dataclass(frozen=True)
class Addition:
    """What is added.

    Attributes:
        kind: its row of the table on the page.
        name: what it is called in recipes and on the command line.
        place: its file below the package, or its folder.
        example: the file of ``examples/`` that it is; empty for what the page shows whole.
        help: words of a command whose help speaks of it, and what it says.
        beside: its own tests and documentation that the page asks for, by path.
        tested: at least so many tests are of it, unasked.
    """

    kind: str
    name: str
    place: str
    example: str
    help: tuple[str, str]
    beside: tuple[str, ...] = ()
    tested: int = 1

    @property
    def registered(self) -> str:
        """The kind as the registry calls it; empty if it is none of its."""
        kinds = {"adversarial form": "adversarial", "training step": "step", "kind of data": "dataset", "drawn world": "dataset"}
        word = kinds.get(self.kind, self.kind)
        return word if word in registry.KINDS else ""

    @cached_property
    def files(self) -> dict[str, str]:
        """Everything that is written, by path below the project's root."""
        shown = dict(block.new_file for block in blocks(PAGE) if block.new_file is not None)
        if self.example:
            own = {f"{PACKAGE}/{self.place}": packaged((ROOT / "examples" / self.example).read_text(encoding="utf-8"))}
        else:
            own = {path: text for path, text in shown.items() if path.startswith(f"{PACKAGE}/{self.place}")}
            own |= {f"{PACKAGE}/{self.place}/__init__.py": ""} if len(own) > 1 else {}
        return own | {path: BESIDE.get(path) or shown[path] for path in self.beside}


METRIC_PAGE = """\
# Error at the tail (tail error)

`tail_error`: the absolute error that 99 % (`share`) of an image's values stay below, on the scale of image files. In [0, 1].

## What it sees

How wrong the worst places of an image are, wherever they lie: a hole, a wrong colour, an edge that is elsewhere. Any number of channels.

## What it is blind to

Whatever happens below the tail, so a veil over the whole image costs little, and how much worse than that the very worst values are.

On [drawn facades](../../results/ranking.md) it ranks `target itself > light blur > heavy blur > shuffled targets > source copied`: label
maps are painted in louder colours than any photo.

## How ours differs

It is the sample quantile as NumPy and PyTorch compute it by default, linear between the two nearest values; others take the nearest.

## Use

```bash
transfigure evaluate transfigure-demo --metrics tail_error --metric.tail_error.share 0.95
```
"""
LAYOUT = '''\
"""Pairs in one folder."""

from __future__ import annotations

from pathlib import Path

from tests.data.pictures import write_noise


def write(folder: Path) -> Path:
    for n in range(6):
        write_noise(folder / f"{n}_A.png", seed=n)
        write_noise(folder / f"{n}_B.png", seed=100 + n)
    return folder
'''
BESIDE = {"docs/reference/metrics/tail_error.md": METRIC_PAGE, "tests/data/layouts/suffixes.py": LAYOUT}
TRAIN = "train pix2pix --help"

ADDITIONS = [
    Addition(
        *("loss", "gradient_difference", "losses/gradient_difference.py", "loss.py"),
        help=(f"{TRAIN} --objective.terms [gradient_difference]", "--objective.terms.gradient_difference.power"),
        tested=20,
    ),
    Addition(
        *("loss", "feature_means", "losses/feature_means.py", "feature_means.py"),
        help=(f"{TRAIN} --objective.terms [feature_means]", "--objective.terms.feature_means.weight"),
        tested=20,
    ),
    Addition(
        *("adversarial form", "relativistic_average", "losses/relativistic_average.py", "adversarial_form.py"),
        help=(f"{TRAIN} --objective.adversarial relativistic_average", "--objective.adversarial.loss"),
        tested=15,
    ),
    Addition(
        *("generator", "context", "networks/generators/context.py", "generator.py"),
        help=(f"{TRAIN} --generator context", "--generator.depth layers; the k-th has the dilation 2^k"),
        tested=20,
    ),
    Addition(
        *("discriminator", "two_scales", "networks/discriminators/two_scales.py", "discriminator.py"),
        help=(f"{TRAIN} --discriminator two_scales", "--discriminator.width channels of the first layer of each of the two"),
        tested=12,
    ),
    Addition(
        *("metric", "tail_error", "metrics/tail_error.py", "metric.py"),
        help=(f"{TRAIN} --training.best_metric tail_error", "[tail_error]"),
        beside=("docs/reference/metrics/tail_error.md",),
        tested=25,
    ),
    Addition(
        *("training step", "several_d_steps", "training/steps/several_d_steps.py", "training_step.py"),
        help=(f"{TRAIN} --training.step several_d_steps", "--training.d_steps steps on D before each step on G"),
        tested=6,
    ),
    Addition(
        *("kind of data", "suffixes", "data/suffixes.py", "data_kind.py"),
        help=(f"{TRAIN} --data.kind suffixes", "--data.source what the names of sources end in"),
        beside=("tests/data/layouts/suffixes.py",),
        tested=2,
    ),
    Addition(
        *("drawn world", "discs", "worlds/discs.py", "world.py"),
        help=(f"{TRAIN} --data.kind discs", "--data.train number of pairs to train on"),
        tested=2,
    ),
    Addition(
        *("engine", "by_numpy", "translation/engines/by_numpy.py", "engine.py"),
        help=("translate --help", "by_numpy"),
        tested=4,
    ),
    Addition(
        *("preparation", "posterized", "preparation/pairs/posterized.py", "preparation.py"),
        help=("data prepare --help", "posterized"),
        tested=4,
    ),
    Addition(
        *("command", "gallery", "cli/commands/gallery.py", ""),
        help=("--help", "gallery write a page of all images in a folder"),
        tested=7,
    ),
    Addition(
        *("page", "gallery", "reporting/gallery", ""),
        help=("gallery --help", "--out FILE"),
        beside=("tests/reporting/gallery/example.py",),
        tested=2,
    ),
]
each = pytest.mark.parametrize("addition", ADDITIONS, ids=lambda addition: f"{addition.kind}-{addition.name}")
GENERATED = {"docs/reference/names.md": "list --markdown", "docs/reference/cli.md": "list command --markdown"}
"""Pages of the reference and the commands that write them."""
LISTS = "|".join(
    [
        *(r"\bregistry\.(names|catalog)\(", r"\bcommands import names\b", r"\bcommands\.names\("),
        *(r"\b(inventory|reference|pages)\(\)", r"\bread_package\(", r"\bPACKAGE\b"),
    ]
)
"""How a test comes by every name that there is, or by every file of the package."""


def looking_at_all() -> dict[str, set[str]]:
    """By file, the tests that look at every name: by themselves, by their parameters, or through a constant or fixture of their file."""
    found = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8")
        if path != THIS and not path.startswith(PAGES):
            parts = {name: source for node in ast.parse(text).body for name, source in _parts(node, text)}
            reached: set[str] = set()
            pattern = LISTS
            while more := {name for name, source in parts.items() if re.search(pattern, source)} - reached:
                reached |= more
                pattern = "|".join([LISTS, *(rf"\b{name}\b" for name in reached)])
            found[path] = {name for name in reached if name.startswith("test_")}
    return {path: names for path, names in found.items() if names}


def _parts(node: ast.stmt, text: str) -> list[tuple[str, str]]:
    """What a statement defines, each with the source it is defined by, decorators included."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    if isinstance(node, ast.ImportFrom):
        return [(alias.name, f"from {node.module} import {alias.name}") for alias in node.names]
    if isinstance(node, ast.FunctionDef):
        return [(node.name, source)]
    return [(target.id, source) for target in getattr(node, "targets", [getattr(node, "target", None)]) if isinstance(target, ast.Name)]


def packaged(example: str) -> str:
    """An example as it stands in the package: public names are imported from the modules that define them."""

    def imports(match: re.Match[str]) -> str:
        return "\n".join(f"from transfigure{transfigure._LAZY[name]} import {name}" for name in match[1].split(", "))

    return re.sub(r"^from transfigure import (.+)$", imports, example, flags=re.M)


def fingerprints(folder: Path) -> dict[str, str]:
    """A hash of every file but those that Python and the tests themselves leave behind."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    left = re.compile(r"(^|/)(\.|__pycache__)")
    return {
        name.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if not left.search(name.as_posix())
    }


TYPED = """
import contextlib, io, json, sys
from transfigure.cli import main
said = []
for line in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        assert main(line.split()) == 0, line
    said.append(stream.getvalue())
print(json.dumps(said))
"""


class Copy:
    """A copy of the project to add to, in Pythons of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "tests", "docs", "examples", "benchmarks"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.egg-info"))  # with what is compiled already
        for file in ROOT.iterdir():
            if file.is_file() and not file.name.startswith("."):
                shutil.copy(file, folder / file.name)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": f"{self.folder / 'src'}{os.pathsep}{self.folder}", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=self.folder, env=environment, timeout=900, check=False
        )

    def transfigure(self, *lines: str) -> list[str]:
        """What each of some commands prints, typed one after the other in one Python."""
        finished = self.python("-c", TYPED, *lines)
        assert finished.returncode == 0, finished.stderr
        said: list[str] = json.loads(finished.stdout)
        return said

    def pytest(self, *words: str) -> str:
        """What pytest prints; tests that open a browser are left out, and so is this file."""
        finished = self.python("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not browser", f"--ignore={THIS}", *words)
        assert finished.returncode == 0, finished.stdout[-8000:] + finished.stderr
        return finished.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The project as it is."""
    return Copy(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The project with all additions, its reference written anew."""
    copy = Copy(tmp_path_factory.mktemp("extended"))
    for addition in ADDITIONS:
        for path, text in addition.files.items():
            file = copy.folder / path
            assert not file.exists(), f"{path} is there already"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    for page, text in zip(GENERATED, copy.transfigure(*GENERATED.values()), strict=True):
        (copy.folder / page).write_text(text, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def tests(plain: Copy, extended: Copy) -> tuple[set[str], set[str]]:
    """The tests that look at every name, before and after."""
    wanted = looking_at_all()

    def collected(copy: Copy) -> set[str]:
        found = (line.partition("[") for line in copy.pytest("--collect-only", *wanted).splitlines() if "::" in line)
        return {"".join(parts) for parts in found if parts[0].partition("::")[2] in wanted[parts[0].partition("::")[0]]}

    before, after = collected(plain), collected(extended)
    assert before < after
    return before, after


@pytest.fixture(scope="module")
def said(extended: Copy) -> dict[str, str]:
    """What the commands print that show the additions."""
    lines = ["list --json", *dict.fromkeys(addition.help[0] for addition in ADDITIONS)]
    return dict(zip(lines, extended.transfigure(*lines), strict=True))


def test_there_is_one_of_each_kind() -> None:
    """As in the table of the page, which says where each goes."""
    rows = re.findall(r"^\| \[([\w ]+)\]\(#[\w-]+\) \| .+? \| `([\w/]+)/` \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert dict(rows) == {addition.kind: str(Path(addition.place).parent) for addition in ADDITIONS}
    assert {addition.registered for addition in ADDITIONS} == {*registry.KINDS, ""}


@each
def test_it_is_one_file_or_one_folder(addition: Addition) -> None:
    """And what the page says stands beside it."""
    own = [path for path in addition.files if path.startswith("src/")]
    assert len(own) == 1 or {str(Path(path).parent) for path in own} == {f"{PACKAGE}/{addition.place}"}
    assert set(addition.files) - set(own) == set(addition.beside)


@each
def test_it_is_listed(said: dict[str, str], addition: Addition) -> None:
    if addition.kind != "page":
        assert addition.name in json.loads(said["list --json"])[addition.registered or addition.kind]


@each
def test_a_help_speaks_of_it(said: dict[str, str], addition: Addition) -> None:
    line, words = addition.help
    assert words in " ".join(said[line].split())


@each
def test_the_reference_has_it(plain: Copy, extended: Copy, addition: Addition) -> None:
    page, heading = ("cli.md", "##") if not addition.registered else ("names.md", "###")
    before, after = ((copy.folder / "docs" / "reference" / page).read_text(encoding="utf-8") for copy in (plain, extended))
    head = f"\n{heading} `{addition.name}`\n"
    assert head in after and head not in before


@each
def test_contract_tests_take_it_up(tests: tuple[set[str], set[str]], addition: Addition) -> None:
    before, after = tests
    of_it = [line for line in after - before if re.search(rf"[\[-]{addition.name}[\]-]", line)]
    if addition.kind in ("command", "page"):
        of_it = [line for line in of_it if line.startswith("tests/reporting/") == (addition.kind == "page")]
    assert len(of_it) >= addition.tested, Counter(line.partition("::")[0] for line in of_it)


def test_they_and_the_tests_that_look_at_all_names_pass(extended: Copy, tests: tuple[set[str], set[str]]) -> None:
    """Run in the copy: the tests of the additions, and those that are not of one name."""
    _, after = tests
    chosen = sorted({line for line in after if "[" not in line} | (after - tests[0]))
    passed = re.search(r"^(\d+) passed", extended.pytest(*chosen), re.M)
    assert passed and int(passed[1]) == len(chosen)


def test_nothing_else_was_touched(plain: Copy, extended: Copy) -> None:
    before, after = fingerprints(plain.folder), fingerprints(extended.folder)
    assert set(after) - set(before) == {path for addition in ADDITIONS for path in addition.files}
    assert {path for path in before if before[path] != after.get(path)} == set(GENERATED)


def test_a_command_and_its_page_work(extended: Copy) -> None:
    extended.python("-c", "from tests.data.pictures import write_noise as w; from pathlib import Path; w(Path('images/a.png'), 1)")
    done = extended.python("-m", "transfigure", "gallery", "images", "--out", "seen.html")
    assert (done.returncode, done.stdout.strip()) == (0, "seen.html"), done.stderr
    assert "a.png" in (extended.folder / "seen.html").read_text(encoding="utf-8")
