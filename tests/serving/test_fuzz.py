"""What the server says of itself, held against it: whatever its own description allows is sent, and nothing may break it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.tiny import tiny_translator
from transfigure.serving.limits import Limits

from .served import serving

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
KINDS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/tiff": "TIFF", "application/octet-stream": "BMP"}
PLACES = {"GET": 8, "POST": 120}
"""Examples of each operation: what has no body has little to vary."""


@st.composite
def image_files(draw: Any, kind: str) -> bytes:
    """A picture of this kind: most are whole, some are cut off or have a byte changed. By itself the fuzzer would never send one."""
    mode = draw(st.sampled_from(["RGB", "L"] if kind == "JPEG" else ["RGB", "L", "1"] if kind == "BMP" else ["RGB", "L", "RGBA", "I;16"]))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shape = (height, width) if mode in ("L", "1", "I;16") else (height, width, len(mode))
    values = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 255, shape, np.uint16 if mode == "I;16" else np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(values)
    (picture.convert("1") if mode == "1" else picture).save(stream, kind)
    data = stream.getvalue()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(data) - 1))
        data = data[: at + 1] if draw(st.booleans()) else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return data


for name, kind in KINDS.items():
    schemathesis.openapi.media_type(name, image_files(kind), aliases=["image/*"] if kind == "PNG" else ())


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    with serving(tiny_translator(), limits=Limits(megabytes=0.05)) as client:
        yield client.app


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_nothing_that_the_description_speaks_of_breaks_the_server(app: Any, mode: GenerationMode) -> None:
    schema, statuses = schemathesis.openapi.from_asgi("/openapi.json", app), Counter[tuple[str, int]]()
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and operation.method.upper() == "GET":
            continue  # nothing can be wrong about it

        @seed(0)
        @settings(max_examples=PLACES[operation.method.upper()], deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            response = case.call(base_url="http://localhost")
            statuses[case.operation.path, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        check()
    sent = {status: count for (path, status), count in statuses.items() if path == "/v1/translate"}
    if mode is GenerationMode.POSITIVE:
        assert sent[200] >= 20 and sent[422] >= 5, "it sends images that are translated, and others"
    assert not any(status >= 500 for _, status in statuses)
