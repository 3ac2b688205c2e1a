"""One pass of a generator: recorded and replayed where a device can, and in half precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure.errors import UserError
from transfigure.networks.base import Generator
from transfigure.networks.generators.unet import UNet
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.translation import forward as module
from transfigure.translation.forward import MOST, Forward
from transfigure.translation.translator import Precision, Translator

T = TypeVar("T")


class Again:
    """A graph on a CPU: the same call on the same tensors, whose output is overwritten each time."""

    def __init__(self) -> None:
        self.aside_ = self.recorded = self.replayed = 0

    def aside(self, act: Callable[[], T]) -> T:
        self.aside_ += 1
        return act()

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        self.recorded += 1
        kept: list[T] = []

        def again() -> T:
            self.replayed += 1
            made = act()
            if kept and isinstance(kept[0], Tensor) and isinstance(made, Tensor):
                kept[0].copy_(made)
            else:
                kept.append(made)
            return kept[0]

        return again


class Full(Again):
    """A device without memory for it."""

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        raise torch.OutOfMemoryError("CUDA out of memory")


def unet(**more: object) -> UNet:
    torch.manual_seed(0)
    return UNet(3, 3, width=4, depth=3, **more).eval()  # type: ignore[arg-type]


def image(seed: int, height: int = 16, width: int = 24) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def with_graphs(monkeypatch: pytest.MonkeyPatch, graphs: Again) -> Forward:
    monkeypatch.setattr(Forward, "_graphs_for", lambda self, generator, device: graphs)
    return Forward()


@pytest.mark.parametrize("noise", ["dropout", "none"])
@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_replayed_pass_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch, norm: str, noise: str) -> None:
    generator, how = unet(), Inference(norm=norm, noise=noise, seed=3)  # type: ignore[arg-type]
    plain = [Forward()(generator, image(seed), how) for seed in range(5)]
    graphs = Again()
    forward = with_graphs(monkeypatch, graphs)
    found = [forward(generator, image(seed), how) for seed in range(5)]
    assert all(map(torch.equal, found, plain)), "and none is overwritten by the next"
    assert (graphs.aside_, graphs.recorded, graphs.replayed) == (1, 1, 4)


def test_sizes_modes_and_weights_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Again()
    forward, one, other = with_graphs(monkeypatch, graphs), unet(), unet()
    quiet, noisy = Inference(noise="none"), Inference(noise="dropout")
    for _ in range(3):
        for generator, how, height in ((one, quiet, 16), (one, quiet, 32), (one, noisy, 16), (other, quiet, 16)):
            expected = Forward.__call__(Forward(), generator, image(1, height), how)
            assert torch.equal(forward(generator, image(1, height), how), expected)
    assert graphs.recorded == 4


def test_only_so_many_sizes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Again()
    forward, generator, how = with_graphs(monkeypatch, graphs), unet(), Inference(noise="none")
    for height in range(8, 8 * (MOST + 4), 8):
        for seed in range(2):
            forward(generator, image(seed, height), how)
    assert len(forward._recorded) == MOST and graphs.recorded == MOST + 3


def test_without_memory_for_a_graph_it_is_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, generator, how = with_graphs(monkeypatch, Full()), unet(), Inference(noise="none")
    for seed in range(4):
        assert torch.equal(forward(generator, image(seed), how), Forward.__call__(Forward(), generator, image(seed), how))


def test_graphs_are_for_networks_of_ours_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(Generator):
        """Of a plugin."""

        def forward(self, x: Tensor) -> Tensor:
            return x

    monkeypatch.setattr(module, "CudaGraphs", lambda device: ("graphs on", device))
    cuda = torch.device("cuda", 0)
    assert Forward()._graphs_for(unet(), torch.device("cpu")) is None
    assert Forward()._graphs_for(Foreign(3, 3), cuda) is None
    assert Forward()._graphs_for(unet(), cuda) == ("graphs on", cuda)


# ---- precision -----------------------------------------------------------------------------------------------------------


def translator(precision: Precision = "float32") -> Translator:
    generator = unet(norm="instance")
    for layer in generator.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(layer.weight, 0.2)  # so that pictures are not grey
    config = ModelConfig(generator="unet", options={}, source=Domain(3), target=Domain(3), size_multiple=8, trained_size=32)
    return Translator(generator, config, Inference(noise="none"), quiet=True).set_precision(precision)


@pytest.mark.parametrize(("precision", "levels"), [("bfloat16", 3.0), ("float16", 0.4)])
def test_half_precision_is_nearly_the_same_picture(precision: Precision, levels: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8)
    exact, half = (translator(chosen)(picture).astype(float) for chosen in ("float32", precision))  # type: ignore[arg-type]
    assert exact.std() > 20, "there is something to see"
    assert 0 < np.abs(half - exact).mean() < levels
    assert {weight.dtype for weight in translator(precision).generator.parameters()} == {getattr(torch, precision)}


def test_rounded_weights_are_not_saved_as_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="half precision"):
        translator("bfloat16").save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    again = translator("bfloat16").set_precision("float32")
    assert next(again.generator.parameters()).dtype == torch.float32


def test_an_output_in_half_precision_is_not_taken_for_one_in_float32(tmp_path: Path) -> None:
    """--skip-existing leaves what this model has written in this way."""
    from transfigure.data import images

    (tmp_path / "in").mkdir()
    images.write(tmp_path / "in" / "a.png", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    for precision, written in (("float32", 1), ("float32", 0), ("bfloat16", 1), ("bfloat16", 0)):
        done = translator(precision).translate_folder(tmp_path / "in", tmp_path / "out", skip_existing=True, overwrite=True, quiet=True)  # type: ignore[arg-type]
        assert len(done) == written, precision
