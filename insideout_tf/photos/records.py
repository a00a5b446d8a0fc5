"""Results as records: a dict a face, a line of text, JSON, JSON lines or CSV.

Records are on disk when their picture or frame is done: an interruption loses none of them.
"""

import contextlib
import json
import os
import pathlib
import re
import sys

from insideout_tf import targets
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import printable

BOX_FIELDS = ("left", "top", "width", "height")
FIELDS = ("source", "faces", "frame", "seconds", "face", *BOX_FIELDS, "score")


def to_records(result):
    """Returns the faces of a `pictures.FrameResult` as dicts, the largest face first.

    Returns:
        A list of dicts that JSON can hold: `source`; `faces` ("crop" or "detected"); for a frame
        also `frame` and `seconds`; the number of the `face`, unless a picture is one face; `box`,
        `score`, `emotion` and `probabilities` by class. A picture without a face has one dict, whose
        last four are None.
    """
    common = {"source": result.source, "faces": "crop" if result.is_crop else "detected"}
    if result.frame is not None:
        common |= {"frame": result.frame, "seconds": result.seconds}
    if not result.faces:
        return [{**common, "box": None, "score": None, "emotion": None, "probabilities": None}]
    numbers = result.numbers or [None] * len(result.faces)
    return [
        {
            **common,
            **({} if number is None else {"face": number}),
            "box": None if face.box is None else list(face.box),
            "score": None if face.score is None else round(face.score, 4),
            "emotion": result.classes[row.argmax()],
            "probabilities": {name: round(float(p), 6) for name, p in zip(result.classes, row)},
        }
        for number, face, row in zip(numbers, result.faces, result.probabilities)
    ]


def format_line(record):
    """Returns the record of a picture as text: the two likeliest emotions and the place of the face."""
    source = printable(record["source"])
    if record["emotion"] is None:
        return f"{source}: no face found"
    ranking = sorted(record["probabilities"].items(), key=lambda item: -item[1])
    (first, probability), (second, second_probability) = ranking[:2]
    place = "the whole picture"
    if record["box"]:
        left, top, width, height = record["box"]
        place = f"face {record['face']}: {width}×{height} at {left},{top}"
    return f"{source}: {first} {probability:.1%} ({second} {second_probability:.1%}), {place}"


def _to_json(record):
    """Returns a record as JSON in UTF-8; bytes of a name that are no UTF-8 become escapes of JSON."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")


class JsonLines:
    """One JSON object a line.

    Every kind has the bytes before the `first` record, between two and after the last; the content of
    an `empty` file; `encode`, which returns the bytes of a record; and `is_ours`, which recognises a
    file of the kind by its beginning.

    classes: the names of the model's classes.
    """

    first, separator, end, empty = b"", b"", b"", b""

    def __init__(self, classes):
        self._classes = classes

    def encode(self, record):
        return _to_json(record) + b"\n"

    @staticmethod
    def is_ours(path):
        return targets.has_begin(path, b'{"source": ')


class JsonList(JsonLines):
    """The same objects as one JSON list. The end is written after each record, and overwritten."""

    first, separator, end, empty = b"[\n  ", b",\n  ", b"\n]\n", b"[]\n"

    def encode(self, record):
        return _to_json(record)

    @staticmethod
    def is_ours(path):
        return targets.has_begin(path, b'[\n  {"source": ') or targets.has_begin(path, b"[]\n")


class Csv(JsonLines):
    """One row a face; a field without a value is an empty cell.

    Control characters are escaped, so that a row is a line. A name that a spreadsheet would read as
    a formula begins with "./", which is the same file.
    """

    def __init__(self, classes):
        super().__init__(classes)
        names = [targets.escape_cell(name, " ") for name in classes]
        self.first = self.empty = _to_row([*FIELDS, "emotion", *names])

    def encode(self, record):
        values = {**record, **dict(zip(BOX_FIELDS, record["box"] or ()))}
        values["source"] = targets.escape_cell(record["source"])
        probabilities = record["probabilities"] or {}
        return _to_row(
            [
                *(values.get(name) for name in (*FIELDS, "emotion")),
                *map(probabilities.get, self._classes),
            ]
        )

    @staticmethod
    def is_ours(path):
        headers = (FIELDS, FIELDS[:-1])  # earlier versions wrote no score
        return any(
            targets.has_begin(path, _to_row([*fields, "emotion", ""]).rstrip(b"\n"))
            for fields in headers
        )


def _to_row(cells):
    return targets.format_row(cells).encode("utf-8")


KINDS: dict[str, type[JsonLines]] = {"json": JsonList, "jsonl": JsonLines, "csv": Csv}


class RecordFile:
    """A file of records, whole after each of them.

    Args:
        path: of a new file.
        kind: an instance of a class in `KINDS`.
        position: of an earlier file: the `position` after the last record that stays. What follows is
            removed. None begins a new file.

    Attributes:
        position: the number of bytes up to the end of the last record.
    """

    def __init__(self, path, kind, position=None):
        self._kind, self._path = kind, str(path)
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "xb" if position is None else "r+b", buffering=0)
        self.position = position or 0
        self._put(kind.end if self.position else kind.empty)

    def write(self, record):
        before = self._kind.separator if self.position else self._kind.first
        text = before + self._kind.encode(record)
        self._put(text + self._kind.end)
        self.position += len(text)

    def sync(self):
        """Waits until the records are on disk."""
        os.fsync(self._file.fileno())

    def _put(self, data):
        """Writes after the last record, all or nothing."""
        try:
            self._overwrite_end(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._overwrite_end(self._kind.end if self.position else self._kind.empty)
            error.filename = self._path
            raise

    def _overwrite_end(self, data):
        self._file.seek(self.position)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._file.truncate()

    def close(self):
        self._file.close()


class _Stream:
    """Records on standard output, each flushed."""

    def __init__(self, kind):
        self._kind, self._is_empty = kind, True

    def write(self, record):
        before = self._kind.first if self._is_empty else self._kind.separator
        self._is_empty = False
        self._put(before + self._kind.encode(record))

    def _put(self, data):
        text = data.decode("utf-8")
        if not isinstance(self._kind, Csv) and (sys.stdout.encoding or "").lower() not in (
            "utf-8",
            "utf8",
        ):
            text = re.sub("[^\0-\x7f]", lambda each: json.dumps(each[0])[1:-1], text)
        sys.stdout.write(text)
        sys.stdout.flush()

    def close(self):
        self._put(self._kind.empty if self._is_empty else self._kind.end)


def list_targets(paths):
    """Returns the `targets.Target` of each file in `paths`, as of `open_outputs`."""
    return [
        targets.Target(f"--{kind}", path, KINDS[kind].is_ours)
        for kind, path in paths.items()
        if path and path != "-"
    ]


@contextlib.contextmanager
def open_outputs(paths, overwrite=False, classes=EMOTIONS):
    """Yields a function that writes a record to every output, at once.

    Whatever ends the block, the outputs hold all records until then: a file of JSON is a whole list
    after every record.

    Args:
        paths: for each name in `KINDS` a path, "-" for standard output, or None.
        overwrite: remove earlier outputs, which `targets.check_targets` has allowed.
        classes: the names of the model's classes.

    Raises:
        OSError: a file cannot be written, or one is there.
    """
    with contextlib.ExitStack() as stack:
        outputs: list = []
        for name, kind in KINDS.items():
            path = paths[name]
            if path and path != "-" and overwrite and os.path.lexists(path):
                os.remove(path)
            if path:
                output = _Stream(kind(classes)) if path == "-" else RecordFile(path, kind(classes))
                outputs.append(stack.enter_context(contextlib.closing(output)))

        def write(record):
            for output in outputs:
                output.write(record)

        yield write
