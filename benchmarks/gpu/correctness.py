"""Does the GPU compute what the CPU computes? Losses, gradients, statistics, noise, resuming, translating, metrics, recipes.

A GAN amplifies rounding: two correct float32 runs drift apart within tens of updates. So the step is compared in two ways with a plain
loop in float64: over a free run, where the GPU's float32 must not drift faster than the CPU's; and *restarted*, where every update
begins from the float64 run's own weights and moments, so that nothing accumulates and a tight bound is fair.
"""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from plain import PlainPix2Pix
from setting import NUMBERS, Findings, Setting, Way, batches, few, free, numbers, numerics, pix2pix_of, step_of, updates_of, weights_of
from torch import Tensor, nn
from torch.optim import Optimizer

from transfigure.data.batch import Batch
from transfigure.data.dataset import Cache, Loader, PairDataset, PairFormat
from transfigure.data.pairs import Record
from transfigure.data.resident import ResidentLoader
from transfigure.data.transforms import Geometry
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.features.extractors import random_network
from transfigure.features.trunks.random_features import RandomFeatures
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.recipe import Recipe, shipped
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.replay import Updates
from transfigure.training.steps.base import StepOutput
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train
from transfigure.translation.translator import Translator

NORMS = ("batch", "instance")
WAYS = (Way("float32", "NCHW"), Way("float32", "NHWC"), Way("TF32", "NHWC"), Way("bf16", "NHWC"), Way("fp16", "NHWC"))
LOSS_BOUND = {"float32": 1e-4, "TF32": 1e-2, "bf16": 5e-2, "fp16": 1e-2}
"""Largest relative error of a loss in a restarted update."""
GRADIENT_BOUND = {"float32": 5e-3, "TF32": 5e-2, "bf16": 0.3, "fp16": 0.1}
"""Largest relative error of all gradients of a network as one vector; the CPU's own float32 has 3e-3 at full size."""


def check(setting: Setting, found: Findings) -> None:
    """All of it, the quick things first."""
    found.section("Correctness")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as aside:
        with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=""):  # the process starts with the first that it is given, and sees no GPU
            begun = aside.submit(begin_on_cpu, setting, Path(folder))
        on_cpu = {norm: aside.submit(free_run, dataclasses.replace(setting, device="cpu"), norm, Way()) for norm in NORMS}
        found.part("marked tests", lambda: marked_tests(setting, found))
        ends: dict[str, dict[str, Tensor]] = {}
        for norm in NORMS:
            found.part(f"restarted updates, {norm} norm", partial(_restart, setting, norm, found, ends))
        found.part("channels last", lambda: channels_last(setting, found))
        found.part("replayed updates", lambda: replayed(setting, found))
        found.part("pairs on the device", lambda: resident(setting, found))
        found.part("repeatable", lambda: repeatable(setting, found))
        found.part("resume", lambda: resumed(setting, found))
        found.part("resume of a run begun on a CPU", lambda: resumed_elsewhere(setting, begun.result(), found))
        found.part("translator", lambda: translators(setting, ends["batch"], found))
        found.part("metrics", lambda: metrics(setting, ends["batch"], found))
        found.part("features", lambda: features(setting, found))
        for name in sorted(shipped()):
            found.part(f"recipe {name}", partial(one_recipe, setting, name, found))
        found.part("out of memory", lambda: out_of_memory(setting, ends["batch"], found))
        for norm in NORMS:
            found.part(f"free run, {norm} norm", partial(_free_runs_beside, setting, norm, on_cpu[norm], found))


def _restart(setting: Setting, norm: str, found: Findings, ends: dict[str, dict[str, Tensor]]) -> None:
    ends[norm] = restarted(setting, norm, found)


def _free_runs_beside(setting: Setting, norm: str, on_cpu: concurrent.futures.Future[list[list[float]]], found: Findings) -> None:
    free_runs(setting, norm, on_cpu.result(), found)


# ---- the step against a plain loop in float64 ----------------------------------------------------------------------------------------


def ours(setting: Setting, norm: str, way: Way, dropout: float = 0.0, **more: Any) -> Pix2PixStep:
    """Our step of pix2pix, its weights those of ``PlainPix2Pix``."""
    options: dict[str, Any] = {"generator__norm": norm, "generator__dropout": dropout, "discriminator__norm": norm}
    return pix2pix_of(setting.recipe(**options, **way.overrides, **more))


def free_run(setting: Setting, norm: str, way: Way) -> list[list[float]]:
    """The losses of so many updates, each from where the last one ended."""
    with numerics(way):
        step = ours(setting, norm, way)
        return [numbers(step.training_step(batch.to(setting.device))) for batch in batches(setting, setting.steps)]


def reference_run(setting: Setting, norm: str) -> list[list[float]]:
    """The same of the plain loop in float64."""
    plain = PlainPix2Pix(setting, norm, 0.0, torch.float64)
    return [[float(value) for value in plain.update(*_doubled(batch, setting))] for batch in batches(setting, setting.steps)]


def free_runs(setting: Setting, norm: str, on_cpu: list[list[float]], found: Findings) -> None:
    """How far each way drifts from float64; the GPU's float32 must not drift much faster than the CPU's."""
    reference = np.array(reference_run(setting, norm))
    runs = {"CPU float32": on_cpu, **{f"{way}": free_run(setting, norm, way) for way in WAYS}}
    drifts = {name: np.abs(np.array(run) - reference) / np.abs(reference) for name, run in runs.items()}
    spans = [count for count in (1, 5, 10, 20, 50) if count <= setting.steps]
    words = {name: ", ".join(f"{drift[:span].max():.1e} ({span})" for span in spans) for name, drift in drifts.items()}
    allowed = max(4 * drifts["CPU float32"].max(), 1e-4)
    for name, drift in drifts.items():
        exact = name.endswith(("NCHW", "NHWC")) and name.startswith("float32")
        first, whole = float(drift[0].max()), float(drift.max())
        passed = (first <= 1e-4 and whole <= allowed) if exact else None if name.startswith("CPU") else bool(np.isfinite(drift).all())
        values = {"losses": runs[name], "reference": reference.tolist(), "order": NUMBERS}
        found.check(
            f"free run, {norm} norm, {name}", passed, f"largest deviation from float64 in the first n updates: {words[name]}", **values
        )


def restarted(setting: Setting, norm: str, found: Findings) -> dict[str, Tensor]:
    """Each update of each way from the float64 run's own state. Returns that run's generator at the end."""
    plain = PlainPix2Pix(setting, norm, 0.0, torch.float64)
    steps = {way: ours(setting, norm, way) for way in WAYS}
    for step in steps.values():
        _begin_at_a_scale_that_fits(step)
    seen = {way: [_gradients_of(step.generator, step.g_optimizer), _gradients_of(step.discriminator, step.d_optimizer)]
            for way, step in steps.items()}  # fmt: skip
    reference = [_gradients_of(plain.generator, plain.adam_g), _gradients_of(plain.discriminator, plain.adam_d)]
    worst: dict[Way, dict[str, float]] = {way: {"loss": 0.0, "G gradient": 0.0, "D gradient": 0.0, "statistics": 0.0} for way in WAYS}
    for batch in batches(setting, setting.steps):
        made = {}
        for way, step in steps.items():
            _take_state(step, plain)
            with numerics(way):
                made[way] = numbers(step.training_step(batch.to(setting.device)))
        expected = np.array([float(value) for value in plain.update(*_doubled(batch, setting))])
        for way, step in steps.items():
            assert step.discriminator is not None
            now = {
                "loss": float((np.abs(np.array(made[way]) - expected) / np.abs(expected)).max()),
                "G gradient": _distance(seen[way][0], reference[0]),
                "D gradient": _distance(seen[way][1], reference[1]),
                "statistics": max(
                    (_statistics(step.generator, plain.generator), _statistics(step.discriminator, plain.discriminator)), default=0.0
                ),
            }
            worst[way] = {name: _larger(value, now[name]) for name, value in worst[way].items()}
    for way, errors in worst.items():
        bound = LOSS_BOUND[way.precision], GRADIENT_BOUND[way.precision]
        passed = (
            errors["loss"] <= bound[0] and max(errors["G gradient"], errors["D gradient"]) <= bound[1] and errors["statistics"] <= bound[1]
        )
        words = ", ".join(f"{name} {value:.1e}" for name, value in errors.items())
        found.check(f"restarted updates, {norm} norm, {way}", passed, f"largest relative error of {setting.steps}: {words}", **errors)
    if norm == "batch":
        counts = {
            int(buffer)
            for step in steps.values()
            for name, buffer in step.networks()["discriminator"].named_buffers()
            if "num_batches" in name
        }
        found.check(
            "batch statistics are counted",
            counts == {3 * setting.steps},
            f"D saw {counts} batches in {setting.steps} updates of three passes",
        )
    free(setting.device)
    return {name: tensor.float().cpu() for name, tensor in weights_of(plain.generator).items()}


def _begin_at_a_scale_that_fits(step: Pix2PixStep) -> None:
    """In float16: so that the first updates are not left out, and no gradient is seen that overflowed."""
    for scaler in step.scalers().values():
        scaler.load_state_dict({**scaler.state_dict(), "scale": 256.0})


def _take_state(step: Pix2PixStep, plain: PlainPix2Pix) -> None:
    assert step.discriminator is not None and step.d_optimizer is not None
    step.generator.load_state_dict(plain.generator.state_dict())
    step.discriminator.load_state_dict(plain.discriminator.state_dict())
    for optimizer, other in ((step.g_optimizer, plain.adam_g), (step.d_optimizer, plain.adam_d)):
        moments = copy.deepcopy(other.state_dict()["state"])  # what has the right type is taken over as it is, and would be shared
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _doubled(batch: Batch, setting: Setting) -> tuple[Tensor, Tensor]:
    return batch.source.to(setting.device, torch.float64), batch.target.to(setting.device, torch.float64)


def _gradients_of(network: nn.Module | None, optimizer: Optimizer | None) -> list[Tensor]:
    """A list that holds a network's gradients of its last update, noted before the optimizer uses them: a step frees its own."""
    assert network is not None and optimizer is not None
    seen: list[Tensor] = []

    def note(*_: Any) -> None:
        scale = float(getattr(optimizer, "grad_scale", None) or 1.0)  # in float16 the optimizer divides by it
        seen[:] = [parameter.grad.double() / scale for parameter in network.parameters() if parameter.grad is not None]

    optimizer.register_step_pre_hook(note)
    return seen


def _distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Relative distance of two lists of tensors, each taken as one vector."""
    apart = sum(float((a - b).square().sum()) for a, b in zip(one, other, strict=True))
    return float(np.sqrt(apart / sum(float(b.square().sum()) for b in other)))


def _statistics(one: nn.Module, other: nn.Module) -> float:
    """The largest relative distance of a running mean or variance."""
    pairs = [
        (mine.double(), theirs)
        for (name, mine), theirs in zip(one.named_buffers(), other.buffers(), strict=True)
        if name.endswith(("running_mean", "running_var"))
    ]
    return max((_distance([mine], [theirs]) for mine, theirs in pairs), default=0.0)


def _larger(one: float, other: float) -> float:
    """The larger, or what is no number."""
    return one if one > other or np.isnan(one) else other


# ---- layouts, repeatability, resuming ------------------------------------------------------------------------------------------------


def channels_last(setting: Setting, found: Findings) -> None:
    """With NHWC weights, do the maps stay in that layout from layer to layer?"""
    step = ours(setting, "batch", Way("bf16", "NHWC"))
    kinds: dict[str, list[bool]] = {}

    def note(layer: nn.Module, _: Any, output: Tensor) -> None:
        if output.shape[1] > 1 and output.shape[2] > 1:
            kinds.setdefault(type(layer).__name__, []).append(output.is_contiguous(memory_format=torch.channels_last))

    for network in step.networks().values():
        for layer in network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(note)
    step.training_step(batches(setting, setting.steps)[0].to(setting.device))
    words = ", ".join(f"{name} {sum(flags)} of {len(flags)}" for name, flags in kinds.items())
    found.check("maps stay NHWC", all(all(flags) for flags in kinds.values()), words)
    recipe = setting.recipe()
    chosen = next(parameter for parameter in step_of(recipe).generator.parameters() if parameter.ndim == 4 and parameter.shape[1] > 1)
    last = chosen.is_contiguous(memory_format=torch.channels_last)
    found.check("layout auto", last == (setting.device == "cuda"), f"batch norm on {setting.device}: {'NHWC' if last else 'NCHW'}")


def replayed(setting: Setting, found: Findings) -> None:
    """Updates through a graph beside the same ones by themselves: rates that fall, gradient norms in between, dropout.

    With deterministic algorithms the bits must be the same. D's batch statistics are counted by kernels, so a replay counts them too.
    """
    count = max(6, setting.steps // 3)
    for way in (Way(precision, "NHWC", deterministic=True) for precision in ("float32", "TF32", "bf16", "fp16")):
        with found.trying(f"replayed as computed one by one, {way}"), numerics(way):
            ends, outputs, steps = [], [], []
            for graphs in (True, False):
                recipe = setting.recipe(**way._replace(replayed=graphs).overrides, training__learning_rate=0.000123456789)
                step = pix2pix_of(recipe)
                update = updates_of(recipe.updated({"training.graphs": "auto"}), step)
                if not graphs:
                    update.graphs = None  # its rates are rounded all the same
                torch.manual_seed(1)
                losses = []
                for number, batch in enumerate(batches(setting, max(count, setting.steps))[:count]):
                    step.set_learning_rate(1 - number / count)
                    losses.append(numbers(update(batch.to(setting.device), measure=number % 4 == 3)))
                outputs.append(losses)
                ends.append({name: weights_of(network) for name, network in step.networks().items()})
                steps.append((step, update))
            recorded = len(steps[0][1]._recorded)
            apart = max(
                float((a.double() - b.double()).abs().max())
                for name in ends[0]
                for a, b in zip(ends[0][name].values(), ends[1][name].values())
            )
            counts = {int(value) for key, value in ends[0]["discriminator"].items() if "num_batches" in key}
            words = f"weights and statistics after {count} updates {_apart(apart)}, {recorded} graphs; D counted {counts} batches"
            passed = apart == 0 and outputs[0] == outputs[1] and recorded > 0 and counts == {3 * count}
            found.check(f"replayed as computed one by one, {way}", passed, words, apart=apart)
            del steps
    free(setting.device)


def resident(setting: Setting, found: Findings) -> None:
    """Batches that are cut out on the device: the bits of those that the CPU makes, in every type and with a range of its own."""
    for dtype, limits in (("uint8", None), ("uint8", (3, 200)), ("uint16", (100, 40_000)), ("float32", (-0.5, 1.5))):
        records = _drawn_records(dtype, 12, 40)
        data = [PairDataset(records, Geometry(36, 32), PairFormat("AtoB", 3, 3, limits, limits, dtypes=(dtype, dtype)), seed=2,
                            cache=Cache(Geometry(36, 32))) for _ in range(2)]  # fmt: skip
        order = [[(epoch, index) for index in range(12)] for epoch in range(3)]
        made = [
            list(loader.epoch(keys))
            for loader in (Loader(data[0], 4), ResidentLoader(data[1], 4, torch.device(setting.device)))
            for keys in order
        ]
        expected, given = [batch for part in made[:3] for batch in part], [batch for part in made[3:] for batch in part]
        same = all(
            torch.equal(one.source, two.source.cpu()) and torch.equal(one.target, two.target.cpu())
            for one, two in zip(expected, given, strict=True)
        )
        found.check(f"pairs on the device, {dtype}{f' in {limits}' if limits else ''}", same, "the CPU's bits" if same else "OTHER numbers")


class _Drawn:
    """A picture of random values of any type."""

    def __init__(self, dtype: str, seed: int, side: int) -> None:
        rng = np.random.default_rng(seed)
        values = rng.random((side, side, 3)) if dtype == "float32" else rng.integers(0, np.iinfo(dtype).max, (side, side, 3), endpoint=True)
        self.array, self.label, self.paths = values.astype(dtype), f"random {seed}", ()

    def read(self, alpha: Any = "refuse") -> Any:
        """The values."""
        return self.array


def _drawn_records(dtype: str, count: int, side: int) -> list[Record]:
    return [Record(str(number), _Drawn(dtype, 2 * number, side), _Drawn(dtype, 2 * number + 1, side)) for number in range(count)]


def repeatable(setting: Setting, found: Findings) -> None:
    """The same seed twice in one process, dropout and all: the same weights, bit for bit?"""
    ways = Way("TF32", "NHWC"), Way("float32", "NCHW"), Way("bf16", "NHWC"), Way("TF32", "NHWC", autotune=True)
    for way in few((way._replace(deterministic=deterministic) for way in ways for deterministic in (False, True)), setting):
        name = f"repeatable, {way}"
        with found.trying(name):
            ends = []
            for _ in range(2):
                with numerics(way):
                    step = ours(setting, "batch", way, dropout=0.5)
                    torch.manual_seed(1)
                    for batch in batches(setting, setting.steps)[:10]:
                        step.training_step(batch.to(setting.device))
                ends.append(weights_of(step.generator))
            same = all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
            found.check(name, same if way.deterministic else None, "the same bits twice" if same else "other bits the second time")
    free(setting.device)


class PowerCut(Exception):
    """Ends a training as a crash does: nothing is saved on the way out."""


def resumed(setting: Setting, found: Findings) -> None:
    """A run that dies and goes on ends as one that did not: whole trainings, through checkpoints on disk."""
    narrow = min(16, setting.width)
    exact = [
        Way(precision, "NHWC", deterministic=True, replayed=replayed)
        for replayed in (False, True)
        for precision in ("TF32", "bf16", "fp16")
    ]
    for way in few((Way("TF32", "NHWC"), *exact), setting):
        name = f"resume, {way}"
        recipe = setting.recipe(
            **way.overrides, generator__width=narrow, discriminator__width=narrow, data__train=6, data__test=0, training__epochs=2,
            training__checkpoint_every=4, training__validate_every=0, training__log_every=2, training__preview_count=0, training__ema=0.99,
        )  # fmt: skip
        with found.trying(name), tempfile.TemporaryDirectory() as folder, numerics(way):
            whole, again, cut = (Path(folder) / name for name in ("whole", "again", "cut"))
            train(recipe, whole, quiet=True)
            train(recipe, again, quiet=True)
            with _power_cut_after(9), suppress(PowerCut):
                train(recipe, cut, quiet=True)
            at = load_checkpoint(cut / "checkpoints" / "last.pt")["position"]["images"]
            train(recipe, cut, resume=True, quiet=True)
            twice, gone_on = (_states_apart(whole, other) for other in (again, cut))
            text = f"uninterrupted twice: {_apart(twice)}; cut at 9 updates, gone on from {at} of 12: {_apart(gone_on)}"
            found.check(name, gone_on == 0 if way.deterministic else None, text, twice=twice, resumed=gone_on)


class Begun(NamedTuple):
    """A run of one epoch, a run of two, and the recipe of two."""

    half: Path
    whole: Path
    recipe: Recipe


def begin_on_cpu(setting: Setting, folder: Path) -> Begun:
    """Train where there is no GPU."""
    assert not torch.cuda.is_available()
    size = setting.size
    recipe = setting.recipe(
        generator__width=8, generator__dropout=0.0, discriminator__width=8, data__train=6, data__test=1, data__load_size=size,
        training__accelerator="auto", training__epochs=1, training__schedule="constant", training__validate_every=0,
        training__preview_count=1,
    )  # fmt: skip
    half, whole, longer = folder / "half", folder / "whole", recipe.updated({"training.epochs": 2})
    train(recipe, half, quiet=True)
    shutil.copytree(half, whole)
    train(longer, whole, resume=True, quiet=True)
    return Begun(half, whole, longer)


def resumed_elsewhere(setting: Setting, begun: Begun, found: Findings) -> None:
    """A run begun where there is no GPU goes on where there is one; the memory layout changes with it."""
    with numerics(Way("float32")):
        train(begun.recipe, begun.half, resume=True, quiet=True)
    ends = [load_checkpoint(run / "checkpoints" / "last.pt") for run in (begun.half, begun.whole)]
    apart = _distance(*([tensor for tensor in _tensors(end["step"]) if tensor.is_floating_point()] for end in ends))
    words = f"6 updates on the CPU, then 6 on {setting.device}: relative distance {apart:.1e} from all 12 on the CPU"
    found.check("resume of a run begun on a CPU", apart <= 1e-3, words)


@contextmanager
def _power_cut_after(updates: int) -> Iterator[None]:
    counted, real = [0], Updates.__call__

    def update(self: Updates, *arguments: Any, **options: Any) -> Any:
        if counted[0] == updates:
            raise PowerCut
        counted[0] += 1
        return real(self, *arguments, **options)

    with mock.patch.object(Updates, "__call__", update):
        yield


def _states_apart(one: Path, other: Path) -> float:
    """The largest difference of any number of the networks, their average and their optimizers."""
    states = [load_checkpoint(run / "checkpoints" / "last.pt") for run in (one, other)]
    first, second = ([tensor for name in ("step", "ema") for tensor in _tensors(state[name])] for state in states)
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(first, second, strict=True))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _apart(difference: float) -> str:
    return "the same bits" if difference == 0 else f"up to {difference:.1e} apart"


# ---- what a trained generator is used for --------------------------------------------------------------------------------------------


def translator(
    setting: Setting, weights: dict[str, Tensor], device: str, noise: str = "none", norm: str = "batch", seed: int = 0
) -> Translator:
    """A translator with these weights."""
    recipe = setting.recipe(training__accelerator="cpu")
    generator = step_of(recipe).generator
    generator.load_state_dict(weights)
    inference = Inference(norm=norm, noise=noise, seed=seed)  # type: ignore[arg-type]
    config = ModelConfig(
        generator="unet", options=dict(recipe.generator.options), source=Domain(3), target=Domain(3), size_multiple=generator.size_multiple,
        trained_size=setting.size, checkpoint={"which": "last", "images": 0}, recipe=recipe.to_dict(), inference=inference,
    )  # fmt: skip
    return Translator(generator.to(device), config, inference, quiet=True)


def translators(setting: Setting, weights: dict[str, Tensor], found: Findings) -> None:
    """The pictures of a GPU beside those of the CPU."""
    source = torch.cat([batch.source for batch in batches(setting, setting.steps)[:8]])
    for norm in ("batch", "running"):
        expected = translator(setting, weights, "cpu", norm=norm).translate_tensor(source)
        for way in (Way("float32"), Way("TF32")):
            with numerics(way):
                answers = translator(setting, weights, setting.device, norm=norm).translate_tensor(source)
            apart = float((answers - expected).abs().max())
            grey = (_grey(answers) - _grey(expected)).abs()
            share = float((grey > 0).float().mean())
            words = f"up to {apart:.1e} apart, {int(grey.max())} of 255 grey levels; {share:.2%} of the values differ in 8 bits"
            passed = apart <= 1e-3 and grey.max() <= 1 if way.precision == "float32" else bool(grey.max() <= 2)
            found.check(f"translator as on the CPU, {norm} statistics, {way.precision}", bool(passed), words)
    expected = translator(setting, weights, "cpu").translate_tensor(source)
    for precision, levels in (("bfloat16", 4.0), ("float16", 1.0)):
        answers = translator(setting, weights, setting.device).set_precision(precision).translate_tensor(source)  # type: ignore[arg-type]
        grey = (_grey(answers) - _grey(expected)).abs()
        words = f"mean {float(grey.mean()):.2f}, at most {int(grey.max())} of 255 grey levels from the CPU's float32"
        found.check(f"translator in {precision}", float(grey.mean()) <= levels, words)
    with numerics(Way("float32")):
        noisy = [
            translator(setting, weights, device, "dropout", seed=seed).translate_tensor(source)
            for device, seed in ((setting.device, 0), (setting.device, 0), (setting.device, 1), ("cpu", 0))
        ]
    same, other, cpu = (float((noisy[0] - answers).abs().mean()) / 2 for answers in noisy[1:])
    words = f"mean difference, of the range: same seed again {same:.1e}, another seed {other:.1e}, the same seed on the CPU {cpu:.1e}"
    found.check("dropout noise by seed", same <= 1e-6 < other, words, same=same, other=other, cpu=cpu)


def _grey(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round()


def metrics(setting: Setting, weights: dict[str, Tensor], found: Findings) -> None:
    """Every metric that needs no weights, of the same model on both devices."""
    data = setting.recipe().data
    with numerics(Way("float32")):
        tables = [evaluate(translator(setting, weights, device), data, split="test", quiet=True).rows for device in ("cpu", setting.device)]
    pairs = [(one, other) for one, other in zip(*tables) if one.value is not None and other.value is not None]
    apart = {one.metric: abs(other.value - one.value) / max(abs(one.value), 1e-12) for one, other in pairs}
    words = ", ".join(f"{name} {value:.1e}" for name, value in apart.items())
    skipped = [one.metric for one, other in zip(*tables) if (one.value is None) != (other.value is None)]
    found.check("metrics as on the CPU", max(apart.values()) <= 1e-2 and not skipped, f"relative differences: {words}", **apart)


def features(setting: Setting, found: Findings) -> None:
    """Features of the fixed random network, which go to the GPU by themselves."""
    images = torch.cat([batch.target for batch in batches(setting, setting.steps)[:8]])
    apart = _distance([random_network()(images)], [RandomFeatures(3)(images)])
    found.check("random features as on the CPU", apart <= 1e-4, f"relative distance {apart:.1e}")


# ---- everything else ----------------------------------------------------------------------------------------------------------------


def one_recipe(setting: Setting, name: str, found: Findings) -> None:
    """Two updates of a shipped recipe, small: the losses of the CPU."""
    small = dataclasses.replace(setting, size=64, width=8)
    more: dict[str, Any] = {"generator__dropout": 0, "data__load_size": 64, "discriminator__receptive_field": 34}
    loaded = Recipe.load(name)
    if loaded.generator.name == "resnet":
        more["generator__blocks"] = 2
    if loaded.objective.adversarial is None:
        del more["discriminator__receptive_field"]
    losses = []
    for device in ("cpu", setting.device):
        recipe = small.recipe(name, **more, training__accelerator=device)
        with numerics(Way("float32")):
            step = step_of(recipe)
            losses.append([_all(step.training_step(batch.to(device))) for batch in batches(small, 2)])
    apart = max(abs(b - a) / max(abs(a), 1e-6) for one, other in zip(*losses) for a, b in zip(one, other))
    random = any(term["loss"] == "contrastive" for term in loaded.objective.terms)
    words = (
        f"losses of two updates up to {apart:.1e} from the CPU's{' (it draws its patches at random on its own device)' if random else ''}"
    )
    found.check(f"recipe {name}", None if random else apart <= 1e-3, words)


def _all(output: StepOutput) -> list[float]:
    return [float(value) for value in (output.g_loss, output.d_loss, *output.terms.values()) if value is not None]


def out_of_memory(setting: Setting, weights: dict[str, Tensor], found: Findings) -> None:
    """An image that is too large ends in a sentence, and the next one works."""
    if setting.device != "cuda":
        found.check("out of memory", None, "asked on a GPU only")
        return
    one = translator(setting, weights, "cuda")
    image = batches(setting, setting.steps)[0].source
    free("cuda")
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        one.translate_tensor(image.repeat(1, 1, 24, 24))
        text, passed = "it fitted", False
    except UserError as error:
        text, passed = str(error), True
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        free("cuda")
    again = bool(torch.isfinite(one.translate_tensor(image)).all())
    found.check("out of memory", passed and again, text)


def marked_tests(setting: Setting, found: Findings) -> None:
    """The tests that need a GPU."""
    if setting.device != "cuda":
        found.check("tests marked gpu", None, "run on a GPU only")
        return
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "tests/networks",
        "tests/training",
        "tests/metrics",
    ]
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, env=dict(os.environ), check=False, timeout=240)
    (found.folder / "tests.txt").write_text(ran.stdout[-20000:] + ran.stderr[-5000:], encoding="utf-8")
    last = next(
        (line for line in reversed(ran.stdout.splitlines()) if "passed" in line or "failed" in line or "error" in line), "no result"
    )
    found.check("tests marked gpu", ran.returncode == 0, last.strip("= "))
