"""Faces as image files: a folder for each part, with a folder for each class."""

import re

import numpy as np

from insideout_tf.data import images, inputs
from insideout_tf.data.classes import EMOTIONS, label_of
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
CLASS_NUMBERS = "classes.txt"  # beside the parts; says what class folders named by numbers mean


def read_tree(path, bad_rows="stop"):
    """Reads the images in `PART/CLASS/`, for each part of `PARTS` and each class name.

    A file name that begins with `PublicTest_` or `PrivateTest_` overrides the part: Kaggle's copies
    keep both tests in `test/`. Files come in natural order: `im9.png` before `im10.png`.

    Class folders named by numbers need the file `classes.txt` beside the parts, with lines such as
    `0 angry`: FER2013, AffectNet and RAF-DB number their classes differently.

    Args:
        path: `pathlib.Path` of the folder.
        bad_rows: "stop" at the first bad image, or "skip" all of them and list their messages. The
            images in the folder of an unknown class are bad.

    Returns:
        `Faces`, with the path of each image in `names`, relative to `path`.

    Raises:
        UserError: an unknown class, a file beside the class folders, a bad image or no image.
    """
    pixels = bytearray()  # grows in place: a list of arrays would need twice its memory in the end
    labels, usage, names, messages = [], [], [], []
    for part, label, file in _list_files(path):
        try:
            if isinstance(label, UserError):
                raise label
            pixels += _read_image(file).tobytes()
        except UserError as error:
            if bad_rows == "stop":
                raise
            is_of_file = str(error).startswith(str(file))
            messages.append(str(error) if is_of_file else f"{file}: {error}")
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
        np.frombuffer(pixels, np.uint8).reshape(-1, images.FACE_SIDE, images.FACE_SIDE),
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


def _list_files(path):
    """Yields (part folder, label, file) for each file in a class folder.

    In place of the label stands a `UserError` if the class is unknown, or if the file lies beside the
    class folders.
    """
    numbers = _read_class_numbers(path / CLASS_NUMBERS)
    for part in find_parts(path):
        for folder in sorted(child for child in part.iterdir() if not inputs.is_hidden(child)):
            if not folder.is_dir():
                yield part, _stray_file(folder, part), folder
                continue
            try:
                label = _label_of_folder(folder, numbers, path)
            except UserError as error:
                label = error
            files = sorted(folder.iterdir(), key=_natural_order)
            if not files and isinstance(label, UserError):
                yield part, label, folder
            for file in files:
                if not inputs.is_hidden(file):
                    yield part, label, file


def _stray_file(file, part):
    return UserError(
        f"{file}: expected only class folders inside {part.name}/. "
        "Move or remove it. Received: a file"
    )


def _label_of_folder(folder, numbers, path):
    """Returns the label of a class folder; numbers: what `_read_class_numbers` returns."""
    name = folder.name.strip()
    if not name.isdecimal():
        return label_of(folder.name, folder)
    if int(name) not in numbers:
        raise UserError(
            f"{folder}: expected a class folder named by its emotion, since FER2013, AffectNet and "
            f"RAF-DB number them differently. Rename it, or say in {path / CLASS_NUMBERS} what each "
            f"number means, in lines such as '0 {EMOTIONS[0]}'. Received: {folder.name!r}"
        )
    return numbers[int(name)]


def _read_class_numbers(path):
    """Returns {number: label} of a file of lines such as `0 angry`; empty if there is none."""
    if not path.is_file():
        return {}
    numbers = {}
    text = path.read_bytes()[:100_000].decode("utf-8-sig", "replace")
    for line, words in enumerate(map(str.split, text.splitlines()), 1):
        if not words:
            continue
        if len(words) != 2 or not words[0].isdecimal() or int(words[0]) in numbers:
            raise UserError(
                f"{path}, line {line}: expected each number once, with its emotion, such as '0 "
                f"{EMOTIONS[0]}'. Correct the file. Received: {' '.join(words)[:80]!r}"
            )
        numbers[int(words[0])] = label_of(words[1], f"{path}, line {line}")
    return numbers


def _read_image(file):
    """Returns the pixels uint8 `[48, 48]` of an image file."""
    if file.is_dir():
        raise UserError(
            f"{file}: expected image files in a class folder. Move its files up, or remove it. "
            "Received: a folder"
        )
    expected = f"image files ({', '.join(images.SUFFIXES)}) in a class folder"
    if file.suffix.lower() not in images.SUFFIXES:
        raise UserError(
            f"{file}: expected {expected}. Move "
            f"or remove it. Received: {file.suffix or 'no suffix'!r}"
        )
    size = inputs.check_regular_file(file, expected).st_size
    if size > images.MAX_FILE_BYTES:
        raise UserError(
            f"{file}: expected an image of a few kilobytes. Move or remove it. "
            f"Received: {size:,} bytes"
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
