"""The run folder: what is written where, always whole, and how a run is found again."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from insideout_tf import config, devices, files
from insideout_tf.errors import UserError

CONFIG, HISTORY, MODEL = "config.json", "history.csv", "model.keras"
METRICS, PREDICTIONS, ENVIRONMENT = "metrics.json", "predictions.npz", "environment.json"
BAD_ROWS, LEAKS = "bad_rows.txt", "leaks.csv"
CHECKPOINT, PLOTS, TENSORBOARD = "checkpoint.npz", "plots", "tensorboard"
INPUTS = {  # the SHA-256 of other inputs in environment.json, and the option of each
    "teacher_sha256": "--teacher",
    "start_sha256": "--start-from",
    "ferplus_sha256": "--ferplus",
}
PACKAGES = (
    "insideout_tf",
    "tensorflow",
    "keras",
    "jax",
    "torch",
    "keras-cv",
    "numpy",
    "pandas",
    "scikit-learn",
    "matplotlib",
    "pillow",
)


def check(directory, experiment, resume, overwrite):
    """Checks, changing nothing, that a run may begin or go on here.

    Returns "new", "unfinished" or "finished". Raises `UserError` rather than overwrite a run, or
    resume one of another experiment.
    """
    directory = pathlib.Path(directory)
    if resume and overwrite:
        raise UserError("--resume and --overwrite: expected one of them. Received: both")
    if directory.exists() and not directory.is_dir():
        raise UserError(
            f"{directory}: expected a directory for the run. Choose another --run-dir. "
            "Received: a file"
        )
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    if all(name == ENVIRONMENT or name.startswith(files.TEMPORARY) for name in names):
        if resume:
            raise UserError(
                f"{directory}: expected an interrupted run to resume. Check --run-dir, "
                "or start it without --resume. Received: no run there"
            )
        return "new"
    if not (directory / CONFIG).exists():
        raise UserError(
            f"{directory}: expected a run folder or an empty one. Choose another "
            f"--run-dir. Received: a directory without {CONFIG}"
        )
    if overwrite:
        return "new"
    finished = (directory / METRICS).exists()
    if not resume:
        advice = (
            "Choose another --run-dir, or add --overwrite to replace it"
            if finished
            else "Go on with --resume, choose another --run-dir, or add --overwrite"
        )
        raise UserError(
            f"{directory}: expected no run there yet. {advice}. Received: "
            f"{'a finished' if finished else 'an interrupted'} run"
        )
    _check_same(directory, experiment)
    return "finished" if finished else "unfinished"


def create(directory, experiment, overwrite, environment):
    """Makes the run folder (emptied first with `overwrite`) with config and environment."""
    directory = pathlib.Path(directory)
    if overwrite and directory.exists():
        # Renamed first, so that an interruption leaves the old run or none, never a part of one.
        old = directory.with_name(f"{files.TEMPORARY}{os.getpid()}.{directory.name}")
        directory.rename(old)
        shutil.rmtree(old)
    files.write_json(directory / ENVIRONMENT, environment)
    files.write_json(directory / CONFIG, config.to_dict(experiment))  # last: it makes this a run


def sweep(directory):
    """Removes the files that a killed process was writing, and a finished run's checkpoint."""
    directory = pathlib.Path(directory)
    for path in directory.rglob(f"{files.TEMPORARY}*"):
        path.unlink(missing_ok=True)
    if (directory / METRICS).exists():
        (directory / CHECKPOINT).unlink(missing_ok=True)


def note_resumed(directory, experiment, faces, inputs):
    """Adds this resumption to environment.json; returns a list of texts that name what has changed.

    The code, the packages and the device may differ from before. The paths of the data and of other
    inputs may differ too if their content is the same; config.json then gets the new ones.

    Args:
        directory: the run folder.
        experiment: the `Experiment` that continues.
        faces: the `Faces` of its data.
        inputs: SHA-256 of the other files that the run reads, by their names in `INPUTS`.

    Raises:
        UserError: the content of an input is not that which the run was started with.
    """
    directory = pathlib.Path(directory)
    path = directory / ENVIRONMENT
    recorded = files.read_json(path)
    before = recorded.get("data_digest")
    if before != faces.digest:
        raise UserError(
            f"{faces.source}: --resume expects the data the run was started with (digest "
            f"{str(before)[:12]}...). Give that file, or choose another --run-dir. "
            f"Received: digest {faces.digest[:12]}..."
        )
    for name, digest in inputs.items():
        before = recorded.get(name, digest)  # the oldest runs recorded none of FER+
        if before != digest:
            raise UserError(
                f"{INPUTS[name]}: --resume expects the content the run was started with (SHA-256 "
                f"{before}). Give that, or choose another --run-dir. Received: {digest}"
            )
    now = environment()
    latest = [recorded, *recorded.get("resumed", [])][-1]
    files.write_json(path, {**recorded, "resumed": [*recorded.get("resumed", []), now]})
    if experiment_of(directory) != experiment:
        files.write_json(directory / CONFIG, config.to_dict(experiment))
    return list_changes(latest, now)


def list_changes(before, now):
    """Returns texts such as "keras 3.14.0 → 3.15.1" that say how two environments differ."""
    packages = {**before.get("packages", {}), **now["packages"]}
    pairs = [
        *((name, before.get(name), now[name]) for name in ("backend", "device", "python")),
        *(
            (name, before.get("packages", {}).get(name), now["packages"].get(name))
            for name in packages
        ),
    ]
    return [f"{name} {old} → {new}" for name, old, new in pairs if old != new]


def _check_same(directory, experiment):
    before, now = (
        {key: value for key, value in _flat(config.to_dict(each)).items() if not _is_input(key)}
        for each in (experiment_of(directory), experiment)
    )
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        listed = ", ".join(f"{key} {before.get(key)!r} → {now.get(key)!r}" for key in changed[:5])
        raise UserError(
            f"{directory}: --resume expects the experiment this run was started with. "
            "Give the same file and --set values, or choose another --run-dir. "
            f"Received: {listed}"
        )


def _is_input(key):
    """Returns True for the path of a file whose content `note_resumed` compares."""
    return key.split(".")[0] in ("data", "ferplus", "teacher", "start_from")


def _flat(value, prefix=""):
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            key: leaf
            for name, child in items
            for key, leaf in _flat(child, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    return {prefix: value}


def experiment_of(directory):
    """Returns the `Experiment` a run folder was trained with."""
    path = pathlib.Path(directory) / CONFIG
    return config.from_saved(files.read_json(path), where=str(path))


def describe(experiment, model):
    """Returns the fields of metrics.json that name the model."""
    init = experiment.weights
    if init not in ("imagenet", "none"):
        init = f"file {pathlib.Path(init).name}"
    if experiment.start_from is not None:
        init = f"model {pathlib.Path(experiment.start_from).name}"
    return {
        "experiment": experiment.name,
        "backbone": experiment.backbone,
        "image_size": model.get_layer("resize").height,
        "parameters": model.count_params(),
        "init": "random" if init == "none" else init,
        "seed": experiment.seed,
    }


def environment():
    """Returns what a result depends on beside the config: versions, commit, hardware, command."""
    import keras

    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "backend": keras.backend.backend(),
        "device": devices.device_name(),
        "cpu_cores": os.cpu_count(),
        "packages": versions,
        "git_commit": _git_commit(),
    }


def _git_commit():
    """Returns the commit of the source tree, with "+changes" if it differs, or None."""
    here = pathlib.Path(__file__).resolve().parent

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return None
