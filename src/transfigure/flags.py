"""The flags of each verb, and what is said to a word that is none of them."""

from __future__ import annotations

import argparse
import difflib
from typing import NoReturn

from ._version import __version__
from .errors import UserError

ALPHA = ("refuse", "white", "black", "drop", "keep")
EPILOG = """\
start here:
  transfigure demo                                       train, translate and evaluate on drawn facades, in two minutes
  transfigure train pix2pix FOLDER --out RUN             learn from a folder of image pairs
  transfigure translate RUN INPUT OUTPUT                 a file, or a folder to a folder
  transfigure evaluate RUN FOLDER                        how good is it, beside what anyone can reach
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our one sentence."""

    def error(self, message: str) -> NoReturn:
        """Complain in one sentence."""
        if message.startswith("unrecognized arguments: "):
            raise UserError(what_is(message.removeprefix("unrecognized arguments: ").split()[0].split("=")[0], self))
        raise UserError(f"{message}; see  {self.prog} --help")


def what_is(argument: str, parser: argparse.ArgumentParser) -> str:
    """The sentence for an argument nobody takes: the nearest flag, ``--training.epochs`` for ``--epochs``, or one word too many."""
    if not argument.startswith("-"):
        places = " ".join(str(action.metavar) for action in parser._actions if not action.option_strings)
        return f"{argument!r} is one argument too many: {parser.prog} takes {places or 'only flags'}"
    flags = {name: name for action in parser._actions for name in action.option_strings}
    if parser.prog.endswith(" train"):
        from .recipe import Recipe, flatten

        for key, _ in flatten(Recipe.load("pix2pix").to_dict()):
            flags.setdefault(f"--{key.rpartition('.')[2]}", f"--{key}")
    close = difflib.get_close_matches(argument, flags, n=1, cutoff=0.6)
    hint = f" (did you mean {flags[close[0]]!r}?)" if close else f"; see  {parser.prog} --help"
    return f"there is no option {argument}{hint}"


SUMMARIES = {
    "demo": "train, translate and evaluate on drawn facades, in two minutes",
    "train": "train a translator on image pairs",
    "translate": "translate a file, or a folder to a folder",
    "evaluate": "score a translator, or any two folders of images",
    "report": "write the report page of a run, or of an evaluation",
    "ablate": "train a grid of recipes and compare them: which loss does what?",
    "analyze": "what a translator preserves of its sources, and what it makes new",
    "mechanism": "experiments on how translation by the adversarial loss alone works",
    "compare": "lay runs side by side: tables, curves, pictures",
    "weights": "the weights that metrics need: where they are, and get them",
    "segmenter": "train what reads label maps back from photos, for the FCN-score",
    "statistics": "store a folder's feature statistics, to evaluate against",
    "list": "every network, loss, metric, dataset kind and recipe",
    "doctor": "versions, devices, and what is missing for which feature",
}


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the program, for its --help, and the parser of each verb."""
    form = argparse.RawDescriptionHelpFormatter
    commands = "\n".join(f"  {name:20}  {summary}" for name, summary in SUMMARIES.items())
    parser = Parser(
        prog="transfigure",
        usage="transfigure COMMAND ...   |   transfigure COMMAND --help",
        description=f"Image-to-image translation with adversarial networks.\n\ncommands:\n{commands}",
        epilog=EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"transfigure {__version__}")
    added: dict[str, Parser] = {}
    for name, summary in SUMMARIES.items():
        description = summary[0].upper() + summary[1:] + ("" if summary.endswith("?") else ".")
        added[name] = Parser(prog=f"transfigure {name}", description=description, allow_abbrev=False, add_help=name != "train")
    for name in ("demo", "train", "translate", "evaluate", "ablate", "analyze", "mechanism", "weights", "segmenter", "statistics"):
        added[name].add_argument("--quiet", action="store_true", help="no notes and no progress on stderr")
    for name in ("train", "translate", "evaluate", "ablate", "analyze", "mechanism", "list"):
        added[name].add_argument(
            "--plugins",
            action="append",
            metavar="FILE",
            help="a Python file that registers more losses, networks, metrics ...; may be repeated",
        )
    for name in ("evaluate", "ablate", "analyze", "mechanism", "compare", "list", "doctor", "weights", "segmenter"):
        added[name].add_argument("--json", action="store_true", help="for machines")

    added["demo"].add_argument("--out", default="transfigure-demo", metavar="DIR", help="where to (default: %(default)s)")

    command = added["train"]
    command.add_argument("recipe", nargs="?", metavar="RECIPE", help="a shipped recipe (see: transfigure list recipe) or a YAML file")
    command.add_argument("data", nargs="?", metavar="DATA", help="a folder of images, a manifest, or a drawn world such as synthetic")
    command.add_argument("--out", metavar="RUN", help="the run directory to write")
    command.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint (RECIPE and DATA may be left out)")
    command.add_argument("--seed", type=int, help="short for --training.seed")
    command.add_argument("--devices", type=int, help="short for --training.devices")
    command.add_argument("--print_config", action="store_true", help="print the complete recipe and stop")
    command.add_argument("-h", "--help", action="store_true", help="this, and every key of RECIPE as a flag")

    for name in ("translate", "evaluate", "analyze"):
        command = added[name]
        command.add_argument(
            "model",
            nargs="?" if name == "evaluate" else None,
            metavar="MODEL",
            help="a run, a model directory, or a .pth file of the PyTorch reference code",
        )
        command.add_argument("--checkpoint", choices=["last", "best"], default="last", help="of a run (default: %(default)s)")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
        command.add_argument(
            "--norm", choices=["batch", "running"], help="statistics: of the image at hand, or gathered in training (default: the model's)"
        )
        command.add_argument("--noise", choices=["dropout", "none"], help="dropout as the noise z, or off (default: the model's)")
        command.add_argument("--seed", type=int, help="of the noise (default: the model's)")

    command = added["translate"]
    command.add_argument("input", metavar="INPUT", help="an image or a folder of images")
    command.add_argument("output", metavar="OUTPUT", help="the image or the folder to write")
    command.add_argument("--format", choices=["png", "jpg", "webp", "tif", "bmp", "same"], help="of what is written (default: png)")
    command.add_argument("--half", choices=["left", "right"], help="translate this half of side-by-side files")
    command.add_argument(
        "--alpha",
        choices=ALPHA,
        default="refuse",
        help="what to do with transparency (default: %(default)s)",
    )

    _evaluate(added["evaluate"])
    _analyze(added["analyze"])
    _around_evaluation(added)
    _ablate(added["ablate"], "GRID", "a shipped grid (see: transfigure list grid) or a YAML file")
    _ablate(added["mechanism"], "NAME", "autoencoder, bottleneck, discriminator, dataset_size or penalties")
    command = added["compare"]
    command.add_argument("runs", nargs="+", metavar="RUN", help="run directories, or the folder of one ablation")
    command.add_argument("--out", metavar="FILE", help="the page to write, with .csv and .json beside it (default: comparison.html)")
    command.add_argument(
        "--pictures", metavar="DIR", help="write each figure of the page here too: charts as .svg, test images as panels.png"
    )
    command.add_argument("--markdown", action="store_true", help="print the table as a GitHub table, to paste into a document")

    added["report"].add_argument("run", metavar="RUN", help="the run directory, or what evaluate --out wrote")
    added["report"].add_argument("--out", metavar="FILE", help="default: RUN/report.html")

    added["list"].add_argument("--markdown", action="store_true", help="all of it as the reference page, options explained")
    added["list"].add_argument("kind", nargs="?", metavar="KIND", help="only this kind, such as loss")
    return parser, added


def _evaluate(command: Parser) -> None:
    command.add_argument("data", nargs="?", metavar="DATA", help="pairs as for train (default: the data it was trained on)")
    command.add_argument("--generated", metavar="DIR", help="a folder of generated images, instead of MODEL")
    command.add_argument("--target", metavar="DIR", help="the folder of what they should be, or a file of stored statistics (.npz)")
    command.add_argument("--source", metavar="DIR", help="the folder of their sources, for the bound of copying them")
    command.add_argument(
        "--labels",
        metavar="DIR",
        help="the folder of label maps for the FCN-score (default: the sources, or the targets without --segmenter)",
    )
    command.add_argument("--unpaired", action="store_true", help="the folders are two sets: compare distributions only")
    command.add_argument(
        "--value_range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="values of the folders' files that are black and white"
    )
    command.add_argument(
        "--alpha", choices=ALPHA, default="refuse", help="what to do with transparency in the folders (default: %(default)s)"
    )
    command.add_argument("--split", choices=["train", "val", "test"], help="default: test, else val")
    command.add_argument("--metrics", metavar="A,B", help="default: all; those that lack weights or a segmenter say so")
    command.add_argument("--require", metavar="A,B", help="metrics that must not be skipped (else exit code 3)")
    command.add_argument(
        "--segmenter", metavar="WHAT", help="for the FCN-score: a file (see: transfigure segmenter), .onnx or module:function"
    )
    command.add_argument("--palette", metavar="NAME", help="of the label maps: facades, cityscapes, synthetic, learn, or a JSON file")
    _weights(command)
    command.add_argument(
        "--out", metavar="DIR", help="write evaluation.json, per_image.csv and panels here (default for a run: RUN/evaluation)"
    )
    command.epilog = "A metric's own options: --metric.NAME.OPTION VALUE, as --metric.fid.resize clean (see: transfigure list metric)."


def _analyze(command: Parser) -> None:
    command.add_argument("data", nargs="?", metavar="DATA", help="two domains, or pairs, as for train (default: what it was trained on)")
    command.add_argument("--second", metavar="RUN", help="another training of the same recipe: do the two agree?")
    command.add_argument("--probes", metavar="FILE", help="what reads known factors: used if it is there, else trained and kept there")
    command.add_argument("--split", choices=["train", "val", "test"], help="default: test, else val")
    command.add_argument("--images", type=int, default=500, metavar="N", help="at most so many of each domain (default: %(default)s)")
    command.add_argument("--out", metavar="DIR", help="write analysis.json and analysis.html here (default for a run: RUN/analysis)")


def _ablate(command: Parser, metavar: str, what: str) -> None:
    command.add_argument("grid", metavar=metavar, help=what)
    command.add_argument("data", nargs="?", metavar="DATA", help="a folder of images, a manifest, or a drawn world such as synthetic")
    command.add_argument("--out", metavar="DIR", help="the folder to write: a run per cell, and comparison.html")
    command.add_argument("--seeds", metavar="0,1,2", help="train each variation once with each (default: the grid's)")
    command.add_argument("--base", metavar="RECIPE", help="the recipe that is varied (default: the grid's)")
    command.add_argument("--resume", action="store_true", help="go on in DIR: finished cells are kept, failed ones tried again")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time, each with its share of the cores (default: 1)")
    command.add_argument("--together", action="store_true", help="all cells in this one process")
    command.add_argument("--metrics", metavar="A,B", help="to compare (default: the grid's)")
    command.add_argument("--segmenter", metavar="WHAT", help="for the FCN-score, as for evaluate; train: one is trained on DATA first")
    command.add_argument("--palette", metavar="NAME", help="of the label maps, as for evaluate")
    command.add_argument("--print_config", action="store_true", help="print the complete grid and stop")
    _weights(command)
    command.epilog = "Recipe flags change the base of all variations: --training.epochs 20, --data.direction BtoA ..."


def _around_evaluation(added: dict[str, Parser]) -> None:
    command = added["weights"]
    command.add_argument("action", nargs="?", default="list", metavar="ACTION", choices=["list", "get"], help="list (default), or get NAME")
    command.add_argument("names", nargs="*", metavar="NAME", help="which weights to get, such as inception")

    command = added["segmenter"]
    command.add_argument("action", metavar="ACTION", choices=["train"], help="train")
    command.add_argument("data", metavar="DATA", help="pairs of photos and label maps, as for train")
    command.add_argument("--out", required=True, metavar="FILE", help="the file to write, such as segmenter.safetensors")
    command.add_argument(
        "--palette", metavar="NAME", help="of the label maps: facades, cityscapes, synthetic or a JSON file (default: learnt)"
    )
    command.add_argument("--photos", choices=["A", "B"], help="which side the photos are (default: the side without flat colours)")
    command.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the pictures it is trained on (default: 128; drawn facades: 64)"
    )
    command.add_argument("--epochs", type=int, help="passes over the training pairs (default: about three minutes on one core)")
    command.add_argument("--minutes", type=float, help="stop in time for this")
    command.add_argument("--width", type=int, help="filters of the outermost level (default: 16)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="default: %(default)s")

    command = added["statistics"]
    command.add_argument("folder", metavar="DIR", help="the folder of images")
    command.add_argument("--out", required=True, metavar="FILE", help="the .npz file to write")
    command.add_argument(
        "--features", choices=["inception", "random"], default="inception", help="for FID, KID and PRDC, or for random_frechet"
    )
    command.add_argument("--resize", choices=["tf1", "clean"], help="how Inception is fed (default: tf1)")
    command.add_argument("--value_range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="values of the files that are black and white")
    command.add_argument("--alpha", choices=ALPHA, default="refuse", help="what to do with transparency (default: %(default)s)")
    _weights(command)


def _weights(command: Parser) -> None:
    command.add_argument(
        "--weights",
        action="append",
        metavar="NAME=FILE",
        help="a file of a feature network's weights; may be repeated (see: transfigure weights)",
    )
