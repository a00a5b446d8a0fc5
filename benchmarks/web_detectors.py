"""Compare face detectors for web pages, in one headless Chromium without a GPU.

    npm ci --ignore-scripts --prefix benchmarks/web
    python benchmarks/web_detectors.py fer2013.csv

- Made scenes, as in face_detectors.py, on the two photographs that scikit-learn ships: faces of PublicTest from
  40 to 320 pixels, half of them rotated by up to 30 degrees. The sides are the detector of
  `insideout export --format web` (BlazeFace of the npm package @mediapipe/face_detection) with both of its
  searches, and the two detectors of face-api.js. A face is found as in face_detectors.py.
- Margins: 500 faces of PublicTest, alone in a picture. The table has the accuracy of `nano` on what the detector
  found, for several margins around its box, with the eyes levelled and without. A margin of 0.1 adds a tenth
  of the box on each side. The last row has the same faces as FER2013 frames them.
"""

import argparse
import contextlib
import pathlib
import tempfile

import numpy as np
from face_detectors import make_scenes, match
from PIL import Image
from sklearn import datasets
from web import encode, open_browser, parse_with_modules, serve, write_page

import insideout_tf
from insideout_tf import errors
from insideout_tf.api.export_web import export_web
from insideout_tf.data.faces import PUBLIC_TEST

SIDES = {
    "BlazeFace, squares (the page's photos)": ("insideout", "squares"),
    "BlazeFace, whole (the page's videos)": ("insideout", "whole"),
    "face-api.js, SSD MobileNet, WebAssembly": ("faceapi", "ssdMobilenetv1"),
    "face-api.js, tiny, WebAssembly": ("faceapi", "tinyFaceDetector"),
}
MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.2)  # of the side of the box, on each side
FACES = 500


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="FER2013")
    parser.add_argument("--scenes", type=int, default=50)
    arguments = parse_with_modules(parser)
    data = insideout_tf.read_faces(arguments.data)
    rows = np.flatnonzero(data.usage == PUBLIC_TEST)
    backgrounds = [Image.fromarray(image) for image in datasets.load_sample_images().images]
    scenes = make_scenes(data.pixels[rows], backgrounds, arguments.scenes)
    chosen = np.random.default_rng(0).permutation(rows)[:FACES]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        export_web(["nano"], folder / "site")
        write_page(folder, arguments.modules, "detectors.js")
        with serve(folder) as address, open_browser() as browser:
            compare(scenes, browser, f"{address}/index.html")
            measure_margins(data, chosen, browser, f"{address}/index.html")


def compare(scenes, browser, address):
    """Prints the table of the detectors."""
    print(f"{len(scenes)} scenes with {sum(len(places) for _, places in scenes)} faces\n")
    print("| detector | recall, % | upright | rotated | under 64 px | false a scene | ms a scene |")
    print("|---|---|---|---|---|---|---|")
    pictures = [encode(image) for image, _ in scenes]
    for name, (kind, argument) in SIDES.items():
        hits: list = []
        false = 0
        with contextlib.closing(browser.new_page()) as page:
            page.goto(address)
            page.evaluate("(words) => window.start(...words)", [kind, argument])
            answers = [
                page.evaluate("(picture) => window.find(picture)", each) for each in pictures
            ]
        for (_, places), (boxes, _) in zip(scenes, answers):
            matched, wrong = match([(box,) for box in boxes], [place[:4] for place in places])
            false += wrong
            hits += [(hit, *place[4:]) for hit, place in zip(matched, places)]
        table = np.array(hits)
        parts = (slice(None), table[:, 2] == 0, table[:, 2] != 0, table[:, 1] < 64)
        recalls = " | ".join(f"{100 * table[part, 0].mean():.1f}" for part in parts)
        median = np.median([milliseconds for _, milliseconds in answers])
        print(f"| {name} | {recalls} | {false / len(scenes):.2f} | {median:.0f} |", flush=True)


def measure_margins(data, rows, browser, address):
    """Prints the table of the margins."""
    found = []
    with contextlib.closing(browser.new_page()) as page:
        page.goto(address)
        page.evaluate("() => window.start('insideout', 'whole')")
        for row in rows:
            picture = Image.new("RGB", (480, 360), (120, 130, 140))
            face = Image.fromarray(data.pixels[row])
            picture.paste(face.resize((200, 200), Image.Resampling.BICUBIC), (140, 80))
            question = [encode(picture), MARGINS]
            found.append(page.evaluate("(words) => window.recognize(...words)", question))
    is_found = np.array([each is not None for each in found])
    labels = data.labels[rows][is_found]
    classes = np.array([each for each in found if each is not None])  # [n, margins, 2]
    print(f"\n{is_found.sum()} of {len(rows)} faces found\n")
    print("| margin | eyes levelled, % | not levelled, % |\n|---|---|---|")
    accuracy = 100 * (classes == labels[:, None, None]).mean(0)
    for margin, (levelled, plain) in zip(MARGINS, accuracy):
        print(f"| {margin:g} | {levelled:.1f} | {plain:.1f} |")
    framed = insideout_tf.predict_emotions(data.pixels[rows][is_found], model="nano").argmax(1)
    print(f"| FER2013's own frame | | {100 * (framed == labels).mean():.1f} |")


if __name__ == "__main__":
    with errors.reported("web_detectors.py"):
        main()
