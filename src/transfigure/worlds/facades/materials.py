"""What a label map does not say: materials, paints, weather and light of the facades, and the textures of their surfaces.

A texture takes pixel centres (``ys``, ``xs`` in image units) and gives ``[3, len(ys), len(xs)]`` float32 in [0, 1].
Bricks, blocks and tiles never get smaller than about two and a half final pixels: at 64 px a wall has fewer, larger bricks, not grey.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Array = npt.NDArray[np.float32]
"""Float32: a colour ``[3]``, or a picture ``[3, H, W]`` or ``[H, W]``, in [0, 1]."""

LUMA: Array = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""How bright red, green and blue appear (ITU-R BT.601)."""

BRICKS = ("a8523c", "8f3f2e", "b9714a", "c9a66b", "7b4a3a", "6b5a52", "d8d2c4", "9c6b55")
PLASTERS = ("f0e6cf", "e8c88e", "e0a98a", "c9d8c0", "b9cfdc", "f3f0e6", "d98d6a", "cdbcd8", "e9b7b0", "d9c7a0", "9fb0a2", "c4705a")
STONES = ("d9c9a5", "c2b59b", "a7a49c", "e0d6c0", "b89f7a", "8d8f92")
BOARDS = ("f2f0ea", "35506b", "8c2f2a", "8fa58a", "d2a53f", "8b6847", "5f7f86", "e7d7b4", "2f3a3a")
PANELS = ("efe6d2", "f4efe4", "e6c98f", "dfb59a")
TILES = ("3f6ea5", "4f8f7f", "d9a441", "a94f5f", "6d6fa8", "5b9bb5")
SLATES = ("4c525c", "5a4a48", "8f4a35", "a85b3c", "6a7068", "3d4046", "b0704c")
TRIMS = ("f3efe4", "d8cbb0", "b7ad9c", "e9e4dc", "8f8b84", "6f4a38")
FRAMES = {"white": "f4f2ee", "green": "2f4a3c", "brown": "5a3a26", "black": "26272a", "grey": "8f979c", "blue": "3c5a7a", "red": "7a2a2a"}
PAINTS = ("2f5d50", "7a2f2b", "2c4a70", "b5832c", "4d6b3a", "8f9fae", "5a3b2a", "c9c2b0", "a34f6a", "33363c", "3f8f8a", "d9b44a")
LEAVES = {
    "spring": ("8fb35a", "a9c46a", "d99fb2", "e0c3cc"),
    "summer": ("4f7d3a", "3f6b34", "6b8f45"),
    "autumn": ("c9822f", "b5532a", "d9ad3f", "8f7a3a"),
}


@dataclass(frozen=True, eq=False)
class HouseLook:
    """Materials and paints of one house; colours are ``[3]`` in [0, 1]."""

    material: str
    base_material: str
    wall: Array
    second: Array
    base: Array
    mortar: Array
    roof: Array
    roof_round: bool
    trim: Array
    frame_name: str
    frame: Array
    bars: tuple[int, int]
    blinds: str
    shutter: Array
    door: Array
    railing: str
    rail: Array
    shop: Array
    awning: tuple[Array, Array]
    course: float
    wear: float
    seed: int


@dataclass(frozen=True, eq=False)
class SceneLook:
    """Light, weather and every house's dress. ``whims`` is ``[parts, 6]`` in [0, 1): the small accidents of each part.

    ``sun_x`` is how far a shadow falls to the right, and ``sun_y`` how far down, per unit of depth; both 0 under an even sky.
    """

    houses: tuple[HouseLook, ...]
    time: str
    weather: str
    season: str
    sun_x: float
    sun_y: float
    sun: Array
    ambient: Array
    zenith: Array
    horizon: Array
    cloud_cover: float
    leaves: Array
    paving: Array
    night: Array
    lit_share: float
    lamp: Array
    noise: float
    seed: int
    whims: Array
    waves: Array


def colour(code: str) -> Array:
    """``"rrggbb"`` as ``[3]`` in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], dtype=np.float32)


def choose(rng: np.random.Generator, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
    """One of the options, as likely as its weight (or all alike); the weights sum to 1."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    return options[min(bisect(list(accumulate(weights)), rng.random()), len(options) - 1)]


def _pick(rng: np.random.Generator, codes: tuple[str, ...], spread: float = 0.05) -> Array:
    paint = colour(choose(rng, codes))
    return np.clip(paint * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 2, 3), 0.03, 0.97).astype(np.float32)


def _house(rng: np.random.Generator) -> HouseLook:
    families = {"brick": BRICKS, "plaster": PLASTERS, "stone": STONES, "boards": BOARDS, "timber": PANELS, "tiles": TILES, "rubble": STONES}
    material = choose(rng, list(families), [0.3, 0.2, 0.12, 0.13, 0.1, 0.08, 0.07])
    base_material = choose(rng, ["stone", "brick", "plaster", "rubble"], [0.45, 0.2, 0.2, 0.15])
    wall = _pick(rng, families[material])
    second = {
        "timber": colour("3a2a20") * rng.uniform(0.8, 1.7),
        "tiles": colour("f3efe4"),
    }.get(material, wall * rng.uniform(0.62, 0.84) + rng.normal(0, 0.02, 3))
    frame_name = choose(rng, list(FRAMES), [0.4, 0.12, 0.14, 0.12, 0.1, 0.06, 0.06])
    stripe = _pick(rng, PAINTS)
    return HouseLook(
        material=material,
        base_material=base_material,
        wall=wall,
        second=np.asarray(np.clip(second, 0.03, 1), dtype=np.float32),
        base=_pick(rng, families[base_material]),
        mortar=(colour("d6cfc2") if rng.random() < 0.7 else colour("5e564e")) * np.float32(rng.uniform(0.85, 1.05)),
        roof=_pick(rng, SLATES),
        roof_round=bool(rng.random() < 0.5),
        trim=_pick(rng, TRIMS, 0.03),
        frame_name=frame_name,
        frame=colour(FRAMES[frame_name]),
        bars=((1, 0), (1, 1), (1, 2), (2, 2), (0, 1), (1, 3), (2, 3))[rng.integers(7)],
        blinds=choose(rng, ["curtains", "roller", "nets", "bare"], [0.4, 0.25, 0.15, 0.2]),
        shutter=_pick(rng, PAINTS),
        door=_pick(rng, PAINTS),
        railing=choose(rng, ["iron", "balusters", "glass", "boards"], [0.5, 0.2, 0.12, 0.18]),
        rail=colour("22242a") if rng.random() < 0.65 else _pick(rng, PAINTS),
        shop=_pick(rng, PAINTS),
        awning=(stripe, colour("f4efe2") if rng.random() < 0.7 else stripe * np.float32(0.75)),
        course=float(rng.uniform(0.013, 0.02)),
        wear=float(rng.uniform(0.3, 1.0)),
        seed=int(rng.integers(2**31)),
    )


def draw_look(rng: np.random.Generator, houses: int, parts: int) -> SceneLook:
    """Dress a scene of so many houses and parts."""
    weather = choose(rng, ["clear", "fair", "overcast"], [0.4, 0.38, 0.22])
    time = choose(rng, ["morning", "noon", "evening"], [0.35, 0.35, 0.3])
    low = time != "noon"
    side = float(rng.choice([-1.0, 1.0]))
    even = weather == "overcast"
    warm = {"morning": (1.0, 0.9, 0.74), "noon": (1.0, 0.97, 0.9), "evening": (1.0, 0.8, 0.56)}[time]
    sun = np.array(warm, dtype=np.float32) * (0.0 if even else rng.uniform(0.55, 0.72))
    ambient = np.array((0.9, 0.92, 0.96) if even else (0.4, 0.46, 0.58), dtype=np.float32) * rng.uniform(0.9, 1.05)
    zenith = {"clear": "3f7fc8", "fair": "5f95cf", "overcast": "aab4bd"}[weather]
    horizon = {"morning": "f0dcc4", "noon": "cfe3f2", "evening": "f6c490"}[time] if not even else "d9dcdd"
    season = choose(rng, list(LEAVES), [0.25, 0.5, 0.25])
    dusk = np.array((0.13, 0.17, 0.33), dtype=np.float32) * rng.uniform(1.0, 1.8)
    return SceneLook(
        houses=tuple(_house(rng) for _ in range(houses)),
        time=time,
        weather=weather,
        season=season,
        sun_x=0.0 if even else side * float(rng.uniform(0.5, 1.2) if low else rng.uniform(0.1, 0.5)),
        sun_y=0.0 if even else float(rng.uniform(0.4, 0.9) if low else rng.uniform(1.0, 1.8)),
        sun=sun.astype(np.float32),
        ambient=ambient.astype(np.float32),
        zenith=_pick(rng, (zenith,), 0.04),
        horizon=_pick(rng, (horizon,), 0.03),
        cloud_cover=float({"clear": rng.uniform(-0.5, 0.1), "fair": rng.uniform(0.3, 0.8), "overcast": 1.2}[weather]),
        leaves=_pick(rng, LEAVES[season], 0.08),
        paving=_pick(rng, ("b5b0a8", "a39b90", "c4bcae", "8f8c88", "b09a86"), 0.04),
        night=dusk.astype(np.float32),
        lit_share=float(rng.uniform(0.15, 0.75)),
        lamp=_pick(rng, ("ffc873", "ffb04f", "ffe6b8"), 0.01),
        noise=float(rng.uniform(0.008, 0.022)),
        seed=int(rng.integers(2**31)),
        whims=rng.random((parts, 6), dtype=np.float32),
        waves=rng.standard_normal((3, 24, 24), dtype=np.float32),
    )


# ---- textures -----------------------------------------------------------------------------------------------------------


@cache
def _grain_tile() -> Array:
    return np.random.default_rng(1).standard_normal((1024, 1024), dtype=np.float32)


def grain(height: int, width: int, seed: int) -> Array:
    """``[height, width]`` white noise of unit variance; a view, the same for the same seed."""
    tile = _grain_tile()
    y, x = seed % 509, (seed // 509) % 509
    if height + y > 1024 or width + x > 1024:
        tile = np.tile(tile, (-(-(height + y) // 1024), -(-(width + x) // 1024)))
    return tile[y : y + height, x : x + width]


def _between(at: Array, nodes: int) -> Array:
    """``[len(at), nodes]``: weights of a quadratic spline between ``nodes`` values spread over [0, 1]."""
    away = np.abs(at[:, None] * np.float32(nodes - 1) - np.arange(nodes, dtype=np.float32)[None])
    spline = np.where(away < 0.5, 0.75 - away**2, 0.5 * np.maximum(1.5 - away, 0) ** 2)
    return np.asarray(spline / spline.sum(axis=1, keepdims=True), dtype=np.float32)


def waves(ys: Array, xs: Array, nodes: Array, rows: int, cols: int) -> Array:
    """``[len(ys), len(xs)]``: smooth noise through the first ``rows`` by ``cols`` of the given nodes, spread over the picture."""
    return np.asarray(_between(np.clip(ys, 0, 1), rows) @ nodes[:rows, :cols] @ _between(np.clip(xs, 0, 1), cols).T, dtype=np.float32)


@cache
def _tones() -> Array:
    return np.random.default_rng(2).random((97, 89), dtype=np.float32)


@dataclass(frozen=True)
class Bricks:
    """Bricks, blocks, slates or boards in rows.

    Attributes:
        height, length, gap: of one brick, and of the joint, in image units.
        seed: which bricks are light and which dark.
        bond: shift of every other row, in bricks.
        contrast: 1 uses the whole span between the two colours; 0 makes all bricks alike.
    """

    height: float
    length: float
    gap: float
    seed: int
    bond: float = 0.5
    contrast: float = 1.0


def courses(ys: Array, xs: Array, shades: tuple[Array, Array, Array], bricks: Bricks) -> Array:
    """Rows of bricks: each between two colours, with joints; every other row shifted.

    Args:
        ys, xs: pixel centres.
        shades: the two colours a single brick lies between, and the colour of the joints.
        bricks: their sizes and how they are laid.
    """
    first, second, joint = shades
    height, length, gap, seed = bricks.height, bricks.length, bricks.gap, bricks.seed
    level = ys / np.float32(height)
    row = np.floor(level).astype(np.int64)
    low, count = int(row[0]), int(row[-1] - row[0] + 1)
    numbers = np.arange(low, low + count)
    place = xs[None, :] / np.float32(length) + ((numbers % 2) * bricks.bond)[:, None] + (seed % 17)
    brick = np.floor(place).astype(np.int64)
    tone = _tones()[(numbers[:, None] + seed) % 97, (brick + seed // 97) % 89] * np.float32(bricks.contrast)
    paint = first[:, None, None] + (second - first)[:, None, None] * tone
    paint = np.where(place - brick < gap / length, joint[:, None, None], paint)
    table = np.concatenate([paint, np.broadcast_to(joint[:, None, None], (3, 1, len(xs)))], axis=1).astype(np.float32)
    in_joint = level - row < gap / height
    return table.take(np.where(in_joint, count, row - low), axis=1)


def wall(ys: Array, xs: Array, look: HouseLook, pixel: float, *, base: bool = False, plain: bool = False) -> Array:
    """The sunlit surface of a house's wall, or of its ground floor where that differs (``base``).

    Args:
        ys, xs: pixel centres.
        look: whose wall.
        pixel: the width of a final pixel in image units, which bounds how fine bricks can be.
        base: the ground floor's material.
        plain: without fine masonry and grain, as a draughtsman would see it.
    """
    material = look.base_material if base else look.material
    first, second, seed = (look.base, look.base * np.float32(0.78), look.seed + 7) if base else (look.wall, look.second, look.seed)
    dark = np.float32(0.62)
    if plain and material not in ("stone", "timber"):
        return np.broadcast_to(first[:, None, None], (3, len(ys), len(xs))).copy()
    if material == "brick":
        height = max(look.course, 2.6 * pixel)
        gap = max(0.16 * height, 0.8 * pixel)
        return courses(ys, xs, (first, second, look.mortar), Bricks(height, 2.4 * height, gap, seed))
    if material == "stone":
        height = max(3.2 * look.course, 5 * pixel)
        paint = courses(ys, xs, (first, second, first * dark), Bricks(height, 1.9 * height, pixel, seed, contrast=0.7 * (not plain)))
        if not plain:
            paint *= (1.05 - 0.12 * np.mod(ys / np.float32(height), 1))[:, None] + 0.035 * grain(len(ys), len(xs), seed)
        return paint
    if material == "rubble":
        height = max(1.7 * look.course, 3.2 * pixel)
        shades = first * np.float32(1.1), second * np.float32(0.68), look.mortar
        paint = courses(ys, xs, shades, Bricks(height, 1.35 * height, 0.9 * pixel, seed, bond=0.37))
        return paint * (1 + 0.06 * grain(len(ys), len(xs), seed))
    if material == "boards":
        height = max(1.15 * look.course, 3 * pixel)
        paint = courses(ys, xs, (first, second, first * dark), Bricks(height, 14 * height, pixel, seed, contrast=0.25))
        paint *= (1.03 - 0.16 * np.mod(ys / np.float32(height), 1))[:, None]
        return paint
    if material == "tiles":
        side = max(1.5 * look.course, 4 * pixel)
        y, x = np.mod(ys / np.float32(side), 1) - np.float32(0.5), np.mod(xs / np.float32(side), 1) - np.float32(0.5)
        ring = np.abs(np.abs(y)[:, None] + np.abs(x)[None] - np.float32(0.42)) < 0.13
        white = second, second * np.float32(0.9), second * dark
        paint = courses(ys, xs, white, Bricks(side, side, 0.7 * pixel, seed, bond=0.0))
        return np.where(ring, first[:, None, None], paint)
    surface = first[:, None, None] * (1 + np.float32(0.0 if plain else 0.05) * grain(len(ys), len(xs), seed))
    if material == "timber":
        surface = np.where(_beams(ys, xs, max(0.011, 1.2 * pixel), seed), look.second[:, None, None], surface)
    return surface


def _beams(ys: Array, xs: Array, thick: float, seed: int) -> npt.NDArray[np.bool_]:
    """Where a timber frame shows: posts and rails on a grid, and in some of its panels a brace from corner to corner."""
    wide, high = np.float32(0.075 + 0.02 * (seed % 3)), np.float32(0.085 + 0.02 * (seed % 2))
    x, y = xs / wide, ys / high
    panel = _tones()[np.floor(y).astype(np.int64)[:, None] % 97, (np.floor(x).astype(np.int64)[None] + seed) % 89]
    fx, fy = np.mod(x, 1)[None], np.mod(y, 1)[:, None]
    brace = (np.abs(np.where(panel < 0.17, fx - fy, fx + fy - 1)) < 0.8 * thick / wide) & (panel < 0.34)
    return np.asarray(brace | (fx < thick / wide) | (fy < thick / high))


def roof(ys: Array, xs: Array, look: HouseLook, pixel: float, plain: bool = False) -> Array:
    """The sunlit surface of a house's roof: slates with square ends, or pantiles whose ribs run down the slope."""
    if plain:
        return np.broadcast_to(look.roof[:, None, None], (3, len(ys), len(xs))).copy()
    height = max(0.8 * look.course, 2.6 * pixel)
    second, joint = look.roof * np.float32(0.72), look.roof * np.float32(0.45)
    if look.roof_round:
        tall, seed = 1.4 * height, look.seed
        paint = courses(ys, xs, (look.roof, second, joint), Bricks(tall, height, 0.0, seed, bond=0.0, contrast=0.6))
        paint *= (np.float32(0.86) + np.float32(0.24) * np.sin(np.float32(2 * np.pi / height) * xs))[None, None, :]
        paint *= (1.05 - 0.25 * np.mod(ys / np.float32(tall), 1))[:, None]
        return paint
    return courses(ys, xs, (look.roof, second, joint), Bricks(height, 1.2 * height, 0.7 * pixel, look.seed))


def paving(ys: Array, xs: Array, paint: Array, pixel: float, *, seed: int, ground: float) -> Array:
    """Flagstones that lie flat: rows grow towards the viewer."""
    near = np.float32(0.012) + ys - np.float32(ground)
    rows = np.log(np.maximum(near, 1e-3)) * np.float32(0.35)
    shades = paint, paint * np.float32(0.82), paint * np.float32(0.6)
    flags = courses(rows, xs, shades, Bricks(0.12, 0.07, 0.9 * pixel, seed))
    return flags * (1 + 0.03 * grain(len(ys), len(xs), seed))
