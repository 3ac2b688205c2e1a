"""Object storage: against a server that a test starts, and in memory; what is done is what is done with a folder, bit for bit."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("s3fs")

from tests.journeys.commands import ROOT as ROOT_FOLDER
from tests.journeys.commands import blocks, done, shell_lines
from tests.scale.inline import InlineCluster
from tests.scale.s3 import ROOT, SECRET, breaking, rights_are_asked_for, server, user
from tests.tiny import copying, tiny_config, tiny_translator
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.formats.metadata import Metadata
from transfigure.errors import Missing, RunFailure, UserError
from transfigure.networks.model_file import Domain
from transfigure.scale import carrier, storage
from transfigure.scale.carrier import translate_folder
from transfigure.scale.storage import ObjectFolder, StoredObject, is_url, without_file_protocol
from transfigure.scale.translation import SameTranslator
from transfigure.translation.folder import FileOptions
from transfigure.translation.translator import Translator


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with server() as url:
        yield url


Using = Callable[..., None]


@pytest.fixture(autouse=True)
def using(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Using]:
    """Sets who asks which endpoint. Nothing is read from the machine's own configuration; no temporary file is left, whatever happens."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(storage, "_PAUSE", 0.01)

    def use(endpoint: str | None, keys: dict[str, str]) -> None:
        for name in (*ROOT, "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**keys, **({} if endpoint is None else {"AWS_ENDPOINT_URL": endpoint})}.items():
            monkeypatch.setenv(name, value)
        storage._filesystem.cache_clear()

    yield use
    storage._filesystem.cache_clear()
    assert [*(tmp_path / "temporary").iterdir()] == []


@pytest.fixture
def bucket(s3: str, using: Using, request: pytest.FixtureRequest) -> str:
    """A bucket of its own for a test."""
    using(s3, ROOT)
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    storage._filesystem(os.getpid(), "s3", name).mkdir(name)
    return f"s3://{name}"


@pytest.fixture(params=["s3", "memory"])
def place(request: pytest.FixtureRequest) -> str:
    """A URL with nothing in it."""
    if request.param == "memory":
        pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem.store.clear()
        return "memory://place"
    bucket: str = request.getfixturevalue("bucket")
    return bucket


def put_all(folder: Path, url: str) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            ObjectFolder.at(url).put(file.relative_to(folder).as_posix(), file)


def get_all(url: str, folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    place, found = ObjectFolder.at(url), {}
    for name, about in place.listed().items():
        place.fetch(name, folder / "fetched", about)
        found[name] = (folder / "fetched").read_bytes()
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def picture(file: Path, seed: int = 0, size: tuple[int, int] = (32, 32), depth: str = "uint8") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, np.iinfo(depth).max, (*size, 3)).astype(depth)
    if depth == "uint8":
        Image.fromarray(array).save(file)  # as others write it
    else:
        images.write(file, array)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of images of several sizes and formats, with names that are patterns to some, broken files and what is no image."""
    folder = tmp_path / "in"
    for at in range(6):
        picture(folder / f"img[{at}].{['png', 'tif', 'jpg'][at % 3]}", at, (32, 32 + 16 * (at % 2)))
    picture(folder / "sub/deep/img10.png", 7)
    picture(folder / "sub/deep/img9.png", 8)
    picture(folder / ".git/no.png")
    picture(folder / "no suffix.png")
    (folder / "no suffix.png").rename(folder / "no suffix")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "flat.gif")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def outcome(run: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, on stderr and in the end."""
    capsys.readouterr()
    try:
        end = f"{len(run())} written"
    except (UserError, Missing) as error:
        end = f"{type(error).__name__} {error}"
    return f"{capsys.readouterr().err}{end}"


# ---- as with a folder -------------------------------------------------------------------------------------------------------


def test_objects_are_translated_as_files_are(place: str, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_all(mixed, f"{place}/in")
    local = outcome(lambda: tiny_translator().translate_folder(mixed, tmp_path / "out"), capsys)
    stored = outcome(lambda: translate_folder(tiny_translator(), f"{place}/in/", f"{place}/out"), capsys)
    assert "2 of 12 images could not be translated (the other 10 could): broken.png, empty.jpg; the first: " in local
    assert "notes.txt" in local and ".git" in local
    assert stored.splitlines() == local.replace(str(mixed), f"{place}/in").splitlines()
    expected = files_of(tmp_path / "out")
    assert len(expected) == 10 and "sub/deep/img9.png" in expected and "img[0].png" in expected
    assert get_all(f"{place}/out", tmp_path / "fetched") == expected


@pytest.mark.parametrize("way", ["to and from", "to", "from"])
def test_workers_do_the_same(way: str, bucket: str, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_translator().save(tmp_path / "model")
    for name in ("hole1.tif", "hole2.tif"):
        images.write(mixed / name, np.eye(32, dtype=np.uint8)[..., None].repeat(3, axis=2) * 200, Metadata().with_no_data(0.0))
    put_all(mixed, f"{bucket}/in")
    for file in mixed.glob("*.tif"):
        os.utime(file, (1e9, 1e9))  # a storage knows whole seconds, and this one is not over
    source = f"{bucket}/in" if way != "to" else str(mixed)
    told, made = [], []
    for number, cluster in enumerate((None, InlineCluster(3), InlineCluster(2, losing=[4]))):
        output = f"{bucket}/{number}" if way != "from" else str(tmp_path / str(number))
        translator = Translator.load(tmp_path / "model", device="cpu")
        told.append(outcome(lambda: translate_folder(translator, source, output, cluster=cluster), capsys).splitlines())  # noqa: B023
        made.append(get_all(output, tmp_path / "fetched") if way != "from" else files_of(Path(output)))
    assert sorted(told[0]) == sorted(told[1])
    assert any("0 means no data in 2 of " in line and f", such as {source}/hole1.tif (" in line for line in told[0]), told[0]
    assert made[0] == made[1] and len(made[0]) == 12
    assert "3 of 14 images could not be translated (the other 11 could): broken.png, empty.jpg, hole2.tif" in told[2][-1]
    assert f"{source}/hole2.tif: 3 workers died while they worked on it" in "\n".join(told[2])
    assert made[2] == {name: content for name, content in made[0].items() if name != "hole2.png"}
    again = translate_folder(
        Translator.load(tmp_path / "model", device="cpu"), f"{source}/*.tif", output[:-1] + "1", cluster=InlineCluster(), skip_existing=True
    )
    assert (len(again), len(again.skipped)) == (0, 4)


def test_a_worker_without_credentials(bucket: str, using: Using, mixed: Path, tmp_path: Path) -> None:
    """It ends all with one sentence: it would fail at every image."""
    tiny_translator().save(tmp_path / "model")
    work = carrier.CarriedWork(ObjectFolder.at(f"{bucket}/in"), None, FileOptions())
    using(None, {})
    workers = carrier.CarriedWorkers(SameTranslator.of(Translator.load(tmp_path / "model", device="cpu")), work)
    with pytest.raises(UserError, match=r"no credentials were found: .* \(so it is for a worker on "):
        workers()


@pytest.mark.slow
def test_on_a_real_cluster(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    for at in range(12):
        picture(tmp_path / f"in/{at}.png", at)
    (tmp_path / "in/broken.png").write_bytes(b"no image")
    tiny_translator().save(tmp_path / "model")
    put_all(tmp_path / "in", f"{bucket}/in")
    for executor in ("local", "ray --workers 2"):
        output = f"{bucket}/{executor[:3]}"
        assert main(["translate", str(tmp_path / "model"), f"{bucket}/in", output, "--executor", *executor.split()]) == 2
        assert "1 of 13 images could not be translated (the other 12 could)" in capsys.readouterr().err
    made = get_all(f"{bucket}/ray", tmp_path / "fetched")
    assert made == get_all(f"{bucket}/loc", tmp_path / "fetched") and len(made) == 12


def test_either_side_may_be_a_folder(bucket: str, mixed: Path, tmp_path: Path) -> None:
    for name in ("broken.png", "empty.jpg"):
        (mixed / name).unlink()
    tiny_translator().translate_folder(mixed, tmp_path / "out", format="same")
    put_all(mixed, f"{bucket}/in")
    written = translate_folder(tiny_translator(), f"{bucket}/in", str(tmp_path / "from"), format="same")
    assert written[:2] == [str(tmp_path / "from/flat.png"), str(tmp_path / "from/img[0].png")] and written.inputs == 10
    assert files_of(tmp_path / "from") == files_of(tmp_path / "out")
    written = translate_folder(tiny_translator(), str(mixed), f"{bucket}/to", format="same", batch=4)
    assert written[1] == f"{bucket}/to/img[0].png"
    assert get_all(f"{bucket}/to", tmp_path / "fetched") == files_of(tmp_path / "out")


def test_sixteen_bits_stay(bucket: str, tmp_path: Path) -> None:
    picture(tmp_path / "in/deep.png", depth="uint16")
    put_all(tmp_path / "in", f"{bucket}/in")
    translator = copying(images_of(16))
    translate_folder(translator, f"{bucket}/in", f"{bucket}/out")
    translator.translate_folder(tmp_path / "in", tmp_path / "out")
    assert get_all(f"{bucket}/out", tmp_path / "fetched") == files_of(tmp_path / "out")
    assert images.read(tmp_path / "out/deep.png").dtype == np.uint16


def images_of(bits: int) -> Any:
    return Domain(3, dtype=f"uint{bits}")


def test_several_files_as_one_image_go_to_a_storage(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a_0", "a_1", "a_2", "b_0", "b_1", "b_2"):
        images.write(tmp_path / f"in/{name}.png", np.full((32, 32, 1), ord(name[0]) + int(name[2]), np.uint8))
    Path("list.csv").write_text("source\nin/a_0.png;in/a_1.png;in/a_2.png\n")
    assert [*translate_folder(tiny_translator(), "in/{name}_{0..2}.png", f"{bucket}/out")] == [f"{bucket}/out/{name}.png" for name in "ab"]
    translate_folder(tiny_translator(), "list.csv", f"{bucket}/listed")
    tiny_translator().translate_folder("in/{name}_{0..2}.png", "out")
    tiny_translator().translate_folder("list.csv", "listed")
    assert get_all(f"{bucket}/out", tmp_path / "fetched") == files_of(tmp_path / "out")
    assert get_all(f"{bucket}/listed", tmp_path / "fetched") == files_of(tmp_path / "listed")
    for file in Path("in").iterdir():
        os.utime(file, (1e9, 1e9))  # a storage knows whole seconds, and this one is not over
    again = translate_folder(tiny_translator(), "in/{name}_{0..2}.png", f"{bucket}/out", skip_existing=True)
    assert len(again.skipped) == 2
    Path("list.csv").write_text(f"source\n{bucket}/in/a_0.png\n")
    with pytest.raises(UserError, match=r"names 1 file that does not exist: .*, and a manifest names no URLs"):
        translate_folder(tiny_translator(), "list.csv", f"{bucket}/listed")


def test_halves_are_asked_for_and_told(bucket: str, tmp_path: Path) -> None:
    """Of each object when it is its turn, where the few that are looked at before are not such pairs."""
    config = replace(tiny_config(), recipe={"data": {"kind": "side_by_side", "direction": "BtoA"}})
    for at in range(7):
        picture(tmp_path / f"in/{at}.png", at, (32, 64) if at == 4 else (32, 32))
    put_all(tmp_path / "in", f"{bucket}/in")
    with pytest.raises(UserError, match=r"1 of 7 images could not .*/in/4.png is twice as wide as high, .* --half none"):
        translate_folder(tiny_translator(config), f"{bucket}/in", f"{bucket}/out")
    for half in ("none", "left"):
        tiny_translator(config).translate_folder(tmp_path / "in", tmp_path / half, half=half)
        translate_folder(tiny_translator(config), f"{bucket}/in", f"{bucket}/{half}", half=half)
        assert get_all(f"{bucket}/{half}", tmp_path / "fetched") == files_of(tmp_path / half)


def test_python_that_means_a_disk_is_not_given_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "in/0.png")
    for one in (
        lambda: tiny_translator().translate_folder("in", "s3://bucket/out"),
        lambda: tiny_translator().translate_folder("s3://bucket/in", "out"),
        lambda: tiny_translator().translate_file("in/0.png", "s3://bucket/0.png"),
        lambda: tiny_translator().translate_file("s3://bucket/0.png", "out.png"),
    ):
        with pytest.raises(UserError, match=r"s3:/.* is a URL, and this takes files and folders of a disk"):
            one()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in", "temporary"]


def test_an_image_larger_than_the_memory_goes_in_tiles(bucket: str, tmp_path: Path) -> None:
    picture(tmp_path / "in/large.tif", size=(96, 128))
    put_all(tmp_path / "in", f"{bucket}/in")
    for run in (
        lambda translator: translator.translate_folder(tmp_path / "in", tmp_path / "out", format="tif"),
        lambda translator: translate_folder(translator, f"{bucket}/in", f"{bucket}/out", format="tif"),
    ):
        run(tiny_translator().set_tiles(tile=64, overlap=16))
    assert get_all(f"{bucket}/out", tmp_path / "fetched") == files_of(tmp_path / "out")


def test_one_object(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "in/one.png", size=(64, 64))
    put_all(tmp_path / "in", bucket)
    assert main(["translate", "street", "in/one.png", "local.png"]) == 0
    assert main(["translate", "street", f"{bucket}/one.png", f"{bucket}/made/two.png"]) == 0
    assert capsys.readouterr().out == f"local.png\n{bucket}/made/two.png\n"
    assert main(["translate", "street", "in/one.png", f"{bucket}/folder/"]) == 0
    assert main(["translate", "street", f"{bucket}/one.png", f"file://{tmp_path}/there.png"]) == 0
    assert capsys.readouterr().out == f"{bucket}/folder/one.png\n{tmp_path}/there.png\n"
    made = get_all(bucket, tmp_path / "fetched")
    assert made["made/two.png"] == made["folder/one.png"] == Path("there.png").read_bytes() == Path("local.png").read_bytes()
    for arguments, words in (
        ([f"{bucket}/one.png", f"{bucket}/one.png"], "is the image to be translated, which would be lost"),
        ([f"{bucket}/made", f"{bucket}/one.png"], f"{bucket}/made may be any number of images, and {bucket}/one.png is one file"),
        ([f"{bucket}/one.png", f"{bucket}/two"], f"{bucket}/two has no suffix"),
        (["in/one.png", f"{bucket}/one.png"], f"{bucket}/one.png is there already, and transfigure did not write it"),
        ([f"{bucket}/none.png", f"{bucket}/two.png"], f"{bucket}/none.png does not exist"),
        ([f"{bucket}/none", f"{bucket}/other"], f"{bucket}/none does not exist"),
        ([f"{bucket}/{{name}}_{{0..2}}.png", f"{bucket}/other"], "is a pattern of files that are one image"),
        (["--skip-existing", f"{bucket}/one.png", f"{bucket}/two.png"], "is one image: leave it out"),
    ):
        assert main(["translate", "street", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert get_all(bucket, tmp_path / "fetched") == made
    assert main(["translate", "street", "in/one.png", f"{bucket}/one.png", "--overwrite"]) == 0
    assert get_all(bucket, tmp_path / "fetched")["one.png"] == Path("local.png").read_bytes()


def test_the_command(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(3):
        picture(tmp_path / f"in/a_{at}.png", at)
    picture(tmp_path / "in/b.png")
    put_all(tmp_path / "in", f"{place}/in")
    assert main(["translate", "street", f"{place}/in/a_*.png", f"{place}/out"]) == 0
    told = capsys.readouterr()
    assert told.out == f"3 of 3 images written to {place}/out\n"
    assert sorted(ObjectFolder.at(f"{place}/out").listed()) == ["a_0.png", "a_1.png", "a_2.png"]
    assert main(["translate", f"{place}/model", f"{place}/in", f"{place}/out"]) == 2
    assert f"the model {place}/model is a URL, and a model is read from a disk" in capsys.readouterr().err


def test_the_page(s3: str, using: Using, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page on more than one machine tells people to type."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "labels/1.png", size=(64, 64))
    using(s3, ROOT)
    storage._filesystem(os.getpid(), "s3", "bucket").mkdir("bucket")
    put_all(tmp_path / "labels", "s3://bucket/labels")
    lines = [line for block in blocks(ROOT_FOLDER / "docs/how-to/cluster.md") for line in shell_lines(block.text) if "s3://" in line]
    assert len(lines) == 3
    for line in lines:
        done(capsys, line)
    made = get_all("s3://bucket/streets", tmp_path / "fetched")
    assert made == {"1.png": Path("one.png").read_bytes()}


# ---- what is there already --------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(3):
        picture(tmp_path / f"in/{at}.png", at)
    put_all(tmp_path / "in", f"{place}/in")
    first = translate_folder(tiny_translator(), f"{place}/in", f"{place}/out")
    made, done = get_all(f"{place}/out", tmp_path / "fetched"), []
    put = ObjectFolder.put
    monkeypatch.setattr(ObjectFolder, "put", lambda self, name, file: (done.append(name), put(self, name, file))[1])
    again = translate_folder(tiny_translator(), f"{place}/in", f"{place}/out", skip_existing=True)
    assert (list(again), again.skipped, done) == ([], [*first], [])
    assert again.words(f"{place}/out") == f"0 of 3 images written to {place}/out (3 were there already)"
    (tmp_path / "half").write_bytes(made["1.png"][:-40])
    put(ObjectFolder.at(f"{place}/out"), "1.png", tmp_path / "half")  # cut off, as by another tool
    ObjectFolder.at(f"{place}/out").remove("2.png")
    again = translate_folder(tiny_translator(), f"{place}/in", f"{place}/out", skip_existing=True)
    assert ([*again], again.skipped, sorted(done)) == (first[1:], first[:1], ["1.png", "2.png"])
    assert get_all(f"{place}/out", tmp_path / "fetched") == made
    other = translate_folder(tiny_translator(seed=1), f"{place}/in", f"{place}/out", skip_existing=True)
    assert [*other] == [*first] and get_all(f"{place}/out", tmp_path / "fetched")["0.png"] != made["0.png"]


def test_a_source_that_is_newer_is_done_again(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "in/0.png")
    put_all(tmp_path / "in", f"{bucket}/in")
    translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out")
    about = storage._about
    later = {"in": 10**10, "out": 0}
    monkeypatch.setattr(
        storage, "_about", lambda told: (one := about(told))._replace(modified=one.modified + later[told["name"].split("/")[1]])
    )
    again = translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out", skip_existing=True)
    assert len(again) == 1


def test_what_others_wrote_is_not_replaced(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(4):
        picture(tmp_path / f"in/{at}.png", at)
    put_all(tmp_path / "in", f"{place}/in")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "theirs.png")
    out = ObjectFolder.at(f"{place}/out")
    out.put("3.png", tmp_path / "theirs.png")
    before = get_all(place, tmp_path / "fetched")
    with pytest.raises(UserError, match=re.escape(f"{place}/out/3.png is there already, and transfigure did not write it: choose")):
        translate_folder(tiny_translator(), f"{place}/in", f"{place}/out")
    assert get_all(place, tmp_path / "fetched") == before
    monkeypatch.setattr(carrier, "_OTHERS_BEFORE", 0)  # of very many the few that are looked at before may all be ours
    with pytest.raises(
        UserError, match=re.escape(f"1 of 4 images could not be translated (the other 3 could): {place}/out/3.png is there")
    ):
        translate_folder(tiny_translator(), f"{place}/in", f"{place}/out")
    after = get_all(f"{place}/out", tmp_path / "fetched")
    assert sorted(after) == ["0.png", "1.png", "2.png", "3.png"] and after["3.png"] == (tmp_path / "theirs.png").read_bytes()
    translate_folder(tiny_translator(), f"{place}/in", f"{place}/out", overwrite=True)
    assert get_all(f"{place}/out", tmp_path / "fetched")["3.png"] != after["3.png"]


def test_notes_on_what_stands_beside(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in/0.png")
    put_all(tmp_path / "in", f"{bucket}/in")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.jpg")
    ObjectFolder.at(f"{bucket}/out").put("0.jpg", tmp_path / "0.jpg")
    translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out")
    assert f"{bucket}/out holds 1 picture of the same names in another format that transfigure did not write" in capsys.readouterr().err


def test_places_that_overlap(bucket: str, tmp_path: Path) -> None:
    picture(tmp_path / "in/0.png")
    picture(tmp_path / "in/in/0.png")
    put_all(tmp_path / "in", f"{bucket}/in")
    for output in (f"{bucket}/in", f"{bucket}/in/out", f"{bucket.replace('s3://', 's3a://')}/in/out/"):
        with pytest.raises(UserError, match="lies inside the input"):
            translate_folder(tiny_translator(), f"{bucket}/in", output)
    with pytest.raises(UserError, match=re.escape(f"{bucket}/in/0.png is one of the images to be translated, which would be lost")):
        translate_folder(tiny_translator(), f"{bucket}/in", bucket, overwrite=True)
    assert sorted(ObjectFolder.at(bucket).listed()) == ["in/0.png", "in/in/0.png"]


def test_names_that_no_file_can_have(bucket: str, tmp_path: Path) -> None:
    picture(tmp_path / "in/0.png")
    put_all(tmp_path / "in", f"{bucket}/in")
    system = storage._filesystem(os.getpid(), "s3", bucket.removeprefix("s3://"))
    content = (tmp_path / "in/0.png").read_bytes()
    for name in ("a//b.png", f"{'x' * 300}.png"):
        system.pipe_file(f"{bucket}/in/{name}", content)
    system.call_s3("put_object", Bucket=bucket.removeprefix("s3://"), Key="in/a?versionId=2.png", Body=content)
    with pytest.raises(UserError, match=r"3 of 4 images could not be translated \(the other 1 could\)") as caught:
        translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out")
    assert "has a name that no file can have: rename it" in str(caught.value)
    assert sorted(ObjectFolder.at(f"{bucket}/out").listed()) == ["0.png"]


# ---- what goes wrong --------------------------------------------------------------------------------------------------------


def refused(run: Callable[[], Any], *words: str, seconds: float = 5) -> None:
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        run()
    assert time.monotonic() - began < seconds
    assert all(word in str(caught.value) for word in words), caught.value
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["new\nline.png", os.fsdecode(b"bad\xff.png")])
def test_names_that_no_object_can_have(bucket: str, tmp_path: Path, name: str) -> None:
    """An S3 server refuses them, or keeps them under another name: which is said, and not that an object is gone."""
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match="is no name that the storage can have"):
        ObjectFolder.at(f"{bucket}/out").put(name, tmp_path / "a.png")


def test_rights(s3: str, bucket: str, using: Using, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(2):
        picture(tmp_path / f"in/{at}.png", at)
    put_all(tmp_path / "in", f"{bucket}/in")
    everything = user(s3, "everything", "s3:*")
    nobody, lister = user(s3, "nobody"), user(s3, "lister", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject")
    reader, writer = (
        user(s3, "reader", "s3:ListBucket", "s3:GetObject"),
        user(s3, "writer", "s3:ListBucket", "s3:GetObject", "s3:PutObject"),
    )

    def run() -> Any:
        return translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out")

    with rights_are_asked_for(s3):
        for keys, words in (
            (nobody, f"{bucket}/in may not be listed with these credentials (AccessDenied): ask for the right to list the bucket"),
            (lister, f"{bucket}/in/0.png may not be read with these credentials"),
            (reader, f"{bucket}/out may not be written with these credentials (AccessDenied): ask for the right to write objects"),
            ({**reader, "AWS_SECRET_ACCESS_KEY": SECRET}, "does not accept the credentials (SignatureDoesNotMatch)"),
            (ROOT, "does not accept the credentials (InvalidAccessKeyId)"),
        ):
            using(s3, keys)
            refused(run, words)
        using(s3, everything)
        assert sorted(ObjectFolder.at(bucket).listed()) == ["in/0.png", "in/1.png"]
        using(s3, writer)
        assert len(run()) == 2
        assert "may not be removed and stays" in capsys.readouterr().err
    using(s3, ROOT)
    left = [name for name in ObjectFolder.at(f"{bucket}/out").listed() if name.startswith(".write-")]
    assert len(left) == 1  # which readers pass over
    translate_folder(tiny_translator(), f"{bucket}/out", f"{bucket}/more")


def test_without_credentials_or_a_bucket(s3: str, bucket: str, using: Using, tmp_path: Path) -> None:
    picture(tmp_path / "in/0.png")

    def run(source: str = f"{bucket}/in", output: str = f"{bucket}/out") -> Any:
        return translate_folder(tiny_translator(), source, output)

    refused(lambda: run("s3://nowhere-at-all/in"), "s3://nowhere-at-all/in: there is no bucket 'nowhere-at-all': check its name")
    refused(lambda: run(str(tmp_path / "in"), "s3://nowhere-at-all/out"), "there is no bucket 'nowhere-at-all'")
    refused(lambda: run("s3://Not_A_Name!/in"), "is no name that the storage can have")
    refused(lambda: run(f"{bucket}/nothing"), f"{bucket}/nothing does not exist")
    using(s3, {})
    refused(run, "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    using("http://127.0.0.1:9", ROOT)
    refused(run, "the storage cannot be reached or does not answer (EndpointConnectionError): check the endpoint (AWS_ENDPOINT_URL)")
    refused(lambda: run(str(tmp_path / "in")), f"{bucket}/out cannot be listed")
    using("nonsense", ROOT)
    refused(run, "is no URL such as https://")


def test_urls_that_name_nothing(monkeypatch: pytest.MonkeyPatch, using: Using, capsys: pytest.CaptureFixture[str]) -> None:
    for url, words in (
        ("s4://bucket/in", "s4:// is no protocol of a storage"),
        ("s3://", "names no bucket: write s3://BUCKET/FOLDER"),
        ("s3:///in", "names no bucket: write s3://BUCKET/in"),
        (f"s3://me:{SECRET}@bucket/in", "the URL of s3://bucket holds a password: leave it out"),
        ("zip://in::s3://bucket/a.zip", "is a chain of protocols"),
        (f"https://host/in.png?signature={SECRET}", "https://host/in.png is asked with a query, which is not taken"),
    ):
        refused(lambda url=url: ObjectFolder.at(url), words)  # type: ignore[misc]
    with pytest.raises(Missing, match=r"gs:// needs the package 'gcsfs': install it with  pip install gcsfs"):
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        ObjectFolder.at("gs://bucket/in")
    for package in ("s3fs", "fsspec"):
        monkeypatch.setitem(sys.modules, {"fsspec": "fsspec.core"}.get(package, package), None)
        storage._filesystem.cache_clear()
        if package == "s3fs":
            monkeypatch.delitem(pytest.importorskip("fsspec.registry")._registry, "s3", raising=False)
        assert main(["translate", "street", "s3://bucket/in", "s3://bucket/out"]) == 3
        assert f"s3:// needs the package '{package}': install it with  pip install 'transfigure[scale]'" in capsys.readouterr().err


def test_what_is_no_url() -> None:
    assert [is_url(place) for place in ("s3://b/x", "memory://x", "file:///x", "C:\\x", "a/b:c", "hub:a/b", "GS://b")] == [
        *(True, True, False, False, False, False, True)
    ]
    assert without_file_protocol("file:///data/in") == "/data/in" and without_file_protocol("s3://b/in") == "s3://b/in"
    assert [str(ObjectFolder.at(url).folder) for url in ("memory://a/b", "memory://a")] == ["memory://a", "memory://"]


def test_a_connection_that_breaks(s3: str, bucket: str, using: Using, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(6):
        picture(tmp_path / f"in/{at}.png", at, (64, 64))
    put_all(tmp_path / "in", f"{bucket}/in")
    translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/whole")
    seen: dict[str, int] = {}

    def breaks(method: str, path: str) -> bool:
        file = path.partition("?")[0].rpartition("/")[2]
        seen[file + method] = times = seen.get(file + method, 0) + 1
        return (method, file) in (("GET", "1.png"), ("PUT", "3.png")) or (
            (method, file) in (("GET", "2.png"), ("PUT", "4.png")) and times == 1
        )

    with breaking(s3, breaks) as url:
        using(url, ROOT)
        told = outcome(lambda: translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out"), capsys)
    assert "2 of 6 images could not be translated (the other 4 could): 1.png, 3.png" in told
    assert f"{bucket}/in/1.png" in told and f"{bucket}/out/3.png" in told
    assert 3 <= seen["1.pngGET"] < 40 and 3 <= seen["3.pngPUT"] < 40
    using(s3, ROOT)
    whole = get_all(f"{bucket}/whole", tmp_path / "fetched")
    assert get_all(f"{bucket}/out", tmp_path / "fetched") == {name: whole[name] for name in ("0.png", "2.png", "4.png", "5.png")}


def test_a_storage_that_is_gone_ends_the_run(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(12):
        picture(tmp_path / f"in/{at:02}.png", at)
    put_all(tmp_path / "in", f"{bucket}/in")
    monkeypatch.setattr(carrier, "_PATIENCE", 4)
    put, tried = ObjectFolder.put, []

    def expired(self: ObjectFolder, name: str, file: Path) -> None:
        tried.append(name)
        if "02" <= name < "04" or name >= "06":
            raise storage.StoredRefusal(f"{self.at_name(name)} cannot be written, as the storage does not accept the credentials")
        put(self, name, file)

    monkeypatch.setattr(ObjectFolder, "put", expired)
    with pytest.raises(
        RunFailure, match=re.escape(f"4 objects one after the other were refused, the last one: {bucket}/out/09.png cannot")
    ):
        translate_folder(tiny_translator(), f"{bucket}/in", f"{bucket}/out")
    assert sorted(ObjectFolder.at(f"{bucket}/out").listed()) == [f"{at:02}.png" for at in (0, 1, 4, 5)]


def test_the_last_of_many_wait_for_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are asked for before a thread is free to fetch them."""
    picture(tmp_path / "in/0.png")
    for at in range(6):
        ObjectFolder.at("memory://many/in").put(f"{at}.png", tmp_path / "in/0.png")
    fetch = ObjectFolder.fetch
    monkeypatch.setattr(ObjectFolder, "fetch", lambda *arguments: (time.sleep(0.02), fetch(*arguments))[1])
    monkeypatch.setattr(carrier, "FETCHERS", 1)
    assert len(translate_folder(tiny_translator(), "memory://many/in", "memory://many/out")) == 6


def test_an_object_that_changes_while_it_is_fetched(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"twelve bytes")
    place = ObjectFolder.at(bucket)
    place.put("[a].png", tmp_path / "file")
    place.fetch("[a].png", tmp_path / "fetched", StoredObject(5, 0))  # another one since it was listed, and whole
    assert (tmp_path / "fetched").read_bytes() == b"twelve bytes"
    with pytest.raises(UserError, match=r"\[b\]\.png is not there"):
        place.fetch("[b].png", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_run_that_is_cut_leaves_nothing_behind(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(12):
        picture(tmp_path / f"in/{at}.png", at)
    put_all(tmp_path / "in", f"{bucket}/in")
    translator = tiny_translator()
    count = iter(range(100))

    def run(self: Translator, *arguments: Any) -> Any:
        if next(count) == 5:
            raise KeyboardInterrupt
        return translate(self, *arguments)

    translate = Translator._translated_or_written
    monkeypatch.setattr(Translator, "_translated_or_written", run)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(translator, f"{bucket}/in", f"{bucket}/out")
    monkeypatch.undo()


def test_what_a_killed_process_left_is_removed() -> None:
    (left := Path(tempfile.gettempdir()) / f"{storage.WORKSPACES}left").mkdir()
    (left / "image.png").write_bytes(b"x")
    with carrier.Workspace(None, None) as one, carrier.Workspace(None, None):
        assert one.root.is_dir() and not left.exists()  # one that somebody holds is not touched
