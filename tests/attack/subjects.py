"""Which verb reads which of the workspace's files, what it may write, and what it must not accept when it is damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.workspace import PICTURES, RANGES, SMALL

QUIET = ("--quiet",)
UNPAIRED = [*SMALL, "--generator.bottleneck_width", "4"]


@dataclass(frozen=True)
class Subject:
    """A sort of file and the command that reads it.

    Attributes:
        name: for tables and for replaying.
        files: patterns of the files that are attacked, below the workspace.
        command: the words after ``transfigure``; none for ``call``.
        needs: files and folders of the workspace that the command has beside it.
        writes: patterns of what it may write or change.
        others: patterns of sound files to swap a file for.
        state: what is trained or measured: damaged, it must be refused, unless ``content`` is what it was.
        content: what a state holds, as the reader sees it.
        before: called in the child first.
        call: instead of a command.
        sound: the exit code where nothing is damaged.
        interchangeable: another sound file of the sort may stand in a state's place: nothing says which one was meant.
        weight: how often it has its turn.
    """

    name: str
    files: tuple[str, ...]
    command: tuple[str, ...]
    needs: tuple[str, ...]
    writes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    state: bool = False
    content: Callable[[Path], Any] | None = None
    before: Callable[[], None] | None = None
    call: Callable[[], int] | None = None
    sound: int = 0
    interchangeable: bool = False
    weight: int = 1

    def prepare(self) -> None:
        """What is done in the child first."""
        if self.verb in ("train", "ablate"):
            no_page()
        if self.before is not None:
            self.before()

    @property
    def verb(self) -> str:
        """The command's name; empty for a call."""
        return self.command[0] if self.command else ""


# ---- what a state holds ----------------------------------------------------------------------------------------------------------


def _digest(value: Any, into: Any) -> None:
    """Nested values into a hash: types, keys and every bit."""
    import numpy as np
    import torch

    if isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            into.update(f"{{{key!r}".encode())
            _digest(value[key], into)
    elif isinstance(value, list | tuple):
        into.update(f"[{len(value)}".encode())
        for item in value:
            _digest(item, into)
    elif isinstance(value, torch.Tensor):
        into.update(f"{value.dtype}{tuple(value.shape)}".encode())
        into.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        into.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    else:
        into.update(f"{type(value).__name__}{value!r}".encode())


def digest(value: Any) -> str:
    """A hash of nested values."""
    into = hashlib.sha256()
    _digest(value, into)
    return into.hexdigest()


def checkpoint(file: Path) -> Any:
    """What torch reads of a checkpoint."""
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


def tensors(file: Path) -> Any:
    """The tensors of a safetensors file, and its metadata."""
    import safetensors

    with safetensors.safe_open(file, "pt") as opened:
        facts = {key: json.loads(text) if text.startswith("{") else text for key, text in (opened.metadata() or {}).items()}
        return [facts, {name: opened.get_tensor(name) for name in opened.keys()}]  # noqa: SIM118


def arrays(file: Path) -> Any:
    """The arrays of an archive."""
    import numpy as np

    with np.load(file, allow_pickle=False) as opened:
        return dict(opened)


def model(file: Path) -> Any:
    """One of the two files of a model."""
    return json.loads(file.read_text(encoding="utf-8")) if file.suffix == ".json" else tensors(file)


# ---- what is patched in a child ---------------------------------------------------------------------------------------------------


def no_page() -> None:
    """The page at the end of a training takes longer than the training; others attack what it reads."""
    from transfigure.reporting.comparison import page as comparison
    from transfigure.reporting.run import page

    page.report = lambda run, out=None: Path(run) / "report.html"
    comparison.compare = lambda found, out: Path(out)


def quick_analysis() -> None:
    """The domain classifier of an analysis in a few steps."""
    from tests.studies.quick import quick_classifier
    from transfigure.studies.preservation import analyze

    analyze.DomainClassifier = quick_classifier(2)  # type: ignore[misc]


def no_demo() -> None:
    """What the demo would do takes minutes: that it would begin is enough."""
    from transfigure.cli.commands import demo

    demo.run_demo = lambda out, quiet: str(demo._clear_earlier(out, _demo_recipe()))  # type: ignore[assignment]


def _demo_recipe() -> Any:
    from transfigure.recipe import Recipe

    return Recipe.load("demo")


def published_heads() -> None:
    """A place with a file under a published name."""
    import os

    os.environ["TRANSFIGURE_WEIGHTS"] = "weights"


def load_heads() -> int:
    """Read a file of weights that the user names."""
    import sys

    from transfigure.errors import TransfigureError
    from transfigure.features.weights import explicit, load

    try:
        with explicit({"inception": "heads.pth"}):
            found, _ = load("inception")
        return 0 if found else 1
    except TransfigureError as error:
        print(f"transfigure: {error}", file=sys.stderr)
        return error.exit_code


# ---- the subjects -----------------------------------------------------------------------------------------------------------------


def _pictures() -> list[Subject]:
    """Every format under every verb that reads pictures."""
    found = []
    for name in PICTURES:
        folder, trained = f"pictures/{name}", f"models/{name}"
        ranges = tuple(RANGES.get(name, ()))
        suffix = PICTURES[name][0]
        others = (f"pictures/*/trainA/1{suffix}",)
        found += [
            Subject(f"translate {name}", (f"{folder}/testA/0*",), ("translate", f"{trained}/model", f"{folder}/testA", "out", "--format", "tif", *QUIET), (f"{trained}/model", f"{folder}/testA"), ("out/*",), others),
            Subject(f"train {name}", (f"{folder}/train?/0*",), ("train", "l1", folder, "--out", "new", *SMALL, *ranges), (folder,), ("new/*",), others),
            Subject(f"evaluate {name}", (f"{folder}/test?/0*",), ("evaluate", trained, folder, "--metrics", "l1,psnr", *QUIET, *ranges), (f"{trained}/model", f"{trained}/recipe.yaml", folder), (), others),
            Subject(f"folders {name}", (f"{folder}/test?/0*",), ("evaluate", "--generated", f"{folder}/testA", "--target", f"{folder}/testB", "--metrics", "l1,psnr", *QUIET, *(("--value_range", "0", "1") if name == "float_tiff" else ("--value_range", "0", "32767") if name == "signed_tiff" else ())), (folder,), (), others),
        ]  # fmt: skip
        if name not in ("many_channels", "planes"):
            found.append(
                Subject(f"statistics {name}", (f"{folder}/trainA/*",), ("statistics", f"{folder}/trainA", "--out", "new.npz", "--features", "random", *QUIET, *(("--value_range", "0", "1") if name == "float_tiff" else ("--value_range", "0", "32767") if name == "signed_tiff" else ())), (f"{folder}/trainA",), ("new.npz",), others)
            )  # fmt: skip
    return found


RUN_FILES = ("recipe.yaml", "environment.json", "log.jsonl")


def _all() -> list[Subject]:
    resume = ("train", "--out", "stopped", "--resume", "--training.epochs", "2", *QUIET)
    others = [
        Subject("one file", ("pairs/testA/0.png",), ("translate", "run", "pairs/testA/0.png", "out.png", *QUIET), ("run", "pairs"), ("out.png",), ("pairs/trainA/*",)),
        Subject("side by side", ("labelled/train/*.png",), ("train", "l1", "labelled", "--out", "new", *SMALL), ("labelled",), ("new/*",), ("labels/*",)),
        Subject("unpaired", ("pairs/train?/*.png",), ("train", "streamlined", "pairs", "--out", "new", *UNPAIRED), ("pairs",), ("new/*",), ("labels/*",)),
        Subject("segmenter pairs", ("labelled/*/*.png",), ("segmenter", "train", "labelled", "--out", "new.safetensors", *"--size 16 --epochs 1 --width 2 --device cpu --quiet".split()), ("labelled",), ("new.safetensors",), ("labels/*",)),
        *(
            Subject(f"manifest{suffix}", (f"pairs{suffix}",), ("train", "l1", f"pairs{suffix}", "--out", "new", *SMALL), ("pairs", f"pairs{suffix}"), ("new/*",), weight=8)
            for suffix in (".csv", ".tsv", ".jsonl")
        ),
        Subject("recipe", ("recipe.yaml",), ("train", "recipe.yaml", "--out", "new", "--training.epochs", "1", *QUIET), ("recipe.yaml", "pairs"), ("new/*", "*/new/*"), weight=12),
        Subject("recipe printed", ("recipe.yaml",), ("train", "recipe.yaml", "--print_config"), ("recipe.yaml",), weight=6),
        Subject("plugin's recipe", ("plugin.yaml",), ("train", "plugin.yaml", "pairs", "--plugins", "plugin.py", "--out", "new", *SMALL), ("plugin.yaml", "plugin.py", "pairs"), ("new/*",), weight=4),
        Subject("plugin", ("plugin.py",), ("list", "loss", "--plugins", "plugin.py"), ("plugin.py",), weight=2),
        Subject("grid", ("grid.yaml",), ("ablate", "grid.yaml", "pairs", "--out", "new", "--together", *SMALL), ("grid.yaml", "pairs"), ("new/*",), weight=5),
        Subject("grid printed", ("grid.yaml",), ("ablate", "grid.yaml", "pairs", "--print_config"), ("grid.yaml", "pairs"), weight=4),
        Subject("ablation", ("broken/ablation.json", "broken/grid.yaml", "broken/cells/*.json"), ("ablate", "grid.yaml", "pairs", "--out", "broken", "--resume", "--together", *SMALL), ("grid.yaml", "pairs", "broken"), ("broken/*",), ("run/recipe.yaml", "run/environment.json"), weight=5),
        Subject("ablation's cells", ("broken/cells/*/recipe.yaml", "broken/cells/*/log.jsonl", "broken/cells/*/config.json", "broken/cells/*/evaluation.json"), ("ablate", "grid.yaml", "pairs", "--out", "broken", "--resume", "--together", *SMALL), ("grid.yaml", "pairs", "broken"), ("broken/*",), weight=5),
        Subject("checkpoint", ("stopped/checkpoints/last.pt",), resume, ("stopped", "pairs"), ("stopped/*",), ("spare/*/checkpoints/last.pt",), state=True, content=checkpoint, weight=24),
        Subject("stopped run", tuple(f"stopped/{name}" for name in RUN_FILES), resume, ("stopped", "pairs"), ("stopped/*",), ("spare/run/*.yaml", "spare/run/*.json*"), weight=8),
        Subject("stopped run's models", ("stopped/model/*", "stopped/samples/*", "stopped/kept/*"), resume, ("stopped", "pairs"), ("stopped/*",), ("spare/run/model/*",), weight=3),
        Subject("model", ("run/model/generator.safetensors", "run/model/config.json"), ("translate", "run/model", "pairs/testA", "out", *QUIET), ("run/model", "pairs/testA"), ("out/*",), ("spare/*/model/*",), state=True, content=model, weight=24),
        Subject("best model", ("run/model_best/generator.safetensors", "run/model_best/config.json"), ("evaluate", "run", "--checkpoint", "best", "--metrics", "l1", *QUIET), ("run/model_best", "run/model", "run/recipe.yaml", "pairs"), (), ("spare/*/model/*",), state=True, content=model, weight=8),
        Subject("run's recipe", ("run/recipe.yaml", "run/log.jsonl", "run/environment.json"), ("evaluate", "run", "--metrics", "l1", *QUIET), ("run", "pairs"), ("run/*",), ("spare/run/*.yaml", "spare/run/*.json*"), weight=4),
        Subject("statistics", ("statistics.npz",), ("evaluate", "--generated", "pairs/testA", "--target", "statistics.npz", "--metrics", "random_frechet", "--unpaired", *QUIET), ("statistics.npz", "pairs/testA"), (), ("spare/statistics.npz",), state=True, interchangeable=True, content=arrays, weight=16),
        Subject("segmenter", ("segmenter.safetensors",), ("evaluate", "--generated", "photos", "--target", "pairs/trainB", "--labels", "labels", "--segmenter", "segmenter.safetensors", "--metrics", "fcn_score", "--require", "fcn_score", *QUIET), ("segmenter.safetensors", "photos", "pairs/trainB", "labels"), (), ("spare/segmenter.safetensors",), state=True, interchangeable=True, content=tensors, weight=14),
        Subject("probes", ("probes.safetensors",), ("analyze", "vector", "--probes", "probes.safetensors", "--images", "4", *QUIET), ("vector", "probes.safetensors"), ("vector/*",), ("segmenter.safetensors",), state=True, interchangeable=True, content=tensors, before=quick_analysis, weight=3),
        Subject("network of the reference", ("net.pth",), ("translate", "net.pth", "pairs/testA", "out", *QUIET), ("net.pth", "pairs/testA"), ("out/*",), ("spare/net.pth", "heads.pth"), weight=10),
        Subject("weights", ("heads.pth",), (), ("heads.pth",), others=("net.pth",), call=load_heads, weight=8),
        Subject("published weights", ("weights/*.pth",), ("weights",), ("weights",), others=("net.pth",), before=published_heads, weight=2),
        Subject("palette", ("palette.json",), ("evaluate", "--generated", "photos", "--target", "pairs/trainB", "--labels", "labels", "--segmenter", "segmenter.safetensors", "--palette", "palette.json", "--metrics", "fcn_score", *QUIET), ("palette.json", "segmenter.safetensors", "photos", "pairs/trainB", "labels"), weight=8),
        Subject("label maps", ("labels/*.png",), ("evaluate", "--generated", "photos", "--target", "pairs/trainB", "--labels", "labels", "--segmenter", "segmenter.safetensors", "--metrics", "fcn_score", *QUIET), ("segmenter.safetensors", "photos", "pairs/trainB", "labels"), (), ("pairs/testA/*",), weight=3),
        Subject("run under report", (*(f"run/{name}" for name in RUN_FILES), "run/evaluation/*.json", "run/evaluation/*.csv"), ("report", "run"), ("run",), ("run/*",), ("spare/run/*.yaml", "spare/run/*.json*", "spare/run/evaluation/*.json"), weight=16),
        Subject("evaluation under report", ("run/evaluation/evaluation.json",), ("report", "run/evaluation"), ("run/evaluation",), ("run/evaluation/report.html",), ("spare/run/evaluation/evaluation.json",), weight=6),
        Subject("panels under report", ("run/samples/*", "run/evaluation/panels/*"), ("report", "run"), ("run",), ("run/*",), ("pictures/*/trainA/1.*",), weight=3),
        Subject("runs under compare", ("run/recipe.yaml", "run/log.jsonl", "run/environment.json", "run/evaluation/*.json", "run/model/config.json"), ("compare", "run", "spare/run", "--out", "page.html"), ("run", "spare/run", "pairs"), ("page.*",), ("spare/run/*.yaml", "spare/run/*.json*"), weight=8),
        Subject("ablation under compare", ("ablation/ablation.json", "ablation/grid.yaml", "ablation/cells/*.json", "ablation/cells/*/log.jsonl", "ablation/cells/*/recipe.yaml"), ("compare", "ablation", "--json"), ("ablation", "pairs"), ("ablation/comparison.*",), ("run/recipe.yaml",), weight=8),
        Subject("earlier demo", ("demo/recipe.yaml",), ("demo", "--out", "demo", *QUIET), ("demo",), (), ("recipe.yaml",), before=no_demo, sound=2),
    ]  # fmt: skip
    return [*others, *_pictures()]


SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in _all()}

WITHOUT_FILES: dict[str, str] = {"doctor": "reads no file that is given to it"}
"""Verbs that have no subject, and why."""
