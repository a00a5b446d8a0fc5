"""Several runs side by side: figures, paired differences, classes, curves and settings that differ."""

import numpy as np

from insideout_tf.evaluation import charts, comparison, metrics, provenance

MAX_CLASSES = 16  # of the table by class: above it, those that differ most
LEVEL = 0.05  # of McNemar's test, below which a difference is called one


def compare_records(records):
    """Returns what the template needs to show several `page.Record`s side by side, a dict."""
    first = records[0]
    return {
        "runs": list_runs(records),
        "first": first.name,
        "gains": list_gains(records),
        "classes": tabulate_classes(records),
        "curves": draw_curves(records),
        "settings": provenance.list_differences(
            [provenance.flatten(record.settings) for record in records]
        ),
        "environment": provenance.list_differences(
            [provenance.flatten(record.environment) for record in records]
        ),
    }


def list_runs(records):
    """Returns a dict of the figures of each record, with strips on one scale."""
    intervals = [record.summary["intervals_95"]["accuracy"] for record in records]
    bounds = charts.choose_bounds(intervals)
    rows = []
    best = max(record.summary["accuracy"] for record in records)
    for index, (record, (low, high)) in enumerate(zip(records, intervals)):
        summary = record.summary
        rows.append(
            {
                "id": f"run-{index + 1}",
                "name": record.name,
                "backbone": summary.get("backbone"),
                "parameters": summary.get("parameters"),
                "image_size": summary.get("image_size"),
                "split": summary["split"],
                "n": summary["n"],
                "accuracy": summary["accuracy"],
                "low": low,
                "high": high,
                "macro_f1": summary["macro_f1"],
                "ece": summary["ece"],
                "seconds": summary.get("training_seconds"),
                "is_best": summary["accuracy"] == best,
                "strip": charts.draw_interval(summary["accuracy"], low, high, bounds),
            }
        )
    return {"rows": rows, "bounds": bounds}


def find_obstacle(first, other):
    """Returns why two records cannot be paired, as text, or "" if they have the same faces."""
    if first.classes != other.classes:
        return "other classes"
    if first.summary.get("data_digest") != other.summary.get("data_digest"):
        return "other data"
    if not np.array_equal(first.labels, other.labels):
        return "other faces"
    is_known = first.rows is not None and other.rows is not None
    if is_known and not np.array_equal(first.rows, other.rows):
        return "other faces"
    return ""


def list_gains(records):
    """Returns the paired difference of each record to the first, a list of dicts.

    A record with other faces has `obstacle` instead of figures.
    """
    first, rows = records[0], []
    labels = np.asarray(first.labels, np.int64)
    before = first.probabilities.argmax(1)
    for record in records[1:]:
        row = {"name": record.name, "obstacle": find_obstacle(first, record)}
        if not row["obstacle"]:
            after = record.probabilities.argmax(1)
            gains = metrics.paired_intervals(labels, before, after)
            was, is_now = before == labels, after == labels
            row.update(
                gains=gains,
                p=comparison.mcnemar(was, is_now),
                only_here=int((is_now & ~was).sum()),
                only_first=int((was & ~is_now).sum()),
            )
            row["verdict"] = describe_gain(gains["accuracy"], row["p"])
        rows.append(row)
    paired = [row["gains"]["accuracy"][1:] for row in rows if not row["obstacle"]]
    if paired:
        bounds = charts.choose_bounds([*paired, (0, 0)], 50)
        for row in rows:
            if not row["obstacle"]:
                gain, low, high = row["gains"]["accuracy"]
                row["strip"] = charts.draw_interval(gain, low, high, bounds, has_zero=True)
    return rows


def describe_gain(gain, p):
    """Returns a word for a difference [gain, low, high] with the p-value of McNemar's test."""
    value, low, high = gain
    if p >= LEVEL or low <= 0 <= high:
        return "no difference shown"
    return "better" if value > 0 else "worse"


def tabulate_classes(records):
    """Returns the F1 of each class by record: rows of (name, values), of the classes they share."""
    shared = [
        name for name in records[0].classes if all(name in record.classes for record in records)
    ]
    rows = [
        (name, [record.summary["per_class"][name]["f1"] for record in records]) for name in shared
    ]
    excluded = max(0, len(rows) - MAX_CLASSES)
    if excluded:
        rows.sort(key=lambda row: min(row[1]) - max(row[1]))
        rows = rows[:MAX_CLASSES]
    return {"rows": [(name, values, max(values)) for name, values in rows], "excluded": excluded}


def draw_curves(records):
    """Returns a chart of the validation accuracy of each record over the epochs, or None."""
    series = []
    for index, record in enumerate(records):
        rows = [row for row in record.history if "val_accuracy" in row]
        if rows:
            epochs = [row["epoch"] for row in rows]
            series.append((record.name, epochs, [row["val_accuracy"] for row in rows], index))
    if not series:
        return None
    return {"series": series, "chart": charts.draw_lines(series, "validation accuracy")}
