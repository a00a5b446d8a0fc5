"""Arrays → training batches: uint8 faces, soft labels, explicit weights, an order that can resume."""

import os

import keras
import numpy as np

from insideout_tf import config
from insideout_tf.data import ferplus, keras_cv
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.keras_cv import apply_as_rgb
from insideout_tf.errors import UserError


def class_weights(labels, rule):
    """Returns float32 `[7]` weights of the classes by `rule`, scaled so that faces average 1.

    "balanced": n/(7·n_c). "clipped(min,max)": the same, clipped. "none": ones.
    """
    name, arguments = config.class_weight_rule(rule)
    counts = np.bincount(labels, minlength=len(EMOTIONS)).astype(np.float64)
    if name == "none":
        return np.ones(len(EMOTIONS), np.float32)
    safe = np.maximum(counts, 1)
    weights = counts.sum() / (len(EMOTIONS) * safe)
    if name == "clipped":
        weights = np.clip(weights, *arguments)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def soft_labels(labels, smoothing):
    """Returns float32 `[n, 7]`: one-hot, mixed with the uniform distribution by `smoothing`."""
    one_hot = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    return one_hot * np.float32(1 - smoothing) + np.float32(smoothing / len(EMOTIONS))


def training_arrays(faces, rows, experiment, unlabelled=()):
    """Returns the training set as the dict of arrays that batches are taken from.

    unlabelled: rows that come after the others, with even labels of weight 0. The others are then
    repeated until they are about a third, since a step needs some labels, and weigh so much more
    that all average 1.
    """
    labels = faces.labels[rows]
    soft = soft_labels(labels, experiment.label_smoothing)
    if experiment.soft_label_weight:
        voted = ferplus.voted_labels(faces, rows, experiment)
        soft += np.float32(experiment.soft_label_weight) * (voted - soft)
    weights = class_weights(labels, experiment.class_weight)[labels]
    if count := len(unlabelled):
        repeats = max(1, round(count / (2 * len(rows))))
        rows, soft, weights = (np.repeat(each, repeats, axis=0) for each in (rows, soft, weights))
        even = np.full((count, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
        soft = np.concatenate([soft, even])
        scale = np.float32((len(rows) + count) / len(rows))
        weights = np.concatenate([weights * scale, np.zeros(count, np.float32)])
        rows = np.concatenate([rows, unlabelled])
    return {"image": faces.pixels[rows], "label": soft, "weight": weights}


def steps_per_epoch(count, batch_size):
    """Whole batches in an epoch; what is left over differs each epoch, as the order does."""
    if count < batch_size:
        raise UserError(
            f"batch_size: expected at most the {count} training faces. Change it with "
            f"--set batch_size={max(1, count // 4)}. Received: {batch_size}"
        )
    return count // batch_size


def epoch_order(count, seed, stage, epoch):
    """Returns the permutation (int32 `[count]`) of one epoch, from its place in the run alone."""
    return np.random.default_rng([seed, stage, epoch]).permutation(count).astype(np.int32)


def epoch_batches(arrays, experiment, stage, epoch, resident=False, steps=None, together=1):
    """Returns one epoch of batches for `fit`: a tf.data.Dataset, or a PyDataset without TensorFlow.

    Each batch is a dict of `image`, `label` and `weight`, or of `index` alone when `resident`.
    The same seed, stage and epoch give the same batches on every backend. together: steps that one
    call runs (JAX, `resident`); above 1 an item is `index` `[together, b]`, of which the first
    `count` (`[1]`) rows are steps.
    """
    count, size = len(arrays["image"]), experiment.batch_size
    steps = min(steps or count, steps_per_epoch(count, size))
    order = epoch_order(count, experiment.seed, stage, epoch)[: steps * size].reshape(steps, size)
    if resident:
        arrays = {"index": np.arange(count, dtype=np.int32)}
    if keras.backend.backend() != "tensorflow":
        if experiment.augmentation.keras_cv:
            raise UserError(
                "augmentation.keras_cv: expected the TensorFlow backend, whose tf.data "
                "path runs KerasCV layers. Empty the field, or unset KERAS_BACKEND. "
                f"Received: backend {keras.backend.backend()!r}"
            )
        if together > 1:
            return _ArrayBatches(*_grouped(order, together))
        return _ArrayBatches(arrays, order)
    import tensorflow as tf

    spec = {
        name: tf.TensorSpec((size, *array.shape[1:]), array.dtype) for name, array in arrays.items()
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: ({name: array[rows] for name, array in arrays.items()} for rows in order),
        output_signature=spec,
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    for name in experiment.augmentation.keras_cv:
        layer = keras_cv.keras_cv_layer(name)
        dataset = dataset.map(
            lambda batch, layer=layer: {**batch, "image": apply_as_rgb(layer, batch["image"])},
            num_parallel_calls=os.cpu_count(),
        )
    return _untuned(dataset.prefetch(2))


def in_order(array, batch_size):
    """Returns whole batches of an array in its order, for `predict`: a tf.data.Dataset."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(array)
    return _untuned(dataset.batch(batch_size, drop_remainder=True).prefetch(2))


def _untuned(dataset):
    """Returns a tf.data.Dataset that does not tune itself.

    The thread that tunes sleeps, longer each time and for up to a minute, and on busy cores TensorFlow 2.21
    waits for it to wake when the iterator goes, at the end of each epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _grouped(order, together):
    """Returns the rows of `order` in groups, the last one padded: arrays, and one row an item."""
    groups = -(-len(order) // together)
    index = np.zeros((groups * together, order.shape[1]), np.int32)
    index[: len(order)] = order
    starts = np.arange(groups) * together
    arrays = {
        "index": index.reshape(groups, together, -1),
        "count": np.minimum(together, len(order) - starts).astype(np.int32)[:, None],
    }
    return arrays, np.arange(groups)


class _ArrayBatches(keras.utils.PyDataset):
    """Batches of arrays by rows of `order`, without TensorFlow."""

    def __init__(self, arrays, order):
        super().__init__()
        self._arrays, self._order = arrays, order

    def __len__(self):
        return len(self._order)

    def __getitem__(self, index):
        if not 0 <= index < len(self._order):
            raise IndexError(index)
        return {name: array[self._order[index]] for name, array in self._arrays.items()}
