"""Distances in the layers of a classifier and of D: against their equations, on random weights, and what a training does with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.features.networks import HEADS, classifier, published
from tests.training.runs import checkpoint_tensors
from tests.training.small import small_batch, small_setup
from transfigure.cli.main import main
from transfigure.data.batch import Batch
from transfigure.errors import Missing, UserError
from transfigure.features import weights
from transfigure.losses.objective import Objective
from transfigure.losses.perceptual import Perceptual, feature_matching
from transfigure.metrics.perceptual import LPIPS
from transfigure.networks.base import DiscriminatorOutput
from transfigure.networks.build import build_generator
from transfigure.training.steps.build import build_step

# ---- features of D -------------------------------------------------------------------------------------------------------


def output(*scales: list[Tensor]) -> DiscriminatorOutput:
    return DiscriminatorOutput(tuple(torch.zeros(1, 1, 1, 1) for _ in scales), tuple(tuple(layers) for layers in scales))


def pictures(seed: int = 0, channels: int = 3, size: int = 40, n: int = 2) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch_of(generated: Tensor, target: Tensor) -> Batch:
    return Batch(target, target, tuple(map(str, range(len(target))))).with_fake(generated)


ANY = batch_of(pictures(), pictures(1))


def test_feature_matching_is_the_mean_over_scales_of_the_mean_over_layers() -> None:
    zero = torch.zeros(2, 4, 3, 3)
    real = output([zero, zero[:, :1]], [zero[:, :2]])
    fake = output([zero + 2, zero[:, :1] - 4], [zero[:, :2] + 7])  # layers count alike, however many channels, and so do scales
    assert feature_matching(ANY, real, fake).item() == pytest.approx(((2 + 4) / 2 + 7) / 2)
    random = [torch.randn(2, 5, 4, 4), torch.randn(2, 8, 2, 2)], [torch.randn(2, 5, 4, 4), torch.randn(2, 8, 2, 2)]
    by_hand = np.mean([np.abs(a.numpy() - b.numpy()).mean() for a, b in zip(*random, strict=True)])
    assert feature_matching(ANY, output(random[0]), output(random[1])).item() == pytest.approx(by_hand, rel=1e-6)
    assert feature_matching(ANY, real, real).item() == 0


def test_feature_matching_teaches_the_generated_side_alone_and_counts_in_float32() -> None:
    real, fake = (torch.randn(1, 2, 3, 3, requires_grad=True) for _ in range(2))
    feature_matching(ANY, output([real]), output([fake])).backward()
    assert real.grad is None and fake.grad is not None
    torch.testing.assert_close(fake.grad, (fake - real).sign().detach() / 18)
    halves = feature_matching(ANY, output([real.detach().bfloat16()]), output([fake.detach().bfloat16()]))
    assert halves.dtype == torch.float32


def test_feature_matching_needs_features() -> None:
    with pytest.raises(UserError, match="feature_matching reads the discriminator's inner layers, and this one gives none"):
        feature_matching(ANY, output([]), output([]))


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_feature_matching_reads_d_in_a_training_step_and_does_not_train_it(update: str) -> None:
    """A term at any weight leaves D's step as it is, and G's gradient is that of the term by hand."""
    chosen = {"discriminator.norm": "instance", "generator.dropout": 0.0, "training.update": update}
    states = []
    for weight in (0.0, 50.0):
        step = build_step(small_setup({**chosen, "objective.terms": [{"loss": "feature_matching", "weight": weight}]}))
        value = step.training_step(small_batch(count=2)).terms["feature_matching"]
        assert value > 0
        networks = step.networks()
        states.append((value, networks["discriminator"].state_dict(), networks["generator"].state_dict()))
    (value, d, g), (other_value, other_d, other_g) = states
    assert value == other_value
    assert all(torch.equal(d[key], other_d[key]) for key in d), "D learns from its own loss alone"
    assert any(not torch.equal(g[key], other_g[key]) for key in g)


def test_feature_matching_needs_pairs_and_a_discriminator() -> None:
    terms = {"objective.terms": [{"loss": "feature_matching"}]}
    with pytest.raises(UserError, match=r"feature_matching reads the discriminator, and objective\.adversarial is null"):
        build_step(small_setup({**terms, "objective.adversarial": None}))


# ---- a classifier's features ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    found = {f"lpips_{kind}": HEADS / f"{kind}.pth" for kind in ("alex", "vgg", "squeeze")}
    for name in ("alexnet", "vgg16", "squeezenet"):
        found[name] = folder / f"{name}.pth"
        torch.save(published(name), found[name])
    return found


@pytest.fixture
def at_hand(files: dict[str, Path]) -> Iterator[None]:
    with weights.explicit(files):
        yield


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("kind", ["alex", "vgg", "squeeze"])
def test_perceptual_is_the_metric_lpips_with_a_gradient(kind: str) -> None:
    generated, target = pictures().requires_grad_(), pictures(1)
    metric = LPIPS(kind)  # type: ignore[arg-type]
    metric.update(generated.detach(), target)
    value = Perceptual(f"lpips_{kind}")(batch_of(generated, target))  # type: ignore[arg-type]
    assert value.shape == () and value.item() == pytest.approx(metric.compute()["lpips"], rel=1e-5)
    value.backward()
    assert generated.grad is not None and generated.grad.isfinite().all() and (generated.grad != 0).any()


@pytest.mark.usefixtures("at_hand")
def test_plain_vgg_is_johnsons_equation_2_over_four_layers() -> None:
    generated, target = pictures(), pictures(1)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    network = classifier("vgg16")
    seen = [network(((images + 1) / 2 - mean) / deviation)[:4] for images in (generated, target)]
    expected = np.mean([((x - y).square().sum((1, 2, 3)) / x[0].numel()).mean().item() for x, y in zip(*seen, strict=True)])
    assert Perceptual("vgg16")(batch_of(generated, target)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("distance", ["lpips_alex", "lpips_squeeze", "vgg16"])
def test_perceptual_is_none_for_the_target_and_more_for_a_blur_and_grey_is_colour(distance: str) -> None:
    term, target = Perceptual(distance), pictures(1)  # type: ignore[arg-type]
    same = target.clone().requires_grad_()
    value = term(batch_of(same, target))
    value.backward()
    assert value.item() == 0 and same.grad is not None and same.grad.isfinite().all()
    assert term(batch_of(F.avg_pool2d(target, 3, 1, 1), target)).item() > 1e-4
    grey, other = pictures(2, channels=1), pictures(3, channels=1)
    assert term(batch_of(grey, other)).item() == pytest.approx(term(batch_of(grey.repeat(1, 3, 1, 1), other.repeat(1, 3, 1, 1))).item())


@pytest.mark.usefixtures("at_hand")
def test_perceptual_has_a_finite_gradient_where_nothing_is_active() -> None:
    term = Perceptual("lpips_alex")
    term.prepare(build_generator("unet", 3, 3, {"width": 2, "depth": 3}))
    assert term._trunk is not None
    for key, value in term._trunk.state.items():
        if key.endswith("bias"):
            value.fill_(-1e3)  # every rectifier is shut
    generated = pictures().requires_grad_()
    term(batch_of(generated, pictures(1))).backward()
    assert generated.grad is not None and torch.equal(generated.grad, torch.zeros_like(generated))


@pytest.mark.usefixtures("at_hand")
def test_what_perceptual_cannot_see_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"no distance 'lpips_vg'.*lpips_vgg"):
        Perceptual("lpips_vg")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the targets have 5 channels"):
        Objective([{"loss": "perceptual"}]).prepare(build_generator("unet", 3, 5, {"width": 2, "depth": 3}))
    with pytest.raises(UserError, match="at least 31 x 31 pixels, and these are 16 x 16"):
        Perceptual("lpips_alex")(batch_of(pictures(size=16), pictures(1, size=16)))


TINY = ["--data.train", "4", "--data.test", "2", "--generator.width", "2", "--discriminator.width", "2", "--training.epochs", "1"]
TRAIN = [
    "train",
    "pix2pix_tiny",
    *TINY,
    "--training.preview_count",
    "1",
    "--training.log_every",
    "1",
    "--training.accelerator",
    "cpu",
    "--quiet",
]
TERM = ["--objective.terms", "[{loss: perceptual, distance: lpips_alex, weight: 2}]"]


@pytest.mark.usefixtures("nowhere")
def test_without_its_weights_nothing_is_trained_and_the_sentence_is_the_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, *TERM, "--out", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err
    with pytest.raises(Missing) as metrics:
        LPIPS()
    assert str(metrics.value) in " ".join(said.split()) or str(metrics.value) in said
    assert "transfigure weights get alexnet lpips_alex" in said
    assert not [*tmp_path.rglob("checkpoints/*")]


@pytest.mark.usefixtures("nowhere")
def test_files_of_weights_are_named_in_train_and_are_no_part_of_a_checkpoint(tmp_path: Path, files: dict[str, Path]) -> None:
    named = [word for name in ("alexnet", "lpips_alex") for word in ("--weights", f"{name}={files[name]}")]
    run = tmp_path / "run"
    assert main([*TRAIN, *TERM, *named, "--out", str(run)]) == 0
    assert "perceptual" in (run / "log.jsonl").read_text()
    assert not [name for name in checkpoint_tensors(run) if "terms" in name or "features" in name]
    assert sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) < 5_000_000
