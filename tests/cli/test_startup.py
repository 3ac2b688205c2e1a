"""What each verb imports: the first second of a command goes by in imports. Times are measured in benchmarks/startup.py."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_translator, write_images
from transfigure.cli.imports import uncollected

HEAVY = frozenset(
    {"torch", "numpy", "PIL", "matplotlib", "jinja2", "yaml", "pydantic", "lightning_fabric", "torchmetrics", "scipy", "sympy"}
)
"""Libraries that take a noticeable part of a second, or that come with another in which they do. (torch brings numpy.)"""
TRAIN = (
    "train pix2pix_tiny synthetic --quiet --training.epochs 1 --data.size 32 --data.crop_size 32 --data.load_size 32 --generator.width 2"
)


def imported(*arguments: str, folder: Path) -> set[str]:
    """The heavy libraries that a command has imported at its end."""
    code = (
        "import sys\nfrom transfigure.cli.main import main\nassert main(sys.argv[1:]) == 0\n"
        "print('imported', *sys.modules.keys() & {*'" + " ".join(HEAVY) + "'.split()})"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=folder, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an image, and a run."""
    place = tmp_path_factory.mktemp("startup")
    tiny_translator().save(place / "model")
    write_images(place / "in", "a.png", size=(32, 32))
    return place


def test_translate_imports_what_runs_a_generator(folder: Path) -> None:
    assert imported("translate", "model", "in/a.png", "out.png", "--quiet", folder=folder) == {"torch", "numpy", "PIL", "pydantic"}


def test_training_imports_no_fabric_and_pages_no_torch(folder: Path) -> None:
    options = "--discriminator.width 2 --data.train 2 --data.val 1 --out run"
    found = imported(*TRAIN.split(), *options.split(), folder=folder)
    assert found <= {"torch", "numpy", "PIL", "pydantic", "yaml", "matplotlib", "jinja2"}  # nor sympy, by torch's compiler
    found = imported("evaluate", "run", "--metrics", "l1,ssim", "--out", "run/evaluation", "--quiet", folder=folder)
    assert found == {"torch", "numpy", "PIL", "pydantic", "yaml", "matplotlib", "jinja2"}  # the last two: the report is written anew
    assert "torch" not in imported("report", "run", "--overwrite", "--pictures", "figures", folder=folder)
    shutil.copytree(folder / "run", folder / "another")
    assert "torch" not in imported("compare", "run", "another", folder=folder)


def test_a_preview_imports_what_reads_pairs_and_writes_pages(folder: Path) -> None:
    words = "preview l1 synthetic --quiet --pairs 1 --data.train 2 --data.val 1 --data.test 1 --data.size 32 --data.crop_size 32"
    words += " --data.load_size 32 --generator.width 2"
    assert imported(*words.split(), folder=folder) == {"torch", "numpy", "PIL", "pydantic", "yaml", "matplotlib", "jinja2"}


def test_heavy_imports_are_not_searched_for_garbage() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
    code = (
        "import gc\nfrom transfigure.cli.imports import uncollected\n"
        "with uncollected():\n    import json\nassert gc.get_freeze_count() == 0\n"
        "with uncollected():\n    import torch\nassert gc.isenabled() and gc.get_freeze_count() > 100_000"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_collection_that_somebody_else_switched_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
