"""Time the augmentation to 224 px: the fused warp against Keras' and KerasCV's layers after the resize.

    python benchmarks/augmentation.py

All sides apply the same transforms to the same batch of 48×48 faces: flip, rotation, zoom, shift,
brightness and contrast. The result is float32 `[b, 224, 224, 3]`. Each side is one compiled function.
They run in turn, `--rounds` times; the table shows medians. "fused, XLA" is compiled as the training
step is on a GPU.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"


def sides(batch, size):
    """Returns {name: function of uint8 `[b, 48, 48]` that returns float32 `[b, size, size, 3]`}."""
    import keras
    import keras_cv
    import numpy as np
    import tensorflow as tf
    from keras import layers

    from insideout_tf.config import Augmentation
    from insideout_tf.training import augment

    settings = Augmentation(
        flip=True,
        rotation_degrees=15.0,
        zoom=(0.85, 1.15),
        shift=0.1,
        brightness=0.1,
        contrast=0.2,
    )
    generator = keras.random.SeedGenerator(0)
    labels, weights = np.eye(7, dtype="float32")[np.zeros(batch, int)], np.ones(batch, "float32")

    def fused(pixels):
        images, _, _ = augment.augment(pixels, labels, weights, settings, size, generator)
        return tf.repeat(images, 3, axis=-1)

    def chain(kind, photometric):
        after = [
            kind.RandomFlip("horizontal"),
            kind.RandomRotation(15 / 360),
            kind.RandomZoom((-0.15, 0.15)),
            kind.RandomTranslation(0.1, 0.1),
            *photometric,
        ]
        resize = layers.Resizing(size, size)

        def run(pixels):
            images = tf.repeat(tf.cast(pixels, tf.float32)[..., None], 3, axis=-1)
            images = resize(images)
            for layer in after:
                images = layer(images, training=True)
            return images

        return run

    keras_chain = chain(
        layers, [layers.RandomBrightness(0.1), layers.RandomContrast(0.2, value_range=(0, 255))]
    )
    cv = keras_cv.layers
    keras_cv_chain = chain(cv, [cv.RandomBrightness(0.1), cv.RandomContrast((0, 255), factor=0.2)])
    return {
        "fused": tf.function(fused),
        "fused, XLA": tf.function(fused, jit_compile=True),
        "Keras layers after the resize": tf.function(keras_chain),
        "KerasCV layers after the resize": tf.function(keras_cv_chain),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    import numpy as np
    import tensorflow as tf

    shape = (arguments.batch, 48, 48)
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    functions = sides(arguments.batch, arguments.size)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        images = function(pixels)
        assert images.shape == (arguments.batch, arguments.size, arguments.size, 3)
    for _ in range(arguments.rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            np.asarray(function(pixels)[0, 0, 0])
            seconds[name].append(time.perf_counter() - started)
    speed = {name: arguments.batch / statistics.median(times) for name, times in seconds.items()}
    best = max(value for name, value in speed.items() if not name.startswith("fused"))
    print("| path | images/s | of the faster chain |\n|---|---|---|")
    for name, value in speed.items():
        print(f"| {name} | {value:,.0f} | {value / best:.1f}× |")


if __name__ == "__main__":
    main()
