"""Files carry their digest: whatever bit is flipped, they are refused or give what they gave."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from tests.damage import cuts, flips
from transfigure.integrity import (
    Damaged,
    check_archive,
    check_claims,
    check_digest,
    check_tensors,
    digest_of,
    read_header,
    write_archive,
    write_tensors,
)
from transfigure.stored import read_json, read_lines, read_yaml

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1, 2], dtype=torch.int64), "half": torch.ones(3).half()}


def checkpoint(path: Path) -> Path:
    with path.open("wb") as stream:
        write_archive(stream, lambda archive: torch.save({"x": torch.arange(50.0), "n": 3}, archive))
    return path


def test_torch_reads_an_archive_with_a_digest_whole_and_mapped(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt")
    assert check_archive(path, stored_only=True)
    for mapped in (False, True):
        state = torch.load(path, weights_only=True, mmap=mapped)
        assert torch.equal(state["x"], torch.arange(50.0)) and state["n"] == 3


def test_numpy_reads_an_archive_with_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    for save in (np.savez, np.savez_compressed):
        with path.open("wb") as stream:
            write_archive(stream, lambda archive, save=save: save(archive, mu=np.arange(5.0)))
        assert check_archive(path)
        assert np.load(path)["mu"].tolist() == [0, 1, 2, 3, 4]


def test_no_flipped_bit_of_an_archive_is_taken_for_whole(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "c.pt").read_bytes()
    for what, data in [*flips(whole, 300), *cuts(whole, 50)]:
        (tmp_path / "d.pt").write_bytes(data)
        with contextlib.suppress(Damaged):
            assert not check_archive(tmp_path / "d.pt", stored_only=True), what  # in the mark itself: the format then asks for it


def test_an_archive_without_a_digest_is_held_to_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"x": torch.arange(5000.0)}, path)
    assert not check_archive(path, stored_only=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(Damaged, match="checksum"):
        check_archive(path, stored_only=True)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * 10_000_000)
    assert path.stat().st_size < 20_000
    with pytest.raises(Damaged, match="claims more"):
        check_archive(path, stored_only=True)


def test_tensors_are_those_of_any_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with path.open("wb") as stream:
        write_tensors(stream, TENSORS, {"format": "pt", "note": 'a "text" in ä'})
    found = safetensors.torch.load_file(path)
    assert {name: value.tolist() for name, value in found.items()} == {name: value.tolist() for name, value in TENSORS.items()}
    with safetensors.safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    assert metadata.pop("sha256") and metadata == {"format": "pt", "note": 'a "text" in ä'}
    header = check_tensors(path)
    assert header == read_header(path) and header.has_digest and header.metadata == metadata
    assert header.tensors["b"] == ("F32", (2, 3))
    again = io.BytesIO()
    write_tensors(again, dict(reversed(TENSORS.items())), {"note": 'a "text" in ä', "format": "pt"})
    assert safetensors.torch.load(again.getvalue()).keys() == TENSORS.keys()


def test_the_same_tensors_give_the_same_bytes() -> None:
    streams = [io.BytesIO() for _ in range(3)]
    for stream in streams:
        write_tensors(stream, TENSORS, {"format": "pt", "a": "1", "b": "2", "c": "3"})
    assert len({stream.getvalue() for stream in streams}) == 1


def test_no_flipped_bit_of_a_tensor_file_changes_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with path.open("wb") as stream:
        write_tensors(stream, TENSORS, {"format": "pt"})
    whole = path.read_bytes()
    refused = 0
    for what, data in [*flips(whole, 300), *cuts(whole, 50)]:
        path.write_bytes(data)
        try:
            header = check_tensors(path)
            found = safetensors.torch.load_file(path)
        except (Damaged, safetensors.SafetensorError):
            refused += 1
            continue
        assert not header.has_digest, what  # the word sha256 itself: all else is as it was
        assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in TENSORS.items()), what
    assert refused > 400


def test_a_digest_is_of_keys_and_values_however_they_lie() -> None:
    values = {"a": 1, "b": {"c": [1.5, None, "ä"]}}
    signed = {**values, "digest": digest_of(values)}
    assert check_digest(json.loads(json.dumps(signed, indent=4)))
    assert check_digest({key: signed[key] for key in reversed(signed)})
    assert not check_digest(values)
    for changed in ({**signed, "a": 2}, {**signed, "a": "1"}, {**signed, "d": 0}, {**signed, "digest": None}):
        with pytest.raises(Damaged, match='remove its line "digest"'):
            check_digest(changed)


@pytest.mark.parametrize("length", [0, 1, 2**40, 2**63])
def test_a_header_that_claims_a_length_is_not_believed(tmp_path: Path, length: int) -> None:
    (tmp_path / "t.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":1}')
    with pytest.raises(Damaged):
        read_header(tmp_path / "t.safetensors")


@pytest.mark.parametrize(
    "read",
    [check_archive, check_claims, check_tensors, read_header, read_json, read_yaml, lambda file: next(read_lines(file))],
    ids=["archive", "claims", "tensors", "header", "json", "yaml", "lines"],
)
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe or a device, and no file"):
        read(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe or a device, and no file"):
        read(Path(os.devnull))
