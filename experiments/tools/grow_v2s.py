"""Grow EfficientNetV2-B0's ImageNet weights into a start for EfficientNetV2-S.

    python experiments/tools/grow_v2s.py efficientnetv2-b0_notop.weights.h5 v2s_grown.weights.h5 --data fer2013.csv

Both networks have the same stages; V2-S is wider and deeper. As in Net2Net (Chen et al. 2016, arXiv
1511.05641), the larger network begins as the same function as the smaller one:

- A kernel holds the smaller kernel in its first channels. New outputs keep their random start. Weights
  from new inputs to old outputs are zero, so that they change nothing at first and get gradients at once.
- A block that the smaller network lacks is a copy of the block before it, whose last BatchNorm has zero
  scale. Its shortcut makes it the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
- The stem and stage 1 cannot be embedded: V2-S has 24 channels there where B0 has 32, and shortcuts where
  B0 has none. They and the kernel after them are fitted to B0's first maps of stage 2, on the Training
  part of FER2013, without its labels.
"""

import argparse
import math
import pathlib

import numpy as np

from insideout_tf import devices, errors, files
from insideout_tf.data.read import read_faces
from insideout_tf.network import backbones

SIZE, EPOCHS, BATCH, LEARNING_RATE = 64, 2, 64, 3e-3  # of the fit; pixels a side
MATCHED = "block2a_expand_bn"  # the first layer whose outputs both networks share
FITTED = ("stem", "block1")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="EfficientNetV2-B0's weights without top, for Keras")
    parser.add_argument("destination", type=pathlib.Path, help="named *.weights.h5")
    parser.add_argument("--data", required=True, help="FER2013")
    arguments = parser.parse_args(argv)
    with errors.reported("grow_v2s.py"):
        faces = read_faces(arguments.data)
        grow(arguments.source, arguments.destination, faces.pixels[faces.usage == 0])


def grow(source, destination, pixels):
    """Writes the grown weights and prints how close the networks are; pixels: uint8 `[n, 48, 48]`."""
    devices.prepare_backend()
    import keras

    keras.utils.set_random_seed(0)
    small = backbones.build("EfficientNetV2B0", source, keras.Input((None, None, 3)))
    large = backbones.build("EfficientNetV2S", "none", keras.Input((None, None, 3)))
    embed(small, large)
    pixels = np.repeat(pixels[..., None], 3, axis=-1)
    fit(keras, small, large, pixels)
    probe = keras.ops.image.resize(pixels[:: len(pixels) // 256].astype("float32"), (SIZE, SIZE))
    share = explained_variance(small, large, probe)
    print(f"explained variance of B0's features: {share:.4f}", flush=True)
    with files.replacing(destination) as temporary:
        large.save_weights(temporary)


def embed(small, large):
    """Copies the weights of `small` into `large`; the stem and stage 1 as far as channels allow."""
    weights = {variable.path: variable.numpy() for variable in small.weights}
    channels = np.sort(
        np.argsort(-np.abs(weights["block1a_project_conv/kernel"]).sum((0, 1, 3)))[
            : large.get_layer("stem_bn").gamma.shape[0]
        ]
    )
    adapt_stem(weights, small, large, channels)
    last_block = {}  # stage: its last block that `small` has
    for layer in large.layers:
        block, _, part = layer.name.partition("_")
        source = block
        if block[:-1].startswith("block"):
            if any(path.startswith(f"{block}_") for path in weights):
                last_block[block[:-1]] = block
            source = last_block[block[:-1]]
        for variable in layer.weights:
            name = variable.path.rsplit("/", 1)[1]
            array = weights.get(f"{source}_{part}/{name}")
            if array is not None:
                variable.assign(embed_array(variable.numpy(), array, layer.name))
            if source != block and part == "project_bn" and name in ("gamma", "beta"):
                variable.assign(np.zeros(variable.shape, np.float32))


def adapt_stem(weights, small, large, channels):
    """Rewrites B0's stem for V2-S's pixel range and channels, and moves stage 1 to block 1b.

    B0 normalises to (x / 255 - mean) / deviation, V2-S to x / 128 - 1.
    """
    normalization = small.get_layer("normalization")
    mean, deviation = (
        np.ravel(np.asarray(value)) for value in (normalization.mean, normalization.variance)
    )
    deviation = np.sqrt(deviation)
    kernel = weights["stem_conv/kernel"]
    constant = (128 / 255 - mean) / deviation
    weights["stem_bn/moving_mean"] -= np.einsum("hwio,i->o", kernel, constant)
    weights["stem_conv/kernel"] = kernel * (128 / 255 / deviation)[None, None, :, None]
    for name in [name for name in weights if name.startswith("stem_")]:
        weights[name] = weights[name][..., channels]
    weights["block1a_project_conv/kernel"] = weights["block1a_project_conv/kernel"][:, :, channels]
    for name in [name for name in weights if name.startswith("block1a_")]:
        weights[name.replace("block1a", "block1b")] = weights.pop(name)
    # Block 1a begins as the identity.
    width = large.get_layer("block1a_project_bn").gamma.shape[0]
    weights["block1a_project_bn/gamma"] = np.zeros(width, np.float32)


def embed_array(array, smaller, name):
    """Returns `array` with `smaller` in its first channels, as in the module's first rule."""
    array = array.copy()
    region = tuple(slice(size) for size in smaller.shape)
    if array.ndim == 4 and "dwconv" not in name:
        array[:, :, :, : smaller.shape[3]] = 0
    array[region] = smaller
    return array


def fit(keras, small, large, pixels):
    """Fits the layers of `large` up to `MATCHED` to the output of `MATCHED` in `small`."""
    teacher = keras.Model(small.input, small.get_layer(MATCHED).output, name="teacher")
    student = keras.Model(large.input, large.get_layer(MATCHED).output, name="student")
    width = teacher.output.shape[-1]
    teacher.trainable = False
    large.get_layer(MATCHED).trainable = False
    image = keras.Input((*pixels.shape[1:],))
    resized = keras.layers.Resizing(SIZE, SIZE)(image)
    error = student(resized)[..., :width] - teacher(resized)
    distance = keras.ops.mean(keras.ops.square(error), axis=(1, 2, 3))
    model = keras.Model(image, distance)
    steps = EPOCHS * math.ceil(len(pixels) / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(schedule), loss=lambda _, value: keras.ops.mean(value))
    nothing = np.zeros(len(pixels), np.float32)
    model.fit(pixels, nothing, BATCH, EPOCHS, verbose=2)
    large.get_layer(MATCHED).trainable = True


def explained_variance(small, large, images):
    """Returns the share of the variance of `small`'s features over `images` that `large` explains."""
    expected, actual = (model.predict(images, verbose=0).mean((1, 2)) for model in (small, large))
    return 1 - np.square(actual - expected).sum() / np.square(expected - expected.mean(0)).sum()


if __name__ == "__main__":
    main()
