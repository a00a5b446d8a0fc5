"""Compare the page of `insideout export --format web` with face-api.js, and LiteRT with ONNX Runtime, in a browser.

    npm ci --ignore-scripts --prefix benchmarks/web
    python benchmarks/web.py fer2013.csv

All sides run in the same headless Chromium, on the same PNG files of PublicTest, each in a page of its own, one
face a call. They take turns over the rounds of faces. The table has the accuracy over the seven classes, the
median of the milliseconds a face, the megabytes that the page loads (without compression by the server) and
the seconds from the start of the page to the first answer. face-api.js was trained on other faces; PublicTest
chose the epochs of `nano` and `small`, which flatters them a little. PrivateTest is not read.
"""

import argparse
import base64
import contextlib
import io
import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from browser_helpers import open_browser, serve  # noqa: E402

import insideout_tf  # noqa: E402
from insideout_tf import errors  # noqa: E402
from insideout_tf.api.export import export  # noqa: E402
from insideout_tf.api.export_web import export_web  # noqa: E402
from insideout_tf.data.faces import PUBLIC_TEST  # noqa: E402
from insideout_tf.serving import recognize  # noqa: E402

SIDES = {
    "`nano`, LiteRT": ("insideout", "nano"),
    "`small`, LiteRT": ("insideout", "small"),
    "`nano`, ONNX Runtime Web": ("onnx", "nano"),
    "`small`, ONNX Runtime Web": ("onnx", "small"),
    "@vladmandic/face-api, WebGL": ("faceapi", "webgl"),
    "@vladmandic/face-api, WebAssembly": ("faceapi", "wasm"),
}
CHUNK = 100  # faces that a side predicts in its turn
EXACT = 512


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--faces", type=int, help="so many faces (default: all of PublicTest)")
    parser.add_argument(
        "--sides", default="", help="those whose name holds one of these words, with commas between"
    )
    arguments = parse_with_modules(parser)
    data = insideout_tf.read_faces(arguments.data)
    rows = np.flatnonzero(data.usage == PUBLIC_TEST)[: arguments.faces]
    faces, labels = data.pixels[rows], data.labels[rows]
    words = arguments.sides.split(",")
    sides = {name: side for name, side in SIDES.items() if any(word in name for word in words)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        export_web(["nano", "small"], folder / "site")
        (folder / "onnx").mkdir()
        for name in ("nano", "small"):
            export(name, folder / name, ("onnx",))
            (folder / name / "model.onnx").rename(folder / f"onnx/{name}.onnx")
        write_page(folder, arguments.modules, "sides.js")
        results = measure(sides, folder, [encode(face) for face in faces])
    print(f"{len(faces)} faces of PublicTest\n")
    print(
        "| side | accuracy | ms a face, p50 | MB loaded | first answer, s | furthest from Keras |\n|---|---|---|---|---|---|"
    )
    for name, (kind, argument) in sides.items():
        if isinstance(results[name], str):
            print(f"| {name} | skipped: {results[name]} | | | | |")
            continue
        probabilities, milliseconds, megabytes, seconds = results[name]
        exact = ""
        if kind != "faceapi":
            expected = recognize.load_recognizer(argument, "keras")(faces[:EXACT])
            exact = f"{np.abs(probabilities[:EXACT] - expected).max():.1e}"
        accuracy = 100 * (probabilities.argmax(1) == labels).mean()
        print(
            f"| {name} | {accuracy:.2f} % | {np.median(milliseconds):.2f} | {megabytes:.1f} | {seconds:.2f} | {exact} |"
        )


def parse_with_modules(parser):
    """Adds --modules to a parser, and returns the arguments; raises `UserError` without the npm packages."""
    parser.add_argument(
        "--modules", type=pathlib.Path, default=ROOT / "benchmarks/web/node_modules"
    )
    arguments = parser.parse_args()
    if not arguments.modules.is_dir():
        raise errors.UserError(
            f"--modules: expected {arguments.modules}. Run the npm command at the top of this script. Received: "
            "no such folder"
        )
    return arguments


def write_page(folder, modules, script):
    """Writes a page that runs a script of benchmarks/web, with the npm packages beside it."""
    (folder / "modules").symlink_to(modules.resolve())
    for name in (script, "decode.js"):
        (folder / name).write_text((ROOT / "benchmarks/web" / name).read_text())
    (folder / "index.html").write_text(
        f'<!doctype html><script type="module" src="{script}"></script>'
    )


def measure(sides, folder, faces):
    """Returns {side: (probabilities, milliseconds, megabytes loaded, seconds to the first answer) or why not}."""
    results: dict = {}
    with serve(folder) as address, open_browser() as browser, contextlib.ExitStack() as stack:
        pages = {}
        for name, (kind, argument) in sides.items():
            page = stack.enter_context(contextlib.closing(browser.new_page()))
            sizes: list[int] = []
            page.on("response", lambda answer, sizes=sizes: sizes.append(len(answer.body())))
            page.goto(f"{address}/index.html")
            try:
                seconds = page.evaluate(
                    "async (words) => window.start(...words)", [kind, argument, faces[0]]
                )
            except Exception as error:  # whatever a side raises
                results[name] = str(error).splitlines()[0][:120]
                continue
            page.wait_for_load_state("networkidle")
            pages[name] = page
            results[name] = ([], [], sum(sizes) / 1e6, seconds)
        for start in range(0, len(faces), CHUNK):
            for name, page in pages.items():
                found = page.evaluate(
                    "async (faces) => window.predictFaces(faces)", faces[start : start + CHUNK]
                )
                results[name][0].extend(found["probabilities"])
                results[name][1].extend(found["milliseconds"])
    return {
        name: each if isinstance(each, str) else (np.array(each[0]), *each[1:])
        for name, each in results.items()
    }


def encode(face):
    """Returns an array or a PIL image as a PNG file in base64."""
    content = io.BytesIO()
    Image.fromarray(np.asarray(face)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


if __name__ == "__main__":
    with errors.reported("web.py"):
        main()
