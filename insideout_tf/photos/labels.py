"""Chooses where the labels of faces stand in a picture, so that they cover no other face, and draws them."""

import typing

import numpy as np

MAX_BARS = 8  # classes of a face: the likeliest ones
MAX_LETTERS = 24  # of the name of a class
BAR_WIDTH = 6  # times the height of the letters
GAP = 2  # pixels between a box and its label


class Frame(typing.NamedTuple):
    """A rectangle of the picture in pixels: of a face, or of a label."""

    left: float
    top: float
    width: float
    height: float

    def overlaps(self, other):
        """Returns True if both share a pixel."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


def draw_labels(pencil, frames, size, unit, rows, classes, numbers, colours, has_bars=True):
    """Draws the probabilities of each face beside it; returns the `Frame`s of the labels.

    Each face has a panel of bars if there is room for all the panels. Else each has one line. No label
    covers another face or another label. In a crowd a line is shortened to the class, then to the
    number; it may stand on its own face, and is excluded at last.

    Args:
        pencil: a `PIL.ImageDraw.Draw` with alpha.
        frames: the `Frame` of each face.
        size: (width, height) of the picture.
        unit: height of the letters in pixels.
        rows: float `[n, k]`, the probabilities.
        classes: the names of the k classes.
        numbers: the number of each face for its label, or None.
        colours: the colour of each class.
        has_bars: False writes one line a face even if there is room for bars.

    Returns:
        A list of `Frame`; None for a label that was excluded.
    """
    panels = measure_panels(pencil, unit, rows, classes, numbers) if has_bars else []
    places = _place_all(
        frames, [[panel] for panel in panels], size, is_inside_allowed=len(frames) == 1
    )
    if has_bars and all(place is not None for place in places):
        chosen = [place[1] for place in places]
        for frame, row, number in zip(chosen, rows, numbers or [None] * len(rows)):
            _draw_panel(pencil, frame, unit, row, classes, number, colours)
        return chosen
    lines = [
        _write_lines(row, classes, number)
        for row, number in zip(rows, numbers or [None] * len(rows))
    ]
    sizes = [[_measure_line(pencil, unit, text) for text in texts] for texts in lines]
    places = _place_all(frames, sizes, size, is_inside_allowed=True)
    for texts, place, row in zip(lines, places, rows):
        if place is not None:
            index, frame = place
            _draw_line(pencil, frame, unit, texts[index], colours[int(np.argmax(row))])
    return [None if place is None else place[1] for place in places]


def measure_panels(pencil, unit, rows, classes, numbers=None):
    """Returns the (width, height) of the panel of each face."""
    gap, letters = unit // 2, measure_letters(pencil, unit, classes)
    width = letters + BAR_WIDTH * unit + 3 * gap
    lines = [min(len(row), MAX_BARS) + (numbers is not None) for row in rows]
    return [(width, count * int(1.25 * unit) + 2 * gap) for count in lines]


def measure_letters(pencil, unit, classes):
    """Returns the width in pixels of the longest class with its probability, at letters of `unit`."""
    font = _load_font(unit)
    return int(max(pencil.textlength(f"{name[:MAX_LETTERS]} 100 %", font) for name in classes))


def _load_font(unit):
    from PIL import ImageFont

    return ImageFont.load_default(unit)


def _place_all(frames, sizes, limits, is_inside_allowed):
    """Returns (index of the size, `Frame`) of the label of each face, or None where nothing fits.

    sizes: for each face a list of (width, height), the preferred one first. Faces choose in order.
    """
    places: list = []
    for index, (frame, options) in enumerate(zip(frames, sizes)):
        others = [*frames[:index], *frames[index + 1 :]]
        taken = others + [place[1] for place in places if place is not None]
        found = _place(frame, options, limits, taken, _list_outside)
        if found is None and is_inside_allowed:
            found = _place(frame, options, limits, taken, _list_inside)
        places.append(found)
    return places


def _place(frame, options, limits, taken, list_places):
    """Returns (index of the size, `Frame`) of the first label that is in the picture and free, or None."""
    for index, (width, height) in enumerate(options):
        for left, top in list_places(frame, width, height, limits):
            label = Frame(left, top, width, height)
            is_in = (
                left >= 0 and top >= 0 and left + width <= limits[0] and top + height <= limits[1]
            )
            if is_in and not any(label.overlaps(other) for other in taken):
                return index, label
    return None


def _list_outside(frame, width, height, limits):
    """Returns the places (left, top) of a label beside a face, the preferred one first."""
    right, bottom = frame.left + frame.width + GAP, frame.top + frame.height + GAP
    above, before = frame.top - height - GAP, frame.left - width - GAP
    ends = frame.left + frame.width - width, frame.top + frame.height - height
    beside = [(x, y) for y in (frame.top, ends[1]) for x in (right, before)]
    columns = (frame.left, (frame.left + ends[0]) / 2, ends[0])
    if width > 2 * height:  # a line
        return [(x, y) for x in columns for y in (above, bottom)] + beside
    return beside + [(x, y) for x in columns for y in (bottom, above)]


def _list_inside(frame, width, height, limits):
    """Returns the places of a label on its own face: along its lower edge, then its upper one.

    A label that is wider than the face, such as a panel in a small picture, goes to the lower edge.
    """
    left = max(0, min(frame.left, limits[0] - width))
    top = max(0, min(frame.top + frame.height, limits[1]) - height)
    return [(left, top), (max(0, frame.left + frame.width - width), top), (left, max(0, frame.top))]


def _write_lines(row, classes, number):
    """Returns the texts of a label of one line, the longest first."""
    index = int(np.argmax(row))
    name = classes[index][:MAX_LETTERS]
    start = "" if number is None else f"{number}: "
    texts = [f"{start}{name} {float(row[index]):.0%}", f"{start}{name}"]
    return texts if number is None else [*texts, str(number)]


def _measure_line(pencil, unit, text):
    return int(pencil.textlength(text, _load_font(unit))) + unit + unit // 3, int(1.4 * unit)


def _draw_line(pencil, frame, unit, text, colour):
    """Draws one line with a strip in the colour of its class."""
    left, top, width, height = frame
    pencil.rectangle((left, top, left + width, top + height), fill=(0, 0, 0, 190))
    pencil.rectangle((left, top, left + unit // 3, top + height), fill=colour)
    place = (left + unit // 3 + unit // 2, top + unit // 8)
    pencil.text(place, text, font=_load_font(unit), fill="white")


def _draw_panel(pencil, frame, unit, row, classes, number, colours):
    """Draws the bars of a face, with its number above them."""
    left, top, width, height = frame
    font, letters = _load_font(unit), measure_letters(pencil, unit, classes)
    gap, line_height = unit // 2, int(1.25 * unit)
    pencil.rectangle((left, top, left + width, top + height), fill=(0, 0, 0, 190))
    y = top + gap
    if number is not None:
        pencil.text((left + gap, y), f"face {number}", font=font, fill="white")
        y += line_height
    for index in np.argsort(-np.asarray(row), kind="stable")[:MAX_BARS]:
        name, probability = classes[index][:MAX_LETTERS], float(row[index])
        pencil.text((left + gap, y), f"{name} {probability:.0%}", font=font, fill="white")
        start = left + 2 * gap + letters
        end = start + max(1, round(BAR_WIDTH * unit * probability))
        pencil.rectangle((start, y + unit // 8, end, y + unit), fill=colours[index])
        y += line_height
