"""The audit finds labels that were changed and faces that were copied."""

import csv

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

import insideout_tf
from insideout_tf import audit as verb
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.evaluation import audit

CHANGED, COPIES = 20, 6


@pytest.fixture(scope="module")
def doctored(tmp_path_factory):
    """Returns an .npz of drawn faces; (rows with a wrong label); pairs of near-duplicates."""
    random = np.random.default_rng(0)
    pixels, labels, usage = drawn.draw_all(560, 70, 70, seed=3)
    labels = labels.copy()
    wrong = random.choice(560, CHANGED, replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, 7, CHANGED)) % 7
    pixels, pairs = pixels.copy(), set()
    for index in range(COPIES):
        source, copy = index, 600 + index
        face = pixels[source].astype(float)
        changes = (face, face * 0.8 + 20, np.roll(face, 1, 1))
        pixels[copy] = changes[index % 3].clip(0, 255).astype(np.uint8)
        pairs.add((source, copy))
    path = tmp_path_factory.mktemp("audit") / "faces.npz"
    np.savez(path, pixels=pixels, emotion=labels, usage=usage)
    return path, set(wrong.tolist()), pairs


def test_labels_are_ranked_by_their_margin():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0.0, 0.4, 0.6]])
    first, second = audit.rank_labels(probabilities, np.array([0, 0, 1, 2]))
    assert (first.row, first.label, first.suggested) == (0, 0, 1)
    assert first.margin == pytest.approx(-0.8) and first.probabilities == (0.1, 0.9)
    assert (second.row, second.suggested) == (2, 2)


def test_every_face_is_predicted_by_a_classifier_that_did_not_see_it():
    """Labels at random: a classifier that had seen a face would know its label."""
    random = np.random.default_rng(0)
    embeddings, labels = random.normal(size=(120, 100)), random.integers(0, 2, 120)
    found = audit.predict_by_folds(embeddings, labels, 4)
    assert np.allclose(found.sum(1), 1)
    assert 0.3 < (found.argmax(1) == labels).mean() < 0.7
    people = np.arange(120) // 2
    by_person = audit.predict_by_folds(np.repeat(embeddings[:60], 2, 0), labels, 4, people=people)
    assert (by_person.argmax(1) == labels).mean() < 0.7


def test_thumbnails_of_any_size_and_colour():
    grey = np.random.default_rng(0).integers(0, 256, (3, 50, 50), np.uint8)
    colour = np.repeat(grey[..., None], 3, -1)
    one, other = audit.make_thumbnails(grey), audit.make_thumbnails(colour)
    assert one.shape == (3, 256) and np.allclose(one, other, atol=1e-5)
    assert np.allclose((one**2).sum(1), 1, atol=1e-4)
    assert not audit.find_pairs(np.ones((1, 4)), grey[:1])


@pytest.mark.slow
def test_changed_labels_and_copies_are_found(doctored):
    path, wrong, pairs = doctored
    found = insideout_tf.audit_labels(path)
    first = [each.row for each in found.issues[: 2 * CHANGED]]
    assert len(wrong & set(first)) >= 0.6 * CHANGED
    seen = {(pair.row, pair.other): pair for pair in found.pairs}
    assert pairs <= set(seen)
    assert [seen[pair].is_identical for pair in sorted(pairs)] == [True, False, False] * 2
    frame = found.to_frame()
    assert frame["row"].tolist() == [each.row for each in found.issues]
    assert set(frame["usage"]) <= {"Training", "PublicTest", "PrivateTest"}


@pytest.mark.slow
def test_the_verb_writes_tables_and_a_picture(doctored, tmp_path, capsys):
    path, _, _ = doctored
    out = tmp_path / "audit"
    words = ("--data", path, "--model", "nano", "--out", out, "--split", "public")
    status, text, error = run_verb(verb.main, capsys, *words)
    assert status == 0, error
    assert "70 faces, 7 classes" in text and "by model nano" in text
    rows = list(csv.DictReader((out / "label_errors.csv").read_text().splitlines()))
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["label"] != row["suggested"] for row in rows)
    assert Image.open(out / "label_errors.png").size[0] > 600
    status, _, error = run_verb(verb.main, capsys, *words)
    assert status == 2 and "--overwrite" in error
    assert run_verb(verb.main, capsys, *words, "--overwrite")[0] == 0


def test_bad_audits_are_one_line(doctored, capsys):
    status, _, error = run_verb(verb.main, capsys, "--data", doctored[0], "--folds", 1)
    assert status == 2 and "--folds: expected at least 2" in error


@pytest.mark.slow
def test_too_few_faces_for_the_parts(tmp_path):
    values = {"pixels": np.zeros((4, 48, 48), np.uint8), "emotion": [0, 0, 1, 1], "usage": [0] * 4}
    np.savez(tmp_path / "a.npz", classes=["no", "yes"], **values)
    with pytest.raises(UserError, match="at least 5 faces of each.*no: 2, yes: 2"):
        insideout_tf.audit_labels(tmp_path / "a.npz")


def test_confident_learning_keeps_the_order_of_the_margin():
    """One label of forty is wrong; a face that is uncertain in a class that is often so is not."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 4 // 2 * 2  # the classes 0 and 2; no face of 1
    probabilities = np.full((40, 3), 0.02)
    probabilities[np.arange(40), labels] = random.uniform(0.7, 0.95, 40)
    probabilities[0] = (0.02, 0.02, 0.96)
    probabilities[5] = (0.45, 0.05, 0.5)
    found = audit.rank_by_cleanlab(probabilities, labels)
    assert [(each.row, each.suggested) for each in found] == [(0, 2)]


@pytest.mark.slow
def test_a_recipe_predicts_each_face_from_the_other_parts(
    tiny_experiment, small_drawn, tmp_path, capsys
):
    words = ("--data", small_drawn, "--recipe", tiny_experiment, "--folds", 2, "--embedder", "nano")
    status, _, error = run_verb(verb.main, capsys, *words)
    assert status == 2 and "--recipe: expected a folder for its runs (--out)" in error
    out = tmp_path / "audit"
    status, text, error = run_verb(verb.main, capsys, *words, "--out", out)
    assert status == 0, error
    assert "280 faces" in text and "2 parts" in text
    with np.load(out / "folds" / "fold02" / "test" / "predictions.npz") as file:
        rows, told = file["rows"], file["probabilities"]
    issues = list(csv.DictReader((out / "label_errors.csv").read_text().splitlines()))
    by_row = {int(each["row"]): float(each["probability_of_suggested"]) for each in issues}
    shared = set(by_row) & set(rows.tolist())
    assert shared
    for row, probabilities in zip(rows, told):
        if row in shared:
            assert abs(by_row[row] - probabilities.max()) < 1e-3
