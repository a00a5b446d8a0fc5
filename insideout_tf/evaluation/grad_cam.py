"""Grad-CAM: which regions of a face support a class (Selvaraju et al. 2017, arXiv 1610.02391)."""

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import UserError

SHOWN_LAYERS = 8  # names of usable layers in an error


def heatmaps(model, pixels, labels=None, layer=None, smooth=0, noise=12.0, seed=0):
    """Returns heat maps of the regions that support a class.

    A map is the sum of a layer's feature maps, each weighted by the mean gradient of the class's
    logit (section 3, equations 1 and 2). Negative values become 0, the map is resized to the face,
    and is divided by its largest value. It is 0 everywhere if nothing supports the class.

    Args:
        model: a Keras model with the input of `network.build.build_network`, its graph flat.
        pixels: uint8 `[n, side, side]` or `[n, side, side, 3]`, 0..255, as the model's contract.
        labels: class indices `[n]`; by default each face's most probable class.
        layer: the name of one of `layers_of(model)`; by default the last with more than one spatial
            position.
        smooth: number of copies with noise that are averaged, as Smilkov et al. 2017 (arXiv
            1706.03825) do for gradients; 0: the face itself, without noise.
        noise: standard deviation of that noise, in grey levels.
        seed: of that noise.

    Returns:
        A tuple of the maps, float32 `[n, side, side]` in 0..1; the class indices, int64 `[n]`; and
        the probabilities, float32 `[n, k]`.

    Raises:
        UserError: `pixels` has another shape, the layer cannot be used, or the backend is neither
            TensorFlow nor JAX.
    """
    import keras

    before, after = _split_model(model, layer)
    faces = images.to_model_input(pixels)
    probabilities = np.asarray(model(faces, training=False), np.float32)
    labels = probabilities.argmax(1) if labels is None else np.asarray(labels, np.int64)
    one_hot = np.eye(probabilities.shape[1], dtype=np.float32)[labels]
    random = np.random.default_rng(seed)
    side = faces.shape[1]
    total = np.zeros(faces.shape[:3], np.float32)
    for _ in range(max(1, smooth)):
        view = faces
        if smooth:
            view = np.clip(faces + noise * random.standard_normal(faces.shape), 0, 255)
        features = before(view.astype(np.float32), training=False)
        gradient = np.asarray(_gradient(keras.backend.backend(), after, features, one_hot))
        weighted = (np.asarray(features) * gradient.mean((1, 2), keepdims=True)).sum(3)
        total += np.stack([_enlarge(each, side) for each in np.maximum(weighted, 0)])
    peaks = total.max((1, 2), keepdims=True)
    return total / np.where(peaks > 0, peaks, 1), labels, probabilities


def layers_of(model):
    """Returns the names of the layers that `heatmaps` can use, from input to output."""
    return [
        layer.name for layer in model.layers if _is_spatial(layer) and _cut_at(model, layer.name)
    ]


def _is_spatial(layer):
    """Returns True if a layer's output has more than one spatial position."""
    shape = tuple(getattr(layer.output, "shape", ()))
    return len(shape) == 4 and shape[1] is not None and shape[1] > 1 and shape[2] > 1


def _cut_at(model, name):
    """Returns (model up to a layer, model from there to the logits).

    Returns None if a path from the input to the logits does not pass through the layer.
    """
    import keras

    middle = model.get_layer(name).output
    names = {layer.name for layer in model.layers}
    end = model.get_layer("logits").output if "logits" in names else model.output
    try:
        return keras.Model(model.input, middle), keras.Model(middle, end)
    except ValueError:
        return None


def _split_model(model, name):
    """Returns the two parts of `_cut_at`; a layer that cannot be used raises `UserError`."""
    if name is None:
        spatial = [layer.name for layer in model.layers if _is_spatial(layer)]
        name = spatial[-1] if spatial else None
    known = {layer.name: layer for layer in model.layers}
    parts = _cut_at(model, name) if name in known and _is_spatial(known[name]) else None
    if parts is None:
        usable = ", ".join(layers_of(model)[-SHOWN_LAYERS:])
        advice = f"Choose another, such as {usable}" if usable else "Choose another model"
        raise UserError(
            "layer: expected one that every path from input to logits goes through, with more than "
            f"one spatial position. {advice}. Received: {name!r}"
        )
    return parts


def _gradient(backend, after, features, one_hot):
    """Returns the gradient `[n, h, w, c]` of the chosen logits with respect to the features."""
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(features)
            score = tf.reduce_sum(after(features, training=False) * one_hot)
        return tape.gradient(score, features)
    if backend == "jax":
        import jax

        state = (
            [variable.value for variable in after.trainable_variables],
            [variable.value for variable in after.non_trainable_variables],
        )

        def score(features):
            logits, _ = after.stateless_call(*state, features, training=False)
            return (logits * one_hot).sum()

        return jax.grad(score)(features)
    raise UserError(
        "Grad-CAM: expected a backend that computes gradients: tensorflow or jax. Set KERAS_BACKEND "
        f"to one of them. Received: {backend!r}"
    )


def _enlarge(values, side):
    """Returns a map `[h, w]` at the size of a face, float32 `[side, side]`, by bilinear interpolation."""
    from PIL import Image

    size = (side, side)
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    )
