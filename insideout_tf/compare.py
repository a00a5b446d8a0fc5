"""Compares models on the same faces: `insideout compare MODEL MODEL ... --data PATH`."""

import argparse
import pathlib

from insideout_tf import errors, files, options, progress, targets
from insideout_tf.api.compare import compare_models
from insideout_tf.data import splits
from insideout_tf.evaluation.comparison import to_markdown

TITLE = "# Models compared"


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout compare",
        description="Compare models on the same faces, with paired intervals: the first with each of "
        "the others, on the classes that all of them and the data have.",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="run folders, .keras or .tflite files, packaged models",
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        help="labelled faces; give the option again for another data set",
    )
    parser.add_argument(
        "--split",
        choices=splits.WITHOUT_RUN,
        help="default: PublicTest of FER2013; of other data the first there is of val, test and all",
    )
    options.add_map(parser)
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "skip"),
        default="stop",
        help="stop at the first bad row or image of the data (default), or skip them",
    )
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE.md", help="write the table too")
    parser.add_argument(
        "--json", type=pathlib.Path, metavar="FILE.json", help="write every figure as JSON"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier files")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout compare"):
        arguments = parse(argv)
        outputs = [
            targets.Target(option, path, lambda path, begin=begin: targets.has_begin(path, begin))
            for option, path, begin in (
                ("--out", arguments.out, TITLE.encode()),
                ("--json", arguments.json, b'[\n  {\n    "data": '),
            )
            if path
        ]
        targets.check_targets(outputs, [*arguments.models, *arguments.data], arguments.overwrite)
        progress.announce("loading the models ...")
        results = compare_models(
            arguments.models,
            arguments.data,
            arguments.split,
            arguments.bad_rows,
            arguments.map_classes,
        )
        table = to_markdown(results)
        errors.show(table)
        for each in results:
            if each["excluded_classes"]:
                errors.show(
                    f"{errors.printable(each['data'])}: excluded, since a model lacks them: "
                    f"{', '.join(each['excluded_classes'])}"
                )
        if arguments.out:
            with files.replacing(arguments.out) as temporary:
                temporary.write_text(f"{TITLE}\n\n{table}\n", "utf-8")
        if arguments.json:
            files.write_json(arguments.json, results)


if __name__ == "__main__":
    main()
