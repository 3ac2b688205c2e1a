"""Several files as one image, translated: from the command line and from Python, and what single files are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import tiny_config, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.encodings.label_classes import LabelClass
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain
from transfigure.translation.translator import Translator

PATTERN = "{name}_z{0..4}.png"


def model(recipe: Mapping[str, object] | None = None, names: tuple[str, ...] = ()) -> Translator:
    """Five 16-bit channels to two."""
    config = tiny_config(source=Domain(5, "uint16", names=names), target=Domain(2, "uint16"))
    translator = tiny_translator(config)
    if recipe is not None:
        object.__setattr__(translator.config, "recipe", recipe)
    return translator


def slices(folder: Path, count: int = 2, z: int = 5) -> Path:
    rng = np.random.default_rng(0)
    for n in range(count):
        for at in range(z):
            images.write(folder / f"cell, {n}_z{at}.png", rng.integers(0, 65536, (16, 24, 1), np.uint16))
    return folder


def stacked(folder: Path, n: int = 0) -> np.ndarray:
    return np.concatenate([images.read(folder / f"cell, {n}_z{z}.png") for z in range(5)], axis=2)


def test_a_pattern_into_a_folder(tmp_path: Path) -> None:
    source, translator = slices(tmp_path / "in"), model()
    written = translator.translate_folder(f"{source}/{PATTERN}", tmp_path / "out", quiet=True)
    assert written == [tmp_path / "out" / f"cell, {n}.tif" for n in (0, 1)] and written.inputs == 2
    for n in (0, 1):
        assert (images.read(written[n]) == translator.translate_array(stacked(source, n))).all()
    assert translator.translate_folder(f"{source}/{PATTERN}", tmp_path / "out", quiet=True, skip_existing=True) == []
    another = f"{source}/{{name}}_z{{4..0}}.png"  # the same files in another order are another image
    assert len(translator.translate_folder(another, tmp_path / "out", quiet=True, skip_existing=True)) == 2


def test_one_image_into_a_file_by_pattern_and_by_list(tmp_path: Path) -> None:
    source, translator = slices(tmp_path / "in"), model()
    translator.translate_file(f"{source}/cell, 1_z{{0..4}}.png", tmp_path / "a.tif")
    translator.translate_files([source / f"cell, 1_z{z}.png" for z in range(5)], tmp_path / "b.tif")
    assert (images.read(tmp_path / "a.tif") == images.read(tmp_path / "b.tif")).all()
    with pytest.raises(UserError, match=r"any number of images, because of its {name}"):
        translator.translate_file(f"{source}/{PATTERN}", tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"is one of the images to be translated, which would be lost"):
        model().translate_files([source / f"cell, 1_z{z}.png" for z in range(4)] + [tmp_path / "a.tif"], tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_manifest(tmp_path: Path, suffix: str) -> None:
    source, listing = slices(tmp_path / "in"), tmp_path / f"list{suffix}"
    stacks = [[f"in/cell, {n}_z{z}.png" for z in range(5)] for n in (1, 0)]
    if suffix == ".csv":
        listing.write_text("source,name\n" + "".join(f'"{";".join(stack)}",picture {at}\n' for at, stack in enumerate(stacks)))
    else:
        listing.write_text("".join(json.dumps({"source": stack, "name": f"picture {at}"}) + "\n" for at, stack in enumerate(stacks)))
    written = model().translate_folder(listing, tmp_path / "out", quiet=True)
    assert [file.name for file in written] == ["picture 0.tif", "picture 1.tif"]
    assert (images.read(written[0]) == model().translate_array(stacked(source, 1))).all()


@pytest.mark.parametrize("name", ["../up", "/etc/up", ".."])
def test_names_of_a_manifest_stay_in_the_output(tmp_path: Path, name: str) -> None:
    slices(tmp_path / "in")
    (tmp_path / "list.jsonl").write_text(json.dumps({"source": [f"in/cell, 0_z{z}.png" for z in range(5)], "name": name}))
    with pytest.raises(UserError, match=r"leads out of .*: give it a plain name"):
        model().translate_folder(tmp_path / "list.jsonl", tmp_path / "out", quiet=True)


def test_single_files_are_told_in_one_sentence_how(tmp_path: Path) -> None:
    source = slices(tmp_path / "in")
    with pytest.raises(UserError) as refusal:
        model().translate_folder(source, tmp_path / "out", quiet=True)
    assert str(refusal.value) == (
        f"this model takes images of 5 channels, and the 10 images of {source} are of 1: name the files of one image by a pattern, such as "
        "'in/{name}_z{0..4}.png' (or with {A,B,C})"
    )
    trained = {"data": {"a": "/elsewhere/{name}_slice{00..04}.png", "b": "b", "direction": "AtoB"}}
    with pytest.raises(UserError, match=r"5 channels \(0, 1, 2, 3, 4\), .* as in its training, by '{name}_slice{00..04}.png'"):
        model(trained, tuple("01234")).translate_folder(source, tmp_path / "out", quiet=True)
    with pytest.raises(UserError, match=r"5 channels, and the 2 images of .* are of 4"):
        model(trained).translate_folder(f"{source}/{{name}}_z{{0..3}}.png", tmp_path / "out", quiet=True)
    with pytest.raises(UserError, match=r"5 channels, and .*cell, 0_z0.png is an image of 1"):
        model().translate_file(source / "cell, 0_z0.png", tmp_path / "out.tif")


def test_three_slices_are_not_three_times_one_file(tmp_path: Path) -> None:
    """Grey becomes three equal channels for colour models; not for one that was trained on three files."""
    source = slices(tmp_path / "in", z=3)
    config = tiny_config(source=Domain(3, "uint16"), target=Domain(1, "uint16"))
    translator = tiny_translator(config)
    translator.translate_file(source / "cell, 0_z0.png", tmp_path / "grey.png")
    object.__setattr__(translator.config, "recipe", {"data": {"a": "{name}_z{0..2}.png"}})
    with pytest.raises(UserError, match=r"takes images of 3 channels"):
        translator.translate_file(source / "cell, 0_z0.png", tmp_path / "out.png")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = slices(tmp_path / "in")
    model().save(tmp_path / "model")

    def translate(*words: str) -> tuple[int, str]:
        code = main(["translate", str(tmp_path / "model"), *words])
        out = capsys.readouterr()
        return code, out.out + out.err

    assert translate(f"{source}/{PATTERN}", str(tmp_path / "out"))[0] == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cell, 0.tif", "cell, 1.tif"]
    one = f"{source}/cell, 0_z{{0..4}}.png"
    assert translate(one, str(tmp_path / "one.tif"))[0] == 0 and images.read(tmp_path / "one.tif").shape == (16, 24, 2)
    assert translate(one, f"{tmp_path}/folder")[0] == 0 and (tmp_path / "folder" / "cell, 0_z0-4.tif").is_file()
    code, said = translate(f"{source}/{PATTERN}", str(tmp_path / "one.tif"))
    assert code == 2 and "may be any number of images, and" in said and "name a folder, such as one/" in said
    code, said = translate(f"{source}/cell, 0_z0.png", str(tmp_path / "single"))
    assert code == 2 and f"write {tmp_path}/single.tif for a file, or {tmp_path}/single/ for a folder" in said


@pytest.mark.parametrize("classes", [tuple(LabelClass(index=at) for at in range(7)), tuple(LabelClass(index=at) for at in range(3))])
def test_a_model_of_label_maps_takes_single_files(tmp_path: Path, classes: tuple[LabelClass, ...]) -> None:
    for n in range(2):
        images.write(tmp_path / "in" / f"{n}.png", np.random.default_rng(n).integers(0, len(classes), (16, 16, 1), np.uint8))
    translator = tiny_translator(tiny_config(source=Domain(len(classes), encoding="labels", classes=classes)))
    assert len(translator.translate_folder(tmp_path / "in", tmp_path / "out", quiet=True)) == 2


@pytest.mark.parametrize(
    ("wanted", "files", "fits"), [(2, 2, True), (1, 2, False), (3, 2, False), (3, 3, True), (2, 3, False), (5, 3, False)]
)
def test_stacks_of_a_list_are_taken_where_their_channels_fit(tmp_path: Path, wanted: int, files: int, fits: bool) -> None:
    slices(tmp_path / "in")
    stack = ";".join(f"in/cell, 0_z{at}.png" for at in range(files))
    (tmp_path / "list.csv").write_text(f'source\n"{stack}"\n')
    translator = tiny_translator(tiny_config(source=Domain(wanted, "uint16")))
    if fits:
        assert len(translator.translate_folder(tmp_path / "list.csv", tmp_path / "out", quiet=True)) == 1
    else:
        with pytest.raises(UserError, match=rf"takes images of {wanted} channel.* of {files}: name the files"):
            translator.translate_folder(tmp_path / "list.csv", tmp_path / "out", quiet=True)
