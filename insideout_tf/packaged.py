"""The trained models that come with the package: their files, and what is known of each."""

import functools
import json
import pathlib

from insideout_tf.errors import UserError

FOLDER = pathlib.Path(__file__).resolve().parent / "models"
DEFAULT = "small"


def names():
    """Returns the names of the packaged models, the smallest first."""
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.tflite")}
    return sorted(sizes, key=lambda name: sizes[name])


def path_of(name, suffix):
    """Returns the path of a packaged model, suffix ".keras", ".tflite" or ".json".

    Raises `UserError` with the valid names.
    """
    if name not in names():
        raise UserError(
            f"model: expected one of {', '.join(names())}, or the path of a run, a .keras or a "
            f".tflite file. Received: {name!r}"
        )
    return FOLDER / f"{name}{suffix}"


@functools.cache
def facts(name):
    """Returns what a packaged model's .json says: temperature, figures, recipe, checksums."""
    return json.loads(path_of(name, ".json").read_text("utf-8"))
