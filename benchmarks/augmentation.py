"""What augmentation is worth for few pairs: trainings on 50 of them under four conditions, scored on pairs they never saw.

    python benchmarks/augmentation.py [DATA] [--direction BtoA] [--size 32] [--pairs 50] [--images 6000] [--seeds 0,1,2]
        [--conditions flip,all,...] [--every 4] [--png FILE] [--json FILE]

``DATA`` is a folder of pairs, or ``synthetic``, the drawn street (as it is by default). Every training is ``pix2pix_small`` at ``--size``
pixels: the same pairs in the same order, the same updates, the same first weights for a seed; only what is done to the pairs differs.
Printed are the scores of the held-out pairs, the mean over the seeds with the half width of Student's 95 % interval; beside them L1 of the
training pairs themselves, and by how much the held-out ones are worse: what is memorised is the difference. ``--png`` draws the held-out L1
over the training, each seed as a line.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measured import Row, add_json, machine, versions, write_if_asked

TOY = ["--size", "32", "--pairs", "4", "--images", "8", "--seeds", "0", "--conditions", "flip,all", "--held_out", "4", "--width", "2"]
"""Arguments of a run that takes seconds."""
GEOMETRY: dict[str, Any] = {"data.flip": True, "data.rotation": 5.0, "data.scaling": 0.15, "data.elastic": 0.015}
"""The elastic one as a share of the crop."""
COLOUR: dict[str, Any] = {"data.flip": True, "data.colour_jitter": 0.2}
CONDITIONS: dict[str, dict[str, Any]] = {
    "flip": {"data.flip": True},
    "geometry": GEOMETRY,
    "colour": COLOUR,
    "all": GEOMETRY | COLOUR,
}
"""What is done to the pairs, beside the crop."""
METRICS = ("l1", "psnr", "ssim")
STUDENT = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""95 % of Student's distribution lie within so many standard errors, by degrees of freedom."""


def recipe_of(options: argparse.Namespace, condition: str, seed: int) -> Any:
    """The recipe of one training."""
    from transfigure.recipe import Recipe

    given = dict(CONDITIONS[condition])
    if "data.elastic" in given:
        given["data.elastic"] = round(given["data.elastic"] * options.size, 3)
    epochs = max(1, options.images // options.pairs)
    place = {"data.kind": "synthetic", "data.train": options.pairs, "data.val": 0, "data.test": options.held_out}
    if options.data != "synthetic":
        place = {"data.path": str(Path(options.data).resolve()), "data.limit": options.pairs, "data.val_fraction": 0.0}
    return Recipe.load(
        "pix2pix_small",
        {
            **place,
            **given,
            "data.direction": options.direction,
            "data.load_size": round(options.size * 1.125),
            "data.crop_size": options.size,
            "generator.depth": int(math.log2(options.size)),
            "generator.width": options.width,
            "discriminator.width": options.width,
            "training.epochs": epochs,
            "training.batch_size": options.batch,
            "training.learning_rate": options.learning_rate,
            "training.seed": seed,
            "training.keep_every": max(1, epochs // options.every) * options.pairs,
            "training.preview_count": 0,
            "training.validate_every": 0,
        },
    )


def scored(model: Path, split: str) -> dict[str, float]:
    """The scores of a model, over the pairs of a split."""
    from transfigure.evaluation.evaluate import evaluate

    rows = evaluate(model, split=split, metrics=list(METRICS), quiet=True).rows
    return {row.metric: row.value for row in rows if row.metric in METRICS and row.value is not None}


def trained(options: argparse.Namespace, condition: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train once; the scores on the way and at the end."""
    from transfigure.training.trainer import train

    started = time.monotonic()
    run = train(recipe_of(options, condition, seed), folder / f"{condition}-{seed}", quiet=True)
    seconds = time.monotonic() - started
    kept = sorted((run / "kept").iterdir(), key=lambda one: int("".join(filter(str.isdigit, one.name)) or 0))
    curve = [(int("".join(filter(str.isdigit, one.name))), scored(one, "test")["l1"]) for one in kept]
    return {
        "condition": condition,
        "seed": seed,
        "seconds": round(seconds, 1),
        "held_out": scored(run, "test"),
        "trained_on": scored(run, "train"),
        "curve": curve,
    }


def spread(values: list[float]) -> tuple[float, float | None]:
    """The mean, and half of Student's 95 % interval; none of a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, STUDENT[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))


def table(results: list[dict[str, Any]], conditions: list[str]) -> str:
    """In Markdown."""
    lines = ["| | L1 ↓ | PSNR ↑ | SSIM ↑ | L1 of the training pairs | held-out L1 minus that |", "|---|---:|---:|---:|---:|---:|"]
    for condition in conditions:
        of_one = [one for one in results if one["condition"] == condition]
        gaps = [one["held_out"]["l1"] - one["trained_on"]["l1"] for one in of_one]
        columns = [([one["held_out"][name] for one in of_one], 2 if name == "psnr" else 4) for name in METRICS]
        columns += [([one["trained_on"]["l1"] for one in of_one], 4), (gaps, 4)]
        cells = []
        for values, digits in columns:
            mean, half = spread(values)
            cells.append(f"{mean:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}"))
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: list[dict[str, Any]], conditions: list[str], file: Path) -> None:
    """The held-out L1 over the training, a thin line for each seed and a thick one for their mean."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for at, condition in enumerate(conditions):
        curves = [one["curve"] for one in results if one["condition"] == condition]
        colour = f"C{at}"
        for curve in curves:
            axes.plot(*zip(*curve), color=colour, alpha=0.3, linewidth=0.8)
        means = [(points[0][0], statistics.fmean(value for _, value in points)) for points in zip(*curves)]
        axes.plot(*zip(*means), color=colour, linewidth=2, label=condition)
    axes.set(xlabel="images seen", ylabel="L1 of held-out pairs", title="Held-out error over the training (thin: each seed)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="synthetic", help="a folder of pairs, or synthetic")
    parser.add_argument("--direction", default="AtoB", help="AtoB or BtoA")
    parser.add_argument("--size", type=int, default=32, help="side of the pictures in pixels")
    parser.add_argument("--pairs", type=int, default=50, help="pairs to train on")
    parser.add_argument("--held_out", type=int, default=128, help="pairs of the drawn street to score; of a folder it is its test split")
    parser.add_argument("--images", type=int, default=6000, help="images that a training sees")
    parser.add_argument("--batch", type=int, default=10, help="pairs of an update")
    parser.add_argument("--learning_rate", type=float, default=1e-3, help="of Adam")
    parser.add_argument("--width", type=int, default=16, help="filters of the first level of both networks")
    parser.add_argument("--seeds", default="0,1,2", help="of the trainings")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help=f"of {', '.join(CONDITIONS)}")
    parser.add_argument("--every", type=int, default=4, help="points of a curve")
    parser.add_argument("--results", type=Path, help="JSON of what was trained; what it holds already is not trained again")
    parser.add_argument("--png", type=Path, help="where to draw the curves")
    add_json(parser)
    options = parser.parse_args()
    conditions, seeds = options.conditions.split(","), [int(seed) for seed in options.seeds.split(",")]
    print("; ".join(f"{key} {value}" for key, value in {**machine(), **versions()}.items()))
    results: list[dict[str, Any]] = []
    if options.results is not None and options.results.exists():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            for condition in conditions:
                if any((one["condition"], one["seed"]) == (condition, seed) for one in results):
                    continue
                results.append(trained(options, condition, seed, Path(folder)))
                found = results[-1]
                print(f"{condition}, seed {seed}: {found['seconds']} s, {found['held_out']}", file=sys.stderr, flush=True)
                if options.results is not None:
                    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results, conditions))
    if options.png is not None:
        draw(results, conditions, options.png)
    rows = [
        Row(f"{condition}, held-out {name}", name, [one["held_out"][name] for one in results if one["condition"] == condition])
        for condition in conditions
        for name in METRICS
    ]
    write_if_asked(options, "augmentation", rows)


if __name__ == "__main__":
    main()
