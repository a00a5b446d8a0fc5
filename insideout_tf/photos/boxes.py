"""Reads the boxes of a detector of one's own: a CSV or JSON file of pictures, places and sizes."""

import csv
import io
import json
import math
import os
import pathlib
import typing

from insideout_tf.data import inputs
from insideout_tf.errors import UserError
from insideout_tf.photos import detect

# Names of the columns, in lower case; the first that is there counts. `predict` writes the second ones.
COLUMNS = {
    "image": ("image", "source", "path", "file", "filename", "file_name", "image_path"),
    "x": ("x", "left", "xmin", "x1"),
    "y": ("y", "top", "ymin", "y1"),
    "width": ("width", "w"),
    "height": ("height", "h"),
}
SIDES = ("x", "y", "width", "height")
MAX_BYTES = 1 << 28


class Row(typing.NamedTuple):
    """A face of the file.

    Attributes:
        place: its line, for messages.
        box: (left, top, width, height) in pixels of the upright picture.
    """

    place: str
    box: tuple[float, float, float, float]


class GivenBoxes:
    """Stands for a `detect.FaceDetector` where the boxes are known. A picture without a row has no face.

    Args:
        path: the file; see `read`.
        sources: the paths of the pictures, to which every row must belong.
        margin, contract: see `detect.crop_face`; None is no margin.

    Raises:
        UserError: as `read`; or a row names a picture that is not among the sources.
    """

    def __init__(self, path, sources, margin=None, contract=None):
        self._rows = _match(read(path), pathlib.Path(path).parent, sources)
        self._margin = margin or 0.0
        self._options = {} if contract is None else {"contract": contract}

    def is_crop(self, image):
        """Returns False: no picture is one face."""
        return False

    def __call__(self, image, source):
        """Returns the `detect.Face`s of a picture, the largest first. Raises `detect.BoxError`."""
        rows = self._rows.get(_to_key(source), ())
        faces = detect.crop_boxes(
            image,
            [row.box for row in rows],
            self._margin,
            names=[row.place for row in rows],
            **self._options,
        )
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])


def read(path):
    """Returns the rows of a file of boxes by picture, {path as written: [`Row`]}.

    CSV has a header with the columns image, x, y, width, height, in any order; `source`, `left` and
    `top` mean the same, so what `predict --csv` writes can be read. JSON is a list of objects with the
    same names, or with `box`, a list of four numbers. Other columns are ignored. A row without numbers
    is a picture without a face.

    Raises:
        UserError: the file is not there, too large or damaged, a column is missing, or a row has no
            picture, no numbers, or a width or height below one pixel.
    """
    size = inputs.check_regular_file(path, "a CSV or JSON file of boxes").st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{path}: expected a file of at most {MAX_BYTES >> 20} MB. Divide it. Received: "
            f"{size >> 20} MB"
        )
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8-sig")
        is_json = text.lstrip()[:1] in ("[", "{")
        entries = list(_list_json(path, text) if is_json else _list_csv(path, text))
    except (UnicodeDecodeError, ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path}: expected a CSV or JSON file of boxes in UTF-8. Write it again. Received: "
            f"{str(error)[:150]}"
        ) from None
    rows: dict[str, list[Row]] = {}
    for place, image, values in entries:
        of_image = rows.setdefault(_check_image(place, image), [])
        if any(value is not None and value != "" for value in values):
            of_image.append(Row(place, _check_numbers(place, values)))
    return rows


def _list_csv(path, text):
    """Yields (place, image, four values) of each row of a CSV."""
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = _find_columns(path, lines.fieldnames or ())
    for row in lines:
        image, *values = (row[columns[name]] for name in COLUMNS)
        yield f"{path}, line {lines.line_num}", image, values


def _list_json(path, text):
    """Yields (place, image, four values) of each object of a JSON list."""
    entries = json.loads(text)
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UserError(
            f"{path}: expected a JSON list of objects with image, x, y, width and height. Write it "
            f"again. Received: {'another list' if isinstance(entries, list) else 'no list'}"
        )
    for index, entry in enumerate(entries):
        place = f"{path}, entry {index}"
        if "box" in entry:
            values = entry["box"] or [None] * 4
            names = {"image": _find_columns(place, entry, ("image",))["image"]}
        else:
            names = _find_columns(place, entry)
            values = [entry[names[side]] for side in SIDES]
        if not isinstance(values, list) or len(values) != 4:
            values = [values] * 4  # refused as no number
        yield place, entry[names["image"]], values


def _find_columns(place, received, wanted=tuple(COLUMNS)):
    """Returns {name in `COLUMNS`: the name in the file}."""
    names = {str(name).strip().lower(): name for name in reversed(list(received))}
    columns = {
        name: next((names[each] for each in COLUMNS[name] if each in names), None)
        for name in wanted
    }
    missing = [name for name, column in columns.items() if column is None]
    if missing:
        raise UserError(
            f"{place}: expected the columns {', '.join(wanted)}. Add {', '.join(missing)}. Received: "
            f"{', '.join(map(str, list(received)[:12])) or 'nothing'}"
        )
    return columns


def _check_image(place, image):
    if not isinstance(image, str) or not image.strip():
        raise UserError(
            f"{place}: expected the path of a picture. Write it into the column image. Received: "
            f"{image!r}"
        )
    return image


def _check_numbers(place, values):
    """Returns the four numbers of a box; raises `UserError`."""
    try:
        if any(isinstance(value, bool) for value in values):
            raise ValueError
        box = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        box = (math.nan,) * 4
    if not all(map(math.isfinite, box)):
        raise UserError(
            f"{place}: expected numbers for x, y, width and height. Correct them. Received: "
            f"{', '.join(map(str, values))[:80]}"
        )
    if box[2] < 1 or box[3] < 1:
        raise UserError(
            f"{place}: expected a width and a height of at least one pixel. Correct them, or convert "
            f"corners to sizes. Received: {box[2]:g} and {box[3]:g}"
        )
    return box


def _match(rows, folder, sources):
    """Returns the rows by `_to_key` of their source.

    A path in the file is relative to the working directory or to the folder of the file.
    """
    keys = {_to_key(source) for source in sources}
    matched: dict[str, list[Row]] = {}
    for image, of_image in rows.items():
        candidates = [_to_key(image), _to_key(folder / image)]
        key = next((key for key in candidates if key in keys), None)
        if key is None:
            where = of_image[0].place if of_image else str(folder)
            raise UserError(
                f"{where}: expected one of the {len(keys):,} pictures of the command. Add the picture, or "
                f"correct its path. Received: {image}"
            )
        matched.setdefault(key, []).extend(of_image)
    return matched


def _to_key(path):
    return os.path.normcase(os.path.realpath(os.path.expanduser(os.fspath(path))))
