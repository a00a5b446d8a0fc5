"""Turns a trained model into what serves it: `insideout export RUN_OR_MODEL --out DIR`."""

import argparse
import pathlib

from insideout_tf import errors, options, progress
from insideout_tf.api.export import FORMATS, RECORD, export
from insideout_tf.api.export_web import export_web
from insideout_tf.errors import UserError
from insideout_tf.serving import saved_model

WEB = "web"  # a format of its own, with a page


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout export",
        description="Export a run or a saved model for TF Serving, LiteRT, ONNX Runtime or browsers; "
        "each file is compared with the Keras model in a process of its own before it is kept.",
    )
    parser.add_argument(
        "model",
        nargs="+",
        help="a run folder, a .keras file or a packaged model; several with --format web",
    )
    parser.add_argument(
        "--format",
        type=options.split_list,
        action=options.Join,
        help=f"any of {', '.join(FORMATS)}, with commas between (default: all of these); or {WEB}, a folder "
        "with a page that runs the models in the browser",
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument(
        "--quantize",
        choices=saved_model.QUANTIZE,
        default="none",
        help="how the weights of the .tflite file are stored: float16 halves it, dynamic (8 bits) "
        "quarters it and is the fastest on a CPU (default: none, float32)",
    )
    parser.add_argument(
        "--data",
        help="FER2013, for the faces that are compared (default: the data of the run where it still "
        "is, else drawn faces)",
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="write a second output, the embeddings of the faces, as insideout_tf.embed gives them",
    )
    parser.add_argument(
        "--node-modules",
        type=pathlib.Path,
        metavar="DIR",
        help=f"for {WEB}: a folder with the npm packages (default: npm fetches them once)",
    )
    parser.add_argument(
        "--version",
        type=int,
        default=1,
        metavar="N",
        help="the folder of the SavedModel is saved_model/N; TF Serving serves the highest (default 1)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in DIR")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout export"):
        arguments = parse(argv)
        formats = tuple(
            dict.fromkeys(tuple(FORMATS) if arguments.format is None else arguments.format)
        )
        if formats == (WEB,):
            write_web(arguments)
            return
        check_single(arguments, formats)
        progress.announce("loading the model ...")
        record = export(
            arguments.model[0],
            arguments.out,
            formats,
            arguments.quantize,
            arguments.data,
            arguments.overwrite,
            arguments.embeddings,
            arguments.version,
        )
        errors.show(report(record, errors.printable(arguments.out)))


def check_single(arguments, formats):
    """Raises `UserError` for options that only --format web has."""
    if WEB in formats:
        raise UserError(
            f"--format: expected {WEB} alone, since it is a folder of its own. Export the others into "
            f"another folder. Received: {','.join(formats)!r}"
        )
    if len(arguments.model) > 1:
        raise UserError(
            f"insideout export: expected one model. Several are for --format {WEB}. Received: "
            f"{', '.join(map(errors.printable, arguments.model))}"
        )
    if arguments.node_modules is not None:
        raise UserError(f"--node-modules: expected --format {WEB}. Received: another format")


def write_web(arguments):
    """Exports for the browser, and prints how to open the page."""
    for option, is_given in (
        ("--embeddings", arguments.embeddings),
        ("--version", arguments.version != 1),
    ):
        if is_given:
            raise UserError(
                f"{option}: expected another format than {WEB}. Received: --format {WEB}"
            )
    progress.announce("loading the model ...")
    record = export_web(
        arguments.model,
        arguments.out,
        arguments.quantize,
        arguments.data,
        arguments.overwrite,
        arguments.node_modules,
    )
    out = errors.printable(arguments.out)
    lines = [
        f"{each['name']}: {each['path']}, {each['bytes'] / 1e6:.2f} MB, {each['furthest']:.1e} from Keras on "
        f"{each['compared_on']}"
        for each in record["models"]
    ]
    lines.append(f"written to {out}, {record['bytes'] / 1e6:.1f} MB in all")
    lines.append(f"open the page: python -m http.server --directory {out} --bind 127.0.0.1 8000")
    errors.show("\n".join(lines))


def report(record, out):
    """Returns one line a file for a terminal."""
    lines = [f"{record['name']}, compared with Keras on {record['compared_on']}:"]
    for name, entry in record["formats"].items():
        lines.append(
            f"  {entry['path']:<14} {entry['bytes'] / 1e6:6.2f} MB, {entry['furthest']:.1e} from "
            f"Keras, {entry['p50_ms']:.2f} ms a face"
        )
        if name == "savedmodel" and not entry["warmup"]:
            lines.append(
                "                 without warm-up requests: pip install tensorflow-serving-api"
            )
    lines.append(f"written to {out}, with {RECORD}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
