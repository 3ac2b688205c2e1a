"""A metric of your own: a score for each image; the mean, its interval and the rows to compare with come by themselves.

Choose the best checkpoint by it, and evaluate with it:

    transfigure train examples/tiny.yaml --out runs/metric --plugins examples/metric.py --training.best_metric tail_error
    transfigure evaluate runs/metric --plugins examples/metric.py --metrics l1,tail_error --metric.tail_error.share 0.95
"""

from typing import ClassVar

import torch
from torch import Tensor

from transfigure import register
from transfigure.metrics.metric import ImageMetric


@register("metric", "tail_error")
class TailError(ImageMetric):
    """The absolute error that a share of all values stays below, on the [0, 1] scale: how wrong the worst places are.

    Blind to how large that worst part's errors are beyond it, and to where it lies.

    Source: Hyndman and Fan 1996, "Sample quantiles in statistical packages", definition 7.

    Args:
        share: of the values, in (0, 1).
    """

    name = "tail_error"
    label = "tail error"
    better: ClassVar = "lower"
    perfect = 0.0  # what an image that equals its target scores

    def __init__(self, share: float = 0.99) -> None:
        super().__init__()
        self.share = share

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One number per image: float32 ``[N, C, H, W]`` in [-1, 1], twice, to ``[N]``."""
        return torch.quantile((prediction - target).abs().flatten(1) / 2, self.share, dim=1)
