"""Grad-CAM points at the region that decides the class, and at none where weights are random."""

import functools

import keras
import numpy as np
import pytest
from conftest import run_python, run_verb
from PIL import Image

from insideout_tf import explain
from insideout_tf.config import Experiment, Stage
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.evaluation import grad_cam
from insideout_tf.network.build import build_network

pytestmark = pytest.mark.slow

call = functools.partial(run_verb, explain.main)
MOUTH = np.zeros((48, 48), bool)
MOUTH[28:46, 10:38] = True  # the painted mouth and what a coarse map smears it over


def faces_with_mouths(count, seed):
    """Drawn neutral faces whose mouths alone tell the class: three bars, dark or light, by its bits."""
    random = np.random.default_rng(seed)
    pixels, labels, _ = drawn.draw_all(700, 7, 7)
    pixels = pixels[: len(labels)][labels[: len(pixels)] == 6]
    pixels = pixels[random.integers(0, len(pixels), count)].copy()
    labels = random.integers(0, 7, count)
    for bit in range(3):
        columns = slice(15 + 6 * bit, 21 + 6 * bit)
        tone = np.where((labels >> bit) & 1, 30, 225).astype(np.uint8)
        pixels[:, 34:40, columns] = tone[:, None, None]
    return pixels, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny network that knows the mouths."""
    keras.utils.set_random_seed(0)
    model = build_network(
        Experiment(
            name="mouths",
            backbone="tiny",
            weights="none",
            image_size=48,
            stages=(Stage("all", epochs=1, learning_rate=1e-3),),
        )
    )
    pixels, labels = faces_with_mouths(1400, 0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = 5e-3
    model.fit(pixels[..., None].astype("float32"), labels, epochs=12, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("mouths") / "mouths.keras"
    model.save(path)
    return model, path


def share_at_the_mouth(maps):
    return maps[:, MOUTH].sum() / maps.sum()


@pytest.mark.parametrize("smooth", [0, 8])
def test_maps_point_at_the_mouth(trained, smooth):
    model, _ = trained
    pixels, labels = faces_with_mouths(140, 1)
    maps, explained, probabilities = grad_cam.heatmaps(model, pixels, smooth=smooth)
    assert (probabilities.argmax(1) == labels).mean() > 0.95
    assert np.array_equal(explained, probabilities.argmax(1))
    assert maps.shape == (140, 48, 48) and maps.dtype == np.float32
    assert maps.min() >= 0 and np.isclose(maps.max((1, 2)), 1).mean() > 0.9
    at_random = keras.models.clone_model(model)  # the same network, weights drawn anew
    others = grad_cam.heatmaps(at_random, pixels, smooth=smooth)[0]
    area = MOUTH.mean()
    assert share_at_the_mouth(maps) > 2 * area
    assert share_at_the_mouth(others) < 1.4 * area
    peaks = maps.reshape(140, -1).argmax(1)
    assert MOUTH.ravel()[peaks].mean() > 0.8


def test_equal_gradients_by_hand(trained):
    """With a linear head the map is that of the class's weights (section 3: CAM is a special case)."""
    model, _ = trained
    pixels, _ = faces_with_mouths(5, 2)
    names = [layer.name for layer in model.layers if len(layer.output.shape) == 4]
    features = keras.Model(model.input, model.get_layer(names[-1]).output)(
        pixels[..., None].astype("float32"), training=False
    )
    weights = np.asarray(model.get_layer("logits").kernel)
    for label in (0, 4):
        by_hand = np.maximum((np.asarray(features) * weights[:, label]).sum(3), 0)
        large = np.stack([grad_cam._enlarge(each, 48) for each in by_hand])
        large /= np.maximum(large.max((1, 2), keepdims=True), 1e-12)
        maps = grad_cam.heatmaps(model, pixels, [label] * 5)[0]
        assert np.abs(maps - large).max() < 1e-4


def test_other_layers(trained):
    model, _ = trained
    pixels, _ = faces_with_mouths(3, 3)
    usable = grad_cam.layers_of(model)
    assert len(usable) > 3
    assert grad_cam.heatmaps(model, pixels, layer=usable[1])[0].shape == (3, 48, 48)
    for name in ("logits", "no_such_layer"):
        with pytest.raises(UserError) as refusal:
            grad_cam.heatmaps(model, pixels, layer=name)
        assert str(refusal.value) == (
            "layer: expected one that every path from input to logits goes through, with more than "
            f"one spatial position. Choose another, such as {', '.join(usable[-8:])}. "
            f"Received: {name!r}"
        )


def test_a_branch_is_no_layer_to_explain():
    inputs = keras.Input((48, 48, 1))
    branch = keras.layers.Conv2D(4, 3, padding="same", name="branch")(inputs)
    joined = keras.layers.Concatenate(name="joined")([inputs, branch])
    flat = keras.layers.Flatten(name="flat")(joined)
    model = keras.Model(inputs, keras.layers.Dense(7, name="logits")(flat))
    assert "branch" not in grad_cam.layers_of(model) and "joined" in grad_cam.layers_of(model)
    with pytest.raises(UserError, match="such as .*joined.* Received: 'branch'"):
        grad_cam.heatmaps(model, np.zeros((1, 48, 48), np.uint8), layer="branch")
    maps, _, _ = grad_cam.heatmaps(model, np.zeros((1, 48, 48), np.uint8), layer="joined")
    assert maps.max() == 0  # a black face has no features that support a class


def test_another_backend_is_refused():
    with pytest.raises(UserError) as refusal:
        grad_cam._gradient("torch", None, None, None)
    assert str(refusal.value) == (
        "Grad-CAM: expected a backend that computes gradients: tensorflow or jax. Set KERAS_BACKEND "
        "to one of them. Received: 'torch'"
    )


def test_jax_agrees(trained, tmp_path):
    model, path = trained
    pixels, _ = faces_with_mouths(20, 4)
    np.save(tmp_path / "faces.npy", pixels)
    code = """
import sys, keras, numpy as np
from insideout_tf.evaluation import grad_cam
from insideout_tf.network.weights import load_model
maps = grad_cam.heatmaps(load_model(sys.argv[1]), np.load(sys.argv[2]), smooth=2)[0]
np.save(sys.argv[3], maps)
assert keras.backend.backend() == "jax"
"""
    arguments = (path, tmp_path / "faces.npy", tmp_path / "maps.npy")
    run_python(code, *arguments, env={"KERAS_BACKEND": "jax"})
    ours = grad_cam.heatmaps(model, pixels, smooth=2)[0]
    assert np.abs(np.load(tmp_path / "maps.npy") - ours).max() < 1e-3


def test_verb(trained, tmp_path, capsys):
    _, path = trained
    pixels, labels = faces_with_mouths(1, 5)
    Image.fromarray(pixels[0]).save(tmp_path / "a face.png")
    out = tmp_path / "heat.png"
    status, text, error = call(capsys, path, tmp_path / "a face.png", "--out", out)
    assert status == 0 and error == "" and "a face.png: face 1: " in text
    assert Image.open(out).size[0] > 600
    again = (path, tmp_path / "a face.png", "--out", out, "--overwrite")
    status, text, _ = call(capsys, *again, "--emotion", "joy", "--smooth", "2")
    assert status == 0 and "a face.png: face 1: happy" in text


def test_refusals(trained, tmp_path, capsys):
    _, path = trained
    Image.new("L", (300, 200), 90).save(tmp_path / "wall.png")
    Image.new("L", (48, 48), 90).save(tmp_path / "face.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    out = tmp_path / "o.png"
    for words, message in (
        ((path, tmp_path / "wall.png"), "expected a face. Cut it out"),
        ((path, tmp_path / "broken.png"), "expected a readable PNG"),
        ((path, tmp_path / "none.png"), "No such file"),
        ((tmp_path / "wall.png", tmp_path / "face.png"), "expected a saved Keras model"),
        ((path, tmp_path / "face.png", "--emotion", "bored"), "unknown class 'bored'"),
        ((path, tmp_path / "face.png", "--smooth", "-1"), "--smooth: expected 0 to 1000"),
        ((path, tmp_path / "face.png", "--layer", "x"), "layer: expected one that every path"),
    ):
        status, _, error = call(capsys, *words, "--out", out)
        assert status == 2 and message in error and error.count("\n") == 1
    assert not out.exists()
