"""Weights in and out: saved models, opened safely, and weights copied between models."""

import concurrent.futures
import errno
import json
import math
import pathlib
import zipfile

import numpy as np

from insideout_tf import files
from insideout_tf.data import contract as contracts
from insideout_tf.data import inputs
from insideout_tf.data.classes import match_classes
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError

CONFIG = "config.json"  # in the archive: the layers of the model
NEW_ARGUMENTS = {  # of layers and initialisers since Keras 3.11, with their defaults
    "input_axes": None,
    "output_axes": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "quantization_config": None,
}
LABELS = "labels.txt"  # in the archive or beside it: one class a line
MAX_LABELS_BYTES = 1 << 20
MAX_MODEL_BYTES = 2 << 30  # of all members of the archive, expanded; VGG16 without top has 0.06 GB
MAX_CONFIG_BYTES = 64 << 20  # EfficientNetV2-S has 0.3 MB
MAX_WEIGHTS = 400_000_000  # 1.6 GB of float32; EfficientNetV2-S has 20 million
MAX_VALUES = 64 << 20  # of one layer, for one face: 256 MB of float32
SUM_TOLERANCE = 1e-2  # of the probabilities of a face; quantised models round
REASON_LENGTH = 200  # characters of a library's message that an error of ours repeats


def load_model(path):
    """Loads a saved Keras model in safe mode, after a check of the archive's checksums.

    Args:
        path: a file named `*.keras`.

    Returns:
        A Keras model of float32 `[b, side, side, channels]`, 0..255, to `[b, k]` probabilities. It
        is not compiled. Its attribute `contract` is a `Contract`, with the names of the classes.

    Raises:
        UserError: the name has another suffix; no regular file is there; the file is damaged; the
            file, its weights or a layer is too large; a layer is unsafe to load; the shapes differ; a
            weight is not finite; or the results are no probabilities.
        OSError: the operating system refuses to open the file.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(
            f"{path}: expected a saved Keras model named *.keras. "
            f"Received: {path.suffix or 'no suffix'!r}"
        )
    inputs.check_regular_file(path, "a saved Keras model")
    model = _read_model(path)
    model.contract = contract_of(model, path, read_labels(path))
    _check_weights(model, path)
    try:
        probabilities = model(probe_faces(model.contract), training=False)
    except Exception as error:  # whatever a layer raises
        raise UserError(
            f"{path}: expected a model that computes probabilities. Train or download it again. "
            f"Received: {describe_error(error)}"
        ) from None
    if not hasattr(probabilities, "shape"):
        raise UserError(
            f"{path}: expected a model with one output, an array of probabilities. Save it with this "
            f"output alone. Received: a {type(probabilities).__name__}"
        )
    check_probabilities(np.asarray(probabilities), path, model.contract)
    return model


def contract_of(model, where, names=None):
    """Returns the `Contract` of a Keras model.

    where: its name, for messages. names: its classes; None takes those that `load_model` found, and else
    what `contract.of_shapes` says. Raises `UserError` for a model of other shapes.
    """
    known = getattr(model, "contract", None)
    if names is None and isinstance(known, contracts.Contract):
        return known
    try:
        shapes = tuple(model.input_shape), tuple(model.output_shape)
    except Exception:  # a model that was never built, or whose layers give several outputs
        raise UserError(
            f"{where}: expected a model with one input of faces and one output of probabilities. Save "
            f"it again. Received: a {type(model).__name__} that was never built, or with others"
        ) from None
    if isinstance(model.output_shape, dict):
        raise UserError(
            f"{where}: expected a model with one output, an array of probabilities. Save it with this "
            "output alone. Received: a dict of outputs"
        )
    return contracts.of_shapes(*shapes, names, where)


def read_labels(path):
    """Returns the class names of a `.keras` file, or None if it names none.

    They are in a member of the archive, or in the file labels.txt beside it. Raises `UserError` if the
    text holds no class names.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if LABELS in archive.namelist():
                size = archive.getinfo(LABELS).file_size
                text = archive.read(LABELS).decode("utf-8") if size < MAX_LABELS_BYTES else ""
                return contracts.parse_labels(text, f"{path}, {LABELS}")
    except (zipfile.BadZipFile, UnicodeDecodeError, OSError):
        return None
    beside = path.with_name(LABELS)
    if not beside.is_file() or beside.stat().st_size > MAX_LABELS_BYTES:
        return None
    return contracts.parse_labels(beside.read_text("utf-8", "replace"), beside)


def knows_classes(path, classes):
    """Returns whether the model in a `.keras` file has all these classes, by words that mean the same."""
    known = read_labels(path) or FER2013.classes
    return all(index >= 0 for index in match_classes(classes, known))


def find_pooling(model, where):
    """Returns the layer whose output `[n, d]` are the embeddings: the last global average pooling.

    where: the name of the model, for messages. Raises `UserError` if the model has no such layer.
    """
    pools = [
        layer
        for layer in model.layers
        if type(layer).__name__ == "GlobalAveragePooling2D" and len(layer.output.shape) == 2
    ]
    if not pools:
        raise UserError(
            f"{where}: expected a network with global average pooling before its head. Give a model "
            f"of this package. Received: layers {', '.join(each.name for each in model.layers[-4:])}"
        )
    return pools[-1]


def probe_faces(contract=FER2013):
    """Returns three faces that a new model is tried with, float32 `[3, ...]`: grey, black, noise.

    contract: the `Contract` of the model.
    """
    faces = np.full((3, *contract.input_shape), 128, np.float32)
    faces[1] = 0
    faces[2] = np.random.default_rng(0).integers(0, 256, faces.shape[1:])
    return faces


def check_probabilities(probabilities, where, contract=FER2013):
    """Raises `UserError` unless an array holds a probability of each class for each of `probe_faces`.

    where: the name of the model, for the message. contract: its `Contract`.
    """
    expected = (len(probe_faces(contract)), contract.count)
    if probabilities.shape != expected:
        received = f"shape {list(probabilities.shape)}"
    elif not np.isfinite(probabilities).all():
        received = "numbers that are not finite"
    elif (
        probabilities.min() < -SUM_TOLERANCE
        or np.abs(probabilities.sum(1) - 1).max() > SUM_TOLERANCE
    ):
        received = (
            f"numbers from {probabilities.min():.4g} to {probabilities.max():.4g}, whose sums are "
            f"{probabilities.sum(1).min():.4g} to {probabilities.sum(1).max():.4g}"
        )
    else:
        return
    raise UserError(
        f"{where}: expected a model that returns {contract.count} probabilities a face, with the sum 1. "
        f"Add a softmax layer, or train it again. Received: {received}"
    )


def _check_weights(model, path):
    """Raises `UserError` if a weight is NaN or infinite."""
    for weight in model.weights:
        values = np.asarray(weight.value)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(
                f"{path}: expected finite weights. Train it again, with a lower learning rate. "
                f"Received: NaN or infinity in {weight.path}"
            )


def _read_model(path):
    """Returns the model in a `.keras` file; a damaged or unsafe file raises `UserError`."""
    import keras

    try:
        _check_archive(path)
        _check_size(path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except UserError:
        raise
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


def _check_size(path):
    """Raises `UserError` for a model that would need too much memory, before the memory is taken.

    The network is made from its configuration without values of its weights: in a thread of its own,
    with which Keras' record of the variables without values ends.
    """
    import keras

    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(CONFIG).file_size
        if size > MAX_CONFIG_BYTES:
            raise zipfile.BadZipFile(f"config.json of {size:,} bytes; at most {MAX_CONFIG_BYTES:,}")
        settings = json.loads(archive.read(CONFIG))
    if isinstance(settings, dict):
        settings.pop(
            "compile_config", None
        )  # an optimizer creates variables, which have no values here

    def measure():
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(settings, safe_mode=True)
            layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else [model]
            numbers = [math.prod(weight.shape) for weight in model.weights]
            outputs = [
                (math.prod(side or 1 for side in tensor.shape), layer.name)
                for layer in layers
                for node in getattr(layer, "_inbound_nodes", ())
                for tensor in node.output_tensors
            ]
        return sum(numbers), max(outputs, default=(0, ""))

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        weight_count, (value_count, name) = thread.submit(measure).result()
    if weight_count > MAX_WEIGHTS:
        raise UserError(
            f"{path}: expected a model of at most {MAX_WEIGHTS:,} weights. Do not trust this file. "
            f"Received: {weight_count:,}"
        )
    if value_count > MAX_VALUES:
        raise UserError(
            f"{path}: expected layers of at most {MAX_VALUES:,} values a face. Do not trust this "
            f"file. Received: {value_count:,} in {name}"
        )


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


def save_model(model, path, classes=None):
    """Saves a Keras model as the file `path` (`*.keras`), whole or not at all.

    classes: the names of its classes, which become a member of the archive; Keras ignores it. None takes
    those of its `contract`, if it has one.
    """
    if classes is None and isinstance(getattr(model, "contract", None), contracts.Contract):
        classes = model.contract.classes
    with files.replacing(path) as temporary:
        model.save(temporary)
        texts = {} if classes is None else {LABELS: contracts.format_labels(classes)}
        rewrite_archive(temporary, texts)


def rewrite_archive(path, texts):
    """Makes a .keras file readable by Keras 3.10 and later, and adds members to it.

    Keras 3.15 writes arguments that earlier releases refuse. Where such an argument has its default, it is
    not needed.

    path: the file. texts: a dict from the names of new members to their texts.
    """
    with zipfile.ZipFile(path) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members:
            if member.filename == CONFIG:
                content = json.dumps(_remove_new_arguments(json.loads(content))).encode()
            archive.writestr(member, content)
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)


def _remove_new_arguments(value):
    """Returns the configuration of a model without `NEW_ARGUMENTS` that have their defaults."""
    if isinstance(value, list):
        return [_remove_new_arguments(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _remove_new_arguments(each)
        for key, each in value.items()
        if NEW_ARGUMENTS.get(key, ...) != each
    }


def copy_weights(model, start, classes=None):
    """Copies the weights of `start` into `model`, if `start` is the same network or a part of it.

    Layers are matched by name, because dropped branches change their order. Where Keras numbered
    the layers differently, they are matched by order instead. Layers of `model` that `start` lacks
    keep their weights.

    Args:
        model: the Keras model that receives the weights.
        start: the Keras model that gives them; it is not changed.
        classes: (those of `model`, those of `start`), names, if they differ. The layer of the logits
            then keeps its own weights, save for those of the classes that both have.

    Returns:
        True, or False if the networks differ. `model` is then unchanged.
    """
    sources = [layer for layer in start.layers if layer.weights]
    targets = [layer for layer in model.layers if layer.weights]
    by_name = {layer.name: layer for layer in sources}
    if by_name.keys() <= {layer.name for layer in targets}:
        targets = [layer for layer in targets if layer.name in by_name]
        sources = [by_name[layer.name] for layer in targets]
    heads: list = []
    if classes and classes[0] != classes[1]:
        heads = [layer for layer in targets if layer.name == "logits"]
        heads += [layer for layer in sources if layer.name == "logits"]
        sources, targets = (
            [layer for layer in layers if layer.name != "logits"] for layers in (sources, targets)
        )
    if _weight_shapes(sources) != _weight_shapes(targets):
        return False
    if heads and not _copy_logits(heads, classes):
        return False
    for target, source in zip(targets, sources):
        target.set_weights(source.get_weights())
    return True


def _copy_logits(heads, classes):
    """Copies the weights of the classes that two layers of logits share; False if they do not fit."""
    target, source = heads
    kernel, bias = target.get_weights()
    old_kernel, old_bias = source.get_weights()
    if len(kernel) != len(old_kernel):
        return False
    for index, old in enumerate(match_classes(*classes)):
        if old >= 0:
            kernel[:, index], bias[index] = old_kernel[:, old], old_bias[old]
    target.set_weights([kernel, bias])
    return True


def _weight_shapes(layers):
    return [weight.shape for layer in layers for weight in layer.weights]
