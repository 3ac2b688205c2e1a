"""Names to things: ``@register("loss", "l1")`` in the file of a thing is all it takes to be known everywhere.

Two views of the same names:

- *Reading* (:func:`catalog`): flags, ``--help``, ``transfigure list`` and did-you-mean need names, parameters and docstrings, but
  must answer in a fraction of a second. So the catalog reads our source files' syntax trees, and imports nothing heavy.
- *Doing* (:func:`resolve`, :func:`build`): imports the one file that holds the thing, and calls it.

A user's own file takes part by importing it (``--plugins my_losses.py``): ``register`` then adds to the same catalog.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import UserError, did_you_mean

T = TypeVar("T", bound=Callable[..., Any])

REQUIRED = inspect.Parameter.empty
KINDS = ("dataset", "generator", "discriminator", "adversarial", "loss", "metric")
"""What can be registered. Recipes are files in ``recipes/`` and join ``transfigure list`` from there."""


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


_plugins: dict[tuple[str, str], Entry] = {}


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
        known = catalog().get((kind, name))
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
    return {**_scan(), **_plugins}


def names(kind: str) -> list[str]:
    """The registered names of one kind, sorted."""
    return sorted(name for entry_kind, name in catalog() if entry_kind == kind)


def entry(kind: str, name: str) -> Entry:
    """The catalog's entry for a name.

    Raises:
        UserError: no such name; the message suggests the nearest.
    """
    try:
        return catalog()[kind, name]
    except KeyError:
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
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise UserError(f"plugin {path} does not exist: give the path of a Python file that registers something")
    if file.suffix != ".py":
        raise UserError(f"plugin {path} is not a Python file: its name must end in .py")
    module_name = f"transfigure_plugin_{file.stem}_{zlib.crc32(bytes(file)):08x}"  # two folders may hold files of one name
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
        del sys.modules[module_name]
        _plugins.clear()
        _plugins.update(before)
        raise UserError(f"plugin {path} cannot be imported: {type(error).__name__}: {error}") from error


# ---- reading the source -------------------------------------------------------------------------------------------------


@cache
def _scan() -> dict[tuple[str, str], Entry]:
    root = Path(__file__).parent
    found: dict[tuple[str, str], Entry] = {}
    for file in sorted(root.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "\n@register(" not in text:
            continue
        module = ".".join(("transfigure", *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for item in _entries_in(node, module):
                    if (item.kind, item.name) in found:
                        raise ValueError(f"{item.kind} {item.name!r} is registered twice")
                    found[item.kind, item.name] = item
    return found


def _entries_in(node: ast.FunctionDef | ast.ClassDef, module: str) -> list[Entry]:
    entries = []
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "register":
            kind, name = (ast.literal_eval(argument) for argument in decorator.args)
            extra = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in decorator.keywords}
            doc = ast.get_docstring(node) or ""
            entries.append(Entry(kind, name, module, node.name, _parameters_in(node, doc), doc, extra))
    return entries


def _parameters_in(node: ast.FunctionDef | ast.ClassDef, doc: str) -> dict[str, Parameter]:
    function: ast.FunctionDef | None = node if isinstance(node, ast.FunctionDef) else None
    if isinstance(node, ast.ClassDef):
        inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        function = inits[0] if inits else None
    if function is None:
        return {}
    positional = function.args.posonlyargs + function.args.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults)) + list(function.args.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    helps = argument_help(doc)
    return {
        argument.arg: Parameter(
            argument.arg,
            _type_of(ast.unparse(argument.annotation) if argument.annotation else "Any"),
            ast.literal_eval(default) if default is not None else REQUIRED,
            helps.get(argument.arg, ""),
        )
        for argument, default in pairs
        if argument.arg != "self"
    }


def _type_of(annotation: Any) -> Any:
    """A recipe value's type from its annotation; anything that is not a plain value (a tensor, a batch) is ``Any``."""
    if not isinstance(annotation, str):
        return Any if annotation is REQUIRED else annotation
    try:
        return eval(annotation, {"__builtins__": builtins, "Literal": Literal, "Any": Any})
    except NameError:
        return Any


def _entry_of(kind: str, name: str, thing: Any, extra: dict[str, Any]) -> Entry:
    """A plugin's entry, from the thing itself: it is imported already, and its defaults may be any expression."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    helps = argument_help(doc)
    parameters = {
        item.name: Parameter(item.name, _type_of(item.annotation), item.default, helps.get(item.name, ""))
        for item in inspect.signature(thing).parameters.values()
        if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    }
    return Entry(kind, name, thing.__module__, thing.__qualname__, parameters, doc, extra)


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
