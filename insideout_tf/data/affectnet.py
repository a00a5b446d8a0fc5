"""AffectNet (Mollahosseini, Hasani & Mahoor 2017): its lists, its cropped faces, a copy on Kaggle.

The test part was never published. Papers report on the validation part, so its faces have usage
PrivateTest. The codes 8 none, 9 uncertain and 10 no-face are no emotions: their rows are excluded and
counted in `Faces.skipped`. The persons are unknown.
"""

import collections
import dataclasses
import io
import os
import pathlib

import numpy as np

from insideout_tf.data import classes, inputs, listed, tables
from insideout_tf.data.faces import PRIVATE_TEST, TRAINING
from insideout_tf.errors import UserError

NAME = "AffectNet"
CODES = (
    *("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
    *("none", "uncertain", "no-face"),
)
EMOTIONS = 8  # the codes below it are emotions
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "expression",
)
LISTS = {"training.csv": TRAINING, "validation.csv": PRIVATE_TEST}
LIST_FOLDERS = ("Manually_Annotated_file_lists", ".")
PICTURE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Automatically_Annotated_Images",
    "Automatically_Annotated/Automatically_Annotated_Images",
)
PARTS = {"train_set": TRAINING, "val_set": PRIVATE_TEST}
MAX_ARRAY_BYTES = 100_000  # an annotation is one number
KAGGLE_COLUMNS = ("pth", "label", "relFCs")
# Faces of Training, PublicTest and PrivateTest: in the lists, in AffectNet-8 and -7, on Kaggle.
PUBLISHED_LISTS = (
    {
        "angry": (24882, 0, 500),
        "disgust": (3803, 0, 500),
        "fear": (6378, 0, 500),
        "happy": (134415, 0, 500),
        "sad": (25459, 0, 500),
        "surprise": (14090, 0, 500),
        "neutral": (74874, 0, 500),
        "contempt": (3750, 0, 500),
    },
)
PUBLISHED_ARRAYS = ((287651, 0, 3999), (287651, 0, 4000), (283901, 0, 3500), (283901, 0, 3499))
PUBLISHED_KAGGLE = ((29042, 0, 0),)


def to_word(code, where):
    """Returns (the class, None) of a code 0..7, (None, the reason) of 8..10.

    code: a whole number or None. Raises `UserError` for any other.
    """
    if code is None or not 0 <= code < len(CODES):
        raise UserError(
            f"{where}: expected an expression from 0 to {len(CODES) - 1} (0 {CODES[0]} ... 7 contempt, "
            f"8 none, 9 uncertain, 10 no-face). Correct or remove the row. Received: {code}"
        )
    return (CODES[code], None) if code < EMOTIONS else (None, f"{CODES[code]} (code {code})")


# -- the lists of the authors ----------------------------------------------------------------------


def is_lists(path):
    """Returns whether a folder holds `training.csv` or `validation.csv` of AffectNet, or is one list."""
    return bool(_find_lists(path))


def read_lists(path, reading):
    """Reads the faces that `training.csv` and `validation.csv` name, cut out by their boxes.

    The pictures are whole, of any size, so `reading.input_size` is required.

    Args:
        path: `pathlib.Path` of the folder with `Manually_Annotated_file_lists/` and
            `Manually_Annotated_Images/`, or of one list.
        reading: a `Reading`.

    Returns:
        `Faces` of the classes 0..7 of `CODES` that occur.

    Raises:
        UserError: a bad row: its code, its box, or a missing picture.
    """
    rows: list[listed.Row] = []
    excluded: collections.Counter = collections.Counter()
    lists = _find_lists(path)
    root = path if os.path.isdir(path) else path.parent
    if root.name in LIST_FOLDERS[:1]:
        root = root.parent
    for file, usage in lists.items():
        pictures = None
        for line, row in listed.read_columns(file, COLUMNS):
            where = f"{file}, line {line}"
            pictures = pictures or _find_pictures(root, file)
            try:
                word, reason = to_word(listed.to_whole(row["expression"]), where)
                if reason:
                    excluded[reason] += 1
                    continue
                picture = listed.join(pictures, row["subDirectory_filePath"])
                if picture is None:
                    raise listed.bad_name(where, row["subDirectory_filePath"])
                box = _read_box(row, where)
            except UserError as error:
                rows.append(listed.make_row(root, error=error))
                continue
            rows.append(listed.make_row(picture, word, usage, None, where, crop=box))
    notes = listed.describe_excluded(excluded)
    return listed.read_rows(root, rows, reading, NAME, PUBLISHED_LISTS, notes)


def _find_lists(path):
    """Returns {path of a list: usage}; empty for another layout."""
    if os.path.isfile(path):
        if not path.name.lower().endswith(".csv") or not _is_list(path):
            return {}
        return {path: LISTS.get(path.name.lower(), TRAINING)}
    for folder in LIST_FOLDERS:
        files = {path / folder / name: usage for name, usage in LISTS.items()}
        found = {file: usage for file, usage in files.items() if _is_list(file)}
        if found:
            return found
    return {}


def _is_list(file):
    return listed.has_header(file, (COLUMNS[0], COLUMNS[-1]))


def _find_pictures(root, file):
    """Returns the folder of the pictures of a list."""
    is_manual = not file.name.lower().startswith("automatically")
    names = PICTURE_FOLDERS[:2] if is_manual else PICTURE_FOLDERS[2:]
    found = listed.find_folder(root, *names)
    if found is None:
        raise UserError(
            f"{root}: expected the pictures of {file.name} in {names[0]}/. Unpack them there. Received: "
            "no such folder"
        )
    return found


def _read_box(row, where):
    """Returns (left, top, right, bottom) of a row."""
    numbers = [listed.to_whole(row[name]) for name in COLUMNS[1:5]]
    left, top, width, height = (0 if each is None else each for each in numbers)
    if None in numbers or width < 1 or height < 1:
        received = ", ".join(row[name] for name in COLUMNS[1:5])
        raise UserError(
            f"{where}: expected a face box: x, y, width and height. Correct or remove the row. Received: "
            f"{received!r}"
        )
    return left, top, left + width, top + height


# -- AffectNet-7 and AffectNet-8: cropped faces with arrays ----------------------------------------


def is_arrays(path):
    """Returns whether a folder has `train_set/annotations/` or `val_set/annotations/`."""
    return any(os.path.isdir(path / part / "annotations") for part in PARTS)


def read_arrays(path, reading):
    """Reads `train_set/images/<id>.jpg` with `train_set/annotations/<id>_exp.npy`, and `val_set/`.

    Args:
        path: `pathlib.Path` of the folder of both.
        reading: a `Reading`.

    Returns:
        `Faces` of the classes 0..7 of `CODES` that occur.

    Raises:
        UserError: a picture without an annotation or the reverse, or an annotation that is no code.
    """
    rows: list[listed.Row] = []
    excluded: collections.Counter = collections.Counter()
    for part, usage in PARTS.items():
        images, notes = path / part / "images", path / part / "annotations"
        if not os.path.isdir(images) or not os.path.isdir(notes):
            continue
        pictures = {file.stem: file for file in listed.list_pictures(images)}
        codes = {file.name.removesuffix("_exp.npy"): file for file in notes.glob("*_exp.npy")}
        for name in sorted({*pictures, *codes}, key=lambda text: (len(text), text)):
            try:
                word, reason = to_word(_read_code(notes / f"{name}_exp.npy"), codes.get(name))
                if reason:
                    excluded[reason] += 1
                    continue
            except UserError as error:
                rows.append(listed.make_row(path, error=error))
                continue
            picture = pictures.get(name, images / f"{name}.jpg")
            rows.append(listed.make_row(picture, word, usage, None, codes[name]))
    notes = listed.describe_excluded(excluded)
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED_ARRAYS, notes)


def _read_code(file):
    """Returns the whole number in an .npy file, which is stored as a number or as text."""
    expected = "an annotation file with one number"
    size = inputs.check_regular_file(file, expected).st_size
    try:
        if size > MAX_ARRAY_BYTES:
            raise ValueError(f"{size:,} bytes")
        array = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
        if array.size != 1:
            raise ValueError(f"an array of shape {list(array.shape)}")
        code = listed.to_whole(str(array.item()))
        if code is None:
            raise ValueError(repr(array.item())[:40])
        return code
    except Exception as error:  # NumPy raises many kinds for damaged files
        raise UserError(
            f"{file}: expected {expected}. Copy it again, or remove it. Received: {error}"
        ) from None


# -- a copy on Kaggle ------------------------------------------------------------------------------


def is_kaggle(path):
    """Returns whether a folder has a `labels.csv` with pth, label and relFCs, or is such a table."""
    return listed.has_header(_find_table(path), KAGGLE_COLUMNS)


def read_kaggle(path, reading):
    """Reads `labels.csv`, with `pth` such as `anger/image0000006.jpg`. It has no parts: all train.

    The labels were made again with a model. Where they contradict the class folder, the table counts,
    as its users have it, and `identified` says how many.

    Args:
        path: `pathlib.Path` of the folder of `labels.csv`, or of the table.
        reading: a `Reading`.

    Returns:
        `Faces`.

    Raises:
        UserError: what `tables.read_table` raises.
    """
    faces = tables.read_table(_find_table(path), reading)
    known = {classes.canonical(name): label for label, name in enumerate(faces.classes)}
    folders = [pathlib.PurePosixPath(name.replace("\\", "/")).parent.name for name in faces.names]
    others = sum(
        known.get(classes.canonical(folder), label) != label
        for folder, label in zip(folders, faces.labels)
    )
    faces = listed.identify(faces, f"{NAME} from Kaggle", PUBLISHED_KAGGLE)
    if not others:
        return faces
    verb = "label differs" if others == 1 else "labels differ"
    text = f"{faces.identified}; {others:,} {verb} from the folders"
    return dataclasses.replace(faces, identified=text)


def _find_table(path):
    return path / "labels.csv" if os.path.isdir(path) else path
