"""An .npz gives its faces, or one message that names what is wrong in it."""

import numpy as np
import pytest
from data_helpers import error_of

from insideout_tf.data import arrays
from insideout_tf.data.read import read_faces

PIXELS = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
NPZ_EXPECTED = (
    "expected an npz with 'pixels' uint8 [n, side, side], 'emotion' [n] from 0 on and 'usage' [n] "
    "(0 Training, 1 PublicTest, 2 PrivateTest). "
)
BAD_ARRAYS = {
    "pixels of another type": (
        {"pixels": np.zeros((3, 48, 48))},
        ": expected 'pixels' of type uint8 and shape [n, side, side], such as [n, 48, 48], or "
        "[n, side, side, 3] in colour. Convert the array. "
        "Received: float64 [3, 48, 48]",
    ),
    "pixels of another shape": (
        {"pixels": np.zeros((3, 40, 48), np.uint8)},
        ": expected 'pixels' of type uint8 and shape [n, side, side], such as [n, 48, 48], or "
        "[n, side, side, 3] in colour. Convert the array. "
        "Received: uint8 [3, 40, 48]",
    ),
    "no pixels": (
        {
            "pixels": np.zeros((0, 48, 48), np.uint8),
            "emotion": np.zeros(0, int),
            "usage": np.zeros(0, int),
        },
        ": expected at least one face. Give another file. Received: 0 faces",
    ),
    "label too high": (
        {"emotion": np.array([0, 7, 1])},
        ", index 1: expected 'emotion' from 0 to 6. Correct or remove the face. Received: 7",
    ),
    "usage below zero": (
        {"usage": np.array([0, -1, 1])},
        ", index 1: expected 'usage' from 0 to 2. Correct or remove the face. Received: -1",
    ),
    "too few usages": (
        {"usage": np.zeros(2, int)},
        ": expected 'usage' as 3 whole numbers, one a face. Correct the array. Received: int64 [2]",
    ),
    "fractional labels": (
        {"emotion": np.zeros(3)},
        ": expected 'emotion' as 3 whole numbers, one a face. Correct the array. "
        "Received: float64 [3]",
    ),
    "pickled objects": (
        {"emotion": np.array(["a"] * 3, object)},
        ": " + NPZ_EXPECTED + "The file looks damaged; make or download it again. "
        "Received: ValueError: Object arrays cannot be loaded when allow_pickle=False",
    ),
}


def test_good_arrays(tmp_path):
    path = tmp_path / "a.npz"
    for pixels in (PIXELS, PIXELS[..., None]):
        np.savez(path, pixels=pixels, emotion=[6, 0, 3], usage=np.array([2, 0, 1], np.int8))
        faces = read_faces(path)
        assert np.array_equal(faces.pixels, PIXELS) and faces.skipped == ()
        assert faces.labels.tolist() == [6, 0, 3] and faces.usage.tolist() == [2, 0, 1]
        assert faces.pixels.dtype == faces.labels.dtype == faces.usage.dtype == np.uint8


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(tmp_path, case):
    path = tmp_path / "a.npz"
    good = {"pixels": PIXELS, "emotion": np.zeros(3, int), "usage": np.zeros(3, int)}
    change, expected = BAD_ARRAYS[case]
    np.savez(path, **{**good, **change})
    assert error_of(path) == f"{path}{expected}"


def test_bad_faces_can_be_skipped(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, pixels=PIXELS, emotion=[0, 9, 1], usage=[3, 0, 0])
    faces = read_faces(path, bad_rows="skip")
    assert faces.labels.tolist() == [1] and faces.pixels[:, 0, 0].tolist() == [2]
    assert faces.skipped == (
        f"{path}, index 1: expected 'emotion' from 0 to 6. Correct or remove the face. Received: 9",
        f"{path}, index 0: expected 'usage' from 0 to 2. Correct or remove the face. Received: 3",
    )
    np.savez(path, pixels=PIXELS, emotion=[7, 8, 9], usage=[0, 0, 0])
    assert error_of(path, "skip") == (
        f"{path}: expected at least one face. Give another file. Received: 3 faces, all bad"
    )


def test_missing_arrays_and_a_damaged_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez(path, pixels=PIXELS)
    assert error_of(path) == f"{path}: {NPZ_EXPECTED}Add emotion, usage. Received: pixels"
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 0)
    assert "expected at most 0 GB of arrays." in error_of(path)
    path.write_bytes(b"PK no")
    assert error_of(path) == (
        f"{path}: {NPZ_EXPECTED}The file looks damaged; make or download it again. "
        "Received: BadZipFile: File is not a zip file"
    )
