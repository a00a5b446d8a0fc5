"""Pictures and video → faces with their emotions, a bounded number of frames in memory."""

import functools
import itertools
import typing

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, records, tracks, video
from insideout_tf.serving import packaged, recognize

TOGETHER = 16  # pictures or frames whose faces are recognised in one call
WHOLE = 0.9  # of the frames a file declares; fewer, and it was cut off


class FrameResult(typing.NamedTuple):
    """What was found in one picture or frame.

    source: path or camera. image: PIL, or None where it was not kept. found: list of `faces.Face`.
    is_crop: the picture was taken as one face. probabilities: float32 `[n, 7]`. frame, seconds,
    numbers: position and time in a video, and each face's number there; None for a picture.
    """

    source: str
    image: typing.Any
    found: list
    is_crop: bool
    probabilities: np.ndarray
    frame: int | None = None
    seconds: float | None = None
    numbers: list | None = None


class FaceDetector:
    """Finds faces as `faces.find` does; loads the detector when it is first needed."""

    def __init__(self, mode="auto", margin=detect.MARGIN, yunet=None):
        self._mode, self._margin, self._yunet = mode, margin, yunet

    def is_crop(self, image):
        return detect.is_crop(image, self._mode)

    def __call__(self, image):
        return detect.find(
            image, lambda picture: _detector(self._yunet)(picture), self._mode, self._margin
        )


_detector = functools.lru_cache(maxsize=2)(detect.create_detector)


def detect_emotions(
    picture, model=packaged.DEFAULT, mode="auto", margin=detect.MARGIN, yunet=None, **options
):
    """Returns the faces of one picture, the largest first, as dicts: box, emotion, probabilities.

    picture: a path, a PIL image, or an array uint8 `[h, w]` or `[h, w, 3]`, red first (OpenCV's
    blue-first frames as `frame[..., ::-1]`). mode: as in `faces.find`; where the picture is taken as
    one face, its box is None. model, options: as in `recognition.predict_emotions`. What finds faces is
    loaded once, as the model is. Raises `UserError`.
    """
    if mode not in detect.MODES:
        raise UserError(f"mode: expected one of {', '.join(detect.MODES)}. Received: {mode!r}")
    image = images.to_picture(picture)
    find = FaceDetector(mode, margin, yunet)
    found = find(image)
    recognise = recognize.load_recognizer(model, **options)
    (rows,) = _recognise(recognise, [found])
    told = records.of(FrameResult("", None, found, find.is_crop(image), rows))
    return [
        {key: face[key] for key in ("box", "emotion", "probabilities")} for face in told if found
    ]


def recognize_pictures(paths, find, recognise, complain, keep=False):
    """Yields a `FrameResult` for each readable image file.

    find: a `FaceDetector`. recognise: a function of `recognition.load_recogniser`. complain: called with
    (path, error) for each file that is left out. keep: hold on to the images, to draw on.
    """
    for chunk in _chunks(paths, TOGETHER):
        seen = []
        for path in chunk:
            try:
                image = images.read_image(path)
            except (UserError, OSError) as error:
                complain(path, error)
                continue
            seen.append((path, image if keep else None, find(image), find.is_crop(image)))
        for (path, image, found, is_crop), rows in zip(
            seen, _recognise(recognise, [found for _, _, found, _ in seen])
        ):
            yield FrameResult(str(path), image, found, is_crop, rows)


def recognize_video(source, clip, find, recognise, smoothing, longest=None):
    """Yields a `FrameResult` for each frame of an open `video.Video`, smoothed by `video.Tracks`.

    longest: seconds after which to stop. Raises `UserError` after the last frame of a file that was
    cut off.
    """
    from PIL import Image

    followed, index, stopped = tracks.Tracks(smoothing), 0, False
    is_camera = str(source).startswith(video.WEBCAM)

    def frames():
        nonlocal stopped
        for seconds, frame in clip.frames:
            stopped = longest is not None and seconds > longest
            if stopped:
                return
            yield seconds, Image.fromarray(frame)

    for chunk in _chunks(frames(), 1 if is_camera else TOGETHER):
        found = [find(image) for _, image in chunk]
        for (seconds, image), each, rows in zip(chunk, found, _recognise(recognise, found)):
            numbers, smoothed = followed.update(seconds, [face.box for face in each], rows)
            crop = find.is_crop(image)
            yield FrameResult(
                str(source), image, each, crop, smoothed, index, round(seconds, 3), numbers
            )
            index += 1
    if not stopped and (index < WHOLE * clip.declared or not index):
        raise UserError(
            f"{source}: expected the {max(1, clip.declared):,} frames that it declares. It may have been cut "
            f"off; copy it again. Received: {index:,}, which were judged"
        )


def _recognise(recognise, found):
    """Returns one array of probabilities for each list of faces, by one call for all of them."""
    counts = [len(each) for each in found]
    pixels = [face.pixels for each in found for face in each]
    stacked = np.stack(pixels) if pixels else np.zeros((0, 48, 48), np.uint8)
    return np.split(recognise(stacked), np.cumsum(counts)[:-1]) if counts else []


def _chunks(items, size):
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
