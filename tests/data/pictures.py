"""Pictures for the tests of image files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from PIL import Image

Pixels = np.ndarray[Any, Any]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def gradient(height: int, width: int, channels: int, dtype: str = "uint8") -> Pixels:
    count = np.arange(height * width * channels).reshape(height, width, channels)
    if dtype == "float32":
        return (count / count.size).astype(np.float32)
    return (count * 7919 % (int(np.iinfo(dtype).max) + 1)).astype(dtype)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
