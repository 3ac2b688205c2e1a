"""A look at the label maps of a training set before anything else: which classes there are, and whether all files mean the same by them."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UserError
from ...progress import Progress
from ...recipe import Data
from ...wording import counted
from ..file_facts import FileFacts
from ..images import Alpha
from ..masks import data_of, of_class, without_no_data
from ..pairs import Picture, Record, examined
from ..pixels import Array
from .by_name import SIDES, classes_of, kind_of_side, palette_of_side
from .file_palettes import PaletteWatch
from .label_classes import ClassWatch
from .label_colours import as_hex
from .label_maps import ColourWatch, LabelMaps, classes_in_words


def with_classes(section: Data, records: Sequence[Record], quiet: bool = False) -> tuple[Data, list[str]]:
    """A section that lists the classes of its label maps and the colours of their palette, and what a person should know of them.

    Every label map of the training set is read for it, once; one that cannot be read is left to the check that follows.

    Args:
        section: the recipe's data section.
        records: the training pairs, sources first.
        quiet: no progress.

    Raises:
        UserError: no classes are to be found, or files are of several forms, or hold others than the section lists, or another palette
            than it gives.
    """
    notes: list[str] = []
    for place, side in enumerate(SIDES):
        if kind_of_side(section, side) != "labels":
            continue
        given = classes_of(section, side)
        pictures: dict[str, Picture] = {}
        for record in records:
            pictures.setdefault((one := record.b if place else record.a).label, one)
        watch, palettes, colours = ClassWatch(side), PaletteWatch(side, palette_of_side(section, side)), None
        if given:
            colours = ColourWatch(LabelMaps(given), f"{side} label maps") if all(one.colour for one in given) else None
        with Progress(len(pictures), f"classes of {side}s", "picture", quiet=quiet) as progress:
            for label, picture in pictures.items():
                progress.advance()
                try:
                    array, facts = _with_classes_alone(picture, section.alpha)
                except UserError:
                    continue
                watch.look(label, array, facts)
                palettes.look(label, facts)
                if colours is not None:
                    colours.look(label, array)
        if not watch.count:
            continue
        if palettes.given and watch.form != "palette":
            raise UserError(
                f"data.{side}_palette is given, and the {side} label maps have no palette, but {FORMS_IN_WORDS[watch.form]}: leave it out"
            )
        classes = watch.matched(given, palettes.usual) if given else watch.found()
        entries, of_palette = palettes.chosen(classes) if watch.form == "palette" else ((), [])
        if not given and watch.is_noisy:
            colours = ColourWatch(LabelMaps(classes), f"{side} label maps")
            for label, picture in pictures.items():
                colours.look(label, _with_classes_alone(picture, section.alpha)[0])
        found_here = {"classes": [one.to_dict() for one in classes], "palette": [*map(as_hex, entries)] or None}
        section = section.replaced(**{f"{side}_{what}": value for what, value in found_here.items()})
        noisy = " where they are flat, since no colour is exact" if watch.is_noisy else ""
        found = "" if given else f", found there{noisy} (name or choose them with --data.{side}_classes)"
        maps = counted(watch.count, f"{side} label map")
        notes.append(f"{maps} with {FORMS_IN_WORDS[watch.form]}: {classes_in_words(classes)}{found}")
        if (asked := section.source_resize if side == "source" else section.target_resize) != "nearest":
            notes.append(f"{side} label maps are resized by nearest neighbour: data.{side}_resize {asked} is for values")
        notes += [] if colours is None or watch.form != "colours" else colours.notes()
        if side == "target" or section.unpaired or section.kind == "unpaired":  # else no source is ever written
            notes += of_palette
    return section, notes


def _with_classes_alone(picture: Picture, alpha: Alpha) -> tuple[Array, FileFacts]:
    """A label map, and what its file says; where it holds no data it holds one of its classes, as in training.

    Raises:
        UserError: it cannot be read, or holds no data at all.
    """
    array, facts = examined(picture, alpha)
    data = data_of(array, facts.no_data)
    if data is not None and not data.any():
        raise UserError(f"{picture.label} holds no data")
    return without_no_data(array, facts.no_data, of_class(array, data))[0], facts


FORMS_IN_WORDS = {
    "palette": "indices of one palette",
    "numbers": "the number of a class at each pixel",
    "colours": "a colour for each class",
}
