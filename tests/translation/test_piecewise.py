"""What is read and written piece by piece is what one pass of the same tiles makes; a cut run goes on; memory is bounded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from tests.tiny import copying, tiny_config, tiny_translator
from transfigure import memory
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.data.formats import row_file
from transfigure.data.ownership import is_ours
from transfigure.data.pictures import as_one
from transfigure.data.row_writer import RowWriter
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.translation import piecewise, tiling
from transfigure.translation.folder import FileOptions, FileToTranslate
from transfigure.translation.translator import LargeImage, Translator

HEIGHT, WIDTH = 150, 203


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "BLOCK", 5000)


def resnet(source: Domain | int = 3, target: Domain | int = 3, norm: str = "batch") -> Translator:
    made = tiny_translator(tiny_config("resnet", {"width": 4, "blocks": 1, "norm": norm}, source, target, size_multiple=4))
    made.inference, made.quiet = Inference("batch", "dropout", 0), False
    return made.set_tiles(tile=64, overlap=32)


def as_config(translator: Translator, **changes: Any) -> Translator:
    translator.config = ModelConfig(**{**vars(translator.config), **changes})
    return translator.set_tiles(tile=64, overlap=32)


def values(channels: int, dtype: str = "uint8", high: float = 255) -> np.ndarray:
    random = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))[..., None] / (HEIGHT + WIDTH)
    return ((smooth * 0.8 + 0.2 * random.random((HEIGHT, WIDTH, channels))) * high).astype(dtype)


def both(
    make: Callable[[], Translator], source: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **how: Any
) -> np.ndarray:
    """The output, which is the same with all of the source and the output in memory."""
    outputs, said = [], []
    for folder in ("pieces", "whole"):
        with monkeypatch.context() as patch:
            if folder == "whole":
                patch.setattr(Translator, "_check_file", lambda *given: None)
            else:
                patch.setattr(Translator, "_translated", None)
            out = source.parent / f"{folder} {name}" / name
            capsys.readouterr()
            make().translate_file(source, out, **how)
            said.append(sorted(capsys.readouterr().err.splitlines()))
            outputs.append(out)
    (array, facts), (expected, wanted) = (
        images.examine(out, "keep", palette="index", pages="channels", no_data="nan" if name == "b.npy" else "tag") for out in outputs
    )
    np.testing.assert_array_equal(array, expected)
    assert repr(facts) == repr(wanted) and said[0] == said[1] and "are translated in" in "".join(said[0])
    found, as_whole = (images.metadata_of(out) for out in outputs)
    assert vars(found).keys() == vars(as_whole).keys()
    for key, value in vars(as_whole).items():
        assert key == "resolution" or vars(found)[key] == value
    assert is_ours(outputs[0]) == is_ours(outputs[1])
    assert [file.name for file in outputs[0].parent.iterdir()] == [name]
    return array


@pytest.mark.parametrize("statistics", ["tile", "global", "exact"])
@pytest.mark.parametrize(("source", "name"), [("a.tif", "b.tif"), ("a.png", "b.png"), ("a.npy", "b.jpg")])
def test_the_output_is_that_of_one_pass_of_the_tiles(
    statistics: Any, source: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(tmp_path / source, values(3))
    array = both(lambda: resnet().set_tiles(tile=64, overlap=32, statistics=statistics), tmp_path / source, name, capsys, monkeypatch)
    assert array.std() > 10


@pytest.mark.parametrize("no_data", [None, "-9999", "nan"])
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_ranges_and_no_data(
    no_data: str | None, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    array = values(1, "float32", 1000)
    if no_data is not None:
        array[30:50, 60:160] = float(no_data)
    tags: Any = [] if no_data is None else [(42113, "s", 0, no_data, True)]
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(32, 32), compression="zlib", extratags=tags)
    sides = Domain(1, "float32", (0.0, 900.0)), Domain(1, dtype, (0.0, 100.0))
    output = both(lambda: resnet(*sides), tmp_path / "a.tif", "b.tif", capsys, monkeypatch)
    if no_data is not None:
        assert len({*output[30:50, 60:160].ravel().tolist()}) == 1 or np.isnan(output[30:50, 60:160]).all()
        both(lambda: resnet(*sides), tmp_path / "a.tif", "b.npy", capsys, monkeypatch)


def test_what_looks_wrong_is_said_as_for_small_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values(1, "uint16", 4095))
    both(lambda: resnet(Domain(1, "uint16"), 1), tmp_path / "a.tif", "b.tif", capsys, monkeypatch)
    resnet(Domain(1, "uint16"), 1).translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert "16-bit images use only the values" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"f.tif: .*holds values from 0.* where 0 to 1 is expected|f.tif holds values"):
        tifffile.imwrite(tmp_path / "f.tif", values(1, "float32", 900))
        resnet(Domain(1, "float32"), 1).translate_file(tmp_path / "f.tif", tmp_path / "c.tif")
    assert not (tmp_path / "c.tif").exists() and [*tmp_path.glob(".*")] == []


CLASSES = tuple(
    LabelClass(name, index, colour) for index, (name, colour) in enumerate([("a", (0, 0, 0)), ("b", (255, 0, 0)), ("c", (0, 9, 255))])
)


@pytest.mark.parametrize("no_data", [None, "7"])
def test_label_maps(no_data: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    labels = (values(1)[..., 0] // 86).astype(np.uint8)
    if no_data is not None:
        labels[:20, :90] = 7
    tags: Any = [] if no_data is None else [(42113, "s", 0, no_data, True)]
    tifffile.imwrite(tmp_path / "a.tif", labels, extratags=tags)
    side = Domain(3, encoding="labels", classes=CLASSES)
    for name in ("b.tif", "b.png"):
        both(lambda: resnet(side, side), tmp_path / "a.tif", name, capsys, monkeypatch)


def test_colour_for_grey_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    images.write(tmp_path / "a.tif", values(3, "uint16", 65535))
    sides = Domain(1, encoding="L"), Domain(2, encoding="ab")
    assert both(lambda: resnet(*sides), tmp_path / "a.tif", "b.tif", capsys, monkeypatch).dtype == np.uint16


def test_halves_and_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    images.write(tmp_path / "a.tif", np.concatenate([values(3), values(3)[::-1]], axis=1))
    assert both(resnet, tmp_path / "a.tif", "b.tif", capsys, monkeypatch, half="right").shape == (HEIGHT, WIDTH, 3)
    for at, dtype in enumerate(("uint8", "uint16")):
        images.write(tmp_path / f"c{at}.tif", values(1, dtype, np.iinfo(dtype).max))
    made = resnet(Domain(2, "uint16"), 3)
    made.translate_files([tmp_path / "c0.tif", tmp_path / "c1.tif"], tmp_path / "d.tif")
    with monkeypatch.context() as patch:
        patch.setattr(Translator, "_check_file", lambda *given: None)
        made.translate_files([tmp_path / "c0.tif", tmp_path / "c1.tif"], tmp_path / "e.tif")
    assert (images.read(tmp_path / "d.tif") == images.read(tmp_path / "e.tif")).all()


def test_folders_where_some_are_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("1.png", 40), ("2.tif", 150), ("3.png", 40), ("4.png", 150)):
        images.write(tmp_path / "in" / name, values(3)[:size, :size])
    (tmp_path / "in" / "5.png").write_bytes((tmp_path / "in" / "4.png").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"1 of 5 images could not be translated \(the other 4 could\): .*5.png is a damaged"):
        resnet().translate_folder(tmp_path / "in", tmp_path / "out", batch=2)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["1.png", "2.png", "3.png", "4.png"]
    for name in ("1.png", "2.tif", "4.png"):
        resnet().translate_file(tmp_path / "in" / name, tmp_path / "one.png")
        assert (images.read(tmp_path / "one.png") == images.read((tmp_path / "out" / name).with_suffix(".png"))).all()
    (tmp_path / "in" / "5.png").unlink()
    assert len(resnet().translate_folder(tmp_path / "in", tmp_path / "out", skip_existing=True).skipped) == 4


class Cut(BaseException):
    """Nothing that is handled, as the end of a process is not."""


def cut_after(made: Translator, passes: int) -> Translator:
    """One whose network fails after so many passes; the one that finds out how much memory a pass takes is one of them."""
    tell: Any = made
    tell.passes = 0

    def count(*given: object) -> None:
        tell.passes += 1
        if tell.passes > passes:
            raise Cut

    made.generator.register_forward_pre_hook(count)
    return made


@pytest.mark.parametrize(("statistics", "name"), [("tile", "b.tif"), ("global", "b.png"), ("exact", "b.npz")])
def test_a_cut_run_goes_on(
    statistics: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(tmp_path / "a.tif", values(3))

    def made(passes: int = 1000) -> Translator:
        return cut_after(resnet().set_tiles(tile=64, overlap=32, statistics=statistics), passes)

    straight, cut = tmp_path / "straight" / name, tmp_path / "cut" / name
    (one := made()).translate_file(tmp_path / "a.tif", straight)
    monkeypatch.setattr(piecewise, "SAVE_EVERY", 0)
    total = one.passes  # type: ignore[attr-defined]
    with pytest.raises(Cut):  # 24 tiles: a few rows of them are there, and a part of the next
        made(total - 8).translate_file(tmp_path / "a.tif", cut)
    said = capsys.readouterr().err
    assert not cut.exists() and "the same command goes on" in said and "where it was cut off" not in said
    assert sorted(file.suffix for file in cut.parent.iterdir()) == [".json", ".part"]
    (other := made()).translate_file(tmp_path / "a.tif", cut)
    assert re.search(rf"{name} goes on where it was cut off: \d+ of 150 rows are there", capsys.readouterr().err)
    assert other.passes < 25 < total or statistics == "tile"  # type: ignore[attr-defined]
    assert other.passes <= 19  # type: ignore[attr-defined]
    assert [file.name for file in cut.parent.iterdir()] == [name] and cut.read_bytes() == straight.read_bytes()


def test_statistics_that_were_gathered_are_not_gathered_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(tmp_path / "a.tif", values(3))

    def made(passes: int = 1000) -> Translator:
        return cut_after(resnet().set_tiles(tile=64, overlap=32, statistics="exact"), passes)

    (one := made()).translate_file(tmp_path / "a.tif", tmp_path / "straight.tif")
    monkeypatch.setattr(piecewise, "SAVE_EVERY", 0)
    with pytest.raises(Cut):
        made(one.passes - 35).translate_file(tmp_path / "a.tif", tmp_path / "cut.tif")  # type: ignore[attr-defined]
    (other := made()).translate_file(tmp_path / "a.tif", tmp_path / "cut.tif")
    assert other.passes == 49 < one.passes  # type: ignore[attr-defined]
    assert "cut.tif goes on where it was cut off: the statistics of its tiles are there" in capsys.readouterr().err
    assert (tmp_path / "cut.tif").read_bytes() == (tmp_path / "straight.tif").read_bytes()


KILLED = """
import os, sys
from transfigure.data.formats import row_file
from transfigure.translation import piecewise
from tests.translation.test_piecewise import Cut, cut_after, resnet
row_file.BLOCK, piecewise.SAVE_EVERY = 5000, 0
made = resnet().set_tiles(tile=64, overlap=32, statistics="tile")
calls = iter(range(18))
made.generator.register_forward_pre_hook(lambda *given: (next(calls, None) is None and os._exit(9)) or None)
made.translate_file(*sys.argv[1:])
"""


def elsewhere(python: str, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """In another process."""
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([python, "-c", script, *map(str, arguments)], check=False, capture_output=True, text=True, env=where)


def test_a_process_that_was_killed_is_gone_on_with(tmp_path: Path, forking_python: str, capsys: pytest.CaptureFixture[str]) -> None:
    images.write(tmp_path / "a.tif", values(3))
    assert elsewhere(forking_python, KILLED, tmp_path / "a.tif", tmp_path / "b.tif").returncode == 9
    assert not (tmp_path / "b.tif").exists()
    made = resnet().set_tiles(tile=64, overlap=32, statistics="tile")
    made.translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert "b.tif goes on where it was cut off" in capsys.readouterr().err
    made.translate_file(tmp_path / "a.tif", tmp_path / "c.tif")
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes() and [*tmp_path.glob(".rows-*")] == []


@pytest.mark.parametrize(("less", "anew"), [(1.0, False), (0.9, False), (0.5, True)])
def test_a_run_goes_on_in_its_tiles_where_a_little_less_memory_is_free(
    less: float, anew: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piecewise, "SAVE_EVERY", 0)
    monkeypatch.setattr(memory, "used", lambda: 0)
    images.write(tmp_path / "a.tif", np.tile(values(3), (4, 3, 1)))

    def made(passes: int) -> Translator:
        return cut_after(resnet().set_tiles(max_memory=9_000_000, statistics="tile"), passes)

    (whole := made(1000)).translate_file(tmp_path / "a.tif", tmp_path / "straight.tif")
    with pytest.raises(Cut):
        made(whole.passes - 2).translate_file(tmp_path / "a.tif", tmp_path / "b.tif")  # type: ignore[attr-defined]
    monkeypatch.setattr(memory, "used", lambda: int(9_000_000 * (1 - less)))
    capsys.readouterr()
    made(1000).translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert ("begins anew: the tiles" in (said := capsys.readouterr().err)) == anew != ("goes on where it was cut off" in said)
    assert anew or (tmp_path / "b.tif").read_bytes() == (tmp_path / "straight.tif").read_bytes()


def test_another_command_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piecewise, "SAVE_EVERY", 0)
    images.write(tmp_path / "a.tif", values(3))

    def other_file() -> None:
        images.write(tmp_path / "a.tif", values(3)[::-1])

    changes: list[Callable[[Translator], Any]] = [
        lambda made: setattr(made, "inference", Inference("batch", "dropout", 1)),
        lambda made: made.set_tiles(tile=60, overlap=32, statistics="tile"),
        lambda made: other_file(),
    ]
    for change in changes:
        (tmp_path / "b.tif").unlink(missing_ok=True)
        with pytest.raises(Cut):
            cut_after(resnet().set_tiles(tile=64, overlap=32, statistics="tile"), 18).translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
        assert "the same command goes on with" in capsys.readouterr().err
        made = resnet().set_tiles(tile=64, overlap=32, statistics="tile")
        change(made)
        made.translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
        assert "b.tif is dropped" in (said := capsys.readouterr().err) and "goes on" not in said
        made.translate_file(tmp_path / "a.tif", tmp_path / "c.tif")
        assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
        assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "b.tif", "c.tif"]


def test_the_limit_of_pixels_is_lifted_by_tiles_or_by_a_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "20000")
    monkeypatch.setattr(tiling, "LARGEST", 100)
    made = resnet()
    made.quiet = True
    made.save(tmp_path / "model")
    tifffile.imwrite(tmp_path / "a.tif", values(3), photometric="rgb", tile=(64, 64), compression="zlib")
    images.write(tmp_path / "a.png", values(3))
    model, out = str(tmp_path / "model"), str(tmp_path / "out.tif")
    assert main(["translate", model, str(tmp_path / "a.tif"), out]) == 0
    assert re.search("203 x 150 pixels are translated in [0-9]+ tiles", capsys.readouterr().err)
    assert main(["translate", model, str(tmp_path / "a.png"), out]) == 2
    assert "larger than the limit" in (said := capsys.readouterr().err) and "--max-pixels" in said
    assert main(["translate", model, str(tmp_path / "a.png"), out, "--max-pixels", "31K"]) == 0
    assert main(["translate", model, str(tmp_path / "a.png"), out, "--max-pixels", "some"]) == 2
    assert "'some' is no number of pixels" in capsys.readouterr().err
    assert main(["translate", model, str(tmp_path / "a.tif"), out, "--tile", "none"]) == 2
    assert "larger than the limit" in capsys.readouterr().err


def test_rows_are_read_and_written_while_the_network_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    images.write(tmp_path / "a.tif", values(3))
    seen: dict[str, set[str]] = {"read": set(), "write": set(), "run": set()}
    made = copying()
    as_config(made)
    made.generator.register_forward_pre_hook(lambda *given: seen["run"].add(threading.current_thread().name))
    for owner, name, key in ((RowWriter, "write_rows", "write"), (images._Windows, "read", "read")):
        before = getattr(owner, name)

        def noting(*given: Any, before: Any = before, key: str = key) -> Any:
            seen[key].add(threading.current_thread().name)
            return before(*given)

        monkeypatch.setattr(owner, name, noting)
    made.translate_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert any(name.startswith("read rows") for name in seen["read"])
    assert all(name.startswith("write rows") for name in seen["write"]) and seen["run"] == {threading.current_thread().name}
    assert (images.read(tmp_path / "b.tif") == values(3)).all()


MEMORY = """
import resource, sys
import numpy as np, torch
from tests.tiny import copying
from transfigure.data import images
from transfigure.data.formats.row_file import ImageShape
size, folder, suffix = 4000, sys.argv[1], sys.argv[2]
writer = images.open_rows(folder + "/a.tif", ImageShape(size, size, 3, "uint8"))
rows = np.zeros((100, size, 3), np.uint8)
for top in range(0, size, 100):
    rows[:] = top // 100
    writer.write_rows(rows)
writer.close()
made = copying()
made.quiet = True
made.set_tiles(tile=256, overlap=16)
made.generator.forward = lambda x: x
made.translate_tensor(torch.zeros(1, 3, 300, 300))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made.translate_file(folder + "/a.tif", folder + "/b" + suffix)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
"""


@pytest.mark.parametrize("suffix", [".tif", pytest.param(".png", marks=pytest.mark.slow)])
def test_memory_is_bounded(suffix: str, tmp_path: Path) -> None:
    """An image that takes 192 MB as floats, and so does its output, is never held."""
    done = elsewhere(sys.executable, MEMORY, tmp_path, suffix)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 120
    if suffix == ".tif":
        assert (tifffile.imread(tmp_path / "b.tif")[::97] == tifffile.imread(tmp_path / "a.tif")[::97]).all()


def test_arrays_become_floats_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    array, made = values(3), resnet()
    whole = made._to_array(made.translate_tensor(made.to_tensor(array)[None])[0])
    seen: list[tuple[int, ...]] = []
    before = made.to_tensor

    def noting(made: Translator, part: np.ndarray) -> torch.Tensor:
        seen.append(part.shape)
        return before(part)

    monkeypatch.setattr(Translator, "to_tensor", noting)
    np.testing.assert_array_equal(made.translate_array(array), whole)
    assert {*seen} == {(64, 64, 3)}
    monkeypatch.undo()
    grey = resnet(1, 1)
    assert (grey(values(1)[..., 0]) == grey.translate_array(values(1))[..., 0]).all()
    with pytest.raises(UserError, match="cannot translate an array of shape"):
        made.translate_array(np.zeros((3, 3, 3, 3)))


def test_a_large_image_is_not_read_before_it_is_its_turn(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", values(3))
    made = resnet()
    read = made._read(FileToTranslate(as_one([tmp_path / "a.png"]), tmp_path / "b.png"), FileOptions())
    assert isinstance(read, LargeImage)
    assert isinstance(made.read_tensor(tmp_path / "a.png"), torch.Tensor)
