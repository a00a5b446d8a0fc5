"""Judges a finished run, copies its evidence into a small folder; builds its model again from that.

    python experiments/tools/collect.py runs/NAME experiments/results/NAME/seed0 [--model] [--weights FILE.npz]
    python experiments/tools/collect.py --restore FILE.npz experiments/results/NAME/seed0 MODEL.keras

What is not judged yet is: PrivateTest, as it is and with flip averaging, PublicTest, and both merged
if neither chose the epoch. The folder holds PrivateTest's metrics.json, predictions.npz and confusion
matrix, the metrics of the others, the history, the learning curves, the config and the environment;
paths in these keep their last part only. --model adds the trained model, model.keras, its weights rounded
to float16 (`package_model.save_rounded`): refused above 16 MB or where it is not what was judged, within 5e-3
in probability and 0.1 points of PublicTest. --weights adds the delivered weights as float16, in one file
beside it: half a model, and never the state of the optimizer.
"""

import argparse
import pathlib
import shutil

import numpy as np
import package_model

from insideout_tf import config, devices, errors, evaluate, files, runs
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS, PLOTS, PREDICTIONS
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged, saved_model
from insideout_tf.training import checkpoint

JUDGED = {
    "private": ("private", "none"),
    "private-flip": ("private", "flip"),
    "public": ("public", "none"),
    "merged": ("merged", "none"),
}
LARGEST_MODEL = 16_000_000  # bytes
# Fields of the config that hold one.
PATHS = ("data", "weights", "ferplus", "teacher", "start_from")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a run directory; with --restore, the results folder")
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--model", action="store_true")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--weights", type=pathlib.Path)
    group.add_argument("--restore", type=pathlib.Path, metavar="FILE.npz")
    arguments = parser.parse_args(argv)
    with errors.reported("collect.py"):
        if arguments.restore:
            restore(arguments.restore, pathlib.Path(arguments.source), arguments.destination)
        else:
            collect(arguments.source, arguments.destination)
            if arguments.model:
                add_model(arguments.source, arguments.destination / packaged.MODEL)
            if arguments.weights:
                save_weights(arguments.source, arguments.weights)


def collect(run, destination):
    """Judges the finished `run` where it is not, and writes its evidence into `destination`."""
    _, run = packaged.model_path(run)
    if run is None:
        raise UserError("expected a run directory. Received: a model file alone")
    experiment = runs.experiment_of(run)
    for name, (split, tta) in JUDGED.items():
        if not (run / name / METRICS).exists() and (
            split != "merged" or experiment.split == "stratified"
        ):
            evaluate.evaluate(run, split=split, tta=tta)
    destination.mkdir(parents=True, exist_ok=True)
    files.write_json(destination / packaged.CONFIG, without_folders(experiment))
    facts = files.read_json(run / runs.ENVIRONMENT)
    for each in (facts, *facts.get("resumed", ())):
        for name in {"command", "data_source"} & each.keys():
            each[name] = last_parts(each[name])
    validation = files.read_json(run / METRICS)
    facts |= {name: validation[name] for name in ("training_seconds", "best_epoch", "selected_on")}
    facts["faces_that_chose_the_epoch"] = validation["n"]
    files.write_json(destination / runs.ENVIRONMENT, facts)
    for name in JUDGED:
        if (run / name / METRICS).exists():
            target = METRICS if name == "private" else f"{name}.json"
            shutil.copyfile(run / name / METRICS, destination / target)
    shutil.copyfile(run / "private" / PREDICTIONS, destination / PREDICTIONS)
    shutil.copyfile(run / "private" / PLOTS / "confusion.png", destination / "confusion.png")
    shutil.copyfile(run / checkpoint.HISTORY, destination / checkpoint.HISTORY)
    curves = "learning_curves.png"
    shutil.copyfile(run / PLOTS / curves, destination / curves)


def without_folders(experiment):
    """Returns the experiment as plain values, with the last part of every path alone."""
    values = config.to_dict(experiment)
    return values | {name: last_parts(values[name]) for name in PATHS if values[name]}


def last_parts(words):
    """Returns the last part of a path, of one behind `FIELD=`, or of each in a list of such."""
    if not isinstance(words, str):
        return [last_parts(word) for word in words]
    field, equals, path = words.rpartition("=")
    return field + equals + pathlib.PurePath(path).name


def add_model(run, path):
    """Saves the run's model into `path` with weights rounded to float16, if it says what was judged."""
    file, run = packaged.model_path(run)
    devices.prepare_backend()
    with np.load(run / "public" / PREDICTIONS) as saved:
        said, labels, rows = saved["probabilities"], saved["labels"], saved["rows"]
    experiment = runs.experiment_of(run)
    pixels = read_faces(experiment.data, experiment.bad_rows).pixels[rows]
    model = load_model(file)
    with files.replacing(path) as temporary:
        package_model.save_rounded(model, temporary)
        size = temporary.stat().st_size
        if size > LARGEST_MODEL:
            raise UserError(
                f"--model: expected at most {LARGEST_MODEL:,} bytes. Keep the weights elsewhere, with "
                f"--weights. Received: {size:,} bytes"
            )
        found = package_model.predict(load_model(temporary), "keras", pixels)
        parity = saved_model.PARITY["float16"]
        package_model.check(packaged.MODEL, found, said.astype(np.float32), labels, parity)


def save_weights(run, path):
    """Saves the weights of the delivered model as float16 arrays, in the order of `get_weights`."""
    file, _ = packaged.model_path(run)
    devices.prepare_backend()
    arrays = load_model(file).get_weights()
    with files.replacing(path) as temporary, open(temporary, "wb") as opened:
        np.savez(opened, **{f"{i:04d}": a.astype(np.float16) for i, a in enumerate(arrays)})


def restore(weights, results, path):
    """Builds the delivered model of a results folder, with weights of `save_weights`, into `path`."""
    devices.prepare_backend()
    from insideout_tf.network.build import build_network

    values = files.read_json(results / packaged.CONFIG)
    experiment = config.from_dict({**values, "weights": "none"})
    size = files.read_json(results / METRICS)["image_size"]
    with np.load(weights) as saved:
        arrays = [saved[name].astype(np.float32) for name in sorted(saved.files)]
    model = build_network(experiment, size)
    expected = [weight.shape for weight in model.weights]
    if expected != [array.shape for array in arrays]:
        raise UserError(
            f"{weights}: expected the {len(expected)} arrays of {experiment.backbone}. Give the file "
            f"that was saved with these results. Received: {len(arrays)} arrays of other shapes"
        )
    model.set_weights(arrays)
    save_model(model, path)


if __name__ == "__main__":
    main()
