"""A trained model as an ONNX file."""

import json
import logging

import numpy as np

from insideout_tf import devices
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.serving import saved_model

OPSET = 18


def to_onnx(model, facts=None):
    """Returns an .onnx file of the model, `pixels` float32 `[batch, 48, 48, 1]` → `probabilities`.

    The opset is `OPSET`; class names and `facts` are in its metadata. Raises `UserError` where
    tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ImportError:
        raise UserError(
            "--format onnx: expected the package tf2onnx. Install it with `pip install tf2onnx "
            "onnxruntime`. Received: no such package"
        ) from None
    import tensorflow as tf

    infer = saved_model.inference_function(_without_captured_constants(model))
    signature = [tf.TensorSpec(saved_model.FACES, tf.float32, "pixels")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with devices.native_stderr_closed():
        proto, _ = tf2onnx.convert.from_function(
            tf.function(infer, input_signature=signature), signature, opset=OPSET
        )
    (given,), (result,) = proto.graph.input, proto.graph.output
    for value in (given, result):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    old, result.name = result.name, "probabilities"
    for node in proto.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name == old:
                    names[at] = "probabilities"
    described = {"classes": json.dumps(EMOTIONS), "facts": json.dumps(facts or {})}
    for key, value in described.items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


def _without_captured_constants(model):
    """Returns the model with each Normalization as a Rescaling of the same numbers.

    The mean and variance that a Normalization layer holds become inputs of the ONNX graph that
    nobody feeds.
    """
    import keras

    if not any(isinstance(layer, keras.layers.Normalization) for layer in model.layers):
        return model

    def plain(layer):
        if isinstance(layer, keras.layers.Normalization):
            mean, variance = (
                np.asarray(x, np.float64).ravel() for x in (layer.mean, layer.variance)
            )
            scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            return keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=layer.name)
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=plain)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization):
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    return clone
