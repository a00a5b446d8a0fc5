"""The report page: one HTML file with the figures, curves, mistakes and data of one run or several.

The page needs no network. Its security policy forbids every request, and every script but its own.
"""

import base64
import dataclasses
import hashlib
import importlib.metadata
import typing

import numpy as np

from insideout_tf import resources
from insideout_tf.data.faces import Faces
from insideout_tf.errors import printable
from insideout_tf.evaluation import charts, metrics, plots, provenance, side_by_side
from insideout_tf.evaluation.report import describe_leaks

BEGIN = "<!DOCTYPE html>\n<!-- insideout_tf report -->"  # by which an earlier page is recognised
TEMPLATES = resources.folder() / "evaluation/templates"
MAX_CELLS = plots.MAX_CELL_TEXTS  # classes up to which a confusion matrix is a table
MAX_PAIRS = 12  # confusions that are listed
MAX_MISTAKES = 24  # pictures
MAX_PICTURE_SIDE = 112  # pixels of a picture in the page
FEW_FACES = 10  # in a class, below which a figure says little
FIGURES = (  # key, name, meaning
    ("accuracy", "Accuracy", "share of right answers"),
    ("macro_f1", "Macro-F1", "mean F1 of the classes; each class counts the same"),
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the classes"),
)
SCORES = (  # of learning curves: key, name, colour
    ("val_accuracy", "validation accuracy", 0),
    ("val_macro_f1", "validation macro-F1", 2),
    ("clean_accuracy", "training accuracy, not augmented", 1),
    ("accuracy", "training accuracy, augmented", 3),
)
LOSSES = (("val_loss", "validation", 0), ("loss", "training, augmented", 1))


@dataclasses.dataclass
class Record:
    """One run as the page shows it.

    Attributes:
        name: different from that of every other run on the page.
        path: the run folder as text, or "".
        summary: the content of metrics.json of the evaluation that is shown.
        probabilities, labels, rows: as in predictions.npz: float `[n, k]`, integers `[n]` each.
        history: a list of a dict for each epoch.
        settings: the content of config.json.
        environment: the content of environment.json.
        evaluations: a list of (folder, content of metrics.json) of all evaluations of the run.
        faces: the `Faces` of the evaluation, or None.
        absence: why `faces` is None, as text.
        facts: what `data.facts.examine` returns, or None.
    """

    name: str
    path: str
    summary: dict[str, typing.Any]
    probabilities: np.ndarray
    labels: np.ndarray
    rows: np.ndarray | None
    history: list[dict]
    settings: dict[str, typing.Any]
    environment: dict[str, typing.Any]
    evaluations: list[tuple[str, dict]] = dataclasses.field(default_factory=list)
    faces: Faces | None = None
    absence: str = ""
    facts: dict | None = None

    @property
    def classes(self):
        """The class names in the order of the probabilities, a tuple."""
        return tuple(self.summary["per_class"])


def render(records):
    """Returns the page of one `Record` or several as text. The same records give the same page."""
    import jinja2
    import markupsafe

    def clean(value):
        return value if isinstance(value, markupsafe.Markup) else _clean(value)

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        percent=lambda value, digits=1: f"{100 * value:.{digits}f}",
        signed=lambda value, digits=1: f"{100 * value:+.{digits}f}".replace("-", "−"),
        count=lambda value: f"{value:,}",
    )
    style, script = ((TEMPLATES / f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return BEGIN + environment.get_template("report.html").render(
        title=records[0].name if len(records) == 1 else f"{len(records)} runs compared",
        runs=[describe_run(record, index) for index, record in enumerate(records)],
        comparison=side_by_side.compare_records(records) if len(records) > 1 else None,
        style=markupsafe.Markup(style),
        script=markupsafe.Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        version=_find_version(),
    )


def _clean(value):
    """Returns a value for the page: text without control characters, nothing for None."""
    return "" if value is None else printable(value, keep="\n")


def _find_version():
    try:
        return importlib.metadata.version("insideout_tf")
    except importlib.metadata.PackageNotFoundError:  # the source without an installation
        return ""


def describe_run(record, index=0):
    """Returns what the template needs of one `Record`, a dict."""
    summary = record.summary
    return {
        "id": f"run-{index + 1}",
        "name": record.name,
        "path": record.path,
        "summary": {"backbone": None, "parameters": None, **summary},
        "headline": list_headline(summary),
        "notes": list_notes(record),
        "evaluations": list_evaluations(record),
        "curves": draw_curves(record),
        "confusion": describe_confusion(record),
        "classes": list_classes(record),
        "reliability": describe_reliability(record),
        "mistakes": list_mistakes(record),
        "wrong": int((record.probabilities.argmax(1) != record.labels).sum()),
        "absence": record.absence,
        "data": provenance.describe_data(record),
        "stages": provenance.list_stages(record.settings),
        "settings": provenance.list_settings(record.settings),
        "environment": provenance.list_environment(record.environment),
    }


def list_headline(summary):
    """Returns the figures with intervals: dicts of name, value, low, high, meaning and strip."""
    intervals = {key: summary["intervals_95"].get(key) for key, _, _ in FIGURES}
    bounds = charts.choose_bounds(
        [each or (summary[key], summary[key]) for key, each in intervals.items()], 10
    )
    found = []
    for key, name, meaning in FIGURES:
        low, high = intervals[key] or (summary[key], summary[key])
        strip = charts.draw_interval(summary[key], low, high, bounds)
        found.append(
            dict(name=name, value=summary[key], low=low, high=high, meaning=meaning, strip=strip)
        )
    return found


def list_notes(record):
    """Returns what a reader of the figures must know first, a list of (kind, text)."""
    summary, notes = record.summary, []
    if summary["split"] == "drawn":
        notes.append(("warning", "Drawn faces: these figures say nothing about people."))
    if summary.get("selection_overlap") or summary.get("selected_on") == summary["split"]:
        notes.append(
            (
                "warning",
                "These faces chose the epoch, so the figures are a little optimistic. An "
                "evaluation of the test split has none of that.",
            )
        )
    if leaks := describe_leaks(summary["leaks"]):
        notes.append(("warning", f"Leaks: {leaks}."))
    if summary.get("data_is_that_of_training") is False:
        notes.append(
            (
                "note",
                "These are not the data of the training. Make sure that no face of them trained.",
            )
        )
    for key, text in (
        ("excluded_classes", "Excluded, since the model has no such class"),
        ("classes_without_faces", "Excluded, since the data have no such class"),
    ):
        if summary.get(key):
            notes.append(("note", f"{text}: {', '.join(map(str, summary[key]))}."))
    if summary.get("bad_rows_skipped"):
        notes.append(
            ("note", f"{summary['bad_rows_skipped']:,} bad rows of the data were skipped.")
        )
    if summary.get("tta", "none") != "none":
        notes.append(("note", f"Each face was averaged over views: {summary['tta']}."))
    return notes


def list_evaluations(record):
    """Returns a row for each evaluation of the run, where there are several."""
    rows = []
    for folder, summary in record.evaluations:
        low, high = summary["intervals_95"]["accuracy"]
        views = summary.get("tta", "none")
        rows.append(
            {
                "name": summary["split"] + ("" if views == "none" else f", {views}"),
                "folder": folder,
                "n": summary["n"],
                "accuracy": summary["accuracy"],
                "low": low,
                "high": high,
                "macro_f1": summary["macro_f1"],
                "without": summary.get("leaks", {}).get("accuracy_without"),
                "leaks": summary.get("leaks", {}).get("n", 0),
                "is_shown": summary is record.summary,
            }
        )
    return rows if len(rows) > 1 else []


def draw_curves(record):
    """Returns the charts of the training, a dict, or None without a history."""
    history = record.history
    if not history:
        return None
    epochs = [row["epoch"] for row in history]
    names = [row.get("stage", "") for row in history]
    starts = [i for i in range(len(names)) if not i or names[i] != names[i - 1]]
    stages = [(names[i], epochs[i]) for i in starts]
    best = record.summary.get("best_epoch")

    def select(curves):
        return [
            (name, epochs, [row[key] for row in history], style)
            for key, name, style in curves
            if all(key in row for row in history)
        ]

    scores, losses = select(SCORES), select(LOSSES)
    return {
        "best": best,
        "epochs": len(history),
        "seconds": record.summary.get("training_seconds"),
        "charts": [
            ("Scores", scores, charts.draw_lines(scores, "score", 0, 1, stages, best)),
            (
                "Loss",
                losses,
                charts.draw_lines(losses, "cross-entropy, nats", 0, None, stages, best),
            ),
        ],
    }


def describe_confusion(record):
    """Returns the confusion matrix as cells or as a picture, and the most frequent confusions."""
    counts, classes = np.array(record.summary["confusion"]), record.classes
    shares = metrics.normalize_rows(counts)
    rows = [
        {
            "name": name,
            "n": int(counts[row].sum()),
            "cells": [
                {
                    "share": float(shares[row, column]),
                    "n": int(counts[row, column]),
                    "is_right": row == column,
                    "title": f"{name} → {other}",
                }
                for column, other in enumerate(classes)
            ],
        }
        for row, name in enumerate(classes if len(classes) <= MAX_CELLS else ())
    ]
    off = counts * (1 - np.eye(len(classes), dtype=int))
    order = np.argsort(-off, axis=None, kind="stable")[:MAX_PAIRS]
    pairs = [
        {
            "true": classes[row],
            "predicted": classes[column],
            "n": int(off[row, column]),
            "share": float(shares[row, column]),
        }
        for row, column in zip(*np.unravel_index(order, off.shape))
        if off[row, column]
    ]
    picture = None if rows else charts.encode_matrix(shares)
    return {"classes": classes, "rows": rows, "picture": picture, "pairs": pairs}


def list_classes(record):
    """Returns a row of figures for each class, with the 95 % interval of its recall."""
    counts = np.array(record.summary["confusion"])
    rows = []
    for index, (name, row) in enumerate(record.summary["per_class"].items()):
        low, high = metrics.wilson_interval(counts[index, index], counts[index].sum())
        rows.append(
            {**row, "name": name, "low": low, "high": high, "is_few": row["support"] < FEW_FACES}
        )
    return rows


def describe_reliability(record):
    """Returns the reliability diagram and what it says, a dict."""
    count, confidence, right = metrics.calibration(record.probabilities, record.labels)
    hits = np.round(count * right).astype(int)
    intervals = [metrics.wilson_interval(h, n) for h, n in zip(hits, count)]
    gap = float((count * (confidence - right)).sum() / max(1, count.sum()))
    return {
        "chart": charts.draw_reliability(count, confidence, right, intervals),
        "ece": record.summary["ece"],
        "nll": record.summary["nll"],
        "gap": gap,
        "empty": int((count == 0).sum()),
        "bins": len(count),
    }


def list_mistakes(record):
    """Returns the wrong answers with the highest probability, as pictures; [] without the faces."""
    from PIL import Image

    if record.faces is None or record.rows is None:
        return []
    probabilities = np.asarray(record.probabilities, np.float64)
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != record.labels)
    confidence = probabilities[wrong, predicted[wrong]]
    wrong = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES]
    found = []
    for index in wrong:
        row = int(record.rows[index])
        picture = Image.fromarray(np.asarray(record.faces.pixels[row]))
        picture.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE))
        label = record.labels[index]
        found.append(
            {
                "picture": charts.encode_picture(picture),
                "label": record.classes[label],
                "predicted": record.classes[predicted[index]],
                "probability": float(probabilities[index, predicted[index]]),
                "of_label": float(probabilities[index, label]),
                "name": record.faces.names[row] if record.faces.names else f"row {row}",
            }
        )
    return found
