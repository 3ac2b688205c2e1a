"""What a key takes: a value from YAML read as the key's type means it, and the type said in words."""

from __future__ import annotations

import math
import numbers
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from .. import registry
from ..errors import did_you_mean
from ..stored import brief, load_yaml


@dataclass(frozen=True)
class NameOf:
    """Beside ``str`` in a key's type: the word names a registered thing.

    Attributes:
        kind: of the thing.
        default: what a group of keys names that names nothing.
        auto: whether ``auto`` is a name too: what it stands for is resolved when the data has been seen.
    """

    kind: str
    default: str = ""
    auto: bool = False

    def names(self) -> list[str]:
        """What may be named."""
        return [*(["auto"] if self.auto else []), *registry.names(self.kind)]


def parse_value(text: str) -> Any:
    """A flag's text as a YAML value; ``2e-4`` is a number too (YAML 1.1 would want ``2.0e-4``)."""
    if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text):
        return float(text)
    try:
        return load_yaml(text)
    except ValueError:
        return text


def as_meant(annotation: Any, value: Any) -> Any:
    """A value as its key's type means it: YAML 1.1 reads ``no`` as false and ``2e-4`` as a word, and has lists but no tuples.

    What the type does not take comes back as it is.

    Raises:
        ValueError: true or false where neither is meant; Python would take them for 1 and 0.
    """
    parts = alternatives(annotation)
    choices = [choice for part in parts if typing.get_origin(part) is Literal for choice in typing.get_args(part)]
    if Any in parts:
        return value
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str) and not takes_text(annotation):
        value = parse_value(value)
    if isinstance(value, bool):
        if (word := "yes" if value else "no") in choices:
            return word
        if bool not in parts:
            raise ValueError(value)
        return value
    if isinstance(value, numbers.Integral):
        value = int(value)
    elif isinstance(value, numbers.Real):
        value = float(value)
        whole = int in parts or any(isinstance(choice, int) for choice in choices)
        return int(value) if value.is_integer() and whole and float not in parts else value
    for part in parts:
        if typing.get_origin(part) in (list, tuple) and isinstance(value, list | tuple):
            inner = [item for item in typing.get_args(part) if item is not ...]
            kinds = inner if len(inner) == len(value) else inner[:1] * len(value)
            return typing.get_origin(part)(as_meant(kind, item) for kind, item in zip(kinds, value, strict=True))
    return value


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that a type is made of, ``int`` and ``None`` of ``int | None``, each without what stands beside it."""
    if typing.get_origin(annotation) is Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(part for one in typing.get_args(annotation) for part in alternatives(one))
    return (annotation,)


def takes_text(annotation: Any) -> bool:
    """Whether a text may be a value of this type as it is."""
    for part in alternatives(annotation):
        if part in (str, Any) or (typing.get_origin(part) is Literal and any(isinstance(item, str) for item in typing.get_args(part))):
            return True
    return False


def beside(annotation: Any) -> Iterator[Any]:
    """What stands beside a type or one of its alternatives: bounds, what is named."""
    if typing.get_origin(annotation) is Annotated:
        inner, *extra = typing.get_args(annotation)
        yield from beside(inner)
        yield from extra
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from beside(part)


def choices(annotation: Any) -> list[Any]:
    """The values of a type that has only these (null apart): those of a ``Literal``, or of each item of a list."""
    found: list[Any] = []
    for part in alternatives(annotation):
        if typing.get_origin(part) is Literal:
            found += typing.get_args(part)
        elif typing.get_origin(part) is list:
            found += choices(typing.get_args(part)[0])
    return found


def shown(value: Any) -> str:
    """A value as YAML writes it: ``null``, not ``None``."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        return brief(value)
    return {"None": "null", "True": "true", "False": "false", "inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))


def takes(annotation: Any) -> str:
    """A type in words: ``a whole number above 0 or null``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(takes(part) for part in sorted(typing.get_args(annotation), key=lambda part: part is type(None))))
    if typing.get_origin(annotation) is Annotated:
        inner, *extra = typing.get_args(annotation)
        for item in extra:
            if isinstance(item, NameOf):
                article = "an" if item.kind[0] in "aeiou" else "a"
                return f"the name of {article} {item.kind}"
        return takes(inner) + _within(extra)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is list:
        known = choices(annotation)
        return f"a list of any of {', '.join(map(str, known))}, such as [{known[0]}]" if known else "a list, such as [a, b]"
    if origin is tuple:
        bounds = {_within(list(beside(part))) for part in args}
        return "a list [" + ", ".join("number" for _ in args) + "]" + "".join(f", each{bound}" for bound in bounds if bound)
    words = {
        int: "a whole number",
        float: "a number",
        str: "a word",
        bool: "true or false",
        type(None): "null",
        None: "null",
    }
    return words.get(annotation, "a value" if annotation is Any else str(annotation))


def way_out(annotation: Any, value: Any) -> str:
    """What helps who wrote a value that is not taken: the nearest of the choices, where names are listed, or quotes."""
    known = [str(choice) for choice in choices(annotation)]
    words = [word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str) and word not in known]
    hint = did_you_mean(words[0], known) if words and known else ""
    if "did you mean" in hint:
        return hint
    named = next((item for item in beside(annotation) if isinstance(item, NameOf)), None)
    if named is not None:
        return f" (see: transfigure list {named.kind})"
    if isinstance(value, float) and not math.isfinite(value):
        return " that is finite"
    return " (in quotes if it looks like a number)" if str in alternatives(annotation) and not isinstance(value, str) else ""


def _within(extra: list[Any]) -> str:
    low = next((item for item in extra if isinstance(item, Gt | Ge)), None)
    high = next((item for item in extra if isinstance(item, Lt | Le)), None)
    least = None if low is None else _number(low.gt if isinstance(low, Gt) else low.ge)
    most = None if high is None else _number(high.lt if isinstance(high, Lt) else high.le)
    if isinstance(low, Gt) and isinstance(high, Lt):
        return f" above {least} and below {most}"
    lower = "" if low is None else f" above {least}" if isinstance(low, Gt) else f" from {least}"
    upper = "" if high is None else f" to below {most}" if isinstance(high, Lt) else f" to {most}"
    return lower + (upper or (" up" if isinstance(low, Ge) else ""))


def _number(value: Any) -> str:
    return f"2^{value.bit_length()} - 1" if isinstance(value, int) and value > 10**9 and not value & (value + 1) else f"{value:g}"
