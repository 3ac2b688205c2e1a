"""Several files as one image, scored: as folders against each other, as statistics, and by a run on its own data and on others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import tiny_config, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

TARGET = "{name}_{DAPI,NFH}.png"


def values(seed: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (16, 16, channels), np.uint16)


def stacks(folder: Path, count: int = 3) -> Path:
    """Targets as two files each, and the same images, a little off, as files of two channels."""
    for n in range(count):
        target = values(n)
        for at, stain in enumerate(("DAPI", "NFH")):
            images.write(folder / f"truth/cell, {n}_{stain}.png", target[..., at : at + 1])
        for z in range(3):
            images.write(folder / f"raw/cell, {n}_z{z}.png", values(10 + n + z, 1))
        images.write(folder / f"made/cell, {n}.tif", np.roll(target, 1, 0))
        images.write(folder / f"whole/cell, {n}.tif", target)
    return folder


def test_a_folder_against_a_pattern_scores_as_against_whole_files(tmp_path: Path) -> None:
    here = stacks(tmp_path)
    pattern = evaluate_folders(here / "made", f"{here}/truth/{TARGET}", metrics=["l1", "psnr"], quiet=True)
    whole = evaluate_folders(here / "made", here / "whole", metrics=["l1", "psnr"], quiet=True)
    assert [row.value for row in pattern.rows] == [row.value for row in whole.rows] and pattern.rows[0].value
    assert pattern.names == ["cell, 0", "cell, 1", "cell, 2"]
    assert {channel.name for channel in pattern.channels} == {"DAPI", "NFH"}
    with pytest.raises(UserError, match=r"partner of the same name"):
        (here / "made/cell, 2.tif").unlink()
        evaluate_folders(here / "made", f"{here}/truth/{TARGET}", metrics=["l1"], quiet=True)


def test_both_sides_and_sources_may_be_patterns_manifests_or_one_image(tmp_path: Path) -> None:
    here = stacks(tmp_path)
    with pytest.raises(UserError, match=r"are target images themselves"):
        evaluate_folders(f"{here}/truth/{TARGET}", f"{here}/truth/{TARGET}", metrics=["l1"], quiet=True)
    with pytest.raises(UserError, match=r"DAPI, NFH: name the files in the same order"):
        for file in (here / "truth").iterdir():
            (here / "copy").mkdir(exist_ok=True)
            (here / "copy" / file.name).write_bytes(file.read_bytes())
        evaluate_folders(f"{here}/copy/{{name}}_{{NFH,DAPI}}.png", f"{here}/truth/{TARGET}", metrics=["l1"], quiet=True)
    one = evaluate_folders(here / "made/cell, 1.tif", f"{here}/truth/cell, 1_{{DAPI,NFH}}.png", metrics=["l1"], quiet=True)
    assert one.names == ["cell, 1"]
    rows = [{"target": [f"truth/cell, {n}_{stain}.png" for stain in ("DAPI", "NFH")], "name": f"cell, {n}"} for n in range(3)]
    (here / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = f"{here}/raw/{{name}}_z{{0..1}}.png"
    listed = evaluate_folders(here / "made", here / "list.jsonl", source=source, metrics=["l1"], quiet=True)
    assert listed.rows[0].bounds["source copied"]


def test_statistics_of_a_pattern(tmp_path: Path) -> None:
    here = stacks(tmp_path)
    found = statistics_of(f"{here}/truth/{TARGET}", "random", quiet=True)
    assert found.count == 3 and np.allclose(found.mean, statistics_of(here / "whole", "random", quiet=True).mean)


def on(here: Path, **data: object) -> Translator:
    """A model whose recipe reads three slices and two stains."""
    translator = tiny_translator(tiny_config(source=Domain(3, "uint16"), target=Domain(2, "uint16")))
    section = {"kind": "two_folders", "load_size": None, "crop_size": 16, "val_fraction": 0, "test_fraction": 0.5, **data}
    object.__setattr__(translator.config, "recipe", {"data": section})
    return translator


def test_a_run_is_evaluated_on_its_patterns_and_on_others(tmp_path: Path) -> None:
    here = stacks(tmp_path / "here", 4)
    below = {"a": "raw/{name}_z{0..2}.png", "b": f"truth/{TARGET}"}
    found = evaluate(on(here, path=str(here), **below), metrics=["l1"], quiet=True)
    assert found.about.split == "test" and found.names
    there = stacks(tmp_path / "there", 5)
    assert evaluate(on(here, path=str(here), **below), there, metrics=["l1"], quiet=True).about.data == str(there)
    absolute = {side: f"{here}/{pattern}" for side, pattern in below.items()}
    assert evaluate(on(here, **absolute), metrics=["l1"], quiet=True).about.data == " and ".join(absolute.values())
    with pytest.raises(UserError, match=r"do not lie in .*there: name others in the same way, with --data.a and --data.b"):
        evaluate(on(here, **absolute), there, metrics=["l1"], quiet=True)
    overrides = {f"data.{side}": f"{there}/{pattern}" for side, pattern in below.items()}
    assert evaluate(on(here, **absolute), metrics=["l1"], overrides=overrides, quiet=True).about.data.startswith(str(there))


def test_the_slice_itself_is_what_copying_the_source_gives(tmp_path: Path) -> None:
    """Not a mixture of it and its neighbours."""
    for n in range(4):
        pages = [values(5 * n + z, 1) for z in range(3)]
        images.write_pages(tmp_path / f"A/{n}.tif", pages)
        images.write_pages(tmp_path / f"B/{n}.tif", pages)
    translator = tiny_translator(tiny_config(source=Domain(3, "uint16"), target=Domain(1, "uint16")))
    section = {"kind": "two_folders", "path": str(tmp_path), "load_size": None, "crop_size": 16, "pages": "depth"}
    object.__setattr__(translator.config, "recipe", {"data": {**section, "val_fraction": 0, "test_fraction": 0.5}})
    found = evaluate(translator, metrics=["l1"], quiet=True)
    assert found.rows[0].bounds["source copied"] == pytest.approx(0, abs=1e-6)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = stacks(tmp_path)
    words = ["evaluate", "--generated", f"{here}/made", "--target", f"{here}/truth/{TARGET}", "--metrics", "l1,psnr"]
    assert main(words) == 0 and "NFH" in capsys.readouterr().out
    assert main([*words[:4], f"{here}/truth/{{name}}_{{DAPI,MAP2}}.png"]) == 2
    assert "no file matches" in capsys.readouterr().err
    assert main(["statistics", f"{here}/truth/{TARGET}", "--features", "random", "--out", str(tmp_path / "s.npz")]) == 0
