"""Runs an exported model as its users do: in its own process, without this package.

`python -I parity.py KIND FILE FOLDER` blocks the import of insideout_tf; for LiteRT and ONNX also of
TensorFlow and Keras. It needs NumPy and the runtime of the file, nothing else.

- KIND: savedmodel, litert, onnx or web (a LiteRT file of one face a call).
- FOLDER/faces.npy: float32 `[n, side, side, channels]`, the faces that the model receives.
- FOLDER/expected.npy: float32 `[n, k]`, the probabilities of Keras.
- FOLDER/embeddings.npy, if it is there: float32 `[n, d]`, the embeddings of Keras.
- FOLDER/*.png: the first faces as files, for the signature `image_bytes`.

It prints JSON: `furthest`, the largest difference of a probability from Keras'; `repeat`, the largest
difference between two equal calls; `embeddings`, if there are any, the largest difference from Keras'
as a share of their standard deviation; `agree`, the fraction of faces with the same likeliest class;
`p50_ms`, the median of 50 calls with one face; `readers`, the versions of the runtimes that were tried, each
with `furthest`, or with the reason why it refused the file. Any other failure is an exception, which the
caller reports.
"""

import json
import pathlib
import sys
import time

BLOCKED_IMPORTS = {
    "savedmodel": ("insideout_tf",),
    "litert": ("insideout_tf", "tensorflow", "keras", "jax", "torch"),
    "web": ("insideout_tf", "tensorflow", "keras", "jax", "torch"),
    "onnx": ("insideout_tf", "tensorflow", "keras", "jax", "torch"),
}
# TensorFlow fuses operations differently in each signature and loader of one SavedModel.
SIGNATURE_TOLERANCE = 1e-4
BATCH_TOLERANCE = 1e-2  # of a face's probabilities in two batches
BATCH_SIZES = (1, 3, 64)  # a dynamic batch takes each; then all faces
TIMED_CALLS = 50
SLOW_FACES = 8  # that a reader gets which takes one face a call


class ImportBlocker:
    """Lets packages look as if they were not installed."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, *_):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is blocked here")
        return None


def main(kind, file, folder):
    """Returns the dict that is printed; see the top of this file. Raises what the runtime raises."""
    sys.meta_path.insert(0, ImportBlocker(BLOCKED_IMPORTS[kind]))
    import numpy as np

    folder = pathlib.Path(folder)
    faces, expected = np.load(folder / "faces.npy"), np.load(folder / "expected.npy")
    load = {
        "savedmodel": load_saved_model,
        "litert": load_litert,
        "onnx": load_onnx,
        "web": load_web,
    }
    predict, checks, readers = load[kind](file)
    probabilities = predict(faces)
    for size in BATCH_SIZES:
        part = predict(faces[:size])
        require(part.shape == expected[:size].shape, f"probabilities of shape {part.shape}")
        require(part.dtype == np.float32, f"probabilities of {part.dtype}")
        difference = np.abs(part - probabilities[:size]).max()
        message = f"probabilities of a face depend on its batch: {difference:.2g}"
        require(difference < BATCH_TOLERANCE, message)
    again = predict(faces)  # after smaller batches
    for check in checks:
        check(faces, probabilities, folder)
    embeddings = {}
    if (folder / "embeddings.npy").exists():
        known = np.load(folder / "embeddings.npy")
        found = predict(faces, "embeddings")
        require(found.shape == known.shape, f"embeddings of shape {found.shape}")
        embeddings["embeddings"] = float(np.abs(found - known).max() / known.std())
    milliseconds = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        predict(faces[:1])
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {
        "furthest": float(np.abs(probabilities - expected).max()),
        "repeat": float(np.abs(probabilities - again).max()),
        "agree": float((probabilities.argmax(1) == expected.argmax(1)).mean()),
        "p50_ms": round(float(np.median(milliseconds)), 3),
        "readers": readers(faces, probabilities),
        **embeddings,
    }


def require(condition, message):
    """Raises RuntimeError with the message if the condition is false."""
    if not condition:
        raise RuntimeError(message)


def load_saved_model(folder):
    """Returns the default signature as a function, checks of the others and of the loader, and the readers.

    A check takes (faces, their probabilities, the folder of this program). The last value is a function
    of the first two, which returns `readers`.
    """
    import numpy as np
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures

    def predict(faces, output="probabilities"):
        return signatures["serving_default"](pixels=tf.constant(faces))[output].numpy()

    def is_near(tensor, probabilities):
        return np.abs(np.asarray(tensor) - probabilities).max() < SIGNATURE_TOLERANCE

    def check_uint8(faces, probabilities, _):
        pixels = tf.constant(np.rint(faces).astype(np.uint8))
        result = signatures["uint8"](pixels=pixels)["probabilities"]
        require(is_near(result, probabilities), "signature uint8 gives other probabilities")

    def check_image_bytes(_, probabilities, folder):
        files = sorted(folder.glob("*.png"))
        content = tf.constant([file.read_bytes() for file in files])
        result = signatures["image_bytes"](image_bytes=content)["probabilities"]
        same = is_near(result, probabilities[: len(files)])
        require(same, "signature image_bytes gives other probabilities")
        content = tf.concat([content, [b"no image"]], 0)
        result = signatures["image_bytes_checked"](image_bytes=content)
        same = is_near(result["probabilities"][:-1], probabilities[: len(files)])
        marks = result["is_valid"].numpy().tolist()
        require(same, "signature image_bytes_checked gives other probabilities")
        require(marks == [True] * len(files) + [False], f"signature image_bytes_checked: {marks}")

    def check_classify(faces, probabilities, _):
        names = pathlib.Path(folder, "assets/classes.txt").read_text("utf-8").splitlines()
        result = signatures["classify"](pixels=tf.constant(faces))
        same_scores = is_near(result["scores"], -np.sort(-probabilities, 1))
        labels = [label.decode() for label in result["labels"].numpy()[:, 0]]
        same_labels = labels == [names[index] for index in probabilities.argmax(1)]
        require(same_scores and same_labels, "signature classify gives other classes or scores")

    def check_session(faces, probabilities, _):
        # TF Serving restores variables by operations of the graph, which `tf.saved_model.load` skips.
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            model = tf.compat.v1.saved_model.load(session, ["serve"], folder)
            signature = model.signature_def["serving_default"]
            feed = {signature.inputs["pixels"].name: faces}
            result = session.run(signature.outputs["probabilities"].name, feed)
        same = is_near(result, probabilities)
        require(same, "a session, as TF Serving uses it, gives other probabilities")

    checks = (check_uint8, check_image_bytes, check_classify, check_session)
    return predict, checks, lambda faces, _: [{"reader": f"TensorFlow {tf.__version__}"}]


def load_litert(file):
    """Returns the model of a .tflite file as a function, no further checks, and the readers."""
    from ai_edge_litert.interpreter import Interpreter

    predict = _run_litert(Interpreter(file))

    def readers(faces, probabilities):
        tried = [{"reader": f"ai-edge-litert {version_of('ai-edge-litert')}"}]
        if has_module("tflite_runtime"):
            tried.append(
                try_reader(
                    f"tflite-runtime {version_of('tflite-runtime')}", old, faces, probabilities
                )
            )
        return tried

    def old(faces):
        from tflite_runtime.interpreter import Interpreter

        return _run_litert(Interpreter(file))(faces)

    return predict, (), readers


def _run_litert(interpreter):
    """Returns an interpreter of LiteRT as a function of faces and the name of an output."""
    (inputs,) = interpreter.get_input_details()
    outputs = interpreter.get_signature_runner("serving_default").get_output_details()
    shape = None

    def predict(faces, output="probabilities"):
        nonlocal shape
        if shape != faces.shape:
            interpreter.resize_tensor_input(inputs["index"], faces.shape)
            interpreter.allocate_tensors()
            shape = faces.shape
        interpreter.set_tensor(inputs["index"], faces)
        interpreter.invoke()
        return interpreter.get_tensor(outputs[output]["index"]).copy()

    return predict


def load_web(file):
    """Returns the model of a .tflite file that takes one face as a function of several."""
    import numpy as np

    predict, checks, readers = load_litert(file)

    def predict_each(faces, output="probabilities"):
        return np.concatenate([predict(face[None], output) for face in faces])

    return predict_each, checks, readers


def load_onnx(file):
    """Returns the model of an .onnx file as a function, a check of its names, and the readers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def check_names(_, probabilities, __):
        names = [each.name for each in session.get_inputs()]
        require(names == ["pixels"], f"inputs named {names}")
        classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
        require(len(classes) == probabilities.shape[1], f"classes {classes}")

    def predict(faces, output="probabilities"):
        return session.run([output], {"pixels": faces})[0]

    def readers(faces, probabilities):
        tried = [{"reader": f"ONNX Runtime {onnxruntime.__version__}"}]
        if has_module("cv2"):
            import cv2

            name = f"OpenCV DNN {cv2.__version__}, one face a call"
            tried.append(try_reader(name, opencv, faces[:SLOW_FACES], probabilities[:SLOW_FACES]))
        return tried

    def opencv(faces):
        import cv2
        import numpy as np

        network = cv2.dnn.readNetFromONNX(file)
        found = []
        for face in faces:
            network.setInput(face[None])
            found.append(network.forward("probabilities").copy())
        return np.concatenate(found)

    return predict, (check_names,), readers


def version_of(package):
    """Returns the version of an installed package."""
    import importlib.metadata

    return importlib.metadata.version(package)


def has_module(name):
    """Returns True if a module is installed."""
    import importlib.util

    return importlib.util.find_spec(name) is not None


def try_reader(name, read, faces, probabilities):
    """Returns what another runtime makes of a file: `furthest` from the first one, or `refused`."""
    try:
        return {"reader": name, "furthest": float(abs(read(faces) - probabilities).max())}
    except Exception as error:  # each runtime raises kinds of its own
        return {"reader": name, "refused": (str(error).splitlines() or ["?"])[0][:200]}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
