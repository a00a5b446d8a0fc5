"""scikit-learn agrees with every figure."""

import numpy as np
import pytest
from sklearn import metrics as sk

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import metrics


def sample(n=500, seed=0, classes=7):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    logits = random.normal(size=(n, 7)) + 1.5 * np.eye(7)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probabilities.astype(np.float16), labels


@pytest.mark.parametrize("classes", [7, 5])
def test_agrees_with_scikit_learn(classes):
    probabilities, labels = sample(classes=classes)
    predicted = probabilities.argmax(1)
    mine = metrics.summarize(probabilities, labels)
    assert mine["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    with pytest.warns(UserWarning) if classes == 5 else _nothing():
        expected = sk.balanced_accuracy_score(labels, predicted)
    assert mine["balanced_accuracy"] == pytest.approx(expected)
    assert mine["macro_f1"] == pytest.approx(
        sk.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    table = sk.precision_recall_fscore_support(labels, predicted, labels=range(7), zero_division=0)
    for i, name in enumerate(EMOTIONS):
        row = mine["per_class"][name]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [column[i] for column in table]
        )
    assert mine["confusion"] == sk.confusion_matrix(labels, predicted, labels=range(7)).tolist()
    shares = np.array(mine["confusion_normalized"]).sum(1)
    assert np.allclose(shares[:classes], 1, atol=1e-5)
    exact = probabilities.astype(np.float64)
    own = sk.log_loss(labels, exact / exact.sum(1, keepdims=True), labels=range(7))
    assert mine["nll"] == pytest.approx(own, abs=1e-3)


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_calibration_by_hand():
    probabilities = np.full((10, 7), 0.05)
    probabilities[:, 0] = 0.7
    labels = np.array([0] * 5 + [1] * 5)
    assert metrics.expected_calibration_error(probabilities, labels) == pytest.approx(0.2)
    count, confidence, right = metrics.calibration(probabilities, labels)
    assert count.sum() == 10 and confidence.max() == pytest.approx(0.7) and right.max() == 0.5


def test_intervals_match_the_normal_approximation_and_cover_the_point():
    probabilities, labels = sample(3589)
    mine = metrics.summarize(probabilities, labels)
    low, high = mine["intervals_95"]["accuracy"]
    p = mine["accuracy"]
    half = 1.96 * np.sqrt(p * (1 - p) / 3589)
    assert low < p < high and high - low == pytest.approx(2 * half, rel=0.1)
    low, high = mine["intervals_95"]["macro_f1"]
    assert low < mine["macro_f1"] < high
    again = metrics.summarize(probabilities, labels)
    assert again == mine


def test_bootstrap_equals_resampling_faces():
    probabilities, labels = sample(400)
    predicted = probabilities.argmax(1)
    random = np.random.default_rng(1)
    scores = []
    for _ in range(1500):
        rows = random.integers(0, 400, 400)
        scores.append(sk.f1_score(labels[rows], predicted[rows], average="macro"))
    mine = metrics.bootstrap_intervals(metrics.confusion_matrix(labels, predicted))["macro_f1"]
    assert np.allclose(mine, np.percentile(scores, (2.5, 97.5)), atol=0.012)


def test_certain_and_wrong_is_finite():
    probabilities = np.eye(7, dtype=np.float16)[[0, 0]]
    assert np.isfinite(metrics.summarize(probabilities, np.array([0, 1]))["nll"])
