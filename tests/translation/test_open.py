"""One function opens runs, model directories and the reference implementation's files, with their own inference options or others."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.damage import Trap
from tests.tiny import noise_image, tiny_config, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.networks.model_file import Inference
from transfigure.translation.translator import Translator


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a last and a best model."""
    for which in ("model", "model_best"):
        translator = tiny_translator(tiny_config(checkpoint={"which": which}), seed=len(which))
        translator.inference = Inference("batch", "dropout", 3)
        translator.save(tmp_path / "run" / which)
    return tmp_path / "run"


def reference_file(path: Path, width: int = 4, depth: int = 5, norm: str = "batch") -> dict[str, torch.Tensor]:
    """A U-Net's weights under the names that the reference implementation gives them: blocks nested from the outside in."""
    torch.manual_seed(0)
    widths = [width * min(2**level, 8) for level in range(depth)]
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, *shape: int, bias: bool) -> None:
        state[f"{name}.weight"] = torch.randn(*shape, 4, 4) * 0.2
        if bias:
            state[f"{name}.bias"] = torch.randn(shape[1] if name.endswith(("3", "5")) else shape[0]) * 0.2

    def batch_norm(name: str, channels: int) -> None:
        if norm == "batch":
            state[f"{name}.weight"], state[f"{name}.bias"] = torch.rand(channels) + 0.5, torch.randn(channels) * 0.1
            state[f"{name}.running_mean"], state[f"{name}.running_var"] = torch.zeros(channels), torch.ones(channels)
            state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    inner = norm == "instance"
    conv("model.model.0", widths[0], 3, bias=inner)
    block = "model.model"
    for level in range(1, depth):
        innermost = level == depth - 1
        block = f"{block}.{1 if level == 1 else 3}.model"
        conv(f"{block}.1", widths[level], widths[level - 1], bias=inner)
        up = 3 if innermost else 5
        if not innermost:
            batch_norm(f"{block}.2", widths[level])
        conv(f"{block}.{up}", widths[level] * (1 if innermost else 2), widths[level - 1], bias=inner)
        batch_norm(f"{block}.{up + 1}", widths[level - 1])
    conv("model.model.3", 2 * widths[0], 3, bias=True)
    torch.save(state, path)
    return state


# ---- ours ---------------------------------------------------------------------------------------------------------------


def test_runs_and_model_directories(run: Path) -> None:
    image = noise_image(20, 24)
    for path in (run, str(run), run / "model"):
        assert np.array_equal(Translator.load(path)(image), Translator.load(run)(image))
    best = Translator.load(run, checkpoint="best")
    assert best.config.checkpoint == {"which": "model_best"}
    assert Translator.load(run).origin == run


def test_without_flags_the_stored_choice_holds(run: Path) -> None:
    assert Translator.load(run).inference == Inference("batch", "dropout", 3)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"norm": "running"}, Inference("running", "dropout", 3)),
        ({"noise": "none"}, Inference("batch", "none", 3)),
        ({"seed": 0}, Inference("batch", "dropout", 0)),
        ({"norm": "running", "noise": "none", "seed": 9}, Inference("running", "none", 9)),
    ],
    ids=str,
)
def test_flags_override_the_stored_choice(run: Path, flags: dict[str, Any], expected: Inference) -> None:
    image = noise_image(32, 32)
    chosen = Translator.load(run, **flags)
    assert chosen.inference == expected
    assert not np.array_equal(chosen(image), Translator.load(run)(image))
    assert Translator.load(run).inference == Inference("batch", "dropout", 3)  # the files are as they were


@pytest.mark.parametrize("flags", [{"norm": "eval"}, {"noise": "some"}, {"seed": -1}, {"seed": 2**64}, {"device": "abacus"}], ids=str)
def test_flags_that_there_are_not(run: Path, flags: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=str(next(iter(flags.values())))):
        Translator.load(run, **flags)


def test_files_that_are_no_model(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    for name in ("a.png", "absent", "absent.pth"):
        with pytest.raises(UserError, match=name):
            Translator.load(tmp_path / name)
    with pytest.raises(UserError, match=r"is not a model.*perhaps .*run/model\)"):
        Translator.load(run / "model" / "generator.safetensors")


# ---- the reference implementation's --------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_reference_file_translates(tmp_path: Path, norm: str) -> None:
    state = reference_file(tmp_path / "latest_net_G.pth", norm=norm)
    translator = Translator.load(tmp_path / "latest_net_G.pth")
    assert (translator.config.source.channels, translator.config.target.channels) == (3, 3)
    assert translator.config.options["norm"] == norm
    assert translator.config.size_multiple == 32
    assert translator.inference == Inference(noise="none")
    assert translator.origin == tmp_path / "latest_net_G.pth"
    assert torch.equal(translator.generator.state_dict()["up.4.conv.weight"], state["model.model.3.weight"])
    output = translator(noise_image(37, 53))
    assert output.shape == (37, 53, 3)
    assert output.std() > 1


def test_a_reference_file_becomes_a_model_directory(tmp_path: Path) -> None:
    reference_file(tmp_path / "net.pth", depth=6)
    imported = Translator.load(tmp_path / "net.pth", seed=5)
    imported.save(tmp_path / "model")
    image = noise_image(64, 64)
    kept = Translator.load(tmp_path / "model")
    assert kept.inference == Inference(noise="none", seed=5)
    assert replace(kept.config, inference=Inference(noise="none")) == imported.config
    assert np.array_equal(kept(image), imported(image))
    assert "imported from net.pth" in (tmp_path / "model" / "README.md").read_text()


def test_flags_hold_for_reference_files(tmp_path: Path) -> None:
    reference_file(tmp_path / "net.pth", depth=6)
    image = noise_image(64, 64)
    noisy = [Translator.load(tmp_path / "net.pth", noise="dropout", seed=seed)(image) for seed in (0, 1)]
    assert not np.array_equal(noisy[0], noisy[1])
    quiet = [Translator.load(tmp_path / "net.pth", noise="none", seed=seed)(image) for seed in (0, 1)]
    assert np.array_equal(quiet[0], quiet[1])
    assert Translator.load(tmp_path / "net.pth", norm="running").inference.norm == "running"


def test_the_dropout_of_a_reference_file_is_off_and_this_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference_file(tmp_path / "net.pth", depth=6)
    image, note = noise_image(64, 64), "note: the dropout that this network was trained with is off: turn it on by --noise dropout\n"
    translator = Translator.load(tmp_path / "net.pth")
    outputs = [translator(image), Translator.load(tmp_path / "net.pth", seed=1, quiet=True)(image)]
    assert np.array_equal(*outputs)
    assert capsys.readouterr().err == note
    images.write(tmp_path / "in.png", image)
    assert main(["translate", str(tmp_path / "net.pth"), str(tmp_path / "in.png"), str(tmp_path / "out.png")]) == 0
    assert capsys.readouterr().err.count(note) == 1
    assert np.array_equal(images.read(tmp_path / "out.png"), outputs[0])


@pytest.mark.parametrize("noise", ["none", "dropout"])
def test_who_chooses_the_noise_is_told_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], noise: Any) -> None:
    reference_file(tmp_path / "net.pth", depth=6)
    assert Translator.load(tmp_path / "net.pth", noise=noise).inference.noise == noise
    reference_file(tmp_path / "without.pth", depth=5)
    Translator.load(tmp_path / "without.pth")
    assert capsys.readouterr().err == ""


def test_a_reference_file_cut_short(tmp_path: Path) -> None:
    reference_file(tmp_path / "net.pth")
    data = (tmp_path / "net.pth").read_bytes()
    for kept in (0, 3, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "net.pth").write_bytes(data[:kept])
        with pytest.raises(UserError, match=r"net\.pth"):
            Translator.load(tmp_path / "net.pth")


def test_code_in_a_reference_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"model.model.0.weight": Trap(tmp_path / "executed")}, tmp_path / "net.pth")
    with pytest.raises(UserError, match="code"):
        Translator.load(tmp_path / "net.pth")
    assert not (tmp_path / "executed").exists()


def test_our_own_checkpoint_is_no_reference_file(tmp_path: Path) -> None:
    torch.save({"generator": {"down.0.conv.weight": torch.zeros(4, 3, 4, 4)}, "step": 3}, tmp_path / "last.pt")
    with pytest.raises(UserError, match=r"last\.pt"):
        Translator.load(tmp_path / "last.pt")
    tiny_translator().save(tmp_path / "run" / "model")
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "last.pt").rename(tmp_path / "run" / "checkpoints" / "last.pt")
    with pytest.raises(UserError, match="give the run itself"):
        Translator.load(tmp_path / "run" / "checkpoints" / "last.pt")


@pytest.mark.parametrize(("noise", "norm", "expected"), [("none", "batch", "batchstats"), ("none", "running", "eval")])
def test_the_reference_s_own_numbers(shared: Path, noise: Any, norm: Any, expected: str) -> None:
    numbers = np.load(shared / "reference" / "unet128_instance.npz")
    translator = Translator.load(shared / "reference" / "unet128_instance.pth", noise=noise, norm=norm)
    output = translator.translate_tensor(torch.from_numpy(numbers["x"]))
    np.testing.assert_allclose(output.numpy(), numbers[expected], atol=2e-5)
    assert translator.config.trained_size == 128


def test_a_residual_generator_of_the_reference(shared: Path) -> None:
    numbers = np.load(shared / "reference" / "resnet9_instance_old.npz")
    translator = Translator.load(shared / "reference" / "resnet9_instance_old.pth")
    expected = numbers["batchstats"] if "batchstats" in numbers else numbers["eval"]
    np.testing.assert_allclose(translator.translate_tensor(torch.from_numpy(numbers["x"])).numpy(), expected, atol=2e-5)
    assert translator(noise_image(5, 3)).shape == (5, 3, 3)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_no_network(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 5_000_000)
    with pytest.raises(UserError, match="damaged"):
        Translator.load(tmp_path / "net.pth")


def test_a_device_of_thousands_of_digits(run: Path) -> None:
    with pytest.raises(UserError, match="not available"):
        Translator.load(run, device="cpu:" + "1" * 4301)
