/** The page: webcam, photo and video, with boxes, numbers and probabilities. */

import { InputError } from "./pixels.js";
import { Tracks } from "./tracks.js";

const BOX_COLOUR = "#ffb000";
const SHOWN_CLASSES = 8; // bars of a face; others have little probability
const LIST_SECONDS = 0.25; // the list changes no faster, so that it can be read
const CAMERA_ERRORS = {
  NotAllowedError: "the permission to use it was refused. Allow the camera for this page, then try again",
  NotFoundError: "this device has none. Connect one, or choose a photo or a video",
  NotReadableError: "another program uses it. Close that program, then try again",
};

const [webcam, photo, video, stop, choice, errorLine, status, stage, player, view, list] = [
  "webcam", "photo", "video", "stop", "model", "error", "status", "stage", "player", "view", "faces",
].map((name) => document.getElementById(name));
const canvas = view.getContext("2d");
let api = null; // of insideout.js
let model = null; // a promise
let session = 0; // grows with each new source, so that an old one ends
let lastPhoto = null;

await report(async () => {
  try {
    api = await import("./insideout.js");
  } catch (error) {
    throw new InputError(`insideout.js: expected the scripts of the export, with litert/. Export the folder again. Received: ${error.message}`);
  }
  for (const { name, url } of await api.listModels()) choice.add(new Option(name, url));
  await chooseModel();
});
webcam.addEventListener("click", () => report(openWebcam));
photo.addEventListener("change", () => report(() => openPhoto(photo.files[0])));
video.addEventListener("change", () => report(() => openVideo(video.files[0])));
stop.addEventListener("click", () => endSession("Stopped."));
choice.addEventListener("change", () => report(chooseModel));

/** Runs an action; an error that the user can mend becomes a line of the page. */
async function report(action) {
  errorLine.hidden = true;
  try {
    await action();
  } catch (error) {
    errorLine.textContent = error instanceof InputError ? error.message : `page: ${error.message ?? error}`;
    errorLine.hidden = false;
    endSession("");
    if (!(error instanceof InputError)) throw error;
  }
}

async function chooseModel() {
  status.textContent = "Loading the model …";
  const [began, loading] = [performance.now(), api.load(choice.value)];
  model = loading;
  loading.catch(() => {}); // `report` shows it
  const { name, classes } = await loading;
  status.textContent = `Ready: ${name}, ${classes.length} classes, loaded in ${((performance.now() - began) / 1000).toFixed(1)} s.`;
  if (lastPhoto && !stage.hidden && player.hidden) await predictPhoto();
}

function beginSession() {
  endSession("");
  stage.hidden = false;
  return session;
}

function endSession(text) {
  session += 1;
  for (const track of player.srcObject?.getTracks() ?? []) track.stop();
  player.pause();
  player.srcObject = null;
  if (player.src) URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.hidden = stop.hidden = true;
  webcam.setAttribute("aria-pressed", "false");
  if (text) status.textContent = text;
}

async function openPhoto(file) {
  photo.value = "";
  if (!file) return;
  beginSession();
  try {
    lastPhoto = await createImageBitmap(file);
  } catch {
    stage.hidden = true;
    throw new InputError(`${file.name}: expected an image that this browser reads, such as PNG or JPEG. Choose another file. Received: ${file.type || "an unknown type"}, ${file.size.toLocaleString("en")} bytes`);
  }
  await predictPhoto();
}

async function predictPhoto() {
  const [own, picture] = [session, lastPhoto];
  draw(picture, picture.width, picture.height, []);
  const ready = await model;
  const began = performance.now();
  const faces = (await ready.predict(picture)).map((face, index) => ({ ...face, number: index + 1 }));
  if (own !== session) return;
  draw(picture, picture.width, picture.height, faces);
  showFaces(faces);
  status.textContent = `${count(faces.length, "face")} in ${Math.round(performance.now() - began)} ms, ${picture.width}×${picture.height}.`;
}

async function openVideo(file) {
  video.value = "";
  if (!file) return;
  const own = beginSession();
  player.loop = true;
  player.src = URL.createObjectURL(file);
  try {
    await player.play();
  } catch (error) {
    if (own !== session) return; // another source was chosen meanwhile
    stage.hidden = true;
    throw new InputError(`${file.name}: expected a video that this browser plays, such as WebM or MP4 with H.264. Convert it. Received: ${file.type || "an unknown type"}, ${error.message.slice(0, 80)}`);
  }
  await follow(own);
}

async function openWebcam() {
  if (webcam.getAttribute("aria-pressed") === "true") return endSession("Stopped.");
  const own = beginSession();
  webcam.setAttribute("aria-pressed", "true");
  try {
    if (!navigator.mediaDevices) throw { name: "", message: "this address has no access to it. Use https or localhost" };
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: "user" } });
    if (own !== session) return stream.getTracks().forEach((track) => track.stop());
    player.srcObject = stream;
    await player.play();
  } catch (error) {
    stage.hidden = true;
    throw new InputError(`webcam: expected a camera. Received: ${CAMERA_ERRORS[error.name] ?? error.message}`);
  }
  await follow(own);
}

/** Predicts the frames of the player, one after the other, until another source is chosen. */
async function follow(own) {
  stop.hidden = false;
  const [ready, tracks] = [await model, new Tracks()];
  let [rate, shown, last] = [0, 0, performance.now()];
  while (own === session) {
    await new Promise(requestAnimationFrame);
    if (own !== session) return;
    const frame = await createImageBitmap(player);
    const current = (await model) ?? ready;
    const faces = tracks.update(performance.now() / 1000, await current.predict(frame, null, { search: "whole" }));
    if (own !== session) return frame.close();
    draw(frame, frame.width, frame.height, faces);
    frame.close();
    const now = performance.now();
    rate = rate ? 0.9 * rate + 0.1 * (1000 / (now - last)) : 1000 / (now - last);
    last = now;
    if (now - shown < 1000 * LIST_SECONDS) continue;
    shown = now;
    showFaces(faces);
    status.textContent = `${count(faces.length, "face")}, ${rate.toFixed(1)} frames a second, ${player.videoWidth}×${player.videoHeight}.`;
  }
}

/** Draws a picture and the box of each face with its number and emotion, and no label over another face. */
function draw(picture, width, height, faces) {
  if (view.width !== width || view.height !== height) [view.width, view.height] = [width, height];
  canvas.drawImage(picture, 0, 0, width, height);
  const unit = Math.max(1, Math.max(width, height) / 640);
  canvas.font = `600 ${Math.round(15 * unit)}px system-ui, sans-serif`;
  canvas.textBaseline = "middle";
  canvas.lineWidth = 2.5 * unit;
  const taken = faces.map((face) => face.box);
  faces.forEach((face) => {
    const [left, top, wide, high] = face.box;
    canvas.strokeStyle = BOX_COLOUR;
    canvas.strokeRect(left, top, wide, high);
    const text = `${face.number} ${face.emotion}`;
    const label = [0, 0, canvas.measureText(text).width + 12 * unit, 22 * unit];
    const place = [
      [left, top - label[3]], [left, top + high], [left, top],
    ].find(([x, y]) => y >= 0 && y + label[3] <= height && !taken.some((box) => box !== face.box && meets([x, y, label[2], label[3]], box))) ?? [left, top];
    [label[0], label[1]] = [Math.max(0, Math.min(width - label[2], place[0])), Math.max(0, place[1])];
    taken.push(label);
    canvas.fillStyle = BOX_COLOUR;
    canvas.fillRect(...label);
    canvas.fillStyle = "#1c1400";
    canvas.fillText(text, label[0] + 6 * unit, label[1] + label[3] / 2);
  });
  view.setAttribute("aria-label", faces.length ? `The picture with ${faces.map((face) => `face ${face.number}: ${face.emotion}`).join(", ")}` : "The picture");
}

function meets(one, other) {
  return [0, 1].every((i) => one[i] < other[i] + other[i + 2] && other[i] < one[i] + one[i + 2]);
}

function showFaces(faces) {
  if (!faces.length) {
    const empty = make("li", "empty", "No face in this picture.");
    return list.replaceChildren(empty);
  }
  list.replaceChildren(
    ...faces.map((face) => {
      const item = make("li");
      const title = make("p", "face-name");
      title.append(make("span", "number", String(face.number)), make("span", "", face.emotion));
      item.append(title);
      const ranked = Object.entries(face.probabilities);
      if (ranked.length > SHOWN_CLASSES) ranked.sort((one, other) => other[1] - one[1]).splice(SHOWN_CLASSES);
      for (const [name, value] of ranked) {
        const row = make("div", "row");
        const track = make("div", "track");
        const bar = make("span", "bar");
        bar.style.width = `${100 * value}%`;
        track.append(bar);
        row.append(make("span", "", name), track, make("span", "share", `${(100 * value).toFixed(0)} %`));
        item.append(row);
      }
      return item;
    }),
  );
}

function make(kind, className = "", text = "") {
  const element = document.createElement(kind);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}
