"""What the photos of the facades are painted on: a sheet of colour, a sheet of light, and the sensor that sees their product.

Pictures are painted at twice the size. The colour of things and the *light* are kept apart: the second says how much of the sun
reaches a pixel (day) or how much it shines by itself (night). :meth:`Canvas.photo` turns both into the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import materials
from .materials import Array, HouseLook
from .scene import Box, Part, Scene, cells, centres

FINE = 2
"""How many times finer than the final picture, per side, photos are painted."""

Whim = list[float]
"""The six small accidents of one part, each in [0, 1)."""
Brush = Callable[[Part, HouseLook, Whim], None]

OPEN_SKY = 1e9
"""What the sky has in the light map by day, so that it differs from all that shadows may fall on."""


def shrink(picture: Array) -> Array:
    """The mean over FINE by FINE (2 by 2) cells of the last two axes."""
    rows = picture[..., ::FINE, :] + picture[..., 1::FINE, :]
    return np.asarray((rows[..., ::FINE] + rows[..., 1::FINE]) / FINE**2, dtype=np.float32)


class Canvas:
    """An empty canvas for one scene.

    Args:
        scene: what will be painted.
        size: of the final picture, in pixels.
        mode: ``day``, ``night`` or ``lines`` (plain paint without masonry, weather and shadows, from which edges are drawn).
    """

    def __init__(self, scene: Scene, size: int, mode: str) -> None:
        self.scene, self.look, self.mode = scene, scene.look, mode
        self.night, self.plain = mode == "night", mode == "lines"
        self.sunny = mode == "day" and bool(scene.look.sun.any())
        self.n, self.pixel = FINE * size, 1 / size
        self.at = centres(self.n)
        self.colour: Array = np.zeros((3, self.n, self.n), dtype=np.float32)
        self.light: Array = np.zeros((self.n, self.n), dtype=np.float32)
        self.ground = scene.parts[0].box[3]
        self.glows: list[tuple[float, float, float, float, float]] = []
        """Night lights: x, y, spread across, spread down, strength."""
        self.mirror: Array = np.clip(0.5 + 0.3 * materials.waves(self.at, self.at, self.look.waves[0], 9, 24), 0.05, 1)
        self.wear: Array = materials.waves(self.at, self.at, self.look.waves[1], 14, 20)

    # ---- the light ------------------------------------------------------------------------------------------------------

    def photo(self) -> Array:
        """``[3, size, size]``, about [0, 1]: paint times light, seen by a sensor."""
        look = self.look
        if self.night:
            lamps = self._lamplight()
            for c in range(3):
                lit = look.night[c] + look.lamp[c] * lamps
                lit += self.light * (1 - lit)
                self.colour[c] *= lit
                self.colour[c] += (0.10 * look.lamp[c]) * np.minimum(lamps, 1.5)
        else:
            np.copyto(self.light, 1, where=self.light > 2)
            for c in range(3):
                self.colour[c] *= look.ambient[c] + look.sun[c] * self.light
        photo = shrink(self.colour)
        size = photo.shape[-1]
        strength = look.noise * (1.6 if self.night else 1.0)
        common = np.float32(0.8 * strength) * materials.grain(size, size, look.seed)
        for c in range(3):
            photo[c] += common + np.float32(0.5 * strength) * materials.grain(size, size, look.seed // 3 + 7919 * (c + 1))
        return photo

    def _lamplight(self) -> Array:
        """``[n, n]``: every lamp, shop and lit window throws a soft spot; each is an outer product, all of them one matrix product."""
        if not self.glows:
            return np.zeros_like(self.light)
        x, y, across, down, strength = np.array(self.glows, dtype=np.float32).T
        rows = np.exp(-(((self.at[:, None] - y) / down) ** 2)) * strength
        return np.asarray(rows @ np.exp(-(((self.at[:, None] - x) / across) ** 2)).T, dtype=np.float32)

    def shade_from_opposite(self) -> None:
        """With a low sun, the roofs across the street may shade the lower part of the fronts."""
        look = self.look
        if not self.sunny or look.time == "noon" or look.seed % 3:
            return
        heights = 0.72 + 0.07 * np.clip(look.waves[2, 0, :6], -1.5, 2)
        edge = heights[np.clip((self.at * 5 + look.waves[2, 1, 0]).astype(int), 0, 5)] + 0.04 * look.sun_x * (self.at - 0.5)
        shade = np.where(self.at[:, None] > edge[None, :], np.float32(0.12), np.float32(1))
        for part in self.scene.parts:
            if part.kind in ("pavement", "road") or (part.kind == "wall" and part.box[3] == self.ground):
                rows, cols = cells(part.box, self.n)
                self.light[rows, cols] *= shade[rows, cols]

    def cast(self, part: Part) -> None:
        """The shadow of a part on what lies behind it; a faint one below it even under an even sky."""
        if self.plain or part.depth * self.n < 0.7:
            return
        dx, dy = part.depth * self.look.sun_x, part.depth * self.look.sun_y
        left, top, right, bottom = part.box
        if part.outline in ("box", "arch"):
            rows, cols = cells((left - 0.002, bottom, right + 0.002, bottom + 0.35 * part.depth + 0.003), self.n)
            self.colour[:, rows, cols] *= np.float32(0.8)
            if self.sunny:
                rows, cols = cells((left + dx, top + dy, right + dx, bottom + dy), self.n)
                self.light[rows, cols] *= np.float32(0.1)
        elif self.sunny and part.kind not in ("roof", "flowers"):
            rows, cols, inside = part.stencil(self.n)
            down, along = round(dy * self.n), round(dx * self.n)
            r = slice(max(rows.start + down, 0), min(rows.stop + down, self.n))
            c = slice(max(cols.start + along, 0), min(cols.stop + along, self.n))
            if inside is None or r.start >= r.stop or c.start >= c.stop:
                return
            y, x = r.start - down - rows.start, c.start - along - cols.start
            shadow = inside[y : y + r.stop - r.start, x : x + c.stop - c.start]
            if part.kind in ("tree", "hedge"):  # leaves let some sun through
                shadow = shadow & (materials.grain(shadow.shape[0], shadow.shape[1], self.look.seed) < 0.9)
            self.light[r, c][shadow] *= np.float32(0.15)

    # ---- the brush ------------------------------------------------------------------------------------------------------

    def fill(self, rows: slice, cols: slice, paint: Array, shine: float = 0.0) -> None:
        """Cover pixels with a colour or a texture; at night they shine by themselves as far as ``shine`` says."""
        self.colour[:, rows, cols] = paint[:, None, None] if paint.ndim == 1 else paint
        self.light[rows, cols] = shine if self.night else 1.0

    def line(self, box: Box, paint: Array, shine: float = 0.0) -> None:
        """Fill a box, at least one fine pixel thin."""
        self.fill(*cells(box, self.n), paint, shine)

    def cut_out(self, painter: Brush, part: Part, house: HouseLook, whim: Whim) -> None:
        """Paint the whole bounding box, then put back what was outside the outline."""
        rows, cols, inside = part.stencil(self.n, FINE)
        if inside is None:
            return
        colour, light = self.colour[:, rows, cols].copy(), self.light[rows, cols].copy()
        painter(part, house, whim)
        outside = ~inside
        np.copyto(self.colour[:, rows, cols], colour, where=outside)
        np.copyto(self.light[rows, cols], light, where=outside)

    def in_sight(self, part: Part) -> bool:
        """Whether any fine pixel can show the part."""
        left, top, right, bottom = part.box
        edge = 1 - 0.5 / self.n
        return left < edge and top < edge and right >= FINE / self.n and bottom >= FINE / self.n

    def where(self, part: Part) -> tuple[slice, slice, Array, Array]:
        """A part's rows and columns on the canvas, and their centres."""
        rows, cols = cells(part.box, self.n, FINE)
        return rows, cols, self.at[rows], self.at[cols]
