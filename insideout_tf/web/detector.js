/**
 * Finds faces with BlazeFace (Bazarevsky et al. 2019), whose weights the npm package @mediapipe/face_detection ships.
 *
 * It searches as the package does: the whole picture, then overlapping squares of half and of a quarter of
 * its longer side, and every candidate is looked at twice more. A video frame is searched as a whole.
 */

export const SIDE = 128; // pixels of the network's input, RGB, -1..1
const STRIDES = [8, 16, 16, 16]; // pixels between the anchors of each layer, which has two at each place
const DIVISORS = [1, 2, 4]; // of the longer side of the picture, for the sides of the squares
const MIN_SQUARE = 160; // pixels; smaller squares show nothing new
const OVERLAP = 0.25; // of neighbouring squares, times their side
const EDGE = 0.01; // times the side of a square: a box that reaches its edge may be a part of a face
const CANDIDATE_SCORE = 0.45; // of the first look
const MIN_SIDE = 16; // pixels; smaller candidates are discarded
const LOOKS = [1.8, 2.5]; // sides of the squares of the later looks, times that of the candidate
const SAME_FACE = 0.3; // intersection over union from which two boxes show one face
const INSIDE = 0.6; // share of the smaller of two boxes in the other one from which they show one face
const VALUES = 16; // of an anchor: the middle, the size, and six points, the eyes first

const ANCHORS = makeAnchors();

/**
 * Returns the faces of a picture, the largest first: [{box: [left, top, width, height], score, eyes}].
 *
 * pixels: ImageData. run: an async function of Float32Array [128 * 128 * 3] to [regressors, classificators].
 * options.search: "squares" (default) for photos, "whole" for video. options.minScore: 0..1.
 */
export async function detect(pixels, run, { search = "squares", minScore = 0.65 } = {}) {
  const { width, height } = pixels;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(pixels.data, width, height), 0, 0);
  const glass = new OffscreenCanvas(SIDE, SIDE);
  const context = glass.getContext("2d", { willReadFrequently: true });
  const look = async ([left, top, side]) => {
    context.fillRect(0, 0, SIDE, SIDE); // black beyond the picture
    context.imageSmoothingQuality = "medium";
    const scale = SIDE / side;
    context.drawImage(canvas, -left * scale, -top * scale, width * scale, height * scale);
    return decode(...(await run(toInput(context.getImageData(0, 0, SIDE, SIDE).data))), left, top, side);
  };
  const found = [];
  for (const square of listSquares(width, height, search)) {
    const seen = await look(square);
    found.push(...seen.filter((each) => each.score >= CANDIDATE_SCORE && isWhole(each, square, width, height)));
  }
  const seen = [];
  for (const candidate of suppress(found)) {
    if (candidate.size[0] >= MIN_SIDE) seen.push(await lookAgain(candidate, look));
  }
  const faces = keepDistinct(seen)
    .filter((face) => face.score >= minScore)
    .map(({ middle, size, eyes, score }) => {
      const box = [middle[0] - size[0] / 2, middle[1] - size[1] / 2, ...size].map(Math.round);
      return { box, score, eyes };
    });
  return faces.sort((one, other) => other.box[2] * other.box[3] - one.box[2] * one.box[3]);
}

/** Returns RGBA bytes as the network's input. */
function toInput(data) {
  const input = new Float32Array(SIDE * SIDE * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) input[to++] = data[from + channel] / 127.5 - 1;
  }
  return input;
}

/** Returns the middles of the anchors, [x, y] in 0..1, in the network's order. */
function makeAnchors() {
  const anchors = [];
  for (const stride of [...new Set(STRIDES)].sort((one, other) => one - other)) {
    const count = SIDE / stride;
    const each = 2 * STRIDES.filter((other) => other === stride).length;
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < count; column++) {
        for (let i = 0; i < each; i++) anchors.push([(column + 0.5) / count, (row + 0.5) / count]);
      }
    }
  }
  return anchors;
}

/** Returns what the network saw in a square: [{score, middle, size, eyes}] in pixels of the picture. */
function decode(values, logits, left, top, side) {
  const found = [];
  ANCHORS.forEach(([x, y], index) => {
    const score = 1 / (1 + Math.exp(-logits[index]));
    if (score < CANDIDATE_SCORE / 2) return; // the later looks may lower a score
    const at = (offset) => [
      left + side * (values[index * VALUES + offset] / SIDE + x),
      top + side * (values[index * VALUES + offset + 1] / SIDE + y),
    ];
    const size = [2, 3].map((offset) => (side * values[index * VALUES + offset]) / SIDE);
    found.push({ score, middle: at(0), size, eyes: [at(4), at(6)] });
  });
  return found;
}

/** Returns the squares [left, top, side] in which a picture is searched, the largest first. */
export function listSquares(width, height, search) {
  const squares = [];
  for (const divisor of search === "whole" ? [1] : DIVISORS) {
    const side = Math.ceil(Math.max(width, height) / divisor);
    if (divisor > 1 && side < MIN_SQUARE) break;
    for (const top of listStarts(height, side)) {
      for (const left of listStarts(width, side)) squares.push([left, top, side]);
    }
  }
  return squares;
}

/** Returns where squares begin along a side of the picture; one that is longer is in the middle. */
function listStarts(length, side) {
  if (side >= length) return [Math.floor((length - side) / 2)];
  const count = Math.ceil((length - side) / (side * (1 - OVERLAP))) + 1;
  return Array.from({ length: count }, (_, i) => Math.round(((length - side) * i) / (count - 1)));
}

/** Returns whether a box does not reach an edge of the square inside the picture. */
function isWhole({ middle, size }, [left, top, side], width, height) {
  const edge = EDGE * side;
  return [
    [middle[0], size[0], left, width],
    [middle[1], size[1], top, height],
  ].every(([centre, extent, start, limit]) => {
    const low = centre - extent / 2 > start + edge || start <= 0;
    const high = centre + extent / 2 < start + side - edge || start + side >= limit;
    return low && high;
  });
}

/** Returns the face of a candidate: the mean of the looks that show it, and of their scores. */
async function lookAgain(candidate, look) {
  const seen = [candidate];
  for (const factor of LOOKS) {
    const side = Math.max(2, Math.round(candidate.size[0] * factor));
    const square = [...candidate.middle.map((value) => Math.round(value - side / 2)), side];
    const same = (await look(square)).filter((each) => overlap(candidate, each)[0] >= SAME_FACE);
    same.sort((one, other) => other.score - one.score);
    if (same.length) seen.push(same[0]);
  }
  const score = seen.reduce((sum, each) => sum + each.score, 0) / (1 + LOOKS.length);
  return { ...average(seen, seen.map(() => 1)), score };
}

/** Returns the faces that show no more certain one: the later looks can lead two candidates to one face. */
export function keepDistinct(faces) {
  const kept = [];
  for (const face of [...faces].sort((one, other) => other.score - one.score)) {
    const shown = kept.some((other) => {
      const [union, inside] = overlap(face, other);
      return union >= SAME_FACE || inside >= INSIDE;
    });
    if (!shown) kept.push(face);
  }
  return kept;
}

/** Returns the weighted mean of detections. */
function average(found, weights) {
  const total = weights.reduce((one, other) => one + other, 0);
  const mean = (of) => found.reduce((sum, each, i) => sum + of(each) * weights[i], 0) / total;
  const pair = (of) => [0, 1].map((i) => mean((each) => of(each)[i]));
  return {
    middle: pair((each) => each.middle),
    size: pair((each) => each.size),
    eyes: [0, 1].map((eye) => pair((each) => each.eyes[eye])),
  };
}

/**
 * Returns one detection a face, the most certain first.
 *
 * Those that overlap enough are averaged with their scores as weights, as MediaPipe does. Those inside another
 * one are discarded: they are parts of that face.
 */
export function suppress(found) {
  let rest = [...found].sort((one, other) => other.score - one.score);
  const faces = [];
  while (rest.length) {
    const best = rest[0];
    const same = rest.filter((each) => each === best || overlap(best, each)[0] >= SAME_FACE);
    faces.push({ ...average(same, same.map((each) => each.score)), score: best.score });
    rest = rest.filter((each) => !same.includes(each) && overlap(best, each)[1] < INSIDE);
  }
  return faces;
}

/** Returns the intersection of two boxes over their union, and over the smaller of the two. */
function overlap(one, other) {
  let common = 1;
  for (const i of [0, 1]) {
    const low = Math.max(one.middle[i] - one.size[i] / 2, other.middle[i] - other.size[i] / 2);
    const high = Math.min(one.middle[i] + one.size[i] / 2, other.middle[i] + other.size[i] / 2);
    common *= Math.max(0, high - low);
  }
  const [first, second] = [one, other].map(({ size }) => Math.max(1e-6, size[0] * size[1]));
  return [common / (first + second - common), common / Math.min(first, second)];
}
