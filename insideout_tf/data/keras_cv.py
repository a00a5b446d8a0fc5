"""KerasCV layers in the tf.data path, by name."""

from insideout_tf import imports
from insideout_tf.errors import UserError

# The layers that an experiment can name, with their arguments for images in 0..255.
KERAS_CV_LAYERS: dict[str, dict] = {
    "RandAugment": {"value_range": (0, 255)},
    "AugMix": {"value_range": (0, 255)},
    "RandomSharpness": {"value_range": (0, 255), "factor": 0.5},
    "RandomGaussianBlur": {"kernel_size": 3, "factor": 1.0},
    "GridMask": {},
    "Equalization": {"value_range": (0, 255)},
    "AutoContrast": {"value_range": (0, 255)},
    "Posterization": {"value_range": (0, 255), "bits": 4},
    "Solarization": {"value_range": (0, 255)},
}


def check_layers(names):
    """Raises `UserError` unless KerasCV layers of these names can be made."""
    for name in names:
        make_layer(name)


def make_layer(name):
    """Returns a new KerasCV layer for images in 0..255.

    The layer has a random state of its own, which a resumed run does not restore.

    Args:
        name: one of `KERAS_CV_LAYERS`.

    Raises:
        UserError: another name, or KerasCV is not installed.
    """
    if name not in KERAS_CV_LAYERS:
        raise UserError(
            f"augmentation.keras_cv: expected one of {', '.join(KERAS_CV_LAYERS)}. "
            f"(Mixing is mixup_alpha and cutmix_alpha.) Received: {name!r}"
        )
    where, instead = "augmentation.keras_cv", ", or leave the field empty"
    keras_cv = imports.load("keras_cv", where, f" for {name!r}", instead)
    return getattr(keras_cv.layers, name)(**KERAS_CV_LAYERS[name])


def apply_as_rgb(layer, pixels):
    """Runs a layer that requires three channels on grey or colour images.

    pixels: a tensor, uint8 `[b, h, w]` or `[b, h, w, 3]`. Returns a tensor of the same type and shape,
    rounded and clipped to 0..255; of grey images the mean of the three channels.
    """
    import tensorflow as tf

    images, is_grey = tf.cast(pixels, tf.float32), len(pixels.shape) == 3
    if is_grey:
        images = tf.repeat(images[..., None], 3, axis=-1)
    images = tf.cast(layer(images, training=True), tf.float32)
    if is_grey:
        images = tf.reduce_mean(images, axis=-1)
    images = tf.ensure_shape(images, pixels.shape)
    return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8)
