"""Which split a pair is in: the one place that decides it, and the file in which a run remembers it.

Sub-folders, or a manifest's ``split`` column, win. Where there are none, each name decides for itself: a hash of the seed and the name
(or of the group that the name belongs to) is a number in [0, 1), and the fractions cut that line into test, validation and training.
Neither the order of the files, nor the platform, nor files that come later move a pair. (Version 0.1.0 drew *ranks* of these hashes, so
that every added file could push trained pairs into the test split; ``split_rule: rank`` is kept for its runs.)
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import UserError
from ..wording import counted, that_are
from .files import natural_key, read_json_with_digest, write_json_with_digest
from .folder import composed
from .pairing import listed
from .pairs import SPLITS, Collection, Record, Single, canonical_split, side_by_chance
from .regions import Box, image_of

Rule = Literal["name", "rank"]
Named = TypeVar("Named", Record, Single)
Parts = dict[str, list[str]]
"""Names by ``train``, ``val`` and ``test``."""
PAIRS, A, B = "pairs", "A", "B"
"""What a stored split divides: pairs, or the two domains of unpaired data, each by itself."""
FORMAT = 1
SPLITS_FILE = "splits.json"
"""In a run directory."""
_MANY = 3
"""Names look like pieces of fewer things if there are at least so many of each, on the average."""
_PIECES = (r"^(.*\d.*?)[_\-. ]+[a-z]*\d+[_\-. ]+[a-z]*\d+$", r"^(.*\d.*?)[_\-. ]+[a-z]*\d+$")
"""A thing and two numbers (a place in it), or a thing and one number (a slice, a time)."""


@dataclass(frozen=True)
class StoredRegions:
    """Where the regions of images lie that were divided.

    Attributes:
        margin: pixels that were left out beside what is held out.
        boxes: for ``pairs``, or for the domains ``A`` and ``B``, by name: what is used of each region, without its margin.
    """

    margin: int
    boxes: dict[str, dict[str, Box]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"margin": self.margin, **{side: {name: list(box) for name, box in boxes.items()} for side, boxes in self.boxes.items()}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StoredRegions:
        """As :meth:`to_dict` wrote it.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it did not.
        """
        boxes = {side: {name: _box(box) for name, box in values[side].items()} for side in (PAIRS, A, B) if side in values}
        return cls(int(values["margin"]), boxes)


@dataclass(frozen=True)
class StoredSplit:
    """The names that were drawn into each split, as a run keeps them.

    Attributes:
        parts: for ``pairs``, or for the domains ``A`` and ``B``: the names in ``train``, ``val`` and ``test``.
        regions: where these lie, if they are regions of images.
    """

    parts: dict[str, Parts]
    regions: StoredRegions | None = None

    def save(self, file: Path) -> None:
        """Write it as JSON with its digest."""
        regions = {} if self.regions is None else {"regions": self.regions.to_dict()}
        write_json_with_digest(file, {"format": FORMAT, **self.parts, **regions})

    @classmethod
    def load(cls, file: Path) -> StoredSplit | None:
        """What a run wrote; None where it wrote none, since its data came divided or an older version made it.

        Raises:
            UserError: the file is damaged.
        """
        if (values := read_json_with_digest(file)) is None:
            return None
        sides = {side: values[side] for side in (PAIRS, A, B) if side in values}
        sound = all(
            isinstance(parts, dict) and parts.keys() == set(SPLITS) and all(map(_is_names, parts.values())) for parts in sides.values()
        )
        damaged = UserError(f"{file} is damaged: it does not hold the names of a run's splits; copy the run again")
        if not sides or not sound or values.get("format") != FORMAT:
            raise damaged
        try:
            return cls(sides, StoredRegions.from_dict(values["regions"]) if "regions" in values else None)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise damaged from None

    def check(self, found: Division, place: str, unused: Callable[[str], bool] = lambda name: False) -> None:
        """Refuse to go on with a training whose pairs are gone.

        Args:
            found: the division of what is there now.
            place: what a message calls the data.
            unused: whether a name was left out of the training, and need not be there.

        Raises:
            UserError: training or validation pairs of the run are not there any more.
        """
        gone = [name for part in ("train", "val") for name in found.gone.get(part, []) if not unused(name)]
        if gone:
            raise UserError(
                f"{len(gone)} of the pairs that this run was trained on are not in {place} any more ({listed(gone)}): put them back, "
                "or start a new run with another --out"
            )
        if moved := self.resized(found):
            raise UserError(
                f"{place}: {listed(moved)} when {'it was' if len(moved) == 1 else 'they were'} divided into regions, so that pixels which "
                "were trained on would be held out, or the other way round: put the files back, or start a new run with another --out"
            )

    def resized(self, found: Division) -> list[str]:
        """Images in regions whose size is another than when they were divided, each with both sizes: their regions lie elsewhere.

        Args:
            found: the division of what is there now.
        """
        if self.regions is None or found.drawn is None or found.drawn.regions is None:
            return []
        moved = []
        for side, boxes in self.regions.boxes.items():
            then, now = _extents(boxes), _extents(found.drawn.regions.boxes.get(side, {}))
            moved += [
                f"{image} has {now[image][1]}x{now[image][0]} pixels and had {size[1]}x{size[0]}"
                for image, size in then.items()
                if image in now and now[image] != size
            ]
        return moved


def _extents(boxes: Mapping[str, Box]) -> dict[str, tuple[int, int]]:
    """Height and width of each image by its outermost regions, which keep no margin to the border."""
    found: dict[str, tuple[int, int]] = {}
    for name, box in boxes.items():
        height, width = found.get(image_of(name), (0, 0))
        found[image_of(name)] = max(height, box.bottom), max(width, box.right)
    return found


@dataclass
class Division:
    """Records by split, and how they came there.

    Attributes:
        splits: the records of ``train``, ``val`` and ``test``.
        notes: what a person should know about it.
        drawn: the names that were drawn, where nobody had divided the data; None where sub-folders or a manifest did.
        gone: of a stored split, the names that are not there any more, by split.
    """

    splits: dict[str, list[Record]]
    notes: list[str] = field(default_factory=list)
    drawn: StoredSplit | None = None
    gone: Parts = field(default_factory=dict)


def divide(
    collection: Collection,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    *,
    group: str | None = None,
    rule: Rule = "name",
    stored: StoredSplit | None = None,
    elsewhere: bool = False,
) -> Division:
    """The records for training, validation and test.

    A fraction above 0 gets at least one name (or group) where two (val) or three (test) exist; one always stays for training.

    Args:
        collection: what a data set's kind found; names that it says the split of are not drawn.
        val_fraction: share of the names for validation, in [0, 1).
        test_fraction: share of the names for test, in [0, 1); the two together stay below 1.
        seed: another seed draws other names.
        group: what keeps names together: ``parent``, the folder they are in, or a regular expression, whose first group (or else the
            whole match) is the group's name. A manifest's ``group`` column wins.
        rule: ``name``: each name by its own hash; ``rank``: as version 0.1.0.
        stored: the split of a run, which is used in place of a drawn one; names that it does not hold are left out, and it is noted.
        elsewhere: the data do not lie where the run had them, so they may be others: names that the run knows are in its splits (what it
            was trained on is never tested), the others are drawn.

    Raises:
        UserError: the fractions leave nothing for training, a split's name is unknown, two pairs of a split have one name, or the
            pattern is none.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} must not be negative and must leave something to train on"
        )
    division = Division({name: [] for name in SPLITS})
    parts: dict[str, Parts] = {}

    def draw(items: Sequence[Named], side: str) -> dict[str, list[Named]]:
        groups = _groups(items, group, division.notes)
        theirs = None if stored is None else stored.parts.get(side)
        known = {name: part for part, names in (theirs or {}).items() for name in names}
        if theirs is None or elsewhere:
            told = collection.told
            keys = _draw((groups[item.name] for item in items if item.name not in told), val_fraction, test_fraction, seed, rule)
            chosen = {item.name: known.get(item.name) or told.get(item.name) or keys[groups[item.name]] for item in items}
            if group is None and not any(item.group for item in items):
                division.notes += _pieces(chosen, side)
        else:
            chosen, present = known, {item.name for item in items}
            if added := sorted(present - known.keys(), key=natural_key):
                what = counted(len(added), "pair" if side == PAIRS else "picture")
                where = "" if side == PAIRS else f" of domain {side}"
                verbs = ("was", "is") if len(added) == 1 else ("were", "are")
                division.notes.append(f"{what}{where} {verbs[0]} added since this run was trained and {verbs[1]} not used: {listed(added)}")
            for part, names in theirs.items():
                division.gone.setdefault(part, []).extend(name for name in names if name not in present)
        divided: dict[str, list[Named]] = {name: [] for name in SPLITS}
        for item in sorted(items, key=lambda item: natural_key(item.name)):
            if item.name in chosen:
                divided[chosen[item.name]].append(item)
        parts[side] = {name: [item.name for item in part] for name, part in divided.items()}
        return divided

    for name, sides in collection.domains.items():
        for side, singles in zip((A, B), sides):
            _refuse_duplicates(singles, f"domain {side}")
        if name == "all":
            a, b = (draw(singles, side) for singles, side in zip(sides, (A, B)))
            for part in SPLITS:
                division.splits[part] += side_by_chance(a[part], b[part])
        else:
            division.splits[canonical_split(name)] += side_by_chance(*sides)
    for name, records in collection.splits.items():
        if name == "all":
            _refuse_duplicates(records, "the data set")
            for part, chosen in draw(records, PAIRS).items():
                division.splits[part] += chosen
        else:
            division.splits[canonical_split(name)] += records
    for name, records in division.splits.items():
        _refuse_duplicates(records, f"the {name} split")
    if "all" not in {*collection.splits, *collection.domains}:
        division.notes += _groups_in_two_splits(division.splits, group)
    division.drawn = StoredSplit(parts) if parts else None
    return division


# ---- drawing ---------------------------------------------------------------------------------------------------------------


def _draw(keys: Iterable[str], val_fraction: float, test_fraction: float, seed: int, rule: Rule) -> dict[str, str]:
    """The split of each key (a name, or a group's)."""
    if rule == "rank":
        return _by_rank(sorted(set(keys)), val_fraction, test_fraction, seed)
    place = {key: _place(seed, key) for key in set(keys)}
    order = sorted(place, key=lambda key: (place[key], key))
    val_fraction, test_fraction = val_fraction * (len(order) >= 2), test_fraction * (len(order) >= 3)
    ends = {"test": test_fraction, "val": test_fraction + val_fraction, "train": 1.0}
    drawn = {key: next(part for part, end in ends.items() if place[key] < end) for key in order}
    # A handful of names may leave a split empty: then the nearest of a fuller one goes there, first of all into training.
    for part, fraction in (("train", 1.0), ("val", val_fraction), ("test", test_fraction)):
        held = Counter(drawn.values())
        if fraction == 0 or held[part] or not order:
            continue
        donor = max(held, key=lambda name: (held[name] > 1, name == "train", held[name]))
        spare = [key for key in order if drawn[key] == donor]
        drawn[spare[-1] if part == "train" else spare[0]] = part
    return drawn


def _place(seed: int, key: str) -> float:
    """A number in [0, 1) of this seed and name alone; composed and decomposed letters are one."""
    same = composed(f"{seed}/{key}").encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(same, digest_size=6).digest()) / 2**48


def _by_rank(keys: Sequence[str], val_fraction: float, test_fraction: float, seed: int) -> dict[str, str]:
    """As version 0.1.0 divided: so many of the smallest hashes."""
    count = len(keys)
    test = max(round(test_fraction * count), 1) if test_fraction > 0 and count >= 3 else 0
    val = max(round(val_fraction * count), 1) if val_fraction > 0 and count >= 2 else 0
    val = min(val, count - 1 - (test > 0))
    test = min(test, count - 1 - val)
    drawn = sorted(keys, key=lambda key: hashlib.blake2b(f"{seed}/{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest())
    return {key: "test" if at < test else "val" if at < test + val else "train" for at, key in enumerate(drawn)}


# ---- groups ----------------------------------------------------------------------------------------------------------------


def _groups(items: Sequence[Named], group: str | None, notes: list[str]) -> dict[str, str]:
    """What each name is drawn by: its group, or itself."""
    find = finder(group)
    found = {item.name: item.group or find(item.name) for item in items}
    alone = [name for name, key in found.items() if key is None]
    if alone and len(alone) < len(items) and group is not None:
        notes.append(f"{len(alone)} of {len(items)} names have no group by data.group {group!r}; each is one by itself: {listed(alone)}")
    elif alone and group is not None:
        raise UserError(f"data.group {group!r} finds no group in any name, such as {alone[0]!r}: give parent, or a pattern that matches")
    keys = set(found.values())
    if group is not None and len(items) > 1 and len(keys) == 1:
        raise UserError(
            f"data.group {group!r} puts all {len(items)} names into one group ({keys.pop()!r}), which cannot be divided: give a pattern "
            "that tells things apart, such as '^(.*)_' (or parent; in a manifest, write what belongs together in the column group)"
        )
    return {name: name if key is None else f"group {key}" for name, key in found.items()}


def finder(group: str | None) -> Callable[[str], str | None]:
    """What tells the group of a name, see :func:`divide`; None of a name that belongs to none.

    Raises:
        UserError: the pattern is no regular expression.
    """
    if group is None:
        return lambda name: None
    if group == "parent":
        return lambda name: name.rpartition("/")[0] or None
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise UserError(f"data.group {group!r} is no regular expression ({error}): give parent, or a pattern such as '^(.*)_'") from error

    def find(name: str) -> str | None:
        match = pattern.search(name)
        return (match.group(1) if pattern.groups else match.group()) or None if match else None

    return find


def _groups_in_two_splits(splits: dict[str, list[Record]], group: str | None) -> list[str]:
    """Of data that came divided: groups of which a part is trained on and a part is held out."""
    find = finder(group)
    keys = {part: {key for record in records if (key := record.group or find(record.name))} for part, records in splits.items()}
    shared = sorted(keys["train"] & (keys["val"] | keys["test"]), key=natural_key)
    if not shared:
        return []
    return [
        f"{that_are(len(shared), 'group')} both in the training set and in a held-out one, so their scores will be "
        f"too good: {listed(shared)}"
    ]


def _pieces(chosen: dict[str, str], side: str) -> list[str]:
    """Names that look like pieces of fewer things, such as ``patient3_12``, some of which are trained on and some held out."""
    where = "" if side == PAIRS else f" in domain {side}"
    folders: dict[str, set[str]] = defaultdict(set)
    for name, part in chosen.items():
        folders[name.rpartition("/")[0]].add(part)
    torn = sorted((folder for folder, parts in folders.items() if folder and "train" in parts and len(parts) > 1), key=natural_key)
    if torn and len(folders) > 1 and len(chosen) >= _MANY * len(folders):
        return [
            f"files of one folder{where} are trained on and held out, such as those of {torn[0]}: if a folder is one patient or scene, "
            "held-out scores will be too good; --data.group parent keeps it together"
        ]
    for pattern in _PIECES:
        things: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, part in chosen.items():
            if match := re.search(pattern, name):
                things[match.group(1)][part].append(name)
        matched = sum(len(names) for parts in things.values() for names in parts.values())
        if len(things) < 2 or matched < len(chosen) or matched < _MANY * len(things):
            continue
        torn = sorted((thing for thing, parts in things.items() if "train" in parts and len(parts) > 1), key=natural_key)
        if not torn:
            return []
        parts = things[torn[0]]
        held = next(part for part in ("test", "val") if part in parts)
        return [
            f"names such as {parts['train'][0]} (train) and {parts[held][0]} ({held}) look like pieces of {len(things)} things{where}: if "
            f"they are, held-out scores will be too good; --data.group '{pattern}' keeps together what begins alike"
        ]
    return []


# ---- small things ----------------------------------------------------------------------------------------------------------


def _refuse_duplicates(records: Sequence[Record] | Sequence[Single], where: str) -> None:
    repeated = [name for name, times in Counter(record.name for record in records).items() if times > 1]
    if repeated:
        raise UserError(f"two pairs of {where} are called {repeated[0]!r}: names must be unique, so rename one")


def _box(values: Any) -> Box:
    box = Box(*values)
    if not all(isinstance(edge, int) for edge in box) or not (0 <= box.top < box.bottom and 0 <= box.left < box.right):
        raise ValueError(f"{values} is no rectangle")
    return box


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
