"""The checkpoint of a run: one file, whole, after an epoch."""

import json
import pathlib

import numpy as np

from insideout_tf import files
from insideout_tf.errors import UserError

CHECKPOINT, HISTORY, TENSORBOARD = "checkpoint.npz", "history.csv", "tensorboard"


def save_checkpoint(directory, progress, arrays):
    """Writes one file with the JSON-able `progress` and a dict of arrays; the old one stays until then."""
    with files.replacing(pathlib.Path(directory) / CHECKPOINT) as temporary:
        text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        with open(temporary, "wb") as file:
            np.savez(file, progress=text, **arrays)


def load_checkpoint(directory):
    """Returns (progress, arrays) of the last whole epoch, or (None, {}) before the first."""
    path = pathlib.Path(directory) / CHECKPOINT
    if not path.exists():
        return None, {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop("progress").tobytes()), arrays
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, NumPy and json raise many kinds
        raise UserError(
            f"{path}: expected a whole checkpoint. It cannot be resumed; start again "
            f"with --overwrite. Received: {type(error).__name__}: {error}"
        ) from None
