"""The figures of a classifier, in NumPy, from probabilities and labels.

Every array of classes is in the order of the model's classes; k is their number. A confusion matrix
has a row for each true class and a column for each predicted one; functions of it also take a stack
of them.
"""

import numpy as np

from insideout_tf.data.classes import EMOTIONS

MAX_CELLS = 1 << 22  # of the confusion matrices that are drawn together
CALIBRATION_BINS = 15  # Guo et al. 2017 (arXiv 1706.04599), section 3
BOOTSTRAP_SAMPLES = 2000
PAIRED_SAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles, of a 95 % interval
NORMAL_QUANTILE = 1.96  # of the same interval, in standard errors
MIN_PROBABILITY = 1e-7  # of a logarithm: float16 underflows to 0


def confusion_matrix(labels, predicted, count=len(EMOTIONS)):  # noqa: B008
    """Returns the confusion matrix, int64 `[k, k]`, of true and predicted classes, `[n]` each.

    count: the number k of classes.
    """
    flat = np.asarray(labels, np.int64) * count + np.asarray(predicted, np.int64)
    return np.bincount(flat, minlength=count**2).reshape(count, count)


def accuracy(confusion):
    """Returns the fraction of faces on the diagonal, float64 `[...]` in 0..1, of `[..., k, k]`."""
    diagonal = np.trace(confusion, axis1=-2, axis2=-1)
    return diagonal / np.maximum(confusion.sum((-2, -1)), 1)


def precision_recall_f1(confusion):
    """Returns precision, recall and F1 by class, float64 `[..., k]` in 0..1 each, of `[..., k, k]`.

    A quotient whose denominator is 0 counts as 0, as with scikit-learn's `zero_division=0`.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    predicted, true = confusion.sum(-2), confusion.sum(-1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(hits), where=total > 0)
    return precision, recall, f1


def macro_f1(confusion):
    """Returns the mean F1 over the classes, float64 `[...]` in 0..1, of `[..., k, k]`.

    Every class has the same weight. Classes without a face and without a prediction are excluded, as in
    scikit-learn.
    """
    _, _, f1 = precision_recall_f1(confusion)
    present = (confusion.sum(-1) + confusion.sum(-2)) > 0
    return (f1 * present).sum(-1) / np.maximum(present.sum(-1), 1)


def balanced_accuracy(confusion):
    """Returns the mean recall over the classes that have a face, float64 `[...]` in 0..1."""
    _, recall, _ = precision_recall_f1(confusion)
    present = confusion.sum(-1) > 0
    return (recall * present).sum(-1) / np.maximum(present.sum(-1), 1)


FIGURES = (accuracy, balanced_accuracy, macro_f1)  # that have intervals


def negative_log_likelihood(probabilities, labels):
    """Returns the mean of -ln p(true class), in nats, of `[n, k]` and `[n]`."""
    own = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, MIN_PROBABILITY)).mean())


def calibration(probabilities, labels, bins=CALIBRATION_BINS):
    """Returns faces, mean confidence and accuracy of each bin, `[bins]` each; 0 in empty bins.

    Confidence is the highest of a face's probabilities (`[n, k]`). Bins have equal widths over 0..1.
    """
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(1)
    is_right = probabilities.argmax(1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    divisor = np.maximum(count, 1)
    return (
        count,
        np.bincount(index, confidence, bins) / divisor,
        np.bincount(index, is_right, bins) / divisor,
    )


def expected_calibration_error(probabilities, labels, bins=CALIBRATION_BINS):
    """Returns Σ (nᵦ/n)·|accuracy - confidence| over bins (Guo et al. 2017, equation 3), 0..1."""
    count, confidence, right = calibration(probabilities, labels, bins)
    return float((count * np.abs(confidence - right)).sum() / count.sum())


def bootstrap_intervals(confusion, seed=0, samples=BOOTSTRAP_SAMPLES):
    """Returns {metric: [low, high]}, the 95 % percentile intervals over resampled faces.

    Faces drawn with replacement are a multinomial draw over the cells of the confusion matrix.

    Args:
        confusion: int `[k, k]` of at least one face.
        seed: of the draws; the same seed gives the same intervals with the same NumPy.
        samples: number of draws.
    """
    total, random = int(confusion.sum()), np.random.default_rng(seed)
    # Empty cells stay empty in every draw. The last one takes part, so that the random numbers are the same.
    cells = np.union1d(np.flatnonzero(confusion), confusion.size - 1)
    shares = confusion.ravel()[cells] / total
    scores: dict[str, list] = {figure.__name__: [] for figure in FIGURES}
    for count in _split_draws(samples, confusion.size):
        drawn = np.zeros((count, confusion.size), np.int64)
        drawn[:, cells] = random.multinomial(total, shares, count)
        for figure in FIGURES:
            scores[figure.__name__].append(figure(drawn.reshape(count, *confusion.shape)))
    return {
        name: [float(bound) for bound in np.percentile(np.concatenate(values), INTERVAL)]
        for name, values in scores.items()
    }


def _split_draws(samples, cells):
    """Yields the sizes of batches of draws whose confusion matrices, of so many cells, fit in memory."""
    together = max(1, MAX_CELLS // cells)
    for start in range(0, samples, together):
        yield min(together, samples - start)


def paired_intervals(labels, before, after, seed=0, samples=PAIRED_SAMPLES):
    """Returns what a classifier gains over another on the same faces, with 95 % intervals.

    Each draw takes the same faces, with replacement, for both classifiers. So the interval
    excludes what both share, such as faces that are hard for both (paired percentile bootstrap, Efron &
    Tibshirani 1993, section 13.3).

    Args:
        labels: integers `[n]`, at least one face.
        before: predicted classes of the first classifier, `[n]`.
        after: those of the second, `[n]`.
        seed: of the draws; the same seed draws the same faces for every pair.
        samples: number of draws.

    Returns:
        {metric: [gain, low, high]}: Python floats, the second minus the first, -1..1, for
        "accuracy", "balanced_accuracy" and "macro_f1".
    """
    labels, before, after = (np.asarray(each, np.int64) for each in (labels, before, after))
    count = 1 + max(int(each.max()) for each in (labels, before, after))
    random = np.random.default_rng(seed)
    whole = [confusion_matrix(labels, predicted, count) for predicted in (before, after)]
    gains: dict[str, list] = {figure.__name__: [] for figure in FIGURES}
    for number in _split_draws(samples, 2 * count**2):
        drawn = np.empty((2, number, count, count), np.int64)
        for index in range(number):
            rows = random.integers(0, len(labels), len(labels))
            for side, predicted in enumerate((before, after)):
                drawn[side, index] = confusion_matrix(labels[rows], predicted[rows], count)
        for figure in FIGURES:
            gains[figure.__name__] += list(figure(drawn[1]) - figure(drawn[0]))
    return {
        figure.__name__: [
            float(figure(whole[1]) - figure(whole[0])),
            *map(float, np.percentile(gains[figure.__name__], INTERVAL)),
        ]
        for figure in FIGURES
    }


def paired_accuracy_interval(is_right_before, is_right_after):
    """Returns the gain in accuracy over another classifier, with its 95 % normal interval.

    The interval is the mean paired difference ± 1.96 standard errors. For some thousand faces it
    equals that of `paired_intervals` within the noise of the draws, and needs none.

    Args:
        is_right_before: bool `[n]`, at least one face: whether the first classifier is right.
        is_right_after: bool `[n]`, the same of the second on the same faces.

    Returns:
        [gain, low, high]: Python floats, the second minus the first.
    """
    difference = np.asarray(is_right_after, np.float64) - np.asarray(is_right_before, np.float64)
    gain = float(difference.mean())
    half = float(NORMAL_QUANTILE * difference.std() / len(difference) ** 0.5)
    return [gain, gain - half, gain + half]


def wilson_interval(hits, total):
    """Returns the 95 % interval (low, high) of a share, 0..1 (Wilson 1927); (0, 1) for no face.

    It holds for few faces too, and never leaves 0..1.

    hits: the number of faces that count. total: the number of faces.
    """
    if not total:
        return 0.0, 1.0
    square, share = NORMAL_QUANTILE**2, hits / total
    middle = share + square / (2 * total)
    half = NORMAL_QUANTILE * (share * (1 - share) / total + square / (4 * total**2)) ** 0.5
    low, high = ((middle + sign * half) / (1 + square / total) for sign in (-1, 1))
    return float(max(0.0, low)), float(min(1.0, high))


def summarize(probabilities, labels, classes=EMOTIONS):
    """Returns every figure of an evaluation as plain Python values, ready for JSON.

    Args:
        probabilities: float `[n, k]`, at least one face.
        labels: integers `[n]`, from 0 on.
        classes: the names of the k classes.

    Returns:
        A dict: what `measure` returns, `intervals_95` (see `bootstrap_intervals`), and what
        `tabulate_classes` returns, in this order.
    """
    confusion = confusion_matrix(labels, np.asarray(probabilities).argmax(1), len(classes))
    return {
        **measure(probabilities, labels),
        "intervals_95": bootstrap_intervals(confusion),
        **tabulate_classes(confusion, classes),
    }


def measure(probabilities, labels):
    """Returns the figures over all classes as plain Python numbers.

    Args:
        probabilities: float `[n, k]`, at least one face.
        labels: integers `[n]`, from 0 on.

    Returns:
        A dict of `n`, `accuracy`, `balanced_accuracy`, `macro_f1`, `nll` (nats) and `ece`.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities)
    confusion = confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
    return {
        "n": len(labels),
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }


def tabulate_classes(confusion, classes=EMOTIONS):
    """Returns the figures by class as plain Python values.

    Args:
        confusion: int `[k, k]`.
        classes: the names of the k classes.

    Returns:
        A dict of `per_class` ({class: precision, recall, f1 and support}), `confusion` (the counts)
        and `confusion_normalized` (shares of the true class, to six digits).
    """
    precision, recall, f1 = precision_recall_f1(confusion)
    support = confusion.sum(1)
    per_class = {
        name: {
            "precision": float(precision[label]),
            "recall": float(recall[label]),
            "f1": float(f1[label]),
            "support": int(support[label]),
        }
        for label, name in enumerate(classes)
    }
    return {
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "confusion_normalized": normalize_rows(confusion).round(6).tolist(),
    }


def normalize_rows(confusion):
    """Returns counts `[k, k]` as shares of the true class, float64; 0 for a class without a face."""
    return confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
