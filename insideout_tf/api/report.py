"""Report pages: one HTML file about one run, or about several side by side."""

import csv
import functools
import math
import os
import pathlib
import typing

import numpy as np

from insideout_tf import config, files, runs, targets
from insideout_tf.api.run import Run
from insideout_tf.data import facts, reading, splits
from insideout_tf.data.lazy import FilePixels
from insideout_tf.data.read import read
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics, page, report
from insideout_tf.serving import recognize

MAX_RUNS = 12  # of a page
OF_RUN = "validation"  # the split whose evaluation is in the run folder itself
KINDS: dict[str, typing.Any] = {  # what a page uses of metrics.json beside the figures
    "split": str,
    "experiment": str,
    "backbone": str,
    "image_size": int,
    "parameters": int,
    "tta": str,
    "selected_on": str,
    "selection_overlap": bool,
    "best_epoch": int,
    "training_seconds": (int, float),
    "leaks_dropped": bool,
    "data_is_that_of_training": bool,
    "excluded_classes": dict,
    "classes_without_faces": list,
    "data_digest": str,
    "bad_rows_skipped": int,
}


def report_runs(
    run_or_runs, out="report.html", *, split=OF_RUN, tta="none", data=None, overwrite=False
) -> pathlib.Path:
    """Writes one self-contained HTML page about one run, or about several side by side.

    The page has the figures with their intervals, the learning curves, the confusion matrix, the classes,
    the reliability, the mistakes as pictures, the data and the settings. Several runs are compared face by
    face with the first. The page needs no network and no model; the pictures need the data.

    Examples:
        report_runs("runs/effnet_b2", "report.html")
        report_runs(["runs/first", "runs/second"], split="private")

    Args:
        run_or_runs: a run folder or `Run`, or a list of at most 12.
        out: the page, a path ending in .html.
        split: the evaluation to show, one of `splits.EVALUATED`. "validation" is that of the training; for
            another one, `insideout evaluate RUN --split SPLIT` has been run.
        tta: the views of that evaluation, "none" or "flip".
        data: where the faces are now, if they are not where the run found them.
        overwrite: replace an earlier page.

    Returns:
        The path of the page.

    Raises:
        UserError: a run, its evaluation or `out` is not as expected.
    """
    single = isinstance(run_or_runs, (str, os.PathLike, Run))
    listed = [run_or_runs] if single else list(run_or_runs)
    folders = list(dict.fromkeys(map(_find_run, listed)))
    if not 1 <= len(folders) <= MAX_RUNS:
        raise UserError(f"report: expected 1 to {MAX_RUNS} runs. Received: {len(folders)}")
    out = pathlib.Path(out).expanduser()
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out: expected a file name ending in .html. Received: {out}")
    is_ours = functools.partial(targets.has_begin, begin=page.BEGIN.encode())
    targets.check_targets([targets.Target("--out", out, is_ours)], overwrite=overwrite)
    read_cached = functools.cache(lambda path, settings: read(path, settings))
    records = [
        read_record(folder, name, split, tta, data, read_cached)
        for folder, name in zip(folders, name_runs(folders))
    ]
    if data is not None and all(record.faces is None for record in records):
        raise UserError(
            f"--data: expected the faces that were evaluated. Give their path. Received: {data}: "
            f"{records[0].absence}"
        )
    write_page(records, out, overwrite)
    return out


def write_page(records, out, overwrite=True):
    """Writes the page of `page.Record`s, whole or not at all."""
    text = page.render(records)
    with files.replacing(out, overwrite) as temporary:
        temporary.write_text(text, "utf-8")


def write_training_page(job, rows, probabilities, summary, history):
    """Writes the page of a run that ends its training into its folder.

    Args:
        job: the `training.stages.Job`.
        rows: integers `[n]`, the validation faces.
        probabilities: float `[n, k]`, those of metrics.json.
        summary: the content of metrics.json.
        history: a list of a dict for each epoch.
    """
    directory = job.directory
    record = page.Record(
        name=directory.resolve().name,
        path=str(directory),
        summary=summary,
        probabilities=np.asarray(probabilities, np.float32),
        labels=np.asarray(job.faces.labels[rows], np.int64),
        rows=np.asarray(rows),
        history=history,
        settings=config.to_dict(job.experiment),
        environment=files.read_object(directory / runs.ENVIRONMENT),
        faces=job.faces,
        facts=_examine(job.faces),
    )
    write_page([record], directory / runs.REPORT)


def _find_run(run):
    """Returns the resolved folder of a finished run; raises `UserError`."""
    folder = pathlib.Path(run.path if isinstance(run, Run) else run).expanduser()
    if not folder.is_dir() or not (folder / runs.CONFIG).exists():
        raise UserError(
            f"{folder}: expected a run folder. Check the path; `insideout compare` takes models without "
            f"a run. Received: {'no ' + runs.CONFIG if folder.is_dir() else 'no folder'} there"
        )
    if not (folder / runs.METRICS).exists():
        raise UserError(
            f"{folder}: expected a finished run. Go on with `insideout train --resume`. Received: no "
            f"{runs.METRICS} there"
        )
    return folder.resolve()


def name_runs(folders):
    """Returns a name for each folder: the last part of its path, or as many as tell them apart."""
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def read_record(folder, name, split, tta, data, read_data):
    """Returns the `page.Record` of a run.

    folder: of the run, absolute. name, split, tta, data: as of `page.Record` and `report_runs`.
    read_data: `data.read.read`, or a function like it that keeps what it has read.
    """
    place = choose_evaluation(folder, split, tta)
    experiment = runs.experiment_of(folder)
    probabilities, labels, rows, classes = report.read_predictions(place / runs.PREDICTIONS)
    summary = read_summary(place / runs.METRICS)
    classes = classes or _read_classes(folder, place, probabilities.shape[1])
    summary.update(metrics.summarize(probabilities, labels, classes))
    evaluations = [
        (path.name if path != folder else "", summary if path == place else read_figures(path))
        for path in [folder, *_list_evaluations(folder)]
    ]
    environment = folder / runs.ENVIRONMENT
    record = page.Record(
        name=name,
        path=str(folder),
        summary=summary,
        probabilities=probabilities,
        labels=labels,
        rows=rows,
        history=read_history(folder / runs.HISTORY),
        settings=config.to_dict(experiment),
        environment=files.read_object(environment) if environment.exists() else {},
        evaluations=evaluations,
    )
    add_faces(record, experiment, data, read_data)
    return record


def choose_evaluation(folder, split, tta="none"):
    """Returns the folder of an evaluation of a run; raises `UserError` if it is not there."""
    if split not in splits.EVALUATED or tta not in recognize.TTA:
        raise UserError(
            f"--split and --tta: expected one of {', '.join(splits.EVALUATED)} and one of "
            f"{', '.join(recognize.TTA)}. Received: {split!r} and {tta!r}"
        )
    if split == OF_RUN and tta == "none":
        return folder
    place = folder / (split if tta == "none" else f"{split}-{tta}")
    if not (place / runs.METRICS).exists():
        views = "" if tta == "none" else f" --tta {tta}"
        raise UserError(
            f"{place}: expected an evaluation. Make it with `insideout evaluate RUN --split "
            f"{split}{views}`. Received: no {runs.METRICS} there"
        )
    return place


def _list_evaluations(folder):
    """Returns the folders of the finished evaluations in a run folder."""
    return sorted(
        path
        for path in folder.iterdir()
        if files.read_marker(path) == report.KIND.name and (path / runs.METRICS).exists()
    )


def read_summary(path):
    """Returns what a page needs of a metrics.json beside the figures, a dict; wrong types are excluded."""
    found = files.read_object(path, split=str, leaks=dict)
    leaks = found["leaks"]
    is_number = all(
        leaks.get(key) is None
        or (isinstance(leaks[key], (int, float)) and math.isfinite(leaks[key]))
        for key in ("n", "accuracy_on", "accuracy_without", "macro_f1_without")
    )
    if not is_number or not isinstance(leaks.get("n"), int):
        raise UserError(
            f"{path}: expected numbers as leaks. Restore the file, or evaluate again. Received: "
            f"{leaks!r:.100}"
        )
    summary = {key: found[key] for key, kind in KINDS.items() if isinstance(found.get(key), kind)}
    leaks = {key: value for key, value in leaks.items() if value is not None} | {"n": leaks["n"]}
    usual = dict.fromkeys(("accuracy_on", "accuracy_without", "macro_f1_without"))
    return {**summary, "leaks": {"identical_to": "a face of Training", **usual, **leaks}}


def read_figures(folder):
    """Returns metrics.json of another evaluation of a run: what a row of the table shows."""
    found = runs.read_metrics(folder)
    return {**found, **read_summary(folder / runs.METRICS)}


def _read_classes(folder, place, count):
    """Returns the class names of a run whose predictions.npz has none; raises `UserError`."""
    path = place / runs.METRICS
    names = files.read_object(path, per_class=dict)["per_class"]
    if len(names) != count:
        raise UserError(
            f"{path}: expected {count} classes, as predictions.npz has. Evaluate again. Received: "
            f"{len(names)} in {folder.name}"
        )
    return tuple(names)


def read_history(path):
    """Returns history.csv as a list of a dict for each epoch; [] without the file."""
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [
                {
                    key: value if key == "stage" else float(value or "nan")
                    for key, value in row.items()
                    if key
                }
                | {"epoch": int(row["epoch"])}
                for row in csv.DictReader(file)
            ]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: expected a CSV file of the epochs. Restore or remove it. Received: {error}"
        ) from None


def add_faces(record, experiment, data, read_data):
    """Sets `faces` and `facts` of a record, or `absence` if its data are not at hand."""
    source = data or experiment.data
    if source is None or str(source).startswith("kaggle:"):
        record.absence = f"Their place is not a local path ({source}); --data names one."
        return
    settings = reading.of_experiment(experiment)
    try:
        faces = read_data(str(source), settings)
    except (UserError, OSError) as error:
        if data is not None:
            raise
        record.absence = f"The data were not found; --data names another place. {error}"
        return
    digest = record.summary.get("data_digest")
    if digest != faces.digest:
        record.absence = (
            f"The faces in {source} are others than those that were evaluated, by their digest."
        )
        return
    record.faces, record.facts = faces, _examine(faces)
    rows = record.rows
    if rows is None or not len(rows) or rows.max() >= len(faces):
        record.faces = None
        record.absence = "predictions.npz does not tell which faces were evaluated."


def _examine(faces):
    return facts.examine(faces, has_blanks=not isinstance(faces.pixels, FilePixels))
