"""Time the first training step of EfficientNetV2-S on TensorFlow, and the steps after it.

    python benchmarks/first_step.py

Two processes run in turn, `--rounds` times. One is a plain `Model.fit` with Adam on keras.applications'
EfficientNetV2S. The other is `insideout_tf.train` with all that a recipe uses: augmentation with mixup, AdamW
with clipping, averaged weights and a NaN check. Both start from random weights, resize 48 px inside the model
and train every layer in float32 on random faces. Time counts from the start of the process: imports, building,
tracing and the step. The table shows medians. Images per second are those of the second half of the steps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

# Counts the operations that all traces together add to graphs.
COUNT = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from tensorflow.python.framework import ops
create, nodes = ops.Graph._create_op_internal, []

def count_and_create(*arguments, **keywords):
    nodes.append(None)
    return create(*arguments, **keywords)

ops.Graph._create_op_internal = count_and_create
"""
BARE = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import keras

data, size, batch, _ = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with np.load(data) as arrays:
    chosen = arrays["usage"] == 0
    pixels, labels = arrays["pixels"][chosen][..., None].astype("float32"), arrays["emotion"][chosen]
inputs = keras.Input((48, 48, 1))
x = keras.layers.Resizing(size, size)(inputs)
x = keras.layers.Concatenate()([x, x, x])
x = keras.applications.EfficientNetV2S(include_top=False, weights=None, input_tensor=x).output
x = keras.layers.GlobalAveragePooling2D()(x)
model = keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(x))
model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
ends, traced = [], []

class Clock(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        ends.append(time.time())
        traced.append(len(nodes))

model.fit(pixels, labels, batch_size=batch, verbose=0, callbacks=[Clock()])
print(json.dumps([ends, traced[0]]))
"""
OURS = """
import json, sys, time
from insideout_tf import config, devices, train
from insideout_tf.config import Augmentation, Experiment, Stage

data, size, batch, directory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
experiment = Experiment(
    name="first_step", backbone="EfficientNetV2S", weights="none", image_size=size, data=data,
    batch_size=batch, label_smoothing=0.1, class_weight="balanced", ema_decay=0.998,
    augmentation=Augmentation(flip=True, rotation_degrees=15.0, zoom=(0.85, 1.15), shift=0.1,
                              brightness=0.1, contrast=0.2, erasing_probability=0.25,
                              mixup_alpha=0.2),
    stages=(Stage("all", epochs=1, learning_rate=1e-3, weight_decay=1e-2, clip_norm=1.0,
                  schedule="cosine", warmup_epochs=0.5),),
)
devices.prepare_backend()
import keras
from insideout_tf.training import averaging
ends, traced = [], []

class Clock(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        ends.append(time.time())
        traced.append(len(nodes))

averaging.inference_weights = lambda *_: (print(json.dumps([ends, traced[0]])), sys.exit(0))
train.train(experiment, directory, verbose=0, overwrite=True, callbacks=[Clock()])
"""


def measure(code, *arguments):
    """Returns seconds to the first step, the median seconds of a later step, and operations traced."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", COUNT + code, *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    ends, traced = json.loads(done.stdout.splitlines()[-1])
    steps = [after - before for before, after in zip(ends, ends[1:])]
    return ends[0] - started, statistics.median(steps[len(steps) // 2 :]), traced


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    import numpy as np

    count = arguments.batch * arguments.steps
    random = np.random.default_rng(0)
    usage = np.repeat([0, 1], [count, 70])
    sides = {"Keras fit, Adam": BARE, "insideout_tf.train, full recipe": OURS}
    rounds_of: dict[str, list] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/random.npz"
        pixels = random.integers(0, 256, (len(usage), 48, 48), np.uint8)
        np.savez(data, pixels=pixels, emotion=np.arange(len(usage)) % 7, usage=usage)
        for _ in range(arguments.rounds):
            for name, code in sides.items():
                rounds_of[name].append(
                    measure(code, data, arguments.size, arguments.batch, f"{folder}/run")
                )
    first = {name: statistics.median(f for f, _, _ in rounds) for name, rounds in rounds_of.items()}
    speed = {
        name: arguments.batch / statistics.median(step for _, step, _ in rounds)
        for name, rounds in rounds_of.items()
    }
    bare = "Keras fit, Adam"
    print(f"EfficientNetV2-S at {arguments.size} px, batches of {arguments.batch}\n")
    print("| side | first step after | ratio | operations traced | images/s | ratio |")
    print("|---|---|---|---|---|---|")
    for name in sides:
        print(
            f"| {name} | {first[name]:.1f} s | {first[name] / first[bare]:.2f} | "
            f"{rounds_of[name][0][2]:,} | "
            f"{speed[name]:.1f} | {speed[name] / speed[bare]:.2f} |"
        )


if __name__ == "__main__":
    main()
