"""Two domains whose files have nothing to do with each other."""

from __future__ import annotations

from pathlib import Path

from tests.data.pictures import write_noise


def write(folder: Path) -> Path:
    for n in range(12):
        write_noise(folder / "A" / f"photo {n}.png", seed=n)
    for n in range(9):
        write_noise(folder / "B" / f"painting {n}.png", seed=100 + n, width=20)
    return folder
