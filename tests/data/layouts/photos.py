"""Photos in one folder."""

from __future__ import annotations

from pathlib import Path

from tests.data.pictures import write_noise


def write(folder: Path) -> Path:
    for n in range(12):
        write_noise(folder / f"{n}.png", seed=n)
    return folder
