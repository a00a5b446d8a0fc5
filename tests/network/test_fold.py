"""Branches of a trained network become one convolution, and the predictions stay."""

import dataclasses

import keras
import numpy as np
import pytest

from insideout_tf.api import export
from insideout_tf.config import Experiment, Stage
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.network import backbones, compact, fold
from insideout_tf.network.build import build_network
from insideout_tf.network.weights import save_model


def randomize_batch_norm(model):
    """Gives the BatchNorm layers random weights, as a trained network has."""
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
    randomize_batch_norm(model)
    before = [np.array(weight) for weight in model.get_weights()]
    plain = fold.fold_branches(model)
    kinds = [type(layer).__name__ for layer in plain.layers]
    assert kinds.count("Conv2D") == 5 and not {"Add", "BatchNormalization"} & set(kinds)
    faces = np.random.default_rng(1).uniform(0, 255, (4, side, side, 3)).astype("float32")
    one, other = (each.predict(faces, verbose=0) for each in (model, plain))
    assert one.std() > 0.1
    np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.fixture(scope="module")
def network():
    """A whole network with other classes than FER2013's, and faces that it takes."""
    stages = (Stage("train", epochs=1, learning_rate=0.1),)
    model = build_network(
        Experiment(
            name="x",
            backbone="BranchedNano",
            weights="none",
            image_size=48,
            standardize="outliers",
            stages=stages,
        ),
        contract=dataclasses.replace(FER2013, classes=("calm", "bored", "happy")),
    )
    randomize_batch_norm(model)
    faces = np.random.default_rng(1).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    return model, faces


def test_a_whole_network_is_folded_and_others_stay(network):
    model, faces = network
    plain = fold.fold_branches(model)
    assert plain.count_params() < model.count_params()
    assert {layer.name for layer in plain.layers} >= {"pooling", "logits", "block3_3_conv"}
    np.testing.assert_allclose(
        plain.predict(faces, verbose=0), model.predict(faces, verbose=0), atol=1e-5
    )
    pixels = keras.Input((48, 48, 3))
    foreign = keras.layers.Concatenate(name="merge_branches")([pixels, pixels])
    for other in (
        backbones.build("tiny", "none", keras.Input((48, 48, 3))),
        keras.Model(pixels, foreign),
    ):
        assert fold.fold_branches(other) is other


@pytest.mark.slow
def test_exported_files_are_folded_and_compared_with_what_was_trained(
    network, tmp_path, monkeypatch
):
    model, _ = network
    path = tmp_path / "branched.keras"
    save_model(model, path, ("calm", "bored", "happy"))
    record = export.export(path, tmp_path / "out", ("litert",))
    assert record["classes"] == ["calm", "bored", "happy"]
    assert record["formats"]["litert"]["furthest"] < 1e-4
    assert record["formats"]["litert"]["bytes"] < 4.2 * fold.fold_branches(model).count_params()
    to_kernel = fold._to_kernel
    monkeypatch.setattr(
        fold, "_to_kernel", lambda *given: [1.01 * each for each in to_kernel(*given)]
    )
    with pytest.raises(UserError, match="expected Keras' probabilities to 0.0001"):
        export.export(path, tmp_path / "wrong", ("litert",))
