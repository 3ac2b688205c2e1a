"""Our training against the reference implementation's, or against a plain PyTorch loop for those who have no checkout of it.

    python benchmarks/against_reference.py [--reference PATH] [--rounds 5] [--steps 6] [--size 256] [--width 64] [--layouts] [--json FILE]

``PATH`` is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix (measured with commit 2a7afba). Its own step is run: ``optimize_parameters``
of its pix2pix model with ``unet_256``, ``basic``, batch norm and the vanilla loss. The plain loop is what a careful person writes first:
the same networks, ``torch.optim.Adam`` as it comes, glibc's allocator as it is.

Each measurement is a process of its own, since the allocator's setting and the peak of memory belong to a process; they take turns, so
that whatever else the machine does hurts all. Printed are medians over the rounds, ratios within each round with their spread, and peaks
of memory; how far both are apart in their losses after equal steps from equal weights (float32, no dropout), and in the picture of a
generator of ours that the reference has loaded; and, where torchvision is installed, its loader of pairs beside ours, on one thread.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measured import Row, add_json, machine, number, ratios, versions, write_if_asked
from torch import Tensor

TOY = ["--rounds", "1", "--steps", "1", "--size", "32", "--width", "2", "--pairs", "4"]
"""Arguments of a run that takes seconds."""

OURS: dict[str, dict[str, object]] = {
    "ours, float32": {},
    "ours, bfloat16": {"training.precision": "bf16-mixed"},
    "ours, float32, simultaneous": {"training.update": "simultaneous"},
    "ours, bfloat16, simultaneous": {"training.precision": "bf16-mixed", "training.update": "simultaneous"},
}
LAYOUTS: dict[str, dict[str, object]] = {
    "ours, float32, NHWC": {"training.channels_last": "yes"},
    "ours, bfloat16, NHWC": {"training.precision": "bf16-mixed", "training.channels_last": "yes"},
}
EQUAL_STEPS = 12
Update = Callable[[Tensor, Tensor], dict[str, Tensor]]


def pair(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    source, target = torch.rand(2, 1, 3, size, size, generator=random) * 2 - 1
    return source, target


def our_step(size: int, width: int, more: dict[str, object]) -> Any:
    from transfigure.recipe import Recipe
    from transfigure.training.engine import Engine
    from transfigure.training.setup import Setup
    from transfigure.training.steps.build import build_step

    overrides: dict[str, object] = {"data.crop_size": size, "data.load_size": size, "generator.width": width, "discriminator.width": width}
    recipe = Recipe.load("pix2pix", {**overrides, "training.accelerator": "cpu", **more})
    torch.manual_seed(0)
    return build_step(Setup(recipe, (3, 3), Engine(recipe.training)))


def ours(size: int, width: int, more: dict[str, object]) -> Update:
    from transfigure.data.batch import Batch
    from transfigure.training.allocator import keep_freed_memory

    keep_freed_memory()
    step = our_step(size, width, more)

    def one(source: Tensor, target: Tensor) -> dict[str, Tensor]:
        output = step.training_step(Batch(source, target, ("one",)))
        return {"g": output.adversarial, "l1": output.terms["l1"], "d": output.d_loss}

    return one


def reference_model(checkout: str, size: int, width: int, dropout: bool = True) -> Any:
    sys.path.insert(0, checkout)
    from models.pix2pix_model import Pix2PixModel  # type: ignore[import-not-found]

    depth = size.bit_length() - 1
    if depth not in (7, 8):
        raise SystemExit(f"the reference has U-Nets for 128 and 256 pixels, not for {size}")
    options = types.SimpleNamespace(
        **{"isTrain": True, "checkpoints_dir": tempfile.gettempdir(), "name": "benchmark", "device": torch.device("cpu")},
        **{"preprocess": "none", "input_nc": 3, "output_nc": 3, "ngf": width, "ndf": width, "netG": f"unet_{size}", "netD": "basic"},
        **{"norm": "batch", "no_dropout": not dropout, "init_type": "normal", "init_gain": 0.02, "n_layers_D": 3, "gan_mode": "vanilla"},
        **{"lr": 2e-4, "beta1": 0.5, "lambda_L1": 100.0, "direction": "AtoB"},
    )
    torch.manual_seed(0)
    return Pix2PixModel(options)


def reference(checkout: str, size: int, width: int) -> Update:
    model = reference_model(checkout, size, width)

    def one(source: Tensor, target: Tensor) -> dict[str, Tensor]:
        model.set_input({"A": source, "B": target, "A_paths": [""], "B_paths": [""]})
        model.optimize_parameters()
        return {"g": model.loss_G_GAN, "l1": model.loss_G_L1 / 100, "d": model.loss_D}

    return one


def plain(size: int, width: int) -> Update:
    from torch.nn import functional as F

    step = our_step(size, width, {})
    generator, discriminator = step.generator, step.discriminator
    adam_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))

    def gan(logits: Tensor, real: bool) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def one(source: Tensor, target: Tensor) -> dict[str, Tensor]:
        fake = generator(source)
        adam_d.zero_grad()
        real, fakes = (discriminator(torch.cat([source, image], 1)).logits[0] for image in (target, fake.detach()))
        d = 0.5 * (gan(real, True) + gan(fakes, False))
        d.backward()  # type: ignore[no-untyped-call]
        adam_d.step()
        discriminator.requires_grad_(False)
        adam_g.zero_grad()
        g, l1 = gan(discriminator(torch.cat([source, fake], 1)).logits[0], True), F.l1_loss(fake, target)
        (g + 100 * l1).backward()  # type: ignore[no-untyped-call]
        adam_g.step()
        discriminator.requires_grad_(True)
        return {"g": g, "l1": l1, "d": d}

    return one


def timed(update: Callable[[], object], steps: int) -> dict[str, float]:
    """The median of some updates, after two that are not counted, and the most memory that the process held."""
    for _ in range(2):
        update()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        update()
        seconds.append(time.perf_counter() - start)
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    except ImportError:  # Windows
        peak = float("nan")
    return {"seconds": statistics.median(seconds), "peak_mib": peak}


def difference(options: argparse.Namespace) -> dict[str, float]:
    """The largest difference of a loss in equal steps from equal weights, in float32 and without dropout: ours, and the reference's own.

    Its own is what another number of threads makes of it: adversarial training amplifies the last bits.
    """
    from transfigure.data.batch import Batch
    from transfigure.interop.pytorch_cyclegan import convert_discriminator, convert_generator, recognise

    threads = torch.get_num_threads()
    model, again = (reference_model(options.reference, options.size, options.width, dropout=False) for _ in range(2))
    weights = {side: {key: value.clone() for key, value in getattr(model, f"net{side}").state_dict().items()} for side in "GD"}
    found = {side: recognise(state) for side, state in weights.items()}
    kinds = {"G": "generator", "D": "discriminator"}
    more = {f"{kinds[side]}.{key}": value for side, one in found.items() for key, value in one.options.items()}
    step = our_step(options.size, options.width, {**more, "generator.dropout": 0.0})
    step.generator.load_state_dict(convert_generator(weights["G"], found["G"]))
    step.discriminator.load_state_dict(convert_discriminator(weights["D"], found["D"]))

    def theirs(one: Any, source: Tensor, target: Tensor) -> list[float]:
        one.set_input({"A": source, "B": target, "A_paths": [""], "B_paths": [""]})
        one.optimize_parameters()
        return [loss.item() for loss in (one.loss_G_GAN, one.loss_G_L1 / 100, one.loss_D)]

    ours, itself = 0.0, 0.0
    for seed in range(EQUAL_STEPS):
        source, target = pair(options.size, seed)
        expected = theirs(model, source, target)
        output = step.training_step(Batch(source, target, ("one",)))
        mine = [float(loss) for loss in (output.adversarial, output.terms["l1"], output.d_loss)]
        torch.set_num_threads(1 if threads > 1 else 2)
        other = theirs(again, source, target)
        torch.set_num_threads(threads)
        ours, itself = (max(worst, *(abs(a - b) for a, b in zip(expected, found))) for worst, found in ((ours, mine), (itself, other)))
    return {"ours": ours, "itself": itself}


def written(options: argparse.Namespace) -> dict[str, float]:
    """A generator of ours, written for the reference and loaded there strictly: the largest difference of a picture, batch statistics."""
    from transfigure.interop.pytorch_cyclegan import write_reference
    from transfigure.networks.build import build_generator
    from transfigure.networks.model_file import Domain, ModelConfig
    from transfigure.networks.modes import inference

    depth = options.size.bit_length() - 1
    wanted = {"width": options.width, "depth": depth, "dropout": 0.0}
    torch.manual_seed(1)
    generator = build_generator("unet", 3, 3, wanted)
    config = ModelConfig("unet", wanted, Domain(3), Domain(3), generator.size_multiple)
    network = reference_model(options.reference, options.size, options.width, dropout=False).netG
    with tempfile.TemporaryDirectory() as folder:
        write_reference(generator, config, Path(folder, "latest_net_G.pth"))
        network.load_state_dict(torch.load(Path(folder, "latest_net_G.pth"), weights_only=True), strict=True)
    source = pair(options.size)[0]
    with inference(generator, norm="batch", noise="none"), torch.no_grad():
        return {"apart": float((generator(source) - network.train()(source)).abs().max())}


def loaders(options: argparse.Namespace) -> dict[str, float]:
    """Pairs a second of both data paths on one thread: side-by-side JPEG files of 512 x 256, to 286, a crop of 256, mirrored."""
    torch.set_num_threads(1)
    import_torchvision()
    sys.path.insert(0, options.reference)
    import numpy as np
    from data.aligned_dataset import AlignedDataset  # type: ignore[import-not-found]

    from transfigure.data import images
    from transfigure.data.dataset import PairDataset, PairFormat
    from transfigure.data.open import open_collection
    from transfigure.data.transforms import Geometry
    from transfigure.worlds.facades.dataset import draw_scene, render

    with tempfile.TemporaryDirectory() as folder:
        for index in range(int(options.pairs)):
            sides = [render(draw_scene(0, index), look, 256) for look in ("day", "labels")]
            images.write(Path(folder) / "train" / f"{index}.jpg", np.concatenate(sides, axis=1))
        theirs = AlignedDataset(
            types.SimpleNamespace(
                **{
                    "dataroot": folder,
                    "phase": "train",
                    "max_dataset_size": 10**9,
                    "load_size": 286,
                    "crop_size": 256,
                    "direction": "AtoB",
                },
                **{"input_nc": 3, "output_nc": 3, "preprocess": "resize_and_crop", "no_flip": False},
            )
        )
        mine = PairDataset(open_collection("side_by_side", folder).splits["train"], Geometry(286, 256), PairFormat("AtoB", 3, 3))

        def rate(read: Callable[[int], object]) -> float:
            start, count = time.perf_counter(), int(options.pairs)
            for index in range(count):
                read(index)
            return count / (time.perf_counter() - start)

        theirs[0]
        first = rate(lambda index: mine[0, index])
        return {"reference": rate(lambda index: theirs[index]), "first": first, "cached": rate(lambda index: mine[1, index])}


_OPERATORS: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import it also where its compiled part was built for another torch: of its operators, which are not used here, two must be known."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _OPERATORS.append(torch.library.Library("torchvision", "DEF"))  # type: ignore[no-untyped-call]  # which it is only while it is held
        for name in ("nms", "qnms"):
            _OPERATORS[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")


def child(what: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what]
    for name in ("steps", "size", "width", "pairs", "reference"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{what} ended with code {ended.returncode}:\n{ended.stderr}")
    measured: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return measured


def measured_here(options: argparse.Namespace) -> dict[str, float]:
    """What a child measures."""
    size, width = options.size, options.width
    if options.child == "difference":
        return difference(options)
    if options.child == "written":
        return written(options)
    if options.child == "loaders":
        return loaders(options)
    if options.child == "reference":
        update = reference(options.reference, size, width)
    elif options.child == "plain loop":
        update = plain(size, width)
    else:
        update = ours(size, width, {**OURS, **LAYOUTS}[options.child])
    source, target = pair(size)
    return timed(lambda: update(source, target), options.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", metavar="PATH", help="a checkout of pytorch-CycleGAN-and-pix2pix (default: a plain loop)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=40, help="files that the loaders read")
    parser.add_argument("--layouts", action="store_true", help="also the memory layout NHWC")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured_here(options)))
        return
    base = "reference" if options.reference else "plain loop"
    ways = [base, *OURS, *(LAYOUTS if options.layouts else ())]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.rounds):
        for way in ways:
            latest = child(way, options)
            seconds[way].append(latest["seconds"])
            peaks[way].append(latest["peak_mib"])
            print(f"round {turn + 1}/{options.rounds}  {way:30} {latest['seconds']:.3f} s  {latest['peak_mib']:.0f} MiB", file=sys.stderr)
    for group in (machine(), versions()):
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    setting = f"{options.size} x {options.size}, width {options.width}, batch 1, {torch.get_num_threads()} threads"
    print(f"pix2pix, {setting}; ratios to the {base}\n")
    rows = []
    for way in ways:
        step, peak = Row(way, "s", seconds[way]), Row(f"{way}: peak memory", "MiB", peaks[way])
        faster = Row(f"{way}: times as fast", "x", ratios(seconds[base], seconds[way]))
        rows += [step, faster, peak]
        memory = peak.median / statistics.median(peaks[base])
        print(f"{way:30} {step.median:.3f} s   {faster.median:.2f} x {faster.spread():18} {number(peak.median)} MiB ({memory:.2f} x)")
    if options.reference:
        apart = child("difference", options)
        name = f"largest difference of a loss from the reference's in {EQUAL_STEPS} equal steps"
        rows += [Row(f"{name}: ours", "", [apart["ours"]]), Row(f"{name}: its own with other threads", "", [apart["itself"]])]
        print(f"\n{name}: ours {apart['ours']:.1e}, its own with another number of threads {apart['itself']:.1e}")
        apart = child("written", options)
        name = "a generator of ours in the reference: largest difference of a picture"
        rows.append(Row(name, "", [apart["apart"]]))
        print(f"{name}: {apart['apart']:.1e}")
        if importlib.util.find_spec("torchvision"):
            read = child("loaders", options)
            rows += [Row(f"pairs: {name}", "pairs/s", [rate]) for name, rate in read.items()]
            ratio = {name: rate / read["reference"] for name, rate in read.items()}
            print(f"pairs a second on one thread: reference {number(read['reference'])}")
            print(f"ours, times as many: {ratio['first']:.1f} at first, {ratio['cached']:.1f} from the cache")
        else:
            print("its loader of pairs needs torchvision, which is not installed: left out")
    write_if_asked(options, "against_reference", rows)


if __name__ == "__main__":
    main()
