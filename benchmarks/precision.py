"""Time training steps on a CPU with TensorFlow: float32 against two kinds of half precision.

    python benchmarks/precision.py

A step is that of `insideout_tf.train` with SGD and augmentation, on random faces. The three sides are float32;
every layer under Keras' mixed_bfloat16 policy; and `--precision mixed_bfloat16`, which keeps float32 layers in
a graph that TensorFlow rounds. They take turns in one process; the table shows medians.
"""

import argparse
import statistics
import time

import numpy as np

from insideout_tf import devices
from insideout_tf.config import Augmentation, Experiment, Stage

NETWORKS = {"CompactFERSmallWhole": 48, "EfficientNetV2B0": 80, "EfficientNetV2S": 64}
SIDES = {  # policy of the layers, and whether TensorFlow rounds the graph
    "float32": ("float32", False),
    "Keras' mixed_bfloat16": ("mixed_bfloat16", False),
    "precision=mixed_bfloat16": ("float32", True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=7)
    arguments = parser.parse_args()
    devices.prepare_backend()
    if not devices.resolve_precision("mixed_bfloat16", "auto").rounds_graphs:
        raise SystemExit("expected TensorFlow on a CPU, since only there do the two kinds differ")
    header = " | ".join(f"{name}, faces/s | ratio" for name in SIDES)
    print(f"{devices.device_name()}, batches of {arguments.batch}\n")
    print(f"| network | {header} |\n|---|" + "---|---|" * len(SIDES))
    for network in arguments.networks.split(","):
        speed = measure(network, NETWORKS[network], arguments.batch, arguments.steps)
        cells = (f"{each:.0f} | {each / speed['float32']:.2f}" for each in speed.values())
        print(f"| {network}, {NETWORKS[network]} px | " + " | ".join(cells) + " |", flush=True)


def measure(network, size, batch, steps):
    """Returns {side: faces a second}."""
    steps_of = {
        name: create_step(network, size, batch, policy) for name, (policy, _) in SIDES.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for turn in range(2 + steps):  # the first two trace and warm up
        for name, (_, rounded) in SIDES.items():
            with devices.graphs_rounded(rounded):
                began = time.perf_counter()
                steps_of[name]()
                if turn > 1:
                    seconds[name].append(time.perf_counter() - began)
    return {name: batch / statistics.median(each) for name, each in seconds.items()}


def create_step(network, size, batch, policy):
    """Returns a function that runs one training step, each time on the same random faces."""
    import tensorflow as tf

    from insideout_tf.training import fused, optimizers
    from insideout_tf.training.model import TrainingModel

    stage = Stage("all", epochs=1, learning_rate=1e-4, optimizer="sgd", weight_decay=5e-3)
    experiment = Experiment(
        name="precision",
        stages=(stage,),
        backbone=network,
        weights="none",
        image_size=size,
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            contrast=0.25,
            erasing_probability=0.25,
        ),
    )
    model = fused.build_training_network(experiment, size, policy)
    step = TrainingModel(model, experiment, stage, seed=0)
    optimizer = optimizers.create(stage, 100, step.trainable_variables, scale_loss=False)
    step.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    random = np.random.default_rng(0)
    faces = {
        "image": tf.constant(random.integers(0, 256, (batch, 48, 48), np.uint8)),
        "label": tf.constant(np.eye(7, dtype=np.float32)[random.integers(0, 7, batch)]),
        "weight": tf.ones(batch),
    }
    traced = tf.function(lambda: step.train_step(faces)["loss"])
    return lambda: float(traced())


if __name__ == "__main__":
    main()
