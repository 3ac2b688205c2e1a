"""What the pages tell people to type is typed here, in the order they tell it, in an empty folder with a person's few files in it.

The commands are read from the pages, not copied; only the size of what is trained is made small. The network is cut off.
"""

from __future__ import annotations

import glob
import json
import re
import shlex
import signal
import socket
import tarfile
import tomllib
import urllib.request
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.data.whole_slides import aperio, tissue
from tests.interop.reference_layouts import reference_unet
from tests.journeys.commands import ROOT, blocks, done, links, refused, shell_lines, type_in
from tests.preparation.edge_networks import write_network
from tests.studies.quick import quick_classifier
from tests.tiny import noise_image, turning_around
from transfigure import registry
from transfigure.cli.commands import verbs
from transfigure.data import images
from transfigure.data.formats.metadata import Metadata
from transfigure.features import download
from transfigure.features.published import CATALOGUE
from transfigure.preparation.public.catalogue import DATASETS, dataset_called
from transfigure.recipe import Recipe, drawn_worlds, shipped, tree
from transfigure.studies.ablation.grid import Grid
from transfigure.studies.preservation import analyze, measures
from transfigure.worlds.facades.dataset import draw_scene, render
from transfigure.worlds.shapes.dataset import FACTORS

pytestmark = pytest.mark.usefixtures("drawn_once", "traced_once")

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_FOLLOWED = {"ablate.md", "cluster.md", "microscopy.md"}
"""One whose commands take minutes whatever the size, which ``test_docs.py`` reads without running any; and two with tests of their own."""
GUIDES = [page for page in sorted((ROOT / "docs" / "how-to").glob("*.md")) if page.name not in NOT_FOLLOWED]
FOLLOWED = [ROOT / "README.md", ROOT / "docs" / "start.md", ROOT / "docs" / "models.md", *GUIDES]
FIRST = "transfigure train pix2pix_small datasets/facades --data.direction BtoA --out runs/facades"
"""What a reader has done before a guide that begins with a trained run."""
OTHERS = {
    "runs/stain": "transfigure train pix2pix_small --out runs/stain --data.a 'raw/{name}_z{00..12}.png' "
    "--data.b 'stains/{name}_{DAPI,MAP2,NFH}.png'",
    "runs/volumes": "transfigure train pix2pix_small volumes/ --out runs/volumes --data.pages depth",
}
"""And before one that begins with another run."""
SMALL = {
    "data.limit": 2,
    "generator.width": 2,
    "discriminator.width": 2,
    "training.epochs": 1,
    "training.preview_count": 1,
    "training.accelerator": "cpu",
}
THEIR_OPTIONS = "dataroot: ./datasets/facades\n model: pix2pix\n load_size: 36\n crop_size: 32\n direction: BtoA\n"
DRAWN = {"data.train": 2, "data.val": 1, "data.test": 2}
NAMES = ("1", "street 2", "deep/3")


def _ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader of the pages has it, on a machine without a network, and a demo that takes a second."""
    for split, count in {"train": 3, "val": 1, "test": 2}.items():
        for index in range(count):
            scene = draw_scene(0, index)
            pair = np.concatenate([render(scene, "day", 32), render(scene, "labels", 32)], axis=1)
            images.write(tmp_path / "datasets" / "facades" / split / f"{index}.png", pair)
            for side in "AB":
                images.write(tmp_path / "datasets" / "landscapes" / f"{split}{side}" / f"{index}.png", noise_image(32, 48, seed=index))
            images.write(tmp_path / "datasets" / "masks" / split / f"{index}.png", np.eye(32, dtype=np.uint8)[..., None])
    for index, name in enumerate(NAMES):
        size = 24 + 9 * index
        images.write(tmp_path / "labels" / f"{name}.png", render(draw_scene(1, index), "labels", size))
        for number, folder in enumerate(("predicted", "annotations")):
            indices = (noise_image(size, size, 1, seed=2 * index + number) > 127).astype("uint8")
            images.write(tmp_path / folder / f"{name}.png", indices, Metadata(palette=((0, (0, 0, 0)), (1, (70, 130, 180)))))
        for folder in ("photos", "art/photos"):
            images.write(tmp_path / folder / f"{name}.png", render(draw_scene(1, index), "day", size))
        images.write(tmp_path / "art" / "paintings" / f"{name}.png", render(draw_scene(2, index), "night", size))
        images.write(tmp_path / "their_output" / f"{name}.png", noise_image(size, size, seed=index))
        images.write(tmp_path / "masks" / f"{name}.png", np.pad(np.ones((size - 8, size - 4, 1), np.uint8), ((4, 4), (0, 4), (0, 0))))
    for name in ("cell1", "cell2", "cell3"):
        for number in range(13):
            images.write(tmp_path / "raw" / f"{name}_z{number:02}.png", noise_image(32, 32, 1, "uint16", number))
        for number, stain in enumerate(("DAPI", "MAP2", "NFH")):
            images.write(tmp_path / "stains" / f"{name}_{stain}.png", noise_image(32, 32, 1, "uint16", number))
    for name in ("brain.tif", *(f"{folder}/{number}.tif" for folder in ("volumes/A", "volumes/B", "scans") for number in range(3))):
        images.write_pages(tmp_path / name, [noise_image(32, 32, 1, seed=number) for number in range(3)])
    theirs = tmp_path / "checkpoints" / "facades_pix2pix"
    theirs.mkdir(parents=True)
    (theirs / "train_opt.txt").write_text(THEIR_OPTIONS)
    for place in (tmp_path, theirs):
        torch.save(reference_unet(3, 3, 2, 5, "batch"), place / "latest_net_G.pth")
    for index, folder in enumerate(("brightfield", "stained")):
        for name in ("well1", "well2", "well3"):
            images.write(tmp_path / "wells" / folder / f"{name}.tif", noise_image(330, 300, 1, "uint16", index))
    aperio(tmp_path / "slide.svs", tissue(160, 240), (2,))
    turning_around(tmp_path / "style.onnx")
    write_network(tmp_path / "hed.onnx", [0.3, 0.3, 0.3])
    small = {
        "extends": str(shipped()["demo"]),
        **{key: value for key, value in SMALL.items() if key != "data.limit"},
        "data.train": 8,
        "data.test": 30,
    }
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "demo.yaml").write_text(yaml.safe_dump(_nested(small)))
    known = {**shipped(), "demo": tmp_path / ".demo" / "demo.yaml"}
    monkeypatch.setattr(tree, "shipped", lambda: known)
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / ".torch"))
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    monkeypatch.chdir(tmp_path)
    return tmp_path


_connect = socket.socket.connect


def _no_network(of: socket.socket, address: Any) -> None:
    assert isinstance(address, tuple) and address[0] == "127.0.0.1", "a command of the pages wants the network"
    _connect(of, address)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        here = tree
        for part in path:
            here = here.setdefault(part, {})
        here[last] = value
    return tree


# ---- the pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", FOLLOWED, ids=_ids)
def test_a_page_can_be_followed(desk: Path, capsys: pytest.CaptureFixture[str], page: Path) -> None:
    typed = [shlex.split(line, comments=True) for line in _typed(page)]
    made = [words for words in typed if words[1] == "train" and "runs/facades" in words and "--from" not in words]
    if any("runs/facades" in words for words in typed) and not made:
        follow(capsys, FIRST)
    for run, line in OTHERS.items():
        if any(run in words for words in typed) and not any(run in words for words in typed if words[1] == "train"):
            follow(capsys, line)
    for block in blocks(page):
        if block.file is not None:
            (desk / block.file).write_text(block.text)
        elif block.language == "bash":
            for line in shell_lines(block.text):
                follow(capsys, line)
        elif "sys.argv" in block.text or "push_to_hub" in block.text:
            continue  # run as a script by tests/translation/test_export.py; and against a stand-in of the hub by tests/interop/test_hub.py
        elif block.language == "python" and (page.name == "README.md" or block not in blocks(ROOT / "README.md")):
            names: dict[str, Any] = {}
            exec(compile(block.text, str(page), "exec"), names)
            if "photo" in names or page.name == "README.md":
                _python(names, capsys.readouterr().out)


def _typed(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    return [line for block in blocks(page) if block.language == "bash" for line in shell_lines(block.text)]


def test_the_pages_were_read() -> None:
    """Not vacuously true: the pages that are followed use all commands that are looked at closely, and hold all kinds of blocks."""
    typed = {shlex.split(line)[1] for page in FOLLOWED for line in _typed(page) if line.startswith("transfigure ")}
    assert typed >= {verb for verb in verbs() if f"_{verb}" in globals()}
    assert len(typed) >= 12
    assert {block.language for page in PAGES for block in blocks(page)} >= {"bash", "python", "yaml", "json"}
    assert {block.file for page in PAGES for block in blocks(page)} >= {"mine.yaml", "width.yaml"}


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


# ---- commands: what each one promises -----------------------------------------------------------------------------------


def follow(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Do what a line of a page says, and look for what it promises."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words) <= set(rules), line
    elif program == "pip":
        _installs(words)
    elif program == "hf":  # the hub's own command
        assert words == ["auth", "login"], line
    elif any(word.startswith("hub:") for word in words):  # nothing is downloaded here
        assert "cannot be reached" in refused(capsys, line)
    else:
        assert program == "transfigure", f"no test knows how to follow: {line}"
        promise = globals().get(f"_{words[0]}")  # what else a command owes than to succeed
        promise(capsys, line, words[1:]) if promise else done(capsys, line)


def _installs(words: list[str]) -> None:
    assert words[0] == "install"
    for word in words[1:]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = re.fullmatch(r"(\.|transfigure)(?:\[([\w,]+)\])?", word)
        assert named, word
        assert set((named[2] or "dev").split(",")) <= set(project["optional-dependencies"]), word


def _value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def _demo(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    said = done(capsys, line)
    out = Path("transfigure-demo")
    assert str(out / "report.html") in said and "SSIM" in said
    _trained(out)
    assert images.read(out / "panels.png").shape[1] > 3 * 64
    assert len(list((out / "demo" / "generated").iterdir())) == len(list((out / "demo" / "source").iterdir())) == 24


def _draw(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    opened: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webbrowser, "open", lambda address: opened.append(address) or signal.raise_signal(signal.SIGINT))
        assert "draw at http://127.0.0.1:" in done(capsys, line)
    assert len(opened) == 1


def _serve(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    answers: list[dict[str, Any]] = []

    def ask_and_end(said: str) -> None:
        print(said)
        address = re.search(r"http://\S+", said)
        assert address
        with urllib.request.urlopen(f"{address[0]}v1/models", timeout=60) as answer:
            answers.append(json.load(answer))
        signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfigure.cli.commands.serve.print_result", ask_and_end)
        said = done(capsys, line if "--port" in words else f"{line} --port 0")
    models = [word.partition("=")[0].rpartition("/")[2] for word in words if word.endswith("runs/facades")]
    assert [model["name"] for model in answers[0]["models"]] == models and f"serving: {', '.join(models)} at" in said


def _export(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if "int8" in words:  # which wants more images than there are here; that it works is tested with the exports
        assert "8 bits want 8" in refused(capsys, line)
        return
    assert "checked:  " in done(capsys, line)
    assert Path(_value(words, "--out")).is_file()


def _push(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if "--dry-run" in words:
        done(capsys, line)
        assert {"config.json", "generator.safetensors", "README.md"} <= {file.name for file in Path(_value(words, "--dry-run")).iterdir()}
    else:  # nothing is uploaded from here
        assert "cannot be reached to push" in refused(capsys, line)


def _benchmark(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    small = {"data.crop_size": 32, "data.load_size": 32, "generator.width": 2, "generator.depth": 4, "discriminator.width": 2}
    said = done(capsys, " ".join([line, "--rounds 1 --training.accelerator cpu", *(f"--{key} {value}" for key, value in small.items())]))
    assert "bfloat16, simultaneous" in said


def _train(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if "--help" in words:
        assert "--data.crop_size" in done(capsys, line)
        return
    if "--print_config" in words:
        printed = Recipe.from_dict(yaml.safe_load(done(capsys, line)))
        place = {"data.kind": words[1]} if words[1] in drawn_worlds() else {"data.path": words[1]}
        assert printed == Recipe.load(words[0], _overrides(words) | place)
        assert not Path(_value(words, "--out")).exists()
        return
    out = Path(_value(words, "--out"))
    if "--from" in words:
        _fine_tune(capsys, line, words, out)
        return
    if "--resume" in words and "--training.epochs" in words:
        done(capsys, line.replace(f"--training.epochs {_value(words, '--training.epochs')}", "--training.epochs 2"))
        resumed = [json.loads(entry) for entry in (out / "log.jsonl").read_text().splitlines() if '"kind":"resume"' in entry]
        assert resumed[-1]["changed"] == {"training.epochs": {"was": 1, "now": 2}}
        return
    if "--resume" in words:
        before = (out / "model" / "generator.safetensors").read_bytes()
        done(capsys, line)
        assert (out / "model" / "generator.safetensors").read_bytes() == before
        assert [json.loads(entry)["kind"] for entry in (out / "log.jsonl").read_text().splitlines()][-2:] == ["resume", "end"]
        return
    world = next((word for word in words if word in drawn_worlds()), None)
    small = (
        SMALL
        | ({"training.decay_start": 1} if "--training.decay_start" in words else {})  # an epoch that there is
        | (DRAWN if world else {})
        | ({"data.size": 32, "data.load_size": 32, "data.crop_size": 32, "data.val": 2, "data.test": 9} if world == "shapes" else {})
    )
    said = done(capsys, " ".join([line, *(f"--{key} {value}" for key, value in small.items())]))
    assert str(out / "report.html") in said
    _trained(out)
    typed = Recipe.load(words[0], {"data.kind": world or "auto", **_overrides(words), **small})
    found_out = {"data.kind", "data.path", "data.size", "data.a", "data.b", "data.mask", "data.source_classes", "data.target_classes"}
    found_out |= {f"data.{side}_range" for side in ("source", "target") if f"--data.{side}_percentiles" in words}
    found_out |= {"training.precision"} if typed.training.precision == "auto" else set()
    differing = Recipe.load(out / "recipe.yaml").differences(typed).keys() - found_out
    assert differing == set(), "the run's recipe is what was typed"


def _fine_tune(capsys: pytest.CaptureFixture[str], line: str, words: list[str], out: Path) -> None:
    small = {key: value for key, value in SMALL.items() if not key.endswith("width")}  # the networks are the model's
    done(capsys, " ".join([line, *(f"--{key} {value}" for key, value in small.items())]))
    _trained(out)
    start = json.loads((out / "log.jsonl").read_text().splitlines()[0])["started_from"]
    model = Path(_value(words, "--from"))
    assert (
        start["path"] == str(model.resolve())
        and "not_taken" not in start
        and re.fullmatch(r"(\d+) of \1 tensors", start["taken"]["generator"])
    )
    recipe = Recipe.load(out / "recipe.yaml")
    assert model.is_file() or recipe.generator == Recipe.load(model / "recipe.yaml").generator
    assert {f"training.{key}": value for key, value in recipe.training}.items() >= {
        key: float(value) for key, value in _overrides(words).items() if key == "training.learning_rate"
    }.items()


def _overrides(words: list[str]) -> dict[str, str]:
    short = {"--seed": "--training.seed", "--split-by": "--data.split_by"}
    flags = [index for index, word in enumerate(words) if word in short or (word.startswith("--") and "." in word)]
    return {short.get(words[index], words[index]).removeprefix("--"): words[index + 1] for index in flags}


def _trained(out: Path) -> None:
    wanted = ["recipe.yaml", "environment.json", "log.jsonl", "checkpoints/last.pt", "report.html", "samples"]
    wanted += [f"model/{name}" for name in ("generator.safetensors", "config.json", "README.md")]
    assert [name for name in wanted if not (out / name).exists()] == []
    page = (out / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["']?(?!#|data:)\w+:""", page), "the report fetches nothing"


def _translate(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    done(capsys, line)
    source, output = (Path(word) for word in [word for word in words if not word.startswith("--")][1:3])
    if "{" in str(source):  # several files are one image
        assert output.is_file() or len(list(output.iterdir())) == 3
        return
    if "--level" in words:
        level = images.levels_of(source)[int(_value(words, "--level"))]
        assert images.levels_of(output)[0] == level
        return
    files = {source: output} if source.is_file() else {}
    for file in (path for path in source.rglob("*") if path.is_file()):
        files[file] = next(output.glob(f"{glob.escape(str(file.relative_to(source).with_suffix('')))}.*"))
    for file, made in files.items():
        pages = images.pages_of(file)
        assert images.pages_of(made) == pages
        shapes = [[images.read(one, pages=(page,)).shape for page in range(pages)] for one in (made, file)]
        assert shapes[0] == shapes[1] or (pages > 1 and [shape[:2] for shape in shapes[0]] == [shape[:2] for shape in shapes[1]])


def _evaluate(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if words[1:2] and words[1] in drawn_worlds():  # which would draw them all
        line += " --data.train 2 --data.test 2"
    said = done(capsys, line)
    if "--metrics" in words:
        wanted = _value(words, "--metrics").split(",")
        if "--json" in words:
            assert {row["of"] for row in json.loads(said)["rows"]} == set(wanted)
        metrics: dict[str, Any] = {name: registry.resolve("metric", name) for name in wanted}
        assert [name for name, one in metrics.items() if not any(word in said for word in (one.label, *one.values.values()))] == []
        return
    if "--unpaired" in words:
        assert "\nFréchet, random features " in said and "\nSSIM " not in said
        return
    if "--json" in words:
        rows, bounds = json.loads(said)["rows"], {"target itself"}
        assert json.loads(said)["n"] == len(NAMES)
    elif words[0] == "runs/stain":  # one cell to test on, whole or its middle
        place = Path(_value(words, "--out")) if "--out" in words else Path(words[0]) / "evaluation"
        found = json.loads((place / "evaluation.json").read_text())
        assert found["n"] == 1 and "PSNR" in said and found["scored"].startswith("whole images")
        return
    else:
        assert "95 % interval" in said and "worst by ssim" in said and "skipped: FID" in said
        if words[0].endswith(".onnx") or words[0] == "--generated":  # nothing is stored
            return
        place = Path(_value(words, "--out")) if "--out" in words else Path(words[0]) / "evaluation"
        found = json.loads((place / "evaluation.json").read_text())
        rows, bounds = found["rows"], {"source copied", "mean training target", "target itself"}
        count = 3 if words[0] == "runs/wells" else 2  # a region of each well
        assert found["n"] == count and found["split"] == "test"
        assert len((place / "per_image.csv").read_text().splitlines()) == count + 1
    for metric in ("l1", "psnr", "ssim", "ms_ssim"):
        assert next(row for row in rows if row["metric"] == metric)["bounds"].keys() == bounds
    if "--segmenter" in words:
        score = next(row for row in rows if row["metric"] == "class_iou")
        assert 0 <= score["value"] <= 1 and score["bounds"].keys() == {"real photos"}


def _ablate(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    grid = Grid.load(words[0])
    on_shapes = {"data.train": 6, "data.test": 9, "data.limit": "null", "training.keep_every": 4}
    small = SMALL | (on_shapes if grid.examine else {})
    said = done(capsys, " ".join([line, "--seeds 0 --together", *(f"--{key} {value}" for key, value in small.items())]))
    out = Path(_value(words, "--out"))
    cells = json.loads((out / "ablation.json").read_text())["cells"]
    assert [cell["variation"] for cell in cells] == list(grid.variations)
    assert {cell["state"] for cell in cells} == {"done"}
    assert str(out / "comparison.html") in said and all(cell["variation"] in said for cell in cells)
    if grid.examine:
        assert "Own source nearest, training" in said and "along the way" in (out / "comparison.html").read_text()


def _analyze(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyze, "SCENES", 20)
        patch.setattr(analyze, "STEPS", 3)
        patch.setattr(measures, "DomainClassifier", quick_classifier(3))
        said = done(capsys, line)
    page = Path(words[0]) / "analysis" / "analysis.html"
    assert page.stat().st_size > 10_000
    found = json.loads(page.with_suffix(".json").read_text())
    assert {result["name"] for result in found["factors"]} == {factor.name for factor in FACTORS}
    assert all(factor.name in said for factor in FACTORS)
    assert "--json" in words or ("outlines in common" in said and str(page) in said)


def _compare(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    said = done(capsys, line)
    page = Path(words[0]) / "comparison.html"
    assert str(page) in said and page.stat().st_size > 10_000
    assert page.with_suffix(".csv").is_file() and page.with_suffix(".json").is_file()


def _segmenter(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    done(capsys, f"{line} --epochs 1 --size 32")
    assert Path(_value(words, "--out")).is_file()


def _statistics(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    assert f"{len(NAMES)} images" in done(capsys, line)
    assert Path(_value(words, "--out")).is_file()


def _weights(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if words[0] == "list":
        assert set(CATALOGUE) <= set(done(capsys, line).split())
        return
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:  # the desk has no network
        patch.setattr(download, "get", lambda name, quiet: asked.append(name))
        done(capsys, line)
    assert asked == words[1:] and set(asked) <= set(CATALOGUE)


def _data(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    promise = globals().get(f"_data_{words[0]}")  # what an action owes beside success
    promise(capsys, line, words[1:]) if promise else done(capsys, line)


def _data_get(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if "--list" in words:
        assert "pix2pix/maps" in done(capsys, line)
        return
    dataset = dataset_called(words[0])

    def pack(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / dataset.file, "w:gz") as archive:
            archive.add("datasets/facades", dataset.name)
        return folder / dataset.file

    if "--mirror" in words:
        pack(Path(_value(words, "--mirror")))
    with pytest.MonkeyPatch.context() as patch:  # the desk has no network, and facades for every name
        patch.setitem(DATASETS, dataset.full_name, replace(dataset, size=0, sha256=None))
        patch.setattr(download, "fetch", lambda entry, *, folder, **_: pack(folder))
        place = Path(done(capsys, line).strip())
    assert sorted(item.name for item in place.iterdir()) == ["SOURCE.json", "test", "train", "val"]


def _data_check(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    if "--json" in words:
        result = type_in(capsys, line)  # the desk's splits show the same scenes
        found = json.loads(result.out)
        assert found["counts"] == {"train": 3, "val": 1, "test": 2} and "leaks" in {problem["kind"] for problem in found["problems"]}
        assert result.code == (4 if "--strict" in words else 0)
        return
    said = done(capsys, line)
    page = Path(_value(words, "--out")) if "--out" in words else Path("check.html")
    assert "(3 train, 1 val, 2 test)" in said and f"page: {page}" in said and "What the pictures hold" in page.read_text()


def _data_prepare(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    counted = done(capsys, line)
    assert counted.startswith(f"{_value(words, '--out')}: 3 {'images' if '--layout' in words else 'pairs'}")


def _data_tile(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    assert re.search(r" patches \(train \d+(, val \d+)?, test \d+\)", done(capsys, line))


def _report(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    (Path(words[0]) / "report.html").unlink()
    page, *figures = done(capsys, line).splitlines()
    assert page == str(Path(words[0]) / "report.html")
    assert ("--pictures" in words) == bool(figures)
    for figure in figures:
        assert Path(figure.removeprefix("picture: ")).parent == Path(_value(words, "--pictures"))
        assert Path(figure.removeprefix("picture: ")).stat().st_size > 1000
    _trained(Path(words[0]))


def _preview(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    out = Path(_value(words, "--out")) if "--out" in words else Path("preview.html")
    said = done(capsys, line)
    assert f"preview: {out}" in said and "become −1 to 1" in said and out.stat().st_size > 10_000


def _list(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    said = done(capsys, line).split()
    assert set(shipped()) | {name for _, name in registry.catalog()} <= set(said)


def _doctor(capsys: pytest.CaptureFixture[str], line: str, words: list[str]) -> None:
    assert torch.__version__ in done(capsys, line)


def _python(names: dict[str, Any], said: str) -> None:
    """What the README's comments say of the values beside them."""
    assert (names["photo"].size, names["photo"].mode) == ((100, 75), "RGB")
    assert isinstance(names["translator"].generator, torch.nn.Module)
    assert names["result"].table() in said
    assert (names["run"] / "evaluation" / "evaluation.json").is_file()
