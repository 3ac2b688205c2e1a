"""An exported file gives the pictures of ``translate``, on every engine, and says all that is needed to do so."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.tiny import noise_image, tiny_config, tiny_translator, turning_around, write_images
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import Missing, RunFailure, UserError
from transfigure.networks.base import Generator
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference
from transfigure.translation import export as module
from transfigure.translation.conversion import engines_root
from transfigure.translation.engines.openvino import read_graph
from transfigure.translation.export import check_images, export
from transfigure.translation.exported import KEY, About
from transfigure.translation.onnx_file import about_of, read_metadata, with_about
from transfigure.translation.translator import Translator

pytestmark = pytest.mark.usefixtures("traced_once")

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ["onnxruntime", "openvino"]


def trained(**more: Any) -> Translator:
    """Of batch norm and dropout, with statistics that it has gathered."""
    translator = tiny_translator(tiny_config(**more))
    translator.generator.train()
    with torch.no_grad():
        for seed in range(3):
            images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
            translator.generator(images * 2 - 1)
    translator.generator.eval()
    return translator


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Path]:
    translator = trained()
    file = tmp_path_factory.mktemp("exported") / "facades.onnx"
    translator.generator.train()
    before = {name: value.clone() for name, value in translator.generator.state_dict().items()}
    numbers = torch.get_rng_state()
    assert translator.export(file, quiet=True).about.measured["largest"] < 1e-5
    # what is exported is as it was: flags, running statistics, random numbers
    assert all(layer.training for layer in translator.generator.modules())
    assert all(torch.equal(value, before[name]) for name, value in translator.generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)
    translator.generator.eval()
    return translator, file


@pytest.fixture
def traced(exported: tuple[Translator, Path], monkeypatch: pytest.MonkeyPatch) -> Translator:
    """The same translator, whose graph need not be traced again."""
    graph = onnx.load(exported[1])
    graph.ClearField("metadata_props")
    monkeypatch.setattr(module, "onnx_graph", lambda *given: graph)
    return exported[0]


# ---- the same pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("noise", ["dropout", "none"])
def test_the_pictures_are_those_of_translate(exported: tuple[Translator, Path], engine: str, noise: Any) -> None:
    """For sizes that are multiples and others, for one image and three, for every seed."""
    translator, file = exported
    for seed in (0, 7):
        own = replace(translator, inference=Inference(noise=noise, seed=seed))
        loaded = Translator.load(file, engine=engine, noise=noise, seed=seed)
        for count, height, width in ((1, 32, 32), (3, 20, 33), (1, 5, 70), (2, 48, 16)):
            batch = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1
            assert (own.translate_tensor(batch) - loaded.translate_tensor(batch)).abs().max() < 1e-5
    if noise == "dropout":
        other = Translator.load(file, engine=engine, seed=8)
        assert not torch.equal(other.translate_tensor(batch), loaded.translate_tensor(batch))


def test_onnxruntime_gives_a_batch_bit_for_bit_as_its_images(exported: tuple[Translator, Path]) -> None:
    """Of mixed content too, although the network takes statistics of what it sees."""
    loaded = Translator.load(exported[1], engine="onnxruntime")
    batch = torch.cat([torch.rand(2, 3, 32, 48) * 2 - 1, torch.full((1, 3, 32, 48), 0.9), torch.zeros(1, 3, 32, 48)])
    assert torch.equal(loaded.translate_tensor(batch), torch.cat([loaded.translate_tensor(one[None]) for one in batch]))


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_batches_of_files_change_no_bit(exported: tuple[Translator, Path], tmp_path: Path, engine: str) -> None:
    translator, file = exported
    loaded = translator if engine == "torch" else Translator.load(file, engine=engine, quiet=True)
    source = write_images(tmp_path / "in", *(f"{number}.png" for number in range(5)))
    images.write(source / "2b.png", noise_image(40, 24))  # of another size, amidst
    loaded.translate_folder(source, tmp_path / "one", quiet=True)
    loaded.translate_folder(source, tmp_path / "many", quiet=True, batch=4)
    for one in sorted((tmp_path / "one").iterdir()):
        assert np.array_equal(images.read(one), images.read(tmp_path / "many" / one.name)), one.name


def test_the_command_line_takes_it_where_it_takes_a_model(
    exported: tuple[Translator, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    translator, file = exported
    source = write_images(tmp_path / "in", "a.png", "b.png")
    translator.translate_folder(source, tmp_path / "own", quiet=True)
    assert main(["translate", str(file), str(source), str(tmp_path / "out"), "--quiet"]) == 0
    for name in ("a.png", "b.png"):
        difference = images.read(tmp_path / "own" / name).astype(int) - images.read(tmp_path / "out" / name)
        assert abs(difference).max() <= 1
    words = ["evaluate", str(file), "synthetic", "--data.test", "4", "--data.train", "4", "--metrics", "l1,ssim", "--quiet"]
    assert main(words) == 0
    assert "SSIM" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "how"),
    [
        ("unet", {"width": 4, "depth": 3, "upsampling": "bilinear", "noise": True}, Inference("running")),
        ("unet", {"width": 4, "depth": 3, "bottleneck": "vector"}, Inference()),
        ("resnet", {"width": 4, "blocks": 2, "dropout": 0.5, "downsampling": "blur", "upsampling": "resize"}, Inference()),
        ("quarter", {"width": 8, "depth": 3, "noise": True}, Inference(seed=3)),
        ("encoder_decoder", {"width": 4, "depth": 3, "norm": "instance"}, Inference(noise="none")),
    ],
)
def test_every_generator_can_be_exported(tmp_path: Path, name: str, options: dict[str, Any], how: Inference) -> None:
    """Its largest difference on five sizes is measured by both engines when it is written; here the files are run once more."""
    translator = tiny_translator(tiny_config(name, options, size_multiple=8, inference=how))
    written = translator.export(tmp_path / "model.onnx", quiet=True)
    assert {"onnxruntime_largest", "openvino_largest"} <= written.about.measured.keys() and written.about.measured["largest"] < 1e-4
    batch = check_images(translator.network)[-1]
    for engine in ENGINES:
        loaded = Translator.load(tmp_path / "model.onnx", engine=engine, quiet=True)
        assert (translator.translate_tensor(batch) - loaded.translate_tensor(batch)).abs().max() < 1e-4


# ---- what is in the file ---------------------------------------------------------------------------------------------------


def test_modes_are_arithmetic(exported: tuple[Translator, Path]) -> None:
    """Neither a batch norm nor a dropout is in the graph, which engines would run in a mode of their own; noise comes from outside."""
    graph = onnx.load(exported[1]).graph
    operators = {node.op_type for node in graph.node}
    assert operators.isdisjoint({"BatchNormalization", "Dropout", "RandomNormal", "RandomNormalLike", "Bernoulli", "RandomUniformLike"})
    assert "InstanceNormalization" in operators
    assert [value.name for value in graph.input] == ["source", "noise_0", "noise_1", "noise_2"]


def test_it_says_nothing_of_the_machine_it_was_made_on(exported: tuple[Translator, Path]) -> None:
    model = onnx.load(exported[1])
    assert [prop.key for prop in model.metadata_props] == [KEY]
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    data = exported[1].read_bytes()
    assert b".py" not in data and str(ROOT).encode() not in data and str(Path.home()).encode() not in data


def test_the_naive_way_is_another_network(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    """What this module is for: torch's exporter writes the eval network of one in training mode (torch 2.13.0)."""
    translator, file = exported
    batch = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = replace(translator, inference=Inference(noise="none")).translate_tensor(batch)
    running = replace(translator, inference=Inference("running", "none")).translate_tensor(batch)
    assert (expected - running).abs().max() > 0.1
    loaded = Translator.load(file, noise="none")
    assert (expected - loaded.translate_tensor(batch)).abs().max() < 1e-5


def test_what_it_says_of_itself_survives_its_engine_s_optimisation(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(exported[1]), options, providers=["CPUExecutionProvider"])
    assert about_of(tmp_path / "optimised.onnx") == about_of(exported[1])


def test_metadata_is_read_without_a_package(exported: tuple[Translator, Path]) -> None:
    assert read_metadata(exported[1]) == {prop.key: prop.value for prop in onnx.load(exported[1]).metadata_props}


def test_repr_is_five_lines(exported: tuple[Translator, Path]) -> None:
    translator, file = exported
    for one in (translator, Translator.load(file)):
        lines = repr(one).splitlines()
        assert len(lines) == 5 and lines[0].startswith("Translator(unet") and lines[-1].endswith(")")
    assert re.search(r"engine: openvino, float32, at most \de-0\d from torch".replace(r"\d", r"[\d.]+"), repr(Translator.load(file)))


# ---- other formats ---------------------------------------------------------------------------------------------------------


def test_openvino_s_own_format(traced: Translator, tmp_path: Path) -> None:
    """With the numbers of the model, although OpenVINO would store half of their bits and compute in bfloat16."""
    translator = traced
    translator.export(tmp_path / "model.xml", format="openvino", quiet=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    graph = read_graph(tmp_path / "model.xml", "model")
    stored = {node.get_element_type().get_type_name() for node in graph.get_ops() if node.get_type_name() == "Constant"}
    assert "f32" in stored and "f16" not in stored
    loaded, batch = Translator.load(tmp_path / "model.xml"), torch.rand(1, 3, 40, 32) * 2 - 1
    assert (translator.translate_tensor(batch) - loaded.translate_tensor(batch)).abs().max() < 1e-5
    weights = bytearray((tmp_path / "model.bin").read_bytes())
    weights[len(weights) // 2] ^= 1  # that of another export has the same size
    (tmp_path / "model.bin").write_bytes(weights)
    with pytest.raises(
        UserError, match=r"model.bin is damaged, or belongs to another model than .*model.xml: copy both files of one export"
    ):
        Translator.load(tmp_path / "model.xml")
    (tmp_path / "model.bin").unlink()
    with pytest.raises(UserError, match="which is not beside it: copy both files"):
        Translator.load(tmp_path / "model.xml")


def test_a_program_of_torch(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    translator, _ = exported
    translator.export(tmp_path / "model.pt2", format="torch", quiet=True)
    extra = {KEY: ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra).module(check_guards=False)
    about = About.from_json(str(extra[KEY]), "model.pt2")
    batch = torch.rand(1, 3, 32, 48) * 2 - 1
    noise = tuple(torch.from_numpy(one.neutral()) for one in about.noise_for(32, 48))
    expected = replace(translator, inference=Inference(noise="none")).translate_tensor(batch)
    assert (program(batch, noise) - expected).abs().max() < 1e-5


def test_the_reference_s_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    translator = tiny_translator(tiny_config("unet", {"width": 4, "depth": 7, "dropout_skip": 1}, size_multiple=128))
    translator.save(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "latest_net_G.pth")]) == 0
    assert "note: the reference loads it with --netG" in capsys.readouterr().err
    batch = torch.rand(1, 3, 128, 100) * 2 - 1
    back = Translator.load(tmp_path / "latest_net_G.pth")
    assert torch.equal(replace(translator, inference=Inference(noise="none")).translate_tensor(batch), back.translate_tensor(batch))


def test_half_the_weights(exported: tuple[Translator, Path], traced: Translator, tmp_path: Path) -> None:
    translator, file = traced, exported[1]
    written = translator.export(tmp_path / "half.onnx", precision="float16", quiet=True)
    assert (tmp_path / "half.onnx").stat().st_size < 0.75 * file.stat().st_size
    assert 0 < written.about.measured["grey_levels"] < 1 and written.about.measured["decibels"] > 40
    loaded = Translator.load(tmp_path / "half.onnx", engine="onnxruntime")
    batch = torch.rand(1, 3, 32, 32) * 2 - 1
    difference = (loaded.translate_tensor(batch) - translator.translate_tensor(batch)).abs()
    assert 0 < difference.mean() < 1 / 127.5 and loaded.engine.precision == "float16"


@pytest.mark.slow
def test_eight_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calibrated with a folder, measured on those of its images that were held out; and refused if that is too far off."""
    translator = tiny_translator(tiny_config("unet", {"width": 8, "depth": 3, "dropout": 0.0}, size_multiple=8))
    with torch.no_grad():
        for weight in translator.generator.parameters():
            if weight.ndim == 4:
                weight.mul_(0.2)  # a smooth function, as of a trained network
    translator.save(tmp_path / "model")
    for number in range(12):  # of several sizes
        images.write(tmp_path / "photos" / f"{number}.png", noise_image(24 + 4 * (number % 3), 32 - number % 2, seed=number))
    words = ["export", str(tmp_path / "model"), "--precision", "int8", "--calibration", str(tmp_path / "photos"), "--out"]
    assert main([*words, str(tmp_path / "model8.onnx")]) == 0
    said = capsys.readouterr().out
    levels = float(re.search(r"checked:  ([\d.]+) grey levels from translate", said)[1])  # type: ignore[index]
    about = about_of(tmp_path / "model8.onnx")
    assert about is not None and about.precision == "int8" and abs(about.measured["grey_levels"] - levels) < 0.01
    loaded = Translator.load(tmp_path / "model8.onnx")
    batch = torch.from_numpy(noise_image(40, 24).transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    assert 0 < (loaded.translate_tensor(batch) - translator.translate_tensor(batch)).abs().mean() < 2 / 127.5
    operators = {node.op_type for node in onnx.load(tmp_path / "model8.onnx").graph.node}
    assert "QuantizeLinear" in operators
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GREY_LEVELS", levels / 100)
        patch.setattr(module, "GOOD", 0.0)  # so that it looks for layers to leave out, too
        assert main([*words, str(tmp_path / "refused.onnx")]) == 2
    assert "refused.onnx was not written: in int8 its outputs are" in capsys.readouterr().err
    assert not list(tmp_path.glob("refused*")) and not list(tmp_path.glob(".*"))


# ---- what is refused -------------------------------------------------------------------------------------------------------


def test_a_file_that_gives_other_pictures_is_not_left(traced: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT", 1e-12)
    with pytest.raises(UserError, match=r"model.onnx was not written: onnxruntime gives outputs that differ from translate's by"):
        traced.export(tmp_path / "model.onnx", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "model.foo"], "model.foo names no format: end it in .onnx, .xml, .pt2, .pth, or give --format"),
        (["--out", "model.onnx", "--format", "torch"], "in the format torch, whose files end in .pt2: name it so"),
        (["--out", "model.pt2", "--precision", "float16", "--calibration", "photos"], "the format torch is written in float32 only"),
        (["--out", "model.onnx", "--calibration", "photos"], "--calibration is for rounded weights"),
        (["--out", "model.onnx", "--precision", "int8", "--calibration", "photos"], "holds 2 images, and 8 bits want 8"),
        (
            ["--out", "model.onnx", "--precision", "int8"],
            "nothing to calibrate 8 bits with: this model does not say what it was trained on",
        ),
        ([], "--out FILE is missing"),
    ],
)
def test_what_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    tiny_translator().save(tmp_path / "model")
    write_images(tmp_path / "photos", "1.png", "2.png")
    before = sorted(tmp_path.rglob("*"))
    places = {"model.foo", "model.onnx", "model.pt2", "photos"}
    assert main(["export", str(tmp_path / "model"), *(str(tmp_path / word) if word in places else word for word in words)]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_no_folder_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        tiny_translator().export(tmp_path / "new" / "folder" / "model.pth", format="reference", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_another_s_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"somebody's")
    with pytest.raises(UserError, match=r"model\.onnx"):
        tiny_translator().export(tmp_path / "model.onnx", quiet=True)
    assert (tmp_path / "model.onnx").read_bytes() == b"somebody's"


def test_what_an_exported_file_cannot_do(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    file = exported[1]
    for how, sentence in (
        ({"norm": "running"}, "export the model again with --norm running"),
        ({"engine": "torch"}, "is run by onnxruntime or openvino, and not by torch"),
        ({"engine": "tensor"}, "there is no engine 'tensor'"),
        ({"device": "cuda"}, "is run on the CPU"),
        ({"value_range": (0.0, 1.0)}, "says itself what goes in and comes out"),
    ):
        with pytest.raises(UserError, match=sentence):
            Translator.load(file, **how)  # type: ignore[arg-type]
    loaded = Translator.load(file)
    with pytest.raises(UserError, match="no model directory can be made of it"):
        loaded.save(tmp_path / "model")
    with pytest.raises(UserError, match="is an exported file, which is as it is"):
        loaded.export(tmp_path / "again.onnx")
    with pytest.raises(UserError, match="the precision bfloat16 is for the engine torch"):
        loaded.set_precision("bfloat16")
    assert main(["analyze", str(file), "synthetic", "--out", str(tmp_path / "analysis"), "--quiet"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_not_installed(exported: tuple[Translator, Path], monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == engine else find(name, *more))
    with pytest.raises(Missing, match=r"pip install 'transfigure\["):
        Translator.load(exported[1], engine=engine)
    other = next(name for name in ENGINES if name != engine)
    assert Translator.load(exported[1]).engine.name == other


def broken(file: Path, place: Path) -> Iterator[tuple[Path, str]]:
    data = file.read_bytes()
    for name, content, sentence in (
        ("cut.onnx", data[: len(data) // 2], "is an ONNX file that is cut off"),
        ("tail.onnx", data[:-10], "is an ONNX file that is cut off"),
        ("picture.onnx", b"\x89PNG\r\n\x1a\n" + bytes(100), "is no ONNX file"),
        ("empty.onnx", b"", "is no ONNX file"),
        ("text.onnx", b"<net/>", "is no ONNX file"),
        ("about.onnx", data.replace(b'"multiple": 16', b'"multiple": 17'), "what .* says of itself cannot be read"),
    ):
        (place / name).write_bytes(content)
        yield place / name, sentence
    for name, text, sentence in (
        ("cut.xml", "<net name='a'", "is damaged or no OpenVINO model"),
        ("other.xml", "<net name='a'></net>", "was not exported by transfigure"),
        ("entity.xml", "<!DOCTYPE a><net/>", "is no OpenVINO model"),
    ):
        (place / name).write_text(text)
        (place / name).with_suffix(".bin").write_bytes(b"")
        yield place / name, sentence


def test_files_that_are_broken_or_something_else(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    for file, sentence in broken(exported[1], tmp_path):
        with pytest.raises(UserError, match=sentence):
            Translator.load(file)


@pytest.mark.parametrize(
    ("inside", "sentence"),
    [
        (lambda x: torch.nn.functional.dropout(x, 0.5, True), "draws random numbers inside"),
        (lambda x: x + torch.randn_like(x), r"draws random numbers inside \(RandomNormal"),
    ],
)
def test_random_numbers_that_no_seed_reaches_are_refused_by_their_reason(tmp_path: Path, inside: Any, sentence: str) -> None:
    class Custom(Generator):
        """Of somebody's own."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return inside(x).clamp(-1, 1)  # type: ignore[no-any-return]

    translator = Translator(Custom(3, 3), tiny_config(), Inference())
    with pytest.raises(UserError, match=sentence):
        translator.export(tmp_path / "model.onnx", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_says_of_itself_is_checked() -> None:
    about = About(tiny_config(), 16, measured={"largest": 1e-6})
    values = json.loads(about.to_json())
    assert About.from_json(about.to_json(), "a") == about
    newer = json.dumps({**values, "format": 99})
    with pytest.raises(UserError, match="newer than this one"):
        About.from_json(newer, "a.onnx")
    from transfigure.integrity import DIGEST, digest_of

    for key, value in (("multiple", 0), ("noise", [{"name": "n"}]), ("measured", {"largest": "x"}), ("precision", "int3"), ("config", 3)):
        changed = {name: one for name, one in values.items() if name != DIGEST} | {key: value}
        with pytest.raises(UserError, match="cannot be read"):
            About.from_json(json.dumps({**changed, DIGEST: digest_of(changed)}), "a.onnx")


# ---- engines for models ----------------------------------------------------------------------------------------------------


def test_a_model_is_converted_once_for_another_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    own = trained()
    own.save(tmp_path / "model")
    batch = torch.rand(1, 3, 40, 24) * 2 - 1
    converted = Translator.load(tmp_path / "model", engine="onnxruntime")
    said = capsys.readouterr().err
    assert "converting the model for onnxruntime, once; kept in" in said
    assert re.search(r"engine:  onnxruntime, float32, at most \S+ from torch \(\S+ ms for an image of the size of training; torch", said)
    assert (own.translate_tensor(batch) - converted.translate_tensor(batch)).abs().max() < 1e-5
    (file,) = engines_root().iterdir()
    written = file.read_bytes()
    again = Translator.load(tmp_path / "model", engine="onnxruntime", seed=3)
    assert "converting" not in capsys.readouterr().err and file.read_bytes() == written
    other = replace(own, inference=Inference(seed=3))
    assert (other.translate_tensor(batch) - again.translate_tensor(batch)).abs().max() < 1e-5
    file.write_bytes(written[:100])  # what is broken is made anew
    auto = Translator.load(tmp_path / "model", engine="auto")
    said = capsys.readouterr().err
    assert "converting the model for openvino and onnxruntime" in said and "openvino" in said
    assert (own.translate_tensor(batch) - auto.translate_tensor(batch)).abs().max() < 1e-5
    assert auto.engine.name in ("torch", *ENGINES)


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_where_nothing_can_be_kept_a_model_is_converted_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """A home that is read-only, or full, was the end of it."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "file" / "cache"))
    trained().save(tmp_path / "model")
    converted = Translator.load(tmp_path / "model", engine=engine)
    assert "note: the converted model is not kept" in capsys.readouterr().err
    batch = torch.rand(1, 3, 40, 24) * 2 - 1
    assert (trained().translate_tensor(batch) - converted.translate_tensor(batch)).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "model.xml"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    traced: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import errno

    import openvino

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken_stream(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # as openvino 2026.4.1 words it

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(openvino, "save_model", broken_stream)
    with pytest.raises(RunFailure, match=rf"(the disk is full while writing|cannot write) .*{name}"):
        traced.export(tmp_path / name, format={"onnx": "onnx", "pt2": "torch", "xml": "openvino"}[name.rpartition(".")[2]], quiet=True)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_without_other_engines_auto_is_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_translator().save(tmp_path / "model")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in ENGINES else find(name, *more))
    assert Translator.load(tmp_path / "model", engine="auto").engine.name == "torch"
    assert "the engine is torch, since no other is installed: pip install 'transfigure[export]'" in capsys.readouterr().err


# ---- from other programs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("layout", "dtype", "shape", "how"),
    [
        ("nchw", onnx.TensorProto.FLOAT, ("n", 3, "h", "w"), {"value_range": (0.0, 1.0)}),
        ("nhwc", onnx.TensorProto.FLOAT, (1, None, None, 3), {"value_range": (0.0, 1.0), "layout": "nhwc"}),
        ("nhwc", onnx.TensorProto.UINT8, (1, 24, 24, 3), {}),
    ],
)
def test_anybody_s_file(tmp_path: Path, engine: str, layout: str, dtype: int, shape: Any, how: Any) -> None:
    file = turning_around(tmp_path / "negative.onnx", layout, dtype, shape)
    translator = Translator.load(file, engine=engine, quiet=True, **how)
    image = noise_image(24, 24)
    assert np.array_equal(translator(image), 255 - image[:, :, ::-1])
    assert f"engine: {engine}" in repr(translator) and "negative.onnx" in repr(translator)
    if shape[1] != 24:
        image = noise_image(31, 18)
        assert np.array_equal(translator(image), 255 - image[:, :, ::-1])


def test_anybody_s_file_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, source = turning_around(tmp_path / "negative.onnx"), write_images(tmp_path / "in", "a.png")
    words = ["translate", str(file), str(source), str(tmp_path / "out")]
    assert main(words) == 2
    assert "does not say which values stand for black and white: add --value_range LOW HIGH" in capsys.readouterr().err
    assert main([*words, "--value_range", "0", "1"]) == 0
    assert np.array_equal(images.read(tmp_path / "out" / "a.png"), 255 - images.read(source / "a.png")[:, :, ::-1])


def test_files_that_are_no_network_from_image_to_image(tmp_path: Path) -> None:
    from onnx import helper

    def saved(name: str, inputs: list[Any], output: Any, *nodes: Any) -> Path:
        graph = helper.make_graph(list(nodes), "g", inputs, [output])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / name)
        return tmp_path / name

    def value(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    image = value("image", 1, 3, "h", "w")
    classes = saved("classes.onnx", [image], value("y", 1, 3, 1, 1), helper.make_node("GlobalAveragePool", ["image"], ["y"]))
    two = saved(
        "two.onnx", [image, value("other", 1, 3, "h", "w")], value("y", 1, 3, "h", "w"), helper.make_node("Add", ["image", "other"], ["y"])
    )
    oblong = saved("oblong.onnx", [value("image", 1, 3, 32, 64)], value("y", 1, 3, 32, 64), helper.make_node("Tanh", ["image"], ["y"]))
    unclear = saved(
        "unclear.onnx", [value("image", 1, "a", "b", "c")], value("y", 1, "a", "b", "c"), helper.make_node("Tanh", ["image"], ["y"])
    )
    for file, sentence in (
        (classes, "does not give an image of the size of its input"),
        (two, "takes image .*, other .*, and a translator gives one image"),
        (oblong, "takes images of 64 x 32 pixels only"),
        (unclear, "does not say where the channels are: add --layout"),
    ):
        with pytest.raises(UserError, match=sentence):
            Translator.load(file, value_range=(0.0, 1.0), engine="onnxruntime")


def graph_file(
    file: Path, *nodes: Any, shape: tuple[Any, ...] = ("n", 3, "h", "w"), outputs: tuple[str, ...] = ("y",), **constants: Any
) -> Path:
    """Anybody's graph from ``x``."""
    from onnx import helper, numpy_helper

    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", *outputs)]
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "g", values[:1], values[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    return file


@pytest.mark.parametrize("engine", ENGINES)
def test_images_that_a_graph_does_not_take_are_a_sentence_and_the_others_are_translated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    """onnxruntime raises classes of its own; OpenVINO computes something of another size, whose corner was taken for the picture."""
    from onnx import helper

    nodes = (helper.make_node("Reshape", ["x", "flat"], ["a"]), helper.make_node("Reshape", ["a", "square"], ["y"]))
    file = graph_file(tmp_path / "65.onnx", *nodes, flat=np.array([1, 3 * 65 * 65]), square=np.array([1, 3, 65, 65]))
    folder = write_images(tmp_path / "in", "other.png")
    images.write(folder / "fits.png", noise_image(65, 65))
    words = ["translate", str(file), str(folder), str(tmp_path / "out"), "--value_range", "0", "1", "--engine", engine, "--quiet"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "1 of 2 images could not be translated" in said and "65.onnx" in said and "Traceback" not in said
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["fits.png"]
    assert np.array_equal(images.read(tmp_path / "out" / "fits.png"), noise_image(65, 65))


def test_odd_graphs_are_refused_by_name(tmp_path: Path) -> None:
    from onnx import helper

    negative, roots = helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Sqrt", ["z"], ["y"])
    for file, sentence, how in (
        (graph_file(tmp_path / "four.onnx", negative, shape=(4, 3, "h", "w")), "four.onnx takes 4 images at once", (0, 1)),
        (graph_file(tmp_path / "many.onnx", negative, shape=(1, 300_000, "h", "w")), "many.onnx takes 300000 channels", (0, 1)),
        (graph_file(tmp_path / "large.onnx", negative, shape=(1, 3, 10**6, 10**6)), "1000000 x 1000000 pixels", (0, 1)),
        (graph_file(tmp_path / "range.onnx", negative), "from 0 to inf is too wide", (0, math.inf)),
    ):
        with pytest.raises(UserError, match=sentence):
            Translator.load(file, value_range=how, layout="nchw")
    file = graph_file(tmp_path / "nan.onnx", helper.make_node("Neg", ["x"], ["z"]), roots)
    with pytest.raises(RunFailure, match=r"values that .*nan.onnx makes of an image are not finite: give the value range"):
        Translator.load(file, value_range=(0, 1))


def test_the_first_of_several_outputs_is_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import helper

    nodes = (helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Identity", ["x"], ["z"]))
    file = graph_file(tmp_path / "two.onnx", *nodes, outputs=("y", "z"))
    translator = Translator.load(file, value_range=(-1, 1))
    assert "two.onnx has 2 outputs, and the first, y, is taken" in capsys.readouterr().err
    assert np.array_equal(translator(noise_image(8, 8)), 255 - noise_image(8, 8))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", ["source", "target", "noise", "input"])
def test_a_graph_that_is_not_what_its_file_says_is_refused(
    exported: tuple[Translator, Path], tmp_path: Path, engine: str, change: str
) -> None:
    """With metadata of another export, a wrong picture or a traceback came of it."""
    about = about_of(exported[1])
    assert about is not None and about.noise
    config = about.config
    if change in ("source", "target"):
        config = replace(config, **{change: replace(getattr(config, change), channels=1)})
    noise = () if change == "noise" else about.noise
    other = replace(about, config=config, noise=noise, input="image" if change == "input" else about.input)
    (tmp_path / "other.onnx").write_bytes(with_about(onnx.load(exported[1]), other))
    with pytest.raises(UserError, match=r"the graph in .*other.onnx takes source .*: export the model again"):
        Translator.load(tmp_path / "other.onnx", engine=engine)


def test_a_model_that_was_exported_by_mistake_in_half_precision(tmp_path: Path) -> None:
    translator = tiny_translator().set_precision("bfloat16")
    with pytest.raises(UserError, match="load the model in float32 to export it"):
        translator.export(tmp_path / "model.onnx", quiet=True)


def test_other_ranges_are_kept(tmp_path: Path) -> None:
    """The file knows the types and value ranges of its images."""
    side = Domain(1, "uint16", (100.0, 4000.0))
    translator = tiny_translator(tiny_config("unet", {"width": 4, "depth": 3, "dropout": 0.0}, side, side, size_multiple=8))
    export(translator.network, tmp_path / "model.onnx", quiet=True)
    loaded, image = Translator.load(tmp_path / "model.onnx", quiet=True), noise_image(20, 30, 1, "uint16")
    assert loaded.config.target == side
    assert abs(loaded(image).astype(int) - translator(image)).max() <= 1


def test_a_plugin_s_network_that_cannot_be_traced(tmp_path: Path) -> None:
    translator = tiny_translator()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return x if float(x.mean()) > 0 else -x

    translator.generator.forward = forward  # type: ignore[method-assign]
    with pytest.raises(UserError, match="this UNet cannot be written as a graph"):
        translator.export(tmp_path / "model.onnx", quiet=True)
    assert build_generator("unet", 3, 3, {"width": 4, "depth": 3}).size_multiple == 8 and list(tmp_path.iterdir()) == []
