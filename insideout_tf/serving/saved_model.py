"""Writes a Keras model as a SavedModel for TF Serving. Needs TensorFlow.

It does not use `keras.Model.export`, which writes the training graph of a model with a Resizing layer.
"""

import io
import json
import pathlib
import tempfile

import numpy as np

from insideout_tf import processes
from insideout_tf.data import images
from insideout_tf.data.contract import FER2013, format_labels
from insideout_tf.network.weights import contract_of, find_pooling

QUANTIZE = ("none", "float16", "dynamic")
# The largest difference of a probability from that of Keras, by the type of the stored weights.
PARITY = {"none": 1e-4, "float16": 5e-3, "dynamic": 0.1}
SIGNATURES = ("serving_default", "uint8", "image_bytes", "image_bytes_checked", "classify")
# Of a picture that the server decodes: 16 million are a photo of a phone. Bytes as in `images`.
MAX_SERVED_PIXELS = 1 << 24
WARMUP = "assets.extra/tf_serving_warmup_requests"


def write_saved_model(model, folder, facts, has_embeddings=False):
    """Writes a SavedModel with the signatures of `create_signatures` for TF Serving.

    Args:
        model: an inference model.
        folder: an empty or new folder.
        facts: a dict that JSON can hold; it becomes the asset model.json, beside classes.txt.
        has_embeddings: whether the first three signatures return `embeddings` too.
    """
    import tensorflow as tf

    contract = contract_of(model, "model")
    with tempfile.TemporaryDirectory() as scratch:
        module = tf.Module()
        # The loader of TF Serving restores only TensorFlow variables, not Keras' around them.
        module.weights = [variable.value for variable in model.variables]
        module.files = [
            tf.saved_model.Asset(str(path)) for path in write_assets(scratch, facts, contract)
        ]
        signatures = create_signatures(model, contract, has_embeddings)
        with processes.native_stderr_closed():
            tf.saved_model.save(module, str(folder), signatures=signatures)


def create_signatures(model, contract, has_embeddings=False):
    """Returns a dict from the five names of `SIGNATURES` to functions of TensorFlow.

    Faces are `[n, side, side, channels]` and probabilities `[n, k]`, as the model has them.

    - `serving_default`: pixels, float32, 0..255 → probabilities, float32.
    - `uint8`: pixels, uint8 → the same.
    - `image_bytes`: PNG, JPEG or BMP files, string `[n]`, each a face of any size → the same.
      Files become faces as in `images.shrink`, but EXIF is ignored. A file with more than
      `MAX_SERVED_PIXELS` by its header is not decoded. One bad file fails the whole request.
    - `image_bytes_checked`: the same, but a bad file does not fail the others: is_valid, bool `[n]`, is
      False for it, and its probabilities are zeros.
    - `classify`: pixels, float32 → labels, string `[n, k]`, and scores, float32 `[n, k]`, the
      likeliest class first.

    Args:
        model: an inference model.
        contract: its `Contract`.
        has_embeddings: whether the first three also return `embeddings`, float32 `[n, d]`: the pooled
            features before the head, as of `insideout_tf.embed`.
    """
    import tensorflow as tf

    answer = create_inference_function(model, has_embeddings)
    faces = (None, *contract.input_shape)
    names = tf.constant(contract.classes)

    @tf.function(input_signature=[tf.TensorSpec(faces, tf.float32, "pixels")])
    def serving_default(pixels):
        return answer(pixels)

    @tf.function(input_signature=[tf.TensorSpec(faces, tf.uint8, "pixels")])
    def uint8(pixels):
        return answer(tf.cast(pixels, tf.float32))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes(image_bytes):
        pixels = tf.map_fn(
            lambda content: decode_in_graph(content, contract),
            image_bytes,
            fn_output_signature=tf.TensorSpec(faces[1:], tf.float32),
        )
        return answer(pixels)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes_checked(image_bytes):
        pixels, is_valid = decode_valid_in_graph(image_bytes, contract)
        probabilities = tf.where(is_valid[:, None], answer(pixels)["probabilities"], 0.0)
        return {"probabilities": probabilities, "is_valid": is_valid}

    @tf.function(input_signature=[tf.TensorSpec(faces, tf.float32, "pixels")])
    def classify(pixels):
        scores, order = tf.math.top_k(answer(pixels)["probabilities"], k=contract.count)
        return {"labels": tf.gather(names, order), "scores": scores}

    functions = (serving_default, uint8, image_bytes, image_bytes_checked, classify)
    return dict(zip(SIGNATURES, functions, strict=True))


def write_assets(folder, facts, contract):
    """Writes classes.txt and model.json into a folder; returns their paths. facts: of the model."""
    texts = {
        "classes.txt": format_labels(contract.classes),
        "model.json": json.dumps(facts, indent=2, ensure_ascii=False) + "\n",
    }
    paths = []
    for name, text in texts.items():
        paths.append(pathlib.Path(folder, name))
        paths[-1].write_text(text, "utf-8")
    return paths


def decode_in_graph(content, contract=FER2013):
    """Returns the face in an image file as a model's contract has it, with TensorFlow alone.

    It follows `images.shrink` to within one level: for a model of grey levels, ITU-R 601 luma in
    Pillow's integers; then a bilinear resize with antialiasing, first of the width and then of the height, each rounded.
    Transparency and EXIF are ignored.

    Args:
        content: a string tensor, the bytes of a PNG, JPEG or BMP file.
        contract: the `Contract` of the model.

    Returns:
        float32 of `contract.input_shape`, 0..255.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such a file, are more than
            `images.MAX_FILE_BYTES`, or have more than `MAX_SERVED_PIXELS` by their header.
    """
    import tensorflow as tf

    size = tf.cast(tf.strings.length(content), tf.int64)
    pixels = count_pixels_in_graph(content)
    limits = [
        tf.debugging.assert_less_equal(
            size, tf.constant(images.MAX_FILE_BYTES, tf.int64), "image_bytes: too many bytes"
        ),
        tf.debugging.assert_non_negative(pixels, "image_bytes: expected a PNG, JPEG or BMP file"),
        tf.debugging.assert_less_equal(
            pixels,
            tf.constant(MAX_SERVED_PIXELS, tf.int64),
            f"image_bytes: expected a picture of at most {MAX_SERVED_PIXELS:,} pixels",
        ),
    ]
    with tf.control_dependencies(limits):
        content = tf.identity(content)
    rgb = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    rgb = tf.cast(tf.ensure_shape(rgb, (None, None, 3)), tf.int32)
    if contract.channels == 1:
        grey = (19595 * rgb[..., 0] + 38470 * rgb[..., 1] + 7471 * rgb[..., 2] + 32768) // 65536
        rgb = grey[..., None]
    face = tf.cast(rgb, tf.float32)
    height, side = tf.shape(face)[0], contract.side
    for size in ((height, side), (side, side)):
        face = tf.floor(tf.image.resize(face, size, "bilinear", antialias=True) + 0.5)
    return tf.ensure_shape(tf.clip_by_value(face, 0.0, 255.0), contract.input_shape)


def count_pixels_in_graph(content):
    """Returns the pixels that the header of a PNG, JPEG or BMP file declares, int64; else -1.

    TensorFlow would decode GIF and WebP too. The frames of a GIF may be larger than its header says.

    content: a string tensor, the bytes of the file. A JPEG without a size in its header raises
    `tf.errors.InvalidArgumentError`.
    """
    import tensorflow as tf

    def read(position, width, is_big_endian):
        kind = {2: tf.uint16, 4: tf.int32}[width]
        text = tf.strings.substr(content, position, width)
        number = tf.io.decode_raw(text, kind, little_endian=not is_big_endian)[0]
        return tf.abs(
            tf.cast(number, tf.int64)
        )  # the height of a BMP is negative from top to bottom

    def starts_with(signature):
        return tf.strings.substr(content, 0, len(signature)) == tf.constant(signature)

    def of_jpeg():
        return tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64))

    is_long = tf.strings.length(content) >= 26  # the headers below are within it
    return tf.case(
        [
            (tf.io.is_jpeg(content), of_jpeg),
            (
                is_long & starts_with(b"\x89PNG"),
                lambda: read(16, 4, True) * read(20, 4, True),
            ),
            (is_long & starts_with(b"BM"), lambda: read(18, 4, False) * read(22, 4, False)),
        ],
        default=lambda: tf.constant(-1, tf.int64),
    )


def decode_valid_in_graph(contents, contract=FER2013):
    """Returns the faces in image files, with those that cannot be decoded marked.

    contents: a string tensor `[n]`, as `decode_in_graph` takes each. contract: of the model. Returns
    float32 `[n, *contract.input_shape]`, zeros for a bad file, and bool `[n]`, False for it.
    """
    import tensorflow as tf

    count = tf.shape(contents)[0]
    decoded = tf.data.Dataset.from_tensor_slices(contents).enumerate()
    decoded = decoded.map(lambda index, content: (index, decode_in_graph(content, contract)))
    decoded = decoded.ignore_errors(log_warning=False)
    start = (
        tf.zeros(tf.concat([[count], contract.input_shape], 0), tf.float32),
        tf.zeros([count], tf.bool),
    )

    def add(state, indexed):
        (pixels, is_valid), (index, face) = state, indexed
        place = tf.reshape(tf.cast(index, tf.int32), (1, 1))
        return (
            tf.tensor_scatter_nd_update(pixels, place, face[None]),
            tf.tensor_scatter_nd_update(is_valid, place, [True]),
        )

    pixels, is_valid = decoded.reduce(start, add)
    return tf.ensure_shape(pixels, (None, *contract.input_shape)), is_valid


def write_warmup_requests(folder, name, contract=FER2013):
    """Writes one request a signature, which TF Serving runs when it loads the SavedModel.

    Args:
        folder: that of the SavedModel.
        name: of the model on the server.
        contract: the `Contract` of the model.

    Returns:
        False if tensorflow-serving-api is not installed, and nothing is written.
    """
    import tensorflow as tf

    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return False
    face = np.full((1, *contract.input_shape), 128, np.float32)
    picture = _png(np.full(contract.face_shape, 128, np.uint8))
    inputs = {
        "serving_default": ("pixels", face),
        "uint8": ("pixels", face.astype(np.uint8)),
        "image_bytes": ("image_bytes", [picture]),
        "image_bytes_checked": ("image_bytes", [picture]),
        "classify": ("pixels", face),
    }
    path = pathlib.Path(folder, WARMUP)
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (key, value) in inputs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
    return True


def create_inference_function(model, has_embeddings=False):
    """Returns a function from pixels to a dict with `probabilities`, always in the inference mode.

    has_embeddings: whether the dict has `embeddings` too. They come from the same pass.
    """
    if not has_embeddings:
        return lambda pixels: {"probabilities": model(pixels, training=False)}
    import keras

    pooled = find_pooling(model, "model").output
    both = keras.Model(model.input, {"embeddings": pooled, "probabilities": model.output})
    return lambda pixels: both(pixels, training=False)


def _png(face):
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(face).save(content, "PNG")
    return content.getvalue()
