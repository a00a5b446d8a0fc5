"""Killed, out of disk, unwritable: a run goes on to the same weights, or says why in one line."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run_python

from insideout_tf.network.weights import load_model
from insideout_tf.training import checkpoint

EPOCHS = ("--set", "stages.head.epochs=3", "--set", "stages.finetune.epochs=5")

# Runs the training in forks of one process, so that TensorFlow is imported once. A moment is a line
# of the package about to be executed, counted from the start of the run: most lie in saves and
# swaps of weights, where a kill could hurt. 0 is none; a negative one is a time in milliseconds
# after the first step. Standard input: the moments, and the lines after which an uninterrupted run
# had saved each checkpoint, by which a resumed one starts later.
FORKS = """
import json, os, signal, sys, threading
from insideout_tf import devices, train
devices.prepare_backend()
from insideout_tf import files, runs
from insideout_tf.api import train as api_train
from insideout_tf.evaluation import report
from insideout_tf.training import averaging, callbacks, checkpoint, optimizers, stages
import pandas, matplotlib.pyplot, sklearn.model_selection, tensorflow
modules = (api_train, averaging, callbacks, checkpoint, files, report, runs, stages, train)
watched = {module.__file__ for module in modules}
arguments, directory = sys.argv[1:], sys.argv[sys.argv.index("--run-dir") + 1]

def run(moment):
    lines, saves = 0, []
    def on_line(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if 0 < moment <= lines:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_line
    sys.settrace(lambda frame, *_: on_line if frame.f_code.co_filename in watched else None)
    if moment < 0:
        timer = threading.Timer(-moment / 1000, os.kill, (os.getpid(), signal.SIGKILL))
        on_batch_end = callbacks.TerminateOnNaN.on_batch_end
        def start_timer(self, batch, logs=None):
            if not timer.ident:
                timer.start()
            on_batch_end(self, batch, logs)
        callbacks.TerminateOnNaN.on_batch_end = start_timer
    save = checkpoint.save_checkpoint
    def save_checkpoint(*given):
        save(*given)
        saves.append(lines)
    checkpoint.save_checkpoint = save_checkpoint
    resume = ["--resume"] if os.path.exists(os.path.join(directory, "config.json")) else []
    train.main([*arguments, *resume])
    with open(directory + ".lines", "w") as file:
        json.dump([lines, saves], file)

def done():
    history = os.path.join(directory, "history.csv")
    epochs = len(open(history).readlines()) - 1 if os.path.exists(history) else 0
    return saves[epochs - 2] if epochs >= 2 else 0

moments, saves = json.loads(sys.stdin.read())
for moment in moments:
    if moment > 0:
        moment = max(moment - done(), 1)
    child = os.fork()
    if not child:
        status = 1
        try:
            run(moment)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def run_forks(moments, saves, directory, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", FORKS, *map(str, arguments), "--run-dir", str(directory)],
        input=json.dumps([moments, saves]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("status")]


@pytest.fixture(scope="module")
def whole(tiny_experiment, small_drawn, tmp_path_factory):
    """An uninterrupted run, how many lines it executes, and after which each checkpoint was there."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    base = (tiny_experiment, "--data", small_drawn, "--verbose", "0", *EPOCHS)
    assert run_forks([0], [], directory, *base) == [0]
    lines, saves = json.loads((directory.parent / "run.lines").read_text())
    return directory, base, lines, saves


def assert_same_run(one, two):
    first, second = (load_model(path / "model.keras").get_weights() for path in (one, two))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    first, second = (np.load(path / "predictions.npz")["probabilities"] for path in (one, two))
    assert np.array_equal(first, second)
    first, second = (
        [line.rsplit(",", 2)[0] for line in (path / "history.csv").read_text().splitlines()]
        for path in (one, two)
    )
    assert first == second
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}


@pytest.mark.slow
def test_twenty_kills_at_random_moments(whole, tmp_path):
    """Bit-equal to the uninterrupted run, on CPU, and nothing half-written is left."""
    directory, base, lines, saves = whole
    assert len(saves) == 8
    chance = random.Random(0)
    # Spread over the whole run; every fifth one is a time, since steps execute no lines of ours.
    moments = sorted(chance.randrange(1, lines) for _ in range(20))
    moments[4::5] = [-chance.randrange(1, 300) for _ in moments[4::5]]
    killed = tmp_path / "killed"
    assert run_forks([*moments, 0], saves, killed, *base) == [-9] * 20 + [0]
    assert_same_run(directory, killed)
    assert json.loads((killed / "environment.json").read_text())["resumed"]


@pytest.mark.slow
def test_killed_after_the_last_file_is_finished_and_swept(whole, tmp_path):
    import shutil

    directory, base, _, _ = whole
    copy = tmp_path / "run"
    shutil.copytree(directory, copy)
    (copy / "checkpoint.npz").touch()
    (copy / "plots" / ".unfinished-1.a.png").touch()
    assert run_forks([0], [], copy, *base) == [0]
    assert_same_run(directory, copy)
    assert not list(copy.rglob(".unfinished*"))


# Sets a limit on the size of files before the second checkpoint, as small a disk as one can get
# without being root; a real full disk is mounted where the machine allows it.
LIMITED = """
import resource, sys
from insideout_tf import train
from insideout_tf.training import checkpoint
save, saved = checkpoint.save_checkpoint, []
def save_checkpoint(*given):
    if saved:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    saved.append(1)
    save(*given)
checkpoint.save_checkpoint = save_checkpoint
train.main(sys.argv[1:])
"""


def assert_one_line(done, *expected):
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    for text in expected:
        assert text in line, line


@pytest.mark.slow
def test_disk_that_fills_up_keeps_the_last_checkpoint(whole, tmp_path):
    directory, base, _, _ = whole
    run = tmp_path / "run"
    done = run_python(LIMITED, *base, "--run-dir", run, check=False)
    assert_one_line(done, "insideout train: ", "File too large", "the free space")
    progress, _ = checkpoint.load_checkpoint(run)
    assert len(progress["history"]) == 1
    assert not list(run.rglob(".unfinished*"))
    assert run_forks([0], [], run, *base) == [0]
    assert_same_run(directory, run)


@pytest.mark.slow
def test_full_disk(whole, tmp_path):
    """A file system of one megabyte, where mounting one is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        verb = "from insideout_tf import train; import sys; train.main(sys.argv[1:])"
        done = run_python(verb, *whole[1], "--run-dir", disk / "run", check=False)
        assert_one_line(done, "No space left on device", "the free space")
        assert not list(disk.rglob(".unfinished*"))
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_unwritable_run_directory(whole):
    """/proc refuses new files to everyone, root too."""
    verb = "from insideout_tf import train; import sys; train.main(sys.argv[1:])"
    done = run_python(verb, *whole[1], "--run-dir", "/proc/run", check=False)
    assert_one_line(done, "insideout train: /proc/run: ", "Check the path, the permissions")
