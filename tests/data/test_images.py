"""Faces in every usual form become the same 48×48 grey levels, or one clear message."""

import io

import numpy as np
import pytest
from PIL import Image

from insideout_tf.data import drawn, images
from insideout_tf.errors import UserError


@pytest.fixture(scope="module")
def faces():
    return drawn.draw_all(7, 1, 1)[0]


def test_grey_levels_of_48_pixels_stay_as_they_are(faces, tmp_path):
    forms = [faces, faces[..., None], faces.astype("float32"), faces.astype("int64"), list(faces)]
    forms += [np.repeat(faces[..., None], 3, -1), [Image.fromarray(face) for face in faces]]
    paths = [tmp_path / f"{i} é.png" for i in range(len(faces))]
    for path, face in zip(paths, faces):
        Image.fromarray(face).save(path)
    forms += [paths, [str(path) for path in paths]]
    for form in forms:
        found = images.to_faces(form)
        assert found.dtype == np.uint8 and np.array_equal(found, faces)
    for one in (faces[0], faces[0][..., None], Image.fromarray(faces[0]), paths[0]):
        assert np.array_equal(images.to_faces(one), faces[:1])
    assert images.to_faces([]).shape == (0, 48, 48)
    assert images.to_faces(np.zeros((0, 60, 60, 3), np.uint8)).shape == (0, 48, 48)


def test_arrays_files_and_pictures_of_other_sizes_go_one_way(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (2, 96, 90, 3), np.uint8)
    expected = images.to_faces(colour)
    # luma of ITU-R 601, by hand; each result pixel averages what it covers, so the means agree
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert expected.shape == (2, 48, 48)
    assert np.abs(expected.mean((1, 2)) - luma.mean((1, 2))).max() < 1
    assert expected.std() < 0.75 * luma.std()  # antialiased: noise is averaged away
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, each in zip(paths, colour):
        Image.fromarray(each).save(path)
    transparent = np.concatenate([colour, np.full((2, 96, 90, 1), 128, np.uint8)], -1)
    for form in (paths, [Image.fromarray(each) for each in colour], transparent):
        assert np.array_equal(images.to_faces(form), expected)


def test_pictures_stand_upright_and_deep_ones_keep_their_range(faces, tmp_path):
    turned = Image.fromarray(np.rot90(faces[0]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(images.read_face(tmp_path / "turned.png"), faces[0])
    deep = Image.fromarray(faces[0].astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    assert np.array_equal(images.read_face(tmp_path / "deep.png"), faces[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.random.default_rng(0).random((2, 48, 48)), "not fractions.*Multiply by 255"),
        (np.full((1, 48, 48), 256), "from 0 to 255. Scale them. Received: numbers from 256"),
        (np.full((1, 48, 48), np.nan), "from 0 to 255"),
        (-np.ones((1, 48, 48)), "from 0 to 255"),
        (np.zeros((48,)), r"Received: shape \[48\]"),
        (np.zeros((1, 48, 48, 2), np.uint8), r"shape \[1, 48, 48, 2\]"),
        (np.zeros((1, 1, 48, 48, 3), np.uint8), r"shape \[1, 1, 48, 48, 3\]"),
        (np.zeros((1, 0, 48), np.uint8), r"shape \[1, 0, 48\]"),
        ({"face": 1}, "expected numbers, paths or PIL images. Received: dict"),
        (None, "Received: NoneType"),
    ],
)
def test_what_is_no_face(given, message):
    with pytest.raises(UserError, match=message):
        images.to_faces(given)


def test_numbers_that_are_no_grey_levels_are_refused_by_the_file_name(tmp_path):
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.full((90, 80), 70_000, np.int32)).save(path)
    for read in (images.read_image, images.to_faces):
        with pytest.raises(UserError, match="depth.tiff: expected grey levels .* from 70000"):
            read(path)


def test_files_that_are_no_pictures(tmp_path, monkeypatch):
    path = tmp_path / "face.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(UserError, match="face.png: expected a readable PNG or JPEG"):
        images.to_faces(path)
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((90, 80), np.uint8)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[:-30])
    with pytest.raises(UserError, match="face.png: expected a readable"):
        images.to_faces(path)
    path.write_bytes(buffer.getvalue())
    monkeypatch.setattr(images, "MAX_PIXELS", 7000)
    with pytest.raises(UserError, match="at most 7,000 pixels.*80×90"):
        images.to_faces(path)
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 10)
    with pytest.raises(UserError, match="at most 10 bytes"):
        images.to_faces(path)
