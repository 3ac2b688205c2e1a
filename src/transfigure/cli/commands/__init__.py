"""The commands of ``transfigure``, one file each: a file of this folder is a command of its name, and no list names it.

A name that is a word of Python has a ``_`` behind it in the file's name: ``import_.py``. A folder of this folder is a verb with several
actions, one file each, and each is a command of two words: ``data/check.py`` is ``transfigure data check``. The docstring of the folder's
``__init__.py`` heads ``transfigure data --help``.

A command's file holds:

- its docstring: the first sentence is its line in ``transfigure --help``, all of it is the head of its own help;
- ``add_arguments(parser)``: its arguments and flags, by way of :mod:`argparse`; those that commands share are in ``cli/options.py``;
- ``run(options, overrides) -> int``: what it does, and the exit code. ``overrides`` holds recipe keys that were given as flags.

and where it has need of them:

- ``GROUP = "..."``: the heading it stands under, one of :data:`GROUPS`;
- ``RECIPE_FLAGS = ("data.", ...)``: beginnings of the recipe keys that it takes as flags; ``("",)`` takes them all;
- ``EPILOG = "..."``: below its flags, such as examples; indented lines are kept as they are;
- ``ALIASES = ("...",)``: former names, which still work and say the new one;
- ``more_help(options, overrides) -> str``: further help that depends on what else was typed.

Heavy imports (torch, numpy, a recipe) belong inside ``run``: ``transfigure --help`` imports every file of this folder.
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GROUPS = ("train and translate", "make data ready", "measure", "compare and explain", "look up", "more")
"""The headings of ``transfigure --help``, in their order."""


@dataclass(frozen=True)
class Command:
    """A command as its file describes it.

    Attributes:
        name: what is typed; the file's name, behind that of its folder if it is an action of a verb.
        description: the file's docstring.
        add_arguments: adds its arguments to a parser.
        group: the heading it stands under.
        recipe_flags: beginnings of the recipe keys that it takes as flags.
        epilog: below its flags.
        aliases: former names.
        more_help: help that depends on what else was typed; None if there is none.
    """

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    group: str = GROUPS[-1]
    recipe_flags: tuple[str, ...] = ()
    epilog: str = ""
    aliases: tuple[str, ...] = ()
    more_help: Callable[[argparse.Namespace, dict[str, Any]], str] | None = None

    @property
    def summary(self) -> str:
        """The docstring's first sentence, as an entry of a list."""
        sentence = " ".join(self.description.split("\n\n")[0].split()).removesuffix(".")
        return sentence[:1].lower() + sentence[1:]

    def takes(self, key: str) -> bool:
        """Whether a recipe key is one of its flags."""
        return key.startswith(self.recipe_flags)

    def run(self, options: argparse.Namespace, overrides: dict[str, Any]) -> int:
        """Do it; the exit code."""
        code: int = file_of(self.name).run(options, overrides)
        return code


def names() -> list[str]:
    """Every command's name, from the files of this folder and its folders; nothing is imported."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            actions = pkgutil.iter_modules([f"{path}/{module.name}" for path in __path__])
            found += [f"{module.name} {action.name.removesuffix('_')}" for action in actions]
        else:
            found.append(module.name.removesuffix("_"))
    return sorted(found)


def verbs() -> dict[str, list[str]]:
    """The first words of all commands, each with the actions that may follow it; none for most."""
    found: dict[str, list[str]] = {}
    for name in names():
        verb, *action = name.split()
        found.setdefault(verb, []).extend(action)
    return found


def load(name: str) -> Command:
    """What a command's file says of it."""
    module = file_of(name)
    given = {
        field: getattr(module, field.upper()) for field in ("group", "recipe_flags", "epilog", "aliases") if hasattr(module, field.upper())
    }
    return Command(name, module.__doc__ or "", module.add_arguments, more_help=getattr(module, "more_help", None), **given)


def commands() -> list[Command]:
    """Every command, in the order of the headings and then of the names."""
    found = [load(name) for name in names()]
    return sorted(found, key=lambda command: (GROUPS.index(command.group), command.name))


def file_of(name: str) -> Any:
    """A command's file, imported; the folder of a verb with actions."""
    words = [f"{word}_" if keyword.iskeyword(word) else word for word in name.split()]
    return importlib.import_module(".".join([__name__, *words]))
