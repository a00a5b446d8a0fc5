"""What readers of published data sets share: rows with a class and a person, and lists as text."""

import csv
import dataclasses
import math
import os
import pathlib
import re

import numpy as np

from insideout_tf.data import classes as class_names
from insideout_tf.data import folders, images, inputs
from insideout_tf.data.faces import TRAINING, Faces
from insideout_tf.errors import UserError

MAX_LIST_BYTES = 2 << 30  # the largest, the training list of AffectNet, has about half a gigabyte
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d*)?([eE][+-]?\d{1,2})?")


@dataclasses.dataclass(frozen=True)
class Row(folders.Entry):
    """One face of a published data set.

    Attributes:
        word: its class, in the words of the data set. Empty if `error` says that it has none.
        person: the person, or None.
        picture: the picture, if several faces can be in it, else None.
        name: another name than the path of the file, or None.
    """

    word: str = ""
    person: str | None = None
    picture: str | None = None
    name: str | None = None


def make_row(file, word="", usage=TRAINING, error=None, where=None, **more):
    """Returns a `Row`. A file that is missing is its error, which names `where`: a line of a list."""
    if error is None and not os.path.exists(file):
        error = UserError(
            f"{where or file}: expected a picture that exists. Restore it, or skip such rows with "
            f"--bad-rows skip. Received: {file}, nothing there"
        )
    return Row(usage, None, file, error, word=word, **more)


def read_rows(root, rows, reading, layout, published=(), notes=()):
    """Reads the pictures of rows.

    Classes are those of the rows: FER2013's words in its order where they mean the same, then the others
    by name. `reading.classes` sets another order.

    Args:
        root: `pathlib.Path` of the data set; names are relative to it.
        rows: a list of `Row`.
        reading: a `Reading`.
        layout: the name of the data set, for `identified`.
        published: the published counts, as in `identify`.
        notes: messages on what the reader excluded, which come first in `Faces.skipped`.

    Returns:
        `Faces`, with `names`, `identified`, and `people` or `pictures` where the rows have them.

    Raises:
        UserError: a bad row, unless `reading` skips them; pictures of several sizes; no good row.
    """
    words = list(dict.fromkeys(row.word for row in rows if row.error is None))
    classes, settled = class_names.order_classes(words)
    labels = {word: classes.index(settled[word]) for word in words}
    size = reading.input_size
    if size is None and any(isinstance(row.crop, tuple) for row in rows):
        raise UserError(
            f"{root}: expected a side in pixels for the faces, which are cut from whole pictures. Give "
            "--input-size N. Received: none"
        )
    size = size or folders.find_size(root, rows)
    pixels, good, messages = folders.read_images(rows, size, reading)
    if not good:
        raise UserError(
            f"{root}: expected faces of {layout}. Check the path. Received: "
            + (f"{len(messages)} bad rows" if messages else "no row of a face")
        )
    chosen = [rows[index] for index in good]
    faces = Faces(
        pixels,
        np.array([labels[row.word] for row in chosen], np.uint8),
        np.array([row.usage for row in chosen], np.uint8),
        source=str(root),
        names=tuple(row.name or row.file.relative_to(root).as_posix() for row in chosen),
        skipped=(*notes, *messages),
        classes=classes,
        people=_all_or_none(row.person for row in chosen),
        pictures=_all_or_none(row.picture for row in chosen),
    )
    return reorder(identify(faces, layout, published), reading.classes)


def reorder(faces, classes):
    """Returns faces with the given classes in their order; no classes change nothing.

    Raises `UserError` if a class of the faces is not among them.
    """
    if not classes:
        return faces
    mapping = [class_names.label_of(name, faces.source, classes) for name in faces.classes]
    return faces.relabel(classes, mapping)


def _all_or_none(values):
    values = tuple(values)
    return None if None in values else values


def identify(faces, layout, published=()):
    """Returns faces with `identified`: the data set, as published or only its layout.

    published: the possible counts. One is a tuple of faces with usage Training, PublicTest and
    PrivateTest, or a dict of such tuples for each class.
    """
    counts = np.bincount(faces.usage, minlength=3)
    own = {
        name: tuple(np.bincount(faces.usage[faces.labels == label], minlength=3))
        for label, name in enumerate(faces.classes)
    }
    is_known = any(
        each == own if isinstance(each, dict) else each == tuple(counts) for each in published
    )
    parts = " + ".join(f"{count:,}" for count in counts if count)
    name = f"{layout} ({parts} faces)" if is_known else f"{layout} layout, {len(faces):,} faces"
    return dataclasses.replace(faces, identified=name)


def to_whole(text):
    """Returns the whole number that a text holds, such as "3", "3.0" or "  3.0000000e+00", or None."""
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    number = float(text)
    return int(number) if math.isfinite(number) and number == int(number) else None


def describe_excluded(counts):
    """Returns a message for each reason, such as "no-face (code 10): 82,415 rows excluded".

    counts: a `collections.Counter` of reasons.
    """
    return tuple(
        f"{reason}: {count:,} row{'s' if count != 1 else ''} excluded"
        for reason, count in sorted(counts.items())
    )


def read_lines(path):
    """Returns the lines of a list with their numbers, [(1, text), ...], without blank ones.

    Raises `UserError` for a list that is not text or has no line.
    """
    _check_list(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text(path, error) from None
    if "\0" in text:
        raise _not_text(path, "null bytes")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(
            f"{path}: expected a list of faces. Download it again. Received: an empty file"
        )
    return lines


def read_columns(path, columns):
    """Yields (line number, {column: text}) for each row of a CSV with a header.

    Args:
        path: `pathlib.Path` of the CSV.
        columns: the names of the columns to return; all must be there.

    Raises:
        UserError: a file that is not text, a column that is missing, a row with too few fields.
    """
    _check_list(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise UserError(
                    f"{path}, line 1: expected the columns {', '.join(columns)}. Download the list "
                    f"again. Received: {', '.join(header)[:120]!r}"
                )
            places = {name: header.index(name) for name in columns}
            for fields in lines:
                if not any(fields):
                    continue
                if len(fields) <= max(places.values()):
                    fields = fields + [""] * len(header)  # the reader of the row reports it
                yield lines.line_num, {name: fields[place] for name, place in places.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise _not_text(path, error) from None


def has_header(path, columns):
    """Returns whether `path` is a regular file whose first line, as CSV, has all these columns."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        line = file.readline(1 << 16).decode("utf-8-sig", "replace")
    return set(columns) <= {name.strip(' \t\r\n"') for name in line.split(",")}


def _check_list(path):
    size = inputs.check_regular_file(path, "a list of faces").st_size
    if size > MAX_LIST_BYTES:
        raise UserError(
            f"{path}: expected a list of at most {MAX_LIST_BYTES >> 30} GB. Download it again. "
            f"Received: {size >> 30} GB"
        )


def _not_text(path, reason):
    return UserError(
        f"{path}: expected a list as text in UTF-8. It looks damaged: download it again. Received: "
        f"{reason}"
    )


def join(root, name):
    """Returns the path of a picture that a list names, or None if it leads out of the folder `root`."""
    relative = pathlib.PurePosixPath(name.strip().replace("\\", "/"))
    if not relative.parts or relative.is_absolute() or ".." in relative.parts or "\0" in name:
        return None
    return pathlib.Path(root, relative)


def bad_name(where, name):
    """Returns the `UserError` for a name of which `join` returns None."""
    return UserError(
        f"{where}: expected the name of a picture inside the data set. Correct or remove the row. "
        f"Received: {name[:80]!r}"
    )


def list_pictures(folder):
    """Returns the pictures directly in a folder, by name; hidden and other files are not among them."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in images.SUFFIXES
        and not inputs.is_hidden(file)
        and not file.is_dir()
    )


def find_folder(root, *names):
    """Returns the first of the folders `names` that exists in the folder `root`, or None."""
    return next((root / name for name in names if os.path.isdir(root / name)), None)
