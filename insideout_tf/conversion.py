"""A trained Keras model in the forms that serve it: SavedModel, LiteRT, ONNX. Needs TensorFlow.

None goes through `keras.Model.export`, whose graph of a model with a Resizing layer is that of training.
"""

import io
import json
import logging
import pathlib
import tempfile
import zipfile

import numpy as np

from insideout_tf import devices, images
from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError

ONNX_OPSET = 18
QUANTIZE = ("none", "float16", "dynamic")
# The furthest a probability may stray from Keras', by what the weights are stored as.
PARITY = {"none": 1e-4, "float16": 5e-3, "dynamic": 0.1}
SIGNATURES = ("serving_default", "uint8", "image_bytes", "classify")
WARMUP = "assets.extra/tf_serving_warmup_requests"

_FACES = (None, images.FACE_SIDE, images.FACE_SIDE, 1)


def write_saved_model(model, folder, facts):
    """Writes a SavedModel with four signatures for TF Serving into `folder`.

    `serving_default`: pixels float32 `[n, 48, 48, 1]` 0..255 → probabilities float32 `[n, 7]`;
    `uint8`: the same for uint8; `image_bytes`: PNG, JPEG, BMP or GIF files as strings `[n]`, a face
    of any size each, made grey and 48×48 as `images.shrink` does (but not turned by EXIF) →
    probabilities; `classify`: pixels float32 → labels (strings) and scores `[n, 7]`, the likeliest
    first. facts: JSON-able, kept as the asset model.json beside classes.txt.
    """
    import tensorflow as tf

    infer = _inference(model)
    names = tf.constant(EMOTIONS)

    @tf.function(input_signature=[tf.TensorSpec(_FACES, tf.float32, "pixels")])
    def serving_default(pixels):
        return {"probabilities": infer(pixels)}

    @tf.function(input_signature=[tf.TensorSpec(_FACES, tf.uint8, "pixels")])
    def uint8(pixels):
        return {"probabilities": infer(tf.cast(pixels, tf.float32))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes(image_bytes):
        pixels = tf.map_fn(
            decode_in_graph,
            image_bytes,
            fn_output_signature=tf.TensorSpec(_FACES[1:], tf.float32),
        )
        return {"probabilities": infer(pixels)}

    @tf.function(input_signature=[tf.TensorSpec(_FACES, tf.float32, "pixels")])
    def classify(pixels):
        scores, order = tf.math.top_k(infer(pixels), k=len(EMOTIONS))
        return {"labels": tf.gather(names, order), "scores": scores}

    with tempfile.TemporaryDirectory() as scratch:
        module = tf.Module()
        # TensorFlow variables, not those of Keras around them: the loader of TF Serving restores
        # only these.
        module.weights = [variable.value for variable in model.variables]
        module.files = []
        for name, text in (
            ("classes.txt", "".join(f"{name}\n" for name in EMOTIONS)),
            ("model.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n"),
        ):
            path = pathlib.Path(scratch, name)
            path.write_text(text, "utf-8")
            module.files.append(tf.saved_model.Asset(str(path)))
        with devices.native_stderr_closed():
            tf.saved_model.save(
                module,
                str(folder),
                signatures=dict(
                    zip(SIGNATURES, (serving_default, uint8, image_bytes, classify), strict=True)
                ),
            )


def decode_in_graph(content):
    """Returns the face in the bytes of an image file as float32 `[48, 48, 1]`, with TensorFlow alone.

    The steps of `images.shrink`, to a grey level: ITU-R 601 luma in Pillow's integers, then bilinear
    with antialiasing across and down, each rounded. Transparency is dropped, EXIF is not read.
    """
    import tensorflow as tf

    rgb = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    rgb = tf.cast(tf.ensure_shape(rgb, (None, None, 3)), tf.int32)
    grey = (19595 * rgb[..., 0] + 38470 * rgb[..., 1] + 7471 * rgb[..., 2] + 32768) // 65536
    grey = tf.cast(grey, tf.float32)[..., None]
    height, side = tf.shape(grey)[0], images.FACE_SIDE
    for size in ((height, side), (side, side)):
        grey = tf.floor(tf.image.resize(grey, size, "bilinear", antialias=True) + 0.5)
    return tf.ensure_shape(tf.clip_by_value(grey, 0.0, 255.0), _FACES[1:])


def write_warmup_requests(folder, name):
    """Writes one request a signature for TF Serving to run when it loads the SavedModel in `folder`.

    name: what the server calls the model. Returns False where tensorflow-serving-api is not installed.
    """
    import tensorflow as tf

    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return False
    face = np.full((1, *_FACES[1:]), 128, np.float32)
    given = {
        "serving_default": ("pixels", face),
        "uint8": ("pixels", face.astype(np.uint8)),
        "image_bytes": ("image_bytes", [_png(face[0, ..., 0].astype(np.uint8))]),
        "classify": ("pixels", face),
    }
    path = pathlib.Path(folder, WARMUP)
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (key, value) in given.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
    return True


def to_litert(model, quantize="none", facts=None):
    """Returns a .tflite file of the model, float32 `[n, 48, 48, 1]` → `[n, 7]`, n dynamic.

    quantize: "none", "float16" weights, or "dynamic": 8-bit weights, activations quantized as they
    come. The bytes end in a ZIP with labels.txt and model.json (`facts`), as associated files of a
    LiteRT model do: any ZIP tool reads them, interpreters do not see them.
    """
    import keras
    import tensorflow as tf

    # By way of a SavedModel: converted from a concrete function, the weights stayed behind.
    infer = _inference(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", infer, [tf.TensorSpec(_FACES, tf.float32, "pixels")])
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


def to_onnx(model, facts=None):
    """Returns an .onnx file of the model, `pixels` float32 `[batch, 48, 48, 1]` → `probabilities`.

    The opset is `ONNX_OPSET`; class names and `facts` are in its metadata. Raises `UserError` where
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

    infer = _inference(_without_captured_constants(model))
    signature = [tf.TensorSpec(_FACES, tf.float32, "pixels")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with devices.native_stderr_closed():
        proto, _ = tf2onnx.convert.from_function(
            tf.function(infer, input_signature=signature), signature, opset=ONNX_OPSET
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


def _inference(model):
    return lambda pixels: model(pixels, training=False)


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


def _png(face):
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(face).save(content, "PNG")
    return content.getvalue()
