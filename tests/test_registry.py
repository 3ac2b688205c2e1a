"""Names to things: what is read from source is what is there, and a user's file takes part in the same way."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import pytest

from transfigure import registry
from transfigure.errors import UserError, did_you_mean
from transfigure.recipe import Recipe

ENTRIES = sorted(registry.catalog())


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], registry.Entry]:
    """An empty place for what a test registers."""
    place: dict[tuple[str, str], registry.Entry] = {}
    monkeypatch.setattr(registry, "_plugins", place)
    return place


def _file(folder: Path, text: str, name: str = "mine.py") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return str(folder / name)


# ---- reading agrees with doing -----------------------------------------------------------------------------------------


def test_every_kind_has_something() -> None:
    assert {kind for kind, _ in ENTRIES} == set(registry.KINDS)


def test_everything_in_the_package_can_be_read() -> None:
    assert registry.problems() == {}


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_catalog_says_what_the_thing_is(kind: str, name: str) -> None:
    entry, thing = registry.entry(kind, name), registry.resolve(kind, name)
    assert (thing.__module__, thing.__qualname__) == (entry.module, entry.qualname)
    real = inspect.signature(thing).parameters
    assert not [item for item in real.values() if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
    assert list(entry.parameters) == list(real)
    assert {key: item.default for key, item in entry.parameters.items()} == {key: item.default for key, item in real.items()}
    hints = typing.get_type_hints(thing.__init__ if inspect.isclass(thing) else thing, include_extras=True)
    for key, item in entry.options.items():
        assert item.annotation == hints[key], f"{key}: the catalog reads {item.annotation}, Python {hints[key]}"


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_name_can_be_read_about(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert entry.summary and entry.summary == entry.doc.splitlines()[0], "the docstring begins with one line that ends"
    assert entry.summary.endswith("."), entry.summary
    for key, item in entry.options.items():
        assert item.annotation is not typing.Any, f"{key} has no plain type: its flag could not be checked"
        assert item.help, f"{key} is not under Args:"
        assert key.isidentifier() and "." not in key


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_what_is_documented_exists(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert set(registry.argument_help(entry.doc.partition("Attributes:")[0])) <= set(entry.parameters)


@pytest.mark.parametrize("kind", registry.KINDS)
def test_one_kind_is_read_as_the_whole_is(kind: str, tmp_path: Path) -> None:
    root = Path(registry.__file__).parent
    whole = {key: entry for key, entry in registry.read_package(root).entries.items() if key[0] == kind}
    assert registry.read_package(root, kind) == registry.Contents(whole)
    assert registry.read_package(_package(tmp_path), kind).entries.keys() == {
        key for key in registry.read_package(_package(tmp_path)).entries if key[0] == kind
    }


def test_names_are_sorted_and_complete() -> None:
    assert registry.names("loss") == sorted(name for kind, name in ENTRIES if kind == "loss")
    assert registry.names("nothing") == []


@pytest.mark.parametrize(("given", "nearest"), [("resnett", "resnet"), ("une", "unet"), ("encoder-decoder", "encoder_decoder")])
def test_an_unknown_name_suggests_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"there is no generator named '{given}' \\(did you mean '{nearest}'\\?\\)"):
        registry.resolve("generator", given)


def test_a_strange_name_gets_the_whole_list() -> None:
    known = registry.names("generator")
    assert {"encoder_decoder", "resnet", "unet"} <= {*known}
    with pytest.raises(UserError, match=f"known: {', '.join(known)}"):
        registry.entry("generator", "zzz")
    assert did_you_mean("x", []) == ""
    many = [f"{number:02}" for number in range(30)]
    assert did_you_mean("x", many) == f" (known: {', '.join(many[:25])} and 5 more)"


def test_build_refuses_what_the_thing_does_not_take() -> None:
    with pytest.raises(UserError, match=r"widht is not a parameter of generator 'unet' \(did you mean 'width'\?\)"):
        registry.build("generator", "unet", 3, 3, widht=3)
    with pytest.raises(UserError, match=r"generator\.widht is not"):
        registry.check_options("generator", "unet", {"width": 1, "widht": 3}, where="generator")


def test_argument_help_reads_continued_lines_and_stops_at_the_next_heading() -> None:
    doc = """Does it.

    Args:
        first: one line
            and its rest: with a colon.
        second (int): another.

    Returns:
        third: not an argument.
    """
    assert registry.argument_help(doc) == {"first": "one line and its rest: with a colon.", "second": "another."}


# ---- what a file of the package may say -------------------------------------------------------------------------------

SIZES = """
import math
from typing import Annotated, Literal

SIDE = 7
AREA = SIDE * SIDE
Norm = Literal["batch", "none"]
Width = Annotated[int, "from 1"]
"""
NETWORKS = '''
from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from .. import sizes
from ..registry import register
from ..sizes import SIDE as WINDOW, Norm, Width

SHARES: tuple[float, ...] = (0.25, 1 - 0.25)
Way = Literal["in", "out"]


class Base(nn.Module):
    """What both are made of.

    Args:
        width: channels.
        skips: whether there are any.
    """

    def __init__(self, channels: int, width: Width = sizes.AREA, *, skips: bool = True, gain: float = math.sqrt(2)) -> None:
        super().__init__()


@register("generator", "plain", shares=SHARES)
class Plain(Base):
    """It has no __init__ of its own."""


@register("generator", "narrow")
class Narrow(Plain):
    """It hands its options on.

    Args:
        window: its own.
        width: fewer channels.
    """

    def __init__(self, *channels: int, window: int = WINDOW, way: Way = "in", norm: Norm | None = None, **options: float) -> None:
        super().__init__(*channels, skips=False, **options)


@register("loss", "weighed")
def weighed(batch: torch.Tensor, window: int = WINDOW + 2, shares: tuple[float, float] = SHARES, side: int = -sizes.SIDE) -> torch.Tensor:
    """A function.

    Args:
        window: a side.
    """
'''


def _package(folder: Path, **files: str) -> Path:
    root = folder / "made_up"
    for name, text in {"sizes": SIZES, "nets__networks": NETWORKS, **files}.items():
        (root / name.replace("__", "/")).with_suffix(".py").parent.mkdir(parents=True, exist_ok=True)
        (root / name.replace("__", "/")).with_suffix(".py").write_text(text)
    return root


def test_defaults_and_types_may_be_constants(tmp_path: Path) -> None:
    found = registry.read_package(_package(tmp_path))
    assert found.problems == {}
    weighed = found.entries["loss", "weighed"]
    assert {key: item.default for key, item in weighed.options.items()} == {"window": 9, "shares": (0.25, 0.75), "side": -7}
    assert weighed.options["shares"].annotation == tuple[float, float]
    assert weighed.parameters["batch"].annotation is typing.Any
    assert found.entries["generator", "plain"].extra == {"shares": (0.25, 0.75)}
    narrow = found.entries["generator", "narrow"].options
    assert narrow["window"].default == 7
    assert narrow["way"].annotation == typing.Literal["in", "out"]
    assert narrow["norm"].annotation == (typing.Literal["batch", "none"] | None)


def test_a_thin_subclass_has_the_options_of_its_base(tmp_path: Path) -> None:
    found = registry.read_package(_package(tmp_path)).entries
    plain, narrow = found["generator", "plain"], found["generator", "narrow"]
    assert {key: item.default for key, item in plain.options.items()} == {"width": 49, "skips": True, "gain": 2**0.5}
    assert list(plain.parameters) == ["channels", "width", "skips", "gain"]
    assert plain.options["width"].annotation == typing.Annotated[int, "from 1"]
    assert plain.summary == "It has no __init__ of its own." and plain.options["skips"].help == "whether there are any."
    assert list(narrow.options) == ["window", "way", "norm", "width", "gain"], "what it sets itself cannot be set"
    assert [narrow.options[key].help for key in ("window", "width", "gain")] == ["its own.", "fewer channels.", ""]


def test_a_base_class_may_stand_in_another_file(tmp_path: Path) -> None:
    other = """
from made_up.nets import networks
from .nets.networks import Narrow as Thin, nn
from made_up.registry import register

@register("generator", "one")
class One(Thin):
    "From a name."

@register("generator", "two")
class Two(nn.Module, networks.Base):
    "From a module."

@register("generator", "three")
class Three(nn.Module):
    "From elsewhere."
"""
    found = registry.read_package(_package(tmp_path, other=other))
    assert found.problems == {}
    assert list(found.entries["generator", "one"].options) == ["window", "way", "norm", "width", "gain"]
    assert list(found.entries["generator", "two"].options) == ["width", "skips", "gain"]
    assert found.entries["generator", "three"].parameters == {}


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        (
            "import torch\n@register('loss', 'x')\ndef x(batch,\n      eps: float = torch.finfo().eps): ...",
            ("loss", "x"),
            "made_up/bad.py:5: the default of eps cannot be read, torch.finfo().eps: write a literal, or constants of this file or of one",
        ),
        (
            "@register('loss', 'x')\ndef x(batch, side: int = SIDE): ...",
            ("loss", "x"),
            "bad.py:3: the default of side cannot be read, SIDE",
        ),
        (
            "SIDE = SIDE + 1\n@register('loss', 'x')\ndef x(batch, side: int = SIDE): ...",
            ("loss", "x"),
            "bad.py:4: the default of side cannot be read",
        ),
        ("@register('loss', 'x', needs=list)\ndef x(batch): ...", ("loss", "x"), "bad.py:2: needs of loss 'x' cannot be read, list"),
        ("@register('loss', 'plain')\ndef plain(batch, y: int = f()): ...", ("loss", "plain"), "bad.py:3: the default of y cannot be"),
        ("@register('loss', name)\ndef x(batch): ...", None, "bad.py:2: what it is registered as cannot be read, name"),
        ("@register('los', 'x')\ndef x(batch): ...", None, "bad.py:2: register takes a kind (dataset, generator, "),
        ("@register('loss')\ndef x(batch): ...", None, "bad.py:2: register takes a kind"),
        (
            "@register('loss', 'weighed')\ndef x(batch): ...",
            ("loss", "weighed"),
            "nets/networks.py:48: loss 'weighed' is already registered by made_up.bad.x",
        ),
        ("@register('loss', 'x')\ndef x(batch) ...", None, "made_up/bad.py:3: expected ':'"),
    ],
)
def test_what_cannot_be_read_names_its_place(tmp_path: Path, text: str, key: tuple[str, str] | None, sentence: str) -> None:
    found = registry.read_package(_package(tmp_path, bad="from made_up.registry import register\n" + text.replace("'", '"')))
    (problem,) = found.problems.values()
    assert sentence in problem
    assert key is None or key in found.problems
    assert {("generator", "plain"), ("generator", "narrow"), ("loss", "weighed")} <= found.entries.keys(), "the others are read"


def test_list_and_help_go_on_without_what_cannot_be_read(tmp_path: Path) -> None:
    """In a copy of the package: the command tells where the fault is, and shows the rest."""
    copy = tmp_path / "transfigure"
    shutil.copytree(Path(registry.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    bad = 'from ..registry import register\n\n\n@register("loss", "odd")\ndef odd(batch, side: int = SIDE):\n    """Odd."""\n'
    (copy / "losses" / "odd.py").write_text(bad)
    for arguments, shown in ((["list"], "charbonnier"), (["train", "pix2pix", "--help"], "--training.epochs")):
        done = _run(tmp_path, *arguments)
        assert done.returncode == 0 and shown in done.stdout
        assert done.stderr.startswith("note: transfigure/losses/odd.py:5: the default of side cannot be read, SIDE")
        assert done.stderr.count("\n") == 1
    done = _run(tmp_path, "train", "pix2pix", "--objective.terms", "[odd]", "--print_config")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("transfigure: transfigure/losses/odd.py:5: the default of side")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-m", "transfigure", *arguments], env=environment, capture_output=True, text=True, check=False)


# ---- plugins -----------------------------------------------------------------------------------------------------------

PLUGIN = '''
    from __future__ import annotations
    import math
    from typing import Literal
    from torch import Tensor, nn
    from transfigure.bounds import PositiveInt
    from transfigure.data.batch import Batch
    from transfigure.registry import register

    @register("loss", "tilt", needs="nothing")
    def tilt(batch: Batch, angle: float = math.pi / 2, side: Literal["left", "right"] = "left", cap: int | None = None) -> Tensor:
        """How far it leans.

        Args:
            angle: in radians.
        """
        return (batch.fake - batch.target).mean() * angle

    @register("generator", "thin")
    class Thin(nn.Module):
        """One convolution.

        Args:
            kernel: its side.
        """
        size_multiple = 1

        def __init__(self, source_channels: int, target_channels: int, kernel: PositiveInt = 3) -> None:
            super().__init__()

    @register("metric", "luck")
    class Luck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
'''


@pytest.fixture
def plugged(tmp_path: Path, plugins: dict[tuple[str, str], registry.Entry]) -> str:
    file = _file(tmp_path, PLUGIN)
    registry.load_plugin(file)
    return file


def test_a_plugin_is_read_from_the_thing_itself(plugged: str) -> None:
    import math

    tilt = registry.entry("loss", "tilt")
    assert tilt.summary == "How far it leans."
    assert tilt.extra == {"needs": "nothing"}
    assert tilt.options["angle"] == registry.Parameter("angle", float, math.pi / 2, "in radians.")
    assert tilt.options["side"].annotation == typing.Literal["left", "right"]
    assert tilt.options["cap"].annotation == (int | None)
    assert tilt.parameters["batch"].annotation is typing.Any
    assert list(registry.entry("generator", "thin").options) == ["kernel"]
    assert registry.entry("metric", "luck").summary == "", "a class does not inherit the docstring of nn.Module"


def test_a_plugin_joins_recipes(plugged: str) -> None:
    recipe = Recipe.load(
        "pix2pix_tiny", {"generator": "thin", "objective.terms": "[{loss: tilt, angle: 1}]", "training.best_metric": "luck"}
    )
    assert recipe.generator.options == {"kernel": 3}
    assert recipe.objective.terms == ({"loss": "tilt", "weight": 1.0, "angle": 1.0, "side": "left", "cap": None},)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(UserError, match="side cannot be 'lefft': it takes one of left, right"):
        Recipe.load("pix2pix_tiny", {"objective.terms": "[{loss: tilt, side: lefft}]"})
    with pytest.raises(UserError, match=r"generator\.kernel cannot be 0: it takes a whole number above 0"):
        Recipe.load("pix2pix_tiny", {"generator": "thin", "generator.kernel": 0})
    with pytest.raises(UserError, match=r"did you mean 'generator\.kernel'"):
        Recipe.load("pix2pix_tiny", {"generator": "thin", "generator.kernle": 5})


def test_a_plugin_resolves_and_builds(plugged: str) -> None:
    assert registry.build("generator", "thin", 3, 3, kernel=5).size_multiple == 1
    assert registry.resolve("loss", "tilt").__name__ == "tilt"


def test_a_plugin_may_hand_its_options_on(tmp_path: Path, plugins: dict[tuple[str, str], registry.Entry]) -> None:
    text = '''
    from transfigure.networks.generators.unet import UNet
    from transfigure.registry import register

    @register("generator", "shallow")
    class Shallow(UNet):
        """A U-Net of two levels.

        Args:
            gain: of the output.
        """

        def __init__(self, *channels: int, gain: float = 1.0, **options) -> None:
            super().__init__(*channels, depth=2, **options)

    @register("generator", "same")
    class Same(UNet):
        """A U-Net."""
    '''
    registry.load_plugin(_file(tmp_path, text))
    known = registry.entry("generator", "unet").options
    shallow = registry.entry("generator", "shallow").options
    assert set(shallow) == {"gain", *known} - {"depth"}
    assert shallow["width"] == known["width"]
    assert list(registry.entry("generator", "same").options) == list(known)


def test_loading_a_plugin_again_changes_nothing(plugged: str, plugins: dict[tuple[str, str], registry.Entry]) -> None:
    before = dict(plugins)
    registry.load_plugin(plugged)
    assert plugins == before


def test_two_plugins_of_one_file_name_are_two(tmp_path: Path, plugins: dict[tuple[str, str], registry.Entry]) -> None:
    text = '''
    from transfigure.registry import register

    @register("loss", "{name}")
    def mine(batch):
        """Mine."""
        return "{name}"
    '''
    for name in ("first", "second"):
        registry.load_plugin(_file(tmp_path / name, text.replace("{name}", name)))
    assert [registry.resolve("loss", name)(None) for name in ("first", "second")] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('@register("loss", "l1")\ndef mine(batch): ...', "loss 'l1' is already registered by transfigure.losses.pixel.l1"),
        ('@register("los", "mine")\ndef mine(batch): ...', "cannot register a 'los': the kinds are dataset, generator"),
        ('@register("loss", "a")\ndef a(batch): ...\n@register("loss", "a")\ndef b(batch): ...', "'a' is already registered by .*a"),
        ('def f():\n    @register("loss", "inner")\n    def inner(batch): ...\nf()', "'inner' is defined inside a function"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_bad_plugin_is_one_sentence(tmp_path: Path, plugins: dict[tuple[str, str], registry.Entry], text: str, reason: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(f"from transfigure.registry import register\n{text}\n")
    with pytest.raises(UserError, match=f"plugin {path} cannot be imported: .*{reason}"):
        registry.load_plugin(str(path))
    assert plugins == {}, "a file that failed leaves nothing behind"


def test_a_plugin_must_be_a_python_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        registry.load_plugin(str(tmp_path / "absent.py"))
    (tmp_path / "notes.txt").write_text("x = 1")
    with pytest.raises(UserError, match=r"must end in \.py"):
        registry.load_plugin(str(tmp_path / "notes.txt"))


def test_registering_by_hand_in_a_session(plugins: dict[tuple[str, str], registry.Entry]) -> None:
    """As in a notebook: code that has no file."""
    namespace: dict[str, object] = {"register": registry.register, "__name__": "__main__"}
    exec('@register("loss", "typed")\ndef typed(batch, strength: float = 2.0):\n    "Typed in."\n', namespace)
    assert registry.entry("loss", "typed").options["strength"].default == 2.0
