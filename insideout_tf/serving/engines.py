"""What runs a model: Keras, or LiteRT without a framework."""

import pathlib

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.network import weights
from insideout_tf.serving import packaged

ENGINES = ("auto", "keras", "litert")


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
    path, _ = packaged.model_path(name)
    devices.prepare_backend()
    loaded = weights.load_model(path)
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
