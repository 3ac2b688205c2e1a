"""A small network that names the class of every pixel of a photo, and its file: what the FCN-score reads generated photos with.

Source: the U-Net of Ronneberger, Fischer and Brox 2015, section 2. Where ours differs: padded convolutions, batch norm, resizing in
place of transposed convolution, and far fewer filters, since it only has to read pictures as small as those a translator draws.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._version import __version__
from ..data.files import write_atomically
from ..errors import UserError
from ..integrity import check_tensors, read_tensors, write_tensors
from ..stored import brief, check_tree, load_json
from .blocks import check_at_least

FORMAT = 1


class SegmentationNetwork(nn.Module):
    """A U-Net that classifies pixels.

    ``forward``: ``[N, channels, H, W]`` in [-1, 1] -> logits ``[N, classes, H, W]``, for any H and W: it pads to a multiple of
    ``2 ** (depth - 1)`` by repeating the border, and crops back. 488,256 parameters at the defaults with 16 classes.

    Args:
        classes: what a pixel can be.
        channels: of the photos.
        width: filters of the outermost level; they double per level.
        depth: levels, each half the size of the one before.

    Raises:
        UserError: a value below 1 (``classes``: below 2), or a ``depth`` above 12.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        check_at_least(2, "the segmenter's number of classes", classes)
        for what, value in (("channels", channels), ("width", width), ("depth", depth)):
            check_at_least(1, f"the segmenter's {what}", value)
        if depth > 12:
            raise UserError(f"the segmenter's depth is {depth}: no picture can be halved that often (4 is usual)")
        self.classes, self.channels, self.width, self.depth = classes, channels, width, depth
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(_twice(incoming, outgoing) for incoming, outgoing in zip([channels, *widths], widths))
        self.up = nn.ModuleList(_twice(inner + outer, outer) for outer, inner in reversed([*itertools.pairwise(widths)]))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every class at every pixel."""
        height, width = x.shape[-2:]
        multiple = 2 ** (self.depth - 1)
        x = F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()  # the innermost itself, which goes on as x
        for up in self.up:
            x = up(torch.cat([skips.pop(), F.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1))
        logits: Tensor = self.head(x)[..., :height, :width]
        return logits


def save_segmenter(path: Path, network: SegmentationNetwork, facts: Mapping[str, Any]) -> None:
    """Write a segmenter as one safetensors file, whole or not at all.

    Args:
        path: the file.
        network: what is kept.
        facts: plain values for JSON: the ``palette``, the trained ``size``, and what a reader should know of its training.

    Raises:
        UserError: the place cannot be written.
        RunFailure: the disk is full.
    """
    built = {name: getattr(network, name) for name in _BUILT}
    about = json.dumps({**facts, "format": FORMAT, "transfigure": __version__, "network": built})
    write_atomically(path, lambda stream: write_tensors(stream, network.state_dict(), {"segmenter": about}))


def load_segmenter(path: Path) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """The network of a segmenter's file, ready to use (running statistics), and the facts it was saved with.

    Raises:
        UserError: not there, damaged, or another kind of file.
    """
    try:
        about = check_tensors(path).metadata.get("segmenter")
        weights = read_tensors(path) if about is not None else {}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or is no segmenter ({error}): copy it again, or train one anew") from error
    if about is None:
        raise UserError(f"{path} is a file of weights, but not of a segmenter made by this program: train one with its own palette")
    try:
        facts = load_json(about)
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r} of transfigure {facts.get('transfigure')}, and this is {__version__}")
        check_tree(facts)
        sizes = {name: facts["network"][name] for name in _BUILT}
        if any(type(size) is not int or not 0 < size <= _MOST for size in sizes.values()):
            raise ValueError(f"its network is {', '.join(f'{name} {brief(size)}' for name, size in sizes.items())}")
        with torch.device("meta"):  # only the file's own weights shall fill memory
            network = SegmentationNetwork(**sizes)
        network.load_state_dict(weights, assign=True)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError, OverflowError, UserError) as error:
        reason = str(error).splitlines()[-1].strip()[:200]
        raise UserError(f"{path} does not hold the segmenter that it describes ({reason}): copy it again, or train one anew") from error
    return network.float().eval(), facts


_MOST = 1 << 16
_BUILT = ("classes", "channels", "width", "depth")


def _twice(incoming: int, outgoing: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (incoming, outgoing):
        layers += [nn.Conv2d(channels, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
