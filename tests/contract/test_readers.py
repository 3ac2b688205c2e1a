"""Every reader meets the same folder with the same answer: the same files are used, and the same is said of the others, once.

One folder holds every oddity at once. Each reader, a command as it is typed, goes through it once; the cells of the table look at what it
used and said. A reader is found by itself: an argument of a command that may be a folder of images has to stand in the table, and code
outside ``data/`` that lists folders has to say here what it lists.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.examples import section
from tests.imports import PACKAGE
from tests.tiny import needs_any_name, tiny_config, tiny_translator
from transfigure.cli.commands import commands
from transfigure.cli.main import main
from transfigure.data import images

PLAIN = ("0.png", "1.png", "2.png", "3.png")
ACCENTS = "é{}.png"
SIZE = 32


def picture(seed: int, grey: bool = False) -> Image.Image:
    """Twice as wide as high, so that it can be a pair side by side too; the left half has five flat colours, as a label map."""
    rng = np.random.default_rng(seed)
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)
    labels = np.repeat(np.repeat(colours[rng.integers(0, 5, (4, 4))], SIZE // 4, 0), SIZE // 4, 1)
    both = np.concatenate([labels, rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)], axis=1)
    return Image.fromarray(both).convert("L") if grey else Image.fromarray(both)


# ---- the oddities ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oddity:
    """What is laid into the folder.

    Attributes:
        make: does it.
        used: the files of it that every reader uses, below the folder.
        said: what every reader says of it, in the one sentence about what was passed over; or else ``note``, a sentence of its own.
        partners: under which names the other side of a pair has the files that are used; their own if empty.
    """

    make: Callable[[Path], object]
    used: tuple[str, ...] = ()
    said: str = ""
    note: str = ""
    partners: tuple[str, ...] = ()


def _save(name: str, kind: str = "PNG", grey: bool = False) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(len(name) + ord(name[0]) % 97, grey).save(folder / name, kind)

    return make


def _several(*makes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [make(folder) for make in makes]


def _linked(folder: Path) -> None:
    outside = folder.with_name(f"{folder.name}_outside")
    _save("z.png")(outside)
    for name in ("x", "y"):
        (folder / name).symlink_to(outside)


NO_LETTERS = os.fsdecode(b"n\xff.png")
DECOMPOSED, COMPOSED = (unicodedata.normalize(form, ACCENTS.format(1)) for form in ("NFD", "NFC"))
NOT_READ = b"\0\0\0\x20ftypavif" + b"\0" * 32

ODDITIES = {
    "plain": Oddity(_several(*(_save(name) for name in PLAIN)), PLAIN),
    "NAS thumbnails": Oddity(
        _several(_save("@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "JPEG"), _save("@eaDir/1.png")),
        said="1 folder of thumbnails, deleted or hidden files, such as @eaDir",
    ),
    "jfif": Oddity(_save("j.jfif", "JPEG"), ("j.jfif",)),
    "upper-case suffix": Oddity(_save("U.PNG"), ("U.PNG",)),
    "no suffix": Oddity(_save("bare"), ("bare",)),
    "ppm": Oddity(_save("p.ppm", "PPM"), ("p.ppm",)),
    "broken link": Oddity(
        lambda folder: (folder / "gone.png").symlink_to("nowhere.png"), said="2 links that cannot be followed, such as gone.png"
    ),
    "link to itself": Oddity(lambda folder: (folder / "self.png").symlink_to("self.png"), said="2 links that cannot be followed"),
    "loop": Oddity(lambda folder: (folder / "loop").symlink_to(folder), said="1 link that leads back, such as loop"),
    "two links to a folder": Oddity(_linked, ("x/z.png", "y/z.png")),
    "decomposed name": Oddity(_save(DECOMPOSED), (DECOMPOSED,), partners=(COMPOSED,)),
    "name that is no letters": Oddity(_save(NO_LETTERS), (NO_LETTERS,)),
    "text file": Oddity(lambda folder: (folder / "notes.txt").write_text("P1 is what we do first"), said="1 other file, such as notes.txt"),
    "AVIF": Oddity(
        lambda folder: (folder / "a.avif").write_bytes(NOT_READ), said="1 AVIF file, such as a.avif (convert it to PNG to use it)"
    ),
    "hidden file": Oddity(_save("._0.png"), said="1 hidden file, such as ._0.png"),
    "grey among colour": Oddity(_save("grey.png", grey=True), ("grey.png",), note="grey"),
}
USED = {name for oddity in ODDITIES.values() for name in oddity.used}


# ---- the readers -----------------------------------------------------------------------------------------------------------


TRAIN = (
    f"--data.load_size {SIZE} --data.crop_size {SIZE} --data.val_fraction 0 --data.test_fraction 0 --training.epochs 1 "
    "--training.validate_every 0 --training.preview_count 0 --training.accelerator cpu --training.batch_size 16 --generator.width 2"
)
PIX2PIX = f"train pix2pix {{data}} --out out {TRAIN} --discriminator.width 2 --discriminator.receptive_field 16"
READERS = {
    "train, two folders": PIX2PIX.format(data="pairs"),
    "train, side by side": PIX2PIX.format(data="odd --data.kind side_by_side"),
    "train, unpaired": f"train streamlined_small pairs --data.kind unpaired --out out {TRAIN}",
    "translate": "translate model odd out",
    "evaluate with a model": "evaluate model pairs --metrics l1 --out out",
    "evaluate folders": "evaluate --generated odd --target partners --metrics l1 --out out",
    "evaluate folders, unpaired": "evaluate --generated odd --target partners --unpaired --metrics random_frechet",
    "evaluate folders as targets": "evaluate --generated partners --target odd --metrics l1",
    "evaluate folders as sources": "evaluate --generated partners --target plain --source odd --metrics l1",
    "evaluate folders as labels": "evaluate --generated partners --target plain --labels odd --metrics l1",
    "statistics": "statistics odd --features random --out out.npz",
    "segmenter": f"segmenter train parts --photos B --palette labels.json --size {SIZE} --epochs 1 --width 2 --out out.safetensors",
    "data prepare": "data prepare odd holes --out out",
    "data tile": "data tile odd --out out --size 8",
    "data combine": "data combine odd partners --out out",
    "data split": "data split odd --out out",
    "analyze": "analyze model pairs --images 40",
}
"""Each as it is typed, in a folder that holds ``odd`` and what belongs to it."""

AS_THEY_ARE = {"data prepare", "data tile", "data split"}
"""Readers that write each image in its own channels, so that grey among colour is nothing to say."""

ARGUMENTS = {
    ("train", "data"): "train, two folders",
    ("preview", "data"): "train, two folders",  # it opens them as a training does
    ("data check", "data"): "train, two folders",  # it finds pairs by find_records and reads them by the look of the training
    ("data prepare", "photos"): "data prepare",
    ("data tile", "a"): "data tile",
    ("data tile", "b"): "data combine",  # paired by two_folders, as there
    ("data combine", "a"): "data combine",
    ("data combine", "b"): "data combine",
    ("data split", "pairs"): "data split",
    ("ablate", "data"): "train, two folders",  # its cells are trainings, and it asks find_records as they do
    ("translate", "input"): "translate",
    ("evaluate", "data"): "evaluate with a model",
    ("evaluate", "generated"): "evaluate folders",
    ("evaluate", "target"): "evaluate folders as targets",
    ("evaluate", "source"): "evaluate folders as sources",
    ("evaluate", "labels"): "evaluate folders as labels",
    ("evaluate", "mask"): "evaluate folders as labels",  # listed and paired as those are, and a JPEG is refused
    ("statistics", "folder"): "statistics",
    ("segmenter", "data"): "segmenter",
    ("analyze", "data"): "analyze",
    ("export", "calibration"): "translate",  # find_images and the translator's own reader, as there
}
"""The arguments that may be folders of images, and the reader that stands for each."""
WRITTEN = {"out", "output", "pictures", "dry_run"}
"""Names of arguments that are written."""
NO_IMAGES = {
    ("data get", "mirror"): "the place of an archive",
    ("compare", "runs"): "runs, or an ablation",
    ("evaluate", "nodata"): "a value",
    ("evaluate", "channel_names"): "names",
    ("import", "epoch"): "of a folder of the reference's checkpoints",
    ("import", "source"): "a network of the reference, or the folder of its training",
}
"""Other arguments whose help speaks of folders."""
TOLD = set(
    re.findall(r"new file: src/transfigure/cli/commands/(\w+)\.py", (PACKAGE.parents[1] / "docs" / "extending.md").read_text("utf-8"))
)
"""Commands that a page tells people to add: their own."""


@dataclass(frozen=True)
class Reading:
    """What one reader did: the files of the odd folder that it decoded, what it said, and its exit code."""

    used: set[str]
    said: list[str]
    code: int


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd folder and what belongs to it, and a model that was trained on something like it."""
    root = tmp_path_factory.mktemp("readers")
    needs_any_name(root)
    (root / "odd").mkdir()
    for oddity in ODDITIES.values():
        oddity.make(root / "odd")
    for oddity in ODDITIES.values():
        for place in ("partners", "plain"):
            for name in oddity.partners or oddity.used:
                target = (root / place / name).with_suffix(".png")
                target.parent.mkdir(parents=True, exist_ok=True)
                picture(sum(map(ord, name)) + (place == "plain")).save(target)
    (root / "pairs").mkdir()
    (root / "pairs" / "A").symlink_to(root / "odd")
    (root / "pairs" / "B").symlink_to(root / "partners")
    (root / "parts").mkdir()
    (root / "parts" / "train").symlink_to(root / "odd")
    classes = {"black": [0, 0, 0], "white": [255, 255, 255], "red": [255, 0, 0], "blue": [0, 0, 255], "green": [0, 255, 0]}
    (root / "labels.json").write_text(str({"name": "five", "classes": classes}).replace("'", '"'))
    values = {"data.val_fraction": 0, "data.test_fraction": 0, "data.kind": "two_folders"}
    config = tiny_config(recipe=section(root / "pairs", values), trained_size=SIZE)
    tiny_translator(config).save(root / "model")
    return root


@pytest.fixture(scope="module")
def readings(root: Path) -> dict[str, Reading]:
    """Each reader's way through the folder; a reader is run when it is first asked for."""
    return {}


def read(name: str, root: Path, readings: dict[str, Reading], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Reading:
    if name not in readings:
        used: set[str] = set()
        decode = images.examine

        def noted(path: str | Path, *more: Any, **named: Any) -> Any:
            for place in (root / "odd", root / "pairs" / "A", root / "parts" / "train", Path("odd")):
                if Path(path).is_relative_to(place):
                    used.add(Path(path).relative_to(place).as_posix())
            return decode(path, *more, **named)

        patch.setattr(images, "examine", noted)
        patch.chdir(root)
        before = set(os.listdir(root))  # noqa: PTH208
        capsys.readouterr()
        code = main(READERS[name].split())
        readings[name] = Reading(used, capsys.readouterr().err.splitlines(), code)
        for left in set(os.listdir(root)) - before:  # noqa: PTH208
            os.rename(root / left, root / f"done {len(readings)} {left}")  # noqa: PTH104
    return readings[name]


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("reader", READERS)
def test_the_same_files_are_used_and_the_same_is_said(
    reader: str, oddity: str, root: Path, readings: dict[str, Reading], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, right = read(reader, root, readings, capsys, monkeypatch), ODDITIES[oddity]
    assert found.code == 0, found.said
    assert set(right.used) <= found.used, "not used"
    assert found.used <= USED, "used, and should not be"
    passed = [line for line in found.said if "passed over in" in line]
    assert len(passed) == 1, found.said
    if right.said:
        assert right.said in passed[0]
    if right.note and "labels" not in reader and reader not in AS_THEY_ARE:  # label maps are read as they are
        assert any(right.note in line for line in found.said if line.startswith("note: ")), found.said


def test_the_whole_sentence(
    root: Path, readings: dict[str, Reading], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every reader but for how it calls the folder."""
    sentences = set()
    for name in READERS:
        passed = [line for line in read(name, root, readings, capsys, monkeypatch).said if "passed over in" in line]
        sentences |= {line.partition("passed over in ")[2].partition(": ")[2] for line in passed}
    assert sentences == {
        "1 AVIF file, such as a.avif (convert it to PNG to use it); 1 other file, such as notes.txt; 1 hidden file, such as ._0.png; "
        "2 links that cannot be followed, such as gone.png; 1 link that leads back, such as loop; "
        "1 folder of thumbnails, deleted or hidden files, such as @eaDir"
    }


# ---- no reader is missing -----------------------------------------------------------------------------------------------------


def folder_arguments() -> Iterator[tuple[str, str]]:
    """The arguments of every command whose help or name speaks of folders, images or pairs."""
    for command in commands():
        parser = argparse.ArgumentParser(add_help=False)
        command.add_arguments(parser)
        for action in parser._actions:
            words = f"{action.metavar} {action.help}".lower()
            places = action.metavar in ("DIR", "DATA", "INPUT", "FOLDER", "OUTPUT") or "folder" in words
            if action.nargs != 0 and action.type is None and places and not action.choices:
                yield command.name, action.dest


def test_every_argument_that_may_be_a_folder_of_images_is_in_the_table() -> None:
    found = [one for one in folder_arguments() if one[0] not in TOLD and one[1] not in WRITTEN]
    assert ("statistics", "folder") in found and ("translate", "input") in found
    assert [one for one in found if one not in ARGUMENTS and one not in NO_IMAGES] == [], "a new reader: add it to READERS and ARGUMENTS"
    assert set(ARGUMENTS) <= set(found)
    assert set(ARGUMENTS.values()) <= set(READERS)


LISTINGS = {"iterdir", "glob", "rglob", "walk", "scandir", "listdir"}
OUR_OWN = {
    "cli/commands/demo.py:_clear_earlier": "whether the demo's folder is empty or ours",
    "translation/export.py:export": "what it has just written",
    "translation/conversion.py:_write": "models that were converted",
    "interop/model_card.py:_samples": "a run's samples",
    "interop/hub.py:push": "what is uploaded",
    "interop/opening.py:open_folder": "networks of a training with the reference",
    "evaluation/result.py:save_panels": "panels of an earlier evaluation",
    "features/download.py:_sweep": "unfinished downloads",
    "networks/shipped.py:shipped_models": "shipped models",
    "preparation/public/get.py": "what it has just unpacked, and whether its place is free",
    "recipe/tree.py:shipped": "shipped recipes",
    "registry.py:_registering": "the package's own source",
    "reporting/run/page.py:_contents": "sizes of a run's files",
    "reporting/run_files.py:samples": "a run's samples",
    "reporting/shell.py:pages": "the pages' templates",
    "studies/ablation/examine.py:_reconstruction": "models that a run kept",
    "studies/ablation/grid.py:shipped": "shipped grids",
    "studies/ablation/variants.py:_runs_in": "runs",
    "training/preview.py:draw": "a run's samples",
    "training/run_directory.py": "what a run directory holds",
    "training/start.py:_find": "networks of a training with the reference",
    "translation/folder.py:neighbours": "outputs of another format beside those that are written",
    "scale/carrier.py:remove_left": "temporary folders that killed processes left",
    "scale/cluster.py:_daemon": "processes, to find the engine that is watched",
    "scale/cluster.py:_helpers": "processes that an engine started, to end them with it",
    "scale/machines.py:_seen": "the names in a folder, as each machine of a cluster sees them",
}
"""Functions (or whole files) outside ``data/`` that list folders, and what they list; none looks for images to read."""


def listing_functions(root: Path) -> set[str]:
    """The functions of a package, outside ``data/``, that call one which lists folders, as ``file:function``."""
    found = set()

    def walk(node: ast.AST, place: str) -> None:
        for child in ast.iter_child_nodes(node):
            called = child.func if isinstance(child, ast.Call) else None
            if (
                isinstance(called, ast.Attribute)
                and called.attr in LISTINGS
                and (called.attr, ast.unparse(called.value)) != ("walk", "ast")
            ):
                found.add(place)
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            walk(child, f"{place.partition(':')[0]}:{child.name}" if named else place)

    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if not name.startswith("data/"):
            walk(ast.parse(file.read_text(encoding="utf-8")), f"{name}:")
    return found


def test_only_data_lists_folders_of_images() -> None:
    found = {place for place in listing_functions(PACKAGE) if not {place, place.partition(":")[0]} & set(OUR_OWN)}
    assert found == set(), "call transfigure.data.folder.find_images, or say here what is listed"


def test_a_file_that_lists_folders_is_found(tmp_path: Path) -> None:
    for name, text in {"data/a.py": "x.iterdir()", "b.py": "def f(p):\n    return sorted(p.rglob('*.png'))", "c.py": "walk = 3"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert listing_functions(tmp_path) == {"b.py:f"}
