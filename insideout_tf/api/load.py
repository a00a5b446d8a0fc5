"""Saved models, loaded in safe mode."""

import typing


def load(model: typing.Any = "small") -> typing.Any:
    """Returns a packaged model by name, or the model of a run folder or .keras file, in safe mode.

    It is a plain Keras model from float32 `[n, side, side, channels]`, 0..255, to probabilities
    `[n, k]`. Its attribute `contract` has `classes`, `side` and `channels`: for a packaged model
    `EMOTIONS`, 48 and 1. The probabilities are as the network gives them; `predict_emotions` calibrates
    those of packaged models.

    Raises:
        UserError: no such model, or a file that is not a whole Keras model.
    """
    from insideout_tf import devices
    from insideout_tf.network.weights import load_model
    from insideout_tf.serving import packaged

    path, _ = packaged.model_path(model)
    devices.prepare_backend()
    return load_model(path)
