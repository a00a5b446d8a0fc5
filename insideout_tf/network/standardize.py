"""Brightness and contrast inside the model: each face brought to a known mean and standard deviation."""

from keras import layers

# Grey levels: the means over FER2013's Training faces of each one's mean and standard deviation; and
# what is usual there: nine of ten have a mean between these two, five of six so much deviation or more.
FACE_MEAN, FACE_DEVIATION = 129.5, 54.0
USUAL_MEANS, USUAL_DEVIATION = (75.0, 185.0), 40.0


def standardize(x, which):
    """Gives faces `[b, s, s, 1]` a light and a contrast that the network knows, by Keras layers.

    which: "none"; "all": the mean and deviation of FER2013's faces, so that light and contrast change no
    answer; "outliers": faces darker, brighter or paler than usual there are brought to the border of
    what is usual, the others stay as they are, for a network that was trained without.
    """
    if which == "none":
        return x
    # Epsilon is a deviation of one grey level: less than that is not made a face.
    unit = layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1.0, name="standardize"
    )(x)
    if which == "all":
        return layers.Rescaling(FACE_DEVIATION, offset=FACE_MEAN, name="standardize_levels")(unit)

    def bounded(value, low, high, name):
        value = layers.Rescaling(1.0, offset=-low, name=f"{name}_above")(value)
        most = None if high is None else high - low
        value = layers.ReLU(max_value=most, name=f"{name}_bounded")(value)
        value = layers.Rescaling(1.0, offset=low, name=name)(value)
        # As a map: in graphs, TensorFlow 2.21 on CPUs joins a product and the sum with [b, 1, 1, 1] to
        # one operation, which adds the wrong faces' values where b is also the side.
        return layers.UpSampling2D(x.shape[1:3], name=f"{name}_map")(value)

    mean = layers.GlobalAveragePooling2D(keepdims=True, name="standardize_mean")(x)
    centred = layers.Subtract(name="standardize_centred")([x, mean])
    squares = layers.Multiply(name="standardize_squares")([unit, centred])
    deviation = layers.GlobalAveragePooling2D(keepdims=True, name="standardize_deviation")(squares)
    deviation = bounded(deviation, USUAL_DEVIATION, None, "standardize_usual_deviation")
    mean = bounded(mean, *USUAL_MEANS, "standardize_usual_mean")
    unit = layers.Multiply(name="standardize_contrast")([unit, deviation])
    return layers.Add(name="standardize_levels")([unit, mean])
