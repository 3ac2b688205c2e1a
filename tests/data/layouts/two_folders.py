"""Source and target as files of one name in A and B."""

from __future__ import annotations

from pathlib import Path

from tests.data.pictures import write_noise


def write(folder: Path) -> Path:
    for n in range(12):
        write_noise(folder / "A" / f"{n}.png", seed=n)
        write_noise(folder / "B" / f"{n}.png", seed=100 + n)
    return folder
