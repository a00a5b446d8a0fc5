"""Branches of a trained network become one convolution, and the predictions stay."""

import keras
import numpy as np
import pytest

from insideout_tf.config import Experiment, Stage
from insideout_tf.network import backbones, compact, fold
from insideout_tf.network.build import build_network


def randomize(model):
    """Gives every weight a random value, and BatchNorm variances above 0."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.set_weights(
                [
                    random.uniform(0.5, 1.5, size),
                    *random.normal(0, 0.3, (2, size)),
                    random.uniform(0.5, 2, size),
                ]
            )


@pytest.mark.parametrize("side", [48, 47, 45])
def test_one_convolution_takes_the_place_of_the_branches(side):
    keras.utils.set_random_seed(0)
    pixels = keras.Input((side, side, 3))
    model = compact.build_branched(None, pixels, None, widths=(8, 12), depths=(2, 3))
    randomize(model)
    before = [np.array(weight) for weight in model.get_weights()]
    plain = fold.fold_branches(model)
    kinds = [type(layer).__name__ for layer in plain.layers]
    assert kinds.count("Conv2D") == 5 and not {"Add", "BatchNormalization"} & set(kinds)
    faces = np.random.default_rng(1).uniform(0, 255, (4, side, side, 3)).astype("float32")
    one, other = (each.predict(faces, verbose=0) for each in (model, plain))
    assert one.std() > 0.1
    np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_a_whole_network_is_folded_and_others_stay():
    stages = (Stage("train", epochs=1, learning_rate=0.1),)
    model = build_network(
        Experiment(name="x", backbone="BranchedNano", weights="none", image_size=48, stages=stages)
    )
    plain = fold.fold_branches(model)
    assert plain.count_params() < model.count_params()
    assert {layer.name for layer in plain.layers} >= {"pooling", "logits", "block3_3_conv"}
    faces = np.random.default_rng(1).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(
        plain.predict(faces, verbose=0), model.predict(faces, verbose=0), atol=1e-6
    )
    other = backbones.build("tiny", "none", keras.Input((48, 48, 3)))
    assert fold.fold_branches(other) is other
