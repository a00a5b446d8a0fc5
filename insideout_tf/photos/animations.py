"""Pictures of several frames, GIF, WebP and APNG, as short videos. TIFF has pages, which are none."""

import contextlib
import os
import typing

import numpy as np

from insideout_tf.data import images, inputs, levels, pillow
from insideout_tf.errors import UserError

FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
DEFAULT_SECONDS = 0.1  # that a frame is shown which declares no time, as browsers do


class Animation(typing.NamedTuple):
    """An open animation.

    Attributes:
        frames: an iterator of (seconds, RGB uint8 `[h, w, 3]`); one frame is in memory at a time.
        fps: frames a second, by the time that the first frame is shown.
        size: (width, height) in pixels.
        frame_count: the number of frames.
        is_cut_off: a function without arguments: True if a frame could not be decoded.
    """

    frames: typing.Iterator
    fps: float
    size: tuple[int, int]
    frame_count: int
    is_cut_off: typing.Callable[[], bool]


def is_animation(path):
    """Returns True for a picture file of several frames that are shown one after the other."""
    try:
        path = os.path.expanduser(os.fsdecode(path))
        if not _may_be_animation(inputs.read_head(path)):
            return False
        with _open(path) as image:
            return image.format in FORMATS and getattr(image, "n_frames", 1) > 1
    except (UserError, OSError):  # whoever reads the file reports why
        return False


def _may_be_animation(head):
    """Returns whether a file that begins so can have several frames: most pictures need no decoder."""
    kind = inputs.find_picture_format(head)
    if kind == "WEBP":
        return head[12:16] == b"VP8X" and bool(head[20] & 2)
    if kind == "PNG":
        return b"acTL" in head
    return kind == "GIF" or head[8:12] == b"avis"


@contextlib.contextmanager
def open_animation(path):
    """Yields the `Animation` in a file. Raises `UserError` if it is too large or damaged."""
    failures: list[int] = []
    opened = _open(path)
    image = opened.__enter__()
    try:  # no `with`: errors of the caller are not those of the file
        images.check_pixels(image, path)
        count = getattr(image, "n_frames", 1)
        frames = _read_frames(image, path, count, failures)
        fps = 1 / _seconds_of(image)
        yield Animation(frames, fps, image.size, count, lambda: bool(failures))
    finally:
        opened.__exit__(None, None, None)


@contextlib.contextmanager
def _open(path):
    with open(path, "rb") as file:
        data = file.read(images.MAX_FILE_BYTES + 1)
    images.check_size(path, len(data))
    with pillow.open_image(data, path) as image:
        yield image


def _seconds_of(image):
    duration = image.info.get("duration") or 0
    return duration / 1000 if duration > 0 else DEFAULT_SECONDS


def _read_frames(image, path, count, failures):
    """Yields (seconds, RGB frame); the position of a frame that cannot be decoded ends in `failures`."""
    seconds = 0.0
    for index in range(count):
        try:
            image.seek(index)
            frame = levels.to_8_bits(image, path).convert("RGB")
        except Exception:  # Pillow raises many kinds for damaged frames
            failures.append(index)
            return
        yield seconds, np.asarray(frame)
        seconds += _seconds_of(image)
