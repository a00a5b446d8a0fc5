"""What the demo answers: pictures with boxes, bars as HTML, heat maps, and videos with boxes.

Nothing here needs Gradio: `api.demo_page` puts it on a page.
"""

import collections
import html
import io
import os
import pathlib
import time
import typing

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import UserError, printable
from insideout_tf.photos import detect, pictures, tracks, video
from insideout_tf.photos.draw import colour_of, draw_faces
from insideout_tf.serving import packaged, recognize

MAX_BARS = 8  # classes of a face that are shown: the likeliest ones
SHOWN_SIDE = 1280  # pixels; the longer side of a picture that is sent to the page
CLIP_SIDE = 960  # the same of a video that is written
SMOOTH_SECONDS = 0.5  # of a camera and a video
MAX_FRAMES = 3000  # of a video


class Answer(typing.NamedTuple):
    """What the page shows of a picture.

    Attributes:
        picture: an RGB PIL image with boxes and labels.
        bars: HTML: the probabilities of each face.
        latency: text: what the steps took.
    """

    picture: typing.Any
    bars: str
    latency: str


class Camera:
    """Follows the faces of one camera: their numbers, and the average over the last frames.

    Attributes:
        image: the last frame, a PIL image, or None.
    """

    def __init__(self):
        self.image = None
        self._tracks = tracks.Tracks(SMOOTH_SECONDS)

    def answer(self, frame, model):
        """Returns the `Answer` of a frame, uint8 `[h, w, 3]`, red first."""
        from PIL import Image

        self.image = Image.fromarray(frame)
        found = _recognize(self.image, model, "detect")
        boxes = [face.box for face in found.faces]
        numbers, smoothed = self._tracks.update(time.monotonic(), boxes, found.probabilities)
        return _make_answer(self.image, found, [number + 1 for number in numbers], smoothed)


class Found(typing.NamedTuple):
    """The faces of one picture, their probabilities, and what finding them took in seconds."""

    faces: list
    probabilities: np.ndarray
    classes: tuple[str, ...]
    detection_seconds: float
    model_seconds: float


def answer_photo(path, model, mode="auto"):
    """Returns the `Answer` of an image file.

    path: of an untrusted file. model: what `load_recognizer` takes. mode: one of `detect.MODES`.

    Raises:
        UserError: the file is no picture, or too large.
    """
    image = images.read_image(path)
    found = _recognize(image, model, mode)
    return _make_answer(image, found, list(range(1, len(found.faces) + 1)), found.probabilities)


def _recognize(image, model, mode):
    recognizer = recognize.load_recognizer(model)
    start = time.perf_counter()
    faces = detect.FaceDetector(mode, contract=recognizer.contract)(image)
    middle = time.perf_counter()
    (probabilities,) = pictures.recognize_each(recognizer, [faces])
    end = time.perf_counter()
    return Found(faces, probabilities, recognizer.contract.classes, middle - start, end - middle)


def _make_answer(image, found, numbers, probabilities):
    """Returns the `Answer` of a picture; numbers, probabilities: of its faces."""
    shown, scale = _shrink(image, SHOWN_SIDE)
    boxes = [
        None if face.box is None else tuple(round(side * scale) for side in face.box)
        for face in found.faces
    ]
    names = list(map(str, numbers))
    if boxes == [None]:
        picture = shown.convert("RGB")  # the picture is the face: it needs no box
    else:
        picture = draw_faces(shown, boxes, probabilities, 1, found.classes, numbers, has_bars=False)
    return Answer(
        picture,
        draw_bars(names, probabilities, found.classes),
        f"{1000 * found.detection_seconds:.0f} ms to find {count(len(found.faces), 'face')}, "
        f"{1000 * found.model_seconds:.1f} ms to recognise, {image.size[0]}×{image.size[1]} pixels",
    )


def _shrink(image, side):
    """Returns an image whose longer side is at most `side`, and the factor."""
    scale = min(1.0, side / max(image.size))
    if scale < 1:
        image = image.resize([max(1, round(each * scale)) for each in image.size])
    return image, scale


def count(number, noun):
    """Returns a number with its noun: "1 face", "2 faces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def draw_bars(names, probabilities, classes):
    """Returns the probabilities of faces as HTML, a block for each face.

    names: n texts. probabilities: float `[n, k]`. classes: the names of the k classes, any text.
    """
    if not names:
        return (
            '<p class="io-none">No face was found. Come nearer, turn to the light, or upload a picture '
            "of one face.</p>"
        )
    blocks = []
    for name, row in zip(names, np.asarray(probabilities)):
        order = np.argsort(-row, kind="stable")[:MAX_BARS]
        bars = "".join(_draw_bar(classes[i], float(row[i]), colour_of(i, classes)) for i in order)
        likeliest = _escape(classes[order[0]])
        blocks.append(
            f'<section class="io-face"><h4><span class="io-number">{_escape(name)}</span>'
            f"{likeliest}</h4>{bars}</section>"
        )
    return f'<div class="io-faces">{"".join(blocks)}</div>'


def _draw_bar(name, share, colour):
    return (
        f'<div class="io-row"><span class="io-name">{_escape(name)}</span><span class="io-track">'
        f'<span class="io-bar" style="width:{100 * share:.1f}%;background:{colour}"></span></span>'
        f'<span class="io-share">{share:.1%}</span></div>'
    )


def _escape(text):
    return html.escape(printable(text))


def explain(image, model, mode="auto"):
    """Returns the Grad-CAM heat maps of the faces of a picture, a PIL image.

    image: a PIL image, or the path of an untrusted file.

    Raises:
        UserError: no face was found, or the model has no layers to look at, as a .tflite file.
    """
    from PIL import Image

    from insideout_tf.api.explain import draw_explanations, explain_images

    if str(model).endswith(".tflite"):
        raise UserError(
            f"{pathlib.Path(model).name}: expected a model with layers for Grad-CAM. Start the demo with "
            "the run or the .keras file. Received: a .tflite file, which has none"
        )
    if isinstance(image, (str, os.PathLike)):
        image = images.read_image(image)
    explanations = explain_images([image], model, faces=mode)
    figure = draw_explanations(explanations)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, bbox_inches="tight", pad_inches=0.1)
    return Image.open(stream).convert("RGB")


def answer_clip(path, model, out, max_seconds, report_progress=None):
    """Writes a copy of a video with boxes and labels; returns a summary as HTML.

    Args:
        path: of an untrusted video file.
        model: what `load_recognizer` takes.
        out: the copy, a path ending in .webm.
        max_seconds: the time in the video after which to stop. At most `MAX_FRAMES` frames are read.
        report_progress: called with the fraction that is done, 0..1.

    Raises:
        UserError: the file is no video that can be read.
    """
    recognizer = recognize.load_recognizer(model)
    detector = detect.FaceDetector("detect", contract=recognizer.contract)
    lanes: dict[int, collections.Counter] = {}  # the seconds of each emotion, by face
    frame_count, seconds, notes = 0, 0.0, []
    start = time.perf_counter()
    with video.open_video(path) as clip:
        scale = min(1.0, CLIP_SIDE / max(clip.size))
        size = tuple(max(2, round(side * scale) // 2 * 2) for side in clip.size)
        total = min(clip.frame_count or MAX_FRAMES, round(max_seconds * clip.fps) + 1, MAX_FRAMES)
        results = pictures.recognize_video(
            path, clip, detector, recognizer, SMOOTH_SECONDS, max_seconds
        )
        with video.create_writer(out, clip.fps, size, "VP80") as append:
            try:
                for result in results:
                    append(np.asarray(_draw_frame(result, size)), result.seconds)
                    for number, row in zip(result.numbers, result.probabilities):
                        lane = lanes.setdefault(number, collections.Counter())
                        lane[result.classes[row.argmax()]] += result.duration
                    frame_count, seconds = frame_count + 1, result.seconds
                    if report_progress is not None:
                        report_progress(min(1.0, frame_count / max(1, total)))
                    if frame_count >= MAX_FRAMES:
                        break
            except UserError as error:
                if not frame_count:
                    raise
                notes.append(f"The video may be cut off: {error}")
    taken = time.perf_counter() - start
    notes.append(
        f"{count(frame_count, 'frame')}, {seconds:.1f} s of video, in {taken:.1f} s "
        f"({1000 * taken / frame_count:.0f} ms a frame)"
    )
    return summarize_clip(lanes, recognizer.contract.classes, notes)


def _draw_frame(result, size):
    """Returns a frame with boxes and labels, of (width, height)."""
    scale = [new / old for new, old in zip(size, result.image.size)]
    boxes = [
        None
        if face.box is None
        else tuple(round(side * scale[i % 2]) for i, side in enumerate(face.box))
        for face in result.faces
    ]
    numbers = [number + 1 for number in result.numbers]
    return draw_faces(
        result.image.resize(size),
        boxes,
        result.probabilities,
        1,
        result.classes,
        numbers,
        has_bars=False,
    )


def summarize_clip(lanes, classes, notes):
    """Returns the share of time of each emotion by face as HTML, those seen longest first.

    lanes: {number of a face: Counter of seconds by emotion}. notes: texts below.
    """
    longest = sorted(lanes.items(), key=lambda lane: -lane[1].total())[:MAX_BARS]
    rows = []
    for number, seconds in longest:
        total = seconds.total() or 1.0
        parts = "".join(
            f'<span style="width:{100 * each / total:.1f}%;background:'
            f'{colour_of(classes.index(name), classes)}" title="{_escape(name)} {each / total:.0%}">'
            "</span>"
            for name, each in seconds.most_common()
        )
        named = ", ".join(
            f"{_escape(name)} {each / total:.0%}" for name, each in seconds.most_common(3)
        )
        rows.append(
            f'<section class="io-face"><h4><span class="io-number">{number + 1}</span>{named}'
            f'<small>{total:.1f} s</small></h4><div class="io-lane">{parts}</div></section>'
        )
    if not rows:
        rows = [draw_bars([], [], classes)]
    if len(lanes) > len(longest):
        notes = [f"{len(lanes) - len(longest)} faces that were seen for a shorter time", *notes]
    told = "".join(f'<p class="io-note">{_escape(note)}</p>' for note in notes)
    return f'<div class="io-lanes">{"".join(rows)}</div>{told}'


def list_models(models):
    """Returns the models of the page, those of the caller first: {name on the page: model}.

    models: what `load_recognizer` takes, a list. Each is loaded, so that a mistake is known at the start.

    Raises:
        UserError: a model cannot be loaded.
    """
    found: dict[str, str] = {}
    for model in map(str, models):
        recognize.load_recognizer(model)
        is_packaged = model in packaged.names()
        name = model if is_packaged else printable(pathlib.Path(model).expanduser().resolve().name)
        found[model if name in found else name] = model
    return found | {name: name for name in reversed(packaged.names()) if name not in found}
