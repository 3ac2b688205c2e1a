"""The brushes of the facades: how every kind of part is painted, by day, by night, and as plain paint for the edges.

Nothing here is drawn at random: a scene's :class:`~.materials.SceneLook` holds every accident.
"""

from __future__ import annotations

import numpy as np

from . import materials
from .canvas import FINE, OPEN_SKY, Brush, Canvas, Whim
from .materials import LUMA, HouseLook
from .scene import Box, Part, Scene, cells


class Painter(Canvas):
    """Paints a whole scene at once; ``colour`` and ``light`` hold the result, and :meth:`~.canvas.Canvas.photo` develops it."""

    def __init__(self, scene: Scene, size: int, mode: str) -> None:
        super().__init__(scene, size, mode)
        kerbside = next((k for k, part in enumerate(scene.parts) if part.kind in ("trunk", "post")), len(scene.parts))
        for k, (part, whim) in enumerate(zip(scene.parts, self.look.whims.tolist(), strict=True)):
            if k == kerbside:
                self.shade_from_opposite()  # before the trees and lamps, which stand in the sun
            if not self.in_sight(part):
                continue
            self.cast(part)
            brush: Brush = getattr(self, f"_{part.kind}")
            house = self.look.houses[part.house]
            if part.outline == "box":
                brush(part, house, whim)
            else:
                self.cut_out(brush, part, house, whim)
        if kerbside == len(scene.parts):
            self.shade_from_opposite()

    def _trim(self, part: Part, house: HouseLook, whim: Whim) -> None:
        """Cornices, sills, quoins, steps: dressed stone with a light upper and a dark lower edge."""
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, house.trim * np.float32(0.96 + 0.08 * whim[0]))
        if not self.plain and rows.stop - rows.start > 3:
            self.colour[:, rows.start : rows.start + 1, cols] *= np.float32(1.1)
            self.colour[:, rows.stop - 1 : rows.stop, cols] *= np.float32(0.72)

    _step = _plinth = _chimney_cap = _trim

    def _cornice(self, part: Part, house: HouseLook, whim: Whim) -> None:
        self._trim(part, house, whim)
        rows, cols = cells(part.box, self.n, FINE)
        if house.seed % 2 and rows.stop - rows.start >= 6:  # dentils
            pitch = max(4, round(0.012 * self.n))
            for start in range(pitch // 2):
                self.colour[:, (rows.start + rows.stop) // 2 : rows.stop - 1, cols.start + start : cols.stop : pitch] *= np.float32(0.6)

    _band = _trim

    def _sky(self, part: Part, house: HouseLook, whim: Whim) -> None:
        look = self.look
        rows, cols, y, x = self.where(part)
        if self.plain:
            return self.fill(rows, cols, np.ones(3, dtype=np.float32))
        down = np.clip(y / np.float32(0.75), 0, 1)[None, :, None]
        clouds = np.add.reduce(
            [
                materials.waves(y, x, nodes, *shape) * np.float32(weight)
                for nodes, shape, weight in zip(look.waves, ((5, 4), (11, 8), (24, 20)), (0.7, 0.45, 0.28), strict=True)
            ]
        )
        cover = np.clip((clouds + np.float32(look.cloud_cover - 0.35)) * 2.2, 0, 1)[None]
        if self.night:
            paint = look.night[:, None, None] * (0.35 + 0.75 * down) + look.lamp[:, None, None] * (0.06 * down + 0.05 * cover)
            stars = (materials.grain(len(y), len(x), look.seed) > 3.0) & (cover[0] < 0.3)
            paint = np.where(stars, np.float32(0.8), paint)
            self.fill(rows, cols, paint, shine=1.0)
            if look.seed % 2:
                mx, my = 0.1 + 0.8 * look.waves[0, 0, 0] % 0.8, 0.05 + 0.06 * abs(look.waves[0, 0, 1])
                moon = (y[:, None] - my) ** 2 + (x[None] - mx) ** 2 < 0.022**2
                self.colour[:, rows, cols][:, moon] = np.array([[0.95], [0.94], [0.85]], dtype=np.float32)
            return None
        paint = look.zenith[:, None, None] * (1 - down) + look.horizon[:, None, None] * down
        white = np.float32(0.97) - np.float32(0.16) * np.clip(clouds, 0, 1)
        paint = paint + (white - paint) * cover * np.float32(0.85)
        self.fill(rows, cols, paint / (look.ambient + look.sun)[:, None, None])
        self.light[rows, cols] = OPEN_SKY
        return None

    def _pavement(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        look = self.look
        if self.plain:
            return self.fill(rows, cols, look.paving)
        self.fill(rows, cols, materials.paving(y, x, look.paving, self.pixel, seed=look.seed, ground=self.ground))
        self.colour[:, rows.stop - max(2, self.n // 128) : rows.stop, cols] *= np.float32(1.12)
        return None

    def _road(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        tone = np.float32(0.3 + 0.1 * whim[0])
        if self.plain:
            return self.fill(rows, cols, np.full(3, tone, dtype=np.float32))
        cobbles = whim[1] < 0.35
        paint = np.array([1.0, 1.0, 1.04], dtype=np.float32) * tone
        if cobbles:
            side = max(0.016, 3 * self.pixel)
            shades, gap = (paint * np.float32(1.15), paint * np.float32(0.75), paint * np.float32(0.5)), 0.8 * self.pixel
            surface = materials.courses(y, x, shades, materials.Bricks(side, 1.3 * side, gap, self.look.seed))
        else:
            surface = paint[:, None, None] * (1 + 0.09 * materials.grain(len(y), len(x), self.look.seed) + 0.06 * self.wear[rows, cols])
        self.fill(rows, cols, surface)
        self.colour[:, rows.start : rows.start + max(1, self.n // 128), cols] *= np.float32(0.55)
        return None

    def _wall(self, part: Part, house: HouseLook, whim: Whim, base: bool = False) -> None:
        rows, cols, y, x = self.where(part)
        paint = materials.wall(y, x, house, self.pixel, base=base, plain=self.plain)
        if not self.plain:
            damp = np.clip((y - np.float32(self.ground - 0.05)) / np.float32(0.05), 0, 1) * np.float32(0.22 * house.wear)
            paint *= (1 + np.float32(0.07 * house.wear) * self.wear[rows, cols]) * (1 - damp)[:, None]
        self.fill(rows, cols, paint)

    def _base(self, part: Part, house: HouseLook, whim: Whim) -> None:
        self._wall(part, house, whim, base=True)

    _gable = _dormer = _wall

    def _roof(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        paint = materials.roof(y, x, house, self.pixel, plain=self.plain)
        self.fill(rows, cols, paint if self.plain else paint * (1 + np.float32(0.09) * self.wear[rows, cols]))

    def _chimney(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        brick, height = materials.colour("9a5a44") * np.float32(0.8 + 0.4 * whim[0]), max(house.course, 2.6 * self.pixel)
        if self.plain:
            return self.fill(rows, cols, brick)
        shades, gap = (brick, brick * np.float32(0.7), house.mortar), 0.8 * self.pixel
        self.fill(rows, cols, materials.courses(y, x, shades, materials.Bricks(height, 2 * height, gap, house.seed)))
        self.colour[:, rows, (cols.start + cols.stop) // 2 : cols.stop] *= np.float32(0.8)
        return None

    def _window(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, house.frame)
        edge = max(0.006, 0.5 * self.pixel)
        lit = self.night and whim[0] < self.look.lit_share
        self._glass((left + edge, top + edge, right - edge, bottom - edge), house, whim, lit)
        down, across = house.bars
        thick = max(0.005, 0.5 * self.pixel)
        for k in range(1, down + 1):
            x = left + (right - left) * k / (down + 1)
            self.line((x - thick / 2, top, x + thick / 2, bottom), house.frame)
        for k in range(1, across + 1):
            y = top + (bottom - top) * (k / (across + 1) if across != 1 else 0.32)
            self.line((left, y - thick / 2, right, y + thick / 2), house.frame)
        if self.plain:
            return
        reveal = -part.depth
        shadow, _ = cells((left, top, right, top + reveal * max(self.look.sun_y, 0.45)), self.n)
        self.colour[:, shadow, cols] *= np.float32(0.72)
        if not self.night:
            self.light[shadow, cols] *= np.float32(0.15)
            if self.look.sun_x:
                start, stop = (left, left + reveal * self.look.sun_x) if self.look.sun_x > 0 else (right + reveal * self.look.sun_x, right)
                _, side = cells((start, top, stop, bottom), self.n)
                self.light[rows, side] *= np.float32(0.15)
        if lit:
            self.glows.append(((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.22))

    def _glass(self, box: Box, house: HouseLook, whim: Whim, lit: bool) -> None:
        left, top, right, bottom = box
        rows, cols = cells(box, self.n)
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return
        dark = np.array([0.1, 0.12, 0.14], dtype=np.float32)
        if self.plain:
            return self.fill(rows, cols, dark)
        width, height = right - left, bottom - top
        cloth = np.array([0.93, 0.9, 0.84], dtype=np.float32) * np.float32(0.75 + 0.25 * whim[3])
        if lit:
            hue = np.array([1.0, 0.78 + 0.16 * whim[1], 0.42 + 0.4 * whim[1]], dtype=np.float32) * np.float32(0.75 + 0.3 * whim[2])
            fall = (1.08 - 0.4 * np.linspace(0, 1, rows.stop - rows.start, dtype=np.float32))[None, :, None]
            self.fill(rows, cols, hue[:, None, None] * fall, shine=1.0)
            cloth, shine = cloth * hue * np.float32(0.72), 1.0
        else:
            sky = self.look.night * np.float32(1.2) if self.night else 0.5 * (self.look.zenith + self.look.horizon)
            share = self.mirror[rows, cols] * np.float32(0.15 + 0.65 * whim[1])
            self.fill(rows, cols, dark[:, None, None] + (sky - dark)[:, None, None] * share)
            shine = 0.0
        if house.blinds == "curtains" and whim[4] < 0.8:
            part = width * (0.14 + 0.2 * whim[5])
            self.line((left, top, left + part, bottom), cloth, shine)
            self.line((right - part, top, right, bottom), cloth * np.float32(0.93), shine)
        elif house.blinds == "roller" and whim[4] < 0.7:
            self.line((left, top, right, top + height * whim[5]), cloth, shine)
        elif house.blinds == "nets" and whim[4] < 0.75:
            rows, cols = cells((left, top + height * 0.5 * (whim[5] > 0.5), right, bottom), self.n)
            self.colour[:, rows, cols] += (cloth[:, None, None] - self.colour[:, rows, cols]) * np.float32(0.65)
        return None

    def _shutter(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, _ = self.where(part)
        slats = 0.8 + 0.35 * np.mod(y / np.float32(max(0.011, 2.2 * self.pixel)), 1)
        paint = house.shutter[:, None, None] * (1.0 if self.plain else slats[None, :, None]) * np.ones(cols.stop - cols.start, np.float32)
        self.fill(rows, cols, paint.astype(np.float32))
        self.colour[:, rows, cols.start : cols.start + 1] *= np.float32(0.6)
        self.colour[:, rows.start : rows.start + 1, cols] *= np.float32(0.7)

    def _door(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        width, height = right - left, bottom - top
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, house.door)
        lit = self.night and whim[0] < 0.6
        fanlight = (left + 0.1 * width, top + 0.06 * height, right - 0.1 * width, top + 0.2 * height)
        self._glass(fanlight, house, [min(value, 0.6) for value in whim], lit)
        dark, face = house.door * np.float32(0.68), house.door * np.float32(1.25 if whim[1] < 0.5 else 1.0)
        line = 0.5 * self.pixel
        for a, b in ((0.12, 0.46), (0.54, 0.88)):
            for c, d in ((0.27, 0.6), (0.66, 0.93)):
                x, y = left + a * width, top + c * height
                self.line((x, y, left + b * width, top + d * height), dark)
                self.line((x + line, y + line, left + b * width, top + d * height), face)
        self.line((right - 0.16 * width, top + 0.61 * height, right - 0.09 * width, top + 0.64 * height), materials.colour("d9b55a"))
        if not self.plain:
            shadow, _ = cells((left, top, right, top + 0.02), self.n)
            self.light[shadow, cols] *= np.float32(1.0 if self.night else 0.15)
            self.colour[:, shadow, cols] *= np.float32(0.7)
        if self.night and whim[2] < 0.6:
            self.glows.append(((left + right) / 2, top, 0.07, 0.1, 0.8))

    def _balcony(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        rows, cols = cells(part.box, self.n, FINE)
        inner = slice(rows.start, rows.stop)
        pitch = max(8 if self.plain else 4, round(0.013 * self.n))
        if house.railing == "boards":
            self.fill(inner, cols, house.shutter)
            self.colour[:, inner, cols.start : cols.stop : pitch] *= np.float32(0.6)
        elif house.railing == "balusters":
            thick = max(2, pitch // 2)
            self.colour[:, inner, cols] *= np.float32(0.45)
            for k in range(thick):
                self.colour[:, inner, cols.start + k : cols.stop : pitch] = (house.trim * np.float32(1.0 - 0.12 * k))[:, None, None]
                self.light[inner, cols.start + k : cols.stop : pitch] = 0.0 if self.night else 1.0
        elif house.railing == "glass":
            self.colour[:, inner, cols] += (self.look.horizon[:, None, None] - self.colour[:, inner, cols]) * np.float32(0.35)
        else:
            bar = max(1, round(0.003 * self.n))
            for k in range(bar):
                self.colour[:, inner, cols.start + k : cols.stop : pitch] = house.rail[:, None, None]
                self.light[inner, cols.start + k : cols.stop : pitch] = 0.0 if self.night else 1.0
            middle = top + 0.3 * (bottom - top)
            self.line((left, middle, right, middle + 0.003), house.rail)
        self.line((left, top, right, top + 0.006), house.trim if house.railing == "balusters" else house.rail)
        slab = 0.011
        self.line((left, bottom - slab, right, bottom), house.trim)
        self.line((left, bottom - slab / 3, right, bottom), house.trim * np.float32(0.6))

    def _fascia(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, house.shop)
        pale = float(LUMA @ house.shop) < 0.5
        ink = materials.colour("f6ecd2" if pale else "2b2622")
        high = bottom - top
        letter, count = 0.5 * high, int(4 + 8 * whim[0])
        start = (left + right) / 2 - count * letter * 0.45
        lit = self.night and whim[1] < 0.6
        for k in range(count):
            x, kind = start + k * 0.9 * letter, (self.look.seed // (k + 3)) % 5
            if kind and left + 0.01 < x and x + 0.6 * letter < right - 0.01:
                y0, y1 = top + (0.42 if kind == 3 else 0.25) * high, bottom - 0.25 * high
                self.line((x, y0, x + (0.25 if kind == 2 else 0.6) * letter, y1), ink, 0.9 if lit else 0.0)
                if kind in (1, 4):
                    self.line((x + 0.2 * letter, y0 + 0.2 * letter, x + 0.42 * letter, y1 - 0.2 * letter), house.shop)
        self.line((left, bottom - 0.005, right, bottom), house.shop * np.float32(0.6))

    def _shopfront(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, house.shop * np.float32(0.9))

    def _shopglass(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        rows, cols = cells(part.box, self.n, FINE)
        lit = self.night and whim[0] < 0.75
        dark = np.array([0.13, 0.12, 0.12], dtype=np.float32)
        if self.plain:
            self.fill(rows, cols, dark)
        else:
            share = self.mirror[rows, cols] * np.float32(0.1 + 0.3 * whim[1])
            sky = self.look.night if self.night else self.look.horizon
            glow = np.array([1.0, 0.86, 0.6], dtype=np.float32)[:, None, None]
            pane = glow * (1 - 0.3 * share) if lit else dark[:, None, None] + (sky - dark)[:, None, None] * share
            self.fill(rows, cols, pane, float(lit))
            rng = np.random.default_rng(int(whim[2] * 2**20))
            shelf, count = bottom - 0.12 * (bottom - top), int((right - left) / 0.02)
            for k in range(count):  # wares
                x, tall = left + (k + 0.5) * (right - left) / count, rng.uniform(0.12, 0.45) * (bottom - top)
                ware = rng.uniform(0.15, 0.9, 3).astype(np.float32) * np.float32(0.9 if lit else 0.6)
                if rng.random() < 0.75:
                    self.line((x - 0.006, shelf - tall, x + 0.007, shelf), ware, 0.75 if lit else 0.0)
            self.line((left, shelf, right, shelf + 0.006), house.shop * np.float32(0.7))
        panes = max(1, round((right - left) / (0.09 + 0.08 * whim[4])))
        for k in range(panes + 1):
            x = left + (right - left) * k / panes
            self.line((x - 0.004, top, x + 0.004, bottom), house.shop)
        self.line((left, top + 0.22 * (bottom - top), right, top + 0.22 * (bottom - top) + 0.006), house.shop)
        if lit:
            self.glows.append(((left + right) / 2, bottom + 0.02, 0.6 * (right - left) + 0.03, 0.07, 0.9))

    def _awning(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        stripe = np.mod(x / np.float32(max(0.034, 4 * self.pixel)), 1) < 0.5
        cloth = np.where(stripe, house.awning[0][:, None], house.awning[1][:, None])[:, None, :]
        slope = np.float32(1.08) - np.float32(0.25) * (y - y[0]) / np.float32(part.box[3] - part.box[1])
        self.fill(rows, cols, cloth * (np.ones_like(slope) if self.plain else slope)[None, :, None])
        self.colour[:, rows.stop - max(2, self.n // 80) : rows.stop, cols] *= np.float32(0.8)

    def _flowers(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols, y, x = self.where(part)
        leaf, bloom = materials.colour("4f7d3a"), house.awning[0] * np.float32(1.25)
        speckle = materials.grain(len(y), len(x), self.look.seed)
        leaves = leaf[:, None, None] * (1 + np.float32(0.0 if self.plain else 0.2) * speckle)
        self.fill(rows, cols, np.where(speckle > (9 if self.plain else 0.8), bloom[:, None, None], leaves))

    def _tree(self, part: Part, house: HouseLook, whim: Whim) -> None:
        assert part.points is not None
        leaf = (self.look.leaves if part.kind == "tree" else materials.colour("4d7338")) * np.float32(0.85 + 0.3 * whim[0])
        rows, cols, y, x = self.where(part)
        if self.plain:
            return self.fill(rows, cols, leaf)
        tone = np.full((len(y), len(x)), 0.72, dtype=np.float32)
        toward = -np.sign(self.look.sun_x) * 0.35
        for number, (cx, cy, radius) in enumerate(part.points.tolist()):
            r, c = cells((cx - radius, cy - radius, cx + radius, cy + radius), self.n)
            r, c = slice(max(r.start, rows.start), min(r.stop, rows.stop)), slice(max(c.start, cols.start), min(c.stop, cols.stop))
            if r.start >= r.stop or c.start >= c.stop:
                continue
            v, u = (self.at[r, None] - np.float32(cy)) / np.float32(radius), (self.at[None, c] - np.float32(cx)) / np.float32(radius)
            ball = np.float32(0.84 + 0.05 * (number % 5)) + np.float32(0.2) * (toward * u - 0.9 * v)
            spot = tone[r.start - rows.start : r.stop - rows.start, c.start - cols.start : c.stop - cols.start]
            np.copyto(spot, ball, where=u * u + v * v < 1)
        coarse = materials.grain(-(-len(y) // 3), -(-len(x) // 3), self.look.seed).repeat(3, 0).repeat(3, 1)[: len(y), : len(x)]
        tone += 0.15 * coarse + 0.09 * materials.grain(len(y), len(x), self.look.seed + 5)
        return self.fill(rows, cols, leaf[:, None, None] * np.maximum(tone, 0.15))

    _hedge = _tree

    def _trunk(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols = cells(part.box, self.n, FINE)
        bark = np.array([0.36, 0.29, 0.23], dtype=np.float32)
        self.fill(rows, cols, bark)
        self.colour[:, rows, (cols.start + cols.stop) // 2 : cols.stop] *= np.float32(0.7)

    def _post(self, part: Part, house: HouseLook, whim: Whim) -> None:
        rows, cols = cells(part.box, self.n, FINE)
        self.fill(rows, cols, np.array([0.13, 0.16, 0.15], dtype=np.float32))
        self.colour[:, rows, cols.start : cols.start + 1] *= np.float32(1.6)

    def _lantern(self, part: Part, house: HouseLook, whim: Whim) -> None:
        left, top, right, bottom = part.box
        iron = np.array([0.13, 0.16, 0.15], dtype=np.float32)
        self.line(part.box, iron)
        pane = self.look.lamp * np.float32(1.15) if self.night else np.array([0.9, 0.9, 0.85], dtype=np.float32)
        self.line((left + 0.007, top + 0.011, right - 0.007, bottom - 0.004), pane, 1.0)
        x, y = (left + right) / 2, (top + bottom) / 2
        self.glows += [(x, y, 0.05, 0.05, 1.2), (x, y + 0.08, 0.2, 0.24, 0.8)]
