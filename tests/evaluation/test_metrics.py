"""scikit-learn agrees with every figure."""

import contextlib

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
    with pytest.warns(UserWarning) if classes == 5 else contextlib.nullcontext():
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


def test_calibration_by_hand():
    probabilities = np.full((10, 7), 0.05)
    probabilities[:, 0] = 0.7
    labels = np.array([0] * 5 + [1] * 5)
    assert metrics.expected_calibration_error(probabilities, labels) == pytest.approx(0.2)
    count, confidence, right = metrics.calibration(probabilities, labels)
    only = 10  # the bin of 10/15 to 11/15
    assert count.tolist() == [10 * (index == only) for index in range(15)]
    assert confidence[only] == pytest.approx(0.7) and right[only] == 0.5


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


def test_paired_intervals_equal_resampling_the_same_faces():
    first, labels = sample(400)
    second = first.astype(np.float64) + 0.3 * np.eye(7)[labels]
    before, after = first.argmax(1), second.argmax(1)
    mine = metrics.paired_intervals(labels, before, after)
    random, gains = np.random.default_rng(5), {"accuracy": [], "macro_f1": []}
    for _ in range(1500):
        rows = random.integers(0, 400, 400)
        truth, old, new = labels[rows], before[rows], after[rows]
        gains["accuracy"].append((new == truth).mean() - (old == truth).mean())
        scores = (sk.f1_score(truth, each, average="macro") for each in (new, old))
        gains["macro_f1"].append(next(scores) - next(scores))
    for name, values in gains.items():
        assert np.allclose(mine[name][1:], np.percentile(values, (2.5, 97.5)), atol=0.012), name
    assert mine["accuracy"][0] == pytest.approx(
        (after == labels).mean() - (before == labels).mean()
    )
    expected = [sk.f1_score(labels, each, average="macro") for each in (after, before)]
    assert mine["macro_f1"][0] == pytest.approx(expected[0] - expected[1])
    back = metrics.paired_intervals(labels, after, before)
    for name, (gain, low, high) in mine.items():
        assert low < gain < high and back[name] == pytest.approx([-gain, -high, -low])
    assert metrics.paired_intervals(labels, after, after)["macro_f1"] == [0, 0, 0]


def test_batches_of_draws_change_nothing(monkeypatch):
    first, labels = sample(300)
    before, after = first.argmax(1), np.roll(labels, 3)
    confusion = metrics.confusion_matrix(labels, before)
    whole = metrics.paired_intervals(labels, before, after), metrics.bootstrap_intervals(confusion)
    monkeypatch.setattr(metrics, "MAX_CELLS", 700)
    assert metrics.paired_intervals(labels, before, after) == whole[0]
    assert metrics.bootstrap_intervals(confusion) == whole[1]
    # Cells without a face are not drawn, which changes no random number.
    confusion[-1, -1] = confusion[0, 1] = 0
    random, total = np.random.default_rng(0), int(confusion.sum())
    drawn = random.multinomial(total, confusion.ravel() / total, metrics.BOOTSTRAP_SAMPLES)
    expected = np.percentile(
        metrics.accuracy(drawn.reshape(-1, *confusion.shape)), metrics.INTERVAL
    )
    monkeypatch.undo()
    assert metrics.bootstrap_intervals(confusion)["accuracy"] == list(expected)


def test_paired_intervals_are_narrower_than_those_of_each_classifier():
    first, labels = sample(2000)
    before = first.argmax(1)
    after = np.where(np.arange(2000) % 20, before, labels)  # differs on a few faces
    _, low, high = metrics.paired_intervals(labels, before, after)["accuracy"]
    alone = metrics.bootstrap_intervals(metrics.confusion_matrix(labels, before))["accuracy"]
    assert low > 0 and high - low < 0.5 * (alone[1] - alone[0])


def test_the_normal_interval_is_that_of_the_bootstrap():
    first, labels = sample(5000)
    before = first.argmax(1)
    after = np.where(np.arange(5000) % 10, before, labels)
    drawn = metrics.paired_intervals(labels, before, after)["accuracy"]
    mine = metrics.paired_accuracy_interval(before == labels, after == labels)
    assert mine[0] == pytest.approx(drawn[0]) and np.allclose(mine, drawn, atol=1e-3)
    assert metrics.paired_accuracy_interval([True, False], [True, False]) == [0, 0, 0]


def test_certain_and_wrong_is_finite():
    probabilities = np.eye(7, dtype=np.float16)[[0, 0]]
    nll = metrics.summarize(probabilities, np.array([0, 1]))["nll"]
    assert nll == pytest.approx(-np.log(1e-7) / 2)


def test_figures_of_a_stack_are_those_of_each():
    random = np.random.default_rng(0)
    stack = random.integers(0, 9, (4, 7, 7))
    stack[1, 2] = stack[1, :, 2] = 0  # a class without a face and without a prediction
    stack[2] = 0  # nothing at all
    for figure in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        values = figure(stack)
        assert values.shape == (4,) and values[2] == 0 and 0 < values[3] < 1
        assert np.array_equal(values, [figure(each) for each in stack])
    rows = metrics.normalize_rows(stack[1])
    assert np.allclose(rows.sum(1), [1, 1, 0, 1, 1, 1, 1])


def test_summary_has_its_parts_in_order():
    probabilities, labels = sample(50)
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1))
    summary = metrics.summarize(probabilities, labels)
    parts = [
        *metrics.measure(probabilities, labels).items(),
        ("intervals_95", metrics.bootstrap_intervals(confusion)),
        *metrics.tabulate_classes(confusion).items(),
    ]
    assert list(summary.items()) == parts
    assert list(summary)[:6] == ["n", "accuracy", "balanced_accuracy", "macro_f1", "nll", "ece"]
