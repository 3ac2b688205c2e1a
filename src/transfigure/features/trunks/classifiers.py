"""The convolutions of three ImageNet classifiers, in whose activations LPIPS and DISTS measure distance.

Each network is a table of stages; what a stage ends in is an activation. Names and shapes are those of the weights torchvision
publishes, so its files load as they are; the classifying layers behind the convolutions are not needed and not kept.

Sources: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks" (AlexNet); Simonyan and Zisserman 2015,
"Very deep convolutional networks", table 1, column D (VGG-16); Iandola et al. 2016, "SqueezeNet", table 1, as revised to 1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError, did_you_mean

State = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Conv:
    """A square convolution and its rectifier."""

    key: str
    inputs: int
    outputs: int
    size: int = 3
    stride: int = 1
    padding: int = 1

    def shapes(self) -> Shapes:
        """Of the weights it needs."""
        return {f"{self.key}.weight": (self.outputs, self.inputs, self.size, self.size), f"{self.key}.bias": (self.outputs,)}

    def __call__(self, x: Tensor, state: State) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, h, w]``, not negative."""
        return F.relu(F.conv2d(x, state[f"{self.key}.weight"], state[f"{self.key}.bias"], self.stride, self.padding))


@dataclass(frozen=True)
class Fire:
    """SqueezeNet's module: squeezed to few channels, then expanded by 1 x 1 and by 3 x 3 convolutions side by side."""

    key: str
    inputs: int
    squeezed: int
    expanded: int

    def parts(self) -> tuple[Conv, Conv, Conv]:
        """Squeeze, expand 1 x 1, expand 3 x 3."""
        return (
            Conv(f"{self.key}.squeeze", self.inputs, self.squeezed, 1, padding=0),
            Conv(f"{self.key}.expand1x1", self.squeezed, self.expanded, 1, padding=0),
            Conv(f"{self.key}.expand3x3", self.squeezed, self.expanded, 3),
        )

    def shapes(self) -> Shapes:
        """Of the weights it needs."""
        return {key: shape for part in self.parts() for key, shape in part.shapes().items()}

    def __call__(self, x: Tensor, state: State) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, 2 expanded, H, W]``, not negative."""
        squeeze, *expand = self.parts()
        x = squeeze(x, state)
        return torch.cat([part(x, state) for part in expand], 1)


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window, every second pixel."""

    size: int
    ceil: bool = False

    def shapes(self) -> Shapes:
        """It needs none."""
        return {}

    def __call__(self, x: Tensor, state: State) -> Tensor:
        """About half the height and width."""
        return F.max_pool2d(x, self.size, 2, ceil_mode=self.ceil)


@dataclass(frozen=True)
class Network:
    """A classifier's table.

    Attributes:
        label: what people call it.
        file: the file torchvision publishes.
        smallest_input: the smallest height and width its max pools leave something of.
        widths: channels of each activation.
        stages: an activation is taken at the end of each.
    """

    label: str
    file: str
    smallest_input: int
    widths: tuple[int, ...]
    stages: tuple[tuple[Conv | Fire | MaxPool, ...], ...]

    def shapes(self) -> Shapes:
        """Every tensor it needs, by name."""
        return {key: shape for stage in self.stages for layer in stage for key, shape in layer.shapes().items()}


ALEXNET = Network(
    "AlexNet",
    "alexnet-owt-7be5be79.pth",
    31,
    (64, 192, 384, 256, 256),
    (
        (Conv("features.0", 3, 64, 11, 4, 2),),
        (MaxPool(3), Conv("features.3", 64, 192, 5, 1, 2)),
        (MaxPool(3), Conv("features.6", 192, 384)),
        (Conv("features.8", 384, 256),),
        (Conv("features.10", 256, 256),),
    ),
)
VGG16 = Network(
    "VGG-16",
    "vgg16-397923af.pth",
    16,
    (64, 128, 256, 512, 512),
    (
        (Conv("features.0", 3, 64), Conv("features.2", 64, 64)),
        (MaxPool(2), Conv("features.5", 64, 128), Conv("features.7", 128, 128)),
        (MaxPool(2), Conv("features.10", 128, 256), Conv("features.12", 256, 256), Conv("features.14", 256, 256)),
        (MaxPool(2), Conv("features.17", 256, 512), Conv("features.19", 512, 512), Conv("features.21", 512, 512)),
        (MaxPool(2), Conv("features.24", 512, 512), Conv("features.26", 512, 512), Conv("features.28", 512, 512)),
    ),
)
SQUEEZENET = Network(
    "SqueezeNet 1.1",
    "squeezenet1_1-b8a52dc0.pth",
    17,
    (64, 128, 256, 384, 384, 512, 512),
    (
        (Conv("features.0", 3, 64, 3, 2, 0),),
        (MaxPool(3, ceil=True), Fire("features.3", 64, 16, 64), Fire("features.4", 128, 16, 64)),
        (MaxPool(3, ceil=True), Fire("features.6", 128, 32, 128), Fire("features.7", 256, 32, 128)),
        (MaxPool(3, ceil=True), Fire("features.9", 256, 48, 192)),
        (Fire("features.10", 384, 48, 192),),
        (Fire("features.11", 384, 64, 256),),
        (Fire("features.12", 512, 64, 256),),
    ),
)
NETWORKS = {"alexnet": ALEXNET, "vgg16": VGG16, "squeezenet": SQUEEZENET}


@dataclass(frozen=True, eq=False)
class Trunk:
    """A network with its weights; see :func:`trunk`."""

    network: Network
    state: State

    def __call__(self, images: Tensor, pool: Callable[[Tensor], Tensor] | None = None, stages: int | None = None) -> list[Tensor]:
        """The activation at the end of each stage.

        Args:
            images: ``[N, 3, H, W]``, scaled as the caller wants them; at least ``network.smallest_input`` high and wide.
            pool: stands in for every max pool, ``[N, C, H, W]`` to half its height and width.
            stages: only so many of the first stages.
        """
        activations, x = [], images
        for stage in self.network.stages[:stages]:
            for layer in stage:
                x = pool(x) if pool is not None and isinstance(layer, MaxPool) else layer(x, self.state)
            activations.append(x)
        return activations


def trunk(name: str, state: State, device: torch.device | str = "cpu") -> Trunk:
    """A network from a published state dict; keys it does not need, such as the classifier's, are left.

    Args:
        name: ``alexnet``, ``vgg16`` or ``squeezenet``.
        state: tensors under torchvision's names.
        device: where it is to run.

    Raises:
        UserError: no such network, or a tensor is absent or of another shape.
    """
    if name not in NETWORKS:
        raise UserError(f"there is no classifier named {name!r}{did_you_mean(name, NETWORKS)}")
    network = NETWORKS[name]
    return Trunk(network, take(state, network.shapes(), f"torchvision's {network.file}", device))


def take(state: State, shapes: Shapes, published: str, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a state dict that are needed, in float32.

    Args:
        state: names to tensors.
        shapes: what is needed.
        published: the file that has it, for the error.
        device: where the tensors are to be.

    Raises:
        UserError: the first tensor that is absent or of another shape.
    """
    for key, shape in shapes.items():
        if key not in state:
            raise UserError(f"the weights have no {key!r}, so they are not those of {published}: give that file")
        if tuple(state[key].shape) != shape:
            found = list(state[key].shape)
            raise UserError(f"{key!r} of the weights is {found}, not {list(shape)} as in {published}: give that file")
    return {key: state[key].detach().to(device, torch.float32) for key in shapes}
