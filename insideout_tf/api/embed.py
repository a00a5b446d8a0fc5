"""Embeddings: what a network sees in a face before it chooses a class."""

import typing

import numpy as np

from insideout_tf import devices, processes
from insideout_tf.data import images
from insideout_tf.network.weights import contract_of, find_pooling, load_model
from insideout_tf.serving import packaged, recognize

CACHED_MODELS = 2


def embed(
    faces: typing.Any,
    model: typing.Any = packaged.DEFAULT,
    batch_size: int = recognize.BATCH_SIZE,
) -> np.ndarray:
    """Returns the embeddings of cropped faces: the pooled features before the head.

    Faces that a model sees as alike are near each other, by Euclidean distance or, after
    `x / np.linalg.norm(x, axis=1, keepdims=True)`, by the cosine. So they serve to find near-duplicates,
    to cluster, and as the input of a small classifier. They tell expressions apart, not people.

    Args:
        faces: what `predict_emotions` takes.
        model: the name of a packaged model, the path of a run folder or a .keras file, or a Keras model.
        batch_size: faces that the model receives at once.

    Returns:
        float32 `[n, d]`; d is 256 for `small` and 96 for `nano`.

    Raises:
        UserError: the faces or the model are wrong, or the model has no pooling layer.

    Examples:
        >>> embed(["face.png"]).shape
        (1, 256)
    """
    if callable(model):
        network, contract = _cut(model, "model"), contract_of(model, "model")
    else:
        path, _ = packaged.model_path(model)
        network, contract = _load_cached(str(path), recognize.identify_file(str(path)))
    pixels = images.to_faces(faces, contract)
    parts = [
        np.asarray(
            network(
                images.to_model_input(pixels[start : start + batch_size], contract), training=False
            ),
            np.float32,
        )
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, network.output_shape[1]), np.float32)


@processes.made_once(CACHED_MODELS)
def _load_cached(path, identity):
    """Returns (the network up to its pooled features, its `Contract`) of a .keras file."""
    devices.prepare_backend()
    model = load_model(path)
    return _cut(model, path), model.contract


def _cut(model, where):
    """Returns the network from the faces to the pooled features, in inference mode."""
    import keras

    processes.check_not_forked()
    pooled = find_pooling(model, where).output  # first: a Sequential without a call has no input
    return keras.Model(model.input, pooled)
