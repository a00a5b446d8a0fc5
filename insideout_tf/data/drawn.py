"""Drawn faces for the quickstart and the tests: seven emotions from facial action units.

Brows, lids and mouth are set by the action units (AU) of the Facial Action Coding System (Ekman &
Friesen 1978) that the emotion dictionary EMFACS (Friesen & Ekman 1983) gives each emotion. Nothing
measured on these drawings says anything about people.
"""

import concurrent.futures
import os

import numpy as np

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import TRAINING

SIDE = 48
CHUNK = 64  # faces drawn together, few enough that the arrays stay in the cache

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
SHARES = (0.16, 0.08, 0.15, 0.20, 0.14, 0.13, 0.14)  # uneven, as FER2013 is
STYLES = 12  # ways to draw; every third is kept for the evaluation faces
TRAINING_IDENTITIES, TEST_IDENTITIES = 400, 120


def draw_all(training=3600, public=600, private=600, seed=0):
    """Draws the parts 0 Training, 1 PublicTest, 2 PrivateTest; no identity or style is in two.

    Returns pixels uint8 `[n, 48, 48]`, labels uint8 `[n]`, usage uint8 `[n]`.
    """
    counts = (training, public, private)
    parts = [draw(count, seed, usage) for usage, count in enumerate(counts)]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return pixels, labels, np.repeat(np.arange(3, dtype=np.uint8), counts)


def draw(count, seed, usage):
    """Draws `count` faces of one part; returns uint8 `[count, 48, 48]` and labels uint8 `[count]`."""
    random = np.random.default_rng([seed, usage])
    shares = np.round(np.cumsum(SHARES) * count).astype(int)
    labels = random.permutation(
        np.searchsorted(shares, np.arange(count), side="right").clip(0, len(EMOTIONS) - 1)
    ).astype(np.uint8)
    styles = [
        style
        for style in range(STYLES)
        if (style % 3 == 2) == (usage != TRAINING)
        and (usage == TRAINING or (style // 3) % 2 == usage - 1)
    ]
    if usage == TRAINING:
        identities = random.integers(0, TRAINING_IDENTITIES, count)
    else:
        first = TRAINING_IDENTITIES + (usage - 1) * TEST_IDENTITIES
        identities = random.integers(first, first + TEST_IDENTITIES, count)
    styles = np.asarray(styles)[random.integers(0, len(styles), count)]

    def chunk(start):  # NumPy lets go of the interpreter lock, so threads share the work
        rows = slice(start, start + CHUNK)
        return _draw_chunk(
            labels[rows],
            identities[rows],
            styles[rows],
            np.random.default_rng([seed, usage, start]),
        )

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        chunks = list(threads.map(chunk, range(0, count, CHUNK)))
    pixels = np.concatenate(chunks) if chunks else np.zeros((0, SIDE, SIDE), np.uint8)
    return pixels, labels


def _unit_strengths(labels, random):
    """Returns {AU: float32 `[n, 1, 1]`}: the emotion's units at varying strength, plus slight others."""
    table = np.array(
        [[EMOTION_UNITS[name].get(unit, 0.0) for unit in ACTION_UNITS] for name in EMOTIONS],
        np.float32,
    )
    count = len(labels)
    strength = random.uniform(0.72, 1.0, (count, 1)) * random.uniform(
        0.8, 1.15, (count, len(ACTION_UNITS))
    )
    stray = random.uniform(0, 0.15, (count, len(ACTION_UNITS)))
    units = np.clip(table[labels] * strength + stray, 0, 1.1).astype(np.float32)
    return {unit: units[:, i, None, None] for i, unit in enumerate(ACTION_UNITS)}


def _identity_traits(identities):
    """Returns float32 `[n, 1, 1]` proportions and tones that belong to a person, not an emotion."""
    names = (
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
    unique, inverse = np.unique(identities, return_inverse=True)
    values = np.stack(
        [np.random.default_rng([7, int(i)]).uniform(-1, 1, len(names)) for i in unique]
    ).astype(np.float32)[inverse]
    return {name: values[:, i, None, None] for i, name in enumerate(names)}


def _draw_chunk(labels, identities, styles, random):
    count = len(labels)
    au, who = _unit_strengths(labels, random), _identity_traits(identities)

    def vary(low, high):
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    def styled(values):
        return np.asarray(values, np.float32)[styles][:, None, None]

    # Pose: pixel → face frame, whose half-width is about 1; v grows downwards.
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
    x, y = axis[None, None, :] - vary(-0.12, 0.12), axis[None, :, None] - vary(-0.12, 0.12)
    roll, scale, yaw = np.deg2rad(vary(-17, 17)), vary(1.05, 1.4), vary(-0.2, 0.2)
    u = (np.cos(roll) * x + np.sin(roll) * y) * scale
    v = (np.cos(roll) * y - np.sin(roll) * x) * scale
    features = u + yaw * np.maximum(1 - u * u, 0)  # features slide on a round head

    soft = styled([0.05, 0.08, 0.06, 0.1, 0.05, 0.08, 0.12, 0.06, 0.07, 0.05, 0.1, 0.09])

    def ellipse(at_x, at_y, half_x, half_y, plane=features, edge=1.0):
        across, down = (plane - at_x) * (1 / half_x), (v - at_y) * (1 / half_y)
        across *= across
        down = down * down
        down += across
        np.sqrt(down, out=down)
        return _step((1 - down) * (np.minimum(half_x, half_y) / (soft * edge)))

    def stroke(from_centre, curve, half_length, thickness):
        inside = _step((half_length - np.abs(from_centre)) * (1 / soft))
        return _bump((v - curve) * (1 / thickness)) * inside

    # Background, hair, head.
    tone = vary(0.1, 0.9)
    stripes = styled([0, 0, 0.12, 0, 0.1, 0, 0, 0.15, 0, 0.1, 0, 0.12])
    image = tone + stripes * np.sin(6 * (x * vary(-1, 1) + y * vary(-1, 1)) + vary(0, 6))
    half_width, half_height = 0.8 + 0.08 * who["width"], 1.02 + 0.08 * who["height"]
    jaw = 0.12 * au[26]
    hair_tone = 0.25 + 0.22 * who["hair"]
    skin = 0.66 + 0.14 * who["skin"]
    hair_size = styled([1.1, 1.16, 1.08, 1.2, 1.0, 1.14, 1.1, 1.18, 1.22, 1.02, 1.12, 1.16])
    image = _over(
        image, hair_tone, ellipse(0, -0.12, half_width * hair_size, half_height * hair_size, u)
    )
    image = _over(image, skin, ellipse(0, jaw / 2, half_width, half_height + jaw / 2, u))
    fringe = styled([0.68, 0.8, 0.74, 0.62, 0.9, 0.7, 0.78, 0.66, 0.72, 0.86, 0.64, 0.76])
    fringe = fringe + 0.06 * who["hairline"]
    image = _over(
        image,
        hair_tone,
        _step((-v - fringe) / soft) * ellipse(0, 0, half_width * 1.05, half_height * 1.05, u),
    )

    # Eyes, lids and brows, on both sides.
    dark = styled([0.08, 0.12, 0.16, 0.1, 0.2, 0.08, 0.14, 0.1, 0.06, 0.18, 0.12, 0.15])
    eye_y = -0.16 + 0.04 * who["eye_height"]
    opening = 0.105 + 0.015 * who["eye_size"] + 0.075 * au[5] - 0.05 * au[7] - 0.04 * au[6]
    opening = np.maximum(opening - 0.02 * au[9], 0.025)
    white = styled([0.95, 0.9, 0.85, 0.95, 0.8, 0.92, 0.9, 0.97, 0.86, 0.9, 0.94, 0.88])
    brow_thick = 0.045 + 0.012 * who["brow_thick"]
    for side in (-1.0, 1.0):
        eye_x = side * (0.36 + 0.04 * who["eye_gap"])
        shape = ellipse(eye_x, eye_y, 0.185, opening, edge=0.6)
        image = _over(image, white, shape)
        iris = ellipse(eye_x + 0.04 * yaw, eye_y, 0.085, 0.085, edge=0.6)
        image = _over(image, dark, iris * shape)
        across = features - eye_x
        image = _over(
            image,
            dark,
            0.8
            * stroke(across, eye_y - opening * np.maximum(1 - (across / 0.2) ** 2, 0), 0.2, 0.03),
        )
        cheek = eye_y + opening + 0.05  # a raised cheek folds the skin below the eye
        image = _over(
            image, skin * 0.6, 0.7 * au[6] * stroke(across, cheek - 0.5 * across**2, 0.2, 0.03)
        )
        # inner end of the brow: across·side = -0.2; outer end: +0.2
        out = across * side
        rise = np.clip(0.5 - out / 0.4, 0, 1)  # 1 at the inner end
        brow = (
            eye_y
            - 0.25
            - 0.03 * who["brow_gap"]
            + 0.02 * side * who["asymmetry"]
            - au[1] * 0.15 * rise
            - au[2] * 0.17 * (1 - rise)
            + au[4] * (0.06 + 0.11 * rise)
            + au[9] * 0.06 * rise
            - 0.25 * out**2
            + 0.01
        )
        together = 0.05 * au[4]
        image = _over(image, dark, 0.95 * stroke(across + side * together, brow, 0.22, brow_thick))

    # Nose; a wrinkled one folds at its root and wings.
    nose_y = 0.2 + 0.04 * who["nose"] - 0.04 * au[9]
    image = _over(
        image, skin * 0.72, 0.8 * stroke(features, nose_y - 0.35 * features**2, 0.14, 0.035)
    )
    for fold in (-0.08, 0.0):
        image = _over(
            image,
            skin * 0.5,
            0.85
            * np.minimum(au[9], 1)
            * stroke(features, eye_y + 0.1 + fold + 0.9 * features**2, 0.13, 0.026),
        )
    wing = np.abs(features) - 0.2
    image = _over(
        image,
        skin * 0.55,
        0.7
        * np.clip(au[9] + 0.6 * au[10], 0, 1)
        * _bump((wing - 0.5 * (v - nose_y)) * (1 / 0.035))
        * _step((v - nose_y + 0.08) / soft)
        * _step((nose_y + 0.2 - v) / soft),
    )

    # Mouth: a curve with two lips that part.
    half = 0.29 + 0.04 * who["mouth_width"] + 0.07 * au[12] + 0.09 * au[20] - 0.08 * au[26]
    mouth_y = 0.52 + 0.04 * who["mouth_height"] + 0.04 * au[26] - 0.02 * au[17]
    t = np.clip(features / half, -1.2, 1.2)
    bend = (
        mouth_y
        + t**2 * (-0.15 * au[12] + 0.16 * au[15] + 0.03 * au[20])
        + 0.05 * au[12]
        - 0.05 * au[15]
    )
    arch = np.maximum(1 - t**2, 0)
    gap = 0.02 + 0.07 * au[25] + 0.2 * au[26] - 0.02 * au[24]
    upper = bend - (0.35 * gap + 0.1 * au[10]) * np.sqrt(arch + 1e-6)
    lower = bend + 0.75 * np.maximum(gap, 0.012) * np.sqrt(arch + 1e-6)
    between = _step((v - upper) / (0.5 * soft)) * _step((lower - v) / (0.5 * soft))
    between = between * _step((half - np.abs(features)) / soft)
    teeth = styled([0.9, 0.1, 0.8, 0.15, 0.9, 0.1, 0.2, 0.85, 0.12, 0.8, 0.9, 0.85])
    filling = np.where((v < (upper + lower) / 2) & (au[26] < 0.5), teeth, dark)
    parted = _step((lower - upper - 0.07) / 0.02)
    lip_thick = (0.05 + 0.012 * who["lip"]) * (1 - 0.5 * np.minimum(au[24], 1))
    lip_tone = np.where(au[24] > 0.5, dark, skin * 0.45)
    image = _over(image, lip_tone, 0.9 * stroke(features, upper, half, lip_thick))
    image = _over(image, lip_tone, 0.9 * stroke(features, lower, half, lip_thick))
    image = _over(image, filling, between * parted)
    image = _over(
        image,
        skin * 0.6,
        0.6 * au[17] * stroke(features, mouth_y + 0.24 - 0.6 * features**2, 0.16, 0.03),
    )

    # Glasses in some styles, light, focus and noise.
    glasses = styled([0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]) * 0.8
    for side in (-1.0, 1.0):
        ring = np.sqrt((features - side * 0.37) ** 2 + (v - eye_y) ** 2 + 1e-6)
        image = _over(image, dark, glasses * _bump((ring - 0.25) * (1 / 0.03)))
    light = 1 + vary(-0.35, 0.35) * x + vary(-0.25, 0.25) * y
    image = (image * light - 0.5) * vary(0.65, 1.1) + 0.5 + vary(-0.12, 0.12)
    image = image + random.standard_normal((count, SIDE, SIDE), np.float32) * vary(0.01, 0.045)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _step(value):
    """A smooth-edged step from 0 to 1 about zero."""
    value = value + np.float32(0.5)
    np.maximum(value, 0, out=value)
    return np.minimum(value, 1, out=value)


def _bump(value):
    """A bell of height 1 and about the width of exp(-value²), without the exponential."""
    value = value * value
    value *= np.float32(-0.3)
    value += 1
    np.maximum(value, 0, out=value)
    value *= value
    return value


def _over(image, tone, cover):
    """Paints `tone` over `image` (changed in place) where `cover` is 1."""
    tone = tone - image
    tone *= cover
    image += tone
    return image
