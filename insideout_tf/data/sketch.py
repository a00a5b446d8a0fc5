"""Paints face drawings with NumPy, many at once, from action units, traits and a style.

Coordinates: u and v are the face frame, u to the right and v down, with a head about 0.8 wide and
1 high on either side of its centre. x and y are the image frame, -1..1. Grey levels are 0..1.
"""

import numpy as np

from insideout_tf.data.contract import FER2013

STYLES = 12  # ways to draw; every list of 12 below has one value a style


def paint_faces(units, traits, styles, random):
    """Returns face drawings, uint8 `[n, 48, 48]`.

    Args:
        units: {action unit: strength}, float32 `[n, 1, 1]` each, 0..1.1.
        traits: {name: value}, float32 `[n, 1, 1]` each, -1..1: what belongs to a person.
        styles: integers `[n]` below `STYLES`.
        random: a NumPy `Generator` for pose, background, light and noise.
    """
    sketch = _Sketch(units, traits, styles, random)
    _paint_background(sketch)
    _paint_head(sketch)
    for side in (-1.0, 1.0):
        _paint_eye(sketch, side)
        _paint_brow(sketch, side)
    _paint_nose(sketch)
    _paint_mouth(sketch)
    _paint_glasses(sketch)
    return _photograph(sketch)


class _Sketch:
    """A chunk of drawings in progress: pose, image and the tools that paint on it."""

    def __init__(self, units, traits, styles, random):
        self.units, self.traits, self.random = units, traits, random
        self._styles = styles
        axis = (np.arange(FER2013.side, dtype=np.float32) + 0.5) / FER2013.side * 2 - 1
        self.x = axis[None, None, :] - self.vary(-0.12, 0.12)
        self.y = axis[None, :, None] - self.vary(-0.12, 0.12)
        roll, scale = np.deg2rad(self.vary(-17, 17)), self.vary(1.05, 1.4)
        self.yaw = self.vary(-0.2, 0.2)
        self.u = (np.cos(roll) * self.x + np.sin(roll) * self.y) * scale
        self.v = (np.cos(roll) * self.y - np.sin(roll) * self.x) * scale
        # Across the face: features slide on a round head when it turns.
        self.across = self.u + self.yaw * np.maximum(1 - self.u * self.u, 0)
        self.edge = self.by_style(
            [0.05, 0.08, 0.06, 0.1, 0.05, 0.08, 0.12, 0.06, 0.07, 0.05, 0.1, 0.09]
        )
        self.dark = self.by_style(
            [0.08, 0.12, 0.16, 0.1, 0.2, 0.08, 0.14, 0.1, 0.06, 0.18, 0.12, 0.15]
        )
        self.skin = 0.66 + 0.14 * traits["skin"]
        self.eye_y = -0.16 + 0.04 * traits["eye_height"]
        self.image = None

    def vary(self, low, high):
        """Returns one uniform random number a drawing, float32 `[n, 1, 1]`."""
        return self.random.uniform(low, high, (len(self._styles), 1, 1)).astype(np.float32)

    def by_style(self, values):
        """Returns the value of each drawing's style, float32 `[n, 1, 1]`."""
        return np.asarray(values, np.float32)[self._styles][:, None, None]

    def ellipse(self, at_x, at_y, half_x, half_y, plane=None, edge=1.0):
        """Returns the cover (0..1) of a filled ellipse on the plane `across`, or another one."""
        plane = self.across if plane is None else plane
        across, down = (plane - at_x) * (1 / half_x), (self.v - at_y) * (1 / half_y)
        across *= across
        down = down * down
        down += across
        np.sqrt(down, out=down)
        return _step((1 - down) * (np.minimum(half_x, half_y) / (self.edge * edge)))

    def stroke(self, from_centre, curve, half_length, thickness):
        """Returns the cover (0..1) of a line along v = `curve`, as long as twice `half_length`."""
        inside = _step((half_length - np.abs(from_centre)) * (1 / self.edge))
        return _bump((self.v - curve) * (1 / thickness)) * inside

    def paint(self, tone, cover):
        """Paints the grey level `tone` where `cover` is 1, and mixes it in where it is below."""
        tone = tone - self.image
        tone *= cover
        self.image += tone


def _paint_background(sketch):
    tone = sketch.vary(0.1, 0.9)
    stripes = sketch.by_style([0, 0, 0.12, 0, 0.1, 0, 0, 0.15, 0, 0.1, 0, 0.12])
    wave = sketch.x * sketch.vary(-1, 1) + sketch.y * sketch.vary(-1, 1)
    sketch.image = tone + stripes * np.sin(6 * wave + sketch.vary(0, 6))


def _paint_head(sketch):
    """Paints hair, skin and fringe. A dropped jaw (26) makes the head longer."""
    units, traits = sketch.units, sketch.traits
    half_width, half_height = 0.8 + 0.08 * traits["width"], 1.02 + 0.08 * traits["height"]
    jaw = 0.12 * units[26]
    hair_tone = 0.25 + 0.22 * traits["hair"]
    size = sketch.by_style([1.1, 1.16, 1.08, 1.2, 1.0, 1.14, 1.1, 1.18, 1.22, 1.02, 1.12, 1.16])
    hair = sketch.ellipse(0, -0.12, half_width * size, half_height * size, sketch.u)
    sketch.paint(hair_tone, hair)
    head = sketch.ellipse(0, jaw / 2, half_width, half_height + jaw / 2, sketch.u)
    sketch.paint(sketch.skin, head)
    line = sketch.by_style([0.68, 0.8, 0.74, 0.62, 0.9, 0.7, 0.78, 0.66, 0.72, 0.86, 0.64, 0.76])
    line = line + 0.06 * traits["hairline"]
    above = _step((-sketch.v - line) / sketch.edge)
    sketch.paint(
        hair_tone,
        above * sketch.ellipse(0, 0, half_width * 1.05, half_height * 1.05, sketch.u),
    )


def _paint_eye(sketch, side):
    """Paints an eye and its lids: raised (5), tight (7) or pushed up by the cheek (6, 9).

    side: -1 left, 1 right.
    """
    units, traits, eye_y = sketch.units, sketch.traits, sketch.eye_y
    opening = 0.105 + 0.015 * traits["eye_size"] + 0.075 * units[5] - 0.05 * units[7]
    opening = np.maximum(opening - 0.04 * units[6] - 0.02 * units[9], 0.025)
    white = sketch.by_style([0.95, 0.9, 0.85, 0.95, 0.8, 0.92, 0.9, 0.97, 0.86, 0.9, 0.94, 0.88])
    eye_x = side * (0.36 + 0.04 * traits["eye_gap"])
    shape = sketch.ellipse(eye_x, eye_y, 0.185, opening, edge=0.6)
    sketch.paint(white, shape)
    iris = sketch.ellipse(eye_x + 0.04 * sketch.yaw, eye_y, 0.085, 0.085, edge=0.6)
    sketch.paint(sketch.dark, iris * shape)
    along = sketch.across - eye_x
    lid = eye_y - opening * np.maximum(1 - (along / 0.2) ** 2, 0)
    sketch.paint(sketch.dark, 0.8 * sketch.stroke(along, lid, 0.2, 0.03))
    cheek = eye_y + opening + 0.05  # a raised cheek folds the skin below the eye
    fold = sketch.stroke(along, cheek - 0.5 * along**2, 0.2, 0.03)
    sketch.paint(sketch.skin * 0.6, 0.7 * units[6] * fold)


def _paint_brow(sketch, side):
    """Paints a brow: raised at its inner (1) or outer end (2), or lowered (4, 9).

    side: -1 left, 1 right.
    """
    units, traits = sketch.units, sketch.traits
    along = sketch.across - side * (0.36 + 0.04 * traits["eye_gap"])
    out = along * side  # -0.2 at the inner end, 0.2 at the outer end
    inner = np.clip(0.5 - out / 0.4, 0, 1)  # 1 at the inner end
    brow = (
        sketch.eye_y
        - 0.25
        - 0.03 * traits["brow_gap"]
        + 0.02 * side * traits["asymmetry"]
        - units[1] * 0.15 * inner
        - units[2] * 0.17 * (1 - inner)
        + units[4] * (0.06 + 0.11 * inner)
        + units[9] * 0.06 * inner
        - 0.25 * out**2
        + 0.01
    )
    thickness = 0.045 + 0.012 * traits["brow_thick"]
    together = 0.05 * units[4]
    line = sketch.stroke(along + side * together, brow, 0.22, thickness)
    sketch.paint(sketch.dark, 0.95 * line)


def _paint_nose(sketch):
    """Paints the nose. A wrinkled one (9) folds at its root, and at its wings as with 10."""
    units, across, v = sketch.units, sketch.across, sketch.v
    nose_y = 0.2 + 0.04 * sketch.traits["nose"] - 0.04 * units[9]
    line = sketch.stroke(across, nose_y - 0.35 * across**2, 0.14, 0.035)
    sketch.paint(sketch.skin * 0.72, 0.8 * line)
    for offset in (-0.08, 0.0):
        curve = sketch.eye_y + 0.1 + offset + 0.9 * across**2
        fold = sketch.stroke(across, curve, 0.13, 0.026)
        sketch.paint(sketch.skin * 0.5, 0.85 * np.minimum(units[9], 1) * fold)
    wing = np.abs(across) - 0.2
    sketch.paint(
        sketch.skin * 0.55,
        0.7
        * np.clip(units[9] + 0.6 * units[10], 0, 1)
        * _bump((wing - 0.5 * (v - nose_y)) * (1 / 0.035))
        * _step((v - nose_y + 0.08) / sketch.edge)
        * _step((nose_y + 0.2 - v) / sketch.edge),
    )


def _paint_mouth(sketch):
    """Paints two lips along a curve (12, 15, 20), open (25, 26) or pressed (24), and the chin (17)."""
    units, traits, across, v = sketch.units, sketch.traits, sketch.across, sketch.v
    half = 0.29 + 0.04 * traits["mouth_width"] + 0.07 * units[12] + 0.09 * units[20]
    half = half - 0.08 * units[26]
    mouth_y = 0.52 + 0.04 * traits["mouth_height"] + 0.04 * units[26] - 0.02 * units[17]
    t = np.clip(across / half, -1.2, 1.2)
    bend = mouth_y + t**2 * (-0.15 * units[12] + 0.16 * units[15] + 0.03 * units[20])
    bend = bend + 0.05 * units[12] - 0.05 * units[15]
    arch = np.sqrt(np.maximum(1 - t**2, 0) + 1e-6)
    gap = 0.02 + 0.07 * units[25] + 0.2 * units[26] - 0.02 * units[24]
    upper = bend - (0.35 * gap + 0.1 * units[10]) * arch
    lower = bend + 0.75 * np.maximum(gap, 0.012) * arch
    between = _step((v - upper) / (0.5 * sketch.edge)) * _step((lower - v) / (0.5 * sketch.edge))
    between = between * _step((half - np.abs(across)) / sketch.edge)
    teeth = sketch.by_style([0.9, 0.1, 0.8, 0.15, 0.9, 0.1, 0.2, 0.85, 0.12, 0.8, 0.9, 0.85])
    filling = np.where((v < (upper + lower) / 2) & (units[26] < 0.5), teeth, sketch.dark)
    is_open = _step((lower - upper - 0.07) / 0.02)
    thickness = (0.05 + 0.012 * traits["lip"]) * (1 - 0.5 * np.minimum(units[24], 1))
    lip_tone = np.where(units[24] > 0.5, sketch.dark, sketch.skin * 0.45)
    sketch.paint(lip_tone, 0.9 * sketch.stroke(across, upper, half, thickness))
    sketch.paint(lip_tone, 0.9 * sketch.stroke(across, lower, half, thickness))
    sketch.paint(filling, between * is_open)
    chin = sketch.stroke(across, mouth_y + 0.24 - 0.6 * across**2, 0.16, 0.03)
    sketch.paint(sketch.skin * 0.6, 0.6 * units[17] * chin)


def _paint_glasses(sketch):
    """Paints glasses, in three of the styles."""
    glasses = sketch.by_style([0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]) * 0.8
    for side in (-1.0, 1.0):
        distance = (sketch.across - side * 0.37) ** 2 + (sketch.v - sketch.eye_y) ** 2
        ring = np.sqrt(distance + 1e-6) - 0.25
        sketch.paint(sketch.dark, glasses * _bump(ring * (1 / 0.03)))


def _photograph(sketch):
    """Returns the drawings as uint8 `[n, 48, 48]`, under uneven light and with a camera's noise."""
    light = 1 + sketch.vary(-0.35, 0.35) * sketch.x + sketch.vary(-0.25, 0.25) * sketch.y
    image = (sketch.image * light - 0.5) * sketch.vary(0.65, 1.1) + 0.5 + sketch.vary(-0.12, 0.12)
    noise = sketch.random.standard_normal(image.shape, np.float32) * sketch.vary(0.01, 0.045)
    return np.clip(np.rint((image + noise) * 255), 0, 255).astype(np.uint8)


def _step(value):
    """Returns 0 below -0.5, 1 above 0.5, and a straight line between."""
    value = value + np.float32(0.5)
    np.maximum(value, 0, out=value)
    return np.minimum(value, 1, out=value)


def _bump(value):
    """Returns a bell of height 1, about as wide as exp(-value²) but cheaper."""
    value = value * value
    value *= np.float32(-0.3)
    value += 1
    np.maximum(value, 0, out=value)
    value *= value
    return value
