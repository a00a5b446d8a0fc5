"""Reads lists of pictures: a text file with a path a line, or a table with a column of paths."""

import os

from insideout_tf.data import inputs, tables
from insideout_tf.errors import UserError
from insideout_tf.photos import listing

SUFFIXES = (".txt", ".csv", ".tsv", ".parquet")
COLUMNS = (
    "source",
    *tables.PATH_COLUMNS,
)  # the first that is there counts; `predict` writes the first


def expand(sources):
    """Returns the sources with lists, folders and patterns replaced by the files that they name.

    Args:
        sources: paths of pictures, folders and lists, and patterns.

    Returns:
        As `listing.expand_folders`.

    Raises:
        UserError: a list cannot be read, or what `listing.expand_folders` raises.
    """
    expanded: list = []
    listed: list = []
    for source in map(os.fspath, sources):
        if source.lower().endswith(SUFFIXES) and not os.path.isdir(source):
            listed.append(source)
            expanded += read_list(source)
        else:
            expanded.append(source)
    if listed and len(listed) == len(sources):
        return expanded, {}, []  # a list of a million names needs no look at each
    return listing.expand_folders(expanded)


def read_list(path):
    """Returns the paths of the pictures in a list, in its order.

    A relative path is relative to the folder of the list. Empty lines are ignored.

    Args:
        path: a .txt file in UTF-8 with a path a line; or a .csv, .tsv or .parquet file with a column of
            `COLUMNS`.

    Raises:
        UserError: nothing is there, the file is too large or damaged, or no column has paths.
    """
    path = inputs.to_path(path, "a list of pictures")
    size = inputs.check_regular_file(path, "a list of pictures").st_size
    if size > tables.MAX_BYTES:
        raise UserError(
            f"{path}: expected a list of at most {tables.MAX_BYTES >> 30} GB. Divide it. Received: "
            f"{size >> 30} GB"
        )
    names = _read_lines(path) if path.suffix.lower() == ".txt" else _read_column(path)
    folder = path.parent
    pictures = [os.path.join(folder, name) for name in names if name]
    if not pictures:
        raise UserError(
            f"{path}: expected paths of pictures. Write one a line, or into a column path. "
            "Received: none"
        )
    return pictures


def _read_lines(path):
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise UserError(
            f"{path}: expected a text with the path of a picture a line. Write it again. Received: "
            "zero bytes"
        )
    return [os.fsdecode(line.strip(b"\r")) for line in content.split(b"\n")]


def _read_column(path):
    """Returns the texts in the column of paths of a table; of parquet, only that column is read."""

    def choose(names):
        columns = {name.strip().lower(): name for name in reversed(names)}
        column = next((columns[name] for name in COLUMNS if name in columns), None)
        if column is None:
            raise UserError(
                f"{path}: expected a column of paths ({', '.join(COLUMNS[:4])}). Rename it. "
                f"Received: {', '.join(names[:12]) or 'no column'}"
            )
        return [column]

    frame = tables.read_frame(path, choose)
    for value in frame.iloc[:, 0]:
        if not isinstance(value, str):
            raise UserError(
                f"{path}: expected paths in the column {frame.columns[0]}. Correct them. Received: "
                f"{value!r:.80}"
            )
    return [value.strip() for value in frame.iloc[:, 0]]
