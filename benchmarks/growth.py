"""How the cost of training grows: 1×, 10× and 100× the data, 1 to 4 devices, 1 and 2 processes.

    python benchmarks/growth.py fer2013.csv
    python benchmarks/growth.py fer2013.csv --times 1,10 --only data

Each row is a training of the network of `compact_nano` (48 px, batches of 64, no teacher), in new processes
that end after `--steps` steps.

- data: the training faces of FER2013 are written as PNG files in class folders. Each size is a folder in which every
  file has `times` names (hard links), so the reader opens and decodes each of them anew. `feed=memory` keeps all
  pixels, `feed=files` decodes each face again when its batch is made.
- devices: logical ones of the same processor, so they show what sharing costs, not what more hardware gains.
  TensorFlow shares batches with `distribution=mirrored`, JAX between the devices of the processes of `--hosts`.

"training begins" counts from the start of the process to the call of `fit`: imports, reading, checking and dividing
the faces, building the network. "faces/s" is a median over the second half of the steps; "batches alone" a mean over
`--steps` batches that nothing trains with, in the same process after the training. Memory is the largest resident set
of the (first) process.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from bulk import describe_processor
from PIL import Image

import insideout_tf
from insideout_tf import errors
from insideout_tf.data.faces import TRAINING

BATCH = 64
TRAIN = """
import json, os, resource, statistics, sys, time
data, steps, feed, devices, mirrored, joined, folder = sys.argv[1:]
steps, devices = int(steps), int(devices)
import dataclasses
from insideout_tf import devices as backends, hosts, overrides
from insideout_tf.api import train
if joined:
    hosts.join(joined)
elif mirrored:
    import tensorflow as tf
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
backends.prepare_backend()
import keras
import numpy as np
from insideout_tf.data import batches

given, begins, ends = [], [], []
make_batches = batches.epoch_batches

def keep_arguments(*arguments, **options):
    given.append(arguments)
    return make_batches(*arguments, **options)

def time_batches():
    arrays, experiment, *_ = given[-1]
    times = []
    for batch in make_batches(arrays, experiment, 0, 0, steps=steps + 10):
        np.asarray(batch["image"])
        times.append(time.time())
    return (len(times) - 11) / (times[-1] - times[10])  # those after ten, which are made ahead

class Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        begins.append(time.time())

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        ends.append(time.time())
        if len(ends) < steps:
            return
        late = [after - before for before, after in zip(ends, ends[1:])][steps // 2:]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        faces = len(given[-1][0]["image"])
        alone = None if joined or mirrored else time_batches()
        print(json.dumps([faces, begins[0], ends[0], 1 / statistics.median(late), alone, peak]), flush=True)
        os._exit(0)

batches.epoch_batches = keep_arguments
recipe = overrides.load("compact_nano")
settings = ["distillation_weight=0", "soft_label_weight=0", f"feed={feed}", "split=stratified"]
settings += ["distribution=mirrored"] if mirrored else []
stage = dataclasses.replace(recipe.stages[0], epochs=1000)  # a small folder has fewer steps in an epoch
experiment = overrides.override(dataclasses.replace(recipe, stages=(stage,), data=data), settings)
train.train(experiment, folder, verbose=0, callbacks=[Clock()])
"""
DATA_HEAD = """
| data | feed | faces that train | training begins | first step | faces/s | batches alone, faces/s | memory |
|---|---|---|---|---|---|---|---|"""
DEVICES_HEAD = """
| backend | processes | devices in each | first step | faces/s | memory of the first |
|---|---|---|---|---|---|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--times", default="1,10,100", help="sizes (default: 1,10,100)")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", choices=("data", "devices"))
    arguments = parser.parse_args()
    print(f"{describe_processor()}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_faces(arguments.data, folder / "1")
        if arguments.only != "devices":
            print(DATA_HEAD, flush=True)
            for times in map(int, arguments.times.split(",")):
                place = replicate(folder / "1", folder / str(times), times)
                for feed in ("memory", "files"):
                    row = measure(place, arguments.steps, feed)
                    faces, begin, first, rate, alone, peak = row
                    print(
                        f"| {times}× | {feed} | {faces:,} | {begin:.1f} s | {first:.1f} s | "
                        f"{BATCH * rate:,.0f} | {BATCH * alone:,.0f} | {peak:,.0f} MB |",
                        flush=True,
                    )
        if arguments.only != "data":
            print(DEVICES_HEAD, flush=True)
            shapes = [("tensorflow", 1, devices) for devices in (1, 2, 4)]
            shapes += [("jax", 1, 1), ("jax", 2, 1), ("jax", 2, 2)]
            for backend, processes, devices in shapes:
                row = measure(folder / "1", arguments.steps, "memory", backend, processes, devices)
                _, _, first, rate, _, peak = row
                print(
                    f"| {backend} | {processes} | {devices} | {first:.1f} s | {BATCH * rate:,.0f} | "
                    f"{peak:,.0f} MB |",
                    flush=True,
                )


def write_faces(data, folder):
    """Writes the training faces of FER2013 as PNG files into class folders of a new folder."""
    faces = insideout_tf.read_faces(data)
    for row in (faces.usage == TRAINING).nonzero()[0]:
        place = folder / faces.classes[faces.labels[row]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.pixels[row]).save(place / f"{row}.png")


def replicate(source, place, times):
    """Fills class folders in `place` with `times` hard links to each picture of `source`; returns `place`."""
    if times == 1:
        return source
    for folder in source.iterdir():
        (place / folder.name).mkdir(parents=True)
        for picture in folder.iterdir():
            for number in range(times):
                os.link(picture, place / folder.name / f"{number}_{picture.name}")
    return place


def measure(data, steps, feed, backend="tensorflow", processes=1, devices=1):
    """Trains for some steps.

    Returns:
        A tuple of the faces that train, the seconds until the training begins, those until its first step
        has ended, the steps a second, the batches a second without a training (None where devices share
        them), and the largest resident set of the first process in MB.
    """
    root = pathlib.Path(insideout_tf.__file__).parent.parent
    flags = f"--xla_force_host_platform_device_count={devices}" if backend == "jax" else ""
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": flags,
    }
    mirrored = "mirrored" if backend == "tensorflow" and devices > 1 else ""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        running = []
        for number in range(processes):
            joined = f"localhost:{port},{processes},{number}" if processes > 1 else ""
            words = (data, steps, feed, devices, mirrored, joined, f"{folder}/run")
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", TRAIN, *map(str, words)],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=open(f"{folder}/errors{number}.txt", "wb"),
                    text=True,
                )
            )
        out = running[0].communicate()[0]
        for process in running[1:]:
            process.kill()
            process.communicate()
        if running[0].returncode:
            raise SystemExit(pathlib.Path(folder, "errors0.txt").read_text()[-2000:])
    faces, begin, first, *rest = json.loads(out.splitlines()[-1])
    return faces, begin - started, first - started, *rest


if __name__ == "__main__":
    with errors.reported("growth.py"):
        main()
