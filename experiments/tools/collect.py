"""Evaluate a finished run and copy its evidence into a small folder; rebuild its model from there.

    python experiments/tools/collect.py runs/NAME experiments/results/NAME/seed0 [--model] [--weights FILE.npz]
    python experiments/tools/collect.py --restore FILE.npz experiments/results/NAME/seed0 MODEL.keras

Splits that were not evaluated yet are: PrivateTest without and with flips, PublicTest, and both merged
if neither chose the epoch. The folder gets PrivateTest's metrics.json and predictions.npz, the metrics of
the other splits, the history, the config and the environment. Paths in these files keep their last part
only. `redraw.py` draws the pictures from them. --model adds the model, model.keras, with weights rounded to
float16 (`package_model.save_rounded`). A model above 16 MB is refused, and so is one that differs from the
evaluated one by more than 5e-3 in probability or 0.1 points of PublicTest. --weights saves the weights of
the inference model as float16 in one file, without the optimizer's state.
"""

import argparse
import pathlib
import shutil

import numpy as np
import package_model

from insideout_tf import config, devices, errors, evaluate, files, runs
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS, PREDICTIONS
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged, saved_model
from insideout_tf.training import checkpoint

EVALUATIONS = {  # folder of the run: split, test-time averaging
    "private": ("private", "none"),
    "private-flip": ("private", "flip"),
    "public": ("public", "none"),
    "merged": ("merged", "none"),
}
LARGEST_MODEL = 16_000_000  # bytes
# Fields of the config that hold a path.
PATHS = ("data", "weights", "ferplus", "teacher", "start_from")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a run folder; with --restore, the results folder")
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
    """Evaluates the finished `run` where needed and writes its evidence into `destination`."""
    _, run = packaged.model_path(run)
    if run is None:
        raise UserError("expected a run folder. Received: a model file alone")
    experiment = runs.experiment_of(run)
    for name, (split, tta) in EVALUATIONS.items():
        if not (run / name / METRICS).exists() and (
            split != "merged" or experiment.split == "stratified"
        ):
            evaluate.evaluate(run, split=split, tta=tta)
    destination.mkdir(parents=True, exist_ok=True)
    files.write_json(destination / packaged.CONFIG, shorten_paths(experiment))
    facts = files.read_json(run / runs.ENVIRONMENT)
    for each in (facts, *facts.get("resumed", ())):
        for name in {"command", "data_source"} & each.keys():
            each[name] = last_part(each[name])
    validation = files.read_json(run / METRICS)
    facts |= {name: validation[name] for name in ("training_seconds", "best_epoch", "selected_on")}
    facts["faces_that_chose_the_epoch"] = validation["n"]
    files.write_json(destination / runs.ENVIRONMENT, facts)
    for name in EVALUATIONS:
        if (run / name / METRICS).exists():
            target = METRICS if name == "private" else f"{name}.json"
            shutil.copyfile(run / name / METRICS, destination / target)
    shutil.copyfile(run / "private" / PREDICTIONS, destination / PREDICTIONS)
    shutil.copyfile(run / checkpoint.HISTORY, destination / checkpoint.HISTORY)


def shorten_paths(experiment):
    """Returns the experiment as plain values, every path reduced to its last part."""
    values = config.to_dict(experiment)
    return values | {name: last_part(values[name]) for name in PATHS if values[name]}


def last_part(text):
    """Returns the last part of a path or of `FIELD=PATH`; of a list, that of each item."""
    if not isinstance(text, str):
        return [last_part(item) for item in text]
    field, equals, path = text.rpartition("=")
    return field + equals + pathlib.PurePath(path).name


def add_model(run, path):
    """Saves the run's model with weights rounded to float16, if it agrees with the evaluated one."""
    file, run = packaged.model_path(run)
    devices.prepare_backend()
    with np.load(run / "public" / PREDICTIONS) as saved:
        expected, labels, rows = saved["probabilities"], saved["labels"], saved["rows"]
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
        rounded = package_model.predict(load_model(temporary), "keras", pixels)
        expected = expected.astype(np.float32)
        parity = saved_model.PARITY["float16"]
        package_model.check_parity(packaged.MODEL, rounded, expected, labels, parity)


def save_weights(run, path):
    """Saves the weights of the inference model as float16 arrays, in the order of `get_weights`."""
    file, _ = packaged.model_path(run)
    devices.prepare_backend()
    arrays = load_model(file).get_weights()
    with files.replacing(path) as temporary, open(temporary, "wb") as opened:
        np.savez(opened, **{f"{i:04d}": a.astype(np.float16) for i, a in enumerate(arrays)})


def restore(weights, results, path):
    """Builds the inference model of a results folder with weights of `save_weights` into `path`."""
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
