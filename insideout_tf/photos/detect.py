"""Detects faces in a picture with OpenCV, and crops them as FER2013 frames its faces."""

import functools
import math
import numbers
import pathlib
import typing

import numpy as np

from insideout_tf import processes
from insideout_tf.data import images, inputs
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError

MODES = ("auto", "crop", "detect")
CROP_SIDE = 96  # pixels; "auto" treats a square picture of at most this side as one face
MARGIN = 0.0  # times the side of the box, on each side; benchmarks/face_margin.py measures it
MARGIN_RANGE = (-0.4, 2.0)
WORKING_SIDE = 1280  # pixels; the longer side of the picture that the detector receives
MIN_FACE_SIDE = 32  # pixels of that picture
YUNET_MIN_SCORE = 0.6

_import_lock = processes.ForkSafeLock(delays_fork=True)


class Face(typing.NamedTuple):
    """One face of a picture.

    Attributes:
        pixels: uint8 of the `face_shape` of the model's contract.
        box: (left, top, width, height) in pixels of the upright picture; None if the whole picture
            is the face.
        score: the detector's score; higher is more certain. The two detectors use different scales.
            None if no detector was used.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int] | None = None
    score: float | None = None


class FaceDetector:
    """Detects the faces of pictures with the same options. Call it with a PIL image.

    The OpenCV detector is loaded for the first picture that needs it. All instances share it.

    Args:
        mode, margin: see `detect_faces`.
        yunet: see `create_detector`.
        contract: the `Contract` of the model that receives the faces.
    """

    def __init__(self, mode="auto", margin=MARGIN, yunet=None, contract=FER2013):
        self._mode, self._margin, self._yunet = mode, margin, yunet
        self._contract = contract

    def is_crop(self, image):
        """Returns True if this detector treats the PIL image as one face."""
        return is_crop(image, self._mode)

    def __call__(self, image):
        """Returns the `Face`s of a PIL image, the largest first. Raises what `detect_faces` raises."""
        return detect_faces(image, self._detect_boxes, self._mode, self._margin, self._contract)

    def _detect_boxes(self, image):
        return _load_detector(self._yunet)(image)


def detect_faces(image, detector, mode="auto", margin=MARGIN, contract=FER2013):
    """Returns the `Face`s of a picture, the largest first.

    Args:
        image: an upright PIL image.
        detector: a function of `create_detector`.
        mode: "detect" looks for faces. "crop" treats the whole picture as one face. "auto" is "crop"
            for a square picture of at most 96 pixels, and "detect" for any other picture.
        margin, contract: see `crop_face`.

    Returns:
        A list of `Face`; empty if the picture shows no face.

    Raises:
        UserError: OpenCV is not installed, or it is a version without the detector.
    """
    if is_crop(image, mode):
        return [Face(images.shrink(image, contract))]
    detections = sorted(detector(image), key=lambda detection: -detection[0][2] * detection[0][3])
    return [Face(crop_face(image, box, margin, contract), box, score) for box, score in detections]


def crop_boxes(image, boxes, margin=MARGIN, contract=FER2013):
    """Returns the faces in the boxes of a picture, in the order of the boxes, without a detector.

    Args:
        image: an upright PIL image.
        boxes: a list of (left, top, width, height) in pixels. Fractions are rounded.
        margin, contract: see `crop_face`.

    Returns:
        A list of `Face`, one a box, without a score.

    Raises:
        UserError: a box is not four numbers, has no area, or lies outside the picture; or the square
            around it has more than `images.MAX_PIXELS`.
    """
    faces = []
    if not hasattr(boxes, "__iter__"):
        raise UserError(
            f"boxes: expected a list of (left, top, width, height). Received: {boxes!r:.80}"
        )
    for index, box in enumerate(boxes):
        box = _check_box(box, image.size, margin, f"boxes[{index}]")
        faces.append(Face(crop_face(image, box, margin, contract), box))
    return faces


def _check_box(box, size, margin, where):
    """Returns the box as four integers; size: (width, height) of the picture. Raises `UserError`."""
    try:
        values = [float(value) for value in box]
    except (TypeError, ValueError):
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise UserError(
            f"{where}: expected four numbers, left, top, width and height. Convert it. Received: "
            f"{box!r}"
        )
    left, top, width, height = (round(value) for value in values)
    if width < 1 or height < 1:
        raise UserError(
            f"{where}: expected a width and a height of at least one pixel. The order is left, top, "
            f"width, height. Received: {box!r}"
        )
    if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
        raise UserError(
            f"{where}: expected a box that overlaps the picture of {size[0]}×{size[1]} pixels. Give "
            f"it in pixels of the upright picture. Received: {box!r}"
        )
    if _square_side(width, height, margin) ** 2 > images.MAX_PIXELS:
        raise UserError(
            f"{where}: expected a square of at most {images.MAX_PIXELS:,} pixels around the box. "
            f"Shrink the box or the margin. Received: {box!r}"
        )
    return left, top, width, height


def check_margin(margin, where="margin"):
    """Raises `UserError` if the margin is outside `MARGIN_RANGE`. where: its name, for the message."""
    low, high = MARGIN_RANGE
    if not is_number(margin) or not low <= margin <= high:  # this form refuses NaN
        raise UserError(f"{where}: expected {low:g} to {high:g}. Received: {margin!r}")


def check_mode(mode, where="mode"):
    """Raises `UserError` for a mode that is not in `MODES`. where: its name, for the message."""
    if mode not in MODES:
        raise UserError(f"{where}: expected one of {', '.join(MODES)}. Received: {mode!r}")


def is_number(value):
    """Returns True for a real number that is no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_crop(image, mode):
    """Returns True if `detect_faces` treats the PIL image as one face in this mode."""
    width, height = image.size
    return mode == "crop" or (mode == "auto" and width == height <= CROP_SIDE)


def crop_face(image, box, margin=MARGIN, contract=FER2013):
    """Returns the square around a box of a picture as a face.

    Args:
        image: an upright PIL image.
        box: (left, top, width, height) in pixels. The longer of its sides is that of the square.
        margin: widens the square on each side, by so many times its side; may be negative.
        contract: the `Contract` of the model that receives the face.

    Returns:
        uint8 of `contract.face_shape`. Beyond the edge of the picture, its last pixels are repeated.
    """
    from PIL import Image

    left, top, width, height = box
    side = _square_side(width, height, margin)
    x, y = round(left + (width - side) / 2), round(top + (height - side) / 2)
    if x >= 0 and y >= 0 and x + side <= image.size[0] and y + side <= image.size[1]:
        return images.shrink(image.crop((x, y, x + side, y + side)), contract)
    array = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    rows = np.clip(np.arange(y, y + side), 0, array.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, array.shape[1] - 1)
    return images.shrink(Image.fromarray(array[np.ix_(rows, columns)]), contract)


def _square_side(width, height, margin):
    """Returns the side in pixels of the square that `crop_face` crops."""
    return max(2, round(max(width, height) * (1 + 2 * margin)))


def create_detector(yunet=None):
    """Returns a function PIL image → list of ((left, top, width, height), score).

    Threads may call the function; it serves one at a time.

    Args:
        yunet: the path of a face_detection_yunet_*.onnx of OpenCV Zoo (Wu et al. 2023). None uses
            the Haar cascade of OpenCV (Viola & Jones 2001), which detects upright frontal faces.

    Raises:
        UserError: OpenCV is not installed, has no Haar cascades, or cannot read the file.
    """
    try:
        with _import_lock:  # a fork meanwhile would leave the child with half a module
            import cv2
    except ImportError:
        raise UserError(
            "expected the package opencv-python-headless (below version 5), which detects faces. "
            "Install it, or give cropped faces with --faces crop. Received: no such package"
        ) from None
    # OpenCV's detectors hold the picture that they work on.
    detect = _create_yunet(cv2, yunet) if yunet else _create_haar_cascade(cv2)
    return processes.serialized(detect)


_load_detector = functools.lru_cache(maxsize=2)(create_detector)


def _create_haar_cascade(cv2):
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            "expected OpenCV below version 5, which has Haar cascades. `pip install "
            f"'opencv-python-headless<5'`, or give --yunet FILE. Received: {cv2.__version__}"
        )
    path = pathlib.Path(cv2.data.haarcascades, "haarcascade_frontalface_default.xml")
    cascade = cv2.CascadeClassifier(str(path))

    def detect(grey):
        boxes, _, scores = cascade.detectMultiScale3(
            cv2.equalizeHist(grey),
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(MIN_FACE_SIDE, MIN_FACE_SIDE),
            outputRejectLevels=True,
        )
        return [(box, float(score)) for box, score in zip(boxes, scores)]

    return lambda image: _detect_at_working_side(image, "L", detect)


def _create_yunet(cv2, path):
    inputs.check_regular_file(path, "a face_detection_yunet_*.onnx of OpenCV Zoo")
    try:
        with processes.native_stderr_closed():
            detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_MIN_SCORE)
    except (cv2.error, AttributeError) as error:
        raise UserError(
            f"--yunet {path}: expected a face_detection_yunet_*.onnx of OpenCV Zoo. Download it "
            f"again. Received: {str(error).splitlines()[0][:150]}"
        ) from None

    def detect(rgb):
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, rows = detector.detect(np.ascontiguousarray(rgb[..., ::-1]))
        return [] if rows is None else [(row[:4], float(row[14])) for row in rows]

    return lambda image: _detect_at_working_side(image, "RGB", detect)


def _detect_at_working_side(image, mode, detect):
    """Returns the detections in a picture, which `detect` receives at `WORKING_SIDE` at most.

    mode: the PIL mode that `detect` takes, as an array. Boxes are in pixels of the picture itself.
    """
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    picture = image.convert(mode)
    if scale > 1:
        size = [max(1, round(side / scale)) for side in image.size]
        picture = picture.resize(size, reducing_gap=2.0)
    if min(picture.size) < MIN_FACE_SIDE:
        return []
    return [
        (tuple(int(round(float(value) * scale)) for value in box), score)
        for box, score in detect(np.asarray(picture))
    ]
