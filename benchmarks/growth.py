"""How cost grows with the data: the reader, the files feed and the first step, at 1×, 10×, 100× of a folder.

    python benchmarks/growth.py FOLDER_OF_CLASS_FOLDERS [--times 1,10] [--feed files] [--steps 50]

Each size is a folder of links to the pictures, so that the reader opens and decodes each of them anew, in a
process of its own, with `feed=files`. The table has the seconds until the faces are read, those until the first
batch, the batches' faces a second and the greatest memory of the process.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from bulk import describe_processor

import insideout_tf

CODE = """
import json, resource, sys, time
start = time.perf_counter()
from insideout_tf import config
from insideout_tf.data.read import read
from insideout_tf.data import reading, splits
experiment = config.Experiment(
    name="growth", stages=(config.Stage("all", epochs=1, learning_rate=1e-3),), backbone="tiny",
    weights="none", image_size=48, input_size=48, data=sys.argv[1], split="stratified", feed="files")
faces = read(experiment.data, reading.of_experiment(experiment))
split = splits.of_experiment(faces, experiment)
read_after = time.perf_counter() - start
from insideout_tf import devices
devices.prepare_backend()
from insideout_tf.data import batches
arrays = batches.training_arrays(faces, split.training, experiment)
stream = iter(batches.epoch_batches(arrays, experiment, 0, 0))
next(stream)
first = time.perf_counter() - start
count, begin = 0, time.perf_counter()
for _, batch in zip(range(int(sys.argv[2])), stream):
    count += len(batch["label"])
rate = count / (time.perf_counter() - begin)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([len(faces.labels), read_after, first, rate, peak]))
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--times", default="1,10")
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    print(f"{describe_processor()}; load {os.getloadavg()[0]:.1f}")
    print(
        "| size | faces | read | first batch | faces/s | peak memory |\n|---|---|---|---|---|---|"
    )
    for times in map(int, arguments.times.split(",")):
        with tempfile.TemporaryDirectory() as place:
            replicate(arguments.folder.resolve(), pathlib.Path(place), times)
            root = pathlib.Path(insideout_tf.__file__).parent.parent
            done = subprocess.run(
                [sys.executable, "-c", CODE, place, str(arguments.steps)],
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            count, read, first, rate, peak = json.loads(done.stdout.strip().splitlines()[-1])
        print(
            f"| {times}× | {count:,} | {read:.1f} s | {first:.1f} s | {rate:,.0f} | {peak:,.0f} MB |",
            flush=True,
        )


def replicate(folder, place, times):
    """Fills a place with `times` hard links to each picture of class folders, or with symbolic ones."""
    for path in sorted(folder.glob("*/*")):
        (place / path.parent.name).mkdir(exist_ok=True)
        for copy in range(times):
            target = place / path.parent.name / f"{copy:03}-{path.name}"
            try:
                os.link(path, target)
            except OSError:
                target.symlink_to(path)


if __name__ == "__main__":
    main()
