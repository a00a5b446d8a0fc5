"""Measure which margin about a detected face suits a model that was trained on FER2013.

    python benchmarks/face_margin.py fer2013.csv [--detector blazeface] [--faces 1000] [--model small]

The script enlarges PublicTest faces to 144, 192 and 240 pixels in turn. It puts each into a scene whose
background repeats the edge pixels, and detects it. It prints:
- in how many scenes exactly one face is detected;
- the medians of the box's place in the frame of FER2013, whose own box is 0, 0, 1;
- the accuracy of the cut-out faces by margin, and that of the same faces as FER2013 has them;
- the same with the faces turned until the eyes are level, if the detector finds the eyes; and with
  the square moved up by a part of its side, too.

`--degrees 30` rotates every scene by up to 30 degrees first. The area beyond a face's frame is
artificial, so margins above zero look worse than with photographs. The faces are small ones enlarged, so
the share of detected faces says little about photographs.
"""

import argparse

import numpy as np

MARGINS = (-0.2, -0.15, -0.1, -0.05, -0.025, 0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3)
LIFTS = (0.04, 0.08)
SIDES = (144, 192, 240)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--model", default="small")
    parser.add_argument("--detector", default="blazeface")
    parser.add_argument("--degrees", type=float, default=0.0)
    arguments = parser.parse_args()
    from insideout_tf.data.faces import PUBLIC_TEST
    from insideout_tf.data.read import read_faces
    from insideout_tf.serving import recognize

    data = read_faces(arguments.data)
    random = np.random.default_rng(0)
    rows = np.flatnonzero(data.usage == PUBLIC_TEST)
    rows = np.sort(random.permutation(rows)[: arguments.faces])
    scenes, found, detected, frames = [], [], [], []
    for index, row in enumerate(rows):
        side = SIDES[index % len(SIDES)]
        degrees = random.uniform(-arguments.degrees, arguments.degrees)
        scene = make_scene(data.pixels[row], side, degrees)
        detections = find_faces(scene, arguments.detector)
        if len(detections) == 1:
            left, top, width, _ = detections[0].box
            scenes.append(scene)
            found.append(detections[0])
            detected.append(row)
            frames.append(((left - side) / side, (top - side) / side, width / side))
    left, top, width = np.median(frames, 0)
    print(
        f"{arguments.detector}: {len(rows)} PublicTest faces; one face detected in "
        f"{len(detected) / len(rows):.1%} of the scenes"
    )
    print(
        f"its box in the frame of FER2013 (medians): left {left:.3f}, top {top:.3f}, side {width:.3f}"
    )
    predict = recognize.load_recognizer(arguments.model)
    labels = data.labels[detected]
    original = (predict(data.pixels[detected]).argmax(1) == labels).mean()
    print(f"\naccuracy of these faces as FER2013 has them: {original:.2%}\n")
    columns = {"accuracy of the cut-out faces": (False, 0.0)}
    if found[0].eyes is not None:
        columns |= {"with level eyes": (True, 0.0)}
        columns |= {f"and {lift} higher": (True, lift) for lift in LIFTS}
    print(f"| margin | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for margin in MARGINS:
        cells = []
        for is_level, lift in columns.values():
            pixels = [
                crop(scene, each, margin, is_level, lift) for scene, each in zip(scenes, found)
            ]
            cells.append(f"{(predict(np.stack(pixels)).argmax(1) == labels).mean():.2%}")
        print(f"| {margin:+.3f} | {' | '.join(cells)} |", flush=True)


def crop(scene, detection, margin, is_level, lift):
    """Returns the face of a detection as `detect.crop_face` does."""
    from insideout_tf.photos import detect

    left, top, width, height = detection.box
    box = (left, round(top - lift * height), width, height)
    return detect.crop_face(scene, box, margin, eyes=detection.eyes if is_level else None)


def make_scene(pixels, side, degrees):
    """Returns a face of `[48, 48]` at this side in the middle of a picture three times as wide."""
    from PIL import Image

    face = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    scene = Image.fromarray(np.pad(np.asarray(face), 2 * side, mode="edge"))
    scene = scene.rotate(degrees, Image.Resampling.BICUBIC)
    return scene.crop((side, side, 4 * side, 4 * side))


def find_faces(scene, name):
    """Returns the detections above the detector's usual score."""
    from insideout_tf.photos import detectors

    return [
        each for each in detectors.load(name)(scene) if each.score >= detectors.MIN_SCORES[name]
    ]


if __name__ == "__main__":
    main()
