"""Which files of a folder are images, and what is said of the others."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfigure.data import folder as folder_module
from transfigure.data import images
from transfigure.data.folder import Found, find_images, images_among, is_place, sub_folders
from transfigure.data.layouts import manifest
from transfigure.errors import UserError


class TestFindImages:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in (
            "b10.png",
            "b2.PNG",
            "a.jpg",
            "c.jpeg",
            "d.webp",
            "e.Tif",
            "f.tiff",
            "g.bmp",
            "notes.txt",
            "sub10/z.png",
            "sub9/z.png",
            ".hidden.png",
            "._b2.png",
            ".cache/x.png",
            "__MACOSX/x.png",
            "Thumbs.db",
            "png",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    def test_natural_order_any_case_no_junk(self, folder: Path) -> None:
        here = ["a.jpg", "b2.PNG", "b10.png", "c.jpeg", "d.webp", "e.Tif", "f.tiff", "g.bmp"]
        assert find_images(folder, recursive=False).files == [folder / name for name in here]
        assert find_images(folder).files == [folder / name for name in [*here, "sub9/z.png", "sub10/z.png"]]

    def test_links_are_followed_once(self, folder: Path) -> None:
        try:
            (folder / "sub9" / "again").symlink_to(folder, target_is_directory=True)
            (folder / "linked.png").symlink_to(folder / "a.jpg")
        except OSError:
            (folder / "linked.png").write_bytes(b"")  # Windows without the right to link
        listed = find_images(folder).files
        assert len(listed) == 11
        assert folder / "linked.png" in listed

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the folder .*nowhere does not exist: give a folder of png, jpg, .* or bmp files"):
            find_images(tmp_path / "nowhere")

    def test_not_a_folder(self, folder: Path) -> None:
        with pytest.raises(UserError, match=r"a\.jpg is a file, not a folder"):
            find_images(folder / "a.jpg")

    def test_no_images(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="holds no images, no other file either"):
            find_images(tmp_path)
        (tmp_path / "a.gif").write_bytes(b"")
        with pytest.raises(UserError, match=r"holds no images, only 1 other file, such as a\.gif: accepted are png"):
            find_images(tmp_path)
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "x.png").write_bytes(b"")
        with pytest.raises(UserError, match="its subfolders were not searched"):
            find_images(tmp_path, recursive=False)
        assert find_images(tmp_path).files == [tmp_path / "sub" / "x.png"]

    def test_a_locked_subfolder_is_not_passed_over(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scandir = os.scandir

        def locked(path: str) -> Iterator[os.DirEntry[str]]:
            if Path(path).name == "sub9":
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", locked)
        with pytest.raises(UserError, match=r"cannot look into the folder .*sub9: Permission denied"):
            find_images(folder)

    def test_real_names_with_commas(self, shared: Path) -> None:
        listed = find_images(shared / "data" / "isl_16bit").files
        depths = [int(path.name.split("z_depth-")[1].split(",")[0]) for path in listed if "z_depth" in path.name]
        assert depths == list(range(13))


# ---- c02: content decides where the suffix does not --------------------------------------------------------------------------


def picture(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path, kind)
    return path


def test_archives_of_several_arrays_are_passed_over_with_what_helps(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", photo=np.zeros((4, 4)), mask=np.zeros((4, 4)))
    with pytest.raises(
        UserError, match=r"only 2 NumPy archives of several arrays, such as a\.npz \(save the one .* own\): accepted .* npz,"
    ):
        find_images(tmp_path)


def test_c02_content_decides_where_the_suffix_is_of_no_readable_format(tmp_path: Path) -> None:
    for name, kind in {
        "a.jfif": "JPEG",
        "b.jpe": "JPEG",
        "c.ppm": "PPM",
        "d.gif": "GIF",
        "e": "PNG",
        "f.dat": "TIFF",
        "g.png": "PNG",
    }.items():
        picture(tmp_path / name, kind)
    (tmp_path / "h.avif").write_bytes(b"\0\0\0\x20ftypavif" + b"\0" * 32)
    (tmp_path / "i").write_bytes(b"\0\0\0\x20ftypavif" + b"\0" * 32)
    (tmp_path / "j.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 32)
    (tmp_path / "notes.txt").write_text("P1 is what we do first")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    found = find_images(tmp_path)
    assert found.names == ["a.jfif", "b.jpe", "c.ppm", "d.gif", "e", "f.dat", "g.png"]
    assert found.notes == [
        f"passed over in {tmp_path}: 2 AVIF and 1 JPEG 2000 files, such as h.avif (convert them to PNG to use them); "
        "2 other files, such as empty"
    ]


def test_c02_camera_raw_previews_and_backups_are_passed_over_whatever_their_bytes(tmp_path: Path) -> None:
    raw = ["a.NEF", "b.dng", "c.cr2", "d.CR3", "e.arw", "f.raf"]
    beside = ["0.jpg_original", "0.tif.ovr", "0.THM", "0.png.bak", "0.png~", "0.png.orig", "0.png.part", "0.jpg.crdownload", "0.tmp"]
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    for name in raw:
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="TIFF")
    for name in [*beside, "plain", "scan.data"]:  # the last two: decided by content
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="JPEG")
    found = find_images(tmp_path)
    assert found.names == ["0.png", "plain", "scan.data"]
    (note,) = found.notes
    assert "6 camera raw files, such as a.NEF (convert them to PNG to use them)" in note
    assert f"{len(beside)} previews or backups, such as 0.THM" in note


def test_c02_a_camera_raw_file_that_is_named_itself_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "a.NEF"
    Image.new("RGB", (4, 4)).save(raw, format="TIFF")
    for read in (images.read, images.size_of, images.metadata_of):
        with pytest.raises(UserError, match=r"a\.NEF is a camera raw file, of which only the small preview .*convert it to PNG"):
            read(raw)
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    (tmp_path / "manifest.csv").write_text("source,target\na.NEF,b.png\n")
    record = manifest(tmp_path).splits["all"][0]
    with pytest.raises(UserError, match="is a camera raw file"):
        record.load()


def test_c02_files_of_known_suffixes_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / f"{number}.png").write_bytes(b"")
    picture(tmp_path / "one.jfif", "JPEG")
    opened: list[str] = []
    look = images.kind_of
    monkeypatch.setattr(images, "kind_of", lambda path: (opened.append(os.fspath(path)), look(path))[1])
    assert len(find_images(tmp_path).files) == 51
    assert opened == [str(tmp_path / "one.jfif")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_c02_a_pipe_is_passed_over_and_does_not_hold_up(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    found = find_images(tmp_path)
    assert found.names == ["a.png"]
    assert found.notes == [f"passed over in {tmp_path}: 1 other file, such as pipe"]


def test_c02_what_cannot_be_read_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x20ftypavif" + b"\0" * 32)
    with pytest.raises(UserError, match=r"a\.avif is not a PNG, .*\(it looks like AVIF\): convert it to PNG, or leave it out"):
        images.read(tmp_path / "a.avif")
    with pytest.raises(UserError, match=r"holds no images, only 1 AVIF file, such as a\.avif \(convert it to PNG to use it\)"):
        find_images(tmp_path)


# ---- c07: folders that hold no data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "@Recycle", "#recycle", "@tmp", "lost+found", "__pycache__", "thumbs", ".thumbnails", "$RECYCLE.BIN",
     "System Volume Information", "__MACOSX", ".git"],
)  # fmt: skip
def test_c07_nas_thumbnails_are_passed_over(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / name / "a.png" / "SYNOPHOTO_THUMB_M.jpg", "JPEG")
    picture(tmp_path / "sub" / name / "b.png")
    found = find_images(tmp_path)
    assert found.names == ["a.png"]
    assert found.notes == [
        f"passed over in {tmp_path}: 2 folders of thumbnails, deleted or hidden files, such as {min(name, f'sub/{name}')}"
    ]
    assert sub_folders(tmp_path) == ["sub"]


def test_c07_a_folder_that_is_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    picture(tmp_path / "thumbs" / "a.png")
    assert find_images(tmp_path / "thumbs") == Found(tmp_path / "thumbs", ["a.png"])


def test_c07_hidden_pictures_are_said_and_a_systems_own_files_are_not(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for name in ("._a.png", ".DS_Store", "desktop.ini", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert find_images(tmp_path).notes == [f"passed over in {tmp_path}: 1 hidden file, such as ._a.png"]


# ---- c19: links ------------------------------------------------------------------------------------------------------------------

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")


@links
def test_c19_two_links_to_one_folder_are_both_there(tmp_path: Path) -> None:
    picture(tmp_path / "outside" / "a.png")
    for name in ("x", "y"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(tmp_path / "outside")
    found = find_images(tmp_path / "data")
    assert found.names == ["x/a.png", "y/a.png"] and found.notes == []


@links
def test_c19_loops_end(tmp_path: Path) -> None:
    data = tmp_path / "all" / "data"
    picture(data / "deep" / "a.png")
    (data / "deep" / "back").symlink_to(data)
    (data / "deep" / "up").symlink_to(tmp_path / "all")
    picture(data / "x" / "b.png")
    picture(data / "y" / "c.png")
    (data / "x" / "y").symlink_to(data / "y")
    (data / "y" / "x").symlink_to(data / "x")
    found = find_images(data)
    assert found.names == ["deep/a.png", "x/b.png", "x/y/c.png", "y/c.png", "y/x/b.png"]
    assert found.notes == [f"passed over in {data}: 4 links that lead back, such as deep/back"]


@links
def test_c19_links_that_cannot_be_followed_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "b.png").symlink_to("a.png")
    found = find_images(tmp_path)
    assert found.names == ["a.png", "b.png"]
    assert found.notes == [f"passed over in {tmp_path}: 4 links that cannot be followed, such as gone.png"]


@links
def test_c19_a_link_to_a_closed_folder_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "closed").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "closed")
    scandir = os.scandir

    def locked(path: str) -> object:
        if Path(path).name == "link":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = find_images(tmp_path / "data")
    assert found.names == ["a.png"]
    assert found.notes == [f"passed over in {tmp_path / 'data'}: 1 link that cannot be followed, such as link"]


@links
def test_c19_a_web_of_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_REPEATED", 500)
    places = [tmp_path / str(number) for number in range(7)]
    for place in places:
        picture(place / "a.png")
    for place in places:
        for other in places:
            (place / f"to{other.name}").symlink_to(other)
    with pytest.raises(UserError, match=r"links in .* multiply its files without end .*: remove some of them"):
        find_images(tmp_path)


def test_a_large_folder_is_listed_in_linear_time(tmp_path: Path) -> None:
    """In calls of functions, Python's and C's, which are the same on a busy machine."""

    def calls(count: int) -> int:
        place = tmp_path / str(count)
        for number in range(count):
            (place / f"s{number % 7}").mkdir(parents=True, exist_ok=True)
            (place / f"s{number % 7}" / f"{number}.png").touch()
        made = 0

        def counted(frame: object, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            found = find_images(place)
        finally:
            sys.setprofile(None)
        assert len(found.files) == count
        return made

    few, many = calls(500), calls(2000)
    assert few > 500 and many < 5 * few, "four times as many, and no more"


# ---- c15: a pattern --------------------------------------------------------------------------------------------------------------


def test_c15_a_pattern_selects_by_name(tmp_path: Path) -> None:
    for name in ("1_real_A.png", "1_real_B.png", "1_fake_B.png", "2_fake_B.jfif", "sub/3_fake_B.png"):
        picture(tmp_path / "results" / name, "JPEG" if name.endswith("jfif") else "PNG")
    found = find_images(tmp_path / "results" / "*_fake_B.*")
    assert found == Found(tmp_path / "results", ["1_fake_B.png", "2_fake_B.jfif"])
    assert is_place(tmp_path / "results" / "*_fake_B.*") and not is_place(tmp_path / "results" / "*_none.png")
    with pytest.raises(UserError, match=r"no image of .*results has a name like \*_none\.png; it holds 1_fake_B\.png"):
        find_images(tmp_path / "results" / "*_none.png")


def test_c15_a_name_that_exists_is_no_pattern(tmp_path: Path) -> None:
    picture(tmp_path / "run[1]" / "a.png")
    assert find_images(tmp_path / "run[1]").names == ["a.png"]


# ---- c23: what this tool wrote inside a folder of data -----------------------------------------------------------------------

OUTPUT_FOLDERS = {
    "a run": ("recipe.yaml", "log.jsonl"),
    "a run without its log": ("recipe.yaml", "checkpoints/last.pt"),
    "a run that was thinned out": ("recipe.yaml", "model/generator.safetensors"),
    "an evaluation": ("evaluation.json", "per_image.csv"),
    "an analysis": ("analysis.json", "analysis.html"),
    "an ablation": ("ablation.json", "grid.yaml"),
}


@pytest.mark.parametrize("held", OUTPUT_FOLDERS.values(), ids=[*OUTPUT_FOLDERS])
def test_c23_an_output_folder_inside_the_data_is_passed_over(held: tuple[str, ...], tmp_path: Path) -> None:
    picture(tmp_path / "trainA" / "1.png")
    shown = picture(tmp_path / "runs" / "x" / "samples" / "000001" / "1.png")
    for name in held:
        (tmp_path / "runs" / "x" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "runs" / "x" / name).touch()
    found = find_images(tmp_path)
    assert found.names == ["trainA/1.png"]
    assert found.notes == [f"passed over in {tmp_path}: 1 folder that transfigure wrote (a run, an evaluation), such as runs/x"]
    for named in ("runs/x", "runs/x/samples"):  # what is named itself is read
        assert find_images(tmp_path / named).files == [shown]


def test_c23_a_recipe_or_a_table_alone_makes_no_output_folder(tmp_path: Path) -> None:
    for name in ("recipe.yaml", "per_image.csv", "log.jsonl"):
        picture(tmp_path / name / "1.png")
        (tmp_path / name / name).touch()
    assert len(find_images(tmp_path).files) == 3


def test_a_list_of_names_is_seen_as_the_folder_is(tmp_path: Path) -> None:
    """A storage has no folders, and gives its names in any order: the same images are found, in the same order, and the same is said."""
    names = ["img2.png", "img10.png", "sub/a.png", "sub/b/c.PNG", ".hidden.png", "@eaDir/x/y.png", "sub/.git/y.png", "no suffix"]
    names += ["b.bak", "run/samples/q.png", "Thumbs.db", "sub/run/recipe.yaml", "sub/run/deep/z.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name, "PNG")
    for name in ("run/recipe.yaml", "run/log.jsonl", "notes.txt", "sub/run/log.jsonl"):
        (tmp_path / name).write_text("x")
    names = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()]
    looked: list[str] = []

    def kind_of(name: str) -> tuple[str, bool]:
        looked.append(name)
        return images.kind_of(tmp_path / name)

    found = find_images(tmp_path)
    assert images_among(sorted(names, reverse=True), str(tmp_path), kind_of) == (found.names, found.notes)
    assert (
        found.names == ["img2.png", "img10.png", "no suffix", "sub/a.png", "sub/b/c.PNG"] and "2 folders that transfigure" in found.notes[0]
    )
    assert sorted(looked) == ["no suffix", "notes.txt"]
    assert images_among(names, str(tmp_path), kind_of, "img*")[0] == find_images(tmp_path / "img*").names == ["img2.png", "img10.png"]
    inside = [name.removeprefix("run/") for name in names if name.startswith("run/")]
    assert images_among(inside, "run", kind_of)[0] == find_images(tmp_path / "run").names == ["samples/q.png"]  # named itself
    for pattern, place in ((None, tmp_path / "none"), ("x*", tmp_path / "sub/x*")):
        (tmp_path / "none").mkdir(exist_ok=True)
        with pytest.raises(UserError) as folder:
            find_images(place)
        with pytest.raises(UserError) as listed:
            images_among(["a.png"] if pattern else [], str(place if pattern is None else place.parent), kind_of, pattern)
        assert str(listed.value).split("; it holds")[0] == str(folder.value).split("; it holds")[0]
