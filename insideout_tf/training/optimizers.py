"""The optimizer and learning-rate schedule of a stage, from Keras', and the average of its weights."""

import math

import keras
import numpy as np
from keras import ops

JOINED_NUMBERS = 1 << 20  # so that the temporaries of an update stay in a processor's cache


class FlatOptimizer(keras.optimizers.Optimizer):
    """Runs a Keras optimizer on all variables joined into two vectors, and averages those.

    A graph then holds two updates instead of one for each of the 452 variables of EfficientNetV2-S,
    which otherwise take much of the time of tracing. One vector holds the variables with two or more
    axes, which decay. The other holds biases and scales of normalisation, which do not. Each step
    copies the vectors to the variables, so nothing else may change the variables between steps.

    ema_decay: after step t an average (Polyak & Juditsky 1992) follows the weights with decay
        min(ema_decay, t/(9+t)); None: no average.
    """

    def __init__(self, inner_optimizer, ema_decay=None):
        super().__init__(learning_rate=0.0, name="flat")
        self.inner_optimizer = inner_optimizer
        self.ema_decay = ema_decay

    def build(self, variables):
        super().build(variables)
        self.sizes = [math.prod(variable.shape) for variable in variables]
        self.groups: list[list[int]] = []
        exempt = []
        for decays in (True, False):
            chosen = [i for i, v in enumerate(variables) if (len(v.shape) >= 2) == decays]
            filled = math.inf
            for i in chosen:
                if filled + self.sizes[i] > JOINED_NUMBERS:
                    self.groups.append([])
                    exempt.append(not decays)
                    filled = 0
                self.groups[-1].append(i)
                filled += self.sizes[i]
        self.vectors: list[keras.Variable] = []
        self.average_vectors: list[keras.Variable] = []
        for position, group in enumerate(self.groups):
            joined = np.concatenate([np.ravel(np.asarray(variables[i])) for i in group])
            for name, vectors in (("weights", self.vectors), ("average", self.average_vectors)):
                if name == "weights" or self.ema_decay is not None:
                    vector = self.add_variable(
                        joined.shape,
                        dtype="float32",
                        aggregation="only_first_replica",
                        name=f"{name}_{position}",
                    )
                    vector.assign(joined)
                    vectors.append(vector)
        self.inner_optimizer.build(self.vectors)
        if self.inner_optimizer.weight_decay:
            chosen = [vector for vector, is_exempt in zip(self.vectors, exempt) if is_exempt]
            self.inner_optimizer.exclude_from_weight_decay(var_list=chosen)

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    def apply(self, grads, trainable_variables=None):
        targets = list(trainable_variables or self._trainable_variables)
        joined = [
            ops.concatenate([ops.cast(ops.reshape(grads[i], (-1,)), "float32") for i in group])
            for group in self.groups
        ]
        self.inner_optimizer.apply(joined, self.vectors)
        if self.ema_decay is not None:
            step = ops.cast(self.inner_optimizer.iterations, "float32")
            share = 1.0 - ops.minimum(self.ema_decay, step / (9.0 + step))
            for average, vector in zip(self.average_vectors, self.vectors):
                average.assign(average.value + share * (vector.value - average.value))
        self._split_back([vector.value for vector in self.vectors], targets)

    def _split_back(self, joined, targets):
        for values, group in zip(joined, self.groups):
            ends = np.cumsum([self.sizes[i] for i in group])[:-1].tolist()
            parts = ops.split(values, ends) if ends else [values]
            for i, part in zip(group, parts):
                targets[i].assign(ops.reshape(part, targets[i].shape))

    def averages(self):
        """Returns the averaged weights as arrays in the order of the variables, or None."""
        if self.ema_decay is None:
            return None
        arrays = {}
        for vector, group in zip(self.average_vectors, self.groups):
            ends = np.cumsum([self.sizes[i] for i in group])[:-1]
            for i, part in zip(group, np.split(np.asarray(vector), ends)):
                arrays[i] = part.reshape(self._trainable_variables[i].shape)
        return [arrays[i] for i in range(len(self.sizes))]

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def get_config(self):
        raise NotImplementedError("save the inference model instead")


def create(stage, steps, variables, scale_loss, ema_decay=None):
    """Builds the optimizer of a stage; weight decay skips biases and normalisation.

    Args:
        stage: a `config.Stage`.
        steps: steps in an epoch.
        variables: the trainable variables.
        scale_loss: whether to scale the loss dynamically, as float16 gradients need.
        ema_decay: decay of the average that `averages` returns, or None.
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
    optimizer = FlatOptimizer(optimizer, ema_decay)
    if scale_loss:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def learning_rate(optimizer):
    """Returns the learning rate of the next step."""
    return float(np.asarray(_inner(optimizer).learning_rate))


def averages(optimizer):
    """Returns the averaged weights as arrays in the order of the variables, or None."""
    while not isinstance(optimizer, FlatOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer.averages()


def reduce_learning_rate(optimizer, factor):
    """Multiplies the learning rate, for the schedule "plateau"."""
    _inner(optimizer).learning_rate.assign(learning_rate(optimizer) * factor)


def _inner(optimizer):
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer
