"""Which files of a folder are images, and what is said of the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfigure.data.folder import find_images
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
