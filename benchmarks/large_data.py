"""Feed a data set larger than memory: resident memory and images a second, against Keras' own reader.

    python benchmarks/large_data.py --count 200000

It makes JPEG files of 112×112 in colour, in seven class folders: 2,000 different pictures of drawn faces,
each under as many names as needed (hard links, so that the disk is not the subject). Each side is a process
of its own:

- "insideout_tf, files": `read_faces` with `feed="files"`, which decodes every file once and keeps a digest of
  it; then the training batches of an epoch.
- "image_dataset_from_directory": `keras.utils.image_dataset_from_directory` with shuffling, its batches as
  they come (float32, decoded by TensorFlow). It checks no file, so it has no reading time.

Peak memory is the largest resident set of the process. Images a second are those of `--batches` batches
after ten.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from insideout_tf import errors
from insideout_tf.data import drawn

DISTINCT, SIDE, BATCH = 2000, 112, 64

OURS = """
import json, resource, sys, time
import numpy as np
from insideout_tf import overrides
from insideout_tf.data import reading, splits
from insideout_tf.data.read import read
start = time.perf_counter()
faces = read(sys.argv[1], reading.Reading(feed="files"))
read_seconds = time.perf_counter() - start
experiment = overrides.override(
    overrides.load("quickstart"), ["split=stratified", "batch_size=64", "class_weight=none"]
)
split = splits.of_experiment(faces, experiment)
from insideout_tf.data import batches
arrays = batches.training_arrays(faces, split.training, experiment)
count = 0
for batch in batches.epoch_batches(arrays, experiment, 0, 0, steps=int(sys.argv[2]) + 10):
    np.asarray(batch["image"])
    count += 1
    if count == 10:
        start = time.perf_counter()
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([len(faces), read_seconds, 64 * (count - 10) / seconds, peak]))
"""
KERAS = """
import json, resource, sys, time
import keras, numpy as np
dataset = keras.utils.image_dataset_from_directory(
    sys.argv[1] + "/train", batch_size=64, image_size=(112, 112), seed=0, verbose=False
)
count = 0
for images, labels in dataset.take(int(sys.argv[2]) + 10):
    np.asarray(images)
    count += 1
    if count == 10:
        start = time.perf_counter()
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([64 * len(dataset), 0.0, 64 * (count - 10) / seconds, peak]))
"""


def make_files(folder, count):
    """Writes `count` JPEG files into seven class folders below `folder`/train."""
    pixels, labels, _ = drawn.draw_all(DISTINCT, 7, 7)
    random = np.random.default_rng(0)
    originals = folder / "originals"
    originals.mkdir()
    for index in range(DISTINCT):
        face = Image.fromarray(pixels[index]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        noisy = np.asarray(face.convert("RGB")) * random.uniform(0.8, 1, 3)
        noisy += random.normal(0, 4, noisy.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
            originals / f"{index}.jpg", quality=90
        )
    for name in drawn.EMOTIONS:
        (folder / "train" / name).mkdir(parents=True)
    for number in range(count):
        index = number % DISTINCT
        name = drawn.EMOTIONS[labels[index]]
        (folder / "train" / name / f"{number}.jpg").hardlink_to(originals / f"{index}.jpg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="files (default: 20,000)")
    parser.add_argument("--batches", type=int, default=200)
    arguments = parser.parse_args()
    print("| side | files | reading | images/s | peak memory |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_files(folder, arguments.count)
        sides = (("insideout_tf, files", OURS), ("image_dataset_from_directory", KERAS))
        for side, code in sides:
            done = subprocess.run(
                [sys.executable, "-c", code, str(folder), str(arguments.batches)],
                capture_output=True,
                text=True,
                check=True,
            )
            count, seconds, speed, peak = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {side} | {count:,} | {seconds:.0f} s | {speed:,.0f} | {peak:,.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    with errors.reported("large_data.py"):
        main()
