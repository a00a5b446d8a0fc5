"""Trains a recipe: `insideout train [RECIPE] [--data PATH] ...`."""

import argparse
import importlib
import os
import pathlib
import shlex
import sys

from insideout_tf import devices, errors, hosts, options, overrides, progress, runs
from insideout_tf.api.train import set_inputs, train
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS
from insideout_tf.recipes import quickstart
from insideout_tf.serving import packaged


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout train",
        description="Train a facial-emotion classifier. Without arguments: the quickstart, on "
        "drawn faces, in a few minutes.",
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        metavar="RECIPE",
        help="a recipe by name, such as effnet_b2, or a file with get_config() (default: the "
        "quickstart; `insideout recipes` lists the names)",
    )
    _add_inputs(parser.add_argument_group("what training reads"))
    _add_settings(parser.add_argument_group("settings of the recipe"))
    _add_run(parser.add_argument_group("the run"))
    return parser.parse_args(argv)


def _add_inputs(group):
    group.add_argument(
        "--data",
        help="fer2013.csv, icml_face_data.csv, a folder of class folders, a table of paths and labels, "
        ".npz, .zip, .tar.gz, kaggle:OWNER/DATASET or 'drawn'",
    )
    options.add_reading(group)
    group.add_argument(
        "--ferplus",
        help="fer2013new.csv, the FER+ votes, for a recipe with a soft_label_weight",
    )
    group.add_argument(
        "--teacher",
        action="append",
        metavar="RUN_OR_MODEL",
        help="a trained run, a .keras file or a packaged model, for a recipe with a "
        "distillation_weight; several are averaged",
    )
    group.add_argument(
        "--start-from",
        metavar="RUN_OR_MODEL",
        help="train a run, a .keras file or a packaged model further, such as on data of your own",
    )
    group.add_argument(
        "--drop-leaks",
        action="store_true",
        help="exclude training faces that are pixel-identical to a test face; leaks.csv lists them",
    )
    group.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        help="stop at the first bad row or image of the data (default), or skip them and list them "
        "in bad_rows.txt of the run",
    )


def _add_settings(group):
    group.add_argument(
        "--epochs", metavar="N", help="epochs of the last stage, or of each: N,N,..."
    )
    group.add_argument(
        "--learning-rate", metavar="X", help="of the last stage, or of each: X,X,..."
    )
    group.add_argument("--batch-size", metavar="N", help="faces in a training step")
    group.add_argument("--image-size", metavar="N", help="pixels a side that the network sees")
    group.add_argument("--weights", metavar="W", help="imagenet, none, or a .weights.h5 file")
    group.add_argument(
        "--precision", help="float32, mixed_float16, mixed_bfloat16 or auto, as the device gains"
    )
    group.add_argument("--seed", metavar="N", help="of the weights, the order and the augmentation")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change any field: stages.0.epochs=3, augmentation.flip=false, ...",
    )


def _add_run(group):
    group.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="cross-validation: train once for each of N parts of the data, by person where files tell "
        "them, and evaluate on that part",
    )
    group.add_argument("--run-dir", type=pathlib.Path, help="default: runs/NAME_OF_THE_RECIPE")
    group.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="RUN",
        help="continue an interrupted run; with its folder, no other option is needed",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace an earlier run in the folder"
    )
    group.add_argument(
        "--device",
        default="auto",
        help="auto (default), cpu, gpu, or one of several: gpu:1",
    )
    group.add_argument(
        "--hosts",
        metavar="auto|HOST:PORT,COUNT,NUMBER",
        help="train on several hosts with JAX; auto: as JAX's environment variables or SLURM say",
    )
    group.add_argument(
        "--callback",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a function without arguments that returns a Keras callback or a list of them",
    )
    group.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    group.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        default=None,
        help="0 no progress, 1 progress bars, 2 one line an epoch (default: 1 on a terminal, else 2)",
    )


def main(argv=None):
    with errors.reported("insideout train"):
        arguments = parse(argv)
        devices.select_device(arguments.device)
        experiment, directory = choose_run(arguments)
        if arguments.hosts:
            check_hosts(arguments)
            hosts.join(arguments.hosts)
        progress.announce(
            f"{errors.printable(experiment.name)}: loading the data and the framework ..."
        )
        options = {
            "resume": bool(arguments.resume),
            "overwrite": arguments.overwrite,
            "verbose": arguments.verbose,
            "callbacks": load_callbacks(arguments.callback),
            "device": arguments.device,
        }
        if arguments.folds is not None:
            errors.show(train_folds(experiment, directory, arguments, options))
            return
        try:
            metrics = train(experiment, directory, dry_run=arguments.dry_run, **options)
        except KeyboardInterrupt:
            if is_resumable(directory, arguments):
                resume = f"insideout train --resume {errors.printable(shlex.quote(str(directory)))}"
                errors.show(f"\nThe run can be continued: {resume}", sys.stderr)
            raise
        if metrics:
            errors.show(report(directory, metrics))


def train_folds(experiment, directory, arguments, options):
    """Trains each fold of a cross-validation; returns the closing lines. options: of `api.train.train`."""
    from insideout_tf.api import cross_validate

    if arguments.dry_run or isinstance(arguments.resume, str):
        raise UserError(
            "--folds: expected the recipe, --data and perhaps --resume alone. Leave --dry-run out, and "
            f"name the folder by --run-dir. Received: {'--dry-run' if arguments.dry_run else '--resume'}"
        )
    try:
        return cross_validate.describe(
            cross_validate.train_folds(experiment, directory, arguments.folds, **options)
        )
    except KeyboardInterrupt:
        errors.show("\nThe same command with --resume goes on.", sys.stderr)
        raise


def choose_run(arguments):
    """Returns the `Experiment` and the run folder that the command line asks for."""
    if isinstance(arguments.resume, str) and not os.path.isdir(arguments.resume):
        if arguments.experiment is not None:
            raise UserError(
                "--resume: expected the folder of a run. Check the path. Received: "
                f"{arguments.resume!r}"
            )
        # `--resume RECIPE`: argparse takes the word after it for its value.
        arguments.experiment, arguments.resume = arguments.resume, True
    directory = arguments.run_dir
    if isinstance(arguments.resume, str):
        directory = directory or pathlib.Path(arguments.resume)
        experiment = (
            overrides.load(arguments.experiment)
            if arguments.experiment
            else runs.experiment_of(arguments.resume)
        )
    elif arguments.experiment:
        experiment = overrides.load(arguments.experiment)
    else:
        experiment = quickstart.get_config()
    experiment = change(experiment, arguments)
    return experiment, directory or pathlib.Path("runs") / experiment.name


def change(experiment, arguments):
    """Returns the experiment with what the command line changes of it."""
    assignments = list(arguments.set)
    if arguments.drop_leaks:
        assignments.append("drop_leaks=true")
    assignments += options.to_assignments(arguments)
    if arguments.bad_rows:
        assignments.append(f"bad_rows={arguments.bad_rows}")
    experiment = overrides.override(experiment, assignments)
    experiment = overrides.apply_options(
        experiment,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        image_size=arguments.image_size,
        weights=arguments.weights,
        precision=arguments.precision,
        seed=arguments.seed,
    )
    return set_inputs(
        experiment, arguments.data, arguments.ferplus, arguments.teacher, arguments.start_from
    )


def check_hosts(arguments):
    """Raises `UserError` for options that --hosts excludes."""
    for name in ("folds", "dry_run"):
        if getattr(arguments, name):
            raise UserError(
                f"--hosts: expected no --{name.replace('_', '-')}. Leave one out. Received: both"
            )


def load_callbacks(names):
    """Returns the Keras callbacks of each MODULE:FACTORY in a list; raises `UserError`."""
    if not names:
        return []
    devices.prepare_backend()
    import keras

    found = []
    for name in names:
        module, _, factory = name.partition(":")
        try:
            sys.path.insert(0, os.getcwd())
            try:
                made = getattr(importlib.import_module(module), factory)()
            finally:
                sys.path.remove(os.getcwd())
        except Exception as error:  # whatever the user's module raises
            raise UserError(
                "--callback: expected MODULE:FACTORY, a module that can be imported here and a "
                f"function in it without arguments. Received: {name!r}, {type(error).__name__}: "
                f"{error}"
            ) from None
        callbacks = list(made) if isinstance(made, (list, tuple)) else [made]
        if not all(isinstance(each, keras.callbacks.Callback) for each in callbacks):
            raise UserError(
                f"--callback {name}: expected a function that returns a Keras callback or a list of "
                f"them. Received: {made!r}"
            )
        found += callbacks
    return found


def is_resumable(directory, arguments):
    """Returns True if the run folder holds an interrupted run that this command made or continued."""
    is_interrupted = (directory / runs.CONFIG).exists() and not (directory / METRICS).exists()
    return is_interrupted and (directory / runs.CHECKPOINT).exists() and not arguments.dry_run


def report(directory, metrics):
    """Returns the closing lines of a run as text."""
    is_drawn = metrics["split"] == "drawn"
    low, high = metrics["intervals_95"]["accuracy"]
    lines = [
        "",
        f"{metrics['split']}: accuracy {metrics['accuracy']:.2%} (95 % interval {low:.2%} to "
        f"{high:.2%}), macro-F1 {metrics['macro_f1']:.3f}, {metrics['n']:,} faces",
        f"model    {errors.printable(directory / packaged.MODEL)}",
        f"report   {errors.printable(directory / runs.REPORT)}",
    ]
    if is_drawn:
        lines.insert(
            1,
            "Evaluated on held-out drawn faces, not FER2013: this shows that training works. It "
            "says nothing about people.",
        )
        lines.append("Next, on real data: insideout train v2b0_cpu --data PATH/TO/fer2013.csv")
    else:
        lines.append(
            "Next, the test split, once: insideout evaluate "
            f"{errors.printable(shlex.quote(str(directory)))} --split private"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
