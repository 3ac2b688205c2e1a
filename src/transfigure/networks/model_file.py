"""A model directory: ``generator.safetensors`` + ``config.json`` + ``README.md`` (the card). All that is needed to use a generator.

The configuration says everything that would otherwise have to be typed again: architecture, channels, value ranges, size multiple,
which statistics and which noise to use, the recipe and where in its training it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .._version import __version__
from ..data.files import write_atomically, write_json, write_text
from ..errors import UserError
from .build import build_generator

FORMAT = 1
WEIGHTS, CONFIG, CARD = "generator.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class Domain:
    """What the images on one side are.

    Attributes:
        channels: number of channels.
        dtype: ``uint8``, ``uint16`` or ``float32``: the type of the files it was trained on, and what is written.
        value_range: the values that are -1 and 1 inside; None is the type's full range.
    """

    channels: int
    dtype: str = "uint8"
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Inference:
    """How the generator runs: two choices that ``.eval()`` would make silently, and a seed.

    Attributes:
        norm: ``batch``: statistics of the image at hand (the paper, section 3.4); ``running``: averages from training.
        noise: ``dropout``: the paper's noise z; ``none``: off, deterministic for any seed.
        seed: of the noise; the same image with the same seed gives the same result, whatever came before it.
    """

    norm: Literal["batch", "running"] = "batch"
    noise: Literal["dropout", "none"] = "dropout"
    seed: int = 0


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, "transfigure": __version__, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: not such a mapping.
        """
        if values["format"] > FORMAT:
            raise ValueError(f"format {values['format']} was written by a newer version ({values.get('transfigure')})")
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        for side in ("source", "target"):
            limits = known[side].get("value_range")
            known[side] = Domain(**{**known[side], "value_range": None if limits is None else (float(limits[0]), float(limits[1]))})
        known["inference"] = Inference(**known["inference"])
        return cls(**known)


def save_model(folder: Path, weights: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Write a model directory; each file appears whole or not at all, the configuration last.

    Args:
        folder: where to; created if absent, an older model in it is replaced.
        weights: the generator's state dict.
        config: what it is.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomically(folder / WEIGHTS, safetensors.torch.save(tensors, metadata={"format": "pt", "transfigure": __version__}))
    write_text(folder / CARD, card(config))
    write_json(folder / CONFIG, config.to_dict())


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelConfig]:
    """The generator of a model directory, with its weights, and what it is.

    Raises:
        UserError: files missing, cut off, or not a model's.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not a model directory: it has no {name}; give a run or the model folder inside it")
    try:
        config = ModelConfig.from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(f"{folder / CONFIG} cannot be read as a model's configuration: {error}; copy the model directory again") from error
    with torch.random.fork_rng(devices=[]):  # initialisation that is about to be overwritten must not move anybody's random numbers
        generator = build_generator(config.generator, config.source.channels, config.target.channels, config.options)
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS, device=str(device))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged or cut off ({error}): copy it again, or train or resume the run anew") from error
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit the {config.generator} described in {CONFIG}: {str(error).splitlines()[-1].strip()}"
        ) from error
    return generator.to(device), config


def card(config: ModelConfig) -> str:
    """A model card: what this is, how to use it, what it was trained by."""
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
    state = ", ".join(f"{key} {value}" for key, value in config.checkpoint.items())
    lines = [
        "---",
        "library_name: transfigure",
        "tags: [image-to-image]",
        "---",
        f"# {recipe.get('name', 'An image-to-image translator')}",
        "",
        f"A `{config.generator}` generator that turns a {_describe(config.source)} image into a {_describe(config.target)} image.",
        "",
        "```bash",
        "transfigure translate THIS_FOLDER INPUT OUTPUT",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| Generator | {config.generator}, {', '.join(f'{key} {value}' for key, value in config.options.items())} |",
        f"| Trained on | {data.get('kind', 'unknown')} pairs, squares of {config.trained_size or 'unknown'} pixels |",
        f"| Objective | {objective or 'unknown'} |",
        f"| State | {state or 'unknown'} |",
        f"| Sizes | any; padded inside to a multiple of {config.size_multiple} and cropped back |",
        f"| Runs with | normalisation statistics: {config.inference.norm}; noise: {config.inference.noise}, seed {config.inference.seed} |",
        "",
        "A translator only knows images like those it was trained on, and invents what the source does not say: not for measurement or diagnosis.",
        "",
    ]
    return "\n".join(lines)


def _describe(domain: Domain) -> str:
    depth = {"uint8": "8-bit", "uint16": "16-bit"}.get(domain.dtype, domain.dtype)
    return f"{domain.channels}-channel {depth}"
