// The sheet: the pixels a model will see, at its own resolution, with undo. Shapes are Konva's; what they cover is painted in flat colour.

const HISTORY = 64 * 2 ** 20; // bytes of earlier states that are kept
const COVERED = 120; // of 255: about half a pixel, a little less so that no thin slanted line has gaps

/** A colour "#rrggbb" as the 32 bits of one opaque pixel of ImageData (little-endian, as every browser's machine is). */
function pixelOf(color) {
  const value = parseInt(color.slice(1), 16);
  return joined([value >> 16, (value >> 8) & 255, value & 255]);
}

const parts = pixel => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
const joined = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

export class Sheet {
  /**
   * `background` and `palette` are colours "#rrggbb". With a palette every pixel has one of its colours, and nothing between;
   * without one (null) the edges of strokes are soft. `grey`: it holds greys only.
   */
  constructor(height, width, background, palette, grey) {
    this.width = width;
    this.height = height;
    this.background = pixelOf(background);
    this.palette = palette?.map(pixelOf) ?? null;
    this.grey = grey && !palette;
    this.canvas = Object.assign(document.createElement("canvas"), { width, height });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer).fill(this.background);
    this.file = null; // a file that is sent itself, in place of the pixels; `visible` says whether they show it
    this.past = [];
    this.future = [];
    this.show();
  }

  show() {
    this.context.putImageData(this.image, 0, 0);
  }

  // ---- what was ------------------------------------------------------------------------------------------------------------

  /** Keep the present state, for undo. */
  remember() {
    this.past.push(this.#state());
    if (this.past.length * this.image.data.length > HISTORY) this.past.shift();
    this.future = [];
  }

  undo() {
    return this.#step(this.past, this.future);
  }

  redo() {
    return this.#step(this.future, this.past);
  }

  #state() {
    return { pixels: this.pixels.slice(), file: this.file };
  }

  #step(from, to) {
    const state = from.pop();
    if (!state) return false;
    to.push(this.#state());
    this.pixels.set(state.pixels);
    this.file = state.file;
    this.show();
    return true;
  }

  // ---- painting ------------------------------------------------------------------------------------------------------------

  /** Begin a stroke: shapes added to it cover together, however often they overlap. */
  begin(color) {
    this.remember();
    this.file = null;
    return { pixel: this.#inkOf(color), before: this.pixels.slice(), cover: new Uint8Array(this.pixels.length) };
  }

  /** Paint a Konva shape as part of a stroke. `alone`: in place of what the stroke has covered until now. */
  add(stroke, shape, alone = false) {
    if (alone) {
      stroke.cover.fill(0);
      this.pixels.set(stroke.before);
    }
    const box = shape.getClientRect();
    const left = Math.max(0, Math.floor(box.x) - 1), right = Math.min(this.width, Math.ceil(box.x + box.width) + 1);
    const top = Math.max(0, Math.floor(box.y) - 1), bottom = Math.min(this.height, Math.ceil(box.y + box.height) + 1);
    const [width, height] = [right - left, bottom - top];
    if (width > 0 && height > 0) {
      const drawn = shape.toCanvas({ x: left, y: top, width, height, pixelRatio: 1 });
      const alpha = drawn.getContext("2d").getImageData(0, 0, width, height).data;
      for (let y = 0, from = 3; y < height; y++) {
        for (let x = 0, at = (top + y) * this.width + left; x < width; x++, at++, from += 4) {
          if (alpha[from] > stroke.cover[at]) this.#paint(stroke, at, alpha[from]);
        }
      }
    }
    this.show();
  }

  #inkOf(color) {
    return this.grey ? greyOf(pixelOf(color)) : pixelOf(color);
  }

  #paint(stroke, at, alpha) {
    stroke.cover[at] = alpha;
    if (this.palette) {
      if (alpha >= COVERED) this.pixels[at] = stroke.pixel;
    } else {
      this.pixels[at] = blend(stroke.before[at], stroke.pixel, alpha / 255);
    }
  }

  /** Give all pixels that hang together with this one, and have its colour, another. */
  fill(x, y, color) {
    const pixel = this.#inkOf(color), start = y * this.width + x, old = this.pixels[start];
    if (old === pixel && !this.file) return;
    this.remember();
    this.file = null;
    const open = old === pixel ? [] : [start];
    while (open.length) {
      const at = open.pop();
      if (this.pixels[at] !== old) continue;
      this.pixels[at] = pixel;
      const column = at % this.width;
      if (column > 0) open.push(at - 1);
      if (column < this.width - 1) open.push(at + 1);
      if (at >= this.width) open.push(at - this.width);
      if (at < this.pixels.length - this.width) open.push(at + this.width);
    }
    this.show();
  }

  clear() {
    this.remember();
    this.file = null;
    this.pixels.fill(this.background);
    this.show();
  }

  /** Several changes as one for undo. */
  atOnce(change) {
    this.remember();
    const past = [...this.past];
    change();
    this.past = past;
  }

  /** Lay a decoded picture over the whole sheet: its middle (`crop`) or all of it with the background around it (`whole`). */
  lay(picture, how, nearest) {
    const scale = Math[how === "crop" ? "max" : "min"](this.width / picture.width, this.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    this.pixels.fill(this.background);
    this.show();
    this.context.imageSmoothingEnabled = !nearest; // colours between two classes would be taken for a third
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(picture, (this.width - width) / 2, (this.height - height) / 2, width, height);
    this.image.data.set(this.context.getImageData(0, 0, this.width, this.height).data);
    if (nearest) this.#toNearest();
    else if (this.grey) this.pixels.forEach((pixel, at) => (this.pixels[at] = greyOf(pixel)));
    this.show();
  }

  #toNearest() {
    const colors = this.palette.map(parts);
    const known = new Map();
    for (let at = 0; at < this.pixels.length; at++) {
      const pixel = this.pixels[at];
      if (!known.has(pixel)) {
        const rgb = parts(pixel);
        const far = colors.map(color => color.reduce((sum, value, i) => sum + (value - rgb[i]) ** 2, 0));
        known.set(pixel, this.palette[far.indexOf(Math.min(...far))]);
      }
      this.pixels[at] = known.get(pixel);
    }
  }

  /** The pixels at a model's own size: `{width, height, data}`, RGBA. */
  at(height, width) {
    if (height === this.height && width === this.width) return this.image;
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
    context.imageSmoothingEnabled = !this.palette;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.canvas, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  }
}

function blend(below, above, share) {
  const to = parts(above);
  return joined(parts(below).map((value, i) => Math.round(value + (to[i] - value) * share)));
}

function greyOf(pixel) {
  const [red, green, blue] = parts(pixel), value = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  return joined([value, value, value]);
}
