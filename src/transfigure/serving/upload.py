"""What a request brings: the image, as its body or as a field of a form, written to a file as it comes in."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, cast

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header

from .limits import Limits
from .problem import Problem

FIELD = "image"
"""Of a form, that holds the image."""
_MOST_FORM = 1 << 20
"""Bytes of a form beside its image."""
_LONGEST_BOUNDARY = 70
"""Of RFC 2046, section 5.1.1."""


async def receive(request: Request, file: Path, limits: Limits) -> None:
    """Write a request's image, its body or a field of a form, to a file.

    Raises:
        Problem: it is too large, empty, or not there.
    """
    too_large = Problem(413, f"the request is larger than {limits.bytes:,} bytes, the most there may be: send a smaller file")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limits.bytes:
        raise too_large
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    with file.open("wb") as stream:
        form = _Form(stream, parameters.get(b"boundary", b"")) if kind == b"multipart/form-data" else None
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limits.bytes:
                raise too_large
            if form is None:
                stream.write(chunk)
            else:
                form.take(chunk)
        if form is not None:
            form.end()
    if not file.stat().st_size:
        raise Problem(422, "the image is empty (0 bytes): send the bytes of an image file" if form is None or form.found else form.missing)


class _Form:
    """A form's field with the image, as its bytes come in.

    Args:
        stream: takes the field's bytes.
        boundary: between fields.
    """

    missing = f"the form has no field {FIELD!r} with an image file in it: send one, or the file alone as the body"

    def __init__(self, stream: BinaryIO, boundary: bytes) -> None:
        self.found = self._inside = self._ended = False
        self._stream, self._header, self._headers, self._beside = stream, [b"", b""], cast(dict[bytes, bytes], {}), 0
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            said = "says a boundary that is too long" if boundary else "does not say its boundary"
            raise Problem(422, f"this form {said}: let a library build it, or send the file alone as the body")
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._collect(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._collect(1, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_end": self._finish,
            },
        )

    def take(self, chunk: bytes) -> None:
        """The next bytes."""
        try:
            self._parser.write(chunk)
        except Problem:
            raise
        except Exception as error:
            raise Problem(422, f"this form cannot be read ({error}): let a library build it, or send the file alone as the body") from error

    def end(self) -> None:
        """See that it is whole."""
        if not self._ended:
            raise Problem(422, "this form is cut off: send it again")

    def _finish(self) -> None:
        self._ended = True

    def _begin(self) -> None:
        self._headers, self._inside = {}, False

    def _collect(self, at: int, data: bytes) -> None:
        self._header[at] += data
        self._count(len(data))

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") == FIELD.encode():
            if self.found:
                raise Problem(422, f"the form has several fields {FIELD!r}: send one image a request")
            self.found = self._inside = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._stream.write(data[start:end])
        else:
            self._count(end - start)

    def _count(self, size: int) -> None:
        self._beside += size
        if self._beside > _MOST_FORM:
            raise Problem(413, f"the form holds over {_MOST_FORM:,} bytes beside its image: send the image alone")
