"""One door for everything that translates: our runs and models, and the PyTorch reference implementation's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..interop.pytorch_cyclegan import load_generator
from ..networks.model_file import CONFIG, Domain, Inference, ModelConfig, Noise, Norm
from .translator import Translator, pick_device


def open_translator(
    path: str | Path,
    *,
    checkpoint: Literal["last", "best"] = "last",
    device: str = "auto",
    norm: Norm | None = None,
    noise: Noise | None = None,
    seed: int | None = None,
) -> Translator:
    """Load whatever holds a generator, and choose how it runs.

    Args:
        path: a run, a model directory, or a ``.pth`` file of the PyTorch reference implementation.
        checkpoint: of a run: ``last`` or ``best``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        norm: statistics of the image at hand (``batch``) or gathered in training (``running``); None is the model's own choice.
        noise: ``dropout`` or ``none``; None is the model's own choice.
        seed: of the noise; None is the model's own.

    Raises:
        UserError: nothing there, damaged, or not a generator; or a choice that there is not.
    """
    file = Path(path)
    translator = _reference(file, device) if file.is_file() else Translator.load(file, checkpoint=checkpoint, device=device)
    choices: dict[str, Any] = {"norm": norm, "noise": noise, "seed": seed}
    translator.inference = replace(translator.inference, **{key: value for key, value in choices.items() if value is not None})
    return translator


def _reference(file: Path, device: str) -> Translator:
    if file.suffix.lower() not in (".pth", ".pt"):
        inside = f" (perhaps {file.parent})" if (file.parent / CONFIG).is_file() else ""
        raise UserError(
            f"{file} is not a model: give a run, a model directory{inside}, or a .pth file of the PyTorch reference implementation"
        )
    run = file.resolve().parent.parent
    if (run / "model" / CONFIG).is_file():
        raise UserError(f"{file} is a checkpoint that training goes on from: give the run itself, {run}")
    place = pick_device(device)
    generator, found = load_generator(file)
    size = generator.size_multiple
    config = ModelConfig(
        generator=found.name,
        options=dict(found.options),
        source=Domain(generator.source_channels),
        target=Domain(generator.target_channels),
        size_multiple=size,
        trained_size=size if size >= 64 else None,
        inference=Inference(),
        checkpoint={"which": f"imported from {file.name}"},
    )
    return Translator(generator.to(place), config, config.inference, origin=file)
