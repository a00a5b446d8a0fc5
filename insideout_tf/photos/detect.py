"""Faces in pictures: found by OpenCV, cut out in the framing of FER2013."""

import pathlib
import typing

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.errors import UserError

MODES = ("auto", "crop", "detect")
CROP_SIDE = 96  # pixels; a square image of at most this side is taken as a face that is cropped
MARGIN = 0.0  # of the box's side, added on each side; benchmarks/face_margin.py measures what suits
WORKING_SIDE = 1280  # pixels of the longer side at which faces are looked for
SMALLEST = 32  # pixels of a face's side there
YUNET_SCORE = 0.6


class Face(typing.NamedTuple):
    """pixels uint8 `[48, 48]`; box (left, top, width, height) in pixels of the upright picture and the
    detector's score (higher is surer; scales differ), both None where the picture is the face."""

    pixels: np.ndarray
    box: tuple[int, int, int, int] | None = None
    score: float | None = None


def find(image, detect, mode="auto", margin=MARGIN):
    """Returns the `Face`s of a PIL image, the largest first; none where none is found.

    detect: a function of `create_detector`. mode: "crop" takes the picture as one face, "detect"
    looks for faces, "auto" takes a square picture of at most 96 pixels as a face.
    """
    if is_crop(image, mode):
        return [Face(images.shrink(image))]
    boxes = sorted(detect(image), key=lambda found: -found[0][2] * found[0][3])
    return [Face(cut(image, box, margin), box, score) for box, score in boxes]


def is_crop(image, mode):
    """True where `find` takes the picture as one face."""
    width, height = image.size
    return mode == "crop" or (mode == "auto" and width == height <= CROP_SIDE)


def cut(image, box, margin=MARGIN):
    """Returns the square about a box, widened by margin, as uint8 `[48, 48]`; edges are repeated."""
    from PIL import Image

    left, top, width, height = box
    side = max(2, round(max(width, height) * (1 + 2 * margin)))
    x, y = round(left + (width - side) / 2), round(top + (height - side) / 2)
    if x >= 0 and y >= 0 and x + side <= image.size[0] and y + side <= image.size[1]:
        return images.shrink(image.crop((x, y, x + side, y + side)))
    array = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    rows = np.clip(np.arange(y, y + side), 0, array.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, array.shape[1] - 1)
    return images.shrink(Image.fromarray(array[np.ix_(rows, columns)]))


def create_detector(yunet=None):
    """Returns a function PIL image → list of ((left, top, width, height), score), for any thread.

    yunet: the path of OpenCV Zoo's face_detection_yunet_*.onnx (Wu et al. 2023); without it, the Haar
    cascade that comes with OpenCV (Viola & Jones 2001), for upright frontal faces. Raises `UserError`.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            "expected the package opencv-python-headless (below version 5), which finds faces. "
            "Install it, or give cropped faces with --faces crop. Received: no such package"
        ) from None
    # OpenCV's detectors hold what they look at.
    return devices.serialized(_yunet(cv2, yunet) if yunet else _haar(cv2))


def _haar(cv2):
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            "expected OpenCV below version 5, which has Haar cascades. `pip install "
            f"'opencv-python-headless<5'`, or give --yunet FILE. Received: {cv2.__version__}"
        )
    path = pathlib.Path(cv2.data.haarcascades, "haarcascade_frontalface_default.xml")
    cascade = cv2.CascadeClassifier(str(path))

    def look(grey):
        boxes, _, scores = cascade.detectMultiScale3(
            cv2.equalizeHist(grey),
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(SMALLEST, SMALLEST),
            outputRejectLevels=True,
        )
        return [(box, float(score)) for box, score in zip(boxes, scores)]

    return lambda image: _scaled(image, "L", look)


def _yunet(cv2, path):
    try:
        with devices.native_stderr_closed():
            detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE)
    except (cv2.error, AttributeError) as error:
        raise UserError(
            f"--yunet {path}: expected a face_detection_yunet_*.onnx of OpenCV Zoo. Download it "
            f"again. Received: {str(error).splitlines()[0][:150]}"
        ) from None

    def look(rgb):
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, found = detector.detect(np.ascontiguousarray(rgb[..., ::-1]))
        return [] if found is None else [(row[:4], float(row[14])) for row in found]

    return lambda image: _scaled(image, "RGB", look)


def _scaled(image, mode, look):
    """Looks for faces at `WORKING_SIDE` at most, and returns boxes in the picture's own pixels."""
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    given = image.convert(mode)
    if scale > 1:
        given = given.resize([max(1, round(side / scale)) for side in image.size], reducing_gap=2.0)
    if min(given.size) < SMALLEST:
        return []
    found = look(np.asarray(given))
    return [
        (tuple(int(round(float(value) * scale)) for value in box), score) for box, score in found
    ]
