"""A server in this process: the real app and a tiny model, asked without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from transfigure.serving.app import Service, make_app
from transfigure.serving.limits import Limits
from transfigure.serving.models import ServedModel
from transfigure.translation.translator import Translator


@contextmanager
def serving(*translators: Translator, limits: Limits | None = None, token: str | None = None, **more: Any) -> Iterator[TestClient]:
    """A client of a server of these models, called ``a``, ``b`` and so on; ``client.app.state.service`` is what is behind it."""
    models = {}
    for name, translator in zip("abcdef", translators, strict=False):
        translator.quiet = True
        models[name] = ServedModel(name, translator)
    service = Service(models, limits or Limits(), token, **more)
    app = make_app(service)
    app.state.service = service
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def problem(response: Any, status: int) -> str:
    """The sentence of an answer that says what is wrong."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status and document["type"] == "about:blank" and document["title"]
    detail: str = document["detail"]
    assert detail and "\n" not in detail and "/tmp" not in detail
    return detail
