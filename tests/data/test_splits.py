"""Which faces train, validate and evaluate: every part, every leak and every message."""

import dataclasses

import numpy as np
import pytest

from insideout_tf import config
from insideout_tf.data import splits
from insideout_tf.data.faces import Faces, content_keys
from insideout_tf.errors import UserError


def fake(per_usage=(70, 21, 14)):
    """Returns faces of random pixels: so many of each usage, of all classes in turn."""
    usage = np.repeat(np.arange(3), per_usage).astype(np.uint8)
    labels = np.concatenate([np.arange(n) % 7 for n in per_usage]).astype(np.uint8)
    pixels = np.random.default_rng(0).integers(0, 256, (len(usage), 48, 48), np.uint8)
    return Faces(pixels, labels, usage, "fake.csv")


@pytest.mark.fer2013
def test_official_and_stratified_on_the_real_data(real):
    official = splits.make(real, "official", 0.125, 0, False)
    assert len(official.training) == 28709 and len(official.validation) == 3589
    assert official.validation_name == "PublicTest"
    paper = splits.make(real, "stratified", 0.125, 0, False)
    assert len(paper.validation) == round(28709 / 8)
    assert not np.intersect1d(paper.training, paper.validation).size
    assert (real.usage[paper.training] == 0).all() and (real.usage[paper.validation] == 0).all()
    whole = np.bincount(real.labels[real.usage == 0]) / 28709
    part = np.bincount(real.labels[paper.validation]) / len(paper.validation)
    assert np.abs(whole - part).max() < 5e-4
    again = splits.make(real, "stratified", 0.125, 0, False)
    other = splits.make(real, "stratified", 0.125, 1, False)
    assert np.array_equal(paper.validation, again.validation)
    assert not np.array_equal(paper.validation, other.validation)


@pytest.mark.fer2013
@pytest.mark.parametrize("split", ["official", "stratified"])
def test_part_of_training_has_every_class_in_proportion(real, split):
    whole = splits.make(real, split, 0.125, 0, True)
    quarter = splits.make(real, split, 0.125, 0, True, 0.25)
    assert len(quarter.training) == round(len(whole.training) / 4)
    together = np.sort(np.concatenate([quarter.training, quarter.unlabelled]))
    assert np.array_equal(together, whole.training) and not len(whole.unlabelled)
    assert np.array_equal(quarter.validation, whole.validation)
    shares = [
        np.bincount(real.labels[part.training]) / len(part.training) for part in (whole, quarter)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 5e-4
    experiment = config.Experiment(
        "quarter",
        stages=(config.Stage("train", 1, 1e-3),),
        split=split,
        training_fraction=0.25,
        drop_leaks=True,
    )
    assert np.array_equal(splits.evaluation_rows(real, "training", experiment), quarter.training)
    assert np.array_equal(splits.evaluation_rows(real, "rest", experiment), quarter.unlabelled)
    other, same = (
        splits.of_experiment(real, dataclasses.replace(experiment, seed=5, split_seed=split_seed))
        for split_seed in (None, 0)
    )
    assert not np.array_equal(other.training, quarter.training)
    assert np.array_equal(same.training, quarter.training)
    assert np.array_equal(same.validation, quarter.validation)


@pytest.mark.fer2013
def test_drop_leaks_on_the_real_data(real):
    official = splits.make(real, "official", 0.125, 0, True)
    keys = content_keys(real.pixels)
    assert not np.isin(keys[official.training], keys[real.usage != 0]).any()
    assert len(official.leaks) == 28709 - len(official.training)
    tests = {face.tobytes() for face in real.pixels[real.usage != 0]}
    assert len(official.leaks) == sum(
        face.tobytes() in tests for face in real.pixels[real.usage == 0]
    )
    strict = splits.make(real, "stratified", 0.125, 0, True)
    assert not np.isin(keys[strict.training], keys[real.usage != 0]).any()


@pytest.mark.parametrize("name", ["official", "stratified"])
def test_usage_of_training_and_validation(name):
    faces = fake()
    split = splits.make(faces, name, 0.2, 3, False)
    assert (faces.usage[split.training] == 0).all()
    assert (faces.usage[split.validation] == (1 if name == "official" else 0)).all()
    used = np.concatenate([split.training, split.validation])
    assert len(np.unique(used)) == len(used) == (91 if name == "official" else 70)
    assert split.validation_name == (
        "PublicTest" if name == "official" else "stratified validation"
    )
    assert not len(split.leaks) and not len(split.unlabelled)


def test_leaks_are_excluded_and_listed():
    """Rows 3 and 40 of Training equal test faces; rows 5 and 6 equal each other only."""
    faces = fake()
    faces.pixels[80], faces.pixels[100], faces.pixels[99] = faces.pixels[[3, 40, 40]]
    faces.pixels[6] = faces.pixels[5]
    split = splits.make(faces, "official", 0.1, 0, True)
    assert split.leaks.tolist() == [3, 40]
    assert np.array_equal(split.training, np.setdiff1d(np.arange(70), [3, 40]))
    assert list(splits.list_leaks(faces, split.leaks)) == [
        "row,emotion,same_as_row,same_as_usage,same_as_emotion",
        "3,happy,80,PublicTest,happy",
        "40,surprise,99,PrivateTest,disgust",
    ]
    assert not len(splits.make(faces, "official", 0.1, 0, False).leaks)
    rows = np.array([5, 80, 81, 100])
    assert splits.also_in_training(faces, rows).tolist() == [True, True, False, True]
    rows = np.array([5, 6])  # both outside the other faces
    assert splits.also_in_training(faces, rows).tolist() == [False, False]


def test_rows_of_each_part():
    faces = fake()
    rows = {
        name: splits.evaluation_rows(faces, name, None) for name in ("private", "public", "merged")
    }
    assert (faces.usage[rows["private"]] == 2).all() and len(rows["private"]) == 14
    assert (faces.usage[rows["public"]] == 1).all() and len(rows["public"]) == 21
    assert np.array_equal(rows["merged"], np.arange(70, 105))
    assert set(splits.NAMES) == set(splits.EVALUATED)


def test_messages():
    few = np.concatenate([np.zeros(100), np.repeat(np.arange(1, 7), 2)]).astype(np.uint8)
    unbalanced = Faces(np.zeros((112, 48, 48), np.uint8), few, np.zeros(112, np.uint8), "few.csv")
    for faces, split, fraction, expected in (
        (fake((70, 0, 14)), "official", 0.1, "split=stratified"),
        (fake((0, 21, 14)), "official", 0.1, "faces with usage Training"),
        (fake((7, 21, 14)), "stratified", 0.5, "at least 2 Training faces"),
        (fake((70, 21, 14)), "stratified", 0.05, "one face of each class on either side"),
        (unbalanced, "stratified", 0.1, "one face of each class on either side"),
        (fake((6, 21, 14)), "official", 0.1, "none of neutral"),
    ):
        with pytest.raises(UserError, match=expected):
            splits.make(faces, split, fraction, 0, False)
    unlabelled = Faces(fake().pixels, None, fake().usage, "test.csv")
    with pytest.raises(UserError, match="pixels only"):
        splits.make(unlabelled, "official", 0.1, 0, False)
    with pytest.raises(UserError, match="--split private expects faces with usage PrivateTest"):
        splits.evaluation_rows(fake((70, 21, 0)), "private", None)
    with pytest.raises(UserError, match="a run folder"):
        splits.evaluation_rows(fake(), "validation", None)
