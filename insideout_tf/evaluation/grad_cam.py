"""Grad-CAM: which places of a face spoke for an emotion (Selvaraju et al. 2017, arXiv 1610.02391)."""

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError


def heatmaps(model, pixels, labels=None, layer=None, smooth=0, noise=12.0, seed=0):
    """Returns (float32 `[n, 48, 48]` in 0..1, the labels explained, probabilities `[n, 7]`).

    The maps of a layer, weighted by the mean gradient of the class's logit (section 3, equations 1
    and 2), positive parts only, resized to the face and divided by their largest value; all zero
    where nothing spoke for the class. model: a Keras model of this package's input, its graph flat.
    pixels: uint8 `[n, 48, 48]`. labels: class indices `[n]`, by default the likeliest. layer: a name;
    by default the last one with a spatial extent. smooth: average over so many copies with normal
    noise of `noise` grey levels added (as Smilkov et al. 2017, arXiv 1706.03825, do for gradients).
    Raises `UserError`.
    """
    import keras

    before, after = _split(model, layer)
    given = images.to_model_input(pixels)
    probabilities = np.asarray(model(given, training=False), np.float32)
    labels = probabilities.argmax(1) if labels is None else np.asarray(labels, np.int64)
    chosen = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    random = np.random.default_rng(seed)
    total = np.zeros(pixels.shape, np.float32)
    for _ in range(max(1, smooth)):
        noisy = given
        if smooth:
            noisy = np.clip(given + noise * random.standard_normal(given.shape), 0, 255)
        features = before(noisy.astype(np.float32), training=False)
        gradient = np.asarray(_gradient(keras.backend.backend(), after, features, chosen))
        weighted = (np.asarray(features) * gradient.mean((1, 2), keepdims=True)).sum(3)
        total += np.stack([_enlarge(each) for each in np.maximum(weighted, 0)])
    peaks = total.max((1, 2), keepdims=True)
    return total / np.where(peaks > 0, peaks, 1), labels, probabilities


def layers_of(model):
    """Returns the names of the layers that `heatmaps` can look at, from the input on."""
    return [layer.name for layer in model.layers if _is_spatial(layer) and _cut(model, layer.name)]


def _is_spatial(layer):
    shape = tuple(getattr(layer.output, "shape", ()))
    return len(shape) == 4 and shape[1] is not None and shape[1] > 1 and shape[2] > 1


def _cut(model, name):
    """Returns (model up to a layer, model from there to the logits), or None if a path goes around it."""
    import keras

    middle = model.get_layer(name).output
    names = {layer.name for layer in model.layers}
    end = model.get_layer("logits").output if "logits" in names else model.output
    try:
        return keras.Model(model.input, middle), keras.Model(middle, end)
    except ValueError:
        return None


def _split(model, name):
    if name is None:
        spatial = [layer.name for layer in model.layers if _is_spatial(layer)]
        name = spatial[-1] if spatial else None
    known = {layer.name: layer for layer in model.layers}
    parts = _cut(model, name) if name in known and _is_spatial(known[name]) else None
    if parts is None:
        usable = layers_of(model)
        shown = ", ".join(usable[-8:]) or "none of this model"
        raise UserError(
            f"layer: expected one that every path goes through and that has a spatial extent, such "
            f"as {shown}. Received: {name!r}"
        )
    return parts


def _gradient(backend, after, features, chosen):
    """Returns the gradient of the chosen logits with respect to the features."""
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(features)
            score = tf.reduce_sum(after(features, training=False) * chosen)
        return tape.gradient(score, features)
    if backend == "jax":
        import jax

        state = (
            [variable.value for variable in after.trainable_variables],
            [variable.value for variable in after.non_trainable_variables],
        )

        def score(features):
            logits, _ = after.stateless_call(*state, features, training=False)
            return (logits * chosen).sum()

        return jax.grad(score)(features)
    raise UserError(
        "expected the TensorFlow or the JAX backend, for gradients. Set KERAS_BACKEND. Received: "
        f"{backend!r}"
    )


def _enlarge(values):
    from PIL import Image

    size = (images.FACE_SIDE, images.FACE_SIDE)
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    )
