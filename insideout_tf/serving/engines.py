"""Runs a model with Keras, or with LiteRT, which needs no framework."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from insideout_tf import devices, processes
from insideout_tf.data import images, inputs
from insideout_tf.errors import UserError
from insideout_tf.network import weights
from insideout_tf.serving import litert_probe, packaged

ENGINES = ("auto", "keras", "litert")
CHILD_SECONDS = 60  # that a .tflite file may take in the process that tries it


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
        return _of_keras_model(lambda faces: model(faces, training=False)), 1.0
    name = str(model)
    is_packaged = name in packaged.names()
    if not is_packaged and not os.path.exists(os.path.expanduser(name)):
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
    return _of_keras_model(weights.load_model(path).predict_on_batch)


def _of_keras_model(call):
    """Returns a function of faces that calls a Keras model; a forked process gets a `UserError`."""

    def predict(faces):
        processes.check_not_forked()
        return np.asarray(call(faces), np.float32)

    return predict


def _load_litert(path):
    """Returns a .tflite file as a function, which the package ai-edge-litert runs.

    A file that is not of this package is loaded in a child process first, since a damaged one can
    crash the interpreter. A forked process makes an interpreter of its own: the threads of its
    parent's do not exist there.
    """
    if not devices.is_installed("ai_edge_litert"):
        raise UserError(
            "engine: 'litert' expects the package ai-edge-litert. Install it with `pip install "
            "ai-edge-litert`, or use engine 'keras'. Received: no such package"
        )
    size = inputs.check_regular_file(path, "a .tflite file").st_size
    if size > weights.MAX_MODEL_BYTES:
        raise UserError(
            f"{path}: expected a .tflite file of at most {weights.MAX_MODEL_BYTES:,} bytes. Do not "
            f"trust it. Received: {size:,} bytes"
        )
    content = path.read_bytes()  # what is checked is what runs, and stays whole if the file is cut
    if path.parent != packaged.FOLDER:
        _check_in_child(path, content)
    interpreter, owner, batch_size = None, None, 0

    def predict(faces):
        nonlocal interpreter, owner, batch_size
        if owner != os.getpid():
            interpreter, owner, batch_size = litert_probe.load(content), os.getpid(), 0
        (inputs_of_model,) = interpreter.get_input_details()
        (outputs_of_model,) = interpreter.get_output_details()
        if len(faces) != batch_size:
            interpreter.resize_tensor_input(inputs_of_model["index"], faces.shape)
            with processes.native_stderr_closed():
                interpreter.allocate_tensors()
            batch_size = len(faces)
        interpreter.set_tensor(inputs_of_model["index"], faces)
        interpreter.invoke()
        return interpreter.get_tensor(outputs_of_model["index"]).copy()

    return predict


def _check_in_child(path, content):
    """Loads and runs the bytes of a .tflite file in a process of its own, and checks its results."""
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:
        faces, file = pathlib.Path(folder, "faces.npy"), pathlib.Path(folder, "model.tflite")
        file.write_bytes(content)
        np.save(faces, weights.probe_faces())
        try:
            child = subprocess.run(
                [sys.executable, "-P", litert_probe.__file__, file, faces],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CHILD_SECONDS,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            answer = json.loads(child.stdout)
        except subprocess.TimeoutExpired:
            answer = {"error": f"no result within {CHILD_SECONDS} seconds"}
        except ValueError:
            answer = {"error": f"the interpreter ended with status {child.returncode}"}
    if "error" in answer:
        raise UserError(
            f"{path}: expected a whole .tflite file with one input and one output. Export or "
            f"download it again. Received: {answer['error']}"
        )
    side, shape = images.FACE_SIDE, answer["shape"]
    if shape[1:] != [side, side, 1] or answer["dtype"] != "float32":
        raise UserError(
            f"{path}: expected float32 faces [n, {side}, {side}, 1]. "
            f"Received: {answer['dtype']} {shape}"
        )
    weights.check_probabilities(np.array(answer["probabilities"], np.float64), path)
