"""Training arrays and their batches: uint8 faces, soft labels and explicit weights.

The order of an epoch follows from the seed, the stage and the epoch alone, so a run can resume.
"""

import keras
import numpy as np

from insideout_tf import config, processes
from insideout_tf.data import ferplus, keras_cv
from insideout_tf.errors import UserError


def class_weights(labels, rule, count):
    """Returns the weight of each class, float32 `[count]`. Over all faces the weights average 1.

    Args:
        labels: integers `[n]` in 0..count-1.
        rule: "none" for ones, "balanced" for n / (count · n_c) with n_c the faces of class c (the rule
            of scikit-learn's `compute_class_weight`), or "clipped(min,max)" for the same, clipped.
        count: the number of classes.

    Raises:
        UserError: another rule.
    """
    name, arguments = config.class_weight_rule(rule)
    counts = np.bincount(labels, minlength=count).astype(np.float64)
    if name == "none":
        return np.ones(count, np.float32)
    weights = counts.sum() / (count * np.maximum(counts, 1))
    if name == "clipped":
        weights = np.clip(weights, *arguments)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def soft_labels(labels, smoothing, count):
    """Returns smoothed labels, float32 `[n, count]` (Szegedy et al. 2016, section 7).

    labels: integers `[n]` in 0..count-1. smoothing: the share of the uniform distribution, 0..1.
    count: the number of classes.
    """
    one_hot = np.eye(count, dtype=np.float32)[labels]
    return one_hot * np.float32(1 - smoothing) + np.float32(smoothing / count)


def training_arrays(faces, rows, experiment, unlabelled=()):
    """Returns the training set: a dict with `image`, `label` and `weight`.

    `image` is uint8 as `Faces.pixels`, `label` float32 `[n, classes]` and `weight` float32 `[n]` with mean
    1.

    Args:
        faces: `Faces` with labels.
        rows: the rows that train with their label.
        experiment: its label smoothing, class weights and FER+ label distributions apply.
        unlabelled: rows that train without their label. They come last, with uniform labels of
            weight 0. The labelled rows then repeat until they are about a third of all.

    Raises:
        UserError: the FER+ file is missing, or not for these faces; or a KerasCV layer of the
            experiment does not exist.
    """
    keras_cv.check_layers(experiment.augmentation.keras_cv)
    labels, classes = faces.labels[rows], len(faces.classes)
    soft = soft_labels(labels, experiment.label_smoothing, classes)
    if experiment.soft_label_weight:
        distributions = ferplus.make_distributions(faces, rows, experiment)
        soft += np.float32(experiment.soft_label_weight) * (distributions - soft)
    weights = class_weights(labels, experiment.class_weight, classes)[labels]
    if count := len(unlabelled):
        repeats = max(1, round(count / (2 * len(rows))))
        rows, soft, weights = (np.repeat(each, repeats, axis=0) for each in (rows, soft, weights))
        uniform = np.full((count, classes), 1 / classes, np.float32)
        soft = np.concatenate([soft, uniform])
        scale = np.float32((len(rows) + count) / len(rows))
        weights = np.concatenate([weights * scale, np.zeros(count, np.float32)])
        rows = np.concatenate([rows, unlabelled])
    return {"image": faces.pixels[rows], "label": soft, "weight": weights}


def steps_per_epoch(count, batch_size):
    """Returns the whole batches in an epoch. The rest differs each epoch, since the order does.

    Raises `UserError` if there are fewer faces than `batch_size`.
    """
    if count < batch_size:
        raise UserError(
            f"batch_size: expected at most the {count} training faces. Change it with "
            f"--set batch_size={max(1, count // 4)}. Received: {batch_size}"
        )
    return count // batch_size


def epoch_order(count, seed, stage, epoch):
    """Returns the order of one epoch: a permutation, int32 `[count]`."""
    return np.random.default_rng([seed, stage, epoch]).permutation(count).astype(np.int32)


def epoch_batches(
    arrays, experiment, stage, epoch, resident=False, steps=None, together=1, part=None
):
    """Returns the batches of one epoch, or of one epoch after another, for `fit`.

    They are a tf.data.Dataset on TensorFlow and a PyDataset on other backends. Both give the same
    batches for the same seed, stage and epoch.

    Args:
        arrays: what `training_arrays` returns.
        experiment: its seed, batch size and KerasCV layers apply.
        stage: the number of the stage.
        epoch: the number of the epoch in the stage, or a function that returns it. The batches of a
            function are those of the epoch that it returns when they are iterated.
        resident: whether the arrays are in device memory. A batch is then a dict of `index`, int32
            `[b]`, and otherwise of `image`, `label` and `weight`.
        steps: the largest number of batches, or None for the whole epoch.
        together: training steps in one call. Above 1 (JAX, with `resident`), an item is `index`
            `[together, b]` and `count` `[1]`: the rows of `index` that are steps.
        part: a function of an order, int32 `[steps, b]`, to the columns of it that this process feeds;
            None: all.

    Raises:
        UserError: fewer faces than a batch, or KerasCV layers without TensorFlow.
    """
    count, size = len(arrays["image"]), experiment.batch_size
    steps = min(steps or count, steps_per_epoch(count, size))
    get_epoch = epoch if callable(epoch) else lambda: epoch

    def get_order():
        order = epoch_order(count, experiment.seed, stage, get_epoch())
        order = order[: steps * size].reshape(steps, size)
        return order if part is None else part(order)

    if resident:
        arrays = {"index": np.arange(count, dtype=np.int32)}
    layers = experiment.augmentation.keras_cv
    if keras.backend.backend() == "tensorflow":
        return _make_dataset(arrays, get_order, steps, size, layers)
    if layers:
        raise UserError(
            "augmentation.keras_cv: expected the TensorFlow backend, whose tf.data "
            "path runs KerasCV layers. Empty the field, or unset KERAS_BACKEND. "
            f"Received: backend {keras.backend.backend()!r}"
        )
    if together > 1:
        return GroupedIndices(get_order, steps, together)
    return ArrayBatches(arrays, get_order, steps)


def in_order(array, batch_size):
    """Returns the whole batches of an array in its order, for `predict`: a tf.data.Dataset."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(array)
    return _disable_autotune(dataset.batch(batch_size, drop_remainder=True).prefetch(2))


def _make_dataset(arrays, get_order, steps, size, layers):
    """Returns a tf.data.Dataset with one batch for each row of `get_order()`, int32 `[steps, size]`.

    layers: names of KerasCV layers, in the order in which they change the images.
    """
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec((size, *array.shape[1:]), array.dtype) for name, array in arrays.items()
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: (
            {name: np.asarray(array[rows]) for name, array in arrays.items()}
            for rows in get_order()
        ),
        output_signature=signature,
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    for name in layers:
        layer = keras_cv.make_layer(name)
        dataset = dataset.map(
            lambda batch, layer=layer: {
                **batch,
                "image": keras_cv.apply_as_rgb(layer, batch["image"]),
            },
            num_parallel_calls=processes.count_processors(),
        )
    return _disable_autotune(dataset.prefetch(2))


def _disable_autotune(dataset):
    """Returns a tf.data.Dataset without autotuning.

    The autotuner's thread sleeps for up to a minute. On busy cores TensorFlow 2.21 waits for it at
    the end of each epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


class ArrayBatches(keras.utils.PyDataset):
    """One batch for each row of `get_order()`, int32 `[steps, b]`, without TensorFlow."""

    def __init__(self, arrays, get_order, steps):
        super().__init__()
        self._arrays, self._get_order, self._steps = arrays, get_order, steps
        self._order: np.ndarray | None = None

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        if not 0 <= index < self._steps:
            raise IndexError(index)
        order = self._read_order(index)
        return {name: np.asarray(array[order[index]]) for name, array in self._arrays.items()}

    def _read_order(self, index):
        """Returns the order of the epoch, anew at its first item."""
        if index == 0 or self._order is None:
            self._order = self._get_order()
        return self._order


class GroupedIndices(ArrayBatches):
    """Indices of `together` training steps in each item, for a data set in device memory.

    An item is `index`, int32 `[together, b]`, and `count`, int32 `[1]`, the rows that are steps. Zeros
    fill the last item.
    """

    def __init__(self, get_order, steps, together):
        super().__init__({}, get_order, -(-steps // together))
        self._together = together

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = self._read_order(index)[index * self._together : (index + 1) * self._together]
        indices = np.zeros((self._together, rows.shape[1]), np.int32)
        indices[: len(rows)] = rows
        return {"index": indices, "count": np.array([len(rows)], np.int32)}
