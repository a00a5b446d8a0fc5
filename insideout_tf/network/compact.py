"""The package's own networks for faces of 48 px: tiny, the plain CNN, CompactFER and
the branched network.

Each builder takes what `backbones.Backbone.build` describes. Saved models and weights files depend
on the names, the order and the shapes of these layers: never change them for an existing network.
"""

import keras
from keras import layers

from insideout_tf.network import fold

TINY_FILTERS = (16, 32, 48, 64)
PLAIN_LEVELS = ((32, 1), (64, 1), (128, 2), (256, 2))  # filters and convolutions of each block
PLAIN_DROPOUT = 0.2
SQUEEZE_RATIO = 4  # of squeeze and excitation


def build_tiny(weights, input_tensor, stochastic_depth):
    """Builds a five-layer convolutional network for the quickstart and for tests.

    It trains in seconds. It has no residual branches, so `stochastic_depth` has to be None.
    """
    x = _rescale(input_tensor)
    for block, filters in enumerate(TINY_FILTERS, start=1):
        strides = 2 if block < len(TINY_FILTERS) else 1
        x = layers.Conv2D(
            filters,
            3,
            strides=strides,
            padding="same",
            use_bias=False,
            name=f"block{block}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn")(x)
        x = layers.Activation("swish", name=f"block{block}_activation")(x)
    x = layers.Conv2D(96, 1, use_bias=False, name="top_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name="top_bn")(x)
    x = layers.Activation("swish", name="top_activation")(x)
    return _build_model(input_tensor, x, "tiny", weights)


def build_plain_cnn(weights, input_tensor, stochastic_depth):
    """Builds the baseline of most FER papers: convolutions, BatchNorm, ReLU and pooling alone.

    It has no residual branches, so `stochastic_depth` has to be None.
    """
    x = _rescale(input_tensor)
    for block, (filters, depth) in enumerate(PLAIN_LEVELS, start=1):
        for position in range(1, depth + 1):
            name = f"block{block}_conv{position}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
        x = layers.Dropout(PLAIN_DROPOUT, name=f"block{block}_dropout")(x)
    return _build_model(input_tensor, x, "plain_cnn", weights)


def build_compact_fer(
    weights,
    input_tensor,
    stochastic_depth,
    *,
    stem,
    widths,
    depths,
    top,
    pool_stem=True,
    fine=0,
):
    """Builds CompactFER, a residual network for grey faces of 48 px.

    Args:
        weights, input_tensor, stochastic_depth: as of `backbones.Backbone.build`.
        stem: filters of the first convolution.
        widths: filters of each level. A level has half the side of the one before.
        depths: residual blocks of each level.
        top: filters of the last convolution, which the head averages.
        pool_stem: the first level has half the side of the input, so that a CPU can train the
            network. Otherwise it has the full resolution.
        fine: inner filters of a residual block at full resolution, before the pooling; 0: none.
    """
    x = _rescale(input_tensor)
    x = _convolve(x, stem, 3, "stem_conv")
    if fine:
        x = _add_fine_block(x, fine)
    if pool_stem:
        x = layers.MaxPooling2D(name="stem_pool")(x)
    block = 0
    for level, (filters, depth) in enumerate(zip(widths, depths), start=1):
        for position in range(1, depth + 1):
            block += 1
            x = _add_residual_block(
                x,
                filters,
                f"block{level}_{position}",
                halve=level > 1 and position == 1,
                squeeze=level == len(widths),
                drop_rate=(stochastic_depth or 0.0) * block / sum(depths),
            )
    x = _convolve(x, top, 1, "top_conv")
    return _build_model(input_tensor, x, "compact_fer", weights)


def build_branched(weights, input_tensor, stochastic_depth, *, widths, depths):
    """Builds a network of 3×3 convolutions alone, which trains with parallel branches.

    RepVGG (Ding et al. 2021, arXiv 2101.03697): `fold.fold_branches` makes one convolution of the branches of
    each block for inference. The first convolution already halves the side of the face, so that few
    multiplications are at high resolution. It has no residual branches, so `stochastic_depth` has to be None.

    Args:
        weights, input_tensor, stochastic_depth: as of `backbones.Backbone.build`.
        widths: filters of each level. A level has half the side of the one before, the first half of the input's.
        depths: convolutions of each level, the first with a stride of 2.
    """
    x = _rescale(input_tensor)
    for level, (filters, depth) in enumerate(zip(widths, depths), start=1):
        for position in range(1, depth + 1):
            x = _add_branches(x, filters, f"block{level}_{position}", 2 if position == 1 else 1)
    return _build_model(input_tensor, x, "branched", weights)


def _add_branches(x, filters, name, strides):
    """Returns the ReLU of the sum of a 3×3 and a 1×1 convolution and, where the shape stays, of x."""
    branches = [_convolve(x, filters, size, f"{name}_conv{size}", None, strides) for size in (3, 1)]
    if strides == 1 and x.shape[-1] == filters:
        branches.append(layers.BatchNormalization(name=f"{name}_skip_bn")(x))
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}{fold.SUM}")(branches))


def _add_residual_block(x, filters, name, halve, squeeze, drop_rate):
    """Returns x plus two 3×3 convolutions of it (He et al. 2016, arXiv 1512.03385).

    Where the block halves the side, the shortcut is averaged (He et al. 2019, arXiv 1812.01187,
    figure 2c).
    """
    shortcut = x
    if halve:
        shortcut = layers.AveragePooling2D(2, name=f"{name}_pool")(shortcut)
    if x.shape[-1] != filters:
        shortcut = _convolve(shortcut, filters, 1, f"{name}_shortcut", "linear")
    x = _convolve(x, filters, 3, f"{name}_conv1", strides=2 if halve else 1)
    x = _convolve(x, filters, 3, f"{name}_conv2", "linear")
    if squeeze:
        x = _excite(x, name)
    x = _drop_branch(x, drop_rate, name)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("swish", name=f"{name}_swish")(x)


def _add_fine_block(x, filters):
    """Returns x plus a branch at full resolution that begins as zero.

    The block begins as the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1). A network
    that was trained without it can therefore be trained further with it.
    """
    branch = _convolve(x, filters, 3, "fine_conv1")
    branch = _convolve(branch, x.shape[-1], 3, "fine_conv2", "linear", gamma="zeros")
    return layers.Add(name="fine_add")([x, branch])


def _convolve(x, filters, size, name, activation="swish", strides=1, gamma="ones"):
    """Returns convolution, BatchNorm and activation (None: no layer) of x; gamma: BatchNorm's first scale."""
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(gamma_initializer=gamma, name=f"{name}_bn")(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def _excite(x, name):
    """Returns x scaled channel by channel.

    This is squeeze and excitation (Hu et al. 2018, arXiv 1709.01507).
    """
    filters = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(filters // SQUEEZE_RATIO, 1, activation="swish", name=f"{name}_reduce")(
        gate
    )
    gate = layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_expand")(gate)
    return layers.Multiply(name=f"{name}_excite")([x, gate])


def _drop_branch(x, rate, name):
    """Returns x, which training drops for some faces at random.

    This is stochastic depth (Huang et al. 2016, arXiv 1603.09382). rate: 0..1; at 0, no layer.
    """
    if not rate:
        return x
    one_draw_a_face = (None,) + (1,) * (len(x.shape) - 1)
    return layers.Dropout(rate, noise_shape=one_draw_a_face, name=f"{name}_drop")(x)


def _rescale(x):
    """Returns grey levels 0..255 as -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(x)


def _build_model(input_tensor, output, name, weights):
    """Returns the Keras model from the inputs of `input_tensor` to `output`, with a file's weights."""
    model = keras.Model(keras.utils.get_source_inputs(input_tensor), output, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
