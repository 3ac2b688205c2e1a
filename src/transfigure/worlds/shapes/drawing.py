"""How the *shapes* world is drawn: signed distances of a few plain outlines, and the colours and textures that fill them.

Lengths are in units of the picture's side, x to the right and y down. A *distance* is negative inside an outline and positive
outside; a pixel is covered as far as its distance is below zero, so edges are smooth at every size. Whatever is drawn is a weighted
mean of few flat colours, and only these weights are computed finely.

A picture depends on its factors alone: the specks of the paper are the same ones in every picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

FINE = 2
"""How many times finer than the picture, per side, outlines and textures are computed."""

SHAPES: dict[str, tuple[int, tuple[tuple[float, float], ...]]] = {
    "circle": (0, ((0.9, 0.0),)),
    "square": (4, ((0.78, 0.0), (0.78, 0.78))),
    "triangle": (3, ((0.56, 0.0), (0.56, 0.56 * math.sqrt(3)))),
    "star": (5, ((0.48, 0.0), (1.09 * math.cos(math.pi / 5), 1.09 * math.sin(math.pi / 5)))),
    "bar": (2, ((0.46, 0.0), (0.46, 0.95), (0.0, 0.95))),
}
"""How often an outline repeats around its centre (0: it is a circle, of that radius), and its course from the x axis to the next mirror
line, in radii; all the rest is mirrored."""
STEM, STEM_WIDTH, KNOB = 1.2, 0.22, 0.22
"""Every shape has a stem with a round knob, so that even a circle points somewhere: how far from the centre the knob lies, how wide the
stem is, and the radius of the knob, in radii."""
GAP = 0.04
"""Between the shapes of a group."""
REACH = 1.5, 0.05
"""How far from its centre anything of a shape is drawn, outlines included: so many radii, and so much more."""

FILLS: dict[str, Colour] = {
    "red": (214, 32, 44),
    "ochre": (196, 104, 0),
    "green": (16, 138, 62),
    "blue": (28, 84, 214),
    "purple": (142, 36, 168),
}
"""A's flat colours. All are darker than A's grey grounds, so a shape shows in its luminance too."""
GROUND: Colour = (209, 209, 209)
"""The middle one of A's greys."""
PALETTES: dict[str, tuple[Colour, Colour]] = {
    "maroon and gold": ((118, 14, 26), (244, 178, 42)),
    "forest and lime": ((10, 74, 40), (158, 208, 66)),
    "navy and sky": ((16, 30, 104), (98, 186, 240)),
    "plum and pink": ((92, 16, 96), (246, 140, 190)),
    "charcoal and silver": ((48, 48, 50), (172, 174, 178)),
}
"""B's inks: the dark one of the texture and the stem, and the light one between."""
LINES: dict[str, tuple[tuple[float, float], ...]] = {
    "none": (),
    "thin": ((-0.008, 0.008),),
    "thick": ((-0.014, 0.022),),
    "double": ((-0.009, 0.006), (0.021, 0.034)),
}
"""B's outlines: the bands of distance that are inked."""
LINE_INK: Colour = (26, 24, 30)
PAPER: Colour = (250, 242, 222)
BACKGROUNDS = ("plain", "gradient", "ruled", "speckled")
"""B's papers."""


def draw_a(values: Mapping[str, float], size: int) -> npt.NDArray[np.uint8]:
    """A paper cut-out: the shapes in one flat colour on a plain grey ground, ``[size, size, 3]``."""
    body = shrink(cover(_outline(values, size)[0], FINE * size))
    ground = np.full(3, 255 * values["shade"], np.float32)
    return _eight_bit(ground + body[..., None] * (_colour(tuple(FILLS.values())[int(values["fill"])]) - ground))


def draw_b(values: Mapping[str, float], size: int) -> npt.NDArray[np.uint8]:
    """A print: the shapes textured in two inks and outlined, on paper, ``[size, size, 3]``."""
    n = FINE * size
    distance, body_distance, u, v = _outline(values, size)
    dark, light = (_colour(ink) for ink in tuple(PALETTES.values())[int(values["palette"])])
    body, inked = cover(distance, n), cover(np.minimum(tuple(TEXTURES.values())[int(values["texture"])](u, v), -body_distance), n)
    line = np.zeros_like(body)
    for inner, outer in tuple(LINES.values())[int(values["line"])]:
        line += cover(distance - outer, n) - cover(distance - inner, n)
    body *= 1 - line
    inked *= body
    picture = _paper(int(values["background"]), size) * (1 - shrink(body + line))[..., None]
    for weight, colour in ((inked, dark), (body - inked, light), (line, _colour(LINE_INK))):
        picture += shrink(weight)[..., None] * colour
    return _eight_bit(picture)


# ---- outlines -----------------------------------------------------------------------------------------------------------


def _outline(values: Mapping[str, float], size: int) -> tuple[Array, Array, Array, Array]:
    """``[n, n]`` each: the distance to the nearest shape, that without its stem, and where a pixel lies from its centre, upright."""
    n, radius, angle = FINE * size, values["size"], math.radians(values["angle"] % 360)
    at = _centres(n)
    cos, sin = math.cos(angle), -math.sin(angle)  # y points down, and angles turn the other way
    sides, course = tuple(SHAPES.values())[int(values["shape"])]
    planes: tuple[Array, Array, Array, Array] = _plane(n, 1), _plane(n, 1), _plane(n, 0), _plane(n, 0)
    reach = REACH[0] * radius + REACH[1]
    for along, across in _group(int(values["number"]) + 1, radius):
        centre_x, centre_y = values["x"] + along * cos - across * sin, values["y"] + along * sin + across * cos
        window = _window(centre_y, reach, n), _window(centre_x, reach, n)
        x, y = (at[window[1]] - np.float32(centre_x))[None, :], (at[window[0]] - np.float32(centre_y))[:, None]
        ahead, aside = cos * x + sin * y, np.abs(cos * y - sin * x)
        body = _body(ahead, aside, radius, sides, course)
        whole = np.minimum(body, _stem(ahead, aside, radius))
        nearer = whole < planes[0][window]
        for plane, own in zip(planes, (whole, body, x, y)):
            np.copyto(plane[window], own, where=nearer)
    return planes


def _plane(n: int, value: float) -> Array:
    return np.full((n, n), value, np.float32)


def _window(centre: float, reach: float, n: int) -> slice:
    return slice(*(min(max(math.floor(edge * n), 0), n) for edge in (centre - reach, centre + reach + 1 / n)))


def _group(number: int, radius: float) -> list[tuple[float, float]]:
    """Where the shapes' centres lie from that of the group: along their common direction, and across it."""
    apart = 2 * radius + GAP
    if number == 1:
        return [(0.0, 0.0)]
    if number == 2:
        return [(0.0, -apart / 2), (0.0, apart / 2)]
    ring = apart / math.sqrt(3)
    return [(-ring, 0.0), (ring / 2, -apart / 2), (ring / 2, apart / 2)]


def _stem(x: Array, y: Array, radius: float) -> Array:
    """The signed distance to the stem and knob of a shape that points along x; y >= 0."""
    dx, dy = np.abs(x - STEM / 2 * radius) - STEM / 2 * radius, y - STEM_WIDTH / 2 * radius
    bar = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)
    return np.asarray(np.minimum(bar, np.hypot(x - STEM * radius, y) - KNOB * radius), np.float32)


def _body(x: Array, y: Array, radius: float, sides: int, course: tuple[tuple[float, float], ...]) -> Array:
    """The signed distance to a shape that points along x, without its stem; y >= 0."""
    if not sides:
        return np.asarray(np.hypot(x, y) - course[0][0] * radius, np.float32)
    wedges = sides
    while wedges > 1:  # fold the half plane, of as many wedges as there are sides, into its first wedge
        half = (wedges + 1) // 2
        cos, sin = math.cos(math.pi * half / sides), math.sin(math.pi * half / sides)
        beyond = 2 * np.maximum(cos * y - sin * x, 0)
        x, y, wedges = x + sin * beyond, y - cos * beyond, half
    squared, outside = np.full_like(x, np.inf), np.full_like(x, -np.inf)
    for start, end in pairwise(course):  # within the wedge the inside is convex: outside of one line is outside of all
        ex, ey = (end[0] - start[0]) * radius, (end[1] - start[1]) * radius
        px, py = x - start[0] * radius, y - start[1] * radius
        t = np.clip((px * ex + py * ey) * (1 / (ex * ex + ey * ey)), 0, 1)
        squared = np.minimum(squared, (px - t * ex) ** 2 + (py - t * ey) ** 2)
        outside = np.maximum(outside, px * ey - py * ex)
    return np.asarray(np.copysign(np.sqrt(squared), outside), np.float32)


# ---- textures -----------------------------------------------------------------------------------------------------------


def _wave(x: Array, period: float) -> Array:
    """The distance to the nearest whole multiple of the period."""
    turns = x * (1 / period)
    return np.asarray(np.abs(turns - np.rint(turns)) * period, np.float32)


def _stripes(u: Array, v: Array) -> Array:
    return _wave(v, 0.08) - 0.02


def _hatching(u: Array, v: Array) -> Array:
    return _wave((u + v) * math.sqrt(0.5), 0.075) - 0.018


def _dots(u: Array, v: Array) -> Array:
    return np.asarray(np.hypot(_wave(u, 0.085), _wave(v, 0.085)) - 0.029)


def _checks(u: Array, v: Array) -> Array:
    cell = 0.06
    return np.asarray(np.sin(u * (math.pi / cell)) * np.sin(v * (math.pi / cell)) * (-cell / math.pi))


def _rings(u: Array, v: Array) -> Array:
    return _wave(np.hypot(u, v), 0.085) - 0.021


TEXTURES: dict[str, Callable[[Array, Array], Array]] = {
    "stripes": _stripes,
    "hatching": _hatching,
    "dots": _dots,
    "checks": _checks,
    "rings": _rings,
}
"""B's textures: the distance to the dark ink. They have one scale and stay upright, so they say nothing about size and angle."""


# ---- papers and pixels --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _paper(background: int, size: int) -> Array:
    """``[size, size, 3]``, 0 to 255; not to be written to."""
    n, at, paper = FINE * size, _centres(FINE * size), _colour(PAPER)
    ink, weight = paper, np.zeros((n, n), np.float32)
    if BACKGROUNDS[background] == "gradient":
        ink, weight = _colour((150, 186, 196)), np.broadcast_to(at[:, None], (n, n))
    elif BACKGROUNDS[background] == "ruled":
        ink, weight = _colour((112, 150, 208)), np.broadcast_to(cover(_wave(at - 0.0625, 0.125) - 0.008, n)[:, None], (n, n))
    elif BACKGROUNDS[background] == "speckled":
        ink, cells = _colour((150, 112, 78)), 9
        rng = np.random.Generator(np.random.PCG64(9))
        for row in range(cells):
            for column in range(cells):
                x, y, radius = (np.array([column, row, 0]) + 0.15 + 0.7 * rng.random(3)) / (cells, cells, 60)
                near = np.hypot(at[None, :] - np.float32(x), at[:, None] - np.float32(y)) - np.float32(0.004 + radius)
                weight = np.maximum(weight, cover(near, n))
    return np.asarray(paper + shrink(weight)[..., None] * (ink - paper), np.float32)


def cover(distance: Array, n: int) -> Array:
    """How much of a pixel lies below distance zero, in [0, 1], for a picture ``n`` pixels wide."""
    return np.asarray(np.clip(0.5 - distance * n, 0, 1), np.float32)


def shrink(plane: Array) -> Array:
    """The mean over FINE by FINE (2 by 2) cells of ``[n, n]``."""
    rows = plane[::FINE] + plane[1::FINE]
    return np.asarray((rows[:, ::FINE] + rows[:, 1::FINE]) * np.float32(1 / FINE**2), np.float32)


@lru_cache(maxsize=8)
def _centres(n: int) -> Array:
    return ((np.arange(n) + 0.5) / n).astype(np.float32)


def _colour(colour: Colour) -> Array:
    return np.array(colour, np.float32)


def _eight_bit(picture: Array) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)
