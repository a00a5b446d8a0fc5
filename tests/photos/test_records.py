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
    faces = [detect.Face(PIXELS, (1, 2, 60, 60), 3.0), detect.Face(PIXELS, (90, 5, 40, 40), 2.0)]
    return pictures.FrameResult("a clip.mp4", None, faces, False, ROWS, 7, 0.28, [0, 4])


def test_fields_of_a_frame_and_a_picture(frame):
    first, second = records.to_records(frame)
    assert first["source"] == "a clip.mp4" and first["faces"] == "detected"
    assert (first["frame"], first["seconds"], first["face"]) == (7, 0.28, 0)
    assert second["face"] == 4 and second["box"] == [90, 5, 40, 40]
    assert [first["emotion"], second["emotion"]] == ["happy", "neutral"]
    assert first["probabilities"]["happy"] == 0.7 and list(first["probabilities"]) == list(EMOTIONS)
    picture = pictures.FrameResult("a.png", None, [detect.Face(PIXELS)], True, ROWS[:1])
    (record,) = records.to_records(picture)
    assert record["faces"] == "crop" and record["box"] is None and "frame" not in record


def test_lines(frame):
    first, _ = records.to_records(frame)
    assert records.format_line(first) == "a clip.mp4: happy 70.0% (sad 20.0%), face of 60×60 at 1,2"
    empty = pictures.FrameResult("b.png", None, [], False, ROWS[:0])
    (record,) = records.to_records(empty)
    assert records.format_line(record) == "b.png: no face found"


def test_files_appear_whole_or_not_at_all(frame, tmp_path):
    paths = {kind: tmp_path / f"out.{kind}" for kind in records.KINDS}
    expected = records.to_records(frame)
    with records.open_outputs(paths) as write:
        for record in expected:
            write(record)
        assert not any(path.exists() for path in paths.values())
    assert json.loads(paths["json"].read_text("utf-8")) == expected
    lines = paths["jsonl"].read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == expected
    with paths["csv"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["left"] for row in rows] == ["1", "90"] and rows[0]["happy"] == "0.7"
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RuntimeError), records.open_outputs(paths) as write:
        write(expected[0])
        raise RuntimeError("interrupted")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    with records.open_outputs({**paths, "csv": None, "jsonl": None}):
        pass
    assert json.loads(paths["json"].read_text()) == []
