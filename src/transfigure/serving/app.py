"""The HTTP API: an image in, ``translate``'s picture out.

A request is accepted or refused at once (429); accepted, its body goes to a file of this server's own, is read by the same code as any
file, waits in a queue before the networks, and is encoded while the next image is in the network. No name, path or address that a client
sends is ever opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import math
import mimetypes
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._version import __version__
from ..data import images
from ..data.formats.metadata import Keep
from ..data.images import Alpha
from ..errors import Missing, TransfigureError, UserError
from ..networks.model_file import Noise
from ..progress import say
from ..translation.folder import FileOptions
from .limits import Limits
from .measures import Measures
from .models import PreparedImage, ServedModel
from .problem import MEDIA_TYPE, Problem, ProblemDocument, in_words_of_http
from .queue import MemoryLimit, Queue, Waiting
from .upload import FIELD, receive

mimetypes.add_type("text/javascript", ".js")  # some systems know another, which a browser refuses
PAGE = Path(__file__).with_name("page")
MEDIA_TYPES = {"png": "image/png", "tif": "image/tiff"}
POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"
_HALVES = Literal["left", "right", "none"]
_IMAGES_IN_MEMORY = 2
"""Of the largest size with three channels, or as many smaller ones as take no more memory."""
_REST = 5.0
"""Seconds for which the rest of a refused request is taken in."""
_SHOWN = 100
"""Characters of what a client sent that a sentence repeats."""


class Side(BaseModel):
    """What goes in or comes out."""

    channels: int
    dtype: Literal["uint8", "uint16", "float32", "int8", "int16", "uint32", "int32", "float16", "float64"]
    value_range: tuple[float, float] | None


class PaletteClass(BaseModel):
    """A class of label maps."""

    name: str
    color: str


class DrawingPalette(BaseModel):
    """The classes to draw with."""

    name: str
    classes: list[PaletteClass]
    background: int


class ModelDocument(BaseModel):
    """A model: what it takes and makes."""

    name: str
    title: str
    engine: str
    source: Side
    target: Side
    size: tuple[int, int]
    palette: DrawingPalette | None
    noise: bool
    seed: int


class LimitsDocument(BaseModel):
    """What a request may be at the most."""

    bytes: int
    pixels: int
    seconds: float
    requests: int


class ModelsDocument(BaseModel):
    """The models of this server."""

    models: list[ModelDocument]
    limits: LimitsDocument


class HealthDocument(BaseModel):
    """That the server takes requests."""

    status: Literal["ok"]


@dataclass(frozen=True)
class Settings:
    """How an image is to be translated; the parameters of the address."""

    model: str | None
    seed: int | None
    noise: Noise | None
    alpha: Alpha
    half: _HALVES | None
    metadata: Keep
    format: Literal["png", "tif"] | None

    @property
    def options(self) -> FileOptions:
        """How its file is read."""
        return FileOptions(alpha=self.alpha, half=self.half, metadata=self.metadata)


def settings(
    model: Annotated[str | None, Query(description="its name, of /v1/models; may be left out where there is one")] = None,
    seed: Annotated[int | None, Query(ge=0, lt=2**63, description="of the noise; the model's own where it is left out")] = None,
    noise: Annotated[Noise | None, Query(description="whether noise is drawn; the model's own choice where it is left out")] = None,
    alpha: Annotated[Alpha, Query(description="what is done with transparency")] = "refuse",
    half: Annotated[_HALVES | None, Query(description="of a side-by-side picture")] = None,
    metadata: Annotated[Keep, Query(description="colour profile, georeference, date and camera of the image")] = "keep",
    format: Annotated[Literal["png", "tif"] | None, Query(description="png, or tif where a PNG cannot hold the picture")] = None,
) -> Settings:
    """The parameters of the address."""
    return Settings(model, seed, noise, alpha, half, metadata, format)


_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_FORM = {
    "schema": {"type": "object", "properties": {FIELD: {"type": "string", "format": "binary", "minLength": 1}}, "required": [FIELD]},
    "encoding": {FIELD: {"contentType": "image/*"}},
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "the image: a PNG, JPEG, WebP, TIFF (of many channels, too), BMP, PNM or NPY file, of 8, 16 or 32 bits or floats",
        "content": {
            **dict.fromkeys(("image/png", "image/jpeg", "image/tiff", "application/octet-stream"), _BINARY),
            "multipart/form-data": _FORM,
        },
    }
}


_WORDS = {
    401: "the token is missing or wrong",
    403: "a page of another origin asks",
    404: "there is no such model",
    413: "the request or the image is too large",
    421: "this server does not answer to that name",
    422: "the image or a parameter cannot be used",
    429: "too many requests are being worked on; Retry-After says when to ask again",
    500: "the model failed",
    503: "the server is stopping",
    504: "it took too long",
    507: "the server has no room for the image",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = ProblemDocument.model_json_schema()
    return {status: {"content": {MEDIA_TYPE: {"schema": schema}}, "description": _WORDS[status]} for status in statuses}


class Service:
    """The models behind the API.

    Args:
        models: by name.
        limits: of requests.
        token: that requests carry; None asks for none.
        hosts: names that this server answers to; None: any.
    """

    def __init__(
        self, models: Mapping[str, ServedModel], limits: Limits, token: str | None = None, hosts: frozenset[str] | None = None
    ) -> None:
        self.models, self.limits, self.token, self.hosts = dict(models), limits, token, hosts
        self.measures = Measures()
        self.accepted = self.answered = self.numbered = 0
        self.stopping = self.given_up = False
        self._working: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop
        self.queue: Queue
        self.memory: MemoryLimit
        self.pool: ThreadPoolExecutor
        self.folder: Path

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Between start and end of the server; at the end everything that was accepted has been answered."""
        with tempfile.TemporaryDirectory(prefix="transfigure-serve-") as folder:
            self.stopping = self.given_up = False
            self.folder, self.queue, self._loop = Path(folder), Queue(self.measures.passed), asyncio.get_running_loop()
            self.memory = MemoryLimit(_IMAGES_IN_MEMORY * 3 * self.limits.pixels)
            self.pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "files")
            try:
                yield
            finally:
                self.stopping = True
                await asyncio.to_thread(self.queue.end)
                self.pool.shutdown(wait=True)

    def give_up(self) -> None:
        """Answer whatever is being worked on with 503, at once; for other threads."""

        def cancel() -> None:
            self.stopping = self.given_up = True
            for task in self._working:
                task.cancel()

        with contextlib.suppress(RuntimeError):  # the loop has ended, and everything is answered
            self._loop.call_soon_threadsafe(cancel)

    def check_caller(self, request: Request) -> None:
        """Raise a problem if the caller may not ask; a page of another origin may not make a browser ask."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        name = _host_of(f"//{host}")
        if self.hosts is not None and name not in self.hosts:
            raise Problem(421, f"this server answers to {', '.join(sorted(self.hosts))}, and was called {(name or host)[:_SHOWN]!r}")
        if self.token is None and origin is not None and origin.partition("://")[2] != host:
            raise Problem(403, f"a page of {origin[:_SHOWN]} may not use this server: start it with a token, and send that")
        if self.token is not None:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                raise Problem(401, "send the server's token, as  Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    def model(self, name: str | None) -> ServedModel:
        """The model of a name."""
        names = ", ".join(self.models)
        if name is None:
            if len(self.models) > 1:
                raise Problem(404, f"there are several models: say which, by model={next(iter(self.models))}; there are {names}")
            return next(iter(self.models.values()))
        if name not in self.models:
            raise Problem(404, f"there is no model {name[:_SHOWN]!r}: there is {names}")
        return self.models[name]

    @contextlib.contextmanager
    def accept(self, name: str) -> Iterator[None]:
        """Work on a request, if there is room for one more."""
        if self.stopping:
            raise Problem(503, "this server is stopping: ask again when it is back", {"Retry-After": "10"})
        if self.accepted >= self.limits.requests:
            seconds = max(1, math.ceil(len(self.queue) * self.queue.seconds_per_image))
            raise Problem(
                429,
                f"{self.accepted} requests are being worked on, the most there may be: ask again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        self.accepted += 1
        started = time.monotonic()
        try:
            yield
        finally:
            self.accepted -= 1
            self.measures.seconds.labels(name).observe(time.monotonic() - started)

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """A place for a body."""
        if not self.folder.exists():  # systems remove temporary folders that nobody has touched for days
            self.folder.mkdir(mode=0o700)
        self.numbered += 1
        file = self.folder / str(self.numbered)
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    async def translate(self, model: ServedModel, wanted: Settings, request: Request) -> Response:
        """An image, translated."""
        with self.accept(model.name):
            task = cast(asyncio.Task[Any], asyncio.current_task())
            self._working.add(task)
            try:
                async with asyncio.timeout(self.limits.seconds):
                    with self.file() as file:
                        return await self._answer(model, wanted, request, file)
            except TimeoutError:
                raise Problem(
                    504, f"it took longer than {self.limits.seconds:g} s, the limit: send a smaller image, or ask again later"
                ) from None
            except OSError as error:
                if error.errno is None:
                    raise
                say(f"note: a request could not be taken: {self.folder}: {error.strerror or error}")
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                words = "no room for this image on its disk" if full else "no place for this image just now"
                raise Problem(507 if full else 503, f"the server has {words}: ask again later", {"Retry-After": "10"}) from error
            except asyncio.CancelledError:
                if not self.given_up:
                    raise
                task.uncancel()
                raise Problem(503, "this server was stopped before it came to this image: send it again when it is back") from None
            finally:
                self._working.discard(task)

    async def _answer(self, model: ServedModel, wanted: Settings, request: Request, file: Path) -> Response:
        await receive(request, file, self.limits)
        work, gone = asyncio.create_task(self._translated(model, wanted, file)), asyncio.create_task(_hung_up(request))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        finally:
            work.cancel()
            gone.cancel()

    async def _translated(self, model: ServedModel, wanted: Settings, file: Path) -> Response:
        try:
            async with self.memory.taken(await self._in_thread(self._values, file)):
                image = await self._in_thread(self._read, model, file, wanted)
                output = await asyncio.wrap_future(self.queue.put(self._waiting(model, image)))
                kind = wanted.format or model.format
                return Response(await self._in_thread(image.answer, output, kind), media_type=MEDIA_TYPES[kind])
        except (UserError, Missing) as error:
            raise Problem(422, in_words_of_http(error, file)) from error

    async def _in_thread(self, work: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *values)

    def _values(self, file: Path) -> int:
        """Of the image when it is decoded."""
        try:
            header = images.size_of(file, pages="channels")
        except (UserError, Missing):  # what is wrong with the file is said when it is read
            return 0
        if header.width * header.height > self.limits.pixels:
            size, most = f"{header.width} x {header.height} pixels", f"{self.limits.pixels:,}"
            raise Problem(413, f"the image is {size}, and {most} are the most: make it smaller, or cut it")
        return header.width * header.height * header.channels

    def _read(self, model: ServedModel, file: Path, wanted: Settings) -> PreparedImage:
        return model.read(file, wanted.options, model.running(wanted.seed, wanted.noise))

    def _waiting(self, model: ServedModel, image: PreparedImage) -> Waiting:
        how, shape = image.translator.inference, tuple(image.tensor.shape)
        return Waiting(image.tensor, (model.name, how, shape), image.translator.translate_tensor, image.translator.engine.exact_batches)


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection; its body has been received."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _host_of(address: str) -> str:
    """The name in an address; empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def make_app(service: Service) -> FastAPI:
    """The application.

    Args:
        service: the models behind it.
    """
    app = FastAPI(
        title="Transfigure",
        version=__version__,
        summary="Image-to-image translation: an image in, a picture out.",
        lifespan=service.running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    allowed = [Depends(service.check_caller)]

    @app.post(
        "/v1/translate",
        dependencies=allowed,
        response_class=Response,
        openapi_extra=_BODY,
        responses={
            200: {
                "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
                "description": "the picture",
            },
            **_problems(401, 403, 404, 413, 421, 422, 429, 500, 503, 504, 507),
        },
        summary="Translate an image",
    )
    async def translate(request: Request, wanted: Annotated[Settings, Depends(settings)]) -> Response:
        model = service.model(wanted.model)
        return await counted(service, model.name, service.translate(model, wanted, request))

    @app.get("/v1/models", dependencies=allowed, response_model=ModelsDocument, responses=_problems(401, 403, 421), summary="The models")
    async def models() -> dict[str, Any]:
        return {"models": [model.about() for model in service.models.values()], "limits": service.limits.to_dict()}

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", response_model=HealthDocument, responses=_problems(503), summary="Whether requests are taken")
    async def health() -> Any:
        if service.stopping:
            raise Problem(503, "this server is stopping", {"Retry-After": "10"})
        return {"status": "ok"}

    @app.get(
        "/metrics",
        dependencies=allowed,
        response_class=Response,
        summary="Counters, for Prometheus",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "counters"}, **_problems(401, 403, 421)},
    )
    async def measures() -> Response:
        service.measures.accepted.set(service.accepted)
        service.measures.waiting.set(len(service.queue))
        return Response(service.measures.text(), media_type=service.measures.media_type)

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def documentation(request: Request) -> HTMLResponse:
        from .reference import reference_page

        page = reference_page(app.openapi(), f"{request.url.scheme}://{request.url.netloc}", service.token is not None)
        return HTMLResponse(page, headers={"Content-Security-Policy": "frame-ancestors 'none'"})  # it has a policy of its own

    app.mount("/page", StaticFiles(directory=PAGE), "page")
    _answer_problems(app)
    app.add_middleware(_Headers)
    return app


async def counted(service: Service, name: str, answer: Awaitable[Response]) -> Response:
    """An answer, and what came of it on the counters."""
    try:
        response = await answer
    except Problem as problem:
        response = problem.response()
    except TransfigureError as error:
        response = Problem(500, in_words_of_http(error)).response()
    except ClientDisconnect:
        response = Response(status_code=499)  # which nobody will see
    except Exception:
        service.measures.answers.labels(name, "500").inc()
        raise
    service.answered += response.status_code != 499
    service.measures.answers.labels(name, str(response.status_code)).inc()
    return response


def _answer_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first.get("loc", ())[1:])) or "the request"
        return Problem(422, f"{where} cannot be used: {first.get('msg', '')[:200].lower()}").response()

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        words = {
            404: f"there is nothing at {request.url.path[:200]}: see /docs",
            405: f"{request.method} is not for {request.url.path[:200]}: see /docs",
        }
        return Problem(error.status_code, words.get(error.status_code, str(error.detail)), error.headers).response()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return Problem(500, "something went wrong in this server, whose log says what").response()


class _Headers:
    """Adds to every answer what a browser must know of it.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked, whole = Headers(scope=scope), False

        async def receive_and_know() -> Message:
            nonlocal whole
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if asked.get("connection", "").lower() == "close" and "expect" not in asked:
                    # a connection that is closed while the client still sends is reset, and the answer is lost
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_REST):
                            while not whole:
                                await receive_and_know()
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Content-Security-Policy", POLICY)
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Cache-Control", "no-cache")  # else old scripts meet a new page after an upgrade
            await send(message)

        await self.app(scope, receive_and_know, with_headers)
