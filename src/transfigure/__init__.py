"""Transfigure: image-to-image translation with adversarial networks.

    >>> import transfigure
    >>> recipe = transfigure.Recipe.load("pix2pix", {"data.path": "datasets/facades", "training.epochs": 20})
    >>> run = transfigure.train(recipe, "runs/facades")
    >>> translator = transfigure.Translator.load(run)
    >>> picture = translator(PIL.Image.open("label.png"))

Names are imported when first used: ``import transfigure`` itself imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .evaluation.evaluate import evaluate
    from .recipe import Recipe
    from .training.trainer import train
    from .translation.translator import Translator

__all__ = ["Recipe", "Translator", "__version__", "evaluate", "train"]

_LAZY = {
    "Recipe": ".recipe",
    "train": ".training.trainer",
    "Translator": ".translation.translator",
    "evaluate": ".evaluation.evaluate",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
