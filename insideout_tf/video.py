"""Video as frames, and faces followed from frame to frame."""

import contextlib
import errno
import math
import pathlib
import typing

import numpy as np

from insideout_tf import devices, images
from insideout_tf.errors import UserError

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
WEBCAM = "webcam:"
SAME = 0.3  # intersection over union of a face with itself a frame later, at least
LOST = 1.0  # seconds unseen after which a face is another one


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


class Tracks:
    """Gives the faces of successive frames numbers, and smooths the probabilities of each over time.

    smoothing: seconds after which a frame's weight has fallen to 1/e (exponential smoothing); 0: none.
    A face is the one it overlaps most in the frames before.
    """

    def __init__(self, smoothing):
        self._smoothing = smoothing
        self._known = {}  # number: (box, probabilities, seconds)
        self._next = 0

    def update(self, seconds, boxes, probabilities):
        """Returns (numbers, float32 `[n, 7]`) of one frame's faces; a box of None is the whole frame."""
        self._known = {
            number: known
            for number, known in self._known.items()
            if seconds - known[2] <= LOST or known[0] is None
        }
        pairs = sorted(
            (
                (-overlap(box, known[0]), index, number)
                for index, box in enumerate(boxes)
                for number, known in self._known.items()
            )
        )
        numbers: dict[int, int] = {}
        for less, index, number in pairs:
            if -less >= SAME and index not in numbers and number not in numbers.values():
                numbers[index] = number
        smoothed = np.array(probabilities, np.float32)
        for index, box in enumerate(boxes):
            if index not in numbers:
                numbers[index], self._next = self._next, self._next + 1
            elif self._smoothing > 0:
                _, before, last = self._known[numbers[index]]
                kept = math.exp(-max(0.0, seconds - last) / self._smoothing)
                smoothed[index] = kept * before + (1 - kept) * smoothed[index]
            self._known[numbers[index]] = (box, smoothed[index], seconds)
        return [numbers[index] for index in range(len(boxes))], smoothed


def overlap(one, other):
    """Returns the intersection over union of two boxes (left, top, width, height); None is all."""
    if one is None or other is None:
        return float(one is other)
    across, down = (
        max(0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]))
        for i in (0, 1)
    )
    shared = across * down
    return shared / max(1, one[2] * one[3] + other[2] * other[3] - shared)


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
