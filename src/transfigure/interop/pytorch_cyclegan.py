"""Networks trained with the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix), from nothing but their ``.pth`` files.

Such a file is a bare state dict: names and numbers, and no word about the architecture. The names and shapes show it all the same,
apart from the dropout of a U-Net, which has no numbers; pix2pix trains with it, so it is taken to be there, and is off unless asked for.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .. import registry
from ..data.files import write_atomically
from ..data.ownership import check_outputs
from ..errors import UserError
from ..integrity import check_claims
from ..networks.base import Discriminator, Generator
from ..networks.build import build_discriminator, build_generator
from ..networks.model_file import Domain, Inference, ModelConfig
from ..progress import without_warnings
from ..recipe.section import read_options
from ..stored import brief
from .checks import check_finite

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\x0a"
"""How files written by ``torch.save`` begin: since version 1.6, and before."""

_RECEPTIVE_FIELDS = {1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
"""The reference's ``n_layers_D``, in pixels."""


@dataclass(frozen=True)
class RecognisedNetwork:
    """The network that a state dict was recognised as.

    Attributes:
        kind: generator or discriminator.
        name: the registered name of ours that it is.
        options: ours, as they would stand in a recipe.
        source_channels: of a generator.
        target_channels: of a generator.
        channels: of a discriminator.
    """

    kind: Literal["generator", "discriminator"]
    name: str
    options: dict[str, Any]
    source_channels: int | None = None
    target_channels: int | None = None
    channels: int | None = None

    def __str__(self) -> str:
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        channels = (
            f"{self.channels} channels" if self.kind == "discriminator" else f"{self.source_channels} -> {self.target_channels} channels"
        )
        return f"{self.kind} {self.name}, {channels}, {options}"

    def build_generator(self) -> Generator:
        """The generator, with fresh weights."""
        assert self.source_channels is not None and self.target_channels is not None
        return build_generator(self.name, self.source_channels, self.target_channels, self.options)

    def build_discriminator(self) -> Discriminator:
        """The discriminator, with fresh weights."""
        assert self.channels is not None
        return build_discriminator(self.name, self.channels, self.options)


# ---- reading ------------------------------------------------------------------------------------------------------------


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file by name, on the CPU, without the prefixes that data-parallel and compiled modules add.

    Raises:
        UserError: the file is not there, is damaged, holds code or anything but named tensors.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would be waited for
        raise UserError(f"{path} is no file: give the .pth file of a network, e.g. latest_net_G.pth")
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the .pth file of a network, e.g. latest_net_G.pth") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give the .pth file of a network, e.g. latest_net_G.pth") from None
    if beginning not in (_ZIP, _PICKLE):
        raise UserError(f"{path} is not a file of PyTorch weights (it begins with {beginning!r}): is it the right file, wholly downloaded?")
    try:
        if beginning == _ZIP:
            check_claims(path)
        with without_warnings():  # torch wonders about some files before it refuses them
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise UserError(f"{path} is damaged or not a file of PyTorch weights: copy or download it again") from None
        raise UserError(
            f"{path} contains code ({code[1]}) that loading would run, so it is not loaded: "
            "ask its maker for the bare weights, saved with torch.save(network.state_dict(), ...)"
        ) from None
    except Exception:  # a broken archive surfaces as almost any exception type
        raise UserError(f"{path} is damaged, perhaps cut short: copy or download it again") from None
    return _clean(state, path)


def _clean(state: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{path} holds a {type(state).__name__} and not a state dict: give the file of one network's weights")
    cleaned = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise UserError(f"{path} is not a state dict: {brief(key)} is no name of a tensor; give the file of one network's weights")
        if not isinstance(value, Tensor):
            raise UserError(
                f"{path} is not a state dict: {key!r} is a {type(value).__name__} and not a tensor; give the file of one network's weights"
            )
        if value.is_meta or value.is_complex() or value.is_quantized:
            what = "shape without values" if value.is_meta else f"tensor of {value.dtype}"
            raise UserError(f"{path} is not a state dict as the reference writes it: {key!r} is a {what}, and weights are real numbers")
        # A few bytes that claim to be a huge tensor would be believed when the network is built.
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{path} is not a state dict as the reference writes it: {key!r} claims more values than the file holds")
        cleaned[re.sub(r"^((module|_orig_mod)\.)+", "", key)] = value
    return cleaned


# ---- recognising --------------------------------------------------------------------------------------------------------


def recognise(state: Mapping[str, Tensor]) -> RecognisedNetwork:
    """The architecture that a reference state dict belongs to, from its names and shapes.

    Raises:
        UserError: it is none of the reference's networks, or one that we do not have; the message lists the first names.
    """
    weights = {key.removesuffix(".weight"): value for key, value in state.items() if key.endswith(".weight") and value.ndim == 4}
    try:
        if "model.model.0" in weights:
            return _unet(state, weights)
        if any(".conv_block." in key for key in weights):
            return _resnet(state, weights)
        if "net.0" in weights:
            return _pixel(state, weights)
        if "model.0" in weights and "model.2" in weights:
            return _patch(state, weights)
    except KeyError as error:
        raise _unknown(state, f"it has no {error}") from None
    raise _unknown(state, "its names are others")


def _unknown(state: Mapping[str, Tensor], why: str) -> UserError:
    first = ", ".join(list(state)[:3]) or "nothing"
    return UserError(f"these weights are no network of pytorch-CycleGAN-and-pix2pix ({why}; they begin with {first})")


def _norm(state: Mapping[str, Tensor], conv: str, norm: str) -> str:
    """Batch norm has weights; with instance norm the convolutions have a bias; without norm the reference gives them none."""
    if f"{norm}.weight" in state:
        return "batch"
    return "instance" if f"{conv}.bias" in state else "none"


def _unet(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> RecognisedNetwork:
    depth = 2
    while f"{_level(depth)}.1" in weights:
        depth += 1
    width, source_channels = weights["model.model.0"].shape[:2]
    options = {
        "width": width,
        "depth": depth,
        # The innermost decoder layer is the one that is normalised at every depth.
        "norm": _norm(state, f"{_level(depth - 1)}.3", f"{_level(depth - 1)}.4"),
        "dropout": 0.5,
        "dropout_skip": 1,
        "dropout_layers": max(depth - 5, 0),
    }
    return RecognisedNetwork(
        "generator", "unet", options, source_channels=source_channels, target_channels=weights["model.model.3"].shape[1]
    )


def _resnet(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> RecognisedNetwork:
    width, source_channels = weights["model.1"].shape[:2]
    blocks = len({key.split(".conv_block.")[0] for key in weights if ".conv_block." in key})
    options = {
        "width": width,
        "blocks": blocks,
        "norm": _norm(state, "model.4", "model.5"),
        "dropout": 0.5 if "model.10.conv_block.6" in weights else 0.0,
    }
    return RecognisedNetwork(
        "generator", "resnet", options, source_channels=source_channels, target_channels=weights[f"model.{17 + blocks}"].shape[0]
    )


def _patch(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> RecognisedNetwork:
    width, channels = weights["model.0"].shape[:2]
    n_layers = len(weights) - 2
    if n_layers not in _RECEPTIVE_FIELDS:
        raise UserError(f"these weights are a PatchGAN of {n_layers} layers: only 1 to {max(_RECEPTIVE_FIELDS)} are supported")
    options = {"width": width, "receptive_field": _RECEPTIVE_FIELDS[n_layers], "norm": _norm(state, "model.2", "model.3")}
    return RecognisedNetwork("discriminator", "patch", options, channels=channels)


def _pixel(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> RecognisedNetwork:
    width, channels = weights["net.0"].shape[:2]
    options = {"width": width, "receptive_field": 1, "norm": _norm(state, "net.2", "net.3")}
    return RecognisedNetwork("discriminator", "patch", options, channels=channels)


# ---- converting ---------------------------------------------------------------------------------------------------------


def convert_generator(state: Mapping[str, Tensor], found: RecognisedNetwork) -> dict[str, Tensor]:
    """The same numbers under the names of our generator ``found.name``; fits ``load_state_dict(strict=True)``.

    Raises:
        UserError: tensors are missing, of other shapes, or left over.
    """
    names = {"unet": _unet_names, "resnet": _resnet_names}[found.name]
    return _convert(state, found, names)


def convert_discriminator(state: Mapping[str, Tensor], found: RecognisedNetwork) -> dict[str, Tensor]:
    """The same numbers under the names of our discriminator; fits ``load_state_dict(strict=True)``.

    Raises:
        UserError: tensors are missing, of other shapes, or left over.
    """
    return _convert(state, found, _patch_names)


def _convert(
    state: Mapping[str, Tensor], found: RecognisedNetwork, names: Callable[[RecognisedNetwork], dict[str, str]]
) -> dict[str, Tensor]:
    with torch.device("meta"):
        network = found.build_discriminator() if found.kind == "discriminator" else found.build_generator()
        expected = network.state_dict()
    theirs = names(found)
    left = dict(state)
    converted: dict[str, Tensor] = {}
    for key, wanted in expected.items():
        layer, _, field = key.rpartition(".")
        name = f"{theirs[layer]}.{field}"
        value = left.pop(name, None)
        if value is None and (field == "num_batches_tracked" or (field == "bias" and found.options["norm"] == "none")):
            # Not counted before PyTorch 0.4.1; and without norm the reference's convolutions have no bias, which is a bias of 0.
            value = torch.zeros(wanted.shape, dtype=wanted.dtype)
        if value is None:
            raise _unknown(state, f"{found.kind} {found.name} needs {name}")
        if value.shape != wanted.shape:
            raise _unknown(state, f"{name} is {list(value.shape)} where {found} has {list(wanted.shape)}")
        converted[key] = value.detach().to(wanted.dtype)
    if found.options["norm"] == "instance":
        # Files from before PyTorch 0.4 carry running statistics that instance norm never used.
        left = {key: value for key, value in left.items() if not re.search(r"\.(running_mean|running_var|num_batches_tracked)$", key)}
    if left:
        first = ", ".join(list(left)[:3])
        raise _unknown(state, f"{first}{f' and {len(left) - 3} more' if len(left) > 3 else ''} {_have(left)} no place in {found}")
    return converted


def _have(things: Mapping[str, Any]) -> str:
    return "has" if len(things) == 1 else "have"


def _level(level: int) -> str:
    """The U-Net is nested: level 1 is the outermost block but one, each level lies inside the one before."""
    return "model.model.1" + ".model.3" * (level - 1) + ".model"


def _unet_names(found: RecognisedNetwork) -> dict[str, str]:
    depth = found.options["depth"]
    names = {"down.0.conv": "model.model.0", f"up.{depth - 1}.conv": "model.model.3"}
    for level in range(1, depth):
        down, up = f"down.{level}", f"up.{depth - 1 - level}"
        innermost = level == depth - 1
        up_conv = 3 if innermost else 5
        names |= {f"{down}.conv": f"{_level(level)}.1", f"{up}.conv": f"{_level(level)}.{up_conv}"}
        names |= {f"{down}.norm": f"{_level(level)}.2", f"{up}.norm": f"{_level(level)}.{up_conv + 1}"}
    return names


def _resnet_names(found: RecognisedNetwork) -> dict[str, str]:
    blocks = found.options["blocks"]
    places = {"stem": 1, "down.0": 4, "down.1": 7, "up.0": 10 + blocks, "up.1": 13 + blocks}
    names = {f"{ours}.conv": f"model.{place}" for ours, place in places.items()}
    names |= {f"{ours}.norm": f"model.{place + 1}" for ours, place in places.items()}
    names["head"] = f"model.{17 + blocks}"
    second = 6 if found.options["dropout"] else 5
    for block in range(blocks):
        for ours, place in (("first", 1), ("second", second)):
            names[f"blocks.{block}.{ours}.conv"] = f"model.{10 + block}.conv_block.{place}"
            names[f"blocks.{block}.{ours}.norm"] = f"model.{10 + block}.conv_block.{place + 1}"
    return names


def _patch_names(found: RecognisedNetwork) -> dict[str, str]:
    pixel = found.options["receptive_field"] == 1
    prefix = "net" if pixel else "model"
    layers = 1 if pixel else {field: n for n, field in _RECEPTIVE_FIELDS.items()}[found.options["receptive_field"]]
    names = {"layers.0.conv": f"{prefix}.0", "head": f"{prefix}.{2 + 3 * layers}"}
    for layer in range(1, layers + 1):
        names |= {f"layers.{layer}.conv": f"{prefix}.{3 * layer - 1}", f"layers.{layer}.norm": f"{prefix}.{3 * layer}"}
    return names


# ---- the whole way ------------------------------------------------------------------------------------------------------


def load_generator(path: str | Path, dropout: bool = True) -> tuple[Generator, RecognisedNetwork]:
    """A generator of the reference, as ours, on the CPU and in eval mode (see :func:`transfigure.networks.modes.inference`).

    Args:
        path: the file.
        dropout: whether a U-Net was trained with dropout, which its file does not say.

    Raises:
        UserError: the file cannot be used, or is not a generator.
    """
    found, converted = _converted(path, "generator")
    if not dropout and found.name == "unet":
        found = replace(found, options={**found.options, "dropout": 0.0})
    check_finite(converted, path)
    with torch.device("meta"):
        network = found.build_generator()
    network.to_empty(device="cpu").load_state_dict(converted, strict=True)
    return network.eval(), found


def open_generator(path: str | Path, dropout: bool = True) -> tuple[Generator, ModelConfig]:
    """A generator of the reference, as ours, on the CPU, and the configuration under which a model directory would hold it.

    Its noise is off: of a U-Net's dropout the file says nothing, and whoever wants a picture wants the same one again.

    Args:
        path: the file.
        dropout: as :func:`load_generator`.

    Raises:
        UserError: the file cannot be used, or is not a generator.
    """
    generator, found = load_generator(path, dropout)
    size = generator.size_multiple
    config = ModelConfig(
        generator=found.name,
        options=dict(found.options),
        source=Domain(generator.source_channels),
        target=Domain(generator.target_channels),
        size_multiple=size,
        trained_size=size if size >= 64 else None,
        inference=Inference(noise="none"),
        checkpoint={"which": f"imported from {Path(path).name}"},
    )
    return generator, config


def about_dropout(generator: nn.Module) -> str | None:
    """What is to be said of an imported network whose dropout nobody asked for; None of one without."""
    if not any(isinstance(layer, nn.Dropout) for layer in generator.modules()):
        return None
    return "the dropout that this network was trained with is off: turn it on by --noise dropout"


def load_discriminator(path: str | Path) -> tuple[Discriminator, RecognisedNetwork]:
    """A discriminator of the reference, as ours, on the CPU and in eval mode.

    Raises:
        UserError: the file cannot be used, or is not a discriminator.
    """
    found, converted = _converted(path, "discriminator")
    with torch.device("meta"):
        network = found.build_discriminator()
    network.to_empty(device="cpu").load_state_dict(converted, strict=True)
    return network.eval(), found


def _converted(path: str | Path, kind: str) -> tuple[RecognisedNetwork, dict[str, Tensor]]:
    state = read_state(path)
    try:
        found = recognise(state)
        if found.kind != kind:
            raise UserError(f"it is a {found}: give a {kind}")
        return found, convert_generator(state, found) if kind == "generator" else convert_discriminator(state, found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (RuntimeError, OverflowError) as error:  # sizes beyond any memory
        raise UserError(f"{path}: no network can be of these sizes: {' '.join(str(error).split())[:200]}") from None


# ---- back ---------------------------------------------------------------------------------------------------------------

_SAME_LAYERS = {"unet": {"width", "depth", "norm"}, "resnet": {"width", "blocks", "norm"}}
"""Options of ours that the reference's networks have too; all others must be at their defaults, or without weights."""
_DROPOUT = {"dropout", "dropout_skip", "dropout_layers"}
_SIZES = {"unet": ("depth", {7: "unet_128", 8: "unet_256"}), "resnet": ("blocks", {6: "resnet_6blocks", 9: "resnet_9blocks"})}


class ReferenceFile(NamedTuple):
    """What there is to say of a file that was written for the reference.

    Attributes:
        flags: those of its ``test.py`` that describe the network.
        notes: what is not the same there.
    """

    flags: str
    notes: tuple[str, ...]


def write_reference(generator: Generator, config: ModelConfig, file: str | Path, overwrite: bool = False) -> ReferenceFile:
    """Write a generator's weights as the reference writes its ``latest_net_G.pth``; it loads them strictly.

    Args:
        generator: of ours, with its weights.
        config: what it is.
        file: the ``.pth`` file. It holds no word of who wrote it, so one that is there is anybody's.
        overwrite: replace one that is there.

    Raises:
        UserError: the reference has no such network, or the file cannot be written.
    """
    check_outputs([Path(file)], overwrite)
    options = _options_of_the_reference(config)
    notes = []
    own, theirs = (_dropout(config.generator, one) for one in (options, _as_theirs(config.generator, options)))
    dropped = own is not None and own == theirs
    if own and not dropped and config.inference.noise == "dropout":
        notes.append("the reference drops out other layers than this model: it makes the same pictures only without dropout")
    if {config.source.encoding, config.target.encoding} != {"values"}:
        notes.append(
            f"the reference knows values only: it needs the numbers that this model's encodings make of files ({config.source.encoding} "
            f"and {config.target.encoding}), and gives such numbers"
        )
    elif config.source.value_range or config.target.value_range or {config.source.dtype, config.target.dtype} != {"uint8"}:
        notes.append("the reference knows 8-bit images only, 0 to 255: give it others scaled as this model takes them")
    found = RecognisedNetwork("generator", config.generator, {**options, "dropout": 0.5 if dropped else 0.0})
    names = {"unet": _unet_names, "resnet": _resnet_names}[config.generator](found)
    state = {}
    for key, value in generator.state_dict().items():
        layer, _, field = key.rpartition(".")
        if options["norm"] == "none" and field == "bias" and layer not in ("head", f"up.{options.get('depth', 0) - 1}.conv"):
            if value.abs().max() > 0:
                raise UserError(
                    f"the reference's networks without norm have no biases, and this one has ({key}): it cannot be written for them"
                )
            continue
        state[f"{names[layer]}.{field}"] = value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu()
    write_atomically(Path(file), lambda stream: torch.save(state, stream))
    key, sizes = _SIZES[config.generator]
    flags = {
        "--netG": sizes[options[key]],
        "--norm": options["norm"],
        "--ngf": options["width"],
        "--input_nc": config.source.channels,
        "--output_nc": config.target.channels,
    }
    words = [f"{flag} {value}" for flag, value in flags.items()]
    quiet = dropped and config.inference.noise == "none"
    running = config.inference.norm == "running" or (quiet and config.generator == "resnet" and options["norm"] != "batch")
    if quiet and config.generator == "resnet" and not running:
        notes.append(
            "the reference's test.py leaves the dropout of this network on beside statistics of the image at hand, and here it is off"
        )
    words += ["--no_dropout"] * (not dropped or (quiet and config.generator == "unet")) + ["--eval"] * running
    return ReferenceFile(" ".join(words), tuple(notes))


def _options_of_the_reference(config: ModelConfig) -> dict[str, Any]:
    """All options of a generator, if the reference has one with them.

    Raises:
        UserError: it has none.
    """
    if config.generator not in _SAME_LAYERS:
        raise UserError(f"the reference has no {config.generator}: only {' and '.join(_SAME_LAYERS)} can be written for it")
    plain = {key: option.default for key, option in registry.entry("generator", config.generator).options.items()}
    options = {**plain, **read_options("generator", "generator", config.generator, dict(config.options))}
    if config.generator == "unet":
        options["depth"] = options["depth"] or 8
    if options.get("bottleneck_width") == 8 * options["width"]:
        options["bottleneck_width"] = None
    for key, value in options.items():
        if key not in _SAME_LAYERS[config.generator] | _DROPOUT and value != plain[key]:
            raise UserError(f"the reference has no {config.generator} with {key} {value}: only {key} {plain[key]} can be written for it")
    key, sizes = _SIZES[config.generator]
    if options[key] not in sizes:
        raise UserError(f"the reference has no {config.generator} with {key} {options[key]}: only {' and '.join(map(str, sizes))}")
    return options


def _as_theirs(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the reference's dropout."""
    placed = {"dropout_skip": 1, "dropout_layers": max(options["depth"] - 5, 0)} if name == "unet" else {}
    return {**options, "dropout": 0.5, **placed}


def _dropout(name: str, options: Mapping[str, Any]) -> tuple[float, range] | None:
    """Which layers are dropped out, with which probability; None without dropout."""
    if name == "resnet":
        return (options["dropout"], range(options["blocks"])) if options["dropout"] else None
    first, layers = options["dropout_skip"], options["dropout_layers"]
    dropped = range(min(first, options["depth"] - 1), min(first + layers, options["depth"] - 1))
    return (options["dropout"], dropped) if options["dropout"] and dropped else None
