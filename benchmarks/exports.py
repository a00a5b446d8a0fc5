"""What exporting gives and costs: the packaged models, EfficientNetV2-B0, B2 and EfficientNetV2-S.

    python benchmarks/exports.py fer2013.csv [--only small,EfficientNetV2B0]

The big networks have random weights, since what is compared is Keras with the exported file: their
BatchNorm statistics come from training faces, and their logits are spread a little, so that every class is some
face's likeliest. At 96 px inside. 512 faces of PublicTest are compared; latency is that of one face,
all cores, as `export` records it.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np

NETWORKS = ("EfficientNetV2B0", "EfficientNetB2", "EfficientNetV2S")
SIZE = 96
SPREAD = 0.2  # standard deviation of each logit over the faces


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--only", help="names with commas between")
    arguments = parser.parse_args()
    from insideout_tf import devices, export, fer2013, packaged

    devices.prepare_backend()
    faces = fer2013.read(arguments.data)
    names = arguments.only.split(",") if arguments.only else (*packaged.names(), *NETWORKS)
    print("| model | file | MB | furthest from Keras | ms a face | seconds to export all |")
    print("|---|---|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            source = name
            if name in NETWORKS:
                source = pathlib.Path(folder, f"{name}.keras")
                create(name, faces).save(source)
            began = time.perf_counter()
            record = export.export(source, pathlib.Path(folder, "out"), data=arguments.data)
            seconds = time.perf_counter() - began
        for kind, entry in record["formats"].items():
            print(
                f"| {name} | {kind} | {entry['bytes'] / 1e6:.2f} | {entry['furthest']:.1e} | "
                f"{entry['p50_ms']:.2f} | {seconds:.0f} |",
                flush=True,
            )


def create(name, faces):
    """Returns a delivered model whose answers differ from face to face."""
    import keras

    from insideout_tf import classifier
    from insideout_tf.config import Experiment, Stage

    keras.utils.set_random_seed(0)
    stages = (Stage("all", epochs=1, learning_rate=0.1),)
    model = classifier.create_delivered(
        Experiment(name=name, backbone=name, weights="none", image_size=SIZE, stages=stages)
    )
    pixels = faces.pixels[:512, ..., None].astype(np.float32)
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    usual = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.5  # so that the averages arrive within these batches
    for start in range(0, len(pixels), 32):
        model(pixels[start : start + 32], training=True)
    for layer, momentum in zip(norms, usual):
        layer.momentum = momentum
    head = model.get_layer("logits")
    logits = keras.Model(model.input, head.output).predict(pixels, verbose=0)
    scale = SPREAD / logits.std(0)
    kernel, _ = head.get_weights()
    head.set_weights([kernel * scale, -logits.mean(0) * scale])
    spread = np.bincount(model.predict(pixels, verbose=0).argmax(1), minlength=7)
    assert spread.min() > 0, f"{name}: some class is no face's likeliest: {spread}"
    return model


if __name__ == "__main__":
    main()
