"""A stage's optimizer and learning-rate schedule, from Keras' own."""

import keras
import numpy as np


def create(stage, steps, variables, scale_loss):
    """Builds the optimizer of a stage on its variables; decay skips biases and normalisation.

    steps: steps an epoch, in which schedules count. scale_loss: scale the loss dynamically, as
    float16 gradients need.
    """
    rate = stage.learning_rate
    warmup = round(stage.warmup_epochs * steps)
    total = stage.epochs * steps
    if stage.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            max(total - warmup, 1),
            alpha=stage.final_fraction,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    elif warmup:
        rate = keras.optimizers.schedules.PolynomialDecay(rate * 1e-3, warmup, rate)
    decay = stage.weight_decay or None
    if stage.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            rate,
            momentum=stage.momentum,
            nesterov=True,
            weight_decay=decay,
            global_clipnorm=stage.clip_norm,
        )
    elif stage.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=stage.clip_norm)
    else:
        optimizer = keras.optimizers.AdamW(
            rate, weight_decay=stage.weight_decay, global_clipnorm=stage.clip_norm
        )
    if decay:
        optimizer.exclude_from_weight_decay(
            var_list=[variable for variable in variables if len(variable.shape) < 2]
        )
    if scale_loss:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def learning_rate(optimizer):
    """Returns the learning rate of the next step."""
    return float(np.asarray(_inner(optimizer).learning_rate))


def reduce_learning_rate(optimizer, factor):
    """Multiplies the learning rate, for the schedule "plateau"."""
    _inner(optimizer).learning_rate.assign(learning_rate(optimizer) * factor)


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)
