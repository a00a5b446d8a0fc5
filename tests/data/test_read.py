"""The layout is recognised, and every published form of FER2013 gives the same faces."""

import zipfile

import numpy as np
import pytest
from data_helpers import GOOD, HEAD, error_of, write_lines

from insideout_tf.data import drawn
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError


@pytest.mark.slow
@pytest.mark.fer2013
@pytest.mark.parametrize("form", ["csv", "icml"])
def test_published_csv_equals_the_arrays(unpacked, real, form):
    faces = read_faces(unpacked(form))
    assert faces.identified.startswith(unpacked(form).name)
    assert np.array_equal(faces.pixels, real.pixels)
    assert np.array_equal(faces.labels, real.labels)
    assert np.array_equal(faces.usage, real.usage)
    assert faces.pixels.dtype == faces.labels.dtype == faces.usage.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.fer2013
def test_files_of_the_competition(unpacked, real, tmp_path):
    train = read_faces(unpacked("train"))
    is_training = real.usage == 0
    assert train.identified.startswith("train.csv") and not train.usage.any()
    assert np.array_equal(train.pixels, real.pixels[is_training])
    assert np.array_equal(train.labels, real.labels[is_training])
    with open(unpacked("csv")) as lines:
        fields = (line.rstrip().split(",") for line in lines)
        rows = [f'"{row[1]}"' for row in fields if row[2] in ("PublicTest", "PrivateTest")]
    test = read_faces(write_lines(tmp_path / "test.csv", "pixels", *rows, end="\r\n"))
    assert test.labels is None and test.identified.startswith("test.csv")
    assert np.array_equal(test.pixels, real.pixels[~is_training])


@pytest.mark.slow
@pytest.mark.fer2013
def test_arrays_and_tree_are_identified_by_content(unpacked, real):
    assert "35,887" in real.identified
    tree = read_faces(unpacked("tree"))
    assert tree.identified == real.identified and tree.digest == real.digest
    assert np.bincount(tree.usage).tolist() == [28709, 3589, 3589]
    assert all(name.startswith("test/angry/") for name in tree.names[:5])


@pytest.mark.slow
@pytest.mark.fer2013
def test_archive_of_the_csv(unpacked, real, tmp_path):
    path = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(unpacked("csv"), "fer2013/fer2013.csv")
        archive.write(__file__, "fer2013/README")
    faces = read_faces(path)
    assert faces.source == str(path) and faces.digest == real.digest
    assert faces.identified == real.identified  # by content: an archive is no published CSV


def test_data_inside_folders(tmp_path):
    inner = tmp_path / "download" / "data"
    inner.mkdir(parents=True)
    (tmp_path / "download" / ".cache").mkdir()
    path = write_lines(inner / "train.csv", HEAD, GOOD)
    write_lines(inner / "test.csv", "pixels")
    assert read_faces(tmp_path).source == str(path)
    path = write_lines(inner / "FER2013.csv", HEAD, GOOD, GOOD)
    assert read_faces(tmp_path).source == str(path)


def test_folder_without_data(tmp_path):
    advice = (
        "expected class folders with images, in train/, test/ or validation/ or alone, or one file of "
        "faces. Give the path of the data itself. Received: "
    )
    assert error_of(tmp_path) == f"{tmp_path}: {advice}an empty folder"
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    assert error_of(tmp_path) == f"{tmp_path}: {advice}a.csv, b.csv"
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    assert error_of(tmp_path) == (
        f"{tmp_path}: expected images in test/, train/<class>/. Check the path. Received: no image"
    )
    deep = tmp_path / "x"
    (deep / "/".join("abcdefghij")).mkdir(parents=True)
    assert error_of(deep) == (
        f"{deep}/a/b/c/d/e/f/g/h: expected the data at most 8 folders deep. Give the path of the "
        "data itself. Received: another folder"
    )


def test_empty_missing_and_irregular_files(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert error_of(empty) == (
        f"{empty}: expected a file of faces. Download it again. Received: an empty file"
    )
    assert error_of(tmp_path / "none.csv") == (
        f"{tmp_path / 'none.csv'}: expected a file or folder that exists (fer2013.csv, "
        "icml_face_data.csv, train.csv, .npz, .zip, .tar.gz, or a folder with class "
        "folders in train/ and test/). "
        "Check the path. Received: nothing there"
    )
    assert error_of("/dev/null") == (
        "/dev/null: expected a file or a folder. Check the path. Received: a device or a pipe"
    )
    with pytest.raises(UserError, match="bad_rows: expected 'stop' or 'skip'.*Received: 'drop'"):
        read_faces(empty, "drop")


def test_drawn_faces(monkeypatch):
    few = drawn.draw_all(14, 7, 7)
    monkeypatch.setattr(drawn, "draw_all", lambda: few)
    faces = read_faces("drawn")
    assert faces.source == "drawn" and faces.identified is None
    for array, expected in zip((faces.pixels, faces.labels, faces.usage), few):
        assert np.array_equal(array, expected)
