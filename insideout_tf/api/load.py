"""Saved models, loaded in safe mode."""


def load(model="small"):
    """Returns a packaged model by name, or the model of a run folder or .keras file, in safe mode.

    It is a plain Keras model from float32 `[n, 48, 48, 1]`, grey levels 0..255, to probabilities
    `[n, 7]` in the order of `EMOTIONS`. They are as the network gives them; `predict_emotions`
    calibrates those of packaged models.

    Raises:
        UserError: no such model, or a file that is not a whole Keras model.
    """
    from insideout_tf import devices
    from insideout_tf.network.weights import load_model
    from insideout_tf.serving import packaged

    path, _ = packaged.model_path(model)
    devices.prepare_backend()
    return load_model(path)
