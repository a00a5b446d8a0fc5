"""Training: a recipe and data in, a run folder out."""

import json
import os
import pathlib

from insideout_tf import devices, files, overrides, runs
from insideout_tf.api.run import Run
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS
from insideout_tf.network.weights import load_model, save_model
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

    Example:
        run = insideout_tf.train_model("effnet_b2", "fer2013.csv", epochs=10)

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
    directory = pathlib.Path(run_dir) if run_dir else pathlib.Path("runs") / experiment.name
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
        text = str(data)
        is_name = text == "drawn" or text.startswith("kaggle:")
        assignments.append(f"data={json.dumps(text if is_name else os.path.expanduser(text))}")
    if ferplus is not None:
        assignments.append(f"ferplus={json.dumps(os.path.expanduser(str(ferplus)))}")
    if teacher is not None:
        teachers = [teacher] if isinstance(teacher, (str, os.PathLike)) else list(teacher)
        assignments.append(f"teacher={json.dumps([str(each) for each in teachers])}")
    if start_from is not None:
        assignments.append(f"start_from={json.dumps(str(start_from))}")
    return overrides.override(experiment, assignments)


def _say(text):
    print(text, flush=True)


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
    if not dry_run and runs.check(directory, experiment, resume, overwrite) == "finished":
        runs.sweep(directory)
        say(f"{directory} is finished; nothing to resume.")
        return files.read_json(directory / METRICS)

    job, inputs = prepare(experiment, directory, device, verbose, callbacks, say)
    from insideout_tf.training import plan, stages

    progress, saved = checkpoint.load_checkpoint(directory) if resume else (None, {})
    progress = progress or stages.begin()
    left = experiment.stages[progress["stage"] :]
    model = stages.create_model(job, (left or experiment.stages)[0])
    if experiment.start_from is not None and not saved:
        inputs["start_sha256"] = load_start(experiment, model)
    say(plan.describe_plan(job, model))
    if dry_run:
        return None

    record_start(job, inputs, resume, overwrite)
    progress, model = stages.run_all(job, model if left else None, progress, saved)
    save_model(model, directory / packaged.MODEL)
    metrics = write_validation_report(job, model, progress)
    runs.sweep(directory)
    return metrics


def require_data(experiment):
    """Raises `UserError` if an experiment names no data."""
    if experiment.data is None:
        raise UserError(
            "--data: expected the path of FER2013 (fer2013.csv, icml_face_data.csv, a folder, .npz, "
            ".zip) or kaggle:OWNER/DATASET; README says where to get it. Received: nothing"
        )


def prepare(experiment, directory, device, verbose, callbacks, say):
    """Reads the data and the teachers; returns (`stages.Job`, SHA-256 of each other input by name)."""
    faces = read_faces(experiment.data, experiment.bad_rows)
    split = splits.of_experiment(faces, experiment)
    devices.prepare_backend()
    devices.check_device(device)
    from insideout_tf.data import batches
    from insideout_tf.training import stages

    unlabelled = split.unlabelled if experiment.consistency_weight else ()
    arrays = batches.training_arrays(faces, split.training, experiment, unlabelled)
    scope = devices.distribution_scope(experiment)
    teachers, inputs = load_teachers(experiment, scope)
    if experiment.soft_label_weight:
        inputs["ferplus_sha256"] = files.sha256(experiment.ferplus)
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
        say,
    )
    return job, inputs


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
    if faces.skipped:
        files.write_lines(directory / runs.BAD_ROWS, faces.skipped)
    if len(job.split.leaks):
        files.write_lines(directory / runs.LEAKS, splits.list_leaks(faces, job.split.leaks))


def load_teachers(experiment, scope):
    """Returns the teachers of a distillation, and a dict with their SHA-256 for environment.json."""
    if not experiment.distillation_weight:
        return (), {}
    if not experiment.teacher:
        raise UserError(
            "--teacher: expected a trained run or .keras file, since distillation_weight is "
            f"{experiment.distillation_weight:g}. Or set it to 0 (--set distillation_weight=0). "
            "Received: nothing"
        )
    paths = [packaged.model_path(name)[0] for name in experiment.teacher]
    sums = [files.sha256(path) for path in paths]
    from insideout_tf.training import fused

    with scope():
        teachers = tuple(fused.use_fused_batch_norm(load_model(path)) for path in paths)
    return teachers, {"teacher_sha256": sums}


def load_start(experiment, model):
    """Copies the weights that training starts from into `model`; returns the SHA-256 of their file."""
    from insideout_tf.network.weights import copy_weights

    path = packaged.model_path(experiment.start_from)[0]
    start = load_model(path)
    if not copy_weights(model, start):
        raise UserError(
            "--start-from: expected a model of the experiment's own network, "
            f"{experiment.backbone} with hidden_units {experiment.hidden_units} "
            f"({model.count_params():,} parameters), or of a part of it. Use the experiment that "
            "trained it, or change backbone and hidden_units with --set. "
            f"Received: {path}, another network, of {start.count_params():,} parameters"
        )
    return files.sha256(path)


def write_validation_report(job, model, progress):
    """Writes metrics.json, predictions.npz and the plots of the validation split; returns metrics."""
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
    probabilities = predict_probabilities(model, job.faces.pixels[rows])
    return write_report(job.directory, job.faces, rows, probabilities, facts, progress["history"])
