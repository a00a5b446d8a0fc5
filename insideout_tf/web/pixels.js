/**
 * From a picture in the browser to a face as a model takes it, with the arithmetic of Pillow.
 *
 * The package cuts a square, turns it until the eyes are level, makes it grey (ITU-R 601 luma) and resizes it
 * with antialiasing. A canvas does these steps in ways of its own, so they are computed here.
 */

const PRECISION = 22; // bits of the weights of a resize, as in Pillow
const MAX_PIXELS = 50e6;

/** An error that the user of the page can mend. Its message says what was expected and what to do. */
export class InputError extends Error {
  name = "InputError";
}

/**
 * Returns the pixels of a source as {data, width, height}: RGBA, 0..255, row by row.
 *
 * source: ImageData, ImageBitmap, HTMLVideoElement, HTMLImageElement, HTMLCanvasElement or OffscreenCanvas.
 * Throws InputError if it has no pixels, or if this page may not read them.
 */
export function readPixels(source) {
  if (source?.data instanceof Uint8ClampedArray) return source;
  const width = source?.videoWidth ?? source?.naturalWidth ?? source?.width ?? 0;
  const height = source?.videoHeight ?? source?.naturalHeight ?? source?.height ?? 0;
  if (!(width > 0 && height > 0 && width * height <= MAX_PIXELS)) {
    throw new InputError(
      `picture: expected an image, a canvas or a playing video of at most ${MAX_PIXELS / 1e6} million pixels. ` +
        `Wait until it is loaded. Received: ${width}×${height} pixels`,
    );
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  try {
    context.drawImage(source, 0, 0);
    return context.getImageData(0, 0, width, height);
  } catch (error) {
    throw new InputError(
      `picture: expected one whose pixels this page may read. Load it from the page's own address. Received: ${error.message}`,
    );
  }
}

/**
 * Returns the square around a box as a face: Float32Array [side * side * channels], 0..255.
 *
 * pixels: {data, width, height} of `readPixels`. box: [left, top, width, height] in pixels. eyes: null, or
 * [[x, y], [x, y]] of the left and of the right eye, which are made level. channels: 1 grey, 3 colour.
 */
export function cropFace(pixels, box, eyes, side, channels) {
  const [left, top, width, height] = box.map(Math.round);
  const square = Math.max(2, width, height);
  const x = roundHalfEven(left + (width - square) / 2);
  const y = roundHalfEven(top + (height - square) / 2);
  const border = eyes ? Math.ceil((square * (Math.SQRT2 - 1)) / 2) : 0;
  let planes = cut(pixels, x - border, y - border, square + 2 * border, channels);
  if (eyes) {
    const [[first, upper], [second, lower]] = eyes;
    const angle = Math.atan2(lower - upper, second - first);
    planes = planes.map((plane) => rotate(plane, square + 2 * border, angle, border, square));
  }
  const face = new Float32Array(side * side * channels);
  planes.forEach((plane, channel) => {
    const small = resize(plane, square, square, side, side);
    for (let i = 0; i < small.length; i++) face[i * channels + channel] = small[i];
  });
  return face;
}

/** Returns a square of a picture as one array of bytes for each channel; edges are repeated beyond it. */
function cut({ data, width, height }, left, top, side, channels) {
  const planes = Array.from({ length: channels }, () => new Uint8Array(side * side));
  for (let row = 0, at = 0; row < side; row++) {
    const y = Math.min(height - 1, Math.max(0, top + row)) * width;
    for (let column = 0; column < side; column++, at++) {
      const from = 4 * (y + Math.min(width - 1, Math.max(0, left + column)));
      const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
      if (channels === 1) planes[0][at] = toGrey(red, green, blue);
      else [planes[0][at], planes[1][at], planes[2][at]] = [red, green, blue];
    }
  }
  return planes;
}

/** Returns the luma of ITU-R 601 in integers, as Pillow computes its mode L. */
export function toGrey(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
}

/**
 * Returns the inner square of a plane that is turned about its middle: cubic convolution (Keys 1981) with a = -1.
 *
 * size: the side of the plane. angle: radians, clockwise from the level line to the eyes. border: what is
 * cut off on each side. side: of the result.
 */
function rotate(plane, size, angle, border, side) {
  const [cosine, sine, middle] = [Math.cos(angle), Math.sin(angle), size / 2];
  const result = new Uint8Array(side * side);
  for (let row = 0, at = 0; row < side; row++) {
    for (let column = 0; column < side; column++, at++) {
      const [right, down] = [column + border + 0.5 - middle, row + border + 0.5 - middle];
      const x = cosine * right - sine * down + middle - 0.5;
      const y = sine * right + cosine * down + middle - 0.5;
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [across, along] = [cubic(x - left), cubic(y - top)];
      let sum = 0;
      for (let i = 0; i < 4; i++) {
        const start = Math.min(size - 1, Math.max(0, top + i - 1)) * size;
        let line = 0;
        for (let j = 0; j < 4; j++) {
          line += across[j] * plane[start + Math.min(size - 1, Math.max(0, left + j - 1))];
        }
        sum += along[i] * line;
      }
      result[at] = Math.min(255, Math.max(0, Math.trunc(sum))); // as Pillow rounds
    }
  }
  return result;
}

/** Returns the weights of four neighbours, `d` beyond the second one. */
function cubic(d) {
  const [square, cube] = [d * d, d * d * d];
  return [-d + 2 * square - cube, 1 - 2 * square + cube, d + square - cube, cube - square];
}

/**
 * Returns a plane of bytes in another size: bilinear with antialiasing, in Pillow's integers.
 *
 * The columns are resized first and rounded, then the rows. A side that stays is not touched.
 */
export function resize(plane, width, height, newWidth, newHeight) {
  let [current, side] = [plane, width];
  if (newWidth !== width) {
    current = resizeLines(current, width, height, newWidth);
    side = newWidth;
  }
  if (newHeight === height) return current;
  return transpose(resizeLines(transpose(current, side, height), height, side, newHeight), newHeight, side);
}

function transpose(plane, width, height) {
  const result = new Uint8Array(plane.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) result[column * height + row] = plane[row * width + column];
  }
  return result;
}

function resizeLines(plane, width, height, newWidth) {
  const taps = makeTaps(width, newWidth);
  const result = new Uint8Array(newWidth * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (const { start, weights } of taps) {
      let sum = 1 << (PRECISION - 1);
      for (let i = 0; i < weights.length; i++) sum += plane[row * width + start + i] * weights[i];
      result[at++] = Math.min(255, Math.max(0, sum >> PRECISION));
    }
  }
  return result;
}

/** Returns for each new pixel of a line the first old pixel and the weights from it on, in 22 bits. */
function makeTaps(width, newWidth) {
  const scale = width / newWidth;
  const support = Math.max(1, scale);
  return Array.from({ length: newWidth }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(width, Math.trunc(centre + support + 0.5));
    const heights = Array.from({ length: end - start }, (_, i) =>
      Math.max(0, 1 - Math.abs((start + i - centre + 0.5) / support)),
    );
    const sum = heights.reduce((one, other) => one + other, 0);
    return { start, weights: heights.map((value) => Math.trunc(0.5 + (value / sum) * 2 ** PRECISION)) };
  });
}

/** Rounds as Python does: halves go to the even number. */
function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
