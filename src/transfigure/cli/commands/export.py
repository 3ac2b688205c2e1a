"""Write a model as one file for other programs, and prove that the file gives the same pictures."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...progress import print_result
from ..options import add_model, add_overwrite, add_plugins, add_quiet, open_model, required

if TYPE_CHECKING:
    from torch import Tensor

    from ...translation.export import Format
    from ...translation.translator import Translator

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure export runs/facades --out facades.onnx
  transfigure export runs/facades --out facades8.onnx --precision int8 --calibration photos/
"""
SUFFIXES: dict[str, Format] = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch", ".pth": "reference"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, and what is written."""
    add_model(parser)
    parser.add_argument("--out", metavar="FILE", help="the file to write: .onnx, .xml (OpenVINO), .pt2 (torch) or .pth (reference)")
    parser.add_argument(
        "--format",
        choices=["onnx", "openvino", "torch", "reference"],
        help="onnx: for onnxruntime and OpenVINO; reference: for pytorch-CycleGAN-and-pix2pix (default: by the suffix of FILE)",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "float16", "int8"],
        default="float32",
        help="float16: weights in half the space; int8: computed in 8-bit integers, the fastest, by OpenVINO (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help="a folder of source images to find the ranges of 8-bit integers with, and to measure them on (default: the model's own data)",
    )
    add_overwrite(parser)
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Export, and print what was measured."""
    out = Path(required(options.out, "--out FILE"))
    kind: Format | None = options.format or SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise UserError(f"{out} names no format: end it in {', '.join(SUFFIXES)}, or give --format")
    if options.calibration is not None and options.precision == "float32":
        raise UserError("--calibration is for rounded weights: add --precision int8 or float16, or leave it out")
    from ...translation.export import check_format

    check_format(out, kind, options.precision)
    translator = open_model(options)
    wanted = options.precision == "int8" or options.calibration is not None
    images = _images(translator, options.calibration, options.quiet) if wanted else []
    written = translator.export(
        out, format=kind, precision=options.precision, images=images, overwrite=options.overwrite, quiet=options.quiet
    )
    size = out.stat().st_size + (out.with_suffix(".bin").stat().st_size if kind == "openvino" else 0)
    print_result(f"exported: {out} ({size / 1e6:,.1f} MB, {options.precision})")
    print_result(
        f"checked:  {written.words()}, on images of {', '.join(written.sizes)}" if written.sizes else f"checked:  {written.words()}"
    )
    if kind in ("onnx", "openvino"):
        print_result(f"next:     transfigure translate {shlex.quote(str(out))} INPUT OUTPUT")
    return 0


def _images(translator: Translator, folder: str | None, quiet: bool) -> list[Tensor]:
    """Sources to calibrate with: those of a folder, or of the model's own training pairs."""
    from ...evaluation.calibration import of_data, of_folder

    return of_folder(translator, folder, quiet) if folder is not None else of_data(translator, quiet)
