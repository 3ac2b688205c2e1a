"""The domain classifier of an analysis, trained for fewer steps: enough for tests, which ask it about plain differences or about none."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from transfigure.studies.preservation.novel import DomainClassifier


@cache
def quick_classifier(steps: int) -> type[DomainClassifier]:
    """Stands for :class:`DomainClassifier`; tests that ask about the same images get the one that is there."""

    class Quick(DomainClassifier):
        @classmethod
        def train(cls, sources: Tensor, targets: Tensor, *, seed: int = 0, steps: int = steps, quiet: bool = False) -> DomainClassifier:
            return trained(sources, targets, seed, quiet)

    @cache
    def trained(sources: Tensor, targets: Tensor, seed: int, quiet: bool) -> DomainClassifier:
        return DomainClassifier.train(sources, targets, seed=seed, steps=steps, quiet=quiet)

    return Quick
