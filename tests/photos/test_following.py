"""Frames are read ahead, and faces followed between the frames in which they are detected."""

import threading
import time

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import predict
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, detectors, following, pictures, tracks


class Finder(detect.FaceDetector):
    """Finds the brightest square of 20 pixels, and counts the frames in which it was searched."""

    def __init__(self):
        super().__init__("detect")
        self.searched = []

    def with_copy(self, *_):
        return self

    def _detect(self, image):
        time.sleep(0.002 * (len(self.searched) % 3))  # threads end in another order
        self.searched.append(image.getpixel((0, 0)))
        rows, columns = np.nonzero(np.asarray(image)[1:] > 200)
        if not len(rows):
            return []
        return [detectors.Detection((int(columns[0]), int(rows[0]) + 1, 20, 20), 0.9)]


def make_frames(count, empty=()):
    """Yields (seconds, image): a square that moves by a pixel a frame; the first pixel has the number."""
    for index in range(count):
        pixels = np.zeros((60, 300), np.uint8)
        if index not in empty:
            pixels[20:40, index : index + 20] = 255
        pixels[0, 0] = index
        yield index / 10, Image.fromarray(pixels)


@pytest.mark.parametrize("every", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("waits", [True, False])
def test_faces_are_followed_between_detections(every, waits):
    finder = Finder()
    results = list(following.detect_in_frames(make_frames(32), finder, every, waits))
    assert [frame[0] for frame, _ in results] == [index / 10 for index in range(32)]
    lefts = [faces[0].box[0] for _, faces in results]
    if waits:
        assert lefts == list(range(32))
        assert all(faces[0].pixels.min() > 200 for _, faces in results)  # cut out of its own frame
    else:
        assert lefts == [index // every * every for index in range(32)]
    wanted = {index for index in range(32) if index % every == 0}
    assert set(finder.searched) == wanted | ({31} if waits and every > 1 else set())


def test_a_face_without_a_partner_is_in_the_nearer_half():
    results = following.detect_in_frames(make_frames(13, empty=range(6, 13)), Finder(), 4)
    assert [len(faces) for _, faces in results] == [1] * 4 + [1, 1] + [0] * 7
    near = detectors.Detection((0, 0, 20, 20), 0.8, np.zeros((2, 2)))
    far = detectors.Detection((100, 0, 30, 30), 0.8, np.zeros((2, 2)))
    moved = detectors.Detection((4, 2, 24, 24), 0.6, np.ones((2, 2)))
    (between,) = following.interpolate([near], [moved], 0.5)
    assert between.box == (2, 1, 22, 22) and between.score == pytest.approx(0.7)
    assert np.array_equal(between.eyes, np.full((2, 2), 0.5))
    assert [each.box[0] for each in following.interpolate([far, near], [moved], 0.25)] == [100, 1]
    assert [each.box[0] for each in following.interpolate([far, near], [moved], 0.75)] == [3]
    assert following.interpolate([None], [None], 0.5) == [None]


def test_frames_are_read_ahead_in_order_and_no_further():
    read, thread = [], []

    def frames():
        for index in range(100):
            read.append(index)
            thread.append(threading.current_thread())
            yield index

    with following.read_ahead(frames(), 1000) as ahead:
        assert next(ahead) == 0
        time.sleep(0.2)
        assert len(read) <= following.FRAMES_AHEAD + 3
        assert thread[0] is not threading.current_thread()
        assert list(ahead) == list(range(1, 100)) and list(ahead) == []
    with following.read_ahead(frames(), 1 << 40) as ahead:  # frames too large for more than one
        next(ahead)
    assert not thread[-1].is_alive() and len(read) < 110

    def fail():
        yield 1
        raise UserError("expected a frame")

    with following.read_ahead(fail(), 1) as ahead:
        assert next(ahead) == 1
        with pytest.raises(UserError, match="expected a frame"):
            list(ahead)


@pytest.mark.parametrize("every", [0, 101, 1.5, True])
def test_distances_that_cannot_be_are_refused(every):
    with pytest.raises(UserError, match="every: expected a whole number from 1 to 100"):
        following.check_every(every)


@pytest.mark.slow
def test_every_fifth_frame_gives_the_faces_of_every_frame(tmp_path, capsys):
    from insideout_tf.photos import video

    face = Image.fromarray(drawn.draw_all(28, 7, 7)[0][3]).resize((150, 150))
    path = tmp_path / "clip.mp4"
    with video.create_writer(path, 25, (320, 240)) as append:
        for index in range(40):
            frame = np.full((240, 320, 3), 120, np.uint8)
            frame[45:195, 10 + 3 * index : 160 + 3 * index] = np.asarray(face)[..., None]
            append(frame)
    results = []
    for every in (1, 5):
        with video.open_video(path) as clip:
            recognize = lambda faces: np.eye(7, dtype=np.float32)[[0] * len(faces)]  # noqa: E731
            finder = detect.FaceDetector("detect")
            results.append(
                list(pictures.recognize_video(path, clip, finder, recognize, 0.0, every=every))
            )
    whole, fifth = results
    assert [each.seconds for each in whole] == [each.seconds for each in fifth]
    agree = [
        len(one.faces) == len(other.faces)
        and all(
            tracks.intersection_over_union(a.box, b.box) >= 0.8
            for a, b in zip(one.faces, other.faces)
        )
        for one, other in zip(whole, fifth)
    ]
    assert sum(map(bool, whole)) and np.mean(agree) >= 0.9
    status, _, err = run_verb(predict.main, capsys, path, "--every", "0")
    assert status == 2 and err.startswith("insideout predict: --every: expected a whole number")
