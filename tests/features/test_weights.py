"""Weights: the right file is found, a wrong one is refused with words, and nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.damage import Trap
from transfigure.errors import Missing, UserError
from transfigure.features import weights
from transfigure.features.published import CATALOGUE, Weights
from transfigure.features.weights import explicit, find, load, places

NAME, FILE, OTHER = "toy", "toy-published.pth", "any.pth"
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, 2.0])}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """Two folders of the variable and torch hub's cache, all empty."""
    first, second, cache = tmp_path / "first", tmp_path / "second", tmp_path / "home" / "hub" / "checkpoints"
    for folder in (first, second, cache):
        folder.mkdir(parents=True)
    monkeypatch.setenv("TRANSFIGURE_WEIGHTS", os.pathsep.join([str(first), "", str(second)]))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return first, second, cache


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes of a published file, which the catalogue knows as ``toy``."""
    torch.save(TENSORS, tmp_path / "published")
    content = (tmp_path / "published").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(CATALOGUE, NAME, Weights(NAME, FILE, (OTHER,), "https://x.invalid/toy", digest, len(content), "TOY", "nobody"))
    return content


def refusal(file: Path) -> str:
    with explicit({NAME: file}), pytest.raises(UserError) as caught:
        load(NAME)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the catalogue -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_complete(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.name == name
    assert len(entry.sha256) == 64
    assert set(entry.sha256) <= set("0123456789abcdef")
    assert entry.url.startswith("https://")
    assert entry.file not in entry.also
    assert entry.purpose
    assert entry.origin
    if "-" in entry.file:  # torch hub's names end in the beginning of the hash
        assert entry.sha256.startswith(Path(entry.file).stem.rsplit("-", 1)[1])


def test_no_two_entries_share_a_name_or_a_hash() -> None:
    names = [file for entry in CATALOGUE.values() for file in (entry.file, *entry.also)]
    assert len(set(names)) == len(names)
    assert len({entry.sha256 for entry in CATALOGUE.values()}) == len(CATALOGUE)


# ---- where -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TORCH_HOME": "/somewhere/t"},
        {"XDG_CACHE_HOME": "/cache"},
        {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/cache"},
        {"TORCH_HOME": ""},
    ],
)
def test_the_cache_is_torch_hubs(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME", "TORCH_HUB", "TRANSFIGURE_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert [folder for folder, _ in places()] == [Path(torch.hub.get_dir()) / "checkpoints"]


def test_the_folders_are_looked_in_in_order(folders: tuple[Path, Path, Path], published: bytes) -> None:
    assert [folder for folder, _ in places()] == list(folders)
    for folder in reversed(folders):
        (folder / FILE).write_bytes(published)
        assert find(NAME).path == folder / FILE
    assert find(NAME).published


def test_a_file_named_goes_first_and_an_inner_name_before_an_outer_one(folders: tuple[Path, ...], published: bytes, tmp_path: Path) -> None:
    (folders[0] / FILE).write_bytes(published)
    outer, inner = tmp_path / "outer.pth", tmp_path / "inner.pth"
    outer.write_bytes(published)
    torch.save({"b": torch.zeros(1)}, inner)
    with explicit({NAME: outer}):
        assert find(NAME) == weights.Located(outer, CATALOGUE[NAME].sha256, True)
        with explicit({NAME: str(inner)}), explicit({"dists": outer}):
            assert find(NAME).path == inner
            assert not find(NAME).published
            assert find("dists").path == outer
        assert find(NAME).path == outer
        with pytest.raises(RuntimeError), explicit({NAME: inner}):
            raise RuntimeError
        assert find(NAME).path == outer
    assert find(NAME).path == folders[0] / FILE


def test_what_cannot_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no weights called 'inceptoin' \(did you mean 'inception'\?\)"), explicit({"inceptoin": tmp_path}):
        pass
    with pytest.raises(UserError, match=r"gone\.pth.*'inception'.*does not exist"), explicit({"inception": tmp_path / "gone.pth"}):
        pass
    with pytest.raises(UserError, match=r"'inception', is a folder"), explicit({"inception": tmp_path}):
        pass
    with pytest.raises(UserError, match="no weights called 'x'"):
        find("x")


def test_the_sentence_for_absent_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(Missing) as caught:
        find("inception")
    assert str(caught.value) == (
        f"the weights 'inception' are not here: put pt_inception-2015-12-05-6726825d.pth into {tmp_path}/hub/checkpoints "
        "(or a folder named by $TRANSFIGURE_WEIGHTS), or run  transfigure weights get inception"
    )
    monkeypatch.setenv("TRANSFIGURE_WEIGHTS", f"{tmp_path}/mistyped{os.pathsep}{tmp_path}")
    with pytest.raises(Missing) as caught:
        load("inception")
    assert f"not here, and {tmp_path}/mistyped, named by $TRANSFIGURE_WEIGHTS, is no folder: put" in str(caught.value)
    assert f"into {tmp_path}, or run" in str(caught.value)


def test_another_file_of_the_published_name_is_refused(folders: tuple[Path, Path, Path], published: bytes) -> None:
    first, second, _ = folders
    (first / FILE).write_bytes(published[:-1])
    (second / FILE).write_bytes(published)
    digest = hashlib.sha256(published[:-1]).hexdigest()
    with pytest.raises(UserError) as caught:
        find(NAME)
    for words in (str(first / FILE), digest[:8], CATALOGUE[NAME].sha256[:8], f"weights get {NAME}", f"--weights {NAME}={first / FILE}"):
        assert words in str(caught.value)
    with explicit({NAME: first / FILE}):
        assert find(NAME) == weights.Located(first / FILE, digest, False)


def test_a_general_name_counts_only_with_the_published_hash(folders: tuple[Path, Path, Path], published: bytes) -> None:
    first, second, _ = folders
    (first / OTHER).write_bytes(b"x" * len(published))
    with pytest.raises(Missing):
        find(NAME)
    (second / OTHER).write_bytes(published)
    assert find(NAME) == weights.Located(second / OTHER, CATALOGUE[NAME].sha256, True)
    (second / OTHER).rename(second / FILE)
    assert find(NAME).path == second / FILE


def test_a_file_is_hashed_once_until_it_changes(folders: tuple[Path, ...], published: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *arguments: count.append(1) or real(*arguments))
    file = folders[0] / FILE
    file.write_bytes(published)
    assert find(NAME).published
    assert load(NAME)[1] == find(NAME).sha256
    assert len(count) == 1
    os.utime(file, ns=(0, 12345))
    find(NAME)
    assert len(count) == 2


def test_importing_takes_no_torch_and_no_network() -> None:
    heavy = "{'torch', 'socket', 'urllib.request'}"
    code = f"import sys; from transfigure.features import weights; weights.listing(); sys.exit(bool({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_listing_is_plain_and_says_what_is_there(folders: tuple[Path, Path, Path], published: bytes) -> None:
    def row() -> dict[str, object]:
        rows = json.loads(json.dumps(weights.listing()))
        assert [row["name"] for row in rows] == list(CATALOGUE)
        return rows[-1]

    assert (row()["found"], row()["published"], row()["problem"]) == (None, None, None)
    assert row()["places"] == [str(folder) for folder in folders]
    assert (row()["purpose"], row()["size"], row()["url"]) == ("TOY", len(published), "https://x.invalid/toy")
    file = folders[2] / FILE
    file.write_bytes(published)
    assert (row()["found"], row()["published"], row()["problem"]) == (str(file), True, None)
    file.write_bytes(b"half")
    assert row()["found"] is None
    assert str(file) in str(row()["problem"])
    with explicit({NAME: file}):
        assert (row()["found"], row()["published"], row()["problem"]) == (str(file), False, None)


# ---- what is in them -----------------------------------------------------------------------------------------------------


def test_tensors_come_on_the_cpu_without_gradients(published: bytes, tmp_path: Path) -> None:
    plain, safe, old = tmp_path / "plain.pth", tmp_path / "safe.safetensors", tmp_path / "old.pth"
    torch.save({key: torch.nn.Parameter(value) for key, value in TENSORS.items()}, plain)
    torch.save(TENSORS, old, _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(TENSORS, safe)
    for file in (plain, safe, old):
        with explicit({NAME: file}):
            tensors, digest = load(NAME)
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
        assert tensors.keys() == TENSORS.keys()
        for key, value in TENSORS.items():
            assert torch.equal(tensors[key], value)
            assert tensors[key].device.type == "cpu"
            assert not tensors[key].requires_grad


@pytest.mark.parametrize("legacy", [True, False])
def test_code_is_refused_and_not_run(published: bytes, tmp_path: Path, legacy: bool) -> None:
    file, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"a": torch.zeros(1), "b": Trap(trace)}, file, _use_new_zipfile_serialization=not legacy)
    assert "contains code (" in refusal(file)
    file.write_bytes(pickle.dumps(Trap(trace)))
    refusal(file)
    assert not trace.exists()
    with pytest.raises(Exception, match=r"invalid load key|magic number|corrupt"):
        torch.load(file, weights_only=False)
    assert trace.exists()  # it would have worked


def test_a_torchscript_archive_is_refused(published: bytes, tmp_path: Path) -> None:
    file = tmp_path / "script.pt"
    with zipfile.ZipFile(file, "w") as archive:  # the layout that torch.jit.save writes
        for member in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"script/{member}", b"")
    assert "TorchScript" in refusal(file)
    assert FILE in refusal(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files_are_refused(published: bytes, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"damaged{suffix}"
    safetensors.torch.save_file(TENSORS, tmp_path / "whole.safetensors")
    whole = published if suffix == ".pth" else (tmp_path / "whole.safetensors").read_bytes()
    for content in (b"", b"<html>not found</html>", whole[: len(whole) // 2], whole[:-3]):
        file.write_bytes(content)
        assert "damaged" in refusal(file)


def test_only_names_and_tensors_are_accepted(published: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    cases: list[tuple[object, str]] = [
        ({"state_dict": TENSORS, "epoch": 3}, "'state_dict': only names and their tensors"),
        ({**TENSORS, "epoch": 3}, "holds a int under 'epoch'"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        ({}, "holds nothing"),
        ({0: torch.zeros(1)}, "under 0"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "claims more values"),
        ({"a": torch.eye(2).to_sparse()}, "claims more values"),
    ]
    for content, words in cases:
        torch.save(content, file)
        assert words in refusal(file)


def test_a_file_that_went_away_is_said(published: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    file.write_bytes(published)
    with explicit({NAME: file}):
        file.unlink()
        with pytest.raises(UserError, match=r"file\.pth cannot be read: no such file"):
            find(NAME)
