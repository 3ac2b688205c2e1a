"""Models go to the hub and come back the same; what cannot be had is told in one sentence, and nothing is downloaded in silence."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.interop.hub_stand_in import TOKEN, Hub
from tests.tiny import noise_image, tiny_config, tiny_translator, write_images
from transfigure.cli.main import main
from transfigure.errors import Missing, UserError
from transfigure.interop.hub import PANEL, HubModel, hint, is_hub_name
from transfigure.networks.model_file import CARD, CONFIG, WEIGHTS, Inference
from transfigure.recipe import Recipe
from transfigure.translation.translator import Translator

RUN = Path(__file__).parents[1] / "compat" / "v0_1_0" / "paired"
IMAGE = noise_image(20, 24)
SHORT = {
    **{"data.train": "2", "data.val": "1", "data.test": "1", "data.crop_size": "32", "data.load_size": "32", "discriminator.width": "2"},
    **{"training.epochs": "1", "training.batch_size": "1", "training.accelerator": "cpu", "training.preview_count": "0"},
}
"""A training of a moment."""


@pytest.fixture
def writer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who may write to what begins with ``owner/``."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def files_of(translator: Translator, folder: Path) -> dict[str, bytes]:
    """A model directory as a repository holds it."""
    translator.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> str:
    """The hub's address is one where there is nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    return address.removeprefix("http://")


# ---- there and back ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("writer")
def test_what_is_pushed_comes_back_byte_for_byte(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(RUN), "owner/facades", "--private", "--licence", "mit"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{hub.address}/owner/facades\n"
    assert "uploading 4 files" in err
    assert "panel.png shows images of your data" in err
    repository = hub.repositories["owner/facades"]
    assert repository.private
    assert len(repository.commits) == 2
    assert repository.commits[1].keys() == {".gitattributes", CARD, CONFIG, WEIGHTS, PANEL}

    assert main(["push", str(RUN), "owner/facades", "--dry-run", str(tmp_path / "same"), "--licence", "mit"]) == 0
    assert {name: content for name, content in repository.commits[1].items() if name != ".gitattributes"} == {
        file.name: file.read_bytes() for file in (tmp_path / "same").iterdir()
    }
    capsys.readouterr()

    translator = Translator.from_pretrained("owner/facades")
    out, err = capsys.readouterr()
    assert out == ""
    assert "downloading hub:owner/facades" in err
    assert "bytes)" in err or "MB)" in err
    assert str(translator.origin) == "hub:owner/facades"
    assert np.array_equal(translator(IMAGE), Translator.load(RUN)(IMAGE))
    fetched = [*(tmp_path / "home").rglob(WEIGHTS)]
    assert [file.read_bytes() for file in fetched] == [repository.commits[1][WEIGHTS]]
    assert TOKEN not in out + err
    assert str(tmp_path) not in out + err


@pytest.mark.usefixtures("writer")
def test_a_second_push_replaces_ours_and_takes_the_old_picture_away(hub: Hub) -> None:
    Translator.load(RUN).push_to_hub("owner/facades")
    other = tiny_translator(seed=5)
    assert other.push_to_hub("hub:owner/facades", licence="mit") == f"{hub.address}/owner/facades"
    assert hub.repositories["owner/facades"].commits[-1].keys() == {".gitattributes", CARD, CONFIG, WEIGHTS}
    assert np.array_equal(Translator.from_pretrained("owner/facades")(IMAGE), other(IMAGE))


def test_every_door_opens_a_named_model_and_a_commit_of_it(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tiny_translator(seed=1), tiny_translator(seed=2)
    repository = hub.put("somebody/facades", files_of(old, tmp_path / "old"))
    repository.commits.append(files_of(new, tmp_path / "new"))
    first = repository.names()[0]
    for found in (
        Translator.load("hub:somebody/facades"),
        Translator.load(Path("hub:somebody/facades"), norm="batch"),
        Translator.from_pretrained("somebody/facades"),
    ):
        assert np.array_equal(found(IMAGE), new(IMAGE))
    for found in (Translator.from_pretrained("somebody/facades", revision=first), Translator.load(f"hub:somebody/facades@{first}")):
        assert np.array_equal(found(IMAGE), old(IMAGE))
        assert str(found.origin) == f"hub:somebody/facades@{first}"
    assert capsys.readouterr().err.count("downloading") == 2
    write_images(tmp_path / "in", "a.png")
    assert main(["translate", "hub:somebody/facades", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a.png").is_file()


def test_a_model_of_the_hub_keeps_its_card_unless_it_was_changed(hub: Hub, tmp_path: Path) -> None:
    Translator.load(RUN).save_pretrained(tmp_path / "model", licence="cc-by-4.0", name="somebody/facades")
    hub.put("somebody/facades", {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()})
    same = Translator.from_pretrained("somebody/facades")
    same.save_pretrained(tmp_path / "same", name="owner/mine")
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    expected = (
        card.replace("---\n", "---\nbase_model: somebody/facades\n", 1)
        .replace('("somebody/', '("owner/')
        .replace("hub:somebody", "hub:owner")
    )
    assert (tmp_path / "same" / PANEL).is_file()
    assert (tmp_path / "same" / CARD).read_text(encoding="utf-8") == expected.replace("owner/facades", "owner/mine")
    next(same.generator.parameters()).data.add_(1)
    same.save_pretrained(tmp_path / "changed", name="owner/mine")
    changed = (tmp_path / "changed" / CARD).read_text(encoding="utf-8")
    assert "base_model: somebody/facades" in changed
    assert "PSNR" not in changed
    assert "license:" not in changed


# ---- without asking, and without a network ------------------------------------------------------------------------------------------


def test_a_bare_name_downloads_nothing_and_names_the_way(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.put("owner/facades", files_of(tiny_translator(), tmp_path / "model"))
    assert main(["translate", "owner/facades", str(tmp_path), str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "hub:owner/facades" in err
    assert err.count("\n") == 1
    with pytest.raises(UserError, match="hub:owner/facades"):
        Translator.load("owner/facades")
    with pytest.raises(UserError, match="does not exist") as caught:
        Translator.load("runs/of/mine")
    assert "hub:" not in str(caught.value)
    assert hub.asked == []


def test_a_folder_of_that_name_goes_first(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_translator().save("owner/facades")
    tiny_translator().save("hub:owner/facades")
    assert not is_hub_name("hub:owner/facades")
    for name in ("owner/facades", "hub:owner/facades"):
        assert Translator.from_pretrained(name).origin == Path(name)
        assert Translator.load(name).origin == Path(name)
    with pytest.raises(UserError, match="leave out the revision"):
        Translator.from_pretrained("owner/facades", revision="main")
    assert hub.asked == []


def test_a_directory_needs_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    tiny_translator().save_pretrained(tmp_path / "model")
    assert np.array_equal(Translator.from_pretrained(tmp_path / "model")(IMAGE), tiny_translator()(IMAGE))
    assert main(["push", str(tmp_path / "model"), "owner/facades", "--dry-run", str(tmp_path / "shared")]) == 0
    capsys.readouterr()
    with pytest.raises(Missing, match=r"transfigure\[hub\]"):
        Translator.from_pretrained("owner/facades")
    assert main(["push", str(tmp_path / "model"), "owner/facades"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("how", ["nobody listens", "offline", "server error"])
def test_what_was_downloaded_before_serves_without_a_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    model = tiny_translator()
    hub.put("owner/facades", files_of(model, tmp_path / "model"))
    Translator.from_pretrained("owner/facades")
    capsys.readouterr()
    if how == "nobody listens":
        nobody_listens(monkeypatch)
    elif how == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    else:
        hub.status = 503
    assert np.array_equal(Translator.from_pretrained("owner/facades")(IMAGE), model(IMAGE))
    err = capsys.readouterr().err
    assert "the copy that was downloaded before (commit" in err
    with pytest.raises(UserError) as caught:
        Translator.from_pretrained("owner/another")
    assert "\n" not in str(caught.value)
    assert "owner/another" in str(caught.value)


def test_what_has_not_changed_is_not_downloaded_again(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.put("owner/facades", files_of(tiny_translator(), tmp_path / "model"))
    Translator.from_pretrained("owner/facades")
    capsys.readouterr()
    hub.asked.clear()
    Translator.from_pretrained("owner/facades")
    assert capsys.readouterr().err == ""
    assert not [path for path in hub.asked if "/resolve/" in path]


# ---- what cannot be had -------------------------------------------------------------------------------------------------------------


def _none(hub: Hub, files: dict[str, bytes]) -> None:
    pass


def _private(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", files, private=True)


def _gated(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", files, gated=True)


def _of_another_program(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", {"config.json": b'{"architectures": ["BertModel"]}', "model.safetensors": files[WEIGHTS]})


def _foreign_configuration(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", {**files, CONFIG: b'{"architectures": ["BertModel"]}'})


def _truncated(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", {**files, WEIGHTS: files[WEIGHTS][:-1000]})


def _cut(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("owner/facades", files)
    hub.cut = 300


def _ill(hub: Hub, files: dict[str, bytes]) -> None:
    hub.status = 500


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        (_none, "there is no model owner/facades on"),
        (_private, "or it is private: check the name, or log in"),
        (_gated, "accepted its conditions"),
        (_of_another_program, "holds no model of Transfigure: it has no generator.safetensors"),
        (_foreign_configuration, "is not a model's configuration"),
        (_truncated, "generator.safetensors is damaged or cut off"),
        (_cut, "owner/facades"),
        (_ill, "500"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    holds: Callable[[Hub, dict[str, bytes]], None],
    words: str,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits before it tries again
    holds(hub, files_of(tiny_translator(), tmp_path / "model"))
    write_images(tmp_path / "in", "a.png")
    assert main(["translate", "hub:owner/facades", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    sentences = [line for line in err.splitlines() if not line.startswith("downloading ")]
    assert out == ""
    assert len(sentences) == 1
    assert sentences[0].startswith("transfigure: ")
    assert words in sentences[0]
    assert str(tmp_path) not in err
    assert not (tmp_path / "out").exists()
    whole = {content for repository in hub.repositories.values() for files in repository.commits for content in files.values()}
    cached = [file for folder in (tmp_path / "home").rglob("snapshots") for file in folder.rglob("*") if file.is_file()]
    assert [file for file in cached if file.read_bytes() not in whole] == []


def test_a_commit_that_there_is_not(hub: Hub, tmp_path: Path) -> None:
    hub.put("owner/facades", files_of(tiny_translator(), tmp_path / "model"))
    with pytest.raises(UserError, match="has no revision 'v9'"):
        Translator.load("hub:owner/facades@v9")


@pytest.mark.parametrize("name", ["facades", "a/b/c", "../facades", "a--b/c", "owner/facades.git", "owner/", "hub:owner", "owner/facades@"])
def test_what_is_no_name_asks_nobody(hub: Hub, name: str) -> None:
    assert hint(name) == ""
    with pytest.raises(UserError, match="owner/name"):
        Translator.from_pretrained(name)
    assert hub.asked == []


# ---- what cannot be pushed ----------------------------------------------------------------------------------------------------------


def pushed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence that a push ends with."""
    assert main(["push", str(RUN), *words]) == 2
    out, err = capsys.readouterr()
    sentences = [line for line in err.splitlines() if not line.startswith(("note: ", "uploading "))]
    assert out == ""
    assert len(sentences) == 1
    assert TOKEN not in err
    return sentences[0]


def test_a_push_of_nobody_is_told_to_log_in(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert "hf auth login" in pushed(capsys, "owner/facades")
    assert hub.repositories == {}


@pytest.mark.usefixtures("writer")
def test_a_push_to_another_persons_name(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = pushed(capsys, "somebody/facades")
    assert "403" in sentence
    assert "rights" in sentence
    assert hub.repositories == {}


@pytest.mark.usefixtures("writer")
def test_a_licence_that_the_hub_does_not_know(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert '"license" must be one of' in pushed(capsys, "owner/facades", "--licence", "free")
    assert hub.repositories["owner/facades"].commits == [{".gitattributes": b""}]


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("there", [True, False])
def test_private_is_never_public(hub: Hub, capsys: pytest.CaptureFixture[str], there: bool) -> None:
    """``create_repo`` passes over ``private`` for a repository that exists, and a server may not know the word for it."""
    if there:
        hub.put("owner/facades", {})
    hub.forgets_visibility = True
    assert "is public" in pushed(capsys, "owner/facades", "--private")
    assert not hub.repositories["owner/facades"].commits[-1].keys() & {CONFIG, WEIGHTS}


@pytest.mark.usefixtures("writer")
def test_what_transfigure_did_not_write_is_replaced_only_when_asked(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = {"README.md": b"My card", CONFIG: b'{"architectures": ["BertModel"]}', "model.safetensors": b"mine"}
    hub.put("owner/facades", theirs)
    assert "README.md, config.json already, and transfigure did not write it" in pushed(capsys, "owner/facades")
    assert hub.repositories["owner/facades"].commits == [theirs]
    assert main(["push", str(RUN), "owner/facades", "--overwrite", "--no-panel"]) == 0
    assert hub.repositories["owner/facades"].commits[-1].keys() == {CARD, CONFIG, WEIGHTS, "model.safetensors"}


@pytest.mark.usefixtures("writer")
def test_a_push_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host = nobody_listens(monkeypatch)
    assert f"{host} cannot be reached to push owner/facades" in pushed(capsys, "owner/facades")


def test_an_address_with_a_password_is_shown_without_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = nobody_listens(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://me:secret@{host}")
    assert "secret" not in pushed(capsys, "owner/facades")


def test_the_choices_of_the_command_line_become_the_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_translator(tiny_config()).save(tmp_path / "model")
    words = [
        "push",
        str(tmp_path / "model"),
        "owner/facades",
        "--dry-run",
        str(tmp_path / "shared"),
        "--noise",
        "none",
        "--norm",
        "running",
    ]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'shared'}\n"
    assert Translator.load(tmp_path / "shared").inference == Inference("running", "none", 0)
    assert HubModel.read("owner/facades").revision is None


def test_a_training_starts_from_a_model_of_the_hub(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.put("owner/facades", files_of(tiny_translator(), tmp_path / "model"))
    run = tmp_path / "run"
    words = ["train", "pix2pix_tiny", "synthetic", *(word for key, value in SHORT.items() for word in (f"--{key}", value))]
    assert main([*words, "--out", str(run), "--from", "hub:owner/facades"]) == 0
    said = capsys.readouterr().err
    assert "downloading hub:owner/facades" in said and "start:   hub:owner/facades (" in said and ": generator 34 of 34 tensors" in said
    assert Recipe.load(run / "recipe.yaml").training.start_from == "hub:owner/facades"
    assert main([*words, "--out", str(tmp_path / "other"), "--from", "hub:owner/nothing", "--quiet"]) == 2
    assert not (tmp_path / "other").exists() and capsys.readouterr().err.count("\n") == 1
