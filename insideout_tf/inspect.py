"""Says what is in a data set: `insideout inspect PATH [--json]`."""

import argparse
import functools
import json
import pathlib
import sys

from insideout_tf import errors, options, targets
from insideout_tf.data.contract import Contract
from insideout_tf.data.facts import examine
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

SHOWN_BAD_ROWS = 10
MAX_COLUMNS = 8  # classes that are columns of the table
KIND = "samples"  # kept in the figure


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout inspect",
        description="Classes, counts, sizes, duplicates and blank images of a data set.",
    )
    parser.add_argument(
        "path",
        help="fer2013.csv, icml_face_data.csv, train.csv, test.csv, a folder of class folders, a "
        "table of paths and labels, .npz, .zip, .tar.gz, kaggle:OWNER/DATASET or 'drawn'",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--figure",
        type=pathlib.Path,
        metavar="OUT.png",
        help="draw a sheet of sample faces by class",
    )
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        default="stop",
        help="stop at the first bad row or image (default), or skip and list them",
    )
    options.add_reading(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier figure")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout inspect"):
        arguments = parse(argv)
        if arguments.figure and arguments.figure.suffix.lower() != ".png":
            raise UserError(
                f"--figure: expected a file name ending in .png. Received: {arguments.figure}"
            )
        if arguments.figure:
            is_ours = functools.partial(targets.is_picture, kind=KIND)
            output = targets.Target("--figure", arguments.figure, is_ours)
            targets.check_targets([output], [arguments.path], arguments.overwrite)
        faces = read_faces(arguments.path, arguments.bad_rows, **options.to_keywords(arguments))
        if arguments.figure:
            if faces.labels is None:
                raise UserError(
                    f"{faces.source}: --figure expects labelled faces. "
                    "Received: no 'emotion' column"
                )
            from insideout_tf.evaluation import plots

            figure = plots.faces_by_class(faces)
            plots.save(figure, arguments.figure, KIND, arguments.overwrite)
        facts = examine(faces)
        errors.show(json.dumps(facts, indent=2) if arguments.json else report(facts))
        if arguments.figure and not arguments.json:
            errors.show(f"figure      {errors.printable(arguments.figure)}")


def tabulate(usages, classes):
    """Returns lines of a table: a row for each usage, or for each class if there are many of them."""
    if any(usage["per_class"] is None for usage in usages.values()):
        return [
            f"{'':<12}{'faces':>8}",
            *(f"{name:<12}{usage['n']:>8,}  (no labels)" for name, usage in usages.items()),
        ]
    if len(classes) <= MAX_COLUMNS:
        width = max(10, 2 + max(map(len, classes)))
        lines = [f"{'':<12}{'faces':>8}" + "".join(f"{name:>{width}}" for name in classes)]
        for name, usage in usages.items():
            cells = "".join(f"{usage['per_class'][each]:>{width},}" for each in classes)
            lines.append(f"{name:<12}{usage['n']:>8,}{cells}")
        return lines
    width = 2 + max(map(len, (*classes, "faces")))
    lines = [f"{'':<{width}}" + "".join(f"{name:>12}" for name in usages)]
    lines.append(f"{'faces':<{width}}" + "".join(f"{usage['n']:>12,}" for usage in usages.values()))
    for each in classes:
        cells = "".join(f"{usage['per_class'][each]:>12,}" for usage in usages.values())
        lines.append(f"{each:<{width}}{cells}")
    return lines


def describe_people(facts):
    """Returns the line on the people in a list; an empty list if they are unknown."""
    if facts["people"] is None:
        return []
    shared = facts["people_in_two_usages"]
    return [
        f"people      {facts['people']:,}"
        + (f", {shared:,} of them in two splits" if shared else "")
    ]


def report(facts):
    """Returns the facts as text for a terminal."""
    lines = [
        f"source      {errors.printable(facts['source'])}",
        f"identified  {facts['identified'] or 'no published file; read as it is'}",
        f"faces       {Contract(tuple(facts['classes']), facts['side'], facts['channels']).describe()}"
        f", {len(facts['classes'])} classes",
        "",
    ]
    lines += tabulate(facts["usages"], facts["classes"])
    duplicates = facts["duplicates"]
    total = sum(usage["n"] for usage in facts["usages"].values())
    lines += [
        "",
        f"distinct    {duplicates['distinct']:,} of {total:,} images",
        f"duplicates  {duplicates['groups_within']:,} groups inside a split "
        f"({duplicates['groups_within_conflicting']:,} with different labels)",
        f"            {duplicates['groups_across']:,} groups across splits "
        f"({duplicates['groups_across_conflicting']:,} with different labels)",
        *describe_people(facts),
        f"blank       {facts['blank']:,} images of a single grey level",
    ]
    if facts["skipped"]:
        lines.append(f"skipped     {len(facts['skipped']):,} bad rows, images or classes excluded:")
        lines += [
            f"            {errors.printable(message)}"
            for message in facts["skipped"][:SHOWN_BAD_ROWS]
        ]
        if len(facts["skipped"]) > SHOWN_BAD_ROWS:
            lines.append("            ... and more; --json lists all")
    if duplicates["groups_across"]:
        lines.append(
            "Training faces identical to test faces can be excluded: train with --drop-leaks."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
