"""The HTTP API: the file that ``translate`` would write, or a sentence."""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from tests.tiny import copying, noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.networks.model_file import Domain
from transfigure.serving.limits import Limits
from transfigure.translation.translator import Translator

from .served import problem, serving

URL = "/v1/translate"


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator()


@pytest.fixture(scope="module")
def client(translator: Translator) -> Iterator[TestClient]:
    with serving(translator) as client:
        yield client


def file_of(folder: Path, name: str = "source.png", *size: Any, **kind: Any) -> Path:
    images.write(folder / name, noise_image(*(size or (21, 34)), **kind))
    return folder / name


def by_translate(translator: Translator, file: Path, suffix: str = "png", **options: Any) -> bytes:
    out = file.with_name(f"translated.{suffix}")
    translator.translate_file(file, out, overwrite=True, **options)
    return out.read_bytes()


# ---- what is answered ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["body", "octets", "nothing said", "form"])
def test_the_answer_is_the_file_that_translate_writes(client: TestClient, translator: Translator, tmp_path: Path, way: str) -> None:
    file = file_of(tmp_path)
    data, kinds = file.read_bytes(), {"body": "image/png", "octets": "application/octet-stream"}
    if way == "form":
        response = client.post(URL, files={"image": ("", data)}, data={"beside": "what is not asked for"})
    else:
        response = client.post(URL, content=data, headers={"Content-Type": kinds[way]} if way in kinds else {})
    assert response.status_code == 200 and response.headers["content-type"] == "image/png"
    assert response.content == by_translate(translator, file)


def test_what_the_file_says_of_itself_is_kept_as_by_translate(client: TestClient, translator: Translator, tmp_path: Path) -> None:
    file, exif = tmp_path / "photo.jpg", Image.Exif()
    exif[274], exif[306] = 6, "2020:02:03 04:05:06"
    Image.fromarray(noise_image(20, 36)).save(file, exif=exif, dpi=(300, 300))
    kept = client.post(URL, content=file.read_bytes()).content
    assert kept == by_translate(translator, file) and Image.open(io.BytesIO(kept)).size == (20, 36)
    dropped = client.post(URL, params={"metadata": "drop"}, content=file.read_bytes()).content
    assert dropped == by_translate(translator, file, metadata="drop") != kept


def test_seeds_and_noise(client: TestClient, translator: Translator, tmp_path: Path) -> None:
    data = file_of(tmp_path).read_bytes()
    answers = {
        how: client.post(URL, params=dict(pair.split("=") for pair in how.split("&") if pair), content=data).content
        for how in ("", "seed=0", "seed=5", "noise=none", "noise=none&seed=5")
    }
    pixels = {how: np.asarray(Image.open(io.BytesIO(data))) for how, data in answers.items()}
    assert answers[""] == answers["seed=0"]
    assert not np.array_equal(pixels[""], pixels["seed=5"]) and not np.array_equal(pixels[""], pixels["noise=none"])
    assert np.array_equal(pixels["noise=none"], pixels["noise=none&seed=5"])
    assert translator.inference.seed == 0 and translator.inference.noise == "dropout"


def test_16_bits_in_16_bits_out(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(source=Domain(3, "uint16"), target=Domain(3, "uint16")))
    file = file_of(tmp_path, dtype="uint16")
    with serving(translator) as client:
        response = client.post(URL, content=file.read_bytes())
    assert response.content == by_translate(translator, file)
    (tmp_path / "answer.png").write_bytes(response.content)
    assert images.read(tmp_path / "answer.png").dtype == np.uint16


def test_many_channels_are_a_tiff_both_ways(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(source=Domain(5, "float32"), target=Domain(6, "uint16")))
    file = file_of(tmp_path, "bands.tif", 20, 30, 5, "float32")
    with serving(translator) as client:
        response = client.post(URL, content=file.read_bytes(), headers={"Content-Type": "image/tiff"})
        assert response.headers["content-type"] == "image/tiff"
        assert response.content == by_translate(translator, file, "tif")
        assert "cannot hold 6 channels" in problem(client.post(URL, params={"format": "png"}, content=file.read_bytes()), 422)


def test_models_by_name(tmp_path: Path) -> None:
    translators = tiny_translator(seed=1), tiny_translator(seed=2)
    file = file_of(tmp_path)
    with serving(*translators) as client:
        for name, translator in zip("ab", translators):
            assert client.post(URL, params={"model": name}, content=file.read_bytes()).content == by_translate(translator, file)
        assert "a, b" in problem(client.post(URL, content=file.read_bytes()), 404)
        assert "'c'" in problem(client.post(URL, params={"model": "c"}, content=file.read_bytes()), 404)


def test_what_is_said_of_a_model(client: TestClient) -> None:
    told = client.get("/v1/models").json()
    (model,) = told["models"]
    assert (model["name"], model["noise"], model["size"], model["palette"]) == ("a", True, [32, 32], None)
    assert model["source"] == {"channels": 3, "dtype": "uint8", "value_range": None}
    assert told["limits"] == {"bytes": 32_000_000, "pixels": 16_000_000, "seconds": 60, "requests": 64}


def test_a_generator_without_noise_says_so() -> None:
    with serving(copying()) as client:
        assert client.get("/v1/models").json()["models"][0]["noise"] is False


def test_what_a_browser_is_told(client: TestClient) -> None:
    script = client.get("/page/draw.js")
    assert script.headers["content-type"].startswith("text/javascript") and script.headers["cache-control"] == "no-cache"
    assert script.headers["x-content-type-options"] == "nosniff" and "unsafe-inline" not in script.headers["content-security-policy"]
    assert client.get("/docs").headers["content-security-policy"] == "frame-ancestors 'none'"


def test_health_counters_and_pages(client: TestClient, tmp_path: Path) -> None:
    client.post(URL, content=file_of(tmp_path).read_bytes())
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.head("/healthz").status_code == client.head("/").status_code == 200  # as load balancers ask
    counters = client.get("/metrics")
    assert counters.headers["content-type"].startswith("text/plain; version=")
    assert 'transfigure_answers_total{model="a",status="200"}' in counters.text and "transfigure_pass_seconds_count" in counters.text
    for page in ("/", "/docs"):
        response = client.get(page)
        assert response.headers["content-type"].startswith("text/html") and '<script src="http' not in response.text
    assert {"/v1/translate", "/v1/models", "/healthz", "/metrics"} == set(client.get("/openapi.json").json()["paths"])
    assert "/v1/translate" in client.get("/docs").text and "Bearer" not in client.get("/docs").text


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"<!DOCTYPE html>", "the image is not a PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "the image is a damaged or unsupported PNG file"),
    ],
    ids=["nothing", "a page", "damaged"],
)
def test_what_is_no_image_is_a_sentence(client: TestClient, data: bytes, words: str) -> None:
    for response in (client.post(URL, content=data), client.post(URL, files={"image": ("x.png", data)})):
        assert words in problem(response, 422)


def test_flags_are_called_parameters(client: TestClient, tmp_path: Path) -> None:
    data = file_of(tmp_path, "clear.png", 20, 20, 4).read_bytes()
    words = problem(client.post(URL, content=data), 422)
    assert words == (
        "the image is partly transparent: choose alpha=white or black (what lies behind it), drop (ignore the transparency) or keep (as a "
        "fourth channel)"
    )
    assert client.post(URL, params={"alpha": "white"}, content=data).status_code == 200


def test_pairs_are_not_taken_for_images(tmp_path: Path) -> None:
    translator = tiny_translator(tiny_config(recipe={"data": {"kind": "side_by_side"}}))
    data = file_of(tmp_path, "pair.png", 20, 40).read_bytes()
    with serving(translator) as client:
        assert "by half=left (or the other), or whole images by half=none" in problem(client.post(URL, content=data), 422)
        response = client.post(URL, params={"half": "left"}, content=data)
        assert Image.open(io.BytesIO(response.content)).size == (20, 20)


def test_the_wrong_number_of_channels(client: TestClient, tmp_path: Path) -> None:
    file = file_of(tmp_path, "bands.tif", 20, 20, 5)
    assert problem(client.post(URL, content=file.read_bytes()), 422).startswith("an image of 5 channels cannot be turned into 3")


def test_forms_that_hold_no_image(client: TestClient) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "no field 'image'" in problem(client.post(URL, files={"file": ("a.png", b"123")}), 422)
    assert "several fields" in problem(client.post(URL, files=[("image", ("a.png", b"1")), ("image", ("b.png", b"2"))]), 422)
    assert "boundary" in problem(client.post(URL, content=b"--x--", headers={"Content-Type": "multipart/form-data"}), 422)
    assert "cannot be read" in problem(client.post(URL, content=b"what is no form", headers=kind), 422)
    long = {"Content-Type": f"multipart/form-data; boundary={'x' * 300}"}
    assert "boundary that is too long" in problem(client.post(URL, content=b"abc", headers=long), 422)
    assert "cut off" in problem(
        client.post(URL, content=b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nab', headers=kind), 422
    )
    assert "beside its image" in problem(client.post(URL, files={"other": ("a", bytes(2 << 20))}), 413)


def test_parameters_that_there_are_not(client: TestClient) -> None:
    assert problem(client.post(URL, params={"seed": -1}, content=b"x"), 422).startswith("seed cannot be used")
    assert problem(client.post(URL, params={"noise": "loud"}, content=b"x"), 422).startswith("noise cannot be used")
    assert "nothing at /v2" in problem(client.get("/v2"), 404)
    assert "GET is not for /v1/translate" in problem(client.get(URL), 405)
    for outside in ("%2e%2e/app.py", "..%2fapp.py", "vendor/..%2f..%2fapp.py", "%2fetc%2fhostname"):
        assert "there is nothing at" in problem(client.get(f"/page/{outside}"), 404)


@pytest.mark.parametrize("name", ["/etc/hostname", "file:///etc/hostname", "http://localhost/x.png", "../../x"])
def test_no_name_that_a_client_sends_is_opened(client: TestClient, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    whole = io.open
    monkeypatch.setattr(io, "open", lambda file, *rest, **more: (opened.append(str(file)), whole(file, *rest, **more))[1])
    data = file_of(tmp_path).read_bytes()
    opened.clear()
    assert client.post(URL, files={"image": (name, data)}).status_code == 200
    assert problem(client.post(URL, content=name.encode()), 422)
    assert problem(client.post(URL, params={"model": name}, content=data), 404)
    folder = client.app.state.service.folder  # type: ignore[attr-defined]
    assert opened and all(file.isdigit() or file.startswith(str(folder)) for file in opened)


def test_limits_of_bytes_and_pixels(tmp_path: Path) -> None:
    data = file_of(tmp_path, "large.png", 64, 64).read_bytes()
    with serving(tiny_translator(), limits=Limits(megabytes=0.02, megapixels=0.003)) as client:
        assert "64 x 64 pixels, and 3,000 are the most" in problem(client.post(URL, content=data), 413)
        assert "20,000 bytes" in problem(client.post(URL, content=bytes(20_001)), 413)
        assert "20,000 bytes" in problem(client.post(URL, content=iter([bytes(9_000)] * 3)), 413)  # whose length is not said before
        assert "20,000 bytes" in problem(client.post(URL, files={"image": ("a", bytes(20_001))}), 413)
        assert not list(client.app.state.service.folder.iterdir())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(errno.ENOSPC, 507, "no room for this image on its disk"), (errno.EMFILE, 503, "no place for this image")],
)
def test_a_body_that_finds_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, status: int, words: str
) -> None:
    """The disk is full, or too many files are open: the client is told, the operator is, and the next is answered."""
    data = file_of(tmp_path).read_bytes()
    with serving(tiny_translator()) as client, monkeypatch.context() as patch:

        async def receive(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        patch.setattr("transfigure.serving.app.receive", receive)
        refused = client.post(URL, content=data)
        assert words in problem(refused, status) and refused.headers["retry-after"] == "10"
        assert os.strerror(number) in capsys.readouterr().err
        assert f'transfigure_answers_total{{model="a",status="{status}"}} 1.0' in client.get("/metrics").text
        patch.undo()
        assert client.post(URL, content=data).status_code == 200


def test_a_temporary_folder_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    """Systems do so with what has not been touched for days."""
    data = file_of(tmp_path).read_bytes()
    with serving(tiny_translator()) as client:
        folder: Path = client.app.state.service.folder  # type: ignore[attr-defined]
        folder.rmdir()
        assert client.post(URL, content=data).status_code == 200
        assert folder.stat().st_mode & 0o777 == 0o700 and not list(folder.iterdir())


def held_up(translator: Translator) -> threading.Event:
    """The translator's network waits until this is set."""
    go, engine = threading.Event(), translator.engine

    class Held:
        exact_batches = False

        def __call__(self, *values: Any) -> Any:
            assert go.wait(30)
            return engine(*values)

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    translator.engine = Held()  # type: ignore[assignment]
    return go


def test_a_full_queue_says_when_to_ask_again(tmp_path: Path) -> None:
    data, answers = file_of(tmp_path).read_bytes(), []
    translator = tiny_translator()
    with serving(translator, limits=Limits(requests=2)) as client:
        go = held_up(translator)
        threads = [threading.Thread(target=lambda: answers.append(client.post(URL, content=data))) for _ in range(2)]
        for thread in threads:
            thread.start()
        service = client.app.state.service  # type: ignore[attr-defined]
        while service.accepted < 2:
            time.sleep(0.01)
        refused = client.post(URL, content=data)
        assert "2 requests are being worked on" in problem(refused, 429) and int(refused.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        go.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert client.post(URL, content=data).status_code == 200


def test_large_images_wait_on_disk(tmp_path: Path) -> None:
    """Of the largest that there may be, two are decoded at a time, however many are accepted."""
    data, answers = file_of(tmp_path, "large.png", 50, 60).read_bytes(), []
    translator = tiny_translator()
    with serving(translator, limits=Limits(megapixels=0.003)) as client:
        go, service, read = held_up(translator), client.app.state.service, list[Path]()  # type: ignore[attr-defined]
        model = service.models["a"]
        whole, model.read = model.read, lambda *values: (read.append(values[0]), whole(*values))[1]
        threads = [threading.Thread(target=lambda: answers.append(client.post(URL, content=data))) for _ in range(5)]
        for thread in threads:
            thread.start()
        while service.accepted < 5 or len(service.queue) < 1 or service.memory.free:
            time.sleep(0.01)
        assert len(read) == 2 and len(list(service.folder.iterdir())) == 5
        go.set()
        for thread in threads:
            thread.join()
        assert {answer.content for answer in answers} == {by_translate(translator, tmp_path / "large.png")} and len(read) == 5
        assert service.memory.free == service.memory.most


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    data = file_of(tmp_path).read_bytes()
    translator = tiny_translator()
    with serving(translator, limits=Limits(seconds=0.3)) as client:
        go = held_up(translator)
        assert "longer than 0.3 s" in problem(client.post(URL, content=data), 504)
        go.set()
        assert client.post(URL, content=data).status_code == 200


def test_what_was_not_come_to_before_a_second_ctrl_c_is_told(tmp_path: Path) -> None:
    data, answers = file_of(tmp_path).read_bytes(), []
    translator = tiny_translator()
    with serving(translator) as client:
        go, service = held_up(translator), client.app.state.service  # type: ignore[attr-defined]
        threads = [threading.Thread(target=lambda: answers.append(client.post(URL, content=data))) for _ in range(3)]
        for thread in threads:
            thread.start()
        while service.accepted < 3:
            time.sleep(0.01)
        service.give_up()
        for thread in threads:
            thread.join()
        assert all("stopped before it came to this image" in problem(answer, 503) for answer in answers) and len(answers) == 3
        assert "stopping" in problem(client.post(URL, content=data), 503) and not list(service.folder.iterdir())
        go.set()


def test_a_failure_of_ours_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tiny_translator()) as client:
        monkeypatch.setattr("transfigure.serving.app.receive", lambda *_: 1 / 0)
        assert "whose log says what" in problem(client.post(URL, content=b"x"), 500)
        assert 'transfigure_answers_total{model="a",status="500"} 1.0' in client.get("/metrics").text


def test_a_model_that_fails_says_so(tmp_path: Path) -> None:
    translator = tiny_translator()
    with serving(translator) as client:
        with torch.no_grad():
            next(translator.generator.parameters()).fill_(float("nan"))
        assert "not finite" in problem(client.post(URL, content=file_of(tmp_path).read_bytes()), 500)


# ---- who may ask --------------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    data = file_of(tmp_path).read_bytes()
    with serving(tiny_translator(), token="a long word") as client:
        for wrong in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a long word"}):
            response = client.post(URL, content=data, headers=wrong)
            assert "Authorization: Bearer" in problem(response, 401) and response.headers["www-authenticate"] == "Bearer"
            assert client.get("/v1/models", headers=wrong).status_code == client.get("/metrics", headers=wrong).status_code == 401
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
        right = {"Authorization": "Bearer a long word", "Origin": "https://elsewhere.example"}
        assert client.post(URL, content=data, headers=right).status_code == 200
        assert "Bearer TOKEN" in client.get("/docs").text


def test_pages_of_other_places_may_not_ask(tmp_path: Path) -> None:
    """A browser on this machine would send what any page tells it to; a name that points here is no better."""
    data = file_of(tmp_path).read_bytes()
    with serving(tiny_translator(), hosts=frozenset({"localhost", "127.0.0.1"})) as client:
        assert client.post(URL, content=data, headers={"Origin": "http://localhost"}).status_code == 200
        for origin in ("http://elsewhere.example", "null", "http://localhost:1234"):
            assert "may not use this server" in problem(client.post(URL, content=data, headers={"Origin": origin}), 403)
        assert "may not use" in problem(client.get("/v1/models", headers={"Origin": "http://["}), 403)
        for host in ("[", "", "localhost.", "[::1"):
            assert "was called" in problem(client.get("/v1/models", headers={"Host": host}), 421)
        assert client.get("/v1/models", headers={"Host": "LOCALHOST:8000"}).status_code == 200
        assert "was called 'elsewhere.example'" in problem(client.get("/v1/models", headers={"Host": "elsewhere.example:80"}), 421)
