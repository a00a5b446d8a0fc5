"""Video as frames, and faces followed from frame to frame."""

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


class Video(typing.NamedTuple):
    """frames: iterator of (seconds, RGB uint8 `[h, w, 3]`), one frame in memory at a time; fps, size
    (width, height), and the number of frames that the file declares (0 where it does not)."""

    frames: typing.Iterator
    fps: float
    size: tuple[int, int]
    declared: int


@contextlib.contextmanager
def opened(source):
    """Yields the `Video` of a file, or of a camera, `webcam:0`. Raises `UserError` naming it."""
    try:
        import cv2
    except ImportError:
        raise UserError(
            f"{source}: expected the package opencv-python-headless, which reads video. Install it. "
            "Received: no such package"
        ) from None
    is_camera = str(source).startswith(WEBCAM)
    if is_camera and not str(source).removeprefix(WEBCAM).isdecimal():
        raise UserError(
            f"{source}: expected webcam: and a number, such as webcam:0. Received: {str(source)!r}"
        )
    if not is_camera:
        with open(source, "rb"):  # its OSError says why, OpenCV does not
            pass
    with devices.native_stderr_closed():
        capture = cv2.VideoCapture(
            int(str(source).removeprefix(WEBCAM)) if is_camera else str(source)
        )
        whole = capture.isOpened()
    try:
        width, height = (
            int(capture.get(which))
            for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if not whole or width * height < 1:
            kind = "a camera that answers" if is_camera else "a readable video"
            raise UserError(
                f"{source}: expected {kind}. Check it. Received: nothing OpenCV can read"
            )
        if width * height > images.MAX_PIXELS:
            raise UserError(
                f"{source}: expected frames of at most {images.MAX_PIXELS:,} pixels. Shrink it. "
                f"Received: {width}×{height}"
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps < 1000 else 30.0
        count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) if not is_camera else 0

        def frames():
            index = 0
            while True:
                with devices.native_stderr_closed():
                    there, frame = capture.read()
                if not there:
                    return
                # The file's own clock where it runs, for frame rates that vary.
                clock = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                yield (clock if index and clock > 0 else index / fps), frame[..., ::-1]
                index += 1

        yield Video(frames(), fps, (width, height), count)
    finally:
        capture.release()


def is_video(path):
    """True where the name is that of a video file, or of a camera."""
    return str(path).startswith(WEBCAM) or pathlib.Path(path).suffix.lower() in SUFFIXES


@contextlib.contextmanager
def writer(path, fps, size):
    """Yields a function that appends RGB frames `[h, w, 3]` to an MP4 file."""
    import cv2

    with devices.native_stderr_closed():
        out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not out.isOpened():
        raise UserError(
            f"{path}: expected a place to write a video of {size[0]}×{size[1]} to. Check the folder, "
            "or leave --annotate out. Received: OpenCV cannot open it"
        )
    count = 0

    def append(frame):
        nonlocal count
        out.write(np.ascontiguousarray(frame[..., ::-1]))
        count += 1

    try:
        yield append
    finally:
        with devices.native_stderr_closed():
            out.release()
    # OpenCV says nothing of a full disk.
    with devices.native_stderr_closed():
        capture = cv2.VideoCapture(str(path))
        written = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
    if written != count:
        raise OSError(errno.ENOSPC, f"{written} of {count} frames were written", str(path))
