"""Asks a TF Serving server about image files of faces; needs Python alone.

    python examples/serving_client.py http://localhost:8501/v1/models/fer FACE.png ...

Sends the bytes of the files to the signature `image_bytes` over REST and prints one line a face.
"""

import argparse
import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="http://HOST:8501/v1/models/NAME")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FACE")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds (default 10)")
    arguments = parser.parse_args()
    try:
        answers = ask(arguments.url, arguments.files, arguments.timeout)
    except urllib.error.HTTPError as error:  # the server says what it did not like
        sys.exit(f"{arguments.url}: {error.code} {error.read().decode(errors='replace')[:300]}")
    except OSError as error:
        sys.exit(f"{arguments.url}: {error}")
    for file, probabilities in zip(arguments.files, answers):
        share, name = max(zip(probabilities, CLASSES))
        print(f"{file}: {name} {share:.1%}")


def ask(url, files, timeout):
    """Returns one list of seven probabilities a file."""
    request = urllib.request.Request(
        f"{url.rstrip('/')}:predict",
        data=json.dumps(body(files)).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)["predictions"]


def body(files):
    """Returns the JSON body of a predict request: the server decodes what is under "b64"."""
    return {
        "signature_name": "image_bytes",
        "instances": [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files],
    }


if __name__ == "__main__":
    main()
