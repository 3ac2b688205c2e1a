"""The sections of a recipe: each key with its type, its bounds or choices, its default and its meaning, said once.

Flags, ``--help`` and the reference page are made from this. A section that names a registered thing holds its options too.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le
from pydantic import Field, TypeAdapter, field_validator

from .. import registry
from ..bounds import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Seed, Share
from ..errors import UserError
from .section import INSIDE, Named, Section, refusal
from .values import NameOf

BRACES = re.compile(r"\{name\}|\{\d+\.\.\d+\}|\{[^{}/]*,[^{}/]*\}")
"""What makes a path a pattern of several files: see ``data/file_patterns.py``."""


def drawn_worlds() -> list[str]:
    """The dataset kinds that draw their pictures and read no files: their names stand in for a folder."""
    return [name for name in registry.names("dataset") if registry.entry("dataset", name).extra.get("drawn")]


def data_at(place: str | Path, kind: str | None = None) -> dict[str, Any]:
    """The overrides that name data, from what a person wrote: a folder, a manifest, or the name of a drawn world.

    Args:
        place: a word; a ``Path`` to something that exists is never a world.
        kind: the data kind that was given beside it, if one was.

    Raises:
        UserError: the word is a world, and something of that name lies in the working directory.
    """
    here = os.path.lexists(place)
    if isinstance(place, Path) and here:
        return {"data.path": os.path.abspath(place)}  # noqa: PTH100 - a single word would be read as a world again
    word = str(place)
    if word not in drawn_worlds() or kind not in (None, "auto", word):
        return {"data.path": word}
    if here and kind != word:
        raise UserError(
            f"{word} is a drawn world, and there is a {'folder' if os.path.isdir(word) else 'file'} of that name here: "  # noqa: PTH112
            f"write ./{word} for that, or --data.kind {word} for the world"
        )
    return {"data.kind": word}


Percent = Annotated[float, Ge(0), Le(100)]
_FOUND = {"source_percentiles": "source_range", "target_percentiles": "target_range"}
"""Keys whose values a run finds out once, in its data, and where it keeps what it found."""


def key(default: Any, meaning: str) -> Any:
    """A key of a section: what it is where nothing is said, and what it means."""
    return Field(default, description=meaning)


class Data(Named):
    """Where the pairs come from and how they become squares of pixels."""

    where: ClassVar = "data"
    naming: ClassVar = "kind"

    kind: Annotated[str, NameOf("dataset", "auto", auto=True)] = key(
        "auto", "dataset kind (see ``transfigure list dataset``); ``auto`` recognises the folder's layout."
    )
    path: str | None = key(None, "the folder or manifest; none for ``synthetic``.")
    direction: Literal["AtoB", "BtoA"] = key("AtoB", "``AtoB``: the left half / first folder is the source; ``BtoA``: the target.")
    load_size: PositiveInt | None = key(
        286, "side in pixels that pairs are resized to before cropping (the paper: 286); null keeps the file's size."
    )
    crop_size: PositiveInt = key(256, "side of the square the networks see in training.")
    evaluation_size: PositiveInt | Literal["whole"] | None = key(
        None,
        "side of the square that is translated for previews, validation and ``evaluate``, where it is not the crop of training; "
        "``whole``: ``evaluate`` scores whole images at their own size, and the others take ``crop_size``. null is ``whole`` where "
        "``load_size`` is null, else ``crop_size``.",
    )
    flip: bool = key(True, "mirror half of the training pairs left to right, source and target alike.")
    vertical_flip: bool = key(False, "mirror half of the training pairs top to bottom, source and target alike.")
    rotation: Annotated[float, Ge(0), Le(180)] = key(
        0.0, "turn training pairs by up to so many degrees to either side; beyond its border a picture is mirrored."
    )
    scaling: Annotated[float, Ge(0), Le(1)] = key(
        0.0, "enlarge or reduce training pairs by a factor from 1 / (1 + this) to 1 + this; 0.2 is 0.83 to 1.2."
    )
    elastic: Annotated[float, Ge(0), Le(1024)] = key(
        0.0,
        "bend training pairs smoothly: standard deviation, in pixels, of the displacements of a 4 x 4 grid over the crop (a thirtieth of "
        "crop_size is much).",
    )
    colour_jitter: Annotated[float, Ge(0), Le(1)] = key(
        0.0,
        "change brightness and contrast of training pictures, of photos also saturation and hue, of other channels each by itself; 0.2 is "
        "usual. Not for label maps.",
    )
    colour_jitter_on: Literal["source", "both"] = key(
        "source", "whose colours: those of sources alone, or of sources and targets by one draw."
    )
    source_resize: Literal["bicubic", "nearest"] = key("bicubic", "interpolation of sources; use ``nearest`` for label maps.")
    target_resize: Literal["bicubic", "nearest"] = key("bicubic", "interpolation of targets.")
    fit: Literal["refuse", "resize", "fit", "crop", "pad"] = key(
        "refuse",
        "how a picture comes to a size that is not its own: a target to its source's, where a pair has two sizes, and both to load_size. "
        "``resize`` squeezes; ``fit`` keeps the proportions until all lies inside, and pads; ``crop`` until all is covered, and cuts; "
        "``pad`` scales nothing: it pads, or cuts. What is padded reaches no loss, no discriminator and no score. ``refuse`` refuses "
        "pairs of two sizes, and squeezes to load_size.",
    )
    orientation: Literal["apply", "ignore"] = key(
        "apply", "whether pictures are turned upright by the orientation tag (EXIF) of their file, or read as they are stored."
    )
    on_error: Literal["stop", "skip"] = key(
        "stop", "what to do with pairs that cannot be used: stop and name them, or leave them out and list them in the run."
    )
    check: Literal["full", "sample", "headers"] = key(
        "sample",
        "how much is read before the first update: all pixels (``full``); all headers, and of a large set the pixels of a few pairs, the "
        "rest while training runs (``sample``); or all headers alone (``headers``).",
    )
    pages: Literal["ask", "channels", "images", "depth"] = key(
        "ask",
        "what the pages of a file (of a TIFF: z-slices, time points, ...) are: the ``channels`` of one picture; ``images`` of their own; "
        "the slices of one volume, each translated with its neighbours (``depth``); or to be said where a file has several (``ask``).",
    )
    depth_neighbours: Annotated[int, Ge(0), Le(32)] = key(
        1, "for ``pages: depth``: how many slices on each side are further channels of the source; at the ends the last one is repeated."
    )
    alpha: Literal["refuse", "white", "black", "drop", "keep"] = key(
        "refuse",
        "what to do with transparency: refuse it, composite on white or black, drop it, or keep it as a channel.",
    )
    source_range: tuple[float, float] | None = key(None, "values mapped to [-1, 1], e.g. [0, 4095]; null is the file type's full range.")
    target_range: tuple[float, float] | None = key(None, "the same for targets.")
    source_percentiles: tuple[Percent, Percent] | None = key(
        None,
        "percentiles of the training sources' values that become ``source_range``, e.g. [0.1, 99.9]: computed once, said, and stored in "
        "the run's recipe and model.",
    )
    target_percentiles: tuple[Percent, Percent] | None = key(None, "the same for targets.")
    source_channel_names: list[str] | None = key(
        None, "what the channels of sources are called, in their order, e.g. [DAPI, MAP2]; null is what files or their pattern say."
    )
    target_channel_names: list[str] | None = key(
        None, "the same for targets; [red, green, blue] says of three channels that they are the colours of a photo."
    )
    source_encoding: Literal["values", "labels", "L"] = key(
        "values",
        "what the numbers of source files mean to the networks: ``values`` on a line from black to white; ``labels``, of which each "
        "class is a channel (palette images, numbers of classes, or colours); or ``L``, the lightness of photos.",
    )
    target_encoding: Literal["values", "labels", "L", "ab"] = key(
        "values",
        "the same for targets; generated ``labels`` are written as exactly such files, and ``ab``, the colour of photos (CIE Lab), with "
        "the lightness of the source.",
    )
    source_classes: str | list[Any] | None = key(
        None,
        "the classes of source ``labels``: a list of numbers, of colours such as '#0080ff', of names, or of {name, index, colour}; a JSON, "
        "CSV or text file of them; ``facades`` or ``cityscapes``. null: those that the training files hold.",
    )
    target_classes: str | list[Any] | None = key(None, "the same for targets.")
    source_palette: str | list[Any] | None = key(
        None,
        "the palette of source ``labels`` that have one: the colours of its indices from 0 on, used or not, such as '#0080ff' ('#0080ff00' "
        "is transparent), or an image file that has it. null: that of the training files.",
    )
    target_palette: str | list[Any] | None = key(None, "the same for targets: generated label maps are written with exactly this palette.")
    mask: str | None = key(
        None,
        "what counts: a folder of masks by the pairs' names (in the data folder, also as trainMask or mask/train, or a path), or a pattern "
        "such as masks/{name}_mask.png; what is 0 there reaches no loss, no discriminator and no score. Null: everything, but for no-data.",
    )
    nodata: float | Literal["tag", "nan", "none"] = key(
        "tag",
        "the value in files that means that nothing is there: the one that a file declares (``tag``, of GDAL), NaN (``nan``), a number, or "
        "``none``. It is filled with black for the networks and counts in no loss and no score; where nothing is in the source, a "
        "translation has nothing either.",
    )
    source_nodata: float | Literal["tag", "nan", "none"] | None = key(
        None,
        "the same for the files of sources alone, e.g. where 255 means no label in one side's label maps and white in the other's photos; "
        "null: as ``nodata``.",
    )
    target_nodata: float | Literal["tag", "nan", "none"] | None = key(None, "the same for the files of targets alone.")
    val_fraction: Share = key(0.1, "share of pairs held out for validation where there are no split sub-folders.")
    test_fraction: Share = key(0.1, "the same for testing.")
    split_seed: Seed = key(0, "seed of that division.")
    split_rule: Literal["name", "rank"] = key(
        "name", "``name``: each name by its own hash, so that added files move none; ``rank``: as version 0.1.0, for its runs."
    )
    group: str | None = key(
        None,
        "what stays together in that division: ``parent`` (the folder), or a pattern whose first group names the thing that a file is "
        "a part of, e.g. ``'^(.*)_'``.",
    )
    split_by: Literal["name", "group", "region"] | None = key(
        None,
        "what is divided: ``name``, each file by itself; ``group``, what belongs together (see ``group``, or a manifest's column); or "
        "``region``, each image into parts, of which some are held out. null: by group where there is one, else by name. "
        "(``--split-by`` is short for the flag.)",
    )
    regions: tuple[PositiveInt, PositiveInt] = key(
        (2, 2), "for ``split_by: region``: rows and columns that each image is divided into, e.g. [4, 4] (as a flag also 4x4)."
    )
    test_regions: list[list[int]] | None = key(
        None,
        "the regions of every image that are tested, each by its row and column from 0, e.g. [[1, 1]] (as a flag also 1,1; several: "
        "0,1;1,1); null draws them by ``test_fraction``.",
    )
    val_regions: list[list[int]] | None = key(None, "the same for validation; null draws them by ``val_fraction``.")
    margin: NonNegativeInt | None = key(
        None,
        "pixels beside a region that is held out, on which nothing is trained (validation keeps it to what is tested); null is a quarter "
        "of ``crop_size``, which is said and stored in the run's recipe.",
    )
    limit: PositiveInt | None = key(None, "use only this many training pairs (a seeded choice); null uses all.")
    unpaired: bool = key(False, "draw every source's target at random, whatever pairs there are; data without pairs is always read so.")
    cache_gb: NonNegativeFloat = key(
        2.0,
        "disk space for decoded and resized pairs, kept for later runs (memory, where they cannot be kept on disk); 0 decodes every time.",
    )
    workers: Annotated[int, Ge(0), Le(256)] = key(0, "loader processes; 0 is right once pairs are cached.")
    on_device: Literal["auto", "yes", "no"] = key(
        "auto",
        "keep all pairs on the device as their files' bytes, and cut, mirror and scale them there: ``auto`` on a GPU whose free memory "
        "holds three times as much; or always, or never. The pictures are the same.",
    )

    def with_found(self, stored: Data) -> Data:
        """The same with what a run knows of its data, where this section leaves it open: ranges, a margin, and what pages are."""
        found = {
            where: getattr(stored, where)
            for what, where in _FOUND.items()
            if getattr(self, where) is None and getattr(self, what) is not None and getattr(self, what) == getattr(stored, what)
        }
        for where in ("source_classes", "target_classes", "source_palette", "target_palette"):  # left to be found, or in a file
            side, _, _ = where.partition("_")
            given = getattr(self, where)
            if getattr(self, f"{side}_encoding") == "labels" and (given is None or isinstance(given, str)):
                found[where] = getattr(stored, where)
        if self.pages == "ask":
            found["pages"] = stored.pages
        if self.margin is None and self.split_by == stored.split_by == "region":
            found["margin"] = stored.margin
        return self.replaced(**found) if found else self

    @field_validator("nodata", "source_nodata", "target_nodata", mode="before")
    @classmethod
    def _nodata(cls, given: Any) -> Any:
        """A flag's text may be a number, and YAML has a NaN."""
        with contextlib.suppress(TypeError, ValueError):
            given = float(given) if not isinstance(given, bool) else given
        return "nan" if isinstance(given, float) and math.isnan(given) else given

    @property
    def no_data(self) -> tuple[float | Literal["tag", "nan", "none"], float | Literal["tag", "nan", "none"]]:
        """What means "nothing here" in the files of sources, and of targets."""
        source, target = (self.nodata if one is None else one for one in (self.source_nodata, self.target_nodata))
        return source, target

    def swapped(self) -> Data:
        """The same data for the other direction: what is said of sources is said of targets."""
        other: dict[str, Any] = {"direction": "BtoA" if self.direction == "AtoB" else "AtoB"}
        if self.target_encoding != "ab":  # which no source can be
            for name in type(self).model_fields:
                side, _, what = name.partition("_")
                if side in ("source", "target") and what:
                    other[name] = getattr(self, f"{'target' if side == 'source' else 'source'}_{what}")
        return self.replaced(**other)

    @property
    def seen_size(self) -> int:
        """Side in pixels of the squares that previews and validation translate, and ``evaluate`` where it takes no whole images."""
        return self.evaluation_size if isinstance(self.evaluation_size, int) else self.crop_size

    @property
    def scores_whole(self) -> bool:
        """Whether ``evaluate`` translates and scores whole images at their own size, and not squares of :attr:`seen_size`."""
        return self.evaluation_size == "whole" or (self.evaluation_size is None and self.load_size is None)

    @classmethod
    def _read(cls, given: Any) -> dict[str, Any]:
        """A section that says all that version 0.1.0 knew was written for a run: what it does not say was done as it was done then."""
        if isinstance(given, Mapping) and given.keys() >= _COMPLETE:
            given = {**({"split_rule": "rank"} if "split_rule" not in given else {}), **AS_BEFORE, **given}
        return super()._read(given)

    def _check(self) -> None:
        if self.kind in drawn_worlds() and self.path not in (None, self.kind):
            message = f"data.path is {self.path!r}, but data.kind is {self.kind}, which reads no files: leave out one of them"
            raise refusal((), message, "together")
        if self.load_size is not None and self.load_size < self.crop_size:
            message = (
                f"data.load_size {self.load_size} is smaller than data.crop_size {self.crop_size}: "
                f"raise load_size (the paper uses 286 for 256) or lower crop_size"
            )
            raise refusal((), message, "together")
        if self.elastic > self.crop_size / 8:
            message = (
                f"data.elastic {self.elastic:g} would fold pictures of {self.crop_size} pixels over themselves: at most an eighth of "
                "data.crop_size, and a thirtieth is much"
            )
            raise refusal((), message, "together")
        self._check_colours()
        if self.val_fraction + self.test_fraction >= 1:
            message = "data.val_fraction and data.test_fraction leave nothing to train on: their sum must stay below 1"
            raise refusal((), message, "together")
        self._check_division()
        for side, encoding, classes, palette in (
            ("source", self.source_encoding, self.source_classes, self.source_palette),
            ("target", self.target_encoding, self.target_classes, self.target_palette),
        ):
            if classes is not None and encoding != "labels":
                message = f"lists classes, and data.{side}_encoding is {encoding}: set that to labels, too, or leave the classes out"
                raise refusal((f"{side}_classes",), message)
            if palette is not None and encoding != "labels":
                message = f"is of label maps, and data.{side}_encoding is {encoding}: set that to labels, too, or leave the palette out"
                raise refusal((f"{side}_palette",), message)
        if self.target_encoding == "ab" and self.source_encoding != "L":
            message = "data.target_encoding ab is the colour that belongs to a lightness: set data.source_encoding L, too"
            raise refusal((), message, "together")
        for key, limits in {"source_range": self.source_range, "target_range": self.target_range}.items():
            if limits is not None and not limits[0] < limits[1]:
                raise refusal((key,), f"cannot be {list(limits)}: the first value must be smaller than the second")
        for side in ("source", "target"):
            self._check_channels(side)

    def _check_division(self) -> None:
        """Refuse what does not go with the way in which the data is divided."""
        if self.split_by == "name" and self.group is not None:
            message = f"data.group {self.group!r} keeps files together, and data.split_by name divides them: leave out one of them"
            raise refusal((), message, "together")
        said = [key for key in REGION_KEYS if getattr(self, key) != type(self).model_fields[key].default]
        if self.split_by != "region":
            if said:
                message = f"data.{said[0]} is about regions of images: set data.split_by region, too, or leave it out"
                raise refusal((), message, "together")
            return
        if self.kind in drawn_worlds():
            raise refusal((), f"data.split_by region divides image files, and {self.kind} draws its pictures: leave it out", "together")
        rows, columns = self.regions
        if rows * columns < 2:
            raise refusal(("regions",), f"cannot be {list(self.regions)}: two regions are the least, such as [1, 2]")
        held: list[list[int]] = []
        for key in ("test_regions", "val_regions"):
            for at in getattr(self, key) or ():
                if len(at) != 2 or not (0 <= at[0] < rows and 0 <= at[1] < columns):
                    message = f"cannot be {getattr(self, key)}: each is a row from 0 to {rows - 1} and a column from 0 to {columns - 1}"
                    raise refusal((key,), f"{message} of data.regions {list(self.regions)}")
                if at in held:
                    raise refusal((key,), f"cannot be {getattr(self, key)}: {at} stands twice in what is held out")
                held.append(at)
        if len(held) == rows * columns:
            message = f"data.test_regions and data.val_regions hold out all {len(held)} regions: leave one to train on"
            raise refusal((), message, "together")

    @field_validator("regions", mode="before")
    @classmethod
    def _regions(cls, given: Any) -> Any:
        """``4x4`` or ``4,4`` as a flag may have it; what is no number of rows stays as it was typed, to be named so."""
        found = re.fullmatch(r"\s*(0*[1-9]\d*)\s*[xX,]\s*(0*[1-9]\d*)\s*", given) if isinstance(given, str) else None
        return [int(found.group(1)), int(found.group(2))] if found else given

    @field_validator("test_regions", "val_regions", mode="before")
    @classmethod
    def _places(cls, given: Any) -> Any:
        """``1,1`` and ``0,1;1,1`` as a flag may have them, and a single ``[1, 1]``; words in a list, too."""
        if isinstance(given, str) and re.fullmatch(r"\s*\d+\s*,\s*\d+\s*(;\s*\d+\s*,\s*\d+\s*)*", given):
            return [[int(number) for number in place.split(",")] for place in given.split(";")]
        if isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(one, int) for one in given):
            return [list(given)]
        if isinstance(given, list | tuple):
            return [place for one in given for place in (cls._places(one) if isinstance(one, str) else [one])]
        return given

    def _check_colours(self) -> None:
        """Colours that mean something are not to be changed."""
        sides = ("source", "target") if self.colour_jitter_on == "both" else ("source",)
        for side in sides if self.colour_jitter else ():
            encoding, rule = getattr(self, f"{side}_encoding"), getattr(self, f"{side}_resize")
            if encoding != "values" or rule == "nearest":
                why = f"data.{side}_encoding is {encoding}" if encoding != "values" else f"data.{side}_resize is nearest, as for label maps"
                message = f"data.colour_jitter changes the colours of {side}s, and {why}: leave one of them out"
                raise refusal((), message, "together")

    def _check_channels(self, side: str) -> None:
        wanted, encoding = getattr(self, f"{side}_percentiles"), getattr(self, f"{side}_encoding")
        if wanted is not None and not wanted[0] < wanted[1]:
            raise refusal((f"{side}_percentiles",), f"cannot be {list(wanted)}: the first must be smaller than the second")
        if wanted is not None and encoding != "values":
            message = f"data.{side}_percentiles is of values, and data.{side}_encoding is {encoding}: leave out one of them"
            raise refusal((), message, "together")
        names = getattr(self, f"{side}_channel_names") or []
        if [name for name in names if not name.strip() or not name.isprintable()]:
            raise refusal((f"{side}_channel_names",), f"cannot be {names}: each channel has a name that can be read")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise refusal((f"{side}_channel_names",), f"cannot be {names}: {twice!r} stands there twice")

    @field_validator("source_channel_names", "target_channel_names", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        """``DAPI,MAP2`` as a flag has it, and names that are numbers, such as wavelengths."""
        listed = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
        if isinstance(listed, list | tuple):
            return [str(name) if isinstance(name, int | float) and not isinstance(name, bool) else name for name in listed]
        return listed


REGION_KEYS = ("regions", "test_regions", "val_regions", "margin")
"""Keys that are about regions of images alone."""
AS_BEFORE = {"pages": "channels"}
"""What runs did that say nothing of a key which has another default since."""
_COMPLETE = {"val_fraction", "test_fraction", "split_seed", "limit", "unpaired", "cache_gb", "workers", "direction", "alpha"}


def _is_place(side: str) -> bool:
    """Whether a folder is there, or the one that a pattern such as ``results/*_A.png`` or ``cells/{name}_z{00..12}.png`` looks into."""
    if is_file_pattern(side):
        return True  # what it finds, or why nothing, is said where it is read
    side = os.path.expanduser(side)  # noqa: PTH111 - Path.expanduser raises for ~nobody
    return os.path.isdir(side) or (any(mark in Path(side).name for mark in "*?[") and os.path.isdir(Path(side).parent))  # noqa: PTH112


def is_file_pattern(side: str) -> bool:
    """Whether this is a pattern of several files that are one image: such braces, or a semicolon, and no such name exists."""
    return bool(BRACES.search(side) or ";" in side) and not os.path.lexists(os.path.expanduser(side))  # noqa: PTH111


def has_place(data: Data) -> bool:
    """Whether a data section says where its pictures come from: a path, a drawn world, or two folders (or patterns) by name."""
    sides = [side for name in "ab" if (side := data.options.get(name))]
    patterns = any(map(is_file_pattern, sides))  # beside which the other side may be a single file

    def is_there(side: str) -> bool:
        # photos is a name in a folder, ./photos a place
        named = side != Path(side).name or is_file_pattern(side)
        return (named and _is_place(side)) or (patterns and os.path.lexists(os.path.expanduser(side)))  # noqa: PTH111

    return data.path is not None or data.kind in drawn_worlds() or (len(sides) == 2 and all(map(is_there, sides)))


def without_place(data: Data, wanted: str) -> str:
    """The sentence for a data section that says nowhere where its pictures come from, or where none are.

    Args:
        data: a section that :func:`has_place` refuses.
        wanted: what should be named.
    """
    sides = {side: data.options[side] for side in "ab" if data.options.get(side) not in (None, side.upper())}
    for side, place in sides.items():
        if place != Path(place).name and not _is_place(place):
            return f"data.{side} is {place}, which is no folder: check its name"
    if sides:
        (side, place), *_ = sorted(sides.items(), key=lambda item: item[1] != Path(item[1]).name)
        lone = "".join(f", and data.{other} is missing" for other in "ab" if other not in sides)
        if place == Path(place).name:
            return f"data.{side} is {place}, a folder inside DATA, and no DATA is named: name it after the recipe, or write ./{place}"
        return (
            f"data.{side} is {place}{lone}: name the folder that holds both sides after the recipe, or each side by its path "
            "(./photos for one in the working directory) with --data.a and --data.b"
        )
    return f"no data: name {wanted}"


class GeneratorSection(Named):
    """The network that makes the image, with its options."""

    where: ClassVar = "generator"
    naming: ClassVar = "name"

    name: Annotated[str, NameOf("generator", "unet")] = key("unet", "the network (see ``transfigure list generator``).")


class DiscriminatorSection(Named):
    """The network that tells real images from generated ones, with its options."""

    where: ClassVar = "discriminator"
    naming: ClassVar = "name"

    name: Annotated[str, NameOf("discriminator", "patch")] = key("patch", "the network (see ``transfigure list discriminator``).")


class Adversarial(Named):
    """The adversarial part of the objective."""

    where: ClassVar = "objective.adversarial"
    naming: ClassVar = "loss"

    loss: Annotated[str, NameOf("adversarial", "vanilla")] = key("vanilla", "the adversarial form (see ``transfigure list adversarial``).")
    conditional: bool = key(True, "the discriminator sees source and image together (cGAN), or the image alone (GAN).")
    weight: NonNegativeFloat = key(1.0, "factor of G's adversarial loss.")
    r1: NonNegativeFloat = key(
        0.0,
        "gradient penalty on D at real images: half of this times the squared norm of its gradient; 0 is off (10 is usual). "
        "Adds nothing to G's loss.",
    )
    r2: NonNegativeFloat = key(
        0.0,
        "the same penalty on D at generated images; 0 is off. With r1 it makes the relativistic form converge. Adds nothing to G's loss.",
    )
    augment: list[Literal["color", "translation", "cutout"]] = key(
        [],
        "what is done to every image that D sees, any of color, translation, cutout; for few images. Adds nothing to G's loss.",
    )
    pool: NonNegativeInt = key(0, "show D so many earlier generated images at even odds instead of the newest; 0 is off (CycleGAN: 50).")


class Term(Named):
    """One term of the objective."""

    where: ClassVar = "objective.terms"
    naming: ClassVar = "loss"
    formerly: ClassVar = {"like": "match_gradient_of"}

    loss: Annotated[str, NameOf("loss")] = Field(description="the loss (see ``transfigure list loss``).")
    weight: NonNegativeFloat = key(1.0, "its factor in the objective; 0 measures the term without training on it.")
    match_gradient_of: Annotated[str, NameOf("loss")] | None = key(
        None,
        "another loss: the term is scaled in every update so that its gradient at the generated image is as long as that loss's.",
    )

    @classmethod
    def _read(cls, given: Any) -> dict[str, Any]:
        if isinstance(given, Mapping) and "loss" not in given:
            raise refusal((), "names no loss: write it as {loss: l1, weight: 100}")
        return super()._read(given)

    @classmethod
    def each_within(cls, given: Sequence[Any]) -> tuple[Self, ...]:
        """As :meth:`within`, for a list of terms."""
        terms: TypeAdapter[tuple[Self, ...]] = TypeAdapter(tuple[cls, ...])  # type: ignore[valid-type]
        return terms.validate_python(tuple(given), context=INSIDE)

    def to_dict(self) -> dict[str, Any]:
        """As everywhere; a gradient to match is left out where there is none."""
        return {key: value for key, value in super().to_dict().items() if key != "match_gradient_of" or value is not None}


class ObjectiveSection(Section):
    """What G minimises: the adversarial part (or null) and any number of weighted terms."""

    where: ClassVar = "objective"

    adversarial: Adversarial | None = None
    terms: tuple[dict[str, Any], ...] = ()
    """Each complete with its weight and options."""

    @field_validator("terms", mode="plain")
    @classmethod
    def _terms(cls, given: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(given, list | tuple | None):
            raise refusal((), f"cannot be {given!r}: it is a list, such as [{{loss: l1, weight: 100}}]")
        return tuple(term.to_dict() for term in Term.each_within(given or ()))


_DECAYS = {"decay_start": ("linear_decay",), "decay_factor": ("step", "plateau"), "decay_every": ("step",), "decay_patience": ("plateau",)}
"""Which schedules read a key."""


class Training(Named):
    """How the networks are optimised, and what is kept on the way."""

    where: ClassVar = "training"
    naming: ClassVar = "step"

    step: Annotated[str, NameOf("step", "auto", auto=True)] = key(
        "auto",
        "what one update does (see ``transfigure list step``); ``auto`` is ``cyclegan`` if a loss needs the other direction's "
        "generator, else ``pix2pix``.",
    )
    start_from: str | None = key(
        None,
        "a run, a model directory, a shipped model, ``hub:owner/name``, or a ``.pth`` file of the PyTorch reference implementation, "
        "whose weights the networks begin with; null is random weights. ``--from`` is short for it, and takes the model's generator with "
        "them.",
    )
    epochs: PositiveInt = key(200, "passes over the training pairs.")
    minutes: PositiveFloat | None = key(
        None,
        "stop after so many minutes of training, if the epochs are not over before; what the schedule spreads over all epochs it then "
        "spreads over this time. For comparisons at equal time: the last bits depend on the clock.",
    )
    batch_size: PositiveInt = key(1, "pairs that pass the networks together, on each device.")
    accumulate: PositiveInt = key(
        1, "batches of this size to one update, whose gradients are averaged: the memory of one batch, the update of so many."
    )
    checkpoint_activations: bool = key(
        False,
        "compute the activations of each level of G and D anew in the backward pass instead of keeping them: less memory, more time, the "
        "same bits.",
    )
    learning_rate: PositiveFloat = key(2e-4, "Adam's step size for both networks.")
    discriminator_learning_rate: PositiveFloat | None = key(
        None, "Adam's step size for D if it shall differ (two time-scales); null is the same."
    )
    betas: tuple[Share, Share] = key((0.5, 0.999), "Adam's decay rates.")
    schedule: Literal["linear_decay", "constant", "cosine", "step", "plateau"] = key(
        "linear_decay",
        "``linear_decay``: constant for the first half, or up to ``decay_start``, then linearly to zero; ``cosine``: half a cosine; "
        "``step``: times ``decay_factor`` every ``decay_every`` epochs; ``plateau``: times ``decay_factor`` after ``decay_patience`` "
        "validations without a better ``best_metric``; or ``constant``.",
    )
    decay_start: NonNegativeInt | None = key(
        None, "for ``linear_decay``: epochs at the full rate before it begins to fall; null is half of all epochs."
    )
    decay_factor: Decay = key(0.1, "for ``step`` and ``plateau``: what the rate is multiplied by each time.")
    decay_every: PositiveInt = key(50, "for ``step``: epochs between two times.")
    decay_patience: PositiveInt = key(5, "for ``plateau``: validations without a better value before each time.")
    ema: Decay | None = key(
        None,
        "decay per update of an exponential moving average of G, which is then what is saved as the model, such as 0.999; null is off.",
    )
    inference_norm: Literal["batch", "running"] = key(
        "batch",
        "the statistics with which a generator of batch norm translates, in previews and validation too: of the image at hand, as the "
        "paper, or ``running``, those gathered in training, which suit whole images after training on crops. The model keeps it.",
    )
    seed: Seed = key(0, "seed of initialisation, order, crops and dropout.")
    log_every: PositiveInt = key(50, "images between two lines of log.jsonl.")
    preview_every: PositiveInt | None = key(None, "images between two sets of preview pictures; null is once an epoch.")
    preview_count: NonNegativeInt = key(4, "how many fixed examples are previewed.")
    checkpoint_every: PositiveInt | None = key(
        None, "images between two checkpoints; null is once an epoch, less often where that would take more than a twentieth of the time."
    )
    keep_every: PositiveInt | None = key(
        None, "images between two models that are kept in ``kept/``, to be looked at later; null keeps none."
    )
    validate_every: NonNegativeInt = key(1, "epochs between two validations; 0 is never.")
    best_metric: Annotated[str, NameOf("metric")] = key("ssim", "the metric by which ``best`` is chosen on the validation pairs.")
    patience: PositiveInt | None = key(None, "stop after this many validations without a better one; null never stops early.")
    devices: PositiveInt = key(1, "processes to train with on each machine, one per device.")
    nodes: PositiveInt = key(1, "machines to train with (started by torchrun or SLURM on each).")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = key("auto", "where to compute.")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = key(
        "32-true",
        "number format: float32; bfloat16 where it is enough (mixed); float16 likewise, with scaled losses, for GPUs without bfloat16; or "
        "``auto``: bfloat16 for 8-bit targets on CPUs and GPUs that have it, else float32. A run keeps what was chosen.",
    )
    graphs: Literal["auto", "no"] = key(
        "auto",
        "record an update as a CUDA graph and replay it, where there is a GPU and nothing of an update is decided on the CPU; or never.",
    )
    sync_batchnorm: bool = key(False, "batch statistics over all devices (GPU only).")
    fused: bool = key(True, "Adam as one fused kernel (faster; its rounding differs from the unfused one).")
    channels_last: Literal["auto", "yes", "no"] = key("auto", "memory layout NHWC; ``auto`` chooses what is faster for the generator.")
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = key(
        [], "also log to these, through their own libraries: tensorboard, mlflow, wandb."
    )

    @property
    def update_size(self) -> int:
        """Pairs per update and device."""
        return self.batch_size * self.accumulate

    def _check(self) -> None:
        """A key of another schedule would do nothing, and a decay that begins after the end would be none."""
        for name, schedules in _DECAYS.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.schedule not in schedules:
                raise refusal((name,), f"is for --training.schedule {' or '.join(schedules)}, and the schedule here is {self.schedule}")
        if self.decay_start is not None and self.decay_start > self.epochs:
            raise refusal(("decay_start",), f"is {self.decay_start}, and there are {self.epochs} epochs: it must be one of them")
        if self.schedule == "plateau" and self.validate_every == 0:
            raise refusal((), "training.schedule plateau goes by validations, and training.validate_every is 0: set it to 1", "together")
