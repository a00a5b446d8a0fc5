"""Write a file for deepface's emotion network with random weights, to time it where its own cannot be had.

    pip install deepface "opencv-contrib-python-headless<5" tensorflow tf2onnx onnx
    python benchmarks/deepface_weights.py HOME
    DEEPFACE_HOME=HOME python benchmarks/bulk.py FOLDER --only deepface

deepface downloads `facial_expression_model_weights.onnx` when it is first used. Without a way to GitHub or Hugging
Face, `bulk.py` skips it. This script builds the network of deepface's TensorFlow module, leaves its random weights,
and puts an ONNX file of that name where deepface looks below HOME. The speed is that of the real file. The emotions
mean nothing, so use another folder than your own home.

OpenCV below 5 has the Haar cascades, deepface's default detector, in its package.
"""

import argparse
import os
import pathlib
import sys

import numpy as np

NAME = "facial_expression_model_weights.onnx"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=pathlib.Path)
    place = parser.parse_args().home / ".deepface" / "weights" / NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        sys.exit(f"deepface_weights.py: expected a new file. Received: {place} is there already")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from deepface.commons import weight_utils

    weight_utils.download_weights_if_necessary = lambda **_: ""
    weight_utils.load_model_weights = lambda model, weight_file: model
    from deepface.models.demography.tf.Emotion import load_model

    model = load_model()
    model(np.zeros((1, 48, 48, 1), np.float32))  # builds its graph for the export
    unfinished = place.with_suffix(".part.onnx")
    model.export(unfinished, format="onnx", verbose=False)
    unfinished.rename(place)
    print(f"{place}: {model.count_params():,} random weights")


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        sys.exit(f"deepface_weights.py: install the packages that its docstring names ({error})")
