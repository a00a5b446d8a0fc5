/** The sides of benchmarks/web_detectors.py: each finds the faces of a picture, a PNG file in base64. */

import { decode } from "./decode.js";

async function makeInsideout(search) {
  const { findFaces, readPixels } = await import("/site/insideout.js");
  return async (picture) => (await findFaces(readPixels(picture), { search })).map((face) => face.box);
}

async function makeFaceApi(name) {
  const faceapi = await import("/modules/@vladmandic/face-api/dist/face-api.esm.js");
  faceapi.tf.setWasmPaths("/modules/@tensorflow/tfjs-backend-wasm/dist/");
  if (!(await faceapi.tf.setBackend("wasm"))) throw new Error("no WebAssembly");
  await faceapi.tf.ready();
  await faceapi.nets[name].loadFromUri("/modules/@vladmandic/face-api/model");
  const options = name === "ssdMobilenetv1" ? new faceapi.SsdMobilenetv1Options() : new faceapi.TinyFaceDetectorOptions();
  return async (picture) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").drawImage(picture, 0, 0);
    const found = await faceapi.detectAllFaces(canvas, options);
    return found.map(({ box }) => [box.x, box.y, box.width, box.height]);
  };
}

/** Loads a side, and lets it search one empty picture. */
window.start = async (kind, argument) => {
  const side = await (kind === "insideout" ? makeInsideout : makeFaceApi)(argument);
  await side(await createImageBitmap(new ImageData(640, 480)));
  window.findBoxes = side;
};

/** Returns [boxes, milliseconds] of a picture. Decoding is not timed. */
window.find = async (content) => {
  const picture = await decode(content);
  const began = performance.now();
  return [await window.findBoxes(picture), performance.now() - began];
};

/** Returns the class of the largest face for each margin, with its eyes levelled and without; null without a face. */
window.recognize = async (content, margins) => {
  const [{ findFaces, load, readPixels }, { cropFace }] = await Promise.all([import("/site/insideout.js"), import("/site/pixels.js")]);
  const model = (window.model ??= await load("/site/models/nano.json"));
  const pixels = readPixels(await decode(content));
  const [face] = await findFaces(pixels, { search: "whole" });
  if (!face) return null;
  const [left, top, width, height] = face.box;
  const classes = [];
  for (const margin of margins) {
    const side = Math.round(Math.max(width, height) * (1 + 2 * margin));
    const square = [left + (width - side) / 2, top + (height - side) / 2, side, side].map(Math.round);
    const row = [];
    for (const eyes of [face.eyes, null]) {
      const [output] = await model.run(cropFace(pixels, square, eyes, model.side, model.channels));
      row.push(output.indexOf(Math.max(...output)));
    }
    classes.push(row);
  }
  return classes;
};
