"""Faces → probabilities by a Keras model, in whole batches."""

import keras
import numpy as np

from insideout_tf.data import batches, images

VALUES_PER_CALL = 4096 * 48 * 48  # float32 of all faces at once would need four times their memory


def predict_probabilities(model, pixels, batch_size=256):
    """Returns the class probabilities of faces.

    The last batch is padded with black faces, so that every batch has the same shape and nothing is
    compiled twice.

    Args:
        model: an inference model (see `network.build.build_network`).
        pixels: uint8 `[n, side, side]` or `[n, side, side, 3]`, 0..255; n may be any number but 0.
        batch_size: faces that the model sees at once.

    Returns:
        float32 `[n, k]`, in the order of the model's classes.

    Raises:
        UserError: `pixels` has another shape.
    """
    count = len(pixels)
    batch_size = min(batch_size, max(count, 1))
    per_call = max(1, VALUES_PER_CALL // max(1, pixels[:1].size) // batch_size) * batch_size
    parts = []
    for start in range(0, count, per_call):
        faces = np.asarray(pixels[start : start + per_call])
        padding = np.zeros((-len(faces) % batch_size, *faces.shape[1:]), faces.dtype)
        block = images.to_model_input(np.concatenate([faces, padding]))
        if keras.backend.backend() == "tensorflow":
            parts.append(model.predict(batches.in_order(block, batch_size), verbose=0))
        else:
            parts.append(model.predict(block, batch_size=batch_size, verbose=0))
    return np.concatenate(parts)[:count].astype(np.float32)
