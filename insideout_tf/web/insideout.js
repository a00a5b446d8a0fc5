/**
 * Emotions of faces in the browser: models of insideout_tf on LiteRT, without a server.
 *
 *     import { load } from "./insideout.js";
 *     const model = await load("models/nano.json");
 *     const faces = await model.predict(image); // [{ box, score, emotion, probabilities }]
 *
 * Nothing leaves the page: models, detector and runtime come from the folder of this file.
 */

import { Environment, loadAndCompile, loadLiteRt, Tensor } from "./litert/litert.js";
import { detect, SIDE } from "./detector.js";
import { cropFace, InputError, readPixels } from "./pixels.js";

export { InputError, readPixels };

const HERE = new URL("./", import.meta.url);
let runtime; // a promise of LiteRT, made once
let detector; // a promise of the face detector, made once

/**
 * Loads a model.
 *
 * url: of its .json file, relative to the page. Returns a Model. Throws InputError, with a message for the
 * user, if WebAssembly is off or the files are missing or of another kind.
 */
export async function load(url) {
  const address = new URL(url, document.baseURI);
  const facts = await readFacts(address);
  const file = new URL(facts.file, address);
  return new Model(facts, await compile(file, [1, facts.side, facts.side, facts.channels]));
}

/** Returns the models of this folder, [{ name, url }]. */
export async function listModels() {
  const address = new URL("models/models.json", HERE);
  const listed = (await fetchFile(address, "the list of models").then((answer) => readJson(answer, address))).models;
  return listed.map((name) => ({ name, url: new URL(`models/${encodeURIComponent(name)}.json`, HERE).href }));
}

/** A trained model. Its `name`, `classes`, `side` and `channels` are those of the exported run. */
class Model {
  constructor(facts, run) {
    Object.assign(this, { name: facts.name, classes: facts.classes, side: facts.side, channels: facts.channels });
    this.temperature = facts.temperature;
    this.run = run;
  }

  /**
   * Returns the emotions of the faces in a picture.
   *
   * source: ImageData, ImageBitmap, HTMLVideoElement, HTMLImageElement or a canvas. boxes: null finds the
   * faces; or [[left, top, width, height], ...] in pixels, whose squares are taken as they are.
   * options.search: "squares" (default) or "whole", which is faster and misses small faces.
   * options.minScore: 0..1, the least score of a face that is found (0.65).
   *
   * Returns [{ box, score, emotion, probabilities }], the largest face first, or in the order of the boxes.
   * score is null for a given box. probabilities is an object with a number 0..1 for each class.
   */
  async predict(source, boxes = null, options = {}) {
    const pixels = readPixels(source);
    const faces = boxes
      ? boxes.map((box, index) => ({ box: checkBox(box, index, pixels), score: null, eyes: null }))
      : await findFaces(pixels, options);
    const results = [];
    for (const { box, score, eyes } of faces) {
      const [output] = await this.run(cropFace(pixels, box, eyes, this.side, this.channels));
      const values = applyTemperature(output, this.temperature);
      const probabilities = Object.fromEntries(this.classes.map((name, index) => [name, values[index]]));
      results.push({ box, score, emotion: this.classes[values.indexOf(Math.max(...values))], probabilities });
    }
    return results;
  }
}

/** Returns the faces of a picture: [{ box, score, eyes }]. Arguments as of `Model.predict`. */
export async function findFaces(pixels, options) {
  detector ??= compile(new URL("detector/face_detection_short_range.tflite", HERE), [1, SIDE, SIDE, 3]);
  return detect(pixels, await detector, options);
}

/** Returns softmax(log p / temperature) of probabilities p (Guo et al. 2017, section 4.2). */
export function applyTemperature(probabilities, temperature) {
  if (temperature === 1) return [...probabilities];
  const logits = Array.from(probabilities, (value) => Math.log(Math.max(value, 1e-12)) / temperature);
  const highest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((value) => value / sum);
}

function checkBox(box, index, { width, height }) {
  const numbers = Array.isArray(box) && box.length === 4 && box.every(Number.isFinite) ? box : null;
  const [left, top, wide, high] = (numbers ?? [0, 0, 0, 0]).map(Math.round);
  if (wide < 1 || high < 1 || left >= width || top >= height || left + wide <= 0 || top + high <= 0) {
    throw new InputError(
      `boxes[${index}]: expected [left, top, width, height] in pixels, inside the picture of ${width}×${height}. ` +
        `Received: ${JSON.stringify(box)}`,
    );
  }
  return [left, top, wide, high];
}

/** Returns an async function that runs a .tflite file: Float32Array to an array of Float32Array. */
async function compile(address, shape) {
  await startRuntime();
  const bytes = new Uint8Array(await (await fetchFile(address, "a model file")).arrayBuffer());
  let model;
  try {
    model = await loadAndCompile(bytes, { accelerator: "wasm" });
  } catch (error) {
    throw new InputError(describeModel(address, `no model that LiteRT reads: ${String(error.message ?? error).slice(0, 80)}`));
  }
  const [entry] = model.getInputDetails();
  if (entry.dtype !== "float32" || String([...entry.shape]) !== String(shape)) {
    throw new InputError(describeModel(address, `an input of ${entry.dtype} [${[...entry.shape].join(", ")}]`, shape));
  }
  return async (values) => {
    const input = new Tensor(values, shape);
    try {
      const outputs = await model.run(input);
      const arrays = outputs.map((each) => each.toTypedArray().slice());
      outputs.forEach((each) => each.delete());
      return arrays;
    } finally {
      input.delete();
    }
  };
}

function describeModel(address, received, shape) {
  const input = shape ? ` with an input of float32 [${shape.join(", ")}]` : "";
  return `${address.pathname}: expected a LiteRT model${input}. Export it again. Received: ${received}`;
}

/** Starts LiteRT once. It computes on the processor, so no WebGPU device is asked for. */
function startRuntime() {
  runtime ??= (async () => {
    if (typeof WebAssembly !== "object") {
      throw new InputError("browser: expected WebAssembly. Allow it in the settings, or use another browser. Received: none");
    }
    const create = Environment.create;
    Environment.create = () => create.call(Environment, { webGpuDevice: null });
    globalThis.Module = { print() {}, printErr() {} }; // LiteRT's notes are not errors of the page
    try {
      await loadLiteRt(new URL("litert/", HERE).href);
    } catch (error) {
      const reason = String(error?.message ?? error?.type ?? error).slice(0, 120);
      throw new InputError(`litert/: expected the runtime beside insideout.js. Export the folder again. Received: ${reason}`);
    }
  })();
  return runtime;
}

async function readFacts(address) {
  const facts = await readJson(await fetchFile(address, "a model"), address);
  const isKnown =
    typeof facts?.file === "string" &&
    Array.isArray(facts.classes) &&
    [facts.side, facts.channels, facts.temperature].every((value) => Number.isFinite(value) && value > 0);
  if (!isKnown) {
    throw new InputError(
      `${address.pathname}: expected the .json file of an exported model, with file, classes, side, channels and ` +
        `temperature. Export it again. Received: ${Object.keys(facts ?? {}).join(", ") || "nothing"}`,
    );
  }
  return facts;
}

async function readJson(answer, address) {
  try {
    return await answer.json();
  } catch {
    throw new InputError(`${address.pathname}: expected JSON. Export the folder again. Received: other text`);
  }
}

async function fetchFile(address, what) {
  let received;
  try {
    const answer = await fetch(address);
    if (answer.ok) return answer;
    received = `status ${answer.status}`;
  } catch (error) {
    received = location.protocol === "file:" ? "a page that was opened as a file" : error.message;
  }
  throw new InputError(
    `${address.pathname}: expected ${what}. Serve the whole folder, such as with python -m http.server. Received: ${received}`,
  );
}
