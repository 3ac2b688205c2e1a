"""Where features come from: one network in a process, however many metrics and tables ask it, and every image through it once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..errors import Skipped
from . import weights
from .resizing import clean_bicubic, tf1_bilinear
from .trunks.inception import SIZE, Inception
from .trunks.random_features import SEED, RandomFeatures

_CACHED_BATCHES = 6
"""Batches whose features are cached: generated, real and source images, for two sets of metrics that are updated in turn."""


class Extractor:
    """Turns images into features, once per batch however many metrics ask.

    The features of the last few tensors are cached by the tensors' identity; a tensor changed in place is computed again. (A change
    that goes past PyTorch, through an array that shares the memory, is not noticed.)

    Args:
        name: what a table calls the network.
        weights: the SHA-256 of its file, or the seed it was drawn with.
        resize: how images are brought to its size, in words for a table.
        network: float32 ``[n, C, H, W]`` in [-1, 1], on a GPU if there is one, to ``[n, D]``.
        chunk_size: images that go through it together, which bounds the memory.

    Attributes:
        name: as given.
        weights: as given.
        resize: as given.
    """

    def __init__(self, name: str, weights: str, resize: str, network: Callable[[Tensor], Tensor], chunk_size: int = 16) -> None:
        self.name, self.weights, self.resize = name, weights, resize
        self._network, self._chunk_size = network, chunk_size
        self._cache: deque[tuple[Tensor, int, Tensor]] = deque(maxlen=_CACHED_BATCHES)

    def __call__(self, images: Tensor) -> Tensor:
        """Features of each image.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], of any float type.

        Returns:
            float32 ``[N, D]`` on the CPU, without a gradient; the same object for the same unchanged tensor, so not to be written into.

        Raises:
            ValueError: not such a tensor.
            Skipped: the network sees no images of so many channels.
        """
        if images.ndim != 4 or images.numel() == 0 or not images.is_floating_point():
            raise ValueError(f"features are of float images [N, C, H, W]: got {images.dtype} {list(images.shape)}")
        if images.is_inference():  # such a tensor does not count its changes
            return self._compute(images)
        for cached, version, features in self._cache:
            if cached is images and version == images._version:
                return features
        features = self._compute(images)
        self._cache.append((images, images._version, features))
        return features

    def _compute(self, images: Tensor) -> Tensor:
        # Full float32 whatever the caller chose for speed: published distances are of that.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.no_grad(), torch.autocast(_device(), enabled=False), exact:
            parts = [self._network(part.to(_device(), torch.float32)).float().cpu() for part in torch.split(images, self._chunk_size)]
        return torch.cat(parts)


def inception(resize: Literal["tf1", "clean"] = "tf1") -> Extractor:
    """The features of FID, KID and their like: 2,048 from the Inception of 2015-12-05, at 299 x 299 pixels.

    Args:
        resize: ``tf1``, the bilinear resize of the original graph; or ``clean``, antialiased bicubic, clipped to the range of an image
            file, as Parmar et al. 2022 have it.

    Returns:
        The same object whenever the weights and the resize are the same.

    Raises:
        Missing: the weights are nowhere.
        UserError: their file holds something else.
    """
    found = weights.find("inception")
    return _inception(resize, found.path, found.sha256)


def random_network() -> Extractor:
    """The features of a fixed random network: no weights, any number of channels, the images' own size. Always the same object."""
    return _random()


@lru_cache(maxsize=4)
def _inception(resize: Literal["tf1", "clean"], path: Path, sha256: str) -> Extractor:
    words = {"tf1": f"tf1 bilinear to {SIZE}", "clean": f"antialiased bicubic to {SIZE}"}[resize]
    return Extractor("Inception 2015-12-05", sha256, words, partial(_inception_features, resize, _trunk(path, sha256)))


@lru_cache(maxsize=1)
def _trunk(path: Path, sha256: str) -> Inception:
    state, _ = weights.load("inception")
    return Inception(state, origin=str(path)).to(_device())


def _inception_features(resize: Literal["tf1", "clean"], network: Inception, images: Tensor) -> Tensor:
    values = (in_colour(images, "Inception") + 1) * 127.5
    resized = tf1_bilinear(values, SIZE, SIZE) if resize == "tf1" else clean_bicubic(values, SIZE, SIZE).clamp(0, 255)
    features: Tensor = network(resized)
    return features


@lru_cache(maxsize=1)
def _random() -> Extractor:
    # One image fits a processor's cache, and is about twice as fast as sixteen.
    chunk_size = 16 if _device() == "cuda" else 1
    return Extractor("fixed random filters", f"seed {SEED}", "none", lambda images: _random_filters(images.shape[1])(images), chunk_size)


@lru_cache(maxsize=4)
def _random_filters(channels: int) -> RandomFeatures:
    return RandomFeatures(channels).to(_device())


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def in_colour(images: Tensor, what: str) -> Tensor:
    """``[N, 3, H, W]`` from colour or grey images.

    Raises:
        Skipped: neither one nor three channels.
    """
    if images.shape[1] not in (1, 3):
        raise Skipped(f"{what} sees colour or grey pictures, and these have {images.shape[1]} channels")
    return images.expand(-1, 3, -1, -1)
