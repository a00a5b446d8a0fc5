"""What an input file is by its first bytes, and a check that it is a regular file at all.

A name says little: people rename files, and an attacker chooses them. Devices and pipes would hang the
reader or fill the memory, so every input passes `check_regular_file` before it is opened.
"""

import errno
import os
import pathlib
import re
import stat

from insideout_tf.errors import UserError

HEAD_BYTES = 1024  # enough for every signature below; MPEG-TS has one in each packet of 188 bytes

# Files that archives and text editors make and that no reader of CSV can use, by their first bytes.
PACKED = {
    b"\x1f\x8b": "gzip (.gz)",
    b"BZh": "bzip2 (.bz2)",
    b"\xfd7zXZ\x00": "xz (.xz)",
    b"\x28\xb5\x2f\xfd": "Zstandard (.zst)",
    b"7z\xbc\xaf\x27\x1c": "7-Zip (.7z)",
    b"Rar!\x1a\x07": "RAR (.rar)",
}
_PICTURE_BRANDS = {  # of ISO base media files that hold a still image (ISO 23008-12, AV1 image format)
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"
    ),
}
_BMP_HEADER_SIZES = tuple(bytes([size]) for size in (12, 40, 52, 56, 64, 108, 124))
_VIDEO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


def to_path(value, expected):
    """Returns a path, a text, bytes or `os.PathLike`, as `pathlib.Path`; `~` is the home folder.

    Raises `UserError` for another type and for a web address. expected: what is there, for the message.
    """
    try:
        text = os.fsdecode(value)
    except TypeError:
        raise UserError(
            f"expected the path of {expected}. Give a text or a pathlib.Path. Received: {value!r:.80} "
            f"of type {type(value).__name__}"
        ) from None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise UserError(
            f"{text}: expected {expected} on this computer. Download it and give its path. Received: "
            "a web address"
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError:
        raise UserError(
            f"{text}: expected a home folder of that name. Write the path without ~. Received: none"
        ) from None


def check_regular_file(path, expected):
    """Raises an error unless a path leads to a regular file. It does not open the file.

    Args:
        path: a path, as `open` takes it. A link to a regular file is one.
        expected: what the file should be, for the message, such as "an image file".

    Returns:
        The `os.stat_result` of the file.

    Raises:
        UserError: a web address, nothing there, a dangling link, a folder, a device, a pipe or a
            socket, or a path that the operating system does not take.
        OSError: the operating system refuses another way, for instance without permission.
    """
    to_path(path, expected)
    text = os.fsdecode(path)
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        received = "a link to nothing" if os.path.islink(path) else error.strerror
        raise UserError(
            f"{text}: expected {expected}. Check the path. Received: {received}"
        ) from None
    except ValueError as error:  # a null character
        raise UserError(
            f"{text!r}: expected {expected}. Check the path. Received: {error}"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
            raise
        raise UserError(
            f"{text[:200]}: expected {expected}. Check the path. Received: {error.strerror}"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(
            f"{text}: expected {expected}, a regular file. Give the path of one. Received: "
            f"{describe_kind(status.st_mode)}"
        )
    return status


def describe_kind(mode):
    """Returns what a file of this `st_mode` is, such as "a folder" or "a pipe"."""
    for is_kind, name in (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_kind(mode):
            return name
    return "a device"


def read_head(path):
    """Returns the first `HEAD_BYTES` of a regular file. Raises what `check_regular_file` raises.

    A file of no bytes is not opened: those of /proc can block.
    """
    if check_regular_file(path, "a file").st_size == 0:
        return b""
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def find_picture_format(head):
    """Returns Pillow's name of the image format that begins with these bytes, or None.

    HEIF is among them, which Pillow reads only with the package pillow-heif.
    """
    for start, name in (
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
        (b"II+\x00", "TIFF"),
        (b"MM\x00+", "TIFF"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
        (b"\xff\x4f\xff\x51", "JPEG2000"),
        (b"P5\n", "PPM"),
        (b"P6\n", "PPM"),
    ):
        if head.startswith(start):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and head[15:18] == b"\0\0\0" and head[14:15] in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _PICTURE_BRANDS.get(head[8:12])
    return None


def is_video_container(head):
    """Returns True if a file begins as a real video container does.

    Texts never do: playlists (M3U8, ASX, MPD, SDP) and FFmpeg's concat form make a reader open other
    files and addresses.
    """
    if head[4:8] == b"ftyp":
        return head[8:12] not in _PICTURE_BRANDS
    if head[4:8] in _VIDEO_BOXES:
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"AVI "
    if head.startswith(
        (
            b"\x1a\x45\xdf\xa3",  # Matroska, WebM
            b"FLV\x01",
            b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: .wmv
            b"\x00\x00\x01\xba",  # MPEG program stream
            b"\x00\x00\x01\xb3",  # MPEG video
            b"OggS\x00",
            b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
            b".RMF\x00",
        )
    ):
        return True
    return _is_transport_stream(head)


def _is_transport_stream(head):
    """Returns True for MPEG-TS (packets of 188 bytes) and M2TS (192, four of them in front)."""
    for size, offset in ((188, 0), (192, 4)):
        starts = head[offset::size]
        if len(starts) >= 3 and not starts.strip(b"G") and b"\x00" in head[offset : offset + size]:
            return True
    return False


def find_kind(path):
    """Returns "picture", "video" or None: what a regular file holds, by its first bytes.

    Raises what `read_head` raises.
    """
    head = read_head(path)
    if find_picture_format(head):
        return "picture"
    return "video" if is_video_container(head) else None


def is_hidden(path):
    """Returns whether a file or folder belongs to an operating system or editor and not to the data.

    Names with a leading dot are hidden: `._x.png` (AppleDouble), `.ipynb_checkpoints`, `.DS_Store`.
    """
    name = pathlib.PurePath(path).name
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
