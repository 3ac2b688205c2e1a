"""The reference page of the commands, made from their parsers."""

from __future__ import annotations

import argparse
import re
import textwrap

from .commands import GROUPS, Command, commands
from .parser import command_parser

HEAD = """\
# Commands

What `--help` says of each command, on one page. Written by `transfigure list command --markdown`; a test keeps it true.

Results go to stdout, with `--json` for machines; progress, notes and errors go to stderr. Words and flags may stand in any order.
An error is one sentence: the file, the value and the way out.

| exit code | |
|---|---|
| 0 | done |
| 1 | a run could not go on: NaN, a full disk, no memory; what was saved before is intact; or cells of `ablate` failed |
| 2 | something given cannot be used: a file, a value, a name |
| 3 | an optional package or a file of weights is missing; the message says how to get it |
| 4 | a check with `--strict` found something |
| 130, 143, 129, 138 | stopped by Ctrl-C, SIGTERM, the SIGHUP of a lost terminal (not under `nohup`) or SIGUSR1 |

`train` and `ablate` save their state when they are stopped, and `--resume` goes on; a second Ctrl-C stops at once. The other commands end
where they are: what is written is whole, and nothing is left half-written. A command whose stdin, stdout or stderr is closed (cron, a
daemon) works all the same; one whose results do not fit into stdout, as on a full disk, ends with 1."""


def command_reference() -> str:
    """Every command with its usage, its arguments and flags, and its examples, as Markdown."""
    found = commands()
    lines = [HEAD]
    for group in GROUPS:
        entries = [command for command in found if command.group == group]
        if entries:
            lines += [
                f"**{group.capitalize()}:** "
                + ", ".join(f"[`{command.name}`](#{command.name.replace(' ', '-')})" for command in entries)
                + "."
            ]
    return "\n\n".join([*lines, *map(_section, found)]) + "\n"


def _section(command: Command) -> str:
    parser = command_parser(command)
    parts = [f"## `{command.name}`", *_markdown(command.description), f"```text\n{_usage(command, parser)}\n```"]
    for heading, actions in (("argument", _arguments(parser)), ("flag", _flags(parser))):
        if actions:
            rows = [f"| {_code(_spelling(action))} | {_escaped(_meaning(action))} |" for action in actions]
            parts.append("\n".join([f"| {heading} | |", "|---|---|", *rows]))
    if command.recipe_flags:
        beginnings = [f"`--{beginning}*`" for beginning in command.recipe_flags if beginning]
        parts.append(f"Keys of a recipe are flags too: {' and '.join(beginnings) or 'all of them'}.")
    if command.aliases:
        parts.append(f"Formerly {', '.join(f'`{alias}`' for alias in command.aliases)}, which still works.")
    return "\n\n".join([*parts, *_markdown(command.epilog)])


def _usage(command: Command, parser: argparse.ArgumentParser) -> str:
    words = [f"transfigure {command.name}", *map(_place, _arguments(parser))]
    words += [_spelling(action) for action in _flags(parser) if action.required]
    return " ".join([*words, "[FLAGS]"])


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings and action.dest != "help"]


def _place(action: argparse.Action) -> str:
    """A positional argument as a usage line shows it."""
    return {None: "{}", "?": "[{}]", "+": "{} ...", "*": "[{} ...]"}[action.nargs].format(action.metavar)  # type: ignore[index]


def _spelling(action: argparse.Action) -> str:
    """``--seed SEED``, ``--format {png,jpg}``, ``--quiet``, or an argument's name."""
    if not action.option_strings:
        return str(action.metavar)
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    return f"{names} {' '.join(value) if isinstance(value, tuple) else value}"


def _meaning(action: argparse.Action) -> str:
    """The help, with the default wherever the help does not say it itself."""
    words = (action.help or "") % vars(action)
    told = action.default is None or isinstance(action.default, bool) or "default" in words
    return words if told else f"{words} (default: {action.default})"


def _markdown(text: str) -> list[str]:
    """Paragraphs of a docstring or an epilog; indented ones are lines to type."""
    parts = [part for part in text.strip("\n").split("\n\n") if part.strip()]
    return [
        f"```bash\n{textwrap.dedent(part)}\n```" if part.startswith(" ") else _escaped(" ".join(f"{part[0].upper()}{part[1:]}".split()))
        for part in parts
    ]


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _escaped(text: str) -> str:
    return re.sub(r"(?<![`\w])--[\w.*]*\w", r"`\g<0>`", text.replace("|", "\\|").replace("<", "&lt;"))
