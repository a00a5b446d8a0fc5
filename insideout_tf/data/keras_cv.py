"""KerasCV layers in the tf.data path, by name."""

from insideout_tf.errors import UserError

# KerasCV layers an experiment can name, with their arguments for 0..255 images.
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


def keras_cv_layer(name):
    """Returns the KerasCV layer of that name, for the tf.data path, on 0..255 images.

    Its random numbers are its own: they are not part of the state that a resume restores.
    """
    if name not in KERAS_CV_LAYERS:
        raise UserError(
            f"augmentation.keras_cv: expected one of {', '.join(KERAS_CV_LAYERS)}. "
            f"(Mixing is mixup_alpha and cutmix_alpha.) Received: {name!r}"
        )
    try:
        import keras_cv
    except ImportError:
        raise UserError(
            f"augmentation.keras_cv: expected the package keras-cv for {name!r}. Install it with "
            "`pip install keras-cv`, or leave the field empty. Received: no such package"
        ) from None
    return getattr(keras_cv.layers, name)(**KERAS_CV_LAYERS[name])


def apply_as_rgb(layer, pixels):
    """Runs a KerasCV layer, which wants three channels, on grey uint8 `[b, 48, 48]`."""
    import tensorflow as tf

    rgb = tf.repeat(tf.cast(pixels, tf.float32)[..., None], 3, axis=-1)
    changed = tf.reduce_mean(tf.cast(layer(rgb, training=True), tf.float32), axis=-1)
    changed = tf.ensure_shape(changed, pixels.shape)
    return tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), tf.uint8)
