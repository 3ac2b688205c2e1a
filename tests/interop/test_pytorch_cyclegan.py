"""Files of the reference implementation are recognised and loaded, or refused in one sentence."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.damage import Trap
from tests.interop.reference_layouts import State, reference_patch, reference_pixel, reference_resnet, reference_unet
from transfigure.errors import UserError
from transfigure.interop.pytorch_cyclegan import (
    RecognisedNetwork,
    convert_discriminator,
    convert_generator,
    load_discriminator,
    load_generator,
    open_generator,
    read_state,
    recognise,
    write_reference,
)
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.networks.modes import inference


def fits(state: State, found: RecognisedNetwork) -> dict[str, Tensor]:
    """Every number of the file ends up in our network, which takes nothing else but zeros."""
    convert = convert_generator if found.kind == "generator" else convert_discriminator
    converted = convert(state, found)
    network = found.build_discriminator() if found.kind == "discriminator" else found.build_generator()
    network.load_state_dict(converted, strict=True)
    used = {id(value) for value in converted.values()} | {value.data_ptr() for value in converted.values()}
    stale = () if found.options["norm"] == "batch" else ("running_mean", "running_var", "num_batches_tracked")
    for key, value in state.items():
        assert key.endswith(stale or "\0") or value.data_ptr() in used, key
    theirs = {value.data_ptr() for value in state.values()}
    for key, value in converted.items():
        assert value.data_ptr() in theirs or value.abs().max() == 0, key
    return converted


NORMS = st.sampled_from(["batch", "instance", "none"])
CHANNELS = st.integers(1, 5)


@settings(max_examples=25)
@given(source=CHANNELS, target=CHANNELS, width=st.integers(1, 3), depth=st.integers(5, 8), norm=NORMS, stale=st.booleans())
def test_any_unet_is_recognised(**given_: Any) -> None:
    stale = given_.pop("stale") and given_["norm"] == "instance"
    state = reference_unet(**given_, stale=stale)
    found = recognise(state)
    assert (found.kind, found.name, found.source_channels, found.target_channels) == (
        "generator",
        "unet",
        given_["source"],
        given_["target"],
    )
    assert found.options == {
        "width": given_["width"],
        "depth": given_["depth"],
        "norm": given_["norm"],
        "dropout": 0.5,
        "dropout_skip": 1,
        "dropout_layers": given_["depth"] - 5,
    }
    fits(state, found)


@settings(max_examples=25)
@given(
    source=CHANNELS,
    target=CHANNELS,
    width=st.integers(1, 3),
    blocks=st.sampled_from([1, 6, 9]),
    norm=NORMS,
    dropout=st.booleans(),
    stale=st.booleans(),
)
def test_any_resnet_is_recognised(**given_: Any) -> None:
    stale = given_.pop("stale") and given_["norm"] == "instance"
    state = reference_resnet(**given_, stale=stale)
    found = recognise(state)
    assert (found.kind, found.name, found.source_channels, found.target_channels) == (
        "generator",
        "resnet",
        given_["source"],
        given_["target"],
    )
    dropout = 0.5 if given_["dropout"] else 0.0
    assert found.options == {"width": given_["width"], "blocks": given_["blocks"], "norm": given_["norm"], "dropout": dropout}
    fits(state, found)


@settings(max_examples=25)
@given(channels=CHANNELS, width=st.integers(1, 3), n_layers=st.integers(0, 5), norm=NORMS, stale=st.booleans())
def test_any_patch_discriminator_is_recognised(channels: int, width: int, n_layers: int, norm: str, stale: bool) -> None:
    stale = stale and norm == "instance"
    state = reference_patch(channels, width, n_layers, norm, stale) if n_layers else reference_pixel(channels, width, norm, stale)
    found = recognise(state)
    field = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}[n_layers]
    assert found == RecognisedNetwork("discriminator", "patch", {"width": width, "receptive_field": field, "norm": norm}, channels=channels)
    fits(state, found)


def test_layers_end_up_where_they_belong() -> None:
    unet = reference_unet(3, 3, 2, 8, "batch")
    ours = convert_generator(unet, recognise(unet))
    innermost = "model.model.1" + 6 * ".model.3" + ".model"
    assert torch.equal(ours["down.7.conv.weight"], unet[f"{innermost}.1.weight"])
    assert torch.equal(ours["up.0.conv.weight"], unet[f"{innermost}.3.weight"])
    assert torch.equal(ours["up.0.norm.running_var"], unet[f"{innermost}.4.running_var"])
    assert torch.equal(ours["up.6.conv.weight"], unet["model.model.1.model.5.weight"])
    assert torch.equal(ours["down.2.norm.bias"], unet["model.model.1.model.3.model.2.bias"])
    resnet = reference_resnet(3, 3, 2, 6, "instance", dropout=True)
    ours = convert_generator(resnet, recognise(resnet))
    assert torch.equal(ours["blocks.0.second.conv.weight"], resnet["model.10.conv_block.6.weight"])
    assert torch.equal(ours["up.1.conv.bias"], resnet["model.19.bias"])
    assert torch.equal(ours["head.weight"], resnet["model.23.weight"])
    patch = reference_patch(6, 2, 3, "batch")
    ours = convert_discriminator(patch, recognise(patch))
    assert torch.equal(ours["layers.3.norm.running_mean"], patch["model.9.running_mean"])
    assert torch.equal(ours["head.bias"], patch["model.11.bias"])


def test_counters_missing_from_old_files_are_no_matter() -> None:
    state = {key: value for key, value in reference_patch(6, 2, 3, "batch").items() if "num_batches" not in key}
    assert convert_discriminator(state, recognise(state))["layers.1.norm.num_batches_tracked"] == 0


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_dropped(tmp_path: Path, prefix: str) -> None:
    state = reference_patch(6, 2, 1, "batch")
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "net_D.pth")
    assert read_state(tmp_path / "net_D.pth").keys() == state.keys()


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before-1.6"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_a_file_becomes_a_network_in_float32(tmp_path: Path, old: bool, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in reference_unet(1, 2, 1, 5, "batch").items()}
    torch.save(state, tmp_path / "latest_net_G.pth", _use_new_zipfile_serialization=not old)
    network, found = load_generator(tmp_path / "latest_net_G.pth")
    assert not network.training
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 2, 32, 32)
    assert str(found).startswith("generator unet, 1 -> 2 channels, width 1, depth 5, norm batch")


# ---- files that cannot be used ------------------------------------------------------------------------------------------


def _good(path: Path, old: bool = False) -> bytes:
    torch.save(reference_patch(6, 4, 3, "batch"), path, _use_new_zipfile_serialization=not old)
    return path.read_bytes()


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before-1.6"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_said_so(tmp_path: Path, old: bool, share: float) -> None:
    path = tmp_path / "latest_net_D.pth"
    whole = _good(path, old)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"latest_net_D.pth is damaged.*download it again"):
        read_state(path)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before-1.6"])
@pytest.mark.parametrize(
    "content", [{"a": Trap(Path("executed"))}, Trap(Path("executed")), torch.nn.Linear(1, 1), {"epoch": np.float64(3)}]
)
def test_code_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool, content: object) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "net.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(UserError, match=r"net.pth contains code \((posix.mkdir|nt.mkdir|torch.nn|numpy).*not loaded.*state_dict"):
        read_state("net.pth")
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"<!DOCTYPE html>", b"\x89PNG\r\n\x1a\n", pickle.dumps({"a": Trap(Path("executed"))})])
def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"net.pth is not a file of PyTorch weights \(it begins with"):
        read_state("net.pth")
    assert not Path("executed").exists()


def test_missing_files_and_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent.pth does not exist"):
        read_state(tmp_path / "absent.pth")
    with pytest.raises(UserError, match="cannot be read"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], torch.zeros(3), {}, {"G": {"a": torch.zeros(1)}}, {"epoch": 3}, {1: torch.zeros(1)}, 5]
)
def test_what_is_not_a_state_dict_is_said(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError, match="not a state dict"):
        read_state(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda value: torch.empty_like(value, device="meta"), "is a shape without values, and weights are real numbers"),
        (lambda value: value.to(torch.complex64), "is a tensor of torch.complex64, and weights are real numbers"),
    ],
)
def test_tensors_that_are_no_weights_are_named(tmp_path: Path, change: Any, sentence: str) -> None:
    torch.save({name: change(value) for name, value in reference_patch(6, 2, 1, "batch").items()}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=f"'model.0.weight' {sentence}"):
        read_state(tmp_path / "net.pth")


def test_a_small_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    state = reference_patch(6, 2, 1, "batch") | {"model.0.weight": torch.zeros(1).expand(10**6, 10**4, 4, 4)}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"'model.0.weight' claims more values than the file holds"):
        read_state(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.8.weight"), "needs"),
        (lambda state: state.pop("model.11.bias"), "needs model.11.bias"),
        (lambda state: state.update({"model.5.weight": torch.zeros(3, 4, 4, 4)}), r"model.5.weight is \[3, 4, 4, 4\] where"),
        (lambda state: state.update({"extra.bias": torch.zeros(3)}), "extra.bias has no place"),
        (lambda state: state.pop("model.6.running_var"), "needs model.6.running_var"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Callable[[State], object], message: str) -> None:
    state = reference_patch(6, 2, 3, "batch")
    change(state)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UserError, match=rf"net.pth: .*{message}"):
        load_discriminator(tmp_path / "net.pth")


def test_foreign_networks_and_the_wrong_kind_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"begin with layer1.conv.weight, layer1.conv.bias"):
        recognise({"layer1.conv.weight": torch.zeros(1, 1, 3, 3), "layer1.conv.bias": torch.zeros(1)})
    with pytest.raises(UserError, match="nothing"):
        recognise({})
    with pytest.raises(UserError, match="6 layers"):
        recognise(reference_patch(3, 1, 6, "batch"))
    torch.save(reference_pixel(3, 2, "batch"), tmp_path / "net_D.pth")
    with pytest.raises(UserError, match=r"net_D.pth: it is a discriminator patch.*give a generator"):
        load_generator(tmp_path / "net_D.pth")


# ---- the reference's own numbers ----------------------------------------------------------------------------------------


def numbers(shared: Path, name: str) -> dict[str, Tensor]:
    with np.load(shared / "reference" / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.mark.parametrize("name", ["unet128_instance", "resnet9_instance_old"])
def test_generators_compute_what_the_reference_computes(shared: Path, name: str) -> None:
    expected = numbers(shared, name)
    network, _ = load_generator(shared / "reference" / f"{name}.pth")
    with inference(network, norm="running", noise="none"):
        assert (network(expected["x"]) - expected["eval"]).abs().max() < 1e-5
    with inference(network, norm="batch", noise="none"):
        alone = torch.cat([network(image[None]) for image in expected["x"]])
        assert (alone - expected["batchstats"]).abs().max() < 1e-5
    assert expected["eval"].std() > 1e-3


def test_the_discriminator_computes_what_the_reference_computes(shared: Path) -> None:
    expected = numbers(shared, "d70")
    network, found = load_discriminator(shared / "reference" / "d70.pth")
    assert found.options["receptive_field"] == 70
    with torch.no_grad():
        assert (network.train()(expected["x"]).logits[0] - expected["y"]).abs().max() < 1e-5
        alone = [network(image[None]).logits[0] for image in expected["x"]]
    network, _ = load_discriminator(shared / "reference" / "d70.pth")
    with inference(network, norm="batch"):  # each image by itself
        assert (network(expected["x"]).logits[0] - torch.cat(alone)).abs().max() < 1e-5


def test_a_batch_norm_unet_computes_what_the_reference_computes(shared: Path) -> None:
    """Through the L1 term of the first recorded training step, which its starting weights decide."""
    state = torch.load(shared / "reference" / "train_lsgan_init.pth", weights_only=True)
    found = recognise(state["G"])
    assert found.options["norm"] == "batch"
    assert found.options["depth"] == 7
    found.options["dropout"] = 0.0
    generator = found.build_generator().train()
    generator.load_state_dict(convert_generator(state["G"], found), strict=True)
    data = torch.rand(12, 2, 2, 3, 128, 128, generator=torch.Generator().manual_seed(9)) * 2 - 1
    with torch.no_grad():
        fake = generator(data[0, 0])
    recorded = np.load(shared / "reference" / "train_lsgan.npz")
    row = next(recorded[key] for key in recorded.files if recorded[key].ndim == 2)[0]
    assert 10 * (fake - data[0, 1]).abs().mean().item() == pytest.approx(float(row[1]), abs=1e-5)


# ---- back ---------------------------------------------------------------------------------------------------------------


MODES, ONE = Inference(), Domain(1)
UNET7, RESNET6 = {"width": 2, "depth": 7}, {"width": 2, "blocks": 6}
UNET8 = {"width": 2, "depth": 8, "dropout_layers": 3}
AS_THEIRS = {"dropout": 0.5, "dropout_skip": 1, "dropout_layers": 2}


def written(name: str, options: dict[str, Any], file: Path, modes: Inference = MODES, target: Domain = ONE) -> Any:
    """A generator of ours, its configuration, and what is said of the file that was written of it."""
    torch.manual_seed(0)
    generator = build_generator(name, 3, target.channels, options)
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if value.is_floating_point() and (options.get("norm") != "none" or not key.endswith("bias")):
                value.add_(torch.rand_like(value))
    config = ModelConfig(name, options, Domain(3), target, generator.size_multiple, inference=modes)
    return generator, config, write_reference(generator, config, file)


@pytest.mark.parametrize(
    ("name", "options", "flags"),
    [
        ("unet", UNET7, "--netG unet_128 --norm batch --ngf 2 --input_nc 3 --output_nc 1 --no_dropout"),
        (
            "unet",
            {**UNET7, **AS_THEIRS, "depth": 8, "dropout_layers": 3},
            "--netG unet_256 --norm batch --ngf 2 --input_nc 3 --output_nc 1",
        ),
        ("unet", {**UNET7, **AS_THEIRS, "norm": "instance"}, "--netG unet_128 --norm instance --ngf 2 --input_nc 3 --output_nc 1"),
        ("unet", {**UNET7, "norm": "none", "dropout": 0.0}, "--netG unet_128 --norm none --ngf 2 --input_nc 3 --output_nc 1 --no_dropout"),
        ("unet", {**UNET7, **AS_THEIRS, "bottleneck_width": 16}, "--netG unet_128 --norm batch --ngf 2 --input_nc 3 --output_nc 1"),
        ("resnet", RESNET6, "--netG resnet_6blocks --norm instance --ngf 2 --input_nc 3 --output_nc 1 --no_dropout"),
        ("resnet", {"width": 2, "dropout": 0.5, "norm": "batch"}, "--netG resnet_9blocks --norm batch --ngf 2 --input_nc 3 --output_nc 1"),
    ],
)
def test_what_is_written_for_the_reference_is_read_back_bit_for_bit(tmp_path: Path, name: str, options: Any, flags: str) -> None:
    generator, _, said = written(name, options, tmp_path / "net.pth")
    assert said.flags == flags
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    width, dropout = options["width"], not flags.endswith("--no_dropout")
    expected = (
        reference_unet(3, 1, width, options["depth"], options.get("norm", "batch"))
        if name == "unet"
        else reference_resnet(3, 1, width, options.get("blocks", 9), options.get("norm", "instance"), dropout=dropout)
    )
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in expected.items()}
    read, found = load_generator(tmp_path / "net.pth")
    assert found.name == name
    for key, value in generator.state_dict().items():
        assert torch.equal(read.state_dict()[key], value), key


def test_the_reference_s_own_file_is_written_again_as_it_is(shared: Path, tmp_path: Path) -> None:
    generator, config = open_generator(shared / "reference" / "unet128_instance.pth")
    write_reference(generator, config, tmp_path / "again.pth")
    old, new = (read_state(path) for path in (shared / "reference" / "unet128_instance.pth", tmp_path / "again.pth"))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)


@pytest.mark.parametrize(
    ("name", "options", "modes", "flags", "note"),
    [
        ("unet", {**UNET7, **AS_THEIRS}, Inference("running", "none"), "--no_dropout --eval", None),
        ("unet", UNET7, Inference("batch", "dropout"), "--no_dropout", "the reference drops out other layers than this model"),
        ("resnet", {**RESNET6, "dropout": 0.5}, Inference("batch", "none"), "--eval", None),
        ("resnet", {**RESNET6, "dropout": 0.5, "norm": "batch"}, Inference("batch", "none"), "", "leaves the dropout of this network on"),
        ("resnet", {**RESNET6, "dropout": 0.25}, Inference("batch", "dropout"), "--no_dropout", "drops out other layers"),
    ],
)
def test_what_the_reference_would_do_otherwise_is_said(
    tmp_path: Path, name: str, options: Any, modes: Inference, flags: str, note: str | None
) -> None:
    said = written(name, options, tmp_path / "net.pth", modes)[2]
    assert said.flags.partition("--output_nc 1")[2].strip() == flags
    assert (note is None and not said.notes) or (note is not None and note in said.notes[0])


def test_a_model_of_other_values_says_so(tmp_path: Path) -> None:
    assert "8-bit images only" in written("resnet", RESNET6, tmp_path / "net.pth", target=Domain(1, "uint16"))[2].notes[0]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("encoder_decoder", UNET7, "the reference has no encoder_decoder: only unet and resnet can be written for it"),
        ("unet", {**UNET7, "upsampling": "resize"}, "the reference has no unet with upsampling resize"),
        ("unet", {**UNET7, "noise": True}, "the reference has no unet with noise True: only noise False"),
        ("unet", {**UNET7, "bottleneck": "vector"}, "the reference has no unet with bottleneck vector"),
        ("unet", {**UNET7, "bottleneck_width": 4}, "the reference has no unet with bottleneck_width 4"),
        ("unet", {**UNET7, "depth": 5}, "the reference has no unet with depth 5: only 7 and 8"),
        ("resnet", {"width": 2, "blocks": 2}, "the reference has no resnet with blocks 2: only 6 and 9"),
        ("resnet", {**RESNET6, "downsampling": "blur"}, "the reference has no resnet with downsampling blur"),
    ],
)
def test_what_the_reference_has_no_network_for_is_refused(tmp_path: Path, name: str, options: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        written(name, options, tmp_path / "net.pth")
    assert not (tmp_path / "net.pth").exists()


def test_without_norm_the_reference_has_no_biases(tmp_path: Path) -> None:
    generator, config, _ = written("unet", {**UNET7, "norm": "none"}, tmp_path / "net.pth")
    with torch.no_grad():
        generator.get_parameter("down.2.conv.bias").add_(1)
    with pytest.raises(UserError, match=r"have no biases, and this one has \(down\.2\.conv\.bias\)"):
        write_reference(generator, config, tmp_path / "other.pth")
    assert not (tmp_path / "other.pth").exists()


def test_another_s_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"theirs")
    with pytest.raises(UserError, match="--overwrite"):
        written("resnet", RESNET6, tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == b"theirs"
