"""Writes ``pix2pix_tensorflow.pict`` by the original exporter, and ``pix2pix_tensorflow.npz``: what TensorFlow makes of those weights.

    git clone https://github.com/affinelayer/pix2pix-tensorflow ../pix2pix-tensorflow && git -C ../pix2pix-tensorflow checkout 0f21744
    python -m tests.interop.make_pix2pix_tensorflow --exporter ../pix2pix-tensorflow/server/tools/export-checkpoint.py

Needs TensorFlow 2 (2.21 was used). The exporter runs as it is, but for the script beside it that reads a checkpoint of TensorFlow 1: in
its place stands this one, with the variables of a generator of ``--ngf 1`` and of what is beside it in a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE, NUMBERS = (Path(__file__).with_name(f"pix2pix_tensorflow.{suffix}") for suffix in ("pict", "npz"))
WIDTHS = (1, 2, 4, 8, 8, 8, 8, 8)
SIDES = (256, 512)
SHOWN = slice(None, None, 17)
"""Rows and columns that are stored: coprime to the strides."""
Arrays = dict[str, NDArray[Any]]


def image(side: int) -> NDArray[np.float32]:
    """``[1, side, side, 3]`` in [-1, 1]."""
    return np.random.default_rng(side).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)


def variables() -> Arrays:
    """What a checkpoint of training holds, as float32."""
    random = np.random.default_rng(0)
    made: Arrays = {}

    def layer(scope: str, kind: str, shape: tuple[int, ...], channels: int, norm: bool) -> None:
        made[f"generator/{scope}/{kind}/kernel"] = random.normal(0, 0.2, shape)
        made[f"generator/{scope}/{kind}/bias"] = random.normal(0, 0.2, channels)
        if norm:
            for name, middle in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
                made[f"generator/{scope}/batch_normalization/{name}"] = random.normal(middle, 0.2, channels)

    for level, channels in enumerate(WIDTHS, 1):
        layer(f"encoder_{level}", "conv2d", (4, 4, WIDTHS[level - 2] if level > 1 else 3, channels), channels, norm=level > 1)
    for level in range(8, 0, -1):
        outgoing, incoming = (WIDTHS[level - 2] if level > 1 else 3), WIDTHS[level - 1] * (1 if level == 8 else 2)
        layer(f"decoder_{level}", "conv2d_transpose", (4, 4, outgoing, incoming), outgoing, norm=level > 1)
    beside = {f"generator_train/{name}/Adam": value for name, value in made.items()} | {"discriminator/layer_1/conv2d/kernel": np.ones(3)}
    return {name: np.asarray(value, np.float32) for name, value in (made | beside).items()}


def dump(folder: Path) -> None:
    """Variables as the exporter reads them: a file for each, and a list."""
    manifest = {}
    for number, (name, value) in enumerate(variables().items()):
        (folder / str(number)).write_bytes(value.tobytes())
        manifest[name] = {"filename": str(number), "shape": list(value.shape)}
    (folder / "manifest.json").write_text(json.dumps(manifest, sort_keys=True))


def export(exporter: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copyfile(exporter, place / "export-checkpoint.py")
        (place / "dump_checkpoints").mkdir()
        (place / "dump_checkpoints" / "dump_checkpoint_vars.py").write_text(
            "import sys\nfrom tests.interop.make_pix2pix_tensorflow import main\n"
            "main(['--dump', sys.argv[sys.argv.index('--output_dir') + 1]])\n"
        )
        (place / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
        command = [sys.executable, place / "export-checkpoint.py", "--checkpoint", place, "--output_file", FILE]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})


def translated(weights: Arrays, x: NDArray[Any]) -> NDArray[np.float64]:
    """The generator in TensorFlow's own operations, in double precision, without dropout."""
    import tensorflow as tf  # type: ignore[import-not-found]

    def layer(x: Any, scope: str, norm: bool) -> Any:
        kind = "conv2d" if "encoder" in scope else "conv2d_transpose"
        kernel, bias = (weights[f"generator/{scope}/{kind}/{name}"].astype(np.float64) for name in ("kernel", "bias"))
        if kind == "conv2d":
            x = tf.nn.conv2d(x, kernel, 2, "SAME") + bias
        else:
            x = tf.nn.conv2d_transpose(x, kernel, [1, 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2]], 2, "SAME") + bias
        if not norm:
            return x
        gamma, beta = (weights[f"generator/{scope}/batch_normalization/{name}"].astype(np.float64) for name in ("gamma", "beta"))
        return tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), beta, gamma, 1e-5)

    maps = [layer(x.astype(np.float64), "encoder_1", norm=False)]
    for level in range(2, 9):
        maps.append(layer(tf.nn.leaky_relu(maps[-1], 0.2), f"encoder_{level}", norm=True))
    y = maps.pop()
    for level in range(8, 0, -1):
        y = layer(tf.nn.relu(y), f"decoder_{level}", norm=level > 1)
        if maps:
            y = tf.concat([y, maps.pop()], 3)
    return np.asarray(tf.tanh(y), np.float64)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", type=Path, help="export-checkpoint.py of a checkout")
    parser.add_argument("--dump", type=Path, help="for the exporter: the folder to write variables into")
    chosen = parser.parse_args(words)
    if chosen.dump:
        dump(chosen.dump)
        return
    from transfigure.interop.pix2pix_tensorflow import read_weights

    export(chosen.exporter)
    weights = read_weights(FILE)
    np.savez_compressed(NUMBERS, **{str(side): translated(weights, image(side))[0, SHOWN, SHOWN].astype(np.float32) for side in SIDES})


if __name__ == "__main__":
    main()
