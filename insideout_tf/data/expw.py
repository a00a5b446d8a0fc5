"""ExpW (Zhang, Luo, Loy & Tang 2018): web pictures with a list of face boxes, `label/label.lst`.

It has no parts, and each paper makes its own, so figures do not compare. The persons are unknown. Faces of
one picture stay on one side of a split.
"""

import os

from insideout_tf.data import listed
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

NAME = "ExpW"
FIELDS = 8  # name, face, top, left, right, bottom, confidence of the box, label
PICTURE_FOLDERS = ("image/origin", "origin", "image")
PUBLISHED = (
    {
        "angry": (3671, 0, 0),
        "disgust": (3995, 0, 0),
        "fear": (1088, 0, 0),
        "happy": (30537, 0, 0),
        "sad": (10559, 0, 0),
        "surprise": (7060, 0, 0),
        "neutral": (34883, 0, 0),
    },
)


def is_layout(path):
    """Returns whether a folder has `label/label.lst` or `label.lst`."""
    return _find_list(path) is not None


def read(path, reading):
    """Reads all faces that `label.lst` names, cut out by their boxes, whatever the confidence of the box.

    The codes are those of FER2013. The emotion word in the name of a picture is the query with which it
    was found, and not its class. Lines that are there twice count once.

    Args:
        path: `pathlib.Path` of the folder with `label/` and `image/origin/`.
        reading: a `Reading`. Its `input_size` is required.

    Returns:
        `Faces` with `pictures`, all with usage Training. A name is the path of the picture and the
        number of the face in it.

    Raises:
        UserError: a bad line, a face with two different lines, or a missing picture.
    """
    file = _find_list(path)
    pictures = listed.find_folder(path, *PICTURE_FOLDERS)
    if pictures is None:
        raise UserError(
            f"{path}: expected the pictures of {NAME} in {PICTURE_FOLDERS[0]}/. Unpack them there. "
            "Received: no such folder"
        )
    rows: list[listed.Row] = []
    seen: dict[tuple, str] = {}  # the line of each face
    repeated = 0
    for number, line in listed.read_lines(file):
        where, line = f"{file}, line {number}", line.strip()
        try:
            name, face, box, word = _parse_line(line, where)
            if seen.get((name, face)) == line:
                repeated += 1
                continue
            if (name, face) in seen:
                raise UserError(
                    f"{where}: expected each face of a picture once. Remove one of its rows. Received: "
                    f"{line[:80]!r}"
                )
            picture = listed.join(pictures, name)
            if picture is None:
                raise listed.bad_name(where, name)
        except UserError as error:
            rows.append(listed.make_row(path, error=error))
            continue
        seen[name, face] = line
        shown = f"{picture.relative_to(path).as_posix()}#{face}"
        rows.append(listed.make_row(picture, word, where=where, crop=box, picture=name, name=shown))
    notes = listed.describe_excluded({"repeated lines": repeated} if repeated else {})
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED, notes)


def _find_list(path):
    """Returns the path of the list, or None."""
    files = (path / "label" / "label.lst", path / "label.lst")
    return next((file for file in files if os.path.isfile(file)), None)


def _parse_line(line, where):
    """Returns the name of the picture, the number of the face, its box for `images.decode_face`, its class.

    The list has the box as top, left, right, bottom.
    """
    words = line.rsplit(maxsplit=FIELDS - 1)  # the name may have blanks
    numbers = [listed.to_whole(word) for word in words[1:6] + words[7:]]
    if len(words) != FIELDS or None in numbers:
        raise UserError(
            f"{where}: expected a name, five whole numbers, a confidence and a label. Correct or remove "
            f"the row. Received: {line[:80]!r}"
        )
    face, top, left, right, bottom, label = numbers
    if not 0 <= label < len(EMOTIONS):
        raise UserError(
            f"{where}: expected a label from 0 to {len(EMOTIONS) - 1} (0 {EMOTIONS[0]} ... "
            f"{len(EMOTIONS) - 1} {EMOTIONS[-1]}). Correct or remove the row. Received: {label}"
        )
    if top >= bottom or left >= right:
        raise UserError(
            f"{where}: expected a box as top, left, right, bottom. Correct or remove the row. Received: "
            f"{' '.join(words[2:6])}"
        )
    return words[0], face, (left, top, right, bottom), EMOTIONS[label]
