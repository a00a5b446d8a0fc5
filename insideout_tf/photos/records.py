"""What is said of a face: as a dict, a line of text, JSON, JSON lines or CSV."""

import contextlib
import csv
import json
import sys
import typing

from insideout_tf import files
from insideout_tf.data.classes import EMOTIONS

FIELDS = ("source", "faces", "frame", "seconds", "face", "left", "top", "width", "height")


def of(sighting):
    """Returns one dict a face, the largest first; where none was found, one without an emotion."""
    about = {"source": sighting.source, "faces": "crop" if sighting.is_crop else "detected"}
    if sighting.frame is not None:
        about |= {"frame": sighting.frame, "seconds": sighting.seconds}
    if not sighting.found:
        return [{**about, "box": None, "emotion": None, "probabilities": None}]
    numbers = sighting.numbers or [None] * len(sighting.found)
    return [
        {
            **about,
            **({} if number is None else {"face": number}),
            "box": None if face.box is None else list(face.box),
            "emotion": EMOTIONS[row.argmax()],
            "probabilities": {name: round(float(p), 6) for name, p in zip(EMOTIONS, row)},
        }
        for number, face, row in zip(numbers, sighting.found, sighting.probabilities)
    ]


def line(record):
    """Returns one face of a picture as text: the two likeliest emotions and where it is."""
    if record["emotion"] is None:
        return f"{record['source']}: no face found"
    ranked = sorted(record["probabilities"].items(), key=lambda item: -item[1])
    (first, share), (second, other) = ranked[:2]
    where = "taken as a crop"
    if record["box"]:
        left, top, width, height = record["box"]
        where = f"face of {width}×{height} at {left},{top}"
    return f"{record['source']}: {first} {share:.1%} ({second} {other:.1%}), {where}"


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file):
        self._file = file

    def write(self, record):
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self):
        pass


class JsonList(JsonLines):
    """The same objects as one JSON list."""

    def __init__(self, file):
        super().__init__(file)
        self._between = "[\n  "

    def write(self, record):
        self._file.write(self._between + json.dumps(record, ensure_ascii=False))
        self._between = ",\n  "

    def close(self):
        self._file.write("[]\n" if self._between.startswith("[") else "\n]\n")


class Csv:
    """One row a face; cells that do not apply are empty."""

    def __init__(self, file):
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow([*FIELDS, "emotion", *EMOTIONS])

    def write(self, record):
        box = dict(zip(("left", "top", "width", "height"), record["box"] or ()))
        known = {**record, **box}
        shares = record["probabilities"] or {}
        self._writer.writerow(
            [*(known.get(name) for name in (*FIELDS, "emotion")), *map(shares.get, EMOTIONS)]
        )

    def close(self):
        pass


KINDS: dict[str, typing.Callable] = {"json": JsonList, "jsonl": JsonLines, "csv": Csv}


@contextlib.contextmanager
def outputs(paths):
    """Yields a function that writes a record to every output; files appear whole, at the end.

    paths: a path, "-" for standard output, or None for each of `KINDS`.
    """
    with contextlib.ExitStack() as stack:
        sinks: list = []
        for kind, create in KINDS.items():
            path = paths[kind]
            if path == "-":
                sinks.append(stack.enter_context(contextlib.closing(create(sys.stdout))))
            elif path:
                temporary = stack.enter_context(files.replacing(path))
                file = stack.enter_context(open(temporary, "w", newline="", encoding="utf-8"))
                sinks.append(stack.enter_context(contextlib.closing(create(file))))

        def write(record):
            for sink in sinks:
                sink.write(record)

        yield write
