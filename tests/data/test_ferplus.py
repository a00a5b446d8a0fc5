"""FER+ votes belong to the published files alone, are checked line by line, and speak FER2013."""

import csv

import numpy as np
import pytest
from conftest import SOURCE, run_verb

from insideout_tf import config, train
from insideout_tf.data import batches, ferplus
from insideout_tf.data.faces import Faces
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

FILE = SOURCE / "fer2013new.csv"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"FER+ is not at hand: no {FILE}")


@pytest.fixture(scope="module")
def faces(unpacked):
    return read_faces(unpacked("csv"))


@pytest.mark.fer2013
def test_votes_of_the_published_files(faces, unpacked):
    votes = ferplus.read(FILE, faces)
    assert votes.dtype == np.uint8 and votes.shape == (35887, 10)
    # the file's first rows, read by eye
    assert votes[0].tolist() == [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]
    assert votes[1].tolist() == [6, 0, 1, 1, 0, 0, 0, 0, 2, 0]
    training = ferplus.read(FILE, read_faces(unpacked("train")))
    assert np.array_equal(training, votes[:28709])
    icml = ferplus.read(FILE, read_faces(unpacked("icml")))
    assert np.array_equal(icml, votes)


@pytest.mark.fer2013
def test_other_files_are_refused(unpacked, small_drawn):
    for path in (unpacked("npz"), small_drawn):
        with pytest.raises(UserError, match="as published.*Received: .*npz"):
            ferplus.read(FILE, read_faces(path))


@pytest.mark.fer2013
def test_translated_votes_say_what_fer2013_says(faces):
    """Fitted on Training, they tell the labels of PublicTest better than the most voted class."""
    votes = ferplus.read(FILE, faces)
    rows = np.flatnonzero(faces.usage == 0)
    translated = ferplus.translate(votes[rows], faces.labels[rows])
    assert translated.dtype == np.float32 and np.allclose(translated.sum(1), 1, atol=1e-5)
    assert translated.min() >= 0
    own = translated[np.arange(len(rows)), faces.labels[rows]]
    assert (translated.argmax(1) == faces.labels[rows]).mean() > 0.65
    assert -np.log(own).mean() < 0.95  # nats; FER2013's class frequencies alone give 1.81
    # calibrated: what is called certain is right as often
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        chosen = (translated.max(1) >= low) & (translated.max(1) < high)
        right = (translated.argmax(1) == faces.labels[rows])[chosen].mean()
        assert right == pytest.approx(translated.max(1)[chosen].mean(), abs=0.04)


@pytest.mark.fer2013
def test_labels_of_a_run_mix_both(faces):
    stages = (config.Stage("a", epochs=1, learning_rate=1.0),)
    experiment = config.Experiment("x", stages, ferplus=str(FILE), soft_label_weight=0.25)
    rows = np.flatnonzero(faces.usage == 0)[100:3100]
    label = batches.training_arrays(faces, rows, experiment)["label"]
    translated = ferplus.translate(ferplus.read(FILE, faces)[rows], faces.labels[rows])
    expected = 0.75 * np.eye(7)[faces.labels[rows]] + 0.25 * translated
    assert np.abs(label - expected).max() < 1e-6 and label.dtype == np.float32


def small(path, change):
    with open(FILE, newline="") as source:
        rows = list(csv.reader(source))[:8]
    change(rows)
    with open(path, "w", newline="") as target:
        csv.writer(target).writerows(rows)
    count = 7
    return Faces(
        np.zeros((count, 48, 48), np.uint8),
        np.arange(7, dtype=np.uint8),
        np.zeros(count, np.uint8),
        "fer2013.csv",
        "fer2013.csv (official)",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.clear(), "line 1: expected the columns of FER.*an empty file"),
        (lambda rows: rows[0].pop(), "line 1: expected the columns of FER"),
        (lambda rows: rows.pop(), "a row of votes for each of the 7 faces.*6 rows"),
        (lambda rows: rows[3].__setitem__(4, "x"), "line 4: .*ten counts"),
        (lambda rows: rows[3].__setitem__(4, "11"), "line 4: .*0 to 10"),
        (lambda rows: rows[5].__setitem__(0, "PublicTest"), "line 6: expected usage Training"),
        (lambda rows: rows[2].pop(), "line 3: .*ten counts"),
    ],
)
def test_a_file_that_is_not_ferplus(change, message, tmp_path):
    path = tmp_path / "votes.csv"
    faces = small(path, change)
    with pytest.raises(UserError, match=message):
        ferplus.read(path, faces)


def test_what_the_command_line_says(tiny_experiment, small_drawn, tmp_path, capsys):
    run = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "r")
    status, _, err = run_verb(train.main, capsys, *run, "--set", "soft_label_weight=0.5")
    assert status == 2 and "--ferplus: expected the path of fer2013new.csv" in err
    status, _, err = run_verb(
        train.main,
        capsys,
        *(*run, "--set", "soft_label_weight=0.5", "--ferplus", tmp_path / "none.csv"),
    )
    assert status == 2 and "as published" in err and not (tmp_path / "r").exists()
