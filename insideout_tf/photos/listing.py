"""Finds the pictures and videos in folders, by their content."""

import collections
import glob
import os
import pathlib
import stat
import typing

from insideout_tf.data import images, inputs, pillow
from insideout_tf.errors import UserError, printable
from insideout_tf.photos import draw, video


class Listing(typing.NamedTuple):
    """The pictures and videos in a folder and its subfolders.

    Attributes:
        paths: their paths, sorted.
        unread: a Counter of the other files by kind, such as {".txt": 3}.
        errors: a list of (path, OSError) of the subfolders and files that may not be read.
    """

    paths: list
    unread: collections.Counter
    errors: list


def list_sources(folder):
    """Returns the `Listing` of a folder: its pictures and videos, recognised by their content.

    Files that are damaged so much that their first bytes say nothing are listed if their name is that
    of a picture or a video. Hidden files and folders are neither listed nor counted.
    """
    paths: list = []
    unread: collections.Counter = collections.Counter()
    errors: list = []
    seen: set = set()  # folders, since links may lead to one twice or in a circle
    for place, folders, names in os.walk(
        folder, onerror=lambda error: errors.append((error.filename, error)), followlinks=True
    ):
        if os.path.realpath(place) in seen:
            folders[:] = []
            continue
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if not inputs.is_hidden(name))
        for name in sorted(names):
            if inputs.is_hidden(name):
                continue
            path = os.path.join(place, name)
            try:
                kind = _find_unread_kind(path)
            except OSError as error:
                errors.append((path, error))
                continue
            if kind is None:
                paths.append(path)
            else:
                unread[kind] += 1
    return Listing(sorted(paths, key=pathlib.PurePath), +unread, errors)


def expand_folders(sources):
    """Returns the sources with folders and patterns replaced by the pictures and videos in them.

    Annotated copies of earlier calls are excluded, unless they are named. A file that is named and lies
    in a folder too is listed once.

    Args:
        sources: paths, patterns such as *.png that the shell has left, and names of cameras.

    Returns:
        A tuple of the list of paths and cameras; a Counter of the other files in the folders by kind;
        and a list of (path, OSError) of what may not be read. See `list_sources`.

    Raises:
        UserError: a pattern that nothing matches, or a number without `webcam:`.
    """
    expanded: list = []
    unread: collections.Counter = collections.Counter()
    unreadable: list = []
    sources = [path for source in sources for path in _expand_pattern(source)]
    named = set(sources)
    for source in sources:
        if video.is_camera(source) or not os.path.isdir(source):
            expanded.append(source)
            continue
        listing = list_sources(source)
        expanded += [
            path for path in listing.paths if path not in named and not draw.is_annotated(path)
        ]
        unread += listing.unread
        unreadable += listing.errors
    return expanded, unread, unreadable


def _expand_pattern(source):
    """Returns the files that match a pattern, as Windows leaves it, or the source itself in a list."""
    if video.is_camera(source) or os.path.lexists(source):
        return [source]
    if source.isascii() and source.isdecimal():
        raise UserError(
            f"{source}: expected a picture, a video or a folder. A camera is {video.WEBCAM}{source}. "
            "Received: a number"
        )
    if not glob.has_magic(source):
        return [source]
    matches = sorted(glob.glob(source, recursive=True))
    found = [path for path in matches if not draw.is_annotated(path)]
    if not found:
        raise UserError(
            f"{printable(source)}: expected a pattern of files that exist. Check it. Received: no match"
        )
    return found


def _find_unread_kind(path):
    """Returns the kind of a file that is neither a picture nor a video, or None for one of these."""
    suffix = pathlib.PurePath(path).suffix.lower()
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "link to nothing"
    if not stat.S_ISREG(mode):
        return inputs.describe_kind(mode).split(" ", 1)[1]
    head = inputs.read_head(path)
    picture = inputs.find_picture_format(head)
    if picture == "HEIF" and not pillow.reads_heif():
        return f"{suffix or 'HEIC'} (needs the package pillow-heif)"
    is_known = suffix in (*images.SUFFIXES, *video.SUFFIXES)
    if picture or inputs.is_video_container(head) or is_known:
        return None
    return suffix or "without a suffix"


def describe_unread(unread):
    """Returns one line that counts the files of `Listing.unread` by kind; "" if there are none."""
    if not unread:
        return ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in unread.most_common())
    return f"not read: {kinds}, since they are no pictures or videos that can be read here"
