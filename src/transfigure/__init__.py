"""Transfigure: image-to-image translation with adversarial networks.

    >>> import transfigure
    >>> recipe = transfigure.Recipe.load("pix2pix", {"data.path": "datasets/facades", "training.epochs": 20})
    >>> run = transfigure.train(recipe, "runs/facades")
    >>> translator = transfigure.Translator.load(run)
    >>> picture = translator(PIL.Image.open("label.png"))

The names of ``__all__`` are the public ones; everything else may change without notice. They are imported when first used:
``import transfigure`` itself imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .data.batch import Batch
    from .evaluation.evaluate import evaluate
    from .metrics.metric import Metric
    from .networks.base import Discriminator, Generator
    from .recipe import Recipe
    from .registry import register
    from .studies.ablation.ablation import ablate
    from .studies.preservation.analyze import analyze
    from .training.trainer import train
    from .translation.translator import Translator

__all__ = [
    "Batch",
    "Discriminator",
    "Generator",
    "Metric",
    "Recipe",
    "Translator",
    "__version__",
    "ablate",
    "analyze",
    "evaluate",
    "register",
    "train",
]

_LAZY = {
    "Batch": ".data.batch",
    "Discriminator": ".networks.base",
    "Generator": ".networks.base",
    "Metric": ".metrics.metric",
    "Recipe": ".recipe",
    "Translator": ".translation.translator",
    "ablate": ".studies.ablation.ablation",
    "analyze": ".studies.preservation.analyze",
    "evaluate": ".evaluation.evaluate",
    "register": ".registry",
    "train": ".training.trainer",
}
"""Public name: the module that defines it."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
