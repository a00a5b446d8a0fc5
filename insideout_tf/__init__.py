"""Facial emotion recognition on FER2013 with Keras 3: predict, inspect, train, judge.

`predict_emotions(faces)` tells the probabilities of `EMOTIONS` of cropped faces by a model that comes with
the package; `detect_emotions(photo)` finds the faces first;
`load("small")`, or of a run or .keras file, a plain Keras model from float32 `[n, 48, 48, 1]` grey
levels 0..255 to `[n, 7]`; `read_faces(path)` FER2013 as `fer2013.Faces`.
"""

import importlib

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

__version__ = "0.2.0.dev0"
__all__ = [
    "EMOTIONS",
    "UserError",
    "__version__",
    "analyze_video",
    "detect_emotions",
    "load",
    "predict_emotions",
    "read_faces",
]
_API = {
    name: "insideout_tf.api.predict"
    for name in ("analyze_video", "detect_emotions", "predict_emotions")
}


def read_faces(path, bad_rows="stop"):
    """Reads FER2013 in any published form; see `insideout_tf.data.read.read_faces`."""
    from insideout_tf.data import read

    return read.read_faces(path, bad_rows)


def load(model="small"):
    """Loads a packaged model by name, or that of a run directory or .keras file, in safe mode.

    Probabilities are as the network gives them; `predict_emotions` calibrates those of packaged models.
    """
    from insideout_tf import devices
    from insideout_tf.network.weights import load_model
    from insideout_tf.serving import packaged

    path, _ = packaged.model_path(model)
    devices.prepare_backend()
    return load_model(path)


def __getattr__(name):
    """Imports the functions of `insideout_tf.api` when they are first used."""
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(importlib.import_module(_API[name]), name)
    return globals()[name]


def __dir__():
    return sorted({*globals(), *__all__})
