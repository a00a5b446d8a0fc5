"""Every frame of a video has a result, to its end or as far as it can be read."""

import csv
import functools
import json

import cv2
import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import predict
from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.photos import following, video

call = functools.partial(run_verb, predict.main)
FPS, SIZE = 10, (320, 240)


def write_video(path, frames, fps=FPS):
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, SIZE)
    assert out.isOpened()
    for frame in frames:
        out.write(frame)
    out.release()


@pytest.fixture(scope="module")
def face():
    """A drawn face of 150 pixels that the detector finds."""
    from insideout_tf.photos import detect

    detect = detect.FaceDetector("detect")
    for pixels in drawn.draw_all(28, 7, 7)[0]:
        large = Image.fromarray(pixels).resize((150, 150), Image.Resampling.BICUBIC)
        if len(detect(Image.fromarray(frame_with(large, 40)))) == 1:
            return large
    raise AssertionError("the detector finds no face")


def frame_with(face, left):
    frame = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    frame[45:195, left : left + 150] = np.asarray(face)[..., None]
    return frame


@pytest.fixture(scope="module")
def clip(face, tmp_path_factory):
    """Four seconds: a face that moves, one second without it, and it again."""
    path = tmp_path_factory.mktemp("video") / "ein Clip.avi"
    blank = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    write_video(
        path,
        [frame_with(face, 20 + 4 * i) for i in range(20)]
        + [blank] * 12
        + [frame_with(face, 100)] * 8,
    )
    return path


def test_records_annotated_copy_and_timeline(clip, tmp_path, capsys):
    lines, table, folder = tmp_path / "o.jsonl", tmp_path / "o.csv", tmp_path / "drawn"
    arguments = ("--jsonl", lines, "--csv", table, "--annotate", folder)
    status, out, error = call(capsys, clip, *arguments)
    assert status == 0 and error == ""
    assert "40 frames, 3.9 s, a face in " in out and out.count("\n") == 1
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    rows = list(csv.DictReader(table.open()))
    assert [record["frame"] for record in records] == list(range(40)) and len(rows) == 40
    assert [record["seconds"] for record in records] == [i / FPS for i in range(40)]
    with_face = [record for record in records if record["emotion"]]
    assert len(with_face) >= 20 and not any(record["emotion"] for record in records[20:32])
    assert all(record["box"] is None for record in records[20:32])
    # A face has one number, and a new one after it was away for longer than a second.
    numbers = {record["frame"]: record["face"] for record in with_face}
    before = {number for frame, number in numbers.items() if frame < 20}
    after = {number for frame, number in numbers.items() if frame >= 32}
    assert before == {0} and after == {1}
    boxes = {record["frame"]: record["box"][0] for record in with_face if record["frame"] < 20}
    moved = (boxes[max(boxes)] - boxes[min(boxes)]) / (max(boxes) - min(boxes))
    assert 3 < moved < 5  # pixels a frame
    for record, row in zip(records, rows):
        assert row["emotion"] == (record["emotion"] or "")
        assert row["left"] == ("" if record["box"] is None else str(record["box"][0]))
    assert {path.name for path in folder.iterdir()} == {
        "ein Clip-annotated.webm",
        "ein Clip-annotated-timeline.png",
    }
    with video.open_video(folder / "ein Clip-annotated.webm") as copy:
        assert len(list(copy.frames)) == 40 and copy.size[0] / copy.size[1] == SIZE[0] / SIZE[1]
    assert Image.open(folder / "ein Clip-annotated-timeline.png").size[0] > 800


def test_memory_stays_bounded(clip, tmp_path, capsys, monkeypatch):
    """At most one batch of frames, and the next one, is read before its results are taken."""
    from insideout_tf.photos import pictures

    waiting, most = 0, 0
    original = video.open_video

    def counted(source):
        import contextlib

        @contextlib.contextmanager
        def context():
            nonlocal waiting, most
            with original(source) as opened:

                def frames():
                    nonlocal waiting, most
                    for frame in opened.frames:
                        waiting += 1
                        most = max(most, waiting)
                        yield frame

                yield opened._replace(frames=frames())

        return context()

    def count_results(*arguments):
        nonlocal waiting
        for result in recognize_video(*arguments):
            waiting -= 1
            yield result

    recognize_video = pictures.recognize_video
    monkeypatch.setattr(video, "open_video", counted)
    monkeypatch.setattr(pictures, "recognize_video", count_results)
    assert call(capsys, clip)[0] == 0
    detecting = following.MAX_THREADS + 1  # frames; one more ends the last duration
    assert 1 <= most <= pictures.FRAMES_PER_CALL + detecting + 1


def test_cut_off_and_unreadable_videos(clip, tmp_path, capsys):
    """A cut-off file has results up to its end; each bad file has a line; the others have results."""
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mkv").write_text("no video\n" * 100)
    status, out, error = call(
        capsys, tmp_path, tmp_path / "none.mp4", "webcam:x", clip, "--csv", tmp_path / "o.csv"
    )
    assert status == 2 and str(clip) in out
    lines = error.splitlines()
    for name, words in (
        ("cut.avi", "It may have been cut off"),
        ("empty.mp4", "expected a readable video"),
        ("text.mkv", "expected a readable video"),
        ("none.mp4", "No such file"),
        ("webcam:x", "expected webcam: and a number"),
    ):
        assert sum(name in line and words in line for line in lines) == 1, error
    assert "Received: 5 that are not readable" in lines[-1] and len(lines) == 6
    with (tmp_path / "o.csv").open() as file:
        assert {row["source"] for row in csv.DictReader(file)} >= {str(clip)}


def test_a_camera_that_is_not_there(capsys):
    status, out, error = call(capsys, "webcam:99")
    assert status == 2 and "webcam:99: expected a camera that answers" in error


def test_seconds_stop_a_video(clip, capsys):
    status, out, error = call(capsys, clip, "--seconds", "1")
    assert status == 0 and error == "" and "11 frames, 1.0 s" in out


def test_a_video_of_cropped_faces(tmp_path, capsys):
    """Every frame is one face, whose number stays."""
    pixels = drawn.draw_all(28, 7, 7)[0][:3]
    path = tmp_path / "faces.avi"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (48, 48))
    for face in pixels:
        out.write(np.repeat(face[..., None], 3, 2))
    out.release()
    status, text, _ = call(capsys, path, "--jsonl", "-", "--smooth", "0")
    records = [json.loads(line) for line in text.splitlines()]
    assert status == 0 and [record["faces"] for record in records] == ["crop"] * 3
    assert all(record["emotion"] in EMOTIONS and record["face"] == 0 for record in records)


def test_not_a_video_in_the_library(tmp_path):
    with pytest.raises(UserError), video.open_video("webcam:"):
        pass
