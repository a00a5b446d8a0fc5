"""`insideout predict --out`: the options of many pictures, their checks, and what is printed."""

import sys

from insideout_tf import errors
from insideout_tf.api import predict_files, ray_files
from insideout_tf.errors import UserError
from insideout_tf.photos import detectors, listing, lists, result_files


def add_bulk_options(parser):
    """Adds --out, --resume, --workers and --ray."""
    group = parser.add_argument_group("many pictures")
    group.add_argument(
        "--out",
        metavar="TABLE",
        help=f"write a table ({', '.join(result_files.SUFFIXES)}), on all processors; sources may be lists: a "
        ".txt with a path a line, or a table with a column path",
    )
    group.add_argument(
        "--resume", action="store_true", help="go on with the unfinished table of --out"
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one for each processor)"
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const=ray_files.LOCAL,
        metavar="ADDRESS",
        help="work on a Ray cluster: auto, HOST:6379 or ray://HOST:10001; without an address on one that is "
        "started on this machine",
    )


def check_bulk_options(arguments):
    """Raises `UserError` for options of `add_bulk_options` that do not go with the others."""
    if not arguments.out:
        for name in ("resume", "workers", "ray"):
            if getattr(arguments, name):
                raise UserError(f"--{name}: expected --out TABLE. Add it. Received: no --out")
        return
    for name in ("json", "jsonl", "csv", "annotate", "show", "seconds"):
        if getattr(arguments, name):
            raise UserError(f"--out: expected no --{name}. Leave one out. Received: both")


def predict(arguments):
    """Writes the table of --out and says what was done. arguments: of `predict.parse`."""
    paths, unread, unreadable = lists.expand(arguments.sources)
    for path, error in unreadable:
        errors.show(f"insideout predict: {path}: {error.strerror or error}", sys.stderr)
    request = predict_files.Request(
        paths,
        arguments.out,
        **{
            name: getattr(arguments, name) for name in ("model", "engine", "tta", "margin", "yunet")
        },
        **{name: getattr(arguments, name) for name in ("boxes", "detector", "min_face")},
        min_score=arguments.min_score,
        mode=arguments.faces,
        calibrated=not arguments.uncalibrated,
        workers=arguments.workers,
    )
    run = ray_files.create_run(arguments.ray, arguments.workers) if arguments.ray else None
    request.check(arguments.resume, arguments.overwrite)
    if arguments.faces != "crop" and arguments.boxes is None:
        if note := detectors.describe_fallback(arguments.detector, arguments.yunet):
            errors.show(f"insideout predict: {note}", sys.stderr)
    try:
        summary = request.predict(arguments.resume, arguments.overwrite, run)
    except KeyboardInterrupt as interruption:
        state = result_files.read_state(arguments.out)
        done = (
            f"after {state.done:,} of {len(paths):,} pictures; add --resume to go on"
            if state
            else ""
        )
        raise type(interruption)(done) from None
    errors.show(describe(summary))
    if unread:
        errors.show(f"insideout predict: {listing.describe_unread(unread)}", sys.stderr)


def describe(summary):
    """Returns a `predict_files.FilesSummary` as text."""
    if summary.resumed == summary.pictures and not summary.seconds:
        return f"{summary.out}: is finished, nothing to do"
    rate = (summary.pictures - summary.resumed) / max(summary.seconds, 1e-9)
    lines = [
        f"{summary.out}: {summary.faces:,} faces in {summary.pictures:,} pictures, {rate:,.1f} pictures/s"
    ]
    if summary.resumed:
        lines[0] += f", {summary.resumed:,} of them by an earlier call"
    if summary.unreadable:
        lines.append(f"{summary.unreadable_table}: {summary.unreadable:,} pictures cannot be read")
    return "\n".join(lines)
