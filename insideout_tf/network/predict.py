"""Faces → probabilities by a Keras model, in whole batches."""

import keras
import numpy as np

from insideout_tf.data import batches, images


def predict_probabilities(model, pixels, batch_size=256):
    """Returns float32 `[n, 7]` for uint8 `[n, 48, 48]`; the last batch is padded, nothing retraces."""
    count = len(pixels)
    batch_size = min(batch_size, max(count, 1))
    padding = -count % batch_size
    pixels = np.concatenate([pixels, np.zeros((padding, *pixels.shape[1:]), pixels.dtype)])
    together = max(1, 4096 // batch_size) * batch_size  # float32 of all faces at once is large
    parts = []
    for start in range(0, len(pixels), together):
        block = images.to_model_input(pixels[start : start + together])
        if keras.backend.backend() == "tensorflow":
            parts.append(model.predict(batches.in_order(block, batch_size), verbose=0))
        else:
            parts.append(model.predict(block, batch_size=batch_size, verbose=0))
    return np.concatenate(parts)[:count].astype(np.float32)
