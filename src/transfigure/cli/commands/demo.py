"""Train, translate and evaluate on drawn facades, in two minutes.

The whole life of a pair, with nothing to download.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError, printable
from ...progress import print_result
from ..options import add_quiet

if TYPE_CHECKING:
    from ...recipe import Recipe

GROUP = "train and translate"
MADE = re.compile(
    r"(recipe\.yaml|environment\.json|splits\.json|log\.jsonl|report\.html|panels\.png|checkpoints/last\.pt"
    r"|model(_best)?/(generator\.safetensors|config\.json|README\.md)|samples/(fixed|\d{8})/\w+\.png"
    r"|evaluation/(evaluation\.json|per_image\.csv|panels/\d\d_\w+\.png)|demo/(source|target|generated)/street_\d+\.png)"
)
"""What a demo leaves in its folder."""
SHOWN = 24
"""Test pictures that are translated to be looked at; the scores are of all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the run is written."""
    parser.add_argument("--out", default="transfigure-demo", metavar="DIR", help="where to (default: %(default)s)")
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Run the demo, and print what was done."""
    print_result(run_demo(Path(options.out), quiet=options.quiet), lines=True)
    return 0


def run_demo(out: Path, quiet: bool = False) -> str:
    """Train on drawn facades, translate the test pictures, evaluate, and write the report.

    Args:
        out: the run directory; an earlier demo in it is replaced, anything else is left alone.
        quiet: no progress.

    Returns:
        What was done and where it lies, for a person.

    Raises:
        UserError: ``out`` holds something that is not a demo.
    """
    from ..imports import uncollected

    with uncollected():
        from ...data import images
        from ...data.open import find_records, resolve_data
        from ...data.pairs import directed
        from ...evaluation.diagnosis import diagnose_run
        from ...evaluation.evaluate import evaluate
        from ...recipe import Recipe
        from ...reporting.panels import sheet
        from ...reporting.run.page import report
        from ...training.trainer import train
        from ...translation.translator import Translator

    recipe = Recipe.load("demo")
    _clear_earlier(out, recipe)
    train(recipe, out, quiet=quiet)
    section = resolve_data(recipe.data)
    records = find_records(section).splits
    drawn = out / "demo"
    for record in directed(records["test"], section.direction)[:SHOWN]:
        source, target = record.load()
        images.write(drawn / "source" / f"{record.name}.png", source)
        images.write(drawn / "target" / f"{record.name}.png", target)
    translator = Translator.load(out)
    written = translator.translate_folder(drawn / "source", drawn / "generated", quiet=quiet)
    result = evaluate(translator, section, out=out / "evaluation", quiet=quiet)
    rows = [[images.read(drawn / side / file.name) for side in ("source", "generated", "target")] for file in written[:8]]
    images.write(out / "panels.png", sheet(rows, ["source", "generated", "target"], scale=2))
    page = report(out)
    return "\n".join(
        [
            result.table(),
            "",
            f"diagnosis: {diagnose_run(out)}",
            f"report:    {printable(page)}",
            f"pictures:  {printable(out / 'panels.png')}  (source, generated, target)",
            f"translate: transfigure translate {printable(out)} INPUT OUTPUT",
        ]
    )


def _clear_earlier(out: Path, recipe: Recipe) -> None:
    """Remove an earlier demo, and only that: a run of this very recipe with nothing beside it that a demo does not make."""
    from ...data.files import LOCK, in_it, is_unfinished, natural_key, occupants
    from ...data.open import resolve_data
    from ...data.ownership import is_ours
    from ...recipe import Recipe
    from ...training.run_directory import RunDirectory

    if not occupants(out):
        return
    files = [file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_symlink() or not file.is_dir()]
    others = sorted((name for name in files if not MADE.fullmatch(name) and not is_unfinished(Path(name).name)), key=natural_key)
    if (out / "report.html").is_file() and not is_ours(out / "report.html"):
        others.insert(0, "report.html")
    try:
        same = not others and not Recipe.load(out / "recipe.yaml").differences(recipe.replaced(data=resolve_data(recipe.data)))
    except UserError:
        same = False
    if not same:
        what = in_it(others or occupants(out))
        raise UserError(f"{out} is not empty and is not an earlier demo ({what}): choose another folder with --out")
    with RunDirectory(out).held():  # not while it is being trained
        for item in out.iterdir():  # one by one: the folder itself may be a link
            if item.name != LOCK:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
