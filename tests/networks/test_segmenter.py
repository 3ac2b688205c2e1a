"""The small U-Net that labels the pixels of photos, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.damage import cuts, flips
from transfigure.errors import UserError
from transfigure.integrity import sha256_of
from transfigure.networks.segmenter import SegmentationNetwork, load_segmenter, save_segmenter

FACTS = {"palette": {"classes": {"a": [0, 0, 0], "b": [1, 1, 1]}}, "size": [32, 32]}


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (1, 1), (5, 40)])
def test_every_size_comes_back(size: tuple[int, int]) -> None:
    network = SegmentationNetwork(5, channels=1, width=2, depth=4).eval()
    assert network(torch.zeros(2, 1, *size)).shape == (2, 5, *size)


def test_parameters_and_receptive_field() -> None:
    assert sum(weight.numel() for weight in SegmentationNetwork(16).parameters()) == 488_256
    torch.manual_seed(0)
    network = SegmentationNetwork(2, width=4, depth=3).eval()
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    network(image)[0, 0, 32, 32].backward()
    assert image.grad is not None
    reach = image.grad.abs().sum((0, 1)).nonzero()
    assert (reach.max(0).values - reach.min(0).values).min() >= 20, "it sees well beyond the two convolutions of the outermost level"


@pytest.mark.parametrize("options", [{"classes": 1}, {"width": 0}, {"depth": 0}, {"depth": 13}, {"channels": 0}])
def test_values_that_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="segmenter's"):
        SegmentationNetwork(**{"classes": 2, **options})


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SegmentationNetwork(4, width=3, depth=2)
    for _ in range(3):
        network(torch.randn(2, 3, 16, 16) * 3 + 1)  # running statistics of their own
    channels_last = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    file = tmp_path / "deep" / "segmenter.safetensors"
    save_segmenter(file, channels_last, {**FACTS, "note": "Fußweg"})
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    before = torch.random.get_rng_state()
    again, facts = load_segmenter(file)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert facts["note"] == "Fußweg" and facts["size"] == [32, 32] and facts["network"]["depth"] == 2 and not again.training
    image = torch.randn(1, 3, 21, 17)
    assert torch.equal(again(image), network.eval()(image))
    assert len(sha256_of(file)) == 64 and [one.name for one in file.parent.iterdir()] == ["segmenter.safetensors"]
    save_segmenter(tmp_path / "same.safetensors", network, {**FACTS, "note": "Fußweg"})
    assert sha256_of(tmp_path / "same.safetensors") == sha256_of(file)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    file = tmp_path / "segmenter.safetensors"
    network = SegmentationNetwork(2, width=2, depth=2)
    save_segmenter(file, network, FACTS)
    whole = file.read_bytes()
    for content in (b"", whole[:100], whole[:-50]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"segmenter.safetensors is damaged"):
            load_segmenter(file)
    with pytest.raises(UserError, match="absent"):
        load_segmenter(tmp_path / "absent.safetensors")
    file.write_bytes(safetensors.torch.save(network.state_dict()))
    with pytest.raises(UserError, match="not of a segmenter"):
        load_segmenter(file)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"network": {"classes": 3, "channels": 3, "width": 2, "depth": 2}},
        {"network": {"classes": 2, "channels": 3, "width": 2, "depth": 10**9}},
        {"network": {"classes": 2, "channels": 3, "width": 10**9, "depth": 2}},
        {"network": {"classes": 2}},
        {"network": None},
    ],
)
def test_files_that_describe_something_else(tmp_path: Path, change: dict[str, Any]) -> None:
    network = SegmentationNetwork(2, width=2, depth=2)
    about = {"format": 1, "network": {"classes": 2, "channels": 3, "width": 2, "depth": 2}, **FACTS, **change}
    file = tmp_path / "segmenter.safetensors"
    file.write_bytes(safetensors.torch.save(network.state_dict(), metadata={"segmenter": json.dumps(about)}))
    with pytest.raises(UserError, match="does not hold the segmenter that it describes"):
        load_segmenter(file)


def test_no_flipped_bit_and_no_cut_of_a_segmenter_changes_what_is_loaded(tmp_path: Path) -> None:
    network, file = SegmentationNetwork(2, width=2, depth=2), tmp_path / "segmenter.safetensors"
    save_segmenter(file, network, FACTS)
    whole = file.read_bytes()
    loaded, facts = load_segmenter(file)
    refusals = 0
    for what, data in [*flips(whole, 100), *cuts(whole, 20)]:
        file.write_bytes(data)
        try:
            found, read = load_segmenter(file)
        except UserError:
            refusals += 1
            continue
        assert read == facts, what  # the word that names the digest
        assert all(torch.equal(found.state_dict()[name], value) for name, value in loaded.state_dict().items()), what
    assert refusals > 220


@pytest.mark.parametrize("sizes", [{"width": 10**30}, {"depth": 10**9}, {"channels": 2.0}, {"classes": True}, {"width": 10**9}], ids=str)
def test_a_segmenter_that_claims_sizes_is_not_believed(tmp_path: Path, sizes: dict[str, Any]) -> None:
    test_files_that_describe_something_else(tmp_path, {"network": {"classes": 2, "channels": 3, "width": 2, "depth": 2, **sizes}})
