"""How long an evaluation takes: pairs of PNG files through the distortion metrics, and against scikit-image on the same files.

    python benchmarks/evaluation.py [--pairs 1000] [--size 256] [--compared 100] [--json FILE]

The first number is the whole of ``evaluate_folders`` with L1, PSNR, SSIM and MS-SSIM: files read once, scores, the bound of the copied
source, intervals. The ratio is PSNR and SSIM alone, ours against scikit-image's, file reading included on both sides, interleaved.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measured import Row, add_json, ratios, write_if_asked
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from transfigure.data import images
from transfigure.evaluation.folders import evaluate_folders
from transfigure.worlds.facades.dataset import draw_scene, render

TOY = ["--pairs", "6", "--size", "64", "--compared", "4", "--rounds", "1"]
"""Arguments of a run that takes seconds."""

SCENES = 50


def write(root: Path, pairs: int, size: int) -> None:
    """Targets are drawn facades, the generated images the same with noise, the sources their label maps."""
    noise = np.random.default_rng(0)
    drawn = [
        (render(draw_scene(0, index), "day", size), render(draw_scene(0, index), "labels", size)) for index in range(min(SCENES, pairs))
    ]
    for index in range(pairs):
        photo, labels = drawn[index % len(drawn)]
        made = np.clip(photo + noise.normal(0, 12, photo.shape), 0, 255).astype(np.uint8)
        for side, picture in (("generated", made), ("target", photo), ("source", labels)):
            images.write(root / side / f"{index:04d}.png", picture)


def peer(root: Path, names: list[str]) -> None:
    for name in names:
        made, wanted = (np.asarray(Image.open(root / side / name).convert("RGB")) for side in ("generated", "target"))
        peak_signal_noise_ratio(wanted, made)  # type: ignore[no-untyped-call]
        structural_similarity(  # type: ignore[no-untyped-call]
            wanted, made, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--compared", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    add_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "all", options.pairs, options.size)
        write(root / "some", options.compared, options.size)
        start = time.perf_counter()
        evaluate_folders(
            root / "all" / "generated",
            root / "all" / "target",
            source=root / "all" / "source",
            metrics=["l1", "psnr", "ssim", "ms_ssim"],
            quiet=True,
        )
        whole = time.perf_counter() - start
        names = sorted(path.name for path in (root / "some" / "target").iterdir())
        theirs, ours = [], []
        for _ in range(options.rounds):
            start = time.perf_counter()
            peer(root / "some", names)
            middle = time.perf_counter()
            evaluate_folders(root / "some" / "generated", root / "some" / "target", metrics=["psnr", "ssim"], quiet=True)
            theirs.append(middle - start)
            ours.append(time.perf_counter() - middle)
    print(f"{options.pairs:,} pairs of {options.size} pixels, four metrics and a bound: {whole:.1f} s")
    times = ratios(theirs, ours)
    spread = f"(rounds: {min(times):.1f} to {max(times):.1f})"
    print(f"PSNR and SSIM, images/s against scikit-image: {statistics.median(times):.1f} x {spread}")
    rows = [
        Row("four metrics and a bound", "s", [whole]),
        Row("PSNR and SSIM, scikit-image", "s", theirs),
        Row("PSNR and SSIM, ours", "s", ours),
    ]
    write_if_asked(options, "evaluation", [*rows, Row("PSNR and SSIM, ours against scikit-image", "x", times)])


if __name__ == "__main__":
    main()
