"""Facial emotion recognition on FER2013 with Keras 3: inspect, train, judge.

`read_faces(path)` returns `fer2013.Faces`; `load_model(run_or_model)` a plain Keras model from
float32 `[n, 48, 48, 1]` grey levels 0..255 to `[n, 7]` probabilities in the order of `EMOTIONS`.
"""

from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError

__version__ = "0.1.0"
__all__ = ["EMOTIONS", "UserError", "__version__", "load_model", "read_faces"]


def read_faces(path, bad_rows="stop", use_cache=True):
    """Reads FER2013 in any published form; see `insideout_tf.fer2013.read`."""
    from insideout_tf import fer2013

    return fer2013.read(path, bad_rows, use_cache)


def load_model(run_or_model):
    """Loads the model of a run directory, or of a .keras file, in Keras' safe mode."""
    from insideout_tf import devices, runs

    path, _ = runs.model_path(run_or_model)
    devices.prepare_backend()
    return runs.load_model(path)
