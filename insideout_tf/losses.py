"""What a training step minimises, face by face, for labels that may be soft."""

import math

from keras import ops

from insideout_tf import config

# Stands for ln 0 where a label is 0, the constant A of Wang et al. 2019; our choice.
LOG_OF_ZERO = -4.0


def create(rule):
    """Returns the function (labels `[b, classes]`, logits `[b, classes]`) → loss `[b]`, float32.

    rule: as `config.loss_rule` takes it. Labels sum to 1 a row.
    "cross_entropy": -Σ y·ln p.
    "symmetric(alpha,beta)": alpha times that, and beta times -Σ p·ln y, with ln y no less than
    `LOG_OF_ZERO` (Wang et al. 2019, arXiv 1908.06112, section 3).
    "generalised(q)": Σ y·(1 - p^q)/q, near cross-entropy for a small q, the mean absolute error for 1
    (Zhang & Sabuncu 2018, arXiv 1805.07836, section 3).
    """
    name, arguments = config.loss_rule(rule)

    def cross_entropy(labels, logits):
        return ops.categorical_crossentropy(labels, logits, from_logits=True)

    def symmetric(labels, logits):
        alpha, beta = arguments
        floored = ops.log(ops.maximum(labels, math.exp(LOG_OF_ZERO)))
        reverse = -ops.sum(ops.softmax(logits) * floored, axis=-1)
        return alpha * cross_entropy(labels, logits) + beta * reverse

    def generalised(labels, logits):
        (q,) = arguments
        return ops.sum(labels * (1.0 - ops.exp(q * ops.log_softmax(logits))), axis=-1) / q

    return {
        "cross_entropy": cross_entropy,
        "symmetric": symmetric,
        "generalised": generalised,
    }[name]
