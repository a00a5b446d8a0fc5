"""Faces followed from frame to frame, and their probabilities smoothed over time."""

import math

import numpy as np

SAME = 0.3  # intersection over union of a face with itself a frame later, at least
LOST = 1.0  # seconds unseen after which a face is another one


class Tracks:
    """Gives the faces of successive frames numbers, and smooths the probabilities of each over time.

    smoothing: seconds after which a frame's weight has fallen to 1/e (exponential smoothing); 0: none.
    A face is the one it overlaps most in the frames before.
    """

    def __init__(self, smoothing):
        self._smoothing = smoothing
        self._known = {}  # number: (box, probabilities, seconds)
        self._next = 0

    def update(self, seconds, boxes, probabilities):
        """Returns (numbers, float32 `[n, 7]`) of one frame's faces; a box of None is the whole frame."""
        self._known = {
            number: known
            for number, known in self._known.items()
            if seconds - known[2] <= LOST or known[0] is None
        }
        pairs = sorted(
            (
                (-overlap(box, known[0]), index, number)
                for index, box in enumerate(boxes)
                for number, known in self._known.items()
            )
        )
        numbers: dict[int, int] = {}
        for less, index, number in pairs:
            if -less >= SAME and index not in numbers and number not in numbers.values():
                numbers[index] = number
        smoothed = np.array(probabilities, np.float32)
        for index, box in enumerate(boxes):
            if index not in numbers:
                numbers[index], self._next = self._next, self._next + 1
            elif self._smoothing > 0:
                _, before, last = self._known[numbers[index]]
                kept = math.exp(-max(0.0, seconds - last) / self._smoothing)
                smoothed[index] = kept * before + (1 - kept) * smoothed[index]
            self._known[numbers[index]] = (box, smoothed[index], seconds)
        return [numbers[index] for index in range(len(boxes))], smoothed


def overlap(one, other):
    """Returns the intersection over union of two boxes (left, top, width, height); None is all."""
    if one is None or other is None:
        return float(one is other)
    across, down = (
        max(0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]))
        for i in (0, 1)
    )
    shared = across * down
    return shared / max(1, one[2] * one[3] + other[2] * other[3] - shared)
