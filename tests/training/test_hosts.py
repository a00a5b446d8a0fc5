"""`train --hosts`: two processes train as one, one of them writes, and a killed training goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_python, run_verb

from insideout_tf import hosts, train
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model


def test_forms_of_the_option(monkeypatch):
    assert hosts.parse("node0:12355,2,1") == ("node0:12355", 2, 1)
    for name in hosts.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert hosts.parse("auto") == (None, None, None)
    for name, value in zip(hosts.VARIABLES, ("node0:1", "4", "3")):
        monkeypatch.setenv(name, value)
    assert hosts.parse("auto") == ("node0:1", 4, 3)
    for text in ("node0", "node0:1,2", "node0:1,2,2", "node0:1,0,0", "a b:1,2,0", ""):
        with pytest.raises(UserError, match="--hosts: expected auto, or HOST:PORT,COUNT,NUMBER"):
            hosts.parse(text)


def test_without_others_all_is_local(tmp_path):
    assert (hosts.count(), hosts.number()) == (1, 0)
    order = np.arange(12).reshape(2, 6)
    assert hosts.part_of_batch(order) is not None and (hosts.part_of_batch(order) == order).all()
    assert hosts.share({"a": 1}) == {"a": 1} and hosts.of_first(lambda: 3) == 3
    with hosts.run_folder(tmp_path / "run", ("a",)) as folder:
        assert folder == tmp_path / "run"
    hosts.check_same("the data", "x")


def test_refusals_are_one_line(monkeypatch, capsys, tmp_path):
    for words, environment, message in (
        (("--hosts", "x:1,2,0"), "tensorflow", "--hosts: expected the JAX backend"),
        (("--hosts", "x"), "jax", "--hosts: expected auto, or HOST:PORT,COUNT,NUMBER"),
        (("--hosts", "x:1,2,0", "--folds", "3"), "jax", "--hosts: expected no --folds"),
        (("--hosts", "x:1,2,0", "--dry-run"), "jax", "--hosts: expected no --dry-run"),
    ):
        monkeypatch.setenv("KERAS_BACKEND", environment)
        given = ("quickstart", "--run-dir", tmp_path / "r", *words)
        status, _, err = run_verb(train.main, capsys, *given)
        assert status == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def start(count, data, recipe, directory, *words):
    """Starts the processes of one training; returns them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
    }
    command = [sys.executable, "-m", "insideout_tf.train", recipe, "--data", data]
    command += ["--run-dir", directory, "--verbose", "2", *words]
    return [
        subprocess.Popen(
            [*map(str, command), "--hosts", f"localhost:{port},{count},{number}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]


@pytest.mark.slow
def test_two_hosts_train_as_one_and_go_on_after_a_kill(tiny_experiment, small_drawn, tmp_path):
    pytest.importorskip("jax")
    words = ("--set", "batch_size=40", "--set", "stages.finetune.epochs=2")
    one, two = tmp_path / "one", tmp_path / "two"
    run_python(
        "import sys; from insideout_tf import train; train.main(sys.argv[1:])",
        *(tiny_experiment, "--data", small_drawn, "--run-dir", one, "--verbose", "0", *words),
        env={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    processes = start(2, small_drawn, tiny_experiment, two, *words)
    deadline = time.monotonic() + 400
    while not (two / "history.csv").exists():  # the first epoch is on disk
        assert time.monotonic() < deadline and all(each.poll() is None for each in processes)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    processes[0].kill()
    for process in processes:
        process.communicate()
    assert (two / "checkpoint.npz").exists() and not (two / "metrics.json").exists()
    processes = start(2, small_drawn, tiny_experiment, two, *words, "--resume")
    outs = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    assert "finetune 2/2" in outs[0] and "finetune 2/2" not in outs[1]
    histories = [pd.read_csv(run / "history.csv") for run in (one, two)]
    assert np.abs(histories[0]["loss"] - histories[1]["loss"]).max() < 1e-3
    assert np.abs(histories[0]["val_loss"] - histories[1]["val_loss"]).max() < 2e-3
    weights = [load_model(run / "model.keras").get_weights() for run in (one, two)]
    assert max(np.abs(a - b).max() for a, b in zip(*weights)) < 5e-3
    assert len(json.loads((two / "environment.json").read_text())["resumed"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
