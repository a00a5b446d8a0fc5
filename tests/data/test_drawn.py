import numpy as np
import pytest

from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS


def test_deterministic_by_seed():
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
        drawn.draw(2000, 0, use)
    for kind in (0, 1):
        sets = [set().union(*(chunk[kind] for chunk in seen[use])) for use in range(3)]
        assert all(sets)
        assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_linear_model_on_pixels_stays_under_80_percent():
    from sklearn.linear_model import LogisticRegression

    pixels, labels, usage = drawn.draw_all()
    x = pixels.reshape(len(pixels), -1) / np.float32(255)
    train = usage == 0
    scores = []
    for strength in (1e-3, 1e-1):
        model = LogisticRegression(C=strength, max_iter=60).fit(x[train], labels[train])
        scores.append(model.score(x[~train], labels[~train]))
    chance = 1 / len(EMOTIONS)
    assert chance < max(scores) < 0.8, scores


def test_action_units_are_known():
    for name in EMOTIONS:
        assert set(drawn.EMOTION_UNITS[name]) <= set(drawn.ACTION_UNITS)
