"""The validation pairs, scored during training by metrics that need nothing but the two images."""

from __future__ import annotations

import torch
from torch import nn

from ..data.open import OpenedData
from ..metrics.metric import Metric
from ..networks.modes import inference
from ..progress import track
from ..registry import build

ALWAYS = ("l1", "psnr", "ssim")


class Validation:
    """Scores a generator on the validation pairs.

    Args:
        data: the opened data.
        best_metric: the metric by which ``best`` is chosen; it is scored beside the usual three.
        device: where the generator is.
    """

    def __init__(self, data: OpenedData, best_metric: str, device: torch.device) -> None:
        self._pairs, self._device = data.val, device
        self._metrics: dict[str, Metric] = {name: build("metric", name) for name in dict.fromkeys((*ALWAYS, best_metric))}
        self.lower_is_better = self._metrics[best_metric].better == "lower"
        self.possible = len(data.val) > 0

    def run(self, generator: nn.Module, quiet: bool = False) -> dict[str, float]:
        """The mean of each metric over the validation pairs, each image translated by itself.

        Args:
            generator: G; its statistics and the random numbers of the training are left as they are.
            quiet: no progress line.
        """
        for metric in self._metrics.values():
            metric.reset()
        for index in track(range(len(self._pairs)), len(self._pairs), "validate", quiet=quiet):
            pair = self._pairs[index]
            with inference(generator, seed=0):
                fake = generator(pair.source[None].to(self._device)).float().cpu()
            for metric in self._metrics.values():
                metric.update(fake, pair.target[None], [pair.name])
        return {name: value for metric in self._metrics.values() for name, value in metric.compute().items()}
