"""Follows faces from frame to frame, and smooths their probabilities over time."""

import math

import numpy as np

MIN_OVERLAP = 0.3  # intersection over union of one face's boxes in two frames
MAX_GAP_SECONDS = 1.0  # a face that is away for longer returns with a new number
MAX_FRAME_SECONDS = (
    5.0  # a face of the last frame was not away if the next frame came within this time
)


class Tracks:
    """Numbers the faces of successive frames, and smooths the probabilities of each face.

    A face keeps the number of the earlier face whose box it overlaps most. The smoothing is
    exponential in time, so it does not depend on the frame rate.

    Args:
        smooth_seconds: the time after which the weight of a frame has fallen to 1/e; 0 smooths
            nothing.
    """

    def __init__(self, smooth_seconds):
        self._smooth_seconds = smooth_seconds
        self._faces = {}  # number: (box, probabilities, seconds) when last seen
        self._next = 0
        self._last_seconds = 0.0  # of the last frame

    def update(self, seconds, boxes, probabilities):
        """Adds one frame; returns the number and the smoothed probabilities of each face.

        Args:
            seconds: time of the frame; not before that of the last frame.
            boxes: a list of (left, top, width, height); None is the whole frame.
            probabilities: float32 `[n, k]`, one row a box.

        Returns:
            (list of int, float32 `[n, k]`), in the order of `boxes`.
        """
        self._faces = {
            number: face
            for number, face in self._faces.items()
            if face[0] is None
            or seconds - face[2]
            <= (MAX_FRAME_SECONDS if face[2] == self._last_seconds else MAX_GAP_SECONDS)
        }
        self._last_seconds = seconds
        numbers = self._match(boxes)
        smoothed = np.array(probabilities, np.float32)
        for index, box in enumerate(boxes):
            if index not in numbers:
                numbers[index], self._next = self._next, self._next + 1
            elif self._smooth_seconds > 0:
                _, earlier, last_seconds = self._faces[numbers[index]]
                elapsed = max(0.0, seconds - last_seconds)
                weight = math.exp(-elapsed / self._smooth_seconds)
                smoothed[index] = weight * earlier + (1 - weight) * smoothed[index]
            self._faces[numbers[index]] = (box, smoothed[index], seconds)
        return [numbers[index] for index in range(len(boxes))], smoothed

    def _match(self, boxes):
        """Returns {index of a box: number of the earlier face}, the pairs of most overlap first."""
        return match_boxes(boxes, {number: face[0] for number, face in self._faces.items()})


def match_boxes(boxes, earlier):
    """Returns {index of a box: number of the earlier box of the same face}, the pairs of most overlap first.

    earlier: {number: box}.
    """
    pairs = sorted(
        (-intersection_over_union(box, before), index, number)
        for index, box in enumerate(boxes)
        for number, before in earlier.items()
    )
    numbers: dict[int, int] = {}
    for negative_overlap, index, number in pairs:
        is_free = index not in numbers and number not in numbers.values()
        if -negative_overlap >= MIN_OVERLAP and is_free:
            numbers[index] = number
    return numbers


def intersection_over_union(one, other):
    """Returns the overlap of two boxes, 0..1. A box is (left, top, width, height), or None for all."""
    if one is None or other is None:
        return float(one is other)
    width, height = (
        max(0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]))
        for i in (0, 1)
    )
    intersection = width * height
    return intersection / max(1, one[2] * one[3] + other[2] * other[3] - intersection)
