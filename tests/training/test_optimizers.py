"""Decay is decoupled and skips biases and normalisation; schedules reach the rates they promise."""

import dataclasses

import keras
import numpy as np
import pytest

from insideout_tf.config import Stage
from insideout_tf.training import optimizers

STAGE = Stage("a", epochs=10, learning_rate=0.1, weight_decay=0.5)


def variables():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    )
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape, "float32"))
    return model.trainable_variables


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_is_decoupled_and_skips_biases_and_normalisation(name):
    own = variables()
    optimizer = optimizers.create(dataclasses.replace(STAGE, optimizer=name), 5, own, False)
    optimizer.apply([np.zeros(v.shape, "float32") for v in own], own)
    for variable in own:
        expected = 0.95 if len(variable.shape) == 2 else 1.0  # 1 - rate · decay
        assert np.allclose(np.asarray(variable), expected, atol=1e-6), variable.path


def rates(**changes):
    own = variables()
    stage = dataclasses.replace(STAGE, weight_decay=0.0, **changes)
    optimizer = optimizers.create(stage, 20, own, False)
    found = []
    for _ in range(200):
        found.append(optimizers.learning_rate(optimizer))
        optimizer.apply([np.zeros(v.shape, "float32") for v in own], own)
    return np.array(found)


@pytest.mark.slow
def test_cosine_with_warmup():
    found = rates(schedule="cosine", warmup_epochs=2.0, final_fraction=0.1)
    assert found[0] == 0 and found.argmax() == 40 and found.max() == pytest.approx(0.1)
    assert np.allclose(np.diff(found[:40]), 0.1 / 40, atol=1e-6)
    assert (np.diff(found[40:]) <= 0).all() and found[-1] == pytest.approx(0.01, rel=0.01)
    middle = 0.1 * (0.1 + 0.9 * 0.5)
    assert found[120] == pytest.approx(middle, rel=1e-3)


@pytest.mark.slow
def test_constant_with_and_without_warmup():
    assert np.allclose(rates(), 0.1)
    found = rates(warmup_epochs=1.0)
    assert found[0] < 1e-3 and np.allclose(found[20:], 0.1)


@pytest.mark.parametrize("scale_loss", [False, True])
def test_plateau_lowers_the_rate_also_under_loss_scaling(scale_loss):
    optimizer = optimizers.create(
        dataclasses.replace(STAGE, schedule="plateau"), 5, variables(), scale_loss
    )
    optimizers.reduce_learning_rate(optimizer, 0.5)
    assert optimizers.learning_rate(optimizer) == pytest.approx(0.05)


def test_clip_norm_is_global():
    own = variables()
    stage = Stage("a", epochs=1, learning_rate=1.0, optimizer="sgd", momentum=0.0, clip_norm=1.0)
    optimizer = optimizers.create(stage, 5, own, False)
    before = [np.asarray(v).copy() for v in own]
    optimizer.apply([np.full(v.shape, 10.0, "float32") for v in own], own)
    moved = np.concatenate([(b - np.asarray(v)).ravel() for b, v in zip(before, own)])
    assert np.linalg.norm(moved) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("joined", [1, 10, 1 << 20])
def test_joined_update_equals_keras_own(name, joined, monkeypatch):
    """Joining variables into vectors changes how the update is computed, not what it computes."""
    monkeypatch.setattr(optimizers, "JOINED_NUMBERS", joined)
    random = np.random.default_rng(0)
    own, plain = variables(), variables()
    stage = dataclasses.replace(
        STAGE, optimizer=name, weight_decay=0.0 if name == "adam" else 0.5, clip_norm=1.0
    )
    mine = optimizers.create(stage, 5, own, False)
    kinds = {"adamw": keras.optimizers.AdamW, "adam": keras.optimizers.Adam}
    settings = {"weight_decay": 0.5} if name != "adam" else {}
    if name == "sgd":
        settings |= {"momentum": 0.9, "nesterov": True}
    theirs = kinds.get(name, keras.optimizers.SGD)(0.1, global_clipnorm=1.0, **settings)
    theirs.exclude_from_weight_decay(var_list=[v for v in plain if len(v.shape) < 2])
    theirs.build(plain)
    for _ in range(5):
        gradients = [random.normal(size=v.shape).astype("float32") for v in own]
        mine.apply(gradients, own)
        theirs.apply(gradients, plain)
    for a, b in zip(own, plain):
        assert np.allclose(np.asarray(a), np.asarray(b), atol=1e-6), a.path
