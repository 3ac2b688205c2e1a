"""The validation pairs, scored during training by metrics that score single images."""

from __future__ import annotations

import torch
from torch import nn

from ..data.open import OpenedData
from ..errors import UserError
from ..metrics.metric import ImageMetric
from ..networks.modes import inference
from ..progress import track
from ..registry import build, names, resolve

ALWAYS = ("l1", "psnr", "ssim")


class Validation:
    """Scores a generator on the validation pairs.

    Args:
        data: the opened data.
        best_metric: the metric by which ``best`` is chosen; it is scored beside the usual three.
        device: where the generator is.

    Raises:
        UserError: the metric does not score single images.
        Missing: the metric's weights are not there.
    """

    def __init__(self, data: OpenedData, best_metric: str, device: torch.device) -> None:
        self._pairs, self._device = data.val, device
        if not issubclass(resolve("metric", best_metric), ImageMetric):  # type: ignore[arg-type]
            fit = [name for name in names("metric") if issubclass(resolve("metric", name), ImageMetric)]  # type: ignore[arg-type]
            raise UserError(f"training.best_metric cannot be {best_metric}, which scores no single images: choose from {', '.join(fit)}")
        self._metrics: dict[str, ImageMetric] = {name: build("metric", name) for name in dict.fromkeys((*ALWAYS, best_metric))}
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
