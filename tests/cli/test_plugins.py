"""A user's own file, given with ``--plugins``: its names become rows, recipe keys and flags."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.cli.saying import printed, said
from transfigure import registry

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


def test_a_plugin_becomes_rows_keys_and_flags(capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    rows = " ".join(printed(capsys, "list", "--plugins", plugin).split())
    for row in (
        "tilt How far it leans. (angle=1.5)",
        "thin One convolution. (kernel=3)",
        "luck Pure chance.",
        "dream Nothing is read. (vivid=True)",
    ):
        assert row in rows
    flags = ["--generator", "thin", "--data.kind", "dream", "--objective.terms", "[tilt]"]
    page = printed(capsys, "train", "pix2pix", "--plugins", plugin, *flags, "--help")
    assert "--generator.kernel  side of the convolution. (a whole number) [3]" in page
    assert "--data.vivid  in colour. (true or false) [true]" in page
    assert "--objective.terms.tilt.angle 1.5" in page
    settings = ["--generator.kernel", "5", "--data.vivid", "no", "--objective.terms.tilt.angle", "3e-1", "--training.best_metric", "luck"]
    recipe = yaml.safe_load(printed(capsys, "train", "pix2pix", "--plugins", plugin, *flags, *settings, "--print_config"))
    assert recipe["generator"] == {"name": "thin", "kernel": 5}
    assert recipe["data"]["vivid"] is False
    assert recipe["objective"]["terms"] == [{"loss": "tilt", "weight": 1.0, "angle": 0.3}]
    assert recipe["training"]["best_metric"] == "luck"
    assert "did you mean 'thin'" in said(capsys, "train", "pix2pix", "--plugins", plugin, "--generator", "thinn")


def test_plugins_stand_anywhere_and_may_be_several(capsys: pytest.CaptureFixture[str], tmp_path: Path, plugin: str) -> None:
    other = tmp_path / "other.py"
    other.write_text('from transfigure.registry import register\n\n@register("loss", "lean")\ndef lean(batch):\n    "Leans."\n')
    flags = ["--objective.terms", "[tilt, lean]", "--print_config"]
    recipe = yaml.safe_load(printed(capsys, "train", "--plugins", plugin, "pix2pix", "--plugins", str(other), "photos", *flags))
    assert [term["loss"] for term in recipe["objective"]["terms"]] == ["tilt", "lean"]
    assert recipe["data"]["path"] == "photos"


def test_a_plugin_from_a_fresh_python(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(PLUGIN))
    command = [
        sys.executable,
        "-m",
        "transfigure",
        "train",
        "pix2pix_tiny",
        "--plugins",
        "mine.py",
        "--objective.terms",
        "[tilt]",
        "--print_config",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout)["objective"]["terms"] == [{"loss": "tilt", "weight": 1.0, "angle": 1.5}]


def test_a_plugin_that_takes_a_known_name(capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    Path(plugin).write_text('from transfigure.registry import register\n\n@register("loss", "l1")\ndef l1(batch):\n    "Mine."\n')
    assert "loss 'l1' is already registered by transfigure.losses.pixel.l1" in said(capsys, "list", "--plugins", plugin)
