"""Makes a run of two: weights between those a training began with and those it ended with.

    python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust runs/compact_small_blend --share 0.3 --set standardize=outliers

What a further training gained against damaged faces stays, in part, and what it lost on others comes back
(Wortsman et al. 2022, arXiv 2109.01903, section 3). --share is that of the second run's weights, the averages of
BatchNorm included; --set changes a field of its experiment that has no weights. The result is a run like the
second one, judged on the faces that chose its epoch.
"""

import argparse
import pathlib
import shutil

from insideout_tf import devices, errors, files, overrides, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS, PLOTS
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged
from insideout_tf.training import checkpoint

TOLD_AGAIN = ("tta", "selected_on", "best_epoch", "training_seconds", "leaks_dropped")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="a run, a .keras file or a packaged model")
    parser.add_argument("run", help="a run that was trained from it")
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--share", type=float, required=True, help="of the second one's weights")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", help="default: the data the run was trained with")
    arguments = parser.parse_args(argv)
    with errors.reported("blend.py"):
        if not 0 <= arguments.share <= 1:
            raise UserError(f"--share: expected 0 to 1. Received: {arguments.share:g}")
        given = dict(vars(arguments))
        found = blend(settings=given.pop("set"), **given)
        print(
            f"{found['split']}: accuracy {found['accuracy']:.4f}, macro-F1 {found['macro_f1']:.4f}"
        )


def blend(start, run, destination, share, settings=(), data=None):
    """Writes the run; returns its metrics."""
    path, directory = packaged.model_path(run)
    if directory is None:
        raise UserError(f"{run}: expected a run directory. Received: a model file alone")
    if destination.exists():
        raise UserError(f"{destination}: expected a new folder. Received: one that exists")
    start_path, _ = packaged.model_path(start)
    experiment = overrides.override(
        runs.experiment_of(directory), [*settings, f"name={destination.name}"]
    )
    faces = read_faces(data or experiment.data)
    rows = splits.evaluation_rows(faces, "validation", experiment)
    devices.prepare_backend()
    from insideout_tf.evaluation.report import write_report
    from insideout_tf.network.build import build_network
    from insideout_tf.network.predict import predict_probabilities

    trained, start_model = load_model(path), load_model(start_path)
    model = build_network(experiment, trained.get_layer("resize").height)
    if not mix(model, start_model, trained, share):
        raise UserError(
            f"{start}: expected a model that {run} was trained from. Received: one with other layers"
        )

    digests = [files.sha256(each) for each in (start_path, path)]
    environment = files.read_json(directory / runs.ENVIRONMENT)
    environment["blended"] = {"share": share, "start_sha256": digests[0], "run_sha256": digests[1]}
    runs.create(destination, experiment, False, environment)
    curves = pathlib.Path(PLOTS, "learning_curves.png")
    (destination / PLOTS).mkdir()
    for name in (checkpoint.HISTORY, curves, runs.BAD_ROWS, runs.LEAKS):
        if (directory / name).exists():
            shutil.copyfile(directory / name, destination / name)
    save_model(model, destination / packaged.MODEL)
    told = files.read_json(directory / METRICS)
    facts = {
        "split": told["split"],
        **runs.describe(experiment, model),
        **{name: told[name] for name in TOLD_AGAIN},
    }
    probabilities = predict_probabilities(model, faces.pixels[rows])
    return write_report(destination, faces, rows, probabilities, facts)


def mix(model, start, trained, share):
    """Gives `model` weights between two models'; returns whether they are its network and a part of it.

    A layer that `start` lacks keeps what was trained, but for a BatchNorm that began with a scale of
    zero: it let nothing of its branch through.
    """
    from insideout_tf.network.weights import copy_weights

    if not copy_weights(model, trained):
        return False
    after = model.get_weights()
    for layer in model.layers:
        if type(getattr(layer, "gamma_initializer", None)).__name__ == "Zeros":
            layer.gamma.assign(0 * layer.gamma)
            layer.beta.assign(0 * layer.beta)
    if not copy_weights(model, start):
        return False
    before = model.get_weights()
    model.set_weights([(1 - share) * old + share * new for old, new in zip(before, after)])
    return True


if __name__ == "__main__":
    main()
