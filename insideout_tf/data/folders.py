"""Faces as image files: a folder for each class, in a folder for each part or in one."""

import dataclasses
import pathlib
import re

import numpy as np

from insideout_tf.data import classes as class_names
from insideout_tf.data import contract as contracts
from insideout_tf.data import images, inputs, lazy, pillow
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING, USAGES, Faces
from insideout_tf.data.reading import AS_THE_DATA
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
SIZE_PROBES = 50  # images whose headers tell the size of all
MAX_ODD_SIZES = 0.1  # share of images of another size that --bad-rows skip excludes
# The order of RAF-DB's numbers 1..7, which the names of its files tell (Li et al. 2017, its read-me).
RAFDB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
RAFDB_FILE = re.compile(r"(train_\d{5}|test_\d{4})(_aligned)?\.\w+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One image file: its usage, its class folder, its path, what is wrong with it, the part of it.

    `crop` is the `crop` of `images.decode_face`.
    """

    usage: int
    folder: pathlib.Path | None
    file: pathlib.Path
    error: UserError | None = None
    crop: tuple[int, int, int, int] | str | None = None


def read_tree(path, reading=AS_THE_DATA):
    """Reads the images in `PART/CLASS/`, for each part of `PARTS`, or in `CLASS/`, which all train.

    Every class folder is a class. Words that mean an emotion of FER2013 become that emotion, in
    FER2013's order; other classes follow by name. A file name that begins with `PublicTest_` or
    `PrivateTest_` overrides the part: Kaggle's copies keep both tests in `test/`. Files come in natural
    order: `im9.png` before `im10.png`.

    What class folders named by numbers mean is settled by `reading.classes`, by the file `classes.txt`
    beside the parts, with lines such as `0 angry`, or by file names of RAF-DB: FER2013, AffectNet and
    RAF-DB number their classes differently.

    Args:
        path: `pathlib.Path` of the folder.
        reading: a `Reading`. All images have one size, unless it has an `input_size`.

    Returns:
        `Faces`, with the path of each image in `names`, relative to `path`.

    Raises:
        UserError: a class that is not settled, a file beside the class folders, a bad image, images of
            several sizes, or no image.
    """
    entries = list(_list_files(path))
    classes, labels = _settle_classes(path, entries, reading)
    size = reading.input_size or find_size(path, entries)
    pixels, rows, messages = read_images(entries, size, reading)
    if not rows:
        names = [part.name for part in find_parts(path)]
        parts = "/, ".join(names) + "/" if names else ""
        raise UserError(
            f"{path}: expected images in {parts}<class>/. Check the path. Received: "
            + (f"{len(messages)} bad files" if messages else "no image")
        )
    return Faces(
        pixels,
        np.array([labels[entries[row].folder] for row in rows], np.uint8),
        np.array([entries[row].usage for row in rows], np.uint8),
        source=str(path),
        names=tuple(entries[row].file.relative_to(path).as_posix() for row in rows),
        skipped=tuple(messages),
        classes=classes,
    )


def find_parts(path):
    """Returns the folders of parts in the folder `path`, sorted. It is empty for other layouts."""
    return sorted(
        child for child in path.iterdir() if child.is_dir() and child.name.lower() in PARTS
    )


def is_class_tree(path):
    """Returns True for a folder without parts whose folders, at least two, all hold images."""
    if find_parts(path):
        return False
    folders = [each for each in path.iterdir() if each.is_dir() and not inputs.is_hidden(each)]
    return len(folders) > 1 and all(
        any(file.suffix.lower() in images.SUFFIXES for file in folder.iterdir())
        for folder in folders
    )


def _list_files(path):
    """Yields an `Entry` for each file in a class folder, and for each empty class folder."""
    parts = find_parts(path)
    for part in parts or [path]:
        usage = PARTS[part.name.lower()] if parts else TRAINING
        for folder in sorted(child for child in part.iterdir() if not inputs.is_hidden(child)):
            if not folder.is_dir():
                if parts:
                    yield Entry(usage, None, folder, _stray_file(folder, part))
                continue
            files = [each for each in folder.iterdir() if not inputs.is_hidden(each)]
            if not files:
                empty = UserError(
                    f"{folder}: expected images in a class folder. Add some, or remove it. "
                    "Received: an empty folder"
                )
                yield Entry(usage, folder, folder, empty)
            for file in sorted(files, key=lambda file: class_names.natural_order(file.name)):
                yield Entry(_usage_of(file.name, usage), folder, file)


def _stray_file(file, part):
    return UserError(
        f"{file}: expected only class folders inside {part.name}/. "
        "Move or remove it. Received: a file"
    )


def _settle_classes(path, entries, reading):
    """Returns the class names in order, and the label of each class folder, a dict."""
    folders = list(
        dict.fromkeys(each.folder for each in entries if each.folder not in (None, each.file))
    )
    numbers = _read_class_numbers(path / CLASS_NUMBERS)
    words: dict[pathlib.Path, str] = {}
    for folder in folders:
        name = folder.name.strip()
        words[folder] = (
            _name_of_number(folder, folders, numbers, entries, reading, path)
            if name.isdecimal()
            else name
        )
    if reading.classes:
        given = reading.classes
        return given, {
            folder: _label_of_folder(folder, word, given) for folder, word in words.items()
        }
    keys = _find_keys(words)
    names: dict[str, str] = {}  # the first spelling of each class
    for folder, word in words.items():
        names.setdefault(keys[folder], word)
    classes, settled = class_names.order_classes(list(names.values()))
    _check_spelling(words, classes)
    if len(classes) > contracts.MAX_CLASSES:
        raise UserError(
            f"{path}: expected at most {contracts.MAX_CLASSES} class folders. Received: {len(classes)}"
        )
    return classes, {folder: classes.index(settled[names[keys[folder]]]) for folder in words}


def _find_keys(words):
    """Returns a key for each class folder: equal keys are one class.

    "Anger" and "angry" in two parts are one class. Two folders of one part are two classes, such as
    "calm" and "neutral", unless only their case differs.
    """
    spellings: dict[tuple, set] = {}
    for folder, word in words.items():
        place = folder.parent, class_names.canonical(word)
        spellings.setdefault(place, set()).add(word.casefold())
    apart = {word for (_, word), names in spellings.items() if len(names) > 1}
    return {
        folder: word.casefold()
        if class_names.canonical(word) in apart
        else class_names.canonical(word)
        for folder, word in words.items()
    }


def _check_spelling(words, classes):
    """Raises `UserError` if a class is probably a misspelt emotion of FER2013 beside others of them."""
    known = [name for name in classes if name in class_names.EMOTIONS]
    for folder, word in words.items():
        close = class_names.find_close(word)
        if class_names.canonical(word) in class_names.EMOTIONS or not close or len(known) < 2:
            continue
        class_names.label_of(word, folder)  # raises the error that names the nearest word


def _label_of_folder(folder, word, classes):
    try:
        return class_names.label_of(word, folder, classes)
    except UserError as error:
        raise UserError(f"{error} (or exclude it: --skip-classes)") from None


def _name_of_number(folder, folders, numbers, entries, reading, path):
    """Returns the class name that a folder named by a number means, or raises `UserError`."""
    number = int(folder.name)
    if number in numbers:
        return numbers[number]
    all_numbers = sorted({int(each.name) for each in folders if each.name.strip().isdecimal()})
    if reading.classes:
        first = all_numbers[0]
        if first in (0, 1) and number - first < len(reading.classes):
            return reading.classes[number - first]
        raise UserError(
            f"{folder}: expected folders from 0 or 1 on, one for each of the {len(reading.classes)} "
            f"names of --classes. Correct the list. Received: {folder.name!r}"
        )
    files = [each.file.name for each in entries if each.folder in folders and each.error is None]
    if 1 <= number <= len(RAFDB) and files and all(map(RAFDB_FILE.fullmatch, files)):
        return RAFDB[number - 1]
    raise UserError(
        f"{folder}: expected a class folder named by its class, since FER2013, AffectNet and "
        f"RAF-DB number them differently. Rename it, say what the numbers mean with --classes "
        f"{class_names.EMOTIONS[0]},{class_names.EMOTIONS[1]},..., or say it in "
        f"{path / CLASS_NUMBERS}, in lines such as '0 {class_names.EMOTIONS[0]}'. "
        f"Received: {folder.name!r}"
    )


def _read_class_numbers(path):
    """Returns {number: name} of a file of lines such as `0 angry`; empty if there is none."""
    if not path.is_file():
        return {}
    numbers: dict[int, str] = {}
    text = path.read_bytes()[:100_000].decode("utf-8-sig", "replace")
    for line, words in enumerate((each.split(maxsplit=1) for each in text.splitlines()), 1):
        if not words:
            continue
        if len(words) != 2 or not words[0].isdecimal() or int(words[0]) in numbers:
            raise UserError(
                f"{path}, line {line}: expected each number once, with its class, such as '0 "
                f"{class_names.EMOTIONS[0]}'. Correct the file. Received: {' '.join(words)[:80]!r}"
            )
        numbers[int(words[0])] = words[1].strip()
    return numbers


def find_size(path, entries):
    """Returns (width, height) of most images of `Entry`s, by the headers of some of them.

    Raises `UserError` if the images are not square.
    """
    files = [each.file for each in entries if each.error is None]
    sizes: dict[tuple, int] = {}
    for file in files[:: max(1, len(files) // SIZE_PROBES)]:
        try:
            size = images.measure(_read_bytes(file), file)
        except (UserError, OSError):  # reported when the file is read
            continue
        sizes[size] = sizes.get(size, 0) + 1
    if not sizes:
        return None
    width, height = max(sizes, key=lambda size: sizes[size])
    if width != height:
        raise UserError(
            f"{path}: expected square images of one size. Give --input-size N, a side in pixels to "
            f"which all are resized. Received: images of {width}×{height} pixels"
        )
    return width, height


def read_images(entries, size, reading):
    """Returns the pixels, the rows of `entries` that they are of, and the messages of the others.

    Every file is decoded once, so that a bad one is known before the work begins. The pixels are an
    array, or a `lazy.FilePixels` if `reading.feed` or the size of the data set asks for it.

    size: of `images.decode_face`.
    """
    stays_in_files = reading.feed == "files" or (
        reading.feed == "auto" and lazy.is_large(len(entries), size, reading.channels)
    )
    pixels = bytearray()  # grows in place: a list of arrays would need twice its memory in the end
    keys, plain, channels = bytearray(), bytearray(), reading.channels or 1
    rows: list[int] = []
    messages: list[str] = []
    odd_count, side = 0, 0
    decoded = _decode_all(entries, size, reading.channels, stays_in_files)
    for row, (face, is_plain) in enumerate(decoded):
        if isinstance(face, UserError):
            odd_count += isinstance(face, images.SizeError)
            if reading.bad_rows == "stop" or odd_count > max(1, MAX_ODD_SIZES * len(entries)):
                raise face
            file = entries[row].file
            is_of_file = entries[row].error is not None or str(file) in str(face)
            messages.append(str(face) if is_of_file else f"{file}: {face}")
            continue
        side = face.shape[0]
        if face.ndim == 3 and channels == 1:  # the first image in colour: those before it were grey
            channels = 3
            pixels = bytearray(np.repeat(np.frombuffer(pixels, np.uint8), 3).tobytes())
        if stays_in_files:
            keys += lazy.key_of(face)
            plain.append(is_plain)
        else:
            if face.ndim == 2 and channels == 3:
                face = np.repeat(face[..., None], 3, axis=-1)
            pixels += face.tobytes()
        rows.append(row)
    shape = (side, side) if channels == 1 else (side, side, 3)
    if not stays_in_files:
        return np.frombuffer(pixels, np.uint8).reshape(len(rows), *shape), rows, messages
    files = np.array([str(entries[row].file) for row in rows], object)
    crops = np.fromiter((entries[row].crop for row in rows), object, len(rows))
    digests = np.frombuffer(keys, np.dtype((np.void, lazy.KEY_BYTES)))
    is_plain = np.frombuffer(plain, bool)
    in_files = lazy.FilePixels(files, crops, is_plain, size, channels, shape, digests)
    return in_files, rows, messages


def _decode_all(entries, size, channels, checks_plain):
    """Yields the face of each entry, or its `UserError`, in order, and whether it is plain.

    Threads decode some at a time. checks_plain: whether to ask `lazy.is_plain`; False is then yielded.
    """

    def decode(entry):
        try:
            if entry.error:
                return entry.error, False
            data = _read_bytes(entry.file)
            face = images.decode_face(data, entry.file, size, channels, entry.crop)
        except UserError as error:
            return error, False
        is_plain = checks_plain and entry.crop is None and lazy.is_plain(data, face, size, channels)
        return face, is_plain

    with pillow.silenced():  # once, since it takes a tenth of the time of a small image
        for start in range(0, len(entries), lazy.TOGETHER):
            yield from lazy.create_pool().map(decode, entries[start : start + lazy.TOGETHER])


def _read_bytes(file):
    """Returns the bytes of an image file in a class folder; another file raises `UserError`."""
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
            f"{file}: expected an image of at most {images.MAX_FILE_BYTES:,} bytes. Move or remove "
            f"it. Received: {size:,} bytes"
        )
    return file.read_bytes() if size else b""


def _usage_of(name, usage):
    """Returns the usage (0, 1 or 2) of an image file by its name, or that of its part."""
    for number, word in enumerate(USAGES):
        if name.lower().startswith(word.lower() + "_"):
            return number
    return usage
