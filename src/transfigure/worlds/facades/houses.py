"""The geometry of the facades: a street front seen head on, drawn from a seed.

A scene is one to three houses with a street before them; each house has its own proportions and customs (roof, window heads,
dressings, shutters, balconies, ground floor). Units and outlines are those of :mod:`.scene`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .materials import choose, draw_look
from .scene import (
    AWNING,
    BALCONY,
    CHIMNEY,
    CORNICE,
    DOOR,
    LAMP,
    PAVEMENT,
    PLANT,
    ROAD,
    ROOF,
    SHOP,
    SHUTTER,
    SKY,
    TRIM,
    WALL,
    WINDOW,
    Box,
    Part,
    Scene,
)

Corners = list[tuple[float, float]]


def draw_scene(world_seed: int, index: int, appearance: int = 0) -> Scene:
    """The ``index``-th scene of a world. Equal arguments give equal scenes.

    Args:
        world_seed: which world, >= 0.
        index: which scene in it, >= 0.
        appearance: another number, >= 0, dresses the same geometry in other materials, colours, light and noise: the label map
            stays as it is, the photos change.
    """
    rng = np.random.default_rng([world_seed, index])
    ground = rng.uniform(0.85, 0.92)
    kerb = ground + rng.uniform(0.03, 0.055)
    layout = choose(rng, ["one", "two", "three", "detached"], [0.3, 0.28, 0.22, 0.2])
    cuts = {
        "one": [-0.02, 1.02],
        "two": [-0.08, rng.uniform(0.34, 0.66), 1.08],
        "three": [-0.16, rng.uniform(0.16, 0.28), rng.uniform(0.72, 0.84), 1.16],
        "detached": [rng.uniform(0.08, 0.17), rng.uniform(0.83, 0.92)],
    }[layout]
    parts = [
        Part("sky", SKY, (0, 0, 1, ground)),
        Part("pavement", PAVEMENT, (0, ground, 1, kerb)),
        Part("road", ROAD, (0, kerb, 1, 1)),
    ]
    if layout == "detached":
        for box in ((-0.05, ground - rng.uniform(0.06, 0.16), cuts[0], ground), (cuts[-1], ground - rng.uniform(0.06, 0.16), 1.05, ground)):
            parts.append(_leafy(rng, "hedge", box, 0.03))
    houses = [House(rng, number, left, right, ground) for number, (left, right) in enumerate(pairwise(cuts))]
    for house in houses:
        parts += house.build(apart=layout == "detached")
    trees, lamps = choose(rng, (0, 1, 2), [0.45, 0.4, 0.15]), choose(rng, (0, 1, 2), [0.4, 0.4, 0.2])
    places = rng.permutation(np.linspace(0.06, 0.94, 6))
    for x in places[:trees]:
        parts += _tree(rng, float(x), kerb)
    for x in places[3 : 3 + lamps]:
        parts += _lamp(rng, float(x), kerb)
    parts = [part for part in parts if part.box[0] < 1 and part.box[2] > 0 and part.box[3] > 0]
    look = draw_look(np.random.default_rng([world_seed, index, appearance, 1]), len(houses), len(parts))
    main = max(houses, key=lambda house: min(house.right, 1) - max(house.left, 0))
    style = look.houses[main.number]
    factors: dict[str, float | int | str] = {
        "layout": layout,
        "houses": len(houses),
        "floors": main.floors,
        "columns": main.columns,
        "roof": main.roof,
        "ground_floor": main.ground_floor,
        "balconies": main.balconies,
        "trees": trees,
        "lamps": lamps,
        "material": style.material,
        "frames": style.frame_name,
        "time": look.time,
        "weather": look.weather,
        "season": look.season,
        "sun_x": look.sun_x,
        "sun_y": look.sun_y,
        "lit_windows": look.lit_share,
    }
    return Scene(tuple(parts), look, factors)


def _leafy(rng: np.random.Generator, kind: str, box: Box, radius: float) -> Part:
    """A hedge, a flower box: discs that fill a box from its bottom up, with a ragged top."""
    left, top, right, bottom = box
    count = max(2, round((right - left) / (1.1 * radius)))
    rows = max(1, round((bottom - top) / (1.3 * radius)))
    x = np.linspace(left, right, count)[None] + rng.normal(0, radius / 4, (rows, count))
    y = (np.linspace(top + radius, bottom - radius / 2, rows) if rows > 1 else np.array([(top + bottom) / 2]))[:, None]
    y = y + rng.normal(0, radius / 4, (rows, count))
    return _plant(kind, np.stack([x, y, rng.uniform(0.9, 1.2, x.shape) * radius], -1).reshape(-1, 3))


def _plant(kind: str, discs: npt.NDArray[np.float64]) -> Part:
    x, y, radius = discs.T
    box = (float((x - radius).min()), float((y - radius).min()), float((x + radius).max()), float((y + radius).max()))
    return Part(kind, PLANT, box, outline="discs", points=discs, depth=0.03)


def _tree(rng: np.random.Generator, x: float, foot: float) -> list[Part]:
    height, spread = rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.14)
    middle, tall = foot - height, spread * rng.uniform(0.9, 1.5)
    number = np.arange(19)
    angle, reach = number * 2.4 + rng.normal(0, 0.25, 19), np.sqrt((number + 0.5) / 19)  # a sunflower's spiral: even, never in rows
    radius = spread * rng.uniform(0.3, 0.45, 19)
    discs = np.stack([x + spread * reach * np.cos(angle), middle + tall * reach * np.sin(angle), radius], -1)
    stem = rng.uniform(0.008, 0.014)
    lowest_first = discs[np.argsort(-discs[:, 1])]
    return [Part("trunk", PLANT, (x - stem, middle, x + stem, foot - 0.005), depth=0.02), _plant("tree", lowest_first)]


def _lamp(rng: np.random.Generator, x: float, foot: float) -> list[Part]:
    top, stem, head = foot - rng.uniform(0.3, 0.42), 0.005, rng.uniform(0.016, 0.022)
    return [
        Part("post", LAMP, (x - stem, top, x + stem, foot - 0.004), depth=0.02),
        Part("post", LAMP, (x - 2.4 * stem, foot - 0.04, x + 2.4 * stem, foot - 0.004)),
        Part("lantern", LAMP, (x - head, top - 2.2 * head, x + head, top), outline="arch", depth=0.02),
    ]


class House:
    """One house front: draws its proportions and customs, then lists its parts from back to front."""

    def __init__(self, rng: np.random.Generator, number: int, left: float, right: float, ground: float) -> None:
        self.rng, self.number, self.left, self.right, self.ground = rng, number, left, right, ground
        width = right - left
        self.floors = choose(rng, [2, 3, 4, 5], [0.2, 0.35, 0.3, 0.15])
        roomy = {2: 1.35, 3: 1.15}.get(self.floors, 1.0)
        self.storey = min(roomy * rng.uniform(0.13, 0.2), (ground - 0.15) / (self.floors + 0.3))
        self.base = self.storey * rng.uniform(1.1, 1.35)
        self.eaves = ground - self.base - (self.floors - 1) * self.storey
        self.columns = int(np.clip(round(width / (self.storey * rng.uniform(0.72, 1.2))), 2 if width < 0.5 else 3, 8))
        self.roof = choose(rng, ["flat", "pitched", "mansard", "gable", "stepped"], [0.22, 0.26, 0.2, 0.17, 0.15])
        if width > 0.62 and self.roof in ("gable", "stepped") and self.eaves < 0.3:
            self.roof = "pitched"
        self.head = choose(rng, ["flat", "arch"], [0.72, 0.28])
        self.outline = "arch" if self.head == "arch" else "box"
        self.dressing = choose(rng, ["none", "sill", "lintel", "surround", "pediment"], [0.12, 0.28, 0.2, 0.25, 0.15])
        self.shutters = self.head == "flat" and self.dressing in ("none", "sill") and rng.random() < 0.7
        self.window_width = rng.uniform(0.3, 0.42) if self.shutters else rng.uniform(0.4, 0.66)
        self.window_height = rng.uniform(0.5, 0.72)
        self.ground_floor = choose(rng, ["shop", "dwelling", "arcade"], [0.45, 0.4, 0.15])
        self.balconies = choose(rng, ["none", "single", "row", "middle"], [0.42, 0.22, 0.18, 0.18])
        weights = np.ones(self.columns)
        if self.columns % 2 and rng.random() < 0.35:
            weights[self.columns // 2] = rng.uniform(1.25, 1.6)
        margin = width * rng.uniform(0.01, 0.05)
        self.bays = left + margin + np.concatenate([[0.0], np.cumsum(weights) / weights.sum()]) * (width - 2 * margin)
        self.parts: list[Part] = []

    def add(self, kind: str, label: int, box: Box, depth: float = 0.0, outline: str = "box", *, points: Corners | None = None) -> None:
        """One more part, in front of those before."""
        self.parts.append(Part(kind, label, box, self.number, outline, None if points is None else np.array(points), depth))

    def build(self, apart: bool) -> list[Part]:
        """All parts of the house. ``apart``: it has no neighbour, so its roof may jut out."""
        rng, left, right = self.rng, self.left, self.right
        self._roof(apart)
        self.add("wall", WALL, (left, self.eaves, right, self.ground))
        plinth = rng.random() < 0.5
        base_top = self.ground - self.base
        if rng.random() < 0.45:
            self.add("base", WALL, (left, base_top, right, self.ground))
        if plinth:
            self.add("plinth", TRIM, (left, self.ground - rng.uniform(0.015, 0.03), right, self.ground), 0.004)
        self._uprights()
        thick = rng.uniform(0.008, 0.014)
        for floor_number in range(1, self.floors):
            if rng.random() < (0.9 if floor_number == 1 else 0.25):
                y = self.ground - self.base - (floor_number - 1) * self.storey
                self.add("band", CORNICE, (left, y - thick / 2, right, y + thick / 2), 0.008)
        jut = 0.012 if apart else 0.0
        thick = rng.uniform(0.014, 0.03)
        self.add("cornice", CORNICE, (left - jut, self.eaves - thick / 2, right + jut, self.eaves + thick / 2), thick)
        if rng.random() < 0.4:
            self.add("cornice", CORNICE, (left - 2 * jut, self.eaves - thick * 0.8, right + 2 * jut, self.eaves - thick / 4), 1.3 * thick)
        for floor_number in range(1, self.floors):
            self._storey(floor_number)
        self._ground_floor()
        return self.parts

    def _roof(self, apart: bool) -> None:
        rng, left, right, eaves = self.rng, self.left, self.right, self.eaves
        jut = 0.03 if apart else 0.0
        width, middle = right - left, (left + right) / 2
        space = eaves - 0.03
        if self.roof == "flat":
            top = eaves - rng.uniform(0.02, 0.05)
            self._chimneys(top, top)
            self.add("wall", WALL, (left, top, right, eaves))
            self.add("cornice", CORNICE, (left, top - 0.008, right, top + 0.008), 0.008)
        elif self.roof in ("pitched", "mansard"):
            steep = self.roof == "mansard"
            height = min(rng.uniform(0.1, 0.18), 0.95 * space)
            top, inset = eaves - height, width * rng.uniform(0.02, 0.05) if steep else (rng.uniform(0.05, 0.16) if apart else 0.0)
            self._chimneys(top, eaves)
            corners = [(left + inset, top), (right - inset, top), (right + jut, eaves), (left - jut, eaves)]
            self.add("roof", ROOF, (left - jut, top, right + jut, eaves), 0.02, "convex", points=corners)
            if steep:
                self.add("cornice", CORNICE, (left + inset, top - 0.006, right - inset, top + 0.006), 0.006)
            if height > 0.07 and rng.random() < (0.9 if steep else 0.5):
                self._dormers(top, eaves)
        elif self.roof == "gable":
            top = eaves - min(width * rng.uniform(0.35, 0.6), space)
            self._chimneys((top + eaves) / 2, eaves)
            slope = (eaves - top) / (width / 2)
            lip = 0.028
            peak = [(middle, top - lip), (right + jut, eaves + jut * slope), (left - jut, eaves + jut * slope)]
            self.add("roof", ROOF, (left - jut, top - lip, right + jut, eaves + jut * slope), 0.02, "convex", points=peak)
            self.add(
                "gable", WALL, (left, top + lip, right, eaves), -0.02, "convex", points=[(middle, top + lip), (right, eaves), (left, eaves)]
            )
            self._attic(middle, top + 0.5 * (eaves - top), eaves)
        else:
            steps = int(rng.integers(3, 6))
            rise = min(width * rng.uniform(0.25, 0.45), space) / steps
            self._chimneys(eaves - rise * steps / 2, eaves)
            for step in range(steps):
                half = width / 2 * (1 - step / steps)
                y = eaves - (step + 1) * rise
                self.add("wall", WALL, (middle - half, y, middle + half, y + rise + 0.002))
                cap = min(0.012, rise / 3)
                self.add("trim", TRIM, (middle - half, y, middle + half, y + cap), 0.003)
                if step:
                    inner = width / 2 * (1 - (step + 1) / steps)
                    self.add("wall", WALL, (middle - inner, y + cap, middle + inner, y + rise + 0.002))
            self._attic(middle, eaves - rise * steps * 0.55, eaves)

    def _attic(self, middle: float, top: float, bottom: float) -> None:
        height = min(0.6 * (bottom - top), 0.1)
        if height < 0.03:
            return
        half, y = height * 0.32, (top + bottom) / 2
        if self.rng.random() < 0.4:
            self.add("trim", TRIM, (middle - half - 0.01, y - half - 0.01, middle + half + 0.01, y + half + 0.01), 0.003, "arch")
            self.add("window", WINDOW, (middle - half, y - half, middle + half, y + half), -0.008, "arch")
        else:
            self.add("window", WINDOW, (middle - half, y - height / 2, middle + half, y + height / 2), -0.01, self.outline)

    def _chimneys(self, top: float, bottom: float) -> None:
        for place in self.rng.permutation([0.08, 0.3, 0.62, 0.86])[: int(self.rng.integers(0, 3))]:
            x, half = self.left + place * (self.right - self.left), self.rng.uniform(0.014, 0.028)
            y = max(0.012, top - self.rng.uniform(0.03, 0.07))
            self.add("chimney", CHIMNEY, (x - half, y, x + half, bottom))
            self.add("chimney_cap", CHIMNEY, (x - half - 0.006, y, x + half + 0.006, y + 0.01), 0.006)

    def _dormers(self, top: float, eaves: float) -> None:
        every = choose(self.rng, (1, 2)) if self.columns > 3 else 1
        height = 0.62 * (eaves - top)
        round_head = self.rng.random() < 0.4
        for a, b in list(pairwise(self.bays))[(every - 1) :: every]:
            x, half = (a + b) / 2, min(0.4 * (b - a), 0.42 * height)
            y = eaves - height - 0.008
            hood = 0.45 * half
            self.add("roof", ROOF, (x - half - 0.008, y - hood, x + half + 0.008, y + 0.006), 0.01, "convex",
                     points=[(x, y - hood), (x + half + 0.008, y + 0.006), (x - half - 0.008, y + 0.006)])  # fmt: skip
            self.add("dormer", WALL, (x - half, y, x + half, eaves - 0.008), 0.012)
            pane = (x - 0.66 * half, y + 0.012, x + 0.66 * half, eaves - 0.016)
            self.add("window", WINDOW, pane, -0.006, "arch" if round_head else "box")

    def _uprights(self) -> None:
        """Quoins at the corners, or pilasters between the bays."""
        choice = self.rng.random()
        top = self.eaves
        if choice < 0.25:
            height, wide = self.rng.uniform(0.022, 0.034), self.rng.uniform(0.026, 0.04)
            for number, y in enumerate(np.arange(top, self.ground - height / 2, height)):
                reach = wide * (1.0 if number % 2 else 0.62)
                bottom = float(min(y + height * 0.9, self.ground))
                self.add("trim", TRIM, (self.left, float(y), self.left + reach, bottom), 0.002)
                self.add("trim", TRIM, (self.right - reach, float(y), self.right, bottom), 0.002)
        elif choice < 0.42:
            half = self.rng.uniform(0.007, 0.012)
            for x in self.bays:
                self.add("trim", TRIM, (x - half, top, x + half, self.ground - self.base), 0.005)
                self.add("trim", TRIM, (x - 1.6 * half, top, x + 1.6 * half, top + 0.022), 0.007)

    def _storey(self, number: int) -> None:
        rng = self.rng
        bottom = self.ground - self.base - (number - 1) * self.storey
        height = self.window_height * self.storey * (1.0 if number < self.floors - 1 or self.floors < 4 else 0.85)
        served = self.balconies != "none" and (number == 1 or rng.random() < 0.55)
        french = served and rng.random() < 0.7
        boxes = self.dressing != "pediment" and rng.random() < 0.2
        for column, (a, b) in enumerate(pairwise(self.bays)):
            x, half = (a + b) / 2, self.window_width * min(b - a, 1.2 * self.storey) / 2
            y1 = bottom - (0.02 if french else 0.2) * self.storey
            y0 = min(y1 - height, bottom - 0.2 * self.storey - 0.8 * height)
            self._window((x - half, y0, x + half, y1), sill=not french)
            if served and (self.balconies == "single" or (self.balconies == "middle" and column == self.columns // 2)):
                self.add("balcony", BALCONY, (x - 1.35 * half, bottom - 0.4 * self.storey, x + 1.35 * half, bottom + 0.008), 0.025)
            elif boxes and not served:
                self.parts.append(_leafy(rng, "flowers", (x - 0.9 * half, y1 - 0.02, x + 0.9 * half, y1 + 0.004), 0.009))
        if served and self.balconies == "row":
            inset = 0.03 * (self.right - self.left)
            self.add("balcony", BALCONY, (self.left + inset, bottom - 0.38 * self.storey, self.right - inset, bottom + 0.008), 0.025)

    def _window(self, box: Box, sill: bool = True) -> None:
        x0, y0, x1, y1 = box
        wide = 0.16 * (x1 - x0)
        if self.dressing in ("surround", "pediment"):
            self.add("trim", TRIM, (x0 - wide, y0 - wide, x1 + wide, y1 + wide / 2), 0.004, self.outline)
        if self.dressing == "pediment":
            rise, top = 0.24 * (x1 - x0), y0 - wide
            self.add("trim", TRIM, (x0 - 1.8 * wide, top - rise, x1 + 1.8 * wide, top), 0.008, "convex",
                     points=[((x0 + x1) / 2, top - rise), (x1 + 1.8 * wide, top), (x0 - 1.8 * wide, top)])  # fmt: skip
        if self.dressing == "lintel" and self.head == "flat":
            self.add("trim", TRIM, (x0 - wide, y0 - 0.016, x1 + wide, y0), 0.004)
        if self.shutters:
            leaf = 0.5 * (x1 - x0)
            self.add("shutter", SHUTTER, (x0 - leaf, y0, x0, y1), 0.004)
            self.add("shutter", SHUTTER, (x1, y0, x1 + leaf, y1), 0.004)
        self.add("window", WINDOW, box, -0.012, self.outline)
        if sill and self.dressing != "none":
            self.add("trim", TRIM, (x0 - wide, y1, x1 + wide, y1 + 0.01), 0.008)

    def _ground_floor(self) -> None:
        rng, ground = self.rng, self.ground
        top = ground - self.base
        entrance = int(rng.integers(0, self.columns)) if rng.random() < 0.6 else self.columns // 2
        style = "arch" if self.ground_floor == "arcade" or rng.random() < 0.3 else "box"
        striped = rng.random() < 0.55
        for column, (a, b) in enumerate(pairwise(self.bays)):
            x, bay = (a + b) / 2, b - a
            if column == entrance:
                self._door(x, min(0.3 * bay, 0.24 * self.base), top, style)
            elif self.ground_floor == "shop":
                pass
            elif self.ground_floor == "arcade":
                half = 0.38 * bay
                self.add("trim", TRIM, (x - 1.12 * half, top + 0.14 * self.base, x + 1.12 * half, ground), 0.003, "arch")
                self.add("shopglass", SHOP, (x - 0.92 * half, top + 0.14 * self.base + 0.2 * half, x + 0.92 * half, ground), -0.02, "arch")
            else:
                half = self.window_width * min(bay, 1.2 * self.storey) / 2
                self._window((x - half, top + 0.28 * self.base, x + half, top + 0.28 * self.base + self.window_height * self.storey))
        if self.ground_floor == "shop":
            sides = [(self.bays[0], self.bays[entrance]), (self.bays[entrance + 1], self.bays[-1])]
            for a, b in sides:
                if b - a > 0.05:
                    self._shop(a + 0.012, b - 0.012, top, striped)

    def _door(self, x: float, half: float, top: float, outline: str) -> None:
        y = top + self.rng.uniform(0.2, 0.32) * self.base
        if self.rng.random() < 0.7:
            self.add("trim", TRIM, (x - half - 0.014, y - 0.016, x + half + 0.014, self.ground), 0.006, outline)
        self.add("door", DOOR, (x - half, y, x + half, self.ground - 0.008), -0.014, outline)
        self.add("step", TRIM, (x - 1.3 * half, self.ground - 0.008, x + 1.3 * half, self.ground + 0.006), 0.006)

    def _shop(self, a: float, b: float, top: float, awning: bool) -> None:
        sign = top + 0.1 * self.base
        glass = sign + 0.2 * self.base
        self.add("fascia", SHOP, (a, sign, b, glass), 0.01)
        self.add("shopfront", SHOP, (a, glass, b, self.ground))
        self.add("shopglass", SHOP, (a + 0.012, glass + 0.008, b - 0.012, self.ground - 0.03), -0.01)
        if awning:
            drop = glass + self.rng.uniform(0.2, 0.3) * self.base
            flare = 0.012
            self.add("awning", AWNING, (a - flare, glass - 0.01, b + flare, drop), 0.05, "convex",
                     points=[(a + flare, glass - 0.01), (b - flare, glass - 0.01), (b + flare, drop), (a - flare, drop)])  # fmt: skip
