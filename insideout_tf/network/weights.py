"""Weights in and out: saved models, opened safely, and weights copied between models."""

import errno
import pathlib
import zipfile

from insideout_tf import files
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

MAX_MODEL_BYTES = 2 << 30  # expanded; VGG16 has 0.06 GB


def load_model(path):
    """Loads a saved model in Keras' safe mode, its ZIP checksums verified first.

    (A damaged HDF5 inside can crash the interpreter.) Raises `UserError` if it is no model of
    `[b, 48, 48, 1]` → `[b, 7]`.
    """
    import keras

    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(
            f"{path}: expected a saved Keras model named *.keras. "
            f"Received: {path.suffix or 'no suffix'!r}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_MODEL_BYTES:
                raise zipfile.BadZipFile(f"{size:,} bytes, expanded; at most {MAX_MODEL_BYTES:,}")
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and Keras raise many kinds for damaged files
        # Damage is an OSError too, without a number (h5py) or of a place outside the file (zipfile).
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        raise UserError(
            f"{path}: expected a whole Keras model. Train or download it again. Received: {reason}"
        ) from None
    if model.input_shape != (None, 48, 48, 1) or model.output_shape != (None, len(EMOTIONS)):
        raise UserError(
            f"{path}: expected a model from [n, 48, 48, 1] grey levels to [n, 7] "
            f"probabilities. Received: {model.input_shape} to {model.output_shape}"
        )
    return model


def save_model(model, path):
    """Saves a Keras model whole or not at all."""
    with files.replacing(path) as temporary:
        model.save(temporary)


def copy_weights(model, start):
    """Gives `model` the weights of `start`, the same network or a part of it; returns whether it is one.

    Layers are matched by name, since dropped branches change their order, or in the order they
    have where Keras numbered them differently. Layers that the start lacks keep their own.
    """
    given = [layer for layer in start.layers if layer.weights]
    own = [layer for layer in model.layers if layer.weights]
    by_name = {layer.name: layer for layer in given}
    if by_name.keys() <= {layer.name for layer in own}:
        own = [layer for layer in own if layer.name in by_name]
        given = [by_name[layer.name] for layer in own]
    shapes = [[weight.shape for layer in each for weight in layer.weights] for each in (given, own)]
    if shapes[0] != shapes[1]:
        return False
    for layer, trained in zip(own, given):
        layer.set_weights(trained.get_weights())
    return True
