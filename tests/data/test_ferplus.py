"""FER+ matches the published files only, is checked line by line, and predicts FER2013's labels."""

import csv
import dataclasses

import numpy as np
import pytest
from conftest import SOURCE, run_verb

from insideout_tf import config, train
from insideout_tf.data import batches, ferplus, ferplus_folders
from insideout_tf.data.faces import Faces
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

FILE = SOURCE / "fer2013new.csv"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"FER+ is not at hand: no {FILE}")


@pytest.fixture(scope="module")
def faces(real):
    """The faces of fer2013.csv: test_read.py shows that these arrays equal it."""
    return dataclasses.replace(real, identified="fer2013.csv (official FER2013, 35,887 faces)")


@pytest.mark.fer2013
def test_counts_of_the_published_files(faces):
    counts = ferplus.read_counts(FILE, faces)
    assert counts.dtype == np.uint8 and counts.shape == (35887, 10)
    # the file's first rows, read by eye
    assert counts[0].tolist() == [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]
    assert counts[1].tolist() == [6, 0, 1, 1, 0, 0, 0, 0, 2, 0]
    part = slice(0, 28709)
    train = Faces(faces.pixels[part], faces.labels[part], faces.usage[part], "x", "train.csv (x)")
    assert np.array_equal(ferplus.read_counts(FILE, train), counts[part])


@pytest.mark.fer2013
def test_the_majority_is_a_second_label(faces):
    """The file of folders, whose counts differ in some rows, has nearly as many faces of each class."""
    found = ferplus.relabel_by_majority(faces, FILE)
    assert found.classes == ferplus.CLASSES and len(found) == 31412
    assert found.skipped[0] == "FER+, no majority: 4,200 faces excluded"
    for name, published in ferplus_folders.PUBLISHED[0].items():
        own = found.usage[found.labels == found.classes.index(name)]
        for count, expected in zip(np.bincount(own, minlength=3), published):
            assert abs(count - expected) <= 3 + 0.02 * expected, name


def test_a_face_without_a_majority_is_excluded(tmp_path):
    path = tmp_path / "counts.csv"
    faces = write_small(path, lambda rows: rows[3].__setitem__(slice(2, 12), "0000000550"))
    found = ferplus.relabel_by_majority(faces, path)
    counts = ferplus.read_counts(path, faces)
    assert counts[0].tolist() == [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]  # 4 of 9: no majority
    assert len(found) == len(found.labels) < 7 and "FER+, no majority" in " ".join(found.skipped)
    assert found.classes[found.labels[0]] == "neutral"  # 6 of 8 above one
    with pytest.raises(UserError, match="--ferplus-labels"):
        ferplus.relabel_by_majority(dataclasses.replace(faces, identified=None), path)


@pytest.mark.fer2013
def test_other_files_are_not_accepted(unpacked, small_drawn):
    for path in (unpacked("npz"), small_drawn):
        with pytest.raises(UserError, match="as published.*Received: .*npz"):
            ferplus.read_counts(FILE, read_faces(path))


@pytest.mark.fer2013
def test_distributions_predict_the_labels_of_fer2013(faces):
    """They are accurate and calibrated on the faces that they were fitted on."""
    counts = ferplus.read_counts(FILE, faces)
    rows = np.flatnonzero(faces.usage == 0)
    distributions = ferplus.fit_distributions(counts[rows], faces.labels[rows])
    assert distributions.dtype == np.float32 and np.allclose(distributions.sum(1), 1, atol=1e-5)
    assert distributions.min() >= 0
    own = distributions[np.arange(len(rows)), faces.labels[rows]]
    assert (distributions.argmax(1) == faces.labels[rows]).mean() > 0.65
    assert -np.log(own).mean() < 0.95  # nats; FER2013's class frequencies alone give 1.81
    # calibrated: the accuracy is the mean probability
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        chosen = (distributions.max(1) >= low) & (distributions.max(1) < high)
        right = (distributions.argmax(1) == faces.labels[rows])[chosen].mean()
        assert right == pytest.approx(distributions.max(1)[chosen].mean(), abs=0.04)


@pytest.mark.fer2013
def test_soft_labels_mix_both(faces):
    stages = (config.Stage("a", epochs=1, learning_rate=1.0),)
    experiment = config.Experiment("x", stages, ferplus=str(FILE), soft_label_weight=0.25)
    rows = np.flatnonzero(faces.usage == 0)[100:3100]
    label = batches.training_arrays(faces, rows, experiment)["label"]
    distributions = ferplus.fit_distributions(
        ferplus.read_counts(FILE, faces)[rows], faces.labels[rows]
    )
    expected = 0.75 * np.eye(7)[faces.labels[rows]] + 0.25 * distributions
    assert np.abs(label - expected).max() < 1e-6 and label.dtype == np.float32


def write_small(path, change):
    """Writes the first seven rows of FER+ after a change, and returns seven faces for them."""
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
        (lambda rows: rows.pop(), "a row for each of the 7 faces.*6 rows"),
        (lambda rows: rows[3].__setitem__(4, "x"), "line 4: .*ten counts"),
        (lambda rows: rows[3].__setitem__(4, "11"), "line 4: .*0 to 10"),
        (lambda rows: rows[3].__setitem__(4, "1" * 5000), "line 4: .*0 to 10"),
        (lambda rows: rows.__setitem__(6, []), "line 7: .*ten counts"),
        (lambda rows: rows[5].__setitem__(0, "PublicTest"), "line 6: expected usage Training"),
        (lambda rows: rows[2].pop(), "line 3: .*ten counts"),
    ],
)
def test_bad_files(change, message, tmp_path):
    path = tmp_path / "counts.csv"
    faces = write_small(path, change)
    with pytest.raises(UserError, match=message):
        ferplus.read_counts(path, faces)


def test_messages_of_the_command_line(tiny_experiment, small_drawn, tmp_path, capsys):
    run = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "r")
    status, _, err = run_verb(train.main, capsys, *run, "--set", "soft_label_weight=0.5")
    assert status == 2 and "--ferplus: expected the path of fer2013new.csv" in err
    status, _, err = run_verb(
        train.main,
        capsys,
        *(*run, "--set", "soft_label_weight=0.5", "--ferplus", tmp_path / "none.csv"),
    )
    assert status == 2 and "as published" in err and not (tmp_path / "r").exists()
