"""Backbone and head as one flat Keras graph, the model that trains it, and what to freeze."""

import keras
import numpy as np
from keras import layers, ops

from insideout_tf import augment, backbones, batches, images, losses
from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError

# Grey levels: the means over FER2013's Training faces of each one's mean and standard deviation; and
# what is usual there: nine of ten have a mean between these two, five of six so much deviation or more.
FACE_MEAN, FACE_DEVIATION = 129.5, 54.0
USUAL_MEANS, USUAL_DEVIATION = (75.0, 185.0), 40.0
_ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def create_delivered(experiment, size=None):
    """Builds the model that is saved and served: float32 `[b, 48, 48, 1]` 0..255 → `[b, 7]`.

    size: pixels inside, if not the experiment's; weights fit models of every size.

    Resize, channel replication and normalisation are inside, and what `standardize` says. Every layer is a built-in Keras one
    in one flat graph, all float32. The output is probabilities in the order of `EMOTIONS`.
    """
    side = images.FACE_SIDE
    pixels = keras.Input((side, side, 1), name="pixels", dtype="float32")
    size = size or experiment.image_size
    # Keras' Resizing alone puts the layers after it into training unless it is told not to, so that
    # `model(x)` would judge by batch statistics, and change the moving ones.
    resize = layers.Resizing(size, size, interpolation="bilinear", name="resize")
    x = resize(pixels, training=False)
    x = standardize(x, experiment.standardize)
    x = layers.Concatenate(name="replicate")([x, x, x])
    weights = experiment.weights if experiment.start_from is None else "none"
    x = backbones.build(experiment.backbone, weights, x, experiment.stochastic_depth).output
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    x = layers.Dropout(experiment.dropout, name="head_dropout")(x)
    if experiment.hidden_units:
        x = layers.Dense(experiment.hidden_units, activation="swish", name="head_hidden")(x)
        x = layers.Dropout(experiment.dropout, name="head_hidden_dropout")(x)
    x = layers.Dense(len(EMOTIONS), name="logits")(x)
    x = layers.Softmax(name="probabilities")(x)
    return keras.Model(pixels, x, name=f"{experiment.backbone}_fer")


def assign_by_layer(model, start):
    """Gives `model` the weights of `start`, the same network or a part of it; returns whether it is one.

    Layers are matched by name, since dropped branches change their order, or in the order they
    have where Keras numbered them differently. Layers that the start lacks keep their own.
    """
    given = [layer for layer in start.layers if layer.weights]
    own = [layer for layer in model.layers if layer.weights]
    by_name = {layer.name: layer for layer in given}
    if by_name.keys() <= {layer.name for layer in own}:
        own = [layer for layer in own if layer.name in by_name]
        given = [by_name[layer.name] for layer in own]
    shapes = [[weight.shape for layer in each for weight in layer.weights] for each in (given, own)]
    if shapes[0] != shapes[1]:
        return False
    for layer, trained in zip(own, given):
        layer.set_weights(trained.get_weights())
    return True


def standardize(x, which):
    """Gives faces `[b, s, s, 1]` a light and a contrast that the network knows, by Keras layers.

    which: "none"; "all": the mean and deviation of FER2013's faces, so that light and contrast change no
    answer; "outliers": faces darker, brighter or paler than usual there are brought to the border of
    what is usual, the others stay as they are, for a network that was trained without.
    """
    if which == "none":
        return x
    # Epsilon is a deviation of one grey level: less than that is not made a face.
    unit = layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1.0, name="standardize"
    )(x)
    if which == "all":
        return layers.Rescaling(FACE_DEVIATION, offset=FACE_MEAN, name="standardize_levels")(unit)

    def bounded(value, low, high, name):
        value = layers.Rescaling(1.0, offset=-low, name=f"{name}_above")(value)
        most = None if high is None else high - low
        value = layers.ReLU(max_value=most, name=f"{name}_bounded")(value)
        value = layers.Rescaling(1.0, offset=low, name=name)(value)
        # As a map: in graphs, TensorFlow 2.21 on CPUs joins a product and the sum with [b, 1, 1, 1] to
        # one operation, which adds the wrong faces' values where b is also the side.
        return layers.UpSampling2D(x.shape[1:3], name=f"{name}_map")(value)

    mean = layers.GlobalAveragePooling2D(keepdims=True, name="standardize_mean")(x)
    centred = layers.Subtract(name="standardize_centred")([x, mean])
    squares = layers.Multiply(name="standardize_squares")([unit, centred])
    deviation = layers.GlobalAveragePooling2D(keepdims=True, name="standardize_deviation")(squares)
    deviation = bounded(deviation, USUAL_DEVIATION, None, "standardize_usual_deviation")
    mean = bounded(mean, *USUAL_MEANS, "standardize_usual_mean")
    unit = layers.Multiply(name="standardize_contrast")([unit, deviation])
    return layers.Add(name="standardize_levels")([unit, mean])


class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' BatchNorm by TensorFlow's one operation instead of Keras' dozen.

    With EfficientNetV2-S that halves the graph of a training step, and with it the time to the
    first one; in inference TensorFlow joins it to the convolution before it. Training models and
    teachers only: delivered models keep Keras' own layer, whose weights are the same.
    """

    def call(self, inputs, training=None, mask=None):
        import tensorflow as tf

        learning = bool(training and self.trainable)
        statistics = (self.moving_mean, self.moving_variance)
        inputs = ops.cast(inputs, "float32")
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros((0,)) if learning else tf.convert_to_tensor(statistics[0]),
            variance=tf.zeros((0,)) if learning else tf.convert_to_tensor(statistics[1]),
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            batch, height, width, _ = inputs.shape
            count = batch * height * width
            variance *= (count - 1) / count  # it comes unbiased, and Keras keeps the biased one
            for statistic, seen in zip(statistics, (mean, variance)):
                now = tf.convert_to_tensor(statistic)
                statistic.assign(now + (seen - now) * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


def clone_for_training(delivered, precision):
    """Clones the same graph and weights under a training precision ("mixed_bfloat16", ...).

    Preprocessing, logits and softmax stay float32. `weights` of both models align by position.
    """

    def clone(layer):
        settings = layer.get_config()
        float32 = type(layer).__name__ in (*backbones.PREPROCESSING, "InputLayer")
        if not (float32 or layer.name.startswith(("standardize", "logits", "probabilities"))):
            settings["dtype"] = precision
        return _training_class(layer).from_config(settings)

    twin = keras.models.clone_model(delivered, clone_function=clone)
    twin.set_weights(delivered.get_weights())
    return twin


def create_training(experiment, size, precision):
    """Builds the model of a stage for training; its `weights` align with the delivered one's.

    In float32 it is built once, without a detour over a delivered model.
    """
    model = create_delivered(experiment, size)
    if precision != "float32":
        return clone_for_training(model, precision)
    return hasten(model)


def hasten(model):
    """Gives the layers of a float32 model the classes that compute the same sooner; returns it."""
    for layer in model.layers:
        layer.__class__ = _training_class(layer)
    return model


def _training_class(layer):
    """Returns the class that computes the same as `layer` in training, sooner where there is one."""
    fusible = type(layer) is layers.BatchNormalization and layer.center and layer.scale
    return FusedBatchNormalization if fusible and _ON_TENSORFLOW else type(layer)


def freeze(model, stage, backbone_name):
    """Sets `trainable` of every layer as the stage asks; returns the names of trainable blocks."""
    blocks = backbones.get(backbone_name).blocks
    start = stage.unfreeze_from
    if start not in (None, "all", *blocks):
        raise UserError(
            f"stage {stage.name!r}: unfreeze_from expects None, 'all' or a block of "
            f"{backbone_name}: {', '.join(blocks)}. Received: {start!r}"
        )
    head = (
        "pooling",
        "head_dropout",
        "head_hidden",
        "head_hidden_dropout",
        "logits",
        "probabilities",
    )
    open_blocks = (
        () if start is None else blocks if start == "all" else blocks[blocks.index(start) :]
    )
    for layer in model.layers:
        in_head = layer.name in head
        layer.trainable = in_head or start == "all" or layer.name.startswith(tuple(open_blocks))
        if isinstance(layer, layers.BatchNormalization) and stage.batch_norm == "frozen":
            layer.trainable = False  # in Keras this is inference mode as well
    return open_blocks


class TrainingModel(keras.Model):
    """The step of one stage: a batch of faces → augmentation → core → weighted loss, all jitted.

    A batch is a dict of `image` uint8 `[b, 48, 48]`, `label` float32 `[b, 7]` (smoothed, soft) and
    `weight` float32 `[b]`; or, where the data set lives in device memory, of `index` int32 `[b]`.
    """

    def __init__(self, model, experiment, stage, seed, resident=None, teachers=()):
        super().__init__(name="training", dtype="float32")
        self.core = keras.Model(model.get_layer("resize").output, model.get_layer("logits").output)
        self.augmentation = experiment.augmentation_of(stage)
        self.image_size = model.get_layer("resize").height
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.sharpness_radius = stage.sharpness_radius
        self.loss_of_faces = losses.create(experiment.loss)
        self.teach = _teaching(teachers, experiment.teacher_share)
        self.consistency = (experiment.consistency_weight, experiment.consistency_threshold)
        self.resident = None
        if resident is not None:
            self.resident = {
                name: self.add_weight(
                    shape=array.shape,
                    dtype=str(array.dtype),
                    name=name,
                    initializer="zeros",
                    trainable=False,
                )
                for name, array in resident.items()
            }
            for name, array in resident.items():
                self.resident[name].assign(array)
        self.built = True

    def call(self, inputs, training=False, pseudo_labels=True):
        """Returns `logits`, `label` and `weight` of one view of each face.

        pseudo_labels: with consistency, those of a second view too, whose pass moves the averages of
        BatchNorm once more.
        """
        if self.resident is not None:
            inputs = {
                name: ops.take(variable.value, inputs["index"], axis=0)
                for name, variable in self.resident.items()
            }
        guessed = {}
        if training and pseudo_labels and self.consistency[0]:
            guessed["pseudo_label"] = self._pseudo_labels(inputs)
        pixels, labels, weights = augment.augment(
            inputs["image"],
            inputs["label"],
            inputs["weight"],
            self.augmentation,
            self.image_size,
            self.seed_generator,
        )
        if training:
            labels = self.teach(pixels, labels)
        logits = self.core(pixels, training=training)
        logits = ops.cast(logits, "float32")
        return {"logits": logits, "label": labels, "weight": weights, **guessed}

    def _pseudo_labels(self, inputs):
        """Returns `[b, 7]`: one-hot where the model is sure of a hardly changed view, elsewhere 0."""
        pixels, _, _ = augment.augment(
            inputs["image"],
            inputs["label"],
            inputs["weight"],
            augment.WEAK,
            self.image_size,
            self.seed_generator,
        )
        # By the batch's own statistics: early on, the moving ones make it sure of nonsense.
        logits = self.core(pixels, training=True)
        sure = ops.softmax(ops.stop_gradient(ops.cast(logits, "float32")))
        top = ops.max(sure, axis=-1, keepdims=True)
        kept = ops.logical_and(sure >= top, top >= self.consistency[1])
        return ops.cast(kept, "float32")

    def train_step(self, *given):
        """One step, as Keras does it; or, of a batch with a `count` (JAX), so many in one call.

        A call then costs the host the same for many steps as for one.
        """
        if len(given) == 1 or "count" not in given[1]:
            return self._step(*given)
        import jax

        state, rows = given
        step = self._step
        structure = jax.tree.structure(state)

        def run(position, carried):
            logs, now = step(carried[1], {"index": rows["index"][position]})
            return logs, jax.tree.unflatten(structure, jax.tree.leaves(now))

        shapes = jax.eval_shape(lambda: run(0, (None, state))[0])
        logs = jax.tree.map(lambda shape: jax.numpy.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.fori_loop(0, rows["count"][0], run, (logs, state))

    def _step(self, *given):
        """Keras' step of one batch; with a sharpness radius it runs twice.

        The first time the weights move uphill, by that radius; the gradient found there, on the same
        views, then updates the weights as they were (sharpness-aware minimisation, Foret et al. 2021,
        arXiv 2010.01412, algorithm 1). The averages of BatchNorm and the metrics are the first's.
        """
        step = super().train_step
        if not self.sharpness_radius:
            return step(*given)
        if keras.backend.backend() == "jax":
            (weights, others, optimizer, metrics), batch = given
            with self.optimizer.climbing(self.sharpness_radius):
                logs, (uphill, others_after, optimizer, metrics) = step(
                    (weights, others, optimizer, metrics), batch
                )
            _, (weights, _, optimizer, _) = step((uphill, others, optimizer, metrics), batch)
            return logs, (weights, others_after, optimizer, metrics)
        import tensorflow as tf

        data = {id(variable) for variable in (self.resident or {}).values()}
        others = [v for v in self.non_trainable_variables if id(v) not in data]
        before = [tf.identity(tf.convert_to_tensor(variable)) for variable in others]
        with self.optimizer.climbing(self.sharpness_radius):
            logs = step(*given)
        others_and_metrics = [*others, *self.metrics_variables]
        after = [tf.identity(tf.convert_to_tensor(variable)) for variable in others_and_metrics]
        for variable, value in zip(others, before):
            variable.assign(value)
        step(*given)
        for variable, value in zip(others_and_metrics, after):
            variable.assign(value)
        return logs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        each = self.loss_of_faces(y_pred["label"], y_pred["logits"])
        loss = ops.mean(each * y_pred["weight"])
        if "pseudo_label" in y_pred:
            # Sohn et al. 2020, FixMatch (arXiv 2001.07685), equation 4.
            # Not by categorical_crossentropy: TensorFlow's gradient of it takes every row of labels
            # to sum to 1, and would push down what the faces without a pseudo-label are taken for.
            agreed = y_pred["pseudo_label"] * ops.log_softmax(y_pred["logits"])
            loss -= self.consistency[0] * ops.mean(ops.sum(agreed, axis=-1))
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Gradients of the replicas are summed, so each brings its share of the mean.
            loss /= tf.distribute.get_strategy().num_replicas_in_sync
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        right = ops.equal(ops.argmax(y_pred["logits"], -1), ops.argmax(y_pred["label"], -1))
        labelled = ops.cast(y_pred["weight"] > 0, "float32")
        self.accuracy.update_state(ops.cast(right, "float32"), sample_weight=labelled)
        return self.get_metrics_result()

    def get_config(self):
        raise NotImplementedError("save the delivered model instead")


def _teaching(teachers, share):
    """Returns a function (augmented faces, labels) → labels, `share` of them what teachers say.

    Teacher and student see the same view, mixed faces included (Beyer et al. 2022, Knowledge
    distillation: A good teacher is patient and consistent, arXiv 2106.05237, section 3). A function,
    so that Keras does not count the teachers among the variables of the training model.
    """
    heads = []
    for model in teachers:
        if any(layer.name == "resize" for layer in model.layers):
            resize = model.get_layer("resize")
            heads.append((resize.height, keras.Model(resize.output, model.output)))
        else:  # an ensemble, or a model from elsewhere: the view goes through its own input
            heads.append((images.FACE_SIDE, model))

    def teach(pixels, labels):
        if not heads:
            return labels
        said = 0.0
        for size, head in heads:
            view = pixels if size == pixels.shape[1] else ops.image.resize(pixels, (size, size))
            said = said + head(view, training=False)
        said = ops.stop_gradient(ops.cast(said, "float32")) / len(heads)
        return labels + share * (said - labels)

    return teach


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
        if _ON_TENSORFLOW:
            parts.append(model.predict(batches.in_order(block, batch_size), verbose=0))
        else:
            parts.append(model.predict(block, batch_size=batch_size, verbose=0))
    return np.concatenate(parts)[:count].astype(np.float32)
