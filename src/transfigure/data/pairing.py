"""Which file of one folder belongs to which file of the other: by name, never by position.

Accents count alike, whether a system stores them composed or decomposed. The names are tried as they are, then without the part that
all names of a side share (``12_A`` with ``12_B``, ``label_7`` with
``photo_7``, ``7_leftImg8bit`` with ``7_gtFine_color``), and only then without regard to capitals. The first way that pairs anything is
used for all. Pairing by sort order is not a way: one missing file would shift every pair after it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import UserError
from .files import natural_key, natural_keys
from .folder import composed

Affix = tuple[str, str]
"""What is taken off the front and the end of every name of a side."""


class NoPartnerNote(str):
    """What is said of files without a partner, with all their names for those who list them.

    Attributes:
        side: what their side is called: its folder.
        names: the files, relative to it.
    """

    side: str
    names: tuple[str, ...]

    def __new__(cls, sentence: str, side: str, names: Sequence[str]) -> NoPartnerNote:
        """The sentence, and what it is about."""
        note = super().__new__(cls, sentence)
        note.side, note.names = side, tuple(names)
        return note


@dataclass(frozen=True)
class Pairing:
    """Which names belong together.

    Attributes:
        pairs: ``(index in a, index in b, name of the pair)``, in the natural order of the pairs' names.
        only_a: names of the first side without a partner, in natural order.
        only_b: names of the second side without a partner, in natural order.
        affixes: what was taken off the names of each side before they were compared.
        folded: whether capitals were ignored.
    """

    pairs: list[tuple[int, int, str]]
    only_a: list[str]
    only_b: list[str]
    affixes: tuple[Affix, Affix] = (("", ""), ("", ""))
    folded: bool = False

    def notes(self, a: str, b: str) -> list[str]:
        """One sentence for each thing worth knowing, with ``a`` and ``b`` as the words for the two sides."""
        sentences = []
        if self.affixes != (("", ""), ("", "")) or self.folded:
            (a_front, a_end), (b_front, b_end) = self.affixes
            capitals = ", capitals ignored" if self.folded else ""
            sentences.append(f"paired {a_front}*{a_end} of {a} with {b_front}*{b_end} of {b}{capitals}")
        for side, other, lonely in ((a, b, self.only_a), (b, a, self.only_b)):
            if lonely:
                total = len(self.pairs) + len(lonely)
                verb = "has" if len(lonely) == 1 else "have"
                sentence = f"{len(lonely)} of {total} files in {side} {verb} no partner in {other}: {listed(lonely)}"
                sentences.append(NoPartnerNote(sentence, side, lonely))
        return sentences


def listed(names: Sequence[str], most: int = 3) -> str:
    """``x, y, z and 4 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def match(
    a: Sequence[str],
    b: Sequence[str],
    places: tuple[object, object] = ("the one side", "the other"),
    suffixes: tuple[bool, bool] = (True, True),
) -> Pairing:
    """Pair two sides' file names.

    The result does not depend on the order of either side.

    Args:
        a: file names of one side, relative to their folder, with ``/`` between folders.
        b: file names of the other side.
        places: what the two sides are called in an error: their folders.
        suffixes: whether the names of each side end in the suffix of a file, which is left out of account.

    Raises:
        UserError: two files of one side could both belong to a file of the other.
    """
    stems = tuple(_stems(side) if has_suffixes else list(side) for side, has_suffixes in zip((a, b), suffixes))
    for folded in (False, True):
        own = [[stem.casefold() for stem in side] if folded else side for side in stems]
        sides = [[composed(stem) for stem in side] for side in own]
        for affixes in _ways(*sides):
            keys = sides if affixes is None else [[_strip(stem, affix) for stem in side] for side, affix in zip(sides, affixes)]
            found = _join((keys[0], keys[1]), a, b, places)
            if found:
                off = affixes or (("", ""), ("", ""))
                found = [
                    (i, j, key if key != keys[0][i] else own[0][i] if affixes is None else _strip_own(own[0][i], off[0]))
                    for i, j, key in found
                ]
                return _pairing(found, a, b, off, folded)
    return _pairing([], a, b, (("", ""), ("", "")), False)


def _ways(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[Affix, Affix] | None]:
    """The affixes to try: none, and only where that pairs nothing those that all names of a side share."""
    yield None
    if a and b:
        yield _common_affixes(a, b)


def _stems(names: Sequence[str]) -> list[str]:
    """The names without the suffix of their file."""
    return [name[:dot] if name.rfind("/") + 1 < (dot := name.rfind(".")) < len(name) - 1 else name for name in names]


def _strip(stem: str, affix: Affix) -> str:
    return stem[len(affix[0]) : len(stem) - len(affix[1])]


def _strip_own(stem: str, affix: Affix) -> str:
    """A stem as its file spells it, without an affix that was found among composed names."""
    if composed(stem) == stem:
        return _strip(stem, affix)
    start = next((n for n in range(len(stem) + 1) if composed(stem[:n]) == affix[0]), 0)
    end = next((n for n in range(len(stem), -1, -1) if composed(stem[n:]) == affix[1]), len(stem))
    return stem[start:end] or _strip(composed(stem), affix)


def _pairing(found: list[tuple[int, int, str]], a: Sequence[str], b: Sequence[str], affixes: tuple[Affix, Affix], folded: bool) -> Pairing:
    taken_a, taken_b = {i for i, _, _ in found}, {j for _, j, _ in found}
    return Pairing(
        [pair for _, pair in sorted(zip(natural_keys([name for _, _, name in found]), found))],
        sorted((name for i, name in enumerate(a) if i not in taken_a), key=natural_key),
        sorted((name for j, name in enumerate(b) if j not in taken_b), key=natural_key),
        affixes,
        folded,
    )


def _join(
    keys: tuple[list[str], list[str]], a: Sequence[str], b: Sequence[str], places: tuple[object, object]
) -> list[tuple[int, int, str]]:
    """Indices with equal keys. Files that share a key (``1.jpg`` beside ``1.png``) must agree in their whole names."""
    once = dict(zip(keys[0], itertools.count())), dict(zip(keys[1], itertools.count()))
    if len(once[0]) == len(keys[0]) and len(once[1]) == len(keys[1]):
        return [(i, once[1][key], key) for key, i in once[0].items() if key in once[1]]
    groups: tuple[dict[str, list[int]], dict[str, list[int]]] = (defaultdict(list), defaultdict(list))
    for group, side_keys in zip(groups, keys):
        for index, key in enumerate(side_keys):
            group[key].append(index)
    found = []
    for key in groups[0].keys() & groups[1].keys():
        mine, theirs = groups[0][key], groups[1][key]
        if len(mine) == len(theirs) == 1:
            found.append((mine[0], theirs[0], key))
            continue
        both = [a[i] for i in mine], [b[j] for j in theirs]
        same = composed if all(len({composed(name) for name in side}) == len(side) for side in both) else str
        by_name = {same(b[j]): j for j in theirs}
        if {same(a[i]) for i in mine} != by_name.keys():
            names = listed(sorted(both[0], key=natural_key)), listed(sorted(both[1], key=natural_key))
            raise UserError(
                f"{names[0]} of {places[0]} could each belong to {names[1]} of {places[1]}: "
                "remove one, rename it, or list the pairs in a manifest"
            )
        found += [(i, by_name[same(a[i])], a[i]) for i in mine]
    return found


def _common_affixes(a: Sequence[str], b: Sequence[str]) -> tuple[Affix, Affix] | None:
    """The affixes that pair the most names; of those, the shortest. None if no affix pairs anything."""
    best: tuple[tuple[int, int], tuple[Affix, Affix]] | None = None
    # A number that stands alone is more often a date or a scene than decoration, so affixes that stop before one are tried too.
    for front, end in itertools.product((0, 1, 2), repeat=2):
        affixes = _affix(a, front, end), _affix(b, front, end)
        if len(a) == 1 or len(b) == 1:
            # One name shares everything with itself, so a number may be its affix only if the other side has the same.
            numbers = [re.findall(r"\d+", "_".join(affix)) for affix in affixes]
            if all(numbers) and numbers[0] != numbers[1]:
                continue
        keys = [{_strip(stem, affix) for stem in side} for side, affix in zip((a, b), affixes)]
        pairs = len(keys[0] & keys[1])
        score = pairs, -sum(len(part) for affix in affixes for part in affix)
        if pairs and (best is None or score > best[0]):
            best = score, affixes
    return best[1] if best else None


def _affix(names: Sequence[str], front: int, end: int) -> Affix:
    """Each end: 0 takes nothing, 1 all that the names share up to a number that stands alone, 2 all that they share."""
    head = _shared_head(names, front)
    rest = [name[len(head) :][::-1] for name in names]
    return head, _shared_head(rest, end)[::-1]


def _shared_head(names: Sequence[str], level: int) -> str:
    """The longest common beginning that cuts no run of digits or letters in two and leaves something of every name."""
    if level == 0:
        return ""
    shared = os.path.commonprefix(list(names))  # noqa: RUF071 - characters are what is meant
    if level == 1:
        number = re.search(r"(?<![^\W_])\d+(?![^\W_])", shared)
        shared = shared[: number.start()] if number else shared
    length = len(shared)
    while length and not all(_boundary(name, length) for name in names):
        length -= 1
    return shared[:length]


def _boundary(name: str, at: int) -> bool:
    if at >= len(name):
        return False
    kinds = ["digit" if c.isdecimal() else "letter" if c.isalpha() else "mark" for c in name[at - 1 : at + 1]]
    return kinds[0] != kinds[1] or kinds[0] == "mark"
