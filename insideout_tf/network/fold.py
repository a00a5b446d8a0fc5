"""Folds parallel branches into one convolution, for inference (Ding et al. 2021, arXiv 2101.03697)."""

import numpy as np

SUM = "_branches"  # the end of the names of the layers that add branches
REPLICATE = "replicate"  # the layer that makes three channels of grey levels


def fold_branches(model):
    """Returns the model with one 3×3 convolution in place of each sum of branches; itself if it has none.

    A branch ends in BatchNorm with its moving statistics. Before it is a 3×3 convolution, a 1×1 convolution, or no
    layer. All of these are linear, so their sum is one convolution with a bias (section 3.3 of the paper). The
    first convolution takes grey levels in place of three equal channels. The result differs by rounding alone.
    The given model is not changed.

    Args:
        model: a Keras model of `build_network`, or one that `weights.load_model` has loaded.
    """
    import keras  # here, since verbs import this module before they choose a backend

    sums = {layer.name for layer in model.layers if _is_sum(model, layer)}
    if not sums:
        return model
    origin: dict = {}  # id of a tensor: (name of its layer, input of the layer, the tensor)
    folded: dict = {}  # name of a convolution: its kernel and bias

    def call(layer, *inputs, **keywords):
        if layer.name == REPLICATE:
            return inputs[0][0]
        if layer.name in sums:
            branches = [_trace(tensor, origin) for tensor in inputs[0]]
            source = branches[0][1]
            parts = [[model.get_layer(name) for name in names] for names, _ in branches]
            weights = [_to_kernel(part, source.shape[1:3]) for part in parts]
            name = layer.name.removesuffix(SUM) + "_conv"
            kernel, bias = (np.sum(each, 0) for each in zip(*weights))
            if kernel.shape[2] > source.shape[-1]:  # all channels are one grey level
                kernel = kernel.sum(2, keepdims=True)
            folded[name] = [kernel.astype(np.float32), bias.astype(np.float32)]
            convolve = keras.layers.Conv2D(
                folded[name][0].shape[-1],
                3,
                strides=_strides_of(parts[0]),
                padding="same",
                name=name,
            )
            return convolve(source)
        result = layer(*inputs, **keywords)
        origin[id(result)] = (layer.name, inputs[0] if inputs else None, result)
        return result

    plain = keras.models.clone_model(model, call_function=call)
    for layer in filter(lambda layer: layer.weights, plain.layers):
        layer.set_weights(folded.get(layer.name) or model.get_layer(layer.name).get_weights())
    if hasattr(model, "contract"):  # of `weights.load_model`
        plain.contract = model.contract
    return plain


def _is_sum(model, layer):
    """Returns True for a layer that adds the branches of a block of `compact.build_branched`."""
    name = layer.name.removesuffix(SUM)
    kinds = {type(each).__name__ for each in model.layers if each.name == f"{name}_conv3_bn"}
    return name != layer.name and type(layer).__name__ == "Add" and kinds == {"BatchNormalization"}


def _trace(tensor, origin):
    """Returns (names of the layers of a branch, from its end; the tensor that all branches take)."""
    normalize, source, _ = origin[id(tensor)]
    name, before, _ = origin[id(source)]
    is_convolution = name == normalize.removesuffix("_bn")
    return ((normalize, name), before) if is_convolution else ((normalize,), source)


def _strides_of(branch):
    """Returns the strides of a branch's convolution; of a branch without one, (1, 1)."""
    return branch[1].strides if len(branch) > 1 else (1, 1)


def _to_kernel(branch, sides):
    """Returns a 3×3 kernel `[3, 3, in, out]` and a bias `[out]`, float64, of a branch's layers from its end.

    sides: (height, width) of the branch's input.
    """
    normalize, *convolutions = branch
    gamma, beta, mean, variance = (np.asarray(each, np.float64) for each in normalize.get_weights())
    scale = gamma / np.sqrt(variance + normalize.epsilon)
    kernel = np.eye(len(scale))[None, None]
    if convolutions:
        kernel = np.asarray(convolutions[0].get_weights()[0], np.float64)
    if len(kernel) == 1:
        # With a stride of 2, Keras' padding "same" of an even side begins on the first pixel, not before it.
        middle = [int(stride == 1 or side % 2) for stride, side in zip(_strides_of(branch), sides)]
        small, kernel = kernel, np.zeros((3, 3, *kernel.shape[2:]))
        kernel[*middle] = small[0, 0]
    return kernel * scale, beta - mean * scale
