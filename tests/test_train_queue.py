"""The queue of long trainings: order, resume, status, and what it says of a wrong line."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

TOOL = ROOT / "experiments/tools/train_queue.py"


def call(*words):
    return subprocess.run(
        [sys.executable, TOOL, *map(str, words), "--nice", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_trains_in_order_and_passes_over_what_is_finished(tiny_experiment, small_drawn, tmp_path):
    queue, runs = tmp_path / "queue.txt", tmp_path / "runs"
    short = "--set stages.finetune.epochs=1"
    queue.write_text(
        f"# two seeds\n\nfirst {tiny_experiment} 0 {short}\nsecond {tiny_experiment} 1 {short}\n"
    )
    options = (queue, "--runs", runs)
    status = call(*options, "--status")
    assert status.stdout == "first seed 0: not started\nsecond seed 1: not started\n"
    done = call(*options, "--data", small_drawn)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "seed" in line and "epoch 2 of 2" in line]
    assert [line.split()[0] for line in lines] == ["first", "second"]
    assert all(line.endswith("finished") for line in lines)
    config = json.loads((runs / "second/seed1/config.json").read_text())
    assert config["seed"] == 1
    before = (runs / "first/seed0/model.keras").stat().st_mtime_ns
    again = call(*options, "--data", small_drawn)
    assert again.returncode == 0 and "training in" not in again.stdout
    assert (runs / "first/seed0/model.keras").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", "expected at least one training"),
        ("quickstart quickstart\n", "line 1: expected NAME RECIPE SEED"),
        ("a quickstart x\n", "line 1: expected NAME RECIPE SEED"),
        ("a quickstrat 0\n", "Did you mean 'quickstart'?"),
        ("a quickstart 0\n\na quickstart 0\n", "line 3: expected each NAME and SEED once"),
    ],
)
def test_wrong_lines_are_explained(text, expected, tmp_path):
    queue = tmp_path / "queue.txt"
    queue.write_text(text)
    done = call(queue, "--data", "drawn", "--runs", tmp_path / "runs")
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_failed_training_does_not_stop_the_next(tiny_experiment, small_drawn, tmp_path):
    queue, runs = tmp_path / "queue.txt", tmp_path / "runs"
    queue.write_text(
        f"broken {tiny_experiment} 0 --set backbone=none\n"
        f"whole {tiny_experiment} 0 --set stages.finetune.epochs=1\n"
    )
    done = call(queue, "--data", small_drawn, "--runs", runs)
    assert done.returncode == 2 and "broken seed 0 failed" in done.stderr
    assert (runs / "whole/seed0/metrics.json").exists()
