"""Makes one model of several: its answer is the mean of theirs.

    python experiments/tools/ensemble.py ENSEMBLE.keras runs/A runs/B runs/C
    python -m insideout_tf.evaluate ENSEMBLE.keras --data fer2013.csv --split public --out JUDGED

Probabilities are averaged (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4); each model keeps
the size it sees faces at. Members are run directories, .keras files or packaged models. The result is a
plain Keras file like those of the members: evaluate, predict, export and --teacher take it.
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
    parser.add_argument("member", nargs="+", help="a run directory, .keras file or packaged model")
    arguments = parser.parse_args(argv)
    with errors.reported("ensemble.py"):
        if len(arguments.member) < 2:
            raise UserError(f"expected at least two members. Received: {arguments.member[0]}")
        devices.prepare_backend()
        members = [load_model(packaged.model_path(name)[0]) for name in arguments.member]
        save_model(join(members), arguments.destination)


def join(members):
    """Returns a Keras model `[n, 48, 48, 1]` → `[n, 7]`, the mean of the members' answers."""
    import keras

    pixels = keras.Input((48, 48, 1), name="pixels", dtype="float32")
    answers = []
    for number, member in enumerate(members, start=1):
        member.name = f"member{number}"
        answers.append(member(pixels, training=False))
    mean = keras.layers.Average(name="probabilities")(answers)
    return keras.Model(pixels, mean, name="ensemble")


if __name__ == "__main__":
    main()
