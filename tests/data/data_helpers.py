"""Small CSV texts and the message of a reader, for the tests of the readers."""

import pytest

from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

HEAD = "emotion,pixels,Usage"
ROW = " ".join(["7"] * 2304)
GOOD = f"0,{ROW},Training"
LABEL_EXPECTED = (
    "expected an emotion from 0 to 6 (0 angry ... 6 neutral). Correct or remove the row. Received: "
)


def error_of(path, bad_rows="stop"):
    """Returns the message of the `UserError` that `read_faces` raises."""
    with pytest.raises(UserError) as error:
        read_faces(path, bad_rows)
    return str(error.value)


def write_lines(path, *lines, end="\n"):
    """Writes a text file and returns its path."""
    path.write_bytes("".join(line + end for line in lines).encode())
    return path
