"""Faces in any form → probabilities, by a packaged model or any other, on Keras or on LiteRT."""

import functools
import pathlib

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.serving import engines, packaged

TTA = ("none", "flip")  # test-time averaging
KEPT = 4  # models that stay loaded between calls


def predict_emotions(
    faces, model=packaged.DEFAULT, engine="auto", calibrated=True, batch_size=256, tta="none"
):
    """Returns float32 `[n, 7]` probabilities of `EMOTIONS` for faces that are cropped already.

    faces: whatever `images.to_faces` takes: arrays 0..255, paths, PIL images. model: the name of a
    packaged model, the path of a run, a .keras or a .tflite file, or a Keras model. engine: "keras",
    "litert" (needs the package ai-edge-litert, imports no framework), or "auto": LiteRT where the
    model has a .tflite and the package is there. calibrated: divide the logits of a packaged model
    by the temperature that fits PublicTest (Guo et al. 2017, section 4.2); others are left as they
    are. tta: "flip" averages each face with its mirror image, in twice the time, before that. A
    model is loaded at the first call and again when its file has changed; threads may call at once.
    Raises `UserError`.
    """
    recognise = load_recognizer(model, engine, calibrated, batch_size, tta)
    return recognise(images.to_faces(faces))


def load_recognizer(
    model=packaged.DEFAULT, engine="auto", calibrated=True, batch_size=256, tta="none"
):
    """Returns the function uint8 `[n, 48, 48]` → float32 `[n, 7]` of `predict_emotions`, to call often."""
    if tta not in TTA:
        raise UserError(f"tta: expected one of {', '.join(TTA)}. Received: {tta!r}")
    if callable(model):
        predict, temperature = engines.load_predictor(model, engine)
    else:
        predict, temperature = _kept(str(model), engine, _identity(str(model)))

    def answer(pixels):
        faces = images.to_model_input(pixels)
        if tta == "none":
            return predict(faces)
        return (predict(faces) + predict(np.ascontiguousarray(faces[:, :, ::-1]))) / 2

    def recognise(pixels):
        parts = [
            answer(pixels[start : start + batch_size])
            for start in range(0, len(pixels), batch_size)
        ]
        found = np.concatenate(parts) if parts else np.zeros((0, len(EMOTIONS)), np.float32)
        return apply_temperature(found, temperature) if calibrated else found

    return recognise


def apply_temperature(probabilities, temperature):
    """Returns softmax(log p / temperature) of probabilities `[n, 7]`, float32."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=KEPT)
def _kept(model, engine, identity):
    """`load_predictor`, once for each file; its function answers one thread at a time."""
    predict, temperature = engines.load_predictor(model, engine)
    return devices.serialized(predict), temperature


def _identity(model):
    """Returns what changes when the file at a path does; None where there is none (a packaged name)."""
    path = pathlib.Path(model).expanduser()
    path = path / packaged.MODEL if path.is_dir() else path
    if not path.exists():
        return None
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
