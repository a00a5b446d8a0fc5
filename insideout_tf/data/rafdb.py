"""RAF-DB (Li, Deng & Du 2017), basic set: as its authors give it, and as Kaggle's copy has it.

Its parts are training and test; nothing names the persons. The compound set has a list of the same name
with labels up to 11, which are refused.
"""

import dataclasses
import os
import pathlib
import re

from insideout_tf.data import folders, inputs, listed
from insideout_tf.data.faces import PRIVATE_TEST, TRAINING
from insideout_tf.errors import UserError

NAME = "RAF-DB"
LISTS = (
    "list_patition_label.txt",
    "list_partition_label.txt",
)  # the first is how the file is spelt
LINE = re.compile(r"((train|test)_\d+)(\.\w+)\s+(\S+)")
TABLES = {"train_labels.csv": "train", "test_labels.csv": "test"}
# Faces of Training, PublicTest and PrivateTest, counted in the list of the authors.
PUBLISHED = (
    {
        "angry": (705, 0, 162),
        "disgust": (717, 0, 160),
        "fear": (281, 0, 74),
        "happy": (4772, 0, 1185),
        "sad": (1982, 0, 478),
        "surprise": (1290, 0, 329),
        "neutral": (2524, 0, 680),
    },
)


# -- as its authors give it ------------------------------------------------------------------------


def is_official(path):
    """Returns whether a folder holds `EmoLabel/list_patition_label.txt`, or is this list."""
    return _find_list(path) is not None


def read_official(path, reading):
    """Reads the aligned faces that `EmoLabel/list_patition_label.txt` names.

    A line is `train_00001.jpg 5`; its face is `Image/aligned/train_00001_aligned.jpg`, 100×100 pixels in
    colour. The official test faces have usage PrivateTest.

    Args:
        path: `pathlib.Path` of the folder with `EmoLabel/` and `Image/`, or of the list.
        reading: a `Reading`.

    Returns:
        `Faces` of seven classes.

    Raises:
        UserError: a bad line, a label above 7, a name that is there twice, or a missing picture.
    """
    file = _find_list(path)
    root = file.parent.parent if file.parent.name == "EmoLabel" else file.parent
    pictures = listed.find_folder(root, "Image/aligned", "aligned")
    if pictures is None:
        raise UserError(
            f"{root}: expected the aligned faces of {NAME} in Image/aligned/. Unpack aligned.zip there. "
            "Received: no such folder"
        )
    names: set[str] = set()
    rows = [
        _read_line(line, f"{file}, line {number}", pictures, names)
        for number, line in listed.read_lines(file)
    ]
    return listed.read_rows(root, rows, reading, NAME, PUBLISHED)


def _find_list(path):
    """Returns the path of the list, or None."""
    if path.name in LISTS and os.path.isfile(path):
        return path
    files = (path / folder / name for folder in ("EmoLabel", ".") for name in LISTS)
    return next((file for file in files if os.path.isfile(file)), None)


def _read_line(line, where, pictures, names):
    """Returns the `Row` of one line. names: those of earlier lines, to which its own is added."""
    match = LINE.fullmatch(line.strip())
    label = listed.to_whole(match[4]) if match else None
    if match is None or label is None or not 1 <= label <= len(folders.RAFDB):
        error = UserError(
            f"{where}: expected a name and a number from 1 to 7, such as 'train_00001.jpg 5' (the "
            "compound set has others). Give the list of the basic set, or correct the row. Received: "
            f"{line.strip()[:80]!r}"
        )
        return listed.make_row(pictures, error=error)
    name = match[1] + "_aligned" + match[3]
    if name in names:
        error = UserError(
            f"{where}: expected each picture once. Remove the second row. Received: {match[1]!r}"
        )
        return listed.make_row(pictures, error=error)
    names.add(name)
    usage = TRAINING if match[2] == "train" else PRIVATE_TEST
    word = folders.RAFDB[label - 1]
    return listed.make_row(pictures / name, word, usage, where=where)


# -- as Kaggle's copy has it -----------------------------------------------------------------------


def is_kaggle(path):
    """Returns whether a folder, or `DATASET` in it, has the folders 1 to 7 with faces of RAF-DB."""
    return _find_tree(path) is not None


def read_kaggle(path, reading):
    """Reads `DATASET/train/1..7/` and `DATASET/test/1..7/`, whose numbers are those of the authors.

    `train_labels.csv` and `test_labels.csv` repeat what the folders say. They are compared with the
    folders, and add no face.

    Args:
        path: `pathlib.Path` of the folder with `DATASET/`, or of `DATASET`.
        reading: a `Reading`.

    Returns:
        `Faces` of seven classes. The test faces have usage PrivateTest.

    Raises:
        UserError: a table that contradicts a folder, and what `folders.read_tree` raises.
    """
    root = _find_tree(path)
    for name, part in TABLES.items():
        for place in dict.fromkeys((path, root)):
            if os.path.isfile(place / name):
                _check_table(place / name, root / part)
    faces = folders.read_tree(root, dataclasses.replace(reading, classes=()))
    return listed.reorder(listed.identify(faces, NAME, PUBLISHED), reading.classes)


def _find_tree(path):
    """Returns the folder with `train/` or `test/`, or None. Every class folder must be RAF-DB's."""
    for root in (path, path / "DATASET"):
        parts = [root / part for part in ("train", "test") if os.path.isdir(root / part)]
        children = [child for part in parts for child in part.iterdir()]
        classes = [
            child for child in children if not inputs.is_hidden(child) and os.path.isdir(child)
        ]
        if classes and all(map(_is_class_folder, classes)):
            return root
    return None


def _is_class_folder(folder):
    """Returns whether a folder is named 1 to 7 and its first picture is named as in RAF-DB."""
    if folder.name not in tuple("1234567"):
        return False
    files = (each for each in folder.iterdir() if not inputs.is_hidden(each))
    first = next(files, None)
    return first is not None and bool(folders.RAFDB_FILE.fullmatch(first.name))


def _check_table(file, part):
    """Raises `UserError` unless a table `image,label` says what the folders in `part` say."""
    if not os.path.isdir(part):
        return
    found = {
        picture.name: folder.name
        for folder in part.iterdir()
        if os.path.isdir(folder)
        for picture in folder.iterdir()
    }
    for line, row in listed.read_columns(file, ("image", "label")):
        name = pathlib.PurePosixPath(row["image"].strip()).name
        label = listed.to_whole(row["label"])
        if name in found and str(label) != found[name]:
            raise UserError(
                f"{file}, line {line}: expected the class of the folder, {found[name]}. Correct the row, "
                f"or remove the table: the folders tell the classes. Received: {name},{row['label']}"
            )
