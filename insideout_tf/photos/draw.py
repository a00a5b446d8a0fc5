"""Draws results into copies of pictures and video: boxes, names, bars, and a timeline."""

import contextlib
import itertools
import pathlib
import typing

import numpy as np

from insideout_tf import files, targets
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import plots
from insideout_tf.photos import video

MIN_SIDE = 360  # pixels; a picture whose shorter side is less is enlarged,
MAX_SIDE = 2048  # but not beyond this longer side
COLOURS = {  # Okabe & Ito's palette, safe for colour-blind readers
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#0072B2",
    "surprise": "#E69F00",
    "neutral": "#999999",
}
OTHER_COLOURS = ("#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#E69F00", "#0072B2")
MAX_BARS = 8  # classes of a face in a copy, and of a timeline: the likeliest ones
DARK_YELLOW = "#B8A800"  # for lines on white, where yellow is too pale
KIND = "annotated copy"  # kept in the pictures
SUFFIX, TIMELINE = "-annotated", "-timeline.png"
# An empty box at the end of an MP4 file, which players skip (ISO/IEC 14496-12, section 8.1.2).
VIDEO_MARK = b"\0\0\0\x23free" + b"insideout_tf annotated copy"
MAX_LETTERS = 24  # of the name of a class
BAR_WIDTH = 6  # times the height of the letters


def colour_of(index, classes):
    """Returns the colour of a class, "#RRGGBB".

    An emotion of FER2013 has its own. The other classes take turns with the colours that no emotion among
    `classes` has.
    """
    name = classes[index]
    if name in COLOURS:
        return COLOURS[name]
    used = {COLOURS[each] for each in classes if each in COLOURS}
    free = [colour for colour in OTHER_COLOURS if colour not in used] or OTHER_COLOURS
    others = [each for each in classes if each not in COLOURS]
    return free[others.index(name) % len(free)]


def draw_faces(image, boxes, probabilities, scale=None, classes=EMOTIONS):
    """Returns a copy of a picture with the box and the bars of each face.

    Bars stand on a dark panel beside the face where there is room.

    Args:
        image: a PIL image.
        boxes: a list of n (left, top, width, height) in pixels; None is the whole picture.
        probabilities: float32 `[n, k]`, in the order of `classes`.
        scale: a whole number by which the copy is enlarged, without a change of proportions. None
            takes that of `choose_scale`, and widens a picture that is one face by its panel.
        classes: the names of the k classes.

    Returns:
        An RGB PIL image.
    """
    from PIL import Image, ImageDraw

    picture = image.convert("RGB")
    factor = scale or choose_scale(picture.size)
    if factor > 1:
        picture = picture.resize([side * factor for side in picture.size], Image.Resampling.NEAREST)
    unit = max(13, min(picture.size) // 40)  # height of the letters
    if scale is None and None in boxes:
        letters = _measure_letters(ImageDraw.Draw(picture), unit, classes)
        panel = max(18 * unit, letters + (BAR_WIDTH + 2) * unit)
        wider = Image.new("RGB", (picture.size[0] + panel, picture.size[1]))
        wider.paste(picture)
        picture = wider
    pencil = ImageDraw.Draw(picture, "RGBA")
    panels: list[tuple] = []
    for box, row in zip(boxes, probabilities):
        if box is None:
            frame = (0, 0, image.size[0] * factor, image.size[1] * factor)
        else:
            left, top, width, height = (value * factor for value in box)
            frame = (left, top, left + width, top + height)
            colour = colour_of(int(np.argmax(row)), classes)
            pencil.rectangle(frame, outline="black", width=max(3, unit // 3))
            pencil.rectangle(frame, outline=colour, width=max(2, unit // 5))
        panels.append(_draw_panel(pencil, frame, picture.size, unit, row, panels, classes))
    return picture


def choose_scale(size):
    """Returns the whole number by which a picture of (width, height) is enlarged."""
    return max(1, min(round(MIN_SIDE / min(size)), MAX_SIDE // max(size)))


def _draw_panel(pencil, frame, size, unit, row, panels, classes):
    """Draws the bars of a face beside its box; returns the panel (left, top, width, height).

    frame: (left, top, right, bottom) of the box. size: of the picture. unit: height of the letters.
    row: the probabilities. panels: those of earlier faces, which stay visible where there is room.
    classes: their names; the `MAX_BARS` likeliest are shown.
    """
    from PIL import ImageFont

    font = ImageFont.load_default(unit)
    letters = _measure_letters(pencil, unit, classes)
    order = np.argsort(-np.asarray(row), kind="stable")[:MAX_BARS]
    gap, line_height = unit // 2, int(1.25 * unit)
    width = letters + BAR_WIDTH * unit + 3 * gap
    height = len(order) * line_height + 2 * gap
    x, y = _choose_place(frame, width, height, size, panels)
    pencil.rectangle((x, y, x + width, y + height), fill=(0, 0, 0, 190))
    for position, index in enumerate(order):
        name, probability = classes[index][:MAX_LETTERS], float(row[index])
        top = y + gap + position * line_height
        pencil.text((x + gap, top), f"{name} {probability:.0%}", font=font, fill="white")
        start = x + 2 * gap + letters
        end = start + max(1, round(BAR_WIDTH * unit * probability))
        pencil.rectangle((start, top + unit // 8, end, top + unit), fill=colour_of(index, classes))
    return (x, y, width, height)


def _measure_letters(pencil, unit, classes):
    """Returns the width in pixels of the longest class with its probability, at letters of `unit`."""
    from PIL import ImageFont

    font = ImageFont.load_default(unit)
    return int(max(pencil.textlength(f"{name[:MAX_LETTERS]} 100 %", font) for name in classes))


def _choose_place(frame, width, height, size, panels):
    """Returns (left, top) of a new panel: right, left, below or above the box, where it has room."""
    left, top, right, bottom = frame
    for x, y in (
        (right + 2, top),
        (left - width - 2, top),
        (left, bottom + 2),
        (left, top - height - 2),
    ):
        is_inside = x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]
        if is_inside and not any(_overlap((x, y, width, height), panel) for panel in panels):
            return x, y
    # Without room it goes to the lower edge of the picture, over the face if necessary.
    return max(0, min(left, size[0] - width)), max(0, size[1] - height)


def _overlap(one, other):
    """Returns True if two boxes (left, top, width, height) share a pixel."""
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


def write_timeline(path, seconds, probabilities, title, overwrite=True, classes=EMOTIONS):
    """Writes a figure of the probabilities over time.

    Args:
        path: the PNG file.
        seconds: n times, ascending; at least one.
        probabilities: float32 `[n, k]`; a row of NaN is a frame without a face, and leaves a gap.
        title: of the figure.
        overwrite: as of `plots.save`.
        classes: the names of the k classes; the `MAX_BARS` with the highest mean are shown.
    """
    figure, axes = plots.create_figure(10, 4.2)
    means = np.nansum(probabilities, axis=0)
    chosen = sorted(np.argsort(-means, kind="stable")[:MAX_BARS])
    for index in chosen:
        name = classes[index]
        axes.plot(
            seconds,
            probabilities[:, index],
            color=colour_of(index, classes) if name != "happy" else DARK_YELLOW,
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
    plots.save(figure, path, KIND, overwrite)


class _NoFrame(Exception):
    """A video had no frame, so that no copy of it is left."""


class AnnotationFolder:
    """Writes annotated copies under names of their own.

    NAME-annotated.png of a picture; NAME-annotated.mp4 and NAME-annotated-timeline.png of a video.
    The names are chosen before the work, so that what is in their way is refused then.

    Args:
        folder: where to.
        sources: paths and names of cameras, in any order.
        overwrite: replace earlier annotated copies.
    """

    def __init__(self, folder, sources, overwrite=False):
        self._folder, self._overwrite = pathlib.Path(folder), overwrite
        self._stems = {}
        counters: dict[str, typing.Iterator[int]] = {}
        for source in dict.fromkeys(map(str, sources)):
            name = pathlib.Path(source.replace(":", "-")).stem
            name = "".join(each if each.isprintable() else "_" for each in name)
            number = next(counters.setdefault(name.casefold(), itertools.count(1)))
            self._stems[source] = f"{name}{SUFFIX}" + (f"-{number}" if number > 1 else "")

    def list_targets(self):
        """Returns the `targets.Target` of every copy that may be written."""
        names: list[str] = []
        for source, stem in self._stems.items():
            is_video = video.is_video(source)
            names += [f"{stem}.mp4", f"{stem}{TIMELINE}"] if is_video else [f"{stem}.png"]
        return [targets.Target("--annotate", self._folder / name, is_annotation) for name in names]

    def write_picture(self, result):
        """Writes the copy of a picture; result: a `pictures.FrameResult` with its image."""
        from PIL import PngImagePlugin

        boxes = [face.box for face in result.faces]
        copy = draw_faces(result.image, boxes, result.probabilities, classes=result.classes)
        mark = PngImagePlugin.PngInfo()
        mark.add_text(targets.PICTURE_KEY, KIND)
        path = self._folder / f"{self._stems[result.source]}.png"
        with files.replacing(path, self._overwrite) as temporary:
            copy.save(temporary, pnginfo=mark)

    @contextlib.contextmanager
    def open_video(self, source, clip):
        """Yields a function that draws one `pictures.FrameResult` and appends it to the copy.

        The timeline of the largest face is written at the end. Nothing is left without a frame.

        Args:
            source: the path, or the name of the camera.
            clip: its `video.Video`.

        Raises:
            what `video.create_writer` raises.
        """
        stem = self._stems[str(source)]
        scale = choose_scale(clip.size)
        size = tuple(side * scale for side in clip.size)
        seconds, largest_face = [], []
        last_number: int | None = None  # of the largest face, in the last frame that had one
        classes: tuple[str, ...] = ()

        path = self._folder / f"{stem}.mp4"
        with contextlib.suppress(_NoFrame), files.replacing(path, self._overwrite) as temporary:
            with video.create_writer(temporary, clip.fps, size) as append:

                def append_result(result):
                    nonlocal last_number, classes
                    classes = result.classes
                    no_face = np.full(len(classes), np.nan, np.float32)
                    boxes = [face.box for face in result.faces]
                    copy = draw_faces(result.image, boxes, result.probabilities, scale, classes)
                    append(np.asarray(copy), result.seconds)
                    if boxes:
                        if last_number not in (None, result.numbers[0]):  # the line ends
                            seconds.append(result.seconds)
                            largest_face.append(no_face)
                        last_number = result.numbers[0]
                    seconds.append(result.seconds)
                    largest_face.append(result.probabilities[0] if boxes else no_face)

                yield append_result
            if not seconds:
                raise _NoFrame
            with open(temporary, "ab") as file:
                file.write(VIDEO_MARK)
        if seconds:
            title = f"{pathlib.Path(source).name}: the largest face"
            path = self._folder / f"{stem}{TIMELINE}"
            rows = np.stack(largest_face)
            write_timeline(path, seconds, rows, title, self._overwrite, classes)


def is_annotated(path):
    """Returns True if a file is the annotated copy of an earlier call; only likely names are opened."""
    path = pathlib.Path(path)
    try:
        return SUFFIX in path.stem and is_annotation(path)
    except OSError:  # whoever reads the picture reports why
        return False


def is_annotation(path):
    """Returns True if a file is an annotated copy or a timeline that this package wrote."""
    path = pathlib.Path(path)
    if path.suffix.lower() == ".png":
        return targets.is_picture(path, KIND)
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(VIDEO_MARK)))
        return file.read() in (VIDEO_MARK, b"")
