"""The small files of every kind that are attacked: pictures in each format, runs, models, statistics, evaluations, ablations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.attack.mutations import Random

Pixels = NDArray[Any]

SMALL = (
    "--data.load_size 16 --data.crop_size 16 --generator.width 2 --generator.depth 4 --generator.dropout_layers 1 --discriminator.width 2 "
    "--discriminator.receptive_field 16 --training.accelerator cpu --training.log_every 2 --training.preview_count 1 --training.epochs 1 "
    "--training.learning_rate 1e-3 --quiet"
)
"""Flags of a training that takes a moment."""


def noise(seed: int, shape: tuple[int, int, int], dtype: str) -> Pixels:
    """Random values over the type's range; floats from 0 to 1."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def _pillow(format: str, mode: str = "RGB", **options: Any) -> Callable[[Path, int], None]:
    def write(file: Path, seed: int) -> None:
        from PIL import Image

        channels = {"L": 1, "P": 3, "RGB": 3, "CMYK": 4}[mode]
        pixels = noise(seed, (16, 16, channels), "uint8")
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels[..., :3])
        image.convert(mode).save(file, format, **options)

    return write


def _ours(channels: int, dtype: str) -> Callable[[Path, int], None]:
    def write(file: Path, seed: int) -> None:
        from transfigure.data import images

        images.write(file, noise(seed, (16, 16, channels), dtype))

    return write


def _tifffile(channels: int, dtype: str, **options: Any) -> Callable[[Path, int], None]:
    def write(file: Path, seed: int) -> None:
        import tifffile

        pixels = noise(seed, (16, 16, channels), dtype)
        tifffile.imwrite(file, np.moveaxis(pixels, 2, 0) if options.get("planarconfig") else pixels.squeeze(), **options)

    return write


def _pnm(kind: str, most: int) -> Callable[[Path, int], None]:
    def write(file: Path, seed: int) -> None:
        pixels = noise(seed, (16, 16, 3 if kind in ("P3", "P6") else 1), "uint32") % (most + 1)
        head = f"{kind}\n# by hand\n16 16\n{most}\n".encode()
        plain = " ".join(map(str, pixels.ravel().tolist())).encode()
        file.write_bytes(head + (plain if kind in ("P2", "P3") else pixels.astype(">u2" if most > 255 else "u1").tobytes()))

    return write


PICTURES: dict[str, tuple[str, str, Callable[[Path, int], None]]] = {
    "png": (".png", "PNG", _ours(3, "uint8")),
    "grey_png": (".png", "PNG", _ours(1, "uint8")),
    "palette_png": (".png", "PNG", _pillow("PNG", "P")),
    "interlaced_png": (".png", "PNG", _pillow("PNG", "RGB", dpi=(300, 300))),
    "deep_png": (".png", "PNG", _ours(3, "uint16")),
    "deep_grey_png": (".png", "PNG", _ours(1, "uint16")),
    "jpeg": (".jpg", "JPEG", _pillow("JPEG", quality=90)),
    "progressive_jpeg": (".jpg", "JPEG", _pillow("JPEG", progressive=True)),
    "cmyk_jpeg": (".jpg", "JPEG", _pillow("JPEG", "CMYK")),
    "webp": (".webp", "WEBP", _pillow("WEBP", lossless=True)),
    "lossy_webp": (".webp", "WEBP", _pillow("WEBP")),
    "bmp": (".bmp", "BMP", _ours(3, "uint8")),
    "grey_bmp": (".bmp", "BMP", _pillow("BMP", "L")),
    "gif": (".gif", "GIF", _pillow("GIF", "P")),
    "pnm": (".ppm", "PNM", _pnm("P6", 255)),
    "grey_pnm": (".pgm", "PNM", _pnm("P5", 65535)),
    "plain_pnm": (".ppm", "PNM", _pnm("P3", 255)),
    "tiff": (".tif", "TIFF", _ours(3, "uint8")),
    "deep_tiff": (".tif", "TIFF", _ours(1, "uint16")),
    "float_tiff": (".tif", "TIFF", _ours(1, "float32")),
    "many_channels": (".tif", "TIFF", _ours(5, "uint16")),
    "planes": (".tif", "TIFF", _tifffile(4, "uint16", planarconfig="separate", photometric="minisblack")),
    "signed_tiff": (".tif", "TIFF", _tifffile(1, "int16")),
    "big_tiff": (".tif", "TIFF", _tifffile(3, "uint8", bigtiff=True, photometric="rgb")),
    "tiled_tiff": (".tif", "TIFF", _tifffile(1, "uint16", tile=(16, 16), compression="zlib")),
}
"""A name for each sort of picture: its suffix, its format as the reader calls it, and what writes one of 16 x 16 pixels."""

RANGES = {
    "float_tiff": ["--data.source_range", "[0, 1]", "--data.target_range", "[0, 1]"],
    "signed_tiff": ["--data.source_range", "[0, 32767]", "--data.target_range", "[0, 32767]"],
}

MODELS = dict.fromkeys(PICTURES, "png") | {
    name: name for name in ("deep_grey_png", "deep_png", "deep_tiff", "float_tiff", "signed_tiff", "many_channels", "planes", "grey_pnm")
}
"""Which pictures the model was trained on that translates each sort: 8-bit ones share one."""

PLUGIN = '''\
from transfigure import register


@register("loss", "halved")
def halved(batch):
    """Half of the mean difference."""
    return (batch.fake - batch.target).abs().mean() / 2
'''

GRID = """\
base: l1
about: Two weights of L1.
variations:
  one: {objective.terms.l1.weight: 1}
  ten: {objective.terms.l1.weight: 10}
metrics: [l1, ssim]
seeds: [0]
"""

RECIPE = """\
extends: pix2pix
name: attacked
data: {kind: two_folders, path: pairs, a: A, b: B, load_size: 16, crop_size: 16, flip: true, source_range: [0, 255]}
generator: {name: unet, width: 2, depth: 4, dropout_layers: 1, dropout: 0.5}
discriminator: {name: patch, width: 2, receptive_field: 16}
objective:
  adversarial: {loss: lsgan, conditional: true, weight: 0.5, r1: 0.1, pool: 2, augment: [color, translation]}
  terms: [{loss: l1, weight: 50}, {loss: cosine, weight: 30, match_gradient_of: l1}]
training: {epochs: 1, batch_size: 1, learning_rate: 2.0e-4, betas: [0.5, 0.999], schedule: linear_decay, ema: 0.9, seed: 3, log_every: 1,
  preview_count: 1, keep_every: 2, best_metric: l1, accelerator: cpu}
"""

PALETTE = {
    "name": "boxes",
    "classes": {"ground": [0, 0, 250], "box": [250, 0, 0]},
    "numbers": {"0": "ground", "1": "box"},
    "ignore": [[0, 0, 0]],
}


def no_page() -> None:
    """The page at the end of a training takes longer than the training; others attack what it reads."""
    from transfigure.reporting.comparison import page as comparison
    from transfigure.reporting.run import page

    page.report = lambda run, out=None, quiet=False: Path(run) / "report.html"
    comparison.compare = lambda found, out: Path(out)


def build(place: Path) -> None:
    """Write everything below a folder. To be called in a process of its own that has ``place`` as its working folder: it trains."""
    from transfigure.cli.main import main

    no_page()

    def transfigure(*words: str) -> None:
        if main(words):
            raise RuntimeError(f"transfigure {' '.join(words)}")

    for name, (suffix, _, write) in PICTURES.items():
        for seed, side in enumerate(("trainA", "trainB", "testA", "testB")):
            for number in range(2):
                file = place / "pictures" / name / side / f"{number}{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                write(file, 10 * seed + number)
    _pairs(place)
    (place / "recipe.yaml").write_text(RECIPE)
    (place / "grid.yaml").write_text(GRID)
    (place / "plugin.py").write_text(PLUGIN)
    (place / "plugin.yaml").write_text("extends: l1\nobjective: {adversarial: null, terms: [{loss: halved, weight: 2}]}\n")
    (place / "palette.json").write_text(json.dumps(PALETTE))

    transfigure("train", "recipe.yaml", "--out", "run", "--training.epochs", "2", "--quiet")
    transfigure("evaluate", "run", "--metrics", "l1,ssim,psnr", "--out", "run/evaluation", "--quiet")
    transfigure("train", "l1", "pairs", "--out", "spare/run", *SMALL.split(), "--generator.width", "4")
    transfigure("evaluate", "spare/run", "--metrics", "l1,ssim,psnr", "--out", "spare/run/evaluation", "--quiet")
    _interrupted(place)
    for name in set(MODELS.values()):
        transfigure("train", "l1", f"pictures/{name}", "--out", f"models/{name}", *SMALL.split(), *RANGES.get(name, []))
    transfigure("ablate", "grid.yaml", "pairs", "--out", "ablation", "--together", *SMALL.split())
    shutil.copytree(place / "ablation", place / "broken")
    (place / "broken" / "cells" / "ten" / "seed0.json").unlink()
    shutil.rmtree(place / "broken" / "cells" / "ten" / "seed0" / "evaluation")
    for name in ("statistics.npz", "spare/statistics.npz"):
        side = "pairs/testB" if name == "statistics.npz" else "pairs/trainA"
        transfigure("statistics", side, "--out", name, "--features", "random", "--quiet")
    segmenter = ["--size", "16", "--epochs", "1", "--width", "2", "--device", "cpu", "--quiet"]
    for name, seed in (("segmenter.safetensors", "0"), ("spare/segmenter.safetensors", "1")):
        transfigure("segmenter", "train", "labelled", "--out", name, "--seed", seed, *segmenter)
    _from_elsewhere(place)
    _prepared(place)
    demo = ["demo", "--out", "demo"]
    (place / "demo").mkdir()
    shutil.copy(place / "run" / "recipe.yaml", place / "demo" / "recipe.yaml")
    assert main(demo) == 2  # not an earlier demo: left alone


def _prepared(place: Path) -> None:
    """Pairs as they are kept between runs, and the network that is trained on them; the second time nothing is prepared."""
    from tests.attack.subjects import train_with_prepared_pairs
    from transfigure.data.prepared import PreparedStore

    def again(*_: object) -> bool:
        raise RuntimeError("prepared again")

    put = PreparedStore.put
    for way in (put, again):
        PreparedStore.put = way  # type: ignore[method-assign, assignment]
        if train_with_prepared_pairs():
            raise RuntimeError("prepared pairs train another network")
        shutil.rmtree(place / "trained")
    PreparedStore.put = put  # type: ignore[method-assign]


def _pairs(place: Path) -> None:
    from transfigure.data import images

    random = Random(0)
    rows = []
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for number in range(count):
            for side in "AB":
                images.write(place / "pairs" / f"{split}{side}" / f"{number}.png", noise(random.randrange(10**6), (16, 16, 3), "uint8"))
            rows.append((f"pairs/{split}A/{number}.png", f"pairs/{split}B/{number}.png", split, f"pair {len(rows)}"))
    header = ("source", "target", "split", "name")
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        lines = [delimiter.join(row) for row in (header, *rows)]
        (place / f"pairs{suffix}").write_text("\n".join(lines) + "\n")
    (place / "pairs.jsonl").write_text("".join(json.dumps(dict(zip(header, row))) + "\n" for row in rows))
    for split in ("train", "test"):
        for number in range(3):
            inside = np.zeros((16, 16), bool)
            inside[random.randrange(8) :, random.randrange(8) :] = True
            photo = (np.where(inside, 170, 60)[..., None] + noise(number, (16, 16, 3), "uint8") // 8).astype(np.uint8)
            labels = np.where(inside[..., None], [250, 0, 0], [0, 0, 250]).astype(np.uint8)
            images.write(place / "labelled" / split / f"{number}.png", np.concatenate([photo, labels], axis=1))
            images.write(place / "photos" / f"{number}.png", photo)
            images.write(place / "labels" / f"{number}.png", labels)


def _interrupted(place: Path) -> None:
    """Runs that were stopped in the middle, with their first checkpoint, and another's to swap it for."""
    from transfigure.errors import Interrupted
    from transfigure.recipe import Recipe
    from transfigure.training.steps.pix2pix import Pix2PixStep
    from transfigure.training.trainer import train

    step = Pix2PixStep.training_step
    for name, seed in (("stopped", 3), ("spare/stopped", 4)):
        seen = [0]

        def counted(self: Any, *given: Any, **options: Any) -> Any:
            seen[0] += 1  # noqa: B023
            if seen[0] == 5:  # noqa: B023
                raise Interrupted("stopped")
            return step(self, *given, **options)

        Pix2PixStep.training_step = counted  # type: ignore[method-assign]
        try:
            train(
                Recipe.load(place / "recipe.yaml", {"training.epochs": 2, "training.checkpoint_every": 1, "training.seed": seed}),
                place / name,
                quiet=True,
            )
        except Interrupted:
            pass
        finally:
            Pix2PixStep.training_step = step  # type: ignore[method-assign]
        if not (place / name / "checkpoints" / "last.pt").is_file():
            raise RuntimeError(f"{name} was not stopped in the middle")


def _from_elsewhere(place: Path) -> None:
    """A network of the reference code, weights of features, and probes."""
    import torch

    from tests.interop.foreign_files import exported, put_training, variables
    from tests.interop.reference_layouts import reference_resnet
    from transfigure.studies.preservation.probes import load_probes

    torch.manual_seed(0)
    for name, width in (("net.pth", 2), ("spare/net.pth", 4)):
        torch.save(reference_resnet(3, 3, width, 1, "instance", dropout=False), place / name)
    put_training(place / "theirs")
    (place / "cats.pict").write_bytes(exported(variables(depth=3)))
    heads = {f"lin{index}.model.1.weight": torch.rand(1, channels, 1, 1) for index, channels in enumerate((64, 192, 384, 256, 256))}
    torch.save(heads, place / "heads.pth")
    _archives(place)
    old = Path(__file__).parents[1] / "compat" / "v0_1_0"
    load_probes(old / "probes.safetensors").save(place / "probes.safetensors")
    shutil.copytree(old / "vector", place / "vector", ignore=shutil.ignore_patterns("*.npy", "analysis", "samples"))


def _archives(place: Path) -> None:
    """Pairs as public data sets come, in both kinds of archives."""
    import tarfile
    import zipfile

    (place / "archives").mkdir()
    with tarfile.open(place / "archives" / "pairs.tar.gz", "w:gz") as tar, zipfile.ZipFile(place / "archives" / "pairs.zip", "w") as packed:
        for file in sorted((place / "labelled").rglob("*.png")):
            name = f"edges2shoes/{file.relative_to(place / 'labelled').as_posix()}"
            tar.add(file, name)
            packed.write(file, name, zipfile.ZIP_DEFLATED)
