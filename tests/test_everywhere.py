"""The same life with JAX where TensorFlow is not installed, and on two devices that share a batch."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, kill_after, run_python

from insideout_tf.network.weights import load_model

pytestmark = pytest.mark.slow

# The interpreter of an environment without TensorFlow, which .ci/run makes.
JAX_PYTHON = os.environ.get("INSIDEOUT_TF_JAX_PYTHON")


ALONE = pytest.mark.skipif(
    JAX_PYTHON is None, reason="INSIDEOUT_TF_JAX_PYTHON is not set; see .ci/run"
)


def run_jax(*arguments, status=0):
    clean = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run(
        [JAX_PYTHON, *map(str, arguments)], cwd=ROOT, env=clean, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@ALONE
def test_many_steps_in_one_call_train_as_one_by_one(tiny_experiment, small_drawn, tmp_path):
    """JAX, the data set on the device: 8 steps an epoch in one call of 25, or in calls of 3."""
    code = """
import sys
from insideout_tf import devices, train
devices.prepare_backend()
from insideout_tf.training import stages
stages.STEPS_TOGETHER = int(sys.argv[1])
train.main(sys.argv[2:])
"""
    weights = {}
    for feed, together in (("memory", 25), ("device", 25), ("device", 3)):
        directory = tmp_path / f"{feed}-{together}"
        arguments = (tiny_experiment, "--data", small_drawn, "--run-dir", directory)
        settings = ("--set", f"feed={feed}")
        run_jax("-c", code, together, *arguments, *settings, "--verbose", "0")
        weights[feed, together] = load_model(directory / "model.keras").get_weights()
    one_by_one = weights.pop(("memory", 25))
    for found in weights.values():
        assert max(np.abs(a - b).max() for a, b in zip(one_by_one, found)) < 1e-5


@ALONE
def test_loss_that_is_no_number_names_the_call_it_came_in(tiny_experiment, small_drawn, tmp_path):
    command = ["-m", "insideout_tf.train", tiny_experiment, "--data", small_drawn]
    command += ["--set", "feed=device", "--set", "stages.head.learning_rate=1e30"]
    command += ["--set", "stages.head.optimizer=sgd", "--run-dir", tmp_path / "run"]
    done = subprocess.run(
        [JAX_PYTHON, *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "epoch 1, one of the 25 steps to step 8: expected a finite loss" in done.stderr


@ALONE
def test_planned_runs_stop_in_time_go_on_and_come_back_as_float16(small_drawn, tmp_path):
    """The command for a GPU machine, shrunk: stopped, continued, collected, opened by TensorFlow."""
    plan = [ROOT / "experiments/tools/run_plan.py", "--data", small_drawn, "--v2b0", "none"]
    plan += ["--only", "ablation_none", "--runs", tmp_path / "runs", "--weights", tmp_path / "w"]
    plan += ["--results", tmp_path / "results"]
    for setting in (
        "backbone=tiny",
        "image_size=32",
        "batch_size=35",
        "feed=device",
        "stages.head.epochs=1",
        "stages.finetune.epochs=2",
        "stages.finetune.warmup_epochs=0",
    ):
        plan += ["--set", setting]
    assert "the same command goes on" in run_jax(*plan, "--seconds", "6", status=3)
    run_jax(*plan)
    folder = tmp_path / "results/ablation_none/seed0"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"metrics.json", "public.json", "merged.json", "private-flip.json"}
    assert names >= {"predictions.npz", "history.csv", "config.json", "environment.json"}
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.glob("*.json"))
    restored = tmp_path / "restored.keras"
    done = subprocess.run(
        [sys.executable, ROOT / "experiments/tools/collect.py", "--restore"]
        + [tmp_path / "w/ablation_none-seed0.npz", folder, restored],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "predictions.npz") as saved, np.load(small_drawn) as data:
        faces = data["pixels"][saved["rows"]][..., None].astype("float32")
        found = load_model(restored).predict(faces, verbose=0)
        assert np.abs(found - saved["probabilities"].astype("float32")).max() < 2e-3


@ALONE
def test_whole_life_on_jax_where_tensorflow_is_not_installed(
    tiny_experiment, small_drawn, tmp_path
):
    """Two stages, kill -9, resume, evaluate; then TensorFlow opens the model: equal to 1e-5."""
    missing = (
        "import importlib.util as i; print(i.find_spec('tensorflow'), i.find_spec('jax') is None)"
    )
    assert run_jax("-c", missing).split() == ["None", "False"]
    train = ["-m", "insideout_tf.train", tiny_experiment, "--data", small_drawn, "--verbose", "0"]
    fields = ("stages.finetune.epochs=4", "standardize=outliers", "augmentation.blur=1")
    train += [word for field in fields for word in ("--set", field)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_jax(*train, "--run-dir", whole)
    process = subprocess.Popen([JAX_PYTHON, *map(str, train), "--run-dir", killed], cwd=ROOT)
    kill_after(process, killed / "history.csv")
    run_jax(*train, "--run-dir", killed, "--resume")
    one, two = (load_model(path / "model.keras").get_weights() for path in (whole, killed))
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert "accuracy" in run_jax("-m", "insideout_tf.evaluate", killed, "--split", "private")
    environment = json.loads((killed / "environment.json").read_text())
    assert environment["backend"] == "jax" and "tensorflow" not in environment["packages"]

    predict = """
import sys
import numpy as np
import insideout_tf
from insideout_tf import devices
devices.prepare_backend()
import keras
faces = insideout_tf.read_faces(sys.argv[1]).pixels[..., None].astype("float32")
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
        weights.append(load_model(directory / "model.keras").get_weights())
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
