"""CK+ (Lucey et al. 2010): the official tree, the class folders CK+48, and the table ckextended.csv.

CK+ has no parts. The usual protocol divides the faces by person: see `folds.person_folds`.
"""

import dataclasses
import os
import pathlib
import re

import numpy as np

from insideout_tf.data import fer2013, folders, images, inputs, listed
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.people import CKPLUS, find_people
from insideout_tf.errors import UserError

NAME = "CK+"
CODES = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
IMAGE_FOLDERS = (
    "cohn-kanade-images",
    "extended-cohn-kanade-images/cohn-kanade-images",
    "extended-cohn-kanade-images",
)
EMOTION_FOLDERS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")
PEAK_FRAMES = 3  # at the end of a sequence
EXTENDED = (*EMOTIONS, "contempt")  # the codes of ckextended.csv
EXTENDED_ROWS = 920
MAX_EXTENDED_BYTES = 40_000_000  # it has 8 MB
# Labelled sequences, as in table 2 of the read-me.
SEQUENCES = {
    "angry": 45,
    "disgust": 59,
    "fear": 25,
    "happy": 69,
    "sad": 28,
    "surprise": 83,
    "contempt": 18,
}
PEAKS = {name: (PEAK_FRAMES * count, 0, 0) for name, count in SEQUENCES.items()}
EXTENDED_COUNTS = {**SEQUENCES, "neutral": 593}
PUBLISHED_OFFICIAL = ({**PEAKS, "neutral": (sum(SEQUENCES.values()), 0, 0)},)


# -- the official tree -----------------------------------------------------------------------------


def is_official(path):
    """Returns whether a folder has the pictures and the `Emotion` folder of CK+, both by person."""
    return all(
        (folder := listed.find_folder(path, *names)) is not None and _persons(folder)
        for names in (IMAGE_FOLDERS, EMOTION_FOLDERS)
    )


def read_official(path, reading):
    """Reads the last three frames of each labelled sequence, and its first frame as neutral.

    This is the usual protocol: a sequence goes from neutral to the peak. The published data give
    327 × 4 = 1,308 pictures of eight classes. For the seven classes of 981 peak pictures, exclude
    neutral (`--skip-classes neutral`); for six and neutral, exclude contempt. Sequences without a label
    are excluded and counted in `Faces.skipped`.

    The pictures show more than the face, 640×490 pixels: `reading.input_size` is required, and the
    largest square in their middle is resized to it.

    Args:
        path: `pathlib.Path` of the folder with `cohn-kanade-images/` and `Emotion/`.
        reading: a `Reading`.

    Returns:
        `Faces` with `people`, all with usage Training.

    Raises:
        UserError: a label file that is not a number from 1 to 7, or whose picture is missing.
    """
    pictures = listed.find_folder(path, *IMAGE_FOLDERS)
    labels = listed.find_folder(path, *EMOTION_FOLDERS)
    rows: list[listed.Row] = []
    unlabelled = 0
    for person in _persons(pictures):
        for sequence in _folders(person):
            folder = labels / person.name / sequence.name
            files = sorted(folder.glob("*_emotion.txt")) if os.path.isdir(folder) else []
            files = [file for file in files if not inputs.is_hidden(file)]
            unlabelled += not files
            for file in files:
                rows += _read_sequence(sequence, file, path)
    notes = (f"{unlabelled:,} sequences without a label excluded",) if unlabelled else ()
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED_OFFICIAL, notes)


def _read_sequence(sequence, file, root):
    """Returns the `Row`s of one sequence. file: its label."""
    person = sequence.parent.name
    frames = [each for each in listed.list_pictures(sequence) if CKPLUS.fullmatch(each.name)]
    peak = file.name.removesuffix("_emotion.txt")
    try:
        code = _read_code(file)
        if not frames or frames[-1].stem != peak:
            raise UserError(
                f"{file}: expected the picture of this label, {peak}, as the last of "
                f"{sequence.relative_to(root)}. Unpack the pictures again. Received: "
                + (frames[-1].name if frames else "no picture")
            )
    except UserError as error:
        return [listed.make_row(root, error=error)]
    peaks, first = frames[-PEAK_FRAMES:], frames[:-PEAK_FRAMES][:1]
    return [
        listed.make_row(frame, word, person=person, crop="middle")
        for group, word in ((first, CODES[0]), (peaks, CODES[code]))
        for frame in group
    ]


def _read_code(file):
    """Returns the code 1..7 of a label file, such as `   3.0000000e+00`."""
    inputs.check_regular_file(file, "a label of CK+")
    text = file.read_bytes()[:100].decode("ascii", "replace").strip()
    code = listed.to_whole(text)
    if code is None or not 1 <= code < len(CODES):
        raise UserError(
            f"{file}: expected a number from 1 to 7, such as 3.0000000e+00. Copy the file again. "
            f"Received: {text[:40]!r}"
        )
    return code


def _persons(folder):
    return [each for each in _folders(folder) if re.fullmatch(r"S\d{3}", each.name)]


def _folders(folder):
    return sorted(
        each for each in folder.iterdir() if os.path.isdir(each) and not inputs.is_hidden(each)
    )


# -- CK+48: class folders --------------------------------------------------------------------------


def is_folders(path):
    """Returns whether a folder has class folders whose first pictures are named as in CK+."""
    if not os.path.isdir(path) or not folders.is_class_tree(path):
        return False
    firsts = [
        next((file.name for file in folder.iterdir() if file.suffix.lower() in images.SUFFIXES), "")
        for folder in _folders(path)
    ]
    return all(map(CKPLUS.fullmatch, firsts))


def read_folders(path, reading):
    """Reads CK+48: `anger/S010_004_00000017.png`, three frames of each labelled sequence.

    Args:
        path: `pathlib.Path` of the folder of class folders.
        reading: a `Reading`.

    Returns:
        `Faces` with `people`, all with usage Training. CK+48 has seven classes, without neutral.

    Raises:
        UserError: a name that tells no person, and what `folders.read_tree` raises.
    """
    faces = folders.read_tree(path, reading)
    if find_people(faces.names) is None:
        bad = next(
            each for each in faces.names if not CKPLUS.fullmatch(pathlib.PurePosixPath(each).name)
        )
        raise UserError(
            f"{path / bad}: expected a name such as S010_004_00000017.png, since the others here tell "
            f"the person. Rename or remove it. Received: {pathlib.PurePosixPath(bad).name!r}"
        )
    return listed.identify(faces, "CK+48", (PEAKS,))


# -- ckextended.csv --------------------------------------------------------------------------------


def is_extended(path):
    """Returns whether a file is a table as FER2013's with code 7, and 920 rows or named ckextended."""
    if not path.name.lower().endswith(".csv") or not listed.has_header(path, ("emotion", "pixels")):
        return False
    if path.stat().st_size > MAX_EXTENDED_BYTES:
        return False
    if path.name.lower().startswith("ckextended"):
        return True
    lines = [line for line in path.read_bytes().splitlines()[1:] if line.strip()]
    return len(lines) == EXTENDED_ROWS and any(line.startswith(b"7,") for line in lines)


def read_extended(path, reading):
    """Reads ckextended.csv: FER2013's columns and codes, and 7 for contempt.

    Its parts are Training, PublicTest and PrivateTest. It does not tell the persons, who are in several
    parts at once.

    Args:
        path: `pathlib.Path` of the table.
        reading: a `Reading`.

    Returns:
        `Faces` of eight classes.

    Raises:
        UserError: what `fer2013.read_csv` raises.
    """
    faces = fer2013.read_csv(path, reading.bad_rows, reading.classes or EXTENDED)
    counts = dict(zip(faces.classes, np.bincount(faces.labels, minlength=len(faces.classes))))
    parts = tuple(np.bincount(faces.usage, minlength=3))
    published = (parts,) if counts == EXTENDED_COUNTS else ()
    faces = listed.identify(faces, "ckextended.csv", published)
    return dataclasses.replace(faces, identified=f"{faces.identified}; 7 is {faces.classes[-1]}")
