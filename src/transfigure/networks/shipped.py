"""Models that came with the package: a folder of ``models/`` each, opened by its name wherever a model is named."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from ..errors import did_you_mean
from ..progress import say

MODELS = Path(__file__).parent.parent / "models"
CARD = "README.md"
"""As in :mod:`.model_file`, which imports torch."""


@cache
def shipped_models() -> dict[str, Path]:
    """The model directory of each by its name, sorted."""
    return {file.parent.name: file.parent for file in sorted(MODELS.glob(f"*/{CARD}"))}


def title_of(folder: Path) -> str:
    """What a model's card calls it: its first heading."""
    lines = (folder / CARD).read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), folder.name)


def find_shipped(name: str | Path, quiet: bool = False) -> Path | None:
    """The folder of the shipped model of this name; None for another name.

    A file or folder of that name in the working directory is what was meant, and then that is said.

    Args:
        name: as a person wrote it; ``./street`` is a place, never a name.
        quiet: do not say it.
    """
    folder = shipped_models().get(str(name))
    if folder is None or not os.path.lexists(name):
        return folder
    if not (quiet or isinstance(name, Path)):
        what = "folder" if os.path.isdir(name) else "file"  # noqa: PTH112 - as lexists above
        _say_once(
            f"note: {name} is the {what} here, and not the model of that name that came with transfigure: write ./{name} to say so, or "
            "work in another folder for that model"
        )
    return None


@cache
def _say_once(sentence: str) -> None:
    say(sentence)


def nearest_shipped(name: str | Path) -> str:
    """`` (did you mean 'street'?)`` for a word that is nearly the name of a shipped model; else nothing."""
    if str(Path(name)) in shipped_models():  # ./street: a place, and there is nothing; or a link that leads nowhere
        return "" if os.path.lexists(name) else f" (without ./, {Path(name)} is a model that came with transfigure)"
    found = did_you_mean(str(name), shipped_models()) if len(Path(name).parts) == 1 else ""
    return found if "did you mean" in found else ""
