"""Names to things: what is read from source is what is there, and a user's file takes part in the same way."""

from __future__ import annotations

import inspect
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


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_catalog_says_what_the_thing_is(kind: str, name: str) -> None:
    entry, thing = registry.entry(kind, name), registry.resolve(kind, name)
    assert (thing.__module__, thing.__qualname__) == (entry.module, entry.qualname)
    real = inspect.signature(thing).parameters
    assert not [item for item in real.values() if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
    assert list(entry.parameters) == list(real)
    assert {key: item.default for key, item in entry.parameters.items()} == {key: item.default for key, item in real.items()}
    hints = typing.get_type_hints(thing.__init__ if inspect.isclass(thing) else thing)
    for key, item in entry.options.items():
        assert item.annotation == hints[key], f"{key}: the catalog reads {item.annotation}, Python {hints[key]}"


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_name_can_be_read_about(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert entry.summary and entry.summary == entry.doc.splitlines()[0], "the docstring begins with one line that ends"
    assert entry.summary.endswith("."), entry.summary
    for key, item in entry.options.items():
        assert item.annotation is not typing.Any, f"{key} has no plain type: its flag could not be checked"
        assert len(item.help) > 5, f"{key} is not under Args:"
        assert key.isidentifier() and "." not in key


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_what_is_documented_exists(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert set(registry.argument_help(entry.doc.partition("Attributes:")[0])) <= set(entry.parameters)


def test_names_are_sorted_and_complete() -> None:
    assert registry.names("loss") == sorted(name for kind, name in ENTRIES if kind == "loss")
    assert registry.names("nothing") == []


@pytest.mark.parametrize(("given", "nearest"), [("resnett", "resnet"), ("une", "unet"), ("encoder-decoder", "encoder_decoder")])
def test_an_unknown_name_suggests_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"there is no generator named '{given}' \\(did you mean '{nearest}'\\?\\)"):
        registry.resolve("generator", given)


def test_a_strange_name_gets_the_whole_list() -> None:
    with pytest.raises(UserError, match="known: encoder_decoder, resnet, unet"):
        registry.entry("generator", "zzz")
    assert did_you_mean("x", []) == ""


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


# ---- plugins -----------------------------------------------------------------------------------------------------------

PLUGIN = '''
    from __future__ import annotations
    import math
    from typing import Literal
    from torch import Tensor, nn
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

        def __init__(self, source_channels: int, target_channels: int, kernel: int = 3) -> None:
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
    recipe = Recipe.load("demo", {"generator": "thin", "objective.terms": "[{loss: tilt, angle: 1}]", "training.best_metric": "luck"})
    assert recipe.generator.options == {"kernel": 3}
    assert recipe.objective.terms == ({"loss": "tilt", "weight": 1.0, "angle": 1.0, "side": "left", "cap": None},)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(UserError, match="side cannot be 'lefft': it takes one of left, right"):
        Recipe.load("demo", {"objective.terms": "[{loss: tilt, side: lefft}]"})
    with pytest.raises(UserError, match="did you mean 'kernel'"):
        Recipe.load("demo", {"generator": "thin", "generator.kernle": 5})


def test_a_plugin_resolves_and_builds(plugged: str) -> None:
    assert registry.build("generator", "thin", 3, 3, kernel=5).size_multiple == 1
    assert registry.resolve("loss", "tilt").__name__ == "tilt"


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
