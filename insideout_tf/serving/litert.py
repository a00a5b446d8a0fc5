"""A trained model as a LiteRT (.tflite) file."""

import io
import json
import tempfile
import zipfile

from insideout_tf import devices
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.serving import saved_model


def to_litert(model, quantize="none", facts=None):
    """Returns a .tflite file of the model, float32 `[n, 48, 48, 1]` → `[n, 7]`, n dynamic.

    quantize: "none", "float16" weights, or "dynamic": 8-bit weights, activations quantized as they
    come. The bytes end in a ZIP with labels.txt and model.json (`facts`), as associated files of a
    LiteRT model do: any ZIP tool reads them, interpreters do not see them.
    """
    import keras
    import tensorflow as tf

    # By way of a SavedModel: converted from a concrete function, the weights stayed behind.
    infer = saved_model.inference_function(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", infer, [tf.TensorSpec(saved_model.FACES, tf.float32, "pixels")])
    with tempfile.TemporaryDirectory() as folder, devices.native_stderr_closed():
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    associated = io.BytesIO()
    with zipfile.ZipFile(associated, "w") as files:
        for name, text in (
            ("labels.txt", "".join(f"{name}\n" for name in EMOTIONS)),
            ("model.json", json.dumps(facts or {}, ensure_ascii=False)),
        ):
            files.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return content + associated.getvalue()
