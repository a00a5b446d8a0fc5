"""The public prediction functions: real signatures, faces in given boxes, and tables of videos."""

import inspect

import cv2
import numpy as np
import pytest
from PIL import Image

import insideout_tf
from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, detectors

FACE_COLUMNS = ["box_left", "box_top", "box_width", "box_height"]


@pytest.fixture(scope="module")
def faces():
    return drawn.draw_all(14, 7, 7)[0]


@pytest.fixture(scope="module")
def scene(faces):
    """A grey picture of 400×200 pixels with two faces, of 96 pixels at (20, 30) and 48 at (300, 100)."""
    picture = Image.new("L", (400, 200), 120)
    picture.paste(Image.fromarray(faces[0]).resize((96, 96)), (20, 30))
    picture.paste(Image.fromarray(faces[1]), (300, 100))
    return picture


def write_video(path, frames, fps=10):
    height, width = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.repeat(frame[..., None], 3, 2))
    writer.release()


@pytest.mark.parametrize("name", ["predict_emotions", "detect_emotions", "analyze_video"])
def test_help_lists_the_options(name):
    function = getattr(insideout_tf, name)
    first, *options = inspect.signature(function).parameters.values()
    assert all(option.kind is option.POSITIONAL_OR_KEYWORD for option in (first, *options))
    assert all(option.default is not option.empty for option in options)
    for option in options:
        assert option.name in function.__doc__
    assert name in dir(insideout_tf) and name in insideout_tf.__all__


def test_boxes_replace_the_detector(scene, faces, monkeypatch):
    def load(*_):
        raise AssertionError("boxes need no detector")

    monkeypatch.setattr(detectors, "load", load)
    boxes = [(300, 100, 48, 48), np.array([20, 30, 96, 96]), (19.6, 30.2, 96.3, 95.8)]
    small, large, rounded = insideout_tf.detect_emotions(scene, boxes=boxes)
    assert small["box"] == [300, 100, 48, 48]  # the order of the boxes, not of their sizes
    assert large["box"] == [20, 30, 96, 96] and rounded == large
    expected = insideout_tf.predict_emotions([faces[1], scene.crop((20, 30, 116, 126))])
    for face, row in zip((small, large), expected):
        assert face["emotion"] == EMOTIONS[row.argmax()]
        assert np.allclose(list(face["probabilities"].values()), row, atol=1e-5)
    assert insideout_tf.detect_emotions(scene, boxes=[]) == []
    (whole,) = insideout_tf.detect_emotions(faces[0], boxes=[(0, 0, 48, 48)])
    assert whole["box"] == [0, 0, 48, 48]  # mode "auto" does not matter
    (edge,) = insideout_tf.detect_emotions(scene, boxes=[(-40, -40, 60, 60)], margin=0.1)
    assert edge["box"] == [-40, -40, 60, 60]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 10), "expected four numbers"),
        (7, "expected four numbers"),
        (("left", 0, 10, 10), "expected four numbers"),
        ((0, 0, float("nan"), 10), "expected four numbers"),
        ((0, 0, 0, 10), "width and a height of at least one pixel"),
        ((50, 50, 10, -10), "width and a height of at least one pixel"),
        ((400, 0, 10, 10), "overlaps the picture of 400×200 pixels"),
        ((0, -10, 10, 10), "overlaps the picture of 400×200 pixels"),
        ((-1, -1, 10**9, 10), "a square of at most 100,000,000 pixels"),
    ],
)
def test_wrong_boxes(box, message, scene):
    with pytest.raises(UserError, match=r"boxes\[1\]: .*Received: ") as error:
        insideout_tf.detect_emotions(scene, boxes=[(0, 0, 10, 10), box])
    assert message in str(error.value)


def test_wrong_options(scene, tmp_path):
    for options, message in (
        ({"mode": "x"}, "mode: expected one of auto, crop, detect"),
        ({"margin": 3}, "margin: expected -0.4 to 2"),
        ({"margin": float("nan")}, "margin: expected -0.4 to 2"),
        ({"margin": "wide"}, "margin: expected -0.4 to 2"),
        ({"min_score": 2}, "min_score: expected 0 to 1. Received: 2"),
        ({"min_face": -1}, "min_face: expected pixels, 0 or more. Received: -1"),
        ({"detector": "x"}, "detector: expected one of auto, blazeface, haar. Received: 'x'"),
    ):
        for function in (insideout_tf.detect_emotions, insideout_tf.analyze_video):
            with pytest.raises(UserError, match=message):
                function(scene, **options)
    with pytest.raises(UserError, match="smooth_seconds: expected seconds, 0 or more"):
        insideout_tf.analyze_video("clip.avi", smooth_seconds=-1)
    with pytest.raises(UserError, match="seconds: expected more than 0"):
        insideout_tf.analyze_video("clip.avi", seconds=0)
    with pytest.raises(UserError, match="none.avi: expected a readable video.*No such file"):
        insideout_tf.analyze_video(tmp_path / "none.avi")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(UserError, match="text.avi: expected a readable video"):
        insideout_tf.analyze_video(tmp_path / "text.avi")


def test_table_of_a_video_of_cropped_faces(faces, tmp_path):
    path = tmp_path / "faces.avi"
    write_video(path, list(faces[:8]))
    table = insideout_tf.analyze_video(path, smooth_seconds=0)
    assert list(table) == ["frame", "seconds", "face", *FACE_COLUMNS, "score", "emotion", *EMOTIONS]
    assert table["score"].isna().all()
    assert table["frame"].tolist() == list(range(8)) and (table["face"] == 0).all()
    assert np.allclose(table["seconds"], np.arange(8) / 10)
    assert (table[FACE_COLUMNS] == [0, 0, 48, 48]).all(axis=None)
    probabilities = table[list(EMOTIONS)].to_numpy()
    assert probabilities.dtype == np.float32 and np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert table["emotion"].tolist() == [EMOTIONS[row.argmax()] for row in probabilities]
    first = insideout_tf.analyze_video(path, seconds=0.35)
    assert first["frame"].tolist() == [0, 1, 2, 3]
    smooth = insideout_tf.analyze_video(path, smooth_seconds=5)[list(EMOTIONS)].to_numpy()
    assert np.abs(np.diff(smooth, axis=0)).max() < np.abs(np.diff(probabilities, axis=0)).max()


def test_table_without_a_face_and_of_a_cut_off_file(tmp_path):
    path = tmp_path / "blank.avi"
    write_video(path, [np.full((120, 160), 120, np.uint8)] * 40)
    table = insideout_tf.analyze_video(path)
    assert len(table) == 0 and table["frame"].dtype == np.int64
    assert table[list(EMOTIONS)].to_numpy().dtype == np.float32
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="It may have been cut off"):
        assert len(insideout_tf.analyze_video(path)) == 0


def test_table_of_detected_faces(tmp_path):
    """The numbers, boxes and probabilities are those of the records of the verb."""
    import json

    from insideout_tf import predict

    detector = detect.FaceDetector("detect")
    for face in drawn.draw_all(28, 7, 7)[0]:
        scene = Image.new("L", (320, 240), 120)
        scene.paste(Image.fromarray(face).resize((150, 150), Image.Resampling.BICUBIC), (60, 45))
        if len(detector(scene)) == 1:
            break
    path = tmp_path / "clip.avi"
    write_video(path, [np.asarray(scene)] * 12)
    predict.main([str(path), "--jsonl", str(tmp_path / "records.jsonl")])
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    records = [record for record in records if record["emotion"]]
    table = insideout_tf.analyze_video(path)
    assert len(table) == len(records) > 0
    assert np.allclose(table["score"], [record["score"] for record in records], atol=1e-4)
    for name in ("frame", "seconds", "face", "emotion"):
        assert table[name].tolist() == [record[name] for record in records]
    assert table[FACE_COLUMNS].to_numpy().tolist() == [record["box"] for record in records]
    rows = [list(record["probabilities"].values()) for record in records]
    assert np.allclose(table[list(EMOTIONS)], rows, atol=1e-5)
    assert 48 < table["box_width"].min()
