"""The command line: what people type, what they are told, and what it costs to answer."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import transfigure
from transfigure import cli, flags, registry
from transfigure.errors import Interrupted, Missing, RunFailure, UserError
from transfigure.inventory import inventory
from transfigure.recipe import Recipe, flatten, shipped

PLUGIN = '''
    from transfigure.registry import register

    @register("loss", "tilt")
    def tilt(batch, angle: float = 1.5):
        """How far it leans.

        Args:
            angle: in radians.
        """
        return (batch.fake - batch.target).mean() * angle

    @register("generator", "thin")
    class Thin:
        """One convolution.

        Args:
            kernel: side of the convolution.
        """
        def __init__(self, source_channels: int, target_channels: int, kernel: int = 3) -> None: ...

    @register("metric", "luck")
    class Luck:
        """Pure chance."""

    @register("dataset", "dream")
    def dream(path, vivid: bool = True):
        """Nothing is read.

        Args:
            vivid: in colour.
        """
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_plugins", {})
    (tmp_path / "mine.py").write_text(textwrap.dedent(PLUGIN))
    return str(tmp_path / "mine.py")


def _said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one sentence that a refused command leaves on stderr."""
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("transfigure: ") and captured.err.count("\n") == 1, captured.err
    return captured.err.removeprefix("transfigure: ").rstrip("\n")


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(arguments) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


# ---- answering at once -------------------------------------------------------------------------------------------------

LIGHT = [
    [],
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in cli.VERBS),
    ["train", "pix2pix", "--help"],
    ["train", "demo", "--generator", "resnet", "-h"],
    ["train", "pix2pix", "folder", "--print_config"],
    ["list"],
    ["list", "--json"],
    ["tran"],
    ["train", "pix2pixx"],
    ["train", "pix2pix", "--training.epoch", "3"],
    ["train", "pix2pix", "--bogus"],
]
"""What must not wait for torch."""


def test_names_and_help_never_import_torch(tmp_path: Path) -> None:
    """One fresh Python for all: the first command to import something heavy is the one reported."""
    result = _python(
        """
        import contextlib, io, json, sys
        heavy = {"torch", "numpy", "PIL", "matplotlib", "lightning_fabric"}
        import transfigure
        assert not heavy & set(sys.modules), "import transfigure"
        transfigure.Recipe, transfigure.__version__
        assert not heavy & set(sys.modules), "transfigure.Recipe"
        from transfigure.cli import main
        for arguments in json.loads(sys.argv[1]):
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
                main(arguments)
            assert out.getvalue(), arguments
            assert not heavy & set(sys.modules), arguments
        """,
        json.dumps(LIGHT),
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


def test_the_public_names() -> None:
    assert dir(transfigure) == sorted(transfigure.__all__) == ["Recipe", "Translator", "__version__", "evaluate", "train"]
    assert transfigure.Recipe is Recipe
    assert all(callable(getattr(transfigure, name)) for name in ("Translator", "evaluate", "train"))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        transfigure.nothing  # noqa: B018


# ---- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_first_page_names_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    page = _printed(capsys, *arguments)
    for verb, summary in flags.SUMMARIES.items():
        assert verb in page and summary in page
    assert "transfigure demo" in page


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_every_flag(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    page = " ".join(_printed(capsys, verb, "--help").split())
    _, verbs = flags.parsers()
    assert page.startswith(f"usage: transfigure {verb}")
    for action in verbs[verb]._actions:
        assert action.help, action.dest
        assert all(name in page for name in action.option_strings)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_train_help_lists_every_key_of_the_recipe(capsys: pytest.CaptureFixture[str], name: str) -> None:
    page = _printed(capsys, "train", name, "--help")
    for key, value in flatten(Recipe.load(name).to_dict()):
        if key == "name" or (key in ("discriminator", "objective.adversarial") and value is None):
            continue
        assert f"  --{key} " in page, key
    assert "--training.precision  number format of the computation. (one of 32-true, bf16-mixed) [32-true]" in page
    assert "``" not in page


def test_train_help_follows_the_flags_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = _printed(capsys, "train", "--help", "pix2pix", "--generator", "resnet", "--objective.terms", "[{loss: ssim, weight: 3}]")
    assert "--generator.blocks" in page and "--generator.depth" not in page
    assert "--objective.terms '[{loss: ssim, weight: 3.0, window: 11, sigma: 1.5}]'" in page
    assert "--objective.terms.ssim.window 11" in page
    assert "did you mean 'pix2pix'" in _said(capsys, "train", "pix2pixx", "--help")


# ---- recipes as flags --------------------------------------------------------------------------------------------------


def test_take_overrides() -> None:
    first = ["train", "pix2pix", "--training.epochs", "20", "--generator=resnet", "--data.flip", "--quiet", "data.v2"]
    second = ["--training.seed", "-1", "--out", "runs/a.b", "--objective.adversarial", "null", "--name", "x", "--data.path=a=b"]
    taken = cli.take_overrides([*first, *second, "--data.cache_gb", "--out=c.d", "--"])
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


@pytest.mark.parametrize("name", sorted(shipped()))
def test_print_config_is_the_whole_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    file = tmp_path / "printed.yaml"
    file.write_text(_printed(capsys, "train", name, "--print_config"))
    assert Recipe.load(file) == Recipe.load(name)
    assert _printed(capsys, "train", str(file), "--print_config") == file.read_text()


def test_flags_reach_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _printed(
        capsys,
        *("train", "pix2pix", "--quiet", "photos", "--training.epochs", "20", "--generator=resnet", "--generator.blocks", "6"),
        *("--objective.terms", "[{loss: l2, weight: 3}, ssim]", "--objective.terms.ssim.weight", "2e1", "--training.betas", "[0, 0.9]"),
        *("--data.flip", "no", "--training.sync_batchnorm", "--seed", "7", "--devices", "2", "--name", "mine", "--print_config"),
    )
    expected = Recipe.load("pix2pix").updated(
        {
            **{"name": "mine", "data.path": "photos", "data.flip": False, "generator": "resnet", "generator.blocks": 6},
            **{
                "training.epochs": 20,
                "training.seed": 7,
                "training.devices": 2,
                "training.sync_batchnorm": True,
                "training.betas": [0, 0.9],
            },
            "objective.terms": [{"loss": "l2", "weight": 3}, {"loss": "ssim", "weight": 20}],
        }
    )
    assert Recipe.from_dict(yaml.safe_load(printed)) == expected
    without = yaml.safe_load(_printed(capsys, "train", "pix2pix", "--objective.adversarial", "null", "--print_config"))
    assert without["objective"]["adversarial"] is None and without["discriminator"] is None


@pytest.mark.parametrize(
    ("data", "kind", "path"), [("synthetic", "synthetic", None), ("2024", "auto", "2024"), ("a/b.csv", "auto", "a/b.csv")]
)
@pytest.mark.parametrize("recipe", ["pix2pix", "demo"])
def test_data_is_a_place_or_the_word_synthetic(
    capsys: pytest.CaptureFixture[str], recipe: str, data: str, kind: str, path: str | None
) -> None:
    section = yaml.safe_load(_printed(capsys, "train", recipe, data, "--print_config"))["data"]
    assert (section["kind"], section["path"]) == (kind, path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["pix2pix", "--out", "r", "photos"],
        ["--out", "r", "pix2pix", "photos"],
        ["--quiet", "pix2pix", "--out", "r", "--training.epochs", "3", "photos"],
        ["pix2pix", "photos", "--out", "r"],
    ],
)
def test_words_and_flags_in_any_order(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert yaml.safe_load(_printed(capsys, "train", *arguments, "--print_config"))["data"]["path"] == "photos"


def test_an_explicit_kind_goes_before_the_guess(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _printed(capsys, "train", "demo", "photos", "--data.kind", "two_folders", "--data.a", "01", "--print_config")
    section = yaml.safe_load(printed)["data"]
    assert (section["kind"], section["path"], section["a"], section["b"]) == ("two_folders", "photos", "01", "B")


# ---- one sentence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
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
        ("train pix2pix d e f", "'e' is one argument too many: transfigure train takes RECIPE DATA"),
        ("train pix2pix d --out", "argument --out: expected one argument; see  transfigure train --help"),
        ("train pix2pix d --trainin.epochs 3", "trainin is not a recipe key (did you mean 'training'?)"),
        ("train pix2pix d --training.epoch 3", "training.epoch is not a recipe key (did you mean 'epochs'?)"),
        ("train pix2pix d --training.epochs --out r", "training.epochs cannot be true: it takes a whole number"),
        ("train pix2pix d --generator resnett", "there is no generator named 'resnett' (did you mean 'resnet'?)"),
        ("train pix2pix d --generator.kernel 3", "generator.kernel is not a recipe key"),
        ("train pix2pix d --seed x", "argument --seed: invalid int value: 'x'; see  transfigure train --help"),
        ("train pix2pix d --seed -1", "training.seed is -1"),
        ("train", "no recipe is named: transfigure train RECIPE DATA --out RUN"),
        ("train pix2pix d", "--out RUN is missing"),
        ("train pix2pix --out r", "no data: name a folder of image pairs, a manifest, or a drawn world such as synthetic"),
        ("train --resume", "--out RUN is missing"),
        ("train --resume --out nowhere", "nowhere holds no recipe.yaml to resume"),
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
        ("evaluate run --training.epochs 3", "--training.epochs cannot be changed after training"),
        ("ablate objectivs synthetic --out a", "there is no grid 'objectivs' (did you mean 'objectives'?)"),
        ("ablate objectives --out a", "no data: name a folder of image pairs"),
        ("ablate objectives synthetic", "--out DIR is missing"),
        ("ablate objectives synthetic --out a --seeds 0,one", "--seeds 0,one are no seeds"),
        ("ablate objectives synthetic --out a --training.epoch 3", "did you mean 'epochs'"),
        ("ablate objectives synthetic --out a --metrics sim", "did you mean 'ssim'"),
        ("ablate objectives synthetic --out a --jobs 0", "--jobs is 0: it must be at least 1"),
        ("compare nowhere elsewhere", "nowhere"),
        ("evaluate nowhere data", "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in _said(capsys, *line.split())
    assert list(tmp_path.iterdir()) == [], "a refused command writes nothing"


def test_suggestions_are_of_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``train`` has no ``--norm``; ``translate`` has. ``report`` has no recipe keys; ``train`` has."""
    assert "--norm'" not in _said(capsys, "train", "pix2pix", "d", "--norms", "x")
    assert "epochs" not in _said(capsys, "report", "r", "--epoch").partition("--epoch")[2]


def test_places_that_cannot_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken")
    assert "file" in _said(capsys, "demo", "--quiet", "--out", str(tmp_path / "file"))
    assert "is not empty and is not an earlier demo" in _said(capsys, "demo", "--out", str(tmp_path))
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


@pytest.mark.parametrize(("failure", "code", "said"), FAILURES, ids=[f"{type(item[0]).__name__}-{item[1]}" for item in FAILURES])
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, said: str
) -> None:
    def fail(options: Any, overrides: Any) -> int:
        raise failure

    monkeypatch.setitem(cli.VERBS, "doctor", fail)
    assert said in _said(capsys, "doctor", code=code)


@pytest.mark.parametrize(
    "bug", [RuntimeError("shapes differ"), RuntimeError("an illegal memory access"), KeyError("x"), OSError("no file is named")]
)
def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def fail(options: Any, overrides: Any) -> int:
        raise bug

    monkeypatch.setitem(cli.VERBS, "doctor", fail)
    with pytest.raises(type(bug)):
        cli.main(["doctor"])


# ---- list and doctor ---------------------------------------------------------------------------------------------------


def test_list_shows_every_name_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    page = " ".join(_printed(capsys, "list").split())
    for (_, name), entry in registry.catalog().items():
        assert f"{name} {entry.summary}" in page
    for name in shipped():
        assert f" {name} " in page


def test_list_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_printed(capsys, "list", "--json"))
    assert set(found) == {"recipe", "grid", *registry.KINDS}
    assert found["generator"]["unet"]["options"]["width"] == 64
    assert all(item["summary"] for items in found.values() for item in items.values())
    assert set(found["recipe"]) == set(shipped())
    assert json.loads(_printed(capsys, "list", "loss", "--json")) == {"loss": found["loss"]}


def test_list_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    page = _printed(capsys, "list", "metric")
    assert page.startswith("metric\n") and "unet" not in page
    assert inventory()["metric"].keys() <= set(page.split())


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_printed(capsys, "doctor", "--json"))
    assert found["environment"]["transfigure"] == transfigure.__version__
    assert "cpu" in found["devices"]
    assert all(found["packages"].values()), "every base package is installed here"
    for name, item in found["optional"].items():
        assert (item["installed"] is None) == any(
            f"transfigure[{item['extra']}]" in line and item["for"] in line for line in found["advice"]
        )
        assert name and item["for"]
    page = _printed(capsys, "doctor")
    assert all(name in page for name in (*found["packages"], *found["optional"]))


# ---- plugins -----------------------------------------------------------------------------------------------------------


def test_a_plugin_becomes_rows_keys_and_flags(capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    rows = " ".join(_printed(capsys, "list", "--plugins", plugin).split())
    for row in (
        "tilt How far it leans. (angle=1.5)",
        "thin One convolution. (kernel=3)",
        "luck Pure chance.",
        "dream Nothing is read. (vivid=True)",
    ):
        assert row in rows
    flags = ["--generator", "thin", "--data.kind", "dream", "--objective.terms", "[tilt]"]
    page = _printed(capsys, "train", "pix2pix", "--plugins", plugin, *flags, "--help")
    assert "--generator.kernel  side of the convolution. [3]" in page
    assert "--data.vivid  in colour. [true]" in page
    assert "--objective.terms.tilt.angle 1.5" in page
    settings = ["--generator.kernel", "5", "--data.vivid", "no", "--objective.terms.tilt.angle", "3e-1", "--training.best_metric", "luck"]
    recipe = yaml.safe_load(_printed(capsys, "train", "pix2pix", "--plugins", plugin, *flags, *settings, "--print_config"))
    assert recipe["generator"] == {"name": "thin", "kernel": 5}
    assert recipe["data"]["vivid"] is False
    assert recipe["objective"]["terms"] == [{"loss": "tilt", "weight": 1.0, "angle": 0.3}]
    assert recipe["training"]["best_metric"] == "luck"
    assert "did you mean 'thin'" in _said(capsys, "train", "pix2pix", "--plugins", plugin, "--generator", "thinn")


def test_plugins_stand_anywhere_and_may_be_several(capsys: pytest.CaptureFixture[str], tmp_path: Path, plugin: str) -> None:
    other = tmp_path / "other.py"
    other.write_text('from transfigure.registry import register\n\n@register("loss", "lean")\ndef lean(batch):\n    "Leans."\n')
    flags = ["--objective.terms", "[tilt, lean]", "--print_config"]
    recipe = yaml.safe_load(_printed(capsys, "train", "--plugins", plugin, "pix2pix", "--plugins", str(other), "photos", *flags))
    assert [term["loss"] for term in recipe["objective"]["terms"]] == ["tilt", "lean"]
    assert recipe["data"]["path"] == "photos"


def test_a_plugin_from_a_fresh_python(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(PLUGIN))
    command = [
        sys.executable,
        "-m",
        "transfigure",
        "train",
        "demo",
        "--plugins",
        "mine.py",
        "--objective.terms",
        "[tilt]",
        "--print_config",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout)["objective"]["terms"] == [{"loss": "tilt", "weight": 1.0, "angle": 1.5}]


def test_a_plugin_that_takes_a_known_name(capsys: pytest.CaptureFixture[str], tmp_path: Path, plugin: str) -> None:
    Path(plugin).write_text('from transfigure.registry import register\n\n@register("loss", "l1")\ndef l1(batch):\n    "Mine."\n')
    assert "loss 'l1' is already registered by transfigure.losses.pixel.l1" in _said(capsys, "list", "--plugins", plugin)
