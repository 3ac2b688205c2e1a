"""What stands about the project beside its code agrees with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import transfigure
from transfigure.cli.commands.doctor import DISTRIBUTIONS, FEATURES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_DEVELOPERS = {"dev", "docs"}


def packages(extra: str) -> set[str]:
    """The names of an extra's packages, without versions."""
    return {re.split(r"[\[<>=!~ ]", wanted)[0] for wanted in PROJECT["optional-dependencies"][extra]}


def test_every_extra_has_a_feature_and_every_feature_its_extra() -> None:
    needed: dict[str, set[str]] = {}
    for module, (extra, _) in FEATURES.items():
        needed.setdefault(extra, set()).add(DISTRIBUTIONS.get(module, module))
    assert {extra: packages(extra) for extra in PROJECT["optional-dependencies"] if extra not in FOR_DEVELOPERS} == needed


def test_everything_that_is_installed_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = {re.split(r"[\[<>=!~ ]", package)[0] for package in PROJECT["dependencies"]}
    wanted |= {name for extra in ("science", *FOR_DEVELOPERS) for name in packages(extra)}
    assert {name.lower().replace("_", "-") for name in wanted} - pinned == set()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "title", "message", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (transfigure.__version__, PROJECT["license"])
    assert all(reference["authors"] and reference["title"] and reference["type"] for reference in citation["references"])


def test_the_changelog_has_this_version_below_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?([\w.]+)\]?", text, re.M)
    assert versions[0] == "Unreleased" and versions[1] == transfigure.__version__
    kinds = re.findall(r"^### (.+)$", text, re.M)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_hooks_before_a_commit_fetch_nothing() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system" and hook["entry"].split()[0].removeprefix(".venv/bin/") in packages("dev")
