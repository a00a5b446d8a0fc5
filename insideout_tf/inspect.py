"""Says what is in a data set: `insideout inspect PATH [--json]`."""

import argparse
import functools
import json
import pathlib
import sys

import numpy as np

from insideout_tf import errors, options, targets
from insideout_tf.data import people
from insideout_tf.data.contract import Contract
from insideout_tf.data.faces import USAGES, content_keys
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


def examine(faces):
    """Returns counts, duplicates and blanks of `Faces` as plain Python values.

    `skipped`: what is wrong with each excluded row. `duplicates`: `distinct` images; `groups_within`:
    groups of identical images inside one usage
    (summed over usages), `..._conflicting` those with different labels; `groups_across`: groups
    found in two or more usages. `blank`: images of one single grey level. `people`: how many there are,
    and `people_in_two_usages`: how many of them are in two or more usages, None if unknown.
    """
    usages = {}
    for index, name in enumerate(USAGES):
        chosen = faces.usage == index
        if chosen.any():
            per_class = None
            if faces.labels is not None:
                counts = np.bincount(faces.labels[chosen], minlength=len(faces.classes))
                per_class = {name: int(n) for name, n in zip(faces.classes, counts)}
            usages[name] = {"n": int(chosen.sum()), "per_class": per_class}
    known, shared = people.count_people(faces)
    return {
        "source": faces.source,
        "identified": faces.identified,
        "classes": list(faces.classes),
        "side": faces.contract.side,
        "channels": faces.contract.channels,
        "usages": usages,
        "duplicates": _duplicates(faces),
        "people": known,
        "people_in_two_usages": shared,
        "blank": count_blank(faces.pixels),
        "skipped": list(faces.skipped),
    }


def count_blank(pixels, together=4096):
    """Returns how many images have one single level; `together` are in memory at a time."""
    count = 0
    for start in range(0, len(pixels), together):
        faces = np.asarray(pixels[start : start + together])
        flat = faces.reshape(len(faces), -1)
        count += int((flat.min(1) == flat.max(1)).sum())
    return count


def _duplicates(faces):
    _, group = np.unique(content_keys(faces.pixels), return_inverse=True)
    distinct = int(group.max()) + 1
    usages = np.unique(faces.usage)
    labels = np.zeros(len(faces), np.int64) if faces.labels is None else faces.labels
    low = np.full((len(usages), distinct), 255, np.int64)
    high = np.full((len(usages), distinct), -1, np.int64)
    counts = np.zeros((len(usages), distinct), np.int64)
    for position, usage in enumerate(usages):
        chosen = faces.usage == usage
        counts[position] = np.bincount(group[chosen], minlength=distinct)
        np.minimum.at(low[position], group[chosen], labels[chosen])
        np.maximum.at(high[position], group[chosen], labels[chosen])
    within = counts >= 2
    across = (counts > 0).sum(0) >= 2
    differing = low.min(0) < high.max(0)
    return {
        "distinct": distinct,
        "groups_within": int(within.sum()),
        "groups_within_conflicting": int((within & (low < high)).sum()),
        "groups_across": int(across.sum()),
        "groups_across_conflicting": int((across & differing).sum()),
    }


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
        lines.append(f"skipped     {len(facts['skipped']):,} bad rows, images or classes left out:")
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
