"""Spectra of pictures whose frequencies are known, histograms in Lab, and both of what a tiny translator makes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny import Copy, copying, noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.data.dataset import PairDataset
from transfigure.data.images import to_tensor
from transfigure.data.layouts import recognise
from transfigure.errors import RunFailure, UserError
from transfigure.evaluation.held_out import held_out
from transfigure.evaluation.scorer import as_written
from transfigure.metrics.colour import LabHistogram, rgb_to_lab
from transfigure.networks.model_file import Domain
from transfigure.recipe import Recipe
from transfigure.studies.ablation.pictures import FILE, examine, lab_edges, lab_histograms, radial_spectrum, write_pictures
from transfigure.translation.translator import Translator

SIZE = 16


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wave(height: int, width: int, across: float, down: float = 0.0) -> Tensor:
    """One channel; cycles per pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (2 * math.pi * (across * columns + down * rows) + 0.4).cos()[None, None]


def blurred(pictures: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


# ---- the spectrum -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (31, 31), (32, 56), (56, 33)], ids=str)
def test_white_noise_is_flat_and_as_high_at_every_size(size: tuple[int, int]) -> None:
    frequency, power = radial_spectrum(noise(200, 1, *size))
    assert len(frequency) == len(power) == min(size) // 2 + 1
    assert frequency.tolist() == pytest.approx([ring / min(size) for ring in range(len(frequency))])
    assert power[0] < 1e-20, "the mean is taken away"
    assert 0.6 < power[1] / 0.09 < 0.9, "and, under the window, some of what lies beside it"
    assert (power[2:] / 0.09 - 1).abs().max() < 0.08


@pytest.mark.parametrize(
    ("height", "width", "across", "down"),
    [(32, 32, 0.25, 0.0), (32, 32, 0.0, 0.125), (40, 40, 0.15, 0.2), (24, 60, 0.25, 0.0), (60, 24, 0.0, 0.3), (32, 32, 0.5, 0.0)],
)
def test_a_wave_peaks_at_its_frequency(height: int, width: int, across: float, down: float) -> None:
    frequency, power = radial_spectrum(wave(height, width, across, down))
    expected = math.hypot(across, down)
    assert abs(frequency[power.argmax()] - expected) <= 0.51 / min(height, width)
    far = (frequency - expected).abs() > 2.6 / min(height, width)  # a Hann window is two rings wide to either side
    assert far.any() and power[far].max() < 1e-3 * power.max()


def test_the_power_is_the_variance() -> None:
    """Parseval: rings weighted by how many frequencies they hold; noise without the corners of the square has them all."""
    pictures = noise(1, 1, 32, 32)
    spectrum = torch.fft.fft2(pictures)
    spectrum[..., torch.hypot(*torch.meshgrid(torch.fft.fftfreq(32), torch.fft.fftfreq(32), indexing="ij")) > 0.4] = 0
    pictures = torch.fft.ifft2(spectrum).real
    _, power = radial_spectrum(pictures)
    distance = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    counts = torch.tensor([((distance * 32).round() == ring).sum() for ring in range(17)])
    window = np.sin(np.pi * (np.arange(32) + 0.5) / 32) ** 2
    weight = torch.from_numpy(np.outer(window, window))
    mean = (pictures * weight).sum() / weight.sum()
    variance = ((pictures - mean) * weight).square().sum() / weight.square().sum()
    assert (power * counts).sum().item() / 32**2 == pytest.approx(variance.item(), rel=0.01)


def test_a_blur_lowers_the_high_end_only() -> None:
    pictures = noise(100, 3, 32, 32)
    frequency, sharp = radial_spectrum(pictures)
    _, soft = radial_spectrum(blurred(pictures))
    left = soft / sharp
    assert (left[frequency > 0.25] < 0.25).all() and (left[(frequency > 0) & (frequency < 0.1)] > 0.6).all()


def test_borders_that_do_not_meet_are_no_detail() -> None:
    slope = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    frequency, power = radial_spectrum(slope)
    assert power[frequency > 0.25].max() < 1e-7 * power.max()
    bare = torch.fft.fft2(slope).abs().square()[0, 0, 0]
    assert bare[16:32].min() > 1e-3 * bare[1:].max(), "which is what there would be without a window"


def test_a_constant_has_no_power_and_turning_changes_nothing() -> None:
    assert radial_spectrum(torch.full((2, 3, 20, 24), 0.3))[1].max() < 1e-20
    pictures = noise(3, 3, 20, 28)
    power = radial_spectrum(pictures)[1]
    for same in (pictures.mT, pictures.flip(-1), -pictures, pictures + 0.5, pictures.flip(0)):
        assert torch.allclose(radial_spectrum(same)[1], power, rtol=1e-4, atol=1e-9)
    assert torch.allclose(radial_spectrum(3 * pictures)[1], 9 * power, rtol=1e-4)
    assert torch.allclose(torch.stack([radial_spectrum(one[None])[1] for one in pictures]).mean(0), power)


def test_it_is_of_the_luminance() -> None:
    grey = noise(2, 1, 20, 20)
    power = radial_spectrum(grey)[1]
    assert torch.allclose(radial_spectrum(grey.expand(-1, 3, -1, -1))[1], power, rtol=1e-5)
    assert torch.allclose(radial_spectrum(grey.expand(-1, 5, -1, -1))[1], power, rtol=1e-5)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        alone = torch.zeros(2, 3, 20, 20)
        alone[:, channel] = grey[:, 0]
        assert torch.allclose(radial_spectrum(alone)[1], weight**2 * power, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2), (2, 5), (3, 3), (7, 8), (8, 7)], ids=str)
def test_small_pictures_have_a_spectrum(size: tuple[int, int]) -> None:
    frequency, power = radial_spectrum(noise(2, 3, *size))
    assert len(frequency) == len(power) == min(size) // 2 + 1 and frequency[-1] <= 0.5
    assert power.isfinite().all() and (power >= 0).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 3, 8, 8), (1, 3, 8, 0)], ids=str)
def test_what_is_no_batch_of_images_has_no_spectrum(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a spectrum is of images"):
        radial_spectrum(torch.zeros(shape))


# ---- the colours --------------------------------------------------------------------------------------------------------


def test_the_histograms_are_numpys_in_the_bins_of_the_metric() -> None:
    pictures = noise(3, 3, 12, 10).clamp(-1, 1)
    lab, counts, edges = rgb_to_lab(pictures), lab_histograms(pictures), lab_edges()
    assert list(counts) == list(edges) == ["L", "a", "b"]
    for channel, name in enumerate("Lab"):
        assert counts[name].tolist() == np.histogram(lab[:, channel].double(), edges[name])[0].tolist()
        assert counts[name].sum() == 3 * 12 * 10
    metric = LabHistogram()
    metric.update(pictures, pictures.flip(0) * 0.5)
    others = lab_histograms(pictures * 0.5)
    overlaps = [(torch.minimum(counts[name], others[name]).sum() / 360).item() for name in "Lab"]
    assert list(metric.compute().values()) == pytest.approx(overlaps)


def test_grey_pictures_have_no_colours() -> None:
    with pytest.raises(ValueError, match="red, green and blue"):
        lab_histograms(torch.zeros(1, 1, 4, 4))


# ---- a translator's pictures --------------------------------------------------------------------------------------------


def two_folders(root: Path, count: int = 5, domain: Domain | None = None) -> Path:
    """Test pairs of noise, each of its own, and a training pair."""
    domain = domain or Domain(3)
    suffix = "png" if domain.channels in (1, 3) and domain.dtype == "uint8" else "tif"
    for split, number in (("train", 1), ("test", count)):
        for index in range(number):
            for side, seed in (("A", index), ("B", 100 + index)):
                picture = noise_image(SIZE, SIZE, domain.channels, domain.dtype, seed)
                images.write(root / f"{split}{side}" / f"{index}.{suffix}", picture)
    return root


def recipe_of(path: Path) -> dict[str, Any]:
    return Recipe.load(
        "l1", {"data.path": str(path.resolve()), "data.kind": recognise(path), "data.load_size": SIZE, "data.crop_size": SIZE}
    ).to_dict()


def pairs_of(translator: Translator) -> PairDataset:
    return held_out(translator, None, None, {}).pairs


def test_a_copy_of_the_source_has_the_source_s_frequencies_and_colours(tmp_path: Path) -> None:
    translator = copying()
    translator.config = tiny_config("copy", {}, recipe=recipe_of(two_folders(tmp_path)), size_multiple=1)
    found = examine(translator, pairs_of(translator), quiet=True)
    assert list(found) == ["images", "spectrum", "lab"] and found["images"] == 5
    spectrum = found["spectrum"]
    assert list(spectrum) == ["frequency", "generated", "target"]
    for side, folder in (("generated", "testA"), ("target", "testB")):
        pictures = torch.stack([to_tensor(images.read(tmp_path / folder / f"{index}.png")) for index in range(5)])
        frequency, power = radial_spectrum(pictures)
        assert spectrum["frequency"] == frequency.tolist()
        assert spectrum[side] == pytest.approx(power.tolist())
        for name, counts in lab_histograms(pictures).items():
            assert found["lab"][name][side] == pytest.approx((counts / counts.sum()).tolist())
            assert sum(found["lab"][name][side]) == pytest.approx(1)
            assert len(found["lab"][name]["edges"]) == len(counts) + 1
    assert spectrum["generated"] != spectrum["target"]


def test_generated_pictures_are_those_of_the_files(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(recipe=recipe_of(two_folders(tmp_path, 2))))
    raw = torch.stack([translator.translate_tensor(pair.source[None])[0] for pair in map(pairs_of(translator).__getitem__, range(2))])
    written = torch.stack([as_written(one, translator.config.target) for one in raw])
    found = examine(translator, pairs_of(translator), quiet=True)["spectrum"]["generated"]
    assert found == pytest.approx(radial_spectrum(written)[1].tolist(), rel=1e-9)
    assert found != pytest.approx(radial_spectrum(raw)[1].tolist(), rel=1e-9)


@pytest.mark.parametrize("domain", [Domain(1), Domain(4, "uint16"), Domain(3, names=("DAPI", "MAP2", "NFH"))], ids=str)
def test_what_is_not_in_colour_has_a_spectrum_only(tmp_path: Path, domain: Domain) -> None:
    config = tiny_config(source=domain, target=domain, recipe=recipe_of(two_folders(tmp_path, 2, domain)))
    found = examine(tiny_translator(config), pairs_of(tiny_translator(config)), quiet=True)
    assert found["lab"] is None and len(found["spectrum"]["target"]) == SIZE // 2 + 1


@pytest.mark.parametrize(
    ("limit", "chosen"), [(64, [0, 1, 2, 3, 4, 5, 6]), (7, [0, 1, 2, 3, 4, 5, 6]), (4, [0, 2, 4, 6]), (2, [0, 6]), (1, [0])], ids=str
)
def test_a_part_is_spread_over_all(tmp_path: Path, limit: int, chosen: list[int]) -> None:
    translator = copying()
    translator.config = tiny_config("copy", {}, recipe=recipe_of(two_folders(tmp_path, 7)), size_multiple=1)
    pairs = pairs_of(translator)
    assert examine(translator, pairs, limit, quiet=True)["images"] == len(chosen)
    assert isinstance(translator.generator, Copy)
    seen = [to_tensor(images.read(tmp_path / "testA" / f"{index}.png")) for index in chosen]
    assert torch.equal(torch.cat(translator.generator.seen), torch.stack(seen))
    assert len(pairs) == 7, "the pairs are left as they were"


def test_nothing_to_look_at_is_refused(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(recipe=recipe_of(two_folders(tmp_path, 1))))
    with pytest.raises(UserError, match="at least 1"):
        examine(translator, pairs_of(translator), limit=0)


def test_a_broken_translator_is_no_picture(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(recipe=recipe_of(two_folders(tmp_path, 1))))
    with torch.no_grad():
        for weight in translator.generator.parameters():
            weight.fill_(math.nan)
    with pytest.raises(RunFailure, match="not finite"):
        examine(translator, pairs_of(translator), quiet=True)


# ---- of a run -----------------------------------------------------------------------------------------------------------


def run_on(path: Path, run: Path) -> Path:
    """A run whose model has noise, so that a seed matters."""
    tiny_translator(tiny_config(options={"width": 4, "depth": 4, "dropout": 0.5}, recipe=recipe_of(path))).save(run / "model")
    return run


def test_a_run_gets_its_file_and_twice_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_on(two_folders(tmp_path / "pairs"), tmp_path / "run")
    file = write_pictures(run, quiet=True)
    assert file == run / FILE == run / "evaluation" / "pictures.json"
    first = file.read_text()
    read = json.loads(first)
    assert read["images"] == 5 and list(read["lab"]) == ["L", "a", "b"]
    assert read["spectrum"]["frequency"][0] == 0 and read["spectrum"]["frequency"][-1] == 0.5
    assert all(len(read["spectrum"][side]) == SIZE // 2 + 1 for side in ("generated", "target"))
    assert capsys.readouterr() == ("", "")
    torch.manual_seed(7)
    write_pictures(str(run), quiet=True)
    assert file.read_text() == first
    assert [path.name for path in (run / "evaluation").iterdir()] == ["pictures.json"]
    write_pictures(run, limit=2, quiet=True)
    assert json.loads(file.read_text())["images"] == 2


def test_data_that_are_not_there_any_more_are_named(tmp_path: Path) -> None:
    run = run_on(two_folders(tmp_path / "pairs"), tmp_path / "run")
    write_pictures(run, quiet=True)
    before = (run / FILE).read_text()
    (tmp_path / "pairs").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"test pairs of .*run .*pairs.* does not exist"):
        write_pictures(run, quiet=True)
    assert (run / FILE).read_text() == before


def test_a_file_that_is_spoilt_is_named(tmp_path: Path) -> None:
    run = run_on(two_folders(tmp_path / "pairs"), tmp_path / "run")
    (tmp_path / "pairs" / "testB" / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"testB.3\.png"):
        write_pictures(run, quiet=True)
    assert not (run / FILE).exists()


def test_a_run_without_a_model_and_a_model_without_data(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="there is no model"):
        write_pictures(tmp_path / "run")
    tiny_translator().save(tmp_path / "run" / "model")
    with pytest.raises(UserError, match="does not say what it was trained on"):
        write_pictures(tmp_path / "run")
