"""Network cameras, `rtsp://...`: read through OpenCV, reconnected, and shown without their password."""

import os
import time

from insideout_tf import errors
from insideout_tf.errors import UserError

BEGINS = ("rtsp://", "rtsps://")
MAX_RECONNECTS = 5  # in a row
WAIT_SECONDS = 1.0  # before the first of them; each next one waits twice as long
TIMEOUT_SECONDS = 10  # for an answer


class Stream(str):
    """The address of a stream: as text without its password.

    Attributes:
        address: the whole address.
    """

    address: str


def is_stream(source):
    """Returns True for the address of a stream that can be read."""
    return str(source).lower().startswith(BEGINS)


def hide_password(source):
    """Returns a source as it may be printed: a `Stream` for a stream, others as they are."""
    if not is_stream(source) or isinstance(source, Stream):
        return source
    stream = Stream(errors.hide_passwords(source))
    stream.address = str(source)
    return stream


def open_stream(stream, open_capture):
    """Returns an open cv2.VideoCapture of a `Stream`. Raises `UserError` if it does not answer.

    open_capture: a function (address, options) → cv2.VideoCapture.
    """
    import cv2

    # TCP loses no packets; FFmpeg reads the variable when it opens.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
    options = [number for each in limits for number in (each, 1000 * TIMEOUT_SECONDS)]
    capture = open_capture(stream.address, options)
    if not capture.isOpened():
        capture.release()
        raise UserError(
            f"{stream}: expected a stream that answers. Check the address, the name, the password "
            "and the network. Received: nothing that OpenCV can read"
        )
    return capture


def read_frames(stream, capture, open_capture, sleep=time.sleep):
    """Yields (seconds since the start, RGB frame) of a stream, which is opened again where it ends.

    Raises:
        UserError: it does not answer `MAX_RECONNECTS` times in a row.
    """
    begin, failures = time.monotonic(), 0
    try:
        while True:
            is_read, frame = capture.read()
            if is_read:
                failures = 0
                yield time.monotonic() - begin, frame[..., ::-1]
                continue
            capture.release()
            while True:
                if failures == MAX_RECONNECTS:
                    raise UserError(
                        f"{stream}: expected a stream that goes on. Check the camera and the network. "
                        f"Received: no answer after {MAX_RECONNECTS} attempts"
                    )
                sleep(WAIT_SECONDS * 2**failures)
                failures += 1
                try:
                    capture = open_stream(stream, open_capture)
                    break
                except UserError:
                    continue
    finally:
        capture.release()
