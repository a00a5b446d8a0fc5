"""Facial emotion recognition with Keras 3: predict, train, evaluate, export.

`predict_emotions(faces)` gives the probabilities of `EMOTIONS` for cropped faces, `detect_emotions(photo)`
finds the faces first, and `analyze_video(path)` returns a table. `train_model(recipe, data)` trains and
`open_run(path)` opens a trained run. `load(name)` gives a plain Keras model. `read_faces(path)` reads a
data set. Nothing heavy is imported before it is used.
"""

import importlib
import typing

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

__version__ = "0.2.0.dev0"
_HOMES = {  # of what is imported at its first use
    "Explanation": "insideout_tf.api.explain",
    "Run": "insideout_tf.api.run",
    "analyze_video": "insideout_tf.api.predict",
    "audit_labels": "insideout_tf.api.audit",
    "compare_models": "insideout_tf.api.compare",
    "cross_validate": "insideout_tf.api.cross_validate",
    "detect_emotions": "insideout_tf.api.predict",
    "embed": "insideout_tf.api.embed",
    "explain_images": "insideout_tf.api.explain",
    "load": "insideout_tf.api.load",
    "open_run": "insideout_tf.api.run",
    "predict_emotions": "insideout_tf.api.predict",
    "predict_files": "insideout_tf.api.predict_files",
    "read_faces": "insideout_tf.data.read",
    "report_runs": "insideout_tf.api.report",
    "sweep_recipe": "insideout_tf.api.sweep",
    "train_model": "insideout_tf.api.train",
    "warm_up": "insideout_tf.api.warm_up",
}
__all__ = [
    "EMOTIONS",
    "Explanation",
    "Run",
    "UserError",
    "__version__",
    "analyze_video",
    "audit_labels",
    "compare_models",
    "cross_validate",
    "detect_emotions",
    "embed",
    "explain_images",
    "load",
    "open_run",
    "predict_emotions",
    "predict_files",
    "read_faces",
    "report_runs",
    "sweep_recipe",
    "train_model",
    "warm_up",
]

if typing.TYPE_CHECKING:  # so that editors and type checkers see the signatures
    from insideout_tf.api.audit import audit_labels
    from insideout_tf.api.compare import compare_models
    from insideout_tf.api.cross_validate import cross_validate
    from insideout_tf.api.embed import embed
    from insideout_tf.api.explain import Explanation, explain_images
    from insideout_tf.api.load import load
    from insideout_tf.api.predict import analyze_video, detect_emotions, predict_emotions
    from insideout_tf.api.predict_files import predict_files
    from insideout_tf.api.report import report_runs
    from insideout_tf.api.run import Run, open_run
    from insideout_tf.api.sweep import sweep_recipe
    from insideout_tf.api.train import train_model
    from insideout_tf.api.warm_up import warm_up
    from insideout_tf.data.read import read_faces


def __getattr__(name):
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_HOMES})
