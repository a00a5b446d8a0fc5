"""A report says what its predictions say, leaks included, and is there as a whole or not at all."""

import json

import numpy as np
import pytest

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import Faces
from insideout_tf.evaluation import metrics, plots, report

TRAINING, ROWS = np.arange(60), np.arange(60, 100)
LEAKED = 10  # of the evaluated faces, the first ones
FACTS = {"split": "PrivateTest", "experiment": "made", "backbone": "tiny", "best_epoch": 1}
HISTORY = [
    {
        "stage": "head",
        "epoch": 1,
        **dict.fromkeys(("loss", "val_loss", "clean_accuracy", "accuracy"), 0.5),
        **dict.fromkeys(("val_accuracy", "val_macro_f1"), 0.5),
    }
]


@pytest.fixture(scope="module")
def faces():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (100, 48, 48), np.uint8)
    pixels[ROWS[:LEAKED]] = pixels[TRAINING[:LEAKED]]
    labels = random.integers(0, 7, 100).astype(np.uint8)
    usage = np.repeat([0, 2], [60, 40]).astype(np.uint8)
    return Faces(pixels, labels, usage, "made.csv", skipped=("row 3: no pixels",))


@pytest.fixture(scope="module")
def probabilities(faces):
    """Right for every leaked face and for two other faces in three."""
    random = np.random.default_rng(1)
    labels = faces.labels[ROWS].astype(int)
    predicted = np.where(np.arange(len(ROWS)) % 3 == 0, (labels + 1) % 7, labels)
    predicted[:LEAKED] = labels[:LEAKED]
    logits = random.normal(0, 0.1, (len(ROWS), 7)) + 2 * np.eye(7)[predicted]
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)


def test_it_follows_from_the_saved_predictions(faces, probabilities, tmp_path):
    summary = report.write_report(tmp_path, faces, ROWS, probabilities, FACTS, HISTORY)
    assert json.loads((tmp_path / report.METRICS).read_text()) == summary
    with np.load(tmp_path / report.PREDICTIONS) as saved:
        kinds = {name: saved[name].dtype.name for name in saved.files if name != "classes"}
        assert kinds == {
            "probabilities": "float32",
            "predicted": "uint8",
            "labels": "uint8",
            "rows": "int64",
        }
        assert tuple(saved["classes"]) == EMOTIONS
        assert np.array_equal(saved["rows"], ROWS)
        assert np.array_equal(saved["labels"], faces.labels[ROWS])
        assert np.array_equal(saved["probabilities"], probabilities)
        assert np.array_equal(saved["predicted"], probabilities.argmax(1))
        again = metrics.summarize(saved["probabilities"], saved["labels"])
    assert {key: summary[key] for key in again} == again
    assert list(summary) == [
        "split",
        *again,
        "leaks",
        *(key for key in FACTS if key != "split"),
        "data_identified",
        "data_digest",
        "bad_rows_skipped",
    ]
    assert summary["data_digest"] == faces.digest and summary["bad_rows_skipped"] == 1
    names = {"confusion.png", "reliability.png", "mistakes.png", "learning_curves.png"}
    assert {path.name for path in (tmp_path / report.PLOTS).iterdir()} == names


def test_it_cannot_be_changed(faces, probabilities):
    found = report.make_report(faces, ROWS, probabilities, FACTS)
    assert (
        found.intervals["accuracy"][0] < found.figures["accuracy"] < found.intervals["accuracy"][1]
    )
    with pytest.raises(AttributeError):
        found.figures = {}


@pytest.mark.parametrize("owner,failing", [(plots, "save"), (report, "save_predictions")])
def test_metrics_are_there_only_if_everything_is(
    faces, probabilities, tmp_path, monkeypatch, owner, failing
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, failing, full)
    with pytest.raises(OSError, match="No space left"):
        report.write_report(tmp_path, faces, ROWS, probabilities, FACTS)
    assert not (tmp_path / report.METRICS).exists()


def test_leaks_by_hand(faces, probabilities):
    labels = faces.labels[ROWS].astype(int)
    predicted = probabilities.argmax(1)
    right = predicted == labels
    assert right[:LEAKED].all() and not right[LEAKED:].all()
    leaks = report.measure_leaks(faces, ROWS, probabilities)
    confusion = metrics.confusion_matrix(labels[LEAKED:], predicted[LEAKED:])
    assert leaks == {
        "n": LEAKED,
        "identical_to": "a face of Training",
        "accuracy_on": 1.0,
        "accuracy_without": pytest.approx(right[LEAKED:].mean()),
        "macro_f1_without": pytest.approx(float(metrics.macro_f1(confusion))),
    }
    assert report.describe_leaks(leaks) == (
        "10 faces are identical to a face of Training (accuracy on them 1.0000); without them accuracy "
        f"{leaks['accuracy_without']:.4f}, macro-F1 {leaks['macro_f1_without']:.4f}"
    )


def test_leaks_of_a_run_count_the_faces_that_trained(faces, probabilities):
    trained = TRAINING[LEAKED - 3 :]
    leaks = report.make_report(faces, ROWS, probabilities, FACTS, trained).leaks
    assert leaks["n"] == 3
    assert report.describe_leaks(leaks).startswith("3 faces are identical to a training face (")


def test_without_leaks_and_with_nothing_else(faces, probabilities):
    clean = report.measure_leaks(faces, ROWS[LEAKED:], probabilities[LEAKED:])
    assert clean["n"] == 0 and clean["accuracy_on"] is None
    assert report.describe_leaks(clean) == ""
    every = report.measure_leaks(faces, ROWS[:LEAKED], probabilities[:LEAKED])
    assert every["accuracy_without"] is None and every["macro_f1_without"] is None
    assert report.describe_leaks(every) == (
        "10 faces are identical to a face of Training (accuracy on them 1.0000)"
    )


def test_faces_are_decided_before_anything_is_rounded(faces, tmp_path):
    """A nearly uniform model: float16 would make several classes equal, and the first would count."""
    spread = np.random.default_rng(2).permuted(np.arange(7) * 1e-6, axis=0)
    nearly_uniform = (1 / 7 + np.tile(spread, (len(ROWS), 1))).astype(np.float32)
    labels = faces.labels[ROWS]
    accuracy = float((nearly_uniform.argmax(1) == labels).mean())
    rounded = float((nearly_uniform.astype(np.float16).argmax(1) == labels).mean())
    assert accuracy != rounded
    summary = report.write_report(tmp_path, faces, ROWS, nearly_uniform, FACTS)
    assert summary["accuracy"] == accuracy
    saved = report.read_predictions(tmp_path / report.PREDICTIONS)
    assert metrics.summarize(*saved[:2])["accuracy"] == accuracy
