"""Runs a model with Keras, or with LiteRT, which needs no framework."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

from insideout_tf import devices, imports, native_notes, processes, resources
from insideout_tf.data import contract as contracts
from insideout_tf.data import inputs
from insideout_tf.errors import UserError
from insideout_tf.network import weights
from insideout_tf.serving import litert_probe, packaged

ENGINES = ("auto", "keras", "litert")
FACES_PER_CALL = 8  # of LiteRT's interpreter: more take longer a face (benchmarks/litert.py)
CHILD_SECONDS = 60  # that a .tflite file may take in the process that tries it


def load_predictor(model, engine="auto"):
    """Returns a function from the input of a model to its output, its temperature and its contract.

    Args:
        model: the name of a packaged model; the path of a run folder, a .keras or a .tflite file;
            or a Keras model.
        engine: "keras"; "litert", which needs the package ai-edge-litert and imports no framework;
            or "auto": LiteRT for a .tflite file, and for a packaged model if the package is
            installed.

    Returns:
        (function float32 `[n, side, side, channels]`, 0..255 → float32 `[n, k]`, float, `Contract`).
        The temperature is 1 for every model but the packaged ones.

    Raises:
        UserError: the name, the path, the file or the engine is wrong, or a package is missing.
    """
    if engine not in ENGINES:
        raise UserError(f"engine: expected one of {', '.join(ENGINES)}. Received: {engine!r}")
    if callable(model):
        contract = weights.contract_of(model, "model")
        return _of_keras_model(lambda faces: model(faces, training=False)), 1.0, contract
    name = str(model)
    is_packaged = name in packaged.names()
    if not is_packaged and not os.path.exists(os.path.expanduser(name)):
        packaged.path_of(name, ".keras")  # raises the error that lists the names
    temperature = packaged.facts(name)["temperature"] if is_packaged else 1.0
    is_litert_file = name.endswith(".tflite")
    engine = choose_engine(name, engine)
    if engine == "litert":
        if not (is_packaged or is_litert_file):
            raise UserError(
                "engine: 'litert' expects a packaged model or a .tflite file. Use engine 'keras'. "
                f"Received: {name}"
            )
        path = packaged.path_of(name, ".tflite") if is_packaged else pathlib.Path(name).expanduser()
        predict, contract = _load_litert(path)
        return predict, temperature, contract
    if is_litert_file:
        raise UserError(
            f"engine: a .tflite file expects 'litert'. Leave out the engine. Received: 'keras' for {name}"
        )
    devices.prepare_backend()
    loaded = weights.load_model(packaged.model_path(name)[0])
    return _of_keras_model(loaded.predict_on_batch), temperature, loaded.contract


def choose_engine(model, engine="auto"):
    """Returns "keras" or "litert": the engine that `load_predictor` chooses for a name or a path."""
    if engine != "auto":
        return engine
    has_litert = str(model) in packaged.names() and imports.is_installed("ai_edge_litert")
    return "litert" if has_litert or str(model).endswith(".tflite") else "keras"


def _of_keras_model(call):
    """Returns a function of faces that calls a Keras model; a forked process gets a `UserError`."""

    def predict(faces):
        processes.check_not_forked()
        return np.asarray(call(faces), np.float32)

    return predict


def _load_litert(path):
    """Returns a .tflite file as a function, which the package ai-edge-litert runs, and its contract.

    A file that is not of this package is loaded in a child process first, since a damaged one can
    crash the interpreter. A forked process makes an interpreter of its own: the threads of its
    parent's do not exist there. Up to `FACES_PER_CALL` faces take one thread, more take
    `processes.count_threads`.
    """
    imports.load("ai_edge_litert.interpreter", "engine 'litert'", "", ", or use engine 'keras'")
    size = inputs.check_regular_file(path, "a .tflite file").st_size
    if size > weights.MAX_MODEL_BYTES:
        raise UserError(
            f"{path}: expected a .tflite file of at most {weights.MAX_MODEL_BYTES:,} bytes. Do not "
            f"trust it. Received: {size:,} bytes"
        )
    content = path.read_bytes()  # what is checked is what runs, and stays whole if the file is cut
    is_packaged = path.parent == packaged.FOLDER
    contract = contracts.FER2013 if is_packaged else _check_in_child(path, content)
    get_interpreters = processes.made_again_after_fork(dict[int, _Interpreter])  # by their threads

    def predict(faces):
        if not len(faces):
            return np.zeros((0, len(contract.classes)), np.float32)
        interpreters = get_interpreters()
        threads = 1 if len(faces) <= FACES_PER_CALL else processes.count_threads()
        if threads not in interpreters:
            interpreters[threads] = _Interpreter(content, threads)
        starts = range(0, len(faces), FACES_PER_CALL)
        run = interpreters[threads].run
        return np.concatenate([run(faces[start : start + FACES_PER_CALL]) for start in starts])

    return predict, contract


class _Interpreter:
    """LiteRT's interpreter of the bytes of a .tflite file, for any number of faces a call."""

    def __init__(self, content, threads):
        self._interpreter = litert_probe.load(content, threads)
        (self._input,) = self._interpreter.get_input_details()
        self._output = litert_probe.find_output(self._interpreter)["index"]
        self._count = None

    def run(self, faces):
        """Returns the probabilities of faces, float32 `[n, k]`."""
        if len(faces) != self._count:
            self._interpreter.resize_tensor_input(self._input["index"], faces.shape)
            with processes.native_stderr_closed():
                self._interpreter.allocate_tensors()
            self._count = len(faces)
        self._interpreter.set_tensor(self._input["index"], faces)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output).copy()


def _check_in_child(path, content):
    """Loads and runs the bytes of a .tflite file in a process of its own; returns its `Contract`.

    Its results are checked. The process makes the faces, since their shape is that of the model.
    """
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:
        file = pathlib.Path(folder, "model.tflite")
        file.write_bytes(content)
        try:
            child = subprocess.run(
                [sys.executable, "-P", str(resources.folder() / "serving/litert_probe.py"), file],
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
            reason = native_notes.without_noise(child.stderr).strip().rpartition("\n")[2][:200]
            error = f"the interpreter ended with status {child.returncode}"
            answer = {"error": f"{error}: {reason}" if reason else error}
    if "error" in answer:
        raise UserError(
            f"{path}: expected a whole .tflite file with one input and one output. Export or "
            f"download it again. Received: {answer['error']}"
        )
    shape, probabilities = answer["shape"], np.array(answer["probabilities"], np.float64)
    if answer["dtype"] != "float32" or probabilities.ndim != 2:
        raise UserError(
            f"{path}: expected float32 faces [n, side, side, 1 or 3] to probabilities [n, classes]. "
            f"Received: {answer['dtype']} {shape} to {list(probabilities.shape)}"
        )
    contract = contracts.of_shapes(shape, probabilities.shape, _read_labels(path, content), path)
    weights.check_probabilities(probabilities, path, contract)
    return contract


def _read_labels(path, content):
    """Returns the class names in the associated files of a .tflite file, or None without any."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(weights.LABELS)[: weights.MAX_LABELS_BYTES].decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None
    return contracts.parse_labels(text, f"{path}, {weights.LABELS}")
