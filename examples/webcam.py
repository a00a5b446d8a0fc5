"""Labels the faces of a camera, or of a video file, frame by frame.

    python examples/webcam.py                         # the first camera in a window; q ends it
    python examples/webcam.py 1 --out labelled.mp4    # the second camera into a file; Ctrl-C ends it
    python examples/webcam.py clip.mp4 --out labelled.mp4

A window needs an OpenCV that has them:
    pip uninstall -y opencv-python-headless && pip install "opencv-python<5"
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # this script reports what fails

import cv2

import insideout_tf
from insideout_tf import UserError

COLOUR = (0, 200, 255)  # blue, green, red


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="0", help="camera number or file (default 0)")
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="FILE.mp4", help="write a video instead"
    )
    parser.add_argument("--model", default="small", help="packaged model, run folder or file")
    arguments = parser.parse_args()
    try:
        show(arguments.source, arguments.out, arguments.model)
    except UserError as error:
        sys.exit(f"webcam.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def label_faces(frame, model):
    """Draws a box and the likeliest emotion of each face on a frame, uint8 `[h, w, 3]`, blue first."""
    for face in insideout_tf.detect_emotions(frame[..., ::-1], model):
        left, top, width, height = face["box"] or (0, 0, frame.shape[1], frame.shape[0])
        cv2.rectangle(frame, (left, top), (left + width, top + height), COLOUR, 2)
        text = f"{face['emotion']} {face['probabilities'][face['emotion']]:.0%}"
        place = (left, max(top - 6, 14))
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, COLOUR, 1, cv2.LINE_AA)


def show(source, out, model):
    """Labels every frame of a camera or file, in a window or, with `out`, in a new video file."""
    if out and (out.exists() or out.suffix.lower() != ".mp4" or not out.parent.is_dir()):
        raise UserError(
            f"--out: expected a new .mp4 file in a folder. Choose another. Received: {out}"
        )
    capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    if not capture.isOpened():
        raise UserError(f"source: expected a camera's number or a video file. Received: {source}")
    writer, count = None, 0
    try:
        while (frame := capture.read()[1]) is not None:
            label_faces(frame, model)
            count += 1
            if out is None:
                cv2.imshow("q ends", frame)
                if cv2.waitKey(1) == ord("q"):
                    break
                continue
            if writer is None:
                rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
                size = frame.shape[1::-1]
                writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
            writer.write(frame)
    except cv2.error as error:
        raise UserError(
            "cv2: expected an OpenCV that opens windows. Install opencv-python, or give --out. "
            f"Received: {error.err or error}"
        ) from None
    finally:
        capture.release()
        if writer is not None:
            writer.release()
        print(f"{count} frames" + (f" in {out}" if writer is not None else ""))


if __name__ == "__main__":
    main()
