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
from transfigure.translation.devices import Precision
from transfigure.translation.engines import torch as module
from transfigure.translation.engines.torch import MOST, TorchEngine
from transfigure.translation.translator import Translator

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


def with_graphs(monkeypatch: pytest.MonkeyPatch, graphs: Again, generator: Generator) -> TorchEngine:
    engine = TorchEngine(generator)
    monkeypatch.setattr(engine, "_graphs_for", lambda generator, device: graphs)
    return engine


@pytest.mark.parametrize("noise", ["dropout", "none"])
@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_replayed_pass_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch, norm: str, noise: str) -> None:
    generator, how = unet(), Inference(norm=norm, noise=noise, seed=3)  # type: ignore[arg-type]
    plain = [TorchEngine(generator)(image(seed), how) for seed in range(5)]
    graphs = Again()
    engine = with_graphs(monkeypatch, graphs, generator)
    found = [engine(image(seed), how) for seed in range(5)]
    assert all(map(torch.equal, found, plain)), "and none is overwritten by the next"
    assert (graphs.aside_, graphs.recorded, graphs.replayed) == (1, 1, 4)


def test_sizes_modes_seeds_and_weights_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs, generator = Again(), unet()
    engine = with_graphs(monkeypatch, graphs, generator)
    quiet, noisy = Inference(noise="none"), Inference(noise="dropout")
    for _ in range(3):
        for how, height in ((quiet, 16), (quiet, 32), (noisy, 16), (Inference(noise="dropout", seed=1), 16)):
            assert torch.equal(engine(image(1, height), how), TorchEngine(generator)(image(1, height), how))
    assert graphs.recorded == 4
    first = next(generator.parameters())
    first.data = first.data * 2
    assert torch.equal(engine(image(1), quiet), TorchEngine(generator)(image(1), quiet))


def test_only_so_many_sizes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Again()
    generator, how = unet(), Inference(noise="none")
    engine = with_graphs(monkeypatch, graphs, generator)
    for height in range(8, 8 * (MOST + 4), 8):
        for seed in range(2):
            engine(image(seed, height), how)
    assert len(engine._recorded) == MOST and graphs.recorded == MOST + 3


def test_without_memory_for_a_graph_it_is_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, how = unet(), Inference(noise="none")
    engine = with_graphs(monkeypatch, Full(), generator)
    for seed in range(4):
        assert torch.equal(engine(image(seed), how), TorchEngine(generator)(image(seed), how))


def test_graphs_are_for_networks_of_ours_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(Generator):
        """Of a plugin."""

        def forward(self, x: Tensor) -> Tensor:
            return x

    monkeypatch.setattr(module, "CudaGraphs", lambda device: ("graphs on", device))
    cuda = torch.device("cuda", 0)
    engine = TorchEngine(unet())
    assert engine._graphs_for(unet(), torch.device("cpu")) is None
    assert engine._graphs_for(Foreign(3, 3), cuda) is None
    assert engine._graphs_for(unet(), cuda) == ("graphs on", cuda)


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
