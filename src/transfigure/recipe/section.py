"""What every section of a recipe is: an immutable pydantic model, whose complaints are one sentence about one key.

The same model checks what comes from files, from flags and from Python. A section that names a registered thing (a generator, a kind of
data, a loss) holds that thing's options beside its own keys; they are held to the types and bounds that the catalog has of them.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from .. import registry
from ..errors import UserError, did_you_mean
from .values import NameOf, as_meant, beside, parse_value, shown, takes, takes_text, way_out

_EXACT = ConfigDict(strict=True, allow_inf_nan=False)
INSIDE = "inside"
"""The context of a section that is read as part of another: the outermost one makes the sentence, since it knows the whole key."""


def refusal(key: tuple[str | int, ...], message: str, about: Literal["key", "name", "together"] = "key") -> ValidationError:
    """A complaint, to be raised where a section is read.

    Args:
        key: below the section.
        message: what follows the dotted key in the sentence.
        about: the key; or the name that it holds, or several keys together, and then the message is the whole sentence.
    """
    error = PydanticCustomError(about, "{message}", {"message": message})
    return ValidationError.from_exception_data("recipe", [InitErrorDetails(type=error, loc=key, input=None)])


def first_error(error: ValidationError, where: str = "") -> tuple[tuple[str | int, ...], str]:
    """The first complaint: the key it is about (none if it is about several), and the sentence."""
    found = error.errors(include_url=False, include_input=False)[0]
    key = (*where.split("."), *found["loc"]) if where else found["loc"]
    sentence = f"{'.'.join(map(str, key))} {found['msg']}" if found["type"] == "key" else found["msg"]
    return () if found["type"] == "together" else key, sentence


class Section(BaseModel):
    """A group of keys.

    Raises:
        UserError: a key that is none (with the nearest one that is), or a value that it does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), **_EXACT)
    where: ClassVar[str] = ""
    """The section's own dotted key."""
    formerly: ClassVar[Mapping[str, str]] = {}
    """Old names of keys, which are still read: ``{old: new}``."""

    @model_validator(mode="wrap")
    @classmethod
    def _one_sentence(cls, given: Any, handler: Any, info: Any) -> Any:
        if isinstance(given, cls):
            return given
        try:
            section = handler(cls._read(given))
            section._check()
            return section
        except ValidationError as error:
            if info.context == INSIDE:
                raise
            raise UserError(first_error(error, cls.where)[1]) from None

    @classmethod
    def _read(cls, given: Any) -> dict[str, Any]:
        """A group of keys as it was given, empty where nothing is."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            key = next(iter(cls.model_fields))
            raise refusal((), f"cannot be {shown(given)}: it is a group of keys, such as {{{key}: ...}}")
        held = cls.renamed(given)
        cls._check_keys(held, cls.model_fields)
        return held

    @classmethod
    def renamed(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The same values under the keys' present names, with one line of notice for an old one.

        Raises:
            UserError: a value is given under both names.
        """
        found: dict[str, Any] = {}
        for key, value in given.items():
            name = cls.formerly.get(key, key)
            if name != key:
                if name in given:
                    raise UserError(f"{cls.where}.{key} is the old name of {cls.where}.{name}: give one of them")
                _notice(f"note: the recipe key {cls.where}.{key} is now called {name}; the old name is still read")
            found[name] = value
        return found

    def _check(self) -> None:
        """Refuse values that do not go together."""

    @classmethod
    def _check_keys(cls, given: Mapping[str, Any], known: typing.Iterable[str]) -> None:
        known = list(known)
        for key in given:
            if key not in known:
                where = "" if cls.where == "objective.terms" else cls.where  # a list: its keys are typed with the term's name between
                raise refusal((str(key),), f"is not a recipe key{did_you_mean(str(key), known, where)}")

    @classmethod
    def within(cls, given: Any) -> Self:
        """As the constructor, to be called where a section that holds this one is read.

        Raises:
            ValidationError: which the outer section makes a sentence of.
        """
        return cls.model_validate(given, context=INSIDE)

    def replaced(self, **changes: Any) -> Self:
        """A copy with some keys changed, checked as a whole."""
        return type(self).model_validate({**dict(self), **changes})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As :meth:`replaced`: pydantic's own would check nothing."""
        return self.replaced(**update) if update else super().model_copy(deep=deep)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every key present, the options among them."""
        return {key: list(value) if isinstance(value, tuple) else copy.copy(value) for key, value in self}


def _checked(annotation: Any, value: Any, validate: Callable[[Any], Any]) -> Any:
    """A value that its key takes.

    Raises:
        PydanticCustomError: in our words, one for a union of types too.
    """
    try:
        found = validate(as_meant(annotation, value))
    except (ValueError, OverflowError):
        message = f"cannot be {shown(value)}: it takes {takes(annotation)}{way_out(annotation, value)}"
        raise PydanticCustomError("key", "{message}", {"message": message}) from None
    for item in beside(annotation):
        if isinstance(item, NameOf) and found is not None and not (item.auto and found == "auto"):
            try:
                registry.entry(item.kind, found)
            except UserError as error:
                raise PydanticCustomError("name", "{message}", {"message": str(error)}) from None
    return found


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=_EXACT)


@cache
def _notice(line: str) -> None:
    """Said once."""
    from ..progress import say

    say(line)


def key_type(cls: type[Section], key: str) -> Any:
    """The type of a section's key, with what stands beside it."""
    annotation: Any = cls.model_fields[key].annotation
    for item in cls.model_fields[key].metadata:
        annotation = Annotated[annotation, item]
    return annotation


class Named(Section):
    """A group of keys that names a registered thing, and holds that thing's options beside its own keys."""

    model_config = ConfigDict(extra="allow")
    naming: ClassVar[str]
    """The key that names it; its type has a :class:`NameOf` beside it."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _one_value(cls, value: Any, handler: Any, info: Any) -> Any:
        return _checked(key_type(cls, info.field_name), value, handler)

    @property
    def options(self) -> dict[str, Any]:
        """The named thing's options; all of them, but only those that were given where the name is ``auto``."""
        return self.model_extra or {}

    @classmethod
    @cache
    def named(cls) -> NameOf:
        """What the naming key names."""
        return next(item for item in beside(key_type(cls, cls.naming)) if isinstance(item, NameOf))

    @classmethod
    def _read(cls, given: Any) -> dict[str, Any]:
        given = {cls.naming: given} if isinstance(given, str) else given
        if given is not None and not isinstance(given, Mapping):
            return super()._read(given)  # which refuses it
        held = cls.renamed(given or {})
        kind, name = cls.named(), held.setdefault(cls.naming, cls.named().default)
        if not isinstance(name, str):
            what = key_type(cls, cls.naming)
            raise refusal((cls.naming,), f"cannot be {shown(name)}: it takes {takes(what)}{way_out(what, name)}")
        try:
            options = options_of(kind, name)
        except UserError as error:
            raise refusal((cls.naming,), str(error), "name") from None
        if shared := sorted(options.keys() & cls.model_fields.keys()):
            raise UserError(f"{kind.kind} {name!r} has an option {shared[0]}, which is a key of every {cls.where}: give it another name")
        cls._check_keys(held, [*cls.model_fields, *options])
        own = {key: held[key] for key in cls.model_fields if key in held}
        return {**own, **typed_options(options, held, complete=name != "auto")}


def options_of(kind: NameOf, name: str) -> dict[str, registry.Parameter]:
    """The options that a group of keys may hold, given what it names: for ``auto`` those of everything that may come of it.

    What several of them take is told with the help of each.
    """
    if not (kind.auto and name == "auto"):
        return registry.entry(kind.kind, name).options
    takers: dict[str, list[tuple[str, registry.Parameter]]] = {}
    for other in registry.names(kind.kind):
        entry = registry.entry(kind.kind, other)
        if not entry.extra.get("drawn"):  # it reads no files, and is never found by looking at some
            for option, parameter in entry.options.items():
                takers.setdefault(option, []).append((other, parameter))
    return {option: _merged(option, parameters) for option, parameters in takers.items()}


def _merged(option: str, takers: list[tuple[str, registry.Parameter]]) -> registry.Parameter:
    helps: dict[str, list[str]] = {}
    for name, parameter in takers:
        helps.setdefault(parameter.help, []).append(name)
    types = [parameter.annotation for _, parameter in takers]
    defaults = [parameter.default for _, parameter in takers]
    return registry.Parameter(
        option,
        types[0] if all(one == types[0] for one in types) else typing.Union[tuple(types)],  # noqa: UP007
        defaults[0] if all(one == defaults[0] for one in defaults) else None,
        "; ".join(f"{', '.join(names)}: {text.removesuffix('.')}" for text, names in helps.items()),
    )


def typed_options(options: Mapping[str, registry.Parameter], given: Mapping[str, Any], complete: bool = True) -> dict[str, Any]:
    """Options as a registered thing takes them; those that are not given with their defaults, if it shall be ``complete``.

    Raises:
        ValidationError: for the first value that is not taken.
    """
    typed = {}
    for key, option in options.items():
        if key in given:
            try:
                typed[key] = _checked(option.annotation, given[key], _adapter(option.annotation).validate_python)
            except PydanticCustomError as error:
                raise ValidationError.from_exception_data("recipe", [InitErrorDetails(type=error, loc=(key,), input=given[key])]) from None
        elif complete:
            typed[key] = copy.copy(option.default)
    return typed


def read_options(where: str, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given for a registered thing, typed; texts are read as flags are.

    Raises:
        UserError: an unknown option (with the nearest known one), or a value that it does not take.
    """
    registry.check_options(kind, name, dict(given), where)
    options = registry.entry(kind, name).options
    read = {
        key: parse_value(value) if isinstance(value, str) and not takes_text(options[key].annotation) else value
        for key, value in given.items()
    }
    try:
        return typed_options(options, read, complete=False)
    except ValidationError as error:
        raise UserError(first_error(error, where)[1]) from None
