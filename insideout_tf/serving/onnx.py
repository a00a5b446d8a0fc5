"""Converts a Keras model to an ONNX file. Needs TensorFlow and tf2onnx."""

import json
import logging

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.network.weights import contract_of
from insideout_tf.serving import saved_model

OPSET = 13  # old readers know it, such as ONNX Runtime 1.16 and OpenCV 4.8


def to_onnx(model, facts=None, has_embeddings=False):
    """Returns the bytes of an .onnx file of opset `OPSET`.

    Its input is `pixels`, float32 `[batch, side, side, channels]`; its output `probabilities`, float32
    `[batch, k]`. The metadata hold `classes` and `facts` as JSON.

    Args:
        model: an inference model.
        facts: a dict that JSON can hold.
        has_embeddings: whether there is a second output, `embeddings`, float32 `[batch, d]`.

    Raises:
        UserError: tf2onnx is not installed.
    """
    tf2onnx = imports.load("tf2onnx", "--format onnx")
    import tensorflow as tf

    contract = contract_of(model, "model")
    answer = saved_model.create_inference_function(_simplify(model), has_embeddings)
    names = ["probabilities", "embeddings"][: 1 + has_embeddings]

    def infer(pixels):
        found = answer(pixels)
        return tuple(found[name] for name in names)

    signature = [tf.TensorSpec((None, *contract.input_shape), tf.float32, "pixels")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with processes.native_stderr_closed():
        proto, _ = tf2onnx.convert.from_function(
            tf.function(infer, input_signature=signature), signature, opset=OPSET
        )
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    renamed = dict(zip((value.name for value in proto.graph.output), names, strict=True))
    for value in proto.graph.output:
        value.name = renamed[value.name]
    for node in proto.graph.node:
        for tensors in (node.input, node.output):
            for index, name in enumerate(tensors):
                tensors[index] = renamed.get(name, name)
    metadata = {"classes": json.dumps(contract.classes), "facts": json.dumps(facts or {})}
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


def _simplify(model):
    """Returns a model of the same numbers whose layers every reader of ONNX takes and computes right.

    - tf2onnx turns the mean and the variance of a Normalization into inputs of the graph, to which
      nobody gives a value: it becomes a Rescaling.
    - OpenCV miscalculates a mean over three axes, which the normalisation of a face has, and refuses
      the tiling by which `network.standardize` repeats a number over all pixels.
    """
    import keras
    from keras import layers

    class PlainNormalization(layers.Layer):
        """Mean 0 and deviation 1 over the pixels of faces of one channel."""

        def __init__(self, epsilon, **options):
            super().__init__(**options)
            self.epsilon = epsilon

        def call(self, x):
            ops = keras.ops
            centred = x - ops.mean(x, (1, 2), keepdims=True)
            variance = ops.mean(centred * centred, (1, 2), keepdims=True)
            return centred / ops.sqrt(variance + self.epsilon)

    def replace(layer):
        if isinstance(layer, layers.Normalization):
            mean, variance = (
                np.asarray(x, np.float64).ravel() for x in (layer.mean, layer.variance)
            )
            scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            return layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=layer.name)
        if _normalizes_faces(layer):
            return PlainNormalization(layer.epsilon, name=layer.name)
        if isinstance(layer, layers.UpSampling2D) and layer.input.shape[1:] == (1, 1, 1):
            return layers.Identity(name=layer.name)  # operations of ONNX repeat it themselves
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=replace)
    for layer in model.layers:
        if not isinstance(layer, layers.Normalization):
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    return clone


def _normalizes_faces(layer):
    """Returns True for a LayerNormalization without weights over all pixels of one channel."""
    import keras

    return (
        isinstance(layer, keras.layers.LayerNormalization)
        and not layer.weights
        and list(layer.axis) == [1, 2, 3]
        and layer.input.shape[-1] == 1
    )
