/** The sides of benchmarks/web.py: each loads a model and predicts faces, [n, 7] in the package's order. */

import { decode } from "./decode.js";

const ORDER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const FACE_API = ["angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"]; // its words for them

async function makeInsideout(name) {
  const { load } = await import("/site/insideout.js");
  const model = await load(`/site/models/${name}.json`);
  return async (picture) => {
    const [face] = await model.predict(picture, [[0, 0, picture.width, picture.height]]);
    return ORDER.map((word) => face.probabilities[word]);
  };
}

async function makeOnnx(name) {
  const [ort, { cropFace, readPixels }, { applyTemperature }, facts] = await Promise.all([
    import("/modules/onnxruntime-web/dist/ort.wasm.min.mjs"),
    import("/site/pixels.js"),
    import("/site/insideout.js"),
    fetch(`/site/models/${name}.json`).then((answer) => answer.json()),
  ]);
  ort.env.wasm.wasmPaths = "/modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(`/onnx/${name}.onnx`, { executionProviders: ["wasm"] });
  return async (picture) => {
    const face = cropFace(readPixels(picture), [0, 0, picture.width, picture.height], null, facts.side, 1);
    const input = new ort.Tensor("float32", face, [1, facts.side, facts.side, 1]);
    const results = await session.run({ [session.inputNames[0]]: input });
    return applyTemperature(results[session.outputNames[0]].data, facts.temperature);
  };
}

async function makeFaceApi(backend) {
  const faceapi = await import("/modules/@vladmandic/face-api/dist/face-api.esm.js");
  if (backend === "wasm") faceapi.tf.setWasmPaths("/modules/@tensorflow/tfjs-backend-wasm/dist/");
  if (!(await faceapi.tf.setBackend(backend))) throw new Error(`no backend ${backend}`);
  await faceapi.tf.ready();
  await faceapi.nets.faceExpressionNet.loadFromUri("/modules/@vladmandic/face-api/model");
  return async (picture) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").drawImage(picture, 0, 0);
    const found = await faceapi.nets.faceExpressionNet.predictExpressions(canvas);
    const values = FACE_API.map((word) => found[word]);
    const sum = values.reduce((one, other) => one + other, 0); // without what is not among the seven
    return values.map((value) => value / sum);
  };
}

const MAKERS = { insideout: makeInsideout, onnx: makeOnnx, faceapi: makeFaceApi };

/** Loads a side and predicts one face; returns the seconds from the start of the page until then. */
window.start = async (kind, argument, face) => {
  window.predictFace = await MAKERS[kind](argument);
  await window.predictFace(await decode(face));
  return performance.now() / 1000;
};

/** Returns {probabilities, milliseconds} of faces, PNG files in base64. Decoding is not timed. */
window.predictFaces = async (faces) => {
  const [probabilities, milliseconds] = [[], []];
  for (const face of faces) {
    const picture = await decode(face);
    const began = performance.now();
    probabilities.push(await window.predictFace(picture));
    milliseconds.push(performance.now() - began);
  }
  return { probabilities, milliseconds };
};
