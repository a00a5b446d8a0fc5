"""Trains an experiment: `insideout train [EXPERIMENT.py] [--data PATH] ...`."""

import argparse
import json
import math
import os
import pathlib
import shlex

from insideout_tf import devices, errors, files, overrides, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS, PLOTS
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.recipes import quickstart
from insideout_tf.serving import packaged
from insideout_tf.training import checkpoint


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout train",
        description="Train a facial-emotion classifier. Without arguments: the quickstart, on "
        "drawn faces, in a few minutes.",
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        help="a recipe by name, such as effnet_b2, or a file with get_config() (default: the "
        "quickstart; `insideout recipes` lists the names)",
    )
    parser.add_argument(
        "--data",
        help="fer2013.csv, icml_face_data.csv, a folder, .npz, .zip, "
        ".tar.gz, kaggle:OWNER/DATASET or 'drawn'",
    )
    parser.add_argument(
        "--ferplus",
        help="fer2013new.csv, the FER+ votes, for an experiment with a soft_label_weight",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        metavar="RUN_OR_MODEL",
        help="a trained run, a .keras file or a packaged model, for an experiment with a distillation_weight; several are "
        "averaged",
    )
    parser.add_argument(
        "--start-from",
        metavar="RUN_OR_MODEL",
        help="train a run, a .keras file or a packaged model further, such as on data of your own",
    )
    parser.add_argument("--run-dir", type=pathlib.Path, help="default: runs/<experiment name>")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a field: stages.0.epochs=3, augmentation.flip=false, ...",
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--overwrite", action="store_true", help="replace the run directory")
    parser.add_argument(
        "--drop-leaks",
        action="store_true",
        help="drop training faces pixel-identical to a test face; they are listed in leaks.csv",
    )
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        help="stop at the first bad row or image of the data (default), or skip them and list them "
        "in bad_rows.txt of the run",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        default=None,
        help="0 silent, 1 progress bars, 2 one line an epoch (default: 1 on a terminal, else 2)",
    )
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout train"):
        experiment = (
            overrides.load(arguments.experiment)
            if arguments.experiment
            else quickstart.get_config()
        )
        assignments = list(arguments.set)
        if arguments.drop_leaks:
            assignments.append("drop_leaks=true")
        if arguments.bad_rows:
            assignments.append(f"bad_rows={arguments.bad_rows}")
        if arguments.data:
            is_name = arguments.data == "drawn" or arguments.data.startswith("kaggle:")
            data = arguments.data if is_name else os.path.expanduser(arguments.data)
            assignments.append(f"data={json.dumps(data)}")
        if arguments.ferplus:
            assignments.append(f"ferplus={json.dumps(os.path.expanduser(arguments.ferplus))}")
        if arguments.teacher:
            assignments.append(f"teacher={json.dumps(arguments.teacher)}")
        if arguments.start_from:
            assignments.append(f"start_from={json.dumps(arguments.start_from)}")
        experiment = overrides.override(experiment, assignments)
        directory = arguments.run_dir or pathlib.Path("runs") / experiment.name
        train(
            experiment,
            directory,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            dry_run=arguments.dry_run,
            verbose=arguments.verbose,
        )


def train(
    experiment,
    directory,
    resume=False,
    overwrite=False,
    dry_run=False,
    verbose=None,
):
    """Trains `experiment` into `directory`; returns the metrics of its validation split.

    A finished run is returned as it is with `resume`, replaced with `overwrite`, and otherwise
    refused. `dry_run` prints the plan, writes nothing and returns None. Raises `UserError`.
    """
    if verbose is None:
        verbose = 1 if os.isatty(1) else 2
    if experiment.data is None:
        raise UserError(
            "--data: expected the path of FER2013 (fer2013.csv, icml_face_data.csv, a "
            "folder, .npz, .zip) or kaggle:OWNER/DATASET; README says where to get "
            "it. Received: nothing"
        )
    directory = pathlib.Path(directory)
    if not dry_run and runs.check(directory, experiment, resume, overwrite) == "finished":
        runs.sweep(directory)
        metrics = files.read_json(directory / METRICS)
        print(f"{directory} is finished; nothing to resume.")
        print(report(directory, metrics))
        return metrics

    faces = read_faces(experiment.data, experiment.bad_rows)
    split = splits.of_experiment(faces, experiment)
    devices.prepare_backend()
    from insideout_tf.data import batches
    from insideout_tf.training import stages

    unlabelled = split.unlabelled if experiment.consistency_weight else ()
    arrays = batches.training_arrays(faces, split.training, experiment, unlabelled)
    precision = devices.resolve_precision(experiment.precision)
    scope = devices.distribution_scope(experiment)
    teachers, digests = load_teachers(experiment, scope)
    if experiment.soft_label_weight:
        digests["ferplus_sha256"] = files.sha256(experiment.ferplus)
    job = stages.Job(
        experiment, directory, faces, split, arrays, precision, verbose, scope, teachers
    )
    progress, saved = checkpoint.load_checkpoint(directory) if resume else (None, {})
    progress = progress or stages.begin()
    left = experiment.stages[progress["stage"] :]
    model = stages.create_model(job, (left or experiment.stages)[0])
    if experiment.start_from is not None and not saved:
        digests["start_sha256"] = load_start(experiment, model)
    print(plan(job, model), flush=True)
    if dry_run:
        return None

    if resume:
        runs.note_resumed(directory, faces, digests)
    else:
        runs.create(
            directory,
            experiment,
            overwrite,
            {
                **runs.environment(),
                "precision": precision,
                "data_source": faces.source,
                "data_identified": faces.identified,
                "data_digest": faces.digest,
                **digests,
            },
        )
    if faces.skipped:
        files.write_lines(directory / runs.BAD_ROWS, faces.skipped)
    if len(split.leaks):
        files.write_lines(directory / runs.LEAKS, splits.list_leaks(faces, split.leaks))
    progress, model = stages.run_all(job, model if left else None, progress, saved)

    save_model(model, directory / packaged.MODEL)
    metrics = judge(job, model, progress)
    runs.sweep(directory)
    print(report(directory, metrics))
    return metrics


def load_teachers(experiment, scope):
    """Returns the models that teach, and a dict of what environment.json says of them."""
    if not experiment.distillation_weight:
        return (), {}
    if not experiment.teacher:
        raise UserError(
            "--teacher: expected a trained run or .keras file, since distillation_weight is "
            f"{experiment.distillation_weight:g}. Or give --set distillation_weight=0. Received: nothing"
        )
    paths = [packaged.model_path(name)[0] for name in experiment.teacher]
    sums = [files.sha256(path) for path in paths]
    from insideout_tf.training import fused

    with scope():
        teachers = tuple(fused.use_fused_batch_norm(load_model(path)) for path in paths)
    return teachers, {"teacher_sha256": sums}


def load_start(experiment, model):
    """Gives `model` the weights to start from; returns the SHA-256 of their file."""
    from insideout_tf.network.weights import copy_weights

    path = packaged.model_path(experiment.start_from)[0]
    start = load_model(path)
    if not copy_weights(model, start):
        raise UserError(
            f"--start-from: expected a model of the experiment's own network, {experiment.backbone} "
            f"with hidden_units {experiment.hidden_units} ({model.count_params():,} parameters), or of a "
            "part of it. Take the experiment that trained it, or change backbone and hidden_units with "
            f"--set. Received: {path}, another network, of {start.count_params():,} parameters"
        )
    return files.sha256(path)


def judge(job, model, progress):
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


def plan(job, model):
    """Returns the plan as text: data, batches, parameters trainable by stage, memory.

    model: that of any stage, since only the activations depend on the size.
    """
    from insideout_tf.data import batches
    from insideout_tf.network.build import freeze_layers

    experiment, faces, split = job.experiment, job.faces, job.split
    steps = batches.steps_per_epoch(len(job.arrays["image"]), experiment.batch_size)
    unlabelled = int((job.arrays["weight"] == 0).sum())
    lines = [
        f"  data      {faces.source}" + (f" ({faces.identified})" if faces.identified else ""),
        f"  training  {len(split.training):,} faces"
        + (f" and {unlabelled:,} without labels" if unlabelled else "")
        + (f" ({len(split.leaks):,} leaks dropped)" if experiment.drop_leaks else "")
        + f", {steps} steps of {experiment.batch_size} an epoch",
        *([f"  skipped   {len(faces.skipped):,} bad rows or images"] if faces.skipped else []),
        f"  selection {len(split.validation):,} faces ({split.validation_name}), best "
        f"{experiment.monitor}",
    ]
    widest = 0
    for stage in experiment.stages:
        freeze_layers(model, stage, experiment.backbone)
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        widest = max(widest, trainable)
        lines.append(
            f"  stage {stage.name}: {stage.epochs} epochs at "
            f"{experiment.size_of(stage)} px, {trainable:,} trainable "
            f"parameters, {stage.optimizer} {stage.learning_rate:g}, {stage.schedule}"
        )
    # Weights twice, gradients, two moments and the average; activations forward and backward.
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    largest = max(map(experiment.size_of, experiment.stages))
    outputs *= (largest / model.get_layer("resize").height) ** 2
    width = 4 if job.policy == "float32" else 2
    memory = (
        4 * (2 * model.count_params() + 4 * widest) + outputs * experiment.batch_size * width * 2
    )
    lines.append(
        f"  memory    about {memory / 2**20:,.0f} MiB for weights, optimizer and "
        "activations (estimate)"
    )
    return "\n".join(
        [
            f"{experiment.name}: {experiment.backbone}, {model.count_params():,} parameters, weights "
            f"{experiment.start_from or experiment.weights}, {job.precision}",
            *lines,
        ]
    )


def report(directory, metrics):
    """Returns the closing lines of a run as text."""
    drawn = metrics["split"] == "drawn"
    low, high = metrics["intervals_95"]["accuracy"]
    lines = [
        "",
        f"{metrics['split']}: accuracy {metrics['accuracy']:.2%} (95 % interval {low:.2%} to "
        f"{high:.2%}), macro-F1 {metrics['macro_f1']:.3f}, {metrics['n']:,} faces",
        f"model    {directory / packaged.MODEL}",
        f"plots    {directory / PLOTS}",
    ]
    if drawn:
        lines.insert(
            1,
            "Judged on held-out drawn faces, not FER2013: this shows that training "
            "works, and says nothing about people.",
        )
        lines.append("Next, on real data: insideout train v2b0_cpu --data PATH/TO/fer2013.csv")
    else:
        lines.append(
            "Next, the test split, once: insideout evaluate "
            f"{shlex.quote(str(directory))} --split private"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
