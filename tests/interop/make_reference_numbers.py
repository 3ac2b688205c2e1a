"""Writes ``reference_numbers.npz`` by running the reference implementation on the cases of ``reference_cases.py``.

    git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix ../reference && git -C ../reference checkout 2a7afba
    python -m tests.interop.make_reference_numbers --reference ../reference

Only torch and NumPy are needed: of the reference, its two model classes are imported, and neither its data nor its pages.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.interop.reference_cases import CASES, SHOWN, Case, summary

FILE = Path(__file__).with_name("reference_numbers.npz")
LOSSES = {
    "pix2pix": ("G_GAN", "G_L1", "D_real", "D_fake"),
    "cycle_gan": ("G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B"),
}
CLASSES = {"pix2pix": ("models.pix2pix_model", "Pix2PixModel"), "cycle_gan": ("models.cycle_gan_model", "CycleGANModel")}


def options(case: Case) -> Namespace:
    """What the reference's ``train.py`` would read from its flags."""
    common = {
        "isTrain": True, "device": torch.device("cpu"), "checkpoints_dir": ".", "name": "none", "preprocess": "none", "direction": "AtoB",
        "input_nc": 3, "output_nc": 3, "ngf": case.width, "ndf": case.width, "netD": "basic", "n_layers_D": 3, "no_dropout": True,
        "init_type": "normal", "init_gain": 0.02, "gan_mode": case.gan_mode, "lr": case.learning_rate, "beta1": 0.5,
    }  # fmt: skip
    if case.model == "pix2pix":
        return Namespace(**common, netG="unet_128", norm="batch", lambda_L1=case.weight)
    weights = {"lambda_A": case.weight, "lambda_B": case.weight, "lambda_identity": 0.5}
    return Namespace(**common, netG="resnet_6blocks", norm="instance", pool_size=50, **weights)


def run(case: Case) -> dict[str, Any]:
    """Train for twelve steps in double precision; the losses of each, then the outputs and the weights."""
    module, name = CLASSES[case.model]
    model = getattr(importlib.import_module(module), name)(options(case))
    networks = {key: getattr(model, f"net{key}") for key in case.weights()}
    for key, weights in case.weights().items():
        networks[key].load_state_dict(weights)
        networks[key].double()
    images = case.images().double()
    losses = []
    for a, b in images:
        model.set_input({"A": a, "B": b, "A_paths": [], "B_paths": []})
        model.optimize_parameters()
        losses.append([getattr(model, f"loss_{key}").item() for key in LOSSES[case.model]])
    found: dict[str, Any] = {"losses": np.array(losses)}
    for key, network in networks.items():
        found[f"{key}.weights"] = summary({name: network.state_dict()[name] for name in case.weights()[key]}).numpy()
        if key.startswith("G"):
            source = images[0, 1 if key == "G_B" else 0]
            with torch.no_grad():
                found[f"{key}.eval"] = network.eval()(source)[0, :, SHOWN, SHOWN].float().numpy()
                found[f"{key}.train"] = network.train()(source)[0, :, SHOWN, SHOWN].float().numpy()
    return found


def main() -> None:
    """Run every case and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, type=Path, help="a checkout of the reference at commit 2a7afba")
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write (default: %(default)s)")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.reference.resolve()))
    torch.set_num_threads(1)
    numbers = {f"{name}.{key}": value for name, case in CASES.items() for key, value in run(case).items()}
    np.savez_compressed(arguments.out, **numbers)
    print(f"{arguments.out}: {len(numbers)} arrays, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
