"""The pieces the architectures share: normalisations, halving and up-sampling, and the encoder and decoder of Isola et al. 2017 (6.1.1)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..errors import UserError, did_you_mean
from .init import GAIN
from .levels import ConvBlock
from .winograd import WinogradConv2d, is_traced

NORMS = ("batch", "instance", "none")
UPSAMPLINGS = ("transposed", "resize", "bilinear", "pixel_shuffle")
DOWNSAMPLINGS = ("strided", "blur")
FEATURE_LEVELS = 3
"""How many of an encoder's levels, from the outside in, give their maps as features."""

M = TypeVar("M", bound=nn.Module)


def conv_block(**parts: nn.Module | None) -> ConvBlock:
    """Named layers in their order; ``None`` leaves a layer out. Its state-dict keys are ``conv.weight``, ``norm.bias`` ..."""
    return ConvBlock(OrderedDict((name, part) for name, part in parts.items() if part is not None))


def norm_layer(norm: str, channels: int) -> nn.Module | None:
    """The normalisation of a feature map of ``channels``; instance norm has no weights and keeps no running statistics.

    Raises:
        UserError: unknown ``norm``.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "none":
        return None
    raise UserError(f"there is no normalisation {norm!r}{did_you_mean(norm, NORMS)}")


def spectral_if(layer: M, spectral: bool) -> M:
    """The layer itself; with ``spectral`` its weight W is divided by sigma(W), the largest singular value of W as a matrix.

    The layer then holds W as ``parametrizations.weight.original`` and computes ``weight`` from it; the singular vectors are buffers that
    follow W by one power iteration per forward pass in training. It can be copied and saved by its state dict, but not pickled whole.

    Source: Miyato et al. 2018 (arXiv:1802.05957), section 2.1 and algorithm 1.
    """
    if spectral:
        spectral_norm(layer)
    return layer


def needs_bias(norm: str) -> bool:
    """Whether the convolutions of a network carry a bias: batch norm brings its own, so beside it they do not."""
    return norm != "batch"


def dropout_layer(probability: float) -> nn.Module | None:
    """Element-wise dropout, or nothing at probability 0.

    Raises:
        UserError: the probability is outside [0, 1).
    """
    if not 0 <= probability < 1:
        raise UserError(f"dropout is {probability}: it is a probability from 0 up to, but not including, 1")
    return nn.Dropout(probability) if probability else None


class NoiseInjection(nn.Module):
    """``x + s z``: to each channel its own share s of one map z of noise, drawn anew for every image and every pass.

    A convolution makes the same of every place of an even wall or sky; with something to start from it can draw bricks there. s is learnt,
    from 0.1. As dropout it is on where ``training`` is, and off otherwise.

    Source: Karras, Laine and Aila 2019, "A style-based generator architecture" (arXiv:1812.04948), sections 2 and 3.2. Where ours differs:
    after the norm, which would take away what is alike for a whole channel; and s starts above 0, since there is little time to find it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if not self.training:
            return x
        return self.add(x, torch.randn((len(x), 1, *x.shape[2:]), dtype=x.dtype, device=x.device))

    def add(self, x: Tensor, noise: Tensor) -> Tensor:
        """``x + s z`` for a given z, ``[N, 1, H, W]`` or one for all of a batch."""
        return x + self.scale.to(x.dtype) * noise


def noise_if(noise: bool, channels: int) -> nn.Module | None:
    """What adds noise to a map of so many channels; nothing without ``noise``."""
    return NoiseInjection(channels) if noise else None


class EvenConv(nn.Conv2d):
    """A convolution whose weights are multiplied by ``gain / sqrt(fan-in)`` over the deviation that they start with, in each pass.

    So a layer keeps the size of what passes it, and learns at a rate that does not depend on its width. A few layers that start at
    N(0, 0.02) with neither this nor a norm take every difference between two images down to nothing.

    Source: Karras et al. 2018 (arXiv:1710.10196), section 4.1, "equalized learning rate"; gains as He et al. 2015.
    """

    def __init__(
        self, incoming: int, outgoing: int, kernel: int, gain: float, bias: bool = True, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__(incoming, outgoing, kernel, stride, kernel // 2 if padding is None else padding, bias=bias)
        self.scale = gain / math.sqrt(incoming * kernel**2) / GAIN

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self._conv_forward(x, self.weight * self.scale, self.bias)  # type: ignore[no-any-return]


class DownConv(nn.Conv2d):
    """A convolution, which at the few positions of a U-Net's inner levels is computed as a product of two matrices, on CPUs.

    It is the same sum of the same products: the weights times the patch under each position. There the weights are large and the maps
    small, and bringing the weights into a convolution's own layout costs more than the convolution; measured in whole steps at 256x256
    pixels, products are 1.08 times as fast in float32 and 1.2 times in bfloat16.

    Patches are rows. As columns the products are the same on paper, but then the gradient of few positions is a product whose left matrix
    is transposed, and that is twelve times as slow (torch 2.13 with MKL: 21 ms against 1.7 for 512 x 8192 weights and 4 positions).
    """

    padding: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if is_traced():
            return super().forward(x)
        sides = zip(x.shape[-2:], self.kernel_size, self.stride, self.padding)
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side, kernel, stride, padding in sides)
        if not _as_product(x, height * width, self.weight):
            return super().forward(x)
        patches = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        maps = F.linear(_rows(patches), self.weight.flatten(1), self.bias)
        return maps.view(len(x), height, width, -1).permute(0, 3, 1, 2).contiguous()


class UpConv(nn.ConvTranspose2d):
    """A transposed convolution, computed as :class:`DownConv` is."""

    padding: tuple[int, ...]

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: D102
        if is_traced() or output_size is not None or not _as_product(x, x.shape[-2] * x.shape[-1], self.weight):
            return super().forward(x, output_size)
        settings = zip(x.shape[-2:], self.stride, self.padding, self.kernel_size, self.output_padding)
        height, width = ((side - 1) * stride - 2 * padding + kernel + more for side, stride, padding, kernel, more in settings)
        patches = _rows(x.flatten(2)) @ self.weight.flatten(1)
        patches = patches.view(len(x), -1, patches.shape[1]).transpose(1, 2)
        maps = F.fold(patches, (height, width), self.kernel_size, padding=self.padding, stride=self.stride)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype)[:, None, None]


FEW_POSITIONS, MANY_WEIGHTS = 64, 2**20
"""Up to so many positions in all maps of a batch, and from so many weights on, products are faster."""


def _as_product(x: Tensor, positions: int, weight: Tensor) -> bool:
    return len(x) * positions <= FEW_POSITIONS and weight.numel() >= MANY_WEIGHTS and x.device.type == "cpu"


def _rows(columns: Tensor) -> Tensor:
    """``[N, K, L]`` -> ``[N L, K]``: the positions of all images as the rows of one matrix, so that the weights are gone through once."""
    return columns.transpose(1, 2).flatten(0, 1).contiguous()


class ResizeConv(WinogradConv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: every output pixel sees equally many weights, so no checkerboard.

    Source: Odena, Dumoulin and Olah 2016, "Deconvolution and Checkerboard Artifacts".
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class BilinearConv(WinogradConv2d):
    """Bilinear doubling, then a 3x3 convolution: nor do the blocks of 2x2 equal pixels show that nearest-neighbour doubling leaves.

    Source: as :class:`ResizeConv`, which names both ways of resizing; Karras et al. 2018 (arXiv:1710.10196) and later double so.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


class SubPixelConv(WinogradConv2d):
    """A convolution whose channels become the places of an image ``factor`` times as high and wide (pixel shuffle).

    ``[N, incoming, H, W]`` -> ``[N, outgoing, factor H, factor W]``. The ``factor``^2 kernels of an output channel start alike, so that the
    layer starts as nearest-neighbour up-sampling of a convolution; were each drawn for itself, the places would differ by chance in the
    same way everywhere, which is the checkerboard. In training they part.

    Source: Shi et al. 2016 (arXiv:1609.05158), section 3.1; the start (ICNR) Aitken et al. 2017 (arXiv:1707.02937), section 3.
    """

    def __init__(self, incoming: int, outgoing: int, kernel: int = 3, factor: int = 2, bias: bool = True) -> None:
        self.factor = factor
        super().__init__(incoming, outgoing * factor**2, kernel, padding=kernel // 2, bias=bias)

    def reset_parameters(self) -> None:  # noqa: D102
        super().reset_parameters()
        with torch.no_grad():
            self.arrange_starting_weights(self.weight)
            if self.bias is not None:
                self.arrange_starting_weights(self.bias)

    def arrange_starting_weights(self, weight: Tensor) -> None:
        """Give the places of each output channel its first one's kernel; :func:`.init.initialise` asks for it."""
        places = weight.view(-1, self.factor**2, *weight.shape[1:])
        places.copy_(places[:, :1].clone().expand_as(places))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.pixel_shuffle(super().forward(x), self.factor)


class BlurPool(nn.Module):
    """Half the height and width, rounded up, after smoothing by [1, 2, 1] / 4 along both: what is too fine for the half does not alias.

    Reflected at the border, which takes two pixels a side. No weights. The smoothing is two means of 2x2, the second of which halves.

    Source: Zhang 2019, "Making convolutional networks shift-invariant again" (arXiv:1904.11486), section 3.2.
    """

    kernel, stride = 3, 2

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.avg_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 2, stride=1), 2)


def blur_if(downsampling: str) -> nn.Module | None:
    """What halves after a convolution of stride 1 (``blur``); nothing for ``strided``, whose convolution halves by itself.

    Raises:
        UserError: unknown ``downsampling``.
    """
    if downsampling not in DOWNSAMPLINGS:
        raise UserError(f"there is no downsampling {downsampling!r}{did_you_mean(downsampling, DOWNSAMPLINGS)}")
    return BlurPool() if downsampling == "blur" else None


def upsample(upsampling: str, incoming: int, outgoing: int, kernel: int, bias: bool) -> nn.Module:
    """A layer that doubles height and width.

    ``transposed`` (``kernel`` 3 or 4, stride 2), ``resize`` (:class:`ResizeConv`), ``bilinear`` (:class:`BilinearConv`) or
    ``pixel_shuffle`` (:class:`SubPixelConv`).

    Raises:
        UserError: unknown ``upsampling``.
    """
    if upsampling == "transposed":
        return UpConv(incoming, outgoing, kernel, stride=2, padding=1, output_padding=4 - kernel, bias=bias)
    if upsampling == "resize":
        return ResizeConv(incoming, outgoing, kernel_size=3, padding=1, bias=bias)
    if upsampling == "bilinear":
        return BilinearConv(incoming, outgoing, kernel_size=3, padding=1, bias=bias)
    if upsampling == "pixel_shuffle":
        return SubPixelConv(incoming, outgoing, bias=bias)
    raise UserError(f"there is no upsampling {upsampling!r}{did_you_mean(upsampling, UPSAMPLINGS)}")


def level_widths(width: int, depth: int, innermost: int | None = None) -> list[int]:
    """Channels of the encoder's levels from the outside in: ``width`` doubles up to ``8 * width`` (64, 128, 256, 512, 512 ...).

    Args:
        width: of the outermost level.
        depth: number of levels.
        innermost: channels of the last level, in place of those.

    Raises:
        UserError: ``width`` or ``innermost`` below 1, or ``depth`` below 2.
    """
    if depth < 2:
        raise UserError(f"generator depth is {depth}: it needs at least 2 levels (8 is the paper's, for 256x256 images)")
    widths = [check_at_least(1, "width", width) * min(2**level, 8) for level in range(depth)]
    if innermost is not None:
        widths[-1] = check_at_least(1, "bottleneck_width", innermost)
    return widths


def check_at_least(least: int, what: str, value: int) -> int:
    """``value`` itself.

    Raises:
        UserError: it is below ``least``.
    """
    if value < least:
        raise UserError(f"{what} is {value}: it must be at least {least}")
    return value


class BottleneckNorm(nn.BatchNorm2d):
    """Batch norm of maps that may be a single number per channel, which its own mean turns into zero: the shift is all that is left."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        return self.shift(input) if self.training and input.numel() == input.shape[1] else super().forward(input)

    def shift(self, input: Tensor) -> Tensor:
        """The shift, for every image. Not the parameter itself: what follows works in place."""
        return torch.zeros_like(input) + self.bias.view(1, -1, 1, 1)


def encoder(
    source_channels: int, widths: Sequence[int], norm: str, *, first_bias: bool = False, bottleneck_norm: bool = False
) -> nn.ModuleList:
    """``C64-C128-C256-C512-...``: 4x4 convolutions of stride 2, each but the first after a LeakyReLU of slope 0.2.

    No normalisation on the first (the paper) and on the bottleneck, whose 1x1 map it would turn into zeros at batch 1 (errata, 6.3).
    With ``first_bias`` the first has a bias beside batch norm, too; with ``bottleneck_norm`` the bottleneck is normalised all the same.

    Raises:
        UserError: ``bottleneck_norm`` without batch norm.
    """
    if bottleneck_norm and norm != "batch":
        raise UserError(f"bottleneck_norm is for batch norm, and norm is {norm}: leave out one of them")
    layers = nn.ModuleList()
    for level, outgoing in enumerate(widths):
        first, bottleneck = level == 0, level == len(widths) - 1
        bias = needs_bias(norm) or (first and first_bias)
        conv = DownConv(source_channels if first else widths[level - 1], outgoing, 4, stride=2, padding=1, bias=bias)
        layers.append(
            conv_block(
                # Not in place: what comes in is also what a skip connection carries.
                activation=None if first else nn.LeakyReLU(0.2),
                conv=conv,
                norm=None if first or bottleneck else norm_layer(norm, outgoing),
            )
        )
    if bottleneck_norm:
        layers[-1].add_module("norm", BottleneckNorm(widths[-1]))
    return layers


def encode(x: Tensor, levels: Iterable[nn.Module]) -> list[Tensor]:
    """The maps of an encoder's levels from the outside in, each computed from the one before."""
    maps = []
    for level in levels:
        x = level(x)
        maps.append(x)
    return maps


def decoder(
    target_channels: int,
    widths: Sequence[int],
    norm: str,
    *,
    dropout: float,
    dropped: range,
    upsampling: str,
    skips: bool,
    noise: bool = False,
) -> nn.ModuleList:
    """``CD512-CD512-CD512-C512-C256-C128-C64``, then the image's channels: ReLU, up-sampling by 2, norm, dropout where ``dropped``.

    With ``noise`` every layer but the last adds some after its norm. With ``skips`` every layer but the innermost reads twice the channels:
    the decoder's own and the encoder's of the same level.
    """
    layers = nn.ModuleList()
    for index, level in enumerate(reversed(range(len(widths)))):
        innermost, last = index == 0, level == 0
        incoming = widths[level] * (2 if skips and not innermost else 1)
        outgoing = target_channels if last else widths[level - 1]
        layers.append(
            conv_block(
                activation=nn.ReLU(inplace=True),
                conv=upsample(upsampling, incoming, outgoing, kernel=4, bias=last or needs_bias(norm)),
                norm=None if last else norm_layer(norm, outgoing),
                noise=noise_if(noise and not last, outgoing),
                dropout=dropout_layer(dropout) if index in dropped and not last else None,
            )
        )
    return layers


def receptive_field(layers: Iterable[nn.Module]) -> int:
    """Side in pixels of a square that holds everything one output value can depend on, through convolutions applied one after another.

    Counted backwards from one output: a convolution of kernel k and stride s reaches (n - 1) s + k inputs for n outputs in a row; a
    transposed one, whichever way the outputs lie to its stride, at most floor((n + k - 2) / s) + 1; nearest-neighbour doubling and pixel
    shuffle by r at most floor((n + r - 2) / r) + 1, and its inverse r n; bilinear doubling at most floor(n / 2) + 2.
    Norm layers are left out. For layers whose alignments cannot all be the worst at once it is an upper bound, by a few pixels.

    Args:
        layers: modules whose convolutions, in the order of ``modules()``, are the longest path from input to output.
    """
    reach = 1
    for layer in reversed([part for whole in layers for part in whole.modules()]):
        if isinstance(layer, ResizeConv):
            reach = (reach - 1 + layer.kernel_size[0]) // 2 + 1
        elif isinstance(layer, BilinearConv):
            reach = (reach - 1 + layer.kernel_size[0]) // 2 + 2
        elif isinstance(layer, SubPixelConv):
            reach = (reach + layer.factor - 2) // layer.factor + layer.kernel_size[0]
        elif isinstance(layer, nn.PixelUnshuffle):
            reach *= layer.downscale_factor
        elif isinstance(layer, BlurPool):
            reach = (reach - 1) * layer.stride + layer.kernel
        elif isinstance(layer, nn.ConvTranspose2d):
            reach = (reach + layer.kernel_size[0] - 2) // layer.stride[0] + 1
        elif isinstance(layer, nn.Conv2d):
            reach = (reach - 1) * layer.stride[0] + layer.kernel_size[0]
    return reach
