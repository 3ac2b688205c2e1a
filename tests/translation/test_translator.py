"""Any picture in, the same kind of picture out: sizes, types, noise and statistics as they were asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tiny import RESNET, Copy, copying, noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.errors import RunFailure, UserError
from transfigure.networks.model_file import CONFIG, WEIGHTS, Domain, Inference
from transfigure.translation.devices import pick_device
from transfigure.translation.network import pad_by_reflection
from transfigure.translation.translator import Translator

SIZES = [(1, 1), (1, 300), (37, 53), (300, 1), (16, 16), (15, 17), (2, 3)]


def seen_by(translator: Translator) -> list[torch.Tensor]:
    """What a copying generator was given."""
    assert isinstance(translator.generator, Copy)
    return translator.generator.seen


# ---- size ---------------------------------------------------------------------------------------------------------------


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.sampled_from([1, 2, 4, 16, 32]), smallest=st.sampled_from([1, 8, 50])
)
@settings(max_examples=150)
def test_padding_mirrors_as_numpy_does(height: int, width: int, multiple: int, smallest: int) -> None:
    image = torch.arange(2.0 * height * width).reshape(2, height, width)
    padded = pad_by_reflection(image, multiple, smallest)
    new_height, new_width = padded.shape[1:]
    for old, new in ((height, new_height), (width, new_width)):
        assert new % multiple == 0
        assert new >= max(old, smallest)
        assert new < max(old, smallest) + multiple
    expected = np.pad(image.numpy(), ((0, 0), (0, new_height - height), (0, new_width - width)), mode="reflect")
    assert np.array_equal(padded.numpy(), expected)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3, 5]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    multiple=st.sampled_from([1, 4, 32]),
)
@settings(max_examples=100)
def test_a_generator_that_copies_gives_the_input_back(height: int, width: int, channels: int, dtype: str, multiple: int) -> None:
    image = noise_image(height, width, channels, dtype, seed=height * width)
    translator = copying(Domain(channels, dtype), multiple, smallest=8)
    output = translator(image)
    assert output.dtype == image.dtype
    if dtype == "float32":
        np.testing.assert_allclose(output, image, atol=1e-6)
    else:
        assert np.array_equal(output, image)
    (seen,) = seen_by(translator)
    assert seen.shape[2] % multiple == seen.shape[3] % multiple == 0
    assert min(seen.shape[2:]) >= 8


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "config", [tiny_config(), tiny_config("resnet", RESNET, size_multiple=4), tiny_config("encoder_decoder")], ids=lambda one: one.generator
)
def test_every_generator_takes_every_size(config: Any, size: tuple[int, int]) -> None:
    output = tiny_translator(config)(noise_image(*size))
    assert output.shape == (*size, 3)
    assert output.dtype == np.uint8


def test_an_image_that_fits_is_not_padded() -> None:
    translator = copying(multiple=16)
    translator(noise_image(32, 48))
    assert seen_by(translator)[0].shape == (1, 3, 32, 48)


def test_a_pixel_is_padded_even_where_the_size_is_a_multiple() -> None:
    """4 x 4 is a multiple of 4, and yet too small for the residual generator."""
    assert tiny_translator(tiny_config("resnet", RESNET, size_multiple=4))(noise_image(4, 4)).shape == (4, 4, 3)


def test_another_generator_runs_from_then_on() -> None:
    translator = tiny_translator()
    image = torch.rand(1, 3, 20, 24) * 2 - 1
    translator.generator = Copy()
    assert torch.equal(translator.translate_tensor(image), image)
    assert torch.equal(replace(tiny_translator(), generator=Copy()).translate_tensor(image), image)


# ---- noise and statistics -----------------------------------------------------------------------------------------------


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    translator = tiny_translator()
    batch = torch.rand(3, 3, 20, 24) * 2 - 1
    together = translator.translate_tensor(batch)
    for index in (2, 0, 1):
        assert torch.equal(translator.translate_tensor(batch[index : index + 1])[0], together[index])


def test_the_default_is_the_paper_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout on and the statistics of the image at hand: what the generator computes in training mode."""
    translator = tiny_translator()
    assert translator.inference == Inference("batch", "dropout", 0)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    generator, stream = tiny_translator().generator.train(), np.random.default_rng(0)

    def dropout(x: torch.Tensor) -> torch.Tensor:
        return x * torch.from_numpy((stream.random(x.shape, dtype=np.float32) >= 0.5) * np.float32(2))

    for layer in generator.modules():
        if isinstance(layer, torch.nn.Dropout):
            monkeypatch.setattr(layer, "forward", dropout)
    with torch.no_grad():
        expected = generator(x)
    assert torch.equal(translator.translate_tensor(x), expected)


def test_seeds() -> None:
    translator, image = tiny_translator(), noise_image(32, 32)
    first = translator(image)
    translator(noise_image(20, 70, seed=1))
    assert np.array_equal(translator(image), first)
    translator.inference = Inference(seed=1)
    assert not np.array_equal(translator(image), first)


def test_without_noise_the_seed_means_nothing() -> None:
    translator, image = tiny_translator(), noise_image(32, 32)
    noisy = translator(image)
    outputs = []
    for seed in (0, 1):
        translator.inference = Inference(noise="none", seed=seed)
        outputs.append(translator(image))
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], noisy)


def test_running_statistics_are_others_than_the_image_s() -> None:
    translator, image = tiny_translator(), noise_image(32, 32)
    translator.inference = Inference("running", "none")
    running = translator(image)
    with torch.no_grad():
        expected = translator.generator.eval()(images.to_tensor(image)[None])[0]
    assert np.array_equal(running, images.to_array(expected))
    translator.inference = Inference("batch", "none")
    assert not np.array_equal(translator(image), running)


def test_translating_leaves_the_generator_and_the_random_numbers_alone() -> None:
    translator = tiny_translator()
    translator.generator.train()
    before = {name: value.clone() for name, value in translator.generator.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    translator(noise_image(16, 16))
    assert torch.equal(torch.rand(2), expected)
    assert translator.generator.training
    for name, value in translator.generator.state_dict().items():
        assert torch.equal(value, before[name]), name


# ---- kinds of picture ---------------------------------------------------------------------------------------------------


def test_pillow_images_give_pillow_images() -> None:
    translator = copying()
    colour = Image.fromarray(noise_image(7, 9))
    assert np.array_equal(np.array(translator(colour)), np.array(colour))
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        picture = colour.convert(mode)
        output = translator(picture)
        assert (output.mode, output.size) == ("RGB", (9, 7))
        assert np.array_equal(np.array(output), np.array(picture.convert("RGB"))), mode


def test_pillow_images_of_16_bits() -> None:
    deep = Image.fromarray(noise_image(5, 6, 1, "uint16")[:, :, 0])
    assert deep.mode == "I;16"
    output = copying(Domain(1, "uint16"))(deep)
    assert output.mode == "I;16"
    assert np.array_equal(np.array(output), np.array(deep))
    shallow = copying(1)(deep)
    assert shallow.mode == "L"
    np.testing.assert_allclose(np.array(shallow), np.array(deep) / 257, atol=0.501)


def test_pillow_float_images() -> None:
    picture = Image.fromarray(noise_image(5, 6, 1, "float32")[:, :, 0])
    output = copying(Domain(1, "float32"))(picture)
    assert output.mode == "F"
    np.testing.assert_allclose(np.array(output), np.array(picture), atol=1e-6)


def test_a_transparent_pillow_image_is_refused() -> None:
    with pytest.raises(UserError, match="transparent"):
        copying()(Image.new("RGBA", (4, 4), (1, 2, 3, 100)))


def test_integers_beyond_16_bits_are_refused() -> None:
    assert copying(Domain(1, "uint16"))(Image.new("I", (4, 4), 65535)).getpixel((0, 0)) == 65535
    with pytest.raises(UserError, match="65535"):
        copying(1)(Image.new("I", (4, 4), 65536))


def test_a_truncated_pillow_image_is_a_sentence(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", noise_image(64, 64))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with Image.open(tmp_path / "a.png") as picture, pytest.raises(UserError, match=r"a\.png cannot be decoded"):
        copying()(picture)


def test_a_model_of_many_channels_cannot_answer_with_a_pillow_image() -> None:
    translator = tiny_translator(tiny_config(source=3, target=5))
    assert translator(noise_image(6, 7)).shape == (6, 7, 5)
    with pytest.raises(UserError, match="5 channels"):
        translator(Image.fromarray(noise_image(6, 7)))


def test_arrays_without_a_channel_axis() -> None:
    grey = noise_image(6, 7, 1)[:, :, 0]
    assert np.array_equal(copying(1)(grey), grey)
    assert np.array_equal(copying(1)(grey[:, :, None]), grey[:, :, None])
    assert tiny_translator(tiny_config(source=1, target=3))(grey).shape == (6, 7, 3)


@pytest.mark.parametrize("have", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("want", ["uint8", "uint16", "float32"])
def test_another_depth_keeps_black_and_white(have: str, want: str) -> None:
    white, top = ({"uint8": 255, "uint16": 65535, "float32": 1.0}[name] for name in (have, want))
    ramp = (np.linspace(0, 1, 11)[None, :, None] * white).astype(have)
    output = copying(Domain(1, want))(ramp)
    assert output.dtype == want
    np.testing.assert_allclose(output[..., 0] / top, ramp[..., 0] / white, atol=1 / 255)


def test_the_model_s_value_range_holds_for_its_own_type() -> None:
    translator = copying(Domain(1, "uint16", (1000.0, 3000.0)))
    values = np.array([[0, 1000, 2000, 3000, 60000]], dtype=np.uint16)
    assert translator(values).tolist() == [[1000, 1000, 2000, 3000, 3000]]
    assert translator(np.array([[0, 255]], dtype=np.uint8)).tolist() == [[1000, 3000]]


def test_that_another_type_ignores_the_range_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    copying(Domain(1, "uint16", (1000.0, 3000.0)))(np.zeros((2, 2), np.uint8))
    assert "uint8" in capsys.readouterr().err


@pytest.mark.parametrize("order", [">u2", "<u2"])
def test_byte_order_and_strides_do_not_matter(order: str) -> None:
    image = noise_image(9, 8, 3, "uint16")
    translator = copying(Domain(3, "uint16"))
    assert np.array_equal(translator(image.astype(order)), image)
    assert np.array_equal(translator(image[::-1, ::-1]), image[::-1, ::-1])
    image.setflags(write=False)
    assert np.array_equal(translator(image), image)


def test_grey_and_colour_are_converted_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    grey = noise_image(4, 5, 1)
    translator = copying(3)
    assert np.array_equal(translator(grey), np.repeat(grey, 3, axis=2))
    translator(grey)
    translator(Image.fromarray(grey[:, :, 0]))
    said = capsys.readouterr()
    assert said.err.count("note:") == 1
    assert "grey" in said.err
    assert not said.out
    white = np.full((4, 5, 3), 255, np.uint8)
    assert (copying(1)(white) == 255).all()
    assert capsys.readouterr().err.count("note:") == 1


def test_quiet_translators_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    translator = copying(3)
    translator.quiet = True
    translator(noise_image(4, 5, 1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("have", "want"), [(4, 3), (2, 1), (5, 3), (3, 5), (1, 2)])
def test_wrong_channels_name_both_numbers(have: int, want: int) -> None:
    with pytest.raises(UserError, match=rf"{have}\b.*\b{want}\b"):
        copying(want)(noise_image(4, 4, have))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_array_with_its_channels_first_is_told_so(channels: int) -> None:
    with pytest.raises(UserError, match=rf"shape \({channels}, 48, 32\) seems to be in \[C, H, W\] order: .*transpose\(1, 2, 0\)"):
        copying(channels)(noise_image(channels, 48, 32))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.complex64),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.full((4, 4, 3), np.nan, np.float32),
        np.full((4, 4, 3), 2.0, np.float32),
        np.full((4, 4, 3), np.inf, np.float32),
        "picture.png",
        [[1, 2], [3, 4]],
        None,
    ],
    ids=lambda value: f"{getattr(value, 'shape', value)}-{getattr(value, 'dtype', '')}",
)
def test_what_is_no_image_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(UserError) as caught:
        tiny_translator()(wrong)
    assert "\n" not in str(caught.value)


def test_not_finite_in_a_ranged_float_model_is_refused() -> None:
    image = np.full((4, 4, 1), np.nan, np.float32)
    with pytest.raises(UserError, match="not finite"):
        copying(Domain(1, "float32", (-5.0, 5.0)))(image)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 1, 4, 4), (1, 4, 4, 3)])
def test_tensors_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="3"):
        tiny_translator().translate_tensor(torch.zeros(shape))


def test_a_generator_that_makes_nothing_finite_is_a_failure() -> None:
    translator = tiny_translator()
    with torch.no_grad():
        next(translator.generator.parameters()).fill_(torch.nan)
    with pytest.raises(RunFailure, match="not finite"):
        translator(noise_image(4, 4))


def test_too_little_memory_is_a_sentence() -> None:
    translator = copying()

    def exhausted(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    translator.generator.forward = exhausted
    with pytest.raises(UserError, match="9 x 7 pixels need more memory"):
        translator(noise_image(7, 9))


# ---- files --------------------------------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    image = noise_image(9, 14)
    images.write(tmp_path / "in.png", image)
    translator = copying()
    translator.translate_file(tmp_path / "in.png", tmp_path / "made" / "out.tif")
    assert np.array_equal(images.read(tmp_path / "made" / "out.tif"), image)
    translator.translate_file(str(tmp_path / "in.png"), str(tmp_path / "left.png"), half="left")
    translator.translate_file(tmp_path / "in.png", tmp_path / "right.bmp", half="right")
    assert np.array_equal(images.read(tmp_path / "left.png"), image[:, :7])
    assert np.array_equal(images.read(tmp_path / "right.bmp"), image[:, 7:])


def test_16_bit_models_write_16_bit_png(tmp_path: Path) -> None:
    for channels in (1, 3):
        image = noise_image(9, 14, channels, "uint16")
        images.write(tmp_path / "in.png", image)
        copying(Domain(channels, "uint16")).translate_file(tmp_path / "in.png", tmp_path / "out.png")
        written = images.read(tmp_path / "out.png")
        assert written.dtype == np.uint16
        assert np.array_equal(written, image)


def test_transparency_in_files_is_handled_as_asked(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "in.png")
    with pytest.raises(UserError, match=r"in\.png is partly transparent"):
        copying().translate_file(tmp_path / "in.png", tmp_path / "out.png")
    copying().translate_file(tmp_path / "in.png", tmp_path / "out.png", alpha="white")
    assert (images.read(tmp_path / "out.png") == 255).all()


@pytest.mark.parametrize(
    ("domain", "name", "reason"),
    [
        (3, "out", "format"),
        (3, "out.gif", "format"),
        (3, "out.png.", "format"),
        (5, "out.png", "tif"),
        (Domain(3, "uint16"), "out.jpg", "png"),
        (Domain(1, "float32"), "out.png", "tif"),
    ],
    ids=str,
)
def test_an_output_that_cannot_hold_the_answer_is_refused_before_the_work(tmp_path: Path, domain: Any, name: str, reason: str) -> None:
    images.write(tmp_path / "in.png", noise_image(4, 4))
    translator = copying(domain)
    with pytest.raises(UserError, match=reason):
        translator.translate_file(tmp_path / "in.png", tmp_path / name)
    assert not translator.generator.seen
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    images.write(tmp_path / "in.png", noise_image(4, 4))
    (tmp_path / "link.png").symlink_to(tmp_path / "in.png")
    before = (tmp_path / "in.png").read_bytes()
    for output in (tmp_path / "in.png", tmp_path / "link.png", tmp_path / "." / "in.png"):
        with pytest.raises(UserError, match="another output"):
            tiny_translator().translate_file(tmp_path / "in.png", output)
    assert (tmp_path / "in.png").read_bytes() == before


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    images.write(tmp_path / "five.tif", noise_image(4, 5, 5))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    for name in ("five.tif", "broken.png", "absent.png"):
        with pytest.raises(UserError, match=name):
            copying().translate_file(tmp_path / name, tmp_path / "out.png")
    with pytest.raises(UserError, match=r"five\.tif is 5 pixels wide"):
        copying().translate_file(tmp_path / "five.tif", tmp_path / "out.png", half="left")
    assert not (tmp_path / "out.png").exists()


# ---- saving and loading -------------------------------------------------------------------------------------------------


def test_the_choices_are_stored_with_the_model(tmp_path: Path) -> None:
    translator, image = tiny_translator(), noise_image(20, 20)
    translator.inference = Inference("running", "none", 4)
    translator.save(tmp_path / "model")
    for path in (tmp_path, tmp_path / "model", str(tmp_path)):
        loaded = Translator.load(path, device="cpu")
        assert loaded.inference == Inference("running", "none", 4)
        assert loaded.origin == Path(path)
        assert np.array_equal(loaded(image), translator(image))


def test_last_and_best_of_a_run(tmp_path: Path) -> None:
    tiny_translator(tiny_config(checkpoint={"which": "last"})).save(tmp_path / "model")
    with pytest.raises(UserError, match="no best model"):
        Translator.load(tmp_path, checkpoint="best")
    tiny_translator(tiny_config(checkpoint={"which": "best"}), seed=1).save(tmp_path / "model_best")
    for which in ("last", "best"):
        assert Translator.load(tmp_path, checkpoint=which).config.checkpoint == {"which": which}


def test_nothing_needs_to_be_typed_again(tmp_path: Path) -> None:
    config = tiny_config("resnet", {**RESNET, "norm": "none"}, Domain(2, "uint16", (0.0, 4095.0)), Domain(4, "float32"), size_multiple=4)
    translator = tiny_translator(config)
    translator.save(tmp_path)
    image = noise_image(11, 13, 2, "uint16") // 16
    output = Translator.load(tmp_path)(image)
    assert output.shape == (11, 13, 4)
    assert output.dtype == np.float32
    assert np.array_equal(output, translator(image))


def test_places_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("a")
    for name, words in (("empty", "no model"), ("absent", "does not exist"), ("file.txt", "is not a model")):
        with pytest.raises(UserError, match=words):
            Translator.load(tmp_path / name)
    tiny_translator().save(tmp_path / "half")
    (tmp_path / "half" / CONFIG).unlink()
    with pytest.raises(UserError, match=CONFIG):
        Translator.load(tmp_path / "half")
    tiny_translator().save(tmp_path / "run" / "model")
    (tmp_path / "run" / "model" / WEIGHTS).unlink()
    with pytest.raises(UserError, match=WEIGHTS):
        Translator.load(tmp_path / "run")


def test_a_damaged_choice_is_refused(tmp_path: Path) -> None:
    tiny_translator().save(tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    values["inference"]["norm"] = "eval"
    del values["digest"]
    (tmp_path / CONFIG).write_text(json.dumps(values))
    with pytest.raises(UserError, match="norm is 'eval'"):
        Translator.load(tmp_path)
    with pytest.raises(UserError, match="noise"):
        replace(Inference(), noise="loud")  # type: ignore[arg-type]


# ---- devices ------------------------------------------------------------------------------------------------------------


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cpu:0").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("wish", ["gpu", "", "cuda:99", "cuda:x", "cuda:", "cpu:7", "mps:5", "cuda:-1", "auto:1", "meta"])
def test_devices_that_are_not_there(wish: str) -> None:
    with pytest.raises(UserError, match="not available here: use one of auto, cpu"):
        pick_device(wish)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 50), (90, 33), (1, 7)])
def test_a_generator_of_one_size_is_given_the_whole_image(height: int, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"width": 2, "depth": 5, "bottleneck": "vector", "bottleneck_width": 4, "norm": "instance", "dropout": 0.0}
    translator = tiny_translator(tiny_config("encoder_decoder", options, size_multiple=32))
    picture = noise_image(height, width)
    output = translator.translate_array(picture)
    assert output.shape == (height, width, 3) and output.dtype == np.uint8
    said = capsys.readouterr().err
    assert ("takes 32 x 32 pixels only" in said) == ((height, width) != (32, 32))
    translator.translate_array(picture)
    assert "pixels only" not in capsys.readouterr().err, "once is enough"
