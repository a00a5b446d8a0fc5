"""Sends image files of faces to a TF Serving server and prints their emotions. Needs only Python.

    python examples/serving_client.py http://localhost:8501/v1/models/fer FACE.png ...

The client sends the bytes of the files to the signature `image_bytes` over REST, and prints one line a
face. For a model with other classes than FER2013, add `--classes saved_model/1/assets/classes.txt`.
"""

import argparse
import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="http://HOST:8501/v1/models/NAME")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FACE")
    parser.add_argument(
        "--classes",
        type=pathlib.Path,
        metavar="FILE",
        help="the classes.txt of the exported model (default: the classes of FER2013)",
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds (default 10)")
    arguments = parser.parse_args()
    classes = FER2013_CLASSES
    try:
        if arguments.classes:
            classes = tuple(arguments.classes.read_text("utf-8").splitlines())
        rows = request_probabilities(arguments.url, arguments.files, arguments.timeout)
    except urllib.error.HTTPError as error:  # the body has the reason
        sys.exit(f"{arguments.url}: {error.code} {error.read().decode(errors='replace')[:300]}")
    except OSError as error:
        sys.exit(f"{getattr(error, 'filename', None) or arguments.url}: {error}")
    if rows and len(rows[0]) != len(classes):
        sys.exit(
            f"--classes: expected {len(rows[0])} classes, those of the model. Received: {len(classes)}"
        )
    for file, probabilities in zip(arguments.files, rows):
        probability, name = max(zip(probabilities, classes))
        print(f"{file}: {name} {probability:.1%}")


def request_probabilities(url, files, timeout):
    """Returns one list of probabilities a file. timeout: seconds. Raises OSError."""
    request = urllib.request.Request(
        f"{url.rstrip('/')}:predict",
        data=json.dumps(create_body(files)).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)["predictions"]


def create_body(files):
    """Returns the JSON body of a predict request; the server decodes the values of "b64"."""
    return {
        "signature_name": "image_bytes",
        "instances": [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files],
    }


if __name__ == "__main__":
    main()
