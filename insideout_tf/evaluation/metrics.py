"""Scores of a classifier from probabilities and labels, in NumPy; order is `emotions.EMOTIONS`."""

import numpy as np

from insideout_tf.data.classes import EMOTIONS

CLASSES = len(EMOTIONS)
CALIBRATION_BINS = 15  # Guo et al. 2017, section 3
BOOTSTRAP_SAMPLES = 2000


def confusion_matrix(labels, predicted):
    """Returns int64 `[7, 7]`: rows are the true class, columns the predicted one."""
    flat = np.asarray(labels, np.int64) * CLASSES + np.asarray(predicted, np.int64)
    return np.bincount(flat, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def accuracy(confusion):
    """Fraction on the diagonal of `[..., 7, 7]`."""
    diagonal = np.trace(confusion, axis1=-2, axis2=-1)
    return diagonal / np.maximum(confusion.sum((-2, -1)), 1)


def precision_recall_f1(confusion):
    """Returns three float64 `[..., 7]`; a class without predictions or faces scores 0."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    predicted, true = confusion.sum(-2), confusion.sum(-1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(hits), where=total > 0)
    return precision, recall, f1


def macro_f1(confusion):
    """Unweighted mean F1 over the classes that have a face or a prediction (as scikit-learn)."""
    _, _, f1 = precision_recall_f1(confusion)
    present = (confusion.sum(-1) + confusion.sum(-2)) > 0
    return (f1 * present).sum(-1) / np.maximum(present.sum(-1), 1)


def balanced_accuracy(confusion):
    """Mean recall over the classes that have a face."""
    _, recall, _ = precision_recall_f1(confusion)
    present = confusion.sum(-1) > 0
    return (recall * present).sum(-1) / np.maximum(present.sum(-1), 1)


def negative_log_likelihood(probabilities, labels):
    """Mean of -ln p(true class), nats; p is floored at 1e-7 since float16 underflows to 0."""
    own = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, 1e-7)).mean())


def calibration(probabilities, labels, bins=CALIBRATION_BINS):
    """Returns count, mean confidence and accuracy (`[bins]` each) by equal-width confidence bin."""
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    safe = np.maximum(count, 1)
    return (
        count,
        np.bincount(index, confidence, bins) / safe,
        np.bincount(index, right, bins) / safe,
    )


def expected_calibration_error(probabilities, labels, bins=CALIBRATION_BINS):
    """Σ (nᵦ/n)·|accuracy - confidence| over bins (Guo et al. 2017, equation 3), 0..1."""
    count, confidence, right = calibration(probabilities, labels, bins)
    return float((count * np.abs(confidence - right)).sum() / count.sum())


def bootstrap_intervals(confusion, seed=0, samples=BOOTSTRAP_SAMPLES):
    """Returns {metric: [low, high]}, 95 % percentile intervals over resampled faces.

    Drawing faces with replacement is a multinomial draw over the cells of the confusion matrix.
    """
    total = int(confusion.sum())
    shares = confusion.ravel() / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, samples)
    drawn = drawn.reshape(samples, CLASSES, CLASSES)
    scores = {
        "accuracy": accuracy(drawn),
        "balanced_accuracy": balanced_accuracy(drawn),
        "macro_f1": macro_f1(drawn),
    }
    return {
        name: [float(v) for v in np.percentile(values, (2.5, 97.5))]
        for name, values in scores.items()
    }


def summarize(probabilities, labels):
    """Returns every figure of a report as plain Python numbers; probabilities `[n, 7]`."""
    labels = np.asarray(labels, np.int64)
    confusion = confusion_matrix(labels, np.asarray(probabilities).argmax(1))
    precision, recall, f1 = precision_recall_f1(confusion)
    support = confusion.sum(1)
    return {
        "n": len(labels),
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
        "intervals_95": bootstrap_intervals(confusion),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(EMOTIONS)
        },
        "confusion": confusion.tolist(),
        "confusion_normalized": (confusion / np.maximum(support, 1)[:, None]).round(6).tolist(),
    }
