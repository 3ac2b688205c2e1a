"""What counts in the images of an evaluation, and which of them nothing is left of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..data.pairing import listed
from ..errors import UserError
from ..wording import counted
from .schema import Facts

T = TypeVar("T")


class Counted:
    """Passes on the images of which something counts, and says in the end how much that was.

    Attributes:
        empty: the images of which nothing counts.
    """

    def __init__(self) -> None:
        self.empty: list[str] = []
        self._shares: list[float] = []
        self._any = False

    def those_that_count(self, items: Iterable[T], named: Callable[[T], tuple[str, ArrayLike | None]]) -> Iterator[T]:
        """All but those whose mask is empty, in their order.

        Args:
            items: the images.
            named: of one of them its name, and its mask, where what is not 0 counts; None if everything does.
        """
        for item in items:
            name, mask = named(item)
            share = 1.0 if mask is None else float(np.asarray(mask).mean())
            self._any = self._any or mask is not None
            if share:
                self._shares.append(share)
                yield item
            else:
                self.empty.append(name)
            del item, mask  # or it is in memory while the next is read

    def merge(self, other: Counted) -> None:
        """Take in the images that another has passed on, behind these."""
        self.empty += other.empty
        self._shares += other._shares
        self._any = self._any or other._any

    def say_in(self, about: Facts) -> None:
        """Write the share that counts, and a note of what was left out, into the facts.

        Raises:
            UserError: nothing counts in any image.
        """
        if self.empty and not self._shares:
            raise UserError(f"nothing counts in any of the {len(self.empty)} images ({listed(self.empty)}): in a mask what is not 0 counts")
        if self.empty:
            verb = "has" if len(self.empty) == 1 else "have"
            about.notes.append(f"{counted(len(self.empty), 'image')} {verb} nothing that counts and no score: {listed(self.empty)}")
        if self._any:
            about.mask = about.mask or "where there is data"
            about.counted = sum(self._shares) / len(self._shares)
