"""The layers of a training model: the same computation as in the inference model, faster."""

import keras
from keras import layers, ops

from insideout_tf.data.contract import FER2013
from insideout_tf.network import backbones, build

_ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' BatchNorm by TensorFlow's one operation instead of Keras' dozen.

    With EfficientNetV2-S that halves the graph of a training step, and so the time to the first step.
    In inference TensorFlow joins it to the convolution before it. Only training models and teachers
    use it. Inference models keep Keras' own layer, which has the same weights.
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
            variance *= (count - 1) / count  # unbiased here, biased in Keras
            for statistic, seen in zip(statistics, (mean, variance)):
                now = tf.convert_to_tensor(statistic)
                statistic.assign(now + (seen - now) * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


def clone_for_training(model, precision):
    """Clones the same graph and weights under a training precision ("mixed_bfloat16", ...).

    Preprocessing, logits and softmax stay float32. `weights` of both models align by position.
    """

    def clone(layer):
        settings = layer.get_config()
        float32 = type(layer).__name__ in (*backbones.PREPROCESSING, "InputLayer")
        if not (float32 or layer.name.startswith(("standardize", "logits", "probabilities"))):
            settings["dtype"] = precision
        return _training_class(layer).from_config(settings)

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin


def build_training_network(experiment, size, precision, contract=FER2013):
    """Builds the network of a stage for training.

    Its `weights` have the same order as those of the inference model.

    Args:
        experiment: the recipe.
        size: pixels a side that the network sees.
        precision: a Keras policy.
        contract: the `Contract` of the model.
    """
    model = build.build_network(experiment, size, contract)
    if precision != "float32":
        return clone_for_training(model, precision)
    return use_fused_batch_norm(model)


def use_fused_batch_norm(model):
    """Gives the layers of a float32 model the faster classes of this module; returns the model."""
    for layer in model.layers:
        layer.__class__ = _training_class(layer)
    return model


def _training_class(layer):
    """Returns the class that computes the same as `layer` in training, a faster one if there is one."""
    fusible = type(layer) is layers.BatchNormalization and layer.center and layer.scale
    return FusedBatchNormalization if fusible and _ON_TENSORFLOW else type(layer)
