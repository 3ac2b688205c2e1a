"""A model directory: ``generator.safetensors`` + ``config.json`` + ``README.md`` (the card). All that is needed to use a generator.

The configuration says everything that would otherwise have to be typed again: architecture, channels, value ranges, size multiple,
which statistics and which noise to use, the recipe and where in its training it stands.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from .._version import __version__
from ..data.channels import brief_names
from ..data.encodings.base import Encoding
from ..data.encodings.by_name import ENCODINGS, make_encoding
from ..data.encodings.file_palettes import check_entries
from ..data.encodings.label_classes import LARGEST_INDEX, LabelClass, check_classes
from ..data.encodings.label_colours import Entry
from ..data.encodings.label_maps import LabelMaps
from ..data.files import to_json_values, write_atomically, write_json, write_text
from ..data.ownership import check_outputs
from ..data.value_range import DEPTHS, NATURAL_RANGE
from ..errors import UserError, printable
from ..integrity import DIGEST, Damaged, TensorHeader, check_digest, check_tensors, digest_of, read_tensors, write_tensors
from ..registry import plugin_files
from ..stored import brief, check_tree, read_as, read_json
from .base import Generator
from .build import build_generator, outline_of
from .init import WithoutStartingWeights

FORMAT = 1
WEIGHTS, CONFIG, CARD = "generator.safetensors", "config.json", "README.md"
COMPILED = "_orig_mod"
"""What ``torch.compile`` puts before the names of what it wraps."""
NETWORK = "network"
"""The metadata of the weights that says which network they are of."""
MOST_CHANNELS, MOST_PIXELS = 1 << 16, 1 << 20
"""Of an image, and along a side."""
Norm = Literal["batch", "running"]
Noise = Literal["dropout", "none"]


@dataclass(frozen=True)
class Domain:
    """What the images on one side are.

    Attributes:
        channels: number of channels that the generator sees or makes.
        dtype: ``uint8``, ``int16``, ``float32``, ...: the type of the files it was trained on, and what is written.
        value_range: the values that are -1 and 1 inside; None is the type's full range.
        names: what the channels are called; empty if they have no names of their own.
        encoding: what the numbers of files mean, see :mod:`.data.encodings.base`.
        classes: of label maps.
        entries: of label maps with a palette, all that it holds from index 0 on, see :data:`.label_colours.Entry`; empty if it is known by
            its classes alone.
        no_data: the value that means "nothing here": of sources the one that the training was told, of targets the one that most of them
            declare; None for none, ``nan`` because JSON has no NaN.
    """

    channels: int
    dtype: str = "uint8"
    value_range: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    encoding: str = "values"
    classes: tuple[LabelClass, ...] = ()
    no_data: float | Literal["nan"] | None = None
    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, encoding: Encoding, dtype: str, value_range: tuple[float, float] | None) -> Domain:
        """The images of one side, as a training has read them.

        Args:
            encoding: how.
            dtype: of their files.
            value_range: the values that are -1 and 1 inside; None is the type's full range.
        """
        classes, entries = (encoding.classes, encoding.entries) if isinstance(encoding, LabelMaps) else ((), ())
        names = encoding.names if encoding.name == "values" else ()
        return cls(encoding.channels, dtype, value_range, names, encoding.name, classes, entries=entries)

    @property
    def file_names(self) -> tuple[str, ...]:
        """What the channels of its files are called; empty if they have no names, or are others than those of the networks."""
        return self.names if self.encoding == "values" else ()

    def to_encoding(self) -> Encoding:
        """Between the numbers of files and what the generator sees; files of another type than ``dtype`` keep their own full range."""
        return make_encoding(
            self.encoding, self.channels, self.dtype, self.value_range, self.names, self.classes, of_dtype_only=True, entries=self.entries
        )

    def describe(self) -> str:
        """``3 x uint8``, with the names of channels that have some; ``12 classes`` of label maps; ``L of uint8 photos``."""
        names = f" ({brief_names(self.file_names)})" if self.file_names else ""
        kinds = {"values": f"{self.channels} x {self.dtype}{names}", "labels": f"{self.channels} classes"}
        return kinds.get(self.encoding, f"{self.encoding} of {self.dtype} photos")

    @property
    def file_channels(self) -> int:
        """Channels of the files, where those that the generator sees are others."""
        return self.to_encoding().file_channels

    @property
    def palette(self) -> tuple[tuple[int, Entry], ...]:
        """The colours of indices, for files with a palette; empty for other files."""
        encoding = self.to_encoding()
        return encoding.palette if isinstance(encoding, LabelMaps) else ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Domain:
        """Read back what JSON made of it.

        Raises:
            KeyError, TypeError, ValueError: not a domain.
        """
        channels, dtype, limits = values["channels"], values.get("dtype", "uint8"), values.get("value_range")
        if not _is_count(channels, MOST_CHANNELS) or not isinstance(dtype, str) or dtype not in NATURAL_RANGE:
            raise ValueError(f"{brief(channels)} channels of {brief(dtype)} are no kind of image")
        if limits is not None:
            if not isinstance(limits, list | tuple) or len(limits) != 2 or any(type(limit) not in (int, float) for limit in limits):
                raise ValueError(f"the value range is {brief(limits)} and not two numbers")
            low, high = (float(limit) for limit in limits)
            if not low < high or not math.isfinite(high - low):
                raise ValueError(f"the value range from {low:g} to {high:g} is empty")
            limits = low, high
        names, encoding = values.get("names", ()), values.get("encoding", "values")
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names) or len(names) not in (0, channels):
            raise ValueError(f"the names of its {channels} channels are {brief(names)}")
        if encoding not in ENCODINGS:
            raise ValueError(f"its encoding is {brief(encoding)}, which is none of {', '.join(ENCODINGS)}")
        no_data = values.get("no_data")
        if no_data not in (None, "nan") and (type(no_data) not in (int, float) or not math.isfinite(no_data)):
            raise ValueError(f"its no-data value is {brief(no_data)}")
        classes = _classes_of(encoding, values.get("classes", ()), channels)
        entries = check_entries(values.get("entries", ()), classes)
        return cls(channels, dtype, limits, tuple(names), encoding, classes, no_data, entries)


def _classes_of(encoding: str, values: Any, channels: int) -> tuple[LabelClass, ...]:
    """The classes of a domain of label maps; none of others.

    Raises:
        ValueError: they are no classes, or not as many as the channels.
    """
    if encoding != "labels":
        return ()
    if not isinstance(values, list | tuple) or len(values) != channels:
        raise ValueError(f"the classes of its {channels} channels are {brief(values)}")
    classes = []
    for value in values:
        if not isinstance(value, Mapping) or not isinstance(value.get("name", ""), str):
            raise ValueError(f"{brief(value)} is no class")
        name, index, colour = value.get("name", ""), value.get("index"), value.get("colour")
        if not (index is None or _is_whole(index, LARGEST_INDEX)):
            raise ValueError(f"the number of a class is {brief(index)}")
        if colour is not None and not (
            isinstance(colour, list | tuple) and len(colour) == 3 and all(_is_whole(part, 255) for part in colour)
        ):
            raise ValueError(f"the colour of a class is {brief(colour)}")
        classes.append(LabelClass(name, index, None if colour is None else (colour[0], colour[1], colour[2])))
    check_classes(classes)
    return tuple(classes)


def _is_whole(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


class _PartOfRecipe(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class SavedTerm(_PartOfRecipe):
    """A loss term of a model's recipe."""

    loss: str
    weight: float


class SavedAdversarial(_PartOfRecipe):
    """The adversarial part of a model's recipe."""

    loss: str
    conditional: bool


class SavedObjective(_PartOfRecipe):
    """The objective of a model's recipe."""

    adversarial: SavedAdversarial | None = None
    terms: list[SavedTerm] = []


class SavedRecipe(_PartOfRecipe):
    """What is read of a model's recipe beside what a :class:`.recipe.Recipe` is made from; it may name plug-ins that are not here."""

    name: str = ""
    data: dict[str, Any] = {}
    generator: dict[str, Any] = {}
    objective: SavedObjective = SavedObjective()


@dataclass(frozen=True)
class Inference:
    """How the generator runs: two choices that ``.eval()`` would make silently, and a seed.

    Attributes:
        norm: ``batch``: statistics of the image at hand (the paper, section 3.3); ``running``: averages from training.
        noise: ``dropout``: the paper's noise z; ``none``: off, deterministic for any seed.
        seed: of the noise; the same image with the same seed gives the same result, whatever came before it.

    Raises:
        UserError: another word, or a seed beyond 64 bits.
    """

    norm: Norm = "batch"
    noise: Noise = "dropout"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("norm", Norm), ("noise", Noise)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(f"{name} is {brief(getattr(self, name))}: choose {' or '.join(get_args(kind))}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise UserError(f"the seed is {brief(self.seed)}: give a whole number from 0 to 2^63 - 1")


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a generator that its weights do not say.

    Attributes:
        generator: registered name.
        options: its options.
        source: what goes in.
        target: what comes out.
        size_multiple: height and width inside must be multiples of this; the translator pads and crops back.
        trained_size: side in pixels of the squares it was trained on, if known.
        inference: the default way to run it.
        checkpoint: which state this is, e.g. ``{"which": "last", "images": 48000}``.
        recipe: the complete recipe, if it was trained here.
        started_from: the model whose weights it began with (``path``, ``state``, ``files`` with their SHA-256), if it was fine-tuned.
    """

    generator: str
    options: dict[str, Any]
    source: Domain
    target: Domain
    size_multiple: int
    trained_size: int | None = None
    inference: Inference = field(default_factory=Inference)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] | None = None
    started_from: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, "transfigure": __version__, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: not such a mapping.
        """
        if type(values["format"]) is not int or values["format"] < 1:
            raise ValueError(f"its format is {values['format']!r}")
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known |= {side: Domain.from_dict(values[side]) for side in ("source", "target")}
        known["inference"] = Inference(**known.get("inference", {}))
        config = cls(**known)
        kinds = {"generator": str, "options": dict, "checkpoint": dict, "recipe": dict | None, "started_from": dict | None}
        for name, kind in kinds.items():
            if not isinstance(getattr(config, name), kind):
                raise ValueError(f"its {name} is {brief(getattr(config, name))}")
        sizes = config.size_multiple, config.trained_size
        if not _is_count(sizes[0], MOST_PIXELS) or not (sizes[1] is None or _is_count(sizes[1], MOST_PIXELS)):
            raise ValueError(f"its size_multiple is {brief(sizes[0])} and its trained_size {brief(sizes[1])}")
        images = config.checkpoint.get("images", 0)
        if type(images) is not int or not 0 <= images <= 2**53:
            raise ValueError(f"its checkpoint.images is {brief(images)}")
        check_tree(values)
        if config.recipe is not None:
            try:
                read_as(SavedRecipe, config.recipe)
            except ValueError as error:
                raise ValueError(f"of its recipe: {error}") from error
        return config


def describe_checkpoint(checkpoint: Mapping[str, Any]) -> str:
    """``last (48,000 images)``, ``best (ssim 0.41 on 50 validation pairs)``, or what else is known."""
    words = [f"{value:,} images" if key == "images" else str(value) for key, value in checkpoint.items()]
    return f"{words[0]} ({', '.join(words[1:])})" if len(words) > 1 else "".join(words) or "unknown"


def check_folder(folder: Path, overwrite: bool = False, *beside: str) -> None:
    """Find out before the work whether a model may be written here: an older one of ours is replaced.

    Args:
        folder: the model directory.
        overwrite: whether another's files of the same names are replaced, too.
        beside: names of further files that are going to be written there.

    Raises:
        UserError: files are there that this tool did not write, or links; or it is a run, which has its own model.
    """
    if (folder / "model" / CONFIG).is_file():
        raise UserError(f"{folder} is a run, and a model in it would hide its own, {folder / 'model'}: choose another folder")
    names = [CONFIG] if (folder / CONFIG).exists() else [CONFIG, WEIGHTS, CARD, *beside]  # the others are known by the configuration
    check_outputs([folder / name for name in names], overwrite)


def save_model(folder: Path, weights: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Write a model directory; each file appears whole or not at all, the configuration last.

    Args:
        folder: where to; created if absent, an older model in it is replaced.
        weights: the generator's state dict; a compiled one keeps its names.
        config: what it is.

    Raises:
        UserError: an option of the generator is nothing that the configuration can hold; nothing is written.
    """
    _check_options(config)
    weights = {".".join(part for part in name.split(".") if part != COMPILED): tensor for name, tensor in weights.items()}
    about = {"format": "pt", NETWORK: json.dumps(_network(config), sort_keys=True)}
    write_atomically(folder / WEIGHTS, lambda stream: write_tensors(stream, weights, about))
    write_text(folder / CARD, card(config))
    values = to_json_values(config.to_dict())
    write_json(folder / CONFIG, {**values, DIGEST: digest_of(values)})


def _check_options(config: ModelConfig) -> None:
    """See that the generator's options come back from JSON as they are: a class, a dtype or infinity would not."""
    for name, value in config.options.items():
        try:
            json.dumps(value, allow_nan=False, default=to_json_values)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"the option {name} of the generator {config.generator} is {brief(value)}, which {CONFIG} cannot hold: let the generator "
                "take a word or a number for it"
            ) from error


def _network(config: ModelConfig) -> dict[str, Any]:
    """What the weights say of the network they are of, so that they are not put into another of the same shapes."""
    network = {"generator": config.generator, "options": config.options, "channels": [config.source.channels, config.target.channels]}
    plain: dict[str, Any] = to_json_values(network)
    return plain


def read_config(folder: Path) -> ModelConfig:
    """What a model directory says of its generator; no weights are read.

    Raises:
        UserError: there is no such file, or it is damaged, or of a newer version.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} is not a model directory: it has no {CONFIG}; give a run or the model folder inside it")
    return _read_config(folder / CONFIG)[0]


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Generator, ModelConfig]:
    """The generator of a model directory, with its weights, and what it is."""
    return read_model(folder, device)[:2]


def read_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Generator, ModelConfig, str | None]:
    """The generator of a model directory, with its weights; what it is; and the SHA-256 that its weights' file carries, if it does.

    Raises:
        UserError: files missing, cut off, or not a model's.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not a model directory: it has no {name}; give a run or the model folder inside it")
    config, has_digest = _read_config(folder / CONFIG)
    try:
        header = check_tensors(folder / WEIGHTS)
        if NETWORK in header.metadata and not header.has_digest:  # both are written together
            raise Damaged("its SHA-256 is gone from its header")
        if has_digest and (network := header.metadata.get(NETWORK)) not in (None, json.dumps(_network(config), sort_keys=True)):
            raise UserError(
                f"{folder / WEIGHTS} does not fit the {config.generator} described in {CONFIG} (it was written for {_short(network)}): "
                "copy the model directory again"
            )
        generator = _built(folder, config, header)
        weights = read_tensors(folder / WEIGHTS, str(device))
    except (Damaged, safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged or cut off ({error}): copy it again, or train or resume the run anew") from error
    try:
        generator.load_state_dict(weights)
    except (RuntimeError, MemoryError, TypeError) as error:
        raise _not_fitting(folder, config, str(error).splitlines()[-1].strip()) from error
    return generator.to(device), config, header.digest


def _built(folder: Path, config: ModelConfig, header: TensorHeader) -> Generator:
    """The generator of a configuration, if its weights have the shapes of those that are there: else it is never built.

    Raises:
        UserError: they have not, or there is no such generator.
    """
    channels = config.source.channels, config.target.channels
    try:
        outline = outline_of(config.generator, *channels, config.options)
        for name, expected in ({} if outline is None else outline).items():
            if name not in header.tensors:
                raise _not_fitting(folder, config, f"there is no {name}")
            if (shape := header.tensors[name][1]) != tuple(expected.shape):
                raise _not_fitting(folder, config, f"{name} is {list(shape)} and not {list(expected.shape)}")
        if outline is not None and (left := next((name for name in header.tensors if name not in outline), None)):
            raise _not_fitting(folder, config, f"{left[:80]} has no place in it")
        # what is about to be overwritten is not drawn; what is drawn all the same must not move anybody's random numbers
        with torch.random.fork_rng(devices=[]), WithoutStartingWeights():
            generator = build_generator(config.generator, *channels, config.options)
    except _NotFitting:
        raise
    except UserError as error:  # e.g. a network from a plug-in that is not loaded
        raise UserError(f"{folder / CONFIG} describes a generator that cannot be built: {error}") from error
    except (RuntimeError, MemoryError, TypeError) as error:
        raise _not_fitting(folder, config, str(error).splitlines()[-1].strip()) from error
    if config.size_multiple % generator.size_multiple:
        raise UserError(
            f"{folder / CONFIG} says size_multiple {config.size_multiple}, and its {config.generator} needs multiples of "
            f"{generator.size_multiple}: copy the model directory again"
        )
    return generator


class _NotFitting(UserError):
    """Weights and configuration are of two models."""


def _not_fitting(folder: Path, config: ModelConfig, reason: str) -> UserError:
    return _NotFitting(
        f"{folder / WEIGHTS} does not fit the {config.generator} described in {CONFIG} ({reason[:200]}): copy the model directory again"
    )


def _short(network: str | None) -> str:
    return str(network).replace('"', "")[:200]


def _read_config(file: Path) -> tuple[ModelConfig, bool]:
    """A model's configuration, and whether it carries a digest."""
    try:
        values = read_json(file)
        newer = isinstance(values, dict) and isinstance(values.get("format"), int) and values["format"] > FORMAT
        if not newer:
            has_digest = check_digest(values) if isinstance(values, dict) else False
            return ModelConfig.from_dict(values), has_digest
    except Damaged as error:
        raise UserError(f"{file} is damaged ({error}); else copy the model directory again") from error
    except KeyError as error:
        raise UserError(f"{file} is not a model's configuration: it has no {error}; copy the model directory again") from error
    except (TypeError, ValueError, AttributeError, OverflowError, OSError, UserError) as error:
        raise UserError(f"{file} cannot be read as a model's configuration ({error}): copy the model directory again") from error
    raise UserError(
        f"{file} has format {brief(values['format'])} of transfigure {brief(values.get('transfigure'))}, which is newer than this one "
        f"({__version__}): pip install --upgrade transfigure"
    )


def _is_count(value: object, most: int = 2**31) -> bool:
    return type(value) is int and 0 < value <= most


INVENTS = (
    "A translator only knows images like those it was trained on, and invents what the source does not say: "
    "not for measurement or diagnosis."
)
"""What every card ends with."""


def card(config: ModelConfig) -> str:
    """A model card: what this is, how to use it, what it was trained by."""
    lines = [
        "---",
        "library_name: transfigure",
        "tags: [image-to-image]",
        "---",
        f"# {(config.recipe or {}).get('name', 'An image-to-image translator')}",
        "",
        what_it_does(config),
        "",
        "```bash",
        "transfigure translate THIS_FOLDER INPUT OUTPUT" + "".join(f" --plugins {shlex.quote(Path(file).name)}" for file in plugin_files()),
        "```",
        "",
        *facts_table(config),
        "",
        INVENTS,
        "",
    ]
    return "\n".join(lines)


def what_it_does(config: ModelConfig) -> str:
    """The first sentence of a card."""
    return f"A `{config.generator}` generator that turns a {_describe(config.source)} image into a {_describe(config.target)} image."


def facts_table(config: ModelConfig) -> list[str]:
    """What a configuration says, as the lines of a table."""
    recipe = config.recipe or {}
    data = recipe.get("data", {})
    terms = ", ".join(f"{term['weight']:g} x {term['loss']}" for term in recipe.get("objective", {}).get("terms", []))
    adversarial = recipe.get("objective", {}).get("adversarial")
    objective = " + ".join(
        part
        for part in (
            f"{'conditional' if adversarial['conditional'] else 'unconditional'} adversarial ({adversarial['loss']})"
            if adversarial
            else "",
            terms,
        )
        if part
    )
    return [
        "| | |",
        "|---|---|",
        f"| Generator | {config.generator}, {', '.join(f'{key} {value}' for key, value in config.options.items())} |",
        f"| Trained on | {data.get('kind', 'unknown')} pairs, squares of {config.trained_size or 'unknown'} pixels |",
        f"| Objective | {objective or 'unknown'} |",
        f"| State | {describe_checkpoint(config.checkpoint)} |",
        *_fine_tuned(config.started_from or {}),
        f"| Sizes | any; padded inside to a multiple of {config.size_multiple} and cropped back |",
        f"| Runs with | normalisation statistics: {config.inference.norm}; noise: {config.inference.noise}, seed {config.inference.seed} |",
    ]


def _fine_tuned(started_from: Mapping[str, Any]) -> list[str]:
    """The card's row about the model that a fine-tuned one began as."""
    if not started_from:
        return []
    files = started_from.get("files")
    hashes = [f"{name} SHA-256 {digest}" for name, digest in files.items()] if isinstance(files, Mapping) else []
    place = "/".join(Path(str(started_from.get("path", "a model"))).parts[-2:])  # what lies above it is nobody else's business
    told = "; ".join([str(started_from.get("state", "")), *hashes])
    return [f"| Fine-tuned from | {printable(f'{place} ({told})').replace('|', '&#124;')} |"]


def _describe(domain: Domain) -> str:
    depth = DEPTHS.get(domain.dtype, domain.dtype)
    names = f" ({brief_names(domain.file_names)})" if domain.file_names else ""
    kinds = {"labels": f"label ({domain.channels} classes)", "L": f"grey or colour {depth}", "ab": f"colour {depth}"}
    return kinds.get(domain.encoding, f"{domain.channels}-channel {depth}{names}")
