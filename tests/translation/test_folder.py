"""A folder in, a folder out: what cannot work is said before the work, and one bad file stops no other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import UNET, copying, noise_image, tiny_config, tiny_translator, write_images
from transfigure.cli import main
from transfigure.data import images
from transfigure.errors import Missing, RunFailure, UserError
from transfigure.integrity import read_header
from transfigure.networks.model_file import Domain
from transfigure.translation import folder
from transfigure.translation import translator as translator_module
from transfigure.translation.translator import Translator


def below(folder: Path) -> list[str]:
    """All files, hidden ones too, in the order of their names."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused_before_work(translator: Translator, source: Path, output: Path, **options: Any) -> str:
    """The sentence; nothing was translated and nothing written."""
    before = below(source.parent)
    with pytest.raises(UserError) as caught:
        translator.translate_folder(source, output, quiet=True, **options)
    assert not translator.generator.seen
    assert below(source.parent) == before
    return str(caught.value)


def test_every_image_is_translated_as_it_would_be_alone(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.png", "c.png")
    translator = tiny_translator()
    written = translator.translate_folder(source, tmp_path / "all", quiet=True)
    assert [path.name for path in written] == ["a.png", "b.png", "c.png"]
    for name in ("c.png", "a.png", "b.png"):
        translator.translate_file(source / name, tmp_path / "alone" / name)
        expected = (tmp_path / "alone" / name).read_bytes()
        assert (tmp_path / "all" / name).read_bytes() == expected
        lonely = tmp_path / f"only_{name}"
        lonely.mkdir()
        (source / name).rename(lonely / name)
        translator.translate_folder(lonely, tmp_path / f"out_{name}", quiet=True)
        assert (tmp_path / f"out_{name}" / name).read_bytes() == expected


def test_names_order_and_sub_folders(tmp_path: Path) -> None:
    names = ["img10.png", "img2.jpg", "img1.tif", "b/x.y.z.webp", "b/a/1.bmp"]
    source = write_images(tmp_path / "in", *names)
    (source / "notes.txt").write_text("not an image")
    (source / ".hidden.png").write_bytes(b"")
    reported: list[Path] = []
    written = copying().translate_folder(source, tmp_path / "out", quiet=True, on_file=reported.append)
    order = ["b/a/1.png", "b/x.y.z.png", "img1.png", "img2.png", "img10.png"]
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == order
    assert reported == written
    assert below(tmp_path / "out") == sorted(order)
    for name in names:
        expected = images.convert_channels(images.read(source / name), 3)
        assert np.array_equal(images.read((tmp_path / "out" / name).with_suffix(".png")), expected) or name.endswith("jpg")


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tif", "bmp"])
def test_formats(tmp_path: Path, format: str) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.jpg")
    written = copying().translate_folder(source, tmp_path / "out", format=format, quiet=True)
    assert [path.name for path in written] == [f"a.{format}", f"b.{format}"]
    assert {images.size_of(path).format for path in written} == {{"jpg": "JPEG", "tif": "TIFF"}.get(format, format.upper())}


def test_same_format_keeps_every_name(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "a.JPG", "b.tiff")
    written = copying().translate_folder(source, tmp_path / "out", format="same", quiet=True)
    assert sorted(path.name for path in written) == ["a.JPG", "a.png", "b.tiff"]


def test_formats_that_there_are_not(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png")
    for wrong in ("gif", "PNG", ".png"):
        assert "not one of png, jpg" in refused_before_work(copying(), source, tmp_path / "out", format=wrong)


def test_two_inputs_of_one_stem_are_found_before_the_work(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "sub/b.png", "sub/b.jpg")
    sentence = refused_before_work(copying(), source, tmp_path / "out")
    assert "b.png" in sentence
    assert "b.jpg" in sentence
    assert "--format same" in sentence


def test_equal_stems_in_two_folders_are_fine(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "x/b.png", "y/b.jpg")
    assert len(copying().translate_folder(source, tmp_path / "out", quiet=True)) == 2


def test_output_inside_input(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to(source)
    for output in (source, source / "out", tmp_path / "in" / ".." / "in" / "deep" / "out", tmp_path / "link" / "out"):
        assert "inside the input" in refused_before_work(copying(), source, output)


def test_an_output_that_would_replace_an_input(tmp_path: Path) -> None:
    """The input lies inside the output, where a sub-folder of the same name leads the outputs back into it."""
    source = write_images(tmp_path / "in", "a.png", "in/a.png")
    assert "would be lost" in refused_before_work(copying(), source, tmp_path)


def test_input_beside_other_things_in_the_output_folder(tmp_path: Path) -> None:
    source = write_images(tmp_path / "all" / "in", "a.png")
    assert copying().translate_folder(source, tmp_path / "all", quiet=True) == [tmp_path / "all" / "a.png"]


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png")
    (tmp_path / "taken").write_text("a file")
    for output in (tmp_path / "taken", tmp_path / "taken" / "out"):
        assert str(output) in refused_before_work(copying(), source, output)


def test_nothing_to_translate(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "no images" in refused_before_work(copying(), tmp_path / "in", tmp_path / "out")
    assert "does not exist" in refused_before_work(copying(), tmp_path / "absent", tmp_path / "out")


# ---- files that cannot be translated ------------------------------------------------------------------------------------


def test_bad_files_among_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", "3.png", "sub/4.png")
    whole = (source / "2.png").read_bytes()
    (source / "2.png").write_bytes(whole[: len(whole) // 2])
    (source / "3.png").write_bytes(b"")
    images.write(source / "5.tif", noise_image(4, 4, 7))
    with pytest.raises(UserError) as caught:
        copying().translate_folder(source, tmp_path / "out", quiet=True)
    sentence = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in sentence
    assert "3 of 5" in sentence
    for name in ("2.png", "3.png", "5.tif"):
        assert name in sentence
    assert "1.png" not in sentence
    said = capsys.readouterr().err
    assert "3.png is empty" in said
    assert "7 channels" in said
    assert below(tmp_path / "out") == ["1.png", "sub/4.png"]


def test_one_bad_file(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    (source / "1.png").write_bytes(b"%PDF-1.7")
    with pytest.raises(UserError, match=r"1 of 2 images .*the other 1 could.*1\.png is not a PNG.*PDF"):
        copying().translate_folder(source, tmp_path / "out", quiet=True)
    assert below(tmp_path / "out") == ["2.png"]


def test_only_bad_files(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", *(f"{index}.png" for index in range(30)), channels=1)
    for file in source.iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"^no image could be translated: 0\.png, .*9\.png and 20 more; the first: .*0\.png is empty"):
        copying().translate_folder(source, tmp_path / "out", quiet=True)
    assert below(tmp_path / "out") == []


def test_a_missing_package_stops_only_the_files_that_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.png", "c.png")
    examine = images.examine

    def without_tifffile(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "a.png":
            raise Missing.extra("tifffile", "science", f"reading {path}")
        return examine(path, *how, **more)

    monkeypatch.setattr(images, "examine", without_tifffile)
    with pytest.raises(Missing, match="tifffile") as caught:
        copying().translate_folder(source, tmp_path / "out", quiet=True)
    assert caught.value.exit_code == 3
    assert below(tmp_path / "out") == ["b.png", "c.png"]


def test_a_broken_model_is_no_fault_of_the_files(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.png")
    translator = copying()
    translator.generator.forward = lambda x: x * float("nan")
    with pytest.raises(RunFailure, match="not finite"):
        translator.translate_folder(source, tmp_path / "out", quiet=True)
    assert below(tmp_path / "out") == []


def test_an_interruption_leaves_whole_files(tmp_path: Path) -> None:
    names = [f"{number:02}.png" for number in range(20)]
    source = write_images(tmp_path / "in", *names)
    copying().translate_folder(source, tmp_path / "whole", quiet=True)

    def stop(path: Path) -> None:
        if path.name == "01.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying().translate_folder(source, tmp_path / "out", quiet=True, on_file=stop)
    found, whole = contents(tmp_path / "out"), contents(tmp_path / "whole")
    assert names[:2] == list(found)[:2] and len(found) < 10, "what was on its way is finished, and no more"
    assert found.items() <= whole.items()


# ---- halves, transparency, other depths ---------------------------------------------------------------------------------


def test_halves(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", size=(8, 20))
    whole = images.read(source / "a.png")
    for half, expected in (("left", whole[:, :10]), ("right", whole[:, 10:])):
        (written,) = copying().translate_folder(source, tmp_path / half, half=half, quiet=True)  # type: ignore[arg-type]
        assert np.array_equal(images.read(written), expected)


def test_transparency(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", channels=4)
    with pytest.raises(UserError, match="transparent"):
        copying().translate_folder(source, tmp_path / "out", quiet=True)
    (written,) = copying().translate_folder(source, tmp_path / "out", alpha="drop", quiet=True)
    assert np.array_equal(images.read(written), images.read(source / "a.png", "drop"))


def test_16_bit_models_write_png(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.tif", channels=1, dtype="uint16")
    written = copying(Domain(1, "uint16")).translate_folder(source, tmp_path / "out", quiet=True)
    assert [path.name for path in written] == ["a.png", "b.png"]
    for path in written:
        assert images.read(path).dtype == np.uint16


@pytest.mark.parametrize("domain", [Domain(5), Domain(1, "float32", (-10.0, 10.0))], ids=str)
def test_models_that_png_cannot_hold_write_tif_and_say_so(tmp_path: Path, domain: Domain, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_images(tmp_path / "in", "a.tif", channels=domain.channels, dtype=domain.dtype)
    (written,) = copying(domain).translate_folder(source, tmp_path / "out")
    assert written.name == "a.tif"
    assert images.read(written).shape == images.read(source / "a.tif").shape
    assert "written as tif" in capsys.readouterr().err
    copying(domain).translate_folder(source, tmp_path / "again", quiet=True)
    assert capsys.readouterr().err == ""


def test_a_format_that_cannot_hold_the_images_is_refused_before_the_work(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.jpg")
    assert "tif" in refused_before_work(copying(5), source, tmp_path / "out", format="png")
    deep = copying(Domain(3, "uint16"))
    assert "png" in refused_before_work(deep, source, tmp_path / "out", format="jpg")
    assert "b.jpg" in refused_before_work(deep, source, tmp_path / "out", format="same")


def test_conversions_are_said_once_for_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_images(tmp_path / "in", "a.png", "b.png", "c.png", channels=1)
    translator = tiny_translator(tiny_config(source=3))
    translator.translate_folder(source, tmp_path / "out")
    assert capsys.readouterr().err.count("note: grey") == 1
    translator.translate_folder(source, tmp_path / "out", quiet=True)
    assert capsys.readouterr().err == ""


def test_the_translator_s_own_method(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "a.png", size=(6, 8))
    written = copying().translate_folder(str(source), str(tmp_path / "out"), format="bmp", half="left", quiet=True)
    assert [path.name for path in written] == ["a.bmp"]
    assert images.size_of(written[0]).width == 4


# ---- what is there already ------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in below(folder)}


def foreign(folder: Path, *names: str) -> Path:
    """Pictures that another program saved."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise_image(20, 24, 3, seed=100 + seed)).save(folder / name)
    return folder


def test_c06_the_targets_folder_is_not_replaced(tmp_path: Path) -> None:
    """``translate RUN testA testB``, where testB is the ground truth."""
    source = write_images(tmp_path / "testA", "1.png", "2.png", "sub/3.png")
    target = foreign(tmp_path / "testB", "1.png", "2.png", "sub/3.png")
    before = contents(target)
    sentence = refused_before_work(copying(), source, target)
    assert "3 files are there already that transfigure did not write" in sentence and "--overwrite" in sentence
    assert contents(target) == before
    assert len(copying().translate_folder(source, target, quiet=True, overwrite=True)) == 3
    assert contents(target) != before


def test_c06_targets_in_another_format_stay_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_images(tmp_path / "testA", "1.png", "2.png"), foreign(tmp_path / "testB", "1.jpg", "2.jpg", "3.jpg")
    (target / "2.txt").write_text("a remark")
    before = contents(target)
    for _ in range(2):
        copying().translate_folder(source, target)
        assert f"{target} holds 2 pictures of the same names in another format" in capsys.readouterr().err
    assert contents(target).items() > before.items()
    copying().translate_folder(source, tmp_path / "out")
    copying().translate_folder(source, tmp_path / "out", format="jpg")
    assert "same names" not in capsys.readouterr().err, "its own are no targets"


def test_c06_one_file_of_another_is_enough(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    foreign(tmp_path / "out", "2.png")
    assert "2.png is there already" in refused_before_work(copying(), source, tmp_path / "out")
    assert below(tmp_path / "out") == ["2.png"]


def test_c06_one_output_file_is_not_replaced(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png") / "1.png"
    output = foreign(tmp_path, "photo.png") / "photo.png"
    before, translator = output.read_bytes(), copying()
    with pytest.raises(UserError, match=r"photo\.png is there already, and transfigure did not write it: .*--overwrite"):
        translator.translate_file(source, output)
    assert output.read_bytes() == before and not translator.generator.seen
    translator.translate_file(source, output, overwrite=True)
    assert np.array_equal(images.read(output), images.read(source))


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tif"])
def test_c06_the_same_command_again_needs_no_flag(tmp_path: Path, format: str) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    for _ in range(2):
        assert len(copying().translate_folder(source, tmp_path / "out", format=format, quiet=True)) == 2


def test_c06_a_bitmap_asks_each_time(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png")
    copying().translate_folder(source, tmp_path / "out", format="bmp", quiet=True)
    assert "--overwrite" in refused_before_work(copying(), source, tmp_path / "out", format="bmp")
    copying().translate_folder(source, tmp_path / "out", format="bmp", quiet=True, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_links_in_the_output_folder_are_refused(tmp_path: Path, overwrite: bool) -> None:
    source = write_images(tmp_path / "in", "1.png", "sub/2.png")
    precious = foreign(tmp_path / "precious", "1.png", "2.png")
    before = contents(precious)
    for number, (link, to) in enumerate([("1.png", precious / "1.png"), ("sub", precious)]):
        out = tmp_path / f"out{number}"
        out.mkdir()
        (out / link).symlink_to(to)
        assert f"{out / link} is a link" in refused_before_work(copying(), source, out, overwrite=overwrite)
    assert contents(precious) == before


def test_an_output_folder_may_be_a_link(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "sub/2.png")
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
    copying().translate_folder(source, tmp_path / "out", quiet=True)
    assert below(tmp_path / "disk") == ["1.png", "sub/2.png"]


# ---- going on -------------------------------------------------------------------------------------------------------------


def test_c32_a_batch_that_was_broken_off_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{number:02}.png" for number in range(20)]
    source = write_images(tmp_path / "in", *names)

    def stop(path: Path) -> None:
        if path.name == "07.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying().translate_folder(source, tmp_path / "out", quiet=True, on_file=stop)
    before = contents(tmp_path / "out")
    written = copying().translate_folder(source, tmp_path / "out", skip_existing=True)
    done = len(before)
    assert 8 <= done < 20 and [path.name for path in written] == names[done:]
    assert written.words(Path("out")) == f"{20 - done} of 20 images written to out ({done} were there already)"
    assert "already" not in capsys.readouterr().err  # it is said once, with the result
    assert below(tmp_path / "out") == names and contents(tmp_path / "out").items() >= before.items()


def test_c32_what_is_cut_off_or_of_another_model_is_made_again(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", "3.png")
    translator = tiny_translator()
    translator.translate_folder(source, tmp_path / "out", quiet=True)
    expected = contents(tmp_path / "out")
    (tmp_path / "out" / "2.png").write_bytes(expected["2.png"][:-200])
    write_images(tmp_path / "out", "3.png")  # ours, but of no model
    assert [path.name for path in translator.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)] == [
        "2.png",
        "3.png",
    ]
    assert contents(tmp_path / "out") == expected
    assert translator.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True) == []
    other = tiny_translator(seed=1)
    assert len(other.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)) == 3
    other.inference = replace(other.inference, seed=7)
    assert len(other.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)) == 3


def test_c32_what_is_done_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    copying().translate_folder(source, tmp_path / "out", quiet=True)

    def decode(*how: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(images, "examine", decode)
    assert len(copying().translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True).skipped) == 2


def test_c32_what_another_program_has_changed_is_made_again(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    copying().translate_folder(source, tmp_path / "out", quiet=True)
    expected = contents(tmp_path / "out")
    changed = bytearray(expected["2.png"])
    changed[-20] ^= 1
    (tmp_path / "out" / "2.png").write_bytes(changed)
    written = copying().translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True, overwrite=True)
    assert written == [tmp_path / "out" / "2.png"] and contents(tmp_path / "out") == expected


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_weights_are_read_through_again_only_if_they_changed(tmp_path: Path, norm: str) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", size=(32, 32))
    translator = tiny_translator(tiny_config(options={**UNET, "norm": norm}))
    translator.translate_file(source / "1.png", tmp_path / "1.png")
    hashed = translator._hashed
    translator.translate_file(source / "2.png", tmp_path / "2.png")
    translator.translate_folder(source, tmp_path / "out", quiet=True)
    assert hashed is not None and translator._hashed is hashed
    with torch.no_grad():
        next(translator.generator.parameters()).mul_(2)
    assert len(translator.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)) == 2
    fresh = replace(translator)  # which knows of no weights yet
    assert fresh.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True) == []
    fresh.generator.load_state_dict(tiny_translator(translator.config, seed=1).generator.state_dict())
    assert len(fresh.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)) == 2


def test_c32_what_is_older_than_its_source_is_made_again(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", "3.png")
    copying().translate_folder(source, tmp_path / "out", quiet=True)
    images.write(source / "2.png", 255 - images.read(source / "2.png"))
    now = (tmp_path / "out" / "2.png").stat().st_mtime
    os.utime(source / "2.png", (now + 10, now + 10))
    written = copying().translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)
    assert written == [tmp_path / "out" / "2.png"] and len(written.skipped) == 2
    assert (images.read(written[0]) == images.read(source / "2.png")).all()


def test_c32_files_of_another_are_refused_all_the_same(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png")
    foreign(tmp_path / "out", "2.png")
    assert "2.png is there already" in refused_before_work(copying(), source, tmp_path / "out", skip_existing=True)


def test_the_count_says_what_failed_and_what_was_there(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", "3.png")
    copying().translate_folder(source, tmp_path / "out", quiet=True)
    (source / "4.png").write_bytes(b"%PDF-1.7")
    (tmp_path / "out" / "1.png").unlink()
    with pytest.raises(UserError, match=r"^1 of 4 images could not be translated \(1 could, 2 were there already\): .*4\.png"):
        copying().translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)


def test_a_model_of_side_by_side_pairs_asks_which_half(tmp_path: Path) -> None:
    translator = copying()
    translator.config = replace(translator.config, recipe={"data": {"kind": "side_by_side", "direction": "BtoA"}})
    source, wide = tmp_path / "in", np.zeros((16, 32, 3), np.uint8)
    images.write(source / "square.png", wide[:, :16])
    for name in ("a.png", "b.png"):
        images.write(source / name, wide)
    said = refused_before_work(translator, source, tmp_path / "out")
    assert "2 of 3 images (a.png, ...) are twice as wide as high" in said
    assert "--half right (or the other)" in said and "--half none" in said
    with pytest.raises(UserError, match=r"a\.png is twice as wide as high"):
        translator.translate_file(source / "a.png", tmp_path / "out.png")
    for half, width in (("left", wide.shape[1] // 2), ("none", wide.shape[1])):
        translator.translate_file(source / "a.png", tmp_path / f"{half}.png", half=half)  # type: ignore[arg-type]
        assert images.read(tmp_path / f"{half}.png").shape[1] == width
    translator.translate_file(source / "square.png", tmp_path / "square.png")
    copying().translate_file(source / "a.png", tmp_path / "of_another_model.png")


def test_c02_same_writes_what_it_can_in_its_own_format_and_the_rest_as_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    kinds = {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.ppm": "PPM", "d.gif": "GIF", "e": "PNG", "f.tif": "TIFF", "g.JPG": "JPEG"}
    for name, kind in kinds.items():
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(source / name, kind)
    copying().translate_folder(source, tmp_path / "out", format="same")
    found = {file.name: images.size_of(file).format for file in (tmp_path / "out").iterdir()}
    assert found == {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.png": "PNG", "d.png": "PNG", "e.png": "PNG", "f.tif": "TIFF", "g.JPG": "JPEG"}
    notes = [line for line in capsys.readouterr().err.splitlines() if "theirs" in line]
    assert notes == [f"note: 3 of 7 images (.gif, .ppm, no suffix) are written as png, such as {source / 'c.ppm'}: theirs is only read"]


def test_c02_same_of_a_model_whose_images_a_png_cannot_hold(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.pfm").write_bytes(b"Pf\n16 16\n-1.0\n" + np.full((16, 16), 0.5, "<f4").tobytes())
    written = copying(Domain(1, "float32")).translate_folder(source, tmp_path / "out", format="same", quiet=True)
    assert written == [tmp_path / "out" / "a.tif"]


@pytest.mark.parametrize("quiet", [False, True])
def test_c32_who_interrupts_is_told_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    """In a note, which ``--quiet`` leaves out."""
    tiny_translator().save(tmp_path / "model")
    write_images(tmp_path / "photos", "1.png", "2.png", "3.png")
    translate, seen = Translator.translate_tensor, []

    def interrupted(self: Translator, images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return translate(self, images)

    monkeypatch.setattr(Translator, "translate_tensor", interrupted)
    words = ["translate", *(str(tmp_path / place) for place in ("model", "photos", "made"))]
    assert main([*words, *["--quiet"] * quiet]) == 130
    notes = "" if quiet else "note: the same command with --skip-existing goes on where this one ended\n"
    said = capsys.readouterr().err
    assert said.endswith(f"{notes}transfigure: interrupted\n") and ("note:" in said) != quiet
    assert main([*words, "--skip-existing"]) == 0
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == ["1.png", "2.png", "3.png"]
    assert len(seen) == 4


def test_the_weights_of_a_model_directory_are_known_by_the_digest_of_their_file(tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", "1.png", "2.png", size=(32, 32))
    tiny_translator().save(tmp_path / "model")
    translator = Translator.load(tmp_path / "model")
    assert translator._weights() == read_header(tmp_path / "model" / "generator.safetensors").digest
    translator.translate_folder(source, tmp_path / "out", quiet=True)
    translator.save(tmp_path / "copy")
    for again in (Translator.load(tmp_path / "model"), Translator.load(tmp_path / "copy"), replace(translator)):
        assert again.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True) == []
    with torch.no_grad():
        next(translator.generator.parameters()).mul_(2)
    assert len(translator.translate_folder(source, tmp_path / "out", quiet=True, skip_existing=True)) == 2


@pytest.mark.parametrize(("many", "said"), [(3, ["plan the outputs 3", "see what is done 3", "translate 0"]), (4, ["translate 0"])])
def test_many_images_are_planned_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, said: list[str]) -> None:
    source, translator = write_images(tmp_path / "in", "a.png", "b.png", "c.png"), copying()
    translator.translate_folder(source, tmp_path / "out", quiet=True)
    shown: list[str] = []

    def track(items: Iterable[Any], total: int, what: str, quiet: bool = False) -> Iterable[Any]:
        shown.extend([] if quiet else [f"{what} {total}"])
        return items

    for module in (folder, translator_module):
        monkeypatch.setattr(module, "MANY", many)
        monkeypatch.setattr(module, "track", track)
    translator.translate_folder(source, tmp_path / "out", skip_existing=True)
    assert shown == said
