"""Everything exact resume needs, in one file that is there whole or not at all."""

from __future__ import annotations

import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.files import write_atomically
from ..errors import UserError

FORMAT = 2
"""1 is that of version 0.1, which kept the parts of a step at the top level, under other names: see :func:`_upgrade`."""


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one, then take its place.

    Raises:
        UserError: no permission.
        RunFailure: the disk is full; the old checkpoint is untouched.
    """
    write_atomically(file, lambda stream: torch.save({"format": FORMAT, **state}, stream))


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint. Only tensors and plain values are read, never code.

    Raises:
        UserError: missing, cut off, or not one of ours.
    """
    if not file.is_file():
        raise UserError(f"there is no checkpoint at {file}: leave out --resume to start this training")
    try:
        with warnings.catch_warnings():  # torch wonders about some files before it refuses them
            warnings.simplefilter("ignore")
            state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} is not a checkpoint (it is damaged, or holds code, which is never run): start anew with another --out"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{file} is damaged or cut off: restore it from a copy, or start anew with another --out "
            f"(the model folder of this run still translates)"
        ) from error
    if not isinstance(state, dict) or "format" not in state or "position" not in state:
        raise UserError(f"{file} is not a Transfigure checkpoint: give the folder of a run made by  transfigure train")
    if state["format"] > FORMAT:
        raise UserError(f"{file} was written by a newer version (format {state['format']}): update transfigure to resume it")
    try:
        return state if state["format"] == FORMAT else _upgrade(state)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is damaged ({error} is missing): restore it from a copy, or start anew with another --out") from error


def _upgrade(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of format 1 as one of format 2."""
    names = {"optimiser_g": "g_optimizer", "optimiser_d": "d_optimizer"}
    parts = ("generator", "discriminator", "terms", "optimiser_g", "optimiser_d", "pool")
    return {
        "format": FORMAT,
        "recipe": state["recipe"],
        "data": {key: state[key] for key in ("channels", "pairs", "identity")},
        "step": {names.get(name, name): state[name] for one in parts for name in (one, f"inverse_{one}") if name in state},
        "health": {"since": state["health"]["since"], "reported": state["health"]["told"]},
        **{key: state[key] for key in ("ema", "position", "averages", "random", "log_bytes")},
    }


def seed_everything(seed: int) -> None:
    """Seed every global random number generator; ours all go through torch's, a plugin's loss may use another."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every global random number generator of this process: the CPU's and its own device's."""
    numpy_state: Any = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [numpy_state[0], torch.from_numpy(np.asarray(numpy_state[1]).astype(np.int64)), *numpy_state[2:]],
        "torch": torch.get_rng_state(),
        "device": _of_device(device).get_rng_state() if device.type != "cpu" else None,
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on with the random numbers that would have come next."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if device.type != "cpu" and state.get("device") is not None:  # a run may go on elsewhere than it began
        _of_device(device).set_rng_state(state["device"])


def _of_device(device: torch.device) -> Any:
    """``torch.cuda`` or ``torch.mps``, with this device as the current one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return getattr(torch, device.type)
