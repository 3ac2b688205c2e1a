"""Arguments that several commands share, and how they are read."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TransfigureError, UserError
from ..progress import print_result, say
from ..registry import names

if TYPE_CHECKING:
    from ..data.file_facts import Orientation
    from ..preparation.destination import PreparedFolder, SplitOptions
    from ..scale.cluster import ClusterOptions
    from ..translation.tiling import TilingKeywords
    from ..translation.translator import Translator

DATA = "a folder of images, a manifest, or a drawn world such as synthetic"


def unquoted(argument: str) -> str:
    """A hint, where a word too many looks like what a shell makes of ``{name}_z{00..12}.png`` or ``*.png``; else nothing."""
    looks = "{name}" in argument or argument.lower().endswith((".png", ".tif", ".tiff", ".jpg", ".jpeg"))
    return " (a pattern needs quotation marks, or the shell takes it apart)" if looks else ""


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``."""
    parser.add_argument("--quiet", action="store_true", help="no notes and no progress on stderr")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """``--overwrite``; what it allows is decided in ``data/ownership.py``."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already and were not written by transfigure")


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """``--plugins FILE``; the files are imported before the command runs."""
    parser.add_argument(
        "--plugins",
        action="append",
        metavar="FILE",
        help="a Python file that registers more losses, networks, metrics ...; may be repeated",
    )


def add_model(parser: argparse.ArgumentParser, required: bool = True, several: bool = False) -> None:
    """``MODEL`` and how it is run; :func:`open_model` reads them."""
    parser.add_argument(
        "model",
        nargs=("+" if required else "*") if several else None if required else "?",
        metavar="MODEL",
        help="a run, a model directory, a shipped model such as street, hub:owner/name, an exported .onnx or .xml file, another's .onnx, "
        "the reference's .pth, or a .pict",
    )
    parser.add_argument("--checkpoint", choices=["last", "best"], default="last", help="of a run (default: %(default)s)")
    add_device(parser)
    parser.add_argument(
        "--norm", choices=["batch", "running"], help="statistics: of the image at hand, or gathered in training (default: the model's)"
    )
    parser.add_argument("--noise", choices=["dropout", "none"], help="dropout as the noise z, or off (default: the model's)")
    parser.add_argument("--seed", type=int, help="of the noise (default: the model's)")
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help=f"what runs the model: {', '.join(names('engine'))}, or auto, the fastest that is installed and exact (default: "
        "torch for models, auto for exported files)",
    )
    add_value_range(parser, "of another's .onnx file, or of the files of two folders: values that stand for black and white")
    parser.add_argument("--layout", choices=["nchw", "nhwc"], help="of another's .onnx file (default: found out from its shapes)")


def open_model(options: argparse.Namespace, model: str | None = None) -> Translator:
    """The translator that ``MODEL`` (or ``model``, another in its place) and its flags describe."""
    from .imports import uncollected

    with uncollected():
        from ..translation.translator import Translator

    return Translator.load(
        model or options.model,
        checkpoint=options.checkpoint,
        device=options.device,
        norm=options.norm,
        noise=options.noise,
        seed=options.seed,
        engine=options.engine,
        value_range=value_range(options),
        layout=options.layout,
        quiet=getattr(options, "quiet", False),
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")


def add_split(parser: argparse.ArgumentParser) -> None:
    """``--split``."""
    parser.add_argument("--split", choices=["train", "val", "test"], help="default: test, else val")


def add_division(parser: argparse.ArgumentParser) -> None:
    """``--val``, ``--test``, ``--group`` and ``--seed``; :func:`division` reads them."""
    parser.add_argument("--val", type=float, default=0.0, metavar="SHARE", help="share for validation (default: not divided)")
    parser.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="share for test (default: not divided)")
    parser.add_argument("--group", metavar="PATTERN", help="what keeps names together: parent, or a pattern such as '^(.*)_'")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def add_prepared_folder(parser: argparse.ArgumentParser) -> None:
    """``--out``, how it is divided, and how files are read and written, for what makes data ready."""
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    add_division(parser)
    add_alpha(parser)
    add_overwrite(parser)
    add_quiet(parser)


def print_prepared(prepared: PreparedFolder, options: argparse.Namespace, *names: str) -> None:
    """What was noted, and how many of what (``pair``; ``patch``, ``patches``) were written."""
    for note in [] if options.quiet else prepared.notes:
        say(f"note: {note}")
    print_result(prepared.words(*names))


def division(options: argparse.Namespace) -> SplitOptions:
    """What :func:`add_division` added."""
    from ..preparation import destination

    return destination.SplitOptions(options.val, options.test, options.group, options.seed)


def add_alpha(parser: argparse.ArgumentParser, where: str = "") -> None:
    """``--alpha``; ``where`` says of which files, as ``in the folders``."""
    parser.add_argument(
        "--alpha",
        choices=["refuse", "white", "black", "drop", "keep"],
        default="refuse",
        help=f"what to do with transparency{' ' * bool(where)}{where} (default: %(default)s)",
    )


def add_ignore_orientation(parser: argparse.ArgumentParser) -> None:
    """``--ignore-orientation``; :func:`orientation` reads it."""
    parser.add_argument("--ignore-orientation", action="store_true", help="read files as they are stored, not turned by an orientation tag")


def add_pages(parser: argparse.ArgumentParser, default: str = "") -> None:
    """``--pages``."""
    parser.add_argument(
        "--pages",
        choices=["ask", "channels", "images", "depth"],
        help=f"what the pages of a file are: channels of one image, images of their own, or the slices of one volume{default}",
    )


def orientation(options: argparse.Namespace) -> Orientation:
    """``--ignore-orientation`` as a way of reading."""
    return "ignore" if options.ignore_orientation else "apply"


def add_tiles(parser: argparse.ArgumentParser) -> None:
    """How large images are translated; :func:`tiling` reads it."""
    parser.add_argument(
        "--tile",
        default="auto",
        metavar="auto|none|PIXELS",
        help="translate in tiles: where the whole does not fit the memory, never, or of this side (default: %(default)s)",
    )
    parser.add_argument(
        "--overlap", type=int, metavar="PIXELS", help="that tiles share (default: as many as the network sees, or a quarter of a tile)"
    )
    parser.add_argument(
        "--max-memory", metavar="SIZE", help="that translating may take, such as 3GB: larger images go in tiles (default: what is free)"
    )
    parser.add_argument(
        "--tile-statistics",
        choices=["tile", "global", "exact"],
        help="of a norm that takes those of the image: of each tile, of samples of the whole, or of the whole, with a pass for every such "
        "layer (default: global where torch runs it, else tile)",
    )


def tiling(options: argparse.Namespace) -> TilingKeywords:
    """The tiles that are asked for."""
    from ..translation.tiling import parse_size, parse_tile

    return {
        "tile": parse_tile(options.tile),
        "overlap": options.overlap,
        "max_memory": None if options.max_memory is None else parse_size(options.max_memory),
        "statistics": options.tile_statistics,
    }


def add_executor(parser: argparse.ArgumentParser) -> None:
    """``--executor`` and what goes with it; :func:`cluster_options` reads them."""
    group = parser.add_argument_group("more than one machine")
    group.add_argument(
        "--executor",
        choices=["local", "ray"],
        default="local",
        help="who does the work: this process, or workers of a Ray cluster (extra: scale; default: %(default)s)",
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a running cluster; auto: the one of this machine (default: workers on this machine alone)",
    )
    group.add_argument("--workers", type=int, metavar="N", help="how many (default: as many as fit)")
    group.add_argument("--worker-cpus", type=int, metavar="N", help="of each worker, which are its threads, too (default: 1)")
    group.add_argument(
        "--worker-gpus",
        type=float,
        metavar="N",
        help="of each worker, also a part of one (default: 1 where there are GPUs, unless --device cpu)",
    )


def cluster_options(options: argparse.Namespace) -> ClusterOptions | None:
    """What :func:`add_executor` added; None if this process does the work.

    Raises:
        UserError: flags that are for workers, without them.
    """
    given = {"address": options.address, "workers": options.workers, "cpus": options.worker_cpus, "gpus": options.worker_gpus}
    given = {name: value for name, value in given.items() if value is not None}
    if options.executor == "local":
        if given:
            flag = {"cpus": "--worker-cpus", "gpus": "--worker-gpus"}.get(first := next(iter(given)), f"--{first}")
            raise UserError(f"{flag} is for workers of a cluster: add --executor ray, or leave it out")
        return None
    from ..scale.cluster import ClusterOptions

    return ClusterOptions(**given, device=getattr(options, "device", "auto"))


def add_value_range(parser: argparse.ArgumentParser, what: str = "values of the files that are black and white") -> None:
    """``--value_range LOW HIGH``; :func:`value_range` reads it."""
    parser.add_argument("--value_range", nargs=2, type=float, metavar=("LOW", "HIGH"), help=what)


def value_range(options: argparse.Namespace) -> tuple[float, float] | None:
    """``--value_range`` as a pair."""
    return None if options.value_range is None else (options.value_range[0], options.value_range[1])


def add_weights(parser: argparse.ArgumentParser) -> None:
    """``--weights NAME=FILE``; :func:`weight_files` reads it."""
    parser.add_argument(
        "--weights",
        action="append",
        metavar="NAME=FILE",
        help="a file of a feature network's weights; may be repeated (see: transfigure weights)",
    )


def weight_files(options: argparse.Namespace) -> dict[str, str]:
    """``--weights inception=FILE`` as ``{"inception": "FILE"}``.

    Raises:
        UserError: one of them is not ``NAME=FILE``.
    """
    files = {}
    for pair in options.weights or []:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise UserError(f"--weights {pair!r} is not NAME=FILE, as inception=pt_inception-2015-12-05-6726825d.pth")
        files[name] = file
    return files


def split_names(value: str | None) -> list[str]:
    """``"ssim,l1"`` as ``["ssim", "l1"]``; nothing as an empty list."""
    return value.split(",") if value else []


def required(value: str | None, flag: str) -> str:
    """A flag's value.

    Raises:
        UserError: it was not given.
    """
    if not value:
        raise UserError(f"{flag} is missing: say where")
    return value


def with_data(overrides: dict[str, Any], data: str | None) -> dict[str, Any]:
    """The recipe keys that ``DATA`` stands for, with those that were given as flags over them."""
    from ..recipe import data_at

    return overrides if data is None else {**data_at(data, overrides.get("data.kind")), **overrides}


def after(run: str | Path, *commands: str, quiet: bool = False) -> list[str]:
    """What is said after a command that worked on a run: its report, written anew if it is older than what it shows, and what to do next.

    Args:
        run: what was named; nothing is said of what is no run directory with a report.
        commands: to do next, with ``{run}`` in the place of the run and ``{plugins}`` where they take plugins.
        quiet: do not say why the report could not be written.
    """
    from ..progress import say
    from ..registry import plugin_flags

    folder, lines = Path(run), []
    if not (folder / "recipe.yaml").is_file():
        return []
    page, shown = folder / "report.html", ("log.jsonl", "evaluation/evaluation.json", "analysis/analysis.json")
    if page.is_file() and any((folder / name).is_file() and (folder / name).stat().st_mtime > page.stat().st_mtime for name in shown):
        from ..reporting.run.page import report

        try:
            lines.append(f"report:  {report(folder, quiet=quiet)}")
        except (TransfigureError, OSError) as error:
            if not quiet:
                say(f"note: the report was not written anew: {error}")
    named = [command.format(run=shlex.quote(str(run)), plugins=plugin_flags()) for command in commands]
    return [*lines, f"next:    {'   |   '.join(named)}"] if named else lines
