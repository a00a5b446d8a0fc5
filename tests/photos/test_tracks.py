"""Faces keep their numbers from frame to frame, and their probabilities are smooth over time."""

import math

import numpy as np
import pytest

from insideout_tf.photos import tracks


def test_smoothing_is_exponential_in_seconds():
    faces = tracks.Tracks(smooth_seconds=0.5)
    box = (0, 0, 10, 10)
    first, second = np.eye(7, dtype=np.float32)[:2]
    _, smoothed = faces.update(0.0, [box], first[None])
    assert np.array_equal(smoothed[0], first)
    for step in range(1, 6):
        _, smoothed = faces.update(0.1 * step, [box], second[None])
    weight = math.exp(-0.5 / 0.5)
    assert np.allclose(smoothed[0, :2], [weight, 1 - weight], atol=1e-5)
    raw = tracks.Tracks(smooth_seconds=0)
    raw.update(0.0, [box], first[None])
    assert np.array_equal(raw.update(0.1, [box], second[None])[1][0], second)


def test_faces_keep_their_numbers_in_another_order():
    faces, one, other = tracks.Tracks(0), (0, 0, 50, 50), (200, 0, 50, 50)
    rows = np.eye(7, dtype=np.float32)[:2]
    assert faces.update(0.0, [one, other], rows)[0] == [0, 1]
    assert faces.update(0.1, [(202, 0, 50, 50), (3, 0, 50, 50)], rows)[0] == [1, 0]
    assert faces.update(0.2, [], np.zeros((0, 7)))[0] == []
    assert faces.update(0.3, [(100, 100, 40, 40)], rows[:1])[0] == [2]
    assert faces.update(5.0, [one], rows[:1])[0] == [3]  # seconds later it has a new number
    assert faces.update(9.0, [one], rows[:1])[0] == [3]  # it was in the frame before, 4 seconds ago
    assert faces.update(15.0, [one], rows[:1])[0] == [4]  # too long ago for a slow frame
    assert tracks.intersection_over_union((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
