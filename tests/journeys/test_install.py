"""What ``pip install`` puts on a machine works there, away from this checkout and without the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.journeys.commands import ROOT
from transfigure._version import __version__

PACKAGE = ROOT / "src" / "transfigure"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the project, so that building leaves nothing in the checkout."""
    place = tmp_path_factory.mktemp("build")
    copy = place / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    # --no-build-isolation: with setuptools as it is here, not as the network has it
    _run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(place), str(copy))
    (built,) = place.glob("*.whl")
    return built


def _run(*words: str, **options: object) -> str:
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600, check=False, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, result.stderr
    return str(result.stdout)


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    held = {name.removeprefix("transfigure/") for name in names if name.startswith("transfigure/")}
    wanted = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert wanted == held, "every file of the package, and no other"
    assert {"py.typed", "recipes/pix2pix.yaml", "recipes/demo.yaml"} <= held
    assert {"cli/commands/train.py", "reporting/run/page.html", "studies/ablation/grids/autoencoder.yaml"} <= held
    assert not any(name.startswith(("tests", "benchmarks", "docs", "shared")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    models = sum(file.stat().st_size for file in (PACKAGE / "models").rglob("*") if file.is_file())
    assert wheel.stat().st_size < models + 1_250_000 and models < 4_000_000


@pytest.mark.slow
def test_it_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    where = _run("-c", "import transfigure; print(transfigure.__file__)", cwd=elsewhere, env=environment)
    assert where.strip() == str(target / "transfigure" / "__init__.py")
    assert _run("-m", "transfigure", "--version", cwd=elsewhere, env=environment) == f"transfigure {__version__}\n"
    listed = _run("-m", "transfigure", "list", cwd=elsewhere, env=environment).split()
    assert {file.stem for file in (PACKAGE / "recipes").glob("*.yaml")} | {"unet", "patch", "l1", "ssim", "synthetic"} <= set(listed)
    flags = (
        "--data.train 2 --data.val 1 --data.test 1 --data.load_size 32 --data.crop_size 32 --generator.width 2 --discriminator.width 2 "
        "--discriminator.receptive_field 16 --training.epochs 1 --training.preview_count 1 --training.accelerator cpu --quiet"
    )
    said = _run("-m", "transfigure", "train", "pix2pix_tiny", "--out", "run", *flags.split(), cwd=elsewhere, env=environment)
    assert "trained: run" in said and (elsewhere / "run" / "report.html").is_file(), "the report's templates came along"
    assert (target / "bin" / "transfigure").is_file()
