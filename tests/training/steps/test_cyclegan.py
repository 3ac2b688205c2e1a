"""Two directions trained together: CycleGAN's step, its pool of images, and what is saved of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.domains import domains, fill
from tests.training.runs import checkpoint_tensors, log_entries, unpaired_recipe
from tests.training.small import small_batch, small_cyclegan
from transfigure import registry
from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.pool import ImagePool
from transfigure.training.steps.cyclegan import CycleGANStep
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train
from transfigure.translation.translator import Translator


def test_one_update_is_the_papers_objective() -> None:
    """Equation 3, with least squares and half the cycle's weight for the identity, against gradients written out by hand."""
    one, pair = small_cyclegan({"objective.adversarial.pool": 0}), small_batch(3)
    G, F_, D_Y, D_X = one.a_to_b.generator, one.b_to_a.generator, one.a_to_b.discriminator, one.b_to_a.discriminator
    x, y = pair.source, pair.target
    l1 = torch.nn.functional.l1_loss
    with torch.no_grad():
        adversarial = (D_Y(G(x)).logits[0] - 1).square().mean() + (D_X(F_(y)).logits[0] - 1).square().mean()  # type: ignore[misc]
        cycle = l1(F_(G(x)), x) + l1(G(F_(y)), y)
        identity = l1(G(y), y) + l1(F_(x), x)
        expected = float(adversarial + 10 * cycle + 5 * identity)
    moved = {name: network for name, network in one.networks().items() if "generator" in name}
    before = {name: [weight.detach().clone() for weight in network.parameters()] for name, network in moved.items()}
    total = (D_Y(G(x)).logits[0] - 1).square().mean() + (D_X(F_(y)).logits[0] - 1).square().mean()  # type: ignore[misc]
    total = total + 10 * (l1(F_(G(x)), x) + l1(G(F_(y)), y))
    total = total + 5 * (l1(G(y), y) + l1(F_(x), x))
    wanted = torch.autograd.grad(total, [*G.parameters(), *F_.parameters()])
    seen: list[torch.Tensor] = []
    move = one.g_optimizer.step

    def watched(*args: Any) -> Any:
        seen.extend(weight.grad.clone() for group in one.g_optimizer.param_groups for weight in group["params"])
        return move(*args)

    one.g_optimizer.step = watched  # type: ignore[method-assign]
    output = one.training_step(pair)
    assert float(output.g_loss) == pytest.approx(expected, rel=1e-5)
    assert float(output.terms["cycle"]) == pytest.approx(float(cycle) / 2, rel=1e-5)
    for got, want in zip(seen, wanted, strict=True):
        assert torch.allclose(got, want, atol=1e-6)
    for name, network in moved.items():
        assert any(not torch.equal(old, new.detach()) for old, new in zip(before[name], network.parameters()))


def test_the_discriminators_see_their_own_domain_and_the_old_fakes() -> None:
    one, pair = small_cyclegan({"objective.adversarial.pool": 0}), small_batch(4)
    seen: list[tuple[str, torch.Tensor]] = []
    for name, which in (("Y", one.a_to_b), ("X", one.b_to_a)):
        assert which.discriminator is not None
        which.discriminator.register_forward_pre_hook(lambda _, given, name=name: seen.append((name, given[0].detach().clone())))
    with torch.no_grad():
        fakes = {"Y": one.a_to_b.generator(pair.source), "X": one.b_to_a.generator(pair.target)}
    one.training_step(pair)
    reals = {"Y": pair.target, "X": pair.source}
    order = [(name, "real" if torch.equal(image, reals[name]) else "fake") for name, image in seen]
    assert order == [("Y", "fake"), ("X", "fake"), ("Y", "real"), ("Y", "fake"), ("X", "real"), ("X", "fake")]
    for name, image in seen:  # D sees the fakes that G was updated on, as they were before
        assert torch.equal(image, reals[name]) or torch.allclose(image, fakes[name], atol=1e-6)
    pool = ImagePool(1)
    pool.images = [torch.zeros(3, 32, 32)]
    one.a_to_b = replace(one.a_to_b, pool=pool)
    torch.manual_seed(next(seed for seed in range(100) if torch.rand((), generator=torch.Generator().manual_seed(seed)) < 0.5))
    seen.clear()
    one.training_step(pair)
    assert torch.equal([image for name, image in seen if name == "Y"][2], torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("name", ["streamlined", "cyclegan", "cut", "streamlined_identity"])
def test_killed_and_resumed_is_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stabiliser on, the pool among them, and terms that train weights of their own."""
    data = domains(tmp_path / "data", trainA=6, trainB=9)
    chosen = unpaired_recipe(name, data, **{"training.epochs": 2, "training.checkpoint_every": 4, "training.ema": 0.9})
    whole = train(chosen, tmp_path / "whole", quiet=True)
    kind = CycleGANStep if name == "cyclegan" else Pix2PixStep
    training_step, seen = kind.training_step, [0]

    def counted(self: Any, pair: Batch, measure: bool = False) -> Any:
        if seen[0] == 14:
            raise KeyboardInterrupt
        seen[0] += 1
        return training_step(self, pair, measure)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "training_step", counted)
        with pytest.raises(KeyboardInterrupt):
            train(chosen, tmp_path / "cut", quiet=True)
    train(chosen, tmp_path / "cut", resume=True, quiet=True)
    one, other = checkpoint_tensors(whole), checkpoint_tensors(tmp_path / "cut")
    assert one.keys() == other.keys() and len(one) > 40
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
    parts = set(load_checkpoint(whole / "checkpoints" / "last.pt")["step"])
    assert {"pool", "inverse_pool", "inverse_generator", "inverse_discriminator"} & parts == (
        {"pool", "inverse_pool", "inverse_generator", "inverse_discriminator"} if name == "cyclegan" else {"pool"}
    )
    assert ("terms" in parts) == (name == "cut")


def test_both_directions_can_be_used(tmp_path: Path) -> None:
    data = domains(tmp_path / "data", trainA=4, trainB=4)
    run = train(unpaired_recipe("cyclegan", data), tmp_path / "run", quiet=True)
    a_to_b, b_to_a = Translator.load(run), Translator.load(run / "model_inverse")
    saved = load_checkpoint(run / "checkpoints" / "last.pt")["step"]
    for translator, part in ((a_to_b, "generator"), (b_to_a, "inverse_generator")):
        assert all(torch.equal(value, saved[part][key]) for key, value in translator.generator.state_dict().items())
    assert [one.config.recipe["data"]["direction"] for one in (a_to_b, b_to_a)] == ["AtoB", "BtoA"]  # type: ignore[index]
    start = log_entries(run)[0]
    assert set(start["parameters"]) == {"generator", "discriminator", "inverse_generator", "inverse_discriminator"}


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("streamlined", {"objective.terms": [{"loss": "l1", "weight": 10}]}, "the loss l1 compares an output with its target"),
        ("streamlined", {"objective.adversarial.conditional": True}, "a conditional discriminator sees a source and its target together"),
        ("streamlined", {"objective.adversarial.augment": ["colour"]}, "did you mean 'color'"),
        ("streamlined", {"objective.adversarial.r1": -1}, "objective.adversarial.r1 cannot be -1"),
        ("cyclegan", {"objective.adversarial.pool": -1}, "objective.adversarial.pool cannot be -1"),
    ],
)
def test_what_unpaired_data_cannot_have_is_said_before_training(tmp_path: Path, name: str, more: dict[str, Any], words: str) -> None:
    data = domains(tmp_path / "data", trainA=2, trainB=2)
    with pytest.raises(UserError, match=words):
        train(unpaired_recipe(name, data, **more), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_domains_of_other_channels(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "trainA", 3, channels=1), fill(tmp_path / "data" / "trainB", 3, first=50)
    with pytest.raises(UserError, match="the loss identity needs sources and targets with equally many channels, and these have 1 and 3"):
        train(unpaired_recipe("streamlined_identity", tmp_path / "data"), tmp_path / "run", quiet=True)
    run = train(unpaired_recipe("streamlined", tmp_path / "data"), tmp_path / "run", quiet=True)  # nothing is compared: G goes from 1 to 3
    assert Translator.load(run).config.target.channels == 3


def test_a_loss_of_a_plugin_that_needs_no_pairs_is_told_how_to_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))

    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from transfigure import register\n\n\n"
        '@register("loss", "own_smoothness")\n'
        'def own_smoothness(batch):\n    """Of the output alone."""\n    return batch.fake.diff(dim=-1).abs().mean()\n'
    )
    registry.load_plugin(str(plugin))
    recipe = unpaired_recipe("streamlined", domains(tmp_path / "data", trainA=2, trainB=2), **{"objective.terms": ["own_smoothness"]})
    with pytest.raises(
        UserError, match=r'never reads batch\.target, register it with @register\("loss", "own_smoothness", unpaired=True\)'
    ):
        train(recipe, tmp_path / "run", quiet=True)
