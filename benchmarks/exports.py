"""Measure what an export costs: the packaged models, EfficientNetV2-B0, B2 and EfficientNetV2-S.

    python benchmarks/exports.py fer2013.csv [--only small,EfficientNetV2B0]

The script compares Keras with the exported files on 512 faces of PublicTest. Latency is that of one face on all
cores, as `export` records it. "Rounding" is the largest difference of Keras in float32 from the same network
in float64, on the first 64 faces of PublicTest.

The big networks have random weights and see 96 px. Three changes keep them as steady as trained ones:
- The logits are scaled, so that each class is the prediction for some face.
- The statistics of BatchNorm are those of the 64 Training faces of the strongest contrast.
- A residual branch adds a fifth of its input's deviation.
Otherwise the activations of a face of unusual contrast grow from block to block, and rounding errors with
them. EfficientNet-B2 in float32 then differs from itself in float64 by more than a hundredth.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np

NETWORKS = ("EfficientNetV2B0", "EfficientNetB2", "EfficientNetV2S")
SIZE = 96
SPREAD = 0.2  # standard deviation of each logit over the faces
BRANCH = 0.2  # gamma of the last BatchNorm of a residual branch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--only", help="names of models or networks, with commas")
    arguments = parser.parse_args()
    from insideout_tf import devices
    from insideout_tf.api import export
    from insideout_tf.data.faces import PUBLIC_TEST
    from insideout_tf.data.read import read_faces
    from insideout_tf.serving import packaged

    devices.prepare_backend()
    faces = read_faces(arguments.data)
    public = faces.pixels[faces.usage == PUBLIC_TEST][:64]
    names = arguments.only.split(",") if arguments.only else (*packaged.names(), *NETWORKS)
    print(
        "| model | file | MB | largest difference from Keras | rounding | ms a face | seconds to export all |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            source = name
            if name in NETWORKS:
                source = pathlib.Path(folder, f"{name}.keras")
                create(name, faces).save(source)
            rounding = measure_rounding(export.load(packaged.model_path(source)[0]), public)
            began = time.perf_counter()
            record = export.export(source, pathlib.Path(folder, "out"), data=arguments.data)
            seconds = time.perf_counter() - began
        for kind, entry in record["formats"].items():
            print(
                f"| {name} | {kind} | {entry['bytes'] / 1e6:.2f} | {entry['furthest']:.1e} | "
                f"{rounding:.1e} | {entry['p50_ms']:.2f} | {seconds:.0f} |",
                flush=True,
            )


def create(name, faces):
    """Returns an inference model with random weights whose predictions differ between faces."""
    import keras

    from insideout_tf.config import Experiment, Stage
    from insideout_tf.data.faces import TRAINING
    from insideout_tf.network.build import build_network

    keras.utils.set_random_seed(0)
    stages = (Stage("all", epochs=1, learning_rate=0.1),)
    model = build_network(
        Experiment(name=name, backbone=name, weights="none", image_size=SIZE, stages=stages)
    )
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # the averages are then those of one batch
        if layer.name.endswith("project_bn"):
            layer.gamma.assign(np.full(layer.gamma.shape, BRANCH))
    training = faces.pixels[faces.usage == TRAINING, ..., None].astype(np.float32)
    model(training[training.std((1, 2, 3)).argsort()[-64:]], training=True)
    for layer, momentum in zip(norms, momenta):
        layer.momentum = momentum
    pixels = training[:512]
    head = model.get_layer("logits")
    logits = keras.Model(model.input, head.output).predict(pixels, verbose=0)
    scale = SPREAD / logits.std(0)
    kernel, _ = head.get_weights()
    head.set_weights([kernel * scale, -logits.mean(0) * scale])
    spread = np.bincount(model.predict(pixels, verbose=0).argmax(1), minlength=7)
    assert spread.min() > 0, f"{name}: a class is never predicted: {spread}"
    return model


def measure_rounding(model, faces):
    """Returns the largest difference of Keras in float32 from the same network in float64."""
    import keras

    def clone(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    pixels = faces[..., None].astype(np.float32)
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        inputs = keras.Input(pixels.shape[1:], dtype="float64")
        exact = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)
        exact.set_weights(model.get_weights())
        expected = np.asarray(exact(pixels.astype(np.float64), training=False))
    finally:
        keras.config.set_floatx(before)
    return np.abs(model.predict(pixels, verbose=0) - expected).max()


if __name__ == "__main__":
    main()
