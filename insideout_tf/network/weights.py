"""Weights in and out: saved models, opened safely, and weights copied between models."""

import errno
import pathlib
import zipfile

from insideout_tf import files
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

MAX_MODEL_BYTES = 2 << 30  # of all members of the archive, expanded; VGG16 without top has 0.06 GB
REASON_LENGTH = 200  # characters of a library's message that an error of ours repeats


def load_model(path):
    """Loads a saved Keras model in safe mode, after a check of the archive's checksums.

    Args:
        path: a file named `*.keras`.

    Returns:
        A Keras model of float32 `[b, 48, 48, 1]`, grey levels 0..255, to `[b, 7]` probabilities in
        the order of `EMOTIONS`. It is not compiled.

    Raises:
        UserError: the name has another suffix, the file is damaged or too large, a layer is unsafe
            to load, or the shapes differ.
        OSError: the file cannot be read, for instance because it does not exist.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(
            f"{path}: expected a saved Keras model named *.keras. "
            f"Received: {path.suffix or 'no suffix'!r}"
        )
    model = _read_model(path)
    side, classes = images.FACE_SIDE, len(EMOTIONS)
    if model.input_shape != (None, side, side, 1) or model.output_shape != (None, classes):
        raise UserError(
            f"{path}: expected a model from [n, {side}, {side}, 1] grey levels to [n, {classes}] "
            f"probabilities. Received: {model.input_shape} to {model.output_shape}"
        )
    return model


def _read_model(path):
    """Returns the model in a `.keras` file; a damaged or unsafe file raises `UserError`."""
    import keras

    try:
        _check_archive(path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and Keras raise many kinds for damaged files
        if _is_disk_error(error):
            raise
        raise UserError(
            f"{path}: expected a whole Keras model. Train or download it again. "
            f"Received: {describe_error(error)}"
        ) from None


def _check_archive(path):
    """Raises `BadZipFile` if the archive is too large, or if a checksum is wrong.

    Keras does not look at the checksums, and a damaged HDF5 file can crash the interpreter.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_MODEL_BYTES:
            raise zipfile.BadZipFile(f"{size:,} bytes, expanded; at most {MAX_MODEL_BYTES:,}")
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def _is_disk_error(error):
    """Returns True if the operating system refused, False if the content of the file is damaged.

    Damaged content raises `OSError` too: h5py gives no error number, and zipfile gives EINVAL for a
    position outside the file.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def describe_error(error):
    """Returns the kind of an exception and the first line of its message, shortened."""
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line[:REASON_LENGTH]}"


def save_model(model, path):
    """Saves a Keras model as the file `path` (`*.keras`), whole or not at all."""
    with files.replacing(path) as temporary:
        model.save(temporary)


def copy_weights(model, start):
    """Copies the weights of `start` into `model`, if `start` is the same network or a part of it.

    Layers are matched by name, because dropped branches change their order. Where Keras numbered
    the layers differently, they are matched by order instead. Layers of `model` that `start` lacks
    keep their weights.

    Args:
        model: the Keras model that receives the weights.
        start: the Keras model that gives them; it is not changed.

    Returns:
        True, or False if the networks differ. `model` is then unchanged.
    """
    sources = [layer for layer in start.layers if layer.weights]
    targets = [layer for layer in model.layers if layer.weights]
    by_name = {layer.name: layer for layer in sources}
    if by_name.keys() <= {layer.name for layer in targets}:
        targets = [layer for layer in targets if layer.name in by_name]
        sources = [by_name[layer.name] for layer in targets]
    if _weight_shapes(sources) != _weight_shapes(targets):
        return False
    for target, source in zip(targets, sources):
        target.set_weights(source.get_weights())
    return True


def _weight_shapes(layers):
    return [weight.shape for layer in layers for weight in layer.weights]
