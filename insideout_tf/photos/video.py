"""Reads and writes video as RGB frames, with OpenCV."""

import contextlib
import errno
import pathlib
import typing

import numpy as np

from insideout_tf import devices
from insideout_tf.data import images
from insideout_tf.errors import UserError

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
WEBCAM = "webcam:"
DEFAULT_FPS = 30.0  # of a file or camera that does not declare a possible one


class Video(typing.NamedTuple):
    """An open video.

    Attributes:
        frames: an iterator of (seconds, RGB uint8 `[h, w, 3]`); one frame is in memory at a time.
        fps: frames a second.
        size: (width, height) in pixels.
        frame_count: the number of frames that the file declares, which is only a hint; 0 if it
            declares none, and for a camera.
    """

    frames: typing.Iterator
    fps: float
    size: tuple[int, int]
    frame_count: int


@contextlib.contextmanager
def open_video(source):
    """Yields the `Video` of a file or camera.

    Args:
        source: the path of a file, or `webcam:0` for the first camera.

    Raises:
        UserError: OpenCV is not installed or cannot read the source; or a frame has more than
            `images.MAX_PIXELS`.
        OSError: the file cannot be opened.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            f"{source}: expected the package opencv-python-headless, which reads video. Install it. "
            "Received: no such package"
        ) from None
    is_camera = str(source).startswith(WEBCAM)
    number = str(source).removeprefix(WEBCAM)
    if is_camera and not number.isdecimal():
        raise UserError(
            f"{source}: expected webcam: and a number, such as webcam:0. Received: {str(source)!r}"
        )
    if not is_camera:
        with open(source, "rb"):  # this error has a reason, OpenCV's has none
            pass
    with devices.native_stderr_closed():
        capture = cv2.VideoCapture(int(number) if is_camera else str(source))
    try:
        yield _read_properties(capture, source, is_camera)
    finally:
        capture.release()


def _read_properties(capture, source, is_camera):
    """Returns the `Video` of a cv2.VideoCapture. Raises `UserError`."""
    import cv2

    width, height = (
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if not capture.isOpened() or width * height < 1:
        expected = "a camera that answers" if is_camera else "a readable video"
        raise UserError(
            f"{source}: expected {expected}. Check it. Received: nothing OpenCV can read"
        )
    if width * height > images.MAX_PIXELS:
        raise UserError(
            f"{source}: expected frames of at most {images.MAX_PIXELS:,} pixels. Shrink it. "
            f"Received: {width}×{height}"
        )
    fps = capture.get(cv2.CAP_PROP_FPS)
    fps = fps if 0 < fps < 1000 else DEFAULT_FPS
    frame_count = 0 if is_camera else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    return Video(_read_frames(capture, fps), fps, (width, height), frame_count)


def _read_frames(capture, fps):
    """Yields (seconds, RGB frame) until the video ends."""
    import cv2

    index = 0
    while True:
        with devices.native_stderr_closed():
            is_read, frame = capture.read()
        if not is_read:
            return
        # Frame rates can vary: the clock of the file is better, if it runs.
        clock = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        yield (clock if index and clock > 0 else index / fps), frame[..., ::-1]
        index += 1


def is_video(path):
    """Returns True for the name of a video file or of a camera."""
    return str(path).startswith(WEBCAM) or pathlib.Path(path).suffix.lower() in SUFFIXES


@contextlib.contextmanager
def create_writer(path, fps, size):
    """Yields a function that appends an RGB frame, uint8 `[h, w, 3]`, to a new MP4 file.

    Args:
        path: the file; its folder exists.
        fps: frames a second.
        size: (width, height) in pixels of every frame.

    Raises:
        UserError: OpenCV cannot open the file.
        OSError: the file holds fewer frames than were appended, as on a full disk.
    """
    import cv2

    with devices.native_stderr_closed():
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise UserError(
            f"{path}: expected a place to write a video of {size[0]}×{size[1]} to. Check the folder, "
            "or run without --annotate. Received: OpenCV cannot open it"
        )
    count = 0

    def append(frame):
        nonlocal count
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
        count += 1

    try:
        yield append
    finally:
        with devices.native_stderr_closed():
            writer.release()
    # OpenCV reports no error when the disk is full.
    with devices.native_stderr_closed():
        capture = cv2.VideoCapture(str(path))
        count_on_disk = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
    if count_on_disk != count:
        raise OSError(errno.ENOSPC, f"{count_on_disk} of {count} frames were written", str(path))
