"""From a recipe's data section to data sets ready to be read: found, divided, inspected and remembered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import registry
from ..errors import UserError
from ..memory import without_collecting
from ..progress import Progress, say
from ..recipe import Data, data_at, drawn_worlds, has_place, without_place
from ..wording import counted
from .augmentation import Augmentation
from .channels import resolve_names
from .check.facts_cache import FactsCache
from .check.findings import ENOUGH, Findings, PairFacts, Use, amiss_by_headers, raise_if_bad
from .check.findings import findings as findings_of
from .check.inspection import BackgroundCheck, Inspection
from .check.left_out import LeftOut, is_left_out, left_out_in_training, of_left_out, pictures_in, remaining, without
from .check.processes import PartToCheck, check_pairs, cores
from .dataset import Cache, PairDataset, PairFormat
from .encodings.base import Encoding
from .encodings.by_name import encoding_of
from .encodings.class_search import with_classes
from .file_patterns import FilePattern
from .files import home_path, real_path
from .layouts import folders_read, masks_at, recognise, with_masks
from .pages import PageReading, by_page
from .pairing import listed
from .pairs import SPLITS, Collection, FilePicture, Record, Single, directed, region_of
from .percentiles import with_ranges
from .prepared import PreparedStore, cache_folder
from .region_pairs import by_region, is_divided, margin_of
from .splits import Division, StoredSplit, divide, finder
from .transforms import Geometry
from .value_range import Range, beyond_percentiles


@dataclass(frozen=True)
class OpenedData:
    """The pairs of a recipe, inspected.

    Attributes:
        section: the recipe's data section, its kind resolved.
        train: training pairs, jittered, by ``(epoch, index)``.
        train_plain: the same pairs without jitter, by index.
        val: validation pairs; may be empty.
        test: test pairs; may be empty.
        source, target: between the numbers of their files and what the networks see.
        source_dtype, target_dtype: type of the files.
        has_pairs: whether a held-out pair's target is what its source should become; else only sets can be compared.
        drawn: the names that were drawn into each split, for the run to keep; None where the data came divided.
        left_out: training and validation pairs that cannot be used and are left out, for the run to list.
        no_data: of sources and of targets, the value that means "nothing here" in most of the files that have one.
        background_check: what has not been looked at yet, if anything; to be looked at while the training runs.
        notes: what a person should know of the data, as it was said: what was passed over, what looks wrong.
    """

    section: Data
    train: PairDataset
    train_plain: PairDataset
    val: PairDataset
    test: PairDataset
    source: Encoding
    target: Encoding
    source_dtype: str
    target_dtype: str
    has_pairs: bool = True
    drawn: StoredSplit | None = None
    left_out: tuple[LeftOut, ...] = ()
    background_check: BackgroundCheck | None = None
    no_data: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()

    @property
    def source_channels(self) -> int:
        """Channels of every source, as the networks see it."""
        return self.source.channels

    @property
    def target_channels(self) -> int:
        """Channels of every target, as the networks see it."""
        return self.target.channels

    @property
    def unpaired(self) -> bool:
        """Whether a source is given any target in training."""
        return not self.train.geometry.paired


def resolve_data(section: Data) -> Data:
    """The data section with its kind recognised, its paths absolute and its options complete.

    Raises:
        UserError: no path, or a folder that looks like no kind of pairs.
    """
    resolved = _resolved(section)
    if resolved.mask is None:
        return resolved
    inside = None if resolved.path is None else Path(resolved.path)
    side, elsewhere = masks_at(inside.parent if inside is not None and inside.is_file() else inside, resolved.mask)
    return resolved.replaced(mask=absolute(resolved.mask)) if side is not None and elsewhere else resolved


def _resolved(section: Data) -> Data:
    if section.path in drawn_worlds() and section.kind == "auto" and "data.kind" in data_at(section.path):
        section = section.replaced(kind=section.path, path=None)
    if section.kind in drawn_worlds():
        return section if section.options.get("size", True) else section.replaced(size=section.seen_size)
    if section.path is None and not has_place(section):
        raise UserError(without_place(section, f"a folder of image pairs, a manifest, or a drawn world ({', '.join(drawn_worlds())})"))
    if section.path is None:
        kind = ("unpaired" if section.unpaired else "two_folders") if section.kind == "auto" else section.kind
        return section.replaced(kind=kind, **{side: absolute(section.options[side]) for side in "ab"})
    path = home_path(section.path)
    kind = section.kind
    if kind == "auto":
        sides_are_named = any(section.options.get(side) for side in "ab")  # then nothing is left to be recognised
        kind = "two_folders" if sides_are_named and path.is_dir() else recognise(path)
    if section.kind == "auto" and section.unpaired and kind == "two_folders":
        kind = "unpaired"  # names that match by chance would leave out those that do not
    if foreign := [key for key in section.options if key not in registry.entry("dataset", kind).options]:
        raise UserError(f"data.{foreign[0]} does not go with {kind} data, which {path} looks like: leave it out or set --data.kind")
    return section.replaced(kind=kind, path=str(real_path(path)))


def place_of(section: Data) -> str:
    """What a table calls the data: its path, or its two sides where each has one of its own, or the name of a drawn world."""
    sides = [str(side) for name in "ab" if (side := section.options.get(name))]
    return section.path or (" and ".join(sides) if section.kind in ("two_folders", "unpaired") else section.kind)


def absolute(side: str) -> str:
    """The absolute path of one side of the data: a folder, a file or a pattern."""
    pattern = FilePattern.read(side)
    return str(real_path(side)) if pattern is None else pattern.absolute()


def refuse_inside(section: Data, out: str | Path) -> None:
    """Refuse a place to write pictures to that lies in the data: they would be data next time.

    Args:
        section: the recipe's data section, resolved.
        out: the folder to be written.

    Raises:
        UserError: it lies in a folder whose images are read.
    """
    sides = {side: section.options[side] for side in "ab" if side in section.options}
    for folder in folders_read(section.kind, None if section.path is None else Path(section.path), **sides):
        if real_path(out).is_relative_to(real_path(folder)):
            raise UserError(f"{out} lies inside the data {folder}: its pictures would be data next time; choose another --out")


def geometry_of(section: Data, paired: bool = True) -> Geometry:
    """How training pairs (or, not ``paired``, pictures of two domains) are resized, cropped and mirrored."""
    return Geometry(
        section.load_size,
        section.crop_size,
        section.flip,
        "nearest" if section.source_encoding == "labels" else section.source_resize,
        "nearest" if section.target_encoding == "labels" else section.target_resize,
        paired=paired and not section.unpaired,
        fit=section.fit,
        evaluation_size=None if section.evaluation_size == "whole" else section.evaluation_size,
        augmentation=augmentation_of(section),
    )


def augmentation_of(section: Data) -> Augmentation:
    """What else is done to training pairs at random."""
    return Augmentation(**{one.name: getattr(section, one.name) for one in fields(Augmentation)})


def open_collection(kind: str, path: str | Path | None, **options: Any) -> Collection:
    """The records of a data set of a registered kind, or of the kind that ``path`` looks like when ``kind`` is ``auto``.

    Raises:
        UserError: unknown kind or option, or nothing usable at ``path``.
    """
    folder = home_path(path) if path is not None else None
    if kind == "auto":
        if folder is None:
            worlds = ", ".join(drawn_worlds())
            raise UserError(
                f"no data path is given: name a folder or a manifest with --data.path, or set --data.kind to a drawn world ({worlds})"
            )
        kind = recognise(folder)
    return cast(Collection, registry.build("dataset", kind, folder, **options))


@dataclass
class FoundRecords:
    """The records of a data section.

    Attributes:
        splits: the records of ``train``, ``val`` and ``test``.
        notes: what a person should know about how they were found and divided.
        paired: whether they are pairs.
        division: how they were divided.
        too_small: by split, a sentence about a region that is smaller than the crops which are wanted of it.
    """

    splits: dict[str, list[Record]]
    notes: list[str]
    paired: bool
    division: Division
    too_small: dict[str, str] = field(default_factory=dict)

    def refuse_small(self, *parts: str) -> None:
        """Refuse regions that would have to be enlarged to fit a crop.

        Raises:
            UserError: one of these splits has one.
        """
        if found := next((self.too_small[part] for part in parts if part in self.too_small), None):
            raise UserError(found)


def find_records(section: Data, stored: StoredSplit | None = None, elsewhere: bool = False) -> FoundRecords:
    """The records of each split of a resolved section.

    Of the training records no more than ``section.limit``, so that whoever asks what a model was trained on gets just that.

    Args:
        section: the recipe's data section, resolved.
        stored: the split of the run that it belongs to, if that was drawn and kept.
        elsewhere: these may not be the run's data, as in :func:`.splits.divide`.

    Raises:
        UserError: nothing usable there.
    """
    with without_collecting():
        collection = open_collection(section.kind, section.path, **section.options)
        if collection.lacking and section.on_error != "skip":  # else they are left out as what cannot be read
            raise UserError(f"{collection.lacking[0]}; --data.on_error skip leaves such images out")
        if section.mask is not None:
            with_masks(collection, section.path, section.mask, section.unpaired)
        _check_groups(section, collection)
        by_page(collection, PageReading(section.pages, section.depth_neighbours), section.direction == "AtoB", finder(section.group))
        cut = by_region(collection, section) if section.split_by == "region" and not (elsewhere and is_divided(collection)) else None
        fractions = (
            section.val_fraction if section.val_regions is None or cut is None else 0,
            section.test_fraction if section.test_regions is None or cut is None else 0,
        )
        by = section.split_seed
        division = divide(collection, *fractions, by, group=section.group, rule=section.split_rule, stored=stored, elsewhere=elsewhere)
        if cut is not None:
            cut.with_margins(division)
    records = division.splits
    if section.orientation == "ignore":
        records = division.splits = {name: [record.as_stored() for record in part] for name, part in records.items()}
    labels = section.source_encoding == "labels", section.target_encoding == "labels"
    if any(labels):
        a, b = labels if section.direction == "AtoB" else labels[::-1]
        records = division.splits = {name: [record.with_indices(a, b) for record in part] for name, part in records.items()}
    if section.no_data != ("tag", "tag"):
        of_a, of_b = section.no_data if section.direction == "AtoB" else section.no_data[::-1]
        records = division.splits = {name: [record.with_no_data(of_a, of_b) for record in part] for name, part in records.items()}
    if section.limit is not None and section.limit < len(records["train"]):
        chosen = np.random.default_rng(section.split_seed).permutation(len(records["train"]))[: section.limit]
        records["train"] = [records["train"][index] for index in sorted(chosen.tolist())]
    return FoundRecords(
        records, [*collection.notes, *division.notes], not collection.unpaired, division, {} if cut is None else cut.too_small
    )


def _check_groups(section: Data, collection: Collection) -> None:
    """See that what ``data.split_by`` asks for is there: groups, or none.

    Raises:
        UserError: nothing says what belongs together.
    """
    items: list[Record | Single] = [
        *itertools.chain(*collection.splits.values()),
        *itertools.chain(*itertools.chain(*collection.domains.values())),
    ]
    if section.split_by == "group" and section.group is None and not any(item.group for item in items):
        raise UserError(
            f"data.split_by is group, and nothing says what belongs together in {place_of(section)}: give --data.group parent (all files "
            "of a folder), or a pattern whose first group is the name of the patient, well or scene, such as '^(.*)_'; or write it "
            "into the column group of a manifest"
        )
    if section.split_by == "name":  # pages of one file become a group later, and stay together
        for records in collection.splits.values():
            records[:] = [replace(record, group=None) for record in records]
        for sides in collection.domains.values():
            for singles in sides:
                singles[:] = [replace(single, group=None) for single in singles]


def no_training_pairs(section: Data, opened: FoundRecords) -> str:
    """The sentence for data without anything to train on, with what the folders hold instead."""
    found = ", ".join(name for name in SPLITS if opened.splits[name]) or "nothing"
    place, remedy = (section.path, "add a train folder") if section.path is not None else (section.kind, "raise --data.train")
    if instead := [note for note in opened.notes if "holds no images" in note]:
        return f"{place} has no training pairs (found: {found}): {instead[0]}"
    return f"{place} has no training pairs (found: {found}): {remedy}"


def open_data(
    section: Data,
    seed: int = 0,
    quiet: bool = False,
    stored: StoredSplit | None = None,
    left_out: Sequence[LeftOut] = (),
    resumed: bool = False,
    processes: int | None = None,
) -> OpenedData:
    """Find, divide and inspect the pairs; all that is found to be wrong is said at once, before anything is trained.

    How much is read for that, ``data.check`` says; see :mod:`.inspection`.

    Args:
        section: the recipe's data section, resolved.
        seed: of the jitter.
        quiet: no notes and no progress.
        stored: the split of the run that is resumed.
        left_out: what that run left out, which stays so though it may have been repaired.
        resumed: a training goes on: pairs that turn out to be of no use stay in their places, and are replaced there.
        processes: how many may be started to read the pairs; None is one for each core.

    Raises:
        UserError: no pairs, or pairs that cannot be used: each with its file and its reason; or pairs of the resumed run are gone.
    """
    opened = find_records(section, stored)
    records, notes, paired = opened.splits, opened.notes, opened.paired
    if stored is not None:
        stored.check(opened.division, str(section.path or section.kind), lambda name: is_left_out(name, left_out))
    if not records["train"]:
        raise UserError(no_training_pairs(section, opened))
    opened.refuse_small(*SPLITS)
    for name in ("train", "val"):
        gone = [pair for pair in left_out if pair.split == name and pair.found == "before"]
        records[name] = remaining(records[name], gone, section.path, paired)
    if section.split_by == "region":
        section = section.replaced(margin=margin_of(section))
    section = with_ranges(section, records["train"], notes)
    if not resumed:
        section, of_classes = with_classes(section, directed(records["train"], section.direction), quiet)
        notes += of_classes
    geometry = geometry_of(section, paired)
    train_cache, val_cache = caches(section, geometry, records["train"], records["val"], quiet)
    with without_collecting():
        findings, new, rest = _inspect(section, records, paired, (train_cache, val_cache), quiet, left_out, resumed, processes)
    left = [*left_out, *new]
    notes += _of_few(section, records, paired)
    if amiss := amiss_by_headers(records["test"], geometry):
        notes.append(
            f"{len(amiss):,} of {counted(len(records['test']), 'test pair')} cannot be used by what their headers say (their pixels are "
            f"not read before they are scored): {listed(amiss)}; evaluate will refuse them, or leave them out with --data.on_error skip"
        )
    if left:
        used = pictures_in(records["train"], paired) + pictures_in(records["val"], paired)
        used -= sum(pair.found == "training" for pair in left)
        notes.append(of_left_out(len(left), left[0], used, paired))
    notes += findings.warnings
    if not quiet:
        for note in notes:
            say(f"note: {note}")

    names = [
        resolve_names(side, given, known or names_by_pattern(records["train"], section, side), channels)
        for side, given, known, channels in (
            ("source", section.source_channel_names, findings.source_names, findings.source_channels),
            ("target", section.target_channel_names, findings.target_names, findings.target_channels),
        )
    ]
    source = encoding_of(section, "source", findings.source_channels, findings.source_dtype, names[0])
    target = encoding_of(section, "target", findings.target_channels, findings.target_dtype, names[1])
    pair_format = PairFormat(
        section.direction,
        findings.source_channels,
        findings.target_channels,
        section.source_range,
        section.target_range,
        section.alpha,
        (findings.source_dtype, findings.target_dtype) if findings.source_dtype and findings.target_dtype else None,
        (source, target),
    )
    places = {record.name: index for index, record in enumerate(records["train"])} if left else {}
    late = {places[pair.name]: pair.reason for pair in left if pair.found == "training" and pair.split == "train" and pair.name in places}

    def dataset(name: str, cache: Cache | None = None, training: bool = False) -> PairDataset:
        cache = Cache(geometry.evaluation(), 0) if cache is None else cache
        replaces = training and section.on_error == "skip"
        found = PairDataset(records[name], geometry, pair_format, seed=seed, training=training, cache=cache, replaces=replaces)
        found.unusable |= late if replaces else {}
        return found

    return OpenedData(
        section,
        train=dataset("train", train_cache, training=True),
        train_plain=dataset("train"),
        val=dataset("val", val_cache),
        test=dataset("test"),
        source=source,
        target=target,
        source_dtype=findings.source_dtype,
        target_dtype=findings.target_dtype,
        has_pairs=paired,
        drawn=opened.division.drawn,
        left_out=tuple(left),
        background_check=rest,
        no_data=findings.no_data,
        notes=tuple(notes),
    )


def names_by_pattern(records: Sequence[Record], section: Data, side: str) -> tuple[str, ...]:
    """What the pattern of the files says that their channels are called: all that is known where nothing but headers is read."""
    first = directed(records[:1], section.direction)[0]
    picture = first.a if side == "source" else first.b
    return picture.names if isinstance(picture, FilePicture) else ()


def caches(section: Data, geometry: Geometry, train: Sequence[Record], val: Sequence[Record], quiet: bool = False) -> tuple[Cache, Cache]:
    """What keeps the prepared training and validation pairs: one store on disk, or memory where there can be none."""
    budget = int(section.cache_gb * 2**30)
    folder = cache_folder(section, geometry, quiet)
    store = None if folder is None else PreparedStore(folder, budget, quiet)
    both = (
        Cache(geometry, budget, store, directed(train, section.direction), section.alpha, quiet, ranges_of(section)),
        Cache(geometry.evaluation(), budget, store, directed(val, section.direction), section.alpha, quiet, ranges_of(section)),
    )
    if store is not None:
        store.begin_anew_if_stale(key for cache in both for key in cache.all_keys())
    return both


def usable(section: Data, records: Sequence[Record], split: str, paired: bool, quiet: bool = True) -> tuple[list[Record], list[LeftOut]]:
    """The records of a split that can be used; and those that cannot, where the section says that they shall be left out.

    Then every picture is read for it, by the same check as before training; else only where a header says that it is of no use.

    Raises:
        UserError: some pairs cannot be used, each with its file and its reason; or none can.
    """
    if not records or (section.on_error != "skip" and not amiss_by_headers(records, geometry_of(section, paired))):
        return list(records), []
    geometry, sources_first = geometry_of(section, paired), directed(records, section.direction)
    parts = {split: PartToCheck(sources_first, geometry, section.alpha, ranges_of(section))}
    facts: dict[int, PairFacts] = {}
    with Progress(len(records), f"check {split} data", "pair", quiet=quiet) as progress:
        for (_, index), one in check_pairs(parts, [(split, index) for index in range(len(records))], cores()):
            facts[index] = one
            progress.advance()
    found = findings_of(sources_first, [facts[index] for index in range(len(records))], geometry, use=Use(ranges_of(section)))
    if section.on_error != "skip":
        raise_if_bad(found)
        return list(records), []
    kept, left = without(records, found.reasons, split, section.path, paired)
    if not kept:
        raise_if_bad(found, skipping=True)
    return kept, left


def _of_few(section: Data, records: dict[str, list[Record]], paired: bool) -> list[str]:
    """What cannot be hoped for with so few pairs."""
    notes, count = [], len(records["train"])
    crops = [one.height * one.width // section.crop_size**2 for record in records["train"] if (one := region_of(record.a)) is not None]
    if paired and count < ENOUGH and (section.load_size is not None or sum(crops) < ENOUGH):
        few = "is a single training pair: it" if count == 1 else f"are only {count} training pairs: they"
        notes.append(f"there {few} will be memorised")
    if paired and not records["val"]:
        notes.append(
            "there are no validation pairs: no best model is chosen, and nothing tells how good the translator is on pictures it has not "
            "seen (add a val folder, or have more pairs and --data.val_fraction above 0)"
        )
    return notes


def ranges_of(section: Data) -> tuple[Range | None, Range | None]:
    """The values of sources and of targets that are black and white; None for the full range of their type."""
    return section.source_range, section.target_range


def _inspect(
    section: Data,
    records: dict[str, list[Record]],
    paired: bool,
    caches: tuple[Cache, Cache],
    quiet: bool,
    left_out: Sequence[LeftOut],
    resumed: bool,
    processes: int | None,
) -> tuple[Findings, list[LeftOut], BackgroundCheck | None]:
    """What a look at the training and validation pairs finds, and what is left to look at; what is to be left out goes from ``records``."""
    geometry, ranges = caches[0].geometry, ranges_of(section)
    left: list[LeftOut] = []
    late = {(pair.split, pair.name) for pair in left_out if pair.found == "training"}
    memory = FactsCache(None if caches[0].store is None else caches[0].store.folder, section.alpha, ranges)
    beyond = beyond_percentiles(section.source_percentiles), beyond_percentiles(section.target_percentiles)
    uses = {"train": Use(ranges, "training", beyond), "val": Use(ranges, "validation", beyond)}
    parts = {
        name: PartToCheck(directed(records[name], section.direction), geometry, section.alpha, ranges, cache)
        for name, cache in zip(("train", "val"), caches)
        if records[name]
    }
    with Progress(len(records["train"]) + len(records["val"]), "read data", "pair", quiet=quiet) as progress:
        inspection = Inspection(parts, memory, section.check, processes)
        inspection.read(progress.advance)

        def look(name: str, held_out: list[Record]) -> Findings:
            checked = inspection.checked[name]
            found = findings_of(checked.part.records, checked.known(), geometry, use=uses[name], held_out=held_out)
            if section.on_error == "skip" and resumed and found.reasons:
                stay = {index: reasons for index, reasons in found.reasons.items() if (name, records[name][index].name) not in late}
                left.extend(left_out_in_training(records[name][index], reasons, name, section.path) for index, reasons in stay.items())
                found.errors, found.unusable = [], 0
            elif section.on_error == "skip" and found.reasons:
                kept, gone = without(records[name], found.reasons, name, section.path, paired)
                if kept or name != "train":
                    same = [index for index in range(len(records[name])) if index not in found.reasons] if paired else []
                    sources_first = directed(kept, section.direction)
                    checked.part.cache.keep(same, sources_first)  # type: ignore[union-attr]
                    checked.keep(sources_first, same if paired else None)
                    records[name] = kept
                    left.extend(gone)
                    found.errors, found.unusable = [], 0
            return found

        held_out = [*records["val"], *records["test"]]
        findings = look("train", [] if inspection.is_large else held_out)
        if records["val"]:
            validation = look("val", [])
            known = [note for side, notes in validation.range_warnings.items() if findings.range_warnings[side] for note in notes]
            findings.warnings += [f"validation: {warning}" for warning in validation.warnings if warning not in known]
            findings.errors += validation.errors
            findings.named |= validation.named
            findings.unusable += validation.unusable
            findings.count += validation.count
            for side in ("source", "target"):
                trained, validated = (getattr(one, f"{side}_channels") for one in (findings, validation))
                if validated and trained and validated != trained and {validated, trained} != {1, 3}:
                    findings.errors.append(f"the validation {side} pictures have {validated} channels, the training ones {trained}")
                trained, validated = (getattr(one, f"{side}_dtype") for one in (findings, validation))
                if validated and trained and validated != trained:
                    findings.errors.append(
                        f"the validation {side} pictures are {validated}, the training ones {trained}: save all with one depth"
                    )
    raise_if_bad(findings, section.on_error == "skip")
    usual = (findings.source_dtype, findings.source_channels), (findings.target_dtype, findings.target_channels)
    rest = BackgroundCheck(inspection.checked, memory, usual, uses, paired)
    if inspection.is_large:
        rest.compare_with(held_out, findings.warnings)
    rest.said = {*findings.warnings}
    return findings, left, rest if section.check != "headers" and rest.is_anything else None
