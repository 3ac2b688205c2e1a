"""The command line: from words to a verb, and from what it raises to one sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .errors import TransfigureError, UserError, did_you_mean
from .flags import parsers, what_is
from .verbs import VERBS

SECTIONS = ("name", "data", "generator", "discriminator", "objective", "training")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says what happened (0 done, 1 failed, 2 your input, 3 something missing, 130 Ctrl-C)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()  # a reader that has gone (| head) is noticed here, not at the interpreter's end
        return code
    except SystemExit as stop:  # --help, --version
        return int(stop.code or 0)
    except TransfigureError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        yours = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
        return _fail(f"{error.filename}: {error.strerror}", 2 if isinstance(error, yours) else 1)
    except (MemoryError, RuntimeError) as error:
        if "DataLoader worker" in str(error):  # torch raises this wherever the main thread happens to be
            return _fail("a loader process was ended, perhaps for lack of (shared) memory: go on with --resume and fewer --data.workers", 1)
        full = ("out of memory", "allocate memory", "not enough memory")  # as torch words it for GPUs, Linux and Windows
        if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in full):
            raise
        return _fail("not enough memory for this: use a smaller --training.batch_size, --data.crop_size or --generator.width", 1)


def _run(arguments: list[str]) -> int:
    rest, overrides = take_overrides(arguments)
    parser, verbs = parsers()
    if not rest:
        parser.print_help()
        return 0
    if rest[0].startswith("-"):
        parser.parse_args(rest[:1])  # --help and --version end here
        raise UserError(f"no command is named before {rest[0]!r}: one of {', '.join(VERBS)}")
    if rest[0] not in VERBS:
        raise UserError(f"there is no command {rest[0]!r}{did_you_mean(rest[0], VERBS)}")
    options, unknown = verbs[rest[0]].parse_known_intermixed_args(rest[1:])
    options.verb = rest[0]
    if unknown:
        raise UserError(what_is(unknown[0].split("=")[0], verbs[options.verb]))
    if overrides and options.verb not in ("train", "ablate", "evaluate", "analyze", "mechanism"):
        raise UserError(f"--{next(iter(overrides))} belongs to  transfigure train  (and, for data, to evaluate and analyze)")
    for plugin in getattr(options, "plugins", []) or []:
        from .registry import load_plugin

        load_plugin(plugin)
    if getattr(options, "help", False):  # only train's waits until here: its keys depend on the recipe, the flags and the plugins
        from .inventory import recipe_flags

        flags = recipe_flags(options.recipe or "pix2pix", overrides)
        print(f"{verbs[options.verb].format_help()}\n{flags}")
        return 0
    verb: Callable[[argparse.Namespace, dict[str, Any]], int] = VERBS[options.verb]
    return verb(options, overrides)


def _fail(sentence: str, code: int) -> int:
    print(f"transfigure: {sentence}", file=sys.stderr)
    return code


def take_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate recipe flags (``--training.epochs 20``, ``--generator=resnet``, ``--data.flip``) from a verb's own arguments."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    tokens = list(arguments)
    while tokens:
        token = tokens.pop(0)
        key, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or ("." not in key and key not in SECTIONS):
            rest.append(token)
        elif equals:
            overrides[key] = value
        elif tokens and not (tokens[0].startswith("--") and len(tokens[0]) > 2):
            overrides[key] = tokens.pop(0)
        else:
            overrides[key] = "true"
    return rest, overrides
