"""Drawn faces: the same for one seed, divided by person and style, and not trivial to classify."""

import itertools

import numpy as np
import pytest

from insideout_tf.data import drawn, sketch
from insideout_tf.data.classes import EMOTIONS


def test_one_seed_gives_one_set_of_faces():
    one, again, other = (drawn.draw_all(100, 70, 30, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, again))
    pixels, labels, usage = one
    assert not np.array_equal(pixels, other[0])
    assert pixels.dtype == labels.dtype == usage.dtype == np.uint8
    assert pixels.shape == (200, 48, 48) and np.bincount(usage).tolist() == [100, 70, 30]
    assert set(labels[usage == 1]) == set(range(7))


def test_identities_and_styles_of_the_parts_are_disjoint(monkeypatch):
    seen = {}

    def record(labels, identities, styles, random):
        seen.setdefault(use, []).append((set(identities.tolist()), set(styles.tolist())))
        return np.zeros((len(labels), 48, 48), np.uint8)

    monkeypatch.setattr(drawn, "_draw_chunk", record)
    for use in range(3):
        drawn.draw(4000, 0, use)
    for kind, count in ((0, 640), (1, sketch.STYLES)):
        sets = [set().union(*(chunk[kind] for chunk in seen[use])) for use in range(3)]
        assert all(not a & b for a, b in itertools.combinations(sets, 2))
        assert len(set().union(*sets)) == count  # nothing is unused


@pytest.mark.slow
def test_a_linear_model_learns_them_only_in_part():
    """Above the largest class (20 %), so that there is a signal; far below a network (90 %)."""
    from sklearn.linear_model import RidgeClassifier

    pixels, labels, usage = drawn.draw_all()
    halves = pixels.reshape(-1, 24, 2, 24, 2).mean((2, 4)).reshape(len(pixels), -1) / 255
    is_training = usage == 0
    scores = []
    for strength in (1, 10, 100):
        model = RidgeClassifier(strength).fit(halves[is_training], labels[is_training])
        scores.append(model.score(halves[~is_training], labels[~is_training]))
    assert 0.3 < max(scores) < 0.6, scores


def test_emotions_differ_in_their_action_units():
    for name in EMOTIONS:
        assert set(drawn.EMOTION_UNITS[name]) <= set(drawn.ACTION_UNITS)
        assert all(0 < strength <= 1 for strength in drawn.EMOTION_UNITS[name].values())
    for one, other in itertools.combinations(EMOTIONS, 2):
        assert drawn.EMOTION_UNITS[one].keys() != drawn.EMOTION_UNITS[other].keys()
    assert sum(drawn.SHARES) == 1 and len(drawn.SHARES) == len(EMOTIONS)


def test_every_action_unit_and_trait_is_visible():
    """One at full strength changes the drawing of the same person, pose and light."""
    count = sketch.STYLES
    zeros = np.zeros((count, 1, 1), np.float32)
    units, traits = dict.fromkeys(drawn.ACTION_UNITS, zeros), dict.fromkeys(drawn.TRAITS, zeros)

    def paint(units, traits):
        random = np.random.default_rng(0)
        return sketch.paint_faces(units, traits, np.arange(count), random).astype(int)

    neutral = paint(units, traits)
    assert neutral.shape == (count, 48, 48) and neutral.min() >= 0 and neutral.max() <= 255
    for unit in drawn.ACTION_UNITS:
        change = np.abs(paint({**units, unit: zeros + 1}, traits) - neutral)
        # A pressed mouth and a lip corner stay small; a dropped jaw moves half the face.
        assert (change.max((1, 2)) > 20).all(), f"action unit {unit}"
    for trait in drawn.TRAITS:
        change = np.abs(paint(units, {**traits, trait: zeros + 1}) - neutral)
        assert (change.max((1, 2)) > 5).all(), trait
