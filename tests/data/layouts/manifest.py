"""Pairs listed in a file."""

from __future__ import annotations

import json
from pathlib import Path

from tests.data.layouts import two_folders


def write(folder: Path) -> Path:
    two_folders.write(folder)
    lines = [json.dumps({"source": f"A/{n}.png", "target": f"B/{n}.png"}) for n in range(12)]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder
