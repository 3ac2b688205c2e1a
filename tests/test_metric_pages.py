"""Every metric has a page, and what the pages tell people to type works, and prints what they say."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.journeys.commands import ROOT, Block, Result, blocks, links, shell_lines, type_in
from tests.metrics.ranks import metric_class
from transfigure import registry
from transfigure.cli.commands import load
from transfigure.cli.parser import command_parser
from transfigure.evaluation.collection import MetricChoice, options_from_flags
from transfigure.evaluation.segmenter_training import SegmenterOptions, train_segmenter
from transfigure.features import download
from transfigure.features.published import CATALOGUE
from transfigure.recipe import shipped, tree
from transfigure.recipe.sections import Data

FOLDER = ROOT / "docs" / "reference" / "metrics"
OVERVIEW = FOLDER / "README.md"
NAMES_PAGE = FOLDER.parent / "names.md"
NAMES = registry.names("metric")
PAGES = sorted(FOLDER.glob("*.md"))
HEADINGS = ["What it sees", "What it is blind to", "How ours differs", "Use"]
TINY = {
    "generator": {"width": 2},
    "discriminator": {"width": 2},
    "training": {"epochs": 1, "preview_count": 1, "accelerator": "cpu"},
    "data": {"train": 4, "test": 6},
}
"""A recipe in a second."""


def page_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def parts_of(name: str) -> tuple[str, str, dict[str, str]]:
    """The title, the definition below it, and the sections by heading."""
    head, *rest = re.split(r"^## +(.+)$", page_of(name), flags=re.M)
    title, _, definition = head.partition("\n")
    return title, definition.strip(), dict(zip(rest[::2], rest[1::2], strict=True))


def mentioned(word: str, text: str) -> bool:
    """Alone in backquotes, or at the beginning of an equation."""
    return re.search(rf"`{word}(`| = )", text) is not None


# ---- a page for every metric ---------------------------------------------------------------------------------------------


def test_every_metric_has_a_page_and_every_page_a_metric() -> None:
    assert {page.stem for page in PAGES} == {*NAMES, "README"}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_title_its_definition_and_its_sections(name: str) -> None:
    title, definition, sections = parts_of(name)
    metric = metric_class(name)
    assert re.fullmatch(rf"# .+ \({re.escape(metric.label)}\)", title)
    assert [value for value in metric.values or [name] if not mentioned(value, definition)] == []
    assert list(sections) == HEADINGS
    assert [heading for heading, text in sections.items() if not text.strip()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_mentions_every_option_and_every_value(name: str) -> None:
    words = {*registry.entry("metric", name).options, *metric_class(name).values}
    assert [word for word in sorted(words) if not mentioned(word, page_of(name))] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_its_metric_typed(name: str) -> None:
    use = parts_of(name)[2]["Use"]
    typed = [shlex.split(line) for block in re.findall(r"^```bash\n(.*?)^```$", use, re.M | re.S) for line in shell_lines(block)]
    chosen = [words[words.index("--metrics") + 1].split(",") for words in typed if words[1] == "evaluate"]
    assert any(name in metrics for metrics in chosen)


def test_the_page_of_names_says_what_each_needs_and_leads_to_its_page() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(metrics/(\w+)\.md\) \| (\w+) \| (\w+)[^|]* \|$", NAMES_PAGE.read_text(encoding="utf-8"), re.M)
    found = {name: tuple(rest) for name, *rest in rows}
    assert found == {name: (name, metric_class(name).needs, metric_class(name).better) for name in NAMES}
    assert "../names.md" in {*links(OVERVIEW)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_on_a_page_exist_with_these_values(page: Path) -> None:
    flags = re.findall(r"--(metric\.[\w.]+)[ =]([\w.]+)", page.read_text(encoding="utf-8"))
    for flag, value in flags:
        MetricChoice.of(options=options_from_flags({flag: value}))  # a UserError otherwise
    assert page != OVERVIEW or flags


# ---- followed ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what a demo leaves behind, on a machine without weights or a network, where trainings take a second."""
    folder = tmp_path_factory.mktemp("desk")
    known, recipes = dict(shipped()), tmp_path_factory.mktemp("recipes")
    for name in ("demo", "pix2pix_tiny"):
        small_one = recipes / f"{name}.yaml"
        small_one.write_text(yaml.safe_dump({"extends": str(known[name]), **TINY}))
        known[name] = small_one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "shipped", lambda: known)
        patch.setattr(socket.socket, "connect", _no_network)
        patch.setattr(download, "get", lambda name, quiet: CATALOGUE[name].file)
        patch.setenv("TORCH_HOME", str(folder / ".torch"))
        patch.delenv("TRANSFIGURE_WEIGHTS", raising=False)
        patch.chdir(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            from transfigure.cli import main

            assert main(["demo", "--quiet"]) == 0
        small = Data(kind="synthetic", crop_size=16, load_size=16, train=2, val=0, test=1)
        train_segmenter(small, "street.safetensors", SegmenterOptions("synthetic", epochs=1, width=2), quiet=True)
        yield folder


def _no_network(*_: object) -> None:
    raise AssertionError("a command of the pages wants the network")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_do_what_they_say(desk: Path, capsys: pytest.CaptureFixture[str], page: Path) -> None:
    lines = [line for block in blocks(page) if block.language == "bash" for line in shell_lines(block.text)]
    assert lines
    for line in lines:
        words = shlex.split(line)
        if words[1] == "demo":
            continue
        if words[1] == "segmenter":  # minutes; the fixture made one
            given = command_parser(load("segmenter")).parse_args(words[2:])
            assert (desk / given.out).is_file()
            continue
        result = type_in(capsys, line)
        if "--require" in words:
            assert result.code == 3 and "is required" in result.err
            continue
        assert result.code == 0, f"{line}\n{result.err}"
        assert _promised(words, result), line


def _promised(words: list[str], result: Result) -> bool:
    """Whether an evaluation speaks of every metric it was asked for: a row, or the weights that are missing."""
    if words[1] != "evaluate" or "--metrics" not in words:
        return bool(result.out)
    metrics = [metric_class(name) for name in words[words.index("--metrics") + 1].split(",")]
    skipped = {metric.label for metric in metrics if re.search(rf"skipped: .*{re.escape(metric.label)}.*: the weights", result.out)}
    rows = {metric.label for metric in metrics for label in metric.values.values() or [metric.label] if f"\n{label} " in result.out}
    return skipped == {metric.label for metric in metrics if metric.needs == "weights"} and skipped | rows == {m.label for m in metrics}


def programs() -> list[tuple[str, Block, str | None]]:
    """The programs of all pages, each with its page and what it is said to print."""
    found = []
    for page in PAGES:
        for block, after in itertools.zip_longest(blocks(page), blocks(page)[1:]):
            if block.language == "python":
                found.append((page.stem, block, after.text if after is not None and after.language == "text" else None))
    return found


PROGRAMS = programs()


@pytest.mark.slow
@pytest.mark.parametrize(("page", "program", "printed"), PROGRAMS, ids=[f"{page}-{at}" for at, (page, _, _) in enumerate(PROGRAMS)])
def test_programs_print_what_the_page_says(
    desk: Path, capsys: pytest.CaptureFixture[str], page: str, program: Block, printed: str | None
) -> None:
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's code on import
        exec(compile(program.text, f"{page}.md", "exec"), {})
    said = capsys.readouterr().out
    assert said
    if printed is not None:
        assert _words(said) == _words(printed)
        numbers, expected = _numbers(said), _numbers(printed)
        assert numbers == [pytest.approx(number, rel=0.01, abs=2e-3) for number in expected]


_NUMBER = r"(?<![\w.])-?\d+\.\d+"


def _words(text: str) -> str:
    return re.sub(_NUMBER, "#", text)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(_NUMBER, text)]


def test_most_programs_say_what_they_print() -> None:
    assert sum(printed is not None for _, _, printed in PROGRAMS) > len(PROGRAMS) / 2
