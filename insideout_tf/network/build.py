"""Backbone and head as one flat Keras graph, the model that trains it, and what to freeze_layers."""

import keras
from keras import layers

from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.network import backbones
from insideout_tf.network.standardize import standardize


def build_network(experiment, size=None):
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


def freeze_layers(model, stage, backbone_name):
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
