"""What is answered when something cannot be done: one sentence with the way out, as problem+json (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ..errors import printable

MEDIA_TYPE = "application/problem+json"
_FLAG = re.compile(r"--(\w+)( (?=\w))?")


class ProblemDocument(BaseModel):
    """A failure, told to a program and to a person."""

    type: str = Field("about:blank", description="always about:blank: the status says what kind of problem it is")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="one sentence: what is wrong, which value, and the way out")


class Problem(Exception):
    """Ends a request.

    Args:
        status: of the answer.
        detail: the sentence.
        headers: of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> JSONResponse:
        """As it is sent."""
        title, detail = HTTPStatus(self.status).phrase, printable(self.detail)
        document = ProblemDocument(type="about:blank", title=title, status=self.status, detail=detail)
        return JSONResponse(document.model_dump(), self.status, self.headers, MEDIA_TYPE)


def in_words_of_http(error: Exception, *files: Path) -> str:
    """A sentence of the command line for somebody who sent an image: no file of this machine, and parameters in place of flags."""
    words = str(error)
    for file in files:
        words = words.replace(f"{file}: ", "").replace(str(file), "the image")
    return _FLAG.sub(lambda flag: f"{flag[1]}=" if flag[2] else f"the parameter {flag[1]}", words)
