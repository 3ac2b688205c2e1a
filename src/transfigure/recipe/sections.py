"""The sections of a recipe: dataclasses whose docstrings are the flags' help."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Data:
    """Where the pairs come from and how they become squares of pixels.

    Args:
        kind: dataset kind (see ``transfigure list``); ``auto`` recognises the folder's layout.
        path: the folder or manifest; none for ``synthetic``.
        direction: ``AtoB``: the left half / first folder is the source; ``BtoA``: the target.
        load_size: side in pixels that pairs are resized to before cropping (the paper: 286); null keeps the file's size.
        crop_size: side of the square the networks see in training.
        flip: mirror half of the training pairs, source and target alike.
        source_resize: interpolation of sources; use ``nearest`` for label maps.
        target_resize: interpolation of targets.
        alpha: what to do with transparency: refuse it, composite on white or black, drop it, or keep it as a channel.
        source_range: values mapped to [-1, 1], e.g. [0, 4095]; null is the file type's full range.
        target_range: the same for targets.
        val_fraction: share of pairs held out for validation where there are no split sub-folders.
        test_fraction: the same for testing.
        split_seed: seed of that division.
        limit: use only this many training pairs (a seeded choice); null uses all.
        unpaired: draw every source's target at random, whatever pairs there are; data without pairs is always read so.
        cache_gb: memory for decoded and resized pairs, per process; 0 decodes every time.
        workers: loader processes; 0 is right once pairs are cached.
    """

    kind: str = "auto"
    path: str | None = None
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    load_size: int | None = 286
    crop_size: int = 256
    flip: bool = True
    source_resize: Literal["bicubic", "nearest"] = "bicubic"
    target_resize: Literal["bicubic", "nearest"] = "bicubic"
    alpha: Literal["refuse", "white", "black", "drop", "keep"] = "refuse"
    source_range: tuple[float, float] | None = None
    target_range: tuple[float, float] | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    split_seed: int = 0
    limit: int | None = None
    unpaired: bool = False
    cache_gb: float = 2.0
    workers: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """A registered network by name, with its options.

    Args:
        name: the registered name (see ``transfigure list``).
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)


AUGMENTATIONS = ("color", "translation", "cutout")
"""What can be done to the images that D sees (``losses/augment.py``)."""


@dataclass(frozen=True)
class Adversarial:
    """The adversarial part of the objective.

    Args:
        loss: the form of the game (see ``transfigure list``).
        conditional: the discriminator sees source and image together (cGAN), or the image alone (GAN).
        weight: factor of G's adversarial loss.
        r1: gradient penalty on D at real images: half of this times its squared slope; 0 is off (10 is usual). G's objective stays.
        augment: what is done to every image that D sees, any of color, translation, cutout; for few images. G's objective stays.
        pool: show D so many earlier generated images at even odds instead of the newest; 0 is off (CycleGAN: 50).
    """

    loss: str = "vanilla"
    conditional: bool = True
    weight: float = 1.0
    r1: float = 0.0
    augment: list[str] = field(default_factory=list)
    pool: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectiveSection:
    """What G minimises: the adversarial part (or null) and any number of weighted terms."""

    adversarial: Adversarial | None
    terms: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Training:
    """How the networks are optimised, and what is kept on the way.

    Args:
        epochs: passes over the training pairs.
        batch_size: pairs per update and device.
        learning_rate: Adam's step size for both networks.
        discriminator_learning_rate: Adam's step size for D if it shall differ (two time-scales); null is the same.
        betas: Adam's decay rates.
        schedule: ``linear_decay``: constant for the first half, then linearly to zero; ``cosine``: half a cosine; or ``constant``.
        ema: decay per update of an exponential moving average of G, which is then what is saved as the model; null is off.
        seed: seed of initialisation, order, crops and dropout.
        log_every: images between two lines of log.jsonl.
        preview_every: images between two sets of preview pictures; null is once an epoch.
        preview_count: how many fixed examples are previewed.
        checkpoint_every: images between two checkpoints; null is once an epoch.
        keep_every: images between two models that are kept in ``kept/``, to be looked at later; null keeps none.
        validate_every: epochs between two validations; 0 is never.
        best_metric: the metric by which ``best`` is chosen on the validation pairs.
        patience: stop after this many validations without a better one; null never stops early.
        devices: processes to train with on each machine, one per device.
        nodes: machines to train with (started by torchrun or SLURM on each).
        accelerator: where to compute.
        precision: number format of the computation.
        sync_batchnorm: batch statistics over all devices (GPU only).
        fused: Adam as one fused kernel (faster; its rounding differs from the unfused one).
        channels_last: memory layout NHWC; ``auto`` chooses what is faster for the generator.
        trackers: also log to these, through their own libraries: tensorboard, mlflow, wandb.
    """

    epochs: int = 200
    batch_size: int = 1
    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Literal["linear_decay", "constant", "cosine"] = "linear_decay"
    ema: float | None = None
    seed: int = 0
    log_every: int = 50
    preview_every: int | None = None
    preview_count: int = 4
    checkpoint_every: int | None = None
    keep_every: int | None = None
    validate_every: int = 1
    best_metric: str = "ssim"
    patience: int | None = None
    devices: int = 1
    nodes: int = 1
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    sync_batchnorm: bool = False
    fused: bool = True
    channels_last: Literal["auto", "yes", "no"] = "auto"
    trackers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    Args:
        loss: the registered loss (see ``transfigure list``).
        weight: its factor in the objective.
        like: another loss: the term is scaled in every update so that its gradient at the generated image is as long as that loss's.
    """

    loss: str
    weight: float = 1.0
    like: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def plain(section: Any) -> dict[str, Any]:
    """A section as plain values, its options among them."""
    values = {item.name: getattr(section, item.name) for item in dataclasses.fields(section) if item.name != "options"}
    values.update(getattr(section, "options", {}))
    return {key: list(value) if isinstance(value, tuple) else copy.copy(value) for key, value in values.items()}
