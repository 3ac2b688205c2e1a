"""Large images in tiles: the same picture as in one pass where that can be, and said where not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import tiny_config, tiny_translator, write_images
from transfigure import memory
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.networks.image_statistics import ImageStatistics, Moments
from transfigure.networks.model_file import Inference
from transfigure.networks.noise import NoiseMap, TiledNoise
from transfigure.progress import Progress
from transfigure.translation.engines.base import InferenceEngine
from transfigure.translation.engines.torch import TorchEngine
from transfigure.translation.tile_source import TileSource
from transfigure.translation.tiles import Span
from transfigure.translation.tiling import BegunTiles, TilePlan, Tiler, Tiling, TilingKeywords, parse_count, parse_size
from transfigure.translation.translator import Translator

MULTIPLES = {"unet": 8, "encoder_decoder": 8, "resnet": 4, "quarter": 8}
OPTIONS: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "depth": 3, "dropout": 0.0},
    "encoder_decoder": {"width": 4, "depth": 3, "dropout": 0.0},
    "resnet": {"width": 4, "blocks": 2},
    "quarter": {"width": 4, "depth": 3, "detail": 4},
}


def translator(name: str = "resnet", mode: Literal["batch", "running"] = "batch", **options: Any) -> Translator:
    """A network whose differences show: weights are larger than at the start of a training."""
    made = tiny_translator(tiny_config(name, OPTIONS[name] | options, size_multiple=MULTIPLES[name]))
    made.inference, made.quiet = Inference(mode, "dropout", 0), False
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in made.generator.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, 0, 0.1)
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean = torch.randn_like(layer.weight) * 0.1
                layer.running_var = torch.rand_like(layer.weight) + 0.5
    return made


def image(height: int, width: int) -> Tensor:
    """Brighter on the right: tiles differ in their statistics."""
    random = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return (random + torch.linspace(-1, 1, width)).clamp(0, 2) - 1


def difference(made: Translator, x: Tensor, **tiling: Any) -> float:
    whole = made.set_tiles(tile="none").translate_tensor(x)
    tiled = made.set_tiles(**tiling).translate_tensor(x)
    assert tiled.shape == whole.shape
    return float((tiled - whole).abs().max() / whole.std())


def test_tiles_with_the_same_statistics_are_one_pass_with_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """No border shows, however far the sampled statistics are from the image's own."""
    made, x = translator("unet", norm="batch"), image(200, 240)
    found: list[ImageStatistics] = []
    gather = Tiler._gather

    def gathering(tiler: Tiler, source: TileSource, plan: TilePlan, begun: BegunTiles, progress: Progress) -> None:
        gather(tiler, source, plan, begun, progress)
        found.extend([begun.statistics] if begun.statistics is not None else [])

    monkeypatch.setattr(Tiler, "_gather", gathering)
    tiled = made.set_tiles(tile=120, overlap=56, statistics="global").translate_tensor(x)
    assert isinstance(made.engine, TorchEngine)
    whole = made.engine.within(x, made.inference, TiledNoise(0, 0, 0, 200, 240), found[0].using)
    assert float((tiled - whole).abs().max() / whole.std()) < 1e-4


@pytest.mark.parametrize("name", [*OPTIONS])
@pytest.mark.parametrize("options", [{"norm": "none"}, {"norm": "batch"}, {"norm": "none", "upsampling": "bilinear"}])
def test_without_statistics_of_the_image_tiles_are_the_whole(
    name: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    made = translator(name, "running", **options)
    tile = 288 if name == "quarter" else 160  # a quarter of it is less than some see, so the overlap is given
    assert difference(made, image(331, 342), tile=tile, overlap=152 if name == "quarter" else 104) < 1e-4
    assert "the same picture as in one pass, but for rounding" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*OPTIONS])
def test_a_smaller_overlap_is_approximate_and_that_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = translator(name, norm="none")
    assert difference(made, image(160, 160), tile=64, overlap=8) > 1e-4
    assert re.search(r"approximate: one pixel depends on \d+ pixels", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {}),
        ("unet", {"norm": "instance"}),
        ("resnet", {}),
        ("resnet", {"norm": "batch"}),
        ("encoder_decoder", {"bottleneck_norm": True}),
    ],
)
def test_exact_statistics_are_those_of_the_whole(name: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    made, x = translator(name, **options), image(205, 222)
    far, nearer, none = (difference(made, x, tile=120, overlap=96, statistics=way) for way in ("tile", "global", "exact"))
    assert none < 1e-3 < nearer < far
    error = capsys.readouterr().err
    for words in (
        "its own statistics",
        "approximately, from tiles all over it",
        r"layer by layer, in \d+ passes; the same picture as in one pass",
    ):
        assert re.search(words, error)


def test_dropout_goes_on_from_tile_to_tile() -> None:
    made = translator("unet", dropout=0.5, norm="none")
    x = image(160, 160)
    small, large = (made.set_tiles(tile=tile, overlap=48).translate_tensor(x) for tile in (96, 128))
    assert float((small - large).abs().max() / large.std()) < 1e-4
    assert not torch.equal(small, replaced(made, 1).set_tiles(tile=96, overlap=48).translate_tensor(x))


def replaced(made: Translator, seed: int) -> Translator:
    return made.running(Inference("batch", "dropout", seed))


def test_noise_of_a_tile_is_cut_from_that_of_all() -> None:
    wanted = NoiseMap("dropout", 0.5, (2, 50, 60))
    whole = TiledNoise(3, 0, 0, 100, 120).next(wanted)
    part = TiledNoise(3, 20, 40, 60, 70).next(NoiseMap("dropout", 0.5, (2, 30, 35)))
    assert (part == whole[:, :, 10:40, 20:55]).all()
    assert {0.0, 2.0} == {*whole.flatten().tolist()}
    channels = NoiseMap("dropout", 0.5, (9, 1, 1))
    assert (TiledNoise(3, 0, 0, 8, 8).next(channels) == TiledNoise(3, 64, 8, 8, 8).next(channels)).all()


def test_an_image_that_fits_goes_through_whole_and_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    made, x = translator(), image(70, 90)
    assert torch.equal(made.set_tiles(tile="none").translate_tensor(x), made.set_tiles().translate_tensor(x))
    assert torch.equal(made.set_tiles(tile=96).translate_tensor(x), made.set_tiles().translate_tensor(x))
    assert capsys.readouterr().err == ""


def test_what_does_not_fit_the_memory_is_translated_in_tiles_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = translator(norm="none")
    monkeypatch.setattr(memory, "used", lambda: 100_000_000)
    assert made._footprint.per_pixel > 0
    sizes: list[torch.Size] = []
    with made.generator.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-2:])):
        made.set_tiles(max_memory=150_000_000).translate_tensor(image(500, 700))
    assert len({*sizes}) == 1 and 100 < sizes[0][0] < 500
    assert made._footprint.in_tiles(sizes[0][0], sizes[0][1], 500, 700) <= 50_000_000 < made._footprint.least(500, 700)
    assert re.search(
        r"700 x 500 pixels are translated in \d+ tiles of \d+ x \d+ that overlap by \d+, where one pass takes about",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("tiling", "message"),
    [
        ({"max_memory": 50_000_000}, "the program itself takes all of the 50 MB that it may"),
        ({"max_memory": 102_000_000}, "in its smallest tiles, and 2 MB are free by --max-memory: raise --max-memory, make it smaller"),
        ({"tile": "none", "max_memory": 110_000_000}, "let it be translated in tiles"),
        ({"tile": 256, "max_memory": 110_000_000}, "in tiles of 256 take about"),
        ({"tile": 64, "overlap": 61}, "cannot overlap by 61: .* at most 60"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(tiling: TilingKeywords, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "used", lambda: 100_000_000)
    with pytest.raises(UserError, match=message):
        translator().set_tiles(**tiling).translate_tensor(image(500, 700))


@pytest.mark.parametrize("tiling", [{"tile": 0}, {"tile": "all"}, {"overlap": -1}, {"max_memory": 0}, {"statistics": "own"}])
def test_values_that_mean_nothing(tiling: Any) -> None:
    with pytest.raises(UserError, match=r"give|choose"):
        Tiling(**tiling)


def test_amounts_of_memory() -> None:
    assert [parse_size(text) for text in ("2GB", "1.5 g", "800 MiB", "64k")] == [2 * 10**9, 1_500_000_000, 800_000_000, 64_000]
    for text in ("", "GB", "12", "-1GB", "nanGB", "many"):
        with pytest.raises(UserError, match="no amount of memory"):
            parse_size(text)


def test_numbers_of_pixels() -> None:
    assert [parse_count(text) for text in ("400M", "1.5 g", "178956970", "2k")] == [400_000_000, 1_500_000_000, 178_956_970, 2000]
    for text in ("", "M", "-1", "nan", "many"):
        with pytest.raises(UserError, match="no number of pixels"):
            parse_count(text)


def test_statistics_outlast_a_process_to_the_bit() -> None:
    moments = Moments.of(torch.rand(1, 5, 7, 9))
    again = Moments.read(json.loads(json.dumps(moments.words())), torch.device("cpu"))
    assert again.count == moments.count and torch.equal(again.mean, moments.mean) and torch.equal(again.squares, moments.squares)


def test_a_model_of_one_size_has_no_tiles() -> None:
    made = tiny_translator(tiny_config("unet", {"width": 4, "depth": 4, "bottleneck": "vector"}, size_multiple=16))
    with pytest.raises(UserError, match="takes 16 x 16 pixels only"):
        made.set_tiles(tile=32).translate_tensor(image(70, 70))


def test_the_parts_whose_statistics_count_cover_a_map_once() -> None:
    from transfigure.translation.tiles import TileGrid
    from transfigure.translation.tiling import _scaled

    grid = TileGrid.of(96, 96, 48, 20, 8)
    for scale in (1, 2, 4, 8):
        seen = torch.zeros(96 // scale)
        for column in grid.columns:
            _, part = grid.core(Span(0, 48), column)
            at = _scaled(part, column, 48 // scale)
            seen[column.start // scale + at.start : column.start // scale + at.stop] += 1
        assert (seen == 1).all()


def test_files_go_in_the_tiles_that_were_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = translator("unet", norm="none")
    made.save(tmp_path / "model")
    (source,) = write_images(tmp_path / "in", "a.png", size=(90, 130)).iterdir()
    asked = ["--tile", "64", "--overlap", "48", "--max-memory", "900GB"]
    assert main(["translate", str(tmp_path / "model"), str(source), str(tmp_path / "tiled.png"), *asked]) == 0
    assert "130 x 90 pixels are translated in 18 tiles of 64 x 64 that overlap by 48; the same picture" in capsys.readouterr().err
    assert main(["translate", str(tmp_path / "model"), str(source), str(tmp_path / "whole.png"), "--tile", "none"]) == 0
    assert capsys.readouterr().err == ""
    tiled, whole = (images.read(tmp_path / f"{name}.png").astype(int) for name in ("tiled", "whole"))
    assert abs(tiled - whole).max() <= 1 and whole.std() > 10
    assert main(["translate", str(tmp_path / "model"), str(source), str(tmp_path / "no.png"), "--tile", "64x64"]) == 2
    assert "--tile is '64x64': give auto, none, or pixels a side" in capsys.readouterr().err


def test_what_was_made_in_other_tiles_is_made_again(tmp_path: Path) -> None:
    write_images(tmp_path / "in", "a.png", size=(90, 130))
    made = translator("unet")
    made.quiet = True
    ways: list[TilingKeywords] = [{}, {}, {"tile": 64}, {"tile": 64}, {"tile": 64, "statistics": "exact"}]
    skipped = [len(made.set_tiles(**way).translate_folder(tmp_path / "in", tmp_path / "out", skip_existing=True).skipped) for way in ways]
    assert skipped == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(("tiling", "noise"), [({"tile": 64, "statistics": "exact"}, "none"), ({"tile": 64}, "dropout")])
def test_other_engines_say_what_they_cannot(tiling: TilingKeywords, noise: Literal["dropout", "none"]) -> None:
    made = translator("unet", dropout=0.5)
    made.inference = Inference("batch", noise, 0)

    class Another(InferenceEngine):
        name = "another"

        def __call__(self, images: Tensor, how: Inference) -> Tensor:
            return images

    made.engine = Another()
    with pytest.raises(UserError, match=r"the engine another (gives every tile its own statistics|would give every tile the same noise)"):
        made.set_tiles(**tiling).translate_tensor(image(100, 100))
    made.inference = Inference("batch", "none", 0)
    assert torch.equal(made.set_tiles(tile=64).translate_tensor(image(100, 90)), image(100, 90))
