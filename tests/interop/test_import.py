"""``transfigure import``: other people's networks become model directories, or one sentence says why not and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.damage import Trap
from tests.interop.reference_layouts import State, reference_patch, reference_resnet, reference_unet
from tests.tiny import noise_image
from transfigure.cli.main import main
from transfigure.networks.model_file import Inference
from transfigure.translation.translator import Translator

NOTE = "note: the dropout that this network was trained with is off: turn it on by --noise dropout\n"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A generator's file, in a folder of its own, as another program left it."""
    torch.manual_seed(0)
    (tmp_path / "checkpoints").mkdir()
    torch.save(reference_unet(3, 2, 2, 6, "batch"), tmp_path / "checkpoints" / "latest_net_G.pth")
    return tmp_path / "checkpoints" / "latest_net_G.pth"


def test_a_file_becomes_a_model_directory(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(net), "--out", str(tmp_path / "a model")]) == 0
    said = capsys.readouterr()
    assert said.out == (
        f"{tmp_path / 'a model'}: generator unet, 3 -> 2 channels, width 2, depth 6, norm batch, dropout 0.5, dropout_skip 1, "
        "dropout_layers 1; runs with batch statistics and no dropout\n"
    )
    assert said.err == f"{NOTE}next:    transfigure translate '{tmp_path / 'a model'}' INPUT OUTPUT\n"
    model, image = Translator.load(tmp_path / "a model"), noise_image(50, 70)
    assert model.inference == Inference(noise="none")
    assert model.config.checkpoint == {"which": "imported from latest_net_G.pth"}
    assert np.array_equal(model(image), Translator.load(net)(image))
    assert capsys.readouterr().err == NOTE  # of the file; the model says nothing: its noise is a choice now
    assert sorted(file.name for file in (tmp_path / "a model").iterdir()) == ["README.md", "config.json", "generator.safetensors"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("--noise dropout", Inference("batch", "dropout")), ("--norm running --noise none", Inference("running", "none"))],
)
def test_the_choices_become_the_model_s(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: str, expected: Inference
) -> None:
    assert main(["import", str(net), "--out", str(tmp_path / "model"), *flags.split()]) == 0
    assert Translator.load(tmp_path / "model").inference == expected
    assert "note" not in capsys.readouterr().err


def test_prefixes_and_stale_statistics_are_no_obstacle(tmp_path: Path) -> None:
    state = reference_resnet(3, 3, 2, 6, "instance", dropout=False, stale=True)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "latest_net_G_A.pth")
    assert main(["import", str(tmp_path / "latest_net_G_A.pth"), "--out", str(tmp_path / "model"), "--quiet"]) == 0
    weights = Translator.load(tmp_path / "model").generator.state_dict()
    assert torch.equal(weights["stem.conv.weight"], state["model.1.weight"])


def refused(source: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """The one sentence that refuses it; nothing has been written beside it."""
    before = sorted(source.parent.rglob("*"))
    assert main(["import", str(source), "--out", str(source.parent / "new" / "model"), *flags]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert sorted(source.parent.rglob("*")) == before
    return said.err.removeprefix("transfigure: ").rstrip("\n")


def broken(net: Path, change: dict[str, torch.Tensor]) -> None:
    state: State = torch.load(net, weights_only=True)
    torch.save({**state, **change}, net)


def test_a_discriminator_is_no_generator(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(reference_patch(6, 2, 3, "batch"), net)
    assert "it is a discriminator patch, 6 channels, width 2, receptive_field 70, norm batch: give a generator" in refused(net, capsys)


def test_weights_that_are_not_finite_are_named(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nan = torch.full((4, 2, 4, 4), torch.nan)
    broken(net, {"model.model.1.model.1.weight": nan, "model.model.1.model.2.running_var": torch.full((4,), torch.inf)})
    assert "holds values that are not finite, in down.1.conv.weight (and in 1 more)" in refused(net, capsys)


def test_an_output_that_is_not_finite_is_refused(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(net, {"model.model.0.weight": torch.full((2, 3, 4, 4), 3e38)})
    assert "makes values that are not finite of an image of noise" in refused(net, capsys)


def test_odd_keys_are_named(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {f"attention.{index}.weight": torch.zeros(1) for index in range(5)}
    broken(net, odd)
    assert "attention.0.weight, attention.1.weight, attention.2.weight and 2 more have no place in generator unet" in refused(net, capsys)


def test_a_truncated_file(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_bytes(net.read_bytes()[:5000])
    assert refused(net, capsys) == f"{net} is damaged, perhaps cut short: copy or download it again"


def test_code_is_refused_and_not_run(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model.model.0.weight": Trap(net.parent / "executed")}, net)
    assert "contains code" in refused(net, capsys)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refused(tmp_path / "absent.pth", capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "net.pth")
    assert "is no file" in refused(tmp_path / "net.pth", capsys)
