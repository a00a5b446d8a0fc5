"""Run folders that are damaged, held by another process, or about to be replaced: one line, nothing lost."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run_python, run_verb

import insideout_tf
from insideout_tf import evaluate, export, files, locks, overrides, report, runs, train
from insideout_tf.api import train as api_train
from insideout_tf.errors import UserError
from insideout_tf.training import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


DAMAGE = {
    "list": "[]",
    "null": "null",
    "empty object": "{}",
    "text": "hello",
    "empty": "",
    "deep": "[" * 100_000,
    "digits": '{"n": ' + "9" * 5000 + "}",
    "bytes": "\udcff",
    "of other types": json.dumps(
        {"split": 3, "accuracy": "x", "n": None, "data_digest": [], "packages": 3, "resumed": {}}
    ),
}
# Entry points that read a file of the run: a function of the run, which may refuse in one line.
READERS = {
    ("metrics.json", "train --resume"): (train.main, ["--resume", "{0}"]),
    ("metrics.json", "evaluate"): (evaluate.main, ["{0}", "--split", "public"]),
    ("environment.json", "evaluate"): (evaluate.main, ["{0}", "--split", "public"]),
    ("config.json", "evaluate"): (evaluate.main, ["{0}", "--split", "public"]),
    ("config.json", "export"): (export.main, ["{0}", "--format", "litert", "--out", "{0}-e"]),
    **{
        (name, "report"): (report.main, ["{0}", "--out", "{0}-page.html", "--overwrite"])
        for name in ("metrics.json", "environment.json", "config.json", "history.csv")
    },
    ("config.json", "train --resume"): (train.main, ["--resume", "{0}"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_of_a_run_are_named_in_one_line(damage, run, capsys, tmp_path):
    for (name, _), (main, words) in READERS.items():
        before = (run / name).read_bytes()
        (run / name).write_bytes(DAMAGE[damage].encode("utf-8", "surrogateescape"))
        status, _, error = run_verb(main, capsys, *(word.format(run) for word in words))
        is_harmless = damage in ("empty object", "of other types") and main is evaluate.main
        is_harmless |= main is report.main and name in ("environment.json", "history.csv")
        if status or not is_harmless:
            assert status == 2 and error.count("\n") == 1, (name, error)
            assert str(run / name) in error
        (run / name).write_bytes(before)
        shutil.rmtree(run / "public", ignore_errors=True)
    (run / "metrics.json").write_text("[]")
    with pytest.raises(UserError, match="metrics.json: expected a JSON object"):
        _ = insideout_tf.open_run(run).metrics


def test_a_wrong_value_in_the_config_names_the_file(run, capsys):
    values = json.loads((run / "config.json").read_text())
    for change in (
        {"batch_size": 0},
        {"dropout": "x"},
        {"stages": [3]},
        {"stages": []},
        {"seed": 10**400},
        {"dropout": 10**400},
        {"augmentation": None},
        {"name": None},
        {"no_field": 1},
        {"class_weight": "x"},
    ):
        (run / "config.json").write_text(json.dumps({**values, **change}))
        status, _, error = run_verb(evaluate.main, capsys, run)
        assert status == 2 and error.count("\n") == 1
        assert error.startswith(f"insideout evaluate: {run / 'config.json'}: "), error


@pytest.fixture(scope="module")
def unfinished(tiny_experiment, small_drawn, tmp_path_factory):
    """A run whose checkpoint is after its second epoch, in the second stage."""
    directory = tmp_path_factory.mktemp("unfinished") / "run"
    code = """
import os, sys
from insideout_tf import train
from insideout_tf.training import checkpoint
save, count = checkpoint.save_checkpoint, []
def save_then_stop(*given):
    save(*given)
    count.append(1)
    if len(count) == 2:
        os.kill(os.getpid(), 9)
checkpoint.save_checkpoint = save_then_stop
train.main(sys.argv[1:])
"""
    words = (tiny_experiment, "--data", small_drawn, "--run-dir", directory, "--verbose", "0")
    assert run_python(code, *words, check=False).returncode == -9
    return directory


def test_damaged_checkpoints_are_named(unfinished, tmp_path, capsys):
    run = shutil.copytree(unfinished, tmp_path / "run")
    path = run / runs.ENVIRONMENT
    environment = path.read_bytes()
    for text in ("[]", "null", "{}", '{"resumed": 3}'):
        path.write_text(text)
        status, _, error = run_verb(train.main, capsys, "--resume", run, "--verbose", "0")
        assert status == 2 and error.count("\n") == 1, error
    path.write_bytes(environment)
    path = run / checkpoint.CHECKPOINT
    whole = path.read_bytes()
    progress, arrays = checkpoint.load_checkpoint(run)
    first_state = next(name for name, array in arrays.items() if name.startswith("state_"))
    damaged = [
        whole[: len(whole) // 3] + whole[len(whole) // 2 :],
        b"",
        b"PK",
        whole[:-40],
        ({**progress, "stage": 99}, arrays),
        ({**progress, "stage": -1}, arrays),
        ({**progress, "stage": None}, arrays),
        ({**progress, "epoch": 99}, arrays),
        ({**progress, "best_stage": 2}, arrays),
        ({**progress, "history": 3}, arrays),
        ({**progress, "best": None}, arrays),
        ([], arrays),
        (progress, {**arrays, "best_0": np.zeros((3, 3), np.float32)}),
        (progress, {name: array for name, array in arrays.items() if name != "best_1"}),
        (progress, {**arrays, first_state: np.zeros((3, 3), np.float32)}),
        (progress, {name: array for name, array in arrays.items() if name != first_state}),
    ]
    for each in damaged:
        if isinstance(each, bytes):
            path.write_bytes(each)
        else:
            checkpoint.save_checkpoint(run, *each)
        status, _, error = run_verb(train.main, capsys, "--resume", run, "--verbose", "0")
        assert status == 2 and error.count("\n") == 1, error
        assert str(path) in error and "expected a whole checkpoint" in error


def test_a_folder_with_a_temporary_name_does_not_stop_a_resumption(unfinished, tmp_path, capsys):
    run = shutil.copytree(unfinished, tmp_path / "run")
    (run / ".unfinished-1.x").mkdir()
    (run / ".unfinished-1.x/a").touch()
    (run / ".unfinished-thesis").mkdir()  # not ours
    (run / locks.LOCK).write_text("999999999 elsewhere")  # of a killed process
    status, _, error = run_verb(train.main, capsys, "--resume", run, "--verbose", "0")
    assert status == 0, error
    assert list(run.glob(".unfinished*")) == [run / ".unfinished-thesis"]
    assert (run / "metrics.json").exists()


def test_two_trainings_of_one_folder(tmp_path, capsys):
    code = """
import sys
from insideout_tf import locks
with locks.locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
    directory = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, directory],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == "held\n"
    status, _, error = run_verb(train.main, capsys, "quickstart", "--run-dir", directory)
    assert status == 2 and error.count("\n") == 1
    assert "no other process is writing" in error and f"process {holder.pid} on" in error
    holder.kill()
    holder.wait()
    assert (directory / locks.LOCK).exists()  # stale
    with locks.locked(directory):
        assert str(os.getpid()) in (directory / locks.LOCK).read_text()
    assert not (directory / locks.LOCK).exists()


@pytest.fixture
def quick(tiny_experiment, small_drawn):
    """Words of a training of a few seconds."""
    epochs = ("--epochs", "1,1")
    return (tiny_experiment, "--data", small_drawn, "--verbose", "0", *epochs)


def test_a_run_that_fails_puts_the_old_one_back(run, quick, capsys, monkeypatch):
    before = content(run)
    fails = (
        "--set",
        "stages.finetune.learning_rate=1e38",
        "--set",
        "stages.finetune.clip_norm=null",
    )
    words = (*quick, "--run-dir", run, "--overwrite")
    status, out, error = run_verb(train.main, capsys, *words, *fails)
    assert status == 2 and "expected a finite loss" in error and content(run) == before
    assert f"{run / runs.REPLACED} keeps the earlier run" in out

    def interrupt(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_checkpoint", interrupt)  # before the first one
        assert run_verb(train.main, capsys, *words)[0] == 130
    assert content(run) == before
    with monkeypatch.context() as patched:
        patched.setattr(runs, "check_whole", interrupt)  # after the last one
        status, _, error = run_verb(train.main, capsys, *words, "--seed", "3")
        assert status == 130 and f"insideout train --resume {run}" in error
    assert content(run / runs.REPLACED) == before
    status, _, error = run_verb(train.main, capsys, "--resume", run, "--verbose", "0")
    assert status == 0, error
    assert not (run / runs.REPLACED).exists()
    assert json.loads((run / "config.json").read_text())["seed"] == 3


@pytest.mark.parametrize("limit", range(1, 12))
def test_a_kill_while_the_old_run_is_moved_aside_loses_nothing(limit, run, monkeypatch):
    before, replace, count = content(run), os.replace, []
    experiment = overrides.override(runs.experiment_of(run), ["seed=9"])

    def replace_then_stop(*given):
        count.append(1)
        if len(count) > limit:
            raise KeyboardInterrupt
        replace(*given)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_then_stop)
        with contextlib.suppress(KeyboardInterrupt):
            runs.create(run, experiment, True, {})
    for path in run.glob(".unfinished*"):
        path.unlink()
    runs.recover(run)
    if (run / "config.json").exists() and runs.experiment_of(run).seed == 9:
        assert content(run / runs.REPLACED) == before
        runs.put_back(run)
    assert content(run) == before


def test_what_a_run_reads_is_not_what_it_replaces(run, quick, small_drawn, capsys):
    shutil.copy(small_drawn, run / "predictions.npz")
    before = content(run)
    start = ("--start-from", run)
    words = (*quick, "--run-dir", run, "--overwrite")
    for more in (start, ("--data", run / "predictions.npz"), ("--start-from", run / "model.keras")):
        status, _, error = run_verb(train.main, capsys, *words, *more)
        assert status == 2 and "expected a path outside the folder" in error
        assert content(run) == before


def test_the_current_folder_and_a_link_are_replaced_in_place(run, quick, capsys, monkeypatch):
    link = run.parent / "link"
    link.symlink_to(run)
    status, _, error = run_verb(train.main, capsys, *quick, "--run-dir", link, "--overwrite")
    assert status == 0 and link.is_symlink(), error
    monkeypatch.chdir(run)
    words = (*quick, "--run-dir", ".", "--overwrite", "--seed", "5")
    status, _, error = run_verb(train.main, capsys, *words)
    assert status == 0 and runs.experiment_of(run).seed == 5, error
    assert [path.name for path in run.parent.iterdir() if path.name != "link"] == ["run"]


def test_a_run_folder_that_is_removed_is_an_error(quick, tmp_path, capsys, monkeypatch):
    directory = tmp_path / "run"
    save, count = checkpoint.save_checkpoint, []

    def save_then_remove(*given):
        save(*given)
        count.append(1)
        if len(count) == 1:
            shutil.rmtree(directory)

    monkeypatch.setattr(checkpoint, "save_checkpoint", save_then_remove)
    status, _, error = run_verb(train.main, capsys, *quick, "--run-dir", directory)
    assert status == 2 and "expected the run folder to stay" in error and error.count("\n") == 1


def test_relative_data_is_found_from_another_folder(quick, tmp_path, capsys, monkeypatch):
    experiment, _, data, *rest = quick
    (tmp_path / "a").mkdir()
    shutil.copy(data, tmp_path / "a/data.npz")
    monkeypatch.chdir(tmp_path / "a")
    words = (experiment, "--set", "data=data.npz", *rest, "--run-dir", "run")
    status, _, error = run_verb(train.main, capsys, *words)
    assert status == 0, error
    assert runs.experiment_of("run").data == str(tmp_path / "a/data.npz")
    given = overrides.override(
        runs.experiment_of("run"),
        ["weights=w.weights.h5", "start_from=r", 'teacher=["small", "t.keras"]', "ferplus=f.csv"],
    )
    settled = api_train.make_paths_absolute(given)
    here = f"{tmp_path / 'a'}{os.sep}"
    assert (settled.weights, settled.start_from) == (f"{here}w.weights.h5", f"{here}r")
    assert settled.teacher == ("small", f"{here}t.keras") and settled.ferplus == f"{here}f.csv"
    monkeypatch.chdir(tmp_path)
    status, _, error = run_verb(evaluate.main, capsys, "a/run", "--split", "private")
    assert status == 0, error


def test_an_epoch_is_on_disk_before_it_is_shown_and_names_may_hold_mathtext(
    quick, tmp_path, capsys, monkeypatch
):
    from insideout_tf.training import callbacks

    create, orders = callbacks.create_callbacks, []

    def watch(*given):
        made = create(*given)
        orders.append([type(each).__name__ for each in made])
        return made

    monkeypatch.setattr(callbacks, "create_callbacks", watch)
    name = ("--set", r"name=a$\frac$b", "--verbose", "1")
    status, _, error = run_verb(train.main, capsys, *quick, "--run-dir", tmp_path / "run", *name)
    assert status == 0 and error == ""
    for order in orders:
        assert order.index("Checkpoint") < order.index("ProgressBar") < order.index("EpochLine")
    assert (tmp_path / "run/plots/confusion.png").exists()


def test_a_run_replaces_its_evaluations_but_not_an_export(run, quick, capsys):
    assert run_verb(evaluate.main, capsys, run, "--split", "private")[0] == 0
    words = (*quick, "--run-dir", run, "--overwrite")
    assert run_verb(train.main, capsys, *words)[0] == 0
    assert not (run / "private").exists()
    assert files.read_marker(run) == runs.KIND.name
    out = run / "exported"
    assert run_verb(export.main, capsys, run, "--format", "litert", "--out", out)[0] == 0
    status, _, error = run_verb(train.main, capsys, *words)
    assert status == 2 and "Received: exported/" in error and (out / "model.tflite").exists()


def test_an_export_onto_a_full_disk(run, tmp_path):
    code = """
import resource, sys
from insideout_tf import export, devices
devices.prepare_backend()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
export.main(sys.argv[2:])
"""
    for limit in (20_000, 2000):
        words = ("--format", "savedmodel", "--out", tmp_path / "o")
        done = run_python(code, limit, run, *words, check=False)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "free space" in done.stderr and files.TEMPORARY not in done.stderr
        assert {path.name for path in tmp_path.iterdir()} == {"run"}
