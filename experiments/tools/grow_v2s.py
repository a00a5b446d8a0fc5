"""Grows EfficientNetV2-B0's ImageNet weights into a start for EfficientNetV2-S.

    python experiments/tools/grow_v2s.py efficientnetv2-b0_notop.weights.h5 v2s_grown.weights.h5 --data fer2013.csv

Both networks have the same stages; V2-S is wider and deeper. As in Net2Net (Chen et al. 2016, arXiv
1511.05641) the larger network begins as the function of the smaller one:

- A kernel holds the smaller one in its first channels. New outputs keep their random start; from new
  inputs to old outputs it is zero, so that they change nothing at first and get gradients at once.
- A block that the smaller network lacks is a copy of the one before it whose last BatchNorm has zero
  scale: the identity, by its shortcut (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
- The stem and stage 1 cannot be embedded (V2-S has 24 channels there where B0 has 32, and shortcuts where
  B0 has none). They and the kernel that reads them are fitted to B0's first maps of stage 2 on the
  Training part of FER2013, without its labels.
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
    """Writes the grown weights and prints how near the two networks are; pixels: `[n, 48, 48]`."""
    devices.prepare_backend()
    import keras

    keras.utils.set_random_seed(0)
    small = backbones.build("EfficientNetV2B0", source, keras.Input((None, None, 3)))
    large = backbones.build("EfficientNetV2S", "none", keras.Input((None, None, 3)))
    embed(small, large)
    pixels = np.repeat(pixels[..., None], 3, axis=-1)
    fit(keras, small, large, pixels)
    probe = keras.ops.image.resize(pixels[:: len(pixels) // 256].astype("float32"), (SIZE, SIZE))
    print(f"explained of B0's features: {explained(small, large, probe):.4f}", flush=True)
    with files.replacing(destination) as temporary:
        large.save_weights(temporary)


def embed(small, large):
    """Fills `large` with the weights of `small`; stem and stage 1 as near as channels allow."""
    have = {variable.path: variable.numpy() for variable in small.weights}
    kept = np.sort(
        np.argsort(-np.abs(have["block1a_project_conv/kernel"]).sum((0, 1, 3)))[
            : large.get_layer("stem_bn").gamma.shape[0]
        ]
    )
    adapt_stem(have, small, large, kept)
    before = {}  # stage: its last block that `small` has
    for layer in large.layers:
        block, _, part = layer.name.partition("_")
        source = block
        if block[:-1].startswith("block"):
            if any(path.startswith(f"{block}_") for path in have):
                before[block[:-1]] = block
            source = before[block[:-1]]
        for variable in layer.weights:
            name = variable.path.rsplit("/", 1)[1]
            array = have.get(f"{source}_{part}/{name}")
            if array is not None:
                variable.assign(embedded(variable.numpy(), array, layer.name))
            if source != block and part == "project_bn" and name in ("gamma", "beta"):
                variable.assign(np.zeros(variable.shape, np.float32))


def adapt_stem(have, small, large, kept):
    """Rewrites B0's stem for V2-S' scale of pixels and channels, and moves stage 1 to block 1b.

    B0 takes (x / 255 - mean) / deviation, V2-S x / 128 - 1.
    """
    normalization = small.get_layer("normalization")
    mean, deviation = (
        np.ravel(np.asarray(value)) for value in (normalization.mean, normalization.variance)
    )
    deviation = np.sqrt(deviation)
    kernel = have["stem_conv/kernel"]
    constant = (128 / 255 - mean) / deviation
    have["stem_bn/moving_mean"] -= np.einsum("hwio,i->o", kernel, constant)
    have["stem_conv/kernel"] = kernel * (128 / 255 / deviation)[None, None, :, None]
    for name in [name for name in have if name.startswith("stem_")]:
        have[name] = have[name][..., kept]
    have["block1a_project_conv/kernel"] = have["block1a_project_conv/kernel"][:, :, kept]
    for name in [name for name in have if name.startswith("block1a_")]:
        have[name.replace("block1a", "block1b")] = have.pop(name)
    # Block 1a begins as the identity.
    width = large.get_layer("block1a_project_bn").gamma.shape[0]
    have["block1a_project_bn/gamma"] = np.zeros(width, np.float32)


def embedded(array, smaller, name):
    """Returns `array` with `smaller` in its first channels, as the module says."""
    array = array.copy()
    place = tuple(slice(size) for size in smaller.shape)
    if array.ndim == 4 and "dwconv" not in name:
        array[:, :, :, : smaller.shape[3]] = 0
    array[place] = smaller
    return array


def fit(keras, small, large, pixels):
    """Fits what comes before `MATCHED` in `large` to its output in `small`."""
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


def explained(small, large, images):
    """Returns the share of the variance of `small`'s features over `images` that `large` has."""
    want, got = (model.predict(images, verbose=0).mean((1, 2)) for model in (small, large))
    return 1 - np.square(got - want).sum() / np.square(want - want.mean(0)).sum()


if __name__ == "__main__":
    main()
