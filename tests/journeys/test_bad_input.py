"""Every way in which files, folders, disks and values are bad: one sentence, the right exit code, and nothing harmed that was there."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.damage import Trap
from tests.interop.reference_layouts import reference_unet
from tests.journeys.commands import TINY, done, fingerprint, refused
from tests.tiny import noise_image
from transfigure import cli
from transfigure.data import images

GOOD = 4


def pairs(folder: Path, count: int = GOOD) -> Path:
    """Side-by-side pairs that are all right."""
    for index in range(count):
        images.write(folder / f"{index}.png", noise_image(32, 64, seed=index))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated run."""
    home = tmp_path_factory.mktemp("earlier")
    data = pairs(home / "data")
    assert cli.main(["train", "pix2pix", str(data), "--out", str(home / "run"), "--quiet", *TINY.split()]) == 0
    assert cli.main(["evaluate", str(home / "run"), str(data), "--split", "train", "--quiet"]) == 0
    return home / "run"


@pytest.fixture(autouse=True)
def _here_and_unharmed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in an empty folder, and the run that was there before is, file by file, what it was."""
    before = fingerprint(run)
    monkeypatch.chdir(tmp_path)
    yield
    assert fingerprint(run) == before


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "copy").name)


def train(data: object, out: object = "new", *more: str) -> str:
    return " ".join([f"transfigure train pix2pix {data} --out {out} --quiet {TINY}", *more])


# ---- files --------------------------------------------------------------------------------------------------------------


def _half(file: Path) -> None:
    images.write(file, noise_image(32, 64))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _header(file: Path) -> None:
    images.write(file, noise_image(32, 64))
    file.write_bytes(file.read_bytes()[:40] + bytes(200))


def _text(file: Path) -> None:
    file.write_text("This is no picture.\n")


def _empty(file: Path) -> None:
    file.touch()


def _web_page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><title>404</title>")


def _bomb(file: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((30_000 // 8 + 1) * 30_000))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    assert file.stat().st_size < 200_000


def _odd(file: Path) -> None:
    images.write(file, noise_image(32, 63))


def _pixel(file: Path) -> None:
    images.write(file, noise_image(1, 2))


def _transparent(file: Path) -> None:
    images.write(file, noise_image(32, 64, 4))


@dataclass(frozen=True)
class Bad:
    """A file that cannot be used, what is to be said of it, and the way out."""

    name: str
    make: Callable[[Path], None]
    said: str
    way_out: str


UNREADABLE = [
    Bad("0x.jpg", _half, "is a damaged or unsupported JPEG file", "save or copy it again"),
    Bad("0x.jpeg", _header, "is a damaged or unsupported JPEG file", "save or copy it again"),
    Bad("0x.png", _half, "is a damaged or unsupported PNG file", "save or copy it again"),
    Bad("0x.tif", _half, "is a damaged or unsupported TIFF file", "save or copy it again"),
    Bad("0text.jpg", _text, "is not a PNG, JPEG, WebP, TIFF, BMP, GIF, PNM, NPY or NPZ file", "convert it to PNG, or leave it out"),
    Bad("0page.png", _web_page, "it looks like HTML", "convert it to PNG, or leave it out"),
    Bad("0nothing.png", _empty, "is empty (0 bytes)", "copy it again, or leave it out"),
    Bad("0bomb.png", _bomb, "is 30000 x 30000 pixels (900 million): larger than the limit", "crop or tile it"),
    Bad("0glass.png", _transparent, "is partly transparent", "alpha white or black"),
]
UNPAIRED = [
    Bad("0x.png", _odd, "is 63 pixels wide: a side-by-side pair needs an even width", "use --data.kind two_folders"),
    Bad("0dot.png", _pixel, "is 1x1, 8-bit RGB: a picture needs at least 2 pixels each way", "repair these files"),
]


def _id(bad: object) -> str:
    return f"{bad.make.__name__.strip('_')}-{bad.name}" if isinstance(bad, Bad) else str(bad)


@pytest.mark.parametrize("bad", [*UNREADABLE, *UNPAIRED], ids=_id)
def test_training_does_not_begin(capsys: pytest.CaptureFixture[str], bad: Bad) -> None:
    file = pairs(Path("data")) / bad.name
    bad.make(file)
    said = refused(capsys, train("data"))
    assert said.startswith(f"1 of {GOOD + 1} pairs cannot be used:\n")
    assert str(file.absolute()) in said and bad.said in said and bad.way_out in said
    assert said.endswith("repair these files, or move them (with their partners) out of the data set")
    assert not Path("new").exists()


@pytest.mark.parametrize("name", ["!.png", "1x.png", "z.png"])
def test_wherever_the_bad_file_stands(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The layout is recognised by a few files; a broken one among them is a problem of the data like any other."""
    _text(pairs(Path("data")) / name)
    said = refused(capsys, train("data"))
    assert said.startswith(f"1 of {GOOD + 1} pairs cannot be used:\n") and name in said


@pytest.mark.parametrize("bad", UNREADABLE, ids=_id)
def test_the_others_are_translated(capsys: pytest.CaptureFixture[str], run: Path, bad: Bad) -> None:
    file = pairs(Path("photos")) / bad.name
    bad.make(file)
    said = refused(capsys, f"transfigure translate {run} photos made --half none --quiet")
    assert said.startswith(f"1 of {GOOD + 1} images could not be translated (the other {GOOD} could): {file} ")
    assert bad.said in said and bad.way_out in said and "\n" not in said
    assert sorted(made.name for made in Path("made").iterdir()) == [f"{index}.png" for index in range(GOOD)]
    # and alone
    said = refused(capsys, f"transfigure translate {run} {file} alone.png --half none")
    assert bad.said in said and str(file) in said and "\n" not in said
    assert not Path("alone.png").exists()


def test_two_bad_files_are_both_named(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    _text(pairs(Path("photos")) / "text.png")
    _half(Path("photos/cut.png"))
    assert cli.main(["translate", *f"{run} photos made --half none --quiet".split()]) == 2
    said = capsys.readouterr().err
    assert f"2 of {GOOD + 2} images could not be translated" in said
    assert "photos/text.png is not a PNG" in said and "photos/cut.png is a damaged" in said
    assert len(list(Path("made").iterdir())) == GOOD


def test_a_fresh_python_says_no_more_than_that(run: Path) -> None:
    """Libraries have their own ways to reach a terminal: warnings, loggers, C streams. None of them gets a word in."""
    unreadable = [bad for bad in UNREADABLE if bad.make in (_half, _header)]
    for bad in unreadable:
        bad.make(pairs(Path("photos")) / f"{bad.name.replace('.', '_')}{Path(bad.name).suffix}")
    command = [
        sys.executable,
        "-W",
        "always::UserWarning",
        "-m",
        "transfigure",
        "translate",
        str(run),
        "photos",
        "made",
        "--half",
        "none",
        "--quiet",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    *others, last = result.stderr.splitlines()
    assert last.startswith(f"transfigure: {len(unreadable)} of {GOOD + len(unreadable)} images could not be translated")
    assert len(others) == len(unreadable) - 1 and all(line.startswith("photos/") for line in others), result.stderr


@pytest.mark.parametrize("bad", [*UNREADABLE, UNPAIRED[0]], ids=_id)
def test_a_score_over_a_part_is_not_given(capsys: pytest.CaptureFixture[str], run: Path, bad: Bad) -> None:
    file = pairs(Path("data")) / bad.name
    bad.make(file)
    said = refused(capsys, f"transfigure evaluate {run} data --split train --quiet")
    assert bad.said in said and str(file) in said and bad.way_out in said
    assert said.startswith(f"1 of {GOOD + 1} pairs cannot be used:\n") and len(said.splitlines()) == 3


@pytest.mark.parametrize("bad", UNREADABLE[:4], ids=_id)
def test_nor_over_a_part_of_two_folders(capsys: pytest.CaptureFixture[str], bad: Bad) -> None:
    for folder in ("made", "real"):
        bad.make(pairs(Path(folder)) / bad.name)
    said = refused(capsys, "transfigure evaluate --generated made --target real --out scores --quiet")
    assert f"made/{bad.name} " in said and bad.said in said and "\n" not in said
    assert not Path("scores/evaluation.json").exists()


# ---- folders and pairs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "nothing"])
def test_a_folder_that_holds_no_pairs(capsys: pytest.CaptureFixture[str], run: Path, name: str) -> None:
    Path("nothing").mkdir()
    wrong = {"nowhere": "does not exist", "nothing": "holds nothing"}[name]
    for line in (train(name), f"transfigure evaluate {run} {name}"):
        said = refused(capsys, line)
        assert f"{name} {wrong}: pairs can be (1) double-width images" in said and "(3) a manifest" in said
    said = refused(capsys, f"transfigure translate {run} {name} made --half none")
    assert name in said and ("does not exist" in said or "holds no images" in said)
    assert not Path("new").exists() and not Path("made").exists()
    said = refused(capsys, f"transfigure evaluate --generated {name} --target {name}")
    assert name in said and ("does not exist" in said or "holds no images" in said)


def test_images_of_different_size_in_a_pair(capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(3):
        images.write(Path(f"data/A/{index}.png"), noise_image(32, 32))
        images.write(Path(f"data/B/{index}.png"), noise_image(32, 40 if index == 1 else 32))
    said = refused(capsys, train("data"))
    a, b = (Path(f"data/{side}/1.png").absolute() for side in "AB")
    assert f"{a} is 32x32, 8-bit RGB but {b} is 40x32, 8-bit RGB: both pictures of a pair must have one size" in said
    assert not Path("new").exists()


def test_folders_where_nothing_matches(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    for index, (cat, dog) in enumerate(zip("abcde", "vwxyz")):
        images.write(Path(f"data/A/cat{index}{cat}.png"), noise_image(32, 32))
        images.write(Path(f"data/B/{dog}dog{index + 50}.png"), noise_image(32, 32))
    for line in (train("data"), f"transfigure evaluate {run} data"):
        said = refused(capsys, line)
        assert "data/A (cat0a.png, cat1b.png, cat2c.png and 2 more) has a partner in" in said
        assert "data/B (vdog50.png, wdog51.png, xdog52.png and 2 more)" in said
        assert "give the two files of a pair one name, or list the pairs in a manifest" in said
    assert not Path("new").exists()
    said = refused(capsys, "transfigure evaluate --generated data/A --target data/B")
    assert "5 of the images in data/A have no partner" in said and "cat0a.png, cat1b.png, cat2c.png and 2 more" in said


def test_everything_that_is_wrong_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    every = [*UNREADABLE, *UNPAIRED]
    for number, bad in enumerate(every):
        bad.make(pairs(Path("data")) / f"{number}bad{Path(bad.name).suffix}")
    images.write(Path("data/deep.png"), noise_image(32, 64, 1, "uint16"))
    said = refused(capsys, train("data")).splitlines()
    assert said[0] == f"{len(every) + 1} of {GOOD + len(every) + 1} pairs cannot be used:"
    assert len(said) <= len(every) + 5, "one line for each reason; two halves of one pixel, and two of 16 bits, are two problems each"
    for bad in every:
        assert any(bad.said in line for line in said[1:-1]), bad
    assert sum("deep.png" in line and "is 16-bit but most" in line for line in said) == 2
    assert not Path("new").exists()


def test_a_hundred_problems_are_counted_not_poured_out(capsys: pytest.CaptureFixture[str]) -> None:
    pairs(Path("data"))
    for number in range(30):
        _text(Path(f"data/{number}t.jpg"))
    said = refused(capsys, train("data")).splitlines()
    assert said[0].startswith(f"30 of {GOOD + 30} pairs")
    assert "and 27 more" in said[1] and len(said) == 3, "the same reason is said once, with a few of its files"


def test_a_manifest_that_names_files_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    pairs(Path("data"))
    Path("data/pairs.csv").write_text("source,target\n0.png,1.png\nlost.png,2.png\n3.png,gone.png\n")
    said = refused(capsys, train("data/pairs.csv"))
    assert "pairs.csv names 2 files that do not exist" in said and "lost.png (line 3)" in said and "gone.png (line 4)" in said


# ---- places -------------------------------------------------------------------------------------------------------------

CLOSED = ["taken", "taken/deeper", *(["/proc/made", "/proc/1/made"] if Path("/proc/1").is_dir() else [])]


@pytest.mark.parametrize("place", CLOSED)
def test_places_that_cannot_be_written(capsys: pytest.CaptureFixture[str], run: Path, place: str) -> None:
    pairs(Path("data"))
    Path("taken").write_text("mine")
    for line in (
        train("data", place),
        f"transfigure translate {run} data {place} --half none --quiet",
        f"transfigure translate {run} data/0.png {place}/0.png --half none --quiet",
        f"transfigure evaluate {run} data --split train --out {place} --quiet",
        f"transfigure report {run} --out {place}/page.html",
        f"transfigure demo --out {place}/demo --quiet",
    ):
        said = refused(capsys, line)
        assert said.startswith(f"cannot write {place}") and said.endswith("choose another name or folder") and "\n" not in said, line
    assert Path("taken").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    pairs(Path("data"))
    Path("locked").mkdir(mode=0o500)
    for line in (train("data", "locked/new"), f"transfigure translate {run} data locked/made --half none --quiet"):
        said = refused(capsys, line)
        assert "cannot write locked" in said and "permission denied; choose another folder or change its permissions" in said
    assert list(Path("locked").iterdir()) == []


def test_a_run_is_not_written_over(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    pairs(Path("data"))
    said = refused(capsys, train("data", run))
    assert said == f"{run} already holds a training: continue it with --resume, or choose another --out"
    said = refused(capsys, train("data", "data"))
    assert re.fullmatch(r"data lies inside the data /\S*/data: its pictures would be data next time; choose another --out", said)
    Path("mine").mkdir()
    Path("mine/0.png").write_bytes(b"mine")
    said = refused(capsys, train("data", "mine"))
    assert said == "mine is not empty (0.png is in it): choose a new folder for --out"
    said = refused(capsys, f"transfigure demo --out {run}")
    assert said.startswith(f"{run} is not empty and is not an earlier demo (") and said.endswith("): choose another folder with --out")
    assert len(list(Path("data").iterdir())) == GOOD


# ---- a full disk --------------------------------------------------------------------------------------------------------


class FullDisk:
    """From the second time that a file of this name is to appear on, there is no space for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, grace: int = 1) -> None:
        self.name, self.grace, self.replace = name, grace, os.replace
        self.before: dict[str, str] = {}
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, source: Any, target: Any, **options: Any) -> None:
        if Path(target).name == self.name:
            self.grace -= 1
            if self.grace < 0:
                self.before = self.before or fingerprint(Path(target).parent)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        self.replace(source, target, **options)


@pytest.mark.parametrize("name", ["checkpoints/last.pt", "model/generator.safetensors", "model/config.json"])
def test_the_disk_fills_up_in_training(capsys: pytest.CaptureFixture[str], name: str) -> None:
    pairs(Path("data"))
    flags = "--training.epochs 3 --generator.dropout 0.5"
    with pytest.MonkeyPatch.context() as patch:
        disk = FullDisk(patch, Path(name).name)
        said = refused(capsys, train("data", "new", flags), code=1)
    assert said.startswith(f"the disk is full while writing new/{name} (") and "\n" not in said
    assert "free some space and run again; the previous file is intact" in said
    after = fingerprint(Path("new") / Path(name).parent)
    assert after == {file: mark for file, mark in disk.before.items() if not file.endswith(".part")}
    done(capsys, "transfigure translate new data made --half none --quiet")
    # with space again, it goes on, and ends as if nothing had happened
    done(capsys, "transfigure train --out new --resume --quiet")
    done(capsys, train("data", "undisturbed", flags))
    one, other = (Path(run, "model", "generator.safetensors").read_bytes() for run in ("new", "undisturbed"))
    assert one == other


def test_the_disk_fills_up_in_translation_and_evaluation(
    capsys: pytest.CaptureFixture[str], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs(Path("data"))
    FullDisk(monkeypatch, "2.png", grace=0)
    said = refused(capsys, f"transfigure translate {copy} data made --half none --quiet", code=1)
    assert said.startswith("the disk is full while writing made/2.png") and "free some space" in said and "\n" not in said
    made = {file.name for file in Path("made").iterdir()}  # the next one may have been on its way to the disk already
    assert {"0.png", "1.png"} <= made and "2.png" not in made
    for file, line in {
        "evaluation/evaluation.json": f"transfigure evaluate {copy} data --split train --quiet",
        "report.html": f"transfigure report {copy}",
    }.items():
        before = (copy / file).read_bytes()
        FullDisk(monkeypatch, Path(file).name, grace=0)
        said = refused(capsys, line, code=1)
        assert f"{copy / file} " in said and "the previous file is intact" in said
        assert (copy / file).read_bytes() == before
    assert not list(Path().rglob("*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = shutil.which("mount")
    mounted = command and subprocess.run([command, "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield Path("small")
    subprocess.run(["umount", str(place)], check=True)


def files_open_in(folder: Path) -> list[Path]:
    """The files below a folder that this process holds open."""
    kept = (Path(os.path.realpath(link)) for link in Path("/proc/self/fd").glob("*"))
    return [file for file in kept if file.is_relative_to(folder.resolve())]


def test_a_disk_that_is_really_full(capsys: pytest.CaptureFixture[str], small_disk: Path) -> None:
    pairs(Path("data"))
    run = small_disk / "run"
    done(capsys, train("data", run, "--training.schedule constant"))
    kept = fingerprint(run)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
        while True:
            stream.write(bytes(1 << 12))
    more = f"transfigure train --out {run} --resume --training.epochs 3 --quiet"
    for line in (more, f"transfigure translate {run} data {small_disk}/made --half none --quiet", f"transfigure report {run}"):
        sentence = refused(capsys, line, code=1)
        assert str(small_disk) in sentence and "free some space" in sentence and "\n" not in sentence, line
        assert not files_open_in(small_disk), line
    intact = fingerprint(run)
    for name in ("checkpoints/last.pt", "model/generator.safetensors", "model/config.json", "recipe.yaml", "report.html"):
        assert intact[name] == kept[name], name
    assert not list(small_disk.rglob("*.part"))
    filler.unlink()
    done(capsys, more)
    done(capsys, train("data", "undisturbed", "--training.schedule constant --training.epochs 3"))
    one, other = (Path(place, "model", "generator.safetensors").read_bytes() for place in (run, "undisturbed"))
    assert one == other
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert kinds.count("start") == 1 and kinds[-1] == "end"


# ---- damaged and hostile models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.5, 0.99, 0.0])
def test_files_of_a_run_cut_off(capsys: pytest.CaptureFixture[str], copy: Path, kept: float) -> None:
    pairs(Path("data"))
    for name in ("checkpoints/last.pt", "model/generator.safetensors", "model/config.json"):
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[: int(len(data) * kept)])
    before = fingerprint(copy)
    said = refused(capsys, f"transfigure train --out {copy} --resume --quiet")
    assert said.startswith("copy/checkpoints/last.pt is ") and "start anew with another --out" in said and "\n" not in said
    for line in (f"transfigure translate {copy} data made --half none --quiet", f"transfigure evaluate {copy} data --quiet"):
        said = refused(capsys, line)
        assert said.startswith("copy/model/config.json cannot be read") and "copy the model directory again" in said and "\n" not in said
    assert fingerprint(copy) == before and not Path("made").exists()


def test_weights_cut_off(capsys: pytest.CaptureFixture[str], copy: Path) -> None:
    pairs(Path("data"))
    weights = copy / "model" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    torch.save(reference_unet(3, 3, 2, 5, "batch"), "net.pth")
    Path("net.pth").write_bytes(Path("net.pth").read_bytes()[:-5000])
    for model, file in ((copy, weights), (Path("net.pth"), Path("net.pth"))):
        for line in (f"transfigure translate {model} data made --half none --quiet", f"transfigure evaluate {model} data --quiet"):
            said = refused(capsys, line)
            assert said.startswith(f"{file} ") and ":" in said and "\n" not in said
    assert not Path("made").exists()


def _zipped(content: Any, file: Path) -> None:
    torch.save(content, file)


def _old(content: Any, file: Path) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def _bare(content: Any, file: Path) -> None:
    file.write_bytes(pickle.dumps(content))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("save", [_zipped, _old, _bare])
def test_code_in_a_file_is_not_run(capsys: pytest.CaptureFixture[str], copy: Path, save: Callable[[Any, Path], None]) -> None:
    pairs(Path("data"))
    trap = Trap(Path("sprung").absolute())
    pickle.loads(pickle.dumps(trap))
    Path("sprung").rmdir()  # raises if the trap does not work

    save({"format": 1, "position": trap, "generator": {}}, copy / "checkpoints" / "last.pt")
    save({"model.model.0.weight": trap}, copy / "model" / "generator.safetensors")
    save({"model.model.0.weight": trap}, Path("net.pth"))
    before = fingerprint(copy)
    weights = copy / "model" / "generator.safetensors"
    for line, file in {
        f"transfigure train --out {copy} --resume --quiet": copy / "checkpoints" / "last.pt",
        f"transfigure translate {copy} data made --half none --quiet": weights,
        f"transfigure evaluate {copy} data --split train --quiet": weights,
        "transfigure translate net.pth data made --quiet": Path("net.pth"),
        "transfigure evaluate net.pth data --split train --quiet": Path("net.pth"),
    }.items():
        said = refused(capsys, line)
        assert said.startswith(f"{file} ") and "\n" not in said and ("; " in said or ": " in said), said
        assert not Path("sprung").exists(), line
    assert fingerprint(copy) == before and not Path("made").exists()


def test_code_in_a_recipe_is_not_run(capsys: pytest.CaptureFixture[str], copy: Path) -> None:
    pairs(Path("data"))
    hostile = f"name: !!python/object/apply:os.mkdir ['{Path('sprung').absolute()}']\n"
    Path("mine.yaml").write_text(hostile)
    (copy / "recipe.yaml").write_text(hostile)
    for line, file in {
        "transfigure train mine.yaml data --out new": "mine.yaml",
        f"transfigure train --out {copy} --resume": "copy/recipe.yaml",
    }.items():
        said = refused(capsys, line)
        assert said.startswith(f"recipe {file} cannot be read") and "\n" not in said
    assert not Path("sprung").exists() and not Path("new").exists()


# ---- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--training.learning_rate inf", "training.learning_rate cannot be 'inf': it takes a number"),
        ("--training.learning_rate .inf", "training.learning_rate cannot be .inf: it takes a number above 0 that is finite"),
        ("--training.learning_rate 1e999", "training.learning_rate cannot be .inf: it takes a number above 0 that is finite"),
        ("--training.learning_rate .nan", "training.learning_rate cannot be .nan: it takes a number above 0"),
        ("--training.learning_rate -1", "training.learning_rate cannot be -1: it takes a number above 0"),
        ("--training.learning_rat 1", "training.learning_rat is not a recipe key (did you mean 'training.learning_rate'?)"),
        ("--generator unett", "there is no generator named 'unett' (did you mean 'unet'?)"),
        ("--data.crop_size 33", "data.crop_size 33 cannot be halved often enough for a U-shaped generator"),
    ],
)
def test_values_that_mean_nothing(capsys: pytest.CaptureFixture[str], flags: str, said: str) -> None:
    pairs(Path("data"))
    sentence = refused(capsys, train("data", "new", flags))
    assert said in sentence and "\n" not in sentence
    assert not Path("new").exists()


def test_a_recipe_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "transfigure train pix2pixs data --out new")
    assert said.startswith("there is no recipe named 'pix2pixs' (did you mean 'pix2pix'?)")


def test_learning_that_explodes_keeps_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    pairs(Path("data"))
    done(capsys, train("data", "new", "--training.schedule constant"))
    before = fingerprint(Path("new"))
    weights = np.frombuffer(Path("new/model/generator.safetensors").read_bytes(), dtype=np.uint8)
    assert weights.size > 1000
    said = refused(capsys, train("data", "wild", "--training.learning_rate 1e30 --training.epochs 3"), code=1)
    assert "lower --training.learning_rate" in said and "\n" not in said
    assert fingerprint(Path("new")) == before


def test_another_recipe_does_not_resume_a_run(capsys: pytest.CaptureFixture[str], copy: Path) -> None:
    before = fingerprint(copy)
    said = refused(capsys, f"transfigure train --out {copy} --resume --generator.width 8")
    assert said.startswith("cannot resume copy with another recipe: generator.width is 8 but was 4") and "\n" not in said
    assert fingerprint(copy) == before


def _a_pair_is_gone(data: Path) -> None:
    (data / f"{GOOD - 1}.png").unlink()


def _pairs_are_grey_now(data: Path) -> None:
    for file in data.iterdir():
        images.write(file, images.read(file)[:, :, :1])


CHANGED = [
    (_a_pair_is_gone, rf"^1 of the pairs that this run was trained on are not in \S+ any more \({GOOD - 1}\): put them back"),
    (_pairs_are_grey_now, rf"{GOOD} pairs with \[3, 3\] channels then, {GOOD} pairs with \[1, 1\] now"),
]


def test_data_that_changed_does_not_resume_a_run(capsys: pytest.CaptureFixture[str], copy: Path) -> None:
    before = fingerprint(copy)
    resume = f"transfigure train --out {copy} --resume --data.path data --quiet"
    pairs(Path("data"))
    for number, (change, message) in enumerate(CHANGED):
        place = Path(f"data{number}")
        shutil.copytree("data", place)
        change(place)
        said = refused(capsys, resume.replace("--data.path data", f"--data.path {place}"))
        assert re.search(message, said) and "\n" not in said
        assert fingerprint(copy) == before
