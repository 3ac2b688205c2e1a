"""Twelve training steps give the losses, weights and images that the reference implementation gives, in every clone.

The numbers in ``reference_numbers.npz`` come from running junyanz/pytorch-CycleGAN-and-pix2pix, commit 2a7afba, on the weights and
images of ``reference_cases.py`` (``make_reference_numbers.py``); none of them was computed by this package.

Both compute in double precision: adversarial training amplifies the last bits, and in single precision the reference itself is off its
own double-precision losses by up to 7e-4 within twelve steps of CycleGAN. So what is compared here is the algorithm, on any processor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.interop.reference_cases import CASES, SHOWN, STEPS, Case, summary
from transfigure.data.batch import Batch
from transfigure.interop.pytorch_cyclegan import RecognisedNetwork, convert_discriminator, convert_generator, recognise
from transfigure.recipe import Recipe
from transfigure.training.engine import Engine
from transfigure.training.setup import Setup
from transfigure.training.steps.base import TrainingStep
from transfigure.training.steps.build import build_step

TOLERANCE = 1e-5
"""The most that a loss, a value of an output or the norm of a kernel may be off; they were when this was written by 2e-7."""
OURS = {
    "pix2pix": {"G": "generator", "D": "discriminator"},
    "cycle_gan": {"G_A": "generator", "G_B": "inverse_generator", "D_A": "discriminator", "D_B": "inverse_discriminator"},
}
"""The reference's names of networks and ours."""


def reference_numbers(case: str) -> dict[str, NDArray[np.float64]]:
    with np.load(Path(__file__).with_name("reference_numbers.npz")) as file:
        return {key.removeprefix(f"{case}."): file[key] for key in file.files if key.startswith(f"{case}.")}


def our_step(case: Case) -> TrainingStep:
    """The step that a recipe of ours gives, in double precision, with the weights of the case."""
    weights = case.weights()
    found = {ours: recognise(weights[theirs]) for theirs, ours in OURS[case.model].items()}
    objective: dict[str, Any] = {"objective.adversarial.loss": case.gan_mode, "objective.terms": [{"loss": "l1", "weight": case.weight}]}
    if case.model == "cycle_gan":
        terms = [{"loss": "cycle", "weight": case.weight}, {"loss": "identity", "weight": case.weight / 2}]
        objective = {"objective.adversarial.pool": 50, "objective.terms": terms}
    recipe = Recipe.load(
        "pix2pix" if case.model == "pix2pix" else "cyclegan",
        {
            **_keys("generator", found["generator"]),
            **_keys("discriminator", found["discriminator"]),
            **{"generator.dropout": 0.0, "data.crop_size": case.size, "data.load_size": case.size},
            **{"training.accelerator": "cpu", "training.fused": False, "training.learning_rate": case.learning_rate},
            **objective,
        },
    )
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training), unpaired=case.model == "cycle_gan"))
    networks = step.networks()
    assert sorted(networks) == sorted(OURS[case.model].values())
    for theirs, ours in OURS[case.model].items():
        networks[ours].load_state_dict(_converted(weights[theirs]))
        networks[ours].double()
    return step


def _keys(section: str, found: RecognisedNetwork) -> dict[str, Any]:
    return {f"{section}.name": found.name, **{f"{section}.{key}": value for key, value in found.options.items()}}


def _converted(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    found = recognise(weights)
    return (convert_generator if found.kind == "generator" else convert_discriminator)(weights, found)


def batch(source: Tensor, target: Tensor) -> Batch:
    return Batch(source, target, tuple(str(index) for index in range(len(source))))


def assert_networks(step: TrainingStep, case: Case, expected: dict[str, NDArray[np.float64]]) -> None:
    """The weights after training, by norm and sum of every kernel, and what the generators make of the first images."""
    for theirs, ours in OURS[case.model].items():
        network, start = step.networks()[ours], case.weights()[theirs]
        converted, state = _converted(start), network.state_dict()
        trained = {key: state[_same(tensor, converted)] for key, tensor in start.items() if tensor.ndim == 4}
        np.testing.assert_allclose(summary(trained), expected[f"{theirs}.weights"], rtol=0, atol=TOLERANCE, err_msg=theirs)
        assert np.abs(summary(start).numpy() - expected[f"{theirs}.weights"]).max() > 100 * TOLERANCE, "training moved them"
        if theirs.startswith("G"):
            source = case.images()[0, 1 if theirs == "G_B" else 0].double()
            with torch.no_grad():
                for mode in ("eval", "train"):
                    output = network.train(mode == "train")(source)[0, :, SHOWN, SHOWN]
                    np.testing.assert_allclose(output, expected[f"{theirs}.{mode}"], rtol=0, atol=TOLERANCE, err_msg=f"{theirs} {mode}")


def _same(wanted: Tensor, tensors: dict[str, Tensor]) -> str:
    """The name under which this tensor stands among others."""
    return next(key for key, tensor in tensors.items() if torch.equal(tensor, wanted))


@pytest.mark.parametrize("name", ["pix2pix_vanilla", "pix2pix_lsgan"])
def test_twelve_steps_of_pix2pix(name: str) -> None:
    case, expected = CASES[name], reference_numbers(name)
    step, measured = our_step(case), []
    for source, target in case.images().double():
        output = step.training_step(batch(source, target))
        assert output.adversarial is not None and output.d_loss is not None
        measured.append([output.adversarial.item(), case.weight * output.terms["l1"].item(), output.d_loss.item()])
    g_gan, g_l1, d_real, d_fake = expected["losses"].T
    assert len(measured) == len(expected["losses"]) == STEPS
    np.testing.assert_allclose(measured, np.stack([g_gan, g_l1, (d_real + d_fake) / 2], 1), rtol=0, atol=TOLERANCE)
    assert_networks(step, case, expected)


def test_twelve_steps_of_cyclegan() -> None:
    case, expected = CASES["cycle_gan"], reference_numbers("cycle_gan")
    step, measured = our_step(case), []
    for a, b in case.images().double():
        output = step.training_step(batch(a, b))
        assert output.adversarial is not None and output.d_loss is not None
        terms = [weight * output.terms[key].item() for key, weight in (("cycle", case.weight), ("identity", case.weight / 2))]
        measured.append([output.adversarial.item(), *terms, output.d_loss.item()])
    pairs = expected["losses"].reshape(STEPS, 4, 2)  # of both directions each: adversarial, cycle, identity, discriminator
    np.testing.assert_allclose(measured, pairs.mean(2), rtol=0, atol=TOLERANCE)
    assert_networks(step, case, expected)
