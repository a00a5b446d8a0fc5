"""The run directory: what is written where, always whole, and how a run is found again."""

import contextlib
import csv
import errno
import glob
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import zipfile

import numpy as np

from insideout_tf import config, devices, packaged
from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError

CONFIG, HISTORY, MODEL = "config.json", "history.csv", "model.keras"
METRICS, PREDICTIONS, ENVIRONMENT = "metrics.json", "predictions.npz", "environment.json"
BAD_ROWS, LEAKS, DOUBTED = "bad_rows.txt", "leaks.csv", "doubted.csv"
CHECKPOINT, PLOTS, TENSORBOARD = "checkpoint.npz", "plots", "tensorboard"
GIVEN = {  # what environment.json calls the SHA-256 of a file that an option names
    "teacher_sha256": "--teacher",
    "start_sha256": "--start-from",
    "ferplus_sha256": "--ferplus",
}
MAX_MODEL_BYTES = 2 << 30  # expanded; VGG16 has 0.06 GB
TEMPORARY = ".unfinished-"  # begins the name of a file that is being written
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


# -- files, always whole -----------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`, moved over it only if the block succeeds."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}.{path.name}")  # Keras reads the suffix
    try:
        with _named(path, temporary):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path, temporary):
    """Lets errors name the file that the user gave instead of its temporary one."""
    try:
        yield
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise


def check_folder(path, overwrite):
    """Raises `UserError` unless a folder may be written to `path`: nothing, an empty one, or any."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: expected a folder to write to. Choose another. Received: a file")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise UserError(
            f"{path}: expected nothing there yet. Choose another folder, or add --overwrite to "
            "replace it. Received: a folder with files"
        )


@contextlib.contextmanager
def replacing_folder(path):
    """Yields a temporary folder beside `path`, moved to it (and over it) only if the block succeeds.

    What earlier writers of `path` left beside it when they were killed is removed after a day.
    """
    path = pathlib.Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (
        path.with_name(f"{TEMPORARY}{os.getpid()}{kind}.{path.name}") for kind in ("", "-old")
    )
    for folder in path.parent.glob(f"{TEMPORARY}*[0-9].{glob.escape(path.name)}"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        with _named(path, temporary):
            temporary.mkdir()
            yield temporary
            if path.exists():
                path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(path):
    """Says whether a temporary file or folder is a day old, so that its writer was killed."""
    try:
        return path.stat().st_mtime < time.time() - 24 * 3600
    except FileNotFoundError:
        return False


def write_json(path, value):
    """Writes `value` as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_history(path, rows):
    """Writes a list of equal dicts, one an epoch, as CSV."""
    import pandas as pd

    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_lines(path, lines):
    """Writes texts as the lines of a UTF-8 file."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def sha256(path):
    """Returns the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_model(model, path):
    """Saves a Keras model whole or not at all."""
    with replacing(path) as temporary:
        model.save(temporary)


def save_predictions(path, probabilities, labels, rows):
    """Saves probabilities float16 `[n, 7]`, labels uint8 `[n]` and rows int64 `[n]`, in file order."""
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            probabilities=probabilities.astype(np.float16),
            labels=labels.astype(np.uint8),
            rows=np.asarray(rows, np.int64),
            classes=np.array(EMOTIONS),
        )


# -- a run -------------------------------------------------------------------------------------


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
    if all(name == ENVIRONMENT or name.startswith(TEMPORARY) for name in names):
        if resume:
            raise UserError(
                f"{directory}: expected an interrupted run to resume. Check --run-dir, "
                "or start it without --resume. Received: no run there"
            )
        return "new"
    if not (directory / CONFIG).exists():
        raise UserError(
            f"{directory}: expected a run directory or an empty one. Choose another "
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
    """Makes the run directory (emptied first with `overwrite`) with config and environment."""
    directory = pathlib.Path(directory)
    if overwrite and directory.exists():
        # Renamed first, so that an interruption leaves the old run or none, never a part of one.
        old = directory.with_name(f"{TEMPORARY}{os.getpid()}.{directory.name}")
        directory.rename(old)
        shutil.rmtree(old)
    write_json(directory / ENVIRONMENT, environment)
    write_json(directory / CONFIG, config.to_dict(experiment))  # last: it makes this a run


def sweep(directory):
    """Removes the files that a killed process was writing, and a finished run's checkpoint."""
    directory = pathlib.Path(directory)
    for path in directory.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)
    if (directory / METRICS).exists():
        (directory / CHECKPOINT).unlink(missing_ok=True)


def note_resumed(directory, faces, digests):
    """Adds this resumption to environment.json, whose code or machine may differ from before.

    digests: of the other files that the run reads, by their `GIVEN` names. Raises `UserError` unless
    they and `faces` are those the run was started with.
    """
    path = pathlib.Path(directory) / ENVIRONMENT
    recorded = read_json(path)
    started = recorded.get("data_digest")
    if started != faces.digest:
        raise UserError(
            f"{faces.source}: --resume expects the data the run was started with (digest "
            f"{str(started)[:12]}...). Give that file, or choose another --run-dir. "
            f"Received: digest {faces.digest[:12]}..."
        )
    for name, digest in digests.items():
        started = recorded.get(name, digest)  # the oldest runs recorded none of FER+
        if started != digest:
            raise UserError(
                f"{GIVEN[name]}: --resume expects the content the run was started with (SHA-256 "
                f"{started}). Give that, or choose another --run-dir. Received: {digest}"
            )
    write_json(path, {**recorded, "resumed": [*recorded.get("resumed", []), environment()]})


def _check_same(directory, experiment):
    before, now = _flat(config.to_dict(experiment_of(directory))), _flat(config.to_dict(experiment))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        listed = ", ".join(f"{key} {before.get(key)!r} → {now.get(key)!r}" for key in changed[:5])
        raise UserError(
            f"{directory}: --resume expects the experiment this run was started with. "
            "Give the same file and --set values, or choose another --run-dir. "
            f"Received: {listed}"
        )


def _flat(value, prefix=""):
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            key: leaf
            for name, child in items
            for key, leaf in _flat(child, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    return {prefix: value}


def read_json(path):
    """Returns the JSON value in `path`, or raises `UserError`."""
    try:
        return json.loads(pathlib.Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected a file. Check the run directory. Received: nothing there"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: expected JSON. Restore or remove the file. Received: {error}"
        ) from None


def experiment_of(directory):
    """Returns the `Experiment` a run directory was trained with."""
    return config.from_dict(
        read_json(pathlib.Path(directory) / CONFIG), where=str(pathlib.Path(directory) / CONFIG)
    )


def doubted_rows(directory):
    """Returns the rows that the run's doubted.csv lists, those `doubted_fraction` kept from training."""
    path = pathlib.Path(directory) / DOUBTED
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [int(line["row"]) for line in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: expected a CSV with a column row of whole numbers. Restore the file. "
            f"Received: {error}"
        ) from None


def model_path(run_or_model):
    """Returns (path of the .keras file, run directory or None) of a run, a file or a packaged name."""
    if str(run_or_model) in packaged.names():
        return packaged.path_of(str(run_or_model), ".keras"), None
    path = pathlib.Path(run_or_model).expanduser()
    if path.is_dir():
        file = path / MODEL
        if not file.exists():
            reason = (
                "an interrupted run: finish it with --resume"
                if (path / CONFIG).exists()
                else "no run there"
            )
            raise UserError(f"{path}: expected a finished run with {MODEL}. Received: {reason}")
        return file, path
    if not path.exists():
        raise UserError(
            f"{path}: expected a run directory or a .keras file. Check the path. "
            "Received: nothing there"
        )
    parent = path.parent
    return path, parent if path.name == MODEL and (parent / CONFIG).exists() else None


def load_model(path):
    """Loads a saved model in Keras' safe mode, its ZIP checksums verified first.

    (A damaged HDF5 inside can crash the interpreter.) Raises `UserError` if it is no model of
    `[b, 48, 48, 1]` → `[b, 7]`.
    """
    import keras

    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(
            f"{path}: expected a saved Keras model named *.keras. "
            f"Received: {path.suffix or 'no suffix'!r}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_MODEL_BYTES:
                raise zipfile.BadZipFile(f"{size:,} bytes, expanded; at most {MAX_MODEL_BYTES:,}")
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and Keras raise many kinds for damaged files
        # Damage is an OSError too, without a number (h5py) or of a place outside the file (zipfile).
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        raise UserError(
            f"{path}: expected a whole Keras model. Train or download it again. Received: {reason}"
        ) from None
    if model.input_shape != (None, 48, 48, 1) or model.output_shape != (None, len(EMOTIONS)):
        raise UserError(
            f"{path}: expected a model from [n, 48, 48, 1] grey levels to [n, 7] "
            f"probabilities. Received: {model.input_shape} to {model.output_shape}"
        )
    return model


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


# -- checkpoints -------------------------------------------------------------------------------


def save_checkpoint(directory, progress, arrays):
    """Writes one file with the JSON-able `progress` and a dict of arrays; the old one stays until then."""
    with replacing(pathlib.Path(directory) / CHECKPOINT) as temporary:
        text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        with open(temporary, "wb") as file:
            np.savez(file, progress=text, **arrays)


def load_checkpoint(directory):
    """Returns (progress, arrays) of the last whole epoch, or (None, {}) before the first."""
    path = pathlib.Path(directory) / CHECKPOINT
    if not path.exists():
        return None, {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop("progress").tobytes()), arrays
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, NumPy and json raise many kinds
        raise UserError(
            f"{path}: expected a whole checkpoint. It cannot be resumed; start again "
            f"with --overwrite. Received: {type(error).__name__}: {error}"
        ) from None


# -- provenance --------------------------------------------------------------------------------


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
