"""Whether pictures have the channels that a model takes, from their headers: a model of stacks is not given single files one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data import images
from ..data.file_patterns import JOINED, FilePattern
from ..data.pairing import listed
from ..data.pairs import FilePicture
from ..errors import Missing, UserError
from ..networks.model_file import ModelConfig
from ..wording import counted

_ENOUGH = 64
"""Headers that are read before the work; what is wrong with others is said when they are."""


def refuse_single_files(config: ModelConfig, pictures: Sequence[FilePicture], place: str | Path) -> None:
    """Refuse pictures of which none has the channels that the model takes, where a pattern of several files would give them.

    Args:
        config: of the model.
        pictures: what is to be translated.
        place: what was named.

    Raises:
        UserError: no picture fits; the message says how the files of one are named.
    """
    if config.source.encoding != "values":  # a class or a lightness is a channel of the networks, and no file
        return
    wanted, trained = config.source.channels, trained_pattern(config)
    counts = [_channels(picture) for picture in pictures[:_ENOUGH]]
    stacks = any(len(picture.files) > 1 for picture in pictures)
    if not counts or None in counts or not (trained is not None or stacks or set(counts) == {1}):
        return
    own = {wanted} if wanted not in (1, 3) or (trained is not None and len(trained.names) > 1) else {1, 3}  # grey and colour convert
    if any(count in own for count in counts):
        return
    have = listed([str(count) for count in sorted({count for count in counts if count is not None})])
    named = f" ({listed(config.source.names, 16)})" if config.source.names else ""
    what = f"{place} is an image" if len(pictures) == 1 else f"the {counted(len(pictures), 'image')} of {place} are"
    folder = f"{Path(place).name or place}/" if not stacks else ""
    if trained is not None:
        several = len(trained.parts) > 1  # then their folders tell them apart
        parts = [f"{Path(part.folder).name}/{part.text}" if several and part.folder else part.text for part in trained.parts]
        pattern = f"as in its training, by '{JOINED.join(parts)}'"
    else:
        pattern = f"by a pattern, such as '{folder}{{name}}_z{{0..{wanted - 1}}}.png' (or with {{A,B,C}})"
    raise UserError(f"this model takes images of {wanted} channels{named}, and {what} of {have}: name the files of one image {pattern}")


def trained_pattern(config: ModelConfig) -> FilePattern | None:
    """The pattern of the sources that a model was trained on, if its recipe names one."""
    data = (config.recipe or {}).get("data") or {}
    text = data.get("a" if data.get("direction", "AtoB") == "AtoB" else "b") if isinstance(data, dict) else None
    try:
        pattern = FilePattern.read(text) if isinstance(text, str) else None
    except UserError:  # of a recipe that somebody else wrote
        return None
    return pattern if pattern is not None and len(pattern.names) != 1 else None


def _channels(picture: FilePicture) -> int | None:
    """By the headers; None where they cannot be read, or say it only with the pixels."""
    total = 0
    for file in picture.paths:
        try:
            header = images.size_of(file, picture.orientation)
        except (UserError, Missing):
            return None
        if header.transparent:
            return None
        total += header.channels
    return total
