"""Brightness and contrast inside the model: each face gets a known mean and standard deviation."""

from keras import layers

# Grey levels, measured over the Training faces of FER2013 (a test measures them again).
TRAINING_MEAN = 129.5  # mean of the faces' means
TRAINING_DEVIATION = 54.0  # mean of the faces' standard deviations
MEAN_RANGE = (75.0, 185.0)  # holds the mean of nine faces in ten
MIN_DEVIATION = 40.0  # five faces in six have at least this standard deviation


def standardize(x, which):
    """Brings the mean and the standard deviation of each face to known values, by Keras layers.

    A face of one single grey level stays one: deviations well below one grey level are noise, and
    are not amplified.

    Args:
        x: a Keras tensor of faces, float32 `[b, side, side, 1]`, grey levels 0..255.
        which: "none" changes nothing. "all" gives every face the mean and the standard deviation of
            the training faces. "outliers" moves a face to the nearest border of the range of the
            training faces, and leaves faces within the range as they are; it suits a network that
            was trained without.

    Returns:
        A Keras tensor of the same shape. Its values can exceed 0..255.
    """
    if which == "none":
        return x
    # Epsilon is added to the variance: it is that of one grey level.
    unit = layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1.0, name="standardize"
    )(x)
    if which == "all":
        return layers.Rescaling(
            TRAINING_DEVIATION, offset=TRAINING_MEAN, name="standardize_levels"
        )(unit)
    size = x.shape[1:3]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="standardize_mean")(x)
    deviation = _measure_deviation(x, unit, mean)
    deviation = _clip(deviation, MIN_DEVIATION, None, "standardize_usual_deviation")
    deviation = _expand(deviation, size, "standardize_usual_deviation")
    mean = _clip(mean, *MEAN_RANGE, "standardize_usual_mean")
    mean = _expand(mean, size, "standardize_usual_mean")
    scaled = layers.Multiply(name="standardize_contrast")([unit, deviation])
    return layers.Add(name="standardize_levels")([scaled, mean])


def _measure_deviation(x, unit, mean):
    """Returns the standard deviation `[b, 1, 1, 1]` of faces, from their normalised values `unit`."""
    centred = layers.Subtract(name="standardize_centred")([x, mean])
    squares = layers.Multiply(name="standardize_squares")([unit, centred])
    return layers.GlobalAveragePooling2D(keepdims=True, name="standardize_deviation")(squares)


def _clip(value, low, high, name):
    """Limits `[b, 1, 1, 1]` to `low`..`high`; a high of None is no limit."""
    above = layers.Rescaling(1.0, offset=-low, name=f"{name}_above")(value)
    width = None if high is None else high - low
    above = layers.ReLU(max_value=width, name=f"{name}_bounded")(above)
    return layers.Rescaling(1.0, offset=low, name=name)(above)


def _expand(value, size, name):
    """Repeats `[b, 1, 1, 1]` over all pixels of a face.

    Broadcasting would do in theory. In graphs, TensorFlow 2.21 on CPUs fuses a product with the sum
    of a `[b, 1, 1, 1]` tensor, and adds the wrong faces' values where b is also the side.
    """
    return layers.UpSampling2D(size, name=f"{name}_map")(value)
