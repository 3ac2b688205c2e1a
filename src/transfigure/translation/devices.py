"""The devices that a translator can run on, and the number formats it can compute in, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch

from ..errors import UserError

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(wish: str) -> torch.device:
    """The device of this name (``cuda:1`` is the second GPU); ``auto`` is the best there is.

    Raises:
        UserError: the machine does not have it.
    """
    have = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind, colon, index = wish.partition(":")
    if wish == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if have[name]))
    if not have.get(kind) or (colon and not (index.isdecimal() and len(index) < 5 and int(index) < have[kind])):
        raise UserError(f"device {wish} is not available here: use one of auto, {', '.join(name for name, count in have.items() if count)}")
    return torch.device(wish)


def describe_devices() -> Iterable[str]:
    """The devices of this machine, in words."""
    yield "cpu"
    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index} ({torch.cuda.get_device_name(index)})"
    if torch.backends.mps.is_available():
        yield "mps"
