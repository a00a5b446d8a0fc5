"""Average several models into one.

    python experiments/tools/ensemble.py ENSEMBLE.keras runs/A runs/B runs/C
    insideout evaluate ENSEMBLE.keras --data fer2013.csv --split public --out evaluated

The ensemble returns the mean of its members' probabilities (Lakshminarayanan et al. 2017, arXiv 1612.01474,
section 2.4). Each member resizes faces to its own size. Members are run folders, .keras files or packaged
models. The result is a plain Keras file: evaluate, predict, export and --teacher take it.
"""

import argparse
import pathlib

from insideout_tf import devices, errors
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("destination", type=pathlib.Path, help="named *.keras")
    parser.add_argument("member", nargs="+", help="a run folder, .keras file or packaged model")
    arguments = parser.parse_args(argv)
    with errors.reported("ensemble.py"):
        if len(arguments.member) < 2:
            raise UserError(f"expected at least two members. Received: {arguments.member[0]}")
        devices.prepare_backend()
        members = [load_model(packaged.model_path(name)[0]) for name in arguments.member]
        save_model(average_models(members), arguments.destination)


def average_models(members):
    """Returns a Keras model whose output is the mean of the members' probabilities.

    members: Keras models with the same input, `[n, side, side, channels]`, and the same classes.
    """
    import keras

    pixels = keras.Input(members[0].input_shape[1:], name="pixels", dtype="float32")
    probabilities = []
    for number, member in enumerate(members, start=1):
        member.name = f"member{number}"
        probabilities.append(member(pixels, training=False))
    mean = keras.layers.Average(name="probabilities")(probabilities)
    return keras.Model(pixels, mean, name="ensemble")


if __name__ == "__main__":
    main()
