// The page: a sheet to draw on, and beside it what each chosen model makes of it, again after every change.

import { encodePng } from "./png.js";
import { drawHouse, hasHouse } from "./scene.js";
import { overview, takeToken, translate } from "./server.js";
import { Sheet } from "./sheet.js";

const $ = id => document.getElementById(id);
const INK = "#000000", PAPER = "#ffffff";
const BRUSHES = [1, 2, 4, 8, 16]; // pixels of a sheet of 128
const DRAWN = "transfigure.drawn ";
const PAUSE = 30; // ms between a change and its request: what else comes in that time goes with it
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

let models, limits;
let chosen = []; // models, in the server's order; the sheet is the first one's
let sheet; // what is drawn on
const sheets = new Map(); // one for each kind of sheet that was drawn on, so that nothing is lost by choosing another model
let photo = null; // the photo that was the last change of the sheet
let version = 0; // of everything a picture depends on

// ---- the pictures: one request at a time for each model, and the newest sheet wins -------------------------------------------

class Picture {
  constructor(model) {
    this.model = model;
    this.figure = $("picture").content.firstElementChild.cloneNode(true);
    const find = selector => this.figure.querySelector(selector);
    [this.took, this.views, this.before, this.after, this.trouble, this.save] =
      [".took", ".views", "canvas", "img", ".trouble", "button"].map(find);
    find("b").textContent = model.name;
    find("b").title = [model.title, model.engine].filter(Boolean).join("; ");
    this.after.alt = `What ${model.name} makes of the drawing`;
    const slider = find("input");
    slider.setAttribute("aria-label", `${model.name}: how much of the drawing covers the picture, in percent`);
    slider.addEventListener("input", () => this.views.style.setProperty("--cut", `${slider.value}%`));
    this.save.addEventListener("click", () => saveAs(this.blob, `${model.name.replace(/[^\w.-]+/g, "-")}-${this.seed}`));
    this.wanted = this.shown = -1;
  }

  async follow() {
    this.wanted = version;
    if (this.figure.ariaBusy === "true") return;
    this.figure.ariaBusy = "true";
    while (this.shown !== this.wanted && this.figure.isConnected) {
      await wait(PAUSE);
      const now = this.wanted;
      try {
        await this.translate();
        this.say("");
      } catch (problem) {
        this.views.classList.add("old");
        if (problem.status === 429) this.took.textContent = "waits for its turn";
        else this.say(problem.message);
        if (problem.wait) {
          await wait(1000 * problem.wait);
          continue; // with what is on the sheet by then
        }
      }
      this.shown = now;
    }
    this.figure.ariaBusy = "false";
  }

  async translate() {
    const before = preview(), how = settings(); // now, not after what takes time
    const image = sheet.file?.blob ?? (await drawingFor(this.model));
    const start = performance.now();
    const blob = await translate(this.model, image, how);
    const url = URL.createObjectURL(blob);
    const next = new Image();
    next.src = url;
    const seen = await next.decode().then(() => true, () => false);
    const took = performance.now() - start;
    URL.revokeObjectURL(this.after.src);
    [this.after.src, this.after.hidden, this.blob, this.seed, this.save.disabled] = [url, !seen, blob, how.seed, false];
    this.before.width = before.width;
    this.before.height = before.height;
    this.before.getContext("2d").drawImage(before, 0, 0);
    this.views.classList.remove("old");
    this.took.textContent = `${Math.round(took)} ms`;
    if (!seen) this.took.textContent += ", a file browsers do not show: save it";
  }

  say(words) {
    this.trouble.textContent = words;
  }
}

let pictures = [];

/** The sheet as a model takes it, in its size, channels and bits. */
function drawingFor({ size: [height, width], source }) {
  return encodePng(sheet.at(height, width), source.channels, source.dtype === "uint16" ? 16 : 8);
}

function preview() {
  const copy = new OffscreenCanvas(sheet.width, sheet.height);
  copy.getContext("2d").drawImage(sheet.canvas, 0, 0);
  return copy;
}

function settings() {
  return { seed: Math.max(0, Math.floor(Number($("seed").value)) || 0), noise: $("noise").checked };
}

/** Something changed that the pictures depend on. */
function changed() {
  version += 1;
  layer.batchDraw();
  $("paper").classList.toggle("unseeable", sheet.file?.visible === false);
  $("undo").disabled = !sheet.past.length;
  $("redo").disabled = !sheet.future.length;
  for (const picture of pictures) picture.follow();
}

// ---- the paper -------------------------------------------------------------------------------------------------------------

let stage, layer, marks, image, ring;

function layPaper() {
  stage = new Konva.Stage({ container: "paper", width: 1, height: 1 });
  layer = new Konva.Layer({ imageSmoothingEnabled: false, listening: false });
  marks = new Konva.Layer({ listening: false });
  image = new Konva.Image();
  ring = new Konva.Group({ visible: false });
  ring.add(new Konva.Circle({ stroke: "white", strokeWidth: 3, opacity: 0.8 }), new Konva.Circle({ stroke: "black", strokeWidth: 1 }));
  layer.add(image);
  marks.add(ring);
  stage.add(layer, marks);
  new ResizeObserver(fit).observe($("paper"));
  const content = stage.content;
  content.addEventListener("pointerdown", press);
  content.addEventListener("pointermove", move);
  content.addEventListener("pointerup", release);
  content.addEventListener("pointercancel", release);
  content.addEventListener("contextmenu", event => stroke && event.preventDefault()); // a finger that rests draws
  content.addEventListener("pointerleave", () => ring.hide());
}

/** Show the whole sheet, as large as its place, at the screen's own resolution. */
function fit() {
  const width = $("paper").clientWidth, height = (width * sheet.height) / sheet.width;
  for (const each of [layer, marks]) each.getCanvas().setPixelRatio(devicePixelRatio);
  stage.size({ width, height });
  image.setAttrs({ image: sheet.canvas, width, height });
}

/** Where on the sheet an event is, in its pixels. */
function place(event) {
  const box = stage.content.getBoundingClientRect();
  return [((event.clientX - box.left) * sheet.width) / box.width, ((event.clientY - box.top) * sheet.height) / box.height];
}

const picked = name => document.querySelector(`input[name=${name}]:checked`)?.value;
const tool = () => picked("tool");
const diameter = () => Number(picked("size"));
const within = (value, limit) => Math.min(Math.max(value, 0), limit);

function color() {
  if (tool() === "eraser") return background(chosen[0]);
  return chosen[0].palette ? picked("class") : $("pen").querySelector("input").value;
}

/** Brushes of an odd width go through the middles of pixels, even ones along their edges: what is drawn is as wide as it says. */
function snap(value) {
  return diameter() % 2 ? Math.floor(value) + 0.5 : Math.round(value);
}

let stroke = null; // of the pointer that is down

function press(event) {
  if (stroke || event.button !== 0) return;
  event.preventDefault();
  if (document.activeElement.matches("input[type=number], select")) document.activeElement.blur(); // keys are for the drawing again
  forgetPhoto();
  trouble("");
  const [x, y] = place(event);
  if (tool() === "fill") {
    sheet.fill(within(Math.floor(x), sheet.width - 1), within(Math.floor(y), sheet.height - 1), color());
    return changed();
  }
  stage.content.setPointerCapture(event.pointerId);
  stroke = { ...sheet.begin(color()), pointer: event.pointerId, start: [x, y], last: [x, y].map(snap) };
  draw([x, y], false);
}

function move(event) {
  if (event.pointerType === "mouse") showRing(event);
  if (stroke?.pointer !== event.pointerId) return;
  const events = tool() === "rectangle" ? [event] : event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) draw(place(each), event.shiftKey);
}

function release(event) {
  if (stroke?.pointer !== event.pointerId) return;
  stroke = null;
  changed();
}

/** Go on to this point; `straight`: in one line from where the stroke began. */
function draw(point, straight) {
  if (tool() === "rectangle") {
    const ends = (a, b, limit) => [within(Math.floor(Math.min(a, b)), limit), within(Math.floor(Math.max(a, b)) + 1, limit)];
    const [left, right] = ends(stroke.start[0], point[0], sheet.width);
    const [top, bottom] = ends(stroke.start[1], point[1], sheet.height);
    sheet.add(stroke, new Konva.Rect({ x: left, y: top, width: right - left, height: bottom - top, fill: "black" }), true);
  } else {
    const from = straight ? stroke.start.map(snap) : stroke.last, to = point.map(snap);
    const shape = String(from) === String(to)
      ? new Konva.Circle({ x: to[0], y: to[1], radius: diameter() / 2, fill: "black" })
      : new Konva.Line({ points: [...from, ...to], stroke: "black", strokeWidth: diameter(), lineCap: "round" });
    sheet.add(stroke, shape, straight);
    stroke.last = to;
  }
  changed();
}

/** The outline of the brush, where it is. */
function showRing(event) {
  const scale = stage.width() / sheet.width;
  ring.visible(["brush", "eraser"].includes(tool()) && diameter() * scale > 6);
  ring.position({ x: snap(place(event)[0]) * scale, y: snap(place(event)[1]) * scale });
  for (const circle of ring.getChildren()) circle.radius((diameter() * scale) / 2);
}

// ---- a photo ---------------------------------------------------------------------------------------------------------------

function trouble(words) {
  $("trouble").textContent = words;
}

const megabytes = bytes => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** Take an image file as the source. What cannot be used is told in a sentence, and the drawing stays as it is. */
async function take(file) {
  if (!file) return;
  trouble("");
  if (file.size > limits.bytes) {
    return trouble(`${file.name} has ${megabytes(file.size)}, and the server takes at most ${megabytes(limits.bytes)}: make it smaller.`);
  }
  if (!file.size) return trouble(`${file.name} is empty.`);
  let picture = null;
  try {
    picture = await createImageBitmap(file);
  } catch {
    try { // it may be one that only the server can read
      await translate(chosen[0], file, settings());
    } catch (problem) {
      return trouble(`${file.name}: ${problem.message}`);
    }
  }
  if (picture && picture.width * picture.height > limits.pixels) {
    return trouble(`${file.name} has ${picture.width} × ${picture.height} pixels, and the server takes at most ${(limits.pixels / 1e6).toFixed(1)} million: make it smaller.`);
  }
  sheet.remember();
  photo = { file, picture };
  const [how] = $("photo").getElementsByTagName("select");
  for (const option of how.options) option.disabled = !picture && option.value !== "file";
  how.value = picture ? "crop" : "file";
  $("photo").querySelector("span").textContent = picture ? `${file.name}, ${picture.width} × ${picture.height}` : file.name;
  $("photo").hidden = false;
  layPhoto();
}

function layPhoto() {
  const how = $("photo").querySelector("select").value, nearest = $("photo").querySelector("input");
  nearest.parentElement.hidden = !sheet.palette || how === "file";
  sheet.file = how === "file" ? { blob: photo.file, visible: Boolean(photo.picture) } : null;
  if (photo.picture) sheet.lay(photo.picture, how === "file" ? "whole" : how, sheet.palette !== null && nearest.checked && how !== "file");
  changed();
}

function forgetPhoto() {
  photo = null;
  $("photo").hidden = true;
}

// ---- models, legend, tools -------------------------------------------------------------------------------------------------

const background = model => model.palette?.classes[model.palette.background].color ?? PAPER;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function showModels() {
  const usable = models.filter(model => [1, 3].includes(model.source.channels));
  for (const model of models) {
    const box = element("input", { type: "checkbox", name: "model", value: model.name, checked: model === usable[0] });
    box.disabled = !usable.includes(model);
    const label = element("label", { className: "check" }, box, model.name);
    label.title = model.title;
    if (box.disabled) label.title = `It takes images of ${model.source.channels} channels, which cannot be drawn.`;
    $("models").append(label);
  }
  $("models").hidden = models.length < 2;
  $("models").addEventListener("change", event => {
    if (!document.querySelector("input[name=model]:checked")) event.target.checked = true; // one at least
    choose();
  });
  return usable.length > 0;
}

/** Draw for the models that are checked. */
function choose() {
  const names = new Set(Array.from(document.querySelectorAll("input[name=model]:checked"), box => box.value));
  chosen = models.filter(model => names.has(model.name));
  const [model] = chosen, kind = JSON.stringify([model.size, model.palette, model.source.channels]);
  if (!sheets.has(kind)) sheets.set(kind, newSheet(model, kind));
  if (sheet !== sheets.get(kind)) {
    sheet = sheets.get(kind);
    forgetPhoto();
    showLegend(model);
  }
  const kept = new Map(pictures.map(picture => [picture.model, picture]));
  pictures = chosen.map(one => kept.get(one) ?? new Picture(one));
  $("pictures").replaceChildren(...pictures.map(picture => picture.figure));
  $("desk").classList.toggle("many", pictures.length > 1);
  $("chance").hidden = !chosen.some(one => one.noise);
  $("desk").style.setProperty("--shape", sheet.width / sheet.height);
  $("size").textContent = `${sheet.width} × ${sheet.height}`;
  fit();
  changed();
}

function newSheet(model, kind) {
  const [height, width] = model.size, classes = model.palette?.classes;
  const made = new Sheet(height, width, background(model), classes?.map(one => one.color), model.source.channels === 1);
  if (classes && hasHouse(classes)) drawHouse(made, classes);
  made.past = [];
  const before = sessionStorage.getItem(DRAWN + kind);
  if (before) {
    const drawn = new Image();
    drawn.src = before;
    drawn.decode().then(() => {
      made.lay(drawn, "crop", Boolean(classes));
      if (made === sheet) changed();
    });
  }
  return made;
}

/** What was drawn is there again when the page is loaded again. */
function keepSheets() {
  for (const [kind, { past, canvas }] of sheets) {
    try {
      if (past.length) sessionStorage.setItem(DRAWN + kind, canvas.toDataURL());
    } catch { // it is larger than the browser keeps
    }
  }
}

function showLegend(model) {
  const options = (model.palette?.classes ?? []).map(({ name, color }, i) => {
    const input = element("input", { type: "radio", name: "class", value: color });
    const swatch = element("i");
    swatch.style.background = color;
    return element("label", {}, input, swatch, element("span", { textContent: name }), element("kbd", { textContent: i + 1 }));
  });
  $("legend").replaceChildren($("legend").firstElementChild, ...options);
  $("legend").hidden = !model.palette;
  $("example").hidden = !model.palette || !hasHouse(model.palette.classes);
  $("pen").hidden = Boolean(model.palette);
  const window = model.palette?.classes.findIndex(({ name }) => name.toLowerCase() === "window") ?? 0;
  pickClass(Math.max(window, 0));
  const sizes = BRUSHES.map(size => Math.max(1, Math.round((size * sheet.width) / 128)));
  $("sizes").replaceChildren($("sizes").firstElementChild, ...sizes.map((size, i) => {
    const dot = element("i");
    dot.style.width = dot.style.height = `${4 + 4 * i}px`;
    const words = size === 1 ? "1 pixel" : `${size} pixels`;
    const input = element("input", { type: "radio", name: "size", value: size, checked: i === 2, ariaLabel: words });
    return element("label", { title: `${words} ([ and ])` }, input, dot);
  }));
}

function pickClass(number) {
  const input = document.querySelectorAll("input[name=class]")[number];
  if (!input) return;
  input.checked = true;
  const list = $("legend"), label = input.parentElement; // on a small screen the list is longer than its place
  list.scrollTo(label.offsetLeft - (list.clientWidth - label.offsetWidth) / 2, label.offsetTop - (list.clientHeight - label.offsetHeight) / 2);
}

function pickSize(step) {
  const sizes = [...document.querySelectorAll("input[name=size]")];
  const next = sizes[sizes.findIndex(input => input.checked) + step];
  if (next) next.checked = true;
}

function pickTool(name) {
  document.querySelector(`input[name=tool][value=${name}]`).checked = true;
}

let typed = { digits: "", at: 0 };

/** A digit picks a class; two within a moment pick one of two digits. */
function digit(key) {
  const now = performance.now(), both = now - typed.at < 700 ? typed.digits + key : key;
  const count = chosen[0].palette?.classes.length ?? 0;
  typed = { digits: Number(both) <= count ? both : key, at: now };
  if (Number(typed.digits) > 0) pickClass(Number(typed.digits) - 1);
}

const KEYS = {
  b: () => pickTool("brush"), r: () => pickTool("rectangle"), f: () => pickTool("fill"), e: () => pickTool("eraser"),
  "[": () => pickSize(-1), "]": () => pickSize(1),
};

function key(event) {
  if (event.target.closest("dialog, input[type=number], input[type=password], select")) return;
  const letter = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (letter === "z" || letter === "y") {
      event.preventDefault();
      step(letter === "y" || event.shiftKey ? "redo" : "undo");
    }
  } else if (!event.altKey && /^\d$/.test(letter)) digit(letter);
  else if (!event.altKey && KEYS[letter]) KEYS[letter]();
}

function step(which) {
  if (stroke || !sheet[which]()) return;
  forgetPhoto();
  trouble("");
  changed();
}

async function saveAs(blob, name) {
  const kind = blob.type.split("/")[1];
  const link = element("a", { href: URL.createObjectURL(blob), download: `${name}.${kind === "tiff" ? "tif" : kind}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function listen() {
  document.addEventListener("keydown", key);
  $("undo").addEventListener("click", () => step("undo"));
  $("redo").addEventListener("click", () => step("redo"));
  $("clear").addEventListener("click", () => {
    forgetPhoto();
    trouble("");
    sheet.clear();
    changed();
  });
  $("example").addEventListener("click", () => {
    forgetPhoto();
    trouble("");
    const { classes } = chosen[0].palette;
    sheet.atOnce(() => drawHouse(sheet, classes));
    changed();
  });
  addEventListener("pagehide", keepSheets);
  $("legend").addEventListener("change", () => tool() === "eraser" && pickTool("brush"));
  $("choose").addEventListener("change", event => {
    take(event.target.files[0]);
    event.target.value = ""; // the same file may be chosen again
  });
  $("photo").addEventListener("change", layPhoto);
  $("save").addEventListener("click", async () => saveAs(await drawingFor(chosen[0]), "drawing"));
  $("seed").addEventListener("input", changed);
  $("noise").addEventListener("change", () => {
    $("seed").disabled = $("another").disabled = !$("noise").checked;
    changed();
  });
  $("another").addEventListener("click", () => {
    $("seed").value = crypto.getRandomValues(new Uint16Array(1))[0];
    changed();
  });
  document.addEventListener("paste", event => take([...event.clipboardData.files].find(file => file.type.startsWith("image/"))));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, event => {
      event.preventDefault(); // or the browser would leave the page for the photo
      $("paper").classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files[0]);
    });
  }
}

async function begin() {
  takeToken();
  try {
    ({ models, limits } = await overview());
  } catch (problem) {
    $("alarm").textContent = problem.message;
    return;
  }
  if (!showModels()) {
    $("alarm").textContent = "None of the models takes a picture that can be drawn: they want other than 1 or 3 channels.";
    return;
  }
  $("about").textContent = models.length === 1 ? models[0].title || models[0].name : "";
  $("seed").value = models[0].seed ?? 0;
  $("desk").hidden = false;
  layPaper();
  listen();
  choose();
}

begin();
