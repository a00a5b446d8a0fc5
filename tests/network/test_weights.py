"""Saved models open safely or are refused in one line; weights reach the layers they belong to."""

import dataclasses

import keras
import numpy as np
import pytest

from insideout_tf.config import Experiment, Stage
from insideout_tf.errors import UserError
from insideout_tf.network.build import build_network
from insideout_tf.network.weights import copy_weights, load_model, save_model

TINY = Experiment(
    name="x",
    stages=(Stage("a", epochs=1, learning_rate=1e-2),),
    backbone="tiny",
    weights="none",
    image_size=40,
)


def build(seed, **changes):
    keras.utils.set_random_seed(seed)
    return build_network(dataclasses.replace(TINY, **changes))


def is_equal(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, path = build(0), tmp_path_factory.mktemp("saved") / "model.keras"
    save_model(model, path)
    return model, path


def test_a_saved_model_comes_back(saved):
    model, path = saved
    loaded = load_model(path)
    assert is_equal(model, loaded) and not loaded.compiled
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert [each.name for each in path.parent.iterdir()] == ["model.keras"]


def test_a_failed_save_leaves_the_old_file(saved, tmp_path):
    class Failing:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))

    path = tmp_path / "model.keras"
    path.write_bytes(saved[1].read_bytes())
    with pytest.raises(OSError, match="No space left"):
        save_model(Failing(), path)
    assert is_equal(load_model(path), saved[0])
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]


def test_damaged_models_are_refused(saved, tmp_path):
    whole = saved[1].read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for content, reason in (
        (b"no", "BadZipFile: File is not a zip file"),
        (whole[: len(whole) // 2], "BadZipFile: File is not a zip file"),
        (bytes(flipped), "BadZipFile: "),
    ):
        path = tmp_path / "damaged.keras"
        path.write_bytes(content)
        with pytest.raises(UserError) as refusal:
            load_model(path)
        assert str(refusal.value).startswith(
            f"{path}: expected a whole Keras model. Train or download it again. Received: {reason}"
        )


def test_a_model_that_expands_too_far_is_refused(saved, monkeypatch):
    monkeypatch.setattr("insideout_tf.network.weights.MAX_MODEL_BYTES", 1000)
    with pytest.raises(UserError, match=r"BadZipFile: [\d,]+ bytes, expanded; at most 1,000$"):
        load_model(saved[1])


def test_unsafe_layers_are_refused(tmp_path):
    path = tmp_path / "unsafe.keras"
    inputs = keras.Input((48, 48, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(path)
    with pytest.raises(UserError, match="expected a whole Keras model.*Lambda"):
        load_model(path)


def test_other_files_and_shapes_are_refused(tmp_path):
    for name, received in (("model.h5", "'.h5'"), ("model", "'no suffix'")):
        with pytest.raises(UserError) as refusal:
            load_model(tmp_path / name)
        assert str(refusal.value) == (
            f"{tmp_path / name}: expected a saved Keras model named *.keras. Received: {received}"
        )
    path = tmp_path / "other.keras"
    inputs = keras.Input((32, 40, 3))
    keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs))).save(path)
    with pytest.raises(UserError) as refusal:
        load_model(path)
    assert str(refusal.value) == (
        f"{path}: expected a model from square faces [n, side, side, 1 or 3] to [n, classes] "
        "probabilities, such as [n, 48, 48, 1] to [n, 7]. Received: [None, 32, 40, 3] to [None, 7]"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none.keras: expected a saved Keras model.*No such file"):
        load_model(tmp_path / "none.keras")


def test_weights_of_the_same_network_are_copied():
    model, start = build(1), build(2, image_size=48)
    assert not is_equal(model, start)
    assert copy_weights(model, start) and is_equal(model, start)


def test_weights_of_a_part_leave_the_rest_as_it_was():
    model = build(3, backbone="CompactFERNanoFine", image_size=48)
    start = build(4, backbone="CompactFERNano", image_size=48)
    added = [layer for layer in model.layers if layer.name.startswith("fine_") and layer.weights]
    before = [layer.get_weights() for layer in added]
    assert len(added) == 4 and copy_weights(model, start)
    names = {layer.name for layer in added}
    for layer in model.layers:
        if layer.name not in names:
            expected = start.get_layer(layer.name).get_weights() if layer.weights else []
            for one, other in zip(layer.get_weights(), expected, strict=True):
                assert np.array_equal(one, other)
    for layer, weights in zip(added, before):
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), weights))
    assert not copy_weights(start, model)  # the other way round, a layer has no place


def test_layers_that_keras_numbered_differently_are_matched_by_order():
    def numbered():
        inputs = keras.Input((5,))
        hidden = keras.layers.Dense(4)(inputs)
        return keras.Model(inputs, keras.layers.Dense(4)(hidden))

    keras.utils.set_random_seed(5)
    one, other = numbered(), numbered()
    assert [layer.name for layer in one.layers] != [layer.name for layer in other.layers]
    assert copy_weights(one, other) and is_equal(one, other)


def test_another_network_changes_nothing():
    model = build(6)
    before = model.get_weights()
    for start in (build(7, backbone="plain_cnn"), build(7, hidden_units=8)):
        assert copy_weights(model, start) is False
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
