"""Recognises the emotions of the faces in pictures and video, with few frames in memory."""

import itertools
import typing

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.photos import tracks, video

FRAMES_PER_CALL = 16  # pictures or frames whose faces the model receives in one call
MIN_FRACTION = 0.9  # of the frames that a file declares; a file with fewer was cut off


class FrameResult(typing.NamedTuple):
    """The faces of one picture or frame, with their probabilities.

    Attributes:
        source: the path, or the name of the camera.
        image: the PIL image; None if the caller did not want it.
        faces: a list of n `detect.Face`, the largest first.
        is_crop: True if the whole picture is one face.
        probabilities: float32 `[n, k]`, one row a face.
        frame: position in the video, from 0; None for a picture.
        seconds: time in the video; None for a picture.
        numbers: the number of each face in the video (see `tracks.Tracks`); None for a picture.
    """

    source: str
    image: typing.Any
    faces: list
    is_crop: bool
    probabilities: np.ndarray
    frame: int | None = None
    seconds: float | None = None
    numbers: list | None = None


def recognize_pictures(paths, detect_faces, recognize, report_error, with_images=False):
    """Yields a `FrameResult` for each readable image file.

    Args:
        paths: an iterable of paths; it is read as results are taken.
        detect_faces: a `detect.FaceDetector`.
        recognize: a function uint8 `[n, 48, 48]` → float32 `[n, k]`, as of
            `serving.recognize.load_recognizer`.
        report_error: called with (path, error) for each file that cannot be read, a `UserError` or
            an `OSError`.
        with_images: True keeps the image in the result, to draw on.
    """
    for chunk in _split_into_chunks(paths, FRAMES_PER_CALL):
        readable = []
        for path in chunk:
            try:
                image = images.read_image(path)
            except (UserError, OSError) as error:
                report_error(path, error)
                continue
            image_or_none = image if with_images else None
            faces = detect_faces(image)
            readable.append((path, image_or_none, faces, detect_faces.is_crop(image)))
        rows = recognize_each(recognize, [faces for _, _, faces, _ in readable])
        for (path, image, faces, is_crop), probabilities in zip(readable, rows):
            yield FrameResult(str(path), image, faces, is_crop, probabilities)


def recognize_video(source, clip, detect_faces, recognize, smooth_seconds, max_seconds=None):
    """Yields a `FrameResult` for each frame of a video, with probabilities smoothed over time.

    Args:
        source: the path, or the name of the camera.
        clip: a `video.Video` of `video.open_video`.
        detect_faces, recognize: as in `recognize_pictures`.
        smooth_seconds: see `tracks.Tracks`.
        max_seconds: the time in the video after which to stop; None reads all of it.

    Raises:
        UserError: after the last frame, if the file has less than 0.9 of the frames it declares.
    """
    from PIL import Image

    faces_over_time, index, is_stopped = tracks.Tracks(smooth_seconds), 0, False
    is_camera = str(source).startswith(video.WEBCAM)

    def read_frames():
        nonlocal is_stopped
        for seconds, frame in clip.frames:
            is_stopped = max_seconds is not None and seconds > max_seconds
            if is_stopped:
                return
            yield seconds, Image.fromarray(frame)

    for chunk in _split_into_chunks(read_frames(), 1 if is_camera else FRAMES_PER_CALL):
        faces_of_frames = [detect_faces(image) for _, image in chunk]
        rows = recognize_each(recognize, faces_of_frames)
        for (seconds, image), faces, probabilities in zip(chunk, faces_of_frames, rows):
            boxes = [face.box for face in faces]
            numbers, smoothed = faces_over_time.update(seconds, boxes, probabilities)
            is_crop = detect_faces.is_crop(image)
            seconds = round(seconds, 3)
            yield FrameResult(str(source), image, faces, is_crop, smoothed, index, seconds, numbers)
            index += 1
    if not is_stopped and (index < MIN_FRACTION * clip.frame_count or not index):
        raise UserError(
            f"{source}: expected the {max(1, clip.frame_count):,} frames that it declares. It may "
            f"have been cut off; copy it again. Received: {index:,} frames, which have results"
        )


def check_times(smooth_seconds, max_seconds, smooth_name, max_name):
    """Raises `UserError` for times that `recognize_video` does not take; the names are for messages."""
    if not smooth_seconds >= 0:  # this form refuses NaN
        raise UserError(f"{smooth_name}: expected seconds, 0 or more. Received: {smooth_seconds:g}")
    if max_seconds is not None and not max_seconds > 0:
        raise UserError(f"{max_name}: expected more than 0. Received: {max_seconds:g}")


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
    side = images.FACE_SIDE
    stack = np.stack(pixels) if pixels else np.zeros((0, side, side), np.uint8)
    return np.split(recognize(stack), np.cumsum(counts)[:-1])


def _split_into_chunks(items, size):
    """Yields lists of at most `size` successive items."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
