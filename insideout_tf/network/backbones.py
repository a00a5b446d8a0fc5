"""The networks a classifier can stand on: a dict of facts, one entry each."""

import collections.abc
import dataclasses
import os

import keras

from insideout_tf.errors import UserError

KERAS_STOCHASTIC_DEPTH = 0.2  # of the last block of every EfficientNet in keras.applications

# Layers that prepare pixels: they stay float32 under mixed precision.
PREPROCESSING = ("Resizing", "Rescaling", "Normalization", "Concatenate")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """build(weights, input_tensor, stochastic_depth) -> Keras model without top, taking 0..255, RGB.

    native_size: pixels of its ImageNet training. blocks: prefixes of layer names from input to
    output, the points from which a stage can unfreeze. parameters: without top. residual: whether
    it has branches that stochastic depth can drop.
    """

    build: collections.abc.Callable
    native_size: int
    blocks: tuple[str, ...]
    parameters: int
    reference: str
    imagenet: bool = True
    residual: bool = True


def _application(name):
    def build(weights, input_tensor, stochastic_depth):
        model = getattr(keras.applications, name)(
            include_top=False, weights=weights, input_tensor=input_tensor
        )
        if stochastic_depth is not None:
            for layer in model.layers:
                if layer.name.endswith("_drop"):
                    layer.rate *= stochastic_depth / KERAS_STOCHASTIC_DEPTH
        return model

    return build


def _tiny(weights, input_tensor, stochastic_depth):
    """A five-layer convolutional network for the quickstart and for tests; trains in seconds."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(input_tensor)
    for block, filters in enumerate((16, 32, 48, 64), start=1):
        x = keras.layers.Conv2D(
            filters,
            3,
            strides=2 if block < 4 else 1,
            padding="same",
            use_bias=False,
            name=f"block{block}_conv",
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn")(x)
        x = keras.layers.Activation("swish", name=f"block{block}_activation")(x)
    x = keras.layers.Conv2D(96, 1, use_bias=False, name="top_conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="top_bn")(x)
    x = keras.layers.Activation("swish", name="top_activation")(x)
    model = keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="tiny")
    if weights is not None:
        model.load_weights(weights)
    return model


def _plain_cnn(weights, input_tensor, stochastic_depth):
    """Convolutions, BatchNorm, ReLU and pooling, nothing else: the baseline of most FER papers."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(input_tensor)
    for block, (filters, depth) in enumerate(((32, 1), (64, 1), (128, 2), (256, 2)), start=1):
        for position in range(1, depth + 1):
            name = f"block{block}_conv{position}"
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
        x = keras.layers.Dropout(0.2, name=f"block{block}_dropout")(x)
    model = keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="plain_cnn")
    if weights is not None:
        model.load_weights(weights)
    return model


def _compact_fer(stem, widths, depths, top, early=True, fine=0):
    """A residual network for grey faces of 48 px.

    Blocks of two 3×3 convolutions (He et al. 2016, arXiv 1512.03385) with averaged shortcuts (He et
    al. 2019, arXiv 1812.01187, figure 2c), squeeze and excitation (Hu et al. 2018) where the maps
    are smallest, swish. stem: channels of the first convolution. widths, depths: channels and blocks
    of each level, which is half as high and wide as the one before. top: channels that are averaged
    for the head. early: the first level has half the input's side, so that a CPU trains it, not all
    of it. fine: inner channels of a residual block before that halving, at the input's own side; it begins as the
    identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1), so that a network trained without it can
    be trained further with it; 0 for none.
    """

    def convolve(x, filters, size, name, activation="swish", strides=1, gamma="ones"):
        x = keras.layers.Conv2D(
            filters, size, strides=strides, padding="same", use_bias=False, name=name
        )(x)
        x = keras.layers.BatchNormalization(gamma_initializer=gamma, name=f"{name}_bn")(x)
        return keras.layers.Activation(activation, name=f"{name}_{activation}")(x)

    def excite(x, name):
        filters = x.shape[-1]
        share = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        share = keras.layers.Conv2D(filters // 4, 1, activation="swish", name=f"{name}_reduce")(
            share
        )
        share = keras.layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_expand")(share)
        return keras.layers.Multiply(name=f"{name}_excite")([x, share])

    def drop(x, rate, name):
        """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): at times the branch is left out."""
        if not rate:
            return x
        shape = (None,) + (1,) * (len(x.shape) - 1)
        return keras.layers.Dropout(rate, noise_shape=shape, name=f"{name}_drop")(x)

    def build(weights, input_tensor, stochastic_depth):
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(input_tensor)
        x = convolve(x, stem, 3, "stem_conv")
        if fine:
            branch = convolve(x, fine, 3, "fine_conv1")
            branch = convolve(branch, stem, 3, "fine_conv2", "linear", gamma="zeros")
            x = keras.layers.Add(name="fine_add")([x, branch])
        if early:
            x = keras.layers.MaxPooling2D(name="stem_pool")(x)
        for level, (filters, depth) in enumerate(zip(widths, depths), start=1):
            for position in range(1, depth + 1):
                name = f"block{level}_{position}"
                block = sum(depths[: level - 1]) + position
                rate = (stochastic_depth or 0.0) * block / sum(depths)
                shortcut, strides = x, 2 if level > 1 and position == 1 else 1
                if strides == 2:
                    shortcut = keras.layers.AveragePooling2D(2, name=f"{name}_pool")(shortcut)
                if x.shape[-1] != filters:
                    shortcut = convolve(shortcut, filters, 1, f"{name}_shortcut", "linear")
                x = convolve(x, filters, 3, f"{name}_conv1", strides=strides)
                x = convolve(x, filters, 3, f"{name}_conv2", "linear")
                if level == len(widths):
                    x = excite(x, name)
                x = drop(x, rate, name)
                x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
                x = keras.layers.Activation("swish", name=f"{name}_swish")(x)
        x = convolve(x, top, 1, "top_conv")
        model = keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="compact_fer")
        if weights is not None:
            model.load_weights(weights)
        return model

    return build


_V1 = "Tan & Le 2019, EfficientNet: Rethinking Model Scaling (arXiv 1905.11946)"
_V2 = "Tan & Le 2021, EfficientNetV2: Smaller Models and Faster Training (arXiv 2104.00298)"
_V1_BLOCKS = ("stem", "block1", "block2", "block3", "block4", "block5", "block6", "block7", "top")
_V2_BLOCKS = ("stem", "block1", "block2", "block3", "block4", "block5", "block6", "top")
_COMPACT_BLOCKS = ("stem", "block1", "block2", "block3", "top")
_LARGE_BLOCKS = ("stem", "block1", "block2", "block3", "block4", "top")
_COMPACT = "this package: the networks that it ships trained"

BACKBONES = {
    "EfficientNetV2S": Backbone(_application("EfficientNetV2S"), 384, _V2_BLOCKS, 20_331_360, _V2),
    "EfficientNetV2B0": Backbone(_application("EfficientNetV2B0"), 224, _V2_BLOCKS, 5_919_312, _V2),
    "EfficientNetV2B1": Backbone(_application("EfficientNetV2B1"), 240, _V2_BLOCKS, 6_931_124, _V2),
    "EfficientNetV2B2": Backbone(_application("EfficientNetV2B2"), 260, _V2_BLOCKS, 8_769_374, _V2),
    "EfficientNetV2B3": Backbone(
        _application("EfficientNetV2B3"), 300, _V2_BLOCKS, 12_930_622, _V2
    ),
    "EfficientNetB0": Backbone(_application("EfficientNetB0"), 224, _V1_BLOCKS, 4_049_571, _V1),
    "EfficientNetB2": Backbone(_application("EfficientNetB2"), 260, _V1_BLOCKS, 7_768_569, _V1),
    "plain_cnn": Backbone(
        _plain_cnn,
        48,
        ("block1", "block2", "block3", "block4"),
        1_128_672,
        "this package: the plain baseline that papers compare with",
        imagenet=False,
        residual=False,
    ),
    "CompactFERNano": Backbone(
        _compact_fer(16, (16, 32, 56), (1, 2, 1), 128), 48, _COMPACT_BLOCKS, 94_774, _COMPACT, False
    ),
    "CompactFERSmall": Backbone(
        _compact_fer(32, (32, 64, 128), (1, 2, 3), 256),
        48,
        _COMPACT_BLOCKS,
        1_033_664,
        _COMPACT,
        False,
    ),
    "CompactFERNanoFine": Backbone(
        _compact_fer(16, (16, 32, 56), (1, 2, 1), 128, fine=8),
        48,
        _COMPACT_BLOCKS,
        97_174,
        _COMPACT,
        False,
    ),
    "CompactFERSmallFine": Backbone(
        _compact_fer(32, (32, 64, 128), (1, 2, 3), 256, fine=32),
        48,
        _COMPACT_BLOCKS,
        1_052_352,
        _COMPACT,
        False,
    ),
    "CompactFERNanoWhole": Backbone(
        _compact_fer(16, (16, 24, 32, 40), (1, 2, 2, 1), 96, early=False),
        48,
        _LARGE_BLOCKS,
        93_826,
        "this package: all 48 px with the nano network's parameters",
        False,
    ),
    "CompactFERSmallWhole": Backbone(
        _compact_fer(32, (32, 64, 96, 128), (2, 2, 2, 2), 256, early=False),
        48,
        _LARGE_BLOCKS,
        1_101_216,
        "this package: all 48 px with the small network's parameters",
        False,
    ),
    "CompactFERLarge": Backbone(
        _compact_fer(64, (64, 128, 256, 352), (2, 2, 2, 2), 352, early=False),
        48,
        _LARGE_BLOCKS,
        7_283_248,
        "this package: all 48 px and an accelerator",
        False,
    ),
    "tiny": Backbone(
        _tiny,
        48,
        ("block1", "block2", "block3", "block4", "top"),
        53_680,
        "this package: for the quickstart and for tests",
        imagenet=False,
        residual=False,
    ),
}


def get(name):
    """Returns the `Backbone` of that name, or raises `UserError` with the valid names."""
    if name not in BACKBONES:
        raise UserError(
            f"backbone: expected one of {', '.join(BACKBONES)}. Change it in the "
            f"experiment file or with --set. Received: {name!r}"
        )
    return BACKBONES[name]


def build(name, weights, input_tensor, stochastic_depth=None):
    """Builds a backbone on `input_tensor` (`[b, s, s, 3]`, 0..255), its layers in the same graph.

    weights: "imagenet" (downloaded by Keras on first use), "none", or a file of Keras weights
    (.weights.h5 or .h5). stochastic_depth: the rate at which training drops the branch of the last
    block, falling linearly towards the first; None: as the backbone's authors have it (EfficientNet
    0.2, those of this package 0). Raises `UserError` when weights cannot be had or do not fit.
    """
    backbone = get(name)
    if stochastic_depth is not None and not backbone.residual:
        raise UserError(
            f"stochastic_depth: expected none with {name!r}, which has no residual branches to drop. "
            f"Received: {stochastic_depth}"
        )
    if weights == "none":
        return backbone.build(None, input_tensor, stochastic_depth)
    if weights == "imagenet":
        if not backbone.imagenet:
            raise UserError(
                f"weights: there are no ImageNet weights for {name!r}. Use --set "
                "weights=none. Received: 'imagenet'"
            )
        try:
            return backbone.build("imagenet", input_tensor, stochastic_depth)
        except Exception as error:  # Keras wraps each network failure in its own kind
            raise UserError(
                f"weights: expected to download the ImageNet weights of {name} (or to find them in "
                "~/.keras/models). Connect to the internet once, or give a file with --set "
                "weights=PATH, or train from random weights with --set weights=none. "
                f"Received: {_first_line(error)}"
            ) from None
    path = os.path.expanduser(weights)
    if not os.path.isfile(path):
        raise UserError(
            f"weights: expected 'imagenet', 'none' or the path of a .weights.h5 or .h5 "
            f"file. Change it with --set weights=... Received: {weights!r}, "
            "no such file"
        )
    if not path.endswith(".h5"):
        raise UserError(
            "weights: expected a file of Keras weights named .weights.h5 or .h5. "
            f"Received: {weights!r}"
        )
    try:
        return backbone.build(path, input_tensor, stochastic_depth)
    except Exception as error:  # h5py and Keras raise many kinds for files that do not fit
        raise UserError(
            f"weights: expected Keras weights of {name} without top. Check that the "
            f"file belongs to this backbone. Received: {path}: "
            f"{_first_line(error)}"
        ) from None


def _first_line(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
