"""The command line: what people type, what it prints, and how soon."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import transfigure
from tests.cli.saying import printed, run_python, said
from transfigure.cli import commands, main
from transfigure.cli.commands import doctor
from transfigure.cli.main import SECTIONS, take_overrides
from transfigure.errors import Interrupted, Missing, RunFailure, UserError
from transfigure.recipe import Recipe

# ---- at once ----------------------------------------------------------------------------------------------------------

AT_ONCE = [
    [],
    ["--help"],
    ["--version"],
    *([*name.split(), "--help"] for name in commands.names() if commands.load(name).more_help is None),
    ["tran"],
]
"""What must not wait for a recipe either, nor for what reads one."""
LIGHT = [
    *([*command.name.split(), "--help"] for command in commands.commands() if command.more_help is not None),
    ["train", "pix2pix", "--help"],
    ["train", "pix2pix_tiny", "--generator", "resnet", "-h"],
    ["train", "pix2pix", "folder", "--print_config"],
    ["list"],
    ["list", "--json"],
    ["train", "pix2pixx"],
    ["train", "pix2pix", "--training.epoch", "3"],
    ["train", "pix2pix", "--bogus"],
]
"""What must not wait for torch."""


def test_names_and_help_never_import_torch() -> None:
    """One fresh Python for all: the first command to import something heavy is the one reported."""
    result = run_python(
        """
        import contextlib, io, json, sys
        heavy, recipes = {"torch", "numpy", "PIL", "matplotlib", "lightning_fabric"}, {"yaml", "pydantic", "jsonargparse"}
        import transfigure
        assert not heavy & set(sys.modules), "import transfigure"
        from transfigure.cli import main
        at_once, light = json.loads(sys.argv[1])
        for arguments in [*at_once, *light]:
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
                main(arguments)
            assert out.getvalue(), arguments
            assert not (heavy | recipes if arguments in at_once else heavy) & set(sys.modules), arguments
        """,
        json.dumps([AT_ONCE, LIGHT]),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_python_m_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "transfigure", "--version"], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"transfigure {transfigure.__version__}\n", "")
    result = subprocess.run([sys.executable, "-m", "transfigure", "trian"], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "transfigure: there is no command 'trian' (did you mean 'train'?)\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-m", "transfigure", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(timeout=120), process.stderr.read()) == (0, b"")
    process.stderr.close()


# ---- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_first_page_names_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    page = printed(capsys, *arguments)
    for command in commands.commands():
        assert f"  {command.name} " in page and command.summary in page
    assert "transfigure demo" in page


# ---- recipe keys as flags ----------------------------------------------------------------------------------------------


def test_a_bare_key_is_one_of_a_recipe() -> None:
    assert set(SECTIONS) == set(Recipe.load("pix2pix").to_dict())


def test_take_overrides() -> None:
    first = ["train", "pix2pix", "--training.epochs", "20", "--generator=resnet", "--data.flip", "--quiet", "data.v2"]
    second = ["--training.seed", "-1", "--out", "runs/a.b", "--objective.adversarial", "null", "--name", "x", "--data.path=a=b"]
    taken = take_overrides([*first, *second, "--data.cache_gb", "--out=c.d", "--"])
    assert taken == (
        ["train", "pix2pix", "--quiet", "data.v2", "--out", "runs/a.b", "--out=c.d", "--"],
        {
            "training.epochs": "20",
            "generator": "resnet",
            "data.flip": "true",
            "training.seed": "-1",
            "objective.adversarial": "null",
            "name": "x",
            "data.path": "a=b",
            "data.cache_gb": "true",
        },
    )
    assert take_overrides(["train", "--split-by", "region", "split-by"]) == (["train", "split-by"], {"data.split_by": "region"})
    assert take_overrides(["train", "--split-by=group"]) == (["train"], {"data.split_by": "group"})


# ---- one sentence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("trian", "there is no command 'trian' (did you mean 'train'?)"),
        ("help", "there is no command 'help' (known: ablate, analyze, "),
        ("--hepl", "there is no option --hepl (did you mean '--help'?)"),
        ("--quiet train", "there is no option --quiet"),
        ("-- train", "there is no option --"),
        ("train pix2pixx d", "there is no recipe named 'pix2pixx' (did you mean 'pix2pix'?)"),
        ("train pix2pix d --print_confg", "there is no option --print_confg (did you mean '--print_config'?)"),
        ("train pix2pix d --epochs 3", "there is no option --epochs (did you mean '--training.epochs'?)"),
        ("train pix2pix d --crop_sze=3", "there is no option --crop_sze (did you mean '--data.crop_size'?)"),
        ("train pix2pix d --plugin x", "there is no option --plugin (did you mean '--plugins'?)"),
        ("translate m a_{name} b_{name} out", "'out' is one argument too many: transfigure translate takes MODEL INPUT OUTPUT"),
        ("translate m a.png b.png c.png", "takes MODEL INPUT OUTPUT (a pattern needs quotation marks, or the shell takes it apart)"),
        ("train pix2pix d e f", "'e' is one argument too many: transfigure train takes RECIPE DATA"),
        ("train pix2pix d --out", "argument --out: expected one argument; see  transfigure train --help"),
        ("train pix2pix d --trainin.epochs 3", "trainin is not a recipe key (did you mean 'training'?)"),
        ("train pix2pix d --training.epoch 3", "training.epoch is not a recipe key (did you mean 'training.epochs'?)"),
        ("train pix2pix d --training.epochs --out r", "training.epochs cannot be true: it takes a whole number"),
        ("train pix2pix d --generator resnett", "there is no generator named 'resnett' (did you mean 'resnet'?)"),
        ("train pix2pix d --generator.kernel 3", "generator.kernel is not a recipe key"),
        ("train pix2pix d --seed x", "argument --seed: invalid int value: 'x'; see  transfigure train --help"),
        ("train pix2pix d --seed -1", "training.seed cannot be -1: it takes a whole number from 0"),
        ("train", "no recipe is named: transfigure train RECIPE DATA --out RUN"),
        ("train pix2pix d", "--out RUN is missing"),
        ("train pix2pix --out r", "no data: name a folder of image pairs, a manifest, or a drawn world such as synthetic"),
        ("train --resume", "--out RUN is missing"),
        ("train --resume --out nowhere", "nowhere does not exist: give the directory of a run"),
        ("train --resume --out .", ". holds no recipe.yaml to resume: give the directory of a run"),
        ("train . --out r", ". is a folder where a recipe is expected"),
        ("train absent.yaml", "recipe file absent.yaml does not exist"),
        ("train pix2pix d --plugins absent.py", "plugin absent.py does not exist"),
        ("list lss", "there is no kind 'lss' (did you mean 'loss'?)"),
        ("list loss --jsn", "there is no option --jsn (did you mean '--json'?)"),
        ("list loss l1", "'l1' is one argument too many: transfigure list takes KIND"),
        ("doctor now", "'now' is one argument too many: transfigure doctor takes only flags"),
        ("translate", "the following arguments are required: MODEL, INPUT, OUTPUT; see  transfigure translate --help"),
        ("translate a b c --format gif", "argument --format: invalid choice: 'gif'"),
        ("translate a b c --training.epochs 3", "--training.epochs belongs to  transfigure train"),
        ("translate nowhere b c", "nowhere"),
        ("report", "the following arguments are required: RUN"),
        ("report nowhere", "nowhere is not a directory"),
        ("demo --name x", "--name belongs to  transfigure train"),
        ("evaluate", "nothing to evaluate: give a model or run and its data"),
        ("evaluate --generated a", "--target DIR is missing"),
        ("evaluate run --generated a --target b", "give either a model and its data, or --generated and --target, not both"),
        ("evaluate --generated a --target b --data.flip no", "--data.flip does not go with --generated and --target"),
        ("evaluate --generated a --target b --split val", "--split does not go with --generated and --target"),
        ("evaluate run --source a", "--source goes with --generated and --target"),
        (
            "evaluate run --value_range 0 4095",
            "--value_range is for two folders or another's .onnx file: for a model use --data.target_range",
        ),
        ("evaluate run --alpha white", "--alpha goes with --generated and --target: for a model use --data.alpha"),
        ("evaluate run --ignore-orientation", "for a model use --data.orientation ignore"),
        (
            "evaluate run --training.epochs 3",
            ": evaluate takes only --data.* and --metric.*",
        ),
        ("ablate objectivs synthetic --out a", "there is no grid 'objectivs' (did you mean 'objectives'?)"),
        ("ablate objectives --out a", "no data: name a folder of image pairs"),
        ("ablate objectives synthetic", "--out DIR is missing"),
        ("ablate objectives synthetic --out a --seeds 0,one", "--seeds 0,one are no seeds"),
        ("ablate objectives synthetic --out a --training.epoch 3", "did you mean 'training.epochs'"),
        ("ablate objectives synthetic --out a --metrics sim", "did you mean 'ssim'"),
        ("ablate objectives synthetic --out a --jobs 0", "--jobs is 0: it must be at least 1"),
        ("compare nowhere elsewhere", "nowhere"),
        ("evaluate nowhere data", "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in said(capsys, *line.split())
    assert list(tmp_path.iterdir()) == [], "a refused command writes nothing"


def test_suggestions_are_of_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``train`` has no ``--norm``; ``translate`` has. ``report`` has no recipe keys; ``train`` has."""
    assert "--norm'" not in said(capsys, "train", "pix2pix", "d", "--norms", "x")
    assert "epochs" not in said(capsys, "report", "r", "--epoch").partition("--epoch")[2]


def test_places_that_cannot_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken")
    assert "file" in said(capsys, "demo", "--quiet", "--out", str(tmp_path / "file"))
    assert "is not empty and is not an earlier demo" in said(capsys, "demo", "--out", str(tmp_path))
    assert (tmp_path / "file").read_text() == "taken"


FAILURES: list[tuple[BaseException, int, str]] = [
    (UserError("a: wrong"), 2, "a: wrong"),
    (
        Missing.extra("tifffile", "science", "Reading TIFF"),
        3,
        "Reading TIFF needs the package 'tifffile': install it with  pip install 'tr",
    ),
    (RunFailure("loss is NaN"), 1, "loss is NaN"),
    (Interrupted("stopped"), 130, "stopped"),
    (Interrupted("stopped", 143), 143, "stopped"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (MemoryError(), 1, "not enough memory"),
    (RuntimeError("CUDA out of memory. Tried to allocate"), 1, "not enough memory"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), 1, "--resume and fewer --data.workers"),
    (PermissionError(errno.EACCES, "Permission denied", "/locked"), 2, "/locked: Permission denied"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "/dir"), 2, "/dir: Is a directory"),
    (OSError(errno.ENOSPC, "No space left on device", "/full"), 1, "/full: No space left on device"),
]


@pytest.mark.parametrize(("failure", "code", "sentence"), FAILURES, ids=[f"{type(item[0]).__name__}-{item[1]}" for item in FAILURES])
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, sentence: str
) -> None:
    def fail(options: Any, overrides: Any) -> int:
        raise failure

    monkeypatch.setattr(doctor, "run", fail)
    assert sentence in said(capsys, "doctor", code=code)


@pytest.mark.parametrize(
    "bug", [RuntimeError("shapes differ"), RuntimeError("an illegal memory access"), KeyError("x"), OSError("no file is named")]
)
def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def fail(options: Any, overrides: Any) -> int:
        raise bug

    monkeypatch.setattr(doctor, "run", fail)
    with pytest.raises(type(bug)):
        main(["doctor"])
