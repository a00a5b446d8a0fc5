"""Runs a model with Keras, or with LiteRT, which needs no framework."""

import pathlib

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.network import weights
from insideout_tf.serving import packaged

ENGINES = ("auto", "keras", "litert")


def load_predictor(model, engine="auto"):
    """Returns a function from the input of a model to its output, and the temperature of the model.

    Args:
        model: the name of a packaged model; the path of a run folder, a .keras or a .tflite file;
            or a Keras model.
        engine: "keras"; "litert", which needs the package ai-edge-litert and imports no framework;
            or "auto": LiteRT for a .tflite file, and for a packaged model if the package is
            installed.

    Returns:
        (function float32 `[n, 48, 48, 1]`, grey levels 0..255 → float32 `[n, 7]`, float). The
        temperature is 1 for every model but the packaged ones.

    Raises:
        UserError: the name, the path, the file or the engine is wrong, or a package is missing.
    """
    if engine not in ENGINES:
        raise UserError(f"engine: expected one of {', '.join(ENGINES)}. Received: {engine!r}")
    if callable(model):
        return lambda faces: np.asarray(model(faces, training=False), np.float32), 1.0
    name = str(model)
    is_packaged = name in packaged.names()
    if not is_packaged and not pathlib.Path(name).expanduser().exists():
        packaged.path_of(name, ".keras")  # raises the error that lists the names
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
        return _load_litert(path), temperature
    if is_litert_file:
        raise UserError(f"engine: a .tflite file expects 'litert'. Received: 'keras' for {name}")
    return _load_keras(packaged.model_path(name)[0]), temperature


def _load_keras(path):
    """Returns a .keras file as a function."""
    devices.prepare_backend()
    model = weights.load_model(path)
    return lambda faces: np.asarray(model.predict_on_batch(faces), np.float32)


def _load_litert(path):
    """Returns a .tflite file as a function, which the package ai-edge-litert runs."""
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
        (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UserError(
            f"{path}: expected a whole .tflite file with one input and one output. Export or "
            f"download it again. Received: {reason}"
        ) from None
    shape = inputs["shape_signature"].tolist()
    if shape[1:] != [images.FACE_SIDE, images.FACE_SIDE, 1] or inputs["dtype"] != np.float32:
        raise UserError(
            f"{path}: expected float32 faces [n, {images.FACE_SIDE}, {images.FACE_SIDE}, 1]. "
            f"Received: {inputs['dtype'].__name__} {shape}"
        )
    batch_size = 0

    def predict(faces):
        nonlocal batch_size
        if len(faces) != batch_size:
            interpreter.resize_tensor_input(inputs["index"], faces.shape)
            with devices.native_stderr_closed():
                interpreter.allocate_tensors()
            batch_size = len(faces)
        interpreter.set_tensor(inputs["index"], faces)
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"]).copy()

    return predict
