"""Faces in every usual form give the same 48×48 grey levels, or one message."""

import io

import numpy as np
import pytest
from PIL import Image

from insideout_tf.data import drawn, images
from insideout_tf.errors import UserError


@pytest.fixture(scope="module")
def faces():
    return drawn.draw_all(7, 1, 1)[0]


def test_faces_of_48_pixels_do_not_change(faces, tmp_path):
    forms = [faces, faces[..., None], faces.astype("float32"), faces.astype("int64"), list(faces)]
    forms += [np.repeat(faces[..., None], 3, -1), [Image.fromarray(face) for face in faces]]
    paths = [tmp_path / f"{i} é.png" for i in range(len(faces))]
    for path, face in zip(paths, faces):
        Image.fromarray(face).save(path)
    forms += [paths, [str(path) for path in paths]]
    for form in forms:
        result = images.to_faces(form)
        assert result.dtype == np.uint8 and np.array_equal(result, faces)
    for one in (faces[0], faces[0][..., None], Image.fromarray(faces[0]), paths[0]):
        assert np.array_equal(images.to_faces(one), faces[:1])
    assert images.to_faces([]).shape == (0, 48, 48)
    assert images.to_faces(np.zeros((0, 60, 60, 3), np.uint8)).shape == (0, 48, 48)


def test_arrays_files_and_images_of_other_sizes_agree(tmp_path):
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


def test_exif_orientation_and_16_bit_grey_levels(faces, tmp_path):
    turned = Image.fromarray(np.rot90(faces[0]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(images.read_face(tmp_path / "turned.png"), faces[0])
    deep = Image.fromarray(faces[0].astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    assert np.array_equal(images.read_face(tmp_path / "deep.png"), faces[0])
    for picture in (tmp_path / "deep.png", str(tmp_path / "turned.png"), deep, faces[0]):
        assert np.array_equal(np.asarray(images.to_picture(picture)), faces[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.random.default_rng(0).random((2, 48, 48)), "not fractions.*Multiply by 255"),
        (np.full((1, 48, 48), 256), "from 0 to 255. Scale them. Received: numbers from 256"),
        (np.full((1, 48, 48), np.nan), "from 0 to 255"),
        (-np.ones((1, 48, 48)), "from 0 to 255"),
        (np.zeros((48,)), r"Received: shape \[48\]"),
        (np.zeros((1, 48, 48, 2), np.uint8), r"shape \[1, 48, 48, 2\]"),
        (np.zeros((1, 1, 48, 48, 3), np.uint8), r"shape \[1, 1, 48, 48, 3\]"),
        (np.zeros((1, 0, 48), np.uint8), r"shape \[1, 0, 48\]"),
        ({"face": 1}, "expected numbers, paths, bytes or PIL images. Convert them. Received: dict"),
        (None, "Received: NoneType"),
    ],
)
def test_bad_faces(value, message):
    with pytest.raises(UserError, match=message):
        images.to_faces(value)


def test_grey_levels_above_255_in_a_file(tmp_path):
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.full((90, 80), 70_000, np.int32)).save(path)
    for read in (images.read_image, images.to_faces):
        with pytest.raises(UserError, match="depth.tiff: expected grey levels .* from 70000"):
            read(path)


def test_bad_files(tmp_path, monkeypatch):
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


def test_pictures_of_arrays():
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(np.asarray(images.to_picture(colour)), colour)
    assert images.to_picture(colour[..., :1]).mode == "L"
    assert np.array_equal(np.asarray(images.to_picture(colour.astype("float32"))), colour)
    for value, message in (
        (colour / 255, r"not fractions"),
        (colour.astype(float) - 1, r"from 0 to 255"),
        (colour[..., :2], r"expected 1, 3 or 4 channels.*\[20, 30, 2\]"),
        (colour[:0], r"Received: ndarray of uint8 \[0, 30, 3\]"),
    ):
        with pytest.raises(UserError, match=message):
            images.to_picture(value)


def test_input_of_a_model(faces):
    inputs = images.to_model_input(faces)
    assert inputs.dtype == np.float32 and inputs.shape == (len(faces), 48, 48, 1)
    assert np.array_equal(inputs[..., 0], faces)
    with pytest.raises(UserError, match=r"\[n, side, side\].*shape \[9, 40, 48\]"):
        images.to_model_input(faces[:, :40])
