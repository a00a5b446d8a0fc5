"""Distillation: part of each label is what teacher models predict for the same augmented face."""

import keras
from keras import ops

from insideout_tf.data import images


def teacher_blend(teachers, share):
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
