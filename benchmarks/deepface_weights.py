"""Write a file for deepface's emotion network with random weights, to time it where its own cannot be had.

    pip install deepface "opencv-contrib-python-headless<5" tensorflow tf2onnx onnx
    python benchmarks/deepface_weights.py

deepface downloads `facial_expression_model_weights.onnx` when it is first used. Without a way to GitHub or Hugging
Face, `bulk.py` skips it. This script builds the network of deepface's TensorFlow module, leaves its random weights,
and puts an ONNX file of that name where deepface looks. The speed is that of the real file; the emotions mean
nothing. A file that is there already is kept.

OpenCV below 5 has the Haar cascades, deepface's default detector, in its package.
"""

import os
import pathlib
import sys

import numpy as np

NAME = "facial_expression_model_weights.onnx"


def main():
    from deepface.commons import folder_utils, weight_utils

    folder_utils.initialize_folder()
    place = pathlib.Path(folder_utils.get_deepface_home(), ".deepface", "weights", NAME)
    if place.exists():
        print(f"{place} is there already")
        return
    weight_utils.download_weights_if_necessary = lambda **_: ""
    weight_utils.load_model_weights = lambda model, weight_file: model
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
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
