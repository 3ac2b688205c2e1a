"""A generator of your own: a subclass of ``Generator`` that says what sizes it takes and how far it sees.

Source: Chen, Xu and Koltun 2017, "Fast image processing with fully-convolutional networks", section 3.
Where ours differs: no adaptive normalisation.

Train it, and evaluate what it learnt:

    transfigure train examples/tiny.yaml --out runs/generator --plugins examples/generator.py --generator context --generator.width 8
    transfigure evaluate runs/generator --plugins examples/generator.py --metrics l1
"""

import torch
from torch import Tensor, nn

from transfigure import Generator, register
from transfigure.networks.blocks import check_at_least


@register("generator", "context")
class ContextAggregation(Generator):
    """Dilated 3x3 convolutions at full size, each seeing twice as far as the last: no down-sampling, any image size.

    Args:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        width: channels of every layer.
        depth: layers; the k-th has the dilation 2^k, k from 0.

    Example:
        >>> import torch
        >>> from transfigure.networks.build import build_generator
        >>> generator = build_generator("context", 3, 1, {"width": 8, "depth": 4})
        >>> generator(torch.zeros(2, 3, 33, 50)).shape, generator.receptive_field
        (torch.Size([2, 1, 33, 50]), 31)
    """

    def __init__(self, source_channels: int, target_channels: int, width: int = 24, depth: int = 5) -> None:
        super().__init__(source_channels, target_channels)
        check_at_least(1, "width", width)
        # Other attributes keep their defaults (transfigure.networks.base.Generator): size_multiple = 1, smallest_input = 1, ...
        self.receptive_field = 1 + 2 * sum(2**level for level in range(depth))
        layers: list[nn.Module] = []
        for level in range(depth):
            incoming = width if level else source_channels
            layers += [nn.Conv2d(incoming, width, 3, padding=2**level, dilation=2**level), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, target_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` in [-1, 1] to ``[N, C', H, W]`` in [-1, 1]."""
        self.check_size(*x.shape[-2:])
        return torch.tanh(self.layers(x))
