"""The losses are those of their papers, their gradients finite, and a recipe reaches them."""

import dataclasses

import numpy as np
import pytest

from insideout_tf import config
from insideout_tf.config import Experiment, Stage
from insideout_tf.errors import UserError

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (50, 7)).astype(np.float32)
HARD = np.eye(7, dtype=np.float32)[RANDOM.integers(0, 7, 50)]
SOFT = RANDOM.dirichlet(np.ones(7), 50).astype(np.float32)
EXPERIMENT = Experiment(name="x", stages=(Stage("all", epochs=1, learning_rate=0.1),))


def loss(rule, labels):
    from insideout_tf import losses

    return np.asarray(losses.create(rule)(labels, LOGITS))


def probabilities():
    powers = np.exp(LOGITS.astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


def test_cross_entropy_of_soft_labels():
    assert np.allclose(loss("cross_entropy", SOFT), -(SOFT * np.log(probabilities())).sum(1), 1e-4)


def test_symmetric_adds_the_reverse_with_a_floor():
    """For a hard label the reverse is 4·(1 - p), four times half the mean absolute error."""
    p = probabilities()
    expected = 0.1 * loss("cross_entropy", HARD) + 2 * 4 * (1 - p[HARD == 1])
    assert np.allclose(loss("symmetric(0.1, 2)", HARD), expected, 1e-4)
    reverse = -(p * np.log(np.maximum(SOFT, np.exp(-4)))).sum(1)
    assert np.allclose(loss("symmetric(0,1)", SOFT), reverse, 1e-4)


def test_generalised_lies_between_cross_entropy_and_absolute_error():
    p = probabilities()[HARD == 1]
    assert np.allclose(loss("generalised(1)", HARD), 1 - p, atol=1e-6)
    assert np.allclose(loss("generalised(0.7)", HARD), (1 - p**0.7) / 0.7, 1e-4)
    assert np.allclose(loss("generalised(0.001)", HARD), loss("cross_entropy", HARD), rtol=1e-2)


@pytest.mark.parametrize("rule", ["cross_entropy", "symmetric(0.1,1)", "generalised(0.7)"])
def test_gradients_are_finite_where_the_network_is_sure_and_wrong(rule):
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's gradients")
    import tensorflow as tf

    from insideout_tf import losses

    logits = tf.constant([[200.0, 0, 0, 0, 0, 0, -200.0]])
    labels = tf.constant([[0.0, 0, 0, 0, 0, 0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        each = losses.create(rule)(labels, logits)
    assert np.isfinite(each).all() and np.isfinite(tape.gradient(each, logits)).all()


@pytest.mark.parametrize(
    "text,expected",
    [
        ("focal", "expected 'cross_entropy', 'symmetric(alpha,beta)' or 'generalised(q)'"),
        ("symmetric(1)", "expected 'cross_entropy', 'symmetric(alpha,beta)'"),
        ("symmetric(-1,1)", "of numbers from 0, not both 0"),
        ("generalised(0)", "generalised(q) with 0 < q <= 1"),
        ("generalised(x)", "'generalised(q)'"),
    ],
)
def test_wrong_losses_are_explained(text, expected):
    with pytest.raises(UserError) as caught:
        config.override(EXPERIMENT, [f"loss={text}"])
    assert expected in str(caught.value) and repr(text) in str(caught.value)


def test_the_step_minimises_what_the_recipe_says():
    from insideout_tf import classifier

    experiment = dataclasses.replace(
        EXPERIMENT, backbone="tiny", weights="none", image_size=48, loss="generalised(0.7)"
    )
    model = classifier.create_training(experiment, 48, "float32")
    step = classifier.TrainingModel(model, experiment, experiment.stages[0], 0)
    weights = RANDOM.uniform(0.5, 2, 50).astype(np.float32)
    found = step.compute_loss(y_pred={"label": HARD, "logits": LOGITS, "weight": weights})
    assert float(found) == pytest.approx((weights * loss("generalised(0.7)", HARD)).mean(), 1e-5)
