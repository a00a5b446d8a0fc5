"""Several models on the same faces: their figures, and what each gains over the first."""

import pathlib

import numpy as np

from insideout_tf.errors import printable
from insideout_tf.evaluation import metrics


def compare(labels, probabilities, classes):
    """Returns the figures of several models on the same faces, and paired differences to the first.

    Args:
        labels: integers `[n]`, from 0 on, at least one face.
        probabilities: a dict from the name of a model to float `[n, k]`, in the same order of faces and
            classes. The first is the one that the others are compared with.
        classes: the names of the k classes.

    Returns:
        A dict from the name of a model to a dict that JSON can hold: what `metrics.summarize` returns,
        and, but for the first, `gain`: what `metrics.paired_intervals` returns, and `p_value` of
        McNemar's test.
    """
    labels = np.asarray(labels, np.int64)
    first: np.ndarray | None = None
    results: dict[str, dict] = {}
    for name, each in probabilities.items():
        predicted = np.asarray(each).argmax(1)
        results[name] = metrics.summarize(each, labels, classes)
        if first is None:
            first = predicted
            continue
        results[name]["gain"] = metrics.paired_intervals(labels, first, predicted)
        results[name]["p_value"] = mcnemar(first == labels, predicted == labels)
    return results


def mcnemar(is_right_before, is_right_after):
    """Returns the p-value of McNemar's exact test that two classifiers are equally often right.

    Only the faces that one of them has right count (McNemar 1947; Dietterich 1998, Approximate
    statistical tests for comparing supervised classification learning algorithms, section 3.1).

    is_right_before, is_right_after: bool `[n]`, of the same faces.
    """
    from scipy import stats

    gained = int((~is_right_before & is_right_after).sum())
    lost = int((is_right_before & ~is_right_after).sum())
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def to_markdown(results):
    """Returns the results of `compare` on several data sets as a Markdown table.

    results: a list of dicts with `data`, `split`, `n`, `classes` and `models` (what `compare` returns).
    """
    lines = [
        "| data | model | accuracy | macro-F1 | accuracy, less the first | p |",
        "|---|---|---|---|---|---|",
    ]
    for each in results:
        place = _to_cell(pathlib.PurePath(each["data"]).name)
        data = f"{place}, {each['split']}, {each['n']:,} faces, {len(each['classes'])} classes"
        for name, found in each["models"].items():
            cells = [
                f"{found[key] * scale:{form}} [{low * scale:{form}}, {high * scale:{form}}]"
                for key, scale, form in (("accuracy", 100, ".1f"), ("macro_f1", 1, ".3f"))
                for low, high in [found["intervals_95"][key]]
            ]
            gain, p = "", ""
            if "gain" in found:
                value, low, high = (100 * bound for bound in found["gain"]["accuracy"])
                gain, p = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]", f"{found['p_value']:.3f}"
            lines.append(
                f"| {data} | {_to_cell(name)} | {cells[0]} % | {cells[1]} | {gain} | {p} |"
            )
            data = ""
    return "\n".join(lines)


def _to_cell(text):
    """Returns a name as text of one cell of a Markdown table."""
    return printable(text).replace("|", "\\|")
