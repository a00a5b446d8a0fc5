"""Tells the emotion of cropped faces: `python -m insideout_tf.predict FACE.png ...`."""

import argparse
import csv
import json
import sys

from insideout_tf import errors, images, packaged, recognition, runs
from insideout_tf.emotions import EMOTIONS
from insideout_tf.errors import UserError


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m insideout_tf.predict",
        description="Tell the emotion of faces that are cropped already, one line a face.",
    )
    parser.add_argument("faces", nargs="+", metavar="FACE", help="an image file of one face")
    parser.add_argument(
        "--model",
        default=packaged.DEFAULT,
        metavar="NAME_OR_PATH",
        help=f"a packaged model ({', '.join(packaged.names())}; default {packaged.DEFAULT}), a run "
        "directory, a .keras or a .tflite file",
    )
    parser.add_argument(
        "--engine",
        choices=recognition.ENGINES,
        default="auto",
        help="litert answers within a second or two, since it loads no framework (default: litert "
        "where the model has a .tflite file and ai-edge-litert is installed)",
    )
    parser.add_argument(
        "--uncalibrated",
        action="store_true",
        help="probabilities as the network gives them, without the temperature fitted on PublicTest",
    )
    parser.add_argument("--json", metavar="OUT", help="write JSON, - for standard output")
    parser.add_argument("--csv", metavar="OUT", help="write CSV, - for standard output")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout_tf.predict"):
        if arguments.json == arguments.csv == "-":
            raise UserError(
                "--json and --csv: expected one of them on standard output. Received: both"
            )
        read, unreadable = read_all(arguments.faces)
        found = predict(read, arguments.model, arguments.engine, not arguments.uncalibrated)
        write(found, arguments)
        if unreadable:
            raise UserError(
                f"expected {len(arguments.faces)} readable faces; those named above were left out. "
                f"Received: {len(unreadable)} that are not"
            )


def read_all(paths):
    """Returns ({path: uint8 `[48, 48]`}, messages of those that cannot be read, printed too)."""
    read, unreadable = {}, []
    for path in paths:
        try:
            read[path] = images.read_face(path)
        except UserError as error:
            unreadable.append(str(error))
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror or error}. Check the path")
        else:
            continue
        print(f"insideout_tf.predict: {unreadable[-1]}", file=sys.stderr)
    return read, unreadable


def predict(faces, model, engine, calibrated):
    """Returns one dict a face: source, emotion, and probabilities by class name."""
    probabilities = recognition.predict_emotions(
        list(faces.values()), model=model, engine=engine, calibrated=calibrated
    )
    return [
        {
            "source": source,
            "emotion": EMOTIONS[row.argmax()],
            "probabilities": {name: round(float(p), 6) for name, p in zip(EMOTIONS, row)},
        }
        for source, row in zip(faces, probabilities)
    ]


def write(found, arguments):
    """Writes the results where the arguments say; as lines of text unless standard output is taken."""
    if arguments.json == "-":
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif arguments.json:
        runs.write_json(arguments.json, found)
    if arguments.csv == "-":
        write_csv(sys.stdout, found)
    elif arguments.csv:
        with runs.replacing(arguments.csv) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                write_csv(file, found)
    if "-" not in (arguments.json, arguments.csv):
        for face in found:
            print(line(face))


def write_csv(file, found):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["source", "emotion", *EMOTIONS])
    for face in found:
        writer.writerow([face["source"], face["emotion"], *face["probabilities"].values()])


def line(face):
    """Returns one face as text: the two likeliest emotions."""
    ranked = sorted(face["probabilities"].items(), key=lambda item: -item[1])
    (first, share), (second, other) = ranked[:2]
    return f"{face['source']}: {first} {share:.1%} ({second} {other:.1%})"


if __name__ == "__main__":
    main()
