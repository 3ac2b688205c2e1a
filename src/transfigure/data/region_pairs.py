"""Large images as several pairs: each image of a data set is cut into regions, and these are divided among the splits.

What is held out is held out whole. What is trained on keeps a margin to it, so that no crop shows a pixel of it, nor one beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import Missing, UserError
from ..recipe import Data
from ..wording import counted
from . import images
from .files import natural_key
from .pairs import SPLITS, Collection, FilePicture, Picture, Record, Single, side_by_chance
from .regions import Box, Place, image_of, region_grid, region_name, usable
from .splits import PAIRS, A, B, Division, StoredRegions, StoredSplit, finder


def margin_of(section: Data) -> int:
    """Pixels between what is trained on and what is held out: a quarter of the crop where nothing else is said."""
    return section.crop_size // 4 if section.margin is None else section.margin


@dataclass
class CutImages:
    """The images of a data set, in regions.

    Attributes:
        section: how.
        grids: of each side (``pairs``, or the domains ``A`` and ``B``) each image's regions.
        members: of each side, by name, what each region is.
        too_small: by split, a sentence about a region of it that is smaller than the crops which are wanted of it.
    """

    section: Data
    grids: dict[str, dict[str, dict[Place, Box]]] = field(default_factory=dict)
    members: dict[str, dict[str, Record | Single]] = field(default_factory=dict)
    too_small: dict[str, str] = field(default_factory=dict)

    def with_margins(self, division: Division) -> None:
        """Take from the regions what lies too near to one that is held out more, in place, and remember what is left.

        Raises:
            UserError: next to nothing is left of a region.
        """
        assert division.drawn is not None
        boxes = {side: self._boxes(side, parts) for side, parts in division.drawn.parts.items()}
        if PAIRS in boxes:
            division.splits = {
                part: [_cut(record, boxes[PAIRS][record.name]) if record.name in boxes[PAIRS] else record for record in records]
                for part, records in division.splits.items()
            }
        else:
            for part in SPLITS:
                a, b = (
                    [_cut_single(self.members[side][name], boxes[side].get(name)) for name in division.drawn.parts[side][part]]
                    for side in (A, B)
                )
                division.splits[part] = side_by_chance(a, b)
        division.drawn = replace(division.drawn, regions=StoredRegions(margin_of(self.section), boxes))
        division.notes.append(self._note(division.drawn))

    def _boxes(self, side: str, parts: Mapping[str, Sequence[str]]) -> dict[str, Box]:
        """What is used of each region that is in a split."""
        margin, found = margin_of(self.section), {}
        of_name = {name: part for part, names in parts.items() for name in names}
        for image, grid in self.grids[side].items():
            names = {at: region_name(image, at) for at in grid}
            splits = {at: of_name[name] for at, name in names.items() if name in of_name}
            for at, part in splits.items():
                box = usable(grid, splits, at, margin)
                self._check(self.members[side][names[at]], part, grid[at], box)
                found[names[at]] = box
        return found

    def _check(self, member: Record | Single, part: str, region: Box, box: Box) -> None:
        section, margin = self.section, margin_of(self.section)
        wanted = section.crop_size if part == "train" else section.seen_size
        if section.load_size is not None or (part == "test" and section.scores_whole):
            wanted = 2
        left = min(box.height, box.width)
        if left >= wanted and min(region.height, region.width) >= margin:
            return
        picture = member.a if isinstance(member, Record) else member.picture
        of_it = f", of which a margin of {margin} leaves {max(box.width, 0)}x{max(box.height, 0)}" if box != region else ""
        need, ways = f"a margin of {margin}", ["fewer data.regions", "a smaller data.margin"]
        if min(region.height, region.width) >= margin:
            need = f"a crop of {wanted}" if wanted > 2 else "any picture"
            ways = [*(ways if of_it else ways[:1]), *(["smaller crops"] if wanted > 2 else [])]
        sentence = (
            f"{picture.label} is a {part} region of {region.width}x{region.height} pixels{of_it}, too small for {need}: give "
            f"{', '.join(ways[:-1])}{' or ' if ways[1:] else ''}{ways[-1]}"
        )
        if left < 2 or need.startswith("a margin"):
            raise UserError(sentence)
        self.too_small.setdefault(part, sentence)

    def _note(self, drawn: StoredSplit) -> str:
        rows, columns = self.section.regions
        count = sum(map(len, self.grids.values()))
        amounts = {part: sum(len(parts[part]) for parts in drawn.parts.values()) for part in SPLITS}
        amount = ", ".join(f"{number:,} {part}" for part, number in amounts.items() if number)
        each = "" if count == 1 else ", each"
        resized = ""
        if (size := self.section.load_size) is not None:
            resized = f"; each region is brought to {size}x{size} (--data.load_size null keeps the pixels as they are)"
        return (
            f"{counted(count, 'image')} {'is' if count == 1 else 'are'} divided{each} into {rows} x {columns} regions ({amount}), and "
            f"{margin_of(self.section)} pixels beside what is held out are not trained on (data.margin){resized}"
        )


def is_divided(collection: Collection) -> bool:
    """Whether data came with parts for training and for testing."""
    return bool({*collection.splits, *collection.domains} - {"all"})


def by_region(collection: Collection, section: Data) -> CutImages:
    """Make a record, or a picture of a domain, of each region of those in a data set, in place.

    The same regions of the pages of one file, of pairs that have a file in common, or of the images of one group, stay in one split. Those
    that ``data.test_regions`` and ``data.val_regions`` name are said to be in these (:attr:`.pairs.Collection.told`); the others are left
    to be drawn.

    Args:
        collection: what was found; nobody has divided it.
        section: the recipe's data section, resolved.

    Raises:
        UserError: it is divided already; a picture is no file; the two of a pair differ in size; or one cannot be read.
    """
    if is_divided(collection):
        divided = [name for name in (*collection.splits, *collection.domains) if name != "all"]
        raise UserError(
            f"the images of {section.path or section.kind} are divided already, into {', '.join(dict.fromkeys(divided))}: "
            "data.split_by region divides each image of data that are not, so leave it out, or name a folder without such parts"
        )
    cut, group_of = CutImages(section), finder(section.group)
    told = {tuple(at): part for part, places in (("val", section.val_regions), ("test", section.test_regions)) for at in places or ()}
    said: dict[str, str] = {}

    def regions(items: Sequence[Record] | Sequence[Single], side: str) -> list[Record | Single]:
        grids, members = cut.grids.setdefault(side, {}), cut.members.setdefault(side, {})
        together = _together(items, group_of)
        for item in items:
            if (size := _size_of(item, section)) is None:  # left out as what cannot be read
                members[item.name] = item
                continue
            grids[item.name] = region_grid(*size, *section.regions)
            for at, box in grids[item.name].items():
                name, group = region_name(item.name, at), region_name(together[item.name], at)
                whole = replace(item, name=name, group=group)
                members[name] = _cut(whole, box) if isinstance(whole, Record) else _cut_single(whole, box)
                if at in told:
                    said[name] = told[at]
        return list(members.values())

    for records in collection.splits.values():
        records[:] = regions(records, PAIRS)  # type: ignore[assignment]
    for sides in collection.domains.values():
        for side, singles in zip((A, B), sides):
            singles[:] = regions(singles, side)  # type: ignore[assignment]
    collection.told |= said
    return cut


def _together(items: Sequence[Record] | Sequence[Single], group_of: Callable[[str], str | None]) -> dict[str, str]:
    """By name, what images are drawn as, place by place: as themselves; those of a group, or with a file in common, as one."""
    own = {item.name: item.group or group_of(item.name) or item.name for item in items}
    joined = {key: key for key in own.values()}
    first: dict[str | Path, str] = {}

    def root(key: str) -> str:
        while joined[key] != key:
            key = joined[key]
        return key

    for item in items:
        for picture in (item.a, item.b) if isinstance(item, Record) else (item.picture,):
            for file in picture.files if isinstance(picture, FilePicture) else ():
                one, other = sorted((root(own[item.name]), root(first.setdefault(file, own[item.name]))), key=natural_key)
                joined[other] = one
    return {name: root(key) for name, key in own.items()}


def trained_share(stored: StoredSplit | None, name: str, region: Box | None) -> float:
    """The share of a picture's pixels that a run was trained on, if that was trained on regions of this image; by names.

    Args:
        stored: the run's split.
        name: of the pair.
        region: what is read of the image; None for all of it.
    """
    if stored is None or stored.regions is None or PAIRS not in stored.regions.boxes:
        return 0.0
    of_image = {one: box for one, box in stored.regions.boxes[PAIRS].items() if image_of(one) in (name, image_of(name))}
    if not of_image:
        return 0.0
    whole = Box(0, 0, max(box.bottom for box in of_image.values()), max(box.right for box in of_image.values()))
    seen = region or whole
    trained = [of_image[one].common(seen) for one in stored.parts[PAIRS]["train"] if one in of_image]
    return sum(box.height * box.width for box in trained) / (seen.height * seen.width)


def _cut(record: Record, box: Box) -> Record:
    a, b = _region_of(record.a, box), _region_of(record.b, box)
    return replace(record, a=a, b=b, mask=None if record.mask is None else replace(record.mask, region=box))


def _cut_single(single: Record | Single, box: Box | None) -> Single:
    assert isinstance(single, Single)
    return single if box is None else replace(single, picture=_region_of(single.picture, box))


def _region_of(picture: Picture, box: Box) -> Picture:
    assert isinstance(picture, FilePicture)
    return replace(picture, region=box)


def _size_of(item: Record | Single, section: Data) -> tuple[int, int] | None:
    """Height and width by the header, the same on both sides; None of what cannot be read where that is left out.

    Raises:
        UserError: they differ, a header cannot be read, or the picture is no file.
    """
    pictures = (item.a, item.b) if isinstance(item, Record) else (item.picture,)
    try:
        sizes = [_by_header(picture, section) for picture in pictures]
    except (UserError, Missing):
        if section.on_error == "skip":
            return None
        raise
    if sizes[0] != sizes[-1]:
        (height, width), (high, wide) = sizes[0], sizes[-1]
        raise UserError(
            f"{pictures[0].label} is {width}x{height} but {pictures[-1].label} is {wide}x{high}: a pair is divided at the same places, "
            "so bring both to one size"
        )
    return sizes[0]


def _by_header(picture: Picture, section: Data) -> tuple[int, int]:
    if not isinstance(picture, FilePicture):
        raise UserError(f"data.split_by region divides images that are files, and {section.kind} data are none: leave it out")
    header = images.size_of(picture.files[0], section.orientation, picture.pages)
    return header.height, header.width // (2 if picture.half else 1)
