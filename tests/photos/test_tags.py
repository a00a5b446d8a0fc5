"""Labels of faces: short, in the picture, over no other face; and the window that shows them."""

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import predict
from insideout_tf.photos import tags, window

CLASSES = ("calm", "a class with a name that is much too long for a label", "tense")


def covers(one, other):
    return all(one[i] < other[i + 2] and other[i] < one[i + 2] for i in (0, 1))


def test_places_of_labels_are_in_the_picture_and_free():
    """Three hundred crowded scenes: a label never covers another face while some place is free."""
    random = np.random.default_rng(0)
    size, width, height = (640, 480), 110, 24
    for _ in range(300):
        frames = []
        for _ in range(4):
            left, top = random.integers(0, 560), random.integers(0, 400)
            frames.append(
                (left, top, left + random.integers(30, 80), top + random.integers(30, 80))
            )
        x, y = tags.choose_place(frames[0], width, height, size, frames[1:])
        place = (x, y, x + width, y + height)
        assert 0 <= x and 0 <= y and place[2] <= size[0] and place[3] <= size[1]
        above = (frames[0][0], frames[0][1] - height)
        is_free = above[1] >= 0 and above[0] + width <= size[0]
        over = (*above, above[0] + width, above[1] + height)
        if is_free and not any(covers(over, frame) for frame in frames[1:]):
            assert (x, y) == above


def test_a_picture_keeps_its_size_and_the_original_its_pixels():
    image = Image.fromarray(np.full((200, 300), 128, np.uint8))
    boxes = [(20, 60, 80, 80), (-10, -10, 90, 60), (280, 180, 90, 90), None]
    rows = np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0, 0.2, 0.8], [0.4, 0.3, 0.3]], np.float32)
    drawn = tags.draw_tags(image, boxes, "1234", rows, CLASSES)
    assert drawn.size == image.size and drawn.mode == "RGB"
    assert (np.asarray(image) == 128).all()
    changed = (np.asarray(drawn) != 128).any(-1)
    assert changed[60, 20:100].all() and not changed[80:130, 30:90].any()
    assert tags.draw_tags(image, [], [], np.zeros((0, 3)), CLASSES).size == (300, 200)


def test_a_window_needs_an_opencv_with_windows(tmp_path, capsys, monkeypatch):
    import cv2

    for information, has_any in (
        ("\n  GUI:                           NONE\n    VTK support: NO\n", False),
        ("\n  GUI:                           QT5\n    QT: YES\n", True),
        ("\n  GUI: \n    GTK+: YES (ver 3.24)\n", True),
        ("", False),
    ):
        assert window.has_windows(information) == has_any
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   NONE")
    status, out, error = run_verb(predict.main, capsys, "webcam:0", "--show")
    assert status == 2 and out == "" and error.count("\n") == 1
    assert "opencv-python, " not in error and "the package opencv-python. Install it" in error
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   QT5")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    status, _, error = run_verb(predict.main, capsys, "webcam:0", "--show")
    assert status == 2 and "--show: expected a display" in error and error.count("\n") == 1


@pytest.mark.parametrize("end", ["key", "closed"])
def test_a_window_ends_by_a_key_or_by_its_button(end, monkeypatch):
    import cv2

    from insideout_tf.photos import detect, pictures

    shown, keys = [], iter([255, 255, ord("q")] if end == "key" else [255] * 9)
    visible = iter([1, 0] if end == "closed" else [1] * 9)
    monkeypatch.setattr(window, "check_windows", lambda: None)
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("end"))
    monkeypatch.setattr(cv2, "imshow", lambda title, frame: shown.append(frame.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: next(visible))
    face = detect.Face(np.zeros((48, 48), np.uint8), (10, 10, 50, 50))
    row = np.eye(7, dtype=np.float32)[:1]
    image = Image.new("RGB", (2560, 1280))
    result = pictures.FrameResult("webcam:0", image, [face], False, row, 0, 0.0, [0], 0.1)
    with window.Window("camera") as opened:
        states = [opened.show(result) for _ in range(3)]
    assert states == [True, True, False]
    assert shown == [(640, 1280, 3)] * (3 if end == "key" else 2) + ["end"]
