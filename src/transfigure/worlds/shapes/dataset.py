"""A world of plain shapes whose factors are known, seen in two ways that nobody has paired.

Every picture shows one to three equal shapes on stems. Domain A cuts them out of coloured paper; domain B prints them with a texture
in two inks. What, where, how large, how many and which way they point (:data:`FACTORS` owned by ``both``) is distributed alike in the
two domains; colour and ground belong to A alone, texture, inks, outline and paper to B alone. All factors are independent and uniform.

So what an unpaired translator *preserves* and what it *makes new* can be read off instead of argued about: the first are the shared
factors of x that G(x) still has, the second are factors of B that x never showed. In the data nothing says that they should be
preserved: matching the distribution of B could as well be done by moving or exchanging shapes.

A picture is a function of its factors' values and nothing else; :mod:`.drawing` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...bounds import NonNegativeInt, PositiveInt, Seed
from ...data.images import Alpha
from ...data.pairs import Collection, Record, Single
from ...errors import UserError
from ...registry import register
from .drawing import BACKGROUNDS, FILLS, LINES, PALETTES, SHAPES, TEXTURES, draw_a, draw_b

__all__ = ["DOMAINS", "FACTORS", "Factor", "ShapesPicture", "ShapesScene", "draw_scene", "render", "same_shapes", "shapes"]

DOMAINS = ("A", "B")
SMALLEST, LARGEST = 32, 256
"""The sizes, in pixels, that a picture can have."""

FIRST = {"train": 0, "val": 10**6, "test": 2 * 10**6}
"""The index of each split's first scene: far apart, so a larger split never takes scenes from another."""
ELSEWHERE = 10**7
"""How far behind a record's source scene its unrelated target scene lies: beyond the sources of all splits."""
MOST = 10**5
"""The largest number of records in a split."""


@dataclass(frozen=True)
class Factor:
    """One thing that varies from picture to picture.

    Attributes:
        name: its key in :attr:`ShapesScene.values`.
        owner: which domain's pictures show it.
        kind: ``choice`` (the value is an index into ``values``), ``number`` or ``angle`` (degrees).
        values: what a choice chooses from, in the order of the indices.
        low: the smallest value of a number.
        high: the largest value of a number.
        period: of an angle, in degrees: values that differ by it look the same, and it lies in [0, period).
    """

    name: str
    owner: Literal["both", "A", "B"]
    kind: Literal["choice", "number", "angle"]
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    period: float = 0.0

    def at(self, share: float) -> float:
        """The value that lies at a share, in [0, 1), of the way through all values."""
        if self.kind == "choice":
            return float(int(share * len(self.values)))
        return share * self.period if self.kind == "angle" else self.low + share * (self.high - self.low)


FACTORS: tuple[Factor, ...] = (
    Factor("shape", "both", "choice", tuple(SHAPES)),
    Factor("number", "both", "choice", ("one", "two", "three")),
    Factor("x", "both", "number", low=0.415, high=0.585),
    Factor("y", "both", "number", low=0.415, high=0.585),
    Factor("size", "both", "number", low=0.11, high=0.15),
    Factor("angle", "both", "angle", period=360.0),
    Factor("fill", "A", "choice", tuple(FILLS)),
    Factor("shade", "A", "number", low=0.64, high=1.0),
    Factor("texture", "B", "choice", tuple(TEXTURES)),
    Factor("palette", "B", "choice", tuple(PALETTES)),
    Factor("line", "B", "choice", tuple(LINES)),
    Factor("background", "B", "choice", BACKGROUNDS),
)
"""All that varies, in the order in which a scene's random numbers are drawn.

``x`` (to the right) and ``y`` (down) are the centre of the group and ``size`` the radius of a shape, in parts of the picture's side;
their ranges keep the largest group inside, whatever its angle. ``angle`` is where the stems point: 0 is right, 90 is up. ``shade`` is
the ground's grey, 0 black and 1 white.
"""


@dataclass(frozen=True)
class ShapesScene:
    """The values of all factors, those of A and those of B: each domain shows its own.

    Attributes:
        index: which scene of its world.
        seed: which world.
        values: by the factors' names; a choice is its index, an angle is in degrees.
    """

    index: int
    seed: int
    values: Mapping[str, float] = field(hash=False)


def draw_scene(index: int, seed: int = 0) -> ShapesScene:
    """One scene: every factor independent of the others and uniform over its range, from ``(seed, index)`` alone.

    Args:
        index: which scene, 0 or more.
        seed: which world, 0 or more.
    """
    shares = np.random.Generator(np.random.PCG64([seed, index])).random(len(FACTORS)).tolist()
    return ShapesScene(index, seed, {factor.name: factor.at(share) for factor, share in zip(FACTORS, shares)})


def render(scene: ShapesScene, domain: Literal["A", "B"], size: int) -> npt.NDArray[np.uint8]:
    """What a domain shows of a scene.

    Args:
        scene: from :func:`draw_scene` or :func:`same_shapes`, or one with other values of your own.
        domain: ``A``, paper cut-outs, or ``B``, prints.
        size: height and width in pixels, 32 to 256.

    Returns:
        uint8 ``[size, size, 3]``.

    Raises:
        ValueError: another domain, or another size.
    """
    if domain not in DOMAINS or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"cannot render {domain!r} at {size} pixels: A or B at {SMALLEST} to {LARGEST}")
    return (draw_a if domain == "A" else draw_b)(scene.values, size)


def same_shapes(scene: ShapesScene, style: ShapesScene) -> ShapesScene:
    """The scene with the look of another: its shared factors, and all factors that A or B has alone from ``style``.

    Rendered in B it is the output of a perfect translator for ``scene``, given the style of its choice.
    """
    return replace(scene, values={factor.name: (scene if factor.owner == "both" else style).values[factor.name] for factor in FACTORS})


@dataclass(frozen=True)
class ShapesPicture:
    """A picture that is made when it is read: one scene as one domain shows it.

    Attributes:
        scene: what it shows.
        domain: ``A`` or ``B``.
        size: height and width in pixels.
    """

    scene: ShapesScene
    domain: Literal["A", "B"]
    size: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """None: it is not on disk."""
        return ()

    @property
    def label(self) -> str:
        """The scene and the domain, for a message."""
        return f"{_name(self.scene.index)} ({self.domain}, shapes)"

    @property
    def factors(self) -> dict[str, float]:
        """The values of those factors that this picture shows: the shared ones and its own domain's."""
        return {factor.name: self.scene.values[factor.name] for factor in FACTORS if factor.owner in ("both", self.domain)}

    def read(self, alpha: Alpha = "refuse") -> npt.NDArray[np.uint8]:
        """The pixels, uint8 ``[size, size, 3]``; there is no alpha channel, so ``alpha`` has no effect."""
        return render(self.scene, self.domain, self.size)


def _name(index: int) -> str:
    return f"shape_{index:06d}"


@register("dataset", "shapes", drawn=True, palettes={"A": "shapes"})
def shapes(
    path: Path | None,
    size: PositiveInt = 64,
    source: Literal["A", "B"] = "A",
    target: Literal["A", "B"] = "B",
    train: NonNegativeInt = 1000,
    val: NonNegativeInt = 100,
    test: NonNegativeInt = 200,
    same: bool = False,
    world_seed: Seed = 0,
) -> Collection:
    """Plain shapes in two unpaired domains, paper cut-outs and textured prints: no files, and every factor of every picture is known.

    The same numbers give the same pictures on every run. A record's source and target show two unrelated scenes, no target scene is
    any record's source scene, splits never share a scene, and enlarging a split keeps the scenes it had. With ``source`` and
    ``target`` alike both pictures of a record are one picture, for a translator that is to become an autoencoder.

    Args:
        path: not used; None.
        size: height and width in pixels, 32 to 256.
        source: the domain to translate from: A is paper cut-outs, B textured prints.
        target: the domain to translate to; the same as source makes both pictures of a record one picture.
        train: number of records to train on.
        val: number of records to validate on.
        test: number of records to test on.
        same: pair each source with its own shapes as the target domain shows them: the truth that unpaired training never sees.
        world_seed: which world the scenes are drawn from; another number gives entirely other scenes.

    Returns:
        Two domains without correspondence, or, with ``same`` or with ``source`` and ``target`` alike, pairs; in the splits ``train``,
        ``val`` and ``test``.

    Raises:
        UserError: a domain is unknown, or the size, a count or the seed is out of range.
    """
    for key, domain in (("source", source), ("target", target)):
        if domain not in DOMAINS:
            raise UserError(f"data.{key} is {domain!r}, which no shape is shown in: give A (paper cut-outs) or B (textured prints)")
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"data.size is {size}: give {SMALLEST} to {LARGEST} pixels, 64 to see everything well")
    if world_seed < 0:
        raise UserError(f"data.world_seed is {world_seed}: give 0 or a larger whole number")
    counts = {"train": train, "val": val, "test": test}
    for split, count in counts.items():
        if not 0 <= count <= MOST:
            raise UserError(f"data.{split} is {count}: give a number of records from 0 to {MOST}")

    def drawn(split: str, domain: Literal["A", "B"], behind: int = 0) -> list[Single]:
        scenes = range(FIRST[split], FIRST[split] + counts[split])
        return [Single(_name(index), ShapesPicture(draw_scene(index + behind, world_seed), domain, size)) for index in scenes]

    if same or source == target:
        pairs = {split: [Record(one.name, one.picture, other.picture) for one, other in zip(drawn(split, source), drawn(split, target))]
                 for split in counts}  # fmt: skip
        return Collection(pairs)
    return Collection(domains={split: (drawn(split, source), drawn(split, target, ELSEWHERE)) for split in counts})
