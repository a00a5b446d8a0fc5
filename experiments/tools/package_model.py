"""Put a finished run into the package: NAME.keras, NAME.tflite and NAME.json, checked for parity.

    python experiments/tools/package_model.py runs/compact_nano nano --data fer2013.csv
    python experiments/tools/package_model.py runs/compact_small_whole_blend small --data fer2013.csv --quantize dynamic

Weights are rounded to float16 in both files. The .keras file stores them as float32 in a compressed ZIP, so
that plain Keras opens it. --quantize dynamic stores the .tflite file's weights in 8 bits. Both files must
agree with the run's model on 512 faces of PublicTest within `saved_model.PARITY` (5e-3 in probability for
float16, 0.1 for 8 bits) and keep its accuracy there within 0.1 points. The temperature is fitted on
PublicTest. PrivateTest's figures are those of these files, evaluated once here.
"""

import argparse
import json
import pathlib
import tempfile
import zipfile

import numpy as np

from insideout_tf import devices, errors, files, runs
from insideout_tf.api.predict import predict_emotions
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.network import fold
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import litert, packaged, recognize, saved_model

PARITY_FACES, ACCURACY = 512, 1e-3


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("name", choices=("nano", "small"))
    parser.add_argument("--data", required=True)
    parser.add_argument("--quantize", choices=("float16", "dynamic"), default="float16")
    arguments = parser.parse_args(argv)
    with errors.reported("package_model.py"):
        facts = package(arguments.run, arguments.name, arguments.data, arguments.quantize)
        print(json.dumps(facts, indent=2))


def package(run, name, data, quantize):
    """Writes the three files; returns the content of NAME.json. Raises `UserError` without parity."""
    devices.prepare_backend()
    model = load_model(run / packaged.MODEL)
    faces = read_faces(data)
    split = {
        "PublicTest": np.flatnonzero(faces.usage == PUBLIC_TEST),
        "PrivateTest": np.flatnonzero(faces.usage == PRIVATE_TEST),
    }
    public = faces.labels[split["PublicTest"]]
    original = predict(model, "keras", faces.pixels[split["PublicTest"]])
    model = fold.fold_branches(model)
    with tempfile.TemporaryDirectory() as folder:
        written = {
            ".keras": pathlib.Path(folder, "m.keras"),
            ".tflite": pathlib.Path(folder, "m.tflite"),
        }
        save_rounded(model, written[".keras"])
        written[".tflite"].write_bytes(litert.to_litert(model, quantize))
        probabilities = {}
        for suffix, path in written.items():
            engine, kind = ("litert", quantize) if suffix == ".tflite" else ("keras", "float16")
            by_split = {s: predict(path, engine, faces.pixels[rows]) for s, rows in split.items()}
            parity = saved_model.PARITY[kind]
            check_parity(suffix, by_split["PublicTest"], original, public, parity)
            probabilities[suffix] = by_split
        temperature = fit_temperature(probabilities[".keras"]["PublicTest"], public)
        facts = {
            "name": name,
            "classes": list(EMOTIONS),
            "input": "float32 [n, 48, 48, 1], grey levels 0..255",
            "parameters": model.count_params(),
            "litert_weights": quantize,
            "temperature": temperature,
            "calibrated_on": "PublicTest",
            "experiment": runs.experiment_of(run).name,
            "git_commit": files.read_json(run / runs.ENVIRONMENT)["git_commit"],
            "data_identified": faces.identified,
            "sha256": {s: files.sha256(p) for s, p in written.items()},
            "bytes": {s: p.stat().st_size for s, p in written.items()},
            "evaluations": {
                f"{each} {suffix}": figures(values, faces.labels[split[each]], temperature)
                for suffix, by_split in probabilities.items()
                for each, values in by_split.items()
            },
        }
        for suffix, path in written.items():
            with files.replacing(packaged.FOLDER / f"{name}{suffix}") as temporary:
                temporary.write_bytes(path.read_bytes())
    files.write_json(packaged.FOLDER / f"{name}.json", facts)
    return facts


def predict(model, engine, pixels):
    """Returns probabilities float32 `[n, 7]` of faces uint8 `[n, 48, 48]`, without the temperature."""
    return predict_emotions(pixels, model, engine=engine, calibrated=False)


def figures(probabilities, labels, temperature):
    """Returns the scores of one file on one split, without and with the temperature."""
    scores = metrics.summarize(probabilities, labels)
    calibrated = recognize.apply_temperature(probabilities, temperature)
    return {
        **{key: scores[key] for key in ("n", "accuracy", "macro_f1", "nll", "ece")},
        "nll_calibrated": metrics.negative_log_likelihood(calibrated, labels),
        "ece_calibrated": metrics.expected_calibration_error(calibrated, labels),
        "intervals_95": scores["intervals_95"],
        "per_class": scores["per_class"],
    }


def check_parity(what, probabilities, expected, labels, parity):
    """Raises `UserError` unless a converted file agrees with the run's model.

    what: the file, for the message. probabilities, expected: `[n, 7]` of the file and of the run. labels:
    `[n]`. parity: the largest allowed difference of a probability.
    """
    furthest, lost = differences(probabilities, expected, labels)
    if furthest > parity or lost > ACCURACY:
        raise UserError(
            f"{what}: expected the run's probabilities to {parity:g} and its accuracy to {ACCURACY:g}. "
            f"Package another run or --quantize float16. Received: {furthest:.2g} and {lost:.2g} away"
        )


def differences(probabilities, expected, labels):
    """Returns the largest difference in probability on 512 faces, and in accuracy on all faces."""
    furthest = float(np.abs(probabilities - expected)[:PARITY_FACES].max())
    right, right_before = ((each.argmax(1) == labels).mean() for each in (probabilities, expected))
    return furthest, abs(float(right - right_before))


def fit_temperature(probabilities, labels):
    """Returns the temperature of least negative log-likelihood (Guo et al. 2017, section 4.2)."""
    from scipy import optimize

    result = optimize.minimize_scalar(
        lambda t: metrics.negative_log_likelihood(
            recognize.apply_temperature(probabilities, t), labels
        ),
        bounds=(0.2, 5.0),
        method="bounded",
    )
    return round(float(result.x), 4)


def save_rounded(model, path):
    """Rounds the weights of `model` to float16 and saves it as a small plain Keras file."""
    model.set_weights([w.astype(np.float16).astype(w.dtype) for w in model.get_weights()])
    save_model(model, path, EMOTIONS)
    compress(path)


def compress(path):
    """Compresses the members of a ZIP. The zero half of each rounded weight then takes little space."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(
                zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
            )


if __name__ == "__main__":
    main()
