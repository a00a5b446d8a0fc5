"""Blend two runs: interpolate between the weights before and after a further training.

    python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust runs/compact_small_blend --share 0.3 --set standardize=outliers

A part of the robustness that the further training gained stays, and the accuracy that it lost on clean faces
comes back (Wortsman et al. 2022, arXiv 2109.01903, section 3). --share is the weight of the second run, from
0 to 1, also for the moving averages of BatchNorm. --set changes a field of its experiment that has no
weights. The result is a run like the second one, evaluated on the faces that chose its epoch.
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

COPIED_FACTS = ("tta", "selected_on", "best_epoch", "training_seconds", "leaks_dropped")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="a run, a .keras file or a packaged model")
    parser.add_argument("run", help="a run that began from it")
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument(
        "--share", type=float, required=True, help="of the second run's weights, 0 to 1"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", help="default: the data the run was trained with")
    arguments = parser.parse_args(argv)
    with errors.reported("blend.py"):
        if not 0 <= arguments.share <= 1:
            raise UserError(f"--share: expected 0 to 1. Received: {arguments.share:g}")
        options = dict(vars(arguments))
        summary = blend(settings=options.pop("set"), **options)
        print(
            f"{summary['split']}: accuracy {summary['accuracy']:.4f}, "
            f"macro-F1 {summary['macro_f1']:.4f}"
        )


def blend(start, run, destination, share, settings=(), data=None):
    """Writes the blended run into `destination`; returns its metrics. Raises `UserError`."""
    path, directory = packaged.model_path(run)
    if directory is None:
        raise UserError(f"{run}: expected a run folder. Received: a model file alone")
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
    if not blend_weights(model, start_model, trained, share):
        raise UserError(
            f"{start}: expected the model that {run} began from. Received: one with other layers"
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
    before = files.read_json(directory / METRICS)
    facts = {
        "split": before["split"],
        **runs.describe(experiment, model),
        **{name: before[name] for name in COPIED_FACTS},
    }
    probabilities = predict_probabilities(model, faces.pixels[rows])
    training = splits.training_rows(faces, experiment)
    return write_report(destination, faces, rows, probabilities, facts, training=training)


def blend_weights(model, start, trained, share):
    """Sets the weights of `model` to (1 - share) · `start` + share · `trained`.

    Returns False if the layers of the models do not match. A layer that `start` lacks keeps its trained
    weights. A BatchNorm of it that began with zero scale counts as zero at the start, since it blocked
    its branch then.
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
