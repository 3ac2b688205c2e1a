"""Names to things: ``@register("loss", "l1")`` in the file of a thing is all it takes to be known everywhere.

Two views of the same names:

- *Reading* (:func:`catalog`): flags, ``--help``, ``transfigure list`` and did-you-mean need names, parameters and docstrings, but
  must answer in a fraction of a second. So the catalog reads our source files' syntax trees, and imports nothing heavy. Defaults and
  types may use constants of the file, or of another file of the package that it imports them from. What cannot be read so is left out
  of the catalog and told with its file and line (:func:`problems`).
- *Doing* (:func:`resolve`, :func:`build`): imports the one file that holds the thing, and calls it.

A user's own file takes part by importing it (``--plugins my_losses.py``): ``register`` then adds to the same catalog.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import sys
import textwrap
import types
import typing
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError, did_you_mean
from .progress import say

T = TypeVar("T", bound=Callable[..., Any])

REQUIRED = inspect.Parameter.empty
KINDS = ("dataset", "generator", "discriminator", "adversarial", "loss", "step", "metric", "engine", "preparation")
"""What can be registered, in the order of ``transfigure list``. Recipes are files in ``recipes/`` and join it from there."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a registered thing: a key of its recipe section and a command-line flag."""

    name: str
    annotation: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Entry:
    """What the catalog knows of one registered name without importing it."""

    kind: str
    name: str
    module: str
    qualname: str
    parameters: dict[str, Parameter]
    doc: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Parameter]:
        """The parameters a recipe may set: those with a default. The others (channels, a batch) are the caller's to give."""
        return {name: parameter for name, parameter in self.parameters.items() if parameter.default is not REQUIRED}

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return " ".join(self.doc.strip().split("\n\n")[0].split())


def is_own(entry: Entry) -> bool:
    """Whether a thing is this package's, and not a plugin's."""
    return entry.module.startswith(f"{__package__}.")


_plugins: dict[tuple[str, str], Entry] = {}
_plugin_files: dict[str, str] = {}


def register(kind: str, name: str, **extra: Any) -> Callable[[T], T]:
    """Decorator: make a function or class known as ``name`` among its ``kind``.

    Args:
        kind: one of :data:`KINDS`.
        name: the word used in recipes, flags and tables.
        **extra: facts a lister may want without importing the thing (literals only), e.g. ``needs="weights"``.

    Raises:
        ValueError: unknown kind, or the name is already taken by something else.
    """
    if kind not in KINDS:
        raise ValueError(f"cannot register a {kind!r}: the kinds are {', '.join(KINDS)}")

    def decorate(thing: T) -> T:
        module = thing.__module__
        known = _entries(kind).get((kind, name))
        if known is not None and (known.module, known.qualname) != (module, thing.__qualname__):
            raise ValueError(f"{kind} {name!r} is already registered by {known.module}.{known.qualname}")
        if "<locals>" in thing.__qualname__:
            raise ValueError(f"{kind} {name!r} is defined inside a function: register functions and classes of a file's top level")
        if known is None:
            _plugins[kind, name] = _entry_of(kind, name, thing, extra)
        return thing

    return decorate


def catalog() -> dict[tuple[str, str], Entry]:
    """Every registered ``(kind, name)``, ours (read from source) and the plugins' (imported)."""
    for problem in problems().values():
        _say_once(f"note: {problem}")
    return {**_own(None).entries, **_plugins}


def _entries(kind: str) -> dict[tuple[str, str], Entry]:
    """Those of one kind; only the files that register such things are read."""
    own = _own(kind)
    for problem in own.problems.values():
        _say_once(f"note: {problem}")
    return {**own.entries, **{key: entry for key, entry in _plugins.items() if key[0] == kind}}


@cache
def _say_once(sentence: str) -> None:
    say(sentence)


def problems() -> dict[tuple[str, str], str]:
    """What is registered in the package and cannot be read: one sentence each, with its file and line, for who wrote it."""
    return {key: sentence for key, sentence in _own(None).problems.items() if key not in _plugins}


def names(kind: str) -> list[str]:
    """The registered names of one kind, sorted."""
    return sorted(name for _, name in _entries(kind))


def entry(kind: str, name: str) -> Entry:
    """The catalog's entry for a name.

    Raises:
        UserError: no such name; the message suggests the nearest.
    """
    try:
        return _entries(kind)[kind, name]
    except KeyError:
        if (kind, name) in problems():
            raise UserError(problems()[kind, name]) from None
        plugin = "; if a plugin registers it, give its file with --plugins"
        raise UserError(f"there is no {kind} named {name!r}{did_you_mean(name, names(kind))}{plugin}") from None


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """The registered function or class itself; imports the file that holds it."""
    found = entry(kind, name)
    thing: Any = importlib.import_module(found.module)
    for part in found.qualname.split("."):
        thing = getattr(thing, part)
    return thing  # type: ignore[no-any-return]


def check_options(kind: str, name: str, given: dict[str, Any], where: str = "") -> None:
    """Refuse recipe keys that ``name`` does not take, with the nearest one that it does.

    Raises:
        UserError: on the first unknown key.
    """
    known = entry(kind, name).options
    for key in given:
        if key not in known:
            label = f"{where}.{key}" if where else key
            raise UserError(f"{label} is not a parameter of {kind} {name!r}{did_you_mean(key, known)}")


def build(kind: str, name: str, /, *args: Any, **options: Any) -> Any:
    """Construct the registered class (or call the registered function) with what the caller gives and the recipe's options.

    Raises:
        UserError: unknown name or option.
    """
    check_options(kind, name, {key: value for key, value in options.items() if key not in entry(kind, name).parameters})
    return resolve(kind, name)(*args, **options)


def load_plugin(path: str) -> None:
    """Import a user's Python file so that what it registers is known.

    Raises:
        UserError: the file is missing or fails to import.
    """
    file = Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111 - Path.expanduser raises for ~nobody
    if not file.is_file():
        raise UserError(f"plugin {path} does not exist: give the path of a Python file that registers something")
    if file.suffix != ".py":
        raise UserError(f"plugin {path} is not a Python file: its name must end in .py")
    module_name = f"transfigure_plugin_{file.stem}_{zlib.crc32(bytes(file)):08x}"  # two folders may hold files of one name
    _plugin_files[module_name] = str(file)
    if module_name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    before = dict(_plugins)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name], _plugin_files[module_name]
        _plugins.clear()
        _plugins.update(before)
        raise UserError(f"plugin {path} cannot be imported: {type(error).__name__}: {error}") from error


def plugin_files() -> list[str]:
    """The files that were loaded as plugins, as their absolute paths: what a command needs that goes on from here."""
    return list(_plugin_files.values())


def plugin_flags() -> str:
    """``--plugins FILE`` for each of them, for a command to be copied; each begins with a space."""
    return "".join(f" --plugins {shlex.quote(file)}" for file in plugin_files())


# ---- reading the source -------------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """What the syntax tree does not tell: where it stands, and what would be readable."""

    def __init__(self, source: Source, line: int, message: str) -> None:
        super().__init__(f"{source.file.relative_to(source.root.parent)}:{line}: {message}")


@dataclass(frozen=True)
class Contents:
    """What a package registers.

    Attributes:
        entries: what could be read.
        problems: what could not: one sentence each, under kind and name, or under the file and the line where not even those are known.
    """

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    problems: dict[tuple[str, str], str] = field(default_factory=dict)


_PACKAGE = Path(__file__).parent
_sources: dict[str, Source] = {}
"""The files of this package that were read so far, by module."""


@cache
def _own(kind: str | None) -> Contents:
    return read_package(_PACKAGE, kind, _own_files(), _sources)


@cache
def _own_files() -> dict[Path, str]:
    return _registering(_PACKAGE)


def read_package(
    root: Path, kind: str | None = None, files: Mapping[Path, str] | None = None, sources: dict[str, Source] | None = None
) -> Contents:
    """Everything that the files of a package register, read without importing them.

    Args:
        root: the package's folder; its name is the package's.
        kind: read only the files that register things of this kind, and tell of those alone.
        files: those that register something, with their texts, where they are known.
        sources: the files read so far, by module, where some are.
    """
    found = Contents()
    sources = {} if sources is None else sources
    for file, text in (_registering(root) if files is None else files).items():
        if kind is not None and not re.search(rf"""^@register\(\s*["']{re.escape(kind)}["']""", text, re.MULTILINE):
            continue
        module = ".".join((root.name, *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        try:
            source = _source(module, root, sources)
        except SyntaxError as error:
            found.problems[str(file), str(error.lineno)] = f"{file.relative_to(root.parent)}:{error.lineno}: {error.msg}"
            continue
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for call in _registrations(node):
                    if kind is None or (call.args and getattr(call.args[0], "value", None) == kind):
                        _read(source, node, call, found)
    return found


def _registering(root: Path) -> dict[Path, str]:
    """The files of a package that register something, and their texts."""
    texts = {file: file.read_text(encoding="utf-8") for file in sorted(root.rglob("*.py"))}
    return {file: text for file, text in texts.items() if "\n@register(" in text}


def _registrations(node: ast.FunctionDef | ast.ClassDef) -> Iterator[ast.Call]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "register":
            yield decorator


def _read(source: Source, node: ast.FunctionDef | ast.ClassDef, call: ast.Call, found: Contents) -> None:
    key = (str(source.file), str(call.lineno))
    try:
        arguments = [source.value(argument, "what it is registered as") for argument in call.args]
        if len(arguments) != 2 or not all(isinstance(argument, str) for argument in arguments) or arguments[0] not in KINDS:
            kinds = ", ".join(KINDS)
            raise Unreadable(source, call.lineno, f"register takes a kind ({kinds}) and a name, both in quotes")
        key = (arguments[0], arguments[1])
        if key in found.entries:
            other = found.entries[key]
            raise Unreadable(source, call.lineno, f"{key[0]} {key[1]!r} is already registered by {other.module}.{other.qualname}")
        extra = {keyword.arg or "": source.value(keyword.value, f"{keyword.arg} of {key[0]} {key[1]!r}") for keyword in call.keywords}
        doc = ast.get_docstring(node) or ""
        found.entries[key] = Entry(*key, source.module, node.name, _parameters(source, node), doc, extra)
    except Unreadable as problem:
        found.problems[key] = str(problem)


class Source:
    """A file of the package as its syntax tree. Names are looked up in it, and where it imports them from, without running it.

    Args:
        module: dotted name.
        root: the package's folder.
        known: the files read so far, by module; shared.

    Raises:
        KeyError: the package has no such module.
        SyntaxError: it is no Python.
    """

    READY: typing.ClassVar = frozenset({"typing", "collections.abc", "math", "sys", "annotated_types"})
    """Modules from elsewhere whose names may be used in defaults and types; they are quickly imported."""

    def __init__(self, module: str, root: Path, known: dict[str, Source]) -> None:
        parts = module.split(".")[1:]
        self.file = root.joinpath(*parts, "__init__.py") if root.joinpath(*parts).is_dir() else root.joinpath(*parts).with_suffix(".py")
        if not self.file.is_file():
            raise KeyError(module)
        self.module, self.root, self.known = module, root, known
        self.tree = ast.parse(self.file.read_text(encoding="utf-8"), str(self.file))
        self.assigned: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        package = module if self.file.name == "__init__.py" else module.rpartition(".")[0]
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                self.assigned.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.assigned[node.target.id] = node.value
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.Import):
                self.imported.update({(item.asname or item.name): (item.name, "") for item in node.names})
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
                origin = ".".join(part for part in (base, node.module) if part)
                self.imported.update({(item.asname or item.name): (origin, item.name) for item in node.names})

    def __getitem__(self, name: str) -> Any:
        """The value of a name of this file, for ``eval``: a constant, something from a module of :attr:`READY`, or another file.

        Raises:
            KeyError: no such name, or it is no constant.
        """
        if name in self.assigned:
            return self.evaluate(self.assigned[name])
        origin, attribute = self.imported[name]
        if origin in self.READY:
            module = importlib.import_module(origin)
            return getattr(module, attribute) if attribute else module
        return self._import(origin, attribute)

    def __getattr__(self, name: str) -> Any:  # pixel.WINDOW in a default, where the file says  from . import pixel
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def evaluate(self, expression: ast.expr) -> Any:
        """What an expression of constants comes to; anything may be raised."""
        return eval(compile(ast.Expression(expression), str(self.file), "eval"), {"__builtins__": builtins}, self)  # type: ignore[arg-type]

    def value(self, expression: ast.expr, what: str) -> Any:
        """The same.

        Raises:
            Unreadable: it is made of more than constants.
        """
        try:
            return ast.literal_eval(expression)
        except ValueError:
            pass
        try:
            found = self.evaluate(expression)
        except Exception:
            found = object()
        if not _is_data(found):
            advice = "write a literal, or constants of this file or of one of the package that it imports them from"
            raise Unreadable(self, expression.lineno, f"{what} cannot be read, {ast.unparse(expression)}: {advice}")
        return found

    def class_of(self, expression: ast.expr) -> tuple[Source, ast.ClassDef] | None:
        """The class that an expression names, and its file; None for one from outside the package."""
        name = ast.unparse(expression).split("[")[0]
        if name in self.classes:
            return self, self.classes[name]
        first, _, rest = name.partition(".")
        try:
            origin, attribute = self.imported[first]
            place = f"{origin}.{attribute}".rstrip(".") if rest else origin  # rest: a class of a module
            source = _source(place, self.root, self.known)
        except (KeyError, SyntaxError):
            return None
        return source.class_of(ast.Name(rest or attribute))

    def _import(self, origin: str, attribute: str) -> Any:
        if origin.split(".", maxsplit=1)[0] != self.root.name:
            raise KeyError(origin)
        if attribute and f"{origin}.{attribute}" != self.module:
            try:
                return _source(f"{origin}.{attribute}", self.root, self.known)  # a module of a package
            except KeyError:
                pass
        source = _source(origin, self.root, self.known)
        return source[attribute] if attribute else source


def _source(module: str, root: Path, known: dict[str, Source]) -> Source:
    if module.split(".", maxsplit=1)[0] != root.name:
        raise KeyError(module)
    if module not in known:
        known[module] = Source(module, root, known)
    return known[module]


def _is_data(value: Any) -> bool:
    if isinstance(value, list | tuple | dict):
        return all(map(_is_data, [*value, *value.values()] if isinstance(value, dict) else value))
    return value is None or isinstance(value, bool | int | float | str)


def _parameters(source: Source, node: ast.FunctionDef | ast.ClassDef) -> dict[str, Parameter]:
    """The parameters of a function, or of a class's ``__init__``, which may be that of a base class of the package."""
    if isinstance(node, ast.FunctionDef):
        return _parameters_of(source, node, argument_help(ast.get_docstring(node) or ""))
    inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    inherited: dict[str, Parameter] = {}
    if not inits or inits[0].args.kwarg is not None:  # there is none, or it hands on **options
        bases = (source.class_of(base) for base in node.bases)
        inherited = next((found for base in bases if base is not None and (found := _parameters(*base))), {})
    helps = argument_help(ast.get_docstring(node) or "")
    own = _parameters_of(source, inits[0], helps) if inits else {}
    set_here = _set_in(inits[0]) if inits and inherited else set()
    return {
        **own,
        **{
            name: Parameter(name, item.annotation, item.default, helps.get(name, item.help))
            for name, item in inherited.items()
            if name not in own and name not in set_here
        },
    }


def _parameters_of(source: Source, function: ast.FunctionDef, helps: dict[str, str]) -> dict[str, Parameter]:
    positional = function.args.posonlyargs + function.args.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults)) + list(function.args.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    return {
        argument.arg: Parameter(
            argument.arg,
            _type_in(source, argument.annotation),
            REQUIRED if default is None else source.value(default, f"the default of {argument.arg}"),
            helps.get(argument.arg, ""),
        )
        for argument, default in pairs
        if argument.arg != "self"
    }


def _set_in(init: ast.FunctionDef) -> set[str]:
    """The keywords that an ``__init__`` gives its base class itself: ``super().__init__(*channels, skips=False, **options)``."""
    calls = [node for node in ast.walk(init) if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__"]
    return {keyword.arg for call in calls for keyword in call.keywords if keyword.arg is not None}


def _type_in(source: Source, annotation: ast.expr | None) -> Any:
    if annotation is None:
        return Any
    try:
        return plain_type(source.evaluate(annotation))
    except Exception:  # a name from a module that is not imported here, such as a tensor's
        return Any


def plain_type(annotation: Any) -> Any:
    """A recipe value's type; anything that YAML cannot write (a tensor, a batch) is ``Any``."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return annotation if plain_type(typing.get_args(annotation)[0]) is not Any else Any
    if origin in (list, tuple, dict, typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not ...]
        return annotation if all(plain_type(part) is not Any for part in parts) else Any
    return annotation if origin is typing.Literal or annotation in (bool, int, float, str, None, type(None), list, dict) else Any


# ---- what is imported already ---------------------------------------------------------------------------------------------


def _entry_of(kind: str, name: str, thing: Any, extra: dict[str, Any]) -> Entry:
    """A plugin's entry, from the thing itself: it is imported already, and its defaults may be any expression."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    return Entry(kind, name, thing.__module__, thing.__qualname__, _parameters_at(thing), doc, extra)


def _parameters_at(thing: Any) -> dict[str, Parameter]:
    signature = inspect.signature(thing)
    function = thing.__init__ if inspect.isclass(thing) else thing
    helps = argument_help(thing.__doc__ or "")
    found = {
        item.name: Parameter(item.name, _type_at(function, item.annotation), item.default, helps.get(item.name, ""))
        for item in signature.parameters.values()
        if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    }
    if inspect.isclass(thing) and any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values()):
        base = next((base for base in thing.__mro__[1:] if "__init__" in vars(base)), object)
        set_here = _set_in_class(thing)
        for name, item in (_parameters_at(base) if base is not object else {}).items():
            if name not in found and name not in set_here:
                found[name] = Parameter(name, item.annotation, item.default, helps.get(name, item.help))
    return found


def _set_in_class(thing: Any) -> set[str]:
    try:
        (init,) = ast.parse(textwrap.dedent(inspect.getsource(thing.__init__))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # typed in: there is no text
        return set()
    return _set_in(init) if isinstance(init, ast.FunctionDef) else set()


def _type_at(function: Any, annotation: Any) -> Any:
    if annotation is REQUIRED:
        return Any
    if not isinstance(annotation, str):
        return plain_type(annotation)
    try:
        return plain_type(eval(annotation, {"Literal": typing.Literal, "Any": Any, **getattr(function, "__globals__", {})}))
    except Exception:  # a name that is imported for type checkers alone
        return Any


def argument_help(doc: str) -> dict[str, str]:
    """``{argument: help}`` from the ``Args:`` part of a Google-style docstring."""
    helps: dict[str, str] = {}
    current = ""
    inside = False
    for line in inspect.cleandoc(doc).splitlines():
        if line.strip() in ("Args:", "Attributes:"):
            inside = True
        elif inside and line.strip() and not line.startswith(" "):
            break
        elif inside and line.startswith("    ") and not line.startswith("     ") and ":" in line:
            current, _, text = line.strip().partition(":")
            current = current.split(" ")[0]
            helps[current] = text.strip()
        elif inside and current and line.strip():
            helps[current] += " " + line.strip()
    return helps
