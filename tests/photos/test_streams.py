"""Network cameras and pictures of several frames."""

import json
import sys
import types

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict
from insideout_tf.data import drawn, images
from insideout_tf.errors import Note, UserError
from insideout_tf.photos import animations, streams, video

ADDRESS = "rtsp://anna:se:cr@t@camera.local:554/live"
SHOWN = "rtsp://anna:***@camera.local:554/live"


class Capture:
    """A camera that gives so many frames and then no more, or does not answer at all."""

    left: list = []

    def __init__(self, address, reader, options=()):
        assert address == ADDRESS
        self.frames = self.left.pop(0) if self.left else None

    def isOpened(self):
        return self.frames is not None

    def get(self, name):
        return 48

    def read(self):
        self.frames -= 1
        return self.frames >= 0, np.full((48, 48, 3), 128, np.uint8)

    def release(self):
        pass


@pytest.fixture
def cameras(monkeypatch):
    """Sets how many frames each connection gives; `waits` are the seconds before each of them."""
    waits: list[float] = []
    monkeypatch.setattr(video, "_open_capture", Capture)
    monkeypatch.setattr(streams.read_frames, "__defaults__", (waits.append,))

    def use(*frames):
        monkeypatch.setattr(Capture, "left", list(frames))
        return waits

    return use


def test_a_stream_is_connected_again_and_given_up_in_the_end(cameras, capsys, tmp_path):
    waits = cameras(3, None, 2)
    words = (ADDRESS, "--faces", "crop", "--json", tmp_path / "o.json")
    status, out, error = run_verb(predict.main, capsys, *words)
    assert status == 2 and error.count("\n") == 2
    assert f"{SHOWN}: expected a stream that goes on." in error
    assert "no answer after 5 attempts" in error and waits == [1, 2, 1, 2, 4, 8, 16]
    assert out.startswith(f"{SHOWN}: 5 frames")
    records = json.loads((tmp_path / "o.json").read_text())
    assert [each["source"] for each in records] == [SHOWN] * 5


def test_the_password_is_never_printed(cameras, capsys):
    cameras()
    status, out, error = run_verb(predict.main, capsys, ADDRESS)
    assert status == 2 and f"{SHOWN}: expected a stream that answers" in error
    for address in (ADDRESS, ADDRESS.replace("rtsp", "http")):
        with pytest.raises(UserError, match=r"anna:\*\*\*@camera") as raised:
            insideout_tf.analyze_video(address)
        assert "cr@t" not in str(raised.value)
    assert "cr@t" not in out + error
    assert repr(streams.hide_password(ADDRESS)) == repr(SHOWN)
    assert streams.hide_password("webcam:0") == "webcam:0"


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Faces in files of several frames, a path by format."""
    folder = tmp_path_factory.mktemp("moving")
    frames = [Image.fromarray(face).convert("RGB") for face in drawn.draw_all(7, 1, 1)[0][:4]]
    paths = {}
    for suffix in ("gif", "webp", "png", "tiff"):
        paths[suffix] = folder / f"moving.{suffix}"
        times = {} if suffix == "tiff" else {"duration": 200}
        frames[0].save(paths[suffix], save_all=True, append_images=frames[1:], **times)
        Image.fromarray(np.asarray(frames[0])).save(folder / f"still.{suffix}")
    return paths


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations_are_short_videos(moving, suffix, capsys):
    path = moving[suffix]
    assert animations.is_animation(path) and video.is_video(path)
    assert not video.is_video(path.with_name(f"still.{suffix}"))
    table = insideout_tf.analyze_video(path, mode="crop")
    assert table["seconds"].tolist() == [0, 0.2, 0.4, 0.6]
    status, out, error = run_verb(predict.main, capsys, path, "--faces", "crop")
    assert status == 0 and "4 frames, 0.6 s, a face in 4 of them" in out, error
    with pytest.warns(Note, match=f"moving.{suffix}: 1 of 4 frames is read, the first"):
        images.to_faces(path)


def test_pages_are_told(moving):
    assert not video.is_video(moving["tiff"])
    with pytest.warns(Note, match="moving.tiff: 1 of 4 frames is read"):
        insideout_tf.predict_emotions(moving["tiff"])


def test_a_verb_prints_notes_as_lines(moving, capsys, monkeypatch):
    import warnings

    monkeypatch.setattr(warnings, "filters", [])
    status, out, error = run_verb(predict.main, capsys, moving["tiff"], "--faces", "crop")
    assert status == 0 and error.count("\n") == 1
    assert error.startswith(f"insideout predict: {moving['tiff']}: 1 of 4 frames is read")


def test_damaged_animations_have_results_up_to_there(moving, tmp_path, capsys):
    content = moving["gif"].read_bytes()
    (tmp_path / "cut.gif").write_bytes(content[: len(content) // 2])
    status, out, error = run_verb(predict.main, capsys, tmp_path / "cut.gif", "--faces", "crop")
    assert status == 2 and error.count("\n") == 2 and "cut.gif: expected" in error


def test_a_small_picture_without_a_face_may_be_a_crop():
    with pytest.warns(Note, match="120×120 pixels. If it is a cropped face, give mode='crop'"):
        assert insideout_tf.detect_emotions(np.full((120, 120), 128, np.uint8)) == []


def test_a_stream_without_opencv_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    with pytest.raises(UserError, match="rtsp://anna.*an empty module cv2"):
        insideout_tf.analyze_video(ADDRESS)
