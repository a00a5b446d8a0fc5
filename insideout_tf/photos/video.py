"""Reads and writes video as RGB frames, with OpenCV."""

import contextlib
import errno
import functools
import os
import pathlib
import re
import struct
import tempfile
import typing

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.data import images, inputs
from insideout_tf.errors import UserError
from insideout_tf.photos import animations, following, streams

# Videos are recognised by their content; a damaged one is known by its name. A .ts can be a program.
SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    *(".wmv", ".asf", ".flv", ".3gp", ".3g2", ".m2ts", ".mts", ".ogv", ".mxf"),
)
WEBCAM = "webcam:"
MAX_CAMERA = 999
DEFAULT_FPS = 30.0  # of a file or camera that does not declare a possible one
MAX_DAMAGED_PACKETS = 500  # in a row, after which a file is given up
THEORA = b"theo"  # its empty packets repeat a frame; OpenCV reports them as failures of the decoder
WRITTEN_FPS = (1.0, 240.0)  # the slowest and fastest rate of a file that is written
FORMATS = (
    (".mp4", "avc1"),
    (".webm", "VP80"),
    (".mp4", "mp4v"),
)  # suffix and codec, the best first
MAX_GAP_SECONDS = 300.0  # between two frames of a file that is written


class Video(typing.NamedTuple):
    """An open video.

    Attributes:
        frames: an iterator of (seconds, RGB uint8 `[h, w, 3]`); few frames are in memory at a time.
        fps: frames a second.
        size: (width, height) in pixels.
        frame_count: the number of frames that the file declares, which is only a hint; 0 if it
            declares none, and for a camera.
        is_cut_off: a function without arguments. True if the file has fewer bytes than its container
            says, or if its decoder failed before the end; ask after the last frame.
    """

    frames: typing.Iterator
    fps: float
    size: tuple[int, int]
    frame_count: int
    is_cut_off: typing.Callable[[], bool] = lambda: False


@contextlib.contextmanager
def open_video(source):
    """Yields the `Video` of a file or camera.

    Args:
        source: the path of a file, `webcam:0` for the first camera, or the address of a stream,
            `rtsp://...`.

    Raises:
        UserError: OpenCV is not installed or cannot read the source; or a frame has more than
            `images.MAX_PIXELS`.
        OSError: the file cannot be opened.
    """
    cv2 = imports.load_opencv(str(source), ", which reads video")
    with contextlib.ExitStack() as stack:
        source = streams.hide_password(source)
        if streams.is_stream(source):
            yield _open_stream(source)
            return
        if is_camera(source):
            capture = _open_capture(_camera_number(source))
        else:
            path = os.fspath(inputs.to_path(source, "a readable video"))
            if animations.is_animation(path):
                yield Video(*stack.enter_context(animations.open_animation(path)))
                return
            _check_container(path)
            capture = _open_capture(stack.enter_context(_plain_name(path)), cv2.CAP_FFMPEG)
            if not capture.isOpened():  # this OpenCV may have another reader
                capture.release()
                capture = _open_capture(stack.enter_context(_plain_name(path)))
        stack.callback(capture.release)
        clip = _read_properties(capture, source, is_camera(source))
        if not is_camera(source):
            frames = following.read_ahead(clip.frames, 3 * clip.size[0] * clip.size[1])
            clip = clip._replace(frames=stack.enter_context(frames))
        yield clip


def is_camera(source):
    """Returns True for the name of a camera, such as `webcam:0`, and for the address of a stream."""
    return str(source).startswith(WEBCAM) or streams.is_stream(source)


def _camera_number(source):
    number = str(source).removeprefix(WEBCAM)
    is_number = number.isascii() and number.isdecimal() and len(number) <= len(str(MAX_CAMERA))
    if not is_number:
        raise UserError(
            f"{str(source)[:80]}: expected webcam: and a number from 0 to {MAX_CAMERA}, such as "
            f"webcam:0. Received: {str(source)[:80]!r}"
        )
    return int(number)


def _open_stream(stream):
    """Returns the `Video` of a `streams.Stream`. Raises `UserError`."""
    import cv2

    def open_capture(address, options):
        return _open_capture(address, cv2.CAP_FFMPEG, options)

    capture = streams.open_stream(stream, open_capture)
    video = _read_properties(capture, stream, True)
    return video._replace(frames=streams.read_frames(stream, capture, open_capture))


def _open_capture(source, reader=0, options=()):
    """Returns a cv2.VideoCapture, silent. reader: one of cv2.CAP_*; 0 lets OpenCV choose."""
    import cv2

    # FFmpeg's notes about damaged files; it reads the variable once, when OpenCV loads it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with processes.native_stderr_closed():
        return cv2.VideoCapture(source, reader, *([options] if options else []))


def _check_container(path):
    """Raises `UserError` unless a path is a regular file that begins as a video container does."""
    if inputs.check_regular_file(path, "a readable video").st_size == 0:
        raise UserError(
            f"{path}: expected a readable video. Copy it again. Received: an empty file"
        )
    if not inputs.is_video_container(inputs.read_head(path)):
        raise UserError(
            f"{path}: expected a readable video file (MP4, MOV, AVI, MKV, WebM, WMV, FLV, MPEG). "
            "Playlists are not opened: give the files that they name. Received: none of these, by "
            "its first bytes"
        )


@contextlib.contextmanager
def _plain_name(path, suffix=""):
    """Yields a path of the same file that OpenCV takes as a file and as nothing else.

    OpenCV crashes on names that are not UTF-8, and takes `img%03d.mp4` as a series of pictures and
    `clip:1.mp4` as a protocol. A file of such a name is opened or created through a link in a new folder.
    """
    path = os.path.abspath(path)
    try:
        path.encode("utf-8")
        is_plain = "%" not in path and os.sep + os.sep not in path
    except UnicodeEncodeError:
        is_plain = False
    if is_plain:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:
        link = os.path.join(folder, f"video{suffix}")
        os.symlink(path, link)
        yield link


def _read_properties(capture, source, of_camera):
    """Returns the `Video` of a cv2.VideoCapture. Raises `UserError`."""
    import cv2

    width, height = (
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if not capture.isOpened() or width * height < 1:
        expected = "a camera that answers" if of_camera else "a readable video"
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
    frame_count = 0 if of_camera else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    damage: list[int] = []  # positions of the frames before which the decoder failed
    frames = _read_frames(capture, fps, 0 if of_camera else MAX_DAMAGED_PACKETS, damage)
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    has_empty_packets = codec.to_bytes(4, "little") == THEORA

    def is_cut_off():
        is_damaged = bool(damage) and not has_empty_packets
        return not of_camera and (is_damaged or is_truncated(source))

    return Video(frames, fps, (width, height), frame_count, is_cut_off)


def _read_frames(capture, fps, max_failures, damage):
    """Yields (seconds, RGB frame) until the video ends; seconds never fall.

    A packet that the decoder refuses looks like the end. So the next ones are tried: if a frame
    follows, its position is appended to the list `damage`.
    """
    import cv2

    index, seconds, failures = 0, 0.0, 0
    while failures <= max_failures:
        try:
            is_read, frame = capture.read()
        except cv2.error:  # sizes in a damaged container that cannot be
            is_read = False
        if not is_read:
            failures += 1
            continue
        if failures:
            damage.append(index)
        failures = 0
        # Frame rates can vary: the clock of the file is better, if it runs.
        clock = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = max(seconds, clock if index and clock > 0 else index / fps)
        yield seconds, frame[..., ::-1]
        index += 1


def is_truncated(path):
    """Returns True if a file has fewer bytes than the parts of its container say.

    It reads the sizes in MP4, MOV, AVI, MKV and WebM. Other containers have none, or may be live
    recordings with sizes of zero: these are never truncated. Counts of frames and durations are not
    used, since edit lists and careless writers make them wrong.
    """
    path = os.path.expanduser(os.fsdecode(path))
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(inputs.HEAD_BYTES)
        if head.startswith(b"RIFF"):
            declared = struct.unpack("<I", head[4:8])[0]
            # RIFF lets the last byte be absent that fills an odd size.
            return len(head) < 12 or 0 < declared < 0xFFFFFFFF and declared + 8 > size + 1
        if head.startswith(b"\x1a\x45\xdf\xa3"):
            return _matroska_end(head) > size
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            return _boxes_end(file, size) > size
    return False


def _boxes_end(file, size):
    """Returns where the last box of an MP4 or MOV file ends, in bytes."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length = struct.unpack(">I", head[:4])[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length == 0:  # to the end of the file
            return size
        if length < 8 or not re.fullmatch(rb"[ -~\xa9]{4}", head[4:8]):  # padding, no box
            return size
        position += length
    return position


def _matroska_end(head):
    """Returns where the segment of a Matroska file ends, in bytes; 0 if its size is unknown."""

    def read_number(at, keeps_marker):
        if at >= len(head) or not head[at]:
            return None
        length = 9 - head[at].bit_length()
        value = int.from_bytes(head[at : at + length], "big")
        mask = (1 << 7 * length) - 1
        is_unknown = not keeps_marker and value & mask == mask
        return (None if is_unknown else value if keeps_marker else value & mask), at + length

    position = 0
    for _ in range(8):  # the EBML header, perhaps Void elements, the segment
        name = read_number(position, True)
        length = name and read_number(name[1], False)
        if not length or length[0] is None:
            return 0
        if name[0] == 0x18538067:
            return length[1] + length[0]
        position = length[1] + length[0]
    return 0


def is_video(path):
    """Returns True for a camera, an animation and a video file, by its content; else by its name."""
    if is_camera(path):
        return True
    try:
        kind = inputs.find_kind(os.path.expanduser(os.fsdecode(path)))
    except (UserError, OSError):
        kind = None
    if kind == "picture":
        return animations.is_animation(path)
    return kind == "video" or (kind is None and pathlib.Path(path).suffix.lower() in SUFFIXES)


@functools.cache
def choose_format():
    """Returns the suffix and the codec of videos that browsers play and this OpenCV can write.

    H.264 if it has an encoder, else VP8: VP9 takes four times as long. Without either it is MPEG-4,
    which players show and browsers do not.
    """
    import cv2

    for suffix, codec in FORMATS[:-1]:
        with (
            tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder,
            processes.native_stderr_closed(),
        ):
            name = os.path.join(folder, f"a{suffix}")
            writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*codec), 10.0, (64, 64))
            is_open = writer.isOpened()
            writer.release()
        if is_open:
            return suffix, codec
    return FORMATS[-1]


@contextlib.contextmanager
def create_writer(path, fps, size, codec="mp4v"):
    """Yields a function (frame, seconds=None) that appends an RGB frame to a new video file.

    The file has a constant frame rate. A frame with its time in seconds takes the place of that time:
    the frame before it is repeated up to there (for `MAX_GAP_SECONDS` at most), and a frame whose place
    is taken already is skipped. So a copy lasts as long as its original. Frames without a time follow
    one another.

    Args:
        path: the file; its folder exists.
        fps: frames a second; `WRITTEN_FPS` bounds them.
        size: (width, height) in pixels of every frame, which is uint8 `[h, w, 3]`.
        codec: four letters; see `FORMATS`.

    Raises:
        UserError: OpenCV cannot open the file.
        OSError: the file holds fewer frames than were appended, as on a full disk.
    """
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    fps = min(max(fps, WRITTEN_FPS[0]), WRITTEN_FPS[1])
    with _plain_name(path, pathlib.Path(path).suffix) as name, processes.native_stderr_closed():
        writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*codec), fps, size)
    if not writer.isOpened():
        raise UserError(
            f"{path}: expected a place to write a video of {size[0]}×{size[1]} to. Check the folder, "
            "or run without --annotate. Received: OpenCV cannot open it"
        )
    count, shift = 0, 0
    latest: np.ndarray | None = None

    def append(frame, seconds=None):
        nonlocal count, shift, latest
        place = count if seconds is None else round(seconds * fps) - shift
        if latest is not None and place - count > MAX_GAP_SECONDS * fps:
            shift += place - count - int(MAX_GAP_SECONDS * fps)
            place = count + int(MAX_GAP_SECONDS * fps)
        while latest is not None and count < place:
            writer.write(latest)
            count += 1
        if latest is None:
            shift, place = shift + place, 0  # the file begins with its first frame
        latest = np.ascontiguousarray(frame[..., ::-1])
        if place >= count:
            writer.write(latest)
            count += 1

    try:
        yield append
    finally:
        with processes.native_stderr_closed():
            writer.release()
    # OpenCV reports no error when the disk is full.
    with _plain_name(path) as name:
        capture = _open_capture(name)
        count_on_disk = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
    if count_on_disk != count:
        raise OSError(errno.ENOSPC, f"{count_on_disk} of {count} frames were written", str(path))
