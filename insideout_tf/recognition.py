"""Faces in any form → probabilities, by a packaged model or any other, on Keras or on LiteRT."""

import functools
import pathlib

import numpy as np

from insideout_tf import devices, images, packaged, runs
from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError

ENGINES = ("auto", "keras", "litert")
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
    recognise = load_recogniser(model, engine, calibrated, batch_size, tta)
    return recognise(images.to_faces(faces))


def load_recogniser(
    model=packaged.DEFAULT, engine="auto", calibrated=True, batch_size=256, tta="none"
):
    """Returns the function uint8 `[n, 48, 48]` → float32 `[n, 7]` of `predict_emotions`, to call often."""
    if tta not in TTA:
        raise UserError(f"tta: expected one of {', '.join(TTA)}. Received: {tta!r}")
    if callable(model):
        predict, temperature = load_predictor(model, engine)
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
        return tempered(found, temperature) if calibrated else found

    return recognise


def tempered(probabilities, temperature):
    """Returns softmax(log p / temperature) of probabilities `[n, 7]`, float32."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=KEPT)
def _kept(model, engine, identity):
    """`load_predictor`, once for each file; its function answers one thread at a time."""
    predict, temperature = load_predictor(model, engine)
    return devices.in_turn(predict), temperature


def _identity(model):
    """Returns what changes when the file at a path does; None where there is none (a packaged name)."""
    path = pathlib.Path(model).expanduser()
    path = path / runs.MODEL if path.is_dir() else path
    if not path.exists():
        return None
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def load_predictor(model, engine="auto"):
    """Returns (function float32 `[n, 48, 48, 1]` → `[n, 7]`, temperature) of a model.

    model, engine: as in `predict_emotions`.
    """
    if engine not in ENGINES:
        raise UserError(f"engine: expected one of {', '.join(ENGINES)}. Received: {engine!r}")
    if callable(model):
        return lambda x: np.asarray(model(x, training=False), np.float32), 1.0
    name = str(model)
    is_packaged = name in packaged.names()
    if not is_packaged and not pathlib.Path(name).expanduser().exists():
        packaged.path_of(name, ".keras")  # says which names there are
    temperature = packaged.facts(name)["temperature"] if is_packaged else 1.0
    is_litert_file = name.endswith(".tflite")
    if engine == "auto":
        has_litert = devices.is_installed("ai_edge_litert")
        engine = "litert" if is_litert_file or (is_packaged and has_litert) else "keras"
    if engine == "litert":
        if not (is_packaged or is_litert_file):
            raise UserError(
                "engine: 'litert' expects a packaged model or a .tflite file. Use engine 'keras'. "
                f"Received: {name}"
            )
        path = packaged.path_of(name, ".tflite") if is_packaged else pathlib.Path(name).expanduser()
        return _litert(path), temperature
    if is_litert_file:
        raise UserError(f"engine: a .tflite file expects 'litert'. Received: 'keras' for {name}")
    path, _ = runs.model_path(name)
    devices.prepare_backend()
    loaded = runs.load_model(path)
    return lambda x: np.asarray(loaded.predict_on_batch(x), np.float32), temperature


def _litert(path):
    """Returns the function of a .tflite file, through the package ai-edge-litert."""
    try:
        with devices.native_stderr_closed():
            from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(
            "engine: 'litert' expects the package ai-edge-litert. Install it with `pip install "
            "ai-edge-litert`, or use engine 'keras'. Received: no such package"
        ) from None
    try:
        with devices.native_stderr_closed():
            interpreter = Interpreter(model_path=str(path))
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UserError(
            f"{path}: expected a whole .tflite file with one input and one output. Export or "
            f"download it again. Received: {reason}"
        ) from None
    shape = given["shape_signature"].tolist()
    if shape[1:] != [images.FACE_SIDE, images.FACE_SIDE, 1] or given["dtype"] != np.float32:
        raise UserError(
            f"{path}: expected float32 faces [n, 48, 48, 1]. Received: {given['dtype'].__name__} "
            f"{shape}"
        )
    allocated = 0

    def predict(faces):
        nonlocal allocated
        if len(faces) != allocated:
            interpreter.resize_tensor_input(given["index"], faces.shape)
            with devices.native_stderr_closed():
                interpreter.allocate_tensors()
            allocated = len(faces)
        interpreter.set_tensor(given["index"], faces)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"]).copy()

    return predict
