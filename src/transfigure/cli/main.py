"""The command line: from words to a command, and from what it raises to one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from ..errors import NOT_ENOUGH_MEMORY, ToldByAnother, TransfigureError, UserError, did_you_mean, out_of_memory, printable
from ..processes import Stopped, isolated_children, speaks, stopped_by_signals
from ..progress import open_streams, print_result, say
from .commands import Command, commands, load, verbs
from .parser import Parser, actions_help, command_parser, program_parser

SECTIONS = ("name", "data", "generator", "discriminator", "objective", "training")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says what happened (0 done, 1 failed, 2 your input, 3 something missing,
    130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 138 SIGUSR1)."""
    open_streams()
    if {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"} & os.environ.keys():  # torch reads it once; what it says of lost peers is a stack of C++
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with stopped_by_signals(), isolated_children():
            return _run(arguments)
    except SystemExit as stop:  # --help, --version
        return int(stop.code or 0)
    except ToldByAnother as error:
        return error.exit_code
    except TransfigureError as error:
        return _fail(error.printable, error.exit_code)
    except Stopped as stop:
        return _fail(f"stopped by {stop}: what is written is whole, the rest is not there", 128 + stop.number)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # who reads the results has gone (| head)
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        yours = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
        mine = isinstance(error, yours) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
        return _fail(f"{printable(_short(str(error.filename)))}: {error.strerror}", 2 if mine else 1)
    except (MemoryError, RuntimeError) as error:
        if "DataLoader worker" in str(error):  # torch raises this wherever the main thread happens to be
            return _fail("a loader process was ended, perhaps for lack of (shared) memory: go on with --resume and fewer --data.workers", 1)
        if not out_of_memory(error):
            raise
        return _fail(NOT_ENOUGH_MEMORY, 1)


def _short(name: str) -> str:
    return name if len(name) <= 300 else f"{name[:200]}...{name[-50:]}"


def _refuse_what_no_name_can_be(arguments: Sequence[str]) -> None:
    """A shell cannot pass such words, but a program that calls :func:`main` can."""
    for word in arguments:
        try:
            possible = b"\0" not in os.fsencode(word)
        except UnicodeEncodeError:
            possible = False
        if not possible:
            raise UserError(f"{_short(word)!r} holds a character that no name can have: leave it out")


def _run(arguments: list[str]) -> int:
    _refuse_what_no_name_can_be(arguments)
    rest, overrides = take_overrides(arguments)
    if not rest or rest[0].startswith("-"):
        parser = program_parser()
        if rest:
            parser.parse_args(rest[:1])  # --help and --version end here
            raise UserError(f"no command is named before {rest[0]!r}: one of {', '.join(verbs())}")
        parser.print_help()
        return 0
    if actions := verbs().get(rest[0]):
        if len(rest) == 1 or rest[1] in ("-h", "--help"):
            print_result(actions_help(rest[0]), lines=True)
            return 0
        if rest[1] not in actions:
            raise UserError(
                f"{rest[0]} has no action {rest[1]!r}{did_you_mean(rest[1], actions)}: see  transfigure {rest[0]} --help"
                if not rest[1].startswith("-")
                else f"no action is named before {rest[1]!r}: one of {', '.join(actions)}"
            )
        rest[:2] = [" ".join(rest[:2])]
    command = _command(rest[0])
    parser = command_parser(command)
    for key in overrides:
        if key == "data" and not command.takes(key) and _has_data(parser):
            raise UserError(_data_is_no_flag(overrides[key], parser))
        if not command.takes(key):
            raise UserError(_belongs_elsewhere(key, command))
    options = parser.read(rest[1:])
    if rest[0] != command.name and not getattr(options, "quiet", False):
        say(f"note: {rest[0]} is now  transfigure {command.name}")
    for plugin in getattr(options, "plugins", None) or []:
        from ..registry import load_plugin

        load_plugin(plugin)
    if "data" in overrides:
        from ..registry import names as registered

        if overrides["data"] not in (*registered("dataset"), "auto") and not overrides["data"].lstrip().startswith("{"):
            raise UserError(_data_is_no_flag(overrides["data"], parser))
    if command.more_help is not None and options.help:
        print_result(f"{parser.format_help()}\n{command.more_help(options, overrides)}", lines=True)
        return 0
    return command.run(options, overrides)


def _has_data(parser: Parser) -> bool:
    return any(action.dest == "data" and not action.option_strings for action in parser._actions)


def _data_is_no_flag(value: str, parser: Parser) -> str:
    """The sentence for ``--data FOLDER``: what the flag would name is a kind of data."""
    places = " ".join(value if action.dest == "data" else str(action.metavar) for action in parser._actions if not action.option_strings)
    return f"--data {value} names no kind of data: a folder goes without a flag, as  {parser.prog} {places}  (or with --data.path)"


def _command(word: str) -> Command:
    if word in verbs() or " " in word:
        return load(word)
    for command in commands():
        if word in command.aliases:
            return command
    raise UserError(f"there is no command {word!r}{did_you_mean(word, verbs())}")


def _belongs_elsewhere(key: str, command: Command) -> str:
    """The sentence for a recipe key that is not one of the command's flags."""
    taking = [other.name for other in commands() if other.takes(key)]
    first, *others = sorted(taking, key=lambda name: name != "train")  # which the keys are of
    where = f"  transfigure {first}  " + (f"(and {', '.join(others)})" if others else "")
    flags = " and ".join(f"--{beginning}*" for beginning in command.recipe_flags)
    return f"--{key} belongs to{where.rstrip()}: {command.name} takes {f'only {flags}' if flags else 'no keys of a recipe'}"


def _fail(sentence: str, code: int) -> int:
    if speaks():
        say(f"transfigure: {sentence}", lines=True)
    return code


_SHORT = {"split-by": "data.split_by"}
"""Flags that stand for a recipe's key."""


def take_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate recipe flags (``--training.epochs 20``, ``--generator=resnet``, ``--data.flip``) from a command's own arguments."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    tokens = list(arguments)
    while tokens:
        token = tokens.pop(0)
        key, equals, value = token.removeprefix("--").partition("=")
        key = _SHORT.get(key, key) if token.startswith("--") else key
        if not token.startswith("--") or ("." not in key and key not in SECTIONS):
            rest.append(token)
        elif equals:
            overrides[key] = value
        elif tokens and not (tokens[0].startswith("--") and len(tokens[0]) > 2):
            overrides[key] = tokens.pop(0)
        else:
            overrides[key] = "true"
    return rest, overrides
