"""A window that shows the frames of a video or a camera with their faces."""

import os
import sys

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.errors import UserError
from insideout_tf.photos import draw

END_KEYS = (27, ord("q"))  # Escape and q
MAX_SIDE = 1280  # pixels of the window


class Window:
    """Shows results in a window until it is closed, or q or Escape is pressed. Use it with `with`.

    title: of the window.

    Raises:
        UserError: this OpenCV has no windows, or there is no display.
    """

    def __init__(self, title):
        check_windows()
        self._title = title
        self._is_open = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._is_open:
            import cv2

            with processes.native_stderr_closed():
                cv2.destroyAllWindows()

    def show(self, result):
        """Shows a `pictures.FrameResult` with its image; returns False if the window has been closed."""
        import cv2

        if self._is_open and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return False
        image = draw.draw_faces(
            result.image,
            [face.box for face in result.faces],
            result.probabilities,
            1,
            result.classes,
            result.numbers,
            has_bars=False,
        )
        scale = MAX_SIDE / max(image.size)
        if scale < 1:
            image = image.resize([round(side * scale) for side in image.size])
        if not self._is_open:
            with processes.native_stderr_closed():
                cv2.namedWindow(self._title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            self._is_open = True
        cv2.imshow(self._title, np.ascontiguousarray(np.asarray(image)[..., ::-1]))
        return cv2.waitKey(1) & 0xFF not in END_KEYS


def check_windows():
    """Raises `UserError` unless OpenCV can open a window here."""
    cv2 = imports.load_opencv("--show", " or opencv-python, which shows windows")
    if not has_windows(cv2.getBuildInformation()):
        raise UserError(
            "--show: expected an OpenCV with windows, the package opencv-python. Install it: pip "
            "uninstall -y opencv-python-headless && pip install 'opencv-python<5'. Or use `insideout "
            "demo`. Received: an OpenCV without windows"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):  # Qt would end the process
        raise UserError(
            "--show: expected a display. Run it in a desktop session, or use `insideout demo` or "
            "--annotate. Received: neither DISPLAY nor WAYLAND_DISPLAY"
        )


def has_windows(build_information):
    """Returns True if the text of `cv2.getBuildInformation` names a toolkit of windows."""
    lines = iter(build_information.splitlines())
    for line in lines:
        name, _, value = line.strip().partition(":")
        if name == "GUI":
            return "NONE" not in value.upper()
    return False
