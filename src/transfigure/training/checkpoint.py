"""Everything exact resume needs, in one file that is there whole or not at all."""

from __future__ import annotations

import math
import pickle
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..data.files import write_atomically
from ..errors import UserError
from ..integrity import Damaged, check_archive, write_archive
from ..progress import without_warnings
from ..stored import brief, check_tree, read_as

FORMAT = 3
"""Files carry a digest since 3. 1 is that of version 0.1, which kept the parts of a step at the top level, under other names: see
:func:`_upgrade`."""
FIRST_WITH_DIGEST = 3

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Declared(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, arbitrary_types_allowed=True)


class SavedPosition(_Declared):
    """Of :class:`.trainer.Position`."""

    epoch: Count
    batch: Count
    images: Count
    seconds: Number
    stale_validations: Count
    best: Number | None


class SavedData(_Declared):
    """What the data must be as it was."""

    channels: Annotated[list[Annotated[int, Field(ge=1, le=2**16)]], Field(min_length=2, max_length=2)]
    pairs: Count
    identity: str


class SavedAverages(_Declared):
    """Of :class:`.trainer.Averages`."""

    sums: dict[str, Tensor]
    count: Count


class SavedHealth(_Declared):
    """Of :class:`.health.Health`."""

    since: dict[str, Count]
    reported: list[str]


class SavedEMA(_Declared):
    """Of :class:`.ema.EMA`."""

    updates: Count
    generator: dict[str, Tensor]


class SavedPlateau(_Declared):
    """Of :class:`.schedules.Plateau`."""

    best: Number | None
    stale: Count
    reductions: Count


class SavedRandom(_Declared):
    """Of :func:`random_state`."""

    python: list[Any] | tuple[Any, ...]
    numpy: Annotated[list[Any], Field(min_length=5, max_length=5)]
    torch: Tensor
    device: Tensor | None


class SavedState(_Declared):
    """What a checkpoint holds; the parts of a step are looked at by :func:`check_step`, which knows what they are restored into."""

    recipe: dict[str, Any]
    data: SavedData
    step: dict[str, dict[str, Any]]
    ema: SavedEMA | None
    plateau: SavedPlateau | None = None
    position: SavedPosition
    averages: SavedAverages
    health: SavedHealth
    random: list[SavedRandom]
    pools: list[dict[str, dict[str, Any]]] = []
    log_bytes: Count
    started_from: dict[str, Any] | None = None


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one, then take its place.

    Raises:
        UserError: no permission.
        RunFailure: the disk is full; the old checkpoint is untouched.
    """
    write_atomically(file, lambda stream: write_archive(stream, lambda archive: torch.save({"format": FORMAT, **state}, archive)))


def load_checkpoint(file: Path, way_out: str | None = None) -> dict[str, Any]:
    """Read a checkpoint that is whole, with every part of the type that is declared. Only tensors and plain values are read, never code.

    Args:
        file: of a run.
        way_out: what to do if it is damaged, where it is not read to go on with the run.

    Raises:
        UserError: missing, damaged, or not one of ours.
    """
    if not file.is_file():
        raise UserError(f"there is no checkpoint at {file}: leave out --resume to start this training")
    try:
        # what is no zip archive is torch's to refuse, which says more of it
        has_digest = zipfile.is_zipfile(file) and check_archive(file, stored_only=True)
        with without_warnings():  # torch wonders about some files before it refuses them
            state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Damaged as error:
        raise damaged(file, str(error), way_out) from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} is not a checkpoint (it is damaged, or holds code, which is never run): {way_out or 'start anew with another --out'}"
        ) from error
    except Exception as error:  # a broken archive surfaces as almost any exception type
        raise UserError(f"{file} is damaged or cut off: {way_out or _WAY_OUT}") from error
    if not isinstance(state, dict) or "format" not in state or "position" not in state:
        raise UserError(f"{file} is not a Transfigure checkpoint: give the folder of a run made by  transfigure train")
    version = state["format"]
    if type(version) is not int or version < 1:
        raise damaged(file, f"its format is {brief(version)}", way_out)
    if version > FORMAT:
        raise UserError(f"{file} was written by a newer version (format {brief(version)}): update transfigure to read it")
    if version >= FIRST_WITH_DIGEST and not has_digest:
        raise damaged(file, "its SHA-256 is gone from its end", way_out)
    try:
        state = state if version > 1 else _upgrade(state)
        read_as(SavedState, state)
        check_tree([state["recipe"], state.get("started_from")])
    except KeyError as error:
        raise damaged(file, f"it has no {error}", way_out) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise damaged(file, str(error), way_out) from error
    return {**state, "format": FORMAT}


_WAY_OUT = "restore it from a copy, or start anew with another --out (the model folder of this run still translates)"


def damaged(file: Path, what: str, way_out: str | None = None) -> UserError:
    """The sentence for a checkpoint that cannot be used; nothing has been written by then."""
    return UserError(f"{file} is damaged ({what}): {way_out or _WAY_OUT}")


def check_network(name: str, saved: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """See that a network's saved tensors fit the network that they will be loaded into.

    Args:
        name: of the network, for the message.
        saved: its saved state.
        expected: its state; tensors on the meta device will do.

    Raises:
        ValueError: a tensor is missing, left over, or of another shape or kind of number.
    """
    if missing := next((key for key in expected if key not in saved), None):
        raise ValueError(f"its {name} has no {missing}")
    for key, value in saved.items():
        if not isinstance(expected.get(key, value), Tensor):
            continue  # extra state, which is the network's own business
        if key not in expected:
            raise ValueError(f"its {name} has {brief(key)}, which has no place in this recipe's")
        if not isinstance(value, Tensor) or value.shape != expected[key].shape or value.dtype != expected[key].dtype:
            raise ValueError(f"its {name}.{key} is {_kind(value)} and not {_kind(expected[key])}")


def check_optimizer(name: str, saved: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """See that an optimizer's saved state fits: torch looks at the number of parameters and at nothing else.

    Raises:
        ValueError: it does not.
    """
    state, groups = saved.get("state"), saved.get("param_groups")
    if not isinstance(state, Mapping) or not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        raise ValueError(f"its {name} is no state of an optimizer")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in groups for number in (group.get("params", ()) if isinstance(group, Mapping) else ())]
    if numbers != list(range(len(parameters))):
        raise ValueError(f"its {name} is for {len(numbers)} parameters and not for {len(parameters)}")
    for group, mine in zip(groups, optimizer.param_groups, strict=True):
        for key, value in mine.items():
            if key == "params" or (key not in group and key not in ("betas", "eps", "weight_decay")):  # other versions of torch have others
                continue
            if not _same_kind(group.get(key), value):
                raise ValueError(f"its {name} has {brief(group.get(key))} for {key}")
    for number, held in state.items():
        if type(number) is not int or not 0 <= number < len(parameters) or not isinstance(held, Mapping):
            raise ValueError(f"its {name} has a state of {brief(number)}, which is no parameter")
        if isinstance(optimizer, torch.optim.Adam):
            shapes = {"step": torch.Size(), "exp_avg": parameters[number].shape, "exp_avg_sq": parameters[number].shape}
            if wrong := next((key for key in (*shapes, *held) if key not in shapes or key not in held), None):
                raise ValueError(f"its {name} has {'no' if wrong in shapes else 'a'} {brief(wrong)} of parameter {number}")
            for key, shape in shapes.items():
                if not isinstance(held[key], Tensor) or not held[key].is_floating_point() or held[key].shape != shape:
                    raise ValueError(f"its {name} has {_kind(held[key])} for {key} of parameter {number}")


def check_pool(name: str, saved: Mapping[str, Any], size: int, shape: tuple[int, ...]) -> None:
    """See that a saved pool holds images, and as many as it may.

    Raises:
        ValueError: it does not.
    """
    images = saved.get("images")
    if not isinstance(images, list) or len(images) > size:
        raise ValueError(f"its {name} holds no images, or more than {size}")
    for image in images:
        if not isinstance(image, Tensor) or tuple(image.shape) != shape or not image.is_floating_point():
            raise ValueError(f"its {name} holds {_kind(image)} and not {_kind(torch.empty(shape, device='meta'))}")


def check_scaler(name: str, saved: Mapping[str, Any]) -> None:
    """See that what scales the losses of an optimizer is saved as a few numbers above zero (or none yet, of updates since the last change).

    Raises:
        ValueError: it is not.
    """
    for key, least in (("scale", 0.0), ("growth_factor", 1.0), ("backoff_factor", 0.0), ("growth_interval", 0), ("_growth_tracker", -1)):
        value = saved.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not value > least:
            raise ValueError(f"its {name} has {key} {brief(value)}")


def _same_kind(saved: object, mine: object) -> bool:
    """Whether an optimizer's option may have this value, given the one that it has here."""
    if mine is None or isinstance(mine, bool):
        return saved is None or isinstance(saved, bool)
    if isinstance(mine, list | tuple):
        return isinstance(saved, list | tuple) and len(saved) == len(mine) and all(map(_same_kind, saved, mine))
    return isinstance(saved, int | float) and not isinstance(saved, bool) and math.isfinite(saved)


def _kind(value: object) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" if isinstance(value, Tensor) else brief(value)


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
    if not 0 <= position <= len(keys):  # numpy would read there
        raise ValueError(f"random numbers at {brief(position)} of {len(keys)}")
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if device.type != "cpu" and state.get("device") is not None:  # a run may go on elsewhere than it began
        _of_device(device).set_rng_state(state["device"])


def _of_device(device: torch.device) -> Any:
    """``torch.cuda`` or ``torch.mps``, with this device as the current one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return getattr(torch, device.type)
