"""Crops the faces of a picture as FER2013 frames them, found by a detector or given as boxes."""

import copy
import math
import numbers
import typing

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.photos import detectors

MODES = ("auto", "crop", "detect")
CROP_SIDE = 96  # pixels; "auto" treats a square picture of at most this side as one face
MARGIN_RANGE = (-0.4, 2.0)


class Face(typing.NamedTuple):
    """One face of a picture.

    Attributes:
        pixels: uint8 of the `face_shape` of the model's contract.
        box: (left, top, width, height) in pixels of the upright picture; None if the whole picture
            is the face.
        score: the detector's score, 0..1; higher is more certain. Each detector has a scale of its own.
            None if no detector was used.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int] | None = None
    score: float | None = None


class BoxError(UserError):
    """A box that does not suit its picture."""


class FaceDetector:
    """Detects the faces of pictures with the same options. Call it with a PIL image.

    The detector is loaded for the first picture that needs it. All instances share it.

    Args:
        mode, contract: see `detect_faces`.
        margin: see `crop_face`; None takes that of the detector, `detectors.MARGINS`.
        detector, yunet: see `detectors.choose`.
        min_face: the least side of a box, in pixels of the picture.
        min_score: the least score, 0..1; None takes that of the detector, `detectors.MIN_SCORES`.
    """

    def __init__(
        self,
        mode="auto",
        margin=None,
        yunet=None,
        contract=FER2013,
        detector="auto",
        min_face=0,
        min_score=None,
    ):
        kind = detectors.choose(detector, yunet)
        self._mode, self._detector, self._yunet, self._contract = mode, kind, yunet, contract
        self._margin = detectors.MARGINS[kind] if margin is None else margin
        self._min_face = min_face
        self._min_score = detectors.MIN_SCORES[kind] if min_score is None else min_score
        self._copy: tuple = ()  # copy and threads of `detectors.load`, in a copy

    def with_copy(self, number, threads=1):
        """Returns an equal detector for a thread of its own; see `detectors.load`."""
        other = copy.copy(self)
        other._copy = (number, threads)
        return other

    def is_crop(self, image):
        """Returns True if this detector treats the PIL image as one face."""
        return is_crop(image, self._mode)

    def __call__(self, image, source=None):
        """Returns the `Face`s of a PIL image, the largest first. Raises what `detect_faces` raises.

        source: the path of the image, which does not matter here.
        """
        return detect_faces(image, self._detect, self._mode, self._margin, self._contract)

    def find(self, image):
        """Returns the `detectors.Detection`s of a PIL image, the largest first; [None] if it is one face."""
        return [None] if self.is_crop(image) else sort_by_size(self._detect(image))

    def crop(self, image, found):
        """Returns the `Face`s of what `find` returns, perhaps of a frame near this one."""
        if found == [None]:
            return [Face(images.shrink(image, self._contract))]
        return crop_detections(image, found, self._margin, self._contract)

    def _detect(self, image):
        name = "auto" if self._yunet else self._detector
        load = detectors.load(name, self._yunet, *self._copy)
        found = load(image, self._min_face)
        return [each for each in found if each.score >= self._min_score]


def detect_faces(image, detector, mode="auto", margin=0.0, contract=FER2013):
    """Returns the `Face`s of a picture, the largest first.

    Args:
        image: an upright PIL image.
        detector: a function of the image to a list of `detectors.Detection`. A face whose eyes it
            gives is turned until they are level.
        mode: "detect" looks for faces. "crop" treats the whole picture as one face. "auto" is "crop"
            for a square picture of at most 96 pixels, and "detect" for any other picture.
        margin, contract: see `crop_face`.

    Returns:
        A list of `Face`; empty if the picture shows no face.

    Raises:
        UserError: a package that the detector needs is not installed.
    """
    if is_crop(image, mode):
        return [Face(images.shrink(image, contract))]
    return crop_detections(image, sort_by_size(detector(image)), margin, contract)


def sort_by_size(found):
    """Returns `detectors.Detection`s, the largest first."""
    return sorted(found, key=lambda each: -each.box[2] * each.box[3])


def crop_detections(image, found, margin, contract):
    """Returns the `Face`s of `detectors.Detection`s; see `crop_face`."""
    return [
        Face(crop_face(image, each.box, margin, contract, each.eyes), each.box, each.score)
        for each in found
    ]


def crop_boxes(image, boxes, margin=0.0, contract=FER2013, names=None):
    """Returns the faces in the boxes of a picture, in the order of the boxes, without a detector.

    Args:
        image: an upright PIL image.
        boxes: a list of (left, top, width, height) in pixels. Fractions are rounded.
        margin, contract: see `crop_face`.
        names: a name for each box, for messages; None is boxes[0] and so on.

    Returns:
        A list of `Face`, one a box, without a score.

    Raises:
        BoxError: a box is not four numbers, has no area, or lies outside the picture; or the square
            around it has more than `images.MAX_PIXELS`.
    """
    faces = []
    if not hasattr(boxes, "__iter__"):
        raise UserError(
            f"boxes: expected a list of (left, top, width, height). Received: {boxes!r:.80}"
        )
    for index, box in enumerate(boxes):
        name = names[index] if names else f"boxes[{index}]"
        box = _check_box(box, image.size, margin, name)
        faces.append(Face(crop_face(image, box, margin, contract), box))
    return faces


def _check_box(box, size, margin, where):
    """Returns the box as four integers; size: (width, height) of the picture. Raises `BoxError`."""
    try:
        values = [float(value) for value in box]
    except (TypeError, ValueError):
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise BoxError(
            f"{where}: expected four numbers, left, top, width and height. Convert it. Received: "
            f"{box!r}"
        )
    left, top, width, height = (round(value) for value in values)
    if width < 1 or height < 1:
        raise BoxError(
            f"{where}: expected a width and a height of at least one pixel. The order is left, top, "
            f"width, height. Received: {box!r}"
        )
    if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
        raise BoxError(
            f"{where}: expected a box that overlaps the picture of {size[0]}×{size[1]} pixels. Give "
            f"it in pixels of the upright picture. Received: {box!r}"
        )
    if _square_side(width, height, margin) ** 2 > images.MAX_PIXELS:
        raise BoxError(
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


def check_detection(mode, margin, min_face, min_score):
    """Raises `UserError` for a wrong mode, margin (None: the detector's own) or limit."""
    check_mode(mode)
    if margin is not None:
        check_margin(margin)
    check_limits(min_face, min_score)


def is_number(value):
    """Returns True for a real number that is no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_limits(min_face, min_score, face_name="min_face", score_name="min_score"):
    """Raises `UserError` for a least size or score that no face can have; the names are for messages."""
    if not 0 <= min_face <= images.MAX_PIXELS:  # this form refuses NaN
        raise UserError(f"{face_name}: expected pixels, 0 or more. Received: {min_face:g}")
    if min_score is not None and not 0 <= min_score <= 1:
        raise UserError(f"{score_name}: expected 0 to 1. Received: {min_score:g}")


def is_crop(image, mode):
    """Returns True if `detect_faces` treats the PIL image as one face in this mode."""
    width, height = image.size
    return mode == "crop" or (mode == "auto" and width == height <= CROP_SIDE)


def crop_face(image, box, margin=0.0, contract=FER2013, eyes=None):
    """Returns the square around a box of a picture as a face.

    Args:
        image: an upright PIL image.
        box: (left, top, width, height) in pixels. The longer of its sides is that of the square.
        margin: widens the square on each side, by so many times its side; may be negative.
        contract: the `Contract` of the model that receives the face.
        eyes: `[2, 2]`, (x, y) of the left and of the right eye in the picture: the square is turned
            about its middle until they are level. None turns nothing.

    Returns:
        uint8 of `contract.face_shape`. Beyond the edge of the picture, its last pixels are repeated.
    """
    from PIL import Image

    left, top, width, height = box
    side = _square_side(width, height, margin)
    x, y = round(left + (width - side) / 2), round(top + (height - side) / 2)
    if eyes is None:
        return images.shrink(_cut(image, x, y, side), contract)
    (first, upper), (second, lower) = eyes
    degrees = math.degrees(math.atan2(lower - upper, second - first))
    border = math.ceil(side * (math.sqrt(2) - 1) / 2)  # a turned square shows so much around it
    wide = _cut(image, x - border, y - border, side + 2 * border)
    turned = wide.rotate(degrees, Image.Resampling.BICUBIC)
    return images.shrink(turned.crop((border, border, border + side, border + side)), contract)


def _cut(image, x, y, side):
    """Returns a square of a picture, which begins at (x, y). See `crop_face`."""
    from PIL import Image

    if x >= 0 and y >= 0 and x + side <= image.size[0] and y + side <= image.size[1]:
        return image.crop((x, y, x + side, y + side))
    array = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    rows = np.clip(np.arange(y, y + side), 0, array.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, array.shape[1] - 1)
    return Image.fromarray(array[np.ix_(rows, columns)])


def _square_side(width, height, margin):
    """Returns the side in pixels of the square that `crop_face` crops."""
    return max(2, round(max(width, height) * (1 + 2 * margin)))
