"""A folder that workers translate: file for file and bit for bit what one machine makes of it, with the same notes and failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import noise_image, tiny_config, tiny_translator, write_images
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import TransfigureError, UserError
from transfigure.networks.model_file import Domain
from transfigure.registry import load_plugin
from transfigure.scale.cluster import ClusterOptions, connected
from transfigure.scale.translation import translate_folder
from transfigure.translation.translator import Translator

from .inline import InlineCluster

SIZES = (32, 32), (40, 34), (96, 80), (17, 64)
SUFFIXES = "png", "jpg", "tif", "webp", "npy"
DYING = """
import os, signal, sys

def look(event, arguments):
    if event == "os.rename" and "image21." in str(arguments[1]) and not os.path.exists({killed!r}):
        open({killed!r}, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)

if os.getpid() != {driver}:
    sys.addaudithook(look)
"""
"""A plugin by which a worker is killed, once, when an output is written and about to get its name."""

HOLDING = """
import sys, time

def hold(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("3.png"):
        time.sleep(60)

sys.addaudithook(hold)
"""
"""A plugin by which an output that is written waits for its name."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_translator().save(folder)
    return folder


def write_mixed(folder: Path, count: int) -> Path:
    """Images of several sizes and formats, of 8 and 16 bits, in sub-folders; one of thirteen is broken."""
    for number in range(count):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        file = folder / f"part{number % 3}" / f"image{number}.{suffix}"
        dtype = "uint16" if suffix in ("tif", "npy") else "uint8"
        images.write(file, noise_image(*SIZES[number % len(SIZES)], 1 if number % 7 == 4 else 3, dtype, number))
        if number % 13 == 11:
            file.write_bytes(file.read_bytes()[:40])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def outcome(call: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """How a call ended, and what it said, in the order of the alphabet."""
    try:
        found = call()
        end = f"{[file.name for file in found]} {[file.name for file in found.skipped]} {found.inputs}"
    except TransfigureError as error:
        end = f"{type(error).__name__}: {error}"
    lines = capsys.readouterr().err.splitlines()
    return end, sorted(line for line in lines if not line.startswith("translate  ["))


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "same format": {"format": "same"},
    "tif without metadata": {"format": "tif", "metadata": "drop"},
    "left half": {"half": "left"},
    "batches": {"batch": 3},
}


@pytest.mark.parametrize("way", WAYS)
def test_workers_make_the_same_files_notes_and_failures(way: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_mixed(tmp_path / "in", 27)
    local, far = tmp_path / "a" / "out", tmp_path / "b" / "out"
    one = outcome(lambda: Translator.load(model).translate_folder(source, local, **WAYS[way]), capsys)
    other = outcome(lambda: translate_folder(model, source, far, cluster=InlineCluster(3), **WAYS[way]), capsys)
    assert contents(local) == contents(far) and len(contents(local)) >= 25
    assert one == other
    assert "2 of 27 images could not be translated (the other 25 could): part0/image24.npy, part2/image11.jpg; the first: " in one[0]


def test_notes_name_the_first_image_that_they_are_true_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, in whatever order workers are done; values beyond the model's range are counted over all."""
    source = tmp_path / "in"
    for number in range(24):
        images.write(source / f"{number}.tif", noise_image(20, 24, 3, "uint16", number))
    config = tiny_config(source=Domain(3, "uint16", value_range=(0.0, 30000.0)), target=3)
    tiny_translator(config).save(tmp_path / "model")
    one = outcome(lambda: Translator.load(tmp_path / "model").translate_folder(source, tmp_path / "a"), capsys)
    other = outcome(lambda: translate_folder(tmp_path / "model", source, tmp_path / "b", cluster=InlineCluster()), capsys)
    assert one == other and any("lie outside of the range" in line for line in one[1])


def test_tiles_go_the_same_way(model: Path, tmp_path: Path) -> None:
    images.write(tmp_path / "in" / "large.tif", noise_image(150, 170))
    images.write(tmp_path / "in" / "small.tif", noise_image(30, 40))
    for place, way in (("a", None), ("b", InlineCluster())):
        translator = Translator.load(model, quiet=True).set_tiles(tile=64, statistics="tile")
        if way is None:
            translator.translate_folder(tmp_path / "in", tmp_path / place)
        else:
            translate_folder(translator, tmp_path / "in", tmp_path / place, cluster=way)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != {}


def test_what_kills_its_workers_is_a_failure_with_a_sentence(model: Path, tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "in", 10)
    with pytest.raises(UserError, match=r"1 of 10 images could not .*image1.jpg: 3 workers died while they worked on it"):
        translate_folder(model, source, tmp_path / "out", cluster=InlineCluster(losing=[4]), quiet=True)
    assert len(contents(tmp_path / "out")) == 9


def test_a_run_that_was_cut_goes_on(model: Path, tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "in", 10)
    Translator.load(model, quiet=True).translate_folder(source, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    for file in sorted((tmp_path / "out").rglob("*.png"))[:4]:
        file.unlink()
    written = translate_folder(model, source, tmp_path / "out", cluster=InlineCluster(), skip_existing=True, quiet=True)
    assert len(written) == 4 and len(written.skipped) == 6
    assert contents(tmp_path / "whole") == contents(tmp_path / "out")


def test_a_translator_that_workers_cannot_load_or_that_is_another_one(model: Path, tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "in", 3)
    with pytest.raises(UserError, match="was built in memory"):
        translate_folder(tiny_translator(), source, tmp_path / "out", cluster=InlineCluster())
    changed = Translator.load(model)
    with torch.no_grad():
        next(changed.generator.parameters()).add_(1)
    with pytest.raises(UserError, match="is not the translator that the work was planned with"):
        translate_folder(changed, source, tmp_path / "out", cluster=InlineCluster())
    assert contents(tmp_path / "out") == {}


def test_nothing_is_begun_where_one_machine_would_refuse(model: Path, tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "in", 3)
    with pytest.raises(UserError, match="lies inside the input"):
        translate_folder(model, source, source / "out", cluster=InlineCluster())


def test_flags_for_workers_need_workers(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_mixed(tmp_path / "in", 3)
    file = next(source.rglob("*.png"))
    assert main(["translate", str(model), str(source), str(tmp_path / "out"), "--worker-cpus", "2"]) == 2
    assert main(["translate", str(model), str(file), str(tmp_path / "out.png"), "--executor", "ray"]) == 2
    said = capsys.readouterr().err
    assert "--worker-cpus is for workers of a cluster: add --executor ray" in said
    assert "--executor ray is for many images" in said and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_a_real_cluster_while_a_worker_is_killed(
    cluster_address: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mixed sizes and formats, 16 bits, broken files; bit for bit, with the same failures, and nothing is left unfinished."""
    source = write_mixed(tmp_path / "in", 60)
    local, far = tmp_path / "a" / "out", tmp_path / "b" / "out"
    one = outcome(lambda: Translator.load(model).translate_folder(source, local, format="same"), capsys)
    killed = tmp_path / "killed"
    (tmp_path / "dying.py").write_text(DYING.format(driver=os.getpid(), killed=str(killed)))
    load_plugin(tmp_path / "dying.py")
    options = ClusterOptions(cluster_address, workers=2)
    other = outcome(lambda: translate_folder(model, source, far, cluster=options, format="same"), capsys)
    assert killed.exists()
    assert one == other
    assert contents(local) == {name: data for name, data in contents(far).items() if not Path(name).name.startswith(".write-")}


_WITH_SIGNALS = "import signal, sys; signal.signal(2, signal.default_int_handler); from transfigure.cli.main import main; sys.exit(main())"
"""The program, also where whoever started the tests ignores Ctrl-C."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
@pytest.mark.parametrize(
    ("way", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        ("engine", 1, "the Ray cluster is gone: its process"),
    ],
)
def test_what_ends_a_run_leaves_whole_files_no_process_and_one_sentence(
    way: int | str, code: int, words: str, model: Path, tmp_path: Path
) -> None:
    """Workers that are writing when they are ended leave nothing unfinished, and nothing of Ray's is said or goes on."""
    pytest.importorskip("ray")
    write_images(tmp_path / "in", *(f"{number}.png" for number in range(40)), size=(32, 32))
    (tmp_path / "holding.py").write_text(HOLDING)
    command = ["translate", str(model), "in", "out", "--executor", "ray", "--workers", "1", "--plugins", "holding.py"]
    running = subprocess.Popen(
        [sys.executable, "-c", _WITH_SIGNALS, *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OF_THIS_TEST": str(tmp_path)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (unfinished := [*tmp_path.glob("out/.write-*")]) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    if isinstance(way, int):
        running.send_signal(way)
    else:
        (engine,) = [place for place in _processes(tmp_path) if b"raylet\0" in (place / "cmdline").read_bytes()[:300]]
        os.kill(int(engine.name), signal.SIGKILL)
    _, said = running.communicate(timeout=60)
    assert unfinished and running.returncode == code
    lines = [line for line in said.splitlines() if not line.startswith("translate  [")]
    assert len(lines) == 2 and "--skip-existing" in lines[0] and lines[1].startswith(f"transfigure: {words}"), said
    deadline = time.monotonic() + 15  # who has lost the engine ends by itself
    while _processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _processes(tmp_path)
    if isinstance(way, int):
        assert not [*tmp_path.glob("out/.write-*")]


def _processes(folder: Path) -> list[Path]:
    return [place for place in Path("/proc").glob("[0-9]*") if _is_of(place, str(folder))]


def _is_of(place: Path, word: str) -> bool:
    try:
        return f"OF_THIS_TEST={word}".encode() in (place / "environ").read_bytes()
    except OSError:
        return False


@pytest.mark.slow
def test_more_workers_than_fit(cluster_address: str) -> None:
    for options, words in (
        (
            ClusterOptions(cluster_address, workers=40),
            "40 workers of 1 CPU do not fit in what the cluster has .* ask for at most 3 workers",
        ),
        (ClusterOptions(cluster_address, gpus=1), "1 worker of 1 CPU and 1 GPU does not fit .* ask for less"),
    ):
        with pytest.raises(UserError, match=words), connected(options):
            pass
