"""Turns a trained model into what serves it: `insideout export RUN_OR_MODEL --out DIR`."""

import argparse
import pathlib

from insideout_tf import errors, progress
from insideout_tf.api.export import FORMATS, RECORD, export
from insideout_tf.serving import saved_model


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout export",
        description="Export a run or a saved model for TF Serving, LiteRT and ONNX Runtime; each "
        "file is compared with the Keras model in a process of its own before it is kept.",
    )
    parser.add_argument("model", help="a run folder, a .keras file or a packaged model")
    parser.add_argument(
        "--format",
        default=",".join(FORMATS),
        help=f"any of {', '.join(FORMATS)}, with commas between (default: all)",
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
        progress.announce("loading the model ...")
        record = export(
            arguments.model,
            arguments.out,
            tuple(dict.fromkeys(name.strip() for name in arguments.format.split(","))),
            arguments.quantize,
            arguments.data,
            arguments.overwrite,
            arguments.embeddings,
            arguments.version,
        )
        errors.show(report(record, errors.printable(arguments.out)))


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
