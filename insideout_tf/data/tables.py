"""Tables of paths and labels beside image files: CSV or parquet with `path,label[,usage]`."""

import os
import pathlib

import numpy as np

from insideout_tf import imports
from insideout_tf.data import classes as class_names
from insideout_tf.data import folders, inputs
from insideout_tf.data.faces import TRAINING, USAGES, Faces
from insideout_tf.data.reading import AS_THE_DATA
from insideout_tf.errors import UserError

# Names of the columns, in lower case; the first that is there counts.
PATH_COLUMNS = ("path", "pth", "file", "filename", "image", "img", "image_path", "filepath")
LABEL_COLUMNS = ("label", "class", "emotion", "expression", "target")
USAGE_COLUMNS = ("usage", "split", "part", "set")
MAX_BYTES = 1 << 30  # of the table
HEADER_BYTES = 1 << 16


def is_table(path):
    """Returns True for a parquet file, and for a CSV whose header has a path and a label but no pixels."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return True
    if not name.endswith((".csv", ".tsv", ".txt")):
        return False
    with open(path, "rb") as file:
        header = file.readline(HEADER_BYTES).decode("utf-8-sig", "replace").lower()
    names = [
        name.strip(' \t\r\n"') for name in header.replace(";", ",").replace("\t", ",").split(",")
    ]
    has_both = set(names) & set(PATH_COLUMNS) and set(names) & set(LABEL_COLUMNS)
    return bool(has_both) and "pixels" not in names


def read_table(path, reading=AS_THE_DATA):
    """Reads the images that a table names, with their labels.

    Paths are relative to the folder of the table. A label is a word, or a number whose meaning
    `reading.classes` settles, from 0 on or from 1 on. Words that mean an emotion of FER2013 become
    that emotion. Without a usage column every face trains; a usage is "train", "val", "test" or one
    of FER2013's, in any case.

    Args:
        path: `pathlib.Path` of the table. Parquet needs the package pyarrow.
        reading: a `Reading`.

    Returns:
        `Faces`, with the path of each image in `names`, relative to the table.

    Raises:
        UserError: a missing column, a label or usage that is not settled, a file that is not there, a
            bad image, or images of several sizes.
    """
    frame = read_frame(path)
    columns = {name.strip().lower(): name for name in map(str, frame.columns)}
    chosen = {
        kind: next((columns[name] for name in names if name in columns), None)
        for kind, names in (
            ("path", PATH_COLUMNS),
            ("label", LABEL_COLUMNS),
            ("usage", USAGE_COLUMNS),
        )
    }
    if chosen["path"] is None or chosen["label"] is None:
        raise UserError(
            f"{path}: expected a column of paths ({', '.join(PATH_COLUMNS[:4])}) and one of labels "
            f"({', '.join(LABEL_COLUMNS[:4])}). Rename the columns. Received: "
            f"{', '.join(list(columns)[:12])}"
        )
    words = [_to_word(value) for value in frame[chosen["label"]]]
    usages = frame[chosen["usage"]] if chosen["usage"] else [USAGES[TRAINING]] * len(words)
    classes, labels = _settle_labels(path, words, reading)
    entries = [
        _to_entry(path, row, name, usage, label)
        for row, (name, usage, label) in enumerate(zip(frame[chosen["path"]], usages, labels))
    ]
    size = reading.input_size or folders.find_size(path, entries)
    pixels, rows, messages = folders.read_images(entries, size, reading)
    if not rows:
        raise UserError(
            f"{path}: expected rows of images. Give another table. Received: "
            + (f"{len(messages)} bad rows" if messages else "a header only")
        )
    return Faces(
        pixels,
        np.array([labels[row] for row in rows], np.uint8),
        np.array([entries[row].usage for row in rows], np.uint8),
        source=str(path),
        names=tuple(os.fspath(frame[chosen["path"]].iloc[row]) for row in rows),
        skipped=tuple(messages),
        classes=classes,
    )


def read_frame(path, choose=None):
    """Returns the table as a pandas DataFrame; all its cells of a CSV are text.

    choose: a function of the names of the columns to a list of those that are read; it may raise
    `UserError`. None reads all.
    """
    import pandas as pd

    size = inputs.check_regular_file(path, "a table").st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{path}: expected a table of at most {MAX_BYTES >> 30} GB. Received: {size >> 30} GB"
        )
    try:
        if path.name.lower().endswith(".parquet"):
            import pyarrow.parquet

            columns = choose and choose(pyarrow.parquet.read_schema(path).names)
            return pd.read_parquet(path, columns=columns)
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, sep=None, engine="python", encoding="utf-8-sig"
        )
        return frame[choose(list(map(str, frame.columns)))] if choose else frame
    except UserError:
        raise
    except ImportError as error:
        reason = (
            str(error).splitlines()[0] if imports.is_installed("pyarrow") else "no such package"
        )
        raise UserError(
            f"{path}: expected the package pyarrow, which reads parquet. Install it with `pip install "
            f"pyarrow`. Received: {reason}"
        ) from None
    except Exception as error:  # pandas and pyarrow raise many kinds for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{path}: expected a CSV or parquet file with a header. Correct or export it again. "
            f"Received: {reason}"
        ) from None


def _to_word(value):
    """Returns a label as text: 3.0 is "3"."""
    text = str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text


def _settle_labels(path, words, reading):
    """Returns (class names, the label or a `UserError` of each row)."""
    given = reading.classes
    numbers = [int(word) for word in words if word.isdecimal()]
    if numbers and not given:
        raise UserError(
            f"{path}: expected labels in words, since data sets number their classes differently. "
            "Say what the numbers mean with --classes "
            f"{class_names.EMOTIONS[0]},{class_names.EMOTIONS[1]},... Received: {numbers[0]}"
        )
    if not given:
        names: dict[str, str] = {}  # the first spelling of each class
        for word in words:
            if word:
                names.setdefault(class_names.canonical(word), word)
        classes, settled = class_names.order_classes(list(names.values()))
        known = {key: classes.index(settled[name]) for key, name in names.items()}
        labels = [known.get(class_names.canonical(word)) if word else None for word in words]
    else:
        classes = given
        first = 1 if numbers and min(numbers) == 1 and max(numbers) == len(given) else 0
        labels = [_label_among(word, given, first) for word in words]
    return classes, labels


def _label_among(word, classes, first):
    """Returns the label of a word or number among given classes, or None."""
    if word.isdecimal():
        label = int(word) - first
        return label if 0 <= label < len(classes) else None
    try:
        return class_names.label_of(word, "", classes)
    except UserError:
        return None


def _to_entry(path, row, name, usage, label):
    """Returns the `folders.Entry` of one row, with what is wrong with it."""
    where = f"{path}, row {row + 1}"
    file = pathlib.Path(path.parent, str(name).strip())
    error = None
    number = _usage_of(str(usage))
    if label is None:
        error = UserError(
            f"{where}: expected a label that --classes names. Correct or remove the row. Received: "
            f"{name}"
        )
    elif number is None:
        error = UserError(
            f"{where}: expected a usage: train, val or test. Correct it. Received: {usage!r}"
        )
    elif not str(name).strip() or not file.exists():
        error = UserError(
            f"{where}: expected an image file at a path relative to the table. Correct the path, or "
            f"skip such rows with --bad-rows skip. Received: {name!r}, nothing there"
        )
    return folders.Entry(number or 0, None, file, error)


def _usage_of(text):
    word = text.strip().lower()
    for number, name in enumerate(USAGES):
        if word == name.lower():
            return number
    return folders.PARTS.get(word)
