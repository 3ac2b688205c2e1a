"""The pool of generated images that CycleGAN's discriminators are shown."""

from __future__ import annotations

import torch

from transfigure.training.pool import ImagePool


def test_fills_then_swaps_at_even_odds() -> None:
    torch.manual_seed(0)
    pool, shown_old = ImagePool(5), 0
    for number in range(400):
        image = torch.full((1, 1, 2, 2), float(number))
        shown = pool.swap(image)
        assert shown.shape == image.shape
        if number < 5:
            assert torch.equal(shown, image)
        else:
            shown_old += not torch.equal(shown, image)
    assert len(pool.images) == 5 and 150 < shown_old < 250
    assert len({float(image.mean()) for image in pool.images}) == 5


def test_what_was_shown_is_not_changed_later() -> None:
    pool, image = ImagePool(1), torch.ones(1, 1, 2, 2)
    pool.swap(image)
    image.zero_()
    assert float(pool.images[0].mean()) == 1
