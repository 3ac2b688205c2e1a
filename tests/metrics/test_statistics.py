"""Feature statistics in a file: written, read back the same, shared with other tools, and never trusted."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.damage import cuts, flips
from transfigure.errors import Skipped, UserError
from transfigure.features.extractors import Extractor
from transfigure.metrics import statistics
from transfigure.metrics.statistics import Statistics


def extractor(name: str = "a network", weights: str = "1f2e", resize: str = "tf1") -> Extractor:
    return Extractor(name, weights, resize, lambda images: images.flatten(1))


def features(n: int = 12, d: int = 5) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def archive(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


MOMENTS = {"mu": np.zeros(3), "sigma": np.eye(3)}


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    made = Statistics.of(features(), extractor(), tmp_path / "photos")
    path = tmp_path / "new folder" / "photos.npz"
    made.save(path)
    read = Statistics.load(path)
    assert read.origin == str(path) and made.origin == str(tmp_path / "photos")
    for field in dataclasses.fields(Statistics):
        before, after = getattr(made, field.name), getattr(read, field.name)
        if isinstance(before, Tensor):
            assert after.dtype == torch.float64 and torch.equal(before, after)
        elif field.name != "origin":
            assert (before, type(before)) == (after, type(after))
    assert (read.network, read.weights, read.resize, read.count) == ("a network", "1f2e", "tf1", 12)


def test_the_moments_are_numpys_and_other_tools_find_them(tmp_path: Path) -> None:
    made = Statistics.of(features(), extractor(), "here")
    made.save(tmp_path / "s.npz")
    found = np.load(tmp_path / "s.npz", allow_pickle=False)
    np.testing.assert_allclose(found["mu"], features().numpy().mean(0), atol=1e-6)
    np.testing.assert_allclose(found["sigma"], np.cov(features().numpy(), rowvar=False), atol=1e-6)
    assert found["features"].dtype == np.float32


def test_moments_alone_as_other_tools_write_them(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.npz", mu=np.arange(3, dtype=np.float32), sigma=np.eye(3), comment="made elsewhere")
    read = Statistics.load(path)
    assert (read.network, read.weights, read.resize, read.count, read.features) == ("", "", "", 0, None)
    assert read.mean.tolist() == [0, 1, 2] and read.covariance.dtype == torch.float64
    read.check_made_by(extractor())
    read.save(tmp_path / "again.npz")
    assert Statistics.load(tmp_path / "again.npz").features is None


def test_features_without_a_count_are_counted(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.npz", **MOMENTS, features=np.zeros((7, 3), np.float16))
    assert Statistics.load(path).count == 7


@pytest.mark.parametrize(("what", "theirs"), [("name", "another"), ("weights", "ffff"), ("resize", "clean")])
def test_another_network_weights_or_resize_is_named(what: str, theirs: str) -> None:
    made = Statistics.of(features(), extractor(), "photos.npz")
    made.check_made_by(extractor())
    with pytest.raises(Skipped) as refusal:
        made.check_made_by(extractor(**{what: theirs}))
    ours = getattr(extractor(), what)
    assert "photos.npz" in str(refusal.value) and ours in str(refusal.value) and theirs in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mu": None}, "no array mu"),
        ({"sigma": None}, "no array sigma"),
        ({"mu": np.zeros((3, 1))}, "mu holds"),
        ({"mu": np.zeros(4)}, r"not \(D,\) and \(D, D\)"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"not \(D,\) and \(D, D\)"),
        ({"sigma": np.zeros((3, 4))}, r"not \(D,\) and \(D, D\)"),
        ({"sigma": np.full((3, 3), np.nan)}, "sigma holds values that are not finite"),
        ({"mu": np.array([0, np.inf, 0])}, "mu holds values that are not finite"),
        ({"mu": np.zeros(3, complex)}, "mu holds complex128"),
        ({"mu": np.array(["a", "b", "c"])}, "mu holds"),
        ({"sigma": np.triu(np.ones((3, 3)))}, "symmetric"),
        ({"sigma": -np.eye(3)}, "negative variance"),
        ({"features": np.zeros((5, 4))}, "features has shape"),
        ({"features": np.zeros((1, 3))}, "features has shape"),
        ({"features": np.zeros(3)}, "features holds"),
        ({"features": np.full((5, 3), np.nan)}, "not finite"),
        ({"features": np.zeros((5, 3)), "count": 6}, "count is 6, but there are 5"),
        ({"count": -1}, "count is not one whole number"),
        ({"count": 1.5}, "count is not one whole number"),
        ({"count": np.array([1, 2])}, "count is not one whole number"),
        ({"network": 7}, "network is not a word"),
        ({"version": 99}, "newer program"),
        ({"mu": np.array([None, {}, 1], dtype=object)}, "plain arrays"),
        ({"network": np.array(["x"], dtype=object)}, "plain arrays"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    arrays = {name: value for name, value in {**MOMENTS, **changes}.items() if value is not None}
    path = archive(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(UserError, match=words) as refusal:
        Statistics.load(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_damaged_absent_and_foreign_files(tmp_path: Path) -> None:
    Statistics.of(features(), extractor(), "here").save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"mean 0",
        "flipped": whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:260]) + whole[260:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            Statistics.load(tmp_path / name)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match="no NumPy archive"):
        Statistics.load(tmp_path / "one.npy")
    with pytest.raises(UserError, match="does not exist"):
        Statistics.load(tmp_path / "nowhere.npz")
    with pytest.raises(UserError, match="cannot read"):
        Statistics.load(tmp_path)


def test_no_flipped_bit_and_no_cut_of_statistics_changes_what_is_loaded(tmp_path: Path) -> None:
    made = Statistics.of(features(), extractor(), "here")
    made.save(tmp_path / "s.npz")
    whole = (tmp_path / "s.npz").read_bytes()
    for what, data in [*flips(whole, 200), *cuts(whole, 30)]:
        (tmp_path / "s.npz").write_bytes(data)
        with pytest.raises(UserError, match="damaged"):
            Statistics.load(tmp_path / "s.npz")
            pytest.fail(what)


def test_a_member_that_claims_more_than_it_holds_is_not_believed(tmp_path: Path) -> None:
    for shape in ((10**9, 3), (3, 2**62)):
        with zipfile.ZipFile(tmp_path / "s.npz", "w") as written:
            written.writestr("mu.npy", _headed(shape))
            written.writestr("sigma.npy", _headed((3, 3)))
        with pytest.raises(UserError, match="damaged"):
            Statistics.load(tmp_path / "s.npz")


def test_compressed_features_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", **MOMENTS, features=np.zeros((5, 3)))
    with pytest.raises(UserError, match="compressed features"):
        Statistics.load(tmp_path / "s.npz")


def _headed(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 64


def test_an_archive_that_would_unpack_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.npz"
    np.savez_compressed(path, **MOMENTS, features=np.zeros((2000, 3)))
    assert path.stat().st_size < 3000
    monkeypatch.setitem(statistics._LARGEST, "features", 40_000)
    monkeypatch.setattr(statistics, "_array", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"48,128 bytes of features, where 40,000"):
        Statistics.load(path)


@pytest.mark.parametrize("shape", [(10**7, 10**7), (10**30, 1), (100, 3), (-1, 3)])
def test_a_header_that_promises_more_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = archive(tmp_path / "s.npz", **MOMENTS)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("features.npy", _headed(shape))
    with pytest.raises(UserError, match="damaged"):
        Statistics.load(path)


def test_an_entry_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.npz", mu=np.zeros(3))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("sigma.npy", b"import os")
        file.writestr("sigma", b"import os")
    with pytest.raises(UserError, match="damaged"):
        Statistics.load(path)


def test_one_image_has_no_statistics() -> None:
    with pytest.raises(UserError, match="photos has too few images"):
        Statistics.of(features(1), extractor(), "photos")


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        Statistics.of(features(), extractor(), "here").save(tmp_path)
