"""Training by Keras' rules: one fit a stage, ordinary logs, callbacks of the user, exact resume."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, interrupt_second_stage

from insideout_tf import overrides, train
from insideout_tf.network.weights import load_model
from insideout_tf.training import checkpoint

pytestmark = pytest.mark.slow

LOGS = {
    "loss",
    "accuracy",
    "learning_rate",
    "clean_accuracy",
    "val_loss",
    "val_accuracy",
    "val_macro_f1",
    "gap",
    "images_per_second",
    "seconds",
}
# As the callbacks of experiment trackers (Weights & Biases, MLflow) are: they record what Keras reports.
TRACKER = """
import json, pathlib
import keras


class Tracker(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)

    def write(self, event, **values):
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, **values}) + "\\n")

    def on_train_begin(self, logs=None):
        self.write("begin", parameters=self.model.count_params(), epochs=self.params["epochs"])

    def on_epoch_end(self, epoch, logs=None):
        self.write("epoch", epoch=epoch, **{key: float(value) for key, value in logs.items()})

    def on_train_end(self, logs=None):
        self.write("end")


def create():
    return [Tracker("tracked.jsonl")]


def no_callback():
    return 3
"""


@pytest.fixture
def experiment(tiny_experiment, small_drawn):
    """The tiny experiment on drawn faces, as an `Experiment`."""
    return overrides.override(overrides.load(tiny_experiment), [f"data={small_drawn}"])


class Recorder(keras.callbacks.Callback):
    """Notes each event; stops a stage after `stop_after` epochs, raises after `fail_after`."""

    def __init__(self, stop_after=None, fail_after=None):
        super().__init__()
        self.events, self.stop_after, self.fail_after = [], stop_after, fail_after

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        if self.fail_after is not None and self.epochs() >= self.fail_after:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        assert LOGS <= set(logs), LOGS - set(logs)
        self.events.append((epoch, dict(logs)))
        if self.stop_after is not None and self.epochs() == self.stop_after:
            self.model.stop_training = True

    def epochs(self):
        return sum(event != "begin" for event in self.events)


def test_a_users_callback_sees_one_fit_a_stage_and_ordinary_logs(experiment, tmp_path):
    recorder = Recorder()
    train.train(experiment, tmp_path / "run", verbose=0, callbacks=[recorder])
    kinds = ["begin" if event == "begin" else event[0] for event in recorder.events]
    assert kinds == ["begin", 0, "begin", 1, 2]
    history = pd.read_csv(tmp_path / "run/history.csv")
    for row, (_, logs) in zip(
        history.to_dict("records"), [event for event in recorder.events if event != "begin"]
    ):
        for name in LOGS:
            assert row[name] == pytest.approx(logs[name])
    assert logs["gap"] == pytest.approx(logs["clean_accuracy"] - logs["val_accuracy"])


def test_a_users_callback_may_stop_a_stage(experiment, tmp_path):
    experiment = overrides.override(experiment, ["stages.finetune.epochs=5"])
    train.train(experiment, tmp_path / "run", verbose=0, callbacks=[Recorder(stop_after=3)])
    assert pd.read_csv(tmp_path / "run/history.csv")["stage"].tolist() == [
        "head",
        *["finetune"] * 2,
    ]
    assert (tmp_path / "run/metrics.json").exists()


PATIENT = [
    "stages.finetune.epochs=12",
    "stages.finetune.schedule=plateau",
    "stages.finetune.warmup_epochs=0",
    "stages.finetune.plateau_patience=2",
    "stages.finetune.patience=5",
    "stages.finetune.learning_rate=1e-9",
    "stages.finetune.batch_norm=frozen",
    "monitor=val_accuracy",
    "ema_decay=null",
]


@pytest.mark.parametrize("done", [4, 6])
def test_early_stopping_and_plateau_count_on_after_a_resume(experiment, tmp_path, done):
    """Stopped after some epochs without a better value, a run goes on as the unbroken one."""
    experiment = overrides.override(experiment, PATIENT)
    train.train(experiment, tmp_path / "whole", verbose=0)
    with pytest.raises(KeyboardInterrupt):
        train.train(experiment, tmp_path / "cut", verbose=0, callbacks=[Recorder(fail_after=done)])
    train.train(experiment, tmp_path / "cut", resume=True, verbose=0)
    whole, cut = (
        pd.read_csv(tmp_path / name / "history.csv").drop(columns=["images_per_second", "seconds"])
        for name in ("whole", "cut")
    )
    pd.testing.assert_frame_equal(whole, cut)
    assert done < len(whole) < 13  # it stopped early, after the cut
    rates = whole["learning_rate"][whole["stage"] == "finetune"]
    assert rates.nunique() >= 2 and rates.is_monotonic_decreasing
    one, two = (load_model(tmp_path / name / "model.keras") for name in ("whole", "cut"))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights()))


def test_a_stage_that_has_stopped_stays_so_after_a_kill(experiment, tmp_path, monkeypatch):
    """Killed between the checkpoint of the last epoch and the next stage."""
    experiment = overrides.override(experiment, ["stages.head.epochs=4"])
    train.train(experiment, tmp_path / "whole", verbose=0, callbacks=[Recorder(stop_after=2)])
    with monkeypatch.context() as patch:
        interrupt_second_stage(patch)
        with pytest.raises(KeyboardInterrupt):
            train.train(experiment, tmp_path / "cut", verbose=0, callbacks=[Recorder(stop_after=2)])
    train.train(experiment, tmp_path / "cut", resume=True, verbose=0)
    one, two = (load_model(tmp_path / name / "model.keras") for name in ("whole", "cut"))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights()))


@pytest.mark.parametrize("lines", [1, 3])
def test_an_epoch_that_is_printed_is_in_the_checkpoint(
    tiny_experiment, small_drawn, tmp_path, lines
):
    """kill -9 as soon as the line of an epoch is there."""
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "insideout_tf.train", str(tiny_experiment)]
    command += ["--data", str(small_drawn), "--run-dir", str(directory), "--verbose", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    printed = []
    for line in process.stdout:
        if ": validation accuracy" in line:
            printed.append(line)
        if len(printed) == lines:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert len(printed) == lines
    if lines == 3 and (directory / "metrics.json").exists():
        return  # it was quicker than the signal
    progress, _ = checkpoint.load_checkpoint(directory)
    assert len(progress["history"]) >= lines
    last = progress["history"][lines - 1]
    assert f"validation accuracy {last['val_accuracy']:.4f}" in printed[-1]


def run_train(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "insideout_tf.train", *map(str, arguments), "--verbose", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_callback_option_adds_a_tracker(tiny_experiment, small_drawn, tmp_path):
    import json

    (tmp_path / "tracking.py").write_text(TRACKER)
    base = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "run")
    done = run_train(tmp_path, *base, "--callback", "tracking:create")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "tracked.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == [
        *("begin", "epoch", "end"),
        *("begin", "epoch", "epoch", "end"),
    ]
    history = pd.read_csv(tmp_path / "run/history.csv")
    tracked = [event["val_macro_f1"] for event in events if event["event"] == "epoch"]
    assert tracked == pytest.approx(history["val_macro_f1"].tolist())


@pytest.mark.parametrize(
    "name,expected",
    [
        ("nothing_here:create", "expected MODULE:FACTORY"),
        ("tracking:missing", "expected MODULE:FACTORY"),
        ("tracking", "expected MODULE:FACTORY"),
        ("tracking:no_callback", "returns a Keras callback or a list of them. Received: 3"),
    ],
)
def test_callbacks_that_are_none_are_one_line(tmp_path, monkeypatch, capsys, name, expected):
    (tmp_path / "tracking.py").write_text(TRACKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tracking", raising=False)
    with pytest.raises(SystemExit) as stop:
        train.main(["--callback", name, "--run-dir", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and expected in error
    assert not (tmp_path / "run").exists()


def test_tensorboard_has_the_curves_of_all_stages(experiment, tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    train.train(experiment, tmp_path / "run", verbose=0)
    history = pd.read_csv(tmp_path / "run/history.csv")
    found = {}
    for path in (tmp_path / "run/tensorboard").rglob("events*"):
        for event in tensorflow.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tensor = tensorflow.make_ndarray(value.tensor)
                found.setdefault((path.parent.name, value.tag), {})[event.step] = float(tensor)
    curve = found["validation", "epoch_accuracy"]
    assert [curve[step] for step in range(3)] == pytest.approx(
        history["val_accuracy"].tolist(), abs=1e-6
    )
    assert set(found["train", "epoch_learning_rate"]) == {0, 1, 2}
