"""Every registered engine gives torch's pictures for an exported graph, for any size and seed, and says what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_config, tiny_translator
from transfigure import registry
from transfigure.errors import UserError
from transfigure.networks.model_file import Inference
from transfigure.translation.exported_network import engines, is_installed
from transfigure.translation.translator import Translator

NAMES = registry.names("engine")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Path]:
    translator = tiny_translator(tiny_config("unet", {"width": 2, "depth": 3, "noise": True}, size_multiple=8))
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    translator.export(file, quiet=True)
    return translator, file


def by(exported: tuple[Translator, Path], name: str) -> Translator:
    """The translator, run by an engine of this name."""
    if not is_installed(name):
        pytest.skip(f"the package of the engine {name} is not installed")
    return exported[0] if name == "torch" else Translator.load(exported[1], engine=name)


@pytest.mark.parametrize("name", NAMES)
def test_its_pictures_are_torch_s(exported: tuple[Translator, Path], name: str) -> None:
    run, batch = by(exported, name), torch.rand(2, 3, 13, 24) * 2 - 1
    for how in (Inference(seed=3), Inference(noise="none")):
        expected = replace(exported[0], inference=how).translate_tensor(batch)
        assert (replace(run, inference=how).translate_tensor(batch) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images(exported: tuple[Translator, Path], name: str) -> None:
    run, batch = by(exported, name), torch.rand(3, 3, 16, 16) * 2 - 1
    assert torch.equal(run.translate_tensor(batch), torch.cat([run.translate_tensor(image[None]) for image in batch]))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(exported: tuple[Translator, Path], name: str) -> None:
    run = by(exported, name)
    assert run.engine.name == name and f"engine: {name}, float32" in repr(run)
    about = registry.entry("engine", name)
    assert {"module", "extra", "order"} <= about.extra.keys() and name in engines()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "torch"])
def test_what_it_cannot_run_is_a_sentence(exported: tuple[Translator, Path], tmp_path: Path, name: str) -> None:
    run = by(exported, name)
    with pytest.raises(UserError, match="export the model again with --norm running"):
        replace(run, inference=Inference("running")).translate_tensor(torch.zeros(1, 3, 16, 16))
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x09nothing")
    with pytest.raises(UserError, match=r"broken\.onnx"):
        registry.resolve("engine", name)(tmp_path / "broken.onnx", run.engine.about, "broken.onnx")  # type: ignore[attr-defined]
