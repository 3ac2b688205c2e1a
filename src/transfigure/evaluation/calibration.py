"""Images to find the ranges of 8-bit integers with: those of a folder, or of the data that a model was trained on."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..data.folder import find_images
from ..errors import UserError
from ..progress import say, track
from ..translation.export import FEWEST, MOST
from ..translation.translator import Translator
from ..wording import counted
from .evaluate import stride
from .held_out import held_out


def of_folder(translator: Translator, folder: str | Path, quiet: bool = False) -> list[Tensor]:
    """Sources of a folder, at most :data:`~transfigure.translation.export.MOST` spread over it, each ``[C, H, W]`` in [-1, 1].

    Raises:
        UserError: too few, or one that cannot be read or does not fit the model.
    """
    found = find_images(folder)
    for note in [] if quiet else found.notes:
        say(f"note: {note}")
    if len(found.files) < FEWEST:
        raise UserError(
            f"{folder} holds {counted(len(found.files), 'image')}, and 8 bits want {FEWEST} to be calibrated: give a folder with more"
        )
    files = found.files[:: stride(len(found.files), MOST)][:MOST]
    return [translator.read_tensor(file) for file in track(files, len(files), "read", quiet=quiet)]


def of_data(translator: Translator, quiet: bool = False) -> list[Tensor]:
    """Sources of a model's own training pairs, likewise.

    Raises:
        UserError: it does not say what it was trained on, the data is not there any more, or holds too few pairs.
    """
    try:
        pairs = held_out(translator, None, "train", {}, quiet).pairs
    except UserError as error:
        raise UserError(f"nothing to calibrate 8 bits with: {error}; or give a folder of source images with --calibration DIR") from error
    if len(pairs) < FEWEST:
        raise UserError(
            f"the model was trained on {counted(len(pairs), 'pair')}, and 8 bits want {FEWEST} images to be calibrated: give a folder "
            "of source images with --calibration DIR"
        )
    chosen = range(0, len(pairs), stride(len(pairs), MOST))[:MOST]
    return [pairs[index].source for index in track(chosen, len(chosen), "read", quiet=quiet)]
