"""Converts a Keras model to an ONNX file. Needs TensorFlow and tf2onnx."""

import json
import logging

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.network.weights import contract_of
from insideout_tf.serving import saved_model

OPSET = 18


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
    answer = saved_model.create_inference_function(_replace_normalization(model), has_embeddings)
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


def _replace_normalization(model):
    """Returns the model with a Rescaling of the same numbers instead of each Normalization.

    tf2onnx turns the mean and the variance of a Normalization into inputs of the graph, to which
    nobody gives a value.
    """
    import keras

    if not any(isinstance(layer, keras.layers.Normalization) for layer in model.layers):
        return model

    def replace(layer):
        if isinstance(layer, keras.layers.Normalization):
            mean, variance = (
                np.asarray(x, np.float64).ravel() for x in (layer.mean, layer.variance)
            )
            scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            return keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=layer.name)
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=replace)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization):
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    return clone
