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


class Device:
    """A tensor on a device, as PyTorch has it: NumPy cannot read it there."""

    dtype = "float32"

    def __init__(self, array, is_here=False):
        self.array, self.is_here = array, is_here

    def __array__(self, dtype=None, copy=None):
        if not self.is_here:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array

    def detach(self):
        return self

    def cpu(self):
        return Device(self.array, True)


def test_collections_are_known_by_what_they_hold(faces, tmp_path):
    import pandas as pd

    paths = [str(tmp_path / f"{i}.png") for i in range(len(faces))]
    for path, face in zip(paths, faces):
        Image.fromarray(face).save(path)
    forms = {
        "Series": pd.Series(paths, index=range(9, 9 + len(paths))),
        "Series of text": pd.Series(paths, dtype="string"),
        "Series of faces": pd.Series(list(faces)),
        "Index": pd.Index(paths),
        "array": np.array(paths),
        "array of objects": np.array([tmp_path / path for path in paths], object),
        "array of bytes": np.array([path.encode() for path in paths]),
        "generator": (path for path in paths),
        "map": map(Image.open, paths),
        "keys": dict.fromkeys(paths).keys(),
        "nested lists": faces.tolist(),
        "nested lists, with an axis of channels": faces[..., None].tolist(),
        "list of nested lists": [face.tolist() for face in faces],
        "tensor on a device": Device(faces),
    }
    for name, form in forms.items():
        assert np.array_equal(images.to_faces(form), faces), name
    assert np.array_equal(images.to_faces(faces[0].tolist()), faces[:1])
    sizes = [faces[0].tolist(), np.zeros((60, 50), int).tolist()]
    assert images.to_faces(sizes).shape == (2, 48, 48)
    assert images.to_faces(iter([])).shape == images.to_faces(pd.Series([], dtype=object)).shape


@pytest.mark.slow
def test_tensors_of_frameworks(faces):
    import jax
    import jax.numpy as jnp
    import keras
    import tensorflow as tf

    for tensor in (tf.constant(faces), jnp.asarray(faces), tf.Variable(faces.astype("float32"))):
        assert np.array_equal(images.to_faces(tensor), faces)
    levels = jnp.asarray(faces // 2, jnp.bfloat16)  # 7 bits, which bfloat16 keeps
    assert np.array_equal(images.to_faces(levels), faces // 2)
    with pytest.raises(UserError, match="expected numbers that can be read"):
        images.to_faces(keras.Input((48, 48, 1)))
    with pytest.raises(UserError, match="expected numbers that can be read"):
        tf.function(images.to_faces, autograph=False)(tf.constant(faces))
    with pytest.raises(UserError, match="expected numbers that can be read"):
        jax.jit(images.to_faces)(jnp.asarray(faces))


def lazy(content, is_closed=False):
    image = Image.open(io.BytesIO(content))
    if is_closed:
        image.close()
    return image


def test_forms_without_an_answer_are_refused_in_one_line(faces, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)).save(
        buffer, "PNG"
    )
    whole = buffer.getvalue()
    closed_file = open(tmp_path / "a.png", "wb")
    closed_file.close()
    for value, expected in (
        (lazy(whole[:2000]), "expected a PIL image that is whole and open"),
        (lazy(whole, is_closed=True), "expected a PIL image that is whole and open"),
        (closed_file, "a.png: expected an open file object. Open it again"),
        (" ".join(map(str, faces[0].ravel())), "`np.array.text.split.*a text of 2,304 numbers"),
        (str(faces[0].ravel().tolist()), "a text of 2,304 numbers"),
        ([[[1, 2], [3]], [[1], [2]]], "Received: "),
        (faces[0].ravel().tolist(), r"give `.reshape\(-1, 48, 48\)`"),
        (Device(faces, False).array.astype(object)[0], "Received: ndarray of object"),
    ):
        for read in (images.to_faces, images.to_picture):
            if read is images.to_picture and "reshape" in expected:
                continue
            with pytest.raises(UserError, match=expected) as raised:
                read(value)
            assert "\n" not in str(raised.value)
