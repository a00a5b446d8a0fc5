"""FER+ (Barsoum et al. 2016) as folders: `FER2013Train/label.csv` beside the pictures of FER2013.

`ferplus.py` reads the other form, fer2013new.csv, whose counts differ in 1,601 rows.
"""

import collections
import csv
import os

from insideout_tf.data import listed
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING
from insideout_tf.data.ferplus import ANNOTATORS, COLUMNS, EMOTION_COLUMNS, find_majority
from insideout_tf.errors import UserError

NAME = "FER+ by majority"
PARTS = {
    "FER2013Train": TRAINING,
    "FER2013Valid": PUBLIC_TEST,
    "FER2013Test": PRIVATE_TEST,
}
BOX = (0, 0, 48, 48)  # the whole picture
PUBLISHED = (
    {
        "angry": (2098, 289, 269),
        "disgust": (116, 25, 16),
        "fear": (536, 60, 86),
        "happy": (7284, 862, 892),
        "sad": (3022, 348, 382),
        "surprise": (3136, 411, 394),
        "neutral": (8733, 1180, 1083),
        "contempt": (120, 16, 15),
    },
)


def is_layout(path):
    """Returns whether a folder, or `data` in it, has `FER2013Train/label.csv` or another part."""
    return bool(_find_parts(path))


def read(path, reading):
    """Reads the faces for which most annotators name one of eight emotions, as the authors do.

    A count of one is first set to zero. The largest count must then be more than half of what is left.
    Other faces, and those that most call unknown or no face, are excluded and counted in
    `Faces.skipped`.

    Args:
        path: `pathlib.Path` of the folder of `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`.
        reading: a `Reading`.

    Returns:
        `Faces` of FER2013's seven classes and contempt, with FER2013's usages.

    Raises:
        UserError: a bad line, or a missing picture.
    """
    rows: list[listed.Row] = []
    excluded: collections.Counter = collections.Counter()
    for folder, usage in _find_parts(path).items():
        file = folder / "label.csv"
        if not listed.list_pictures(folder):
            raise UserError(
                f"{folder}: expected the pictures that label.csv names. Make them with the script "
                "generate_training_data.py of FER+. Received: no picture"
            )
        for number, line in listed.read_lines(file):
            where = f"{file}, line {number}"
            try:
                name, counts = _parse_line(line, where)
                picture = listed.join(folder, name)
                if picture is None:
                    raise listed.bad_name(where, name)
            except UserError as error:
                rows.append(listed.make_row(path, error=error))
                continue
            column = find_majority(counts)
            if column is None or column >= EMOTION_COLUMNS:
                excluded["no majority" if column is None else COLUMNS[column]] += 1
                continue
            rows.append(listed.make_row(picture, COLUMNS[column], usage, None, where))
    notes = listed.describe_excluded(excluded)
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED, notes)


def _find_parts(path):
    """Returns {folder: usage} of the parts with a list."""
    for root in (path, path / "data"):
        found = {
            root / name: usage
            for name, usage in PARTS.items()
            if os.path.isfile(root / name / "label.csv")
        }
        if found:
            return found
    return {}


def _parse_line(line, where):
    """Returns the name and the ten counts of `fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0`."""
    try:
        fields = next(csv.reader([line]), [])
    except csv.Error:  # an endless field
        fields = []
    box = (
        [listed.to_whole(each) for each in fields[1].strip("() ").split(",")] if fields[1:] else []
    )
    counts = [listed.to_whole(each) for each in fields[2:]]
    is_valid = (
        tuple(box) == BOX
        and len(counts) == len(COLUMNS)
        and all(count is not None and 0 <= count <= ANNOTATORS for count in counts)
    )
    if not is_valid:
        raise UserError(
            f"{where}: expected a name, the box (0, 0, 48, 48) and ten counts, 0 to {ANNOTATORS}. Download "
            f"the list again. Received: {line.strip()[:80]!r}"
        )
    return fields[0], counts
