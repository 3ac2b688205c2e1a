"""Earlier generated images, shown to the discriminator again so that it does not forget them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """At most ``size`` generated images. Once it is full, each new image is, at even odds, shown and forgotten, or takes the place of
    an old one that is shown instead.

    Random numbers come from torch's global generator, so a resumed training draws the same; each of several processes has a pool of its
    own, and a checkpoint keeps them all.

    Source: Zhu et al. 2017, section 4, after Shrivastava et al. 2017, section 2.3.

    Args:
        size: how many; the paper's is 50.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    @torch.no_grad()
    def swap(self, images: Tensor) -> Tensor:
        """What to show in place of these, ``[N, C, H, W]``."""
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                shown.append(self.images[place])
                self.images[place] = image.clone()
                continue
            shown.append(image)
        return torch.stack(shown)

    def state_dict(self) -> dict[str, Any]:
        """Everything exact resume needs."""
        return {"images": list(self.images)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with a saved pool."""
        self.images = list(state_dict["images"])

    def to(self, device: torch.device) -> ImagePool:
        """Move what is in it, in place."""
        self.images = [image.to(device) for image in self.images]
        return self
