"""Fine-tuning: a training that begins with the weights of a trained model in place of random ones.

The model is a run (all its networks are taken), a model directory or a model of the hub (its generator), or a ``.pth`` file or a folder of
the PyTorch reference implementation (the generator, and what is saved beside it). Optimizers, the random numbers and the position are those
of a new training.

Two things are done at two times. :func:`starting_from` makes the recipe: the model's own generator takes the place of the one that the
recipe names, and the recipe that comes of it says all, so that training with it again does not ask the model any more what it is.
:func:`open_start` reads the weights, and :meth:`Start.fill` puts them into the networks of that recipe, layer by layer.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..data.encodings.by_name import SIDES
from ..data.files import home_path, real_path
from ..data.pairing import listed
from ..data.value_range import Range, limits, number
from ..errors import UserError
from ..integrity import sha256_of
from ..interop import hub
from ..interop.opening import open_file, open_folder
from ..interop.pytorch_cyclegan import load_discriminator, read_state, recognise
from ..networks.model_file import CONFIG, WEIGHTS, Domain, ModelConfig, describe_checkpoint, read_config, read_model
from ..networks.shipped import find_shipped, nearest_shipped
from ..progress import say
from ..recipe import Recipe, Training, flatten
from ..recipe.sections import REGION_KEYS
from ..recipe.tree import parse_overrides
from ..wording import counted
from .checkpoint import load_checkpoint
from .run_directory import RunDirectory

WHAT = "a run, a model directory, a shipped model, hub:owner/name, or a .pth file of the PyTorch reference implementation"
_SHOWN = 8
"""So many of the tensors that begin anew are named on the terminal; the log names all."""
_OF_DATA = ("kind", "path", "limit", "group", "split_rule", "split_by", *REGION_KEYS)
"""What a recipe says of its own images, and not of others that are trained on in their place."""


# ---- what there is ------------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    kind: Literal["run", "model", "folder", "file"]
    path: Path


def resolve_start(training: Training) -> Training:
    """The training section with an absolute path to the model that it starts from, if it does: the same one from everywhere."""
    place = training.start_from
    if place is None or hub.is_hub_name(place) or find_shipped(place, quiet=True) is not None:
        return training
    return training.replaced(start_from=str(real_path(place)))


@contextlib.contextmanager
def _opened(place: str | Path) -> Iterator[_Place]:
    """What a person named, on this disk; a model of the hub is downloaded.

    Raises:
        UserError: it is nothing to begin with.
        Missing: ``huggingface_hub`` is not installed.
    """
    if hub.is_hub_name(place):
        with hub.model_folder(place) as folder:
            yield _Place("model", folder)
    elif (came_with_us := find_shipped(place)) is not None:
        yield _Place("model", came_with_us)
    else:
        yield _find(place)


def _find(place: str | Path) -> _Place:
    path = home_path(place)
    if path.is_dir():
        if RunDirectory(path).checkpoint.is_file():
            return _Place("run", path)
        for folder in (path, RunDirectory(path).model):  # a run without its checkpoint, which is large, still has its model
            if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
                return _Place("model", folder)
        if next(path.glob("*_net_G*.pth"), None) is not None:  # checkpoints/NAME of the reference
            return _Place("folder", path)
        raise UserError(f"{place} holds no model to start from: give {WHAT}")
    if not path.is_file():
        why = "is no file" if os.path.lexists(path) else f"does not exist{nearest_shipped(place)}"
        raise UserError(f"{place} {why}: start from {WHAT}{hub.hint(place)}")
    if RunDirectory(run := path.resolve().parent.parent).checkpoint == path.resolve():
        raise UserError(f"{place} is the checkpoint of a run: start from the run itself, {run}")
    if (path.parent / CONFIG).is_file():
        raise UserError(f"{place} is one file of a model: start from its folder, {path.parent}")
    if path.suffix.lower() in (".onnx", ".xml"):
        raise UserError(f"{place} was exported to be run, and cannot be trained: start from the run or the model that it was made from")
    return _Place("file", path)


@dataclass(frozen=True)
class _Origin:
    """What a model says of itself: the sections of a recipe for its networks, and the recipe that it was trained by, if it knows."""

    generator: dict[str, Any]
    discriminator: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None
    size: int | None = None
    """Side in pixels of the squares that it was trained on, if it knows."""


def _describe(place: str | Path) -> _Origin:
    with _opened(place) as (kind, path):
        return _described(kind, path)


def _described(kind: str, path: Path) -> _Origin:
    if kind == "run" and (file := RunDirectory(path).recipe).is_file():
        recipe = Recipe.load(file).to_dict()
        return _Origin(recipe["generator"], recipe["discriminator"], recipe, recipe["data"]["crop_size"])
    if kind == "run":
        kind, path = "model", RunDirectory(path).model
    if kind == "model":
        config = read_config(path)
        return _Origin({"name": config.generator, **config.options}, None, config.recipe, config.trained_size)
    if kind == "folder":
        found = open_folder(path)
        assert found.file is not None
        return _described_file(found.file, found.config, found.recipe)
    return _described_file(path, open_file(path)[1], None)


def _described_file(file: Path, config: ModelConfig, recipe: Recipe | None) -> _Origin:
    section = None
    if "discriminator" in (beside := _beside(file)):
        with contextlib.suppress(UserError):  # what is wrong with it is said when its weights are read
            other = recognise(read_state(beside["discriminator"]))
            section = {"name": other.name, **other.options} if other.kind == "discriminator" else None
    generator = {"name": config.generator, **config.options}
    if recipe is None and config.generator == "unet":
        del generator["dropout"]  # which its file does not say: it is the recipe's
    return _Origin(generator, section, None if recipe is None else recipe.to_dict(), None if recipe is None else config.trained_size)


def _beside(file: Path) -> dict[str, Path]:
    """The networks that the reference saves beside a generator, by the names they have here, as far as they are there.

    ``latest_net_D.pth`` belongs to ``latest_net_G.pth``. Of CycleGAN, ``G_A`` turns A into B, ``D_A`` sees its outputs, and ``G_B`` and
    ``D_B`` are those of the other direction.
    """
    found = re.fullmatch(r"(.*_net_)G(_[AB])?(\.\w+)", file.name)
    if found is None:
        return {}
    begin, side, end = found[1], found[2] or "", found[3]
    names = {"discriminator": f"{begin}D{side}{end}"}
    if side:
        other = {"_A": "_B", "_B": "_A"}[side]
        names |= {"inverse_generator": f"{begin}G{other}{end}", "inverse_discriminator": f"{begin}D{other}{end}"}
    return {name: file.with_name(other) for name, other in names.items() if file.with_name(other).is_file()}


# ---- the recipe ---------------------------------------------------------------------------------------------------------------


def starting_from(
    place: str | Path, recipe: Recipe | str | Path | None = None, overrides: Mapping[str, Any] | None = None, quiet: bool = False
) -> Recipe:
    """The recipe of a training that begins with the weights of a model.

    Its generator is the model's, and so is its discriminator, of a model that has one; a key of theirs among the overrides goes before.

    Args:
        place: a run, a model directory, a shipped model, ``hub:owner/name``, or a ``.pth`` file of the PyTorch reference implementation.
        recipe: a recipe, or the name or file of one; None is the recipe that the model was trained by, or ``pix2pix`` if it does not know.
        overrides: as of :meth:`.Recipe.load`.
        quiet: do not say what differs from the recipe and the overrides.

    Raises:
        UserError: there is no such model, or the recipe cannot be.
    """
    origin, overrides = _describe(place), dict(overrides or {})
    typed = dict(flatten(parse_overrides(overrides)))
    overrides["training.start_from"] = str(place)
    notes = []
    if recipe is None and origin.recipe is not None:
        base = _own_recipe(place, origin.recipe, typed)
        chosen, plain = base.updated(overrides), base
        notes.append(f"the recipe is the one that {place} was trained by, {base.name}")
    else:
        if recipe is None:
            recipe = "pix2pix"
            notes.append(f"{place} does not say what it was trained by: the recipe is pix2pix")

        def read(more: Mapping[str, Any]) -> Recipe:
            return recipe.updated(more) if isinstance(recipe, Recipe) else Recipe.load(recipe, more)

        generator = _adopted("generator", origin.generator, typed)
        discriminator = {} if origin.discriminator is None else _adopted("discriminator", origin.discriminator, typed)
        try:
            chosen = read({**generator, **discriminator, **overrides})
        except UserError:
            if not discriminator:
                raise
            chosen = read({**generator, **overrides})  # the adversarial form may not go with that discriminator
        try:
            plain = read(overrides)
        except UserError:  # e.g. a crop that the recipe's own generator does not take
            plain = chosen
    notes += _differences(place, "generator", origin.generator, chosen, plain, typed)
    if origin.discriminator is not None and chosen.discriminator is not None:
        notes += _differences(place, "discriminator", origin.discriminator, chosen, plain, typed)
    if origin.size not in (None, crop := chosen.data.crop_size):
        notes.append(f"{place} was trained on squares of {origin.size} pixels, and data.crop_size is {crop}")
    if not quiet and os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, one says it
        for note in notes:
            say(f"note: {note}")
    return chosen


def _own_recipe(place: str | Path, tree: Mapping[str, Any], typed: Mapping[str, Any]) -> Recipe:
    """The recipe that a model was trained by; if other data is named, without what it says of its own."""
    try:
        base = Recipe.from_dict(tree)
        if typed.keys() & {"data", "data.path", "data.kind"}:
            data = {key: value for key, value in base.data if key not in _OF_DATA and key not in base.data.options}
            base = Recipe.from_dict({**base.to_dict(), "data": data})
    except UserError as error:
        raise UserError(f"the recipe that {place} was trained by cannot be used here ({error}): name another one") from error
    return base


def _adopted(where: str, section: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides that make a section the model's; none if another network was typed."""
    name = typed.get(where, typed.get(f"{where}.name", section["name"]))
    if name != section["name"]:
        return {}
    named = {} if typed.keys() & {where, f"{where}.name"} else {where: name}
    return named | {f"{where}.{key}": value for key, value in section.items() if key != "name" and f"{where}.{key}" not in typed}


def _differences(
    place: str | Path,
    where: Literal["generator", "discriminator"],
    section: Mapping[str, Any],
    chosen: Recipe,
    plain: Recipe,
    typed: object,
) -> list[str]:
    """What the recipe or the flags say of a network that its weights come with, and which of them holds."""
    mine, said = (getattr(recipe, where) for recipe in (chosen, plain))
    if mine is None:
        return []
    now, before = mine.to_dict(), {} if said is None else said.to_dict()
    if now["name"] != section["name"]:
        return [f"{where}.name is {now['name']}, where {place} has {section['name']}"]
    notes = []
    if other := {key: value for key, value in now.items() if key in section and value != section[key]}:
        listed = ", ".join(f"{where}.{key} is {value}" for key, value in other.items())
        notes.append(f"{listed}, where {place} has {', '.join(f'{key} {section[key]}' for key in other)}")
    if before.get("name", now["name"]) != now["name"]:
        notes.append(f"the {where} is that of {place}, {now['name']}, where the recipe says {before['name']}")
    elif taken := {key: value for key, value in now.items() if key in before and before[key] != value}:
        listed = ", ".join(f"{key} {value}" for key, value in taken.items())
        instead = ", ".join(f"{key} {before[key]}" for key in taken)
        notes.append(f"the {where} is that of {place}, with {listed}, where the recipe says {instead}")
    return notes


# ---- the weights --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Attributes:
        place: the model, as the recipe names it.
        state: which state of it, in words.
        files: the SHA-256 of each file that was read.
        channels: of its sources and targets.
        weights: the state of each network, by the name that a training step gives it.
        notes: what could not be read, in sentences.
        domains: its sources and targets, where it says what they are.
    """

    place: str
    state: str
    files: dict[str, str]
    channels: tuple[int, int]
    weights: dict[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    domains: tuple[Domain, Domain] | None = None

    def fill(self, networks: Mapping[str, nn.Module], channels: tuple[int, int], domains: tuple[Domain, Domain] | None = None) -> Started:
        """Put the weights into networks. A layer is taken whole or not at all; what is not taken keeps its random weights.

        Args:
            networks: as of :meth:`.steps.base.TrainingStep.networks`.
            channels: of the sources and targets that are trained on.
            domains: what those are.

        Returns:
            What was taken, for people and for the run's files.

        Raises:
            UserError: nothing of the generator fits, or a number is not finite.
        """
        taken: dict[str, str] = {}
        anew: dict[str, list[str]] = {}
        for name, network in networks.items():
            mine = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
            if not mine:
                continue
            if name not in self.weights:
                taken[name] = "anew"
                continue
            theirs = {key: value for key, value in self.weights[name].items() if isinstance(value, Tensor)}
            chosen, reasons = _fitting(mine, theirs)
            if name == "generator" and not chosen:
                raise UserError(
                    f"nothing of {self.place} fits the generator of this recipe ({reasons[0]}): leave out the keys of generator, "
                    "and name the model by --from, which takes its generator too"
                )
            for key, value in chosen.items():
                if not bool(torch.isfinite(value).all()):
                    raise UserError(f"{self.place} holds a number that is not finite, in {name}.{key}: start from another state of it")
            network.load_state_dict({**network.state_dict(), **chosen})
            taken[name] = f"{len(chosen)} of {counted(len(mine), 'tensor')}" if chosen else "anew"
            anew |= {name: reasons} if reasons else {}
        notes = list(self.notes)
        if self.channels != channels and anew:
            then, now = (f"{source} -> {target}" for source, target in (self.channels, channels))
            notes.append(f"{self.place} is for {then} channels and this data has {now}: the layers that meet them begin anew")
        if self.domains is not None and domains is not None:
            notes += [
                f"{self.place} was trained on {side}s of {then}, and these are of {now}: its weights take the one for the other"
                for side, one, other in zip(SIDES, self.domains, domains)
                for then, now in _other_meanings(one, other)
            ]
        for name, reasons in anew.items():
            more = f", and {len(reasons) - _SHOWN} more (log.jsonl has all)" if len(reasons) > _SHOWN else ""
            notes.append(f"of the {name.replace('_', ' ')}, not taken: {', '.join(reasons[:_SHOWN])}{more}")
        if unused := [name.replace("_", " ") for name in self.weights if name not in networks]:
            notes.append(f"not used of {self.place}, since this training has none: {', '.join(unused)}")
        record = {"path": self.place, "state": self.state, "files": self.files, "taken": taken}
        words = ", ".join(f"{name.replace('_', ' ')} {what}" for name, what in taken.items())
        return Started({**record, **({"not_taken": anew} if anew else {})}, f"{self.place} ({self.state}): {words}", tuple(notes))


def _other_meanings(then: Domain, now: Domain) -> Iterator[tuple[str, str]]:
    """What as many channels of the networks mean otherwise than they did, in words for both."""
    if then.channels != now.channels:
        return
    if then.encoding != now.encoding:
        yield then.describe(), now.describe()
    elif then.encoding == "labels":
        if [(one.index, one.colour) for one in then.classes] != [(one.index, one.colour) for one in now.classes]:
            first, second = (listed([*map(str, domain.classes)], 16) for domain in (then, now))
            yield f"the classes {first}", f"the classes {second}"
    elif then.encoding == "values":
        if then.names and now.names and then.names != now.names:
            yield f"the channels {listed(list(then.names), 16)}", f"the channels {listed(list(now.names), 16)}"
        if then.value_range != now.value_range:
            first, second = (f"the values {number(low)} to {number(high)}" for low, high in map(_ends, (then, now)))
            yield first, second


def _ends(domain: Domain) -> Range:
    return limits(domain.dtype, domain.value_range)


@dataclass(frozen=True)
class Started:
    """What a training began with.

    Attributes:
        record: plain values for files: ``path``, ``state``, ``files`` with their SHA-256, ``taken`` of each network, and ``not_taken``.
        words: the same, in one line.
        notes: what was not taken, and why.
    """

    record: dict[str, Any]
    words: str = ""
    notes: tuple[str, ...] = field(default=())


def _fitting(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Those of their tensors that take the place of mine, and a reason for each of mine that stays and each of theirs that has no place.

    A layer one of whose tensors is of another shape stays as it is, its bias and its statistics too. If no kernel fits, nothing does: a
    bias alone would fit by accident.
    """
    reasons: dict[str, str] = {}
    for key, value in mine.items():
        if key not in theirs:
            reasons[key] = f"{key} (not there, {_shape(value)} here)"
        elif theirs[key].shape != value.shape or theirs[key].is_floating_point() != value.is_floating_point():
            reasons[key] = f"{key} ({_shape(theirs[key])} there, {_shape(value)} here)"
    other = {_layer(key) for key in reasons if key in theirs}
    for key in mine:
        if key not in reasons and _layer(key) in other:
            reasons[key] = f"{key} (with its layer)"
    chosen = {key: theirs[key].to(value.dtype) for key, value in mine.items() if key not in reasons}
    if any(value.ndim > 1 for value in mine.values()) and not any(value.ndim > 1 for value in chosen.values()):
        reasons |= {key: f"{key} (alone)" for key in chosen}
        chosen = {}
    listed = [reasons[key] for key in mine if key in reasons]
    return chosen, listed + [f"{key} ({_shape(value)} there, not here)" for key, value in theirs.items() if key not in mine]


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def open_start(place: str | Path) -> Start:
    """Read the weights of a model that a training begins with.

    Of a run that keeps an average of its generator (``training.ema``) that is taken, since it is what the run translates with.

    Raises:
        UserError: there is no such model, or it is damaged, or of a newer version.
    """
    with _opened(place) as (kind, path):
        if kind == "run":
            return _of_run(place, RunDirectory(path))
        if kind == "folder":
            found = open_folder(path).file
            assert found is not None
            return _of_file(place, found)
        return _of_model(place, path) if kind == "model" else _of_file(place, path)


def _of_model(place: str | Path, folder: Path) -> Start:
    generator, config, _ = read_model(folder)
    channels = config.source.channels, config.target.channels
    files = {WEIGHTS: sha256_of(folder / WEIGHTS)}
    weights: dict[str, Mapping[str, Any]] = {"generator": generator.state_dict()}
    return Start(str(place), describe_checkpoint(config.checkpoint), files, channels, weights, (), (config.source, config.target))


def _of_file(place: str | Path, path: Path) -> Start:
    network, config = open_file(path)
    weights: dict[str, Mapping[str, Any]] = {"generator": network.state_dict()}
    files, notes = {path.name: sha256_of(path)}, []
    for name, file in _beside(path).items():
        try:
            other = open_file(file)[0] if name.endswith("generator") else load_discriminator(file)[0]
        except UserError as error:
            notes.append(f"{file.name} beside {path.name} is not used: {error}")
        else:
            weights[name], files[file.name] = other.state_dict(), sha256_of(file)
    channels = config.source.channels, config.target.channels
    return Start(str(place), f"from {', '.join(files)}", files, channels, weights, tuple(notes), (config.source, config.target))


def _of_run(place: str | Path, run: RunDirectory) -> Start:
    saved = load_checkpoint(run.checkpoint, f"start from its model alone, {run.model}")
    weights = {name: part for name, part in saved["step"].items() if part and all(isinstance(value, Tensor) for value in part.values())}
    state = f"after {counted(saved['position']['images'], 'image')}"
    if saved["ema"] is not None:
        weights["generator"] = saved["ema"]["generator"]
        state += ", the average of its generator"
    source, target = saved["data"]["channels"]
    file = run.checkpoint.relative_to(run.path).as_posix()
    domains: tuple[Domain, Domain] | None = None
    with contextlib.suppress(UserError):  # a checkpoint holds all that is needed
        config = read_config(run.model)
        domains = config.source, config.target
    return Start(str(place), state, {file: sha256_of(run.checkpoint)}, (source, target), weights, (), domains)
