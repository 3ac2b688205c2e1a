"""How fast, and where the time goes: the training step beside a plain loop, the data path, whole trainings, inference.

Ratios are between things measured in turns in this one process. "As PyTorch comes" is float32 whose convolutions may use TF32.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import torch
from correctness import translator
from plain import PlainPix2Pix
from setting import (
    Findings,
    Setting,
    Way,
    batches,
    few,
    free,
    numerics,
    peak_mib,
    pix2pix_of,
    rates,
    seconds_each,
    step_of,
    updates_of,
    wait,
    weights_of,
)

from transfigure.data.batch import Batch
from transfigure.data.dataset import Loader, PairSampler
from transfigure.data.open import open_data
from transfigure.data.resident import ResidentLoader
from transfigure.networks.modes import inference
from transfigure.training.replay import FIRST, Updates
from transfigure.training.trainer import Trainer, train
from transfigure.translation.devices import PRECISIONS
from transfigure.translation.devices import Precision as TranslatorPrecision

WAYS = (
    *(Way(precision, layout) for precision in ("float32", "TF32", "bf16") for layout in ("NCHW", "NHWC")),
    *(Way(precision, "NHWC", autotune=True) for precision in ("TF32", "bf16")),
    *(Way(precision, "NHWC", deterministic=True) for precision in ("TF32", "bf16")),
    *(Way(precision, "NHWC", autotune=tuned, replayed=True) for precision in ("TF32", "bf16", "fp16") for tuned in (False, True)),
)
PLAIN = "plain loop, TF32 NCHW"
HALVES: dict[Literal["bf16", "fp16"], TranslatorPrecision] = {"bf16": "bfloat16", "fp16": "float16"}
INFERRED: tuple[tuple[Way, TranslatorPrecision], ...] = (
    *((way, "float32") for way in WAYS if not way.replayed and not way.deterministic),
    *((Way(name, "NHWC", tuned), weights) for name, weights in HALVES.items() for tuned in (False, True)),
)
"""How a generator is applied: the ways of a training, and with weights that are halves too."""
DEFAULT = Way("TF32", "NHWC")
"""What a recipe gives on CUDA when nothing is chosen."""


def measure(setting: Setting, found: Findings, reference: Path | None = None) -> None:
    """All of it."""
    for size in (1, setting.large):
        found.part(f"training step, batch {size}", partial(training_steps, setting, size, found, reference))
    for size in (1, setting.large):
        for way in (DEFAULT, Way("bf16", "NHWC")):
            found.part(f"profile, batch {size}, {way}", partial(profile, setting, size, way, found))
    found.part("data path", lambda: data_path(setting, found))
    found.section("Whole trainings: the time of an update in the loop, by what the host does")
    kinds = [
        Kind(size, precision, graphs, on_device)
        for size in (1, setting.large)
        for precision, graphs, on_device in (("32-true", "no", "no"), ("32-true", "auto", "auto"), ("bf16-mixed", "auto", "auto"))
    ]
    for kind in (*kinds, Kind(setting.large, "bf16-mixed", "auto", "no"), Kind(setting.large, "bf16-mixed", "auto", "no", setting.workers)):
        found.part(f"whole training, {kind}", partial(whole_training, setting, kind, found))
    found.part("inference", lambda: generators(setting, found))


# ---- the training step ---------------------------------------------------------------------------------------------------------------


@dataclass
class Contender:
    """Something whose update is timed."""

    name: str
    way: Way
    update: Callable[[], object]
    peak: float = 0.0

    def run(self, times: int, device: str) -> float:
        """Seconds per update."""
        with numerics(self.way):
            return seconds_each(self.update, times, device)


def training_steps(setting: Setting, size: int, found: Findings, reference: Path | None) -> None:
    """The update alone, its batch already on the device, in turns."""
    device = setting.device
    batch = batches(setting, 2, size)[0].to(device)
    what = f"Training step, {setting.size} x {setting.size}, batch {size}"
    found.section(f"{what}: images/s (slowest to fastest round), ratio to the plain loop, peak memory")
    builders: list[tuple[str, Way, Callable[[], Callable[[], object]]]] = [
        (PLAIN, Way("TF32", "NCHW"), lambda: _plain(setting, batch)),
        ("plain loop, TF32 NCHW autotuned", Way("TF32", "NCHW", autotune=True), lambda: _plain(setting, batch)),
    ]
    if reference is not None and setting.size >= 256:  # its U-Net has one depth
        builders.append(("the reference's own step", Way("TF32", "NCHW", autotune=True), lambda: _reference(reference, device, batch)))
    builders += [(f"ours, {way}", way, lambda way=way: _ours(setting, way, batch)) for way in few(WAYS, setting)]  # type: ignore[misc]
    contenders = []
    times = max(1, setting.round_steps // (1 if size == 1 else 3))
    for name, way, build in builders:
        with found.trying(f"training step, batch {size}, {name}"):
            free(device)
            held = torch.cuda.memory_allocated() / 2**20 if device == "cuda" else 0.0
            contender = Contender(name, way, build())
            contender.run(max(2, times // 2), device)
            contender.peak = peak_mib(device) - held
            contenders.append(contender)
    measured: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(setting.rounds):
        for contender in contenders:
            measured[contender.name].append(contender.run(times, device))
    base = measured.get(PLAIN)
    for contender in contenders:
        each = measured[contender.name]
        speed = rates(each, size)
        ratio = statistics.median(b / a for a, b in zip(each, base)) if base else float("nan")
        text = f"{_spread(speed)}   x {ratio:.2f}   {contender.peak:,.0f} MiB"
        found.number(f"training step, batch {size}, {contender.name}", text, **speed, ratio=ratio, peak_mib=contender.peak)
    del contenders
    free(device)


def _spread(speed: dict[str, float]) -> str:
    return f"{speed['images_per_second']:,.1f} ({speed['slowest']:,.1f} to {speed['fastest']:,.1f})"


def _ours(setting: Setting, way: Way, batch: Batch) -> Callable[[], object]:
    recipe = setting.recipe(generator__norm="batch", generator__dropout=0.5, discriminator__norm="batch", **way.overrides)
    update = updates_of(recipe, pix2pix_of(recipe))
    with numerics(way):
        for _ in range(FIRST + 2):
            update(batch)
    return lambda: update(batch)


def _plain(setting: Setting, batch: Batch) -> Callable[[], object]:
    loop = PlainPix2Pix(setting, "batch", 0.5)
    return lambda: loop.update(batch.source, batch.target)


def _reference(folder: Path, device: str, batch: Batch) -> Callable[[], object]:
    """The public PyTorch implementation's own model, from a checkout of it, with the options its training script gives pix2pix."""
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        kind = importlib.import_module("models.pix2pix_model").Pix2PixModel
    options = argparse.Namespace(
        isTrain=True, checkpoints_dir="unused", name="unused", device=torch.device(device), preprocess="resize_and_crop", direction="AtoB",
        input_nc=3, output_nc=3, ngf=64, ndf=64, netG="unet_256", netD="basic", n_layers_D=3, norm="batch", no_dropout=False,
        init_type="normal", init_gain=0.02, gan_mode="vanilla", lr=2e-4, beta1=0.5, lambda_L1=100.0,
    )  # fmt: skip
    model = kind(options)
    for network in (model.netG, model.netD):
        network.to(device).train()
    given = {"A": batch.source, "B": batch.target, "A_paths": list(batch.names), "B_paths": list(batch.names)}

    def update() -> None:
        model.set_input(given)
        model.optimize_parameters()

    return update


# ---- where the time goes -------------------------------------------------------------------------------------------------------------

GROUPS = {  # what PyTorch calls the operations
    "convolution backward": ("convolution_backward",),
    "convolution forward": ("convolution", "conv2d", "conv_transpose2d", "cudnn_convolution", "cudnn_convolution_transpose"),
    "norm": (
        "batch_norm",
        "native_batch_norm",
        "native_batch_norm_backward",
        "cudnn_batch_norm",
        "cudnn_batch_norm_backward",
        "_batch_norm_with_update",
        "batch_norm_backward",
        "instance_norm",
    ),
    "Adam": ("_fused_adam_",),
    "concatenation": ("cat",),
    "activations": ("leaky_relu", "leaky_relu_backward", "clamp_min", "clamp_min_", "relu_", "threshold_backward", "tanh", "tanh_backward"),
    "dropout": ("native_dropout", "native_dropout_backward", "dropout", "bernoulli_"),
    "casts, copies and fills": ("copy_", "fill_", "zero_"),
}


def profile(setting: Setting, size: int, way: Way, found: Findings) -> None:
    """Kernel time by kind of operation, how long the device is busy, and how long the host takes to launch."""
    device, updates = setting.device, min(5, setting.round_steps)
    batch = batches(setting, 2, size)[0].to(device)
    with numerics(way):
        update = _ours(setting, way, batch)
        wall = seconds_each(update, 2 * updates, device)
        wall = min(wall, seconds_each(update, 2 * updates, device))
        wait(device)
        start = time.perf_counter()
        for _ in range(2):  # a queue this short does not make the host wait
            update()
        host = (time.perf_counter() - start) / 2
        wait(device)
        activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if device == "cuda" else [])]
        with torch.profiler.profile(activities=activities) as profiler:
            seconds_each(update, updates, device)
    on_gpu = device == "cuda"
    averages = profiler.key_averages()
    # the span of an optimizer's step is told beside its kernels
    kernels = [one for one in averages if _on_gpu(one) and not one.key.startswith("Optimizer.")]
    spent: dict[str, float] = {}
    for event in averages:
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if not _on_gpu(event) and own > 0:
            kind = _group(event.key)
            spent[kind] = spent.get(kind, 0.0) + own / updates / 1e3
    busy = sum(event.self_device_time_total for event in kernels) / updates / 1e3
    launches = sum(event.count for event in kernels) / updates
    parts = ", ".join(f"{kind} {value:.2f}" for kind, value in sorted(spent.items(), key=lambda item: -item[1]) if value >= 0.005)
    text = f"wall {1e3 * wall:.2f} ms, host {1e3 * host:.2f} ms, kernels {busy:.2f} ms in {launches:.0f} launches ({parts})"
    top = [(event.key[:90], event.self_device_time_total / updates / 1e3, event.count / updates) for event in kernels]
    top.sort(key=lambda item: -item[1])
    values = {"wall_ms": 1e3 * wall, "host_ms": 1e3 * host, "kernel_ms": busy, "launches": launches, "parts": spent, "kernels": top[:25]}
    found.number(f"profile, batch {size}, {way}", text, **values)


def _on_gpu(event: Any) -> bool:
    return bool(event.device_type.name == "CUDA")


def _group(key: str) -> str:
    name = key.removeprefix("aten::").removeprefix("Optimizer.")
    return next(
        (
            group
            for group, names in GROUPS.items()
            if name in names or any(name.startswith(f"{one}_") for one in names if one == "cudnn_batch_norm")
        ),
        "everything else",
    )


# ---- data, and whole trainings -------------------------------------------------------------------------------------------------------


def data_path(setting: Setting, found: Findings) -> None:
    """Cached pairs to batches to the device, without any training."""
    found.section("Data path: pairs/s")
    recipe = setting.recipe()
    start = time.perf_counter()
    data = open_data(recipe.data, 0, quiet=True).train
    found.number("data, drawn, resized and cached", f"{len(data) / (time.perf_counter() - start):,.0f}")
    for size in (1, setting.large):
        for workers in (0, setting.workers):
            loader = Loader(data, size, workers)
            passes = max(1, 6 * setting.round_steps * (size if workers else 1) // len(data))
            list(loader.epoch(PairSampler(len(data), size, 0, 0)))  # starts the workers, which fill caches of their own
            list(loader.epoch(PairSampler(len(data), size, 0, 1)))
            start = time.perf_counter()
            count = sum(len(batch) for epoch in range(passes) for batch in loader.epoch(PairSampler(len(data), size, 0, epoch + 2)))
            speed = count / (time.perf_counter() - start)
            loader.close()
            found.number(f"data, cached, batch {size}, {workers} workers", f"{speed:,.0f}", pairs_per_second=speed)
    for size in (1, setting.large):
        resident = ResidentLoader(data, size, torch.device(setting.device))
        list(resident.epoch(PairSampler(len(data), size, 0, 0)))  # uploads
        passes = max(1, 6 * setting.round_steps * size // len(data))

        def run_through(resident: ResidentLoader = resident, size: int = size, passes: int = passes) -> None:
            for epoch in range(passes):
                for _ in resident.epoch(PairSampler(len(data), size, 0, epoch)):
                    pass

        count = passes * (len(data) // size) * size
        speed = count / seconds_each(run_through, 1, setting.device)
        found.number(f"data, on the device, batch {size}", f"{speed:,.0f}", pairs_per_second=speed)
    for size in (1, setting.large):
        batch = batches(setting, 2, size)[0]
        each = seconds_each(lambda batch=batch: batch.to(setting.device), setting.round_steps, setting.device)  # type: ignore[misc]
        found.number(f"data, to the device, batch {size}", f"{size / each:,.0f}", pairs_per_second=size / each)
        if setting.device == "cuda":
            pinned = Batch(batch.source.pin_memory(), batch.target.pin_memory(), batch.names)
            each = seconds_each(lambda pinned=pinned: pinned.to("cuda"), setting.round_steps, "cuda")  # type: ignore[misc]
            found.number(f"data, to the device from pinned memory, batch {size}", f"{size / each:,.0f}", pairs_per_second=size / each)


class Kind(NamedTuple):
    """How a whole training computes and is fed."""

    size: int
    precision: str
    graphs: str = "auto"
    on_device: str = "auto"
    workers: int = 0

    def __str__(self) -> str:
        fed = "pairs on the device" if self.on_device == "auto" else f"{self.workers} workers" if self.workers else "read ahead"
        return f"batch {self.size}, {self.precision}, {'replayed' if self.graphs == 'auto' else 'kernel by kernel'}, {fed}"


def whole_training(setting: Setting, kind: Kind, found: Findings) -> None:
    """``transfigure train`` on cached pairs, from its own log; and what the host does in an update."""
    size = kind.size
    images = setting.round_steps * (24 if size == 1 else 8) * size
    epochs = max(3, -(-images // setting.pairs))
    recipe = setting.recipe(
        data__test=1, data__workers=kind.workers, data__on_device=kind.on_device, training__precision=kind.precision,
        training__graphs=kind.graphs, training__batch_size=size, training__epochs=epochs, training__log_every=max(size, images // 6),
        training__validate_every=0, training__preview_every=10**9, training__preview_count=1, training__checkpoint_every=10**9,
    )  # fmt: skip
    clock: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as patched:
        for what, owner, name in (
            ("to the device", Batch, "to"),
            ("step", Updates, "__call__"),
            ("log and wait", Trainer, "_log_step"),
        ):
            patched.enter_context(_clocked(clock, what, owner, name))
        for what, name in (("checkpoint", "_save"), ("previews", "_preview")):
            patched.enter_context(_clocked(clock, what, Trainer, name))
        patched.enter_context(_clocked_batches(clock))
        start = time.perf_counter()
        run = train(recipe, Path(folder) / "run", quiet=True)
        whole = time.perf_counter() - start
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [line["images_per_second"] for line in lines if line["kind"] == "step"]
    seen = next(line["images"] for line in lines if line["kind"] == "end")
    speed = statistics.median(logged[1:] or logged)
    loop = {what: 1e3 * seconds * size / seen for what, seconds in clock.items() if what not in ("checkpoint", "previews")}
    words = ", ".join(f"{what} {value:.2f}" for what, value in loop.items())
    once = ", ".join(f"{what} {clock.get(what, 0.0):.2f} s" for what in ("checkpoint", "previews"))
    text = f"{speed:,.1f} images/s ({min(logged[1:] or logged):,.1f} to {max(logged):,.1f}); "
    text += f"of an update's {1e3 * size / speed:.2f} ms: {words}; at the end {once}"
    values = {"images_per_second": speed, "logged": logged, "ms": loop, "seconds": clock, "whole": whole, "images": seen}
    found.number(f"whole training, {kind}", text, **values)
    free(setting.device)


@contextmanager
def _clocked(clock: dict[str, float], what: str, owner: type, name: str) -> Iterator[None]:
    real = getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return real(*arguments, **options)
        finally:
            clock[what] = clock.get(what, 0.0) + time.perf_counter() - start

    with mock.patch.object(owner, name, timed):
        yield


@contextmanager
def _clocked_batches(clock: dict[str, float]) -> Iterator[None]:
    real = Trainer._batches

    def batches(self: Trainer, sampler: Any) -> Iterator[Batch]:
        made = real(self, sampler)
        while True:
            start = time.perf_counter()
            batch = next(made, None)
            clock["data"] = clock.get("data", 0.0) + time.perf_counter() - start
            if batch is None:
                return
            yield batch

    with mock.patch.object(Trainer, "_batches", batches):
        yield


# ---- inference -----------------------------------------------------------------------------------------------------------------------


def generators(setting: Setting, found: Findings) -> None:
    """The U-Net's forward pass, its input on the device; then the translator, from arrays to arrays."""
    device = setting.device
    found.section(f"Inference, U-Net {setting.size} x {setting.size}: images/s (slowest to fastest round), peak memory")
    for size in (1, setting.inferred):
        source = torch.cat([batch.source for batch in batches(setting, max(2, size))][:size]).to(device)
        for way, weights in INFERRED:
            free(device)
            with numerics(way):
                generator = step_of(setting.recipe(**way.overrides)).generator
                generator.to(PRECISIONS[weights])
                given = source.to(PRECISIONS[weights]).contiguous(
                    memory_format=torch.channels_last if way.layout == "NHWC" else torch.contiguous_format
                )
                cast = torch.autocast(device, torch.bfloat16, enabled=way.precision == "bf16" and weights == "float32")
                with inference(generator, noise="none"), cast:

                    def forward(generator: torch.nn.Module = generator, given: torch.Tensor = given) -> torch.Tensor:
                        answer: torch.Tensor = generator(given)
                        return answer

                    seconds_each(forward, setting.round_steps, device)
                    seconds = [seconds_each(forward, setting.round_steps, device) for _ in range(setting.rounds)]
                    speed = rates(seconds, size)
                    peak = peak_mib(device)
                    replayed = _replayed(forward, setting) if device == "cuda" else None
            text = f"{_spread(speed)}   {peak:,.0f} MiB" + (f"   as a CUDA graph {size / replayed:,.0f}" if replayed else "")
            what = f"inference, batch {size}, {way}" + ("" if weights == "float32" else f", weights in {weights}")
            found.number(what, text, **speed, peak_mib=peak, replayed=size / replayed if replayed else None)
    one = translator(setting, weights_of(step_of(setting.recipe(training__accelerator="cpu")).generator), device)
    tensors = torch.cat([batch.source for batch in batches(setting, 4)])
    arrays = [((image.permute(1, 2, 0) + 1) * 127.5).to(torch.uint8).numpy() for image in tensors]
    for precision in PRECISIONS:
        one.set_precision(precision)
        for what, act in (("tensors", lambda: one.translate_tensor(tensors)), ("8-bit arrays", lambda: [one(array) for array in arrays])):
            seconds_each(act, 2, device)
            speed = rates([seconds_each(act, max(1, setting.round_steps // 4), device) for _ in range(setting.rounds)], len(tensors))
            found.number(f"inference, translator in {precision}, {what} from and to the CPU", _spread(speed), **speed)


def _replayed(forward: Callable[[], torch.Tensor], setting: Setting) -> float:
    """Seconds of a replayed forward pass."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        forward()
    return statistics.median(seconds_each(graph.replay, setting.round_steps, "cuda") for _ in range(setting.rounds))
