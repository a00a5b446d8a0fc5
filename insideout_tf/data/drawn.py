"""Drawn faces for the quickstart and the tests: seven emotions from facial action units.

Action units (AU) of the Facial Action Coding System (Ekman & Friesen 1978) set brows, lids and
mouth. The emotion dictionary EMFACS (Friesen & Ekman 1983) gives the units of each emotion. Figures
measured on these drawings do not hold for people.
"""

import concurrent.futures

import numpy as np

from insideout_tf import processes
from insideout_tf.data import sketch
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import FER2013
from insideout_tf.data.faces import TRAINING

CHUNK = 64  # faces that are drawn together; their arrays fit the processor's cache

# Action units at full strength. 1 inner brow raiser, 2 outer brow raiser, 4 brow lowerer, 5 upper
# lid raiser, 6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser, 12 lip corner
# puller, 15 lip corner depressor, 17 chin raiser, 20 lip stretcher, 24 lip presser, 25 lips part,
# 26 jaw drop.
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 24, 25, 26)
EMOTION_UNITS = {
    "angry": {4: 1.0, 5: 0.4, 7: 0.9, 24: 1.0, 17: 0.3},
    "disgust": {9: 1.0, 10: 1.0, 15: 0.5, 4: 0.3, 7: 0.4, 25: 0.3},
    "fear": {1: 1.0, 2: 0.6, 4: 0.7, 5: 1.0, 20: 1.0, 25: 0.7},
    "happy": {6: 1.0, 12: 1.0, 25: 0.5},
    "sad": {1: 0.9, 4: 0.5, 15: 1.0, 17: 0.5},
    "surprise": {1: 0.9, 2: 1.0, 5: 0.8, 25: 0.8, 26: 1.0},
    "neutral": {},
}
# Proportions and tones that belong to a person, not to an emotion.
TRAITS = (
    "width",
    "height",
    "eye_gap",
    "eye_size",
    "eye_height",
    "brow_gap",
    "brow_thick",
    "mouth_width",
    "mouth_height",
    "nose",
    "skin",
    "hair",
    "hairline",
    "lip",
    "asymmetry",
)
SHARES = (0.16, 0.08, 0.15, 0.20, 0.14, 0.13, 0.14)  # of `EMOTIONS`; uneven as in FER2013
TRAINING_IDENTITIES, TEST_IDENTITIES = 400, 120


def draw_all(training=3600, public=600, private=600, seed=0):
    """Draws all three parts. No identity and no style is in two of them.

    Args:
        training: how many faces have usage Training.
        public: how many faces have usage PublicTest.
        private: how many faces have usage PrivateTest.
        seed: a whole number. The same seed gives the same faces.

    Returns:
        Pixels uint8 `[n, 48, 48]`, labels uint8 `[n]` and usage uint8 `[n]`.
    """
    counts = (training, public, private)
    parts = [draw(count, seed, usage) for usage, count in enumerate(counts)]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return pixels, labels, np.repeat(np.arange(3, dtype=np.uint8), counts)


def draw(count, seed, usage):
    """Draws the faces of one part, `usage` 0, 1 or 2.

    Returns pixels uint8 `[count, 48, 48]` and labels uint8 `[count]`.
    """
    random = np.random.default_rng([seed, usage])
    shares = np.round(np.cumsum(SHARES) * count).astype(int)
    labels = random.permutation(
        np.searchsorted(shares, np.arange(count), side="right").clip(0, len(EMOTIONS) - 1)
    ).astype(np.uint8)
    if usage == TRAINING:
        identities = random.integers(0, TRAINING_IDENTITIES, count)
    else:
        first = TRAINING_IDENTITIES + (usage - 1) * TEST_IDENTITIES
        identities = random.integers(first, first + TEST_IDENTITIES, count)
    choices = _styles_of(usage)
    styles = choices[random.integers(0, len(choices), count)]

    def draw_chunk(start):
        rows = slice(start, start + CHUNK)
        chunk_random = np.random.default_rng([seed, usage, start])
        return _draw_chunk(labels[rows], identities[rows], styles[rows], chunk_random)

    # NumPy releases the interpreter lock, so threads share the work.
    with concurrent.futures.ThreadPoolExecutor(processes.count_processors()) as threads:
        chunks = list(threads.map(draw_chunk, range(0, count, CHUNK)))
    pixels = (
        np.concatenate(chunks) if chunks else np.zeros((0, FER2013.side, FER2013.side), np.uint8)
    )
    return pixels, labels


def _styles_of(usage):
    """Returns the styles of one part, int `[m]`. Every third style belongs to a test part."""
    styles = np.arange(sketch.STYLES)
    if usage == TRAINING:
        return styles[styles % 3 != 2]
    return styles[(styles % 3 == 2) & ((styles // 3) % 2 == usage - 1)]


def _draw_chunk(labels, identities, styles, random):
    """Returns the drawings of one chunk, uint8 `[n, 48, 48]`. Each argument has one entry a face."""
    units, traits = _unit_strengths(labels, random), _identity_traits(identities)
    return sketch.paint_faces(units, traits, styles, random)


def _unit_strengths(labels, random):
    """Returns {AU: strength}, float32 `[n, 1, 1]` each, 0..1.1.

    The units of the emotion have a random strength. All units get a slight random one.
    """
    table = np.array(
        [[EMOTION_UNITS[name].get(unit, 0.0) for unit in ACTION_UNITS] for name in EMOTIONS],
        np.float32,
    )
    count = len(labels)
    strength = random.uniform(0.72, 1.0, (count, 1)) * random.uniform(
        0.8, 1.15, (count, len(ACTION_UNITS))
    )
    slight = random.uniform(0, 0.15, (count, len(ACTION_UNITS)))
    units = np.clip(table[labels] * strength + slight, 0, 1.1).astype(np.float32)
    return {unit: units[:, i, None, None] for i, unit in enumerate(ACTION_UNITS)}


def _identity_traits(identities):
    """Returns {trait: value}, float32 `[n, 1, 1]` each, -1..1. One identity has the same ones always."""
    unique, inverse = np.unique(identities, return_inverse=True)
    values = np.stack(
        [np.random.default_rng([7, int(i)]).uniform(-1, 1, len(TRAITS)) for i in unique]
    ).astype(np.float32)[inverse]
    return {name: values[:, i, None, None] for i, name in enumerate(TRAITS)}
