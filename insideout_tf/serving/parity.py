"""Runs an exported model as its users will: in a process of its own, without this package.

`python -I export_check.py KIND FILE FOLDER` refuses to import insideout_tf (and, for LiteRT and ONNX,
TensorFlow and Keras), gives the model the faces in FOLDER/faces.npy (float32 `[n, 48, 48, 1]`), compares
with FOLDER/expected.npy (`[n, 7]`) and prints JSON: `furthest`, the largest difference of a probability;
`repeat`, that between two equal calls; `agree`, the share of faces with the same likeliest class;
`p50_ms`, the median of 50 calls with one face. KIND: savedmodel, litert or onnx. Uses NumPy and the
runtime, nothing else. Everything it cannot do is an exception, which the caller reports.
"""

import json
import pathlib
import sys
import time

REFUSED = {
    "savedmodel": ("insideout_tf",),
    "litert": ("insideout_tf", "tensorflow", "keras", "jax", "torch"),
    "onnx": ("insideout_tf", "tensorflow", "keras", "jax", "torch"),
}
# Of the signatures and loaders of one SavedModel: TensorFlow joins operations differently.
NEAR = 1e-4
BATCHES = (1, 3, 64)  # a dynamic batch takes each; then all faces


class Refuse:
    """Makes the packages named `names` look as if they were not installed."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, *_):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is refused here")
        return None


def main(kind, file, folder):
    sys.meta_path.insert(0, Refuse(REFUSED[kind]))
    import numpy as np

    folder = pathlib.Path(folder)
    faces, expected = np.load(folder / "faces.npy"), np.load(folder / "expected.npy")
    predict, checks = {"savedmodel": saved_model, "litert": litert, "onnx": onnx}[kind](file)
    for count in BATCHES:
        part = predict(faces[:count])
        demand(part.shape == (count, expected.shape[1]), f"answers of shape {part.shape}")
        demand(part.dtype == np.float32, f"answers of {part.dtype}")
        alone = np.abs(part - predict(faces)[:count]).max()
        demand(alone < 1e-2, f"a face's answer depends on its batch: {alone:.2g}")
    found, again = predict(faces), predict(faces)
    for check in checks:
        check(faces, found, folder)
    milliseconds = []
    for _ in range(50):
        began = time.perf_counter()
        predict(faces[:1])
        milliseconds.append(1000 * (time.perf_counter() - began))
    return {
        "furthest": float(np.abs(found - expected).max()),
        "repeat": float(np.abs(found - again).max()),
        "agree": float((found.argmax(1) == expected.argmax(1)).mean()),
        "p50_ms": round(float(np.median(milliseconds)), 3),
    }


def demand(holds, otherwise):
    if not holds:
        raise RuntimeError(otherwise)


def saved_model(folder):
    """Returns the default signature as a function, the checks of the other three, and of the loader."""
    import numpy as np
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures

    def predict(faces):
        return signatures["serving_default"](pixels=tf.constant(faces))["probabilities"].numpy()

    def takes_uint8(faces, found, _):
        grey = tf.constant(np.rint(faces).astype(np.uint8))
        answer = signatures["uint8"](pixels=grey)["probabilities"]
        demand(np.abs(answer - found).max() < NEAR, "signature uint8 gives other answers")

    def takes_files(_, found, folder):
        files = sorted(folder.glob("*.png"))
        content = tf.constant([file.read_bytes() for file in files])
        read = signatures["image_bytes"](image_bytes=content)["probabilities"]
        near = np.abs(read - found[: len(files)]).max() < NEAR
        demand(near, "signature image_bytes gives other answers")

    def classifies(faces, found, _):
        names = pathlib.Path(folder, "assets/classes.txt").read_text("utf-8").split()
        answer = signatures["classify"](pixels=tf.constant(faces))
        near = np.abs(-np.sort(-found, 1) - answer["scores"].numpy()).max() < NEAR
        first = [label.decode() for label in answer["labels"].numpy()[:, 0]]
        same = first == [names[index] for index in found.argmax(1)]
        demand(near and same, "signature classify gives other answers")

    def loads_in_a_session(faces, found, _):
        # TF Serving restores variables by operations of the graph, which `tf.saved_model.load` skips.
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
            signature = loaded.signature_def["serving_default"]
            given = {signature.inputs["pixels"].name: faces}
            answer = session.run(signature.outputs["probabilities"].name, given)
        demand(
            np.abs(answer - found).max() < NEAR, "a session, as of TF Serving, answers otherwise"
        )

    return predict, (takes_uint8, takes_files, classifies, loads_in_a_session)


def litert(file):
    """Returns the model of a .tflite file as a function, and no further checks."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file)
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape = None

    def predict(faces):
        nonlocal shape
        if shape != faces.shape:
            interpreter.resize_tensor_input(given["index"], faces.shape)
            interpreter.allocate_tensors()
            shape = faces.shape
        interpreter.set_tensor(given["index"], faces)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"]).copy()

    return predict, ()


def onnx(file):
    """Returns the model of an .onnx file as a function, and the check of its metadata."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def named(*_):
        names = [each.name for each in session.get_inputs()]
        demand(names == ["pixels"], f"inputs named {names}")
        classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
        demand(len(classes) == 7, f"classes {classes}")

    return lambda faces: session.run(["probabilities"], {"pixels": faces})[0], (named,)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
