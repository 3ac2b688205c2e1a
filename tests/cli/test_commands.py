"""Every command, unasked: what a file of ``cli/commands`` must give to be one."""

from __future__ import annotations

import inspect
import re
import shlex

import pytest

from tests.cli.saying import printed, said
from transfigure.cli import commands
from transfigure.cli.commands import GROUPS, load, names, verbs
from transfigure.cli.main import take_overrides
from transfigure.cli.parser import command_parser

NAMES = names()


def test_there_are_commands() -> None:
    assert {"train", "translate", "evaluate", "list"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    command = load(name)
    assert command.summary and not command.summary.endswith((".", ","))
    assert command.group in GROUPS
    assert isinstance(command.recipe_flags, tuple) and isinstance(command.aliases, tuple)
    assert not {*command.aliases} & {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_with_options_and_overrides(name: str) -> None:
    module = commands.file_of(name)
    assert list(inspect.signature(module.run).parameters) == ["options", "overrides"]


@pytest.mark.parametrize("name", NAMES)
def test_its_help_explains_every_argument(capsys: pytest.CaptureFixture[str], name: str) -> None:
    page = " ".join(printed(capsys, *name.split(), "--help").split())
    parser = command_parser(load(name))
    assert page.startswith(f"usage: transfigure {name} ")
    for action in parser._actions:
        assert action.help, action.dest
        assert all(flag in page for flag in action.option_strings)
        assert action.option_strings or action.metavar in page


@pytest.mark.parametrize("name", NAMES)
def test_a_flag_it_does_not_have_is_one_sentence(capsys: pytest.CaptureFixture[str], name: str) -> None:
    parser = command_parser(load(name))
    flag = next(flag for action in parser._actions for flag in action.option_strings if len(flag) > 4)
    assert said(capsys, *name.split(), f"{flag}x") == f"there is no option {flag}x (did you mean {flag!r}?)"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_key_is_a_flag_of_those_that_say_so(capsys: pytest.CaptureFixture[str], name: str) -> None:
    command = load(name)
    if not command.takes("training.epochs"):
        sentence = said(capsys, *name.split(), "--training.epochs", "3")
        assert sentence.startswith("--training.epochs belongs to  transfigure train")
        assert all(f"--{beginning}*" in sentence for beginning in command.recipe_flags)


@pytest.mark.parametrize("name", NAMES)
def test_its_examples_can_be_typed(name: str) -> None:
    command = load(name)
    for line in re.findall(r"^ +(transfigure .*)$", command.epilog, re.M):
        words = shlex.split(line)
        verb = ["transfigure", *name.split()]
        rest, overrides = take_overrides(words[len(verb) :])
        assert words[: len(verb)] == verb
        command_parser(command).read(rest)  # a UserError otherwise
        assert all(map(command.takes, overrides)), line


ACTIONS = [(verb, actions) for verb, actions in verbs().items() if actions]


@pytest.mark.parametrize(("verb", "actions"), ACTIONS)
def test_a_verb_with_actions_lists_them(capsys: pytest.CaptureFixture[str], verb: str, actions: list[str]) -> None:
    page = printed(capsys, verb)
    assert page == printed(capsys, verb, "--help") == printed(capsys, verb, "-h")
    assert f"usage: transfigure {verb} ACTION" in page
    for action in actions:
        assert f"  {verb} {action} " in page and load(f"{verb} {action}").summary in page


@pytest.mark.parametrize(("verb", "actions"), ACTIONS)
def test_an_action_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str], verb: str, actions: list[str]) -> None:
    assert said(capsys, verb, f"{actions[0]}x").startswith(f"{verb} has no action '{actions[0]}x' (did you mean {actions[0]!r}?)")
    assert said(capsys, verb, "--quiet", actions[0]).startswith(f"no action is named before '--quiet': one of {', '.join(actions)}")


def test_check_is_an_action_of_data() -> None:
    assert "check" in dict(ACTIONS)["data"]
