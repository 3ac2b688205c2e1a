"""The parser of the program and of each command, and what is said to a word that none of them takes."""

from __future__ import annotations

import argparse
import difflib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from .._version import __version__
from ..errors import UserError
from ..progress import print_result
from .commands import GROUPS, Command, commands, file_of, load, verbs
from .options import unquoted

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

EPILOG = """\
start here:
  transfigure demo                                       train, translate and evaluate on drawn facades, in two minutes
  transfigure train pix2pix FOLDER --out RUN             learn from a folder of image pairs
  transfigure translate RUN INPUT OUTPUT                 a file, or a folder to a folder
  transfigure evaluate RUN FOLDER                        how good is it, beside what anyone can reach
"""


class _Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description or an epilog by itself; indented ones are kept as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(
            part if part.startswith(" ") else super(_Paragraphs, self)._fill_text(part, width, indent) for part in paragraphs
        )


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our one sentence.

    Args:
        command: the command it reads; None for the program itself.
    """

    def __init__(self, command: Command | None = None, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]
        self.command = command

    def error(self, message: str) -> NoReturn:
        """Complain in one sentence."""
        if message.startswith("unrecognized arguments: "):
            raise UserError(self.complaint(message.removeprefix("unrecognized arguments: ").split()[0]))
        raise UserError(f"{message}; see  {self.prog} --help")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Help and version, which are results like any other."""
        if message:
            print_result(message, lines=True, end="")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse words and flags in any order. A flag that is none is complained of before an argument that is missing.

        Raises:
            UserError: what cannot be read, in one sentence.
        """
        flags = [word.partition("=")[0] for word in itertools.takewhile(lambda word: word != "--", words) if word.startswith("--")]
        for flag in flags if "--help" not in flags else []:
            if flag not in self._option_string_actions:
                raise UserError(self.complaint(flag))
        options, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            raise UserError(self.complaint(unknown[0]))
        return options

    def complaint(self, argument: str) -> str:
        """The sentence for an argument nobody takes: the nearest flag, ``--training.epochs`` for ``--epochs``, or one word too many."""
        argument = argument.partition("=")[0]
        if not argument.startswith("-"):
            places = " ".join(str(action.metavar) for action in self._actions if not action.option_strings)
            return f"{argument!r} is one argument too many: {self.prog} takes {places or 'only flags'}{unquoted(argument)}"
        flags = {name: name for action in self._actions for name in action.option_strings}
        if self.command is not None and self.command.recipe_flags:
            from ..recipe import Recipe, flatten

            for key, _ in flatten(Recipe.load("pix2pix").to_dict()):
                if self.command.takes(key):
                    flags.setdefault(f"--{key.rpartition('.')[2]}", f"--{key}")
        close = difflib.get_close_matches(argument, flags, n=1, cutoff=0.6)
        hint = f" (did you mean {flags[close[0]]!r}?)" if close else f"; see  {self.prog} --help"
        return f"there is no option {argument}{hint}"


def program_parser() -> Parser:
    """The parser of the program itself, for its ``--help`` and ``--version``."""
    found = commands()
    width = max(len(command.name) for command in found)
    lines = []
    for group in GROUPS:
        entries = [f"  {command.name.ljust(width)}  {command.summary}" for command in found if command.group == group]
        lines += ["", f"{group}:", *entries] if entries else []
    parser = Parser(
        prog="transfigure",
        usage="transfigure COMMAND ...   |   transfigure COMMAND --help",
        description="\n".join(["Image-to-image translation with adversarial networks.", *lines]),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"transfigure {__version__}")
    return parser


def actions_help(verb: str) -> str:
    """What ``--help`` says of a verb that has actions: what it is for, and each of them."""
    found = [load(f"{verb} {action}") for action in verbs()[verb]]
    width = max(len(command.name) for command in found)
    lines = [f"  {command.name.ljust(width)}  {command.summary}" for command in found]
    head = f"usage: transfigure {verb} ACTION ...   |   transfigure {verb} ACTION --help"
    return "\n".join([head, "", (file_of(verb).__doc__ or "").strip(), "", *lines])


def command_parser(command: Command) -> Parser:
    """The parser of one command. Where further help waits for the other words, ``--help`` is a flag like any other."""
    parser = Parser(
        command,
        prog=f"transfigure {command.name}",
        description=command.description,
        epilog=command.epilog,
        formatter_class=_Paragraphs,
        add_help=command.more_help is None,
    )
    command.add_arguments(parser)
    if command.more_help is not None:
        parser.add_argument("-h", "--help", action="store_true", help="show this help message, and the keys of what is named beside it")
    return parser
