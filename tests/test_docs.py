"""The pages stay true: code they quote stands where they say, links and file names lead somewhere, and commands and keys exist."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.commands import ROOT, blocks, shell_lines
from transfigure import registry
from transfigure.cli import commands as cli_commands
from transfigure.cli.commands.train import recipe_and_data
from transfigure.cli.inventory import inventory
from transfigure.cli.main import take_overrides
from transfigure.cli.parser import command_parser, program_parser
from transfigure.data.open import find_records, geometry_of, resolve_data
from transfigure.errors import UserError
from transfigure.evaluation.collection import MetricChoice, options_from_flags
from transfigure.recipe import Recipe
from transfigure.studies.ablation.grid import Grid

PACKAGE = ROOT / "src" / "transfigure"
TOUR = ROOT / "docs" / "tour.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = {"width.yaml"}
"""Grids that a page tells people to write; they are read in a test of their own."""
CORE = {"recipe", "data", "networks", "losses", "training", "translation", "evaluation", "reporting"}


def _ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# ---- quoted code --------------------------------------------------------------------------------------------------------


def quotes(page: Path) -> list[str]:
    """The Python blocks that begin with the name of a source file or an example."""
    return [block.text for block in blocks(page) if block.language == "python" and block.text.startswith(("# src/", "# examples/"))]


def squeezed(text: str) -> list[str]:
    """The lines of a text that hold anything, with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def misquoted(text: str, root: Path = ROOT) -> str | None:
    """The first line of a quotation that its file does not hold, or does not hold in this order; None if all is well.

    Whitespace counts once. A line of three dots stands for any number of lines; what is between two of them stands together.
    """
    head, *lines = squeezed(text)
    file = root / head.removeprefix("# ")
    if not file.is_file():
        return head
    there = squeezed(file.read_text(encoding="utf-8"))
    for dots, part in itertools.groupby(lines, lambda line: line == "..."):
        wanted = list(part)
        if dots:
            continue
        start = next((at for at in range(len(there)) if there[at : at + len(wanted)] == wanted), None)
        if start is None:
            return next((line for line in wanted if line not in there), wanted[0])
        there = there[start + len(wanted) :]
    return None


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_quoted_code_stands_in_its_file(page: Path) -> None:
    assert [found for text in quotes(page) if (found := misquoted(text)) is not None] == []


def test_the_tour_quotes_every_package_of_the_core() -> None:
    found = [text.partition("\n")[0].removeprefix("# src/transfigure/").split("/")[0] for text in quotes(TOUR)]
    assert set(found) == CORE


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a = 1\nb = 2\n", None),
        ("  a   =  1\n...\nc = 3\n", None),
        ("a = 1\n...\n", None),
        ("a = 1\nc = 3\n", "a = 1"),
        ("c = 3\n...\na = 1\n", "a = 1"),
        ("a = 1\nb = 3\n", "b = 3"),
        ("a = 1\n...\nd\n", "d"),
    ],
)
def test_a_wrong_quotation_is_found(tmp_path: Path, text: str, wrong: str | None) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "f.py").write_text("def f():\n    a = 1\n\n    b = 2\n    c = 3\n")
    assert misquoted(f"# src/f.py\n{text}", tmp_path) == wrong
    assert misquoted(f"# src/g.py\n{text}", tmp_path) == "# src/g.py"


# ---- other code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_code_to_copy_is_python_and_imports_what_exists(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and block.text not in quotes(page) and block.new_file is None:
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "transfigure":
                    module = importlib.import_module(str(node.module))
                    assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def experiments() -> list[tuple[str, str]]:
    """The tour's programs, each with what it prints."""
    found = blocks(TOUR)
    return [
        (block.text, after.text)
        for block, after in itertools.pairwise(found)
        if block.language == "python" and after.language == "text" and not block.text.startswith("# src/")
    ]


@pytest.mark.parametrize(("program", "printed"), experiments(), ids=["receptive_field", "ambiguity", "resume"])
def test_the_experiments_print_what_the_tour_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, printed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(TOUR), "exec"), {})
    assert capsys.readouterr().out == printed


def test_the_numbers_of_the_pair_are_so() -> None:
    text = " ".join(TOUR.read_text(encoding="utf-8").split())
    recipe = Recipe.load("pix2pix", {"data.kind": "synthetic"})
    section = resolve_data(recipe.data)
    records = find_records(section).splits
    assert f"names {', '.join(str(len(records[name])) for name in ('train', 'val'))} and {len(records['test'])} scenes" in text
    assert f"`{records['train'][0].name}`" in text
    geometry = geometry_of(section)
    for epoch in (0, 1):
        crop = geometry.draw(np.random.default_rng([recipe.training.seed, epoch, 0]), 286, 286)
        mirrored = "and mirrored" if crop.flipped else "and not"
        assert f"row {crop.top}, column {crop.left} {mirrored}" in text
    labels, photo = records["train"][0].load()
    colours = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in (labels, geometry.prepare(labels, photo)[0])]
    said = re.search(r"has (\d+) colours\. .* it has about (\d+):", text)
    assert said and int(said[1]) == colours[0] and int(said[2]) == pytest.approx(colours[1], rel=0.05)


# ---- links and file names -----------------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# 1. A `title`, here\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md) [b](other.md#1-a-title-here) [c](#top) [d](gone.md) [e](other.md#gone) [f](https://x.y)\n\n## Top\n")
    assert dead_links(page) == ["gone.md", "other.md#gone"]


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`([\w./]+/[\w.]+\.(?:py|html))`", prose(page)))
    places = [name for name in sorted(named) if "NAME" not in name]
    assert [name for name in places if not (PACKAGE / name).is_file() and not (ROOT / name).is_file()] == []
    assert page != TOUR or named


# ---- commands -----------------------------------------------------------------------------------------------------------


def typed(line: str) -> Iterator[list[str]]:
    """The words of every ``transfigure`` command in a line of shell, without what is around it; a variable counts as 1."""
    words = shlex.shlex(re.sub(r"\$\{?\w+\}?", "1", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command: list[str] = []
    for word in [*words, ";"]:
        if word[:1] not in tuple(";&|<>()"):
            if command or not (word in ("do", "then", "time", "nice") or re.match(r"[A-Z_]+=", word)):
                command.append(word)
            continue
        if command[:1] == ["transfigure"]:
            yield command[1:]
        command = []


def commands(page: Path) -> list[list[str]]:
    """What a page tells people to type: in its bash blocks, and in its sentences where more than a verb is given."""
    lines = [line for block in blocks(page) if block.language == "bash" for line in shell_lines(block.text)]
    inline = [found for found in re.findall(r"`(transfigure [^`]+)`", prose(page)) if len(found.split()) > 2]
    return [words for line in [*lines, *inline] for words in typed(line)]


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command: its verb, a flag, a recipe, or a recipe key; None if nothing is. Nothing is run."""
    rest, overrides = take_overrides(words)
    if not rest or rest[0] in program_parser()._option_string_actions:
        return None
    if rest[0] in cli_commands.verbs() and cli_commands.verbs()[rest[0]]:
        rest[:2] = [" ".join(rest[:2])]
    if rest[0] not in cli_commands.names():
        return f"there is no command {rest[0]}"
    command = cli_commands.load(rest[0])
    try:
        options = command_parser(command).read(rest[1:])
        for plugin in getattr(options, "plugins", None) or []:
            registry.load_plugin(plugin)
        if foreign := [key for key in overrides if not command.takes(key)]:
            return f"{rest[0]} takes no --{foreign[0]}"
        of_metrics = {key: overrides.pop(key) for key in list(overrides) if key.startswith("metric.")}
        MetricChoice.of(options=options_from_flags(of_metrics))
        if rest[0] in ("train", "evaluate"):
            recipe = getattr(options, "recipe", None)
            if getattr(options, "start_from", None) is not None:
                recipe, options.data = recipe_and_data(recipe, options.data)
            kind = {"data.kind": "synthetic"} if options.data == "synthetic" else {}
            Recipe.load("pix2pix" if recipe in (None, "RECIPE") else recipe, {**kind, **overrides})
        if rest[0] == "ablate" and options.grid not in WRITTEN:
            place = {"data.kind": "synthetic"} if options.data == "synthetic" else {"data.path": options.data} if options.data else {}
            Grid.load(options.grid, {**place, **({"base": options.base} if options.base else {}), **overrides}).cells()
        if rest[0] == "list" and options.kind not in (None, *inventory()):
            return f"there is no kind {options.kind}"
    except UserError as error:
        return str(error)
    except SystemExit:  # --help
        return None
    return None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the examples, and no plugins but those that are loaded here."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "models" / "facades").mkdir(parents=True)
    (tmp_path / "models" / "facades" / "recipe.yaml").write_text(Recipe.load("pix2pix").to_yaml(), encoding="utf-8")  # of an import
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _lay_out(page: Path, folder: Path) -> None:
    """The files that a page tells people to write."""
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_commands_name_what_exists(desk: Path, page: Path) -> None:
    _lay_out(page, desk)
    assert [f"{shlex.join(words)}: {wrong}" for words in commands(page) if (wrong := complaint(words))] == []


def test_every_verb_is_shown_somewhere() -> None:
    written = [page for page in PAGES if page != ROOT / "docs" / "reference" / "cli.md"]  # that one is made from the commands
    actions = cli_commands.verbs()
    shown = {" ".join(words[:2] if actions.get(words[0]) else words[:1]) for page in written for words in commands(page)}
    assert shown >= set(cli_commands.names())


@pytest.mark.parametrize(
    "line",
    [
        "transfigure trian pix2pix pairs --out RUN",
        "transfigure train pix3pix pairs --out RUN",
        "transfigure train pix2pix pairs --out RUN --data.crop 64",
        "transfigure train pix2pix pairs --out RUN --objective.terms.l2.weight 3",
        "transfigure train pix2pix pairs --out RUN --generator unett",
        "transfigure train pix2pix pairs --out RUN --training.schedule liner",
        "transfigure train pix2pix pairs --out RUN --epochs 3",
        "OMP_NUM_THREADS=1 transfigure train --out RUN --resume --training.sed 3",
        "transfigure translate RUN INPUT",
        "transfigure translate RUN INPUT OUTPUT --noise off",
        "transfigure translate RUN INPUT OUTPUT --data.crop_size 64",
        "transfigure evaluate RUN --training.seed 1",
        "for seed in 0 1; do transfigure evaluate RUN --jason; done",
        "transfigure list losses",
        "transfigure demo && transfigure doctor --jsn",
    ],
)
def test_a_wrong_command_is_found(desk: Path, line: str) -> None:
    assert [words for words in typed(line) if complaint(words)] != []


@pytest.mark.parametrize(
    "line",
    [
        "for seed in 0 1; do transfigure train pix2pix synthetic --out runs/$seed --seed $seed --data.source edges; done",
        "transfigure train RECIPE --help",
        "transfigure --version",
        "transfigure train pix2pix pairs --objective.terms '[{loss: l1, weight: 50}, {loss: ssim}]' | tee log  # half",
    ],
)
def test_a_right_command_is_not(desk: Path, line: str) -> None:
    found = list(typed(line))
    assert len(found) == 1
    assert complaint(found[0]) is None


def test_a_plugin_of_a_page_takes_part(desk: Path) -> None:
    source = 'from transfigure.registry import register\n\n\n@register("loss", "tilt")\ndef tilt(batch):\n    """One."""\n'
    page = desk / "page.md"
    page.write_text(f"```python\n# tilt.py\n{source}```\n", encoding="utf-8")
    _lay_out(page, desk)
    words = ["train", "pix2pix", "pairs", "--objective.terms", "[{loss: tilt}]"]
    assert "tilt" in (complaint(words) or "")
    assert complaint([*words, "--plugins", "tilt.py"]) is None


def test_blocks_know_their_language() -> None:
    """What is read above is not nothing by mistake."""
    languages = [block.language for page in PAGES for block in blocks(page)]
    assert {"bash", "python", "math", "yaml"} <= set(languages)


def test_the_grids_that_the_ablations_page_shows_are_some(tmp_path: Path) -> None:
    shown = [block for block in blocks(ROOT / "docs" / "how-to" / "ablate.md") if block.language == "yaml"]
    assert len(shown) == 2 and any(block.file in WRITTEN for block in shown)
    for block in shown:
        (tmp_path / "shown.yaml").write_text(block.text)
        assert len(Grid.load(tmp_path / "shown.yaml", {"data.kind": "synthetic"}).cells()) == 6
