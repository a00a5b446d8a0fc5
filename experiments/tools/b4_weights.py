"""Writes EfficientNet-B4's ImageNet weights for Keras from an .npz that lacks block 7b's kernels.

    python experiments/tools/b4_weights.py PARTIAL.npz efficientnetb4_notop.weights.h5

The .npz holds arrays by Keras' names (`stem_conv/kernel`, ...). What it lacks keeps its random start;
the last BatchNorm of block 7b gets zero scale and shift, so that the block begins as the identity and
the network computes what it was trained to (that BatchNorm must then stay trainable).
"""

import argparse
import pathlib

import numpy as np

from insideout_tf import devices, errors, runs
from insideout_tf.errors import UserError

MISSING = {"block7b_expand_conv/kernel", "block7b_project_conv/kernel"}
ZEROED = {"block7b_project_bn/gamma", "block7b_project_bn/beta"}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of images in 0..1


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("destination", type=pathlib.Path, help="named *.weights.h5")
    arguments = parser.parse_args(argv)
    with errors.reported("b4_weights.py"):
        write(arguments.source, arguments.destination)


def write(source, destination):
    """Fills a Keras EfficientNetB4 without top from `source` and saves its weights."""
    devices.prepare_backend()
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.EfficientNetB4(include_top=False, weights=None)
    with np.load(source) as file:
        arrays = {name: file[name].astype(np.float32) for name in file.files}
    normalization = {
        "normalization/mean": np.array(MEAN, np.float32),
        "normalization/variance": np.square(np.array(DEVIATION, np.float32)),
        "normalization/count": np.zeros((), np.int32),
    }
    unfilled = set()
    for variable in model.weights:
        name = variable.path
        if name in ZEROED:
            array = np.zeros(variable.shape, np.float32)
        elif name in normalization:
            array = normalization[name].reshape(variable.shape)
        elif name in arrays:
            array = arrays.pop(name)
        else:
            unfilled.add(name)
            continue
        variable.assign(array)
    left = set(arrays) - ZEROED - set(normalization)
    if unfilled != MISSING or left:
        raise UserError(
            f"{source}: expected every array of EfficientNet-B4 but {', '.join(sorted(MISSING))}. "
            f"Received: also without {sorted(unfilled - MISSING)[:3]}, with {sorted(left)[:3]} besides"
        )
    with runs.replacing(destination) as temporary:
        model.save_weights(temporary)


if __name__ == "__main__":
    main()
