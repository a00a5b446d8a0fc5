"""Faces as image files: a folder for each part, with a folder for each class."""

import re

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.classes import label_of
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING, USAGES, Faces
from insideout_tf.errors import UserError

PARTS = {
    "train": TRAINING,
    "training": TRAINING,
    "test": PRIVATE_TEST,
    "testing": PRIVATE_TEST,
    "validation": PUBLIC_TEST,
    "valid": PUBLIC_TEST,
    "val": PUBLIC_TEST,
}


def read_tree(path, bad_rows="stop"):
    """Reads the images in `PART/CLASS/`, for each part of `PARTS` and each class name.

    A file name that begins with `PublicTest_` or `PrivateTest_` overrides the part: Kaggle's copies
    keep both tests in `test/`. Files come in natural order: `im9.png` before `im10.png`.

    Args:
        path: `pathlib.Path` of the folder.
        bad_rows: "stop" at the first bad image, or "skip" all of them and list their messages.

    Returns:
        `Faces`, with the path of each image in `names`, relative to `path`.

    Raises:
        UserError: an unknown class, a file beside the class folders, a bad image or no image.
    """
    pixels, labels, usage, names, messages = [], [], [], [], []
    for part, label, file in _list_files(path):
        try:
            pixels.append(_read_image(file))
        except UserError as error:
            if bad_rows == "stop":
                raise
            messages.append(str(error))
            continue
        labels.append(label)
        usage.append(_usage_of(file.name, part))
        names.append(file.relative_to(path).as_posix())
    if not pixels:
        parts = "/, ".join(part.name for part in find_parts(path))
        raise UserError(
            f"{path}: expected images in {parts}/<class>/. Check the path. Received: "
            + (f"{len(messages)} bad files" if messages else "no image")
        )
    return Faces(
        np.stack(pixels),
        np.array(labels, np.uint8),
        np.array(usage, np.uint8),
        source=str(path),
        names=tuple(names),
        skipped=tuple(messages),
    )


def find_parts(path):
    """Returns the folders of parts in the folder `path`, sorted. It is empty for other layouts."""
    return sorted(
        child for child in path.iterdir() if child.is_dir() and child.name.lower() in PARTS
    )


def is_hidden(path):
    """Returns whether a file or folder belongs to an operating system and not to the data."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _list_files(path):
    """Yields (part folder, label, file) for each file in a class folder."""
    for part in find_parts(path):
        for folder in sorted(child for child in part.iterdir() if not is_hidden(child)):
            if not folder.is_dir():
                raise UserError(
                    f"{folder}: expected only class folders inside {part.name}/. "
                    "Move or remove it. Received: a file"
                )
            label = label_of(folder.name, folder)
            for file in sorted(folder.iterdir(), key=_natural_order):
                if not is_hidden(file):
                    yield part, label, file


def _read_image(file):
    """Returns the pixels uint8 `[48, 48]` of an image file."""
    if file.suffix.lower() not in images.SUFFIXES or not file.is_file():
        raise UserError(
            f"{file}: expected image files ({', '.join(images.SUFFIXES)}) in a class folder. Move "
            f"or remove it. Received: {file.suffix or 'no suffix'!r}"
        )
    if file.stat().st_size > images.MAX_FILE_BYTES:
        raise UserError(
            f"{file}: expected an image of a few kilobytes. Move or remove it. "
            f"Received: {file.stat().st_size:,} bytes"
        )
    return images.decode_face(file.read_bytes(), file)


def _usage_of(name, part):
    """Returns the usage (0, 1 or 2) of an image file by its name and its part folder."""
    for number, usage in enumerate(USAGES):
        if name.lower().startswith(usage.lower() + "_"):
            return number
    return PARTS[part.name.lower()]


def _natural_order(path):
    """Returns a sort key that compares the numbers in a file name by value."""
    return [
        (0, int(word), "") if word.isdecimal() else (1, 0, word)
        for word in re.split(r"(\d+)", path.name)
    ]
