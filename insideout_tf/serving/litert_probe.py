"""Tries a .tflite file in a process of its own, since a damaged one can crash the interpreter.

`python litert_probe.py MODEL` runs the model on three faces: grey, black and noise. It prints JSON:
`dtype` and `shape` of the input, and `probabilities`; or `error`. It needs NumPy and ai-edge-litert alone.
"""

import contextlib
import json
import pathlib
import sys

MAX_SIDE = 1024  # pixels
MAX_BYTES = 8 << 30  # of address space; a model that asks for more fails here and not in its user


def load(content, threads=1):
    """Returns an interpreter of the bytes of a .tflite file. Raises what the package raises.

    threads: how many it may use.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _silence():
        return Interpreter(model_content=content, num_threads=threads)


def find_output(interpreter):
    """Returns the details of the output with the probabilities: the only one, or that of its name.

    Raises ValueError if there are several and none has the name.
    """
    outputs = interpreter.get_output_details()
    if len(outputs) == 1:
        return outputs[0]
    for name in interpreter.get_signature_list():
        named = interpreter.get_signature_runner(name).get_output_details()
        if "probabilities" in named:
            return named["probabilities"]
    raise ValueError(f"{len(outputs)} outputs, none of which is named probabilities")


def _silence():
    """Returns a context without native messages where this package is there, else one that does nothing."""
    module = sys.modules.get("insideout_tf.processes")
    return module.native_stderr_closed() if module else contextlib.nullcontext()


def main(model):
    """Returns the dict that is printed; see the top of this file."""
    import numpy as np

    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        resource.setrlimit(
            resource.RLIMIT_AS, (MAX_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1])
        )
    interpreter = load(pathlib.Path(model).read_bytes())
    inputs, output = interpreter.get_input_details(), find_output(interpreter)
    if len(inputs) != 1:
        return {"error": f"{len(inputs)} inputs"}
    shape, dtype = inputs[0]["shape_signature"].tolist(), np.dtype(inputs[0]["dtype"]).name
    is_of_faces = len(shape) == 4 and all(0 < side <= MAX_SIDE for side in shape[1:])
    if not is_of_faces or dtype != "float32":
        return {"shape": shape, "dtype": dtype, "probabilities": []}
    faces = np.full((3, *shape[1:]), 128, np.float32)
    faces[1] = 0
    faces[2] = np.random.default_rng(0).integers(0, 256, faces.shape[1:])
    interpreter.resize_tensor_input(inputs[0]["index"], faces.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(inputs[0]["index"], faces)
    interpreter.invoke()
    probabilities = interpreter.get_tensor(output["index"])
    return {"shape": shape, "dtype": dtype, "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    try:
        answer = main(*sys.argv[1:])
    except Exception as error:  # the interpreter raises several kinds
        answer = {"error": (str(error).splitlines() or [type(error).__name__])[0][:200]}
    print(json.dumps(answer))
