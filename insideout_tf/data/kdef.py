"""KDEF (Lundqvist, Flykt & Öhman 1998): `KDEF/AF01/AF01ANS.JPG`.

It has 70 persons, two sessions of each, and no parts. The usual protocol divides the faces by person: see
`folds.person_folds`.
"""

import collections
import os
import re

from insideout_tf.data import listed
from insideout_tf.data.people import KDEF, share_of
from insideout_tf.errors import UserError

NAME = "KDEF straight view"
MIN_SHARE = 0.9  # of the names in the folder
PERSON_FOLDER = re.compile(r"[AB][FM]\d\d", re.IGNORECASE)
AVERAGED = re.compile(r"[FM](AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)\.\w+", re.IGNORECASE)  # AKDEF
EMOTIONS = {
    "AF": "fear",
    "AN": "angry",
    "DI": "disgust",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
STRAIGHT = "S"
PUBLISHED = ({name: (140, 0, 0) for name in EMOTIONS.values()},)


def is_layout(path):
    """Returns whether the pictures in a folder, or in `KDEF` in it, are named as in KDEF."""
    return os.path.isdir(path) and share_of(KDEF, _list_pictures(path, first=True)) >= MIN_SHARE


def read(path, reading, angles=(STRAIGHT,)):
    """Reads the pictures of KDEF that show the face straight (angle S): 980 of the 4,900.

    Pictures of other angles and averaged faces (AKDEF) are excluded and counted in `Faces.skipped`. The
    pictures are 562×762 pixels in colour: `reading.input_size` is required, and the largest square in
    their middle is resized to it.

    Args:
        path: `pathlib.Path` of the folder with `KDEF/`, or of the folders `AF01`, `AF02`, ..., or of the
            pictures.
        reading: a `Reading`.
        angles: of FL full left, HL half left, S straight, HR half right and FR full right.

    Returns:
        `Faces` with `people`, all with usage Training. AF01 and BF01 are one person, F01, in two
        sessions.

    Raises:
        UserError: a picture with another name, or a bad picture.
    """
    rows = []
    excluded: collections.Counter = collections.Counter()
    for file in _list_pictures(path):
        match = KDEF.fullmatch(file.name)
        if match is None and AVERAGED.fullmatch(file.name):
            excluded["averaged faces"] += 1
        elif match is None:
            error = UserError(
                f"{file}: expected a name such as AF01ANS.JPG: session, person, emotion "
                f"({', '.join(EMOTIONS)}), angle (FL, HL, S, HR, FR). Rename or remove it. Received: "
                f"{file.name!r}"
            )
            rows.append(listed.make_row(file, error=error))
        elif match["angle"].upper() not in angles:
            excluded[f"angle {match['angle'].upper()}"] += 1
        else:
            word, person = EMOTIONS[match["emotion"].upper()], match["person"].upper()
            rows.append(listed.make_row(file, word, person=person, crop="middle"))
    notes = listed.describe_excluded(excluded)
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED, notes)


def _list_pictures(path, first=False):
    """Returns the pictures of KDEF in a folder. first: of the first folder of a person alone."""
    root = path / "KDEF" if os.path.isdir(path / "KDEF") else path
    folders = [
        each
        for each in sorted(root.iterdir())
        if PERSON_FOLDER.fullmatch(each.name) and each.is_dir()
    ]
    places = [root, *(folders[:1] if first else folders)]
    return [file for place in places for file in listed.list_pictures(place)]
