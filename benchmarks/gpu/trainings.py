"""Real trainings at 256 pixels, started as a user starts them: their logs, reports, scores on the test pairs, and pictures.

All run at once, each in a process of its own: one training leaves most of the card idle, since the host cannot launch its small kernels
fast enough. So their times are those of sharing it; what one alone takes is measured in ``speed.py``.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from setting import Findings, Setting, Way, numerics

from transfigure.data import images
from transfigure.data.pixels import to_array
from transfigure.evaluation.held_out import held_out
from transfigure.networks.model_file import Inference
from transfigure.reporting.panels import sheet
from transfigure.translation.translator import Translator

METRICS = "l1,psnr,ssim,ms_ssim,random_frechet,lab_histogram"
KEPT = ("recipe.yaml", "environment.json", "log.jsonl", "report.html", "evaluation/evaluation.json", "evaluation/per_image.csv")
ROWS = 4
IMPORTED = (
    "transfigure.cli.main",
    "transfigure.training.trainer",
    "transfigure.evaluation.evaluate",
    "transfigure.evaluation.diagnosis",
    "transfigure.reporting.run.page",
    "transfigure.worlds.facades.dataset",
    "matplotlib.figure",
)
"""What a training and an evaluation import."""
Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Training:
    """One training and how it is scored.

    Attributes:
        name: of the run.
        pairs: training pairs, for the number of epochs.
        batch: pairs in a batch.
        flags: after ``transfigure train RECIPE``.
        scored: after ``transfigure evaluate RUN``.
        segmented: score also by a segmenter that is trained on the same pairs.
        recipe: what is trained.
        minutes: train for so long, in place of epochs, with the recipe's own batch.
    """

    name: str
    pairs: int
    batch: int
    flags: tuple[str, ...]
    scored: tuple[str, ...] = ("--metrics", METRICS)
    segmented: bool = False
    recipe: str = "pix2pix"
    minutes: float | None = None


def run(setting: Setting, found: Findings, windows: Path | None, updates: int, limit: float | None) -> None:
    """Train, evaluate, report, and keep what a person wants to see."""
    found.section("Trainings, all at once on one card")
    trainings = plan(setting, windows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with concurrent.futures.ThreadPoolExecutor(len(trainings) + 1) as together:
            segmenter = None if windows is None else together.submit(_segmenter, setting, windows, folder)
            jobs = {one: together.submit(_train, setting, one, folder, updates, limit, segmenter) for one in trainings}
            if segmenter is not None:
                with found.trying("segmenter"):
                    found.number("segmenter of the windows", segmenter.result()[1])
            for training, job in jobs.items():
                with found.trying(training.name):
                    trained, evaluated, took = job.result()
                    _told(training, folder / training.name, trained, took, found)
                    _scored(training, folder / training.name, evaluated, found)
        with found.trying("pictures"):
            _pictures(trainings, folder, found.folder)
        with found.trying("trained translator"):
            _compared(setting, folder / trainings[0].name, found)
        with tarfile.open(found.folder / "runs.tar.gz", "w:gz") as kept:
            for training in trainings:
                for file in (folder / training.name / kind for kind in KEPT):
                    if file.is_file():
                        kept.add(file, file.relative_to(folder))


def plan(setting: Setting, windows: Path | None) -> list[Training]:
    """What is trained: drawn facades in both precisions, and real facades both ways."""
    small = setting.device == "cpu"
    pairs, test = (setting.pairs, setting.held_out) if small else (400, 300)
    drawn = ("synthetic", "--data.train", str(pairs), "--data.test", str(test), "--data.val", "0")
    toy = _toy(setting)
    found = [
        Training("drawn_float32", pairs, 1, (*drawn, *toy)),
        Training("drawn_bf16", pairs, 1, (*drawn, *toy, "--training.precision", "bf16-mixed")),
        Training("drawn_float32_batch_4", pairs, 4, (*drawn, *toy)),
    ]
    if small:
        found = found[1:2]
    if windows is not None:
        count = len(list((windows / "train").iterdir()))
        palette = ("--metrics", f"{METRICS},fcn_score", "--palette", "learn")
        found += [
            Training("windows_labels_to_photo", count, 4, (str(windows), *toy, "--data.direction", "BtoA"), segmented=True),
            Training("windows_photo_to_labels", count, 4, (str(windows), *toy, "--data.direction", "AtoB"), palette),
        ]
    return found


def compare_modes(setting: Setting, found: Findings) -> None:
    """Short trainings in every mode beside three seeds of float32, computed kernel by kernel from pairs that are read anew.

    A mode is as good if each of its scores lies where those of other seeds do: in their range, widened by its own width on either side.
    """
    found.section("Every mode beside three seeds of plain float32: 10,000 images each, all at once on one card")
    small = setting.device == "cpu"
    pairs, test, batch, images = (setting.pairs, setting.held_out, 2, 12) if small else (400, 300, 16, 10_000)
    common = ("synthetic", "--data.train", str(pairs), "--data.test", str(test), "--data.val", "0", *_toy(setting))
    plain = ("--training.graphs", "no", "--data.on_device", "no")
    seeds = [
        Training(f"plain_float32_seed_{seed}", pairs, batch, (*common, *plain, "--training.seed", str(seed)))
        for seed in range(1 if small else 3)
    ]
    modes = [
        Training(f"replayed_{name}", pairs, batch, (*common, "--training.precision", name))
        for name in (("bf16-mixed",) if small else ("32-true", "bf16-mixed", "16-mixed"))
    ]
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(2 if small else len(seeds) + len(modes)) as together:
        folder = Path(name)
        jobs = {one: together.submit(_train, setting, one, folder, images // batch, None, None) for one in (*seeds, *modes)}
        scores: dict[str, dict[str, float]] = {}
        for training, job in jobs.items():
            with found.trying(training.name):
                trained, evaluated, took = job.result()
                _told(training, folder / training.name, trained, took, found)
                if evaluated.returncode:
                    raise RuntimeError(f"exit code {evaluated.returncode}: {evaluated.stderr[-600:]}")
                result = json.loads((folder / training.name / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
                scores[training.name] = {row["metric"]: row["value"] for row in result["rows"] if row["value"] is not None}
    with found.trying("modes compared"):
        for mode in modes:
            words, passed = [], True
            for metric, value in scores[mode.name].items():
                others = [scores[one.name][metric] for one in seeds]
                low, high = min(others), max(others)
                inside = 2 * low - high <= value <= 2 * high - low
                passed &= inside
                words.append(f"{metric} {value:.4g} ({low:.4g} to {high:.4g}){'' if inside else ' OUTSIDE'}")
            found.check(f"{mode.name} as three seeds of plain float32", None if small else passed, ", ".join(words), scores=scores)


def compare_recipes(setting: Setting, found: Findings) -> None:
    """``modern`` beside ``pix2pix`` at 256 pixels, for the same time, one after the other with the card to itself; and their pictures."""
    small = setting.device == "cpu"
    minutes, test = (0.01, setting.held_out) if small else (2.0, 300)
    found.section(f"modern beside pix2pix: {minutes:g} minutes each, alone on the card, at 256 pixels")
    drawn = ("synthetic", "--data.train", str(setting.pairs if small else 1500), "--data.test", str(test), "--data.val", "0")
    toy = {"pix2pix": _toy(setting), "modern": _toy(setting)}
    if small:
        toy["modern"] += ("--data.evaluation_size", str(setting.size), "--generator.depth", "3")
    scored = ("--metrics", f"{METRICS},random_kid,detail,grid")
    half = ("--training.precision", "bf16-mixed")
    trainings = [
        Training(f"drawn_{name}", 1, 1, (*drawn, *flags, *half), scored, recipe=name, minutes=minutes) for name, flags in toy.items()
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for training in trainings:
            with found.trying(training.name):
                trained, evaluated, took = _train(setting, training, folder, 0, None, None)
                _told(training, folder / training.name, trained, took, found)
                _scored(training, folder / training.name, evaluated, found)
        with found.trying("pictures of both recipes"):
            _pictures(trainings, folder, found.folder, "recipes")


def classical(setting: Setting, found: Findings, limit: float | None) -> None:
    """The size of the classical run, 476 pairs for 200 epochs, alone on the card; at batch 1 its rate tells how long it would take."""
    found.section("476 pairs, 200 epochs: alone on the card, with checkpoints and previews as the recipe has them")
    small = setting.device == "cpu"
    pairs, epochs = (6, 2) if small else (476, 200)
    for batch, seconds in ((2, limit),) if small else ((16, limit), (1, min(limit or 60, 60))):
        name = f"classical, batch {batch}"
        with found.trying(name), tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            words = [
                "synthetic",
                "--data.train",
                str(pairs),
                "--data.test",
                "4",
                "--data.val",
                "0",
                *_toy(setting),
                "--out",
                str(run),
                "--quiet",
            ]
            words += [
                "--training.epochs",
                str(epochs),
                "--training.batch_size",
                str(batch),
                "--training.log_every",
                "4" if small else "800",
            ]
            start = time.monotonic()
            ended = _transfigure("train", "pix2pix", *words, "--training.precision", "bf16-mixed", limit=seconds)
            took = time.monotonic() - start
            if ended.returncode not in (0, 130):
                raise RuntimeError(f"exit code {ended.returncode}: {ended.stderr[-600:]}")
            lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
            rate = statistics.median(line["images_per_second"] for line in lines if line["kind"] == "step")
            whole = (
                f"{took:.0f} s in all"
                if ended.returncode == 0
                else f"stopped after {took:.0f} s; all of it would take {pairs * epochs / rate:.0f} s"
            )
            found.number(name, f"{lines[-1]['images']:,} images at {rate:,.0f} images/s, {whole}", images_per_second=rate, seconds=took)


def _toy(setting: Setting) -> tuple[str, ...]:
    """Flags that make everything small, in a dry run."""
    if setting.device != "cpu":
        return ()
    sizes: dict[str, Any] = {"data.load_size": setting.size, "data.crop_size": setting.size, "training.accelerator": "cpu"}
    sizes |= {"generator.width": setting.width, "discriminator.width": setting.width, "discriminator.receptive_field": 34}
    return tuple(word for key, value in sizes.items() for word in (f"--{key}", str(value)))


def epochs_of(training: Training, updates: int) -> int:
    """Whole epochs of about so many updates."""
    return max(1, round(updates / (training.pairs // training.batch)))


def _transfigure(*words: str, limit: float | None = None) -> Ended:
    """One command; after the limit in seconds it is asked to stop as by Ctrl-C."""
    command = [sys.executable, "-m", "transfigure", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2" if torch.cuda.is_available() else "1"},
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _typed(words: tuple[str, ...], stdout: Path, stderr: Path) -> None:
    """One command in this process, whose streams go to files."""
    from transfigure.cli.main import main

    torch.set_num_threads(1)
    for number, file in ((1, stdout), (2, stderr)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.exit(main(words))


def _forked(*words: str) -> Ended:
    """One command in a fork of a process that has imported everything: a dry run trains for less time than a Python takes to start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    with tempfile.TemporaryDirectory() as name:
        stdout, stderr = (Path(name) / stream for stream in ("stdout", "stderr"))
        process = context.Process(target=_typed, args=(words, stdout, stderr))
        process.start()
        process.join()
        printed = [file.read_text(encoding="utf-8") if file.is_file() else "" for file in (stdout, stderr)]
    return subprocess.CompletedProcess(words, process.exitcode or 0, *printed)


def _train(
    setting: Setting,
    training: Training,
    folder: Path,
    updates: int,
    limit: float | None,
    segmenter: concurrent.futures.Future[tuple[Path, str]] | None,
) -> tuple[Ended, Ended, float]:
    """Train and evaluate, which report, in processes of their own; how training and evaluation ended, and how long training took."""
    start = time.monotonic()
    run = str(folder / training.name)
    options: dict[str, float] = {"log_every": 2 if setting.device == "cpu" else 200}
    if training.minutes is None:
        options |= {"epochs": epochs_of(training, updates), "batch_size": training.batch}
    else:
        options |= {"epochs": 10**6, "minutes": training.minutes}
    options |= {"checkpoint_every": 10**9, "preview_every": 8000, "validate_every": 0}
    words = [word for key, value in options.items() for word in (f"--training.{key}", str(value))]
    words = ["train", training.recipe, *training.flags, *words, "--out", run, "--quiet"]
    small = setting.device == "cpu"
    trained = _forked(*words) if small else _transfigure(*words, limit=limit)
    took = time.monotonic() - start
    scored = list(training.scored)
    if training.segmented and segmenter is not None:
        scored = ["--metrics", f"{METRICS},fcn_score", "--segmenter", str(segmenter.result()[0])]
    words = ["evaluate", run, *scored, "--out", f"{run}/evaluation", "--quiet"]
    evaluated = _forked(*words) if small else _transfigure(*words)
    return trained, evaluated, took


def _segmenter(setting: Setting, windows: Path, folder: Path) -> tuple[Path, str]:
    """Train what reads label maps back from photos; its file and what it says of itself."""
    file = folder / "segmenter.safetensors"
    small = ("--epochs", "1", "--size", "64") if setting.device == "cpu" else ()
    start = time.monotonic()
    ended = _transfigure("segmenter", "train", str(windows), "--out", str(file), *small, "--quiet")
    if ended.returncode:
        raise RuntimeError(ended.stderr[-600:])
    return file, f"trained in {time.monotonic() - start:.0f} s: {' '.join(ended.stdout.split())[:300]}"


def _told(training: Training, run: Path, ended: Ended, seconds: float, found: Findings) -> None:
    if ended.returncode not in (0, 130):
        raise RuntimeError(f"exit code {ended.returncode}: {ended.stderr[-600:]}")
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    last = steps[-max(1, len(steps) // 10) :]
    means = {name: statistics.mean(line[name] for line in last) for name in ("g", "d", "d_real", "d_fake")}
    l1 = statistics.mean(line["terms"]["l1"] for line in last)
    rate = statistics.median(line["images_per_second"] for line in steps)
    health = sorted({line["code"] for line in lines if line["kind"] == "health"})
    words = "stopped early: " if ended.returncode else ""
    words += f"{lines[-1]['images']:,} images in {seconds:.0f} s, {rate:.3g} images/s; at the end L1 {l1:.3f}, G {means['g']:.2f}, "
    words += f"D {means['d']:.2f} (real {means['d_real']:.2f}, fake {means['d_fake']:.2f})"
    words += f"; health: {', '.join(health)}" if health else ""
    command = [f"transfigure train {training.recipe}", *training.flags]
    finite = bool(np.isfinite([l1, *means.values()]).all())
    values = {"images_per_second": rate, "seconds": seconds, "l1": l1, "command": command, **means}
    found.check(training.name, finite, words, **values)


def _scored(training: Training, run: Path, ended: Ended, found: Findings) -> None:
    if ended.returncode:
        raise RuntimeError(f"exit code {ended.returncode}: {ended.stderr[-600:]}")
    result: dict[str, Any] = json.loads((run / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    rows = [row for row in result["rows"] if row["value"] is not None]
    found.number(f"{training.name}, scores", f"{result['n']} test pairs in {result['seconds']:.0f} s", rows=rows)
    found.tell(ended.stdout)


def _pictures(trainings: Sequence[Training], folder: Path, out: Path, together: str = "drawn") -> None:
    """Sheets of source, generated and target; all of the drawn facades stand side by side in one of the name ``together``."""
    drawn, others = (
        [one for one in trainings if one.name.startswith("drawn")],
        [one for one in trainings if not one.name.startswith("drawn")],
    )
    for name, group in ((together, drawn), *((one.name, [one]) for one in others)):
        models = [Translator.load(folder / one.name) for one in group]
        pairs = held_out(models[0], None, "test", {}).pairs
        chosen = [round(at * (len(pairs) - 1) / (ROWS - 1)) for at in range(ROWS)]
        rows = []
        for pair in (pairs[index] for index in chosen):
            made = [model.translate_tensor(pair.source[None])[0] for model in models]
            rows.append([to_array(image, "uint8", None) for image in (pair.source, *made, pair.target)])
        labels = ["generated"] if len(group) == 1 else [f"generated, {one.name.removeprefix('drawn_')}" for one in group]
        images.write(out / f"panels_{name}.png", sheet(rows, ["source", *labels, "target"], scale=1))


def _compared(setting: Setting, run: Path, found: Findings) -> None:
    """A trained model's pictures on the GPU beside those on the CPU."""
    models = [Translator.load(run, device=device) for device in ("cpu", setting.device)]
    pairs = held_out(models[0], None, "test", {}).pairs
    source = torch.stack([pairs[index].source for index in range(min(8, len(pairs)))])
    for model in models:
        model.inference = Inference(noise="none")
    expected = models[0].translate_tensor(source)
    for way in (Way("float32"), Way("TF32")):
        with numerics(way):
            answers = models[1].translate_tensor(source)
        grey = (((answers + 1) * 127.5).round() - ((expected + 1) * 127.5).round()).abs()
        apart, share = float((answers - expected).abs().max()), float((grey > 0).float().mean())
        words = f"up to {apart:.1e} apart, {int(grey.max())} grey levels; {share:.2%} of the values differ in 8 bits"
        found.check(
            f"trained translator as on the CPU, {way.precision}", int(grey.max()) <= 1 if way.precision == "float32" else None, words
        )
