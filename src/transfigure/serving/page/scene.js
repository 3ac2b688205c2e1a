// What a new sheet shows: a house on a street, of those classes that the palette has. x to the right, y downward, in 128ths of the sheet.

const SAME = { wall: ["facade", "building"], sky: ["background"], plant: ["tree", "vegetation"], pavement: ["sidewalk"], trim: ["sill", "molding"] };

function* house() {
  yield ["sky", "box", 0, 0, 128, 128];
  for (const [x, y, radius] of [[2, 107, 9], [12, 110, 7], [116, 110, 7], [127, 108, 8]]) yield ["plant", "disc", x, y, radius];
  yield ["pavement", "box", 0, 114, 128, 128];
  yield ["road", "box", 0, 121, 128, 128];
  yield ["wall", "box", 16, 32, 112, 114];
  for (const left of [31, 89]) yield ["chimney", "box", left, 6, left + 8, 15];
  yield ["roof", "outline", 12, 32, 22, 14, 106, 14, 116, 32];
  yield ["cornice", "box", 12, 31, 116, 35];
  yield ["cornice", "box", 16, 78, 112, 80];
  for (const middle of [28, 52, 76, 100]) {
    yield ["trim", "box", middle - 7, 38, middle + 7, 56];
    yield ["window", "box", middle - 5, 40, middle + 5, 54];
    yield ["shutter", "box", middle - 9, 60, middle + 9, 75];
    yield ["window", "box", middle - 5, 60, middle + 5, 75];
  }
  yield ["balcony", "box", 43, 69, 85, 77];
  yield ["shop", "box", 21, 90, 47, 112];
  yield ["awning", "outline", 21, 84, 47, 84, 50, 93, 18, 93];
  yield ["trim", "box", 56, 86, 72, 114];
  yield ["door", "box", 59, 89, 69, 114];
  for (const middle of [84, 101]) {
    yield ["trim", "box", middle - 7, 88, middle + 7, 107];
    yield ["window", "box", middle - 5, 90, middle + 5, 105];
  }
  for (const [x, y, radius] of [[117, 82, 9], [113, 88, 7], [122, 89, 8]]) yield ["plant", "disc", x, y, radius];
  yield ["plant", "box", 117, 88, 119, 117];
  yield ["lamp", "box", 7, 68, 8, 117];
  yield ["lamp", "box", 5, 65, 10, 69];
}

const colorOf = (classes, name) => [name, ...(SAME[name] ?? [])].map(word => classes.find(one => one.name.toLowerCase() === word)?.color).find(Boolean);

/** Whether a palette, classes with `name` and `color`, knows what makes a house. */
export function hasHouse(classes) {
  return Boolean(colorOf(classes, "wall") && colorOf(classes, "window"));
}

/** Draw the house over the whole sheet. */
export function drawHouse(sheet, classes) {
  for (const [name, kind, ...numbers] of house()) {
    const color = colorOf(classes, name);
    if (!color) continue;
    const at = numbers.map((value, i) => Math.round((value * (i % 2 ? sheet.height : sheet.width)) / 128));
    sheet.add(sheet.begin(color), shapeOf(kind, at));
  }
}

function shapeOf(kind, [left, top, right, bottom, ...more]) {
  if (kind === "box") return new Konva.Rect({ x: left, y: top, width: right - left, height: bottom - top, fill: "black" });
  if (kind === "disc") return new Konva.Circle({ x: left, y: top, radius: right, fill: "black" });
  return new Konva.Line({ points: [left, top, right, bottom, ...more], closed: true, fill: "black" });
}
