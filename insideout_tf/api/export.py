"""Export of a trained model into what serves it, each file checked."""

import contextlib
import dataclasses
import errno
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import insideout_tf
from insideout_tf import devices, errors, files, imports, progress, resources, runs, targets
from insideout_tf.api.embed import embed
from insideout_tf.data import images, reading
from insideout_tf.data.faces import PUBLIC_TEST
from insideout_tf.data.read import check_path, read
from insideout_tf.errors import UserError
from insideout_tf.network import fold
from insideout_tf.network.weights import load_model
from insideout_tf.serving import litert, onnx, packaged, saved_model

FORMATS = {
    "savedmodel": "saved_model",  # and its version
    "litert": "model.tflite",
    "onnx": "model.onnx",
}
RECORD = "export.json"
SAVED_MODEL_FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.*",
    "assets/classes.txt",
    "assets/model.json",
    saved_model.WARMUP,
)
KIND = files.FolderKind(
    "export",
    "an export",
    (
        *(RECORD, FORMATS["litert"], FORMATS["onnx"]),
        *(f"{FORMATS['savedmodel']}/*/{name}" for name in SAVED_MODEL_FILES),
    ),
)
FACES = 512  # that every exported file is compared on
NEEDS = {"litert": ("ai_edge_litert", "ai-edge-litert"), "onnx": ("onnxruntime", "onnxruntime")}
AGREE = 0.95  # share of faces whose likeliest class stays, whatever the weights are stored as
EMBEDDING_SHARE = 1e-3  # of the embeddings' standard deviation that float32 files may differ by
REPEAT = 1e-5  # how far two equal calls may differ, for threads that sum in another order


def export(
    run_or_model,
    out,
    formats=tuple(FORMATS),
    quantize="none",
    data=None,
    overwrite=False,
    embeddings=False,
    version=1,
):
    """Writes a folder with the model in each format; returns what export.json holds, a dict.

    A fresh process without this package loads each file and calls it twice on the same faces. A file
    that differs from Keras by more than `saved_model.PARITY` is refused. A failure leaves nothing.

    Args:
        run_or_model: a run folder, a .keras file or the name of a packaged model.
        out: the folder to write.
        formats: names of `FORMATS`.
        quantize: how the .tflite file stores the weights: "none" (float32), "float16" or "dynamic"
            (8 bits).
        data: what `read_faces` reads, for the faces that are compared; by default the data of the
            run if it is still there, else drawn faces.
        overwrite: replace an earlier export in the folder. A folder that holds other files is refused.
        embeddings: write a second output, `embeddings`, float32 `[n, d]`, as of `insideout_tf.embed`. It
            is compared with Keras as well.
        version: the number of the SavedModel's folder. TF Serving serves the highest one.

    Raises:
        UserError: an argument, the model or a written file is not as expected.
    """
    check_arguments(formats, quantize, version)
    path, run = packaged.model_path(run_or_model)
    out = check_paths(out, KIND, data, overwrite)
    with progress.Bar(
        f"exporting {errors.printable(path.stem)}", 2 * len(formats) + 1, "steps"
    ) as bar:
        bar.advance(0, "loading the model")
        model = load(path)
        faces, source = choose_faces(data, run, model.contract)
        pixels = images.to_model_input(faces, model.contract)
        facts = describe(path, run, model.contract)
        record = {**facts, "compared_on": f"{len(faces)} {source}", "formats": {}}
        with (
            files.replacing_folder(out, KIND, overwrite) as folder,
            tempfile.TemporaryDirectory() as scratch,
        ):
            write_faces(scratch, faces, pixels, model.predict(pixels, verbose=0))
            if embeddings:
                np.save(pathlib.Path(scratch, "embeddings.npy"), embed(faces, model))
            model = fold.fold_branches(model)  # compared with the one that was trained
            bar.advance()
            for name in formats:
                stored = quantize if name == "litert" else "none"
                place = FORMATS[name] + (f"/{version}" if name == "savedmodel" else "")
                bar.advance(0, f"writing {place}")
                with report_full_disk(out / place):
                    entry = write_format(model, name, folder / place, stored, facts, embeddings)
                bar.advance(1, f"comparing {place} with Keras")
                found = verify(name, folder / place, scratch)
                limit = saved_model.PARITY[stored]
                check(pathlib.Path(place), found, limit)
                if name == "litert":  # only a whole file tells it
                    least = litert.read_least_runtime((folder / place).read_bytes())
                    entry["least_runtime"] = f"TensorFlow Lite {least}"
                bar.advance()
                record["formats"][name] = {"path": place, **entry, "limit": limit, **found}
            files.write_json(folder / RECORD, record)
    return record


@contextlib.contextmanager
def report_full_disk(path):
    """Turns what TensorFlow raises for a disk that is full or fails into an `OSError` of `path`."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if isinstance(error, tf.errors.InvalidArgumentError):
            raise
        reason = (error.message or type(error).__name__).splitlines()[0]
        raise OSError(errno.EIO, reason[:200], str(path)) from None


def write_format(model, name, file, stored, facts, embeddings=False):
    """Writes a model in one format; returns its weights, bytes and what else is known of it.

    name: of `FORMATS`. file: the path to write. stored: how a .tflite file stores weights. facts:
    what `describe` returns. embeddings: whether they are a second output.
    """
    entry: dict = {"weights": "float32" if stored == "none" else stored}
    if name == "savedmodel":
        file.parent.mkdir()
        saved_model.write_saved_model(model, file, facts, embeddings)
        entry["signatures"] = list(saved_model.SIGNATURES)
        entry["warmup"] = saved_model.write_warmup_requests(file, facts["name"], model.contract)
    elif name == "litert":
        file.write_bytes(litert.to_litert(model, stored, facts, embeddings))
    else:
        file.write_bytes(onnx.to_onnx(model, facts, embeddings))
        entry["opset"] = onnx.OPSET
    entry["output"] = "probabilities"
    entry["bytes"] = sum(each.stat().st_size for each in (file, *file.rglob("*")) if each.is_file())
    return entry


def check_arguments(formats, quantize, version=1):
    """Raises `UserError` for options of `export` that are wrong, and for a missing package."""
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 1 << 31:
        raise UserError(
            f"--version: expected a whole number from 1 on, such as 2. Received: {version!r}"
        )
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(
            f"--format: expected some of {', '.join(FORMATS)}. Received: {', '.join(unknown)!r}"
        )
    if quantize != "none" and "litert" not in formats:
        raise UserError(
            "--quantize: expected litert among the formats, the only one it is for. Add --format litert. "
            "Received: "
            f"{', '.join(formats)}"
        )
    for name in formats:
        module, package = NEEDS.get(name, (None, None))
        if module and not imports.is_installed(module):
            raise UserError(
                f"--format {name}: expected the package {package}, which checks the file. Install "
                f"it with `pip install {package}`. Received: no such package"
            )


def choose_faces(data, run, contract):
    """Returns (uint8 faces, what they are): of --data, of the run's data, or drawn ones.

    contract: the `Contract` of the model, which the faces get.
    """
    experiment = runs.experiment_of(run) if run else None
    recorded = experiment.data if experiment else None
    if data is None and recorded and recorded != "drawn" and pathlib.Path(recorded).exists():
        data = recorded
    if data is None:
        from PIL import Image

        from insideout_tf.data import drawn

        pixels = drawn.draw_all(FACES, 7, 7)[0][:FACES]
        if contract.face_shape != pixels.shape[1:]:
            pixels = images.to_faces(list(map(Image.fromarray, pixels)), contract)
        return pixels, "drawn faces"
    settings = reading.of_experiment(experiment) if experiment else reading.AS_THE_DATA
    settings = dataclasses.replace(
        settings, input_size=contract.side, channels=contract.channels, classes=()
    )
    faces = read(data, settings)
    rows = np.flatnonzero(faces.usage == PUBLIC_TEST)
    if len(rows) < FACES:
        return faces.pixels[:FACES], f"faces of {pathlib.Path(data).name}"
    return faces.pixels[rows[:FACES]], f"PublicTest faces of {pathlib.Path(data).name}"


def load(path):
    devices.prepare_backend()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "expected the TensorFlow backend, which converts models. Unset KERAS_BACKEND and `pip "
            f"install -r requirements.txt`. Received: backend {keras.backend.backend()!r}"
        )
    return load_model(path)


def check_paths(out, kind, data, overwrite):
    """Returns the path of the folder to write; raises `UserError` for a wrong `data`, or a folder in the way.

    kind: the `files.FolderKind` of the export.
    """
    if data is not None:
        check_path(data)
    out = pathlib.Path(out).expanduser()
    targets.check_utf8(out.absolute())
    files.check_folder(out, kind, overwrite, is_moved=True)
    return out


def name_of(path, run):
    """Returns the name of a model: that of its run's recipe, or of its file."""
    return runs.experiment_of(run).name if run else path.stem


def describe(path, run, contract):
    """Returns the facts that go into every file: which model it is, its input and its output."""
    is_packaged = path.parent == packaged.FOLDER
    known = packaged.facts(path.stem) if is_packaged else {}
    return {
        "name": name_of(path, run),
        "classes": list(contract.classes),
        "input": f"float32 [n, {', '.join(map(str, contract.input_shape))}], "
        f"{'grey levels' if contract.channels == 1 else 'red, green, blue'} 0..255",
        "output": f"float32 [n, {contract.count}], probabilities of the classes",
        "temperature": known.get(
            "temperature", 1.0
        ),  # not applied: logits / temperature calibrates
        "insideout_tf": insideout_tf.__version__,
        "model_sha256": files.sha256(path),
    }


def write_faces(folder, faces, pixels, expected):
    """Writes what `serving.parity` reads: faces, Keras' probabilities, and some faces as PNG files."""
    from PIL import Image

    folder = pathlib.Path(folder)
    np.save(folder / "faces.npy", pixels)
    np.save(folder / "expected.npy", expected)
    for index in range(min(16, len(faces))):
        Image.fromarray(faces[index]).save(folder / f"{index:02}.png")


def verify(name, file, folder):
    """Returns what a fresh process measures of an exported file; raises `UserError` if it fails."""
    command = [
        sys.executable,
        "-I",
        str(resources.folder() / "serving/parity.py"),
        name,
        str(file),
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UserError(
            f"{pathlib.Path(file).name}: expected a file that works without this package. Nothing was "
            f"written; please report this. Received: {reason[:300]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def check(file, found, limit):
    """Raises `UserError` if a written file differs too far from Keras. found: of `verify`."""
    share = found.get("embeddings", 0.0)
    if share > EMBEDDING_SHARE * limit / saved_model.PARITY["none"]:
        raise UserError(
            f"{file}: expected Keras' embeddings. Nothing was written; export without --embeddings, or "
            f"report this. Received: {share:.2g} of their standard deviation away"
        )
    if found["furthest"] > limit or found["repeat"] > REPEAT or found["agree"] < AGREE:
        raise UserError(
            f"{file}: expected Keras' probabilities to {limit:g}, the same twice, and its likeliest "
            f"class for {AGREE:.0%} of the faces. Nothing was written; try --quantize none, or "
            f"report this. Received: {found['furthest']:.2g} away, {found['repeat']:.2g} between "
            f"two calls, {found['agree']:.1%} alike"
        )
