"""Judges a trained model on a named split: `insideout evaluate RUN_OR_MODEL ...`."""

import argparse
import json
import os
import pathlib
import sys

import numpy as np

from insideout_tf import devices, errors, files, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS, PLOTS, PREDICTIONS
from insideout_tf.network.weights import load_model
from insideout_tf.serving import packaged

TTA = ("none", "flip")


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout evaluate",
        description="Judge a run or a saved model: accuracy, macro-F1, calibration, plots.",
    )
    parser.add_argument("model", help="a run directory, a .keras file or a packaged model")
    parser.add_argument("--data", help="default: the data the run was trained with")
    parser.add_argument(
        "--split",
        choices=splits.EVALUATED,
        help="validation, public, private, merged (both tests), training, or rest: what "
        "training_fraction left out of it (default: validation; of a model file alone: public). "
        "private is the test split: report it once, for a final model",
    )
    parser.add_argument(
        "--tta",
        choices=TTA,
        default="none",
        help="flip: average over the face and its mirror image",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="default: RUN/<split>/, with -<tta> appended where one is used (for a packaged model "
        "NAME/<split>/ here)",
    )
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        help="stop at the first bad row or image of the data, or skip them (default: as the run)",
    )
    parser.add_argument("--json", action="store_true", help="print metrics.json instead of a table")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout evaluate"):
        summary, out = evaluate(
            arguments.model,
            arguments.data,
            arguments.split,
            arguments.tta,
            arguments.out,
            arguments.bad_rows,
        )
        print(json.dumps(summary, indent=2) if arguments.json else report(summary, out))


def evaluate(
    run_or_model,
    data=None,
    split=None,
    tta="none",
    out=None,
    bad_rows=None,
):
    """Judges a model; writes metrics.json, predictions.npz and plots; returns (metrics, folder)."""
    path, run = packaged.model_path(run_or_model)
    experiment = runs.experiment_of(run) if run else None
    split = split or ("validation" if run else "public")
    data = data or (experiment.data if experiment else None)
    if data is None:
        raise UserError(
            "--data: expected the path of FER2013, since a model file alone does not "
            "say. Received: nothing"
        )
    if out is None:
        beside = pathlib.Path(path.stem) if path.parent == packaged.FOLDER else path.parent
        out = beside / (split if tta == "none" else f"{split}-{tta}")
    if run and pathlib.Path(out).resolve() == pathlib.Path(run).resolve():
        raise UserError(
            f"--out {out}: expected another folder than the run, whose metrics.json "
            "is that of its validation split. Received: the run directory"
        )
    bad_rows = bad_rows or (experiment.bad_rows if experiment else "stop")
    faces = read_faces(data, bad_rows)
    rows = splits.evaluation_rows(faces, split, experiment)
    devices.prepare_backend()
    from insideout_tf.evaluation.report import write_report

    model = load_model(path)
    selected_on = _selected_on(run)
    trained_on = (
        files.read_json(run / runs.ENVIRONMENT).get("data_digest")
        if run and (run / runs.ENVIRONMENT).exists()
        else None
    )
    facts = {
        "split": "drawn" if faces.source == "drawn" else splits.NAMES[split],
        **(runs.describe(experiment, model) if experiment else _describe_file(path, model)),
        "tta": tta,
        "selected_on": selected_on,
        "selection_overlap": _overlaps(split, selected_on),
        "leaks_dropped": experiment.drop_leaks if experiment else None,
        "data_is_that_of_training": None if trained_on is None else trained_on == faces.digest,
        "model_sha256": files.sha256(path),
    }
    probabilities = predict(model, faces.pixels[rows], tta)
    out = pathlib.Path(out)
    return write_report(out, faces, rows, probabilities, facts), out


def predict(model, pixels, tta="none"):
    """Returns float32 `[n, 7]`: probabilities averaged over the views of `tta`."""
    from insideout_tf.network.predict import predict_probabilities

    views = 0
    total = np.zeros((len(pixels), 7), np.float32)
    for view in _views(pixels, tta):
        total += predict_probabilities(model, view)
        views += 1
    return total / views


def _views(pixels, tta):
    """Yields the face, and with "flip" its mirror image."""
    yield pixels
    if tta == "flip":
        yield pixels[:, :, ::-1]


def _selected_on(run):
    """Returns the split on which the run chose its epoch, or None for a model file alone."""
    if run is None or not (run / METRICS).exists():
        return None
    return files.read_json(run / METRICS).get("selected_on")


def _overlaps(split, selected_on):
    """True where faces of `split` also chose the epoch, so that its figures flatter the model."""
    if selected_on is None:
        return None
    return split in ("validation", "training") or (
        selected_on == "PublicTest" and split in ("public", "merged")
    )


def _describe_file(path, model):
    return {
        "experiment": path.stem,
        "backbone": model.name,
        "image_size": None,
        "parameters": model.count_params(),
        "init": None,
        "seed": None,
    }


def report(summary, out):
    """Returns the figures as text for a terminal."""
    from insideout_tf.evaluation.report import describe_leaks

    intervals = summary["intervals_95"]
    lines = []
    if summary["split"] == "drawn":
        lines.append("Drawn faces, not FER2013: these figures say nothing about people.")
    lines.append(
        f"{summary['split']}: {summary['n']:,} faces, {summary['experiment']} "
        f"({summary['parameters']:,} parameters), test-time averaging: {summary['tta']}"
    )
    for key, name in (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("macro_f1", "macro-F1"),
    ):
        low, high = intervals[key]
        lines.append(f"  {name:<18} {summary[key]:.4f}   95 % interval {low:.4f} to {high:.4f}")
    lines.append(f"  {'calibration error':<18} {summary['ece']:.4f}")
    lines.append(f"  {'log-likelihood':<18} {-summary['nll']:.4f} nats a face")
    lines.append(f"  {'class':<10} {'precision':>9} {'recall':>9} {'F1':>9} {'faces':>7}")
    for name, row in summary["per_class"].items():
        lines.append(
            f"  {name:<10} {row['precision']:>9.3f} {row['recall']:>9.3f} "
            f"{row['f1']:>9.3f} {row['support']:>7}"
        )
    if leaks := describe_leaks(summary["leaks"]):
        dropped = {True: "dropped from training", False: "trained on", None: "perhaps trained on"}
        lines.append(f"Leaks ({dropped[summary['leaks_dropped']]}): {leaks}.")
    if summary["bad_rows_skipped"]:
        lines.append(f"{summary['bad_rows_skipped']:,} bad rows of the data were skipped.")
    if summary["selection_overlap"]:
        lines.append(
            f"Note: this run chose its epoch on {summary['selected_on']}; these figures "
            "are not those of unseen faces."
        )
    if summary["data_is_that_of_training"] is False:
        lines.append(
            "Note: this is not the data set the run was trained with; make sure that no "
            "face of it was."
        )
    lines.append(f"written to {out}{os.sep}: {METRICS}, {PREDICTIONS}, {PLOTS}/")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
