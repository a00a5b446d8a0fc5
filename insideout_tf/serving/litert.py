"""Converts a Keras model to a LiteRT (.tflite) file. Needs TensorFlow."""

import io
import json
import tempfile
import zipfile

from insideout_tf import processes
from insideout_tf.data.contract import format_labels
from insideout_tf.network.weights import contract_of
from insideout_tf.serving import saved_model


def to_litert(model, quantize="none", facts=None, has_embeddings=False, batch=None):
    """Returns the bytes of a .tflite file from faces to probabilities as the model has them.

    The bytes end in a ZIP archive with labels.txt and model.json, the associated files of a LiteRT
    model. Any ZIP tool reads them; interpreters ignore them.

    Args:
        model: an inference model.
        quantize: "none"; "float16" stores weights in 16 bits; "dynamic" stores weights in 8 bits
            and quantizes activations at run time.
        facts: the content of model.json, a dict that JSON can hold.
        has_embeddings: whether the file has a second output, `embeddings`, float32 `[n, d]`. The names
            of the outputs are those of the signature `serving_default`.
        batch: faces of a call, which the file fixes; None: any number.
    """
    import keras
    import tensorflow as tf

    contract = contract_of(model, "model")
    # The converter loses the weights of a concrete function, so it reads a SavedModel.
    infer = saved_model.create_inference_function(model, has_embeddings)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        infer,
        [tf.TensorSpec((batch, *contract.input_shape), tf.float32, "pixels")],
    )
    with tempfile.TemporaryDirectory() as folder, processes.native_stderr_closed():
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # tflite-runtime 2.14, the last one, knows no scale for each channel of a Dense layer.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    associated = io.BytesIO()
    with zipfile.ZipFile(associated, "w") as files:
        for name, text in (
            ("labels.txt", format_labels(contract.classes)),
            ("model.json", json.dumps(facts or {}, ensure_ascii=False)),
        ):
            files.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return content + associated.getvalue()


def read_least_runtime(content):
    """Returns the oldest TensorFlow Lite that runs a .tflite file by its own words, such as "2.11.0", or None."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == b"min_runtime_version":
            text = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            return text.partition(b"\0")[0].decode()
    return None
