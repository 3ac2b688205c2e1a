"""The preview in words: which side is which, what is cut from what, and what the networks get of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from ...data.encodings.by_name import SIDES, kind_of_side
from ...data.open import augmentation_of
from ...data.value_range import NATURAL_RANGE, USED, number
from ...recipe import Data, drawn_worlds
from ...wording import counted
from ..formatting import percent
from .draws import Draw, PairDraws, PairSide, Preview

MIRRORED = "mirrored"
LABELS = 64
"""A picture of no more colours than this is probably a label map."""
_TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"


def title(found: Preview) -> list[str]:
    """The data, how many pairs, and how large."""
    section = found.section
    where = section.path or section.kind
    size = section.crop_size
    return [PurePath(str(where)).name, _amount(found), f"{size}{_TIMES}{size} pixels"]


def summary(found: Preview) -> list[str]:
    """What a person should know before the night, one paragraph each."""
    return [_sides(found), f"{_geometry(found)} {_mirrored(found)} {_augmented(found)}{_values(found)}"]


def other_way(found: Preview) -> str:
    """The flag that makes the source the target."""
    return f"--data.direction {'BtoA' if found.section.direction == 'AtoB' else 'AtoB'}"


def _amount(found: Preview) -> str:
    return counted(found.counts[0], "unpaired image" if found.unpaired and not found.shuffled else "pair")


def _sides(found: Preview) -> str:
    section = found.section
    first, second = ("A", "B") if section.direction == "AtoB" else ("B", "A")
    if section.kind in drawn_worlds():
        source, target = f"{first} of what {section.kind} draws", second
    elif section.kind == "manifest":
        source, target = (f"the column {'source' if side == 'A' else 'target'} of the manifest" for side in (first, second))
    else:
        source, target = found.where["source"], found.where["target"]
    sides = f"The source is {source}, the target {target} (direction {section.direction})"
    if section.kind == "photos":
        sides = f"Each of {source} is source and target"
    held = [f"{count:,} to {verb}" for count, verb in zip(found.counts[1:], ("validate", "test")) if count]
    return "".join(
        (
            f"{sides}. ",
            f"There {'is' if found.counts[0] == 1 else 'are'} {', '.join([f'{_amount(found)} to train on', *held])}.",
            _division(section) if found.drawn and held else "",
            " Each source is given another target in every epoch: nothing says which belongs to it." if found.unpaired else "",
        )
    )


def _division(section: Data) -> str:
    if section.split_by == "region":
        return f" They are regions, {section.regions[0]}{_TIMES}{section.regions[1]} of each image."
    return " They were divided by their names."


def _geometry(found: Preview) -> str:
    section, size = found.section, f"{found.section.crop_size}{_TIMES}{found.section.crop_size}"
    each = "each picture" if found.unpaired else "each pair"
    if section.load_size == section.crop_size and section.fit in ("refuse", "resize", "fit"):
        return f"In every epoch {each} is {_BROUGHT[section.fit]} {size} pixels, whole."
    load = f"{section.load_size}{_TIMES}{section.load_size}"
    resized = f"{_BROUGHT[section.fit]} {load} pixels" if section.load_size else "left at its size"
    ends = sorted(pair.share for pair in found.pairs)
    part = " to ".join(dict.fromkeys(percent(one) for one in (ends[0], ends[-1])))
    same = "" if found.unpaired else ", the same of source and target"
    return f"In every epoch {each} is {resized}, and a square of {size} is cut out of it at another random place{same}: {part} of it."


_BROUGHT = {
    "refuse": "resized to",
    "resize": "resized to",
    "fit": "scaled with its proportions into",
    "crop": "scaled with its proportions until it covers",
    "pad": "left at its size, and padded where it is smaller than",
}
"""What becomes of a picture that is loaded, by ``data.fit``; the size follows."""


def _augmented(found: Preview) -> str:
    """What else is done at random; empty if nothing is, else with a space at its end."""
    done = list(augmentation_of(found.section).words())
    if not done:
        return ""
    each = "pictures" if found.unpaired else "pairs"
    text = f"{', '.join(done[:-1])} and {done[-1]}" if len(done) > 1 else done[0]
    borders = " Beyond its border a picture is mirrored." if augmentation_of(found.section).warps else ""
    return f"In training {each} are also augmented: {text}.{borders} "


def _mirrored(found: Preview) -> str:
    if not found.section.flip:
        return "Nothing is mirrored (data.flip is false)."
    share = sum(pair.mirrored for pair in found.pairs) / max(1, sum(pair.counted for pair in found.pairs))
    epochs = counted(found.epochs, "epoch")
    return f"About half of the draws are mirrored left to right: {percent(share)} of those of the pairs below in {epochs}."


_MEANINGS = {
    "labels": "label maps: {channels} classes, each a channel that is 1 where a pixel is of it, and −1 elsewhere",
    "L": "photos, whose lightness (CIE Lab) becomes −1 to 1",
    "ab": "photos, whose colour (a and b of CIE Lab, −110 to 110) becomes −1 to 1",
}


def _values(found: Preview) -> str:
    kinds = [kind_of_side(found.section, side) for side in SIDES]
    if kinds != ["values", "values"]:
        words = [f"{side}s are {'values' if kind == 'values' else _MEANINGS[kind]}" for side, kind in zip(SIDES, kinds)]
        text = "; ".join(word.format(channels=channels) for word, channels in zip(words, found.channels))
        return f"{text[0].upper()}{text[1:]}."
    source, target = (f"{number(low)} to {number(high)}" for low, high in found.ranges)
    which = f"The values {source} of the files" if source == target else f"The values {source} of sources and {target} of targets"
    return f"{which} become −1 to 1."


def facts(found: Preview) -> Iterator[tuple[str, str]]:
    """What else decides what training sees, as name and value."""
    section = found.section
    if any(pair.masked for pair in found.pairs):
        by = f"the masks in {section.mask}" if section.mask else "a mask, or where source and target hold data"
        yield "what counts", f"{by}; targets have stripes where nothing does"
    yield "data", f"{section.path or section.kind} ({section.kind})"
    yield "recipe", found.recipe
    train, val, test = found.counts
    yield "pairs", f"{train:,} to train on, {val:,} to validate, {test:,} to test"
    for role, dtype, channels, given, rule in zip(
        SIDES,
        found.dtypes,
        found.channels,
        (section.source_range, section.target_range),
        (section.source_resize, section.target_resize),
    ):
        low, high = given or NATURAL_RANGE[dtype]
        look = next((getattr(pair, role).look for pair in found.pairs), "")
        seen = f"shown: {look}" if look else "grey" if channels == 1 else "colour"
        ends = f"{number(low)} to {number(high)} ({'given' if given else 'of this type'}) become −1 to 1"
        kind = kind_of_side(section, role)
        if kind != "values":
            yield f"{role}s", f"{dtype}, {_MEANINGS[kind].format(channels=channels)}; resized by {'nearest' if kind == 'labels' else rule}"
            continue
        yield f"{role}s", f"{dtype}, {counted(channels, 'channel')} ({seen}); {ends}; resized by {rule}"
    yield "transparency", section.alpha
    yield "orientation tags", "applied" if section.orientation == "apply" else "ignored"
    validated = _validated(found)
    if found.section.scores_whole:
        yield "when validated", f"{validated}, never mirrored"
        yield "when tested", "whole pictures, at their own size"
    else:
        yield "when validated and tested", f"{validated}, never mirrored"


def _validated(found: Preview) -> str:
    size = found.section.seen_size
    ways = {
        "fit": "the whole of each picture with its proportions, padded to",
        "crop": "the middle of each picture, as large as fits with its proportions, cut to",
        "pad": "the middle of each picture at its size, padded where it is smaller than",
    }
    if found.section.load_size is None:
        what = "the middle of each picture,"
    else:
        what = ways.get(found.section.fit, "the whole of each picture, resized,")
    return f"{what} {size}{_TIMES}{size} pixels"


def about(side: PairSide) -> str:
    """A picture's size, type and values, and what the networks get of these."""
    low, high = (f"{value:+.2f}".replace("-", "−") for value in side.seen)
    held = f"values {number(side.held[0])} to {number(side.held[1])}"
    look = f"; shown: {side.look}" if side.look else ""
    return f"{side.about.replace('x', _TIMES, 1)}; {held}; the networks get {low} to {high}{look}"


def resized(side: PairSide) -> str:
    """How a file differs from what is cut from it; empty if it does not."""
    (height, width), (tall, wide), (space, along) = side.size, side.scaled, side.prepared
    steps = []
    if (height, width) != (tall, wide):
        apart = abs(tall * width / (wide * height) - 1)
        how = "squeezed" if apart > max(0.01, 0.6 / min(tall, wide)) else "enlarged" if tall > height else "reduced"  # 0.6: rounding
        steps.append(f"{how} to {wide}{_TIMES}{tall}")
    if (tall, wide) != (space, along):
        how = "padded" if space >= tall and along >= wide else "cut" if space <= tall and along <= wide else "cut and padded"
        steps.append(f"{how} to {along}{_TIMES}{space}")
    return ", ".join(steps)


def remarks(side: PairSide) -> list[str]:
    """What is probably not meant: a range of which hardly anything is used, and labels whose colours are mixed."""
    found, used = [], (side.seen[1] - side.seen[0]) / 2
    if used < USED:
        found.append(f"only {percent(used)} of the range is used: next to no contrast is left")
    if side.colours is not None and side.colours[0] <= LABELS and side.colours[1] > 2 * side.colours[0]:
        before, after = (counted(one, "colour") for one in side.colours)
        found.append(f"{before} in the file, {after} once resized: if these are labels, --data.{side.role}_resize nearest invents none")
    return found


def caption(draw: Draw) -> str:
    """Which epoch, and whether it is mirrored, and upside down."""
    return f"epoch {draw.epoch}{f', {MIRRORED}' if draw.mirrored else ''}{', upside down' if draw.upside_down else ''}"


def turns(pair: PairDraws) -> bool:
    """Whether each draw has a target of its own."""
    return len({draw.file for draw in pair.target.draws}) > 1
