"""Train a list of recipes and seeds one after the other, at the lowest priority.

    python experiments/tools/train_queue.py queue.txt --data fer2013.csv --runs runs
    python experiments/tools/train_queue.py queue.txt --runs runs --status

A line of queue.txt is one training: NAME RECIPE SEED [OPTION ...], such as

    effnet_b2_grown effnet_b2_grown 0 --set weights=b2.weights.h5
    v2b0_cpu v2b0_cpu 1 --ferplus fer2013new.csv

Its run folder is RUNS/NAME/seedSEED. The same command continues an interrupted queue: it skips finished runs
and resumes the unfinished one from its last epoch. After a training that fails, the next one begins; the end
names those that failed. Empty lines and comments with # are ignored. `kill -STOP` and `kill -CONT` of the
training's process pause and continue it, for a benchmark.
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import typing

from insideout_tf import errors, overrides
from insideout_tf.errors import UserError

LOWEST = 19  # niceness


class Training(typing.NamedTuple):
    """One line of the queue. options: words for `insideout train` besides data, folder and seed."""

    name: str
    recipe: str
    seed: int
    options: tuple[str, ...]

    def folder(self, runs):
        """Returns the run folder below `runs`."""
        return runs / self.name / f"seed{self.seed}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("queue", type=pathlib.Path, help="a text file, one training a line")
    parser.add_argument("--data", help="FER2013 (not needed with --status)")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument(
        "--nice",
        type=int,
        default=LOWEST,
        choices=range(LOWEST + 1),
        metavar="0..19",
        help="niceness (default: 19, the lowest priority)",
    )
    parser.add_argument(
        "--status", action="store_true", help="print one line for each training and stop"
    )
    arguments = parser.parse_args(argv)
    with errors.reported("train_queue.py"):
        queue = read_queue(arguments.queue)
        if arguments.status:
            print("\n".join(describe(each, arguments.runs) for each in queue))
            return
        if arguments.data is None:
            raise UserError("--data: expected the path of FER2013. Received: nothing")
        failed = [each for each in queue if not train(each, arguments)]
        if failed:
            names = ", ".join(f"{each.name} seed {each.seed}" for each in failed)
            raise UserError(
                f"{arguments.queue}: expected every training to finish. Correct the cause that its "
                f"output names, and run the same command. Received: {names} failed"
            )


def read_queue(path):
    """Returns the `Training`s of a queue file. Raises `UserError` that names a wrong line."""
    if not path.is_file():
        raise UserError(f"{path}: expected a queue file. Check the path. Received: no file")
    queue: list[Training] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if len(words) < 3 or not words[2].isdecimal():
            raise UserError(
                f"{path}, line {number}: expected NAME RECIPE SEED [OPTION ...]. Correct the line. "
                f"Received: {line!r}"
            )
        training = Training(words[0], words[1], int(words[2]), tuple(words[3:]))
        overrides.load(training.recipe)  # fails now, not after the trainings before it
        if any((each.name, each.seed) == (training.name, training.seed) for each in queue):
            raise UserError(
                f"{path}, line {number}: expected each NAME and SEED once. Give it another NAME. "
                f"Received: {line!r}"
            )
        queue.append(training)
    if not queue:
        raise UserError(f"{path}: expected at least one training. Received: none")
    return queue


def run_behind_others(words, niceness):
    """Runs a command at a niceness of 0 to 19; returns its exit status.

    The command gets a session of its own. Linux divides the processor between sessions first, so niceness
    inside this session would have no effect on others. An interruption is passed on.
    """
    process = subprocess.Popen(words, start_new_session=True)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, process.pid, niceness)
        pathlib.Path(f"/proc/{process.pid}/autogroup").write_text(str(niceness))
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()


def train(training, arguments):
    """Starts or continues one training; returns True if it has finished."""
    runs, folder = arguments.runs, training.folder(arguments.runs)
    if (folder / "metrics.json").exists():
        print(describe(training, runs), flush=True)
        return True
    words = [
        "-m",
        "insideout_tf.train",
        training.recipe,
        "--data",
        arguments.data,
        "--run-dir",
        folder,
    ]
    words += ["--verbose", "2", "--set", f"seed={training.seed}", *training.options]
    if (folder / "config.json").exists():
        words.append("--resume")
    print(f"{training.name} seed {training.seed}: training in {folder}", flush=True)
    status = run_behind_others([sys.executable, *map(str, words)], arguments.nice)
    print(describe(training, runs), flush=True)
    return status == 0


def describe(training, runs):
    """Returns one line: epochs done and planned, the best validation log loss, the remaining time."""
    folder = training.folder(runs)
    start = f"{training.name} seed {training.seed}:"
    if not (folder / "config.json").exists():
        return f"{start} not started"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    total = sum(stage["epochs"] for stage in config["stages"])
    rows = []
    with contextlib.suppress(FileNotFoundError):
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    if not rows:
        return f"{start} epoch 0 of {total}"
    best = min(rows, key=lambda row: float(row["val_loss"]))
    text = (
        f"{start} epoch {len(rows)} of {total}, best validation log loss "
        f"{float(best['val_loss']):.4f} (accuracy {float(best['val_accuracy']):.2%}) in epoch "
        f"{best['epoch']}"
    )
    if (folder / "metrics.json").exists():
        return f"{text}, finished"
    left = (total - len(rows)) * float(rows[-1]["seconds"]) / 60
    return f"{text}, about {left:.0f} min left at the pace of the last epoch"


if __name__ == "__main__":
    main()
