"""Engines: how far from torch, how fast one pass is, and how fast a folder is translated, beside the reference implementation.

    python benchmarks/export.py [--model RUN] [--reference PATH] [--reference-python PYTHON] [--images 1000] [--size 256] [--rounds 5]

Three tables. *Differences*: every kind of generator in every mode, exported, and run by each engine on five sizes; the largest difference
from torch on [-1, 1]. *Pass*: one image through the U-Net of pix2pix (or ``--model``), by each engine in turn, in the same rounds; the
ratio is to what the reference does, its eager pass with dropout and batch statistics (with ``PATH``, a checkout of
junyanz/pytorch-CycleGAN-and-pix2pix, its own network; else the same layers, written plainly). *Folder*: whole commands over a folder of
files, with what the passes alone take; with ``PATH`` and a Python that has torchvision, the reference's ``test.py``.

8-bit weights of a network that was never trained say nothing about pictures: for their error give a trained ``--model``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measured import Row, add_json, number, ratios, write_if_asked
from PIL import Image
from torch import nn

from transfigure.errors import UserError
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.translation.engines.base import InferenceEngine
from transfigure.translation.export import check_images
from transfigure.translation.translator import Translator
from transfigure.worlds.facades.dataset import Rendering

TOY = ["--images", "3", "--size", "32", "--rounds", "1", "--width", "4", "--depth", "4", "--kinds", "1"]
"""Arguments of a run that takes seconds."""

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("quarter", {"width": 16, "depth": 3, "noise": True}),
    ("unet", {"width": 16, "depth": 5}),
    ("unet", {"width": 16, "depth": 5, "norm": "instance", "upsampling": "bilinear", "noise": True}),
    ("unet", {"width": 16, "depth": 5, "upsampling": "pixel_shuffle"}),
    ("unet", {"width": 16, "depth": 5, "bottleneck": "vector"}),
    ("encoder_decoder", {"width": 16, "depth": 5, "norm": "instance"}),
    ("resnet", {"width": 16, "blocks": 3}),
    ("resnet", {"width": 16, "blocks": 3, "dropout": 0.5, "upsampling": "resize", "downsampling": "blur", "norm": "batch"}),
    ("quarter", {"width": 16, "depth": 4, "norm": "batch", "dropout": 0.3, "upsampling": "pixel_shuffle"}),
]
PARTS = ("differences", "pass", "folder")
MODES = [Inference(norm, noise) for norm in ("batch", "running") for noise in ("dropout", "none")]


def translator(name: str, options: dict[str, Any], how: Inference, size: int = 64) -> Translator:
    """Of random weights that make outputs of contrast, and statistics that were gathered."""
    torch.manual_seed(0)
    generator = build_generator(name, 3, 3, options)
    with torch.no_grad():
        for weight in generator.parameters():
            if weight.ndim == 4:
                nn.init.kaiming_normal_(weight, 0.2)
        side = generator.only_size or max(size, generator.smallest_input)
        for _ in range(2):
            generator.train()(torch.rand(2, 3, side, side) * 2 - 1)
    config = ModelConfig(name, options, Domain(3), Domain(3), generator.size_multiple, generator.only_size or size, how)
    return Translator(generator.eval(), config, how)


def differences(kinds: int, folder: Path) -> None:
    """Print the table of largest differences."""
    print("| generator | norm | noise | onnxruntime | openvino |\n|---|---|---|---|---|")
    for name, options in KINDS[:kinds]:
        for how in MODES[: 4 if kinds > 1 else 1]:
            try:
                measured = translator(name, options, how).export(folder / "model.onnx", overwrite=True, quiet=True).about.measured
                cells = [f"{measured[f'{engine}_largest']:.1e}" for engine in ("onnxruntime", "openvino")]
            except UserError as error:
                cells = [str(error), ""]
            words = " ".join(f"{key} {value}" for key, value in options.items())
            print(f"| {name}, {words} | {how.norm} | {how.noise} | {' | '.join(cells)} |", flush=True)
    print()


def plain_unet(width: int, depth: int) -> nn.Module:
    """The layers of pix2pix as they are written plainly, in training mode: dropout, and statistics of what they see."""

    class Level(nn.Module):
        def __init__(self, outer: int, inner: int, inside: nn.Module | None, first: bool, drop: bool) -> None:
            super().__init__()
            down: list[nn.Module] = [nn.LeakyReLU(0.2)] * (not first) + [nn.Conv2d(3 if first else outer, inner, 4, 2, 1, bias=False)]
            down += [nn.BatchNorm2d(inner)] * (not first and inside is not None)
            up = [nn.ReLU(), nn.ConvTranspose2d(inner * (1 if inside is None else 2), 3 if first else outer, 4, 2, 1, bias=first)]
            up += [nn.Tanh()] if first else [nn.BatchNorm2d(outer), *[nn.Dropout(0.5)] * drop]
            self.layers, self.first = nn.Sequential(*down, *([] if inside is None else [inside]), *up), first

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layers(x)
            return y if self.first else torch.cat([x, y], 1)

    widths = [width * min(2**level, 8) for level in range(depth)]
    inside: nn.Module | None = None
    for level in reversed(range(depth)):
        inside = Level(widths[max(0, level - 1)], widths[level], inside, level == 0, depth > 5 and 4 <= level < depth - 1)
    assert inside is not None
    return inside.train()


def reference_pass(checkout: str | None, width: int, depth: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the reference's ``test.py`` does with one image."""
    if checkout is None:
        network = plain_unet(width, depth)
    else:
        sys.path.insert(0, checkout)
        from models import networks  # type: ignore[import-not-found]

        network = networks.define_G(3, 3, width, "unet_256" if depth == 8 else "unet_128", "batch", True, "normal", 0.02).train()

    def one(image: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = network(image)
        return output

    return one


def loaded(file: Path, name: str, how: Inference) -> Callable[[torch.Tensor], torch.Tensor]:
    engine: InferenceEngine = Translator.load(file, engine=name, quiet=True).engine
    return lambda image: engine(image, how)


def passes(options: argparse.Namespace, files: dict[str, Path], own: Translator) -> dict[str, float]:
    """Print what one pass takes by each engine, and return the medians in milliseconds."""
    how = own.inference
    engines: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "the reference": reference_pass(options.reference, options.width, options.depth),
        "torch": lambda image: own.engine(image, how),
        "onnxruntime": loaded(files["float32"], "onnxruntime", how),
        "openvino": loaded(files["float32"], "openvino", how),
        "openvino, int8": loaded(files["int8"], "openvino", how),
    }
    image = torch.rand(1, 3, options.size, options.size) * 2 - 1
    times: dict[str, list[float]] = {name: [] for name in engines}
    for act in engines.values():
        act(image)
    for _ in range(options.rounds):
        for name, act in engines.items():
            act(image)
            began = time.perf_counter()
            for _ in range(3):
                act(image)
            times[name].append((time.perf_counter() - began) / 3 * 1000)
    rows = [Row(name, "ms", values) for name, values in times.items()]
    print(f"| one image of {options.size} x {options.size} | ms | against the reference |\n|---|---|---|")
    for row in rows:
        ratio = Row(row.name, "x", ratios(rows[0].values, row.values))
        print(f"| {row.name} | {number(row.median)} {row.spread()} | {number(ratio.median)} {ratio.spread()} |")
    print()
    write_if_asked(options, "export", rows)
    return {row.name: row.median for row in rows}


def folders(options: argparse.Namespace, files: dict[str, Path], own: Translator, ms: dict[str, float], place: Path) -> None:
    """Print what whole commands take over a folder of files."""
    source = place / "in"
    source.mkdir()
    for index in range(options.images):
        Image.fromarray(Rendering(0, index, "labels", options.size).read()).save(source / f"{index:05}.png")
    own.save(place / "model")
    print(f"| {options.images} files of {options.size} x {options.size} | s | images/s | passes, s | ratio | against the reference |")
    print("|---|---|---|---|---|---|")
    commands = {
        "torch": [str(place / "model")],
        "onnxruntime": [str(files["float32"]), "--engine", "onnxruntime"],
        "openvino": [str(files["float32"]), "--engine", "openvino"],
        "openvino, int8": [str(files["int8"]), "--engine", "openvino"],
    }
    theirs = _reference_folder(options, own, source, place) if options.reference_python else None
    if theirs is not None:
        print(f"| the reference's test.py | {theirs:.1f} | {options.images / theirs:.1f} | | | 1 |", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for name, words in commands.items():
        command = [
            sys.executable,
            "-m",
            "transfigure",
            "translate",
            words[0],
            str(source),
            str(place / f"out-{name}"),
            *words[1:],
            "--quiet",
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds, alone = time.perf_counter() - began, ms[name] * options.images / 1000
        against = "" if theirs is None else f"{theirs / seconds:.2f}"
        print(f"| {name} | {seconds:.1f} | {options.images / seconds:.1f} | {alone:.1f} | {seconds / alone:.2f} | {against} |", flush=True)


def _reference_folder(options: argparse.Namespace, own: Translator, source: Path, place: Path) -> float:
    """Seconds of the reference's ``test.py`` over the same files, with the same weights."""
    (place / "checkpoints" / "one").mkdir(parents=True)
    own.export(place / "checkpoints" / "one" / "latest_net_G.pth", format="reference", quiet=True)
    words = ["--dataroot", str(source), "--name", "one", "--model", "test", "--netG", "unet_256", "--norm", "batch", "--preprocess", "none"]
    words += ["--num_test", str(options.images), "--checkpoints_dir", str(place / "checkpoints"), "--results_dir", str(place / "theirs")]
    words += ["--ngf", str(options.width)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    began = time.perf_counter()
    subprocess.run([options.reference_python, "test.py", *words], cwd=options.reference, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a run to measure, in place of a U-Net of random weights")
    parser.add_argument("--reference", metavar="PATH", help="a checkout of pytorch-CycleGAN-and-pix2pix")
    parser.add_argument("--reference-python", metavar="PYTHON", help="with torch, torchvision and dominate, for its test.py")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", type=int, default=len(KINDS), help="generators in the table of differences")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if "differences" in options.parts:
            differences(options.kinds, place)
        if options.parts == ["differences"]:
            return
        unet = {"width": options.width, "depth": options.depth, "dropout_skip": 1}
        own = Translator.load(options.model) if options.model else translator("unet", unet, Inference(), options.size)
        files = {precision: place / f"{precision}.onnx" for precision in ("float32", "int8")}
        calibration = [batch[0] for batch in check_images(own.network) for _ in range(2)]
        own.export(files["float32"], quiet=True)
        _export_8_bits(own, files["int8"], calibration)
        ms = passes(options, files, own)
        if "folder" in options.parts:
            folders(options, files, own, ms, place)


def _export_8_bits(own: Translator, file: Path, images: list[torch.Tensor]) -> None:
    """Also of random weights, of which nobody expects pictures: what is measured is time."""
    from transfigure.translation import export as module

    module.GREY_LEVELS = 255.0
    own.export(file, precision="int8", images=images, quiet=True)


if __name__ == "__main__":
    main()
