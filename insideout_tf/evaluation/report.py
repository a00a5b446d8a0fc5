"""The report of one evaluation: figures, probabilities and plots, written together."""

import dataclasses
import typing
import zipfile

import numpy as np

from insideout_tf import files
from insideout_tf.data import splits
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics, plots

METRICS, PREDICTIONS, PLOTS = "metrics.json", "predictions.npz", "plots"
MAX_BYTES = 1 << 30  # of the arrays in predictions.npz that are read
PLOT_NAMES = ("confusion", "reliability", "mistakes", "learning_curves")
KIND = files.FolderKind(
    "evaluation",
    "an evaluation",
    (METRICS, PREDICTIONS, *(f"{PLOTS}/{name}.png" for name in PLOT_NAMES)),
)


@dataclasses.dataclass(frozen=True)
class Report:
    """What one evaluation of a model found; metrics.json holds it.

    Attributes:
        figures: what `metrics.measure` returns.
        intervals: what `metrics.bootstrap_intervals` returns.
        classes: what `metrics.tabulate_classes` returns.
        leaks: what `measure_leaks` returns.
        facts: what was evaluated: `split` (the faces), the model, and the data.
    """

    figures: dict[str, float]
    intervals: dict[str, list[float]]
    classes: dict[str, typing.Any]
    leaks: dict[str, int | float | str | None]
    facts: dict[str, typing.Any]

    def to_dict(self):
        """Returns the content of metrics.json: plain Python values, `split` first."""
        return {
            "split": self.facts["split"],
            **self.figures,
            "intervals_95": self.intervals,
            **self.classes,
            "leaks": self.leaks,
            **self.facts,
        }


def make_report(faces, rows, probabilities, facts, training=None):
    """Returns the `Report` of an evaluation.

    Args:
        faces: a labelled `data.faces.Faces`.
        rows: integers `[n]`, the faces that were evaluated.
        probabilities: float `[n, k]`, of the k classes of `faces`.
        facts: a dict of what `Report.facts` holds about the split and the model.
        training: integers, the rows that trained the model (see `splits.training_rows`). None:
            unknown, so leaks are counted against every face with usage Training.
    """
    labels = faces.labels[rows]
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), len(faces.classes))
    return Report(
        figures=metrics.measure(probabilities, labels),
        intervals=metrics.bootstrap_intervals(confusion),
        classes=metrics.tabulate_classes(confusion, faces.classes),
        leaks=measure_leaks(faces, rows, probabilities, training),
        facts={
            **facts,
            "data_identified": faces.identified,
            "data_digest": faces.digest,
            "bad_rows_skipped": len(faces.skipped),
        },
    )


def summarize(faces, rows, probabilities, facts, training=None):
    """Returns the content of metrics.json, a dict; arguments as of `make_report`.

    Every figure follows from the probabilities as float32, those that the model gave.
    """
    return make_report(faces, rows, probabilities.astype(np.float32), facts, training).to_dict()


def write_report(
    directory, faces, rows, probabilities, facts, history=None, training=None, write_more=None
):
    """Writes plots/, predictions.npz and metrics.json into a folder, each file whole or not at all.

    Every figure follows from the float32 probabilities in predictions.npz, so that anyone can
    compute it again. metrics.json comes last: if it is there, everything is.

    Args:
        directory: a `pathlib.Path`; created if missing.
        faces, rows, probabilities, facts, training: as of `make_report`.
        history: list of a dict per epoch, for the learning curves; None: no learning curves.
        write_more: a function of the content of metrics.json that writes other files before it.

    Returns:
        The content of metrics.json, a dict.

    Raises:
        OSError: the folder cannot be written.
    """
    summary = summarize(faces, rows, probabilities, facts, training)
    probabilities = probabilities.astype(np.float32)
    labels = faces.labels[rows]
    # First, so that an interruption leaves no figures beside the plots of another evaluation.
    (directory / METRICS).unlink(missing_ok=True)
    plots.save_plots(
        directory / PLOTS,
        probabilities,
        labels,
        faces.pixels[rows],
        summary,
        history,
        faces.classes,
    )
    save_predictions(directory / PREDICTIONS, probabilities, labels, rows, faces.classes)
    if write_more is not None:
        write_more(summary)
    files.write_json(directory / METRICS, summary)
    return summary


def measure_leaks(faces, rows, probabilities, training=None):
    """Returns how far faces that trained as well, pixel for pixel, change the figures.

    Args:
        faces, rows, probabilities, training: as of `make_report`.

    Returns:
        A dict of `n`, the number of such faces; `identical_to`, "a training face" if the rows that
        trained are known, else "a face of Training"; `accuracy_on` them, None without any; and
        `accuracy_without` and `macro_f1_without` them, None if no other face is left.
    """
    is_leak = splits.also_in_training(faces, rows, training)
    labels, predicted = faces.labels[rows], np.asarray(probabilities).argmax(1)
    on, without = (
        metrics.confusion_matrix(labels[chosen], predicted[chosen], len(faces.classes))
        for chosen in (is_leak, ~is_leak)
    )
    return {
        "n": int(is_leak.sum()),
        "identical_to": "a face of Training" if training is None else "a training face",
        "accuracy_on": float(metrics.accuracy(on)) if on.any() else None,
        "accuracy_without": float(metrics.accuracy(without)) if without.any() else None,
        "macro_f1_without": float(metrics.macro_f1(without)) if without.any() else None,
    }


def describe_leaks(leaks):
    """Returns what `measure_leaks` found as one line of text, or "" without leaks."""
    if not leaks["n"]:
        return ""
    line = (
        f"{leaks['n']:,} faces are identical to {leaks['identical_to']} (accuracy on them "
        f"{leaks['accuracy_on']:.4f})"
    )
    if leaks["accuracy_without"] is None:
        return line
    return (
        f"{line}; without them accuracy {leaks['accuracy_without']:.4f}, macro-F1 "
        f"{leaks['macro_f1_without']:.4f}"
    )


def save_predictions(path, probabilities, labels, rows, classes):
    """Writes predictions.npz, whole or not at all, in the order of `rows`.

    It holds probabilities float32 `[n, k]`, predicted uint8 `[n]`, the likeliest class of each face,
    labels uint8 `[n]`, rows int64 `[n]` and classes, the names in the order of the probabilities.
    """
    with files.replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            probabilities=probabilities.astype(np.float32),
            predicted=probabilities.argmax(1).astype(np.uint8),
            labels=labels.astype(np.uint8),
            rows=np.asarray(rows, np.int64),
            classes=np.array(classes),
        )


def read_predictions(path):
    """Returns what `save_predictions` wrote.

    Returns:
        A tuple of probabilities float32 `[n, k]`, or float16 in a file of an older version; labels
        int64 `[n]`; rows int64 `[n]`, or None in a file without them; and the names of the classes, a
        tuple, or None in a file without them.

    Raises:
        UserError: the file is missing, damaged or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise ValueError(f"{size:,} bytes of arrays, more than {MAX_BYTES:,}")
        with np.load(path, allow_pickle=False) as saved:
            found = {name: saved[name] for name in saved.files}
        probabilities, labels = found["probabilities"], found["labels"].astype(np.int64)
        rows, classes = found.get("rows"), found.get("classes")
        _check_predictions(probabilities, labels, rows, classes)
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        reason = "nothing there" if isinstance(error, FileNotFoundError) else error
        raise UserError(
            f"{path}: expected the predictions of an evaluation. Evaluate again. Received: {reason}"
        ) from None
    return probabilities, labels, rows, None if classes is None else tuple(map(str, classes))


def _check_predictions(probabilities, labels, rows, classes):
    """Raises `ValueError` unless the arrays of a predictions.npz fit together."""
    count, kinds = probabilities.shape
    is_right = (
        count > 0
        and kinds > 1
        and probabilities.dtype.kind == "f"
        and np.isfinite(probabilities).all()
        and labels.shape == (count,)
        and 0 <= labels.min() <= labels.max() < kinds
        and (
            rows is None or (rows.shape == (count,) and rows.dtype.kind in "ui" and rows.min() >= 0)
        )
        and (classes is None or (classes.shape == (kinds,) and len(set(classes.tolist())) == kinds))
    )
    if not is_right:
        raise ValueError("arrays that do not fit together")
