"""Draws what was found into a picture: boxes, names, and a bar for each emotion; a video's timeline."""

import contextlib
import itertools
import pathlib
import typing

import numpy as np

from insideout_tf import files
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import plots
from insideout_tf.photos import video

SMALLEST = 360  # pixels of the shorter side of a drawn-on picture; smaller ones are enlarged,
LARGEST = 2048  # but not beyond so many of the longer side
COLOURS = {  # Okabe & Ito's palette, safe for colour-blind readers
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#0072B2",
    "surprise": "#E69F00",
    "neutral": "#999999",
}


def draw(image, boxes, probabilities, scale=None):
    """Returns an RGB PIL image with each face's box and bars; a box of None is the whole picture.

    Bars stand on a dark panel beside the face where there is room. scale: enlargement, for a result
    of the picture's own proportions; by default that of `enlargement`, and a picture that is all face
    gets its panel at its right.
    """
    from PIL import Image, ImageDraw

    picture = image.convert("RGB")
    enlarged = scale or enlargement(picture.size)
    if enlarged > 1:
        picture = picture.resize(
            [side * enlarged for side in picture.size], Image.Resampling.NEAREST
        )
    unit = max(13, min(picture.size) // 40)  # height of the letters
    if scale is None and None in boxes:
        wider = Image.new("RGB", (picture.size[0] + 18 * unit, picture.size[1]))
        wider.paste(picture)
        picture = wider
    pencil = ImageDraw.Draw(picture, "RGBA")
    panels: list[tuple] = []
    for box, row in zip(boxes, probabilities):
        name = EMOTIONS[int(np.argmax(row))]
        if box is None:
            frame = (0, 0, image.size[0] * enlarged, image.size[1] * enlarged)
        else:
            left, top, width, height = (value * enlarged for value in box)
            frame = (left, top, left + width, top + height)
            pencil.rectangle(frame, outline="black", width=max(3, unit // 3))
            pencil.rectangle(frame, outline=COLOURS[name], width=max(2, unit // 5))
        panels.append(_panel(pencil, frame, picture.size, unit, row, panels))
    return picture


def enlargement(size):
    """Returns the whole number by which `draw` enlarges a picture of (width, height)."""
    return max(1, min(round(SMALLEST / min(size)), LARGEST // max(size)))


def _panel(pencil, frame, size, unit, row, taken):
    """Draws a face's seven bars beside its box where there is room; returns the place it took."""
    from PIL import ImageFont

    font = ImageFont.load_default(unit)
    letters = int(max(pencil.textlength(f"{name} 100 %", font) for name in EMOTIONS))
    gap = unit // 2
    width, height = letters + 6 * unit + 3 * gap, len(EMOTIONS) * int(1.25 * unit) + 2 * gap
    left, top, right, bottom = frame
    places = (
        (right + 2, top),
        (left - width - 2, top),
        (left, bottom + 2),
        (left, top - height - 2),
    )
    free = [
        place
        for place in places
        if place[0] >= 0
        and place[1] >= 0
        and place[0] + width <= size[0]
        and place[1] + height <= size[1]
        and not any(_meet((*place, width, height), other) for other in taken)
    ]
    # Without room it goes to the picture's lower left, over the face if need be.
    x, y = free[0] if free else (max(0, min(left, size[0] - width)), max(0, size[1] - height))
    pencil.rectangle((x, y, x + width, y + height), fill=(0, 0, 0, 190))
    for position, index in enumerate(np.argsort(-np.asarray(row), kind="stable")):
        name, share = EMOTIONS[index], float(row[index])
        line = y + gap + position * int(1.25 * unit)
        pencil.text((x + gap, line), f"{name} {share:.0%}", font=font, fill="white")
        start = x + 2 * gap + letters
        pencil.rectangle(
            (start, line + unit // 8, start + max(1, round(6 * unit * share)), line + unit),
            fill=COLOURS[name],
        )
    return (x, y, width, height)


def _meet(one, other):
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


def timeline(path, seconds, probabilities, title):
    """Writes a figure of the seven probabilities over time; rows of NaN are gaps without a face."""
    figure, axes = plots.create_figure(10, 4.2)
    for index, name in enumerate(EMOTIONS):
        axes.plot(
            seconds,
            probabilities[:, index],
            color=COLOURS[name] if name != "happy" else "#B8A800",  # yellow is too pale on white
            linewidth=1.6,
            label=name,
            marker="o" if len(seconds) < 3 else None,
        )
    axes.set_xlabel("time, s")
    axes.set_ylabel("probability")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(seconds[-1], 0.1))
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    plots.save(figure, path)


class Folder:
    """Drawn-on copies in one folder: NAME.png of a picture, NAME.mp4 and NAME-timeline.png of a video."""

    def __init__(self, folder):
        self._folder = folder
        self._taken: set[str] = set()
        self._numbers: dict[str, typing.Iterator[int]] = {}

    def _name(self, source):
        """Returns the source's own name, or with a number where another has it (capitals aside)."""
        name = stem = pathlib.Path(source.replace(":", "-")).stem
        numbers = self._numbers.setdefault(stem.casefold(), itertools.count(2))
        while name.casefold() in self._taken:
            name = f"{stem}-{next(numbers)}"
        self._taken.add(name.casefold())
        return name

    def picture(self, sighting):
        drawn = draw(sighting.image, [face.box for face in sighting.found], sighting.probabilities)
        with files.replacing(self._folder / f"{self._name(sighting.source)}.png") as temporary:
            drawn.save(temporary)

    @contextlib.contextmanager
    def video(self, source, clip):
        """Yields a function that draws one sighting after the other."""
        name = self._name(source)
        scale = enlargement(clip.size)
        size = tuple(side * scale for side in clip.size)
        seconds, largest = [], []
        nothing = np.full(len(EMOTIONS), np.nan, np.float32)

        with files.replacing(self._folder / f"{name}.mp4") as temporary:
            with video.writer(temporary, clip.fps, size) as append:

                def show(sighting):
                    boxes = [face.box for face in sighting.found]
                    drawn = draw(sighting.image, boxes, sighting.probabilities, scale)
                    append(np.asarray(drawn))
                    seconds.append(sighting.seconds)
                    largest.append(sighting.probabilities[0] if boxes else nothing)

                yield show
        if seconds:
            title = f"{pathlib.Path(source).name}: the largest face"
            path = self._folder / f"{name}-timeline.png"
            timeline(path, seconds, np.stack(largest), title)
