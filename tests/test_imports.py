"""Packages that do not start: each ends in one line with the reason and the command that repairs it."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT, run_python

from insideout_tf import imports, native_notes
from insideout_tf.errors import UserError

PROTOBUF = "TypeError('Descriptors cannot be created directly.\\n\\nIf this call came from ...')"
RAISES = {  # what a package may raise: the reason that the line gives
    "ImportError('libGL.so.1: cannot open shared object file')": "ImportError: libGL.so.1: cannot open",
    "AttributeError(\"module 'cv2' has no attribute 'gapi'\")": "AttributeError: module 'cv2' has no",
    PROTOBUF: "TypeError: Descriptors cannot be created directly.\n",
    "ValueError('numpy.dtype size changed')": "ValueError: numpy.dtype size changed",
}
CALLS = {  # code that needs a package: the package
    "insideout_tf.detect_emotions(np.zeros((200, 200), np.uint8))": "cv2",
    "insideout_tf.analyze_video('clip.mp4')": "cv2",
    "insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), engine='litert')": "ai_edge_litert",
    "insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), engine='keras')": "keras",
    "insideout_tf.read_faces('kaggle:a/b')": "kagglehub",
    "from insideout_tf.data import keras_cv; keras_cv.make_layer('GridMask')": "keras_cv",
    "from insideout_tf.api import demo_page; demo_page.import_gradio()": "gradio",
    "from insideout_tf.evaluation import audit; audit.rank_by_cleanlab([[1, 0]], [0])": "cleanlab",
    "import matplotlib": "matplotlib",  # of those that are imported without `imports.load`
    "import sklearn.metrics": "sklearn",
}
CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import insideout_tf
from insideout_tf import errors
with errors.reported("insideout test"):
    exec(sys.argv[2])
"""


def run_without(tmp_path, module, content, call):
    """Returns the one line of a call while a module is a file with this content."""
    folder = tmp_path / "packages" / module
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(content)
    done = run_python(CODE, tmp_path / "packages", call, check=False, cwd=tmp_path, env=PATHS)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


PATHS = {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("call", CALLS)
def test_every_package_that_fails_is_named_with_its_reason(tmp_path, call):
    line = run_without(tmp_path, CALLS[call], f"raise {PROTOBUF}", call)
    package = line.partition("expected the package ")[2].split()[0].rstrip(".,")
    assert f"`pip install --force-reinstall {package}`; `pip check` names" in line
    assert line.endswith("Received: TypeError: Descriptors cannot be created directly.\n")


@pytest.mark.parametrize("raised", RAISES)
def test_opencv_that_does_not_load(tmp_path, raised):
    line = run_without(tmp_path, "cv2", f"raise {raised}", list(CALLS)[0])
    assert "pip install --force-reinstall opencv-python-headless" in line and RAISES[raised] in line


def test_parts_of_opencv(tmp_path):
    detect = list(CALLS)[0]
    line = run_without(tmp_path / "folder", "cv2", "", detect)
    assert "`pip install --force-reinstall 'opencv-python-headless<5'`" in line
    assert line.endswith(
        "Received: an empty module cv2, as an uninstalled package of OpenCV leaves it\n"
    )
    haar = "insideout_tf.detect_emotions(np.zeros((200, 200), np.uint8), detector='haar')"
    fake = (
        "imdecode = None\nclass CascadeClassifier:\n    def __init__(self, path): pass\n"
        "    def empty(self): return True\n"
    )
    line = run_without(tmp_path / "data", "cv2", fake, haar)
    assert "haarcascade_frontalface_default.xml: expected the cascade of OpenCV. Repair it" in line


def test_a_missing_package_is_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError) as raised:
        imports.load("gradio", "demo")
    assert str(raised.value) == (
        "demo: expected the package gradio. Install it with `pip install gradio`. Received: no such package"
    )


NATIVE = """
import os, sys
from insideout_tf import processes
with processes.native_stderr_closed(is_watched=True):
    os.write(2, sys.argv[1].encode())
    exec(sys.argv[2])
"""
NOTES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "2026-01-01 00:00:00.000001: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n"
    "E0000 00:00:1.1 7 cuda_fft.cc:467] Unable to register cuFFT factory: already registered\n"
)
REASON = "2026-01-01 00:00:00.2: F cpu_feature_guard.cc:38] The library was compiled to use AVX\n"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("end", "shown"),
    [("os.abort()", REASON), ("os.kill(os.getpid(), 9)", REASON), ("pass", "")],
)
def test_what_a_library_says_before_it_ends_the_process_is_shown(end, shown):
    done = subprocess.run(
        [sys.executable, "-c", NATIVE, NOTES + REASON, end],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == shown and (done.returncode < 0) == bool(shown)
    assert native_notes.without_noise(NOTES) == ""


def test_what_a_library_says_before_it_raises_is_shown():
    done = run_python(NATIVE, NOTES + REASON, "raise RuntimeError('no')", check=False)
    assert done.stderr.endswith(f"RuntimeError: no\n{REASON}")
