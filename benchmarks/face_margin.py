"""Measure which margin about a detected face suits a model that was trained on FER2013.

    python benchmarks/face_margin.py fer2013.csv [--faces 1000] [--model small]

The script enlarges PublicTest faces to 144, 192 and 240 pixels in turn. It puts each into a scene whose
background repeats the edge pixels, and detects it with OpenCV's Haar cascade. It prints:
- in how many scenes exactly one face is detected;
- the medians of the box's place in the frame of FER2013, whose own box is 0, 0, 1;
- the accuracy of the cut-out faces by margin, and that of the same faces as FER2013 has them.

The area beyond a face's frame is artificial, so margins above zero look worse than with photographs. The
faces are small ones enlarged, so the share of detected faces says little about photographs.
"""

import argparse

import numpy as np

MARGINS = (-0.15, -0.1, -0.05, -0.025, 0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3)
SIDES = (144, 192, 240)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--model", default="small")
    arguments = parser.parse_args()
    from PIL import Image

    from insideout_tf.data.faces import PUBLIC_TEST
    from insideout_tf.data.read import read_faces
    from insideout_tf.photos import detect
    from insideout_tf.serving import recognize

    data = read_faces(arguments.data)
    rows = np.flatnonzero(data.usage == PUBLIC_TEST)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[: arguments.faces])
    find_faces = detect.create_detector()
    scenes, boxes, detected, frames = [], [], [], []
    for index, row in enumerate(rows):
        side = SIDES[index % len(SIDES)]
        face = Image.fromarray(data.pixels[row]).resize((side, side), Image.Resampling.BICUBIC)
        scene = Image.fromarray(np.pad(np.asarray(face), side, mode="edge"))
        detections = find_faces(scene)
        if len(detections) == 1:
            (left, top, width, _), _ = detections[0]
            scenes.append(scene)
            boxes.append(detections[0][0])
            detected.append(row)
            frames.append(((left - side) / side, (top - side) / side, width / side))
    left, top, width = np.median(frames, 0)
    print(
        f"{len(rows)} PublicTest faces; one face detected in {len(detected) / len(rows):.1%} of the scenes"
    )
    print(
        f"its box in the frame of FER2013 (medians): left {left:.3f}, top {top:.3f}, side {width:.3f}"
    )
    predict = recognize.load_recognizer(arguments.model)
    labels = data.labels[detected]
    original = (predict(data.pixels[detected]).argmax(1) == labels).mean()
    print(f"\naccuracy of these faces as FER2013 has them: {original:.2%}\n")
    print("| margin | accuracy of the cut-out faces |\n|---|---|")
    for margin in MARGINS:
        pixels = [detect.crop_face(scene, box, margin) for scene, box in zip(scenes, boxes)]
        accuracy = (predict(np.stack(pixels)).argmax(1) == labels).mean()
        print(f"| {margin:+.3f} | {accuracy:.2%} |")


if __name__ == "__main__":
    main()
