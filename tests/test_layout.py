"""The layout keeps its shape: imports point up the list of packages, the core knows nothing of studies, and nothing heavy slips in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.imports import PACKAGE, imports

PACKAGES = [
    *(
        "errors",
        "wording",
        "_version",
        "bounds",
        "integrity",
        "stored",
        "memory",
        "progress",
        "processes",
        "registry",
        "recipe",
        "data",
        "worlds",
        "networks",
        "features",
        "losses",
        "metrics",
    ),
    *("interop", "training", "translation", "preparation", "evaluation", "studies", "reporting", "serving", "scale"),
    *("cli", "__main__", "__init__"),
]
"""In the order data flows; the package's own ``__init__`` comes last: its names are lazy, so it may name everything."""
CORE = PACKAGES[: PACKAGES.index("evaluation") + 1]
"""What somebody who uses pix2pix reads, from recipe to evaluation."""


def faults(root: Path, packages: list[str]) -> list[str]:
    """What a package does against the rules, one line each."""
    found = []
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        package = name.parts[0].removesuffix(".py")
        if package not in packages:
            found.append(f"{name} has no place in the order")
            continue
        if file.stem.startswith(("util", "helper", "misc")):
            found.append(f"{name} has a name that says nothing")
        for line, path in imports(file, root):
            if path.startswith("."):
                target = path.split(".")[1]
                target = target if target in packages else "__init__"  # from . import evaluate: a name of the package itself
                if packages.index(target) > packages.index(package):
                    found.append(f"{name}:{line} imports {path}")
            elif path.split(".")[0] == "torchvision":
                found.append(f"{name}:{line} imports torchvision")
            elif path.split(".")[0] == "lightning_fabric" and name.as_posix() != "training/engine.py":
                found.append(f"{name}:{line} imports lightning_fabric")
    return found


def test_the_layout() -> None:
    assert faults(PACKAGE, PACKAGES) == []


def test_the_core_knows_nothing_of_studies_and_pages() -> None:
    outside = tuple(f".{name}" for name in PACKAGES if name not in CORE and not name.startswith("__"))
    assert {".studies", ".reporting", ".cli"} <= {*outside}
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0].removesuffix(".py") in CORE]
    assert len(files) > 60
    assert [f"{file}: {path}" for file in files for _, path in imports(file, PACKAGE) if path.startswith(outside)] == []


def test_every_package_of_the_order_exists() -> None:
    assert [package for package in PACKAGES if not ((PACKAGE / package).is_dir() or (PACKAGE / f"{package}.py").is_file())] == []


def test_the_walk_sees_the_imports() -> None:
    """Not vacuously true: it finds imports we know of, relative ones, and ones inside functions."""
    assert ".cli.inventory.recipe_flags" in {path for _, path in imports(PACKAGE / "cli" / "commands" / "train.py", PACKAGE)}
    assert ".errors.UserError" in {path for _, path in imports(PACKAGE / "networks" / "discriminators" / "patch.py", PACKAGE)}
    assert "lightning_fabric" in {path.split(".")[0] for _, path in imports(PACKAGE / "training" / "engine.py", PACKAGE)}
    ours = [path for file in PACKAGE.rglob("*.py") for _, path in imports(file, PACKAGE) if path.startswith(".")]
    assert len(ours) > 150


MADE_UP = {
    "errors.py": "import json",
    "data/__init__.py": "",
    "data/images.py": "from ..errors import UserError\nfrom . import pixels\nimport numpy",
    "data/pixels.py": "",
    "training/engine.py": "import lightning_fabric\nfrom ..data.images import read",
    "cli.py": "def verb():\n    from .training.engine import Engine",
}


def _build(root: Path, changes: dict[str, str]) -> list[str]:
    for name, text in {**MADE_UP, **changes}.items():
        (root / "package_made_up" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "package_made_up" / name).write_text(text)
    return faults(root / "package_made_up", ["errors", "data", "training", "cli", "__init__"])


def test_a_tidy_package_has_no_faults(tmp_path: Path) -> None:
    assert _build(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("data/pixels.py", "from ..training.engine import Engine", "data/pixels.py:1 imports .training.engine.Engine"),
        ("data/pixels.py", "def f():\n    from ..training import engine", "data/pixels.py:2 imports .training.engine"),
        ("data/pixels.py", "from .. import cli", "data/pixels.py:1 imports .cli"),
        ("data/pixels.py", "from .. import evaluate", "data/pixels.py:1 imports .evaluate"),
        ("data/pixels.py", "import package_made_up", "data/pixels.py:1 imports .__init__"),
        ("data/pixels.py", "import package_made_up.cli as c", "data/pixels.py:1 imports .cli"),
        ("data/pixels.py", "if 1:\n    from package_made_up.training.engine import E", "data/pixels.py:2 imports .training.engine.E"),
        ("data/pixels.py", "from package_made_up import Recipe", "data/pixels.py:1 imports .Recipe"),
        ("data/deep/er.py", "from ...training.engine import E", "data/deep/er.py:1 imports .training.engine.E"),
        ("errors.py", "from .data import images", "errors.py:1 imports .data.images"),
        ("data/pixels.py", "import torchvision.transforms as T", "data/pixels.py:1 imports torchvision"),
        ("training/step.py", "def f():\n    from lightning_fabric import Fabric", "training/step.py:2 imports lightning_fabric"),
        ("training/utils.py", "", "training/utils.py has a name that says nothing"),
        ("spare/file.py", "", "spare/file.py has no place in the order"),
    ],
)
def test_every_fault_is_found(tmp_path: Path, file: str, text: str, fault: str) -> None:
    assert _build(tmp_path, {file: text}) == [fault]


def test_torchvision_is_nowhere_in_the_tests_either() -> None:
    tests = Path(__file__).parent
    modules = [path for file in tests.rglob("*.py") for _, path in imports(file, tests)]
    assert len(modules) > 100
    assert [path for path in modules if path.split(".")[0] == "torchvision"] == []


def test_no_test_module_is_imported() -> None:
    """What several tests need stands in a module of its own beside them: imported from a test module, it would bring its tests along."""
    tests = Path(__file__).parent
    found = [(f"{file.relative_to(tests)}:{line}", path) for file in tests.rglob("*.py") for line, path in imports(file, tests)]
    ours = [(place, path.split(".")) for place, path in found if path.startswith(".")]
    assert ["", "tiny", "noise_image"] in [parts for _, parts in ours]
    assert [place for place, parts in ours if any(part.startswith("test_") for part in parts)] == []


OF_THE_WHOLE = {"attack", "benchmarks", "compat", "contract", "examples", "journeys"}
"""Folders of tests that belong to no package of their name."""


def test_tests_stand_where_their_subjects_stand() -> None:
    tests = Path(__file__).parent
    folders = {file.parent.relative_to(tests) for file in tests.rglob("test_*.py")} - {Path()}
    assert [
        folder.as_posix() for folder in sorted(folders) if folder.parts[0] not in OF_THE_WHOLE and not (PACKAGE / folder).is_dir()
    ] == []


def test_every_data_file_is_packed() -> None:
    """An installed copy holds what lies beside the code: recipes, grids, templates."""
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["transfigure"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    beside = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert beside <= packed
