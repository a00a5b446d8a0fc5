"""Boxes with one short label a face, for a window or a page that shows the bars elsewhere."""

import typing

import numpy as np

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.photos.draw import colour_of
from insideout_tf.photos.labels import MAX_LETTERS

SHARE = 22  # the height of the letters is this part of the picture's shorter side
MIN_UNIT = 15  # pixels of the letters, at least


def draw_tags(image, boxes, names, probabilities, classes=EMOTIONS):
    """Returns a copy of a picture with the box of each face, and beside it its name and its emotion.

    A label is written above the box, or else below it, beside it or in it: in the first of these places
    that is in the picture and covers neither another face nor another label.

    Args:
        image: a PIL image.
        boxes: a list of n (left, top, width, height) in pixels; None is the whole picture.
        names: n texts, such as the numbers of the faces.
        probabilities: float32 `[n, k]`.
        classes: the names of the k classes.

    Returns:
        An RGB PIL image of the same size.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = image if image.mode == "RGB" else image.convert("RGB")
    picture = Image.fromarray(np.array(picture))  # a copy that may be drawn on
    unit = max(MIN_UNIT, min(picture.size) // SHARE)
    font = ImageFont.load_default(unit)
    pencil = ImageDraw.Draw(picture)
    frames = [_to_frame(box, picture.size) for box in boxes]
    taken: list[tuple] = []
    for frame, row in zip(frames, probabilities):
        colour = colour_of(int(np.argmax(row)), classes)
        pencil.rectangle(frame, outline="black", width=max(3, unit // 4))
        pencil.rectangle(frame, outline=colour, width=max(2, unit // 6))
    for index, (frame, name, row) in enumerate(zip(frames, names, probabilities)):
        label = int(np.argmax(row))
        text = f"{name} {classes[label][:MAX_LETTERS]} {float(row[label]):.0%}"
        width, height = int(pencil.textlength(text, font)) + unit // 2, int(1.3 * unit)
        others = [*frames[:index], *frames[index + 1 :], *taken]
        x, y = choose_place(frame, width, height, picture.size, others)
        place = (x, y, x + width, y + height)
        taken.append(place)
        colour = colour_of(label, classes)
        pencil.rectangle(place, fill="black")
        pencil.rectangle((x, y, x + max(3, unit // 4), y + height), fill=colour)
        pencil.text((x + unit // 2, y + height / 2), text, font=font, fill="white", anchor="lm")
    return picture


def _to_frame(box, size):
    """Returns (left, top, right, bottom) of a box, within the picture."""
    if box is None:
        return (0, 0, size[0] - 1, size[1] - 1)
    left, top, width, height = box
    return (
        max(0, left),
        max(0, top),
        max(0, min(size[0] - 1, left + width)),
        max(0, min(size[1] - 1, top + height)),
    )


def choose_place(frame, width, height, size, others) -> tuple[typing.Any, typing.Any]:
    """Returns (left, top) of the label of a face.

    frame: (left, top, right, bottom) of the face. width, height: of the label. size: of the picture.
    others: the frames of other faces and labels. If every place is taken, the label is at the top of its
    own face.
    """
    left, top, right, bottom = frame
    aligned = max(0, min(left, size[0] - width))
    places = [
        (aligned, top - height),
        (aligned, bottom + 1),
        (right + 1, top),
        (left - width - 1, top),
        (aligned, top),
        (aligned, bottom - height),
    ]
    for x, y in places:
        is_inside = x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]
        place = (x, y, x + width, y + height)
        if is_inside and not any(_overlap(place, other) for other in others):
            return x, y
    return aligned, max(0, min(top, size[1] - height))


def _overlap(one, other):
    """Returns True if two frames (left, top, right, bottom) share a pixel."""
    return all(one[i] < other[i + 2] and other[i] < one[i + 2] for i in (0, 1))
