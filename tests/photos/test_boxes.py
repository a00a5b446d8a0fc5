"""Boxes of a detector of one's own: CSV and JSON, paths, and every way in which a row can be wrong."""

import json

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.photos import boxes

HEADER = "image,x,y,width,height\n"


@pytest.fixture
def scene(tmp_path):
    """The path of a picture of 300×200 pixels with a face of 96 pixels at (40, 50)."""
    picture = Image.new("L", (300, 200), 120)
    picture.paste(Image.fromarray(drawn.draw_all(28, 7, 7)[0][0]).resize((96, 96)), (40, 50))
    picture.save(tmp_path / "a scene.png")
    return tmp_path / "a scene.png"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.csv", HEADER + "a scene.png,40,50,96,96\na scene.png,0.4,0,60,60\n"),
        ("b.csv", "\ufeffHeight,Width,TOP,left,path,note\n96,96,50,40,a scene.png,x\n60,60,0,0,a scene.png,\n"),
        ("b.txt", json.dumps([{"source": "a scene.png", "box": [40, 50, 96, 96]},
                              {"image": "a scene.png", "x": 0, "y": 0, "w": 60, "h": 60}])),
    ],
)  # fmt: skip
def test_forms_of_the_file(name, text, scene, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    status, out, _ = run_verb(predict.main, capsys, scene, "--boxes", path, "--json", "-")
    large, small = json.loads(out)
    assert status == 0 and large["box"] == [40, 50, 96, 96] and small["box"] == [0, 0, 60, 60]
    assert large["score"] is None and [large["face"], small["face"]] == [0, 1]
    (expected,) = insideout_tf.detect_emotions(scene, boxes=[(40, 50, 96, 96)])
    assert np.allclose(
        list(large["probabilities"].values()), list(expected["probabilities"].values()), atol=1e-5
    )


def test_records_of_predict_are_boxes(scene, tmp_path, capsys):
    """The CSV and the JSON of one call give the same faces in another, and a picture without one."""
    Image.new("L", (150, 100), 9).save(tmp_path / "empty.png")
    sources = (scene, tmp_path / "empty.png")
    first = {kind: tmp_path / f"first.{kind}" for kind in ("csv", "json")}
    outputs = [f"--{kind}={path}" for kind, path in first.items()]
    run_verb(predict.main, capsys, *sources, *outputs, "--margin", "0", "--detector", "haar")
    for path in first.values():
        status, out, _ = run_verb(predict.main, capsys, *sources, "--boxes", path, "--json", "-")
        again, before = json.loads(out), json.loads(first["json"].read_text())
        assert status == 0 and len(again) == 2
        assert [each["box"] for each in again] == [each["box"] for each in before]
        assert [each["probabilities"] for each in again] == [e["probabilities"] for e in before]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,x,y,width\na.png,1,2,3\n", "expected the columns image, x, y, width, height. Add height."),
        ("", "expected the columns image, x, y, width, height"),
        (HEADER + "a.png,1,2,three,4\n", "b.csv, line 2: expected numbers for x, y, width and height"),
        (HEADER + "a.png,1,2,nan,4\n", "b.csv, line 2: expected numbers"),
        (HEADER + "a.png,1,2,30\n", "b.csv, line 2: expected numbers"),
        (HEADER + "a.png,1,2,-30,40\n", "b.csv, line 2: expected a width and a height of at least one"),
        (HEADER + "a.png,1,2,30,0\n", "b.csv, line 2: expected a width and a height of at least one"),
        (HEADER + ",1,2,30,40\n", "b.csv, line 2: expected the path of a picture"),
        ('[{"image": "a.png", "box": [1, 2, 3]}]', "b.csv, entry 0: expected numbers"),
        ('[{"image": "a.png", "box": [1, 2, true, 4]}]', "b.csv, entry 0: expected numbers"),
        ('[{"image": 7, "box": [1, 2, 3, 4]}]', "b.csv, entry 0: expected the path of a picture"),
        ('[{"box": [1, 2, 3, 4]}]', "b.csv, entry 0: expected the columns image. Add image."),
        ('{"a.png": [1, 2, 3, 4]}', "expected a JSON list of objects"),
        ("[1, 2]", "expected a JSON list of objects"),
        ("[" * 100_000, "expected a CSV or JSON file of boxes"),
        ("[{", "expected a CSV or JSON file of boxes"),
        ('image,x,y,width,height\n"a', "expected a CSV or JSON file of boxes"),
    ],
)  # fmt: skip
def test_wrong_files(text, message, tmp_path):
    path = tmp_path / "b.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="Received: ") as error:
        boxes.read(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UserError, match="expected a CSV or JSON file of boxes"):
            boxes.read(path)
    (tmp_path / "b.csv").write_bytes(b"image,\xff\xfe\x00")
    with pytest.raises(UserError, match="in UTF-8"):
        boxes.read(tmp_path / "b.csv")


def test_wrong_rows_and_options_of_the_verb(scene, tmp_path, capsys):
    path, out = tmp_path / "b.csv", tmp_path / "out.csv"

    def call(*arguments):
        return run_verb(predict.main, capsys, scene, "--boxes", path, "--csv", out, *arguments)

    path.write_text(HEADER + "other.png,1,2,30,40\n")
    status, _, error = call()
    assert status == 2 and "line 2: expected one of the 1 pictures" in error and not out.exists()
    path.write_text(HEADER + "a scene.png,1,2,30,40\na scene.png,300,0,30,40\n")
    status, _, error = call()  # known when the picture is open
    assert status == 2 and "line 3: expected a box that overlaps the picture of 300×200" in error
    assert "Received: 1 that are not readable" in error
    out.unlink()
    path.write_text(HEADER + "a scene.png,1,2,30,40\n")
    for arguments, message in (
        (("--faces", "detect"), "--boxes: expected no detector. Leave out --faces"),
        (("--min-score", "0.5"), "Leave out --min-score"),
        (("--overwrite", "--json", path), "--json"),
    ):
        status, _, error = call(*arguments)
        assert status == 2 and message in error and error.count("\n") == 1, error
    status, _, error = run_verb(predict.main, capsys, scene, "webcam:0", "--boxes", path)
    assert status == 2 and "--boxes: expected pictures only" in error
    for arguments, message in (
        (("--min-score", "2"), "--min-score: expected 0 to 1. Received: 2"),
        (("--min-face", "-3"), "--min-face: expected pixels, 0 or more. Received: -3"),
        (("--detector", "haar", "--yunet", "x.onnx"), "Give a detector or a file of YuNet"),
    ):
        status, _, error = run_verb(predict.main, capsys, scene, *arguments)
        assert status == 2 and message in error and error.count("\n") == 1, error
