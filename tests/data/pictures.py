"""Pictures for the tests of image files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from PIL import Image

from transfigure.data import images

Pixels = np.ndarray[Any, Any]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def gradient(height: int, width: int, channels: int, dtype: str = "uint8") -> Pixels:
    count = np.arange(height * width * channels).reshape(height, width, channels)
    if dtype == "float32":
        return (count / count.size).astype(np.float32)
    return (count * 7919 % (int(np.iinfo(dtype).max) + 1)).astype(dtype)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write_noise(path: Path, seed: int, width: int = 16) -> None:
    """A file of random 8-bit colours, 16 pixels high."""
    images.write(path, np.random.default_rng(seed).integers(0, 256, (16, width, 3), np.uint8))
