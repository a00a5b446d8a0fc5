"""Faces are detected where they were pasted, and cropped as FER2013 frames its faces."""

import itertools

import numpy as np
import pytest
from conftest import run_python
from PIL import Image

import insideout_tf
from insideout_tf.data import drawn, images
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, detectors
from insideout_tf.serving import recognize


def scene_of(pixels, places, size=(900, 500)):
    """Returns a colour picture with `[48, 48]` faces pasted at (left, top, side)."""
    random = np.random.default_rng(1)
    patches = Image.fromarray(random.integers(90, 160, (4, 7, 3), np.uint8))
    scene = patches.resize(size, Image.Resampling.BICUBIC)
    for face, (left, top, side) in zip(pixels, places):
        enlarged = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
        scene.paste(enlarged.convert("RGB"), (left, top))
    return scene


def load(name):
    """Returns a detector with its usual least score."""
    least = detectors.MIN_SCORES[name]
    return lambda image: [each for each in detectors.load(name)(image) if each.score >= least]


@pytest.fixture(scope="module", params=["blazeface", "haar"])
def detector(request):
    return load(request.param)


def overlap(box, place):
    from insideout_tf.photos import tracks

    left, top, side = place
    return tracks.intersection_over_union(box, (left, top, side, side))


def choose_detectable(detector, pixels, count):
    """Returns the first faces that the detector finds in a scene; a cascade does not find every one."""
    place = (300, 100, 200)
    found = (face for face in pixels if len(detector(scene_of([face], [place]))) == 1)
    return list(itertools.islice(found, count))


def test_drawn_faces_in_a_scene(detector):
    chosen = choose_detectable(detector, drawn.draw_all(28, 7, 7)[0], 2)
    places = [(80, 60, 300), (560, 200, 200)]
    faces = detect.detect_faces(scene_of(chosen, places), detector)
    assert len(faces) == 2
    for face, place in zip(faces, places):  # the largest first
        assert overlap(face.box, place) > 0.25 and face.pixels.shape == (48, 48)
        assert face.pixels.dtype == np.uint8


def test_a_scene_of_16_bit_grey_levels_shows_the_same_face(tmp_path):
    chosen = choose_detectable(load("blazeface"), drawn.draw_all(28, 7, 7)[0], 1)
    scene = np.asarray(scene_of(chosen, [(300, 100, 200)]).convert("L"))
    Image.fromarray(scene).save(tmp_path / "grey.png")
    Image.fromarray(scene.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    ((plain,), (deep,)) = (
        insideout_tf.detect_emotions(tmp_path / name, mode="detect")
        for name in ("grey.png", "deep.png")
    )
    assert deep == plain


@pytest.mark.slow
@pytest.mark.fer2013
def test_real_faces_keep_their_emotion(detector, real):
    """A face cropped from a scene keeps its emotion; with a wide margin fewer do."""
    rows = np.flatnonzero(real.usage == 1)[:120]
    place = (250, 120, 192)
    detected_rows, crops, wide = [], [], []
    for row in rows:
        scene = scene_of([real.pixels[row]], [place])
        faces = detect.detect_faces(scene, detector)
        if len(faces) == 1 and overlap(faces[0].box, place) > 0.5:
            detected_rows.append(row)
            crops.append(faces[0].pixels)
            wide.append(detect.crop_face(scene, faces[0].box, 0.3))
    assert len(detected_rows) > 60
    recognize_faces = recognize.load_recognizer()
    original = recognize_faces(real.pixels[detected_rows]).argmax(1)
    assert (recognize_faces(np.stack(crops)).argmax(1) == original).mean() > 0.7
    agreement = [(recognize_faces(np.stack(p)).argmax(1) == original).mean() for p in (crops, wide)]
    assert agreement[0] > agreement[1]


def test_auto_takes_small_square_pictures_as_faces():
    def detector(_):
        raise AssertionError("a small square picture needs no detector")

    for side in (48, 96):
        (face,) = detect.detect_faces(Image.new("L", (side, side), 80), detector)
        assert face.box is None and face.score is None and (face.pixels == 80).all()
    (face,) = detect.detect_faces(Image.new("RGB", (500, 300), (9, 9, 9)), detector, mode="crop")
    assert face.box is None
    assert detect.detect_faces(Image.new("L", (97, 97)), lambda _: []) == []
    assert detect.detect_faces(Image.new("L", (48, 60)), lambda _: []) == []
    assert detect.detect_faces(Image.new("L", (48, 48)), lambda _: [], mode="detect") == []


def test_pictures_without_a_face(detector):
    for picture in (
        Image.new("RGB", (640, 480), (120, 90, 60)),
        Image.new("L", (3000, 2)),
        Image.new("L", (1, 1)),
    ):
        assert detect.detect_faces(picture, detector, mode="detect") == []


@pytest.mark.slow
def test_photos_in_every_form(tmp_path):
    """A path, a PIL image, an array in colour or grey: the same faces; a crop has no box."""
    chosen = choose_detectable(load("blazeface"), drawn.draw_all(28, 7, 7)[0], 1)
    scene = scene_of(chosen, [(300, 100, 200)])
    scene.save(tmp_path / "a photo.png")
    expected = insideout_tf.detect_emotions(scene)
    assert len(expected) == 1 and overlap(expected[0]["box"], (300, 100, 200)) > 0.25
    assert set(expected[0]) == {"box", "score", "emotion", "probabilities"}
    for picture in (tmp_path / "a photo.png", str(tmp_path / "a photo.png"), np.asarray(scene)):
        assert insideout_tf.detect_emotions(picture) == expected
    grey = np.asarray(scene.convert("L"))
    for picture in (grey, grey[..., None]):
        box = insideout_tf.detect_emotions(picture)[0]["box"]
        assert np.allclose(box, expected[0]["box"], atol=4)  # the detector sees other colours
    (crop,) = insideout_tf.detect_emotions(chosen[0])
    assert crop["box"] is None
    probabilities = insideout_tf.predict_emotions(chosen[0])[0]
    assert np.allclose(list(crop["probabilities"].values()), probabilities, atol=1e-6)
    assert insideout_tf.detect_emotions(np.zeros((200, 300), np.uint8)) == []


@pytest.mark.parametrize(
    "picture",
    [np.full((9, 9), 300), np.zeros((9, 9, 2), np.uint8), np.zeros((0, 9), np.uint8), None],
)
def test_wrong_pictures_and_modes(picture):
    with pytest.raises(UserError, match="picture: expected"):
        insideout_tf.detect_emotions(picture)
    with pytest.raises(UserError, match="mode: expected one of auto, crop, detect"):
        insideout_tf.detect_emotions(np.zeros((48, 48), np.uint8), mode="x")


def test_boxes_of_large_pictures_are_in_their_own_pixels(detector):
    chosen = choose_detectable(detector, drawn.draw_all(28, 7, 7)[0], 1)
    (face,) = detect.detect_faces(scene_of(chosen, [(1200, 500, 900)], (3600, 2000)), detector)
    assert overlap(face.box, (1200, 500, 900)) > 0.25


def test_crop_by_hand():
    """The square around the box; beyond the edge the last pixels repeat; a margin widens each side."""
    picture = Image.fromarray(np.arange(100, dtype=np.uint8)[None].repeat(100, 0))
    middle = detect.crop_face(picture, (26, 26, 48, 48))
    assert np.array_equal(middle, np.arange(26, 74, dtype=np.uint8)[None].repeat(48, 0))
    corner = detect.crop_face(picture, (-24, -24, 48, 48))
    assert np.array_equal(corner[0], np.concatenate([np.zeros(24), np.arange(24)]))
    wide = detect.crop_face(picture, (38, 38, 24, 24), margin=0.5)  # 24 pixels widened to 48
    assert np.array_equal(wide, middle)
    assert np.array_equal(
        detect.crop_face(picture, (38, 26, 24, 48)), middle
    )  # a square around its middle
    colour = detect.crop_face(picture.convert("RGB"), (90, 90, 48, 48))
    assert np.array_equal(colour, detect.crop_face(picture, (90, 90, 48, 48)))


def test_wrong_detector_files(tmp_path):
    path = tmp_path / "yunet.onnx"
    for content in (None, b"", b"no network"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match="expected a face_detection_yunet"):
            detectors.load(yunet=str(path))


def test_crops_need_no_opencv(tmp_path):
    Image.new("L", (48, 48), 90).save(tmp_path / "face.png")
    Image.new("L", (300, 200), 90).save(tmp_path / "photo.png")
    code = """
import sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "cv2":
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from insideout_tf import predict
predict.main(sys.argv[1:])
"""
    done = run_python(code, tmp_path / "face.png")
    assert "the whole picture" in done.stdout
    done = run_python(code, tmp_path / "photo.png", check=False)
    assert done.returncode == 2 and "opencv-python-headless" in done.stderr
    assert done.stderr.count("\n") == 1


def test_exif_turns_the_picture_before_detection(tmp_path):
    picture = Image.fromarray(np.arange(60, dtype=np.uint8)[None].repeat(30, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    picture.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright = images.read_image(tmp_path / "turned.png")
    assert upright.size == (60, 30)
    assert np.array_equal(np.asarray(upright), np.asarray(picture))
