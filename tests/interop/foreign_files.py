"""Files as other programs leave them, small: an export of pix2pix-tensorflow, and the folder of a training of the PyTorch reference."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.interop.make_pix2pix_tensorflow import Arrays
from tests.interop.reference_layouts import reference_unet

PIX2PIX = {
    **{
        "model": "pix2pix",
        "dataset_mode": "aligned",
        "dataroot": "./datasets/facades: old",
        "direction": "BtoA",
        "name": "facades_pix2pix",
    },
    **{"batch_size": 4, "load_size": 143, "crop_size": 128, "no_flip": True, "max_dataset_size": "inf", "preprocess": "resize_and_crop"},
    **{"netG": "unet_128", "ngf": 2, "netD": "n_layers", "n_layers_D": 2, "ndf": 32, "norm": "batch", "no_dropout": False},
    **{"gan_mode": "lsgan", "lambda_L1": 50.0, "pool_size": 0, "lr": 0.0001, "beta1": 0.4, "lr_policy": "linear"},
    **{"n_epochs": 60, "n_epochs_decay": 40, "print_freq": 200, "save_latest_freq": 3000, "init_type": "normal", "init_gain": 0.02},
    **{"isTrain": True, "suffix": "", "gpu_ids": "0,1", "display_server": "http://localhost", "use_wandb": False},
}


def exported(arrays: Arrays, /, **changes: Any) -> bytes:
    """The three parts, each behind its length; the numbers are spread evenly, since the reader is not to care."""
    flat = np.concatenate([value.ravel() for value in arrays.values()])
    numbers = np.linspace(flat.min(), flat.max(), 256, dtype=np.float32)
    chosen = np.abs(flat[:, None] - numbers).argmin(1).astype(np.uint8)
    shapes = [{"name": name, "shape": list(value.shape)} for name, value in arrays.items()]
    parts = {"names": json.dumps(shapes).encode(), "numbers": numbers.tobytes(), "weights": chosen.tobytes(), **changes}
    return b"".join(struct.pack(">L", len(part)) + part for part in parts.values())


def variables(depth: int = 4, width: int = 2, source: int = 3, target: int = 3, former: bool = False) -> Arrays:
    """A generator's variables of other sizes than the fixture's, under the names of late or of early 2017."""
    random, widths = np.random.default_rng(0), [width * min(2**level, 8) for level in range(depth)]
    names = ("conv/filter", "deconv/filter", "batchnorm/scale", "batchnorm/offset")
    if not former:
        names = ("conv2d/kernel", "conv2d_transpose/kernel", "batch_normalization/gamma", "batch_normalization/beta")
    made: Arrays = {}

    def layer(scope: str, kind: str, shape: tuple[int, ...], channels: int, norm: bool) -> None:
        made[f"generator/{scope}/{kind}"] = random.normal(0, 0.2, shape)
        if not former:
            made[f"generator/{scope}/{kind.replace('kernel', 'bias')}"] = random.normal(0, 0.5, channels)
        if norm:
            made[f"generator/{scope}/{names[2]}"], made[f"generator/{scope}/{names[3]}"] = random.normal(1, 0.2, (2, channels))

    for level in range(depth):
        layer(f"encoder_{level + 1}", names[0], (4, 4, widths[level - 1] if level else source, widths[level]), widths[level], level > 0)
    for level in reversed(range(depth)):
        outgoing, incoming = (widths[level - 1] if level else target), widths[level] * (1 if level == depth - 1 else 2)
        layer(f"decoder_{level + 1}", names[1], (4, 4, outgoing, incoming), outgoing, level > 0)
    return made


def written(options: dict[str, Any]) -> str:
    """A file of options as the reference prints it."""
    lines = [f"{name:>25}: {value!s:<30}{'' if name > 'm' else chr(9) + '[default: x: y]'}" for name, value in sorted(options.items())]
    return "\n".join(["----------------- Options ---------------", *lines, "----------------- End -------------------", ""])


def put_training(folder: Path) -> None:
    """A folder that a training of pix2pix wrote."""
    folder.mkdir()
    torch.save(reference_unet(3, 3, 2, 5, "batch"), folder / "latest_net_G.pth")
    put(folder, PIX2PIX)


def put(folder: Path, options: dict[str, Any]) -> Path:
    (folder / "train_opt.txt").write_text(written(options))
    return folder
