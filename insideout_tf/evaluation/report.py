"""One judgement of a model on named faces: its figures, probabilities and plots, written together."""

import numpy as np

from insideout_tf import files
from insideout_tf.data import splits
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import metrics, plots

METRICS, PREDICTIONS, PLOTS = "metrics.json", "predictions.npz", "plots"


def write_report(directory, faces, rows, probabilities, facts, history=None):
    """Writes plots/, predictions.npz and metrics.json into `directory`; returns the metrics.

    probabilities: `[n, 7]` for the faces in `rows`. facts: what metrics.json says beside the
    figures, "split" first. Every figure follows from the float16 probabilities of the file, so
    that anyone can recompute it. metrics.json comes last: its presence means that all is there.
    """
    probabilities = probabilities.astype(np.float16)
    labels = faces.labels[rows]
    summary = {
        "split": facts["split"],
        **metrics.summarize(probabilities, labels),
        "leaks": leaks(faces, rows, probabilities),
        **facts,
        "data_identified": faces.identified,
        "data_digest": faces.digest,
        "bad_rows_skipped": len(faces.skipped),
    }
    plots.write_report(
        directory / PLOTS, probabilities, labels, faces.pixels[rows], summary, history
    )
    save_predictions(directory / PREDICTIONS, probabilities, labels, rows)
    files.write_json(directory / METRICS, summary)
    return summary


def leaks(faces, rows, probabilities):
    """Returns what the judged faces that Training also holds, pixel for pixel, do to the figures.

    `n` of them, `accuracy_on` them (None without any), and `accuracy_without` and
    `macro_f1_without` them (None where no other face is left).
    """
    leaked = splits.also_in_training(faces, rows)
    labels, predicted = faces.labels[rows], np.asarray(probabilities).argmax(1)
    on, without = (
        metrics.confusion_matrix(labels[chosen], predicted[chosen]) for chosen in (leaked, ~leaked)
    )
    return {
        "n": int(leaked.sum()),
        "accuracy_on": float(metrics.accuracy(on)) if on.any() else None,
        "accuracy_without": float(metrics.accuracy(without)) if without.any() else None,
        "macro_f1_without": float(metrics.macro_f1(without)) if without.any() else None,
    }


def describe_leaks(found):
    """Returns the figures of `leaks` as one line of text, or "" without leaks."""
    if not found["n"]:
        return ""
    line = f"{found['n']:,} faces are identical to a Training face (accuracy on them "
    line += f"{found['accuracy_on']:.4f})"
    if found["accuracy_without"] is None:
        return line
    return (
        f"{line}; without them accuracy {found['accuracy_without']:.4f}, macro-F1 "
        f"{found['macro_f1_without']:.4f}"
    )


def save_predictions(path, probabilities, labels, rows):
    """Saves probabilities float16 `[n, 7]`, labels uint8 `[n]` and rows int64 `[n]`, in file order."""
    with files.replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            probabilities=probabilities.astype(np.float16),
            labels=labels.astype(np.uint8),
            rows=np.asarray(rows, np.int64),
            classes=np.array(EMOTIONS),
        )
