"""Pages of a file as channels, as images of their own, as slices of a volume: in training, in evaluation and beside old runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

tifffile = pytest.importorskip("tifffile")

from tests.tiny import write_images  # noqa: E402
from transfigure.data import images  # noqa: E402
from transfigure.data.open import find_records, open_data, resolve_data  # noqa: E402
from transfigure.data.pairs import FilePicture  # noqa: E402
from transfigure.errors import UserError  # noqa: E402
from transfigure.evaluation.folders import evaluate_folders, statistics_of  # noqa: E402
from transfigure.recipe import Data  # noqa: E402


def volume(file: Path, slices: int, axes: str = "ZYX", add: int = 0, size: int = 8) -> Path:
    """Slice z holds 100 z + ``add``, and one value more at its corner."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.stack([np.full((size, size), 100 * z + add, np.uint16) for z in range(slices)])
    values[:, 0, 0] += 1
    tifffile.imwrite(file, values, photometric="minisblack", metadata={"axes": axes})
    return file


def volumes(folder: Path, count: int = 4, slices: int = 3) -> Path:
    for n in range(count):
        volume(folder / f"A/brain{n}.tif", slices, add=10 * n)
        volume(folder / f"B/brain{n}.tif", slices, add=10 * n + 5)
    return folder


def section(folder: Path, **more: object) -> Data:
    given = {"path": str(folder), "kind": "two_folders", "load_size": 8, "crop_size": 4, "target_range": [0, 4000], **more}
    return resolve_data(Data.within({"source_range": [0, 4000], **given}))


def middle(array: np.ndarray) -> list[int]:
    return [int(value) for value in array[4, 4]]


def test_the_default_asks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"brain0.tif holds 3 pages \(z-slices\): choose --data.pages channels .* images .* or depth"):
        open_data(section(volumes(tmp_path)), quiet=True)
    with pytest.raises(UserError) as refusal:
        find_records(section(tmp_path))
    assert "\n" not in str(refusal.value), "one sentence for all files, before any is read"


def test_channels(tmp_path: Path) -> None:
    opened = open_data(section(volumes(tmp_path), pages="channels"), quiet=True)
    assert (opened.source_channels, opened.target_channels) == (3, 3)


@pytest.mark.parametrize("pages", ["images", "depth"])
def test_a_record_for_each_page_and_one_group_for_each_file(tmp_path: Path, pages: str) -> None:
    found = find_records(section(volumes(tmp_path, 6), pages=pages, val_fraction=0.3, test_fraction=0.3))
    names = {split: [record.name for record in records] for split, records in found.splits.items()}
    assert sorted(name for part in names.values() for name in part) == sorted(f"brain{n}[{z}]" for n in range(6) for z in range(3))
    for part in names.values():
        assert part and len(part) == 3 * len({name.partition("[")[0] for name in part})  # whole files
    record = next(record for part in found.splits.values() for record in part if record.name == "brain2[0]")
    source, target = record.load()
    assert middle(target) == [25] and middle(source) == ([20] if pages == "images" else [20, 20, 120])
    opened = open_data(section(volumes(tmp_path, 6), pages=pages, depth_neighbours=2), quiet=True)
    assert (opened.source_channels, opened.target_channels) == (1 if pages == "images" else 5, 1)
    pair = opened.train_plain[0]
    assert pair.source.shape[0] == opened.source_channels


def test_the_other_way_round_the_other_side_has_neighbours(tmp_path: Path) -> None:
    found = find_records(section(volumes(tmp_path), pages="depth", direction="BtoA"))
    record = next(record for part in found.splits.values() for record in part if record.name == "brain1[1]")
    assert [middle(array) for array in record.load()] == [[110], [15, 115, 215]]


def test_pages_are_kept_apart_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of a file have one file's time and size: the cache knows them by their numbers."""
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transfigure.data.prepared.SETTLED", -10.0)
    volumes(tmp_path / "data", 3)
    for _ in range(2):
        opened = open_data(section(tmp_path / "data", pages="images", val_fraction=0, test_fraction=0), quiet=True)
        values = {pair.name: float(pair.source.mean()) for pair in (opened.train_plain[index] for index in range(9))}
        assert len({round(value, 4) for value in values.values()}) == 9


def test_domains_without_pairs(tmp_path: Path) -> None:
    volumes(tmp_path)
    volume(tmp_path / "B/more.tif", 5)
    found = find_records(section(tmp_path, kind="unpaired", pages="images", val_fraction=0, test_fraction=0))
    assert [len({side.label for side in sides}) for sides in zip(*((one.a, one.b) for one in found.splits["train"]))] == [12, 17]


def test_single_pages_among_volumes_and_different_numbers(tmp_path: Path) -> None:
    volumes(tmp_path, 2)
    write_images(tmp_path / "A", "flat.png", size=(8, 8))
    write_images(tmp_path / "B", "flat.png", size=(8, 8))
    found = find_records(section(tmp_path, pages="images"))
    assert "flat" in {record.name for part in found.splits.values() for record in part}
    volume(tmp_path / "B/brain1.tif", 2)
    with pytest.raises(UserError, match=r"1 pair of files has different numbers of pages, such as .*brain1.tif of 3 pages and .* of 2: "):
        find_records(section(tmp_path, pages="images"))


def test_a_volume_of_one_slice_is_its_own_neighbour(tmp_path: Path) -> None:
    picture = FilePicture((str(volume(tmp_path / "one.tif", 1, add=7)),), pages=(0, 0, 0))
    array, facts = picture.examine()
    assert middle(array) == [7, 7, 7] and facts.channel_names == ("slice -1", "slice", "slice +1")


def test_channels_that_the_file_names_are_no_pages(tmp_path: Path) -> None:
    for side in "AB":
        volume(tmp_path / side / "cells.tif", 4, axes="CYX")
        volume(tmp_path / side / "more.tif", 4, axes="CYX", add=3)
    assert open_data(section(tmp_path), quiet=True).source_channels == 4


def test_runs_from_before_read_pages_as_channels() -> None:
    """A complete section that knows nothing of pages was written for a run, which took them for channels."""
    complete = Data.within({"path": "x", "kind": "two_folders"}).to_dict()
    assert Data.within(complete).pages == "ask"
    del complete["pages"]
    assert Data.within(complete).pages == "channels"
    assert Data.within({"path": "x"}).pages == "ask"


def test_folders_are_compared_page_by_page(tmp_path: Path) -> None:
    volumes(tmp_path, 2)
    with pytest.raises(UserError, match=r"--pages channels"):
        evaluate_folders(tmp_path / "A", tmp_path / "B", metrics=["l1"], quiet=True)
    found = evaluate_folders(tmp_path / "A", tmp_path / "B", metrics=["l1"], pages="images", quiet=True)
    assert found.names == [f"brain{n}[{z}]" for n in range(2) for z in range(3)]
    whole = evaluate_folders(tmp_path / "A", tmp_path / "B", metrics=["l1"], pages="channels", quiet=True)
    assert whole.names == ["brain0", "brain1"] and whole.rows[0].value == pytest.approx(found.rows[0].value)
    assert statistics_of(tmp_path / "A", "random", pages="images", quiet=True).count == 6


def test_pages_are_counted_by_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes(tmp_path, 2)
    monkeypatch.setattr(images, "examine", lambda *_, **__: pytest.fail("pixels were decoded"))
    assert sum(map(len, find_records(section(tmp_path, pages="images")).splits.values())) == 6
