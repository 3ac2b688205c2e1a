"""Writes the files of this folder, by the code of 0.1.0 as it was at commit ae8019b. Not run by the tests.

git worktree add ../v0_1_0 ae8019b && cp -r tests/compat ../v0_1_0/tests/ && cd ../v0_1_0
PYTHONPATH=src OMP_NUM_THREADS=1 python -m tests.compat.v0_1_0.make
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from PIL import Image

from tests.compat.arithmetic import arithmetic, digest, random_numbers

HERE = Path(__file__).resolve().parent

SQUARES = "--data.load_size 20 --data.crop_size 16 --discriminator.width 2 --discriminator.receptive_field 16"
COMMON = "--training.accelerator cpu --training.log_every 2 --training.preview_count 1 --quiet"
COMMANDS = {
    "paired": (
        f"train pix2pix synthetic --out paired --data.train 10 --data.val 3 --data.test 4 {SQUARES} "
        "--data.load_size 36 --data.crop_size 32 --generator.width 2 --generator.depth 3 --generator.dropout_layers 1 "
        "--objective.adversarial.loss lsgan --objective.adversarial.real_label 0.9 --objective.adversarial.pool 3 "
        "--objective.adversarial.r1 0.5 --objective.adversarial.augment [color,translation] --objective.adversarial.weight 0.5 "
        "--objective.terms [{loss:_l1,_weight:_50},{loss:_cosine,_weight:_30,_like:_l1}] --training.epochs 6 --training.batch_size 2 "
        f"--training.ema 0.9 --training.keep_every 20 --training.best_metric l1 --training.learning_rate 2e-3 --training.seed 3 {COMMON}"
    ),
    "cyclegan": (
        f"train cyclegan shapes --out cyclegan --data.train 8 --data.val 2 --data.test 4 --data.size 32 {SQUARES} "
        "--generator.width 2 --generator.blocks 1 --objective.adversarial.pool 2 "
        f"--training.epochs 6 --training.learning_rate 2e-3 {COMMON}"
    ),
    "contrastive": (
        f"train cut images --out contrastive {SQUARES} --generator.width 2 --generator.blocks 1 "
        "--discriminator.spectral true --discriminator.norm none "
        "--objective.terms.contrastive.width 8 --objective.terms.contrastive.patches 16 --training.discriminator_learning_rate 1e-3 "
        f"--training.epochs 8 --training.learning_rate 2e-3 --training.schedule cosine {COMMON}"
    ),
    "vector": (
        "train streamlined shapes --out vector --data.train 8 --data.val 2 --data.test 10 --data.size 32 --data.load_size 32 "
        "--data.crop_size 32 --generator.width 2 --generator.depth 5 --generator.bottleneck vector --generator.bottleneck_width 4 "
        "--discriminator image --discriminator.width 2 --discriminator.depth 2 "
        f"--training.epochs 20 --training.batch_size 2 --training.learning_rate 5e-3 {COMMON}"
    ),
}
STOPPED = {"paired": 25, "cyclegan": 19, "contrastive": 17}
"""Images after which these runs are asked to stop."""


def transfigure(command: str) -> str:
    """Run a command to its end; what it prints."""
    done = subprocess.run([sys.executable, "-m", "transfigure", *words(command)], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"transfigure {command}\n{done.stderr}")
    return done.stdout


def words(command: str) -> list[str]:
    """The words of a command; an underscore behind a colon or a comma is a space."""
    return [re.sub(r"(?<=[:,])_", " ", word) for word in command.split()]


def interrupted(name: str) -> None:
    """Train, and stop the process by SIGTERM in the middle of an epoch."""
    while True:
        shutil.rmtree(HERE / name, ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-m", "transfigure", *words(COMMANDS[name])], cwd=HERE, stderr=subprocess.DEVNULL)
        while process.poll() is None and images(name) < STOPPED[name]:
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        state = torch.load(HERE / name / "checkpoints" / "last.pt", weights_only=True)["position"]
        print(name, "stopped with", code, "at", state)
        if code == 143 and state["batch"] > 0:
            return


def images(name: str) -> int:
    """How far a run's log has come."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(json.loads((HERE / name / "log.jsonl").read_text().splitlines()[-1])["images"])
    return 0


def finish(name: str) -> dict[str, Any]:
    """Resume a copy of the run to its end; its models' tensors are kept, and their digests."""
    copy = HERE / "copy" / name
    shutil.copytree(HERE / name, copy)
    transfigure(f"train --out copy/{name} --resume --quiet")
    found: dict[str, Any] = {}
    for model in sorted(folder.parent.relative_to(copy).as_posix() for folder in copy.rglob("generator.safetensors")):
        tensors = safetensors.torch.load_file(copy / model / "generator.safetensors")
        found[model] = {key: digest([tensor]) for key, tensor in sorted(tensors.items())}
    (HERE / "finished").mkdir(exist_ok=True)
    shutil.copy(copy / "model" / "generator.safetensors", HERE / "finished" / f"{name}.safetensors")
    return found


def relative(file: Path) -> None:
    """Make the path that a file of weights tells of its data relative."""
    with safetensors.safe_open(file, "pt") as opened:
        about = {key: value.replace(f"{HERE}/", "") for key, value in opened.metadata().items()}
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, about)


def outputs(folder: Path) -> None:
    """A model's output for a small source, beside it: as the translator gives it, and before it is rounded to bytes."""
    from transfigure import Translator

    translator = Translator.load(folder)
    source = np.asarray(Image.open(HERE / "source.png"))
    torch.set_num_threads(1)
    np.save(folder / "output.npy", translator(source))
    tensor = torch.from_numpy(source.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    np.save(folder / "output_float.npy", translator.translate_tensor(tensor).numpy())


def draw() -> None:
    """Small pictures: two sets without pairs, photos with their label maps, and one source."""
    random = np.random.default_rng(7)
    for folder, count in (("trainA", 6), ("trainB", 5), ("testA", 2), ("testB", 3)):
        (HERE / "images" / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.fromarray(texture(random, 24, folder[-1] == "B")).save(HERE / "images" / folder / f"{folder[-1].lower()}{index}.png")
    for split, count in (("train", 6), ("test", 3)):
        (HERE / "labelled" / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            classes = random.integers(0, 3, (4, 4)).repeat(8, 0).repeat(8, 1)
            labels = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)[classes]
            photo = np.array([[90, 80, 70], [160, 170, 150], [220, 200, 230]])[classes] + random.integers(-20, 20, (32, 32, 3))
            Image.fromarray(np.concatenate([photo.astype(np.uint8), labels], 1)).save(HERE / "labelled" / split / f"{index}.png")
    for name, side in (("photos", slice(0, 32)), ("labels", slice(32, 64))):
        (HERE / name).mkdir(exist_ok=True)
        for file in sorted((HERE / "labelled" / "test").glob("*.png")):
            Image.fromarray(np.asarray(Image.open(file))[:, side]).save(HERE / name / file.name)
    Image.fromarray(texture(random, 32, False)[:19, :22]).save(HERE / "source.png")


def texture(random: np.random.Generator, size: int, fine: bool) -> np.ndarray[Any, Any]:
    """Coarse or fine random squares, with a little noise."""
    cell = 2 if fine else 8
    values = random.integers(20, 235, (size // cell, size // cell, 3)).repeat(cell, 0).repeat(cell, 1)
    return np.asarray(values + random.integers(-9, 9, values.shape), np.uint8)


def probes(file: str) -> None:
    """What reads the factors of the drawn shapes, in a small network that was trained for a moment."""
    from transfigure.analysis import analyze
    from transfigure.analysis import probes as of_probes

    analyze.SCENES, analyze.STEPS = 400, 150
    train = of_probes.train_probes
    analyze.train_probes = lambda *values, **options: train(*values, **options, width=2)
    translator = analyze.Translator.load(HERE / "vector")
    with contextlib.chdir(HERE):
        found = analyze.read_probes(file, translator, quiet=True)
    assert found is not None and found.width == 2


def make() -> None:
    """Everything, in order."""
    for item in HERE.iterdir():
        if item.is_dir() and item.name not in ("recipes", "grids"):
            shutil.rmtree(item)
    draw()
    expected: dict[str, Any] = {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "arithmetic": arithmetic(),
        "random_numbers": random_numbers(),
        "finished": {},
    }
    transfigure(COMMANDS["vector"])
    probes("probes.safetensors")
    transfigure("evaluate vector --quiet")
    transfigure("analyze vector --probes probes.safetensors --quiet")
    for name in STOPPED:
        interrupted(name)
        expected["finished"][name] = finish(name)
    transfigure("evaluate paired --quiet")

    segmenter = "segmenter.safetensors"
    facts = json.loads(transfigure(f"segmenter train labelled --out {segmenter} --size 32 --epochs 150 --width 2 --seed 2 --json --quiet"))
    relative(HERE / segmenter)
    expected["segmenter"] = {key: facts[key] for key in ("pixel_accuracy", "class_accuracy", "class_iou", "photos", "size")}
    folders = "--generated images/testA --target images/trainA --unpaired --quiet"
    transfigure("statistics images/trainB --features random --out statistics.npz --quiet")
    against = "evaluate --generated images/testB --target statistics.npz --metrics random_frechet --json --quiet"
    expected["against_statistics"] = json.loads(transfigure(against))["rows"]
    scored = f"evaluate --generated photos --target photos --labels labels --segmenter {segmenter} --metrics fcn_score --json --quiet"
    expected["fcn_score"] = json.loads(transfigure(scored))["rows"]
    transfigure(f"evaluate {folders} --metrics random_frechet,lab_histogram --out evaluation_unpaired")
    transfigure("evaluate --generated photos --target labels --metrics l1,ssim,random_frechet --out evaluation --quiet")

    for name in ("ablation", "mechanism", "reconstruction"):
        resume = ""
        if name == "mechanism":  # with the small probes of above, where it would train large ones
            (HERE / name).mkdir()
            shutil.copy(HERE / "probes.safetensors", HERE / name)
            resume = "--resume"
        transfigure(f"ablate grids/{name}.yaml --out {name} --together --quiet {resume}")
        expected[name] = json.loads(transfigure(f"compare {name} --json"))
        expected[name].pop("cost")

    for folder in sorted({file.parent for file in HERE.rglob("generator.safetensors")}):
        if "cells" not in folder.parts and "copy" not in folder.parts:
            outputs(folder)
    expected["recipes"] = {file.stem: complete(f"train recipes/{file.name} --print_config") for file in (HERE / "recipes").glob("*.yaml")}
    expected["grids"] = {file.stem: complete(f"ablate grids/{file.name} --print_config") for file in (HERE / "grids").glob("*.yaml")}
    tidy()
    (HERE / "expected.json").write_text(json.dumps(expected, sort_keys=True, separators=(",", ":")) + "\n")


def complete(command: str) -> Any:
    """What ``--print_config`` prints, as plain values."""
    import yaml

    return yaml.safe_load(transfigure(command))


def tidy() -> None:
    """Leave out what no reader needs, and what says on which machine it was made."""
    for folder in (HERE / "copy", *HERE.rglob("__pycache__"), HERE / "vector" / "checkpoints"):
        shutil.rmtree(folder, ignore_errors=True)
    for cell in HERE.glob("*/cells/*/seed?"):
        for name in ("checkpoints", "samples", "model_best", *(["evaluation/panels"] if "ablation" not in cell.parts else [])):
            shutil.rmtree(cell / name, ignore_errors=True)
        if "ablation" not in cell.parts:
            (cell / "evaluation" / "pictures.json").unlink(missing_ok=True)
    for file in HERE.rglob("*"):
        if file.name in ("report.html", "analysis.html", "comparison.html", "comparison.csv", "comparison.json", "factors.png"):
            file.unlink()
    (HERE / "mechanism" / "probes.safetensors").unlink(missing_ok=True)  # the same as probes.safetensors
    for run in ("paired", "cyclegan", "contrastive", "vector"):
        for moment in sorted((HERE / run / "samples").glob("0*"))[:-1]:
            shutil.rmtree(moment)
    for file in HERE.rglob("environment.json"):
        stored = json.loads(file.read_text())
        for entry in (stored, *stored.get("earlier", [])):
            entry.update(platform="Linux", processor="x86_64", command=re.sub(r"^\S+", "transfigure", entry["command"]))
        file.write_text(json.dumps(stored, indent=2) + "\n")
    for file in [*HERE.rglob("recipe.yaml"), *HERE.rglob("config.json")]:
        file.write_text(file.read_text().replace(f"{HERE}/", ""))
    for file in HERE.rglob("last.pt"):
        state = torch.load(file, weights_only=True)
        if state["recipe"]["data"]["path"] is not None:
            state["recipe"]["data"]["path"] = Path(state["recipe"]["data"]["path"]).name
            torch.save(state, file)
    for folder in sorted(HERE.rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    left = [file for file in HERE.rglob("*") if file.is_file() and str(HERE).encode() in file.read_bytes()]
    assert left == [], left


if __name__ == "__main__":
    make()
