"""The script that the page of exports shows gives the pictures of ``translate``, in a Python that has no PyTorch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tiny import noise_image, tiny_config, tiny_translator
from transfigure.data import images

ROOT = Path(__file__).resolve().parents[2]


def script() -> str:
    """The one that the page shows."""
    page = (ROOT / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "onnxruntime" in block)


def test_the_page_s_script_gives_the_pictures_without_torch(tmp_path: Path) -> None:
    """In a process whose only packages are those that it says it needs, and what onnxruntime itself depends on."""
    translator, file = (
        tiny_translator(tiny_config("unet", {"width": 4, "depth": 3, "noise": True}, size_multiple=8)),
        tmp_path / "model.onnx",
    )
    translator.export(file, quiet=True)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "numpy.libs", "onnxruntime", "PIL", "pillow.libs", "google", "flatbuffers", "packaging"):
        place = Path(np.__file__).parents[1] / name
        if place.exists():
            (packages / name).symlink_to(place)
    (tmp_path / "script.py").write_text(script())
    Image.fromarray(noise_image(20, 37)).save(tmp_path / "in.png")
    arguments = [str(file), str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    check = f"""
import sys, runpy
sys.path.insert(0, {str(packages)!r})
sys.argv[1:] = {arguments!r}
runpy.run_path({str(tmp_path / "script.py")!r})
try:
    import torch
except ImportError:
    print("no torch here")
"""
    python = [sys.executable, "-I", "-S", "-c", check]
    done = subprocess.run(python, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "no torch here\n"), done.stderr
    expected = translator.translate_array(images.read(tmp_path / "in.png")).astype(int)
    assert abs(expected - images.read(tmp_path / "out.png")).max() <= 1
