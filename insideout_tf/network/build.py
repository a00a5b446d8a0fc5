"""The inference model, backbone and head in one flat Keras graph, and which of its layers train."""

import keras
from keras import layers

from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.network import backbones, fold
from insideout_tf.network.standardize import standardize

HEAD = (
    "pooling",
    "head_dropout",
    "head_hidden",
    "head_hidden_dropout",
    "logits",
    "probabilities",
)


def build_network(experiment, size=None, contract=FER2013):
    """Builds the inference model, which is saved and served.

    It takes float32 `[b, side, side, channels]`, 0..255 as files hold them, and returns float32
    `[b, k]` probabilities of the k classes, all as `contract` has them. Resize, standardisation,
    channel replication and normalisation are inside. The graph is flat, and every layer is Keras'
    own, in float32.

    Args:
        experiment: a `config.Experiment`.
        size: pixels a side that the backbone sees; the experiment's by default. The weights do not
            depend on it.
        contract: the `Contract` of the model.

    Returns:
        A Keras model, not compiled.

    Raises:
        UserError: the backbone is unknown, its weights cannot be had or do not fit, or the
            experiment standardises faces in colour.
    """
    size = size or experiment.image_size
    pixels = keras.Input(contract.input_shape, name="pixels", dtype="float32")
    if contract.channels == 3 and experiment.standardize != "none":
        raise UserError(
            "standardize: expected 'none' for faces in colour; its levels are those of grey faces. "
            "Give --set standardize=none, or --channels 1 to train on grey levels. Received: "
            f"{experiment.standardize!r}"
        )
    # Without `training=False`, Keras' Resizing puts the layers after it into training mode: a plain
    # `model(x)` would then use batch statistics, and change the moving ones.
    resize = layers.Resizing(size, size, interpolation="bilinear", name="resize")
    x = resize(pixels, training=False)
    x = standardize(x, experiment.standardize)
    if contract.channels == 1:
        x = layers.Concatenate(name=fold.REPLICATE)([x, x, x])
    weights = experiment.weights if experiment.start_from is None else "none"
    x = backbones.build(experiment.backbone, weights, x, experiment.stochastic_depth).output
    x = _build_head(x, experiment.dropout, experiment.hidden_units, contract.count)
    return keras.Model(pixels, x, name=f"{experiment.backbone}_fer")


def _build_head(x, dropout, hidden_units, count):
    """Returns probabilities `[b, count]` of feature maps `[b, h, w, c]`; 0 hidden units: one layer."""
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    if hidden_units:
        x = layers.Dense(hidden_units, activation="swish", name="head_hidden")(x)
        x = layers.Dropout(dropout, name="head_hidden_dropout")(x)
    x = layers.Dense(count, name="logits")(x)
    return layers.Softmax(name="probabilities")(x)


def freeze_layers(model, stage, backbone_name):
    """Sets `trainable` of every layer as a stage requires.

    The head always trains. With `batch_norm="frozen"`, BatchNorm layers do not, and use their moving
    statistics in training as well (that is what Keras does with `trainable = False`).

    Args:
        model: a model of `build_network`, or a clone of it for training.
        stage: a `config.Stage`; its `unfreeze_from` is None (the head alone), "all", or the name of
            a block: that block and all after it train.
        backbone_name: a key of `backbones.BACKBONES`.

    Returns:
        The names of the blocks that train, a tuple.

    Raises:
        UserError: the backbone has no block of that name.
    """
    blocks = backbones.get(backbone_name).blocks
    start = stage.unfreeze_from
    if start not in (None, "all", *blocks):
        raise UserError(
            f"stage {stage.name!r}: unfreeze_from expects None, 'all' or a block of "
            f"{backbone_name}: {', '.join(blocks)}. Received: {start!r}"
        )
    if start is None:
        blocks = ()
    elif start != "all":
        blocks = blocks[blocks.index(start) :]
    for layer in model.layers:
        is_head = layer.name in HEAD
        layer.trainable = is_head or start == "all" or layer.name.startswith(blocks)
        if isinstance(layer, layers.BatchNormalization) and stage.batch_norm == "frozen":
            layer.trainable = False
    return blocks
