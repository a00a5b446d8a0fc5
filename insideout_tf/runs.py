"""The run folder: what is written where, always whole, and how a run is found again."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from insideout_tf import config, devices, files, locks, targets
from insideout_tf.errors import UserError, printable
from insideout_tf.evaluation import report

CONFIG, HISTORY, MODEL = "config.json", "history.csv", "model.keras"
METRICS, PREDICTIONS, ENVIRONMENT = "metrics.json", "predictions.npz", "environment.json"
BAD_ROWS, LEAKS, LABELS = "bad_rows.txt", "leaks.csv", "labels.txt"
REPORT = "report.html"
CHECKPOINT, PLOTS, TENSORBOARD = "checkpoint.npz", "plots", "tensorboard"
REPLACED = ".replaced"  # the earlier run in the folder, until the one that replaces it is finished
OF_RESUME = (CHECKPOINT, HISTORY, ENVIRONMENT, CONFIG)  # what an interrupted run goes on from
KIND = files.FolderKind(
    "run",
    "a run",
    (
        *(
            CONFIG,
            HISTORY,
            MODEL,
            METRICS,
            PREDICTIONS,
            ENVIRONMENT,
            BAD_ROWS,
            LEAKS,
            LABELS,
            REPORT,
            CHECKPOINT,
        ),
        *(f"{PLOTS}/{name}.png" for name in report.PLOT_NAMES),
        f"{TENSORBOARD}/**events.out.tfevents.*",
        f"{REPLACED}/**",
    ),
    (report.KIND,),
)
INPUTS = {  # the SHA-256 of other inputs in environment.json, and the option of each
    "teacher_sha256": "--teacher",
    "start_sha256": "--start-from",
    "ferplus_sha256": "--ferplus",
    "weights_sha256": "--weights",
}
PACKAGES = (
    "insideout_tf tensorflow keras jax torch keras-cv numpy pandas scikit-learn matplotlib pillow"
).split()


def check(directory, experiment, resume, overwrite):
    """Checks, changing nothing, that a run may begin or go on here.

    Returns "new", "unfinished" or "finished". Raises `UserError` rather than overwrite a run, or
    resume one of another experiment.
    """
    directory = pathlib.Path(directory)
    if resume and overwrite:
        raise UserError(
            "--resume and --overwrite: expected one of them. Leave out --overwrite to go on. Received: both"
        )
    if os.path.lexists(directory) and not directory.is_dir():
        raise UserError(
            f"{directory}: expected a directory for the run. Choose another --run-dir. "
            f"Received: {targets.describe_node(directory)}"
        )
    targets.check_utf8(directory.absolute())
    names = set(os.listdir(directory)) if directory.exists() else set()
    own = (ENVIRONMENT, files.MARKER)
    if all(name in own or files.is_temporary(name) for name in names):
        if resume:
            raise UserError(
                f"{directory}: expected an interrupted run to resume. Check --run-dir, "
                "or start it without --resume. Received: no run there"
            )
        return "new"
    if not (directory / CONFIG).exists() and not (directory / REPLACED / CONFIG).exists():
        raise UserError(
            f"{directory}: expected a run folder or an empty one. Choose another "
            f"--run-dir. Received: a directory without {CONFIG}"
        )
    if overwrite:
        files.check_folder(directory, KIND, overwrite)
        inputs = [
            ("--data", experiment.data),
            ("--ferplus", experiment.ferplus),
            ("--ferplus-labels", experiment.ferplus_labels),
            ("--start-from", experiment.start_from),
            ("--weights", experiment.weights),
            *(("--teacher", each) for each in experiment.teacher),
        ]
        targets.check_outside("--run-dir", directory, inputs)
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
    _check_same(directory, experiment, finished)
    return "finished" if finished else "unfinished"


def create(directory, experiment, overwrite, environment):
    """Makes the run folder with config and environment.

    With `overwrite`, the run that is there is moved into the folder `REPLACED` in it. `sweep` removes
    that when the new run is finished, and `put_back` restores it.
    """
    directory = pathlib.Path(directory)
    if overwrite and directory.exists():
        _move_aside(directory)
    files.mark(directory, KIND)
    files.write_json(directory / ENVIRONMENT, environment)
    files.write_json(directory / CONFIG, config.to_dict(experiment))  # last: it makes this a run


def _move_aside(directory):
    """Moves a run into `REPLACED`; an unfinished one that itself replaces another is removed."""
    aside = directory / REPLACED
    if (directory / METRICS).exists():
        _remove_replaced(directory)
    elif aside.exists():
        _remove_run(directory)
        return
    names = [name for name in os.listdir(directory) if not _stays(name)]
    if CONFIG not in names:
        return
    aside.mkdir(exist_ok=True)
    for name in sorted(names, key=lambda name: name != CONFIG):  # the config first: see `recover`
        os.replace(directory / name, aside / name)


def _stays(name):
    """Returns True for what is not a part of the run in its folder."""
    return name == REPLACED or files.is_temporary(name)


def _remove_run(directory):
    """Removes the files of a run from its folder, but not the run that it replaces."""
    (directory / CONFIG).unlink(missing_ok=True)
    for name in files.list_files(directory, KIND):
        if not _stays(name.split("/")[0]):
            (directory / name).unlink(missing_ok=True)
    for name in os.listdir(directory):
        if (directory / name).is_dir() and not _stays(name):
            for root, _, _ in os.walk(directory / name, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(root)


def put_back(directory):
    """Restores the run that an unfinished one was to replace, if there is one."""
    directory = pathlib.Path(directory)
    aside, is_run = directory / REPLACED, (directory / CONFIG).exists()
    if not aside.is_dir() or (is_run and (directory / METRICS).exists()):
        return
    if is_run:
        _remove_run(directory)
    names = sorted(os.listdir(aside), key=lambda name: name == CONFIG)  # last: it makes it a run
    for name in names:
        os.replace(aside / name, directory / name)
    aside.rmdir()


def recover(directory):
    """Completes what a killed process had begun with the run that is or was to be replaced."""
    directory = pathlib.Path(directory)
    if (directory / METRICS).exists() and (directory / CONFIG).exists():
        _remove_replaced(directory)
    elif (directory / REPLACED).is_dir() and not (directory / CONFIG).exists():
        put_back(directory)


def _remove_replaced(directory):
    aside = directory / REPLACED
    if aside.is_dir():
        files.clear(aside, KIND)


def check_whole(directory):
    """Raises `UserError` if the run folder was removed while its run was trained."""
    if not (pathlib.Path(directory) / CONFIG).exists():
        raise UserError(
            f"{directory}: expected the run folder to stay while it is written. Train again. "
            f"Received: no {CONFIG} there"
        )


def sweep(directory):
    """Removes what a killed process was writing; of a finished run also what only training needs.

    That is the checkpoint, and the earlier run that it replaces.
    """
    directory = pathlib.Path(directory)
    for path in sorted(directory.rglob(f"{files.TEMPORARY}*"), reverse=True):
        if path.name == locks.LOCK or not files.is_temporary(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if (directory / METRICS).exists():
        (directory / CHECKPOINT).unlink(missing_ok=True)
        _remove_replaced(directory)


def read_metrics(directory):
    """Returns metrics.json of a run, a dict; raises `UserError` if it lacks what a report shows."""
    path = pathlib.Path(directory) / METRICS
    found = files.read_object(
        path, split=str, accuracy=float, macro_f1=float, n=int, intervals_95=dict
    )
    interval = found["intervals_95"].get("accuracy")
    try:
        low, high = map(float, interval)
    except (TypeError, ValueError):
        raise UserError(
            f"{path}: expected two numbers as intervals_95.accuracy. Restore or remove the file. "
            f"Received: {interval!r:.100}"
        ) from None
    return found


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
    recorded = files.read_object(path)
    earlier = recorded.get("resumed", [])
    if not isinstance(earlier, list) or not all(isinstance(each, dict) for each in earlier):
        raise UserError(
            f"{path}: expected a list of objects as resumed. Restore the file, or choose another "
            f"--run-dir. Received: {earlier!r:.100}"
        )
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
    latest = [recorded, *earlier][-1]
    files.write_json(path, {**recorded, "resumed": [*earlier, now]})
    if experiment_of(directory) != experiment:
        files.write_json(directory / CONFIG, config.to_dict(experiment))
    return list_changes(latest, now)


def list_changes(before, now):
    """Returns texts such as "keras 3.14.0 → 3.15.1" that say how two environments differ."""
    known = before.get("packages")
    known = known if isinstance(known, dict) else {}
    packages = {**known, **now["packages"]}
    pairs = [
        *((name, before.get(name), now[name]) for name in ("backend", "device", "python")),
        *((name, known.get(name), now["packages"].get(name)) for name in packages),
    ]
    return [f"{name} {old} → {new}" for name, old, new in pairs if old != new]


def _check_same(directory, experiment, is_finished):
    before, now = (
        {key: value for key, value in _flat(config.to_dict(each)).items() if not _is_input(key)}
        for each in (experiment_of(directory), experiment)
    )
    if all(each["weights"].endswith(".h5") for each in (before, now)):  # compared by content
        before["weights"] = now["weights"]
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        advice = "Give the same file and --set values"
        if is_finished:  # its schedule has come to its end
            advice = f"To train the finished run further, give --start-from {directory} and a new --run-dir"
        listed = ", ".join(f"{key} {before.get(key)!r} → {now.get(key)!r}" for key in changed[:5])
        raise UserError(
            f"{directory}: --resume expects the experiment this run was started with. {advice}, or "
            f"choose another --run-dir. Received: {listed}"
        )


def _is_input(key):
    """Returns True for the path of a file whose content `note_resumed` compares."""
    return key.split(".")[0] in ("data", "ferplus", "ferplus_labels", "teacher", "start_from")


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
    values = files.read_object(path)
    try:
        return config.from_saved(values, where=str(path))
    except UserError as error:
        if str(error).startswith(printable(path)):
            raise
        raise UserError(f"{path}: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: expected the settings of a run. Restore the file. Received: {error}"
        ) from None


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
