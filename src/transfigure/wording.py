"""How messages count, what they call things, and how they say one thing of many files once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NAMES = {
    "unet": "U-Net",
    "encoder_decoder": "encoder-decoder",
    "resnet": "ResNet",
    "quarter": "quarter-resolution U-Net",
    "l1": "L1",
    "l2": "L2",
    "ms_ssim": "MS-SSIM",
    **{name: name.upper() for name in ("psnr", "ssim", "fid", "kid", "lpips", "dists", "mae", "mse", "rmse")},
}
_ALIKE = 3
"""So many files are named where one sentence is about all of them."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 pair``, ``2,000 pairs``; of words whose plural is not made by an s it is given."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def that_are(count: int, noun: str) -> str:
    """``1 pair is``, ``2 pairs are``."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"


def called(name: str) -> str:
    """A registered name as people write it: ``unet`` -> U-Net, ``feature_matching`` -> feature matching."""
    return _NAMES.get(name.lower(), name.replace("_", " "))


def weighted(loss: str, weight: float) -> str:
    """A term of an objective: ``100 × L1``."""
    return f"{weight:g} × {called(loss)}"


def said_once(reasons: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Sentences about files, those that differ in the file (and its numbers) alone as one.

    Args:
        reasons: each sentence, and what it may call the files that it is about; empty where that is not known.

    Returns:
        The first sentence of each kind, with the other files that it is true of: the first of them, and how many more.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for sentence, names in reasons:
        key, named = sentence, [name for name in names if name and name in sentence]
        for name in sorted(named, key=len, reverse=True):
            key = key.replace(name, "*")
        if named:
            key = re.sub(r"\d+(\.\d+)?", "#", key)
        name = min(named, key=lambda name: (sentence.index(name), -len(name))) if named else sentence
        kinds.setdefault(key, []).append((sentence, name))
    lines = []
    for found in kinds.values():
        others = list(dict.fromkeys(name for _, name in found if name != found[0][1]))
        more = f" and {len(others) - _ALIKE + 1} more" if len(others) >= _ALIKE else ""
        lines.append(found[0][0] + (f"; likewise {', '.join(others[: _ALIKE - 1])}{more}" if others else ""))
    return lines
