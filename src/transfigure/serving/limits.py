"""What a server takes at the most."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused, before it costs anything.

    Attributes:
        megabytes: of a request's body, 10^6 bytes each.
        megapixels: of an image, 10^6 each.
        seconds: from a request's first byte to its answer.
        requests: that are being worked on or wait.

    Raises:
        UserError: one of them is not above 0.
    """

    megabytes: float = 32.0
    megapixels: float = 16.0
    seconds: float = 60.0
    requests: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise UserError(f"--{name} is {value}: give a number above 0")

    @property
    def bytes(self) -> int:
        """Of a body."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Of an image."""
        return int(self.megapixels * 1e6)

    def to_dict(self) -> dict[str, Any]:
        """As clients are told."""
        return {"bytes": self.bytes, "pixels": self.pixels, "seconds": self.seconds, "requests": self.requests}
