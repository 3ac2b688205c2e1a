"""Which verb reads which of the workspace's files, what it may write, and what it must not accept when it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.workspace import MODELS, PICTURES, SMALL, no_page
from transfigure.cli import commands


@dataclass(frozen=True)
class Subject:
    """A sort of file and the command that reads it. Lists are words with spaces between them.

    Attributes:
        name: for tables and for replaying.
        command: the words after ``transfigure``; none for ``call``.
        files: patterns of the files that are attacked, below the workspace.
        needs: files and folders of the workspace that the command has beside it.
        writes: patterns of what it may write or change.
        others: patterns of sound files to swap a file for.
        state: what is trained or measured: damaged, it must be refused, unless ``content`` is what it was.
        content: what a state holds, as the reader sees it.
        before: called in the child first.
        call: instead of a command.
        sound: the exit code where nothing is damaged; None is any.
        interchangeable: another sound file of the sort may stand in a state's place: nothing says which one was meant. Of a model's two
            files that holds within one network: who is killed between them must still find a model.
        weight: how often it has its turn.
    """

    name: str
    command: str
    files: str
    needs: str
    writes: str = ""
    others: str = ""
    state: bool = False
    content: Callable[[Path], Any] | None = None
    before: Callable[[], None] | None = None
    call: Callable[[], int] | None = None
    sound: int | None = 0
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
        """The command's name, which may be two words; empty for a call."""
        words = self.command.split()
        return " ".join(words[:2] if commands.verbs().get(words[0] if words else "") else words[:1])


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
    """The arrays of an archive; its version says how to read them, not what they are."""
    import numpy as np

    with np.load(file, allow_pickle=False) as opened:
        return {name: array for name, array in opened.items() if name != "version"}


def model(file: Path) -> Any:
    """One of the two files of a model."""
    return json.loads(file.read_text(encoding="utf-8")) if file.suffix == ".json" else tensors(file)


# ---- what is patched in a child ---------------------------------------------------------------------------------------------------


def quick_analysis() -> None:
    """The domain classifier of an analysis in a few steps."""
    from tests.studies.quick import quick_classifier
    from transfigure.studies.preservation import analyze

    analyze.DomainClassifier = quick_classifier(2)  # type: ignore[misc]


def asked_once() -> None:
    """A server that is sent an image when it answers, and then asked to end."""
    import re
    import signal
    import urllib.error
    import urllib.request

    from transfigure.cli.commands import draw, serve

    def ask(said: str) -> None:
        address = re.search(r"http://\S+/", said)
        assert address
        image = next(file for file in sorted(Path("pairs/testA").iterdir()) if file.is_file()).read_bytes()
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{address[0]}v1/translate", image), timeout=60) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise
        signal.raise_signal(signal.SIGINT)

    serve.print_result = draw.print_result = ask  # type: ignore[attr-defined]


def train_with_prepared_pairs() -> int:
    """Train on pairs that were prepared before; 99 if the network is another than it was the first time.

    Every attack has copies of the pictures, which are other files elsewhere: here they are known by their content and their folder's name.
    """
    from transfigure.cli.main import main
    from transfigure.data import prepared

    def by_content(files: Iterable[str | Path], *more: object, before: float | None = None) -> bytes:
        return hashlib.blake2b(repr(more).encode() + b"".join(Path(file).read_bytes() for file in files), digest_size=16).digest()

    def in_place(section: Any, geometry: Any, quiet: bool = False) -> Path | None:
        os.environ["TRANSFIGURE_CACHE"] = "prepared"
        return cache_folder(section.replaced(path="pairs"), geometry, quiet)

    cache_folder, file_key = prepared.cache_folder, prepared.file_key
    for name, module in [*sys.modules.items()]:
        if name.startswith("transfigure.data."):
            for function, instead in ((cache_folder, in_place), (file_key, by_content)):
                if getattr(module, function.__name__, None) is function:
                    setattr(module, function.__name__, instead)
    code = main(f"train l1 pairs --out trained {SMALL}".split())
    if code:
        return code
    found, expected = digest(tensors(Path("trained/model/generator.safetensors"))[1]), Path("trained_network")
    if not expected.exists():
        expected.write_text(found)
    return 0 if expected.read_text() == found else 99


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

VALUES = {"float_tiff": "0 1", "signed_tiff": "0 32767"}
"""What is black and white in those pictures whose type does not say it."""


def _pictures() -> list[Subject]:
    """Every format under every verb that reads pictures."""
    found = []
    for name, (suffix, _, _) in PICTURES.items():
        folder, trained, others = f"pictures/{name}", f"models/{MODELS[name]}", f"pictures/*/trainA/1{suffix}"
        values = f" --value_range {VALUES[name]}" if name in VALUES else ""
        read = f"[{VALUES[name].replace(' ', ',')}]" if name in VALUES else ""
        ranges = f" --data.source_range {read} --data.target_range {read}" if read else ""
        of_verbs = {
            "translate": (
                f"translate {trained}/model {folder}/testA out --format tif --quiet",
                f"{folder}/testA/0*",
                f"{trained}/model {folder}/testA",
                "out/*",
            ),
            "train": (f"train l1 {folder} --out new {SMALL}{ranges}", f"{folder}/train?/0*", folder, "new/*"),
            "evaluate": (
                f"evaluate {trained} {folder} --metrics l1,psnr --quiet{ranges}",
                f"{folder}/test?/0*",
                f"{trained}/model {trained}/recipe.yaml {folder}",
                "",
            ),
            "folders": (
                f"evaluate --generated {folder}/testA --target {folder}/testB --metrics l1,psnr --quiet{values}",
                f"{folder}/test?/0*",
                folder,
                "",
            ),
            "statistics": (
                f"statistics {folder}/trainA --out new.npz --features random --quiet{values}",
                f"{folder}/trainA/*",
                f"{folder}/trainA",
                "new.npz",
            ),
        }
        if name in ("many_channels", "planes"):  # the features are of pictures in colour or grey
            del of_verbs["statistics"]
        found += [Subject(f"{verb} {name}", *words, others=others) for verb, words in of_verbs.items()]
    return found


RUN = "{0}/recipe.yaml {0}/environment.json {0}/log.jsonl"
SPARE = "spare/run/*.yaml spare/run/*.json*"
SEGMENT = "evaluate --generated photos --target pairs/trainB --labels labels --segmenter segmenter.safetensors --metrics fcn_score --quiet"
SEGMENTED = "segmenter.safetensors photos pairs/trainB labels"
RESUME = "train --out stopped --resume --training.epochs 2 --quiet"
ABLATE = f"ablate grid.yaml pairs --together {SMALL} --out"


def _data() -> list[Subject]:
    """What describes data, and pictures in other layouts."""
    segmenter = "segmenter train labelled --out new.safetensors --size 16 --epochs 1 --width 2 --device cpu --quiet"
    return [
        Subject(
            "one file", "translate run pairs/testA/0.png out.png --quiet", "pairs/testA/0.png", "run pairs", "out.png", "pairs/trainA/*"
        ),
        Subject("side by side", f"train l1 labelled --out new {SMALL}", "labelled/train/*.png", "labelled", "new/*", "labels/*"),
        Subject(
            "unpaired",
            f"train streamlined pairs --out new {SMALL} --generator.bottleneck_width 4",
            "pairs/train?/*.png",
            "pairs",
            "new/*",
            "labels/*",
        ),
        Subject(
            "previewed pairs", f"preview l1 pairs --out page.html {SMALL}", "pairs/train?/*.png", "pairs", "page.html", "labels/*", weight=3
        ),
        *(
            Subject(
                f"packed pairs{suffix}",
                f"data get edges2shoes --mirror archives/pairs{suffix} --out new --quiet",
                f"archives/pairs{suffix}",
                f"archives/pairs{suffix}",
                "new/*",
                "labels/*",
            )
            for suffix in (".tar.gz", ".zip")
        ),
        Subject("checked pairs", "data check pairs --out page.html --quiet", "pairs/*/*.png", "pairs", "page.html", "labels/*"),
        Subject("photos", "data prepare pairs/trainB holes --out new --quiet", "pairs/trainB/*.png", "pairs", "new/*", "labels/*"),
        Subject(
            "two sides", "data combine pairs/trainA pairs/trainB --out new --quiet", "pairs/train?/*.png", "pairs", "new/*", "labels/*"
        ),
        Subject("halves", "data split labelled --out new --quiet", "labelled/*/*.png", "labelled", "new/*", "labels/*"),
        Subject("large images", "data tile pairs/trainA --out new --size 8 --quiet", "pairs/trainA/*.png", "pairs", "new/*", "labels/*"),
        Subject(
            "prepared pairs",
            "",
            "prepared/data/*/*",
            "pairs prepared trained_network",
            "trained/* prepared/*",
            call=train_with_prepared_pairs,
            before=no_page,
            weight=3,
        ),
        Subject("segmenter pairs", segmenter, "labelled/*/*.png", "labelled", "new.safetensors", "labels/*"),
        *(
            Subject(
                f"manifest{suffix}",
                f"train l1 pairs{suffix} --out new {SMALL}",
                f"pairs{suffix}",
                f"pairs pairs{suffix}",
                "new/*",
                weight=8,
            )
            for suffix in (".csv", ".tsv", ".jsonl")
        ),
        Subject("label maps", SEGMENT, "labels/*.png", SEGMENTED, others="pairs/testA/*", weight=3),
        Subject("palette", f"{SEGMENT} --palette palette.json", "palette.json", f"palette.json {SEGMENTED}", weight=8),
    ]


def _recipes() -> list[Subject]:
    """Recipes, grids, plugins, and the ablation that a grid became."""
    broken = "grid.yaml pairs broken"
    return [
        Subject(
            "recipe",
            "train recipe.yaml --out new --training.epochs 1 --quiet",
            "recipe.yaml",
            "recipe.yaml pairs",
            "new/* */new/*",
            weight=12,
        ),
        Subject("recipe printed", "train recipe.yaml --print_config", "recipe.yaml", "recipe.yaml", weight=6),
        Subject(
            "plugin's recipe",
            f"train plugin.yaml pairs --plugins plugin.py --out new {SMALL}",
            "plugin.yaml",
            "plugin.yaml plugin.py pairs",
            "new/*",
            weight=4,
        ),
        Subject("plugin", "list loss --plugins plugin.py", "plugin.py", "plugin.py", weight=2),
        Subject("grid", f"{ABLATE} new", "grid.yaml", "grid.yaml pairs", "new/*", weight=4),
        Subject("grid printed", "ablate grid.yaml pairs --print_config", "grid.yaml", "grid.yaml pairs", weight=4),
        Subject(
            "ablation",
            f"{ABLATE} broken --resume",
            "broken/ablation.json broken/grid.yaml broken/cells/*.json",
            broken,
            "broken/*",
            "run/recipe.yaml run/environment.json",
            weight=5,
        ),
        Subject(
            "ablation's cells",
            f"{ABLATE} broken --resume",
            " ".join(f"broken/cells/*/{name}" for name in ("recipe.yaml", "log.jsonl", "config.json", "evaluation.json")),
            broken,
            "broken/*",
            weight=5,
        ),
        Subject("earlier demo", "demo --out demo --quiet", "demo/recipe.yaml", "demo", others="recipe.yaml", before=no_demo, sound=2),
    ]


def _states() -> list[Subject]:
    """What is trained or measured, ours and other people's."""
    return [
        Subject(
            "checkpoint",
            RESUME,
            "stopped/checkpoints/last.pt",
            "stopped pairs",
            "stopped/*",
            "spare/*/checkpoints/last.pt",
            state=True,
            content=checkpoint,
            weight=24,
        ),
        Subject("stopped run", RESUME, RUN.format("stopped"), "stopped pairs", "stopped/*", SPARE, weight=8),
        Subject(
            "stopped run's models",
            RESUME,
            "stopped/model/* stopped/samples/* stopped/kept/*",
            "stopped pairs",
            "stopped/*",
            "spare/run/model/*",
            weight=3,
        ),
        Subject(
            "model",
            "translate run/model pairs/testA out --quiet",
            "run/model/generator.safetensors run/model/config.json",
            "run/model pairs/testA",
            "out/*",
            "spare/*/model/*",
            state=True,
            content=model,
            interchangeable=True,
            weight=24,
        ),
        Subject(
            "best model",
            "evaluate run --checkpoint best --metrics l1 --quiet",
            "run/model_best/generator.safetensors run/model_best/config.json",
            "run/model_best run/model run/recipe.yaml pairs",
            others="spare/*/model/*",
            state=True,
            content=model,
            interchangeable=True,
            weight=8,
        ),
        Subject("run's recipe", "evaluate run --metrics l1 --quiet", RUN.format("run"), "run pairs", "run/*", SPARE, weight=4),
        Subject(
            "statistics",
            "evaluate --generated pairs/testA --target statistics.npz --metrics random_frechet --unpaired --quiet",
            "statistics.npz",
            "statistics.npz pairs/testA",
            others="spare/statistics.npz",
            state=True,
            content=arrays,
            interchangeable=True,
            weight=16,
        ),
        Subject(
            "segmenter",
            f"{SEGMENT} --require fcn_score",
            "segmenter.safetensors",
            SEGMENTED,
            others="spare/segmenter.safetensors",
            state=True,
            content=tensors,
            interchangeable=True,
            weight=14,
        ),
        Subject(
            "probes",
            "analyze vector --probes probes.safetensors --images 4 --quiet",
            "probes.safetensors",
            "vector probes.safetensors",
            "vector/*",
            "segmenter.safetensors",
            state=True,
            content=tensors,
            before=quick_analysis,
            weight=3,
        ),
        Subject(
            "network of the reference",
            "translate net.pth pairs/testA out --quiet",
            "net.pth",
            "net.pth pairs/testA",
            "out/*",
            "spare/net.pth heads.pth",
            weight=10,
        ),
        Subject(
            "imported network",
            "import net.pth --out new --quiet",
            "net.pth",
            "net.pth",
            "new/*",
            "spare/net.pth heads.pth",
            weight=2,
        ),
        Subject(
            "shared model",
            "push run owner/name --dry-run out",
            f"run/model/generator.safetensors run/model/config.json run/evaluation/evaluation.json {RUN.format('run')} run/samples/*",
            "run",
            "out/*",
            f"spare/*/model/* {SPARE} spare/run/evaluation/*.json",
            weight=6,
        ),
        Subject("exported network", "import cats.pict --out new --quiet", "cats.pict", "cats.pict", "new/*", "net.pth heads.pth", weight=2),
        Subject("imported training", "import theirs --out new --quiet", "theirs/*", "theirs", "new/*", "recipe.yaml net.pth", weight=2),
        Subject("weights", "", "heads.pth", "heads.pth", others="net.pth", call=load_heads, weight=8),
        Subject("published weights", "weights", "weights/*.pth", "weights", others="net.pth", before=published_heads, weight=2),
    ]


def _pages() -> list[Subject]:
    """What pages are made of."""
    evaluation = "run/evaluation/evaluation.json"
    return [
        Subject(
            "run under report",
            "report run",
            f"{RUN.format('run')} run/evaluation/*.json run/evaluation/*.csv",
            "run",
            "run/*",
            f"{SPARE} spare/run/evaluation/*.json",
            weight=16,
        ),
        Subject(
            "evaluation under report",
            "report run/evaluation",
            evaluation,
            "run/evaluation",
            "run/evaluation/report.html",
            f"spare/{evaluation}",
            weight=6,
        ),
        Subject(
            "panels under report",
            "report run",
            "run/samples/* run/evaluation/panels/*",
            "run",
            "run/*",
            "pictures/*/trainA/1.*",
            weight=3,
        ),
        Subject(
            "run under watch",  # without --once it serves until Ctrl-C
            "watch run --once page.html",
            f"{RUN.format('run')} run/samples/*",
            "run pairs",
            "page.*",
            SPARE,
            weight=6,
        ),
        Subject(
            "run under serve",
            "serve run --port 0 --quiet",
            f"{RUN.format('run')} run/model/* pairs/testA/*",
            "run pairs",
            "",
            before=asked_once,
            weight=2,
        ),
        Subject("run under draw", "draw run --port 0 --no-browser --quiet", "run/model/*", "run pairs", "", before=asked_once),
        Subject(
            "runs under compare",
            "compare run spare/run --out page.html",
            f"{RUN.format('run')} run/evaluation/*.json run/model/config.json",
            "run spare/run pairs",
            "page.*",
            SPARE,
            weight=8,
        ),
        Subject(
            "ablation under compare",
            "compare ablation --json",
            "ablation/ablation.json ablation/grid.yaml ablation/cells/*.json ablation/cells/*/log.jsonl ablation/cells/*/recipe.yaml",
            "ablation pairs",
            "ablation/comparison.*",
            "run/recipe.yaml",
            weight=8,
        ),
    ]


WITHOUT_FILES: dict[str, str] = {"doctor": "reads no file that is given to it"}
"""Verbs that have no subject, and why."""


def _unknown(known: set[str]) -> list[Subject]:
    """Verbs that nobody wrote a subject for: with a folder of images, and with a run. What they make of these is not known."""
    return [
        Subject(f"{verb} {place}", f"{verb} {place}", files, "run pairs", "*", sound=None)
        for verb in commands.names()
        if verb not in known | set(WITHOUT_FILES)
        for place, files in (("pairs/testA", "pairs/testA/*"), ("run", f"{RUN.format('run')} run/model/*"))
    ]


_KNOWN = (*_data(), *_recipes(), *_states(), *_pages(), *_pictures())
SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in (*_KNOWN, *_unknown({subject.verb for subject in _KNOWN}))}
