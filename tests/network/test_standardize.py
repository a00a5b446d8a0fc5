"""Faces of any brightness and contrast reach the network at a known mean and deviation."""

import dataclasses

import keras
import numpy as np
import pytest

from insideout_tf.config import Experiment, Stage
from insideout_tf.network.build import build_network
from insideout_tf.network.standardize import (
    MEAN_RANGE,
    MIN_DEVIATION,
    TRAINING_DEVIATION,
    TRAINING_MEAN,
)

TINY = Experiment(
    name="x",
    stages=(Stage("a", epochs=1, learning_rate=1e-2),),
    backbone="tiny",
    weights="none",
    image_size=40,
)
FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)
LEVELS = FACES[..., None].astype(np.float32)
DARK, PALE = 0.1 * LEVELS, 0.1 * (LEVELS - 128) + 160


@pytest.fixture(scope="module")
def by_standard():
    """Returns {which: function of faces `[n, 48, 48, 1]` to probabilities}, of one network."""
    keras.utils.set_random_seed(0)
    models = {
        which: build_network(dataclasses.replace(TINY, image_size=48, standardize=which))
        for which in ("none", "all", "outliers")
    }
    kernel = models["none"].get_layer("logits").kernel
    kernel.assign(300 * np.asarray(kernel))  # fresh weights give every face the same probabilities
    for model in models.values():
        model.set_weights(models["none"].get_weights())  # `standardize` adds no weight

    def predictor(model):
        return lambda faces: np.asarray(model(faces.astype(np.float32), training=False))

    return {which: predictor(model) for which, model in models.items()}


@pytest.mark.parametrize("which", ["all", "outliers"])
def test_brightness_and_contrast_do_not_change_probabilities(which, by_standard):
    plain, standardized = by_standard["none"], by_standard[which]
    reference = standardized(0.12 * LEVELS)
    for worse in (DARK, 0.1 * (LEVELS - 128) + 60):  # both below the range of "outliers"
        changed = np.abs(standardized(worse) - reference).max()
        assert changed < 0.1 * np.abs(plain(worse) - plain(LEVELS)).max() and changed < 0.01
    # A face without contrast is one grey level, not noise.
    level = {"all": 129.5, "outliers": 75.0}[which]
    assert np.allclose(standardized(0 * LEVELS), plain(0 * LEVELS + level), atol=1e-4)


def test_standards_by_hand(by_standard):
    def by_hand(faces, deviation=None, mean=None):
        own = faces.mean((1, 2, 3), keepdims=True)
        unit = (faces - own) / np.sqrt(faces.var((1, 2, 3), keepdims=True) + 1)
        return unit * deviation + (own if mean is None else mean)

    plain, every, outliers = (by_standard[which] for which in ("none", "all", "outliers"))
    assert np.abs(plain(DARK) - plain(LEVELS)).max() > 0.1  # or the comparisons below say nothing
    assert np.abs(every(LEVELS) - plain(by_hand(LEVELS, 54.0, 129.5))).max() < 1e-3
    # Faces within the range stay as they are.
    assert (LEVELS.std((1, 2, 3)) > 40).all()
    assert np.abs(outliers(LEVELS) - plain(LEVELS)).max() < 1e-3
    assert np.abs(outliers(PALE) - plain(by_hand(PALE, 40.0))).max() < 1e-3
    assert np.abs(outliers(DARK) - plain(by_hand(DARK, 40.0, 75.0))).max() < 1e-3
    bright = 255 - DARK
    assert np.abs(outliers(bright) - plain(by_hand(bright, 40.0, 185.0))).max() < 1e-3


@pytest.mark.parametrize("which", ["all", "outliers"])
@pytest.mark.parametrize("batch_size", [31, 40])
def test_graphs_standardize_as_layer_by_layer(which, batch_size):
    """Also in batches of as many faces as a side has pixels, where TensorFlow confuses the two."""
    model = build_network(dataclasses.replace(TINY, standardize=which))
    levels = keras.Model(model.input, model.get_layer("replicate").output)
    faces = np.concatenate([0.1 * LEVELS, LEVELS, 255 - 0.1 * LEVELS, LEVELS]).astype(np.float32)
    result = levels.predict(faces, batch_size=batch_size, verbose=0)
    assert np.abs(result - np.asarray(levels(faces, training=False))).max() < 1e-3


@pytest.mark.fer2013
def test_standards_are_those_of_training(real):
    pixels = real.pixels[real.usage == 0].astype(np.float32)
    means, deviations = pixels.mean((1, 2)), pixels.std((1, 2))
    assert means.mean() == pytest.approx(TRAINING_MEAN, abs=0.05)
    assert deviations.mean() == pytest.approx(TRAINING_DEVIATION, abs=0.05)
    low, high = MEAN_RANGE
    assert ((means > low) & (means < high)).mean() == pytest.approx(9 / 10, abs=0.01)
    assert (deviations >= MIN_DEVIATION).mean() == pytest.approx(5 / 6, abs=0.02)
