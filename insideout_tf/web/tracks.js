/** Numbers the faces of successive frames, and smooths their probabilities over time. */

const MIN_OVERLAP = 0.3; // intersection over union of one face's boxes in two frames
const MAX_GAP = 1; // seconds; a face that is away for longer returns with a new number ...
const MIN_MISSED = 3; // ... if it was missed in so many frames, which a slow device takes seconds for
const SMOOTH = 0.4; // seconds after which the weight of a frame has fallen to 1/e

export class Tracks {
  #faces = new Map(); // number: { box, probabilities, seconds, missed }: when last seen, and frames since
  #next = 1;

  /**
   * Adds one frame. Returns its faces with `number` and smoothed `probabilities` and `emotion`.
   *
   * seconds: time of the frame. faces: of `Model.predict`.
   */
  update(seconds, faces) {
    for (const [number, face] of this.#faces) {
      face.missed += 1;
      if (Math.abs(seconds - face.seconds) > MAX_GAP && face.missed > MIN_MISSED) this.#faces.delete(number);
    }
    const numbers = this.#match(faces);
    return faces.map((face, index) => {
      const number = numbers.get(index) ?? this.#next++;
      const probabilities = blend(face.probabilities, this.#faces.get(number), seconds);
      this.#faces.set(number, { box: face.box, probabilities, seconds, missed: 0 });
      const emotion = Object.keys(probabilities).reduce((one, other) => (probabilities[other] > probabilities[one] ? other : one));
      return { ...face, number, probabilities, emotion };
    });
  }

  /** Returns a Map from the index of a face to the number of the earlier one, the pairs of most overlap first. */
  #match(faces) {
    const pairs = [];
    faces.forEach((face, index) => {
      for (const [number, earlier] of this.#faces) pairs.push([share(face.box, earlier.box), index, number]);
    });
    pairs.sort((one, other) => other[0] - one[0]);
    const numbers = new Map();
    for (const [overlap, index, number] of pairs) {
      if (overlap < MIN_OVERLAP || numbers.has(index) || [...numbers.values()].includes(number)) continue;
      numbers.set(index, number);
    }
    return numbers;
  }
}

function blend(probabilities, earlier, seconds) {
  if (!earlier) return probabilities;
  const weight = Math.exp(-Math.abs(seconds - earlier.seconds) / SMOOTH);
  return Object.fromEntries(
    Object.entries(probabilities).map(([name, value]) => [name, weight * earlier.probabilities[name] + (1 - weight) * value]),
  );
}

function share(one, other) {
  const [width, height] = [0, 1].map((i) =>
    Math.max(0, Math.min(one[i] + one[i + 2], other[i] + other[i + 2]) - Math.max(one[i], other[i])),
  );
  return (width * height) / (one[2] * one[3] + other[2] * other[3] - width * height || 1);
}
