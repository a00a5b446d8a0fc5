"""The models in the package: their files and their facts. Finds the file of any model."""

import functools
import json
import os

from insideout_tf import fields, resources
from insideout_tf.data import inputs
from insideout_tf.errors import UserError

FOLDER = resources.folder() / "models"
MODEL, CONFIG = "model.keras", "config.json"  # names of files in a run folder
DEFAULT = "small"


def names():
    """Returns the names of the packaged models, the smallest first."""
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.tflite")}
    return sorted(sizes, key=lambda name: sizes[name])


def path_of(name, suffix):
    """Returns the path of a file of a packaged model.

    Args:
        name: one of `names()`.
        suffix: ".keras", ".tflite" or ".json".

    Raises:
        UserError: an unknown name, with the valid ones.
    """
    if name not in names():
        raise UserError(
            f"model: expected one of {', '.join(names())}, or the path of a run, a .keras or a "
            f".tflite file.{fields.hint(name, names())} Received: {name!r}"
        )
    return FOLDER / f"{name}{suffix}"


@functools.cache
def facts(name):
    """Returns the .json of a packaged model as a dict: temperature, figures, recipe, checksums.

    Raises:
        UserError: an unknown name.
    """
    return json.loads(path_of(name, ".json").read_text("utf-8"))


def model_path(run_or_model):
    """Returns the path of the .keras file of any model, and its run folder.

    Args:
        run_or_model: a run folder, a .keras file, or the name of a packaged model.

    Returns:
        (path, path of the run folder or None).

    Raises:
        UserError: nothing is there, or the run has not finished.
    """
    if str(run_or_model) in names():
        return path_of(str(run_or_model), ".keras"), None
    path = inputs.to_path(run_or_model, "a run folder or a .keras file")
    if os.path.isdir(path):  # False too for a name that the system does not take
        file = path / MODEL
        if not file.exists():
            reason = (
                "an interrupted run: finish it with --resume"
                if (path / CONFIG).exists()
                else "no run there"
            )
            raise UserError(f"{path}: expected a finished run with {MODEL}. Received: {reason}")
        return file, path
    if not os.path.exists(path):
        raise UserError(
            f"{path}: expected a run folder, a .keras file or a packaged model: "
            f"{', '.join(names())}.{fields.hint(str(run_or_model), names())} Check the path. "
            "Received: nothing there"
        )
    parent = path.parent
    return path, parent if path.name == MODEL and (parent / CONFIG).exists() else None
