"""Sends image files of faces to a TF Serving server and prints their emotions. Needs only Python.

    python examples/serving_client.py http://localhost:8501/v1/models/fer FACE.png ...

The client sends the bytes of the files to the signature `image_bytes` over REST, and prints one line a
face. For a model with other classes than FER2013, add `--classes saved_model/1/assets/classes.txt`.
"""

import argparse
import base64
import http.client
import json
import math
import pathlib
import sys
import urllib.error
import urllib.request

MAX_ANSWER_BYTES = 100_000_000
TOLERANCE = 0.02  # quantised models round
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
        sys.exit(escape(f"{arguments.url}: {error.code} {read_reason(error)}"))
    except OSError as error:
        sys.exit(escape(f"{getattr(error, 'filename', None) or arguments.url}: {error}"))
    except (ValueError, RecursionError, http.client.HTTPException) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        sys.exit(escape(f"{arguments.url}: expected an answer of TF Serving. Received: {reason}"))
    if rows and len(rows[0]) != len(classes):
        sys.exit(
            f"--classes: expected {len(rows[0])} classes, those of the model. Received: {len(classes)}"
        )
    for file, probabilities in zip(arguments.files, rows):
        probability, name = max(zip(probabilities, classes))
        print(escape(f"{file}: {name} {probability:.1%}"))


def request_probabilities(url, files, timeout):
    """Returns one list of probabilities a file. timeout: seconds.

    Raises OSError, http.client.HTTPException, and ValueError for an answer that is not of this form.
    """
    request = urllib.request.Request(
        f"{url.rstrip('/')}:predict",
        data=json.dumps(create_body(files)).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        answer = json.loads(response.read(MAX_ANSWER_BYTES))
    rows = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or len(rows) != len(files):
        raise ValueError(f"no list of {len(files)} predictions in {str(answer)[:100]}")
    for row in rows:
        check_probabilities(row, len(rows[0]) if isinstance(rows[0], list) else 0)
    return rows


def read_reason(error):
    """Returns the beginning of the body of an `HTTPError`, one line."""
    try:
        body = error.read(300)
    except (OSError, http.client.HTTPException):  # it was cut off
        return error.reason
    return " ".join(body.decode(errors="replace").split())


def escape(text):
    """Returns text without characters that a terminal obeys."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def check_probabilities(row, count):
    """Raises ValueError unless a row holds `count` probabilities whose sum is 1."""
    is_right = (
        isinstance(row, list)
        and len(row) == count > 0
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in row)
        and all(-TOLERANCE <= value <= 1 + TOLERANCE for value in row)
        and math.isclose(sum(row), 1, abs_tol=TOLERANCE)
    )
    if not is_right:
        raise ValueError(f"no probabilities with the sum 1: {str(row)[:100]}")


def create_body(files):
    """Returns the JSON body of a predict request; the server decodes the values of "b64"."""
    return {
        "signature_name": "image_bytes",
        "instances": [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files],
    }


if __name__ == "__main__":
    main()
