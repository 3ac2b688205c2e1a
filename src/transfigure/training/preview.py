"""Pictures of the same few examples as the training goes on: the first thing a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data import images
from ..data.batch import Pair
from ..data.display import described, hatched, limits, parts, rows, shown, strip
from ..data.open import OpenedData
from ..data.pixels import Array
from ..errors import UserError
from ..networks.model_file import Norm
from ..networks.modes import inference
from ..progress import say


class Previews:
    """A fixed choice of examples, from the validation pairs if there are any, else test, else training pairs.

    Args:
        data: the opened data.
        count: how many examples.
        folder: ``samples/``; sources and targets go to ``fixed/``, generated pictures to a folder per moment.
        device: where the generator is.
        norm: the statistics that it translates with, ``batch`` or ``running``.
    """

    def __init__(self, data: OpenedData, count: int, folder: Path, device: torch.device, norm: Norm = "batch") -> None:
        pairs = data.val or data.test or data.train_plain
        chosen = [round(i * (len(pairs) - 1) / max(1, count - 1)) for i in range(min(count, len(pairs)))]
        self._pairs = []
        for index in chosen:
            try:
                self._pairs.append(pairs[index])
            except UserError as error:  # test pairs are not read before: a picture less is no cause to train nothing
                say(f"note: there is no preview of {pairs.records[index].name}: {error}")
        self._data, self._folder, self._device, self._norm = data, folder, device, norm

    def draw(self, generator: nn.Module, seen: int) -> tuple[Tensor, Tensor]:
        """Generate every example, each by itself, and write the pictures.

        Args:
            generator: G; its statistics and the random numbers of the training are left as they are.
            seen: images seen so far, the name of the folder.

        Returns:
            Generated images and targets, ``[N, C, H, W]`` in [-1, 1], on the CPU; equal where nothing counts.
        """
        if not self._pairs:
            return torch.empty(0), torch.empty(0)
        fakes = []
        for pair in self._pairs:
            with inference(generator, self._norm, seed=0):
                fakes.append(generator(pair.source[None].to(self._device))[0].float().cpu())
        of_source, of_target = self._data.source.file_names, self._data.target.file_names
        for index, (pair, fake) in enumerate(zip(self._pairs, fakes)):
            if not any((self._folder / "fixed").glob(f"{index}_target.*")):
                images.write_kept(self._folder / "fixed" / f"{index}_source", self._source(pair), of_source)
                images.write_kept(self._folder / "fixed" / f"{index}_target", self._target(pair.target, pair), of_target)
            images.write_kept(self._folder / f"{seen:08d}" / str(index), self._generated(fake, pair), of_target)
        fakes = [fake if pair.mask is None else torch.where(pair.mask, fake, pair.target) for fake, pair in zip(fakes, self._pairs)]
        return torch.stack(fakes), torch.stack([pair.target for pair in self._pairs])

    def strips(self, fakes: Tensor) -> list[tuple[str, NDArray[np.uint8]]]:
        """What was generated between its source and its target, as the report shows them, of whatever type.

        Args:
            fakes: as :meth:`draw` gave them.

        Returns:
            The name of each example and what is seen of many channels, and uint8 ``[H, W, 1 or 3]``; of a composite every channel has a
            line below it.
        """
        found = []
        for pair, fake in zip(self._pairs, fakes):
            source = self._source(pair)
            target, generated = self._target(pair.target, pair), self._generated(fake, pair)
            of_source, of_target = self._data.source.file_names, self._data.target.file_names
            between = limits(target, of_target)
            lines = [[shown(source, names=of_source), shown(generated, between, of_target), shown(target, between, of_target)]]
            channels = parts(target, between, of_target)
            for (_, one), (_, other) in zip(parts(generated, between, of_target), channels):
                lines.append([np.full((*source.shape[:2], 1), 255, np.uint8), one, other])
            found.append((_called(pair.name, source, target, (of_source, of_target)), rows([strip(line) for line in lines])))
        return found

    def _source(self, pair: Pair) -> Array:
        """A source as its file would hold it, for people: label maps in colours."""
        return self._data.source.shown(self._data.source.decode(pair.source))

    def _target(self, image: Tensor, pair: Pair) -> Array:
        """The same of a target."""
        target = self._data.target
        return target.shown(target.decode(image, pair.source))

    def _generated(self, fake: Tensor, pair: Pair) -> Array:
        """The same of what was generated for it, with stripes where nothing counts."""
        return hatched(self._target(fake, pair), None if pair.mask is None else pair.mask[0].numpy())


def _called(name: str, source: Array, target: Array, names: tuple[Sequence[str], Sequence[str]]) -> str:
    """The example's name, with what is seen of sides with many channels."""
    looks = [described(array.shape[2], of_side, array.dtype.name) for array, of_side in zip((source, target), names)]
    said = "; ".join(f"{side}: {look}" for side, look in zip(("source", "target"), looks) if look)
    channels = [title for title, _ in parts(target[:1, :1], None, names[1])]
    below = f"; below: {', '.join(channels)}" if channels else ""
    return f"{name} ({said}{below})" if said else name
