"""Draws results into copies of pictures and video: boxes, names, bars, and a timeline."""

import contextlib
import itertools
import os
import pathlib
import typing

import numpy as np

from insideout_tf import files, targets
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.photos import labels, timeline, video

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
DARK_YELLOW = "#B8A800"  # for lines on white, where yellow is too pale
KIND = "annotated copy"  # kept in the pictures
SUFFIX, TIMELINE = "-annotated", "-timeline.png"
_TEXT = b"insideout_tf annotated copy"
VIDEO_MARKS = {  # at the end of a file, where players skip it, by suffix
    ".mp4": b"\0\0\0\x23free" + _TEXT,  # an empty box (ISO/IEC 14496-12, section 8.1.2)
    ".webm": b"\xec"
    + bytes([0x80 | len(_TEXT)])
    + _TEXT,  # an element Void (RFC 8794, section 11.3.2)
}


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


def draw_faces(
    image, boxes, probabilities, scale=None, classes=EMOTIONS, numbers=None, has_bars=True
):
    """Returns a copy of a picture with the box and the probabilities of each face.

    Bars stand on a dark panel beside each face. If there is no room for all panels, each face has one
    line. No label covers another face; see `labels.draw_labels`.

    Args:
        image: a PIL image.
        boxes: a list of n (left, top, width, height) in pixels; None is the whole picture.
        probabilities: float32 `[n, k]`, in the order of `classes`.
        scale: a whole number by which the copy is enlarged, without a change of proportions. None
            takes that of `choose_scale`, and widens a picture that is one face by its panel.
        classes: the names of the k classes.
        numbers: the number of each face, which its label shows; None shows none.
        has_bars: False writes one larger line a face, for a window or a page that has the bars elsewhere.

    Returns:
        An RGB PIL image.
    """
    from PIL import Image, ImageDraw

    picture = image.convert("RGB")
    factor = scale or choose_scale(picture.size)
    if factor > 1:
        picture = picture.resize([side * factor for side in picture.size], Image.Resampling.NEAREST)
    least, share = (13, 40) if has_bars else (15, 22)
    unit = max(least, min(picture.size) // share)  # height of the letters
    if scale is None and None in boxes:
        letters = labels.measure_letters(ImageDraw.Draw(picture), unit, classes)
        panel = max(18 * unit, letters + (labels.BAR_WIDTH + 2) * unit)
        wider = Image.new("RGB", (picture.size[0] + panel, picture.size[1]))
        wider.paste(picture)
        picture = wider
    pencil = ImageDraw.Draw(picture, "RGBA")
    colours = [colour_of(index, classes) for index in range(len(classes))]
    frames = [
        labels.Frame(*(factor * value for value in box or (0, 0, *image.size))) for box in boxes
    ]
    for box, frame, row in zip(boxes, frames, probabilities):
        if box is not None:
            left, top, width, height = frame
            edges = (left, top, left + width, top + height)
            pencil.rectangle(edges, outline="black", width=max(3, unit // 3))
            pencil.rectangle(edges, outline=colours[int(np.argmax(row))], width=max(2, unit // 5))
    labels.draw_labels(
        pencil, frames, picture.size, unit, probabilities, classes, numbers, colours, has_bars
    )
    return picture


def choose_scale(size):
    """Returns the whole number by which a picture of (width, height) is enlarged."""
    return max(1, min(round(MIN_SIDE / min(size)), MAX_SIDE // max(size)))


class _NoFrame(Exception):
    """A video had no frame, so that no copy of it is left."""


class AnnotationFolder:
    """Writes annotated copies under names of their own.

    NAME-annotated.png of a picture; NAME-annotated.webm (or .mp4, see `video.choose_format`) and
    NAME-annotated-timeline.png of a video.
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
        most = files.max_name_bytes(self._folder) - len(f"{SUFFIX}-{len(sources)}{TIMELINE}")
        for source in dict.fromkeys(map(str, sources)):
            name = pathlib.Path(source.replace(":", "-")).stem
            name = "".join(each if each.isprintable() else "_" for each in name)
            name = os.fsencode(name)[:most].decode("utf-8", "ignore")
            number = next(counters.setdefault(name.casefold(), itertools.count(1)))
            self._stems[source] = f"{name}{SUFFIX}" + (f"-{number}" if number > 1 else "")

    def list_targets(self):
        """Returns the `targets.Target` of every copy that may be written."""
        names: list[str] = []
        for source, stem in self._stems.items():
            is_video = video.is_video(source)
            names += [stem + self._video_suffix(), stem + TIMELINE] if is_video else [f"{stem}.png"]
        return [targets.Target("--annotate", self._folder / name, is_annotation) for name in names]

    def _video_suffix(self):
        return video.choose_format()[0]

    def write_picture(self, result):
        """Writes the copy of a picture; result: a `pictures.FrameResult` with its image."""
        from PIL import PngImagePlugin

        boxes = [face.box for face in result.faces]
        numbers = result.numbers if len(boxes) > 1 else None
        copy = draw_faces(
            result.image, boxes, result.probabilities, classes=result.classes, numbers=numbers
        )
        mark = PngImagePlugin.PngInfo()
        mark.add_text(targets.PICTURE_KEY, KIND)
        path = self._folder / f"{self._stems[result.source]}.png"
        with files.replacing(path, self._overwrite) as temporary:
            copy.save(temporary, pnginfo=mark)

    @contextlib.contextmanager
    def open_video(self, source, clip):
        """Yields a function that draws one `pictures.FrameResult` and appends it to the copy.

        The timeline, with a lane for each face, is written at the end. Nothing is left without a frame.

        Args:
            source: the path, or the name of the camera.
            clip: its `video.Video`.

        Raises:
            what `video.create_writer` raises.
        """
        stem = self._stems[str(source)]
        scale = choose_scale(clip.size)
        size = tuple(side * scale for side in clip.size)
        lanes = timeline.Timeline()
        last: typing.Any = None  # the last result

        suffix, codec = video.choose_format()
        path = self._folder / f"{stem}{suffix}"
        with contextlib.suppress(_NoFrame), files.replacing(path, self._overwrite) as temporary:
            with video.create_writer(temporary, clip.fps, size, codec) as append:

                def append_result(result):
                    nonlocal last
                    last = result
                    boxes = [face.box for face in result.faces]
                    numbers = None if result.is_crop else result.numbers
                    copy = draw_faces(
                        result.image, boxes, result.probabilities, scale, result.classes, numbers
                    )
                    append(np.asarray(copy), result.seconds)
                    lanes.append(result.frame, result.seconds, result.numbers, result.probabilities)

                yield append_result
            if last is None:
                raise _NoFrame
            with open(temporary, "ab") as file:
                file.write(VIDEO_MARKS[suffix])
        if last is not None:
            colours = [colour_of(index, last.classes) for index in range(len(last.classes))]
            colours = [DARK_YELLOW if each == COLOURS["happy"] else each for each in colours]
            timeline.write(
                self._folder / f"{stem}{TIMELINE}",
                lanes,
                last.seconds,
                pathlib.Path(source).name,
                colours,
                self._overwrite,
                last.classes,
                KIND,
            )


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
        file.seek(max(0, size - max(map(len, VIDEO_MARKS.values()))))
        return not size or file.read().endswith(tuple(VIDEO_MARKS.values()))
