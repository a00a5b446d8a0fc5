"""The weights for inference: averaged over steps, with BatchNorm statistics estimated for them."""

import keras
import numpy as np

from insideout_tf.training import optimizers

REESTIMATION_BATCHES = 20


def inference_weights(training_model, model, batches):
    """Returns the weights that are evaluated, saved and served.

    Without averaging these are the weights themselves. With it they are the averages. Each BatchNorm
    layer in training mode then gets the statistics of `batches` under those averages, as in Izmailov
    et al. 2018 (section 3.2), since the statistics of the raw weights do not fit them.

    Args:
        training_model: a compiled `TrainingModel`.
        model: its network. It is changed back before this function returns.
        batches: an iterable of training batches.

    Returns:
        A list of arrays in the order of `model.weights`.
    """
    before = model.get_weights()
    averages = optimizers.averages(training_model.optimizer)
    if averages is None:
        return before
    for variable, average in zip(training_model.trainable_variables, averages):
        variable.assign(average)
    adapting = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    for layer in adapting:
        layer.moving_mean.assign(np.zeros(layer.moving_mean.shape, "float32"))
        layer.moving_variance.assign(np.zeros(layer.moving_variance.shape, "float32"))
    if adapting:
        count = 0
        forward = _training_forward(training_model)
        for batch in batches:
            forward(batch)
            count += 1
        for layer in adapting:
            # A moving average that starts at zero lacks momentum^count of its mass.
            mass = 1.0 - layer.momentum**count
            layer.moving_mean.assign(np.asarray(layer.moving_mean) / mass)
            layer.moving_variance.assign(np.asarray(layer.moving_variance) / mass)
    after = model.get_weights()
    model.set_weights(before)
    return after


def _training_forward(training_model):
    """Returns a compiled forward pass in training mode, kept with the model it belongs to.

    One pass through each BatchNorm layer, on which the mass of its averages rests.
    """
    if getattr(training_model, "training_forward", None) is not None:
        return training_model.training_forward
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        @tensorflow.function(reduce_retracing=True)
        def forward(batch):
            training_model(batch, training=True, pseudo_labels=False)
    elif backend == "jax":
        import jax

        @jax.jit
        def compiled(trainable, non_trainable, batch):
            _, updated = training_model.stateless_call(
                trainable, non_trainable, batch, training=True, pseudo_labels=False
            )
            return updated

        def forward(batch):
            updated = compiled(
                [variable.value for variable in training_model.trainable_variables],
                [variable.value for variable in training_model.non_trainable_variables],
                batch,
            )
            for variable, value in zip(training_model.non_trainable_variables, updated):
                variable.assign(value)
    else:

        def forward(batch):
            training_model(batch, training=True, pseudo_labels=False)

    training_model.training_forward = forward
    return forward
