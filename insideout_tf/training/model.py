"""The training step: a batch of faces → augmentation → network → weighted loss."""

import keras
from keras import ops

from insideout_tf.training import augment, distillation


class TrainingModel(keras.Model):
    """The step of one stage: a batch of faces → augmentation → core → weighted loss, all compiled.

    A batch is a dict of `image` uint8 `[b, side, side]` or `[b, side, side, 3]`, `label` float32 `[b, k]` (smoothed, soft) and
    `weight` float32 `[b]`. If the data set is in device memory, it is a dict of `index` int32 `[b]`.

    Args:
        model: the network of the stage; its core is what follows the resize, up to the logits.
        experiment, stage: the recipe and its stage.
        seed: of the augmentation.
        resident: the training arrays to keep in device memory, or None.
        teachers: inference models, for distillation.
    """

    def __init__(self, model, experiment, stage, seed, resident=None, teachers=()):
        super().__init__(name="training", dtype="float32")
        self.core = keras.Model(model.get_layer("resize").output, model.get_layer("logits").output)
        self.augmentation = experiment.augmentation_of(stage)
        self.image_size = model.get_layer("resize").height
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.blend_labels = distillation.create_label_blend(
            teachers, experiment.distillation_weight
        )
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

        pseudo_labels: whether consistency adds the pseudo-labels of a second view. Its pass updates
            the moving averages of BatchNorm once more.
        """
        if self.resident is not None:
            inputs = {
                name: ops.take(variable.value, inputs["index"], axis=0)
                for name, variable in self.resident.items()
            }
        extra = {}
        if training and pseudo_labels and self.consistency[0]:
            extra["pseudo_label"] = self._pseudo_labels(inputs)
        pixels, labels, weights = augment.augment(
            inputs["image"],
            inputs["label"],
            inputs["weight"],
            self.augmentation,
            self.image_size,
            self.seed_generator,
        )
        if training:
            labels = self.blend_labels(pixels, labels)
        logits = self.core(pixels, training=training)
        logits = ops.cast(logits, "float32")
        return {"logits": logits, "label": labels, "weight": weights, **extra}

    def _pseudo_labels(self, inputs):
        """Returns pseudo-labels `[b, k]`: one-hot if the model is sure of a weak view, else 0."""
        pixels, _, _ = augment.augment(
            inputs["image"],
            inputs["label"],
            inputs["weight"],
            augment.WEAK,
            self.image_size,
            self.seed_generator,
        )
        # With the batch's own statistics: early on, the moving ones give confident nonsense.
        logits = self.core(pixels, training=True)
        sure = ops.softmax(ops.stop_gradient(ops.cast(logits, "float32")))
        top = ops.max(sure, axis=-1, keepdims=True)
        is_label = ops.logical_and(sure >= top, top >= self.consistency[1])
        return ops.cast(is_label, "float32")

    def train_step(self, *arguments):
        """Does one step as Keras does; on JAX, a batch with a `count` is that many steps in one call.

        The host then spends the same time on many steps as on one.
        """
        if len(arguments) == 1 or "count" not in arguments[1]:
            return super().train_step(*arguments)
        import jax

        state, rows = arguments
        step = super().train_step
        structure = jax.tree.structure(state)

        def run(position, carried):
            logs, now = step(carried[1], {"index": rows["index"][position]})
            return logs, jax.tree.unflatten(structure, jax.tree.leaves(now))

        shapes = jax.eval_shape(lambda: run(0, (None, state))[0])
        logs = jax.tree.map(lambda shape: jax.numpy.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.fori_loop(0, rows["count"][0], run, (logs, state))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        each = ops.categorical_crossentropy(y_pred["label"], y_pred["logits"], from_logits=True)
        loss = ops.mean(each * y_pred["weight"])
        if "pseudo_label" in y_pred:
            # Sohn et al. 2020, FixMatch (arXiv 2001.07685), equation 4.
            # Not by categorical_crossentropy: TensorFlow's gradient assumes that each row of labels
            # has the sum 1, and would lower the top class of faces without a pseudo-label.
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
        raise NotImplementedError("save the inference model instead")
