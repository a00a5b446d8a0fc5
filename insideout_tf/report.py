"""Writes a report page about runs: `insideout report RUN [RUN ...] --out report.html`."""

import argparse
import pathlib

from insideout_tf import errors, progress
from insideout_tf.api.report import report_runs
from insideout_tf.data import splits
from insideout_tf.serving import recognize


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout report",
        description="Write one HTML page about a run, or about several side by side: figures with "
        "intervals, learning curves, confusion, reliability, mistakes as pictures, data and settings. "
        "The page needs no network.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders; the first is the base")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("report.html"),
        metavar="FILE.html",
        help="default: report.html in the current folder",
    )
    parser.add_argument(
        "--split",
        choices=splits.EVALUATED,
        default="validation",
        help="the evaluation to show; run `insideout evaluate RUN --split SPLIT` before (default: "
        "validation, that of the training)",
    )
    parser.add_argument(
        "--tta", choices=recognize.TTA, default="none", help="the views of that evaluation"
    )
    parser.add_argument(
        "--data", help="where the faces are now, if not where the run found them; for the pictures"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier page")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout report"):
        arguments = parse(argv)
        progress.announce("reading the runs and their data ...")
        out = report_runs(
            arguments.runs,
            arguments.out,
            split=arguments.split,
            tta=arguments.tta,
            data=arguments.data,
            overwrite=arguments.overwrite,
        )
        errors.show(f"written to {errors.printable(out)}: open it in a browser")


if __name__ == "__main__":
    main()
