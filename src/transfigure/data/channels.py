"""What the channels of images are: their names, and whether three of them are the colours of a photo. Decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError

PRIMARIES = ({"r", "red"}, {"g", "green"}, {"b", "blue"})
"""Names by which three channels are the colours of a picture."""


def are_primaries(names: Sequence[str]) -> bool:
    """Whether these are the names of red, green and blue."""
    return len(names) == 3 and all(name.strip().lower() in known for name, known in zip(names, PRIMARIES))


def not_colour(channels: int, names: Sequence[str] = (), dtype: str = "uint8") -> str:
    """Why images are no pictures in colour or grey, as a network that was trained on photos sees them; empty if they are.

    Three channels are colours if they have the names of colours, or have no names and 8 bits: photos have 8 bits nearly always, and three
    channels of 16 bits or floats are most often three measurements.

    Args:
        channels: of each image.
        names: of the channels; empty where nobody knows them.
        dtype: of their files, such as ``uint16``.
    """
    if are_primaries(names) or (channels == 1 and len(names) <= 1):
        return ""
    if names:
        return f"these have the channels {brief_names(names)}"
    if channels != 3:
        return f"these have {channels} channels"
    kind = {"uint16": "16-bit", "float32": "float"}.get(dtype, dtype)
    return "" if dtype == "uint8" else f"these are three channels of {kind} data that nobody has named red, green and blue"


def resolve_names(side: str, given: Sequence[str] | None, known: Sequence[str], channels: int) -> tuple[str, ...]:
    """What the channels of a side are called.

    Args:
        side: ``source`` or ``target``.
        given: in the recipe; this goes first.
        known: by the pattern of the files, or else what they say themselves.
        channels: of each image.

    Raises:
        UserError: names are given, and not one for each channel.
    """
    if given is None or not channels:
        return tuple(known) if len(known) == channels else ()
    if len(given) != channels:
        raise UserError(
            f"data.{side}_channel_names names {len(given)} ({', '.join(given)}), and the {side} pictures have {channels} "
            f"{'channel' if channels == 1 else 'channels'}: name each of them, in the order of the files"
        )
    return tuple(given)


def brief_names(names: Sequence[str]) -> str:
    """``DAPI, MAP2, NFH``; of many the first few, and how many more."""
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def titles(channels: int, names: Sequence[str] = ()) -> list[str]:
    """What a table calls each channel: its name, or ``channel 1`` and so on."""
    return list(names) if len(names) == channels else [f"channel {number + 1}" for number in range(channels)]


@dataclass(frozen=True)
class ChannelKind:
    """What the channels of a set of images are.

    Attributes:
        channels: of each image.
        dtype: of their files.
        names: of the channels; empty where nobody knows them.
    """

    channels: int
    dtype: str = "uint8"
    names: tuple[str, ...] = ()

    @property
    def why_no_colour(self) -> str:
        """Why they are no pictures in colour or grey; empty if they are."""
        return not_colour(self.channels, self.names, self.dtype)

    @property
    def scored(self) -> list[str]:
        """What a table calls each channel, where each is to be scored by itself; none for photos and single channels."""
        return titles(self.channels, self.names) if self.channels > 1 and self.why_no_colour else []
