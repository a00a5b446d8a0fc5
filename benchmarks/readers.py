"""Try which runtimes open the packaged and exported files, and whether they agree: run it in several environments.

    insideout export small --out exported
    python benchmarks/readers.py exported/model.* insideout_tf/models/*.tflite --reference answers.npz
    OLD/bin/python benchmarks/readers.py exported/model.* insideout_tf/models/*.tflite --reference answers.npz

The first run writes the reference, the others compare. An environment needs NumPy and any of onnxruntime,
opencv-python-headless, ai-edge-litert and tflite-runtime, and not this package. Each reader gets eight made
faces, one a call and all in one call.
"""

import argparse
import importlib
import importlib.metadata
import pathlib

import numpy as np

PACKAGES = {  # by suffix: module and package of each reader
    ".onnx": {"onnxruntime": "onnxruntime", "cv2": "opencv-python-headless"},
    ".tflite": {
        "ai_edge_litert.interpreter": "ai-edge-litert",
        "tflite_runtime.interpreter": "tflite-runtime",
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--reference", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1)).astype(np.float32)
    known = dict(np.load(arguments.reference)) if arguments.reference.exists() else {}
    for path in arguments.files:
        for module, package in PACKAGES[path.suffix].items():
            try:
                loaded = importlib.import_module(module)
            except ImportError:
                continue
            reader = f"{path}: {package} {importlib.metadata.version(package)}"
            for name, size in (("one face a call", 1), ("eight faces a call", 8)):
                try:
                    found = read(module, loaded, str(path), faces, size)
                except Exception as error:  # each runtime raises kinds of its own
                    print(f"{reader}, {name}: {(str(error).splitlines() or ['?'])[0][:150]}")
                    continue
                expected = known.setdefault(str(path), found)
                print(f"{reader}, {name}: {np.abs(found - expected).max():.1e} from the reference")
    if not arguments.reference.exists():
        np.savez(arguments.reference, **known)


def read(module, loaded, path, faces, size):
    """Returns the probabilities of faces, `size` of them in each call of a runtime."""
    parts = np.split(faces, len(faces) // size)
    if module == "onnxruntime":
        session = loaded.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {"pixels": each})[0] for each in parts])
    if module == "cv2":
        network = loaded.dnn.readNetFromONNX(path)
        found = []
        for each in parts:
            network.setInput(each)
            found.append(network.forward().copy())
        return np.concatenate(found)
    interpreter = loaded.Interpreter(path)
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], parts[0].shape)
    interpreter.allocate_tensors()
    found = []
    for each in parts:
        interpreter.set_tensor(given["index"], each)
        interpreter.invoke()
        found.append(interpreter.get_tensor(output["index"]).copy())
    return np.concatenate(found)


if __name__ == "__main__":
    main()
