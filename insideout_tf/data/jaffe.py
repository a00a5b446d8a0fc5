"""JAFFE (Lyons, Akamatsu, Kamachi & Gyoba 1998): one folder of `KA.AN1.39.tiff`.

It has ten persons and no parts. The usual protocol leaves one person out: see `folds.person_folds`.
"""

import os

from insideout_tf.data import listed
from insideout_tf.data.people import JAFFE, share_of
from insideout_tf.errors import UserError

NAME = "JAFFE"
MIN_SHARE = 0.9  # of the names in the folder
EMOTIONS = {
    "AN": "angry",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
PUBLISHED = ((213, 0, 0),)


def is_layout(path):
    """Returns whether nine of ten pictures in a folder are named as in JAFFE."""
    return os.path.isdir(path) and share_of(JAFFE, listed.list_pictures(path)) >= MIN_SHARE


def read(path, reading):
    """Reads the pictures of JAFFE, 256×256 grey levels. The posed emotion of the name is the class.

    Args:
        path: `pathlib.Path` of the folder. Files other than pictures do not matter.
        reading: a `Reading`.

    Returns:
        `Faces` with `people`, all with usage Training.

    Raises:
        UserError: a picture with another name, or a bad picture.
    """
    rows = []
    for file in listed.list_pictures(path):
        match = JAFFE.fullmatch(file.name)
        if match is None:
            error = UserError(
                f"{file}: expected a name such as KA.AN1.39.tiff: person, emotion "
                f"({', '.join(EMOTIONS)}), number. Rename or remove it. Received: {file.name!r}"
            )
            rows.append(listed.make_row(file, error=error))
            continue
        word, person = EMOTIONS[match["emotion"].upper()], match["person"].upper()
        rows.append(listed.make_row(file, word, person=person))
    return listed.read_rows(path, rows, reading, NAME, PUBLISHED)
