"""Short labels of faces, and the window that shows them."""

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import predict
from insideout_tf.photos import draw, window

CLASSES = ("calm", "a class with a name that is much too long for a label", "tense")


def test_a_picture_keeps_its_size_and_the_original_its_pixels():
    image = Image.fromarray(np.full((200, 300), 128, np.uint8))
    boxes = [(20, 60, 80, 80), (-10, -10, 90, 60), (280, 180, 90, 90)]
    rows = np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0, 0.2, 0.8]], np.float32)
    drawn = draw.draw_faces(image, boxes, rows, 1, CLASSES, [1, 2, 3], has_bars=False)
    assert drawn.size == image.size and drawn.mode == "RGB"
    assert (np.asarray(image) == 128).all()
    changed = (np.asarray(drawn) != 128).any(-1)
    assert changed[60, 20:100].all() and not changed[80:130, 30:90].any()
    assert draw.draw_faces(image, [], np.zeros((0, 3)), 1, CLASSES, [], has_bars=False).size == (
        300,
        200,
    )


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
