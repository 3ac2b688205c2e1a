"""Which pairs a translator is evaluated on, and how they are read: as in its training, without chance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..data.batch import Pair
from ..data.check.findings import PairWatch, Use, inspect, raise_if_bad
from ..data.check.left_out import LEFT_OUT_FILE, load_left_out, of_left_out, pictures_in, remaining
from ..data.dataset import Arrays, Cache, PairDataset, PairFormat
from ..data.encodings.base import Encoding, LinearValues
from ..data.encodings.by_name import SIDES, kind_of_side
from ..data.file_facts import PictureWatch
from ..data.files import real_path
from ..data.grey import are_mixed, channels_of, grey_among_colour
from ..data.layouts import masks_at, recognise
from ..data.open import find_records, geometry_of, refuse_inside, resolve_data, usable
from ..data.pairing import listed
from ..data.pairs import Record, region_of
from ..data.region_pairs import trained_share
from ..data.splits import PAIRS, SPLITS_FILE, StoredSplit
from ..data.value_range import SCORES, Watch, beyond_percentiles, train_flag
from ..errors import UserError
from ..recipe import Data, Recipe, data_at, is_file_pattern
from ..recipe.sections import REGION_KEYS
from ..translation.translator import Translator
from ..wording import counted
from .schema import FILE, MIDDLE, EvaluationRecord
from .sizes import ScoredSizes

_DIVIDING = {"val_fraction", "test_fraction", "split_seed", "group", "kind", "a", "b", "split_by", *REGION_KEYS}
"""The keys that say how names are divided: another value asks for another split than the run's."""


@dataclass(frozen=True)
class HeldOut:
    """The pairs to evaluate on.

    Attributes:
        section: the data section they come from, resolved.
        split: which part.
        pairs: those to be scored.
        training: the training pairs of the same data, for bounds and palettes; None if there are none.
        notes: what a person should know about the choice.
        paired: whether a pair's target is what its source should become; in unpaired data it is any picture of the target domain.
        whole: whether all of each picture is taken, at its own size; else squares of one size.
    """

    section: Data
    split: str
    pairs: PairDataset
    training: PairDataset | None
    notes: list[str]
    paired: bool = True
    whole: bool = False

    @property
    def resize(self) -> str:
        """What is done to the pictures' sizes, in words."""
        if self.whole:
            return "none"
        size = f"{self.section.seen_size} x {self.section.seen_size}"
        rules = self.pairs.geometry.source_rule, self.pairs.geometry.target_rule
        ways = {"fit": "into (padded)", "crop": "until they cover (cut)", "pad": "padded or cut to"}
        to = ways.get(self.section.fit, "to")
        return f"{rules[0]} / {rules[1]} {to} {size}" if self.section.load_size else f"{MIDDLE}{size}"

    def sizes(self) -> ScoredSizes:
        """What takes in the sizes of the pictures as they are scored."""
        of_regions = any(region_of(record.a) is not None for record in self.pairs.records)
        return ScoredSizes(self.pairs.geometry, "regions" if of_regions else "images")


def held_out(
    translator: Translator,
    data: str | Path | Data | None,
    split: str | None,
    overrides: dict[str, Any],
    quiet: bool = True,
    whole: bool = False,
) -> HeldOut:
    """Find the pairs to evaluate a translator on.

    Args:
        translator: it says which channels and ranges its images have, and what it was trained on.
        data: a folder, a manifest, the name of a drawn world or a data section; None is the data of the model's own recipe.
        split: ``test`` (default; ``val`` if there is no test split, and it is noted), ``val`` or ``train``.
        overrides: dotted data keys merged into the recipe's.
        quiet: no progress where they are checked.
        whole: take whole pictures at their own size, if the section says so; else squares in any case, which can be stacked.

    Raises:
        UserError: no pairs, or none in that split; or pairs that cannot be used, all of them said together.
    """
    section = resolve_data(_section_for(translator, data, overrides))
    whole = whole and section.scores_whole
    own = _run_of(translator, section)
    stored = split_of_run(translator, section)
    opened = find_records(section, stored, elsewhere=not own)
    records, notes, paired = opened.splits, opened.notes, opened.paired
    if not paired and translator.config.target.to_encoding().needs_source:
        whole = False  # a colour that goes with the lightness of another picture: both must have one size
    if own and stored is None and opened.division.drawn is not None and section.split_rule == "rank":
        notes += _grown_since(own[0], len(records["train"]))
    if gone := [name for names in opened.division.gone.values() for name in names]:
        notes.append(
            f"{counted(len(gone), 'pair')} that this run divided {'is' if len(gone) == 1 else 'are'} not there any more: {listed(gone)}"
        )
    divided = _split_kept_by(translator) if own else None
    if divided is not None and (moved := divided.resized(opened.division)):
        notes.append(
            f"{listed(moved)} when this run divided {'it' if len(moved) == 1 else 'them'} into regions: these lie elsewhere now, and may "
            "show what the run was trained on (scores too good): put the files back"
        )
    left = next((found for place in own if (found := load_left_out(place / LEFT_OUT_FILE)) is not None), None)
    for part in ("train", "val"):
        kept = remaining(records[part], [pair for pair in left or () if pair.split == part], section.path, paired)
        if len(kept) < len(records[part]):
            used = pictures_in(kept, paired)
            gone_then = counted(pictures_in(records[part], paired) - used, f"{part} {'pair' if paired else 'picture'}")
            notes.append(f"{gone_then} {'is' if gone_then.startswith('1 ') else 'are'} left out, as in training ({used} are used)")
        records[part] = kept
    name = split or next((name for name in ("test", "val") if records[name]), "train")
    for part in dict.fromkeys((name, *(() if own else ("train",)))):
        records[part], gone_now = usable(section, records.get(part, []), part, paired, quiet)
        if gone_now:
            notes.append(of_left_out(len(gone_now), gone_now[0], pictures_in(records[part], paired), paired, part))
    pairs = records.get(name)
    if not pairs:
        have = ", ".join(key for key, value in records.items() if value) or "none"
        raise UserError(f"{section.path or 'the data'} has no {name} pairs (splits with pairs: {have}): choose another with --split")
    opened.refuse_small(name)
    if name != "train" and (trained := _trained_among(translator, pairs)):
        verb = "has" if len(trained) == 1 else "have"
        notes.append(
            f"{counted(len(trained), 'pair')} of these {len(pairs)} {verb} a name that this run was trained on (scores too good): "
            f"{listed(trained)}"
        )
    seen = _trained_pixels(translator, pairs) if split != "train" else []
    notes += seen
    if own and seen:  # bounds are of what it was trained on, and not of what is called so in this division
        records["train"] = remaining(_trained_regions(translator), [pair for pair in left or () if pair.split == "train"], None, paired)
    if split is None and name == "val":
        notes.append("there is no test split: these are the val pairs, by which the best checkpoint was chosen")
    elif split is None and name == "train" and not seen:
        notes.append("there is neither a test nor a val split: if these are the pairs it was trained on, the scores are too good")
    elif split is None and data is not None:
        scored = "is" if len(pairs) == 1 else "are"
        notes.append(f"{len(pairs):,} of {counted(sum(map(len, records.values())), 'pair')} {scored} scored: the {name} split")
    dataset = _plain_dataset(section, translator, pairs, paired, whole)
    notes += _conversions(dataset)
    of_source, of_target = translator.config.source.file_names, translator.config.target.file_names
    dataset.watches = _watch(section, "source", of_source), _watch(section, "target", of_target)
    dataset.together = PairWatch(dataset.geometry)
    training = _plain_dataset(section, translator, records["train"], paired, whole) if records["train"] else None
    return HeldOut(section, name, dataset, training, notes, paired, whole)


def refuse_among_data(translator: Translator, data: str | Path | Data | None, overrides: dict[str, Any], out: Path) -> None:
    """Refuse a place for pictures that lies in the data which :func:`held_out` would take: they would be data next time.

    Raises:
        UserError: it does.
    """
    refuse_inside(resolve_data(_section_for(translator, data, overrides)), out)


def scored_before(translator: Translator) -> EvaluationRecord | None:
    """The evaluation that the translator's run holds, if it can be read."""
    for place in _places(translator):
        if (place / "evaluation" / FILE).is_file():
            try:
                return EvaluationRecord.read(place / "evaluation")
            except UserError:
                return None
    return None


def split_of_run(translator: Translator, section: Data) -> StoredSplit | None:
    """The split that the translator's run keeps, if nobody asks for another; wherever its data lie now.

    Raises:
        UserError: the run's file is damaged.
    """
    trained = _trained_on(translator)
    if any(trained.get(key) != value for key, value in section.to_dict().items() if key in _DIVIDING and key in trained):
        return None
    return _split_kept_by(translator)


def _split_kept_by(translator: Translator) -> StoredSplit | None:
    return next((stored for place in _places(translator) if (stored := StoredSplit.load(place / SPLITS_FILE)) is not None), None)


def _trained_among(translator: Translator, pairs: Sequence[Any]) -> list[str]:
    """The names of pairs that the translator's run drew for training, where another split than its own was asked for."""
    stored = _split_kept_by(translator)
    if stored is None or stored.regions is not None:  # of regions, the pixels tell
        return []
    trained = set(stored.parts.get(PAIRS, {}).get("train", ()))
    return [record.name for record in pairs if record.name in trained]


def _trained_pixels(translator: Translator, pairs: Sequence[Record]) -> list[str]:
    """Of a run that was trained on regions of images: what is scored of them, and how much of that it has seen."""
    stored = _split_kept_by(translator)
    shares = {record.name: share for record in pairs if (share := trained_share(stored, record.name, region_of(record.a)))}
    if not shares:
        return []
    verb = "holds" if len(shares) == 1 else "hold"
    some = listed([f"{name} ({100 * share:.0f} % of its pixels)" for name, share in shares.items()])
    return [f"{len(shares)} of {counted(len(pairs), 'pair')} {verb} pixels that this run was trained on (scores too good): {some}"]


def _trained_regions(translator: Translator) -> list[Record]:
    """The training records of the run itself."""
    return find_records(resolve_data(_section_for(translator, None, {})), _split_kept_by(translator)).splits["train"]


def _grown_since(run: Path, pairs: int) -> list[str]:
    """Of a run of version 0.1.0, which kept no split: whether as many pairs are drawn for training now as then, by its log."""
    try:
        with (run / "log.jsonl").open("rb") as stream:
            then = json.loads(stream.readline(1 << 16))["pairs"]
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        then = None
    if then == pairs:
        return []
    before = "some" if not isinstance(then, int) else f"{then:,}"
    return [
        f"this run was trained by version 0.1.0, which kept no list of its splits, on {before} pairs where {pairs:,} would be drawn now: "
        "files have come or gone, so that pairs it was trained on may be scored, and the scores too good"
    ]


def _trained_on(translator: Translator) -> dict[str, Any]:
    trained = (translator.config.recipe or {}).get("data") or {}
    return trained if isinstance(trained, dict) else {}


def _run_of(translator: Translator, section: Data) -> tuple[Path, ...]:
    """Where the run of a translator may keep what it knows of these data; nowhere for data that lie elsewhere."""
    return _places(translator) if _trained_on(translator).get("path") == section.path else ()


def _places(translator: Translator) -> tuple[Path, ...]:
    """A run, or the folder around a model of it (two above a model that was kept on the way)."""
    if translator.origin is None or not translator.origin.exists():  # nowhere, or on a hub
        return ()
    above = translator.origin.resolve()
    return tuple(place for place in (translator.origin, above.parent, above.parent.parent) if (place / "recipe.yaml").is_file())


def read(dataset: PairDataset, every: int = 1) -> Iterator[tuple[Pair, Arrays]]:
    """Every pair (or each so many-th) with its pictures as their files hold them; what is wrong with one is said with its file."""
    for index in range(0, len(dataset), every):
        try:
            pair = read_one(dataset, index)
        except UserError:
            raise_for_all(dataset)
            raise
        yield pair
        del pair  # or it is in memory while the next is read


def read_one(dataset: PairDataset, index: int) -> tuple[Pair, Arrays]:
    """A pair with its pictures as their files hold them.

    Raises:
        UserError: what is wrong with it, with its file.
    """
    record = dataset.records[index]
    try:
        return dataset.with_files(index)
    except UserError as error:
        if any(str(path) in str(error) for path in (*record.a.paths, *record.b.paths)):
            raise
        raise UserError(f"{record.a.label} and its target: {error}") from error


def raise_for_all(dataset: PairDataset) -> None:
    """When one pair turns out to be of no use: say all that is wrong with any of them.

    Raises:
        UserError: which pairs cannot be used, and why, and the way out, as before training.
    """
    raise_if_bad(inspect(dataset.records, dataset.geometry, alpha=dataset.alpha, use=Use(dataset.ranges, "test")))


def _section_for(translator: Translator, data: str | Path | Data | None, overrides: dict[str, Any]) -> Data:
    """The data section to evaluate on: the model's own way of reading, at the place that was named."""
    config = translator.config
    given: dict[str, Any] = {}
    if isinstance(data, Data):
        given, data = data.to_dict(), None
    elif config.recipe is not None:
        given = config.recipe.get("data") or {}
    else:  # a model from elsewhere: squares of the size it was trained on
        size = config.trained_size or 256
        given = {"load_size": size, "crop_size": size}
        given |= {"source_encoding": config.source.encoding, "target_encoding": config.target.encoding}
        if data is None and not {"data.path", "data.kind"} & overrides.keys():
            raise UserError("this model does not say what it was trained on: name the pairs to evaluate on")
    # the data section alone is wanted; what the networks and the losses were is of no account here
    recipe = Recipe.from_dict({"data": given, "generator": {"name": "unet", "depth": 4}, "objective": {"terms": ["l1"]}})
    if data is not None and (at := data_at(data, overrides.get("data.kind"))).get("data.kind") is not None:
        overrides = {**at, "data.path": None, **overrides}
    elif data is not None:
        place = real_path(data)
        if str(place) != recipe.data.path:
            overrides = {"data.kind": overrides.get("data.kind") or _kind_at(place, recipe.data), "data.path": str(place), **overrides}
            if recipe.data.mask is not None and not _has_masks(place if place.is_dir() else place.parent, recipe.data.mask):
                overrides = {"data.mask": None, **overrides}  # those of the training are of other pairs
    if overrides.get("data.split_by", "region") != "region":  # then nothing is asked about regions any more
        overrides = {**{f"data.{key}": Data.model_fields[key].default for key in REGION_KEYS}, **overrides}
    if "data.crop_size" in overrides:  # who names a crop wants squares of that size
        overrides = {"data.evaluation_size": overrides["data.crop_size"], **overrides}
    for key in overrides:
        if key in ("data.source_percentiles", "data.target_percentiles"):
            raise UserError(f"{key} is found in training: to evaluate with another range give --{key.replace('percentiles', 'range')}")
    return recipe.updated(overrides).data.with_found(recipe.data) if overrides else recipe.data


def _has_masks(place: Path, mask: str) -> bool:
    """Whether other data have masks of their own where the training's had theirs."""
    try:
        side, elsewhere = masks_at(place, mask)
    except UserError:
        return False
    return side is not None and not elsewhere


def _kind_at(place: Path, section: Data) -> str:
    """What the pairs at another place look like; two folders of unusual names are recognised if the recipe names them."""
    patterns = [side for name in "ab" if is_file_pattern(side := str(section.options.get(name) or ""))]
    if patterns and any(Path(side).is_absolute() for side in patterns):
        raise UserError(
            f"this model was trained on files that patterns name ({' and '.join(patterns)}), which do not lie in {place}: name others in "
            "the same way, with --data.a and --data.b"
        )
    if patterns and place.is_dir():
        return section.kind
    try:
        return recognise(place)
    except UserError:
        if section.kind == "two_folders" and all((place / str(section.options.get(side))).is_dir() for side in "ab"):
            return section.kind
        raise


def _plain_dataset(section: Data, translator: Translator, records: Sequence[Any], paired: bool, whole: bool) -> PairDataset:
    geometry, encodings = geometry_of(section, paired), _encodings(section, translator)
    geometry = geometry.of_whole_images() if whole else geometry
    channels = encodings[0].file_channels, encodings[1].file_channels
    ranges = section.source_range, section.target_range
    pair_format = PairFormat(section.direction, *channels, *ranges, section.alpha, encodings=encodings)
    return PairDataset(records, geometry, pair_format, training=False, cache=Cache(geometry.evaluation(), 0))


def _encodings(section: Data, translator: Translator) -> tuple[Encoding, Encoding]:
    """What the numbers of the files mean: as the model has it, values in the section's range.

    Raises:
        UserError: another encoding than the model's is asked for.
    """
    found = []
    for side, domain, given in zip(
        SIDES, (translator.config.source, translator.config.target), (section.source_range, section.target_range)
    ):
        if (asked := kind_of_side(section, side)) != domain.encoding:
            raise UserError(
                f"data.{side}_encoding is {asked}, and this model was trained on {side}s as {domain.encoding}: leave that key as it is"
            )
        linear = domain.encoding == "values"
        found.append(LinearValues(domain.channels, domain.dtype, given, domain.names) if linear else domain.to_encoding())
    return found[0], found[1]


def _watch(section: Data, side: Literal["source", "target"], names: tuple[str, ...]) -> PictureWatch:
    """Over the pictures that are scored.

    Another range than the model was trained with would not mend its outputs, and these few pictures need not reach as far as those that it
    was trained on: a range that was chosen then is not to be narrowed by them.
    """
    given = section.source_range if side == "source" else section.target_range
    beyond = beyond_percentiles(section.source_percentiles if side == "source" else section.target_percentiles)
    effect = SCORES if side == "target" else "look dark"
    advice = None if given is not None else lambda limits: f"{train_flag(side)(limits)}, in training, if its pairs go no further"
    return PictureWatch(Watch(f"{side} pictures", given, advice, effect=effect, beyond=beyond), names)


def _conversions(dataset: PairDataset) -> list[str]:
    """What is done to pictures that do not have the model's channels, according to their headers."""
    notes = []
    sides = [[record.a for record in dataset.records], [record.b for record in dataset.records]]
    for side, pictures, channels, encoding in zip(SIDES, sides, dataset.channels, dataset.encodings):
        if not encoding.is_linear:
            continue
        have = channels_of(pictures)
        if are_mixed(have.values()) and channels == 3:
            notes += grey_among_colour(have, f"{side} pictures")
        elif channels in (1, 3) and 4 - channels in have.values():
            grey = channels == 3
            notes.append(f"the {side}s are {'grey' if grey else 'in colour'}: converted to {'colour' if grey else 'grey'} for this model")
    return notes
