// A PNG of exactly these pixels. (canvas.toBlob would do, but browsers that guard against fingerprinting add noise to it: colours that are no class.)

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0, RGB = 2;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(Array.from(name, letter => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc(bytes.subarray(4, data.length + 8)));
  return bytes;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Width, height and RGBA bytes (alpha is left out) as a PNG of 1 or 3 channels, 8 or 16 bits a channel. */
export async function encodePng({ width, height, data }, channels = 3, bits = 8) {
  const bytes = bits / 8;
  const line = 1 + width * channels * bytes; // each begins with the number of its filter: none
  const lines = new Uint8Array(line * height);
  for (let y = 0, from = 0; y < height; y++) {
    let to = y * line + 1;
    for (let x = 0; x < width; x++, from += 4) {
      const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
      const values = channels === 1 ? [Math.round(0.299 * red + 0.587 * green + 0.114 * blue)] : [red, green, blue];
      for (const value of values) for (let i = 0; i < bytes; i++) lines[to++] = value; // 255 becomes 65535
    }
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([bits, channels === 1 ? GREY : RGB], 8);
  const parts = [chunk("IHDR", header), chunk("IDAT", await deflate(lines)), chunk("IEND", new Uint8Array())];
  return new Blob([new Uint8Array(SIGNATURE), ...parts], { type: "image/png" });
}
