"""Which files a verb may write: never an input, nor what it did not make itself."""

import csv
import io
import os
import re
import stat
import typing

from insideout_tf.errors import UserError, printable

PICTURE_KEY = "insideout_tf"  # of the text in a PNG file that names the kind of picture


class Target(typing.NamedTuple):
    """A file that a verb is going to write.

    Attributes:
        option: that names it, such as "--csv".
        path: where to.
        is_ours: a function of a path that returns True if the file there is an earlier output of the
            same kind, which --overwrite may replace.
    """

    option: str
    path: typing.Any
    is_ours: typing.Callable


def check_targets(targets, inputs=(), overwrite=False):
    """Raises `UserError` unless every file may be written: call it before the work begins.

    A file may be written where nothing is; with `overwrite` also over an earlier output of the same
    kind. An input, another output, a device, a pipe and a link are always refused.

    Args:
        targets: a list of `Target`.
        inputs: paths that the verb reads; those that are no files are ignored.
        overwrite: whether --overwrite was given.
    """
    places: dict[str, str] = {}
    read = {_identify(path) for path in inputs} - {None}
    for option, path, is_ours in targets:
        place = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        if place in places:
            raise UserError(
                f"{option}: expected a file of its own. Choose another name. Received: {path}, as "
                f"for {places[place]}"
            )
        places[place] = option
        if not os.path.lexists(path):
            continue
        if os.path.islink(path) or not os.path.isfile(path):
            raise UserError(
                f"{option}: expected the name of a new file. Choose another. Received: {path}, "
                f"{describe_node(path)}"
            )
        if _identify(path) in read:
            raise UserError(
                f"{option}: expected another file than those that are read. Choose another name. "
                f"Received: {path}, an input"
            )
        if not is_ours(path):
            raise UserError(
                f"{option}: expected a new file, or an earlier output of this option. Choose another "
                f"name. Received: {path}, a file of another kind"
            )
        if not overwrite:
            raise UserError(
                f"{option}: expected a new file. Choose another name, or add --overwrite to replace "
                f"it. Received: {path}, an earlier output"
            )


def _identify(path):
    """Returns what two names of one file share, or None without a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null character
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def check_folder_name(option, path):
    """Raises `UserError` if a folder to write into is a file, a link to none, a device or a pipe."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UserError(
            f"{option}: expected a folder to write to. Choose another. Received: {path}, "
            f"{describe_node(path)}"
        )


def check_utf8(path):
    """Raises `UserError` for the name of a folder that TensorFlow cannot take: not UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"{path}: expected a name in UTF-8, since TensorFlow writes to this folder. Choose "
            f"another. Received: {os.fsencode(path)!r}"
        ) from None


def check_outside(option, folder, inputs):
    """Raises `UserError` if a folder that is replaced holds an input, a pair (its option, path)."""
    there = os.path.realpath(folder)
    for name, path in inputs:
        if path and os.path.exists(path):
            if os.path.commonpath([there, os.path.realpath(path)]) == there:
                raise UserError(
                    f"{name}: expected a path outside the folder that --overwrite replaces. Choose "
                    f"another {option}. Received: {path}"
                )


def describe_node(path):
    """Returns what a link, file, folder, device or pipe is, as text."""
    if os.path.islink(path):
        return f"a link to {os.readlink(path)}"
    if os.path.isfile(path):
        return "a file"
    return "a folder" if os.path.isdir(path) else "a device or a pipe"


def escape_cell(text, prefix="./"):
    """Returns a text that is safe as a cell of CSV: control characters escaped, and no formula.

    prefix: what is put before a text that a spreadsheet would read as a formula.
    """
    return re.sub(r"^(?=[=+@-])", prefix, printable(text))


def format_row(cells):
    """Returns values as one line of CSV, with its end; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def has_begin(path, begin):
    """Returns True if a file begins with the bytes `begin`, or if it is empty."""
    with open(path, "rb") as file:
        return file.read(len(begin)) in (begin, b"")


def is_picture(path, kind):
    """Returns True if a file is a PNG that this package wrote, with `kind` under `PICTURE_KEY`."""
    with open(path, "rb") as file:
        head = file.read(4096)  # Pillow and Matplotlib write the text before the pixels
    text = f"{PICTURE_KEY}\0{kind}".encode("latin-1")
    return not head or (head.startswith(b"\x89PNG\r\n\x1a\n") and b"tEXt" + text in head)
