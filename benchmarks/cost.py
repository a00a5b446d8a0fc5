"""Measure the cost of a prediction: CPU milliseconds, parameters and file size of each trained recipe.

    python benchmarks/cost.py

The table has a row for each run of experiments/results, without the ablation. Accuracy and minutes are those
of the run. The graph of its inference model is built again with random weights, which have the same speed.
A process on one core loads it with plain Keras, compiles it with tf.function, and predicts batches of 1 and of
32 faces. The models take turns over five rounds; the table shows medians.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROUNDS = 5

BUILD = """
import sys
from insideout_tf import devices
devices.prepare_backend()
from insideout_tf.network.build import build_network
from insideout_tf.config import Experiment, Stage
backbone, size, hidden, standardize, path = sys.argv[1:]
stages = (Stage("x", epochs=1, learning_rate=1.0),)
experiment = Experiment("x", stages, backbone=backbone, weights="none", image_size=int(size),
                        hidden_units=int(hidden), standardize=standardize)
build_network(experiment).save(path)
"""
TIME = """
import json, sys, time
import numpy as np
import tensorflow as tf
import keras
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
model = keras.models.load_model(sys.argv[1], compile=False)
predict = tf.function(lambda x: model(x, training=False))
result = {}
for batch in (1, 32):
    faces = tf.constant(np.random.default_rng(0).uniform(0, 255, (batch, 48, 48, 1)), tf.float32)
    times = []
    for _ in range(23):
        began = time.perf_counter()
        predict(faces).numpy()
        times.append(time.perf_counter() - began)
    result[batch] = sorted(times[3:])[10] * 1000 / batch
print(json.dumps(result))
"""


def run_python(code, *arguments, one_core=False):
    """Runs code in a process of its own, on one core if wanted; returns what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    if one_core:
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    runs: dict[str, list[pathlib.Path]] = {}
    for folder in sorted((ROOT / "experiments/results").glob("*/seed*")):
        if not folder.parent.name.startswith("ablation_"):
            runs.setdefault(folder.parent.name, []).append(folder)
    summaries = {
        k: [json.loads((f / "metrics.json").read_text()) for f in v] for k, v in runs.items()
    }
    graphs = {name: graph_of(folders[0], summaries[name][0]) for name, folders in runs.items()}
    times: dict[tuple, list[dict]] = {graph: [] for graph in graphs.values()}
    with tempfile.TemporaryDirectory() as temporary:
        paths = {graph: pathlib.Path(temporary, f"{i}.keras") for i, graph in enumerate(times)}
        for graph, path in paths.items():
            run_python(BUILD, *graph, path)
        for _ in range(rounds):
            for graph, path in paths.items():
                times[graph].append(json.loads(run_python(TIME, path, one_core=True)))
        sizes = {graph: path.stat().st_size / 1e6 for graph, path in paths.items()}
    print(
        "| recipe | PrivateTest | parameters | px | training | ms a face, batch 1 | batch 32 | .keras |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in summaries.items():
        graph = graphs[name]
        one, many = (statistics.median(t[batch] for t in times[graph]) for batch in ("1", "32"))
        accuracy = statistics.mean(row["accuracy"] for row in rows)
        print(
            f"| `{name}` | {100 * accuracy:.2f} % | {rows[0]['parameters']:,} | {rows[0]['image_size']} | "
            f"{describe_training(runs[name])} | {one:.2f} | {many:.2f} | {sizes[graph]:.1f} MB |"
        )


def graph_of(folder, summary):
    """Returns what determines the graph of an inference model: the arguments of BUILD."""
    path = folder / "config.json"  # the oldest runs have neither the file nor these settings
    settings = json.loads(path.read_text()) if path.exists() else {}
    return (
        summary["backbone"],
        summary["image_size"],
        settings.get("hidden_units", 0),
        settings.get("standardize", "none"),
    )


def describe_training(folders):
    """Returns the mean minutes of training over the seeds of a run, and the device, as text."""
    minutes = []
    for folder in folders:
        with open(folder / "history.csv", newline="", encoding="utf-8") as file:
            minutes.append(sum(float(row["seconds"]) for row in csv.DictReader(file)) / 60)
    environment = folders[0] / "environment.json"
    device = json.loads(environment.read_text())["device"] if environment.exists() else "CPU"
    return f"{statistics.mean(minutes):.0f} min, {device}"


if __name__ == "__main__":
    main()
