"""Searches for settings of a recipe: `insideout sweep RECIPE --space FIELD=LOW:HIGH ...`."""

import argparse
import pathlib
import shlex
import sys

from insideout_tf import devices, errors, overrides, progress
from insideout_tf.api import sweep as sweeps
from insideout_tf.api import sweep_space
from insideout_tf.api.train import set_inputs

SHOWN = 10  # trials that are printed at the end


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout sweep",
        description="Search for the best settings of a recipe: train it with many, on a part of Training "
        "alone, and stop poor trials early. Several processes may work on one folder.",
    )
    parser.add_argument(
        "recipe",
        nargs="?",
        default="quickstart",
        help="as of `insideout train` (default: quickstart)",
    )
    parser.add_argument("--data", help="as of `insideout train`")
    parser.add_argument(
        "--space",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=...",
        help="what to search: stages.0.learning_rate=1e-4:1e-2:log, dropout=0.1:0.5, batch_size=32,64",
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument(
        "--fraction",
        type=float,
        default=1.0,
        metavar="N",
        help="train with this share of the training faces, each class in proportion (default 1)",
    )
    parser.add_argument("--no-pruning", action="store_true", help="train every trial to its end")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as of `insideout train`"
    )
    parser.add_argument("--out", type=pathlib.Path, help="the folder (default: sweeps/NAME)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the sweep in the folder, or join it from another process or machine",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier sweep")
    parser.add_argument("--device", default="auto", help="as of `insideout train`")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout sweep"):
        arguments = parse(argv)
        space = sweep_space.parse_space(arguments.space)
        sweeps.check_installed()
        devices.select_device(arguments.device)
        experiment = overrides.override(overrides.load(arguments.recipe), arguments.set)
        experiment = set_inputs(experiment, arguments.data)
        directory = arguments.out or pathlib.Path("sweeps") / experiment.name
        progress.announce(f"{errors.printable(experiment.name)}: loading the framework ...")
        try:
            result = sweeps.sweep(
                experiment,
                directory,
                space,
                arguments.trials,
                arguments.fraction,
                not arguments.no_pruning,
                arguments.resume,
                arguments.overwrite,
                device=arguments.device,
            )
        except KeyboardInterrupt:
            errors.show("\nThe same command with --resume goes on.", sys.stderr)
            raise
        errors.show(describe(result, arguments))


def describe(result, arguments):
    """Returns the closing lines of a sweep: the best trials, the files, and how to train with the best."""
    fields = list(result.best)
    lines = ["", "  ".join(["trial", "value", "epochs", *fields])]
    for row in result.trials[:SHOWN]:
        value = "-" if row["value"] is None else f"{row['value']:.4f}"
        values = [
            f"{each:.4g}" if isinstance(each, float) else str(each) for each in map(row.get, fields)
        ]
        stopped = [] if row["state"] == "complete" else ["(stopped early)"]
        lines.append(
            "  ".join([f"{row['trial']:>5}", value, str(row["epochs"]), *values, *stopped])
        )
    words = ["insideout", "train", arguments.recipe]
    words += ["--data", arguments.data] if arguments.data else []
    for text in (*arguments.set, *(f"{field}={value}" for field, value in result.best.items())):
        words += ["--set", text]
    command = shlex.join(words)
    return "\n".join(
        [
            *lines,
            f"table    {errors.printable(result.path / sweeps.TABLE)}",
            f"figure   {errors.printable(result.path / sweeps.FIGURE)}",
            f"Next, with the best settings: {errors.printable(command)}",
        ]
    )


if __name__ == "__main__":
    main()
