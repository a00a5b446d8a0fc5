"""What a prediction costs: CPU milliseconds a face, parameters and file size of each trained recipe.

    python benchmarks/cost.py

For every folder of experiments/results but those of the ablation: its PrivateTest figures and training minutes, beside a
measurement of the very graph it delivers, built anew (weights do not change its speed): saved, loaded
with plain Keras in a process bound to one core, compiled with tf.function, batches of 1 and of 32
faces; medians, the models taking turns over five rounds.
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
found = {}
for batch in (1, 32):
    faces = tf.constant(np.random.default_rng(0).uniform(0, 255, (batch, 48, 48, 1)), tf.float32)
    times = []
    for _ in range(23):
        began = time.perf_counter()
        predict(faces).numpy()
        times.append(time.perf_counter() - began)
    found[batch] = sorted(times[3:])[10] * 1000 / batch
print(json.dumps(found))
"""


def python(code, *arguments, one_core=False):
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
    found: dict[str, list[pathlib.Path]] = {}
    for folder in sorted((ROOT / "experiments/results").glob("*/seed*")):
        if not folder.parent.name.startswith("ablation_"):
            found.setdefault(folder.parent.name, []).append(folder)
    summaries = {
        k: [json.loads((f / "metrics.json").read_text()) for f in v] for k, v in found.items()
    }
    graphs = {name: graph_of(folders[0], summaries[name][0]) for name, folders in found.items()}
    times: dict[tuple, list[dict]] = {graph: [] for graph in graphs.values()}
    with tempfile.TemporaryDirectory() as temporary:
        paths = {graph: pathlib.Path(temporary, f"{i}.keras") for i, graph in enumerate(times)}
        for graph, path in paths.items():
            python(BUILD, *graph, path)
        for _ in range(rounds):
            for graph, path in paths.items():
                times[graph].append(json.loads(python(TIME, path, one_core=True)))
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
            f"{training(found[name])} | {one:.2f} | {many:.2f} | {sizes[graph]:.1f} MB |"
        )


def graph_of(folder, summary):
    """Returns what tells one delivered graph from another: the arguments of BUILD."""
    path = folder / "config.json"  # the first results have none, and no such settings
    settings = json.loads(path.read_text()) if path.exists() else {}
    return (
        summary["backbone"],
        summary["image_size"],
        settings.get("hidden_units", 0),
        settings.get("standardize", "none"),
    )


def training(folders):
    """Returns the minutes of the epochs of one run, and the device they ran on."""
    minutes = []
    for folder in folders:
        with open(folder / "history.csv", newline="", encoding="utf-8") as file:
            minutes.append(sum(float(row["seconds"]) for row in csv.DictReader(file)) / 60)
    environment = folders[0] / "environment.json"
    device = json.loads(environment.read_text())["device"] if environment.exists() else "CPU"
    return f"{statistics.mean(minutes):.0f} min, {device}"


if __name__ == "__main__":
    main()
