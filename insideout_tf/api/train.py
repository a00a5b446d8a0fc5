"""Training: a recipe and data in, a run folder out."""

import contextlib
import dataclasses
import json
import os
import pathlib

from insideout_tf import config, devices, errors, files, hosts, locks, overrides, runs
from insideout_tf.api.run import Run
from insideout_tf.api.start import load_start, load_teachers
from insideout_tf.data import reading, splits
from insideout_tf.data.read import read
from insideout_tf.errors import UserError
from insideout_tf.network.weights import knows_classes, save_model
from insideout_tf.serving import packaged
from insideout_tf.training import checkpoint


def train_model(
    recipe="quickstart",
    data=None,
    *,
    run_dir=None,
    callbacks=(),
    resume=False,
    overwrite=False,
    verbose=2,
    ferplus=None,
    teacher=None,
    start_from=None,
    **settings,
) -> Run:
    """Trains a recipe and returns its `Run`.

    Examples:
        >>> run = insideout_tf.train_model("effnet_b2", "fer2013.csv", epochs=10)

    Args:
        recipe: the name of a recipe (`insideout recipes` lists them), the path of a recipe file, or a
            `config.Experiment`.
        data: what `read_faces` reads, or "drawn"; the recipe's own by default.
        run_dir: the run folder; runs/NAME by default.
        callbacks: Keras callbacks. They see one `fit` for each stage, and in `logs` at the end of
            each epoch `loss`, `accuracy`, `val_loss`, `val_accuracy`, `val_macro_f1` and `gap`. A
            callback may set `self.model.stop_training`, which ends the stage.
        resume: continue an interrupted run. A finished one is returned as it is.
        overwrite: replace an earlier run in `run_dir`.
        verbose: 0 prints nothing, 1 progress bars, 2 one line an epoch.
        ferplus: fer2013new.csv, for a recipe with `soft_label_weight`.
        teacher: a run, .keras file or packaged model, or a list of them, for a recipe with
            `distillation_weight`.
        start_from: a run, .keras file or packaged model that training starts from.
        settings: fields of the recipe by name, such as `dropout=0.3` or `seed=1`, and the short
            options `epochs`, `learning_rate`, `batch_size`, `image_size`, `weights`, `precision`.

    Raises:
        UserError: a setting, the data or the folder is not as expected.
    """
    experiment = recipe if not isinstance(recipe, (str, os.PathLike)) else overrides.load(recipe)
    experiment = overrides.from_keywords(experiment, **settings)
    experiment = set_inputs(experiment, data, ferplus, teacher, start_from)
    directory = (
        pathlib.Path(run_dir).expanduser() if run_dir else pathlib.Path("runs") / experiment.name
    )
    train(
        experiment,
        directory,
        resume=resume,
        overwrite=overwrite,
        verbose=verbose,
        callbacks=callbacks,
        say=_say if verbose else _keep_quiet,
    )
    return Run(directory)


def set_inputs(experiment, data=None, ferplus=None, teacher=None, start_from=None):
    """Returns the experiment with the paths of what it reads; None leaves a field as it is."""
    assignments = []
    if data is not None:
        assignments.append(f"data={json.dumps(str(data))}")
    if ferplus is not None:
        assignments.append(f"ferplus={json.dumps(str(ferplus))}")
    if teacher is not None:
        teachers = [teacher] if isinstance(teacher, (str, os.PathLike)) else list(teacher)
        assignments.append(f"teacher={json.dumps([str(each) for each in teachers])}")
    if start_from is not None:
        assignments.append(f"start_from={json.dumps(str(start_from))}")
    return make_paths_absolute(overrides.override(experiment, assignments))


def make_paths_absolute(experiment):
    """Returns the experiment with absolute paths of its inputs, so that any folder can be current.

    Names of packaged models, "drawn" and `kaggle:` stay.
    """

    def settle(path):
        if path is None or path == "drawn" or path.startswith("kaggle:"):
            return path
        return os.path.abspath(os.path.expanduser(path))

    def settle_weights(name):
        return name if name in ("imagenet", "none") else settle(name)

    def settle_model(path):
        return path if path is None or path in packaged.names() else settle(path)

    return dataclasses.replace(
        experiment,
        data=settle(experiment.data),
        ferplus=settle(experiment.ferplus),
        ferplus_labels=settle(experiment.ferplus_labels),
        teacher=tuple(map(settle_model, experiment.teacher)),
        start_from=settle_model(experiment.start_from),
        weights=settle_weights(experiment.weights),
    )


def _say(text):
    errors.show(text)


def _keep_quiet(text):
    pass


def train(
    experiment,
    directory,
    *,
    resume=False,
    overwrite=False,
    dry_run=False,
    verbose=None,
    callbacks=(),
    device="auto",
    say=_say,
):
    """Trains `experiment` into `directory`; returns the metrics of its validation split, a dict.

    A finished run is returned as it is with `resume`, replaced with `overwrite`, and refused
    otherwise. `dry_run` prints the plan, writes nothing and returns None.

    Args:
        experiment: a `config.Experiment`.
        directory: the run folder.
        resume, overwrite: as of `train_model`.
        verbose: as in Keras; None: progress bars on a terminal, else one line an epoch.
        callbacks: as of `train_model`.
        device: what `devices.select_device` was called with, to verify it.
        say: a function that prints one text: the plan and what happens.

    Raises:
        UserError: as of `train_model`.
    """
    if verbose is None:
        verbose = 1 if os.isatty(1) else 2
    directory = pathlib.Path(directory)
    require_data(experiment)
    experiment = make_paths_absolute(experiment)
    if dry_run:
        job, _ = prepare(experiment, directory, device, verbose, callbacks, say)
        text, _, _ = plan_run(job, None, {})
        say(text)
        return None
    if hosts.number():  # a process that writes nothing that stays
        overwrite, verbose, say = False, 0, _keep_quiet
    else:
        runs.check(directory, experiment, resume, overwrite)
    with hosts.run_folder(directory, runs.OF_RESUME if resume else ()) as directory:
        return _train_in(directory, experiment, resume, overwrite, device, verbose, callbacks, say)


def _train_in(directory, experiment, resume, overwrite, device, verbose, callbacks, say):
    """Trains into a folder that this process holds; see `train`."""
    with locks.locked(directory):
        runs.recover(directory)
        # Again, since another process may have written the folder before this one held it.
        state = runs.check(directory, experiment, resume, overwrite)
        if state == "finished":
            runs.sweep(directory)
            say(f"{directory} is finished; nothing to resume.")
            return runs.read_metrics(directory)
        job, inputs = prepare(experiment, directory, device, verbose, callbacks, say)
        return _train(job, inputs, resume, overwrite)


@contextlib.contextmanager
def _old_run_restored(directory, overwrite):
    """Puts back the run that `overwrite` replaces if the new one fails, or stops before an epoch."""
    try:
        yield
    except UserError:
        if overwrite:
            runs.put_back(directory)
        raise
    except BaseException:
        if overwrite and not (directory / runs.CHECKPOINT).exists():
            runs.put_back(directory)
        raise


def _train(job, inputs, resume, overwrite):
    """Trains a `stages.Job` and writes its run folder; returns the metrics, a dict."""
    from insideout_tf.training import stages

    directory, say = job.directory, job.say
    progress, saved = checkpoint.load_checkpoint(directory) if resume else (None, {})
    text, model, inputs_of_start = plan_run(job, progress, saved)
    say(text)
    with _old_run_restored(directory, overwrite):
        record_start(job, {**inputs, **inputs_of_start}, resume, overwrite)
        if (directory / runs.REPLACED).is_dir():
            say(
                f"{directory / runs.REPLACED} keeps the earlier run until this one is finished; if "
                "this one fails, it is put back"
            )
        progress, model = stages.run_all(job, model, progress or stages.begin(), saved)
        if hosts.number():
            return {}
        runs.check_whole(directory)
        with hosts.alone():
            save_model(model, directory / packaged.MODEL, job.faces.classes)
            metrics = write_validation_report(job, model, progress)
        runs.sweep(directory)
    return metrics


def plan_run(job, progress, saved):
    """Returns (the plan as text, the model of the next stage or None, SHA-256 of the start by name).

    progress, saved: the checkpoint, which is checked; None and {} without one.
    """
    from insideout_tf.training import plan, stages

    experiment, inputs = job.experiment, {}
    left = experiment.stages
    if progress is not None:
        first = progress.get("stage") if isinstance(progress, dict) else None
        left = experiment.stages[first:] if type(first) is int and first >= 0 else left
    model = stages.create_model(job, (left or experiment.stages)[0])
    if progress is not None:
        weights = model.get_weights()
        checkpoint.check_checkpoint(job.directory, progress, saved, experiment.stages, weights)
        if experiment.interpolation:
            checkpoint.check_shapes(job.directory, "begin", weights, saved)
    if experiment.start_from is not None and not saved:
        inputs["start_sha256"] = load_start(experiment, model, job.faces.contract)
    return plan.describe_plan(job, model), model if left else None, inputs


def require_data(experiment):
    """Raises `UserError` if an experiment names no data."""
    if experiment.data is None:
        raise UserError(
            "--data: expected the path of faces (fer2013.csv, a folder of class folders, a table, .npz, "
            ".zip) or kaggle:OWNER/DATASET; README says where to get FER2013. Received: nothing"
        )


def prepare(experiment, directory, device, verbose, callbacks, say):
    """Reads the data and the teachers; returns (`stages.Job`, SHA-256 of each other input by name)."""
    faces = read(experiment.data, reading.of_experiment(experiment))
    split = splits.of_experiment(faces, experiment)
    devices.prepare_backend()
    devices.check_device(device)
    hosts.distribute(experiment.batch_size)
    if hosts.count() > 1:
        hosts.check_same("the data", faces.digest)
        hosts.check_same("the recipe", json.dumps(_describe_training(experiment)))
    from insideout_tf.data import batches
    from insideout_tf.training import stages

    unlabelled = split.unlabelled if experiment.consistency_weight else ()
    arrays = batches.training_arrays(faces, split.training, experiment, unlabelled)
    scope = devices.distribution_scope(experiment)
    teachers, inputs = load_teachers(experiment, scope)
    if experiment.soft_label_weight:
        inputs["ferplus_sha256"] = files.sha256(experiment.ferplus)
    if experiment.weights.endswith(".h5") and os.path.isfile(experiment.weights):
        inputs["weights_sha256"] = files.sha256(experiment.weights)
    job = stages.Job(
        experiment,
        directory,
        faces,
        split,
        arrays,
        devices.resolve_precision(experiment.precision, experiment.jit_compile),
        verbose,
        scope,
        teachers,
        tuple(callbacks),
        experiment.start_from is not None
        and knows_classes(packaged.model_path(experiment.start_from)[0], faces.classes),
        say,
    )
    return job, inputs


def _describe_training(experiment):
    """Returns what of an experiment decides the training, as a dict; paths may differ between hosts."""
    paths = ("data", "ferplus", "ferplus_labels", "teacher", "start_from", "weights")
    return {name: value for name, value in config.to_dict(experiment).items() if name not in paths}


def record_start(job, inputs, resume, overwrite):
    """Writes what a run is made from into its folder, or adds this resumption to it."""
    directory, faces = job.directory, job.faces
    if resume:
        for change in runs.note_resumed(directory, job.experiment, faces, inputs):
            job.say(f"changed since the run began: {change}")
    else:
        environment = {
            **runs.environment(),
            "precision": job.precision.name,
            "data_source": faces.source,
            "data_identified": faces.identified,
            "data_digest": faces.digest,
            **inputs,
        }
        runs.create(directory, job.experiment, overwrite, environment)
    files.write_lines(directory / runs.LABELS, faces.classes)
    if faces.skipped:
        files.write_lines(directory / runs.BAD_ROWS, faces.skipped)
    if len(job.split.leaks):
        files.write_lines(directory / runs.LEAKS, splits.list_leaks(faces, job.split.leaks))


def write_validation_report(job, model, progress):
    """Writes metrics.json, predictions.npz, the page and the plots of the validation split.

    Returns the content of metrics.json, a dict.
    """
    from insideout_tf.evaluation.report import write_report
    from insideout_tf.network.predict import predict_probabilities

    rows = job.split.validation
    name = "drawn" if job.faces.source == "drawn" else job.split.validation_name
    facts = {
        "split": name,
        **runs.describe(job.experiment, model),
        "tta": "none",
        "selected_on": name,
        "best_epoch": progress["best_epoch"],
        "training_seconds": round(sum(row["seconds"] for row in progress["history"]), 1),
        "leaks_dropped": job.experiment.drop_leaks,
    }
    if "interpolation" in progress:
        facts["interpolation"] = progress["interpolation"]
    probabilities = predict_probabilities(model, job.faces.pixels[rows])

    def write_page(summary):
        from insideout_tf.api.report import write_training_page

        try:
            write_training_page(job, rows, probabilities, summary, progress["history"])
        except Exception as error:  # a page is not worth a run, whatever is wrong with it
            job.say(
                f"{runs.REPORT} was not written ({type(error).__name__}: {error}). `insideout report "
                "RUN` writes it."
            )

    return write_report(
        job.directory,
        job.faces,
        rows,
        probabilities,
        facts,
        progress["history"],
        splits.training_rows(job.faces, job.experiment),
        write_page,
    )
