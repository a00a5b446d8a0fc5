"""Every published form reads to the same faces; every kind of damage is one clear message."""

import io
import shutil
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from insideout_tf import fer2013
from insideout_tf.errors import UserError

ROW = " ".join(["7"] * 2304)


def write(path, *lines, end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def message(path):
    with pytest.raises(UserError) as caught:
        fer2013.read(path)
    text = str(caught.value)
    assert "\n" not in text and "Received: " in text and "expected" in text, text
    return text


# -- the real data -----------------------------------------------------------------------------


@pytest.mark.fer2013
@pytest.mark.parametrize("form", ["csv", "icml"])
def test_published_csv_equals_the_source(unpacked, real, form):
    faces = fer2013.read(unpacked(form))
    assert faces.identified.startswith(unpacked(form).name)
    assert np.array_equal(faces.pixels, real.pixels)
    assert np.array_equal(faces.labels, real.labels)
    assert np.array_equal(faces.usage, real.usage)
    assert faces.pixels.dtype == faces.labels.dtype == faces.usage.dtype == np.uint8


@pytest.mark.fer2013
def test_competition_files(unpacked, real, tmp_path):
    train = fer2013.read(unpacked("train"))
    mine = real.usage == 0
    assert train.identified.startswith("train.csv") and not train.usage.any()
    assert np.array_equal(train.pixels, real.pixels[mine])
    assert np.array_equal(train.labels, real.labels[mine])
    text = "pixels\r\n" + "".join(
        f'"{" ".join(map(str, face.ravel()))}"\r\n' for face in real.pixels[~mine]
    )
    path = tmp_path / "test.csv"
    path.write_bytes(text.encode())
    test = fer2013.read(path)
    assert test.labels is None and len(test) == 7178
    assert test.identified.startswith("test.csv")


@pytest.mark.fer2013
def test_npz_and_tree_are_recognised_by_content(unpacked, real):
    assert "35,887" in real.identified
    tree = fer2013.read(unpacked("tree"))
    assert tree.identified == real.identified and tree.digest == real.digest
    assert [int((tree.usage == usage).sum()) for usage in range(3)] == [28709, 3589, 3589]
    assert tree.names[0] == "test/angry/PrivateTest_32313.png" or "/angry/" in tree.names[0]


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
    faces = fer2013.read(path)
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
        ("validation", "neutral", "im4.png"),
    ):
        file = root / part / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (48, 48), np.uint8)).save(file)
    (root / "train" / ".DS_Store").write_bytes(b"x")
    return root


def test_tree_names_usage_and_order(tree):
    faces = fer2013.read(tree)
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
        "validation/neutral/im4.png": (6, 1),
    }
    fears = [name for name in faces.names if "FEAR" in name]
    assert fears == ["train/FEARFUL/im9.png", "train/FEARFUL/im10.png"]


def test_archives_of_a_tree_agree_with_it(tree, tmp_path):
    expected = fer2013.read(tree)
    shutil.make_archive(tmp_path / "one", "zip", tree)
    shutil.make_archive(tmp_path / "two", "gztar", tree.parent, tree.name)
    for name in ("one.zip", "two.tar.gz"):
        faces = fer2013.read(tmp_path / name)
        assert faces.digest == expected.digest and faces.names == expected.names


def test_csv_columns_in_any_order_and_spacing(tmp_path):
    path = write(
        tmp_path / "a.csv",
        "Usage, pixels , emotion",
        f"PublicTest,{ROW},3",
        f' Training ,"{ROW}  ",0',
    )
    faces = fer2013.read(path)
    assert faces.labels.tolist() == [3, 0] and faces.usage.tolist() == [1, 0]
    assert (faces.pixels == 7).all() and faces.pixels.shape == (2, 48, 48)


def test_csv_without_final_newline_and_across_chunks(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (40, 2304))
    lines = [f"{i % 7},{' '.join(map(str, row))},Training" for i, row in enumerate(pixels)]
    path = tmp_path / "a.csv"
    path.write_text("emotion,pixels,Usage\n" + "\n".join(lines))
    monkeypatch.setattr(fer2013, "CHUNK_BYTES", 10_007)
    faces = fer2013.read(path)
    assert np.array_equal(faces.pixels.reshape(40, -1), pixels)


def test_digest_ignores_order_and_sees_every_change(tmp_path):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (9, 48, 48), np.uint8)
    labels, usage = np.arange(9, dtype=np.uint8) % 7, np.zeros(9, np.uint8)
    order = random.permutation(9)
    digest = fer2013.content_digest(pixels, labels, usage)
    assert fer2013.content_digest(pixels[order], labels[order], usage[order]) == digest
    for array in (pixels, labels, usage):
        array.flat[0] ^= 1
        assert fer2013.content_digest(pixels, labels, usage) != digest
        array.flat[0] ^= 1


# -- bad input ---------------------------------------------------------------------------------

HEAD = "emotion,pixels,Usage"
GOOD = f"0,{ROW},Training"
BAD_ROWS = {
    "too few pixels": (f"0,{ROW[:-2]},Training", "line 3: expected 2304 pixels", "2303 pixels"),
    "too many pixels": (f"0,{ROW} 1,Training", "line 3: expected 2304 pixels", "2305 pixels"),
    "pixel above 255": (f"0,256 {ROW[2:]},Training", "from 0 to 255", "'256' as pixel 1"),
    "negative pixel": (f"0,{ROW[:-1]}-4,Training", "from 0 to 255", "'-4' as pixel 2304"),
    "fractional pixel": (f"0,1.5 {ROW[2:]},Training", "from 0 to 255", "'1.5' as pixel 1"),
    "not a number": (f"0,x {ROW[2:]},Training", "from 0 to 255", "'x' as pixel 1"),
    "no pixels": ("0,,Training", "line 3: expected 2304 pixels", "0 pixels"),
    "unknown label": (f"7,{ROW},Training", "line 3: expected an emotion from 0 to 6", "'7'"),
    "label in words": (f"happy,{ROW},Training", "emotion from 0 to 6", "'happy'"),
    "empty label": (f",{ROW},Training", "emotion from 0 to 6", "''"),
    "unknown usage": (f"0,{ROW},Test", "Usage of Training, PublicTest, PrivateTest", "'Test'"),
    "missing field": (f"0,{ROW}", "line 3: expected 3 comma-separated fields", "2 fields"),
    "blank line": ("", "line 3: expected 3 comma-separated fields", "1 fields"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_names_its_line(tmp_path, case):
    row, expected, received = BAD_ROWS[case]
    text = message(write(tmp_path / "a.csv", HEAD, GOOD, row, GOOD))
    assert text.startswith(f"{tmp_path / 'a.csv'}, line 3: expected")
    assert expected in text and received in text
    assert "Correct or remove the row." in text


def test_truncated_file_is_said_to_be_so(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{GOOD}\n0,{ROW[:100]}")
    text = message(path)
    assert "line 3" in text and "looks truncated; download it again" in text


@pytest.mark.parametrize(
    "header,expected",
    [
        ("emotion,Usage", "columns emotion, pixels and"),
        ("pixels,Usage", "a column 'emotion' beside 'Usage'"),
        ("a,b,c", "columns emotion, pixels and"),
        ("pixels,emotion,pixels", "each column once"),
        ("\x00\x01\xff", "columns emotion, pixels and"),
    ],
)
def test_bad_header(tmp_path, header, expected):
    text = message(write(tmp_path / "a.csv", header, GOOD))
    assert f"{tmp_path / 'a.csv'}, line 1: " in text and expected in text


def test_empty_header_only_and_missing(tmp_path):
    (tmp_path / "empty.csv").touch()
    assert "an empty file" in message(tmp_path / "empty.csv")
    assert "a header only" in message(write(tmp_path / "head.csv", HEAD))
    assert "nothing there" in message(tmp_path / "none.csv")


def test_endless_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "CHUNK_BYTES", 1 << 20)
    path = tmp_path / "a.csv"
    path.write_bytes(b"emotion,pixels,Usage\n" + b"0" * (3 << 20))
    assert "line 2: expected a row of 2304 pixels" in message(path)


def test_tree_with_bad_images(tree):
    bad = tree / "train" / "Angry" / "wrong.png"
    Image.new("L", (50, 48)).save(bad)
    text = message(tree)
    assert str(bad) in text and "48×48" in text and "Received: 50×48" in text
    bad.write_bytes(b"no image at all")
    text = message(tree)
    assert str(bad) in text and "readable PNG or JPEG" in text and "15 bytes" in text
    whole = (tree / "train" / "disgusted" / "im0.png").read_bytes()
    bad.write_bytes(whole[:700])
    assert str(bad) in message(tree)
    bad.unlink()
    (tree / "train" / "Angry" / "notes.txt").write_text("x")
    assert "notes.txt" in message(tree)


def test_tree_with_unknown_class_suggests_one(tree):
    (tree / "train" / "hapy").mkdir()
    text = message(tree)
    assert str(tree / "train" / "hapy") in text and "Did you mean 'happy'?" in text


def test_folder_without_data(tmp_path):
    assert "an empty folder" in message(tmp_path)
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    assert "no image" in message(tmp_path)


def test_zip_that_escapes_its_folder(tmp_path):
    for name in ("../evil.csv", "/evil.csv", "a/../../evil.csv", "C:\\evil.csv"):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
        assert "stay inside" in message(path)
    assert not (tmp_path.parent / "evil.csv").exists()


def test_tar_that_escapes_or_links(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("../evil.csv")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    assert "stay inside" in message(path)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("fer2013.csv")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert "a link or a device" in message(path)


def test_zip_that_expands_absurdly(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fer2013.csv", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
    text = message(path)
    assert "200 times its size" in text and "104,857,600 bytes" in text


def test_zip_whose_header_lies_about_the_size(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fer2013.csv", f"{HEAD}\n{GOOD}\n")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 3)
    path.write_bytes(data)
    message(path)


def test_damaged_archives(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 not whole")
    assert "truncated?" in message(tmp_path / "a.zip")
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b not whole")
    assert "whole archive" in message(tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(__file__, "fer2013.csv")
    whole = (tmp_path / "b.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "whole archive" in message(tmp_path / "b.tar.gz")


def test_error_inside_an_archive_names_both(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/fer2013.csv", f"{HEAD}\n9,{ROW},Training\n")
    assert message(path).startswith(f"{path} » data/fer2013.csv, line 2: expected an emotion")


def test_bad_npz(tmp_path):
    path = tmp_path / "a.npz"
    good = {
        "pixels": np.zeros((3, 48, 48), np.uint8),
        "emotion": np.zeros(3, int),
        "usage": np.zeros(3, int),
    }
    for change, expected in (
        ({"pixels": np.zeros((3, 48, 48))}, "Received: float64 [3, 48, 48]"),
        ({"pixels": np.zeros((3, 40, 48), np.uint8)}, "Received: uint8 [3, 40, 48]"),
        ({"emotion": np.array([0, 7, 1])}, "Received: 7 at index 1"),
        ({"usage": np.array([0, -1, 1])}, "Received: -1 at index 1"),
        ({"usage": np.zeros(2, int)}, "'usage' as 3 whole numbers"),
        ({"emotion": np.zeros(3)}, "'emotion' as 3 whole numbers"),
        ({"emotion": np.array(["a"] * 3, object)}, "looks damaged"),
    ):
        np.savez(path, **{**good, **change})
        assert expected in message(path)
    np.savez(path, pixels=good["pixels"])
    assert "Add emotion, usage" in message(path)
    path.write_bytes(b"PK no")
    assert "looks damaged" in message(path)


def test_kaggle_download(monkeypatch, tree):
    assert "kaggle:OWNER/DATASET" in message("kaggle:nothing")
    asked = []
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = lambda name: asked.append(name) or str(tree)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    assert len(fer2013.read("kaggle:msambare/fer2013")) == 8 and asked == ["msambare/fer2013"]

    def fail(name):
        raise ConnectionError("no network\nmore")

    fake.dataset_download = fail
    assert "Check the name, the network" in message("kaggle:msambare/fer2013")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert "pip install kagglehub" in message("kaggle:msambare/fer2013")
