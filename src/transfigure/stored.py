"""What files say in JSON or YAML, read as plain values: no more than fits, no deeper than anybody writes, and of the types declared.

A short text can stand for any number of values (YAML's aliases), a file can be of any size, and a number of any number of digits. What is
beyond the bounds here is no recipe, log or result, and is refused before it takes memory or time.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .integrity import open_file

if TYPE_CHECKING:
    from pydantic import BaseModel

LARGEST_YAML = 1 << 19
"""Bytes of a recipe or a grid: half a second for each 100 kB is what reading YAML takes."""
LARGEST_JSON = 16 << 20
LONGEST_LINE = 1 << 20
"""Bytes of a line of a log or a manifest."""
WHOLE_LOG = 32 << 20
"""Bytes of a log that is read line by line: about 100,000 steps."""
VALUES, DEPTH = 50_000, 100
"""Of a tree read from YAML or from a checkpoint: the values in it, each as often as it is referred to, and how deep they lie."""

Model = TypeVar("Model", bound="BaseModel")


def load_yaml(text: str) -> Any:
    """Plain values from YAML; a key that is given twice is refused instead of silently lost.

    Raises:
        ValueError: it is no YAML, or more than the bounds; the message is one line.
    """
    import yaml

    if len(text) > LARGEST_YAML:
        raise ValueError(f"it holds {len(text):,} characters, where {LARGEST_YAML:,} are the most")
    try:
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, _inside_node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("its values lie too deep within one another") from error
    except (ValueError, TypeError, OverflowError, AttributeError) as error:  # a date, a number that there is not
        raise ValueError(_reason(error)) from error


def read_yaml(file: Path, errors: str = "strict") -> Any:
    """The same from a file, whose size is looked at first.

    Raises:
        ValueError: as :func:`load_yaml`.
        OSError: it cannot be read.
    """
    return load_yaml(_text(file, LARGEST_YAML, errors))


def load_json(text: str | bytes, largest: int = LARGEST_JSON) -> Any:
    """Plain values from JSON.

    Args:
        text: of a file.
        largest: bytes that it may have.

    Raises:
        ValueError: it is no JSON, too long, too deep, or holds a number of thousands of digits.
    """
    if len(text) > largest:
        raise ValueError(f"it holds {len(text):,} bytes, where {largest:,} are the most")
    try:
        value = json.loads(text)
        _check_depth(value)
        return value
    except RecursionError as error:
        raise ValueError("its values lie too deep within one another") from error
    except ValueError as error:
        raise ValueError(_reason(error)) from error


def read_json(file: Path, errors: str = "strict", largest: int = LARGEST_JSON) -> Any:
    """The same from a file, whose size is looked at first.

    Raises:
        ValueError: as :func:`load_json`.
        OSError: it cannot be read.
    """
    return load_json(_text(file, largest, errors), largest)


def read_lines(file: Path) -> Iterator[bytes | None]:
    """The lines of a file one by one, without their ends; None for one that is longer than any that is meant.

    Raises:
        OSError: it cannot be read.
    """
    with open_file(file) as stream:
        while line := stream.readline(LONGEST_LINE):
            if len(line) < LONGEST_LINE or line.endswith(b"\n"):
                yield line.rstrip(b"\r\n")
                continue
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield None


def read_log(file: Path) -> Iterator[dict[str, Any] | None]:
    """The objects of a run's ``log.jsonl``, one by one; None for a line that holds none.

    Of a log longer than :data:`WHOLE_LOG` only one step in :func:`thinned` is read, and everything that is no step: the curves stay the
    curves.

    Raises:
        OSError: it cannot be read.
    """
    every = thinned(file)
    steps = 0
    for line in read_lines(file):
        if line is not None and every > 1 and line.startswith(b'{"kind":"step"'):
            steps += 1
            if steps % every:
                continue
        if line is None or line.strip():
            try:
                value = json.loads(line.decode("utf-8", "replace")) if line is not None else None
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None


def thinned(file: Path) -> int:
    """Of how many steps of a log :func:`read_log` gives one."""
    return -(-file.stat().st_size // WHOLE_LOG) or 1


def check_tree(value: object) -> None:
    """See that a tree of plain values is none that grows without end when it is walked: what it holds may be held many times.

    Raises:
        ValueError: more values than the bounds, or deeper, or a tree inside itself.
    """
    try:
        _count(value, _inside_value)
    except RecursionError as error:
        raise ValueError("its values lie too deep within one another") from error


def read_as(model: type[Model], value: object) -> Model:
    """A value as it was declared.

    Args:
        model: a pydantic model, strict.
        value: a mapping of its fields.

    Raises:
        ValueError: a field is missing, or not what it should be; the message is half a sentence, such as ``it has no position.epoch``.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
    where = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        raise ValueError(f"it has no {where}")
    given = brief(found["input"])
    raise ValueError(f"its {where} is {given}: {found['msg'].lower()}" if where else f"it is {given}")


def brief(value: object) -> str:
    """A value for a message, however long it is."""
    kind = type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"a whole number of {value.bit_length():,} bits"
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value if not isinstance(value, str) else value[:80])
        return text if not isinstance(value, str) or len(value) <= 80 else f"{text[:-1]}...'"
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return f"{article} {kind}"


# ---- bounds ------------------------------------------------------------------------------------------------------------------


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "it holds a whole number of thousands of digits" if "integer string conversion" in text else text[:300]


def _text(file: Path, largest: int, errors: str) -> str:
    with open_file(file) as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it holds {file.stat().st_size:,} bytes, where {largest:,} are the most")
    return data.decode("utf-8", errors)


def _inside_value(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple | set | frozenset) else ()


def _inside_node(node: Any) -> Sequence[Any]:
    held = node.value
    if isinstance(held, str):
        return ()
    return [part for one in held for part in one] if held and isinstance(held[0], tuple) else held


def _count(root: Any, inside: Any) -> None:
    """Refuse a tree of too many values. Each is visited once, and counted as often as a walk would come by."""
    counted: dict[int, int] = {}
    open_: set[int] = set()

    def count(value: Any, depth: int) -> int:
        at = id(value)
        if at in counted:
            return counted[at]
        parts = inside(value)
        if not parts:
            return 1
        if at in open_:
            raise ValueError("it holds a value inside itself")
        if depth > DEPTH:
            raise ValueError("its values lie too deep within one another")
        open_.add(at)
        total = 1
        for part in parts:
            total += count(part, depth + 1)
            if total > VALUES:
                raise ValueError(f"it stands for more than {VALUES:,} values")
        open_.discard(at)
        counted[at] = total
        return total

    count(root, 0)


def _check_depth(value: object) -> None:
    """Refuse what lies too deep to be walked or shown by a function that calls itself."""
    level, depth = [value], 0
    while level := [part for one in level if isinstance(one, dict | list) for part in (one.values() if isinstance(one, dict) else one)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError("its values lie too deep within one another")


def _loader() -> Any:
    import yaml

    global _Loader
    if _Loader is None:

        class BoundedLoader(yaml.SafeLoader):
            def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
                seen = set()
                for key, _ in node.value:
                    if isinstance(key.value, str):
                        if key.value in seen:
                            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is given twice", node.start_mark)
                        seen.add(key.value)
                return super().construct_mapping(node, deep)

        _Loader = BoundedLoader
    return _Loader


_Loader: Any = None
