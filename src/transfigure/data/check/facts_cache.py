"""What has been seen of pairs is remembered, so that a data set is looked at once and not at every start.

A file beside the prepared pairs (see ``prepared.py``) that only grows: a line of JSON for each pair, with a digest. A pair is known by what
its files are known by, and by all that the facts depend on: a file that was edited is another. A line that is torn, flipped or of another
version is one that is not there. Pairs that cannot be read are not remembered: they may have been repaired.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..file_facts import NO_FACTS, FileFacts
from ..images import Alpha
from ..pairs import FilePicture, Record
from ..prepared import FACTS, alone_with, file_key
from ..value_range import NATURAL_RANGE, Range, Values
from .findings import PairFacts, PictureFacts, facts_by_header

T = TypeVar("T")
_VERSION = 3
"""Of what is said here of a pair; whoever changes what a fact means counts this up."""
_DIGEST_LETTERS = 16
"""Letters of a line's digest."""
_LARGEST = 1 << 30
_AT_ONCE = 64


class FactsCache:
    """What is remembered of the pairs of a data set.

    Args:
        folder: of :func:`.prepared.cache_folder`; None remembers nothing beyond this process.
        alpha: how the pictures are read.
        ranges: of sources and targets.
    """

    def __init__(self, folder: Path | None, alpha: Alpha, ranges: tuple[Range | None, Range | None]) -> None:
        self._file = None if folder is None else folder / FACTS
        self._how = _VERSION, alpha, ranges
        self._described: dict[object, str] = {}
        self._began = time.time()
        self._new: list[bytes] = []
        self._lines = self._read()

    def key(self, record: Record) -> str | None:
        """What a pair is known by; None where it cannot be remembered."""
        a, b = record.a, record.b
        if self._file is None or not (isinstance(a, FilePicture) and isinstance(b, FilePicture)):
            return None
        files = (*(a.files if a.half else (*a.files, *b.files)), *(record.mask.files if record.mask is not None else ()))
        sides = [(len(one.files), one.half, one.orientation, one.names, one.palette, one.pages, one.no_data, one.region) for one in (a, b)]
        kind = *sides, None if record.mask is None else (record.mask.pages, record.mask.region)
        if (how := self._described.get(kind)) is None:
            how = self._described[kind] = repr((kind, self._how))
        found = file_key(files, how, before=self._began)
        return None if found is None else found.hex()

    def key_of_all(self, keys: Sequence[str | None]) -> str | None:
        """What many pairs together are known by."""
        return None if self._file is None else hashlib.blake2b(repr(keys).encode(), digest_size=16).hexdigest()

    def get(self, key: str | None) -> PairFacts | None:
        """The facts of a pair, if they are remembered."""
        value = self._value(key)
        with contextlib.suppress(ValueError, TypeError, IndexError, KeyError):
            if isinstance(value, list) and len(value) in (2, 3):
                return PairFacts(_picture(value[0]), _picture(value[1]), is_empty=value[2:] == [True])
        return None

    def get_names(self, key: str | None) -> list[str] | None:
        """A list of names, if it is remembered."""
        value = self._value(key)
        return value["names"] if isinstance(value, dict) and isinstance(value.get("names"), list) else None

    def get_headers(self, key: str | None) -> list[PairFacts | None] | None:
        """What the headers of many pairs together say, if it is remembered."""
        value = self._value(key)
        with contextlib.suppress(ValueError, TypeError, IndexError, KeyError):
            if isinstance(value, dict):
                kinds = [facts_by_header([(shape, _TYPES[dtype]) for shape, dtype in kind]) for kind in value["kinds"]]
                return [None if at < 0 else kinds[at] for at in value["pairs"]]
        return None

    def put_headers(self, key: str | None, heads: Sequence[PairFacts | None]) -> None:
        """Keep what the headers of many pairs together say."""
        if key is None:
            return
        kinds: dict[PairFacts, int] = {}
        pairs = [-1 if one is None else kinds.setdefault(one, len(kinds)) for one in heads]
        plain = [[[one.shape, one.dtype.name] for one in facts.pictures or ()] for facts in kinds]
        self._keep(key, {"kinds": plain, "pairs": pairs})

    def put(self, key: str | None, facts: PairFacts) -> None:
        """Keep the facts of a pair whose pixels were read."""
        if key is not None and facts.pictures is not None and all(picture.values is not None for picture in facts.pictures):
            self._keep(key, [*map(_plain, facts.pictures), *([True] if facts.is_empty else [])])

    def put_names(self, key: str | None, names: Sequence[str]) -> None:
        """Keep a list of names."""
        if key is not None:
            self._keep(key, {"names": list(names)})

    def flush(self) -> None:
        """Write what is new to the disk. That it cannot be written ends no training: it is looked at again next time."""
        if not self._new or self._file is None:
            return
        lines, self._new = self._new, []
        with contextlib.suppress(OSError), alone_with(self._file) as descriptor:
            if descriptor is not None:
                size = os.fstat(descriptor).st_size
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                content = b"\n" * torn + b"".join(lines)
                if size + len(content) <= _LARGEST:
                    while content:
                        written = os.pwrite(descriptor, content, size)
                        content, size = content[written:], size + written

    def _keep(self, key: str, value: Any) -> None:
        content = json.dumps([key, value], separators=(",", ":")).encode()
        self._new.append(_digest(content) + content + b"\n")
        if len(self._new) >= _AT_ONCE:
            self.flush()

    def _value(self, key: str | None) -> Any:
        line = None if key is None or not self._lines else self._lines.get(key)
        return None if line is None else json.loads(line)[1]

    def _read(self) -> dict[str, bytes]:
        lines: dict[str, bytes] = {}
        if self._file is None:
            return lines
        with contextlib.suppress(OSError):
            descriptor = os.open(self._file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with open(descriptor, "rb") as stream:  # noqa: PTH123 - not through a link
                for line in itertools.islice(stream, 1 << 24):
                    content = line[_DIGEST_LETTERS:-1]
                    if content[:2] == b'["' and line[:_DIGEST_LETTERS] == _digest(content):
                        lines[content[2:34].decode("ascii", "replace")] = content
        return lines


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_LETTERS // 2).hexdigest().encode()


def _plain(picture: PictureFacts) -> list[Any]:
    """A picture's facts in JSON's own types."""
    assert picture.values is not None
    one, file = picture.values, picture.file
    of_file = [getattr(file, name) for name in _FILE]
    of_file[_FILE.index("palette")] = [[index, colour.hex()] for index, colour in file.palette]
    values = [one.count, one.low, one.high, one.data, one.data_low, one.data_high, one.below, one.above, list(one.levels)]
    return [*picture.shape, picture.dtype.name, picture.digest.hex(), values, *([] if file == NO_FACTS else [of_file])]


def _picture(plain: list[Any]) -> PictureFacts:
    height, width, channels, dtype, digest, values, *of_file = plain
    file = NO_FACTS
    if of_file:
        named = dict(zip(_FILE, of_file[0], strict=True))
        named["palette"] = tuple((index, bytes.fromhex(colour)) for index, colour in named["palette"])
        file = FileFacts(**{**named, "channel_names": tuple(map(str, named["channel_names"]))})
    shape = int(height), int(width), int(channels)
    return PictureFacts(_same(shape), np.dtype(_TYPES[dtype]), _same(file), Values(*(*values[:8], tuple(values[8]))), bytes.fromhex(digest))


_FILE = tuple(name for name in FileFacts.__dataclass_fields__ if name != "entries")
"""Whole palettes, a kilobyte each, are of use to the search for classes alone, which reads every file."""
_TYPES = {name: name for name in NATURAL_RANGE}
_known: dict[Any, Any] = {}


def _same(value: T) -> T:
    """One object for all equal ones: many pictures have one size, and files that say one thing of themselves."""
    return _known.setdefault(value, value) if len(_known) < 10_000 else value
