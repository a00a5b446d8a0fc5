"""Evaluates a trained model on a named split: `insideout evaluate RUN_OR_MODEL ...`."""

import argparse
import json
import os
import pathlib
import sys

from insideout_tf import errors, options, progress
from insideout_tf.api.evaluate import evaluate
from insideout_tf.data import splits
from insideout_tf.evaluation.report import METRICS, PLOTS, PREDICTIONS
from insideout_tf.serving import recognize


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout evaluate",
        description="Evaluate a run or a saved model: accuracy, macro-F1, calibration, plots.",
    )
    parser.add_argument("model", help="a run folder, a .keras file or a packaged model")
    parser.add_argument("--data", help="default: the data the run was trained with")
    parser.add_argument(
        "--split",
        choices=splits.EVALUATED,
        help="validation, public, private or test, merged (both tests), all, training, or rest: what "
        "training_fraction excluded from it (default: validation; of a model file alone: public). "
        "private is the test split: report it once, for a final model",
    )
    parser.add_argument(
        "--tta",
        choices=recognize.TTA,
        default="none",
        help="flip: average over the face and its mirror image",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="default: RUN/SPLIT/, with -TTA appended if one is used. For a model without a run the "
        "figures are only printed",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another evaluation in the folder"
    )
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        help="stop at the first bad row or image of the data, or skip them (default: as the run)",
    )
    options.add_map(parser)
    parser.add_argument("--json", action="store_true", help="print metrics.json instead of a table")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout evaluate"):
        arguments = parse(argv)
        progress.announce("loading the model ...")
        metrics, out = evaluate(
            arguments.model,
            arguments.data,
            arguments.split,
            arguments.tta,
            arguments.out,
            arguments.bad_rows,
            arguments.overwrite,
            arguments.map_classes,
        )
        errors.show(json.dumps(metrics, indent=2) if arguments.json else report(metrics, out))


def report(metrics, out):
    """Returns the figures as text for a terminal.

    metrics: the content of metrics.json. out: the folder that it was written to, or None.
    """
    lines = []
    if metrics["split"] == "drawn":
        lines.append("Drawn faces, not FER2013: these figures say nothing about people.")
    lines.append(
        f"{metrics['split']}: {metrics['n']:,} faces, {metrics['experiment']} "
        f"({metrics['parameters']:,} parameters), test-time averaging: {metrics['tta']}"
    )
    for key, name in (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("macro_f1", "macro-F1"),
    ):
        low, high = metrics["intervals_95"][key]
        lines.append(f"  {name:<18} {metrics[key]:.4f}   95 % interval {low:.4f} to {high:.4f}")
    lines.append(f"  {'calibration error':<18} {metrics['ece']:.4f}")
    lines.append(f"  {'log-likelihood':<18} {-metrics['nll']:.4f} nats a face")
    lines.append(f"  {'class':<10} {'precision':>9} {'recall':>9} {'F1':>9} {'faces':>7}")
    for name, row in metrics["per_class"].items():
        lines.append(
            f"  {name:<10} {row['precision']:>9.3f} {row['recall']:>9.3f} "
            f"{row['f1']:>9.3f} {row['support']:>7}"
        )
    lines += list_notes(metrics)
    written = f"{METRICS}, {PREDICTIONS}, {PLOTS}/"
    if out is None:
        lines.append(f"nothing was written; --out FOLDER writes {written} there")
    else:
        lines.append(f"written to {errors.printable(out)}{os.sep}: {written}")
    return "\n".join(lines)


def list_notes(metrics):
    """Returns what a reader of the figures must know: leaks, bad rows, selection, other data."""
    from insideout_tf.evaluation.report import describe_leaks

    notes = []
    if leaks := describe_leaks(metrics["leaks"]):
        notes.append(f"Leaks: {leaks}.")
    if excluded := metrics.get("excluded_classes"):
        shown = ", ".join(f"{name} ({count:,} faces)" for name, count in excluded.items())
        notes.append(
            f"Excluded, since the model has no such class: {shown}. --map OLD=NEW names one."
        )
    if missing := metrics.get("classes_without_faces"):
        notes.append(
            f"Excluded, since the data have no such class: {', '.join(missing)}. The probabilities of "
            "the others are scaled to the sum 1."
        )
    if metrics["bad_rows_skipped"]:
        notes.append(f"{metrics['bad_rows_skipped']:,} bad rows of the data were skipped.")
    if metrics["selection_overlap"]:
        notes.append(
            f"Note: this run chose its epoch on {metrics['selected_on']}; these figures are not "
            "those of unseen faces."
        )
    if metrics["data_is_that_of_training"] is False:
        notes.append(
            "Note: this is not the data set the run was trained with; make sure that no face of it "
            "was."
        )
    return notes


if __name__ == "__main__":
    sys.exit(main())
