"""Records of results: their fields, the line of text, and files that are whole or absent."""

import csv
import json

import numpy as np
import pytest

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.photos import detect, pictures, records

PIXELS = np.zeros((48, 48), np.uint8)
ROWS = np.array([[0, 0, 0.1, 0.7, 0.2, 0, 0], [0, 0, 0, 0, 0, 0.4, 0.6]], np.float32)


@pytest.fixture
def frame():
    """A frame with two faces."""
    faces = [
        detect.Face(PIXELS, (1, 2, 60, 60), 0.9),
        detect.Face(PIXELS, (90, 5, 40, 40), 0.81234),
    ]
    return pictures.FrameResult("a clip.mp4", None, faces, False, ROWS, 7, 0.28, [0, 4])


def test_fields_of_a_frame_and_a_picture(frame):
    first, second = records.to_records(frame)
    assert first["source"] == "a clip.mp4" and first["faces"] == "detected"
    assert (first["frame"], first["seconds"], first["face"]) == (7, 0.28, 0)
    assert second["face"] == 4 and second["box"] == [90, 5, 40, 40]
    assert (first["score"], second["score"]) == (0.9, 0.8123)
    assert [first["emotion"], second["emotion"]] == ["happy", "neutral"]
    assert first["probabilities"]["happy"] == 0.7 and list(first["probabilities"]) == list(EMOTIONS)
    picture = pictures.FrameResult("a.png", None, [detect.Face(PIXELS)], True, ROWS[:1])
    (record,) = records.to_records(picture)
    assert record["faces"] == "crop" and record["box"] is None and "frame" not in record


def test_lines(frame):
    first, _ = records.to_records(frame)
    assert records.format_line(first) == "a clip.mp4: happy 70.0% (sad 20.0%), face 0: 60×60 at 1,2"
    empty = pictures.FrameResult("b.png", None, [], False, ROWS[:0])
    (record,) = records.to_records(empty)
    assert records.format_line(record) == "b.png: no face found"


def test_files_are_whole_after_every_record(frame, tmp_path):
    paths = {kind: tmp_path / f"out.{kind}" for kind in records.KINDS}
    expected = records.to_records(frame)

    def read():
        lines = paths["jsonl"].read_text("utf-8").splitlines()
        rows = list(csv.DictReader(paths["csv"].read_text("utf-8").splitlines()))
        return json.loads(paths["json"].read_text("utf-8")), list(map(json.loads, lines)), rows

    with pytest.raises(RuntimeError), records.open_outputs(paths) as write:
        assert read() == ([], [], [])
        for count, record in enumerate(expected, 1):
            write(record)
            listed, lines, rows = read()
            assert listed == lines == expected[:count] and len(rows) == count
        raise RuntimeError("interrupted")
    listed, lines, rows = read()
    assert listed == lines == expected
    assert [row["left"] for row in rows] == ["1", "90"] and rows[0]["happy"] == "0.7"
    assert all(records.KINDS[kind].is_ours(path) for kind, path in paths.items())
    assert not records.JsonList.is_ours(paths["csv"]) and not records.Csv.is_ours(paths["json"])
    old = tmp_path / "old.csv"  # of a version without scores
    old.write_bytes(paths["csv"].read_bytes().replace(b",score", b""))
    assert records.Csv.is_ours(old)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError), records.open_outputs(paths):
        pass
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    only_json = {**paths, "csv": None, "jsonl": None}
    with records.open_outputs(only_json, overwrite=True):
        pass
    assert json.loads(paths["json"].read_text()) == []
