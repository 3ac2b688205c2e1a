"""Generators that pix2pix-tensorflow exported: they make TensorFlow's own numbers, or one sentence says what is wrong with the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.interop.foreign_files import exported, variables
from tests.interop.make_pix2pix_tensorflow import FILE, NUMBERS, SHOWN, SIDES, Arrays, image
from tests.tiny import noise_image
from transfigure.cli.main import main
from transfigure.errors import UserError
from transfigure.interop.opening import open_file
from transfigure.interop.pix2pix_tensorflow import is_pict, open_generator, read_weights
from transfigure.interop.pytorch_cyclegan import write_reference
from transfigure.networks.base import Generator
from transfigure.networks.model_file import Inference
from transfigure.networks.modes import inference
from transfigure.translation.translator import Translator


def by_hand(weights: Arrays, x: NDArray[Any], depth: int) -> NDArray[Any]:
    """What such a network makes of ``[H, W, C]``, from the definitions of its layers: sums over the 4 x 4 shifts of a kernel."""
    weights = {name.replace("/batch_normalization/", "/"): value for name, value in weights.items()}

    def conv(x: NDArray[Any], scope: str) -> NDArray[Any]:
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        kernel, (height, width) = weights[f"generator/{scope}/conv2d/kernel"], (side // 2 for side in x.shape[:2])
        shifted = (padded[i : i + 2 * height : 2, j : j + 2 * width : 2] @ kernel[i, j] for i in range(4) for j in range(4))
        return sum(shifted) + weights[f"generator/{scope}/conv2d/bias"]

    def transposed(x: NDArray[Any], scope: str) -> NDArray[Any]:
        kernel, (height, width) = weights[f"generator/{scope}/conv2d_transpose/kernel"], x.shape[:2]
        padded = np.zeros((2 * height + 2, 2 * width + 2, kernel.shape[2]))
        for i in range(4):
            for j in range(4):
                padded[i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
        return padded[1:-1, 1:-1] + weights[f"generator/{scope}/conv2d_transpose/bias"]

    def norm(x: NDArray[Any], scope: str) -> NDArray[Any]:
        scaled = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)
        return scaled * weights[f"generator/{scope}/gamma"] + weights[f"generator/{scope}/beta"]

    maps = [conv(x, "encoder_1")]
    for level in range(2, depth + 1):
        maps.append(norm(conv(np.maximum(maps[-1], 0.2 * maps[-1]), f"encoder_{level}"), f"encoder_{level}"))
    y = maps.pop()
    for level in range(depth, 0, -1):
        y = transposed(np.maximum(y, 0), f"decoder_{level}")
        if maps:
            y = np.concatenate([norm(y, f"decoder_{level}"), maps.pop()], 2)
    return np.tanh(y)


def run(generator: Generator, x: NDArray[Any]) -> NDArray[Any]:
    with inference(generator, "batch", "none"):
        return generator(torch.from_numpy(x.transpose(0, 3, 1, 2)).double())[0].numpy().transpose(1, 2, 0)


# ---- sound files --------------------------------------------------------------------------------------------------------


def test_a_file_of_the_original_exporter_makes_the_numbers_of_tensorflow() -> None:
    """Its bottleneck is one position at 256 pixels, which a batch norm turns into its shift, and four at 512."""
    generator, config = open_generator(FILE)
    assert config.options == {
        **{"width": 1, "depth": 8, "norm": "batch", "dropout": 0.5, "dropout_layers": 3},
        **{"bottleneck_norm": True, "first_bias": True},
    }
    assert (config.size_multiple, config.trained_size, config.inference) == (256, 256, Inference("batch", "none"))
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    numbers = np.load(NUMBERS)
    for side in SIDES:
        np.testing.assert_allclose(run(generator.double(), image(side))[SHOWN, SHOWN], numbers[str(side)], atol=2e-6)
    assert all(torch.equal(value.float(), before[name].float()) for name, value in generator.state_dict().items())


@pytest.mark.parametrize(("sizes", "shape"), [({}, (16, 32)), ({"depth": 5, "width": 1, "source": 1, "target": 4}, (96, 64))])
def test_other_sizes_as_worked_out_by_hand(tmp_path: Path, sizes: dict[str, int], shape: tuple[int, int]) -> None:
    weights = variables(**sizes)
    (tmp_path / "a.pict").write_bytes(exported(weights))
    x = np.random.default_rng(1).uniform(-1, 1, (1, *shape, sizes.get("source", 3)))
    generator, _ = open_file(tmp_path / "a.pict")
    expected = by_hand(
        {name: value.astype(np.float64) for name, value in read_weights(tmp_path / "a.pict").items()}, x[0], sizes.get("depth", 4)
    )
    np.testing.assert_allclose(run(generator.double(), x), expected, atol=1e-6)


def test_the_names_of_before_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(exported(variables(former=True)))
    generator, config = open_file(tmp_path / "old.bin")
    assert config.options["first_bias"] is False
    kernel = read_weights(tmp_path / "old.bin")["generator/encoder_2/conv/filter"]
    assert np.array_equal(generator.state_dict()["down.1.conv.weight"][3, 1].numpy(), kernel[:, :, 1, 3])


def test_it_becomes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edges2cats.pict").write_bytes(exported(variables(depth=5)))
    assert main(["import", str(tmp_path / "edges2cats.pict"), "--out", str(tmp_path / "model")]) == 0
    assert "bottleneck_norm True" in capsys.readouterr().out
    model = Translator.load(tmp_path / "model")
    assert model.config.checkpoint == {"which": "imported from edges2cats.pict"}
    picture = model(noise_image(32, 40))
    assert picture.std() > 1
    assert np.array_equal(Translator.load(tmp_path / "edges2cats.pict")(noise_image(32, 40)), picture)
    with pytest.raises(UserError, match="the reference has no unet with "):
        write_reference(model.generator, model.config, tmp_path / "net.pth")


def test_it_is_known_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(FILE.read_bytes())
    for name, content in (("b.pict", b""), ("c.pict", b"PK\x03\x04[{"), ("d.pict", b"\0\0\0\x05[1,2]")):
        (tmp_path / name).write_bytes(content)
        assert not is_pict(tmp_path / name)
    assert is_pict(tmp_path / "a.png")
    assert not is_pict(tmp_path)


# ---- others -------------------------------------------------------------------------------------------------------------


def without(*endings: str) -> Arrays:
    return {name: value for name, value in variables().items() if not name.endswith(endings)}


def named(change: Callable[[str], str]) -> Arrays:
    return {change(name): value for name, value in variables().items()}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (exported(without("decoder_2/conv2d_transpose/kernel")), "it has no decoder_2/conv2d_transpose/kernel"),
        (exported(without("encoder_1/conv2d/kernel")), "is no generator of pix2pix-tensorflow (its names begin with encoder_1/conv2d/bias"),
        (exported(named(lambda name: name.replace("generator", "discriminator"))), "(its names begin with discriminator/encoder_1"),
        (exported(named(lambda name: name.replace("conv2d/", "separable_conv2d/"))), "--separable_conv"),
        (exported(variables(source=1, target=2)), "--lab_colorization"),
        (exported({**variables(), "generator/attention": np.zeros(3)}), "here: attention has no place in it"),
        (exported({**variables(), "generator/encoder_2/conv2d/kernel": np.ones((4, 4, 2, 5))}), "kernel is [4, 4, 2, 5] and does not fit"),
        (exported(variables(), numbers=np.full(256, np.nan, np.float32).tobytes()), "not finite, in down.0.conv.weight (and in"),
        (exported(variables(), numbers=bytes(8)), "it holds 8 bytes of numbers and not 1024"),
        (exported(variables(), weights=bytes(8)), "weights and holds 8)"),
        (exported(variables(), names=b'[{"name'), "its names and shapes cannot be read"),
        (exported(variables(), names=b'[{"name": "a", "shape": [2, -1]}]'), "a has no shape that an array can have"),
        (exported(variables(), names=b'[{"name": "a", "shape": [99999999]}]'), "a has no shape that an array can have"),
        (exported(variables(), names=b'[{"name": "a", "shape": [1]}, {"name": "a", "shape": [1]}]'), "a name is in it twice"),
        (exported(variables(), names=b'[{"a": 1}]'), "its names and shapes cannot be read"),
        (exported(variables()) + b"more", "it does not end with its weights"),
        (exported(variables())[:-1], "its weights are said to be"),
        (exported(variables())[:300], "its names are said to be"),
    ],
)  # fmt: skip
def test_what_is_no_such_generator_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str) -> None:
    (tmp_path / "a.pict").write_bytes(content)
    assert main(["import", str(tmp_path / "a.pict"), "--out", str(tmp_path / "model")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_it_has_no_statistics_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(FILE), "--out", str(tmp_path / "model"), "--norm", "running"]) == 2
    assert "holds no statistics that were gathered in training: leave out --norm running\n" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds no statistics"):
        Translator.load(FILE, norm="running")


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 700), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    """Nothing says whether a weight is the one that was written; all else gives a sentence."""
    file = tmp_path_factory.mktemp("changed") / "a.pict"
    content = bytearray(exported(variables(depth=2)))
    content[place] = byte
    file.write_bytes(content)
    try:
        read_weights(file)
    except UserError as error:
        assert re.search(r"a\.pict", str(error))
