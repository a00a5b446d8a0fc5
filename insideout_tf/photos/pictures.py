"""Recognises the emotions of the faces in pictures and video, with few frames in memory."""

import itertools
import math
import typing

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, following, tracks, video

FRAMES_PER_CALL = 16  # pictures or frames whose faces the model receives in one call


class FrameResult(typing.NamedTuple):
    """The faces of one picture or frame, with their probabilities.

    Attributes:
        source: the path, or the name of the camera.
        image: the PIL image; None if the caller did not want it.
        faces: a list of n `detect.Face`, the largest first.
        is_crop: True if the whole picture is one face.
        probabilities: float32 `[n, k]`, one row a face; None before the faces are recognised.
        frame: position in the video, from 0; None for a picture.
        seconds: time in the video; None for a picture.
        numbers: the number of each face: in the video (see `tracks.Tracks`), or in the picture from 0;
            None for a picture that is one face.
        duration: seconds that the frame is shown, until the next one; None for a picture. Shares of
            time add these up, since frame rates can vary.
        classes: the names of the k classes.
    """

    source: str
    image: typing.Any
    faces: list
    is_crop: bool
    probabilities: np.ndarray | None
    frame: int | None = None
    seconds: float | None = None
    numbers: list | None = None
    duration: float | None = None
    classes: tuple[str, ...] = EMOTIONS


def recognize_pictures(paths, detect_faces, recognize, report_error, with_images=False):
    """Yields a `FrameResult` for each readable image file.

    Args:
        paths: an iterable of paths; it is read as results are taken.
        detect_faces: a `detect.FaceDetector` or a `boxes.GivenBoxes`.
        recognize: a `serving.recognize.Recognizer`; or a function of FER2013's faces, uint8
            `[n, 48, 48]`, to the probabilities of its classes.
        report_error: called with (path, error) for each file that cannot be read, a `UserError` or
            an `OSError`.
        with_images: True keeps the image in the result, to draw on.
    """
    for chunk in _split_into_chunks(paths, FRAMES_PER_CALL):
        results = list(detect_in_pictures(chunk, detect_faces, report_error, with_images))
        yield from recognize_results(results, recognize)


def detect_in_pictures(paths, detect_faces, report_error, with_images=False):
    """Yields a `FrameResult` without probabilities for each readable image file.

    The arguments are those of `recognize_pictures`.
    """
    for path in paths:
        try:
            image = images.read_image(path)
        except (UserError, OSError) as error:
            report_error(path, error)
            continue
        try:
            faces = detect_faces(image, path)
        except detect.BoxError as error:
            report_error(path, error)
            continue
        is_crop = detect_faces.is_crop(image)
        numbers = None if is_crop else list(range(len(faces)))
        image_or_none = image if with_images else None
        yield FrameResult(str(path), image_or_none, faces, is_crop, None, numbers=numbers)


def recognize_results(results, recognize):
    """Yields results of `detect_in_pictures` with their probabilities, by one call of the model."""
    rows = recognize_each(recognize, [result.faces for result in results])
    for result, probabilities in zip(results, rows):
        classes = contract_of(recognize).classes
        yield result._replace(probabilities=probabilities, classes=classes)


def recognize_video(
    source, clip, detect_faces, recognize, smooth_seconds, max_seconds=None, every=1
):
    """Yields a `FrameResult` for each frame of a video, with probabilities smoothed over time.

    Args:
        source: the path, or the name of the camera.
        clip: a `video.Video` of `video.open_video`.
        detect_faces, recognize: as in `recognize_pictures`.
        smooth_seconds: see `tracks.Tracks`.
        max_seconds: the time in the video after which to stop; None reads all of it.
        every: see `following.detect_in_frames`.

    Raises:
        UserError: after the last frame, if the file has none, was cut off or is damaged.
    """
    from PIL import Image

    faces_over_time, index, is_stopped = tracks.Tracks(smooth_seconds), 0, False
    is_camera = video.is_camera(source)

    def read_frames():
        nonlocal is_stopped
        for seconds, frame in clip.frames:
            is_stopped = max_seconds is not None and seconds > max_seconds
            if is_stopped:
                return
            yield seconds, Image.fromarray(frame)

    frames = _with_durations(read_frames(), 1 / clip.fps, waits=not is_camera)
    found = following.detect_in_frames(frames, detect_faces, every, waits=not is_camera)
    for chunk in _split_into_chunks(found, 1 if is_camera else FRAMES_PER_CALL):
        rows = recognize_each(recognize, [faces for _, faces in chunk])
        for ((seconds, image, duration), faces), probabilities in zip(chunk, rows):
            boxes = [face.box for face in faces]
            numbers, smoothed = faces_over_time.update(seconds, boxes, probabilities)
            is_crop = detect_faces.is_crop(image)
            seconds = round(seconds, 3)
            yield FrameResult(
                *(str(source), image, faces, is_crop, smoothed),
                *(index, seconds, numbers, duration, contract_of(recognize).classes),
            )
            index += 1
    if not is_stopped and (not index or clip.is_cut_off()):
        raise UserError(
            f"{source}: expected a whole video. It may "
            f"have been cut off or damaged; copy it again. Received: {index:,} frames, which have "
            "results"
        )


def _with_durations(frames, usual, waits):
    """Yields (seconds, image, duration) of (seconds, image).

    waits: True takes the time to the next frame, which must be read for it; the last frame has the
    duration of the one before it. False (cameras) takes the time since the frame before.
    usual: seconds, where there is no other frame.
    """
    before = None
    duration = usual
    for seconds, image in frames:
        if before is not None:
            duration = max(0.0, seconds - before[0])
            if waits:
                yield (*before, duration)
        before = seconds, image
        if not waits:
            yield seconds, image, duration
    if waits and before is not None:
        yield (*before, duration)


def check_times(smooth_seconds, max_seconds, smooth_name, max_name):
    """Raises `UserError` for times that `recognize_video` does not take; the names are for messages."""
    if not detect.is_number(smooth_seconds) or not smooth_seconds >= 0:  # this form refuses NaN
        raise UserError(f"{smooth_name}: expected seconds, 0 or more. Received: {smooth_seconds!r}")
    if max_seconds is None:
        return
    if not detect.is_number(max_seconds) or not 0 < max_seconds < math.inf:
        raise UserError(
            f"{max_name}: expected more than 0, and not infinity. Received: {max_seconds!r}"
        )


def recognize_each(recognize, faces_of_frames):
    """Returns the probabilities of the faces of several frames, by one call of the model.

    Args:
        recognize: as in `recognize_pictures`.
        faces_of_frames: one list of `detect.Face` a frame.

    Returns:
        One float32 array `[n, k]` a frame.
    """
    counts = [len(faces) for faces in faces_of_frames]
    if not counts:
        return []
    pixels = [face.pixels for faces in faces_of_frames for face in faces]
    shape = contract_of(recognize).face_shape
    stack = np.stack(pixels) if pixels else np.zeros((0, *shape), np.uint8)
    return np.split(recognize(stack), np.cumsum(counts)[:-1])


def contract_of(recognize):
    """Returns the `Contract` of a recogniser; a plain function has that of FER2013."""
    return getattr(recognize, "contract", FER2013)


def _split_into_chunks(items, size):
    """Yields lists of at most `size` successive items."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
