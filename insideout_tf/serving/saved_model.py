"""A trained Keras model in the forms that serve it: SavedModel, LiteRT, ONNX. Needs TensorFlow.

None goes through `keras.Model.export`, whose graph of a model with a Resizing layer is that of training.
"""

import io
import json
import pathlib
import tempfile

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS

QUANTIZE = ("none", "float16", "dynamic")
# The furthest a probability may stray from Keras', by what the weights are stored as.
PARITY = {"none": 1e-4, "float16": 5e-3, "dynamic": 0.1}
SIGNATURES = ("serving_default", "uint8", "image_bytes", "classify")
WARMUP = "assets.extra/tf_serving_warmup_requests"

FACES = (None, images.FACE_SIDE, images.FACE_SIDE, 1)


def write_saved_model(model, folder, facts):
    """Writes a SavedModel with four signatures for TF Serving into `folder`.

    `serving_default`: pixels float32 `[n, 48, 48, 1]` 0..255 → probabilities float32 `[n, 7]`;
    `uint8`: the same for uint8; `image_bytes`: PNG, JPEG, BMP or GIF files as strings `[n]`, a face
    of any size each, made grey and 48×48 as `images.shrink` does (but not turned by EXIF) →
    probabilities; `classify`: pixels float32 → labels (strings) and scores `[n, 7]`, the likeliest
    first. facts: JSON-able, kept as the asset model.json beside classes.txt.
    """
    import tensorflow as tf

    infer = inference_function(model)
    names = tf.constant(EMOTIONS)

    @tf.function(input_signature=[tf.TensorSpec(FACES, tf.float32, "pixels")])
    def serving_default(pixels):
        return {"probabilities": infer(pixels)}

    @tf.function(input_signature=[tf.TensorSpec(FACES, tf.uint8, "pixels")])
    def uint8(pixels):
        return {"probabilities": infer(tf.cast(pixels, tf.float32))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes(image_bytes):
        pixels = tf.map_fn(
            decode_in_graph,
            image_bytes,
            fn_output_signature=tf.TensorSpec(FACES[1:], tf.float32),
        )
        return {"probabilities": infer(pixels)}

    @tf.function(input_signature=[tf.TensorSpec(FACES, tf.float32, "pixels")])
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
    return tf.ensure_shape(tf.clip_by_value(grey, 0.0, 255.0), FACES[1:])


def write_warmup_requests(folder, name):
    """Writes one request a signature for TF Serving to run when it loads the SavedModel in `folder`.

    name: what the server calls the model. Returns False where tensorflow-serving-api is not installed.
    """
    import tensorflow as tf

    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return False
    face = np.full((1, *FACES[1:]), 128, np.float32)
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


def inference_function(model):
    return lambda pixels: model(pixels, training=False)


def _png(face):
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(face).save(content, "PNG")
    return content.getvalue()
