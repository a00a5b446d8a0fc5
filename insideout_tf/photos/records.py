"""Results as records: a dict a face, a line of text, JSON, JSON lines or CSV."""

import contextlib
import csv
import json
import sys
import typing

from insideout_tf import files
from insideout_tf.data.classes import EMOTIONS

BOX_FIELDS = ("left", "top", "width", "height")
FIELDS = ("source", "faces", "frame", "seconds", "face", *BOX_FIELDS)


def to_records(result):
    """Returns the faces of a `pictures.FrameResult` as dicts, the largest face first.

    Returns:
        A list of dicts that JSON can hold: `source`; `faces` ("crop" or "detected"); for a frame
        also `frame`, `seconds` and the number of the `face`; `box`, `emotion` and `probabilities`
        by class. A picture without a face has one dict, whose last three are None.
    """
    common = {"source": result.source, "faces": "crop" if result.is_crop else "detected"}
    if result.frame is not None:
        common |= {"frame": result.frame, "seconds": result.seconds}
    if not result.faces:
        return [{**common, "box": None, "emotion": None, "probabilities": None}]
    numbers = result.numbers or [None] * len(result.faces)
    return [
        {
            **common,
            **({} if number is None else {"face": number}),
            "box": None if face.box is None else list(face.box),
            "emotion": EMOTIONS[row.argmax()],
            "probabilities": {name: round(float(p), 6) for name, p in zip(EMOTIONS, row)},
        }
        for number, face, row in zip(numbers, result.faces, result.probabilities)
    ]


def format_line(record):
    """Returns the record of a picture as text: the two likeliest emotions and the place of the face."""
    if record["emotion"] is None:
        return f"{record['source']}: no face found"
    ranking = sorted(record["probabilities"].items(), key=lambda item: -item[1])
    (first, probability), (second, second_probability) = ranking[:2]
    place = "the whole picture"
    if record["box"]:
        left, top, width, height = record["box"]
        place = f"face of {width}×{height} at {left},{top}"
    return f"{record['source']}: {first} {probability:.1%} ({second} {second_probability:.1%}), {place}"


class JsonLines:
    """Writes one JSON object a line."""

    def __init__(self, file):
        self._file = file

    def write(self, record):
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self):
        pass


class JsonList(JsonLines):
    """Writes the same objects as one JSON list."""

    def __init__(self, file):
        super().__init__(file)
        self._separator = "[\n  "

    def write(self, record):
        self._file.write(self._separator + json.dumps(record, ensure_ascii=False))
        self._separator = ",\n  "

    def close(self):
        self._file.write("[]\n" if self._separator.startswith("[") else "\n]\n")


class Csv:
    """Writes one row a face; a field without a value is an empty cell."""

    def __init__(self, file):
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow([*FIELDS, "emotion", *EMOTIONS])

    def write(self, record):
        values = {**record, **dict(zip(BOX_FIELDS, record["box"] or ()))}
        probabilities = record["probabilities"] or {}
        self._writer.writerow(
            [
                *(values.get(name) for name in (*FIELDS, "emotion")),
                *map(probabilities.get, EMOTIONS),
            ]
        )

    def close(self):
        pass


KINDS: dict[str, typing.Callable] = {"json": JsonList, "jsonl": JsonLines, "csv": Csv}


@contextlib.contextmanager
def open_outputs(paths):
    """Yields a function that writes a record to every output; whole files appear at the end.

    Args:
        paths: for each name in `KINDS` a path, "-" for standard output, or None.

    Raises:
        OSError: a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        outputs: list = []
        for kind, create in KINDS.items():
            path = paths[kind]
            if path == "-":
                outputs.append(stack.enter_context(contextlib.closing(create(sys.stdout))))
            elif path:
                temporary = stack.enter_context(files.replacing(path))
                file = stack.enter_context(open(temporary, "w", newline="", encoding="utf-8"))
                outputs.append(stack.enter_context(contextlib.closing(create(file))))

        def write(record):
            for output in outputs:
                output.write(record)

        yield write
