"""Versions, devices, and what is missing for which feature."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from ...errors import printable
from ...progress import print_result
from ..options import add_json

GROUP = "look up"

FEATURES = {
    "tifffile": ("science", "TIFF with many channels or 16-bit colour"),
    "png": ("science", "16-bit colour PNG"),
    "imagecodecs": ("science", "TIFF of many channels compressed by LZW, JPEG, JPEG 2000 and other means"),
    "openslide": ("slides", "whole slides of the formats MIRAX, Hamamatsu VMS, Leica SCN, Ventana, Zeiss CZI, Sakura and DICOM"),
    "openslide_bin": ("slides", "whole slides of the formats MIRAX, Hamamatsu VMS, Leica SCN, Ventana, Zeiss CZI, Sakura and DICOM"),
    "skimage": ("prepare", "edges of photos, by Canny"),
    "onnx": ("export", "exporting to ONNX, and translating with an exported file"),
    "onnxscript": ("export", "exporting to ONNX"),
    "onnxruntime": ("export", "translating by onnxruntime, and the FCN-score with a segmenter in an ONNX file"),
    "openvino": ("openvino", "exporting to OpenVINO, and translating by it"),
    "nncf": ("openvino", "exporting in 8-bit integers"),
    "huggingface_hub": ("hub", "models from the hub and to it"),
    "fastapi": ("serve", "serving models, and the page to draw on"),
    "uvicorn": ("serve", "serving models, and the page to draw on"),
    "python_multipart": ("serve", "forms that are sent to a server"),
    "prometheus_client": ("serve", "counters of a server"),
    "ray": ("scale", "translating, evaluating and ablating on several processes and machines (--executor ray)"),
    "fsspec": ("scale", "images of object storage (s3:// and other addresses)"),
    "s3fs": ("scale", "images of S3"),
    "tensorboard": ("tracking", "logging to TensorBoard"),
    "mlflow": ("tracking", "logging to MLflow"),
    "sqlalchemy": ("tracking", "logging to MLflow without a server"),
    "alembic": ("tracking", "logging to MLflow without a server"),
    "wandb": ("tracking", "logging to Weights & Biases"),
}
"""Optional module: the extra that brings it, and what it is for."""

DISTRIBUTIONS = {
    "png": "pypng",
    "openslide": "openslide-python",
    "openslide_bin": "openslide-bin",
    "skimage": "scikit-image",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
    "mlflow": "mlflow-skinny",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the findings are printed."""
    add_json(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Print what was found."""
    found = examine()
    print_result(json.dumps(found, indent=2) if options.json else text(found), lines=True)
    return 0


def examine() -> dict[str, Any]:
    """Versions, devices, optional packages and advice, as plain values."""
    import importlib.util

    import torch

    from ...data.prepared import ALL_TOGETHER, all_kept, cache_root
    from ...training.allocator import keep_freed_memory
    from ...training.engine import cpu_has_bfloat16
    from ...training.run_directory import environment
    from ...training.speed import kept
    from ...translation.devices import describe_devices

    optional = {}
    for module, (extra, purpose) in FEATURES.items():
        there = importlib.util.find_spec(module) is not None
        optional[module] = {"installed": _version(DISTRIBUTIONS.get(module, module)) if there else None, "extra": extra, "for": purpose}
    required = (
        "torch",
        "numpy",
        "pillow",
        "safetensors",
        "lightning-fabric",
        "pydantic",
        "annotated-types",
        "pyyaml",
        "tqdm",
        "matplotlib",
        "jinja2",
    )
    lacking = (f"{item['for']}: pip install 'transfigure[{item['extra']}]'" for item in optional.values() if item["installed"] is None)
    advice = list(dict.fromkeys(lacking))  # two packages may serve one thing
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        advice.append("no GPU: start with the recipe pix2pix_small; 256-pixel pix2pix makes about one image a second on two cores")
    return {
        "environment": environment(),
        "devices": list(describe_devices()),
        "packages": {name: _version(name) for name in required},
        "optional": optional,
        "faster memory (glibc)": keep_freed_memory(),
        "cache": {
            "folder": str(cache_root()),
            "most": ALL_TOGETHER,
            "data": [{"data": list(kept.data), "folder": str(kept.folder), "size": kept.size, "used": kept.used} for kept in all_kept()],
        },
        "bfloat16 in the CPU": cpu_has_bfloat16(),
        "measured": kept(),
        "advice": advice,
    }


def text(found: dict[str, Any]) -> str:
    """The examination for a person."""
    from ...training.speed import table

    lines = [f"{key:12} {value}" for key, value in found["environment"].items()]
    lines += ["", f"{'devices':12} {', '.join(found['devices'])}"]
    there = (
        "in this CPU: --training.precision auto computes with it" if found["bfloat16 in the CPU"] else "not in this CPU: float32 is faster"
    )
    lines.append(f"{'bfloat16':12} {there}")
    if not found["measured"]:
        lines.append(f"{'speed':12} not measured here yet: transfigure benchmark")
    for measured in found["measured"].values():
        lines += ["", f"measured {measured['date']}", *table(measured).splitlines()]
    lines += ["", *(f"{name:18} {version or 'MISSING'}" for name, version in found["packages"].items()), ""]
    for name, item in found["optional"].items():
        lines.append(f"{name:18} {item['installed'] or 'not installed':14} {item['for']}")
    lines += ["", *_of_cache(found["cache"])]
    lines += ["", *(f"- {line}" for line in found["advice"])]
    return "\n".join(map(printable, lines))


def _of_cache(cache: dict[str, Any]) -> list[str]:
    """Where prepared pairs are kept, how much there is of each data set, and how to be rid of it."""
    from ...data.prepared import amount

    total, most = amount(sum(kept["size"] for kept in cache["data"])), amount(cache["most"])
    lines = [f"{'cache':12} {total} of at most {most} of prepared pairs in {cache['folder']}"]
    for kept in cache["data"]:
        used = time.strftime("%Y-%m-%d", time.localtime(kept["used"]))
        lines.append(f"{'':12} {amount(kept['size']):10} last used {used}  {' and '.join(kept['data'])}")
    if cache["data"]:
        lines.append(f"{'':12} to empty it, remove that folder; TRANSFIGURE_CACHE puts it elsewhere, --data.cache_gb 0 does without")
    return lines


def _version(distribution: str) -> str | None:
    import importlib.metadata

    for name in (distribution, distribution.removesuffix("-skinny")):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
