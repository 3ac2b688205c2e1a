"""What a translation would take is known before it is begun."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.tiny import RESNET, tiny_config, tiny_translator
from transfigure import memory
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.networks.build import build_generator
from transfigure.translation.footprint import Footprint


def test_a_wider_network_takes_more_and_a_larger_image_in_proportion() -> None:
    narrow, wide = (Footprint(build_generator("unet", 3, 3, {"width": width, "depth": 4})) for width in (8, 64))
    assert narrow.of(256, 256) == 0  # nobody asks
    small, large = wide.of(2048, 2048), wide.of(4096, 4096)
    assert large == pytest.approx(4 * small, rel=0.01)
    assert 1.0e9 < small < 4e9
    assert narrow.of(2048, 2048) < small / 2


def test_asking_moves_no_random_numbers_and_no_weights() -> None:
    generator = build_generator("unet", 3, 3, {"width": 8, "depth": 4}).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    random = torch.get_rng_state()
    assert Footprint(generator).of(4096, 4096) > 0
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())


def test_asking_does_not_touch_a_network_that_is_at_work() -> None:
    """A folder's next image is looked at while the last one is translated: whatever runs while the question runs is another network."""
    ran: list[torch.nn.Module] = []
    generator = build_generator("unet", 3, 3, {"width": 8, "depth": 4})
    with torch.nn.modules.module.register_module_forward_pre_hook(lambda module, _: ran.append(module)):
        assert Footprint(generator).of(4096, 4096) > 0
    assert ran and not {*map(id, ran)} & {*map(id, generator.modules())}


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 900_000_000)


@pytest.mark.usefixtures("little_memory")
def test_an_image_too_large_for_the_memory_is_refused_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (4000, 3000)).save(tmp_path / "large.png")
    monkeypatch.setattr(images, "read", lambda *_, **__: pytest.fail("it was decoded"))
    translator = tiny_translator(tiny_config("resnet", RESNET, size_multiple=4)).set_tiles(tile="none")
    with pytest.raises(
        UserError, match=r"large.png: 4000 x 3000 pixels take about [\d.]+ GB of memory in this model, and 900 MB are free: let"
    ):
        translator.translate_file(tmp_path / "large.png", tmp_path / "out.png")


@pytest.mark.usefixtures("little_memory")
def test_the_padded_size_counts(tmp_path: Path) -> None:
    """One column of 1,562,500 pixels is padded to 64."""
    Image.new("L", (1, 1_562_500)).save(tmp_path / "line.png")
    translator = tiny_translator(tiny_config(options={"width": 4, "depth": 6}, source=1, target=1, size_multiple=64)).set_tiles(tile="none")
    with pytest.raises(UserError, match=r"1 x 1562500 pixels \(inside 64 x 1562560\) take about"):
        translator.translate_file(tmp_path / "line.png", tmp_path / "out.png")


@pytest.mark.usefixtures("little_memory")
def test_a_small_image_is_translated_all_the_same(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "small.png")
    tiny_translator().translate_file(tmp_path / "small.png", tmp_path / "out.png")
    assert images.size_of(tmp_path / "out.png").width == 40
