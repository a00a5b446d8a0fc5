"""Distillation: part of each label is what teacher models predict for the same augmented face."""

import keras
from keras import ops


def create_label_blend(teachers, weight):
    """Returns a function that blends teacher probabilities into the labels of a batch.

    Teacher and student see the same view, mixed faces included (Beyer et al. 2022, Knowledge
    distillation: A good teacher is patient and consistent, arXiv 2106.05237, section 3). It is a
    function so that Keras does not count the teachers among the variables of the training model.

    Args:
        teachers: inference models; several are averaged. Without any, labels stay as they are.
        weight: the share of the teachers in the label, 0..1.

    Returns:
        A function of augmented faces, float32 `[b, size, size, channels]`, and labels, float32 `[b, k]`, to
        labels of the same shape.
    """
    heads = []
    for model in teachers:
        if any(layer.name == "resize" for layer in model.layers):
            resize = model.get_layer("resize")
            heads.append((resize.height, keras.Model(resize.output, model.output)))
        else:  # an ensemble or another Keras model: the view goes through its own input
            heads.append((model.input_shape[1], model))

    def blend_labels(pixels, labels):
        if not heads:
            return labels
        total = 0.0
        for size, head in heads:
            view = pixels if size == pixels.shape[1] else ops.image.resize(pixels, (size, size))
            total = total + head(view, training=False)
        probabilities = ops.stop_gradient(ops.cast(total, "float32")) / len(heads)
        return labels + weight * (probabilities - labels)

    return blend_labels
