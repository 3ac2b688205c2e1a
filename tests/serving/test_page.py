"""The page to draw on, in a real browser: strokes are drawn with the mouse and with a finger, and the pictures are looked at."""

from __future__ import annotations

import base64
import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.metrics.palettes import load_palette
from transfigure.networks.model_file import Domain
from transfigure.serving.models import ServedModel
from transfigure.serving.server import Server
from transfigure.worlds.facades.dataset import CLASSES, PALETTE

from ..reporting.browser import Chromium, browser
from ..tiny import RESNET, noise_image, tiny_config, tiny_translator

COLORS = {name: tuple(int(value) for value in color) for name, color in zip(CLASSES, PALETTE, strict=True)}
BACKGROUND = COLORS["wall"]
SIZE = 128
STREET = tiny_config("resnet", RESNET, trained_size=SIZE)

WATCH = """
window.sent = []; window.refused = [];
const real = window.fetch;
window.base64 = async blob => btoa(Array.from(new Uint8Array(await blob.arrayBuffer()), byte => String.fromCharCode(byte)).join(""));
window.fetch = async (path, options) => {
  const refused = options?.body && window.refusal?.();
  if (refused) { window.refused.push(path); return refused; }
  const answer = await real(path, options);
  if (options?.body) {
    const [image, picture] = await Promise.all([base64(options.body), answer.clone().blob().then(base64)]);
    window.sent.push({ path, image, picture, status: answer.status });
  }
  return answer;
};
"""
"""Keeps what the page sends and is answered."""


class Page:
    """The page in the browser: what is on it, and what its user does."""

    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium
        self.value, self.until, self.press = chromium.value, chromium.until, chromium.press

    def click(self, selector: str, number: int = 0) -> None:
        self.value(f"document.querySelectorAll({selector!r})[{number}].click()")

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place on the sheet, in its pixels, as a place in the window."""
        left, top, width, height = self.value("(({x, y, width, height}) => [x, y, width, height])(paper.getBoundingClientRect())")
        return left + x * width / SIZE, top + y * height / SIZE

    def draw(self, *points: tuple[float, float]) -> None:
        """A stroke of the mouse through these pixels of the sheet."""
        self.chromium.drag(*(self.point(x, y) for x, y in points))

    def settle(self, model: str = "street") -> Any:
        """Wait until every picture is of the newest sheet; what this model was sent last, and answered."""
        self.until("window.sent.length && !document.querySelector('.picture[aria-busy=true]')")
        return self.value(f"window.sent.findLast(({{path}}) => path.includes('model={model}&'))")

    def sheet(self, model: str = "street") -> NDArray[Any]:
        """The drawing as it was sent last."""
        return decoded(self.settle(model)["image"])

    def picture(self) -> NDArray[Any]:
        """The answer that came last."""
        return decoded(self.settle()["picture"])

    def seen(self) -> str:
        """The pixels of the picture that the page shows."""
        return str(
            self.value("""(() => {
          const image = document.querySelector(".picture img"), canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return context.getImageData(0, 0, canvas.width, canvas.height).data.join();
        })()""")
        )

    def words(self, selector: str) -> str:
        return str(self.value(f"document.querySelector({selector!r}).textContent"))


def decoded(file: str) -> NDArray[Any]:
    """The pixels of a file in base64, ``[height, width, channels]``."""
    return images.from_pillow(Image.open(io.BytesIO(base64.b64decode(file))))


def colors(sheet: NDArray[Any]) -> set[tuple[int, ...]]:
    return {tuple(int(value) for value in color) for color in np.unique(sheet.reshape(-1, sheet.shape[-1]), axis=0)}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    found = Chromium(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@contextlib.contextmanager
def served(*names: str, token: str | None = None) -> Iterator[str]:
    """The address of a server with tiny models: ``street`` and ``night`` take the classes of the street, ``pen`` takes one channel."""
    models = {}
    for seed, name in enumerate(names):
        config = replace(STREET, source=Domain(1)) if name == "pen" else STREET
        models[name] = ServedModel(name, tiny_translator(config, seed), None if name == "pen" else load_palette("synthetic"))
    with Server(models, port=0, token=token, quiet=True) as server:
        yield server.address


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served("street") as found:
        yield found


@pytest.fixture
def page(chromium: Chromium, address: str) -> Iterator[Page]:
    """The page, opened; what it does in the test brings no error, and no request to another host."""
    chromium.open(address, script=WATCH)
    found = Page(chromium)
    found.settle()
    yield found
    check(chromium, address)


def check(chromium: Chromium, address: str, *expected: str) -> None:
    assert [trouble for trouble in chromium.troubles() if not any(word in trouble for word in expected)] == []
    assert [url for url in chromium.requested() if not url.startswith((address, f"blob:{address}", "data:"))] == []


@browser
def test_a_stroke_changes_the_picture_and_undo_brings_it_back(page: Page) -> None:
    first, shown = page.picture(), page.seen()
    page.press("3")
    page.draw((20, 20), (60, 33), (100, 25))
    assert not np.array_equal(page.picture(), first)
    assert page.seen() != shown
    assert colors(page.sheet()) <= {*COLORS.values()}  # nothing between two classes
    assert tuple(page.sheet()[33, 60]) == COLORS["roof"]
    page.press("z", control=True)
    assert np.array_equal(page.picture(), first)
    assert page.seen() == shown
    page.press("z", control=True, shift=True)
    assert tuple(page.sheet()[33, 60]) == COLORS["roof"]


@browser
def test_it_begins_with_a_house(page: Page) -> None:
    assert {COLORS[name] for name in ("sky", "wall", "roof", "window", "door", "pavement", "road")} <= colors(page.sheet())
    assert colors(page.sheet()) <= {*COLORS.values()}


@browser
def test_brushes_are_as_wide_as_they_say_and_have_no_gaps(page: Page) -> None:
    for number in range(5):
        page.click("#clear")
        page.click("input[name=size]", number)
        page.draw((10.3, 40.2), (60.7, 64.1), (117.8, 64.4))
        drawn = (page.sheet() == COLORS["window"]).all(-1)
        assert colors(page.sheet()) == {BACKGROUND, COLORS["window"]}
        assert drawn[:, 90].sum() == 2**number
        assert drawn.any(0)[10:118].all()
        length = np.hypot(50, 24) + 57
        assert drawn.sum() == pytest.approx(2**number * length + np.pi * 4**number / 4, rel=0.1)  # no wider where it is slanted


@browser
def test_shift_draws_straight(page: Page) -> None:
    page.click("#clear")
    page.chromium.drag(*(page.point(x, y) for x, y in ((10, 40), (40, 90), (100, 40))), shift=True)
    drawn = (page.sheet() == COLORS["window"]).all(-1)
    assert drawn.any(1).nonzero()[0].tolist() == [38, 39, 40, 41]
    assert drawn[39, 10:100].all()


@browser
def test_a_rectangle_covers_whole_pixels(page: Page) -> None:
    page.press("r")
    page.press("1")
    page.press("4")  # the fourteenth
    page.draw((30.5, 20.5), (90, 70), (70.5, 50.5))
    lamp = (page.sheet() == COLORS["lamp"]).all(-1)
    assert lamp[20:51, 30:71].all()
    assert lamp[:60, 20:90].sum() == 31 * 41  # and nothing of the larger one that it was on the way
    page.press("z", control=True)
    assert not (page.sheet() == COLORS["lamp"]).all(-1)[20:51, 30:71].any()


@browser
def test_fill_eraser_and_clear(page: Page) -> None:
    page.press("f")
    page.press("8")
    page.draw((64, 24))
    house = page.sheet()
    assert tuple(house[24, 64]) == COLORS["shutter"]
    assert COLORS["roof"] not in colors(house)  # it hung together
    page.press("e")
    page.draw((64, 24), (70, 24))
    assert tuple(page.sheet()[24, 66]) == BACKGROUND
    page.click("#clear")
    assert colors(page.sheet()) == {BACKGROUND}
    page.click("#undo")
    page.click("#undo")
    assert np.array_equal(page.sheet(), house)
    page.click("#example")
    assert COLORS["roof"] in colors(page.sheet())
    page.click("#undo")
    assert np.array_equal(page.sheet(), house)


@browser
def test_loaded_again_it_shows_what_was_drawn(page: Page) -> None:
    page.draw((20, 20), (60, 30))
    drawn = page.sheet()
    page.chromium.call("Page.reload")
    page.until("document.readyState === 'complete' && window.sent?.length && !document.querySelector('.picture[aria-busy=true]')")
    assert np.array_equal(page.sheet(), drawn)


@browser
def test_what_is_saved(page: Page, tmp_path: Path) -> None:
    page.chromium.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    drawn, made = page.sheet(), page.settle()["picture"]
    page.click("#save")
    page.click(".picture button")
    end = time.monotonic() + 10
    while len(found := sorted(tmp_path.glob("*.png"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert [file.name for file in found] == ["drawing.png", "street-0.png"]
    assert np.array_equal(images.read(found[0]), drawn)
    assert found[1].read_bytes() == base64.b64decode(made)
    tiny_translator(STREET).translate_file(found[0], tmp_path / "again.png")
    assert found[1].read_bytes() == (tmp_path / "again.png").read_bytes()  # as the command writes it


@browser
def test_photos_are_dropped_and_pasted(page: Page, tmp_path: Path) -> None:
    drawing = page.sheet()
    images.write(tmp_path / "photo.png", noise_image(90, 90))
    x, y = page.point(64, 64)
    data = {"items": [], "files": [str(tmp_path / "photo.png")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.chromium.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
    page.until("!photo.hidden")
    dropped = page.sheet()
    assert not np.array_equal(dropped, drawing)
    page.press("z", control=True)
    assert np.array_equal(page.sheet(), drawing)
    encoded = base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    page.value(f"""{{ const data = new DataTransfer(), bytes = Uint8Array.from(atob("{encoded}"), letter => letter.charCodeAt(0));
      data.items.add(new File([bytes], "pasted.png", {{type: "image/png"}}));
      document.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: data}})) }}""")
    page.until("!photo.hidden")
    assert np.array_equal(page.sheet(), dropped)


@browser
def test_a_broken_upload_is_told_and_loses_nothing(page: Page, tmp_path: Path) -> None:
    page.draw((20, 20), (60, 30))
    drawing = page.sheet()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    page.chromium.choose("#choose", broken)
    page.until("trouble.textContent")
    assert page.words("#trouble").startswith("broken.png: ")
    page.press("3")
    page.draw((5, 5))  # it is drawn on as before
    changed = (page.sheet() != drawing).any(-1)
    assert changed[5, 5]
    assert changed.sum() < 20
    assert page.words("#trouble") == ""
    page.chromium.events = [event for event in page.chromium.events if event["method"] != "Log.entryAdded"]  # that it was answered 422


@browser
def test_an_oversized_upload_is_told_and_loses_nothing(page: Page, tmp_path: Path) -> None:
    drawing = page.sheet()
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(page.value("fetch('v1/models').then(answer => answer.json()).then(({limits}) => limits.bytes)") + 1)
    page.chromium.choose("#choose", large)
    assert "large.png has " in page.until("trouble.textContent")
    assert "the server takes at most" in page.words("#trouble")
    images.write(tmp_path / "wide.png", np.zeros((4000, 4001, 1), np.uint8))
    page.chromium.choose("#choose", tmp_path / "wide.png")
    page.until("trouble.textContent.startsWith('wide.png has 4001 × 4000 pixels, and the server takes at most 16.0 million')")
    page.press("r")
    page.draw((5.5, 5.5), (6.5, 6.5))
    assert (page.sheet() != drawing).any(-1).sum() == 4


@browser
def test_a_photo_becomes_the_drawing(page: Page, tmp_path: Path) -> None:
    drawing = page.sheet()
    photo = noise_image(90, 200)
    images.write(tmp_path / "photo.png", photo)
    page.chromium.choose("#choose", tmp_path / "photo.png")
    page.until("!photo.hidden")
    assert colors(page.sheet()) <= {*COLORS.values()}  # in the nearest classes
    assert not np.array_equal(page.sheet(), drawing)
    page.click("#photo input")
    assert len(colors(page.sheet())) > 1000  # in its own colours
    page.value("how = document.querySelector('#photo select'), how.value = 'file', how.dispatchEvent(new Event('change', {bubbles: true}))")
    assert base64.b64decode(page.settle()["image"]) == (tmp_path / "photo.png").read_bytes()  # as it is
    page.press("z", control=True)
    assert np.array_equal(page.sheet(), drawing)


@browser
def test_a_file_that_only_the_server_can_read_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    drawing = page.sheet()
    images.write(tmp_path / "photo.tif", noise_image(40, 70))
    page.chromium.choose("#choose", tmp_path / "photo.tif")
    page.until("document.querySelector('.paper.unseeable')")
    assert base64.b64decode(page.settle()["image"]) == (tmp_path / "photo.tif").read_bytes()
    assert page.picture().shape == (40, 70, 3)
    page.press("z", control=True)
    assert np.array_equal(page.sheet(), drawing)
    assert page.value("document.querySelector('.paper.unseeable') === null")


@browser
def test_label_maps_are_taken_exactly(page: Page, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = PALETTE[rng.integers(0, len(PALETTE), (SIZE, SIZE))]
    two = np.array([COLORS["window"], COLORS["cornice"]], dtype=np.uint8)[rng.integers(0, 2, (300, 500))]  # between them lies pavement
    for name, image in (("labels", labels), ("two", two)):
        images.write(tmp_path / f"{name}.png", image)
        page.chromium.choose("#choose", tmp_path / f"{name}.png")
        page.until(f"!photo.hidden && photo.textContent.includes('{name}.png')")
        assert np.array_equal(page.sheet(), labels) if name == "labels" else colors(page.sheet()) == {COLORS["window"], COLORS["cornice"]}


@browser
def test_seed_and_noise(page: Page) -> None:
    first = page.picture()
    page.click("#another")
    assert page.value("seed.value") != "0"
    assert not np.array_equal(page.picture(), first)
    page.value("seed.value = 0, seed.dispatchEvent(new Event('input'))")
    assert np.array_equal(page.picture(), first)
    page.click("#noise")
    assert page.value("seed.disabled")
    assert page.settle()["path"].endswith("noise=none")


@browser
def test_several_models_side_by_side(chromium: Chromium) -> None:
    with served("street", "night", "pen") as address:
        chromium.open(address, script=WATCH)
        page = Page(chromium)
        drawing = page.sheet()
        assert page.value("document.querySelectorAll('.picture').length") == 1
        page.click("input[name=model]", 1)
        before, night = page.settle("street"), page.settle("night")
        assert page.value("document.querySelectorAll('.picture img').length") == 2
        assert before["image"] == night["image"]
        assert before["picture"] != night["picture"]
        boxes = "[...document.querySelectorAll('.picture')].map(one => one.getBoundingClientRect())"
        left, right = page.value(f"{boxes}.map(({{x, y}}) => [x, y])")
        assert left[0] < right[0]
        assert left[1] == right[1]
        page.draw((20, 20), (60, 30))
        after = page.settle("street")
        assert after["image"] == page.settle("night")["image"] != before["image"]

        page.click("input[name=model]", 0)  # the first is no longer asked
        page.click("input[name=model]", 2)
        page.click("input[name=model]", 1)  # and one without a palette is drawn for with a pen, on a sheet of its own
        assert page.sheet("pen").shape != drawing.shape
        assert colors(page.sheet("pen")) == {(255,)}
        page.draw((20, 20), (60, 30))
        assert len(colors(page.sheet("pen"))) > 2  # its edges are soft
        page.value("window.sent.length = 0")
        page.click("input[name=model]", 0)
        page.click("input[name=model]", 2)
        assert page.value("document.querySelectorAll('.picture').length") == 1
        assert page.settle("street")["image"] == after["image"]  # nothing is lost
        check(chromium, address)


@browser
def test_on_a_phone(chromium: Chromium, address: str) -> None:
    chromium.open(address, 400, 860, phone=True, dark=True, script=WATCH)
    page = Page(chromium)
    drawing = page.sheet()
    assert page.value("document.documentElement.scrollWidth") <= 400
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    chromium.swipe(page.point(20, 20), page.point(40, 60), page.point(80, 100))
    assert (page.sheet() != drawing).any(-1).sum() > 100
    assert page.value("scrollY") == 0  # the finger drew, it did not scroll
    box = page.value("(({top, bottom}) => [top, bottom])(document.querySelector('.side').getBoundingClientRect())")
    assert box[1] == pytest.approx(860, abs=1)  # the tools are at hand without scrolling
    assert box[0] > 600
    sizes = "one => Math.min(one.offsetWidth, one.offsetHeight)"
    assert page.value(f"Math.min(...[...document.querySelectorAll('.side button, .side fieldset label')].map({sizes}))") >= 36
    chromium.call("Emulation.setDeviceMetricsOverride", width=320, height=568, deviceScaleFactor=2, mobile=True)
    assert page.value("document.documentElement.scrollWidth") <= 320
    boxes = "[...document.querySelectorAll('.tools label, .steps button')].map(one => one.getBoundingClientRect())"
    edges = page.value(f"{boxes}.map(({{left, right}}) => [left, right])")
    assert all(right <= left for (_, right), (left, _) in pairwise(edges))  # nothing lies on something else
    check(chromium, address)


@browser
def test_a_slider_lays_the_drawing_over_the_picture(page: Page) -> None:
    middle = page.value(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])(document.querySelector('.views').getBoundingClientRect())"
    )
    assert page.value("getComputedStyle(document.querySelector('.views img')).clipPath") == "inset(0px 0px 0px 0%)"
    page.chromium.drag((middle[0], middle[1]))
    cut = page.value("parseInt(document.querySelector('.views input').value)")
    assert 48 <= cut <= 52
    assert page.value("getComputedStyle(document.querySelector('.views img')).clipPath") == f"inset(0px 0px 0px {cut}%)"
    assert page.value("document.querySelector('.views canvas').width") == SIZE


@browser
def test_a_busy_server_is_asked_again(page: Page) -> None:
    first = page.picture()
    page.value("""{ let left = 2; window.refusal = () => left-- > 0 && new Response(
      JSON.stringify({detail: "busy"}), {status: 429, headers: {"Retry-After": "0.05", "Content-Type": "application/problem+json"}}) }""")
    page.draw((20, 20), (60, 30))
    page.until("window.refused.length === 2")
    assert not np.array_equal(page.picture(), first)
    assert page.words(".picture .trouble") == ""


@browser
def test_what_goes_wrong_is_told_beside_the_picture(page: Page) -> None:
    page.value("""window.refusal = () => new Response(JSON.stringify({detail: "It took longer than 30 s."}), {status: 504})""")
    page.draw((20, 20))
    page.until("document.querySelector('.picture .trouble').textContent === 'It took longer than 30 s.'")
    assert page.value("document.querySelector('.picture .trouble').getAttribute('role')") == "alert"
    page.value("window.refusal = undefined")
    page.draw((30, 20))
    page.until("document.querySelector('.picture .trouble').textContent === ''")


@browser
def test_a_token_is_asked_for(chromium: Chromium) -> None:
    with served("street", token="secret word") as address:
        chromium.open(address, script=WATCH)
        page = Page(chromium)
        for word, told in (("wrong", "wants its token"), ("secret word", "not accepted")):
            page.until(f"document.querySelector('#token[open] p')?.textContent.includes('{told}')")
            chromium.call("Input.insertText", text=word)
            page.click("#token button")
        page.draw((20, 20), (60, 30))
        assert page.settle()["status"] == 200
        check(chromium, address, "401")

        chromium.open(f"{address}#token=secret%20word", script=WATCH)
        page.settle()
        assert not page.value("token.open")
        assert page.value("location.href") == address  # where nobody reads it
        check(chromium, address)


@browser
def test_drawings_are_encoded_as_a_model_takes_them(page: Page, tmp_path: Path) -> None:
    pixels = noise_image(5, 7)
    grey = np.floor(pixels @ [0.299, 0.587, 0.114] + 0.5)[..., None]
    opaque = np.concatenate([pixels, np.full((5, 7, 1), 255, np.uint8)], -1).ravel().tolist()
    for bits, dtype, largest in ((8, np.uint8, 255), (16, np.uint16, 65535)):
        for channels, wanted in ((1, grey), (3, pixels)):
            code = f"encodePng({{width: 7, height: 5, data: new Uint8ClampedArray({opaque})}}, {channels}, {bits})"
            encoded = page.value(f"import('/page/png.js').then(({{encodePng}}) => {code}).then(base64)")
            file = tmp_path / f"{channels}-{bits}.png"
            file.write_bytes(base64.b64decode(encoded))
            assert np.array_equal(images.read(file), wanted.astype(dtype) * (largest // 255))
            assert images.read(file).dtype == dtype
