"""Every published form reads to the same faces; test_bad_input.py has what is wrong."""

import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from insideout_tf.data import fer2013
from insideout_tf.data.faces import content_digest
from insideout_tf.data.read import read_faces

ROW = " ".join(["7"] * 2304)


def write(path, *lines, end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


# -- the real data -----------------------------------------------------------------------------


@pytest.mark.fer2013
@pytest.mark.parametrize("form", ["csv", "icml"])
def test_published_csv_equals_the_source(unpacked, real, form):
    faces = read_faces(unpacked(form))
    assert faces.identified.startswith(unpacked(form).name)
    assert np.array_equal(faces.pixels, real.pixels)
    assert np.array_equal(faces.labels, real.labels)
    assert np.array_equal(faces.usage, real.usage)
    assert faces.pixels.dtype == faces.labels.dtype == faces.usage.dtype == np.uint8


@pytest.mark.fer2013
def test_competition_files(unpacked, real, tmp_path):
    train = read_faces(unpacked("train"))
    mine = real.usage == 0
    assert train.identified.startswith("train.csv") and not train.usage.any()
    assert np.array_equal(train.pixels, real.pixels[mine])
    assert np.array_equal(train.labels, real.labels[mine])
    text = "pixels\r\n" + "".join(
        f'"{" ".join(map(str, face.ravel()))}"\r\n' for face in real.pixels[~mine]
    )
    path = tmp_path / "test.csv"
    path.write_bytes(text.encode())
    test = read_faces(path)
    assert test.labels is None and len(test) == 7178
    assert test.identified.startswith("test.csv")


@pytest.mark.fer2013
def test_npz_and_tree_are_recognised_by_content(unpacked, real):
    assert "35,887" in real.identified
    tree = read_faces(unpacked("tree"))
    assert tree.identified == real.identified and tree.digest == real.digest
    assert [int((tree.usage == usage).sum()) for usage in range(3)] == [28709, 3589, 3589]
    first = "test/angry/"
    assert all(name.startswith(first) for name in tree.names[:5])


@pytest.mark.fer2013
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive_of_the_csv(unpacked, real, tmp_path, kind):
    path = tmp_path / f"fer2013.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.write(unpacked("csv"), "fer2013/fer2013.csv")
    else:
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.add(unpacked("csv"), "fer2013/fer2013.csv")
            archive.add(__file__, "fer2013/README")
    faces = read_faces(path)
    assert faces.source == str(path) and faces.digest == real.digest


# -- small forms -------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """A folder tree with the usual variants of names."""
    random = np.random.default_rng(0)
    root = tmp_path / "kaggle"
    for part, folder, name in (
        ("train", "Angry", "Training_1.jpg"),
        ("train", "disgusted", "im0.png"),
        ("train", "FEARFUL", "im10.png"),
        ("train", "FEARFUL", "im9.png"),
        ("test", "happiness", "PublicTest_3.png"),
        ("test", "sad", "PrivateTest_4.png"),
        ("test", "surprised", "im3.png"),
        ("validation", "neutral", "²4.png"),
    ):
        file = root / part / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (48, 48), np.uint8)).save(file)
    (root / "train" / ".DS_Store").write_bytes(b"x")
    return root


def test_tree_names_usage_and_order(tree):
    faces = read_faces(tree)
    found = {
        name: (int(label), int(usage))
        for name, label, usage in zip(faces.names, faces.labels, faces.usage)
    }
    assert found == {
        "train/Angry/Training_1.jpg": (0, 0),
        "train/disgusted/im0.png": (1, 0),
        "train/FEARFUL/im9.png": (2, 0),
        "train/FEARFUL/im10.png": (2, 0),
        "test/happiness/PublicTest_3.png": (3, 1),
        "test/sad/PrivateTest_4.png": (4, 2),
        "test/surprised/im3.png": (5, 2),
        "validation/neutral/²4.png": (6, 1),
    }
    fears = [name for name in faces.names if "FEAR" in name]
    assert fears == ["train/FEARFUL/im9.png", "train/FEARFUL/im10.png"]


def test_archives_of_a_tree_agree_with_it(tree, tmp_path):
    expected = read_faces(tree)
    shutil.make_archive(tmp_path / "one", "zip", tree)
    shutil.make_archive(tmp_path / "two", "gztar", tree.parent, tree.name)
    for name in ("one.zip", "two.tar.gz"):
        faces = read_faces(tmp_path / name)
        assert faces.digest == expected.digest and faces.names == expected.names


def test_csv_columns_in_any_order_and_spacing(tmp_path):
    path = write(
        tmp_path / "a.csv",
        "Usage, pixels , emotion",
        f"PublicTest,{ROW},3",
        f' Training ,"{ROW}  ",0',
    )
    faces = read_faces(path)
    assert faces.labels.tolist() == [3, 0] and faces.usage.tolist() == [1, 0]
    assert (faces.pixels == 7).all() and faces.pixels.shape == (2, 48, 48)


def test_csv_without_final_newline_and_across_chunks(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (40, 2304))
    lines = [f"{i % 7},{' '.join(map(str, row))},Training" for i, row in enumerate(pixels)]
    path = tmp_path / "a.csv"
    path.write_text("emotion,pixels,Usage\n" + "\n".join(lines))
    monkeypatch.setattr(fer2013, "BLOCK_BYTES", 10_007)
    faces = read_faces(path)
    assert np.array_equal(faces.pixels.reshape(40, -1), pixels)


def test_digest_ignores_order_and_sees_every_change(tmp_path):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (9, 48, 48), np.uint8)
    labels, usage = np.arange(9, dtype=np.uint8) % 7, np.zeros(9, np.uint8)
    order = random.permutation(9)
    digest = content_digest(pixels, labels, usage)
    assert content_digest(pixels[order], labels[order], usage[order]) == digest
    for array in (pixels, labels, usage):
        array.flat[0] ^= 1
        assert content_digest(pixels, labels, usage) != digest
        array.flat[0] ^= 1
