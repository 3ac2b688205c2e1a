"""What counts in the images of an evaluation, and which of them nothing is left of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from ..data.masks import Mask
from ..data.pairing import listed
from ..errors import UserError
from ..wording import counted
from .schema import Facts


class Masked(Protocol):
    """An image that may have a mask."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def mask(self) -> Mask | None:
        """What counts; None if everything does."""
        ...


M = TypeVar("M", bound=Masked)


class Counted:
    """Passes on the images of which something counts, and says in the end how much that was.

    Attributes:
        empty: the images of which nothing counts.
    """

    def __init__(self) -> None:
        self.empty: list[str] = []
        self._shares: list[float] = []
        self._any = False

    def those_that_count(self, items: Iterable[M]) -> Iterator[M]:
        """All but those whose mask is empty, in their order."""
        for item in items:
            if item.mask is None:
                self._shares.append(1.0)
            elif item.mask.any():
                self._any = True
                self._shares.append(float(item.mask.mean()))
            else:
                self.empty.append(item.name)
                continue
            yield item

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
            about.counted = sum(self._shares) / len(self._shares)
