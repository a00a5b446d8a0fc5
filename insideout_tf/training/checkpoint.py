"""The checkpoint of a run: one file, whole, after an epoch."""

import errno
import json
import pathlib

import numpy as np

from insideout_tf import files
from insideout_tf.errors import UserError

CHECKPOINT, HISTORY, TENSORBOARD = "checkpoint.npz", "history.csv", "tensorboard"
COUNTERS = ("stage", "epoch", "best_epoch", "best_stage")  # of the progress, whole numbers


def save_checkpoint(directory, progress, arrays):
    """Writes one file with the JSON-able `progress` and a dict of arrays; the old one stays until then.

    Raises `UserError` if the folder of the run is no longer there.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise UserError(
            f"{directory}: expected the run folder to stay while it is written. Train again. "
            "Received: nothing there"
        )
    with files.replacing(directory / CHECKPOINT) as temporary:
        text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        with open(temporary, "wb") as file:
            np.savez(file, progress=text, **arrays)


def load_checkpoint(directory):
    """Returns (progress, arrays) of the last whole epoch, or (None, {}) before the first.

    Raises:
        UserError: the file is damaged.
        OSError: it cannot be read.
    """
    path = pathlib.Path(directory) / CHECKPOINT
    if not path.exists():
        return None, {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop("progress").tobytes()), arrays
    except Exception as error:  # zipfile, zlib, NumPy and json raise many kinds
        # A position outside a damaged file is EINVAL.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, f"{type(error).__name__}: {error}") from None


def check_checkpoint(directory, progress, arrays, stages, weights):
    """Raises `UserError` unless a checkpoint is one of this run.

    Args:
        directory: of the run.
        progress, arrays: as of `load_checkpoint`.
        stages: the `config.Stage`s of the experiment.
        weights: the arrays of the inference model, whose shapes the best weights must have.
    """
    path = pathlib.Path(directory) / CHECKPOINT
    if not isinstance(progress, dict):
        raise _damaged(path, f"progress {progress!r:.100}")
    for name in COUNTERS:
        if type(progress.get(name)) is not int or progress[name] < 0:
            raise _damaged(path, f"{name} {progress.get(name)!r:.100}")
    history = progress.get("history")
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise _damaged(path, f"history {history!r:.100}")
    if not isinstance(progress.get("best"), (int, float)):
        raise _damaged(path, f"best {progress.get('best')!r:.100}")
    stage, epoch = progress["stage"], progress["epoch"]
    if stage > len(stages) or (stage == len(stages) and epoch) or progress["best_stage"] > stage:
        raise _damaged(path, f"stage {stage} of {len(stages)}, the best {progress['best_stage']}")
    if stage < len(stages) and epoch > stages[stage].epochs or epoch > len(history):
        raise _damaged(
            path, f"epoch {epoch} of stage {stage}, {len(history)} epochs in the history"
        )
    check_shapes(directory, "best", weights, arrays)


def check_shapes(directory, prefix, variables, arrays):
    """Raises `UserError` unless a checkpoint holds an array of the shape of each variable.

    prefix: "best", "begin" or "state", which the names of the arrays begin with. variables: a list of arrays
    or variables.
    """
    path = pathlib.Path(directory) / CHECKPOINT
    count = sum(name.startswith(f"{prefix}_") for name in arrays)
    if count != len(variables):
        raise _damaged(path, f"{count} arrays named {prefix}_N for {len(variables)} variables")
    for index, variable in enumerate(variables):
        array = arrays.get(f"{prefix}_{index}")
        shape = None if array is None else tuple(array.shape)
        if shape != tuple(variable.shape) or array.dtype.kind not in "biufV":
            raise _damaged(path, f"{prefix}_{index} of shape {shape} for {tuple(variable.shape)}")


def _damaged(path, received):
    return UserError(
        f"{path}: expected a whole checkpoint of this run. It cannot be resumed; start again "
        f"with --overwrite. Received: {received}"
    )
