"""The same life with JAX where TensorFlow is not installed, and on two devices that share a batch."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import ROOT, run_python

from insideout_tf import runs

# The interpreter of an environment without TensorFlow, which .ci/run makes.
JAX_PYTHON = os.environ.get("INSIDEOUT_TF_JAX_PYTHON")


def run_jax(*arguments):
    clean = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run(
        [JAX_PYTHON, *map(str, arguments)], cwd=ROOT, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(JAX_PYTHON is None, reason="INSIDEOUT_TF_JAX_PYTHON is not set; see .ci/run")
def test_whole_life_on_jax_where_tensorflow_is_not_installed(
    tiny_experiment, small_drawn, tmp_path
):
    """Two stages, kill -9, resume, evaluate; then TensorFlow opens the model: equal to 1e-5."""
    missing = (
        "import importlib.util as i; print(i.find_spec('tensorflow'), i.find_spec('jax') is None)"
    )
    assert run_jax("-c", missing).split() == ["None", "False"]
    train = ["-m", "insideout_tf.train", tiny_experiment, "--data", small_drawn, "--verbose", "0"]
    train += ["--set", "stages.finetune.epochs=4"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_jax(*train, "--run-dir", whole)
    process = subprocess.Popen([JAX_PYTHON, *map(str, train), "--run-dir", killed], cwd=ROOT)
    deadline = time.monotonic() + 200
    history = killed / "history.csv"
    while not (history.exists() and history.read_text().count("finetune") >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run_jax(*train, "--run-dir", killed, "--resume")
    one, two = (runs.load_model(path / "model.keras").get_weights() for path in (whole, killed))
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert "accuracy" in run_jax("-m", "insideout_tf.evaluate", killed, "--split", "private")
    environment = json.loads((killed / "environment.json").read_text())
    assert environment["backend"] == "jax" and "tensorflow" not in environment["packages"]

    predict = """
import sys
import numpy as np
from insideout_tf import devices, fer2013
devices.prepare_backend()
import keras
faces = fer2013.read(sys.argv[1]).pixels[..., None].astype("float32")
print(keras.backend.backend())
np.save(sys.argv[3], keras.models.load_model(sys.argv[2]).predict(faces, verbose=0))
"""
    model = killed / "model.keras"
    assert run_jax("-c", predict, small_drawn, model, tmp_path / "jax.npy").split() == ["jax"]
    done = run_python(
        predict, small_drawn, model, tmp_path / "tf.npy", env={"KERAS_BACKEND": "tensorflow"}
    )
    assert done.stdout.split() == ["tensorflow"]
    by_jax, by_tensorflow = (np.load(tmp_path / name) for name in ("jax.npy", "tf.npy"))
    assert by_jax.shape == (420, 7) and np.abs(by_jax - by_tensorflow).max() < 1e-5


DEVICES = """
import sys
import tensorflow as tf
from insideout_tf import config, train
from insideout_tf.config import Experiment, Stage

count, distribution, ema = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "ema"
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
# No augmentation, no dropout, BatchNorm by its moving statistics: what would differ by design.
stages = tuple(
    Stage(name, epochs=2, learning_rate=1e-2, optimizer="adamw", weight_decay=1e-2,
          batch_norm="frozen", unfreeze_from=start)
    for name, start in (("head", None), ("finetune", "all"))
)
train.train(
    Experiment(name="two", backbone="tiny", weights="none", image_size=32, dropout=0.0,
               batch_size=40, class_weight="balanced", label_smoothing=0.05,
               ema_decay=0.9 if ema else None, stages=stages, data=sys.argv[4],
               distribution=distribution),
    sys.argv[5], verbose=0)
"""


@pytest.mark.parametrize("ema", ["ema", "raw"])
def test_two_devices_that_share_a_batch_train_as_one(ema, small_drawn, tmp_path):
    """MirroredStrategy over two logical CPUs: losses within 1e-4, weights within 1e-3 of one's."""
    import pandas as pd

    histories, weights = [], []
    for count, distribution in ((1, "none"), (2, "mirrored")):
        directory = tmp_path / str(count)
        run_python(DEVICES, count, distribution, ema, small_drawn, directory)
        histories.append(pd.read_csv(directory / "history.csv"))
        weights.append(runs.load_model(directory / "model.keras").get_weights())
    one, two = histories
    assert np.abs(one["loss"] - two["loss"]).max() < 1e-4
    assert np.abs(one["val_loss"] - two["val_loss"]).max() < 1e-3
    assert max(np.abs(a - b).max() for a, b in zip(*weights)) < 1e-3


def test_whole_recipe_on_two_devices(tiny_experiment, small_drawn, tmp_path):
    """Augmentation, BatchNorm in training, averaging, resume: it runs to the end."""
    code = """
import sys
import tensorflow as tf
from insideout_tf import train
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
train.main(sys.argv[1:])
"""
    base = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "run", "--verbose", "0")
    mirrored = ("--set", "distribution=mirrored")
    done = run_python(code, *base, *mirrored, check=False)
    assert done.returncode == 2 and "expected a multiple of the 2 devices" in done.stderr
    done = run_python(code, *base, *mirrored, "--set", "batch_size=40")
    assert (tmp_path / "run/metrics.json").exists(), done.stderr
