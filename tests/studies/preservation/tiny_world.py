"""Two domains with seven known factors in 24 pixels, drawn as formulas, and probes that read them."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from transfigure.studies.preservation.probes import LabelledPictures, Probes, Values, train_probes
from transfigure.worlds.shapes.dataset import Factor

SIZE = 24
FACTORS = (
    Factor("outline", "both", "choice", values=("disc", "ring")),
    Factor("place", "both", "number", low=-1.0, high=3.0),
    Factor("tint", "A", "choice", values=("red", "green", "blue")),
    Factor("glow", "A", "number"),
    Factor("stripes", "B", "angle", period=180.0),
    Factor("frame", "B", "choice", values=("black", "white")),
    Factor("haze", "B", "number"),
)


def draw(n: int, seed: int) -> dict[str, Tensor]:
    """Every factor's value in n scenes."""
    random = torch.Generator().manual_seed(seed)
    scenes = {}
    for factor in FACTORS:
        chance = torch.rand(n, generator=random)
        span = {"choice": (0, len(factor.values)), "number": (factor.low, factor.high), "angle": (0, factor.period)}[factor.kind]
        value = span[0] + (span[1] - span[0]) * chance
        scenes[factor.name] = value.floor() if factor.kind == "choice" else value
    return scenes


def render(scenes: Values, domain: str) -> Tensor:
    """``[N, 3, 24, 24]``: a disc or ring on a background; in A tinted on a grey, in B on stripes within a frame, under haze."""
    n = len(scenes["place"])
    axis = torch.linspace(-1, 1, SIZE)
    y, x = axis[None, :, None], axis[None, None, :]
    distance = ((x - (scenes["place"] - 1)[:, None, None] / 4) ** 2 + y**2).sqrt()
    inside = (distance < 0.45) & ((scenes["outline"] == 0)[:, None, None] | (distance > 0.22))
    if domain == "A":
        paint = torch.eye(3)[scenes["tint"].long()][:, :, None, None] * 2 - 1
        return torch.where(inside[:, None], paint, (scenes["glow"] - 0.5)[:, None, None, None]).clone()
    turn = scenes["stripes"] * math.pi / 180
    wave = torch.sin(7 * (x * turn.cos()[:, None, None] + y * turn.sin()[:, None, None]))[:, None].expand(n, 3, SIZE, SIZE)
    picture = torch.where(inside[:, None], torch.ones(3)[None, :, None, None], 0.5 * wave)
    border = ((x.abs() > 0.9) | (y.abs() > 0.9)).expand(n, SIZE, SIZE)[:, None]
    picture = torch.where(border, (2 * scenes["frame"] - 1)[:, None, None, None], picture).clone()
    picture[:, 2] -= scenes["haze"][:, None, None]
    return picture.clamp(-1, 1)


def values(scenes: Values, domain: str) -> dict[str, Tensor]:
    """Of those factors that the domain shows."""
    return {factor.name: scenes[factor.name] for factor in FACTORS if factor.owner in ("both", domain)}


def labelled(scenes: Values, domain: Literal["A", "B"]) -> LabelledPictures:
    """Scenes as a domain shows them, and what it shows of them."""
    return LabelledPictures(render(scenes, domain), values(scenes, domain), domain)


def train(steps: int, seed: int = 0, n: int = 600) -> Probes:
    a, b = draw(n, 1), draw(n, 2)
    return train_probes(labelled(a, "A"), labelled(b, "B"), FACTORS, seed=seed, steps=steps, width=8, quiet=True)


@cache
def probes() -> Probes:
    """Good ones, trained once for all tests."""
    return train(220)
