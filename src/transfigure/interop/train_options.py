"""The options of pytorch-CycleGAN-and-pix2pix, as its ``train_opt.txt`` keeps them, and what each is here.

Such a file stands beside the weights and has a line for every option, ``batch_size: 4  [default: 1]``. :data:`OPTIONS` says of every one
what it is here, for the page of the documentation; :func:`recipe_of` makes a recipe of those that define a training.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..networks.model_file import ModelConfig
from ..recipe import Recipe

FILES = ("train_opt.txt", "opt.txt")
"""As it is called, and as it was called up to 2018."""
_LARGEST = 1 << 20

OPTIONS: dict[str, str] = {
    # base options
    "dataroot": "`data.path`, or DATA after the recipe",
    "name": "`name` of the recipe; a run is called by its folder, `--out`",
    "gpu_ids": "`--training.accelerator` and `--training.devices`; `--device` of the other commands",
    "checkpoints_dir": "the folder of `--out RUN`",
    "model": "the recipe: `pix2pix` or `cyclegan`; `test` is `transfigure translate`; `colorization` has no counterpart",
    "input_nc": "read from the images",
    "output_nc": "read from the images",
    "ngf": "`generator.width`",
    "ndf": "`discriminator.width`",
    "netD": "`discriminator.receptive_field`: `basic` is 70, `pixel` is 1, `n_layers` as below",
    "netG": "`generator.name`: `unet_256` is `unet` with `depth` 8, `unet_128` 7; `resnet_9blocks` is `resnet` with `blocks` 9, or 6",
    "n_layers_D": "`discriminator.receptive_field`: 1 to 5 layers see 16, 34, 70, 142 and 286 pixels",
    "norm": "`generator.norm` and `discriminator.norm`",
    "init_type": "always `normal`",
    "init_gain": "always 0.02",
    "no_dropout": "`generator.dropout` 0; without it 0.5, of a U-Net with `dropout_skip` 1",
    "dataset_mode": "`data.kind`: `aligned` is `side_by_side`, `unaligned` is `unpaired`",
    "direction": "`data.direction`",
    "serial_batches": "none: the order is drawn from `training.seed`",
    "num_threads": "`data.workers`; 0 is right once pairs are cached",
    "batch_size": "`training.batch_size`",
    "load_size": "`data.load_size`",
    "crop_size": "`data.crop_size`",
    "max_dataset_size": "`data.limit`",
    "preprocess": "`resize_and_crop` is `data.load_size` and `data.crop_size`, `crop` is `data.load_size` null; others have no counterpart",
    "no_flip": "`data.flip` false",
    "display_winsize": "none",
    "epoch": "`--epoch` of `import`; `--checkpoint` of the other commands",
    "load_iter": "`--epoch iter_5000` of `import`",
    "verbose": "none",
    "suffix": "none: name the folder of `--out`",
    "use_wandb": "`training.trackers: [wandb]`",
    "wandb_project_name": "the environment variable `WANDB_PROJECT`",
    # train options
    "display_freq": "`training.preview_every`, in images; by default once an epoch",
    "display_ncols": "none",
    "display_id": "none: `transfigure watch RUN` shows a training in the browser",
    "display_server": "none",
    "display_env": "none",
    "display_port": "none",
    "update_html_freq": "none: `transfigure watch` and `report.html` are written as training goes on",
    "print_freq": "`training.log_every`, in images too",
    "no_html": "none",
    "save_latest_freq": "`training.checkpoint_every`, in images too",
    "save_epoch_freq": "`training.keep_every`, in images",
    "save_by_iter": "`training.keep_every`",
    "continue_train": "`--resume`, which goes on exactly; `--from` begins anew with the weights",
    "epoch_count": "none: `--resume` knows",
    "phase": "none: the splits are found in the data; `--split` of `evaluate`",
    "n_epochs": "`training.decay_start`; null is half of all epochs",
    "n_epochs_decay": "`training.epochs` less `training.decay_start`",
    "beta1": "the first of `training.betas`",
    "lr": "`training.learning_rate`",
    "gan_mode": "`objective.adversarial.loss`: `vanilla`, `lsgan`, and `wgangp` is `wgan_gp`",
    "pool_size": "`objective.adversarial.pool`",
    "lr_policy": "`training.schedule`: `linear` is `linear_decay`, the others are `step`, `plateau` and `cosine`",
    "lr_decay_iters": "`training.decay_every`",
    # of the models
    "lambda_L1": "weight of the term `l1`",
    "lambda_A": "weight of the term `cycle`",
    "lambda_B": "the same; two different weights have no counterpart",
    "lambda_identity": "weight of the term `identity`, divided by that of `cycle`",
    "model_suffix": "`--direction` of `import` chooses between `_A` and `_B`",
    # test options
    "results_dir": "OUTPUT of `transfigure translate`",
    "aspect_ratio": "none: outputs have the sizes of their images",
    "eval": "`--norm running --noise none`",
    "num_test": "none: every image of a folder is translated",
    "isTrain": "none: set by the program",
}
"""Every option of its base, train and test options and of its models pix2pix and cycle_gan, and what it is here."""

FORMER = {
    "niter": "n_epochs",
    "niter_decay": "n_epochs_decay",
    "batchSize": "batch_size",
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "resize_or_crop": "preprocess",
    "which_direction": "direction",
    "which_epoch": "epoch",
    "which_model_netG": "netG",
    "which_model_netD": "netD",
    "nThreads": "num_threads",
    "how_many": "num_test",
    "ntest": "num_test",
    "no_lsgan": "gan_mode",
    "identity": "lambda_identity",
}
"""Earlier names of the same options."""


def read_options(file: Path) -> dict[str, str]:
    """The options of a ``train_opt.txt`` by their present names, as text.

    Raises:
        UserError: the file cannot be read, or is no such file.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(_LARGEST + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    lines = text[:_LARGEST].decode("utf-8", errors="replace").splitlines()
    found = [re.fullmatch(r"\s*(\w+): (.*?)\s*(?:\t\[default: .*\])?\s*", line) for line in lines]
    options = {line[1]: line[2] for line in found if line is not None}
    if len(text) > _LARGEST or "dataroot" not in options:
        raise UserError(f"{file} is no file of options as pytorch-CycleGAN-and-pix2pix writes it (no line says its dataroot): leave it out")
    if "no_lsgan" in options:
        options["no_lsgan"] = "vanilla" if options["no_lsgan"] == "True" else "lsgan"
    return {FORMER.get(name, name): value for name, value in options.items()}


@dataclass(frozen=True)
class Read:
    """What a file of options became.

    Attributes:
        recipe: ours.
        notes: what of it has no counterpart, or was not understood.
    """

    recipe: Recipe
    notes: tuple[str, ...]


class _Options:
    """Options by name, read as the types they have; a value that is none of its type is said with its file."""

    def __init__(self, options: Mapping[str, str], file: Path) -> None:
        self.options, self.file = options, file

    def text(self, name: str, default: str) -> str:
        return self.options.get(name, default)

    def flag(self, name: str) -> bool:
        return bool(self.one_of(name, {"True": True, "False": False}, "False"))

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.options.get(name, default))
        except ValueError:
            raise self.wrong(name, "it is no number") from None

    def count(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if not math.isfinite(value) or value != int(value):
            raise self.wrong(name, "it is no whole number")
        return int(value)

    def one_of(self, name: str, known: Mapping[str, Any], default: str) -> Any:
        value = self.options.get(name, default)
        if value not in known:
            raise self.wrong(name, f"only {', '.join(known)} {'has' if len(known) == 1 else 'have'} a counterpart here")
        return known[value]

    def wrong(self, name: str, why: str) -> UserError:
        return UserError(f"{self.file} says {name} {self.options.get(name)!r}, and {why}: change that line, or import the .pth file alone")


def recipe_of(options: Mapping[str, str], file: Path, config: ModelConfig, direction: str) -> Read:
    """A recipe of the training that these options describe.

    Args:
        options: as :func:`read_options` gives them.
        file: where they are from, for messages.
        config: of the generator that was imported: its architecture is the network's own, whatever the options say.
        direction: AtoB or BtoA: which of the two generators of CycleGAN that is.

    Raises:
        UserError: the options describe no training that there is here.
    """
    read = _Options(options, file)
    notes: list[str] = []
    unpaired = read.one_of("model", {"pix2pix": False, "cycle_gan": True}, "cycle_gan")
    data: dict[str, Any] = {
        "kind": read.one_of("dataset_mode", {"aligned": "side_by_side", "unaligned": "unpaired"}, "unaligned" if unpaired else "aligned"),
        "path": read.text("dataroot", ""),
        "direction": direction,
        "load_size": read.count("load_size", 286),
        "crop_size": read.count("crop_size", 256),
        "flip": not read.flag("no_flip"),
        "unpaired": unpaired,
    }
    preprocess = read.text("preprocess", "resize_and_crop")
    if preprocess != "resize_and_crop":
        data["load_size"] = None
    if preprocess not in ("resize_and_crop", "crop"):
        notes.append(f"preprocess {preprocess} has no counterpart: squares of {data['crop_size']} pixels are cut from images as they are")
    if (limit := read.number("max_dataset_size", math.inf)) < math.inf:
        data["limit"] = int(limit)
    tree = {
        "name": read.text("name", "imported"),
        "data": data,
        "generator": {"name": config.generator, **config.options},
        "discriminator": _discriminator(read, notes),
        "objective": _objective(read, unpaired, notes),
        "training": _training(read, unpaired),
    }
    for name, usual in (("init_type", "normal"), ("init_gain", "0.02")):
        if read.text(name, usual) != usual:
            notes.append(f"{name} {read.text(name, usual)} has no counterpart: networks that begin anew are drawn from N(0, 0.02)")
    if odd := [name for name in options if name not in OPTIONS]:
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        notes.append(f"not known, and left out: {', '.join(odd[:5])}{more}")
    try:
        return Read(Recipe.from_dict(tree), tuple(notes))
    except UserError as error:
        raise UserError(f"{file} makes no recipe: {error}; change it, or import the .pth file alone") from error


def _discriminator(read: _Options, notes: list[str]) -> dict[str, Any]:
    fields = {1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
    kind = read.one_of("netD", {"basic": 3, "n_layers": None, "pixel": 0}, "basic")
    layers = read.count("n_layers_D", 3) if kind is None else kind
    if layers not in (0, *fields):
        notes.append(f"n_layers_D {layers} has no counterpart: the discriminator has 5 layers")
        layers = 5
    norm = read.one_of("norm", {"instance": "instance", "batch": "batch", "none": "none"}, "instance")
    return {"name": "patch", "receptive_field": fields.get(layers, 1), "width": read.count("ndf", 64), "norm": norm}


def _objective(read: _Options, unpaired: bool, notes: list[str]) -> dict[str, Any]:
    forms = {"vanilla": "vanilla", "lsgan": "lsgan", "wgangp": "wgan_gp"}
    form = read.one_of("gan_mode", forms, "lsgan" if unpaired else "vanilla")
    adversarial = {"loss": form, "conditional": not unpaired, "pool": read.count("pool_size", 50 if unpaired else 0)}
    if not unpaired:
        return {"adversarial": adversarial, "terms": [{"loss": "l1", "weight": read.number("lambda_L1", 100.0)}]}
    forward, backward = read.number("lambda_A", 10.0), read.number("lambda_B", 10.0)
    if forward != backward:
        notes.append(f"lambda_A {forward:g} and lambda_B {backward:g} are one weight here: it is {forward:g}")
    terms = [{"loss": "cycle", "weight": forward}]
    if share := read.number("lambda_identity", 0.5):
        terms.append({"loss": "identity", "weight": share * forward})
    return {"adversarial": adversarial, "terms": terms}


def _training(read: _Options, unpaired: bool) -> dict[str, Any]:
    full, decay = read.count("n_epochs", 100), read.count("n_epochs_decay", 100)
    policies = {"linear": "linear_decay", "lambda": "linear_decay", "step": "step", "plateau": "plateau", "cosine": "cosine"}
    training: dict[str, Any] = {
        "epochs": full + decay,
        "batch_size": read.count("batch_size", 1),
        "learning_rate": read.number("lr", 2e-4),
        "betas": [read.number("beta1", 0.5), 0.999],
        "schedule": read.one_of("lr_policy", policies, "linear"),
        "log_every": read.count("print_freq", 100),
        "checkpoint_every": read.count("save_latest_freq", 5000),
    }
    if training["schedule"] == "linear_decay":
        training |= {"decay_start": None if full == decay else full} if decay else {"schedule": "constant"}  # null is half
    if training["schedule"] == "step":
        training |= {"decay_every": read.count("lr_decay_iters", 50)}
    if training["schedule"] == "plateau":
        training |= {"decay_factor": 0.2}
    if unpaired:
        training |= {"validate_every": 0, "best_metric": "random_frechet"}
    return training
