"""Every command that writes asks before the work whether it may, and every file of the package that writes is known here."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.imports import PACKAGE
from tests.interop.reference_layouts import reference_resnet
from tests.tiny import write_images
from transfigure.cli import commands, main

DRAWN = (
    *("--data.kind", "synthetic", "--data.train", "4", "--data.val", "0", "--data.test", "3", "--data.load_size", "32"),
    *("--data.crop_size", "32", "--generator.width", "2", "--generator.depth", "4", "--training.epochs", "1"),
    *("--training.batch_size", "2", "--training.accelerator", "cpu", "--training.preview_count", "1", "--quiet"),
)
CASES: dict[str, dict[str, tuple[str, ...]]] = {
    "ablate": {"ablate objectives synthetic --out out --quiet": ("out/grid.yaml", "out/notes.txt", "out/comparison.html", "out/.hidden")},
    "analyze": {
        "analyze run --images 2": ("run/analysis/analysis.json", "run/analysis/analysis.html", "run/analysis/factors.png"),
        "analyze run --images 2 --out out": ("out/analysis.json", "out/analysis.html", "out/factors.png"),
    },
    "compare": {"compare run2 run3 --out out/page.html --pictures out/figures": (), "compare run2 run3": ()},
    "data get": {"data get edges2shoes --mirror nowhere.tar.gz --out out --quiet": ("out/notes.txt", "out/.hidden")},
    "data check": {
        "data check synthetic --data.train 2 --data.val 0 --data.test 0 --quiet": ("check.html",),
        "data check synthetic --data.train 2 --data.val 0 --data.test 0 --quiet --out out/page.html": (),
    },
    "data combine": {"data combine in in_again --out out --quiet": ()},
    "data prepare": {"data prepare in holes --out out --quiet": ()},
    "data split": {"data split in --out out --quiet": ()},
    "data tile": {"data tile in in_again --out out --size 16 --quiet": ()},
    "demo": {"demo --out out": ("out/report.html", "out/notes.txt", "out/recipe.yaml", "out/.hidden")},
    "doctor": {},
    "evaluate": {
        "evaluate run --out out --metrics l1 --quiet": (),
        "evaluate run --metrics l1 --quiet --out run/evaluation": (),
        "evaluate --generated in --target in_again --out out --metrics l1 --quiet": (),
        "evaluate --generated in --target in_again --unpaired --out out --metrics random_frechet --quiet": (),
    },
    "import": {"import net.pth --out out --quiet": ()},
    "list": {},
    "preview": {"preview synthetic --quiet": ("preview.html",), "preview l1 synthetic --out out/a.png --pairs 1 --quiet": ("out/a.png",)},
    "push": {"push run owner/name --dry-run out": ()},
    "report": {"report run": (), "report run --out out/page.html": (), "report run2 --pictures out": ("out/panels.png",)},
    "segmenter": {"segmenter train synthetic --out out/segmenter.safetensors --quiet": ("out/segmenter.safetensors",)},
    "statistics": {"statistics in --features random --out out/in.npz --quiet": ()},
    "train": {"train l1 synthetic --out out": ("out/report.html", "out/notes.txt", "out/recipe.yaml", "out/.hidden")},
    "translate": {
        "translate run in out --quiet": (),
        "translate run in out --quiet --format jpg": (),
        "translate run in out --quiet --format same --skip-existing": (),
        "translate run in/1.png out/one.tif --quiet": (),
    },
    "watch": {"watch run --once out/page.html": ()},
    "weights": {"weights get inception --quiet": ("out/pt_inception-2015-12-05-6726825d.pth",)},
}
"""By command what is typed, and where it would write; of those that name nothing it is found out by running them.

The last are new places only (a run, an ablation), long work, or the network: there it is seen that they refuse.
"""
ALL = [(line, outputs) for lines in CASES.values() for line, outputs in lines.items()]


def test_every_command_is_here() -> None:
    assert set(CASES) <= set(commands.names())  # of a new one, the module that writes is found below


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run, and a folder of pictures, twice."""
    root = tmp_path_factory.mktemp("trained")
    assert main(["train", "l1", "--out", str(root / "run"), *DRAWN]) == 0
    (root / "run" / "report.html").unlink()
    write_images(root / "in", "1.png", "2.png", "3.png", size=(32, 32))
    shutil.copytree(root / "in", root / "in_again")
    torch.save(reference_resnet(3, 3, 2, 1, "instance", dropout=False), root / "net.pth")
    for name in ("run2", "run3"):
        shutil.copytree(root / "run", root / name)
        assert main(["evaluate", str(root / name), "--metrics", "l1", "--out", str(root / name / "evaluation"), "--quiet"]) == 0
    return root


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own."""
    shutil.copytree(trained, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TRANSFIGURE_WEIGHTS", "out")
    return tmp_path / "work"


def disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def foreign(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not of this tool")
    return b"not of this tool"


@pytest.mark.parametrize(("line", "outputs"), ALL, ids=[line for line, _ in ALL])
def test_c06_another_s_file_is_never_replaced(line: str, outputs: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is found out before the work: nothing else has changed either."""
    if not outputs:
        before = disk(place)
        assert main(line.split()) == 0
        written = {name: content for name, content in disk(place).items() if before.get(name) != content}
        assert written, "it writes nothing: a case is missing here"
        assert main(line.split()) == 0, "over its own outputs it needs no flag"
        outputs = tuple(written)
        for name in written:
            (place / name).unlink()
    capsys.readouterr()
    for name in outputs:
        content = foreign(place / name)
        before = disk(place)
        assert main(line.split()) == 2, name
        said = capsys.readouterr().err
        assert said.startswith("transfigure: ") and said.count("\n") == 1 and Path(name).name in said, said
        assert disk(place) == before, name
        assert (place / name).read_bytes() == content
        (place / name).unlink()


@pytest.mark.parametrize("line", [line for line, outputs in ALL if not outputs and "--skip" not in line])
def test_c06_with_overwrite_it_is_replaced(line: str, place: Path) -> None:
    assert main(line.split()) == 0
    written = [name for name in disk(place) if name.startswith(("out", "run/evaluation", "comparison", "run/report"))]
    for name in written:
        foreign(place / name)
    assert main(line.split()) == 2
    assert main([*line.split(), "--overwrite"]) == 0
    assert not [name for name in written if (place / name).read_bytes() == b"not of this tool"]


@pytest.mark.parametrize(("line", "outputs"), ALL, ids=[line for line, _ in ALL])
def test_no_command_writes_through_a_link(line: str, outputs: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not outputs:
        before = disk(place)
        assert main(line.split()) == 0
        outputs = tuple(name for name, content in disk(place).items() if before.get(name) != content)
    precious = place.parent / "precious"
    precious.write_bytes(b"precious")
    capsys.readouterr()
    for name in outputs:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(precious)
        assert main([*line.split(), *(["--overwrite"] if "--overwrite" in usage(line) else [])]) == 2, name
        assert capsys.readouterr().err.count("\n") == 1
        assert precious.read_bytes() == b"precious" and (place / name).is_symlink()
        (place / name).unlink()


def usage(line: str) -> str:
    from transfigure.cli.parser import command_parser

    return command_parser(commands.load(next(name for name in commands.names() if f"{line} ".startswith(f"{name} ")))).format_help()


# ---- the package ----------------------------------------------------------------------------------------------------------

WRITING = {
    "write_atomically",
    "write_text",
    "write_json",
    "write_json_with_digest",
    "write_bytes",
    "open_to_write",
    "savez",
    "savez_compressed",
    "save_file",
    "savefig",
    "rmtree",
}
OF_THEIR_OWN = {
    "data/files.py": "the primitives",
    "data/images.py": "the primitive for pictures",
    "data/row_writer.py": "the primitive for pictures that come row by row",
    "training/checkpoint.py": "in a run, which a training makes or knows",
    "training/log.py": "in a run",
    "data/check/left_out.py": "in a run",
    "training/preview.py": "in a run",
    "training/trackers.py": "in a run",
    "training/run_directory.py": "in a run",
    "data/splits.py": "in a run",
    "data/prepared.py": "in a folder of the cache that it marked as its own",
    "networks/model_file.py": "in a run; Translator.save asks",
    "serving/upload.py": "in a temporary folder of the server",
    "interop/zoo.py": "beside a file that it has just downloaded",
    "interop/model_card.py": "Translator.save_pretrained asks",
    "networks/segmenter.py": "train_segmenter asks",
    "preparation/public/get.py": "in a folder of its own beside a place that must be free",
    "preparation/public/unpack.py": "in an empty folder, and only new files",
    "features/download.py": "a file that is there is checked, never replaced",
    "evaluation/schema.py": "prepare_place asks",
    "studies/ablation/ablation.py": "in an ablation, which is a new folder",
    "studies/ablation/cell.py": "in an ablation",
    "studies/ablation/examine.py": "in an ablation",
    "studies/ablation/pictures.py": "in a run of an ablation",
    "reporting/analysis/factor_plot.py": "into memory",
    "reporting/charts.py": "into memory",
    "cli/commands/import_.py": "check_folder of networks/model_file.py asks",
    "cli/commands/demo.py": "in a folder of its own",
    "translation/conversion.py": "in a folder of the cache",
    "scale/ablation.py": "opens the lock of a run",
    "scale/cluster.py": "in a folder of Ray's that it has just created",
    "scale/storage.py": "where objects lie for a while; scale/carrier.py asks before one is put",
}


def writing(file: Path) -> Iterator[str]:
    """The names of the calls in a file that write or delete."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            of = node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
            modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if (
                name in WRITING
                or (of == "images" and name in ("write", "write_kept", "write_pages", "write_pyramid", "open_rows"))
                or (name == "open" and any(set("wax+") & set(m) and len(m) < 4 for m in modes))
            ):
                yield name


def test_c06_who_writes_asks_or_is_known() -> None:
    found = {file.relative_to(PACKAGE).as_posix(): file for file in sorted(PACKAGE.rglob("*.py")) if any(writing(file))}
    asking = {name for name, file in found.items() if "check_outputs(" in file.read_text(encoding="utf-8")}
    assert found.keys() - asking - OF_THEIR_OWN.keys() == set(), "ask data/ownership.py before the work, or say here why not"
    assert OF_THEIR_OWN.keys() <= found.keys(), "no longer writes"
