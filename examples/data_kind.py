"""A kind of data of your own: a function from a folder to pairs of files; reading, checking, cropping and splitting come by themselves.

The first line draws eight pairs to read, ``0_in.png`` with ``0_out.png`` and so on:

    python examples/data_kind.py runs/pairs
    transfigure train examples/tiny.yaml --out runs/data_kind --plugins examples/data_kind.py \
        --data.kind suffixes --data.path runs/pairs --data.source _in --data.target _out
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from transfigure import register
from transfigure.data.folder import find_images
from transfigure.data.pairs import Collection, FilePicture, Record
from transfigure.errors import UserError


@register("dataset", "suffixes")
def suffixes(path: Path | None, source: str = "_A", target: str = "_B") -> Collection:
    """Pairs in one folder that differ in the end of their names, such as ``7_A.png`` and ``7_B.png``.

    Args:
        path: the folder.
        source: what the names of sources end in, before the dot.
        target: what the names of targets end in.

    Raises:
        UserError: no folder, or no pair in it.
    """
    if path is None or not path.is_dir():
        raise UserError(f"{path} is no folder: give the one that holds the pairs with --data.path")
    found = find_images(path)
    files = {file.stem: file for file in found.files}
    stems = [stem.removesuffix(source) for stem in files if stem.endswith(source) and stem.removesuffix(source) + target in files]
    if not stems:
        raise UserError(f"{path} holds no two images whose names differ in {source} and {target}: say what they end in with --data.source")
    pairs = [Record(stem, FilePicture((files[stem + source],)), FilePicture((files[stem + target],))) for stem in stems]
    return Collection({"all": pairs}, found.notes)  # "all": val_fraction and test_fraction are drawn from it; or "train", "val", "test"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        picture = np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{number}_in.png")
        Image.fromarray(255 - picture).save(folder / f"{number}_out.png")
