"""The one way from faces to probabilities: batches, views, temperature, on every engine."""

import collections.abc
import os
import typing

import numpy as np

from insideout_tf import processes
from insideout_tf.data import images, inputs
from insideout_tf.data.contract import Contract
from insideout_tf.errors import UserError
from insideout_tf.serving import engines, packaged

TTA = ("none", "flip")  # test-time averaging
CACHED_MODELS = 4  # models that stay loaded between calls
BATCH_SIZE = 256


class Recognizer(typing.NamedTuple):
    """A function from faces to probabilities, with what the model behind it takes and means.

    Attributes:
        contract: the `Contract` of the model.
    """

    function: collections.abc.Callable
    contract: Contract

    def __call__(self, faces):
        """Returns float32 `[n, k]` of uint8 faces `[n, *contract.face_shape]`."""
        return self.function(faces)


def load_recognizer(
    model=packaged.DEFAULT, engine="auto", calibrated=True, batch_size=BATCH_SIZE, tta="none"
):
    """Returns a `Recognizer`: a function from faces to probabilities.

    A model is loaded at the first call, and again if its file has changed. Threads may call the
    function.

    Args:
        model, engine: see `engines.load_predictor`.
        calibrated: divide the logits of a packaged model by the temperature that fits PublicTest
            (Guo et al. 2017, section 4.2). Other models have no temperature and are not changed.
        batch_size: faces that the model receives at once.
        tta: see `average_views`.

    Returns:
        A `Recognizer` of uint8 `[n, side, side]` or `[n, side, side, 3]` → float32 `[n, k]`.

    Raises:
        UserError: an option or the model is wrong; or faces have another shape.
    """
    _check_tta(tta)
    is_whole = isinstance(batch_size, (int, np.integer)) and not isinstance(batch_size, bool)
    if not is_whole or batch_size < 1:
        raise UserError(
            f"batch_size: expected a whole number, at least 1. Received: {batch_size!r}"
        )
    if callable(model):
        predict, temperature, contract = engines.load_predictor(model, engine)
    else:
        predict, temperature, contract = _load_cached(str(model), engine, identify_file(str(model)))

    def recognize(faces):
        batches = [
            average_views(
                predict, images.to_model_input(faces[start : start + batch_size], contract), tta
            )
            for start in range(0, len(faces), batch_size)
        ]
        if not batches:
            return np.zeros((0, contract.count), np.float32)
        probabilities = np.concatenate(batches)
        return apply_temperature(probabilities, temperature) if calibrated else probabilities

    return Recognizer(recognize, contract)


def load_for_evaluation(model):
    """Returns the `Recognizer` of a model as it is, without a temperature: by Keras, or by LiteRT for .tflite."""
    engine = "litert" if str(model).endswith(".tflite") else "keras"
    return load_recognizer(str(model), engine, calibrated=False)


def average_views(predict, faces, tta="none"):
    """Returns probabilities, averaged over the views of each face. Every verb averages here.

    Args:
        predict: a function of an array like `faces` → float32 `[n, k]` probabilities.
        faces: an array `[n, height, width]` or `[n, height, width, channels]` of any number type.
        tta: "none", or "flip": the face and its mirror image, in twice the time.

    Returns:
        float32 `[n, k]`.

    Raises:
        UserError: `tta` is not in `TTA`.
    """
    _check_tta(tta)
    probabilities = predict(faces)
    if tta == "none":
        return probabilities
    return (probabilities + predict(np.ascontiguousarray(faces[:, :, ::-1]))) / 2


def apply_temperature(probabilities, temperature):
    """Returns softmax(log p / temperature), float32, of probabilities p `[n, k]`.

    1 changes nothing; a higher temperature makes probabilities more equal (Guo et al. 2017).
    """
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def _check_tta(tta):
    if tta not in TTA:
        raise UserError(f"tta: expected one of {', '.join(TTA)}. Received: {tta!r}")


@processes.made_once(CACHED_MODELS)
def _load_cached(model, engine, identity):
    """Returns what `load_predictor` returns, loaded once for each file; one thread at a time runs it."""
    predict, temperature, contract = engines.load_predictor(model, engine)
    return processes.serialized(predict), temperature, contract


def identify_file(model):
    """Returns a value that changes if the file of a model does; None for a packaged name."""
    path = inputs.to_path(model, "a run folder, a .keras or a .tflite file")
    path = path / packaged.MODEL if os.path.isdir(path) else path
    if not os.path.exists(path):
        return None
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
