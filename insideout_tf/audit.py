"""Finds likely label errors and near-duplicates: `insideout audit --data PATH --out DIR`."""

import argparse
import functools
import pathlib

from insideout_tf import errors, files, options, progress, targets
from insideout_tf.api.audit import FOLDS, METHODS, audit_labels
from insideout_tf.data import splits
from insideout_tf.serving import packaged

LABELS, PAIRS, SHEET = "label_errors.csv", "near_duplicates.csv", "label_errors.png"
RUNS = "folds"  # of --recipe
KIND = "audit"  # kept in the picture
SHOWN = 48  # faces of the picture
PRINTED = 10  # faces on the terminal


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout audit",
        description="Find faces whose label is doubtful, and faces that are nearly the same. Nothing "
        f"is changed: look at {SHEET} and decide.",
    )
    parser.add_argument("--data", required=True, help="labelled faces")
    parser.add_argument(
        "--model",
        help="a model that did not train on these faces (default: classifiers on embeddings, each of "
        "which predicts faces that it did not see)",
    )
    parser.add_argument(
        "--embedder",
        default=packaged.DEFAULT,
        help=f"the model whose embeddings are used (default: {packaged.DEFAULT})",
    )
    parser.add_argument(
        "--recipe",
        help="train this recipe, such as finetune, once for each part, in place of classifiers on "
        "embeddings; needs --out, keeps the runs there and goes on with them",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=METHODS[0],
        help="which labels are doubtful: those that are not the likeliest class (default), or those that "
        "cleanlab's confident learning calls wrong",
    )
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"parts (default: {FOLDS})")
    parser.add_argument(
        "--split", choices=splits.WITHOUT_RUN, default="all", help="default: all faces"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the division into parts")
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        default="stop",
        help="stop at the first bad row or image of the data (default), or skip them",
    )
    options.add_reading(parser)
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help=f"write {LABELS}, {PAIRS} and {SHEET}"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier audit in DIR")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout audit"):
        arguments = parse(argv)
        if arguments.folds < 2:
            raise errors.UserError(
                f"--folds: expected at least 2. Type --folds 5. Received: {arguments.folds}"
            )
        if arguments.out:
            targets.check_folder_name("--out", arguments.out)
            inputs = [arguments.data, arguments.embedder, *filter(None, [arguments.model])]
            targets.check_targets(list_targets(arguments.out), inputs, arguments.overwrite)
        progress.announce("reading the faces and computing their embeddings ...")
        found = audit_labels(
            arguments.data,
            arguments.model,
            arguments.split,
            arguments.embedder,
            arguments.folds,
            arguments.seed,
            recipe=arguments.recipe,
            run_dir=arguments.out and arguments.out / RUNS,
            method=arguments.method,
            bad_rows=arguments.bad_rows,
            **options.to_keywords(arguments),
        )
        errors.show(report(found))
        if arguments.out:
            write(found, arguments.out)
            errors.show(f"written to {errors.printable(arguments.out)}: {LABELS}, {PAIRS}, {SHEET}")


def list_targets(folder):
    """Returns the `targets.Target` of each file of an audit."""
    begins = {LABELS: b"rank,row,", PAIRS: b"rank,similarity,"}
    tables = [
        targets.Target("--out", folder / name, functools.partial(targets.has_begin, begin=begin))
        for name, begin in begins.items()
    ]
    is_ours = functools.partial(targets.is_picture, kind=KIND)
    return [*tables, targets.Target("--out", folder / SHEET, is_ours)]


def report(found):
    """Returns an `Audit` as text for a terminal."""
    faces, total = found.faces, len(found.faces)
    identical = sum(pair.is_identical for pair in found.pairs)
    across = sum(faces.usage[pair.row] != faces.usage[pair.other] for pair in found.pairs)
    lines = [
        f"{errors.printable(faces.source)}: {total:,} faces, {len(faces.classes)} classes",
        f"doubtful labels  {len(found.issues):,} ({len(found.issues) / total:.1%}), by {found.predicted_by}",
        f"near-duplicates  {len(found.pairs):,} pairs, {identical:,} of them identical; {across:,} "
        "across parts of the data",
    ]
    for each in found.issues[:PRINTED]:
        name = errors.printable(faces.names[each.row]) if faces.names else f"row {each.row}"
        lines.append(
            f"  {name}: {faces.classes[each.label]} ({each.probabilities[0]:.1%}), perhaps "
            f"{faces.classes[each.suggested]} ({each.probabilities[1]:.1%})"
        )
    return "\n".join(lines)


def write(found, folder):
    """Writes the two tables and the picture of an `Audit` into a folder."""
    from insideout_tf.evaluation import plots

    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in ((LABELS, found.to_frame()), (PAIRS, found.to_pairs_frame())):
        frame.insert(0, "rank", range(1, len(frame) + 1))
        for column in [each for each in frame if each.startswith("name")]:
            frame[column] = frame[column].map(targets.escape_cell)
        with files.replacing(folder / name) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")
    faces, shown = found.faces, found.issues[:SHOWN]
    captions = [
        f"{faces.classes[each.label]}\nperhaps {faces.classes[each.suggested]}" for each in shown
    ]
    title = f"{pathlib.Path(faces.source).name}: the most doubtful labels"
    figure = plots.sheet([faces.pixels[each.row] for each in shown], captions, title, columns=8)
    plots.save(figure, folder / SHEET, KIND)


if __name__ == "__main__":
    main()
